/* When the replicas of a finished block are durable enough. */
#include "fs/client/core/durable.h"

#include <atf-c.h>

/* A letter a replica: P pending, D done, G gone, F failed. */
static enum hd_sync_verdict judge(int64_t waited_ms, const char *letters)
{
    enum hd_replica_sync r[8];
    size_t count = strlen(letters);
    for (size_t i = 0; i < count; i++) {
        r[i] = letters[i] == 'D'   ? HD_SYNC_DONE
               : letters[i] == 'G' ? HD_SYNC_GONE
               : letters[i] == 'F' ? HD_SYNC_FAILED
                                   : HD_SYNC_PENDING;
    }
    return hd_sync_judge(r, count, waited_ms);
}

ATF_TC_WITHOUT_HEAD(every_replica_is_durable);
ATF_TC_BODY(every_replica_is_durable, tc)
{
    ATF_CHECK_EQ(judge(0, "DDD"), HD_SYNC_DURABLE);
    ATF_CHECK_EQ(judge(0, "D"), HD_SYNC_DURABLE);
    ATF_CHECK_EQ(judge(0, ""), HD_SYNC_AGAIN);
}

ATF_TC_WITHOUT_HEAD(one_synced_replica_is_not_enough_beside_others);
ATF_TC_BODY(one_synced_replica_is_not_enough_beside_others, tc)
{
    ATF_CHECK_EQ(judge(0, "DPP"), HD_SYNC_WAIT);
    ATF_CHECK_EQ(judge(9000, "DPP"), HD_SYNC_WAIT);
    ATF_CHECK_EQ(judge(0, "DGG"), HD_SYNC_AGAIN);
}

ATF_TC_WITHOUT_HEAD(a_dead_node_is_left_out_beside_two_good_ones);
ATF_TC_BODY(a_dead_node_is_left_out_beside_two_good_ones, tc)
{
    ATF_CHECK_EQ(judge(0, "DGD"), HD_SYNC_DURABLE);
    ATF_CHECK_EQ(judge(HD_SYNC_SILENCE_MS - 1, "DPD"), HD_SYNC_WAIT);
    ATF_CHECK_EQ(judge(HD_SYNC_SILENCE_MS, "DPD"), HD_SYNC_DURABLE);
}

ATF_TC_WITHOUT_HEAD(a_live_node_that_failed_is_not_left_out);
ATF_TC_BODY(a_live_node_that_failed_is_not_left_out, tc)
{
    ATF_CHECK_EQ(judge(0, "DFD"), HD_SYNC_AGAIN);
    ATF_CHECK_EQ(judge(0, "F"), HD_SYNC_AGAIN);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_replica_is_durable);
    ATF_TP_ADD_TC(tp, one_synced_replica_is_not_enough_beside_others);
    ATF_TP_ADD_TC(tp, a_dead_node_is_left_out_beside_two_good_ones);
    ATF_TP_ADD_TC(tp, a_live_node_that_failed_is_not_left_out);
    return atf_no_error();
}
