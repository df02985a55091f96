/* Tests of data nodes: failure detection, repair, surplus, corruption, placement, safe mode. */
#include "tests/unit/meta/core/harness.h"
#include "meta/core/block_map.h"

static void some_nodes(struct world *w, int count)
{
    world_init(w);
    for (int n = 1; n <= count; n++) {
        node_start(w, n);
    }
}

static void report_all(struct world *w, int n, Hdw__ExtendedBlock *const *blocks, size_t count)
{
    uint64_t rows[16][3];
    for (size_t i = 0; i < count; i++) {
        rows[i][0] = blocks[i]->block_id;
        rows[i][1] = blocks[i]->num_bytes;
        rows[i][2] = blocks[i]->generation_stamp;
    }
    node_report(w, n, (const uint64_t(*)[3])rows, count);
}

static Hdw__BlockCommand *find_command(Hdw__SendHeartbeatResponse *r,
                                       Hdw__BlockCommandAction action)
{
    for (size_t i = 0; i < r->n_cmds; i++) {
        if (r->cmds[i]->blk_cmd != NULL && r->cmds[i]->blk_cmd->action == action) {
            return r->cmds[i]->blk_cmd;
        }
    }
    return NULL;
}

static size_t locations(struct world *w, const char *path)
{
    return do_locate(w, path)->blocks[0]->n_locs;
}

static struct hd_meta_stats stats(struct world *w)
{
    struct hd_meta_stats s;
    hd_meta_stats(w->m, &s);
    return s;
}

ATF_TC_WITHOUT_HEAD(unknown_nodes_are_told_to_register);
ATF_TC_BODY(unknown_nodes_are_told_to_register, tc)
{
    struct world w;
    world_init(&w);
    Hdw__SendHeartbeatResponse *r = node_beat(&w, 1);
    ATF_REQUIRE_EQ(r->n_cmds, 1);
    ATF_CHECK_EQ(r->cmds[0]->cmd_type, HDW__DATANODE_COMMAND_TYPE__CMD_RegisterCommand);
    ATF_CHECK_EQ(r->ha_status->state, HDW__NNHASTATUS_HEARTBEAT_STATE__HA_ACTIVE);
    node_start(&w, 1);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(silence_makes_stale_then_dead);
ATF_TC_BODY(silence_makes_stale_then_dead, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_write(&w, "/f", 10);
    nodes_pass(&w, 2, 3, 6000);
    ATF_CHECK_EQ(stats(&w).nodes_stale, 1);
    Hdw__LocatedBlock *l = do_locate(&w, "/f")->blocks[0];
    ATF_REQUIRE_EQ(l->n_locs, 3);
    ATF_CHECK_EQ(node_of(l->locs[2]), 1); /* local to the client, but stale: last */
    node_beat(&w, 1);
    ATF_CHECK_EQ(stats(&w).nodes_stale, 0);
    nodes_pass(&w, 2, 3, 16000);
    ATF_CHECK_EQ(stats(&w).nodes_dead, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_closed_connection_is_news_at_once);
ATF_TC_BODY(a_closed_connection_is_news_at_once, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_write(&w, "/f", 10);
    world_step(&w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(2)});
    ATF_CHECK_EQ(stats(&w).nodes_stale, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    nodes_pass(&w, 3, 3, 2000);
    ATF_CHECK_EQ(stats(&w).nodes_dead, 0);
    node_beat(&w, 2); /* on a new connection or the old one: it lives */
    nodes_pass(&w, 1, 3, 4000);
    ATF_CHECK_EQ(stats(&w).nodes_dead, 0);
    world_step(&w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(2)});
    nodes_pass(&w, 3, 3, 3500);
    ATF_CHECK_EQ(stats(&w).nodes_dead, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_dead_nodes_replicas_leave_a_few_at_a_time_and_count_no_more_at_once);
ATF_TC_BODY(a_dead_nodes_replicas_leave_a_few_at_a_time_and_count_no_more_at_once, tc)
{
    enum { BLOCKS = 50 };
    struct world w;
    struct hd_blk *blocks[BLOCKS];
    some_nodes(&w, 3);
    for (int i = 0; i < BLOCKS; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        Hdw__ExtendedBlock *b = do_write(&w, path, 10);
        blocks[i] = hd_ns_block(&w.m->ns, (struct hd_block_id){b->block_id});
    }
    nodes_pass(&w, 1, 3, 6000);
    struct hd_node *node = hd_nodes_find(&w.m->nodes, "uuid-2");
    struct hd_storage *storage = hd_nodes_find_storage(&w.m->nodes, "DS-2");
    ATF_CHECK_EQ(storage->block_count, BLOCKS);
    hd_block_map_drop_node(w.m, node);
    for (int i = 0; i < BLOCKS; i++) {
        ATF_CHECK_EQ(hd_blk_live(w.m, blocks[i], false), 2);
    }
    ATF_CHECK_EQ(storage->block_count, BLOCKS);
    hd_block_map_sweep(w.m, 10);
    ATF_CHECK_EQ(storage->block_count, BLOCKS - 10);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 10);
    /* It comes back before that has ended, and has one of them. */
    hd_block_map_report(w.m, storage, (struct hd_reported){blocks[0]->id, blocks[0]->gs, 10, 0});
    hd_block_map_sweep(w.m, SIZE_MAX);
    ATF_CHECK_EQ(storage->block_count, 1);
    ATF_CHECK_EQ(hd_blk_live(w.m, blocks[0], false), 3);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, BLOCKS - 1);
    ATF_CHECK(!storage->losing);
    hd_block_map_drop_node(w.m, node);
    world_step(&w, &(struct hd_meta_event){.type = HD_META_TICK});
    ATF_CHECK(!w.m->sweep.on);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_last_replica_is_copied_at_once);
