/* Block recovery: who may begin one, and which length wins. */
#include "fs/data/core/recovery.h"
#include "fs/base/error.h"

#include <atf-c.h>

static const struct hd_genstamp gs = {1001};

static struct hd_recovery_answer answer(enum hd_replica_state state, uint64_t size)
{
    return (struct hd_recovery_answer){
        .reached = true, .found = true, .state = state, .gs = gs, .size_bytes = size};
}

ATF_TC_WITHOUT_HEAD(a_newer_recovery_takes_over_and_an_older_is_refused);
ATF_TC_BODY(a_newer_recovery_takes_over_and_an_older_is_refused, tc)
{
    struct hd_replica r = {.gs = gs, .state = HD_REPLICA_RBW};
    ATF_CHECK_EQ(hd_recovery_check(NULL, gs, 1002), 0);
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, 1002), 1);
    ATF_CHECK_EQ(hd_recovery_check(&r, (struct hd_genstamp){1002}, 1003), 0);
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, 1001), -HD_E_IO);
    hd_replica_move(&r, HD_REPLICA_RUR);
    r.recovery_id = 1005;
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, 1005), -HD_E_RECOVERY);
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, 1006), 1);
    r.state = HD_REPLICA_TEMPORARY;
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, 1006), 0);
}

ATF_TC_WITHOUT_HEAD(a_finalized_replica_decides_the_length);
ATF_TC_BODY(a_finalized_replica_decides_the_length, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_RBW, 900),
                                     answer(HD_REPLICA_FINALIZED, 1000),
                                     answer(HD_REPLICA_RBW, 1000)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 3, gs, UINT64_MAX, &c), 0);
    ATF_CHECK(c.size_bytes == 1000 && c.parts == 2 && !c.delete_block);
    ATF_CHECK(!a[0].takes_part && a[1].takes_part && a[2].takes_part);
    a[0] = answer(HD_REPLICA_FINALIZED, 999);
    ATF_CHECK_EQ(hd_recovery_choose(a, 3, gs, UINT64_MAX, &c), -HD_E_IO);
}

ATF_TC_WITHOUT_HEAD(an_earlier_recovery_that_ended_on_one_node_has_decided);
ATF_TC_BODY(an_earlier_recovery_that_ended_on_one_node_has_decided, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_FINALIZED, 1000),
                                     answer(HD_REPLICA_FINALIZED, 600),
                                     answer(HD_REPLICA_FINALIZED, 1000)};
    struct hd_recovery_choice c;
    a[1].gs.v = gs.v + 1;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 3, gs, 600, &c), 0);
    ATF_CHECK(c.size_bytes == 600 && c.parts == 1 && a[1].takes_part);
}

ATF_TC_WITHOUT_HEAD(of_unfinished_replicas_the_shortest_wins);
ATF_TC_BODY(of_unfinished_replicas_the_shortest_wins, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_RBW, 900), answer(HD_REPLICA_RBW, 700),
                                     answer(HD_REPLICA_RWR, 100)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 3, gs, UINT64_MAX, &c), 0);
    ATF_CHECK(c.size_bytes == 700 && c.parts == 2 && !a[2].takes_part);
    ATF_REQUIRE_EQ(hd_recovery_choose(a + 2, 1, gs, UINT64_MAX, &c), 0);
    ATF_CHECK(c.size_bytes == 100 && c.parts == 1);
}

ATF_TC_WITHOUT_HEAD(a_block_that_nobody_has_is_deleted_but_silence_is_no_answer);
ATF_TC_BODY(a_block_that_nobody_has_is_deleted_but_silence_is_no_answer, tc)
{
    struct hd_recovery_answer a[] = {{.reached = true}, answer(HD_REPLICA_RBW, 0), {0}};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 2, gs, UINT64_MAX, &c), 0);
    ATF_CHECK(c.delete_block && c.parts == 0 && c.size_bytes == 0);
    ATF_CHECK_EQ(hd_recovery_choose(a, 3, gs, UINT64_MAX, &c), -HD_E_IO);
    ATF_CHECK_EQ(hd_recovery_choose(a + 2, 1, gs, UINT64_MAX, &c), -HD_E_IO);
}

ATF_TC_WITHOUT_HEAD(truncate_gives_the_length_and_cannot_make_it_longer);
ATF_TC_BODY(truncate_gives_the_length_and_cannot_make_it_longer, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_FINALIZED, 1000)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 1, gs, 10, &c), 0);
    ATF_CHECK_EQ(c.size_bytes, 10);
    ATF_CHECK_EQ(hd_recovery_choose(a, 1, gs, 1001, &c), -HD_E_IO);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_newer_recovery_takes_over_and_an_older_is_refused);
    ATF_TP_ADD_TC(tp, a_finalized_replica_decides_the_length);
    ATF_TP_ADD_TC(tp, an_earlier_recovery_that_ended_on_one_node_has_decided);
    ATF_TP_ADD_TC(tp, of_unfinished_replicas_the_shortest_wins);
    ATF_TP_ADD_TC(tp, a_block_that_nobody_has_is_deleted_but_silence_is_no_answer);
    ATF_TP_ADD_TC(tp, truncate_gives_the_length_and_cannot_make_it_longer);
    return atf_no_error();
}
