/* Tests of files being written: blocks, completion, leases, recovery, append, truncate. */
#include "tests/unit/meta/core/harness.h"

static void three_nodes(struct world *w)
{
    world_init(w);
    for (int n = 1; n <= 3; n++) {
        node_start(w, n);
    }
}

ATF_TC_WITHOUT_HEAD(a_file_is_written_in_hadoops_order);
ATF_TC_BODY(a_file_is_written_in_hadoops_order, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__HdfsFileStatus *s = do_create(&w, "/f", "c1");
    ATF_CHECK_EQ(s->file_id, 16386);
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    ATF_CHECK_EQ(l->b->block_id, 1073741825);
    ATF_CHECK_EQ(l->b->generation_stamp, 1001);
    ATF_CHECK(l->b->has_num_bytes);
    ATF_REQUIRE_EQ(l->n_locs, 3);
    ATF_CHECK_EQ(l->n_storage_i_ds, 3);
    ATF_CHECK_STREQ(l->locs[0]->id->ip_addr, "10.0.0.1"); /* the writer's own node */
    /* The same call again gives the same block. */
    ATF_CHECK_EQ(do_add_block(&w, "/f", "c1", NULL)->b->block_id, l->b->block_id);
    l->b->num_bytes = 1 << 20;
    for (int n = 1; n <= 3; n++) {
        node_received(&w, n, l->b->block_id, l->b->generation_stamp, 1 << 20);
    }
    Hdw__LocatedBlock *second = do_add_block(&w, "/f", "c1", l->b);
    ATF_CHECK_EQ(second->offset, 1 << 20);
    second->b->num_bytes = 100;
    node_received(&w, 2, second->b->block_id, second->b->generation_stamp, 100);
    ATF_CHECK(do_complete(&w, "/f", "c1", second->b));
    ATF_CHECK(do_complete(&w, "/f", "c1", second->b)); /* a repeat */
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, (1 << 20) + 100);
    Hdw__LocatedBlocks *all = do_locate(&w, "/f");
    ATF_CHECK_EQ(all->file_length, (1 << 20) + 100);
    ATF_REQUIRE_EQ(all->n_blocks, 2);
    ATF_CHECK_EQ(all->blocks[0]->n_locs, 3);
    ATF_CHECK_EQ(all->blocks[1]->n_locs, 1);
    ATF_CHECK(!all->under_construction && all->is_last_block_complete);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(complete_waits_for_the_last_report);
