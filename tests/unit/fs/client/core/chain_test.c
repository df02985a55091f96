/* Decisions about a broken chain. */
#include "fs/client/core/chain.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(an_ack_blames_the_first_node_that_failed);
ATF_TC_BODY(an_ack_blames_the_first_node_that_failed, tc)
{
    static const int32_t fine[] = {0, 0, 0};
    static const int32_t second[] = {0, 1};
    static const int32_t third[] = {0, 0, 2};
    struct hd_ack a = {.replies = fine, .reply_count = 3};
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 3), -1);
    a = (struct hd_ack){.seqno = -2, .replies = second, .reply_count = 2};
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 3), 1);
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 1), -1); /* no such node any more */
    a = (struct hd_ack){.replies = third, .reply_count = 3};
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 3), 2);
    ATF_CHECK_EQ(hd_ack_status(&a, 2), (uint32_t)HD_ACK_ERROR_CHECKSUM);
}

ATF_TC_WITHOUT_HEAD(flags_speak_louder_than_replies);
ATF_TC_BODY(flags_speak_louder_than_replies, tc)
{
    static const int32_t replies[] = {0, 0};
    static const uint32_t flags[] = {0x80, 0x81}; /* slow but fine; slow and failed */
    struct hd_ack a = {.replies = replies, .reply_count = 2, .flags = flags, .flag_count = 2};
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 2), 1);
    a.flag_count = 1; /* counts that do not agree: not to be used */
    ATF_CHECK_EQ(hd_ack_bad_node(&a, 2), -1);
}

ATF_TC_WITHOUT_HEAD(a_fresh_block_begins_anew);
ATF_TC_BODY(a_fresh_block_begins_anew, tc)
{
    struct hd_chain_state s = {.stage = HD_CHAIN_STREAM, .fresh = true, .node_count = 0};
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_RESTART);
    s.flushed = true; /* readers were promised these bytes */
    s.node_count = 2;
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_RECOVER);
}

ATF_TC_WITHOUT_HEAD(a_chain_without_nodes_or_progress_is_given_up);
ATF_TC_BODY(a_chain_without_nodes_or_progress_is_given_up, tc)
{
    struct hd_chain_state s = {.stage = HD_CHAIN_STREAM, .node_count = 1};
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_RECOVER);
    s.recoveries = HD_CHAIN_RECOVERIES_MAX;
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_GIVE_UP);
    s.recoveries = 1;
    s.node_count = 0;
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_GIVE_UP);
}

ATF_TC_WITHOUT_HEAD(a_closing_chain_is_finished);
ATF_TC_BODY(a_closing_chain_is_finished, tc)
{
    struct hd_chain_state s = {.stage = HD_CHAIN_CLOSE, .node_count = 1, .flushed = true};
    ATF_CHECK_EQ(hd_chain_plan_of(&s), HD_CHAIN_FINISH);
}

/* HDFS's rule: r >= 3 and (n <= r/2, or appended or flushed and n < r). */
ATF_TC_WITHOUT_HEAD(nodes_are_replaced_by_the_default_policy);
ATF_TC_BODY(nodes_are_replaced_by_the_default_policy, tc)
{
    static const struct {
        uint32_t replication, nodes;
        bool flushed, want;
    } rows[] = {
        {3, 2, false, false}, {3, 1, false, true},  {3, 2, true, true},
        {3, 3, true, false},  {2, 1, true, false},  {1, 0, true, false},
        {4, 2, false, true},  {4, 3, false, false}, {3, 0, true, false},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        struct hd_chain_state s = {.stage = HD_CHAIN_STREAM,
                                   .replication = rows[i].replication,
                                   .node_count = rows[i].nodes,
                                   .flushed = rows[i].flushed};
        ATF_CHECK_EQ_MSG(hd_chain_wants_node(&s), rows[i].want, "row %zu", i);
        s.stage = HD_CHAIN_CLOSE;
        ATF_CHECK(!hd_chain_wants_node(&s));
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_ack_blames_the_first_node_that_failed);
    ATF_TP_ADD_TC(tp, flags_speak_louder_than_replies);
    ATF_TP_ADD_TC(tp, a_fresh_block_begins_anew);
    ATF_TP_ADD_TC(tp, a_chain_without_nodes_or_progress_is_given_up);
    ATF_TP_ADD_TC(tp, a_closing_chain_is_finished);
    ATF_TP_ADD_TC(tp, nodes_are_replaced_by_the_default_policy);
    return atf_no_error();
}