ATF_TC_BODY(the_last_replica_is_copied_at_once, tc)
{
    struct world w;
    some_nodes(&w, 2);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 2, 7000);
    node_start(&w, 3);
    node_start(&w, 4);
    world_step(&w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(2)});
    Hdw__BlockCommand *copy = NULL;
    for (int i = 0; i < 5 && copy == NULL; i++) {
        nodes_pass(&w, 3, 4, 1000);
        copy = find_command(node_beat(&w, 1), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
    }
    ATF_REQUIRE(copy != NULL);
    ATF_CHECK_EQ(copy->blocks[0]->block_id, b->block_id);
    ATF_CHECK_EQ(copy->n_targets, copy->n_blocks);
    int target = node_of(copy->targets[0]->datanodes[0]);
    ATF_CHECK(target == 3 || target == 4);
    node_received(&w, target, b->block_id, b->generation_stamp, 10);
    for (size_t i = 1; i < copy->n_blocks; i++) {
        node_received(&w, node_of(copy->targets[i]->datanodes[0]), b->block_id, b->generation_stamp,
                      10);
    }
    ATF_CHECK(locations(&w, "/f") >= 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_copy_that_does_not_come_is_ordered_again);
ATF_TC_BODY(a_copy_that_does_not_come_is_ordered_again, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_write(&w, "/f", 10);
    CALL(&w, "setReplication", SetReplication, set_replication, .src = S("/f"), .replication = 4);
    node_start(&w, 4);
    int orders = 0;
    for (int i = 0; i < 60; i++) {
        world_pass(&w, 1000);
        for (int n = 1; n <= 4; n++) {
            orders +=
                find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER) != NULL;
        }
    }
    ATF_CHECK_MSG(orders >= 2 && orders <= 6, "%d orders", orders);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_copy_that_is_not_enough_and_does_not_come_is_ordered_again);
ATF_TC_BODY(a_copy_that_is_not_enough_and_does_not_come_is_ordered_again, tc)
{
    struct world w;
    some_nodes(&w, 1);
    do_write(&w, "/f", 10); /* wants three, and there will be two nodes */
    node_start(&w, 2);
    int orders = 0;
    for (int i = 0; i < 60; i++) {
        world_pass(&w, 1000);
        for (int n = 1; n <= 2; n++) {
            orders +=
                find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER) != NULL;
        }
    }
    ATF_CHECK_MSG(orders >= 3, "%d orders", orders);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(fewer_nodes_than_replicas_is_under_replicated);
ATF_TC_BODY(fewer_nodes_than_replicas_is_under_replicated, tc)
{
    struct world w;
    some_nodes(&w, 2);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    nodes_pass(&w, 1, 2, 6000);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 1);
    node_start(&w, 3);
    Hdw__BlockCommand *copy = NULL;
    for (int i = 0; i < 8 && copy == NULL; i++) {
        world_pass(&w, 1000);
        for (int n = 1; n <= 3 && copy == NULL; n++) {
            copy = find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
        }
    }
    ATF_REQUIRE(copy != NULL);
    node_received(&w, 3, b->block_id, b->generation_stamp, 10);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(surplus_replicas_are_deleted);
