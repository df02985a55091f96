/* Which writes a reader has to wait for. */
#include "fs/base/prng.h"
#include "fs/client/core/inflight.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(the_newest_write_that_overlaps_is_waited_for);
ATF_TC_BODY(the_newest_write_that_overlaps_is_waited_for, tc)
{
    struct hd_inflight f = {.ranges = NULL};
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 100), 0u);
    ATF_REQUIRE_EQ(hd_inflight_add(&f, 1, 0, 100), 0);
    ATF_REQUIRE_EQ(hd_inflight_add(&f, 2, 50, 60), 0);
    ATF_REQUIRE_EQ(hd_inflight_add(&f, 3, 200, 300), 0);
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 10), 1u);
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 51), 2u);
    ATF_CHECK_EQ(hd_inflight_find(&f, 60, 61), 1u);
    ATF_CHECK_EQ(hd_inflight_find(&f, 100, 200), 0u);
    ATF_CHECK_EQ(hd_inflight_find(&f, 299, 1000), 3u);
    hd_inflight_done(&f);
}

ATF_TC_WITHOUT_HEAD(what_is_acknowledged_is_not_waited_for);
ATF_TC_BODY(what_is_acknowledged_is_not_waited_for, tc)
{
    struct hd_inflight f = {.ranges = NULL};
    ATF_REQUIRE_EQ(hd_inflight_add(&f, 1, 0, 100), 0);
    ATF_REQUIRE_EQ(hd_inflight_add(&f, 2, 50, 60), 0);
    hd_inflight_acked(&f, 1);
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 50), 0u);
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 51), 2u);
    hd_inflight_acked(&f, 7);
    ATF_CHECK_EQ(hd_inflight_find(&f, 0, 100), 0u);
    hd_inflight_done(&f);
}

enum { STEPS = 20000, BYTES = 64 };

ATF_TC_WITHOUT_HEAD(it_agrees_with_a_map_of_every_byte);
ATF_TC_BODY(it_agrees_with_a_map_of_every_byte, tc)
{
    struct hd_inflight f = {.ranges = NULL};
    struct hd_prng r = {5};

    uint64_t last[BYTES] = {0}; /* serial of the last write of each byte */
    uint64_t serial = 0;
    uint64_t acked = 0;
    for (int step = 0; step < STEPS; step++) {
        uint64_t from = hd_prng_below(&r, BYTES);
        uint64_t to = from + 1 + hd_prng_below(&r, BYTES - from);
        switch (hd_prng_below(&r, 4)) {
        case 0:
        case 1:
            ATF_REQUIRE_EQ(hd_inflight_add(&f, ++serial, from, to), 0);
            for (uint64_t i = from; i < to; i++) {
                last[i] = serial;
            }
            break;
        case 2:
            acked += hd_prng_below(&r, serial - acked + 1);
            hd_inflight_acked(&f, acked);
            break;
        default:
            break;
        }
        uint64_t want = 0;
        for (uint64_t i = from; i < to; i++) {
            want = HD_MAX(want, last[i] > acked ? last[i] : 0);
        }
        ATF_REQUIRE_EQ(hd_inflight_find(&f, from, to), want);
    }
    hd_inflight_done(&f);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_newest_write_that_overlaps_is_waited_for);
    ATF_TP_ADD_TC(tp, what_is_acknowledged_is_not_waited_for);
    ATF_TP_ADD_TC(tp, it_agrees_with_a_map_of_every_byte);
    return atf_no_error();
}