ATF_TC_BODY(complete_waits_for_the_last_report, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    l->b->num_bytes = 10;
    Hdw__CompleteRequest q = HDW__COMPLETE_REQUEST__INIT;
    q.src = S("/f");
    q.client_name = S("c1");
    q.last = l->b;
    uint64_t token = world_send(&w, CLIENT_PROTOCOL, "complete", &q, 1);
    ATF_CHECK(world_answer(&w, token) == NULL);
    world_pass(&w, 300);
    ATF_CHECK(world_answer(&w, token) == NULL);
    node_received(&w, 1, l->b->block_id, l->b->generation_stamp, 10);
    struct answer *a = world_answer(&w, token);
    ATF_REQUIRE(a != NULL && a->err == 0);
    Hdw__CompleteResponse *r = world_decode(&w, a, &hdw__complete_response__descriptor);
    ATF_CHECK(r->result);
    ATF_CHECK(a->after > 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(complete_says_false_when_no_report_comes);
ATF_TC_BODY(complete_says_false_when_no_report_comes, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    l->b->num_bytes = 10;
    Hdw__CompleteRequest q = HDW__COMPLETE_REQUEST__INIT;
    q.src = S("/f");
    q.client_name = S("c1");
    q.last = l->b;
    uint64_t token = world_send(&w, CLIENT_PROTOCOL, "complete", &q, 1);
    world_pass(&w, 1100);
    struct answer *a = world_answer(&w, token);
    ATF_REQUIRE(a != NULL && a->err == 0);
    Hdw__CompleteResponse *r = world_decode(&w, a, &hdw__complete_response__descriptor);
    ATF_CHECK(!r->result);
    node_received(&w, 3, l->b->block_id, l->b->generation_stamp, 10);
    ATF_CHECK(do_complete(&w, "/f", "c1", l->b));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(wrong_holders_and_files_are_told_in_hadoops_words);
ATF_TC_BODY(wrong_holders_and_files_are_told_in_hadoops_words, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "holder-1");
    CALL_FAILS(&w, -HD_E_LEASE_EXPIRED,
               "Client (=holder-2) is not the lease owner (=holder-1: /f (inode 16386) Holder "
               "holder-2 does not have any open files.",
               "addBlock", AddBlock, add_block, .src = S("/f"), .client_name = S("holder-2"));
    CALL_FAILS(&w, -ENOENT,
               "File does not exist: /g (inode 99) [Lease.  Holder: holder-1, pending creates: 1]",
               "addBlock", AddBlock, add_block, .src = S("/g"), .client_name = S("holder-1"),
               .has_file_id = true, .file_id = 99);
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "holder-1", NULL);
    l->b->block_id = 12345;
    CALL_FAILS(&w, -HD_E_IO,
               "Cannot allocate block in /f: passed 'previous' block BP-1:blk_12345_1001 does not "
               "match actual last block in file blk_1073741825_1001",
               "addBlock", AddBlock, add_block, .src = S("/f"), .client_name = S("holder-1"),
               .previous = l->b);
    l->b->pool_id = S("BP-9");
    CALL_FAILS(&w, -HD_E_IO, "Unexpected BlockPoolId BP-9 - expected BP-1", "addBlock", AddBlock,
               add_block, .src = S("/f"), .client_name = S("holder-1"), .previous = l->b);
    struct answer *a = try_create(&w, "/f", "holder-2", 1, 3);
    ATF_CHECK_EQ(a->err, -HD_E_BEING_CREATED);
    ATF_CHECK_STREQ(a->text, "Failed to CREATE_FILE /f for holder-2 on 10.0.0.1 because this file "
                             "lease is currently owned by holder-1 on 10.0.0.1");
    a = try_create(&w, "/f", "holder-1", 1, 3);
    ATF_CHECK_STREQ(a->text,
                    "Failed to CREATE_FILE /f for holder-1 on 10.0.0.1 because holder-1 is "
                    "already the current lease holder.");
    a = try_create(&w, "/r", "h", 1, 600);
    ATF_CHECK_STREQ(a->text, "Requested replication factor of 600 exceeds maximum of 512 for /r, "
                             "clientName=10.0.0.1");
    a = try_create(&w, "/none", "h", 2, 3);
    ATF_CHECK_STREQ(a->text, "Can't overwrite non-existent /none");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(overwriting_replaces_file_and_blocks_at_once);
ATF_TC_BODY(overwriting_replaces_file_and_blocks_at_once, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *old = do_write(&w, "/f", 10);
    size_t records = w.record_count;
    struct answer *a = try_create(&w, "/f", "c2", 3, 3);
    ATF_REQUIRE(a->err == 0);
    ATF_CHECK_EQ(w.record_count, records + 1); /* one record: a crash leaves one or the other */
    Hdw__SendHeartbeatResponse *r = node_beat(&w, 1);
    ATF_REQUIRE_EQ(r->n_cmds, 1);
    ATF_CHECK_EQ(r->cmds[0]->blk_cmd->action, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE);
    ATF_CHECK_EQ(r->cmds[0]->blk_cmd->blocks[0]->block_id, old->block_id);
    ATF_CHECK_EQ(r->cmds[0]->blk_cmd->blocks[0]->num_bytes, INT64_MAX);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(replicas_are_deleted_only_after_the_record_is_durable);
ATF_TC_BODY(replicas_are_deleted_only_after_the_record_is_durable, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 10);
    w.durable = w.record_count;
    do_delete(&w, "/f", false);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0);
    w.durable = w.record_count;
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 1);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(no_node_left_is_said_as_hadoop_says_it);
ATF_TC_BODY(no_node_left_is_said_as_hadoop_says_it, tc)
{
    struct world w;
    world_init(&w);
    do_create(&w, "/f", "c1");
    CALL_FAILS(&w, -HD_E_NO_NODES,
               "File /f could only be written to 0 of the 1 minReplication nodes. There are 0 "
               "datanode(s) running and no node(s) are excluded in this operation.",
               "addBlock", AddBlock, add_block, .src = S("/f"), .client_name = S("c1"));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_broken_chain_gets_a_new_stamp);
ATF_TC_BODY(a_broken_chain_gets_a_new_stamp, tc)
{
    struct world w;
    three_nodes(&w);
    node_start(&w, 4);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    Hdw__LocatedBlock *fresh =
        CALL(&w, "updateBlockForPipeline", UpdateBlockForPipeline, update_block_for_pipeline,
             .block = l->b, .client_name = S("c1"))
            ->block;
    ATF_CHECK_EQ(fresh->b->generation_stamp, 1002);
    ATF_CHECK_EQ(fresh->offset, UINT64_MAX);
    Hdw__LocatedBlock *more =
        CALL(&w, "getAdditionalDatanode", GetAdditionalDatanode, get_additional_datanode,
             .src = S("/f"), .blk = l->b, .n_existings = 2, .existings = l->locs,
             .num_additional_nodes = 1, .n_excludes = 1, .excludes = l->locs + 2,
             .client_name = S("c1"), .n_existing_storage_uuids = 2,
             .existing_storage_uuids = l->storage_i_ds)
            ->block;
    ATF_REQUIRE_EQ(more->n_locs, 3);
    int added = node_of(more->locs[2]);
    ATF_CHECK(added != node_of(l->locs[2]));
    Hdw__DatanodeID *ids[] = {more->locs[0]->id, more->locs[1]->id, more->locs[2]->id};
    fresh->b->num_bytes = 500;
    CALL(&w, "updatePipeline", UpdatePipeline, update_pipeline, .client_name = S("c1"),
         .old_block = l->b, .new_block = fresh->b, .n_new_nodes = 3, .new_nodes = ids,
         .n_storage_i_ds = 3, .storage_i_ds = more->storage_i_ds);
    CALL_FAILS(&w, -HD_E_IO, NULL, "updatePipeline", UpdatePipeline, update_pipeline,
               .client_name = S("c1"), .old_block = fresh->b, .new_block = fresh->b);
    fresh->b->num_bytes = 700;
    node_received(&w, added, fresh->b->block_id, 1002, 700);
    ATF_CHECK(do_complete(&w, "/f", "c1", fresh->b));
    /* The node that dropped out still has the old stamp: it is told to delete that. */
    node_received(&w, node_of(l->locs[2]), l->b->block_id, 1001, 500);
    for (int i = 0; i < 6; i++) { /* the reports of a block that was just closed are given time */
        world_pass(&w, 1000);
        node_beat(&w, added);
    }
    Hdw__SendHeartbeatResponse *r = node_beat(&w, node_of(l->locs[2]));
    ATF_REQUIRE_EQ(r->n_cmds, 1);
    ATF_CHECK_EQ(r->cmds[0]->blk_cmd->action, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE);
    ATF_CHECK_EQ(r->cmds[0]->blk_cmd->blocks[0]->gen_stamp, 1001);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(an_abandoned_block_is_deleted_where_it_may_have_been_written);
ATF_TC_BODY(an_abandoned_block_is_deleted_where_it_may_have_been_written, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    CALL(&w, "abandonBlock", AbandonBlock, abandon_block, .src = S("/f"), .holder = S("c1"),
         .b = l->b);
    for (int n = 1; n <= 3; n++) {
        Hdw__SendHeartbeatResponse *r = node_beat(&w, n);
        ATF_REQUIRE_EQ(r->n_cmds, 1);
        ATF_CHECK_EQ(r->cmds[0]->blk_cmd->action, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE);
        ATF_CHECK_EQ(r->cmds[0]->blk_cmd->blocks[0]->block_id, l->b->block_id);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(append_reopens_a_partial_block);
ATF_TC_BODY(append_reopens_a_partial_block, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 100);
    Hdw__AppendResponse *r =
        CALL(&w, "append", Append, append, .src = S("/f"), .client_name = S("c2"));
    ATF_REQUIRE(r->stat != NULL && r->block != NULL);
    ATF_CHECK_EQ(r->block->b->num_bytes, 100);
    ATF_CHECK_EQ(r->block->n_locs, 3);
    world_check(&w);
    b->num_bytes = 150; /* as Go and Rust do it: the stamp stays */
    for (int n = 1; n <= 3; n++) {
        node_received(&w, n, b->block_id, b->generation_stamp, 150);
    }
    ATF_CHECK(do_complete(&w, "/f", "c2", b));
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 3);
    ATF_CHECK_EQ(w.m->bad.count, 0);
    CALL_FAILS(&w, -ENOENT, "Failed to append to non-existent file /no for client 10.0.0.1",
               "append", Append, append, .src = S("/no"), .client_name = S("c"));
    CALL_FAILS(&w, -EEXIST, "Cannot append to directory /; already exists as a directory.",
               "append", Append, append, .src = S("/"), .client_name = S("c"));
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(append_behind_a_full_block_starts_a_new_one);
ATF_TC_BODY(append_behind_a_full_block_starts_a_new_one, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1 << 20);
    Hdw__AppendResponse *r =
        CALL(&w, "append", Append, append, .src = S("/f"), .client_name = S("c2"));
    ATF_CHECK(r->block == NULL);
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c2", NULL);
    ATF_CHECK_EQ(l->offset, 1 << 20);
    CALL(&w, "abandonBlock", AbandonBlock, abandon_block, .b = l->b, .src = S("/f"),
         .holder = S("c2"));
    CALL(&w, "abandonBlock", AbandonBlock, abandon_block, .b = l->b, .src = S("/f"),
         .holder = S("c2"));
    ATF_CHECK(do_complete(&w, "/f", "c2", NULL) == true);
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 1 << 20);
    world_check(&w);
    world_done(&w);
}

static bool recover_lease(struct world *w, const char *path)
{
    return CALL(w, "recoverLease", RecoverLease, recover_lease, .src = S(path),
                .client_name = S("other"))
        ->result;
}

/* The recovery command that some node gets with its next heartbeat. */
static Hdw__RecoveringBlock *find_recovery(struct world *w, int *ret_node)
{
    for (int n = 1; n <= 3; n++) {
        Hdw__SendHeartbeatResponse *r = node_beat(w, n);
        for (size_t i = 0; i < r->n_cmds; i++) {
            if (r->cmds[i]->recovery_cmd != NULL) {
                *ret_node = n;
                return r->cmds[i]->recovery_cmd->blocks[0];
            }
        }
    }
    return NULL;
}

static struct answer *try_synchronize(struct world *w, int node, const Hdw__RecoveringBlock *r,
                                      uint64_t length, bool delete_block)
{
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    char *storages[] = {S("DS-1"), S("DS-2"), S("DS-3")};
    Hdw__DatanodeID *targets[3];
    struct registration g[3];
    for (int i = 0; i < 3; i++) {
        registration_init(&g[i], i + 1);
        targets[i] = &g[i].id;
    }
    q.block = r->block->b;
    q.new_gen_stamp = r->new_gen_stamp;
    q.new_length = length;
    q.close_file = true;
    q.delete_block = delete_block;
    q.n_new_taragets = q.n_new_target_storages = delete_block ? 0 : 3;
    q.new_taragets = targets;
    q.new_target_storages = storages;
    return world_answer(
        w, world_send(w, DATANODE_PROTOCOL, "commitBlockSynchronization", &q, node_conn(node)));
}

static struct answer *synchronize(struct world *w, int node, const Hdw__RecoveringBlock *r,
                                  uint64_t length, bool delete_block)
{
    struct answer *a = try_synchronize(w, node, r, length, delete_block);
    ATF_REQUIRE_MSG(a != NULL && a->err == 0, "%s", a != NULL ? a->text : "not answered");
    return a;
}

ATF_TC_WITHOUT_HEAD(truncate_inside_a_block_goes_through_recovery);
ATF_TC_BODY(truncate_inside_a_block_goes_through_recovery, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1000);
#define TRUNCATE(size)                                                                             \
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = size,                   \
         .client_name = S("c"))                                                                    \
        ->result
    CALL_FAILS(&w, -HD_E_ILLEGAL_ARGUMENT,
               "Cannot truncate to a larger file size. Current size: 1000, truncate size: 2000.",
               "truncate", Truncate, truncate, .src = S("/f"), .new_length = 2000,
               .client_name = S("c"));
    ATF_CHECK(TRUNCATE(1000));
    ATF_CHECK(!TRUNCATE(600));
    ATF_CHECK(!TRUNCATE(600));
    CALL_FAILS(&w, -HD_E_BEING_CREATED,
               "Failed to TRUNCATE_FILE /f for c on 10.0.0.1 because /f is being truncated.",
               "truncate", Truncate, truncate, .src = S("/f"), .new_length = 500,
               .client_name = S("c"));
    world_check(&w);
    int node = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(r->block->n_locs, 3);
    ATF_REQUIRE(r->truncate_block != NULL);
    ATF_CHECK_EQ(r->truncate_block->num_bytes, 600);
    synchronize(&w, node, r, 600, false);
    ATF_CHECK(CALL(&w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 600);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->b->generation_stamp, r->new_gen_stamp);
    ATF_CHECK(TRUNCATE(0));
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 0);
    world_check(&w);
    world_done(&w);
}