ATF_TC_BODY(surplus_replicas_are_deleted, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_write(&w, "/f", 10);
    ATF_CHECK(CALL(&w, "setReplication", SetReplication, set_replication, .src = S("/f"),
                   .replication = 2)
                  ->result);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    int deletes = 0;
    for (int n = 1; n <= 3; n++) {
        deletes +=
            find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL;
    }
    ATF_CHECK_EQ(deletes, 1);
    ATF_CHECK(!CALL(&w, "setReplication", SetReplication, set_replication, .src = S("/"),
                    .replication = 2)
                   ->result);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_comes_back_makes_surplus);
ATF_TC_BODY(a_node_that_comes_back_makes_surplus, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    int lost = node_of(do_locate(&w, "/f")->blocks[0]->locs[1]);
    world_step(&w,
               &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(lost)});
    Hdw__BlockCommand *copy = NULL;
    for (int i = 0; i < 20 && copy == NULL; i++) {
        world_pass(&w, 1000);
        for (int n = 1; n <= 4 && copy == NULL; n++) {
            if (n != lost) {
                copy = find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
            }
        }
    }
    ATF_REQUIRE(copy != NULL);
    node_received(&w, node_of(copy->targets[0]->datanodes[0]), b->block_id, b->generation_stamp,
                  10);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    node_start(&w, lost);
    report_all(&w, lost, (Hdw__ExtendedBlock *[]){b}, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    int deletes = 0;
    for (int n = 1; n <= 4; n++) {
        deletes +=
            find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL;
    }
    ATF_CHECK_EQ(deletes, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_full_report_drops_what_it_does_not_name);
ATF_TC_BODY(a_full_report_drops_what_it_does_not_name, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *a = do_write(&w, "/a", 10);
    do_write(&w, "/b", 20);
    nodes_pass(&w, 1, 3, 6000);
    report_all(&w, 2, (Hdw__ExtendedBlock *[]){a}, 1);
    ATF_CHECK_EQ(locations(&w, "/a"), 3);
    ATF_CHECK_EQ(locations(&w, "/b"), 2);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(unknown_blocks_are_deleted_but_not_those_of_the_future);
ATF_TC_BODY(unknown_blocks_are_deleted_but_not_those_of_the_future, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *b = do_write(&w, "/a", 10);
    do_delete(&w, "/a", false);
    for (int n = 1; n <= 3; n++) {
        node_beat(&w, n);
    }
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){b}, 1);
    ATF_CHECK(find_command(node_beat(&w, 1), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL);
    b->block_id += 1000;
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){b}, 1);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(corrupt_replicas_stay_until_there_are_enough_good_ones);
ATF_TC_BODY(corrupt_replicas_stay_until_there_are_enough_good_ones, tc)
{
    struct world w;
    some_nodes(&w, 4);
    do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    Hdw__LocatedBlock *l = do_locate(&w, "/f")->blocks[0];
    int bad = node_of(l->locs[0]);
    Hdw__LocatedBlock report = HDW__LOCATED_BLOCK__INIT;
    Hdw__LocatedBlock *reports[] = {&report};
    report.b = l->b;
    report.block_token = l->block_token;
    report.n_locs = 1;
    report.locs = l->locs;
    CALL(&w, "reportBadBlocks", ReportBadBlocks, report_bad_blocks, .n_blocks = 1,
         .blocks = reports);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    ATF_CHECK_EQ(node_beat(&w, bad)->n_cmds, 0);
    report_all(&w, bad, (Hdw__ExtendedBlock *[]){l->b}, 1); /* its own report does not heal it */
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    Hdw__BlockCommand *copy = NULL;
    for (int i = 0; i < 10 && copy == NULL; i++) {
        world_pass(&w, 1000);
        for (int n = 1; n <= 4 && copy == NULL; n++) {
            copy = find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
        }
    }
    ATF_REQUIRE(copy != NULL);
    int target = node_of(copy->targets[0]->datanodes[0]);
    ATF_CHECK(target != bad);
    node_received(&w, target, l->b->block_id, l->b->generation_stamp, 10);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    ATF_CHECK(find_command(node_beat(&w, bad), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) !=
              NULL);
    world_done(&w);
}

