/* The pace of scanning. */
#include "fs/data/core/scan_pace.h"

#include <atf-c.h>

enum { MIB = 1 << 20, DAY_MS = 24 * 3600 * 1000 };

static const struct hd_scan_limits usual = {.rate_bytes = 4 * MIB, .period_ms = DAY_MS};

ATF_TC_WITHOUT_HEAD(reading_is_held_to_the_rate);
ATF_TC_BODY(reading_is_held_to_the_rate, tc)
{
    /* A MiB at 4 MiB/s is a quarter of a second, of which the disk had a millisecond. */
    ATF_CHECK_EQ(hd_scan_wait_ns(&usual, MIB, 1000000, false), 249000000);
    ATF_CHECK_EQ(hd_scan_wait_ns(&usual, 0, 0, false), 0);
}

ATF_TC_WITHOUT_HEAD(a_busy_disk_gets_three_quarters_of_the_time);
ATF_TC_BODY(a_busy_disk_gets_three_quarters_of_the_time, tc)
{
    ATF_CHECK_EQ(hd_scan_wait_ns(&usual, MIB, 400000000, false), 1200000000);
}

ATF_TC_WITHOUT_HEAD(who_waits_for_the_result_is_not_kept);
ATF_TC_BODY(who_waits_for_the_result_is_not_kept, tc)
{
    ATF_CHECK_EQ(hd_scan_wait_ns(&usual, MIB, 400000000, true), 0);
}

ATF_TC_WITHOUT_HEAD(passes_begin_often_enough_for_the_period);
ATF_TC_BODY(passes_begin_often_enough_for_the_period, tc)
{
    uint64_t now_ms = 1790000000000;
    ATF_CHECK_EQ(hd_scan_next_pass_ms(&usual, 0, now_ms), now_ms);
    ATF_CHECK(hd_scan_next_pass_ms(&usual, now_ms - 1000, now_ms) < now_ms + DAY_MS - 1000);
    ATF_CHECK(hd_scan_next_pass_ms(&usual, now_ms - 1000, now_ms) > now_ms + DAY_MS / 2);
    /* The clock was set back: a pass of the future is no reason to wait for it. */
    ATF_CHECK_EQ(hd_scan_next_pass_ms(&usual, now_ms + 5000, now_ms), now_ms);
}

ATF_TC_WITHOUT_HEAD(the_time_of_a_pass_is_known_before);
ATF_TC_BODY(the_time_of_a_pass_is_known_before, tc)
{
    struct hd_scan_limits off = {.period_ms = DAY_MS};
    ATF_CHECK_EQ(hd_scan_pass_ms(&usual, (uint64_t)4096 * MIB), 1024000);
    ATF_CHECK(hd_scan_pass_ms(&usual, (uint64_t)1 << 50) > DAY_MS);
    ATF_CHECK_EQ(hd_scan_pass_ms(&off, 1), UINT64_MAX);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, reading_is_held_to_the_rate);
    ATF_TP_ADD_TC(tp, a_busy_disk_gets_three_quarters_of_the_time);
    ATF_TP_ADD_TC(tp, who_waits_for_the_result_is_not_kept);
    ATF_TP_ADD_TC(tp, passes_begin_often_enough_for_the_period);
    ATF_TP_ADD_TC(tp, the_time_of_a_pass_is_known_before);
    return atf_no_error();
}
