/* The retry schedule: what is repeated, how, and for how long. */
#include "fs/base/error.h"
#include "fs/client/core/retry.h"

#include <atf-c.h>
#include <errno.h>

ATF_TC_WITHOUT_HEAD(answers_of_the_server_stand);
ATF_TC_BODY(answers_of_the_server_stand, tc)
{
    ATF_CHECK_EQ(hd_retry_kind_of(0, false, true), HD_RETRY_NO);
    ATF_CHECK_EQ(hd_retry_kind_of(-ENOENT, false, true), HD_RETRY_NO);
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_LEASE_EXPIRED, false, true), HD_RETRY_NO);
}

ATF_TC_WITHOUT_HEAD(a_lost_connection_repeats_the_same_call);
ATF_TC_BODY(a_lost_connection_repeats_the_same_call, tc)
{
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_CLOSED, true, false), HD_RETRY_SAME);
    ATF_CHECK_EQ(hd_retry_kind_of(-ECONNREFUSED, true, false), HD_RETRY_SAME);
}

ATF_TC_WITHOUT_HEAD(a_busy_server_gets_a_new_call);
ATF_TC_BODY(a_busy_server_gets_a_new_call, tc)
{
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_RETRIABLE, false, false), HD_RETRY_NEW);
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_STANDBY, false, false), HD_RETRY_SAME);
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_FENCED, false, false), HD_RETRY_SAME);
}

ATF_TC_WITHOUT_HEAD(safe_mode_is_waited_for_on_request);
ATF_TC_BODY(safe_mode_is_waited_for_on_request, tc)
{
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_SAFE_MODE, false, true), HD_RETRY_NEW);
    ATF_CHECK_EQ(hd_retry_kind_of(-HD_E_SAFE_MODE, false, false), HD_RETRY_NO);
}

ATF_TC_WITHOUT_HEAD(pauses_grow_to_a_quarter_second_and_end_with_the_budget);
ATF_TC_BODY(pauses_grow_to_a_quarter_second_and_end_with_the_budget, tc)
{
    struct hd_retry r;
    int64_t now = 1000;
    hd_retry_init(&r, now, 5000, 7);
    int64_t sum = 0;
    int64_t longest = 0;
    int tries = 0;
    for (int64_t pause; (pause = hd_retry_next(&r, now)) >= 0; tries++) {
        ATF_REQUIRE(pause > 0 && pause <= 250);
        longest = HD_MAX(longest, pause);
        sum += pause;
        now += pause;
    }
    ATF_CHECK_EQ(sum, 5000); /* the last pause ends with the budget, so one try comes at its end */
    ATF_CHECK(longest > 180);
    ATF_CHECK(tries >= 10);
}

ATF_TC_WITHOUT_HEAD(a_negative_budget_never_repeats);
ATF_TC_BODY(a_negative_budget_never_repeats, tc)
{
    struct hd_retry r;
    hd_retry_init(&r, 0, -1, 7);
    ATF_CHECK_EQ(hd_retry_next(&r, 0), -1);
}

ATF_TC_WITHOUT_HEAD(an_absence_is_waited_out_once);
ATF_TC_BODY(an_absence_is_waited_out_once, tc)
{
    struct hd_away a = {0};
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 60000, 1000), 60000);
    a = (struct hd_away){.since_ms = 1000, .seen_ms = 20000};
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 60000, 21000), 40000);
    a.seen_ms = 70000;
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 60000, 70000), HD_AWAY_LEAST_MS);
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 500, 70000), 500);
    ATF_CHECK_EQ(hd_away_budget_ms(&a, -1, 70000), -1);
    hd_away_note(&a, true, 71000);
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 60000, 71000), 60000);
}

ATF_TC_WITHOUT_HEAD(an_old_absence_is_forgotten);
ATF_TC_BODY(an_old_absence_is_forgotten, tc)
{
    struct hd_away a = {0};
    hd_away_note(&a, false, 1000);
    hd_away_note(&a, false, 3000);
    ATF_CHECK_EQ(a.since_ms, 1000);
    ATF_CHECK_EQ(hd_away_budget_ms(&a, 60000, 3000 + HD_AWAY_FORGOTTEN_MS + 1), 60000);
    hd_away_note(&a, false, 90000);
    ATF_CHECK_EQ(a.since_ms, 90000);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, answers_of_the_server_stand);
    ATF_TP_ADD_TC(tp, a_lost_connection_repeats_the_same_call);
    ATF_TP_ADD_TC(tp, a_busy_server_gets_a_new_call);
    ATF_TP_ADD_TC(tp, safe_mode_is_waited_for_on_request);
    ATF_TP_ADD_TC(tp, pauses_grow_to_a_quarter_second_and_end_with_the_budget);
    ATF_TP_ADD_TC(tp, a_negative_budget_never_repeats);
    ATF_TP_ADD_TC(tp, an_absence_is_waited_out_once);
    ATF_TP_ADD_TC(tp, an_old_absence_is_forgotten);
    return atf_no_error();
}
