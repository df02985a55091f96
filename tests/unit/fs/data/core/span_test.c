/* The chunk grid for reads and writes. */
#include "fs/data/core/span.h"
#include "fs/base/error.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(a_read_covers_whole_chunks_up_to_the_end);
ATF_TC_BODY(a_read_covers_whole_chunks_up_to_the_end, tc)
{
    static const struct {
        uint64_t offset, length, start, end;
    } rows[] = {{0, 1500, 0, 1500},   {700, 100, 512, 1024}, {700, 0, 512, 1024},  {0, 0, 0, 0},
                {1023, 2, 512, 1500}, {1024, 1, 1024, 1500}, {1500, 0, 1024, 1500}};
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        struct hd_read_span s;
        ATF_REQUIRE_EQ(hd_read_span(rows[i].offset, rows[i].length, 1500, 512, &s), 0);
        ATF_CHECK_EQ(s.start_bytes, rows[i].start);
        ATF_CHECK_EQ(s.end_bytes, rows[i].end);
    }
}

ATF_TC_WITHOUT_HEAD(a_read_beyond_the_visible_end_is_refused);
ATF_TC_BODY(a_read_beyond_the_visible_end_is_refused, tc)
{
    struct hd_read_span s;
    ATF_CHECK_EQ(hd_read_span(1000, 1000, 1500, 512, &s), -HD_E_ILLEGAL_ARGUMENT);
    ATF_CHECK_EQ(hd_read_span(5000, 1, 1500, 512, &s), -HD_E_ILLEGAL_ARGUMENT);
    ATF_CHECK_EQ(hd_read_span(10, UINT64_MAX, 1500, 512, &s), -HD_E_ILLEGAL_ARGUMENT);
}

ATF_TC_WITHOUT_HEAD(packets_meet_what_is_there);
ATF_TC_BODY(packets_meet_what_is_there, tc)
{
    enum hd_write_kind kind;
    ATF_REQUIRE_EQ(hd_write_kind(0, 1000, 0, 512, &kind), 0);
    ATF_CHECK_EQ(kind, HD_WRITE_WHOLE);
    ATF_REQUIRE_EQ(hd_write_kind(1000, 24, 1000, 512, &kind), 0); /* an append fills the chunk */
    ATF_CHECK_EQ(kind, HD_WRITE_PARTIAL);
    ATF_REQUIRE_EQ(hd_write_kind(512, 588, 1000, 512, &kind), 0); /* hflush sends it again */
    ATF_CHECK_EQ(kind, HD_WRITE_WHOLE);
    ATF_REQUIRE_EQ(hd_write_kind(512, 488, 1000, 512, &kind), 0); /* a recovery repeats itself */
    ATF_CHECK_EQ(kind, HD_WRITE_SKIP);
    ATF_CHECK_EQ(hd_write_kind(1001, 1, 1000, 512, &kind), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(hd_write_kind(1000, 25, 1000, 512, &kind), -HD_E_BAD_MESSAGE);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_read_covers_whole_chunks_up_to_the_end);
    ATF_TP_ADD_TC(tp, a_read_beyond_the_visible_end_is_refused);
    ATF_TP_ADD_TC(tp, packets_meet_what_is_there);
    return atf_no_error();
}
