/* Narrow steps: records in, records out. */
#include "runner/ops/chain.h"
#include "fs/base/buf.h"

#include <atf-c.h>
#include <string.h>

static struct hd_buf out;

static int collect(void *ctx, const uint8_t *record, size_t size)
{
    (void)ctx;
    ATF_REQUIRE_EQ(hd_buf_add(&out, record, size), 0);
    return hd_buf_add(&out, "|", 1);
}

/* Lines through one step, what comes out with | behind each. */
static const char *through(const char *op, const char *arg1, const char *arg2, const char *lines)
{
    char *args[] = {(char *)(uintptr_t)arg1, (char *)(uintptr_t)arg2};
    struct hd_step s = {.op = op, .args = args, .arg_count = (arg1 != NULL) + (arg2 != NULL)};
    struct hd_chain *c;
    hd_buf_clear(&out);
    if (hd_chain_new(&s, 1, collect, NULL, &c) < 0) {
        return "refused";
    }
    for (int got = 0; got == 0 && *lines != '\0';) {
        size_t n = strcspn(lines, "\n");
        got = hd_chain_push(c, (const uint8_t *)lines, n);
        ATF_REQUIRE(got >= 0);
        lines += n + (lines[n] == '\n');
    }
    ATF_REQUIRE_EQ(hd_chain_finish(c), 0);
    hd_chain_free(c);
    return hd_buf_str(&out);
}

ATF_TC_WITHOUT_HEAD(tokens_end_at_white_space);
ATF_TC_BODY(tokens_end_at_white_space, tc)
{
    ATF_CHECK_STREQ(through("tokens", NULL, NULL, "  a b\tc\n\nd"), "a|b|c|d|");
}

ATF_TC_WITHOUT_HEAD(grep_has_the_options_of_grep);
ATF_TC_BODY(grep_has_the_options_of_grep, tc)
{
    ATF_CHECK_STREQ(through("grep", "b", NULL, "abc\nxyz\nb"), "abc|b|");
    ATF_CHECK_STREQ(through("grep", "-v", "b", "abc\nxyz\nb"), "xyz|");
    ATF_CHECK_STREQ(through("grep", "-i", "B", "abc\nxyz"), "abc|");
    ATF_CHECK_STREQ(through("grep", "-F", "a.c", "abc\na.c"), "a.c|");
    ATF_CHECK_STREQ(through("grep", "-Fi", "A.C", "abc\na.c"), "a.c|");
    ATF_CHECK_STREQ(through("grep", "^a.c$", NULL, "abc\na.c\nabcd"), "abc|a.c|");
    ATF_CHECK_STREQ(through("grep", "-E", "^(x|b)", "abc\nxyz\nb"), "xyz|b|");
    ATF_CHECK_STREQ(through("grep", "-E", "(", "a"), "refused");
}

ATF_TC_WITHOUT_HEAD(fields_are_cut_at_tabs);
ATF_TC_BODY(fields_are_cut_at_tabs, tc)
{
    ATF_CHECK_STREQ(through("fields", "3,1", NULL, "a\tb\tc\nx"), "c\ta|\tx|");
    ATF_CHECK_STREQ(through("key", "2", NULL, "a\tb\tc\na\tb\nx"), "b\ta\tc|b\ta|\tx|");
    ATF_CHECK_STREQ(through("key", "1", NULL, "a\tb"), "a\tb|");
    ATF_CHECK_STREQ(through("fields", "0", NULL, "a"), "refused");
    ATF_CHECK_STREQ(through("key", "1,2", NULL, "a"), "refused");
}

ATF_TC_WITHOUT_HEAD(take_wants_no_more);
ATF_TC_BODY(take_wants_no_more, tc)
{
    ATF_CHECK_STREQ(through("take", "2", NULL, "a\nb\nc"), "a|b|");
    ATF_CHECK_STREQ(through("take", "0", NULL, "a\nb\nc"), "");
    ATF_CHECK_STREQ(through("take", "x", NULL, "a"), "refused");
}

