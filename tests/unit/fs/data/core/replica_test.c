/* What a write set-up may do to a replica, stage by stage. */
#include "fs/data/core/replica.h"
#include "fs/base/error.h"

#include <atf-c.h>

static struct hd_replica replica(enum hd_replica_state state, uint64_t gs, uint64_t size,
                                 uint64_t acked)
{
    return (struct hd_replica){
        .id = {1}, .gs = {gs}, .state = state, .size_bytes = size, .acked_bytes = acked};
}

static struct hd_write_setup setup(enum hd_write_stage stage, uint64_t gs, uint64_t new_gs,
                                   uint64_t min, uint64_t max)
{
    return (struct hd_write_setup){.stage = stage,
                                   .id = {1},
                                   .gs = {gs},
                                   .new_gs = {new_gs},
                                   .min_bytes = min,
                                   .max_bytes = max};
}

ATF_TC_WITHOUT_HEAD(a_new_block_is_created_in_rbw_and_a_copy_in_tmp);
ATF_TC_BODY(a_new_block_is_created_in_rbw_and_a_copy_in_tmp, tc)
{
    struct hd_write_setup s = setup(HD_STAGE_CREATE, 1001, 0, 0, 0);
    struct hd_write_plan p;
    ATF_REQUIRE_EQ(hd_write_plan(NULL, &s, &p), 0);
    ATF_CHECK(p.create && !p.temporary && p.gs.v == 1001);
    s.from_node = true;
    ATF_REQUIRE_EQ(hd_write_plan(NULL, &s, &p), 0);
    ATF_CHECK(p.create && p.temporary);
    s = setup(HD_STAGE_TRANSFER_RBW, 1001, 0, 0, 0);
    ATF_REQUIRE_EQ(hd_write_plan(NULL, &s, &p), 0);
    ATF_CHECK(p.create && p.temporary);
}

ATF_TC_WITHOUT_HEAD(create_refuses_what_exists_but_a_copy_replaces_a_torso);
ATF_TC_BODY(create_refuses_what_exists_but_a_copy_replaces_a_torso, tc)
{
    struct hd_write_setup s = setup(HD_STAGE_CREATE, 1002, 0, 0, 0);
    struct hd_write_plan p;
    struct hd_replica r = replica(HD_REPLICA_FINALIZED, 1001, 10, 10);
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_REPLICA_EXISTS);
    s.from_node = true;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_REPLICA_EXISTS);
    r = replica(HD_REPLICA_TEMPORARY, 1002, 10, 0);
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.create && p.discard);
    r = replica(HD_REPLICA_RWR, 1001, 10, 10);
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.discard);
    r = replica(HD_REPLICA_RBW, 1002, 10, 10);
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_REPLICA_EXISTS);
}

ATF_TC_WITHOUT_HEAD(append_wants_exactly_the_replica_the_client_saw);
ATF_TC_BODY(append_wants_exactly_the_replica_the_client_saw, tc)
{
    struct hd_replica r = replica(HD_REPLICA_FINALIZED, 1001, 1000, 1000);
    struct hd_write_setup s = setup(HD_STAGE_APPEND, 1001, 1005, 1000, 1000);
    struct hd_write_plan p;
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.reopen && !p.create && p.keep_bytes == 1000 && p.gs.v == 1005);
    s.min_bytes = 7;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    s = setup(HD_STAGE_APPEND, 1000, 1005, 1000, 1000);
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    s = setup(HD_STAGE_APPEND, 1001, 1, 1000, 1000);
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    s = setup(HD_STAGE_APPEND, 1001, 0, 1000, 1000); /* clients that do not ask for a new stamp */
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK_EQ(p.gs.v, 1001);
    r.state = HD_REPLICA_RBW;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    ATF_CHECK_EQ(hd_write_plan(NULL, &s, &p), -HD_E_REPLICA_NOT_FOUND);
}