/* What a reader says that found the replica on this node corrupt. */
static void report_bad(struct world *w, const char *path, int node)
{
    Hdw__LocatedBlock *l = do_locate(w, path)->blocks[0];
    Hdw__LocatedBlock report = HDW__LOCATED_BLOCK__INIT;
    Hdw__LocatedBlock *reports[] = {&report};
    report.b = l->b;
    report.block_token = l->block_token;
    report.n_locs = 1;
    for (size_t i = 0; i < l->n_locs; i++) {
        if (node_of(l->locs[i]) == node) {
            report.locs = &l->locs[i];
        }
    }
    ATF_REQUIRE(report.locs != NULL);
    CALL(w, "reportBadBlocks", ReportBadBlocks, report_bad_blocks, .n_blocks = 1,
         .blocks = reports);
}

/*
 * Lets nodes 1..count do what they are told until `path` has all its replicas again; how many
 * replicas were deleted on the way.
 */
static int heal(struct world *w, const char *path, int count, size_t expected)
{
    int deleted = 0;
    for (int i = 0; i < 40 && locations(w, path) < expected; i++) {
        world_pass(w, 1000);
        for (int n = 1; n <= count; n++) {
            Hdw__SendHeartbeatResponse *r = node_beat(w, n);
            Hdw__BlockCommand *gone = find_command(r, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE);
            Hdw__BlockCommand *copy = find_command(r, HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
            for (size_t k = 0; gone != NULL && k < gone->n_blocks; k++, deleted++) {
                node_says(w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED, gone->blocks[k]->block_id,
                          gone->blocks[k]->gen_stamp, gone->blocks[k]->num_bytes);
            }
            for (size_t k = 0; copy != NULL && k < copy->n_blocks; k++) {
                node_received(w, node_of(copy->targets[k]->datanodes[0]), copy->blocks[k]->block_id,
                              copy->blocks[k]->gen_stamp, copy->blocks[k]->num_bytes);
            }
        }
    }
    return deleted;
}

ATF_TC_WITHOUT_HEAD(a_corrupt_replica_makes_room_for_a_copy_when_nobody_else_can);
ATF_TC_BODY(a_corrupt_replica_makes_room_for_a_copy_when_nobody_else_can, tc)
{
    for (int nodes = 2; nodes <= 3; nodes++) { /* as many replicas as nodes */
        struct world w;
        some_nodes(&w, nodes);
        do_write(&w, "/f", 10);
        CALL(&w, "setReplication", SetReplication, set_replication, .src = S("/f"),
             .replication = (uint32_t)nodes);
        nodes_pass(&w, 1, nodes, 6000);
        report_bad(&w, "/f", 2);
        ATF_CHECK_EQ(locations(&w, "/f"), (size_t)nodes - 1);
        ATF_CHECK_EQ(heal(&w, "/f", nodes, (size_t)nodes), 1);
        ATF_CHECK_EQ(locations(&w, "/f"), (size_t)nodes);
        ATF_CHECK_EQ(stats(&w).blocks_corrupt, 0);
        ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
        world_done(&w);
    }
}

ATF_TC_WITHOUT_HEAD(two_corrupt_replicas_of_three_make_room_one_after_the_other);
ATF_TC_BODY(two_corrupt_replicas_of_three_make_room_one_after_the_other, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 3, 6000);
    report_bad(&w, "/f", 1);
    report_bad(&w, "/f", 2);
    ATF_CHECK_EQ(locations(&w, "/f"), 1);
    int told = 0;
    for (int n = 1; n <= 2; n++) {
        told += find_command(node_beat(&w, n), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL;
    }
    ATF_CHECK_EQ(told, 1); /* the other may have to be salvaged */
    node_says(&w, 1, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED, b->block_id, b->generation_stamp, 10);
    ATF_CHECK_EQ(heal(&w, "/f", 3, 3), 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    ATF_CHECK_EQ(stats(&w).blocks_corrupt, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_report_that_crosses_the_deletion_does_not_heal_a_corrupt_replica);
ATF_TC_BODY(a_report_that_crosses_the_deletion_does_not_heal_a_corrupt_replica, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 3, 6000);
    report_bad(&w, "/f", 2);
    ATF_CHECK(find_command(node_beat(&w, 2), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL);
    report_all(&w, 2, (Hdw__ExtendedBlock *[]){b}, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    ATF_CHECK(find_command(node_beat(&w, 2), HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) != NULL);
    node_says(&w, 2, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED, b->block_id, b->generation_stamp, 10);
    ATF_CHECK_EQ(heal(&w, "/f", 3, 3), 0);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(with_all_replicas_corrupt_they_are_listed_as_such);
ATF_TC_BODY(with_all_replicas_corrupt_they_are_listed_as_such, tc)
{
    struct world w;
    some_nodes(&w, 1);
    do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 1, 6000);
    Hdw__LocatedBlock *l = do_locate(&w, "/f")->blocks[0];
    CALL(&w, "reportBadBlocks", ReportBadBlocks, report_bad_blocks, .n_blocks = 1, .blocks = &l);
    l = do_locate(&w, "/f")->blocks[0];
    ATF_CHECK_EQ(l->n_locs, 1);
    ATF_CHECK(l->corrupt);
    nodes_pass(&w, 1, 1, 10000);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0); /* never deleted: it is all there is */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(safe_mode_ends_when_the_blocks_are_reported);
ATF_TC_BODY(safe_mode_ends_when_the_blocks_are_reported, tc)
{
    struct world w;
    some_nodes(&w, 3);
    ATF_CHECK(!stats(&w).safe_mode); /* no blocks: at once */
    Hdw__ExtendedBlock *a = do_write(&w, "/a", 10);
    Hdw__ExtendedBlock *b = do_write(&w, "/b", 20);
    world_restart(&w);
    ATF_CHECK(stats(&w).safe_mode);
    struct answer *r = try_create(&w, "/c", "h", 1, 3);
    ATF_CHECK_EQ(r->err, -HD_E_SAFE_MODE);
    ATF_CHECK_MSG(strncmp(r->text,
                          "Cannot create file/c. Name node is in safe mode.\nThe reported "
                          "blocks 0 needs additional 1 blocks to reach the threshold 0.9990 "
                          "of total blocks 2.\n",
                          120) == 0,
                  "%s", r->text);
    CALL_FAILS(&w, -HD_E_SAFE_MODE, NULL, "getBlockLocations", GetBlockLocations,
               get_block_locations, .src = S("/a"), .length = 10);
    ATF_CHECK(do_stat(&w, "/a") != NULL);
    node_register(&w, 1);
    node_beat(&w, 1);
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){a, b}, 2);
    ATF_CHECK(!stats(&w).safe_mode);
    ATF_CHECK_EQ(locations(&w, "/a"), 1);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 2);
    for (int n = 2; n <= 3; n++) {
        node_register(&w, n);
        node_beat(&w, n);
        report_all(&w, n, (Hdw__ExtendedBlock *[]){a, b}, 2);
    }
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
    for (int n = 1; n <= 3; n++) {
        ATF_CHECK_EQ(node_beat(&w, n)->n_cmds, 0); /* nothing was copied in a hurry */
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_last_reports_are_waited_for_a_little);
ATF_TC_BODY(the_last_reports_are_waited_for_a_little, tc)
{
    struct world w;
    some_nodes(&w, 1);
    Hdw__ExtendedBlock *a = do_write(&w, "/a", 10);
    do_write(&w, "/b", 20);
    world_restart(&w);
    node_register(&w, 1);
    node_beat(&w, 1);
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){a}, 1); /* one of two: the threshold, not all */
    ATF_CHECK(stats(&w).safe_mode);
    nodes_pass(&w, 1, 1, 4000);
    ATF_CHECK(!stats(&w).safe_mode);
    ATF_CHECK_EQ(stats(&w).blocks_missing, 1);
    world_done(&w);
}