ATF_TC_WITHOUT_HEAD(top_keeps_the_greatest);
ATF_TC_BODY(top_keeps_the_greatest, tc)
{
    const char *lines = "a\t3\nb\t20\nc\t3\nd\t1";
    ATF_CHECK_STREQ(through("top", "3", "", lines), "b\t20|a\t3|c\t3|"); /* equals by bytes */
    ATF_CHECK_STREQ(through("top", "1", "2", lines), "a\t3|");           /* as text */
    ATF_CHECK_STREQ(through("top", "2", "2nr", lines), "d\t1|a\t3|");
    ATF_CHECK_STREQ(through("ordered", "2", "2n", lines), "d\t1|a\t3|");
    ATF_CHECK_STREQ(through("top", "0", "", lines), "");
    ATF_CHECK_STREQ(through("top", "9", "1", lines), "d\t1|c\t3|b\t20|a\t3|");
    ATF_CHECK_STREQ(through("top", "1", "2x", lines), "refused");
}

ATF_TC_WITHOUT_HEAD(lines_and_sums_come_at_the_end);
ATF_TC_BODY(lines_and_sums_come_at_the_end, tc)
{
    ATF_CHECK_STREQ(through("lines", NULL, NULL, "a\nb"), "2|");
    ATF_CHECK_STREQ(through("lines", NULL, NULL, ""), "0|");
    ATF_CHECK_STREQ(through("sum", NULL, NULL, "1\n 2 \n-5"), "-2|");
    ATF_CHECK_STREQ(through("sum", NULL, NULL, "0.1\n0.2"), "0.30000000000000004|");
    ATF_CHECK_STREQ(through("sum", NULL, NULL, "9223372036854775807\n1"), "9.223372036854776e+18|");
}

ATF_TC_WITHOUT_HEAD(a_number_is_a_number_to_its_end);
ATF_TC_BODY(a_number_is_a_number_to_its_end, tc)
{
    struct hd_number n;
    ATF_CHECK(!hd_number_parse((const uint8_t *)"1\0002", 3, &n)); /* a NUL ends no text here */
    ATF_CHECK(!hd_number_parse((const uint8_t *)"0x10", 4, &n));
    ATF_CHECK(!hd_number_parse((const uint8_t *)"nan", 3, &n));
    ATF_CHECK(!hd_number_parse((const uint8_t *)"e", 1, &n));
    ATF_CHECK(!hd_number_parse((const uint8_t *)"1\r", 2, &n));
    ATF_CHECK(hd_number_parse((const uint8_t *)"-1e3", 4, &n) && n.d == -1000);
    ATF_CHECK(hd_number_parse((const uint8_t *)"-inf", 4, &n)); /* sums that are too large */
}

ATF_TC_WITHOUT_HEAD(a_sample_is_the_same_for_a_seed);
ATF_TC_BODY(a_sample_is_the_same_for_a_seed, tc)
{
    char lines[4001];
    char first[4001];
    for (size_t i = 0; i < 4000; i += 2) {
        memcpy(lines + i, "x\n", 2);
    }
    lines[4000] = '\0';
    snprintf(first, sizeof(first), "%s", through("sample", "0.1", "7", lines));
    ATF_CHECK(strlen(first) > 200 && strlen(first) < 600);
    ATF_CHECK_STREQ(through("sample", "0.1", "7", lines), first);
    ATF_CHECK_EQ(strlen(through("sample", "1", "7", lines)), 4000);
    ATF_CHECK_STREQ(through("sample", "2", "7", lines), "refused");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, tokens_end_at_white_space);
    ATF_TP_ADD_TC(tp, grep_has_the_options_of_grep);
    ATF_TP_ADD_TC(tp, fields_are_cut_at_tabs);
    ATF_TP_ADD_TC(tp, take_wants_no_more);
    ATF_TP_ADD_TC(tp, top_keeps_the_greatest);
    ATF_TP_ADD_TC(tp, lines_and_sums_come_at_the_end);
    ATF_TP_ADD_TC(tp, a_number_is_a_number_to_its_end);
    ATF_TP_ADD_TC(tp, a_sample_is_the_same_for_a_seed);
    return atf_no_error();
}