ATF_TC_WITHOUT_HEAD(streaming_recovery_keeps_what_was_acknowledged);
ATF_TC_BODY(streaming_recovery_keeps_what_was_acknowledged, tc)
{
    struct hd_replica r = replica(HD_REPLICA_RBW, 1001, 5000, 3000);
    struct hd_write_setup s = setup(HD_STAGE_STREAMING_RECOVERY, 1001, 1002, 2000, 6000);
    struct hd_write_plan p;
    ATF_CHECK(hd_write_stage_stops_writer(s.stage));
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(!p.reopen && !p.finalize && p.keep_bytes == 3000 && p.gs.v == 1002);
    s.min_bytes = 3001; /* the client knows of more than this node acknowledged */
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    s.min_bytes = 0;
    s.max_bytes = 2999; /* and never sent as much as is here */
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    s.max_bytes = 6000;
    r.gs.v = 1003;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    r = replica(HD_REPLICA_FINALIZED, 1001, 5000, 5000);
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
    r = replica(HD_REPLICA_RWR, 1001, 5000, 5000); /* the node was restarted in between */
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK_EQ(p.keep_bytes, 0);
}

ATF_TC_WITHOUT_HEAD(close_recovery_finalizes_rbw_and_finalized_alike);
ATF_TC_BODY(close_recovery_finalizes_rbw_and_finalized_alike, tc)
{
    struct hd_replica r = replica(HD_REPLICA_RBW, 1001, 5000, 4000);
    struct hd_write_setup s = setup(HD_STAGE_CLOSE_RECOVERY, 1001, 1002, 5000, 5000);
    struct hd_write_plan p;
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.finalize && !p.reopen && p.keep_bytes == 5000);
    r = replica(HD_REPLICA_FINALIZED, 1001, 5000, 5000);
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.finalize && p.reopen);
    s.min_bytes = 4999;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_ILLEGAL_ARGUMENT);
}

ATF_TC_WITHOUT_HEAD(readers_see_acknowledged_bytes_of_a_growing_replica);
ATF_TC_BODY(readers_see_acknowledged_bytes_of_a_growing_replica, tc)
{
    struct hd_replica r = replica(HD_REPLICA_RBW, 1001, 5000, 4000);
    ATF_CHECK_EQ(hd_replica_visible_bytes(&r), 4000);
    hd_replica_move(&r, HD_REPLICA_RUR);
    ATF_CHECK_EQ(r.before_recovery, HD_REPLICA_RBW);
    ATF_CHECK_EQ(hd_replica_visible_bytes(&r), 4000);
    hd_replica_move(&r, HD_REPLICA_RUR); /* a newer recovery takes over */
    ATF_CHECK_EQ(r.before_recovery, HD_REPLICA_RBW);
    hd_replica_move(&r, HD_REPLICA_FINALIZED);
    ATF_CHECK_EQ(hd_replica_visible_bytes(&r), 5000);
    r = replica(HD_REPLICA_TEMPORARY, 1001, 5000, 0);
    ATF_CHECK_EQ(hd_replica_visible_bytes(&r), 0);
}

