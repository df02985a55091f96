/* The line rule: every cut of a file with mixed line ends gives every line to exactly one split. */
#include "runner/ops/line_split.h"

#include <atf-c.h>
#include <string.h>

static const char mixed[] = "one\ntwo\r\nthree\rfour\n\n\r\n\rfive\r\n\nsix and more\r\rseven";

/* Runs one split over text, fed `step` bytes at a time; appends what comes out. */
static void run_split(const char *text, size_t size, uint64_t start, uint64_t end, size_t step,
                      struct hd_buf *out, struct hd_line_split *ret)
{
    HD_AUTO(hd_buf_done) struct hd_buf scratch = {0};
    struct hd_line_split s;
    hd_line_split_init(&s, start, end);
    uint64_t at = start;
    while (!s.done && at < size) {
        const uint8_t *bytes;
        size_t n = HD_MIN(step, size - at);
        size_t got;
        ATF_REQUIRE_EQ(
            hd_line_split_feed(&s, (const uint8_t *)text + at, n, &scratch, &bytes, &got), 0);
        ATF_REQUIRE_EQ(hd_buf_add(out, bytes, got), 0);
        at += n;
    }
    *ret = s;
}

/* The whole file by the plain rule: every CR, LF and CRLF is LF. */
static void normalize(const char *text, size_t size, struct hd_buf *out)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\r') {
            hd_buf_add_u8(out, '\n');
            i += i + 1 < size && text[i + 1] == '\n';
        } else {
            hd_buf_add_u8(out, (uint8_t)text[i]);
        }
    }
}

static void check_cut(const char *text, size_t size, const size_t *cuts, size_t count, size_t step)
{
    HD_AUTO(hd_buf_done) struct hd_buf want = {0};
    HD_AUTO(hd_buf_done) struct hd_buf got = {0};
    struct hd_line_split s;
    normalize(text, size, &want);
    for (size_t i = 0; i <= count; i++) {
        uint64_t start = i == 0 ? 0 : cuts[i - 1];
        uint64_t end = i == count ? size : cuts[i];
        run_split(text, size, start, end, step, &got, &s);
    }
    bool same = want.size == got.size && memcmp(want.data, got.data, want.size) == 0;
    ATF_REQUIRE_MSG(same, "cuts %zu.. of %zu, step %zu: '%.*s'", cuts[0], count, step,
                    (int)got.size, (const char *)got.data);
}

ATF_TC_WITHOUT_HEAD(every_cut_gives_every_line_once);
ATF_TC_BODY(every_cut_gives_every_line_once, tc)
{
    size_t size = sizeof(mixed) - 1;
    for (size_t step = 1; step <= size; step++) {
        for (size_t cut = 1; cut < size; cut++) {
            check_cut(mixed, size, &cut, 1, step);
        }
    }
}

ATF_TC_WITHOUT_HEAD(every_pair_of_cuts_gives_every_line_once);
ATF_TC_BODY(every_pair_of_cuts_gives_every_line_once, tc)
{
    size_t size = sizeof(mixed) - 1;
    for (size_t step = 1; step <= size; step += 3) {
        for (size_t a = 1; a < size; a++) {
            for (size_t b = a + 1; b < size; b++) {
                size_t cuts[] = {a, b};
                check_cut(mixed, size, cuts, 2, step);
            }
        }
    }
}

ATF_TC_WITHOUT_HEAD(a_split_inside_a_long_line_is_empty);
ATF_TC_BODY(a_split_inside_a_long_line_is_empty, tc)
{
    const char text[] = "a very long line indeed\nnext\n";
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    struct hd_line_split s;
    run_split(text, sizeof(text) - 1, 4, 9, 100, &out, &s);
    ATF_CHECK_EQ(out.size, 0);
    ATF_CHECK(s.done);
}

ATF_TC_WITHOUT_HEAD(the_byte_order_mark_is_dropped_at_the_start_only);
ATF_TC_BODY(the_byte_order_mark_is_dropped_at_the_start_only, tc)
{
    const char text[] = "\xef\xbb\xbf"
                        "a\n\xef\xbb\xbf"
                        "b\n";
    for (size_t step = 1; step < sizeof(text); step++) {
        HD_AUTO(hd_buf_done) struct hd_buf out = {0};
        struct hd_line_split s;
        run_split(text, sizeof(text) - 1, 0, sizeof(text) - 1, step, &out, &s);
        ATF_CHECK_EQ(out.size, sizeof(text) - 1 - 3);
        ATF_CHECK_EQ(memcmp(out.data, text + 3, out.size), 0);
    }
}

