/* Node memory and the order of replicas. */
#include "fs/client/core/health.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(a_failed_node_is_suspect_for_a_while);
ATF_TC_BODY(a_failed_node_is_suspect_for_a_while, tc)
{
    static struct hd_health h;
    ATF_CHECK(!hd_health_suspect(&h, "a", 0));
    hd_health_failed(&h, "a", 1000);
    ATF_CHECK(hd_health_suspect(&h, "a", 1001));
    ATF_CHECK(!hd_health_suspect(&h, "b", 1001));
    ATF_CHECK(hd_health_suspect(&h, "a", 2999));
    ATF_CHECK(!hd_health_suspect(&h, "a", 3000));
}

ATF_TC_WITHOUT_HEAD(failing_again_doubles_the_time);
ATF_TC_BODY(failing_again_doubles_the_time, tc)
{
    static struct hd_health h;
    int64_t now = 0;
    int64_t last = 0;
    for (int i = 0; i < 8; i++) {
        hd_health_failed(&h, "a", now);
        int64_t until = now;
        while (hd_health_suspect(&h, "a", until)) {
            until += 100;
        }
        ATF_REQUIRE(until - now >= last && until - now <= 30000);
        last = until - now;
        now = until;
    }
    ATF_CHECK_EQ(last, 30000);
}

ATF_TC_WITHOUT_HEAD(many_readers_of_one_failure_count_once);
ATF_TC_BODY(many_readers_of_one_failure_count_once, tc)
{
    static struct hd_health h;
    for (int i = 0; i < 10; i++) {
        hd_health_failed(&h, "a", 1000 + i);
    }
    ATF_CHECK(!hd_health_suspect(&h, "a", 3010));
}

ATF_TC_WITHOUT_HEAD(serving_clears_the_name);
ATF_TC_BODY(serving_clears_the_name, tc)
{
    static struct hd_health h;
    hd_health_failed(&h, "a", 1000);
    hd_health_served(&h, "a");
    ATF_CHECK(!hd_health_suspect(&h, "a", 1001));
}

ATF_TC_WITHOUT_HEAD(a_full_table_forgets_the_oldest);
ATF_TC_BODY(a_full_table_forgets_the_oldest, tc)
{
    static struct hd_health h;
    char key[8];
    for (int i = 0; i <= HD_HEALTH_NODES_MAX; i++) {
        snprintf(key, sizeof(key), "n%d", i);
        hd_health_failed(&h, key, 1000 + i);
    }
    ATF_CHECK(!hd_health_suspect(&h, "n0", 1100));
    ATF_CHECK(hd_health_suspect(&h, "n1", 1100));
    ATF_CHECK(hd_health_suspect(&h, "n64", 1100));
}

ATF_TC_WITHOUT_HEAD(replicas_are_tried_trusted_then_local_then_in_order);
ATF_TC_BODY(replicas_are_tried_trusted_then_local_then_in_order, tc)
{
    struct hd_candidate c[] = {
        {.suspect = true, .local = true}, {.local = false}, {.local = true}, {.local = false}};
    static const int want[] = {2, 1, 3, 0, -1};
    for (size_t i = 0; i < HD_ARRAY_COUNT(want); i++) {
        int got = hd_candidate_choose(c, HD_ARRAY_COUNT(c));
        ATF_REQUIRE_EQ(got, want[i]);
        if (got >= 0) {
            c[got].failed = true;
        }
    }
    ATF_CHECK_EQ(hd_candidate_choose(c, 0), -1);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_failed_node_is_suspect_for_a_while);
    ATF_TP_ADD_TC(tp, failing_again_doubles_the_time);
    ATF_TP_ADD_TC(tp, many_readers_of_one_failure_count_once);
    ATF_TP_ADD_TC(tp, serving_clears_the_name);
    ATF_TP_ADD_TC(tp, a_full_table_forgets_the_oldest);
    ATF_TP_ADD_TC(tp, replicas_are_tried_trusted_then_local_then_in_order);
    return atf_no_error();
}