/* What a node is told to delete with its next heartbeat: the stamp, or 0. */
static uint64_t deleted_stamp(struct world *w, int n)
{
    Hdw__SendHeartbeatResponse *r = node_beat(w, n);
    for (size_t i = 0; i < r->n_cmds; i++) {
        const Hdw__BlockCommand *b = r->cmds[i]->blk_cmd;
        if (b != NULL && b->action == HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) {
            return b->blocks[0]->gen_stamp;
        }
    }
    return 0;
}

ATF_TC_WITHOUT_HEAD(mkdirs_is_answered_again_after_a_restart);
ATF_TC_BODY(mkdirs_is_answered_again_after_a_restart, tc)
{
    struct world w;
    world_init(&w);
    w.call_id = 7;
    ATF_CHECK(do_mkdirs(&w, "/d", 0755));
    world_restart(&w);
    ATF_CHECK(do_mkdirs(&w, "/d", 0755));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_replica_that_a_recovery_left_out_goes);
ATF_TC_BODY(a_replica_that_a_recovery_left_out_goes, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1000);
    ATF_CHECK(!CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 600,
                    .client_name = S("c"))
                   ->result);
    int node = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    char *storages[] = {S("DS-1"), S("DS-2")};
    struct registration g[2];
    registration_init(&g[0], 1);
    registration_init(&g[1], 2);
    Hdw__DatanodeID *targets[] = {&g[0].id, &g[1].id};
    q.block = r->block->b;
    q.new_gen_stamp = r->new_gen_stamp;
    q.new_length = 600;
    q.close_file = true;
    q.n_new_taragets = q.n_new_target_storages = 2;
    q.new_taragets = targets;
    q.new_target_storages = storages;
    node_send(&w, 1, "commitBlockSynchronization", &q);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 2);
    nodes_pass(&w, 1, 2, 6000);
    ATF_CHECK_EQ(deleted_stamp(&w, 3), 1001); /* what it was written with */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_recovery_goes_on_after_a_restart_among_replicas_that_wait_for_it);