/* Three closed files, and a new start of meta; the threshold is two of them. */
static Hdw__ExtendedBlock *start_patiently(struct world *w, int nodes, int64_t patience_ms)
{
    some_nodes(w, nodes);
    w->options.safe_mode_patience_ms = patience_ms;
    Hdw__ExtendedBlock *a = do_write(w, "/a", 10);
    do_write(w, "/b", 20);
    do_write(w, "/c", 30);
    world_restart(w);
    return a;
}

static bool text_has(struct world *w, const char *words)
{
    struct hd_meta_stats s = stats(w);
    return strstr(s.safe_mode_text, words) != NULL;
}

ATF_TC_WITHOUT_HEAD(safe_mode_ends_without_blocks_that_nobody_has);
ATF_TC_BODY(safe_mode_ends_without_blocks_that_nobody_has, tc)
{
    struct world w;
    Hdw__ExtendedBlock *a = start_patiently(&w, 2, 30000);
    world_pass(&w, 100000); /* no node: nobody can know */
    ATF_CHECK(stats(&w).safe_mode);
    ATF_CHECK(text_has(&w, "once the thresholds have been reached, or 30 seconds after the last "
                           "news when every data node has told what it has."));
    node_register(&w, 1);
    node_beat(&w, 1);
    nodes_pass(&w, 1, 1, 50000); /* one, and it has told nothing */
    ATF_CHECK(stats(&w).safe_mode);
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){a}, 1);
    nodes_pass(&w, 1, 1, 20000);
    ATF_CHECK(text_has(&w, "once the thresholds have been reached, or in 10 seconds, when nothing "
                           "is heard of the 2 blocks that are missing."));
    node_register(&w, 2); /* that is news, and what it has is not known yet */
    node_beat(&w, 2);
    nodes_pass(&w, 1, 2, 40000);
    ATF_CHECK(stats(&w).safe_mode);
    ATF_CHECK(text_has(&w, "or 30 seconds after the last news"));
    report_all(&w, 2, (Hdw__ExtendedBlock *[]){a}, 1);
    nodes_pass(&w, 1, 2, 29000);
    ATF_CHECK(stats(&w).safe_mode);
    nodes_pass(&w, 1, 2, 1500);
    ATF_CHECK(!stats(&w).safe_mode);
    ATF_CHECK_STREQ(w.trace, "safe mode is off: no news for 30000 ms, 2 of 3 blocks are missing");
    nodes_pass(&w, 1, 2, 1000);
    ATF_CHECK_EQ(stats(&w).blocks_missing, 2);
    ATF_CHECK_EQ(locations(&w, "/a"), 2);
    ATF_CHECK_EQ(locations(&w, "/b"), 0);
    ATF_CHECK_EQ(try_create(&w, "/d", "h", 1, 3)->err, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_block_that_is_found_renews_the_patience);
