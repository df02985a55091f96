/* Tests of the balancer's arithmetic. */
#include "tools/balancer_plan.h"

#include <atf-c.h>

static struct hd_balance_node node(const char *uuid, const char *rack, uint64_t capacity,
                                   uint64_t used)
{
    return (struct hd_balance_node){uuid, uuid, rack, capacity, used, capacity - used};
}

static struct hd_balance_plan plan_of(struct hd_balance_node *nodes, size_t count, double threshold)
{
    struct hd_balance_plan p;
    ATF_REQUIRE(hd_balance_plan(nodes, count, threshold, UINT64_MAX, &p) == 0);
    return p;
}

ATF_TC_WITHOUT_HEAD(a_node_within_the_threshold_is_left_alone);
ATF_TC_BODY(a_node_within_the_threshold_is_left_alone, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/r", 1000, 550), node("b", "/r", 1000, 450)};
    struct hd_balance_plan p = plan_of(nodes, 2, 10);
    ATF_CHECK(p.average > 49.9 && p.average < 50.1);
    ATF_CHECK_EQ(p.over + p.under, 0);
    ATF_CHECK_EQ(p.pair_count, 0);
    ATF_CHECK_EQ(p.bytes_left, 0);
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(an_empty_node_takes_from_all_that_are_fuller);
ATF_TC_BODY(an_empty_node_takes_from_all_that_are_fuller, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/r", 1000, 800), node("b", "/r", 1000, 800),
                                      node("c", "/r", 1000, 800), node("d", "/r", 1000, 0)};
    struct hd_balance_plan p = plan_of(nodes, 4, 10);
    uint64_t sum = 0;
    ATF_CHECK_EQ(p.over, 3);
    ATF_CHECK_EQ(p.under, 1);
    for (size_t i = 0; i < p.pair_count; i++) {
        ATF_CHECK_EQ(p.pairs[i].target, 3);
        ATF_CHECK_EQ(p.pairs[i].bytes, 200);
        sum += p.pairs[i].bytes;
    }
    ATF_CHECK_EQ(sum, 600);
    ATF_CHECK_EQ(p.bytes_left, 500); /* what brings the empty one up to 50 percent */
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(percents_count_and_not_bytes);
ATF_TC_BODY(percents_count_and_not_bytes, tc)
{
    struct hd_balance_node nodes[] = {node("small", "/r", 100, 50), node("large", "/r", 1000, 500)};
    struct hd_balance_plan p = plan_of(nodes, 2, 1);
    ATF_CHECK_EQ(p.pair_count, 0);
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(a_rack_balances_itself_first);
ATF_TC_BODY(a_rack_balances_itself_first, tc)
{
    struct hd_balance_node nodes[] = {node("a1", "/a", 1000, 900), node("b1", "/b", 1000, 900),
                                      node("b2", "/b", 1000, 100), node("a2", "/a", 1000, 100)};
    struct hd_balance_plan p = plan_of(nodes, 4, 10);
    ATF_REQUIRE_EQ(p.pair_count, 2);
    ATF_CHECK(p.pairs[0].source == 0 && p.pairs[0].target == 3);
    ATF_CHECK(p.pairs[1].source == 1 && p.pairs[1].target == 2);
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(what_one_node_moves_in_a_round_is_bounded);
ATF_TC_BODY(what_one_node_moves_in_a_round_is_bounded, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/r", 1000, 900), node("b", "/r", 1000, 100)};
    struct hd_balance_plan p;
    ATF_REQUIRE(hd_balance_plan(nodes, 2, 10, 50, &p) == 0);
    ATF_REQUIRE_EQ(p.pair_count, 1);
    ATF_CHECK_EQ(p.pairs[0].bytes, 50);
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(a_block_goes_where_it_is_not_and_where_it_helps);
ATF_TC_BODY(a_block_goes_where_it_is_not_and_where_it_helps, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/r", 1000, 600), node("b", "/r", 1000, 400),
                                      node("c", "/r", 1000, 0)};
    struct hd_balance_plan p = plan_of(nodes, 3, 10);
    struct hd_balance_pair pair = {0, 1, 100};
    char *on_a[] = {(char *)"a", (char *)"c"};
    char *on_both[] = {(char *)"a", (char *)"b"};
    char *elsewhere[] = {(char *)"c"};
    char *unknown[] = {(char *)"a", (char *)"gone"};
    ATF_CHECK(hd_balance_may_move(&p, &pair, on_a, 2, 100));
    ATF_CHECK(!hd_balance_may_move(&p, &pair, on_both, 2, 100));
    ATF_CHECK(!hd_balance_may_move(&p, &pair, elsewhere, 1, 100));
    ATF_CHECK(!hd_balance_may_move(&p, &pair, unknown, 2, 100));
    ATF_CHECK(!hd_balance_may_move(&p, &pair, on_a, 2, 200)); /* it would only change sides */
    hd_balance_take(&p, &pair, 60);
    ATF_CHECK_EQ(pair.bytes, 40);
    ATF_CHECK_EQ(nodes[0].used_bytes, 540);
    ATF_CHECK_EQ(nodes[1].used_bytes, 460);
    ATF_CHECK(!hd_balance_may_move(&p, &pair, on_a, 2, 100));
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(no_move_costs_a_rack);
ATF_TC_BODY(no_move_costs_a_rack, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/a", 1000, 900), node("a2", "/a", 1000, 500),
                                      node("b", "/b", 1000, 100), node("b2", "/b", 1000, 100),
                                      node("c", "/c", 1000, 100)};
    struct hd_balance_plan p = plan_of(nodes, 5, 10);
    struct hd_balance_pair to_b = {0, 2, 100};
    struct hd_balance_pair to_c = {0, 4, 100};
    char *a_and_b2[] = {(char *)"a", (char *)"b2"};
    char *a_and_a2[] = {(char *)"a", (char *)"a2"};
    char *alone[] = {(char *)"a"};
    ATF_CHECK(!hd_balance_may_move(&p, &to_b, a_and_b2, 2, 10));
    ATF_CHECK(hd_balance_may_move(&p, &to_c, a_and_b2, 2, 10));
    ATF_CHECK(hd_balance_may_move(&p, &to_b, a_and_a2, 2, 10));
    ATF_CHECK(hd_balance_may_move(&p, &to_b, alone, 1, 10));
    hd_balance_plan_done(&p);
}

ATF_TC_WITHOUT_HEAD(a_cluster_without_space_or_nodes_is_balanced);
ATF_TC_BODY(a_cluster_without_space_or_nodes_is_balanced, tc)
{
    struct hd_balance_node nodes[] = {node("a", "/r", 0, 0), node("b", "/r", 0, 0)};
    struct hd_balance_plan p = plan_of(nodes, 2, 10);
    ATF_CHECK_EQ(p.over + p.under + p.pair_count, 0);
    hd_balance_plan_done(&p);
    p = plan_of(NULL, 0, 10);
    ATF_CHECK_EQ(p.over + p.under + p.pair_count, 0);
    hd_balance_plan_done(&p);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_node_within_the_threshold_is_left_alone);
    ATF_TP_ADD_TC(tp, an_empty_node_takes_from_all_that_are_fuller);
    ATF_TP_ADD_TC(tp, percents_count_and_not_bytes);
    ATF_TP_ADD_TC(tp, a_rack_balances_itself_first);
    ATF_TP_ADD_TC(tp, what_one_node_moves_in_a_round_is_bounded);
    ATF_TP_ADD_TC(tp, a_block_goes_where_it_is_not_and_where_it_helps);
    ATF_TP_ADD_TC(tp, no_move_costs_a_rack);
    ATF_TP_ADD_TC(tp, a_cluster_without_space_or_nodes_is_balanced);
    return atf_no_error();
}