ATF_TC_BODY(a_recovery_goes_on_after_a_restart_among_replicas_that_wait_for_it, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 1000);
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 600,
         .client_name = S("c"));
    int node = 0;
    ATF_REQUIRE(find_recovery(&w, &node) != NULL);
    world_restart(&w); /* all nodes have begun the recovery, and nobody ends it */
    for (int n = 1; n <= 3; n++) {
        node_register(&w, n);
        node_beat(&w, n);
        node_report_as(&w, n, HDW__REPLICA_STATE__REPLICA_RUR,
                       (const uint64_t[][3]){{b->block_id, 1000, b->generation_stamp}}, 1);
    }
    Hdw__RecoveringBlock *r = NULL;
    for (int i = 0; i < 20 && r == NULL; i++) {
        nodes_pass(&w, 1, 0, 1000);
        r = find_recovery(&w, &node);
    }
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(r->block->n_locs, 3);
    synchronize(&w, node, r, 600, false);
    ATF_CHECK(CALL(&w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_end_of_a_recovery_closes_the_file_in_one_record);
ATF_TC_BODY(the_end_of_a_recovery_closes_the_file_in_one_record, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1000);
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 600,
         .client_name = S("c"));
    int node = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    size_t before = w.record_count;
    synchronize(&w, node, r, 600, false);
    ATF_CHECK_EQ(w.record_count, before + 1);
    ATF_CHECK(CALL(&w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 3);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_recovery_without_a_known_replica_ends_nothing);
