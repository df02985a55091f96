/* How long a reader waits before it asks another replica. */
#include "fs/client/core/patience.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(a_fast_cluster_is_waited_for_a_fifth_of_a_second);
ATF_TC_BODY(a_fast_cluster_is_waited_for_a_fifth_of_a_second, tc)
{
    struct hd_patience p = {0};
    ATF_CHECK_EQ(hd_patience_ms(&p), HD_PATIENCE_MIN_MS);
    for (int i = 0; i < 100; i++) {
        hd_patience_note(&p, 3);
    }
    ATF_CHECK_EQ(hd_patience_ms(&p), HD_PATIENCE_MIN_MS);
    ATF_CHECK_EQ(hd_patience_stream_ms(&p), 2 * HD_PATIENCE_MIN_MS);
}

ATF_TC_WITHOUT_HEAD(a_slow_cluster_is_given_time_up_to_a_ceiling);
ATF_TC_BODY(a_slow_cluster_is_given_time_up_to_a_ceiling, tc)
{
    struct hd_patience p = {0};
    for (int i = 0; i < 100; i++) {
        hd_patience_note(&p, 100);
    }
    ATF_CHECK(hd_patience_ms(&p) > 350 && hd_patience_ms(&p) <= 400);
    for (int i = 0; i < 100; i++) {
        hd_patience_note(&p, 60000);
    }
    ATF_CHECK_EQ(hd_patience_ms(&p), HD_PATIENCE_MAX_MS);
    ATF_CHECK_EQ(hd_patience_stream_ms(&p), HD_PATIENCE_MAX_MS);
}

ATF_TC_WITHOUT_HEAD(one_late_answer_changes_little);
ATF_TC_BODY(one_late_answer_changes_little, tc)
{
    struct hd_patience p = {0};
    hd_patience_note(&p, 300);
    ATF_CHECK_EQ(hd_patience_ms(&p), HD_PATIENCE_MIN_MS);
    hd_patience_note(&p, -5);
    ATF_CHECK_EQ(hd_patience_ms(&p), HD_PATIENCE_MIN_MS);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_fast_cluster_is_waited_for_a_fifth_of_a_second);
    ATF_TP_ADD_TC(tp, a_slow_cluster_is_given_time_up_to_a_ceiling);
    ATF_TP_ADD_TC(tp, one_late_answer_changes_little);
    return atf_no_error();
}
