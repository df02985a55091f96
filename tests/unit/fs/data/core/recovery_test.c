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

/* --- replicas that were overwritten --- */

static const uint64_t mib = HD_DIRTY_REGION_BYTES;

static struct hd_recovery_answer overwritten(enum hd_replica_state state, uint64_t size,
                                             uint64_t since, uint64_t region)
{
    struct hd_recovery_answer a = answer(state, size);
    a.overwritten = true;
    a.since.v = since;
    ATF_REQUIRE(hd_dirty_add(&a.dirty, region * mib, region * mib + 1) == 1);
    return a;
}

static void done(struct hd_recovery_answer *a, int count, struct hd_recovery_choice *c)
{
    for (int i = 0; i < count; i++) {
        hd_recovery_answer_done(&a[i]);
    }
    hd_recovery_choice_done(c);
}

ATF_TC_WITHOUT_HEAD(the_longest_that_kept_its_power_gives_the_dirty_regions_of_all);
ATF_TC_BODY(the_longest_that_kept_its_power_gives_the_dirty_regions_of_all, tc)
{
    struct hd_recovery_answer a[] = {overwritten(HD_REPLICA_RBW, 900, 1001, 0),
                                     overwritten(HD_REPLICA_RWR, 1000, 1001, 3),
                                     overwritten(HD_REPLICA_RWR, 2000, 900, 7)};
    struct hd_recovery_choice c;
    a[2].doubtful = true;
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.resync && !c.whole && c.source == 1 && c.size_bytes == 1000 && c.parts == 3);
    ATF_CHECK(hd_dirty_has(&c.dirty, 0, 1) && hd_dirty_has(&c.dirty, 3 * mib, 3 * mib + 1) &&
              hd_dirty_has(&c.dirty, 7 * mib, 7 * mib + 1));
    ATF_CHECK(!hd_dirty_has(&c.dirty, mib, mib + 1));
    done(a, 3, &c);
}

ATF_TC_WITHOUT_HEAD(a_log_that_is_younger_than_a_stamp_does_not_tell_all);
ATF_TC_BODY(a_log_that_is_younger_than_a_stamp_does_not_tell_all, tc)
{
    struct hd_recovery_answer a[] = {overwritten(HD_REPLICA_RBW, 900, 1002, 0),
                                     overwritten(HD_REPLICA_RBW, 900, 1001, 3)};
    struct hd_recovery_choice c;
    a[0].gs.v = 1002; /* set up here, and not there: cleaned before */
    ATF_REQUIRE_EQ(choose(a, 2, &c), 0);
    ATF_CHECK(c.whole && c.source == 0);
    done(a, 2, &c);
}

ATF_TC_WITHOUT_HEAD(without_a_log_every_byte_is_fetched);
ATF_TC_BODY(without_a_log_every_byte_is_fetched, tc)
{
    struct hd_recovery_answer a[] = {overwritten(HD_REPLICA_RBW, 900, 1001, 0),
                                     answer(HD_REPLICA_FINALIZED, 900),
                                     answer(HD_REPLICA_RWR, 900)};
    struct hd_recovery_choice c;
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.resync && c.whole && c.parts == 3 && c.source == 1);
    done(a, 3, &c);
}

ATF_TC_WITHOUT_HEAD(when_all_lost_power_nobody_may_be_silent);
ATF_TC_BODY(when_all_lost_power_nobody_may_be_silent, tc)
{
    struct hd_recovery_answer a[] = {overwritten(HD_REPLICA_RWR, 900, 1001, 0),
                                     overwritten(HD_REPLICA_RWR, 1000, 1001, 1),
                                     {.reached = false}};
    struct hd_recovery_choice c;
    a[0].doubtful = a[1].doubtful = true;
    ATF_CHECK_EQ(choose(a, 3, &c), -HD_E_IO);
    hd_recovery_choice_done(&c);
    ATF_REQUIRE_EQ(choose(a, 2, &c), 0);
    ATF_CHECK(c.source == 1 && c.size_bytes == 1000 && c.parts == 2);
    hd_recovery_choice_done(&c);
    a[0].doubtful = false; /* it has all that was acknowledged */
    ATF_REQUIRE_EQ(choose(a, 3, &c), 0);
    ATF_CHECK(c.source == 0 && c.size_bytes == 900);
    done(a, 3, &c);
}

ATF_TC_WITHOUT_HEAD(an_order_to_overwrite_grows_what_is_too_short);
ATF_TC_BODY(an_order_to_overwrite_grows_what_is_too_short, tc)
{
    struct hd_recovery_answer a[] = {answer(HD_REPLICA_RBW, 0), answer(HD_REPLICA_RBW, 500)};
    struct hd_recovery_choice c;
    struct hd_recovery_order o = {
        .block_gs = gs, .known_bytes = 800, .truncate_bytes = UINT64_MAX, .overwrite = true};
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 2, &o, &c), 0);
    ATF_CHECK(c.resync && c.whole && c.size_bytes == 800 && c.source == 1 && c.parts == 2);
    hd_recovery_choice_done(&c);
    o.truncate_bytes = 1000;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 2, &o, &c), 0);
    ATF_CHECK_EQ(c.size_bytes, 1000);
    hd_recovery_choice_done(&c);
    o.truncate_bytes = 100;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 2, &o, &c), 0);
    ATF_CHECK_EQ(c.size_bytes, 100);
    hd_recovery_choice_done(&c);
    o = (struct hd_recovery_order){.block_gs = gs, .truncate_bytes = UINT64_MAX, .overwrite = true};
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 1, &o, &c), 0);
    ATF_CHECK(c.delete_block && !c.resync);
    hd_recovery_choice_done(&c);
    a[0].found = a[1].found = false;
    o.known_bytes = 5;
    ATF_REQUIRE_EQ(hd_recovery_choose(a, 2, &o, &c), 0);
    ATF_CHECK(c.delete_block);
    hd_recovery_choice_done(&c);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_longest_that_kept_its_power_gives_the_dirty_regions_of_all);
    ATF_TP_ADD_TC(tp, a_log_that_is_younger_than_a_stamp_does_not_tell_all);
    ATF_TP_ADD_TC(tp, without_a_log_every_byte_is_fetched);
    ATF_TP_ADD_TC(tp, when_all_lost_power_nobody_may_be_silent);
    ATF_TP_ADD_TC(tp, an_order_to_overwrite_grows_what_is_too_short);
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