ATF_TC_BODY(a_recovery_without_a_known_replica_ends_nothing, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1000);
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 600,
         .client_name = S("c"));
    int node = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    q.block = r->block->b;
    q.new_gen_stamp = r->new_gen_stamp;
    q.new_length = 600;
    q.close_file = true;
    struct answer *a = world_answer(
        &w, world_send(&w, DATANODE_PROTOCOL, "commitBlockSynchronization", &q, node_conn(node)));
    ATF_CHECK_EQ(a->err, -HD_E_IO);
    ATF_CHECK(!CALL(&w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(only_the_node_that_was_told_last_recovers);
ATF_TC_BODY(only_the_node_that_was_told_last_recovers, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/f", 1000);
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 600,
         .client_name = S("c"));
    for (int i = 0; i < 20; i++) { /* nobody beats: it is ordered again and again, here and there */
        world_pass(&w, 600);
    }
    int orders = 0;
    for (int n = 1; n <= 3; n++) {
        Hdw__SendHeartbeatResponse *r = node_beat(&w, n);
        for (size_t i = 0; i < r->n_cmds; i++) {
            orders +=
                r->cmds[i]->recovery_cmd != NULL ? (int)r->cmds[i]->recovery_cmd->n_blocks : 0;
        }
    }
    ATF_CHECK_EQ(orders, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(stopped_replicas_wait_for_a_node_that_is_away);
ATF_TC_BODY(stopped_replicas_wait_for_a_node_that_is_away, tc)
{
    struct world w;
    int node = 0;
    three_nodes(&w);
    do_create(&w, "/f", "gone");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "gone", NULL);
    const uint64_t replica[][3] = {{l->b->block_id, 100, l->b->generation_stamp}};
    world_restart(&w);
    for (int n = 1; n <= 3; n++) {
        node_register(&w, n);
        if (n < 3) { /* one of them may have lost its power; the third hangs */
            node_report_as(&w, n, HDW__REPLICA_STATE__REPLICA_RWR, replica, 1);
        }
    }
    ATF_CHECK(!recover_lease(&w, "/f"));
    ATF_CHECK(find_recovery(&w, &node) == NULL);
    node_report_as(&w, 3, HDW__REPLICA_STATE__REPLICA_RBW, replica, 1);
    ATF_CHECK(!recover_lease(&w, "/f"));
    ATF_CHECK(find_recovery(&w, &node) != NULL);
    world_done(&w);
}

static bool is_closed(struct world *w, const char *path)
{
    return CALL(w, "isFileClosed", IsFileClosed, is_file_closed, .src = S(path))->result;
}

/* An open file of one block; its writer told of 100 bytes, and meta was started again. */
static Hdw__ExtendedBlock *lose_power(struct world *w)
{
    three_nodes(w);
    do_create(w, "/f", "gone");
    Hdw__LocatedBlock *l = do_add_block(w, "/f", "gone", NULL);
    CALL(w, "fsync", Fsync, fsync, .src = S("/f"), .client = S("gone"),
         .has_last_block_length = true, .last_block_length = 100);
    world_restart(w);
    world_check(w);
    return l->b;
}

static void report_stopped(struct world *w, int n, const Hdw__ExtendedBlock *b, uint64_t size)
{
    const uint64_t replica[][3] = {{b->block_id, size, b->generation_stamp}};
    node_register(w, n);
    node_beat(w, n);
    node_report_as(w, n, HDW__REPLICA_STATE__REPLICA_RWR, replica, 1);
}

ATF_TC_WITHOUT_HEAD(an_end_that_no_node_of_the_chain_has_is_not_waited_for);
ATF_TC_BODY(an_end_that_no_node_of_the_chain_has_is_not_waited_for, tc)
{
    struct world w;
    int node = 0;
    Hdw__ExtendedBlock *b = lose_power(&w);
    for (int n = 1; n <= 3; n++) {
        report_stopped(&w, n, b, 60);
    }
    ATF_CHECK(!recover_lease(&w, "/f"));
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    synchronize(&w, node, r, 60, false);
    ATF_CHECK(is_closed(&w, "/f"));
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 60);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(an_end_that_a_node_of_the_chain_may_bring_is_waited_for);
ATF_TC_BODY(an_end_that_a_node_of_the_chain_may_bring_is_waited_for, tc)
{
    struct world w;
    int node = 0;
    Hdw__ExtendedBlock *b = lose_power(&w);
    const uint64_t replica[][3] = {{b->block_id, 60, b->generation_stamp}};
    report_stopped(&w, 1, b, 60);
    node_register(&w, 2);
    node_report_as(&w, 2, HDW__REPLICA_STATE__REPLICA_RBW, replica, 1);
    node_register(&w, 3); /* and tells nothing yet */
    ATF_CHECK(!recover_lease(&w, "/f"));
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(try_synchronize(&w, node, r, 60, false)->err, -HD_E_IO);
    report_stopped(&w, 3, b, 100); /* the recovery that was ordered knows nothing of this one */
    ATF_CHECK_EQ(try_synchronize(&w, node, r, 60, false)->err, -HD_E_IO);
    ATF_CHECK_EQ(try_synchronize(&w, node, r, 0, true)->err, -HD_E_IO);
    ATF_CHECK(!is_closed(&w, "/f"));
    r = NULL;
    for (int i = 0; i < 10 && r == NULL; i++) {
        world_pass(&w, 1000);
        recover_lease(&w, "/f");
        r = find_recovery(&w, &node);
    }
    ATF_REQUIRE(r != NULL); /* with all three */
    ATF_CHECK_EQ(r->block->n_locs, 3);
    synchronize(&w, node, r, 100, false);
    ATF_CHECK(is_closed(&w, "/f"));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_left_the_chain_is_not_waited_for);
ATF_TC_BODY(a_node_that_left_the_chain_is_not_waited_for, tc)
{
    struct world w;
    int node = 0;
    three_nodes(&w);
    do_create(&w, "/f", "gone");
    Hdw__ExtendedBlock *b = do_add_block(&w, "/f", "gone", NULL)->b;
    Hdw__LocatedBlock *next = CALL(&w, "updateBlockForPipeline", UpdateBlockForPipeline,
                                   update_block_for_pipeline, .block = b, .client_name = S("gone"))
                                  ->block;
    struct registration g[2];
    Hdw__DatanodeID *nodes[2];
    char *storages[] = {S("DS-1"), S("DS-2")};
    for (int i = 0; i < 2; i++) {
        registration_init(&g[i], i + 1);
        nodes[i] = &g[i].id;
    }
    next->b->num_bytes = 100;
    CALL(&w, "updatePipeline", UpdatePipeline, update_pipeline, .client_name = S("gone"),
         .old_block = b, .new_block = next->b, .n_new_nodes = 2, .new_nodes = nodes,
         .n_storage_i_ds = 2, .storage_i_ds = storages);
    world_check(&w);
    world_restart(&w);
    report_stopped(&w, 1, next->b, 60);
    ATF_CHECK(!recover_lease(&w, "/f"));
    ATF_CHECK(find_recovery(&w, &node) == NULL); /* the second is */
    report_stopped(&w, 2, next->b, 60);
    ATF_CHECK(!recover_lease(&w, "/f"));
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(r->block->n_locs, 2);
    node_register(&w, 3);
    synchronize(&w, node, r, 60, false);
    ATF_CHECK(is_closed(&w, "/f"));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_a_failed_directory_received_does_not_count);
ATF_TC_BODY(what_a_failed_directory_received_does_not_count, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 1000);
    struct registration r;
    registration_init(&r, 3);
    Hdw__StorageReport s = HDW__STORAGE_REPORT__INIT;
    Hdw__StorageReport *all[] = {&s};
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    s.storage_uuid = S("DS-3-other");
    q.registration = &r.g;
    q.n_reports = 1;
    q.reports = all;
    node_send(&w, 3, "sendHeartbeat", &q);                        /* DS-3 is not there any more */
    node_received(&w, 3, b->block_id, b->generation_stamp, 1000); /* the report was under way */
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_a_client_has_seen_is_durable);
ATF_TC_BODY(what_a_client_has_seen_is_durable, tc)
{
    struct world w;
    world_init(&w);
    w.durable = hd_meta_txid(w.m).v;
    do_mkdirs(&w, "/d", 0755);
    Hdw__GetFileLinkInfoRequest q = HDW__GET_FILE_LINK_INFO_REQUEST__INIT;
    q.src = S("/d");
    ATF_CHECK_EQ(world_call(&w, "getFileLinkInfo", &q)->after, hd_meta_txid(w.m).v);
    w.posix = true; /* a mount knows what it may lose */
    ATF_CHECK_EQ(world_call(&w, "getFileLinkInfo", &q)->after, 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(unfinished_replicas_of_a_closed_block_are_finished);
ATF_TC_BODY(unfinished_replicas_of_a_closed_block_are_finished, tc)
{
    struct world w;
    three_nodes(&w);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 1000);
    world_restart(&w); /* a power cut: no node has the name of the finished replica on its disk */
    const uint64_t sizes[] = {0, 1000, 1000, 900};
    for (int n = 1; n <= 3; n++) {
        node_register(&w, n);
        node_report_as(&w, n, HDW__REPLICA_STATE__REPLICA_RWR,
                       (const uint64_t[][3]){{b->block_id, sizes[n], b->generation_stamp}}, 1);
    }
    for (int n = 1; n <= 3; n++) {
        Hdw__SendHeartbeatResponse *h = node_beat(&w, n); /* also in safe mode */
        const Hdw__BlockRecoveryCommand *c = h->n_cmds > 0 ? h->cmds[0]->recovery_cmd : NULL;
        ATF_REQUIRE_EQ(c != NULL, n != 3); /* what is shorter has lost bytes */
        if (c == NULL) {
            continue;
        }
        ATF_CHECK_EQ(c->blocks[0]->new_gen_stamp, b->generation_stamp);
        ATF_REQUIRE(c->blocks[0]->truncate_block != NULL);
        ATF_CHECK_EQ(c->blocks[0]->truncate_block->num_bytes, 1000);
        node_received(&w, n, b->block_id, b->generation_stamp, 1000);
    }
    nodes_pass(&w, 1, 3, 1000);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 2);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_chooses_another_storage_is_named_once);
ATF_TC_BODY(a_node_that_chooses_another_storage_is_named_once, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    node_says_on(&w, 1, "DS-1-b", HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, l->b->block_id, 1001,
                 100);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 3);
    /* The chain breaks, and its writer only knows what it was told. */
    Hdw__LocatedBlock *fresh =
        CALL(&w, "updateBlockForPipeline", UpdateBlockForPipeline, update_block_for_pipeline,
             .block = l->b, .client_name = S("c1"))
            ->block;
    Hdw__DatanodeID *ids[] = {l->locs[0]->id, l->locs[1]->id, l->locs[2]->id};
    node_says_on(&w, 1, "DS-1-b", HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED, l->b->block_id, 1002,
                 100);
    fresh->b->num_bytes = 100;
    CALL(&w, "updatePipeline", UpdatePipeline, update_pipeline, .client_name = S("c1"),
         .old_block = l->b, .new_block = fresh->b, .n_new_nodes = 3, .new_nodes = ids,
         .n_storage_i_ds = 3, .storage_i_ds = l->storage_i_ds);
    ATF_CHECK(do_complete(&w, "/f", "c1", fresh->b)); /* the report has come already */
    ATF_CHECK(!CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 50,
                    .client_name = S("c1"))
                   ->result);
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->n_locs, 3); /* as the recovery names them */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(an_expired_lease_is_recovered);
ATF_TC_BODY(an_expired_lease_is_recovered, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "gone");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "gone", NULL);
    CALL(&w, "fsync", Fsync, fsync, .src = S("/f"), .client = S("gone"),
         .has_last_block_length = true, .last_block_length = 700);
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 700);
    ATF_CHECK_EQ(do_locate(&w, "/f")->file_length, 0);
    nodes_pass(&w, 1, 3, 61000);
    struct answer *a = try_create(&w, "/f", "new", 1, 3);
    ATF_CHECK_EQ(a->err, -HD_E_RECOVERY);
    int node = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &node);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(r->block->b->num_bytes, 700);
    /* The old holder has lost it. */
    CALL_FAILS(&w, -HD_E_LEASE_EXPIRED, NULL, "complete", Complete, complete, .src = S("/f"),
               .client_name = S("gone"), .last = l->b);
    world_check(&w);
    synchronize(&w, node, r, 900, false);
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 900);
    ATF_CHECK(
        CALL(&w, "recoverLease", RecoverLease, recover_lease, .src = S("/f"), .client_name = S("x"))
            ->result);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_recovery_that_nobody_answers_is_sent_again);