ATF_TC_BODY(a_block_that_is_found_renews_the_patience, tc)
{
    struct world w;
    Hdw__ExtendedBlock *a = start_patiently(&w, 2, 30000);
    node_start(&w, 1);
    nodes_pass(&w, 1, 1, 20000);
    node_received(&w, 1, a->block_id, a->generation_stamp, 10);
    nodes_pass(&w, 1, 1, 20000);
    ATF_CHECK(stats(&w).safe_mode);
    report_all(&w, 1, (Hdw__ExtendedBlock *[]){a}, 1); /* once more: that is none */
    nodes_pass(&w, 1, 1, 11000);
    ATF_CHECK(!stats(&w).safe_mode);
    ATF_CHECK_EQ(stats(&w).blocks_missing, 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_dies_in_safe_mode_renews_the_patience);
ATF_TC_BODY(a_node_that_dies_in_safe_mode_renews_the_patience, tc)
{
    struct world w;
    start_patiently(&w, 2, 30000);
    node_start(&w, 1);
    node_start(&w, 2);
    nodes_pass(&w, 1, 1, 40000); /* the other is dead after 15 */
    ATF_CHECK_EQ(stats(&w).nodes_dead, 1);
    ATF_CHECK(stats(&w).safe_mode);
    nodes_pass(&w, 1, 1, 7000);
    ATF_CHECK(!stats(&w).safe_mode);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(without_patience_safe_mode_waits_for_ever);
ATF_TC_BODY(without_patience_safe_mode_waits_for_ever, tc)
{
    struct world w;
    start_patiently(&w, 1, 0);
    node_start(&w, 1);
    nodes_pass(&w, 1, 1, 600000);
    ATF_CHECK(stats(&w).safe_mode);
    ATF_CHECK(text_has(&w, "automatically once the thresholds have been reached."));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(safe_mode_that_was_entered_by_hand_is_left_by_hand);
ATF_TC_BODY(safe_mode_that_was_entered_by_hand_is_left_by_hand, tc)
{
    struct world w;
    start_patiently(&w, 1, 30000);
    node_start(&w, 1);
    ATF_CHECK(CALL(&w, "setSafeMode", SetSafeMode, set_safe_mode,
                   .action = HDW__SAFE_MODE_ACTION__SAFEMODE_ENTER)
                  ->result);
    nodes_pass(&w, 1, 1, 100000);
    ATF_CHECK(stats(&w).safe_mode);
    ATF_CHECK(!text_has(&w, "seconds"));
    ATF_CHECK(!CALL(&w, "setSafeMode", SetSafeMode, set_safe_mode,
                    .action = HDW__SAFE_MODE_ACTION__SAFEMODE_LEAVE)
                   ->result);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(safe_mode_can_be_entered_by_hand);
ATF_TC_BODY(safe_mode_can_be_entered_by_hand, tc)
{
    struct world w;
    some_nodes(&w, 1);
#define SAFE(what) CALL(&w, "setSafeMode", SetSafeMode, set_safe_mode, .action = what)->result
    ATF_CHECK(!SAFE(HDW__SAFE_MODE_ACTION__SAFEMODE_GET));
    ATF_CHECK(SAFE(HDW__SAFE_MODE_ACTION__SAFEMODE_ENTER));
    ATF_CHECK_STREQ(try_create(&w, "/c", "h", 1, 3)->text,
                    "Cannot create file/c. Name node is in safe mode.\nIt was turned on manually. "
                    "Use \"hdfs dfsadmin -safemode leave\" to turn safe mode off. "
                    "NamenodeHostName:metahost");
    world_pass(&w, 10000);
    ATF_CHECK(SAFE(HDW__SAFE_MODE_ACTION__SAFEMODE_GET));
    ATF_CHECK(!SAFE(HDW__SAFE_MODE_ACTION__SAFEMODE_LEAVE));
    w.user = "alice";
    CALL_FAILS(&w, -EACCES,
               "Access denied for user alice. Superuser privilege is required for operation "
               "safemode_enter",
               "setSafeMode", SetSafeMode, set_safe_mode,
               .action = HDW__SAFE_MODE_ACTION__SAFEMODE_ENTER);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(reports_before_a_commit_with_another_size_are_bad);
ATF_TC_BODY(reports_before_a_commit_with_another_size_are_bad, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_create(&w, "/f", "c");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c", NULL);
    l->b->num_bytes = 100;
    node_received(&w, 1, l->b->block_id, l->b->generation_stamp, 100);
    node_received(&w, 2, l->b->block_id, l->b->generation_stamp, 60);
    ATF_CHECK(do_complete(&w, "/f", "c", l->b));
    ATF_CHECK_EQ(locations(&w, "/f"), 1);
    ATF_CHECK_EQ(w.m->bad.count, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_late_report_of_writing_does_not_undo_a_whole_replica);
ATF_TC_BODY(a_late_report_of_writing_does_not_undo_a_whole_replica, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_create(&w, "/f", "c");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c", NULL);
    l->b->num_bytes = 100;
    node_received(&w, 1, l->b->block_id, l->b->generation_stamp, 100);
    node_says(&w, 1, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, l->b->block_id,
              l->b->generation_stamp, 100);
    ATF_CHECK(do_complete(&w, "/f", "c", l->b));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_storage_that_is_no_longer_listed_is_lost);
ATF_TC_BODY(a_storage_that_is_no_longer_listed_is_lost, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_write(&w, "/f", 10);
    struct registration r;
    registration_init(&r, 2);
    Hdw__StorageReport other = HDW__STORAGE_REPORT__INIT;
    Hdw__StorageReport *all[] = {&other};
    other.storage_uuid = S("DS-2-b");
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    q.registration = &r.g;
    q.n_reports = 1;
    q.reports = all;
    node_send(&w, 2, "sendHeartbeat", &q);
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 1);
    node_beat(&w, 2); /* it is back: its replicas come with a report */
    ATF_CHECK_EQ(locations(&w, "/f"), 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(nodes_on_one_machine_share_the_first_replicas);
ATF_TC_BODY(nodes_on_one_machine_share_the_first_replicas, tc)
{
    struct world w;
    int first[4] = {0};
    some_nodes(&w, 3);
    w.peer_ip = "10.0.0.99"; /* no node is local: by chance */
    for (int i = 0; i < 60; i++) {
        char path[32];
        snprintf(path, sizeof(path), "/f%d", i);
        do_create(&w, path, "c");
        first[node_of(do_add_block(&w, path, "c", NULL)->locs[0])]++;
    }
    for (int n = 1; n <= 3; n++) {
        ATF_CHECK_MSG(first[n] >= 8, "node %d came first %d times of 60", n, first[n]);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(block_reports_that_are_cut_are_refused);
ATF_TC_BODY(block_reports_that_are_cut_are_refused, tc)
{
    struct world w;
    struct registration g;
    some_nodes(&w, 1);
    do_write(&w, "/a", 10);
    nodes_pass(&w, 1, 1, 6000);
    registration_init(&g, 1);
    uint8_t half[] = {0x82, 0x80};
    ProtobufCBinaryData chunk = {sizeof(half), half};
    Hdw__DatanodeStorage storage = HDW__DATANODE_STORAGE__INIT;
    storage.storage_uuid = S("DS-1");
    Hdw__StorageBlockReport s = HDW__STORAGE_BLOCK_REPORT__INIT;
    Hdw__StorageBlockReport *all[] = {&s};
    s.storage = &storage;
    s.n_blocks_buffers = 1;
    s.blocks_buffers = &chunk;
    Hdw__BlockReportRequest q = HDW__BLOCK_REPORT_REQUEST__INIT;
    q.registration = &g.g;
    q.block_pool_id = S("BP-1");
    q.n_reports = 1;
    q.reports = all;
    struct answer *a =
        world_answer(&w, world_send(&w, DATANODE_PROTOCOL, "blockReport", &q, node_conn(1)));
    ATF_CHECK(a != NULL && a->err == -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(locations(&w, "/a"), 1); /* what it did not name is not gone */
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, unknown_nodes_are_told_to_register);
    ATF_TP_ADD_TC(tp, silence_makes_stale_then_dead);
    ATF_TP_ADD_TC(tp, a_closed_connection_is_news_at_once);
    ATF_TP_ADD_TC(tp, a_dead_nodes_replicas_leave_a_few_at_a_time_and_count_no_more_at_once);
    ATF_TP_ADD_TC(tp, the_last_replica_is_copied_at_once);
    ATF_TP_ADD_TC(tp, a_copy_that_does_not_come_is_ordered_again);
    ATF_TP_ADD_TC(tp, a_copy_that_is_not_enough_and_does_not_come_is_ordered_again);
    ATF_TP_ADD_TC(tp, fewer_nodes_than_replicas_is_under_replicated);
    ATF_TP_ADD_TC(tp, surplus_replicas_are_deleted);
    ATF_TP_ADD_TC(tp, a_node_that_comes_back_makes_surplus);
    ATF_TP_ADD_TC(tp, a_full_report_drops_what_it_does_not_name);
    ATF_TP_ADD_TC(tp, unknown_blocks_are_deleted_but_not_those_of_the_future);
    ATF_TP_ADD_TC(tp, corrupt_replicas_stay_until_there_are_enough_good_ones);
    ATF_TP_ADD_TC(tp, a_corrupt_replica_makes_room_for_a_copy_when_nobody_else_can);
    ATF_TP_ADD_TC(tp, two_corrupt_replicas_of_three_make_room_one_after_the_other);
    ATF_TP_ADD_TC(tp, a_report_that_crosses_the_deletion_does_not_heal_a_corrupt_replica);
    ATF_TP_ADD_TC(tp, with_all_replicas_corrupt_they_are_listed_as_such);
    ATF_TP_ADD_TC(tp, safe_mode_ends_when_the_blocks_are_reported);
    ATF_TP_ADD_TC(tp, the_last_reports_are_waited_for_a_little);
    ATF_TP_ADD_TC(tp, safe_mode_ends_without_blocks_that_nobody_has);
    ATF_TP_ADD_TC(tp, a_block_that_is_found_renews_the_patience);
    ATF_TP_ADD_TC(tp, a_node_that_dies_in_safe_mode_renews_the_patience);
    ATF_TP_ADD_TC(tp, without_patience_safe_mode_waits_for_ever);
    ATF_TP_ADD_TC(tp, safe_mode_that_was_entered_by_hand_is_left_by_hand);
    ATF_TP_ADD_TC(tp, safe_mode_can_be_entered_by_hand);
    ATF_TP_ADD_TC(tp, reports_before_a_commit_with_another_size_are_bad);
    ATF_TP_ADD_TC(tp, a_late_report_of_writing_does_not_undo_a_whole_replica);
    ATF_TP_ADD_TC(tp, a_storage_that_is_no_longer_listed_is_lost);
    ATF_TP_ADD_TC(tp, nodes_on_one_machine_share_the_first_replicas);
    ATF_TP_ADD_TC(tp, block_reports_that_are_cut_are_refused);
    return atf_no_error();
}