ATF_TC_WITHOUT_HEAD(what_only_begins_like_a_mark_stays);
ATF_TC_BODY(what_only_begins_like_a_mark_stays, tc)
{
    const char text[] = "\xef\xbbx\n";
    for (size_t step = 1; step < sizeof(text); step++) {
        HD_AUTO(hd_buf_done) struct hd_buf out = {0};
        struct hd_line_split s;
        run_split(text, sizeof(text) - 1, 0, sizeof(text) - 1, step, &out, &s);
        ATF_CHECK_EQ(out.size, sizeof(text) - 1);
        ATF_CHECK_EQ(memcmp(out.data, text, out.size), 0);
    }
}

ATF_TC_WITHOUT_HEAD(a_last_line_without_end_is_told);
ATF_TC_BODY(a_last_line_without_end_is_told, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    struct hd_line_split s;
    run_split("a\nb", 3, 0, 3, 1, &out, &s);
    ATF_CHECK(s.unterminated);
    ATF_CHECK_EQ(s.lines, 1);
    run_split("a\nb\r", 4, 0, 4, 1, &out, &s);
    ATF_CHECK(!s.unterminated);
    ATF_CHECK_EQ(s.lines, 2);
}

ATF_TC_WITHOUT_HEAD(bytes_that_need_no_change_are_not_copied);
ATF_TC_BODY(bytes_that_need_no_change_are_not_copied, tc)
{
    static const uint8_t text[] = "first\nsecond\nthird\n";
    HD_AUTO(hd_buf_done) struct hd_buf scratch = {0};
    struct hd_line_split s;
    const uint8_t *out;
    size_t size;
    hd_line_split_init(&s, 0, 1000);
    ATF_REQUIRE_EQ(hd_line_split_feed(&s, text, sizeof(text) - 1, &scratch, &out, &size), 0);
    ATF_CHECK_EQ(out, text);
    ATF_CHECK_EQ(size, sizeof(text) - 1);
    ATF_CHECK_EQ(s.lines, 3);
}

ATF_TC_WITHOUT_HEAD(lines_are_counted_in_any_number_of_bytes);
ATF_TC_BODY(lines_are_counted_in_any_number_of_bytes, tc)
{
    enum { SIZE = 40000 };
    static uint8_t text[SIZE];
    struct hd_buf scratch = {0};
    for (size_t size = 1; size <= SIZE; size += size < 100 ? 1 : 4987) {
        for (int kind = 0; kind < 2; kind++) { /* all line ends, or every third byte */
            struct hd_line_split s;
            const uint8_t *out;
            size_t n;
            uint64_t want = 0;
            for (size_t i = 0; i < size; i++) {
                text[i] = kind == 0 || i % 3 == 0 ? '\n' : 'x';
                want += text[i] == '\n';
            }
            hd_line_split_init(&s, 0, UINT64_MAX);
            ATF_REQUIRE_EQ(hd_line_split_feed(&s, text, size, &scratch, &out, &n), 0);
            ATF_REQUIRE_EQ(s.lines, want);
        }
    }
    hd_buf_done(&scratch);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, lines_are_counted_in_any_number_of_bytes);
    ATF_TP_ADD_TC(tp, every_cut_gives_every_line_once);
    ATF_TP_ADD_TC(tp, every_pair_of_cuts_gives_every_line_once);
    ATF_TP_ADD_TC(tp, a_split_inside_a_long_line_is_empty);
    ATF_TP_ADD_TC(tp, the_byte_order_mark_is_dropped_at_the_start_only);
    ATF_TP_ADD_TC(tp, what_only_begins_like_a_mark_stays);
    ATF_TP_ADD_TC(tp, a_last_line_without_end_is_told);
    ATF_TP_ADD_TC(tp, bytes_that_need_no_change_are_not_copied);
    return atf_no_error();
}
