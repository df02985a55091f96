/* Buffers are kept while they are used and freed when they are not. */
#include "fs/mount/buffers.h"

#include <atf-c.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(the_last_given_is_the_first_taken);
ATF_TC_BODY(the_last_given_is_the_first_taken, tc)
{
    struct hd_buffers b;
    hd_buffers_init(&b, 4096);
    void *one = hd_buffers_take(&b);
    void *two = hd_buffers_take(&b);
    ATF_REQUIRE(one != NULL && two != NULL && one != two);
    memset(one, 1, 4096);
    hd_buffers_give(&b, one);
    hd_buffers_give(&b, two);
    ATF_CHECK_EQ(hd_buffers_take(&b), two);
    ATF_CHECK_EQ(hd_buffers_take(&b), one);
    hd_buffers_give(&b, one);
    hd_buffers_give(&b, two);
    hd_buffers_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_quiet_turn_frees_them);
ATF_TC_BODY(a_quiet_turn_frees_them, tc)
{
    struct hd_buffers b;
    hd_buffers_init(&b, 16);
    hd_buffers_give(&b, hd_buffers_take(&b));
    ATF_CHECK(!hd_buffers_trim(&b));
    ATF_CHECK_EQ(b.count, 1);
    ATF_CHECK(hd_buffers_trim(&b));
    ATF_CHECK_EQ(b.count, 0);
    hd_buffers_done(&b);
}

ATF_TC_WITHOUT_HEAD(more_than_the_ceiling_are_not_kept);
ATF_TC_BODY(more_than_the_ceiling_are_not_kept, tc)
{
    struct hd_buffers b;
    void *taken[HD_BUFFERS_MAX + 5];
    hd_buffers_init(&b, 16);
    for (size_t i = 0; i < HD_ARRAY_COUNT(taken); i++) {
        taken[i] = hd_buffers_take(&b);
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(taken); i++) {
        hd_buffers_give(&b, taken[i]);
    }
    ATF_CHECK_EQ(b.count, HD_BUFFERS_MAX);
    hd_buffers_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_last_given_is_the_first_taken);
    ATF_TP_ADD_TC(tp, a_quiet_turn_frees_them);
    ATF_TP_ADD_TC(tp, more_than_the_ceiling_are_not_kept);
    return atf_no_error();
}