/* Overwriting: which replicas, and how long they become. */
ATF_TC_WITHOUT_HEAD(an_overwriter_says_how_long_the_replica_is);
ATF_TC_BODY(an_overwriter_says_how_long_the_replica_is, tc)
{
    static const struct row {
        enum hd_write_stage stage;
        enum hd_replica_state state;
        uint64_t gs, size, min, max;
        int want;
    } rows[] = {
        {HD_STAGE_APPEND, HD_REPLICA_FINALIZED, 10, 100, 100, 100, 0},
        {HD_STAGE_APPEND, HD_REPLICA_FINALIZED, 10, 100, 100, 50, 0},
        {HD_STAGE_APPEND, HD_REPLICA_FINALIZED, 10, 100, 100, 500, 0},
        {HD_STAGE_APPEND, HD_REPLICA_RBW, 12, 100, 0, 100, 0}, /* of a set-up that failed */
        {HD_STAGE_STREAMING_RECOVERY, HD_REPLICA_RBW, 10, 100, 100, 100, 0},
        {HD_STAGE_CLOSE_RECOVERY, HD_REPLICA_RBW, 10, 100, 100, 7, 0},
        {HD_STAGE_APPEND, HD_REPLICA_FINALIZED, 9, 100, 100, 100, -HD_E_ILLEGAL_ARGUMENT},
        {HD_STAGE_APPEND, HD_REPLICA_FINALIZED, 13, 100, 100, 100, -HD_E_ILLEGAL_ARGUMENT},
        {HD_STAGE_APPEND, HD_REPLICA_RBW, 10, 99, 100, 100, -HD_E_ILLEGAL_ARGUMENT},
        {HD_STAGE_APPEND, HD_REPLICA_RBW, 10, 99, 100, 50, 0},
        {HD_STAGE_APPEND, HD_REPLICA_RWR, 10, 100, 100, 100, 0},
        {HD_STAGE_STREAMING_RECOVERY, HD_REPLICA_RWR, 10, 100, 100, 100, 0},
        {HD_STAGE_STREAMING_RECOVERY, HD_REPLICA_RWR, 10, 99, 100, 100, -HD_E_ILLEGAL_ARGUMENT},
        {HD_STAGE_APPEND, HD_REPLICA_RUR, 10, 100, 100, 100, -HD_E_ILLEGAL_ARGUMENT},
        {HD_STAGE_CREATE, HD_REPLICA_RBW, 10, 100, 100, 100, -HD_E_REPLICA_EXISTS},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        const struct row *w = &rows[i];
        struct hd_replica r = {
            .state = w->state, .gs = {w->gs}, .size_bytes = w->size, .acked_bytes = w->size};
        struct hd_write_setup s = {.stage = w->stage,
                                   .gs = {10},
                                   .new_gs = {12},
                                   .min_bytes = w->min,
                                   .max_bytes = w->max,
                                   .overwrite = true};
        struct hd_write_plan p;
        ATF_CHECK_EQ_MSG(hd_write_plan(&r, &s, &p), w->want, "row %zu", i);
        if (w->want == 0) {
            ATF_CHECK(p.keep_bytes == w->max && p.gs.v == 12 && !p.create);
            ATF_CHECK_EQ(p.finalize, w->stage == HD_STAGE_CLOSE_RECOVERY);
        }
    }
}

ATF_TC_WITHOUT_HEAD(a_resync_belongs_to_its_recovery);
ATF_TC_BODY(a_resync_belongs_to_its_recovery, tc)
{
    struct hd_replica r = {.state = HD_REPLICA_RBW, .gs = {10}, .size_bytes = 100};
    struct hd_write_setup s = {.new_gs = {12}, .overwrite = true, .resync = true};
    struct hd_write_plan p;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_IO);
    hd_replica_move(&r, HD_REPLICA_RUR);
    r.recovery_id = 12;
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK(p.resync && p.gs.v == 10 && p.keep_bytes == 100);
    s.max_bytes = 150;
    ATF_REQUIRE_EQ(hd_write_plan(&r, &s, &p), 0);
    ATF_CHECK_EQ(p.keep_bytes, 150);
    r.recovery_id = 13;
    ATF_CHECK_EQ(hd_write_plan(&r, &s, &p), -HD_E_IO);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_overwriter_says_how_long_the_replica_is);
    ATF_TP_ADD_TC(tp, a_resync_belongs_to_its_recovery);
    ATF_TP_ADD_TC(tp, a_new_block_is_created_in_rbw_and_a_copy_in_tmp);
    ATF_TP_ADD_TC(tp, create_refuses_what_exists_but_a_copy_replaces_a_torso);
    ATF_TP_ADD_TC(tp, append_wants_exactly_the_replica_the_client_saw);
    ATF_TP_ADD_TC(tp, streaming_recovery_keeps_what_was_acknowledged);
    ATF_TP_ADD_TC(tp, close_recovery_finalizes_rbw_and_finalized_alike);
    ATF_TP_ADD_TC(tp, readers_see_acknowledged_bytes_of_a_growing_replica);
    return atf_no_error();
}
