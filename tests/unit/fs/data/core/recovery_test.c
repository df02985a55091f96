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

static int choose(struct hd_recovery_answer *a, int count, struct hd_recovery_choice *c)
{
    struct hd_recovery_order o = {.block_gs = gs, .truncate_bytes = UINT64_MAX};
    return hd_recovery_choose(a, count, &o, c);
}

static int choose_truncate(struct hd_recovery_answer *a, int count, uint64_t bytes,
                           struct hd_recovery_choice *c)
{
    struct hd_recovery_order o = {.block_gs = gs, .truncate_bytes = bytes};
    return hd_recovery_choose(a, count, &o, c);
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

ATF_TC_WITHOUT_HEAD(an_unfinished_replica_is_finished_under_its_own_stamp);
ATF_TC_BODY(an_unfinished_replica_is_finished_under_its_own_stamp, tc)
{
    struct hd_replica r = {.gs = gs, .state = HD_REPLICA_RBW};
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, gs.v), -HD_E_IO); /* its writer is at it */
    r.state = HD_REPLICA_RWR;
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, gs.v), 1);
    hd_replica_move(&r, HD_REPLICA_RUR);
    r.recovery_id = gs.v;
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, gs.v), 1); /* the order again */
    r.recovery_id = gs.v + 1;
    ATF_CHECK_EQ(hd_recovery_check(&r, gs, gs.v), -HD_E_RECOVERY);
}

ATF_TC_WITHOUT_HEAD(a_finalized_replica_decides_the_length);
ATF_TC_BODY(a_finalized_replica_decides_the_length, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_RBW, 900),
                                     answer(HD_REPLICA_FINALIZED, 1000),
                                     answer(HD_REPLICA_RBW, 1000)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.size_bytes == 1000 && c.parts == 2 && !c.delete_block);
    ATF_CHECK(!a[0].takes_part && a[1].takes_part && a[2].takes_part);
}

ATF_TC_WITHOUT_HEAD(what_a_power_cut_shortened_decides_nothing);
ATF_TC_BODY(what_a_power_cut_shortened_decides_nothing, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_FINALIZED, 600),
                                     answer(HD_REPLICA_FINALIZED, 1000),
                                     answer(HD_REPLICA_RWR, 700)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.size_bytes == 1000 && c.parts == 1 && a[1].takes_part);
    a[1] = answer(HD_REPLICA_RBW, 900); /* what it wrote goes beyond the finalized one */
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.size_bytes == 900 && c.parts == 1 && a[1].takes_part);
    a[0] = answer(HD_REPLICA_RWR, 600); /* all have stopped: the longest */
    a[1] = answer(HD_REPLICA_RWR, 800);
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.size_bytes == 800 && c.parts == 1 && a[1].takes_part);
}

ATF_TC_WITHOUT_HEAD(what_meta_was_told_is_not_undercut);
ATF_TC_BODY(what_meta_was_told_is_not_undercut, tc)
{
    struct hd_recovery_order o = {.block_gs = gs, .known_bytes = 800, .truncate_bytes = UINT64_MAX};
    struct hd_recovery_answer a[] = {
        answer(HD_REPLICA_FINALIZED, 700), {0}, answer(HD_REPLICA_RWR, 850)};
    struct hd_recovery_choice c;
    a[2].gs.v = gs.v + 1;
    ATF_CHECK_EQ(hd_recovery_choose(a, 3, &o, &c), -HD_E_IO); /* a silent one may have more */
    a[1].reached = true;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 3, &o, &c), 0);
    ATF_CHECK(c.size_bytes == 850 && c.parts == 1 && a[2].takes_part);
    a[2] = answer(HD_REPLICA_RWR, 600);
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 3, &o, &c), 0); /* nobody has: the most there is */
    ATF_CHECK(c.size_bytes == 700 && c.parts == 1 && a[0].takes_part);
}

ATF_TC_WITHOUT_HEAD(an_earlier_recovery_that_ended_on_one_node_has_decided);
ATF_TC_BODY(an_earlier_recovery_that_ended_on_one_node_has_decided, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_FINALIZED, 1000),
                                     answer(HD_REPLICA_FINALIZED, 600),
                                     answer(HD_REPLICA_FINALIZED, 1000)};
    struct hd_recovery_choice c;
    a[1].gs.v = gs.v + 1;
    ATF_REQUIRE_EQ(choose_truncate(a, 3, 600, &c), 0);
    ATF_CHECK(c.size_bytes == 600 && c.parts == 3); /* the longer ones can be cut */
}

ATF_TC_WITHOUT_HEAD(of_unfinished_replicas_the_shortest_wins);
ATF_TC_BODY(of_unfinished_replicas_the_shortest_wins, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_RBW, 900), answer(HD_REPLICA_RBW, 700),
                                     answer(HD_REPLICA_RWR, 100)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.size_bytes == 700 && c.parts == 2 && !a[2].takes_part);
    ATF_REQUIRE_EQ(choose(a + 2, 1, &c), 0);
    ATF_CHECK(c.size_bytes == 100 && c.parts == 1);
}

ATF_TC_WITHOUT_HEAD(a_block_that_nobody_has_is_deleted_but_silence_is_no_answer);
ATF_TC_BODY(a_block_that_nobody_has_is_deleted_but_silence_is_no_answer, tc)
{
    struct hd_recovery_answer a[] = {{.reached = true}, answer(HD_REPLICA_RBW, 0), {0}};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose(a, 2, &c), 0);
    ATF_CHECK(c.delete_block && c.parts == 0 && c.size_bytes == 0);
    ATF_CHECK_EQ(choose(a, 3, &c), -HD_E_IO);
    ATF_CHECK_EQ(choose(a + 2, 1, &c), -HD_E_IO);
}

ATF_TC_WITHOUT_HEAD(truncate_gives_the_length_and_cannot_make_it_longer);
ATF_TC_BODY(truncate_gives_the_length_and_cannot_make_it_longer, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_FINALIZED, 1000)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose_truncate(a, 1, 10, &c), 0);
    ATF_CHECK_EQ(c.size_bytes, 10);
    ATF_CHECK_EQ(choose_truncate(a, 1, 1001, &c), -HD_E_IO);
    struct hd_recovery_answer short_one[] = {answer(HD_REPLICA_FINALIZED, 5),
                                             answer(HD_REPLICA_FINALIZED, 1000),
                                             answer(HD_REPLICA_RWR, 900)};
    ATF_REQUIRE_EQ(choose_truncate(short_one, 3, 10, &c), 0);
    ATF_CHECK(c.parts == 2 && c.size_bytes == 10 && !short_one[0].takes_part);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_newer_recovery_takes_over_and_an_older_is_refused);
    ATF_TP_ADD_TC(tp, an_unfinished_replica_is_finished_under_its_own_stamp);
    ATF_TP_ADD_TC(tp, a_finalized_replica_decides_the_length);
    ATF_TP_ADD_TC(tp, what_a_power_cut_shortened_decides_nothing);
    ATF_TP_ADD_TC(tp, what_meta_was_told_is_not_undercut);
    ATF_TP_ADD_TC(tp, an_earlier_recovery_that_ended_on_one_node_has_decided);
    ATF_TP_ADD_TC(tp, of_unfinished_replicas_the_shortest_wins);
    ATF_TP_ADD_TC(tp, a_block_that_nobody_has_is_deleted_but_silence_is_no_answer);
    ATF_TP_ADD_TC(tp, truncate_gives_the_length_and_cannot_make_it_longer);
    return atf_no_error();
}