ATF_TC_BODY(a_recovery_that_nobody_answers_is_sent_again, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "gone");
    do_add_block(&w, "/f", "gone", NULL);
    ATF_CHECK(!CALL(&w, "recoverLease", RecoverLease, recover_lease, .src = S("/f"),
                    .client_name = S("x"))
                   ->result);
    int first = 0;
    Hdw__RecoveringBlock *r = find_recovery(&w, &first);
    ATF_REQUIRE(r != NULL);
    nodes_pass(&w, 1, 3, 1000);
    w.now_ms += 8000; /* nobody answers */
    int second = 0;
    Hdw__RecoveringBlock *again = NULL;
    for (int i = 0; i < 10 && again == NULL; i++) {
        world_pass(&w, 500);
        again = find_recovery(&w, &second);
    }
    ATF_REQUIRE(again != NULL);
    ATF_CHECK(second != first);
    ATF_CHECK(again->new_gen_stamp > r->new_gen_stamp);
    ATF_CHECK_EQ(world_answer(&w, synchronize(&w, second, again, 0, true)->token)->err, 0);
    ATF_CHECK(CALL(&w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(renewed_leases_stay);
ATF_TC_BODY(renewed_leases_stay, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "busy");
    for (int i = 0; i < 5; i++) {
        nodes_pass(&w, 1, 3, 30000);
        CALL(&w, "renewLease", RenewLease, renew_lease, .client_name = S("busy"));
    }
    ATF_CHECK_EQ(try_create(&w, "/f", "other", 1, 3)->err, -HD_E_BEING_CREATED);
    nodes_pass(&w, 1, 3, 60000);
    ATF_CHECK_EQ(try_create(&w, "/f", "other", 1, 3)->err, -EEXIST); /* empty: closed at once */
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(open_files_survive_a_restart);
ATF_TC_BODY(open_files_survive_a_restart, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    world_restart(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    l->b->num_bytes = 10;
    node_received(&w, 1, l->b->block_id, l->b->generation_stamp, 10);
    ATF_CHECK(do_complete(&w, "/f", "c1", l->b));
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_block_is_not_given_up_before_its_nodes_can_have_come_back);
ATF_TC_BODY(a_block_is_not_given_up_before_its_nodes_can_have_come_back, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    world_restart(&w);
    ATF_CHECK(!recover_lease(&w, "/f")); /* nobody is there yet */
    node_start(&w, 1);
    node_start(&w, 2);
    ATF_CHECK(!recover_lease(&w, "/f"));
    node_start(&w, 3);
    node_says(&w, 3, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, l->b->block_id,
              l->b->generation_stamp, 10);
    ATF_CHECK(!recover_lease(&w, "/f"));
    int node;
    ATF_CHECK(find_recovery(&w, &node) != NULL); /* its bytes are asked for */
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(replicas_are_cut_only_when_the_record_is_durable);
ATF_TC_BODY(replicas_are_cut_only_when_the_record_is_durable, tc)
{
    struct world w;
    int node;
    three_nodes(&w);
    do_write(&w, "/f", 100);
    w.durable = hd_meta_txid(w.m).v;
    CALL(&w, "truncate", Truncate, truncate, .src = S("/f"), .new_length = 40,
         .client_name = S("c1"));
    ATF_CHECK(find_recovery(&w, &node) == NULL);
    w.durable = UINT64_MAX;
    ATF_CHECK(find_recovery(&w, &node) != NULL);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_block_that_no_node_has_is_given_up_in_the_end);
ATF_TC_BODY(a_block_that_no_node_has_is_given_up_in_the_end, tc)
{
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    do_add_block(&w, "/f", "c1", NULL);
    world_restart(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    nodes_pass(&w, 1, 3, 61000);
    ATF_CHECK(recover_lease(&w, "/f"));
    ATF_CHECK_EQ(do_stat(&w, "/f")->length, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_new_process_gives_out_no_name_of_the_one_before);
ATF_TC_BODY(a_new_process_gives_out_no_name_of_the_one_before, tc)
{
    /* A power cut may have taken the records of names that data nodes have on their disks. */
    enum { RECORDS_LOST = 1 << 20 };
    struct world w;
    three_nodes(&w);
    do_create(&w, "/f", "c1");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "c1", NULL);
    uint64_t block = l->b->block_id;
    uint64_t stamp = l->b->generation_stamp;
    uint64_t inode = do_stat(&w, "/f")->file_id;
    world_restart(&w);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    do_create(&w, "/g", "c1");
    l = do_add_block(&w, "/g", "c1", NULL);
    ATF_CHECK(l->b->block_id > block + RECORDS_LOST);
    ATF_CHECK(l->b->generation_stamp > stamp + RECORDS_LOST);
    ATF_CHECK(do_stat(&w, "/g")->file_id > inode + RECORDS_LOST);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(concat_moves_blocks);
ATF_TC_BODY(concat_moves_blocks, tc)
{
    struct world w;
    three_nodes(&w);
    do_write(&w, "/a", 100);
    do_write(&w, "/b", 200);
    do_write(&w, "/c", 300);
    char *sources[] = {S("/b"), S("/c")};
    CALL(&w, "concat", Concat, concat, .trg = S("/a"), .n_srcs = 2, .srcs = sources);
    ATF_CHECK_EQ(do_stat(&w, "/a")->length, 600);
    ATF_CHECK(do_stat(&w, "/b") == NULL);
    Hdw__LocatedBlocks *l = do_locate(&w, "/a");
    ATF_REQUIRE_EQ(l->n_blocks, 3);
    ATF_CHECK_EQ(l->blocks[2]->n_locs, 3);
    ATF_CHECK_EQ(l->blocks[2]->offset, 300);
    ATF_CHECK_EQ(node_beat(&w, 1)->n_cmds, 0); /* nothing is garbage */
    sources[1] = S("/a");
    do_write(&w, "/b", 1);
    CALL_FAILS(&w, -HD_E_ILLEGAL_ARGUMENT,
               "concat: the src file /a is the same with the target file /a", "concat", Concat,
               concat, .trg = S("/a"), .n_srcs = 2, .srcs = sources);
    world_check(&w);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_file_is_written_in_hadoops_order);
    ATF_TP_ADD_TC(tp, complete_waits_for_the_last_report);
    ATF_TP_ADD_TC(tp, complete_says_false_when_no_report_comes);
    ATF_TP_ADD_TC(tp, wrong_holders_and_files_are_told_in_hadoops_words);
    ATF_TP_ADD_TC(tp, overwriting_replaces_file_and_blocks_at_once);
    ATF_TP_ADD_TC(tp, replicas_are_deleted_only_after_the_record_is_durable);
    ATF_TP_ADD_TC(tp, no_node_left_is_said_as_hadoop_says_it);
    ATF_TP_ADD_TC(tp, a_broken_chain_gets_a_new_stamp);
    ATF_TP_ADD_TC(tp, mkdirs_is_answered_again_after_a_restart);
    ATF_TP_ADD_TC(tp, a_replica_that_a_recovery_left_out_goes);
    ATF_TP_ADD_TC(tp, stopped_replicas_wait_for_a_node_that_is_away);
    ATF_TP_ADD_TC(tp, an_end_that_no_node_of_the_chain_has_is_not_waited_for);
    ATF_TP_ADD_TC(tp, an_end_that_a_node_of_the_chain_may_bring_is_waited_for);
    ATF_TP_ADD_TC(tp, a_node_that_left_the_chain_is_not_waited_for);
    ATF_TP_ADD_TC(tp, what_a_failed_directory_received_does_not_count);
    ATF_TP_ADD_TC(tp, what_a_client_has_seen_is_durable);
    ATF_TP_ADD_TC(tp, unfinished_replicas_of_a_closed_block_are_finished);
    ATF_TP_ADD_TC(tp, a_recovery_goes_on_after_a_restart_among_replicas_that_wait_for_it);
    ATF_TP_ADD_TC(tp, the_end_of_a_recovery_closes_the_file_in_one_record);
    ATF_TP_ADD_TC(tp, a_recovery_without_a_known_replica_ends_nothing);
    ATF_TP_ADD_TC(tp, only_the_node_that_was_told_last_recovers);
    ATF_TP_ADD_TC(tp, a_node_that_chooses_another_storage_is_named_once);
    ATF_TP_ADD_TC(tp, an_abandoned_block_is_deleted_where_it_may_have_been_written);
    ATF_TP_ADD_TC(tp, append_reopens_a_partial_block);
    ATF_TP_ADD_TC(tp, append_behind_a_full_block_starts_a_new_one);
    ATF_TP_ADD_TC(tp, truncate_inside_a_block_goes_through_recovery);
    ATF_TP_ADD_TC(tp, an_expired_lease_is_recovered);
    ATF_TP_ADD_TC(tp, a_recovery_that_nobody_answers_is_sent_again);
    ATF_TP_ADD_TC(tp, renewed_leases_stay);
    ATF_TP_ADD_TC(tp, open_files_survive_a_restart);
    ATF_TP_ADD_TC(tp, a_block_is_not_given_up_before_its_nodes_can_have_come_back);
    ATF_TP_ADD_TC(tp, replicas_are_cut_only_when_the_record_is_durable);
    ATF_TP_ADD_TC(tp, a_block_that_no_node_has_is_given_up_in_the_end);
    ATF_TP_ADD_TC(tp, a_new_process_gives_out_no_name_of_the_one_before);
    ATF_TP_ADD_TC(tp, concat_moves_blocks);
    return atf_no_error();
}
