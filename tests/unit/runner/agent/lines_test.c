/* Cutting a process's output into lines, whatever pieces it arrives in. */
#include "runner/agent/lines.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <unistd.h>

struct seen {
    struct hd_buf text; /* lines, each followed by '|' */
};

static int take(void *ctx, const uint8_t *line, size_t size)
{
    struct seen *s = ctx;
    hd_buf_add(&s->text, line, size);
    return hd_buf_add_u8(&s->text, '|');
}

/* Sends text through a pipe, `step` bytes at a time, and compares what was cut. */
static void check(const char *text, size_t step, const char *want)
{
    struct seen s = {0};
    struct hd_lines l;
    int fds[2];
    ATF_REQUIRE_EQ(pipe(fds), 0);
    hd_lines_init(&l, take, &s, 64, 1000);
    for (size_t at = 0; at < strlen(text); at += step) {
        size_t n = HD_MIN(step, strlen(text) - at);
        ATF_REQUIRE_EQ(write(fds[1], text + at, n), (ssize_t)n);
        ATF_REQUIRE_EQ(hd_lines_read(&l, fds[0]), 1);
    }
    close(fds[1]);
    ATF_REQUIRE_EQ(hd_lines_read(&l, fds[0]), 0);
    ATF_CHECK_STREQ(hd_buf_str(&s.text), want);
    close(fds[0]);
    hd_lines_done(&l);
    hd_buf_done(&s.text);
}

ATF_TC_WITHOUT_HEAD(lines_end_at_lf_cr_and_crlf);
ATF_TC_BODY(lines_end_at_lf_cr_and_crlf, tc)
{
    for (size_t step = 1; step < 20; step++) {
        check("a\nbb\r\nc\rd\n\ne", step, "a|bb|c|d||e|");
        check("", step, "");
        check("\n", step, "|");
        check("no end", step, "no end|");
    }
}

ATF_TC_WITHOUT_HEAD(an_endless_line_is_an_error);
ATF_TC_BODY(an_endless_line_is_an_error, tc)
{
    struct seen s = {0};
    struct hd_lines l;
    int fds[2];
    char x[64] = {0};
    int got = 1;
    ATF_REQUIRE_EQ(pipe(fds), 0);
    hd_lines_init(&l, take, &s, 64, 256);
    for (int i = 0; i < 100 && got == 1; i++) {
        ATF_REQUIRE_EQ(write(fds[1], x, sizeof(x)), (ssize_t)sizeof(x));
        got = hd_lines_read(&l, fds[0]);
    }
    ATF_CHECK_EQ(got, -HD_E_TOO_LARGE);
    close(fds[0]);
    close(fds[1]);
    hd_lines_done(&l);
    hd_buf_done(&s.text);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, lines_end_at_lf_cr_and_crlf);
    ATF_TP_ADD_TC(tp, an_endless_line_is_an_error);
    return atf_no_error();
}
