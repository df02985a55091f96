/* Records by a delimiter of the job's own, and long ones left out, wherever the file is cut. */
#include "runner/ops/record_filter.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>

/* Appends what the split [start, end) gives, fed `step` bytes at a time. */
static void read_split(const char *delimiter, uint64_t max, const char *text, size_t size,
                       uint64_t start, uint64_t end, size_t step, struct hd_buf *out)
{
    struct hd_record_filter f;
    ATF_REQUIRE_EQ(hd_record_filter_init(&f, delimiter, max, start, end), 0);
    for (size_t at = hd_record_filter_from(&f); at < size && !f.done; at += step) {
        ATF_REQUIRE_EQ(
            hd_record_filter_feed(&f, (const uint8_t *)text + at, HD_MIN(step, size - at), out), 0);
    }
    ATF_REQUIRE_EQ(hd_record_filter_end(&f, true, out), 0);
    hd_record_filter_done(&f);
}

static void check(const char *delimiter, uint64_t max, const char *text, const char *want)
{
    size_t size = strlen(text);
    for (size_t split = 1; split <= size + 1; split++) {
        for (size_t step = 1; step <= size + 1; step++) {
            struct hd_buf out = {0};
            for (size_t at = 0; at < size; at += split) {
                read_split(delimiter, max, text, size, at, HD_MIN(at + split, size), step, &out);
            }
            ATF_REQUIRE_MSG(strcmp(hd_buf_str(&out), want) == 0,
                            "splits of %zu, steps of %zu: %s, expected %s", split, step,
                            hd_buf_str(&out), want);
            hd_buf_done(&out);
        }
    }
}

ATF_TC_WITHOUT_HEAD(every_record_is_in_one_split);
ATF_TC_BODY(every_record_is_in_one_split, tc)
{
    check("|", 0, "a|bc||d", "a\nbc\n\nd\n");
    check("|", 0, "a|bc|", "a\nbc\n");
    check("<>", 0, "", "");
    check("<>", 0, "one<>two\nlines<>< ><>four", "one\ntwo\nlines\n< >\nfour\n");
    check("=END~", 0, "a=END~b=END~~=END=END~c", "a\nb\n~=END\nc\n");
    check("END", 0, "ENDEND1ENDE", "\n\n1\nE\n");
    check("\r\n.\n", 0, "head\r\nmore\r\n.\nbody", "head\r\nmore\nbody\n");
    check("|", 0,
          "\xef\xbb\xbf"
          "a|b",
          "a\nb\n");
}

ATF_TC_WITHOUT_HEAD(long_records_are_left_out);
ATF_TC_BODY(long_records_are_left_out, tc)
{
    check("|", 4, "ab|abc|abcd|x|abcdefgh|y", "ab\nx\ny\n"); /* a|bc is 3, abc| is 4 */
    check("::", 5, "ab::abc::d::abcdefghi", "ab\nd\n");
}

ATF_TC_WITHOUT_HEAD(long_lines_are_left_out);
ATF_TC_BODY(long_lines_are_left_out, tc)
{
    static const char text[] = "ab\nabc\nabcdefghijklm\n\nx";
    for (size_t step = 1; step < sizeof(text); step++) {
        struct hd_buf out = {0};
        read_split(NULL, 4, text, sizeof(text) - 1, 0, 5, step, &out);
        ATF_CHECK_STREQ(hd_buf_str(&out), "ab\n\nx\n");
        hd_buf_done(&out);
    }
}

ATF_TC_WITHOUT_HEAD(a_delimiter_may_overlap_itself);
ATF_TC_BODY(a_delimiter_may_overlap_itself, tc)
{
    ATF_CHECK(hd_delimiter_overlaps_itself("||"));
    ATF_CHECK(hd_delimiter_overlaps_itself("\n--\n"));
    ATF_CHECK(!hd_delimiter_overlaps_itself("|"));
    ATF_CHECK(!hd_delimiter_overlaps_itself("<>"));
    ATF_CHECK(!hd_delimiter_overlaps_itself("\r\nEND"));
    char many[100];
    struct hd_record_filter f;
    memset(many, 'x', sizeof(many));
    many[65] = '\0';
    ATF_CHECK_EQ(hd_record_filter_init(&f, many, 0, 0, 1), -EINVAL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_record_is_in_one_split);
    ATF_TP_ADD_TC(tp, long_records_are_left_out);
    ATF_TP_ADD_TC(tp, long_lines_are_left_out);
    ATF_TP_ADD_TC(tp, a_delimiter_may_overlap_itself);
    return atf_no_error();
}
