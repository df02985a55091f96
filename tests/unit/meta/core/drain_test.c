/* Tests of what administrators ask of data nodes: decommission, maintenance, and back. */
#include "tests/unit/meta/core/harness.h"
#include "meta/core/block_map.h"
#include "howdah.pb-c.h"

#define META_PROTOCOL "howdah.MetaProtocol"

static void some_nodes(struct world *w, int count)
{
    world_init(w);
    for (int n = 1; n <= count; n++) {
        node_start(w, n);
    }
}

static struct answer *meta_call(struct world *w, const char *method, const void *request)
{
    struct answer *a = world_answer(w, world_send(w, META_PROTOCOL, method, request, 1));
    ATF_REQUIRE(a != NULL);
    return a;
}

static struct answer *try_state(struct world *w, const char *node, Hdw__NodeAdminState state,
                                int64_t until_ms)
{
    Hdw__SetNodeStateRequest q = HDW__SET_NODE_STATE_REQUEST__INIT;
    q.node = S(node);
    q.state = state;
    q.has_until_ms = until_ms != 0;
    q.until_ms = (uint64_t)until_ms;
    return meta_call(w, "setNodeState", &q);
}

static void set_state(struct world *w, int n, Hdw__NodeAdminState state, int64_t until_ms)
{
    struct answer *a = try_state(w, node_texts(n).uuid, state, until_ms);
    ATF_REQUIRE_MSG(a->err == 0, "%s", a->text);
}

static void decommission(struct world *w, int n)
{
    set_state(w, n, HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING, 0);
}

static void maintain(struct world *w, int n, int64_t for_ms)
{
    set_state(w, n, HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE, w->wall_ms + for_ms);
}

static void recommission(struct world *w, int n)
{
    set_state(w, n, HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE, 0);
}

static Hdw__NodeReport *report_of(struct world *w, int n)
{
    Hdw__GetNodesRequest q = HDW__GET_NODES_REQUEST__INIT;
    struct answer *a = meta_call(w, "getNodes", &q);
    ATF_REQUIRE_EQ(a->err, 0);
    Hdw__GetNodesResponse *r = world_decode(w, a, &hdw__get_nodes_response__descriptor);
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (strcmp(r->nodes[i]->uuid, node_texts(n).uuid) == 0) {
            return r->nodes[i];
        }
    }
    atf_tc_fail("node %d is not reported", n);
}

static int state_of(struct world *w, int n)
{
    return (int)report_of(w, n)->admin_state;
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

/* Lets time pass; nodes do what they are told. How many copies were made; `gone` says nothing. */
static int live_on(struct world *w, int nodes, int gone, int64_t ms)
{
    int copies = 0;
    for (; ms > 0; ms -= 500) {
        world_pass(w, 500);
        for (int n = 1; n <= nodes; n++) {
            if (n == gone) {
                continue;
            }
            Hdw__SendHeartbeatResponse *r = node_beat(w, n);
            Hdw__BlockCommand *c = find_command(r, HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER);
            for (size_t i = 0; c != NULL && i < c->n_blocks; i++, copies++) {
                node_received(w, node_of(c->targets[i]->datanodes[0]), c->blocks[i]->block_id,
                              c->blocks[i]->gen_stamp, c->blocks[i]->num_bytes);
            }
            c = find_command(r, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE);
            for (size_t i = 0; c != NULL && i < c->n_blocks; i++) {
                node_says(w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED, c->blocks[i]->block_id,
                          c->blocks[i]->gen_stamp, c->blocks[i]->num_bytes);
            }
        }
    }
    return copies;
}

static void close_conn(struct world *w, int n)
{
    world_step(w, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = node_conn(n)});
}

static struct hd_meta_stats stats(struct world *w)
{
    struct hd_meta_stats s;
    hd_meta_stats(w->m, &s);
    return s;
}

static int holder_of(struct world *w, const char *path, size_t index)
{
    Hdw__LocatedBlock *l = do_locate(w, path)->blocks[0];
    ATF_REQUIRE(index < l->n_locs);
    return node_of(l->locs[index]);
}

static size_t locations(struct world *w, const char *path)
{
    return do_locate(w, path)->blocks[0]->n_locs;
}

static struct hd_blk_count count_of(struct world *w, const Hdw__ExtendedBlock *b)
{
    return hd_blk_count(w->m, hd_ns_block(&w->m->ns, (struct hd_block_id){b->block_id}));
}

ATF_TC_WITHOUT_HEAD(a_decommissioning_nodes_blocks_are_copied_and_then_it_may_go);
ATF_TC_BODY(a_decommissioning_nodes_blocks_are_copied_and_then_it_may_go, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    decommission(&w, n);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    ATF_CHECK_EQ(count_of(&w, b).live, 2);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0); /* it can still be read there */
    ATF_CHECK_EQ(holder_of(&w, "/f", 2), n);            /* last, and said so */
    ATF_CHECK_EQ(do_locate(&w, "/f")->blocks[0]->locs[2]->admin_state,
                 HDW__ADMIN_STATE__ADMIN_DECOMMISSION_INPROGRESS);
    ATF_CHECK_EQ(live_on(&w, 4, 0, 4000), 1);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    ATF_CHECK_EQ(locations(&w, "/f"), 4); /* what it has is not deleted */
    close_conn(&w, n);
    ATF_CHECK_EQ(live_on(&w, 4, n, 10000), 0);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(progress_is_the_number_of_blocks_that_need_the_node);
ATF_TC_BODY(progress_is_the_number_of_blocks_that_need_the_node, tc)
{
    struct world w;
    some_nodes(&w, 3);
    for (int i = 0; i < 20; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        do_write(&w, path, 10);
    }
    node_start(&w, 4);
    nodes_pass(&w, 1, 4, 6000);
    decommission(&w, 2);
    world_pass(&w, 100);
    ATF_CHECK_EQ(report_of(&w, 2)->blocks_to_move, 20);
    for (int i = 0; i < 5; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        do_delete(&w, path, false);
    }
    nodes_pass(&w, 1, 4, 3000); /* orders are given, nobody obeys */
    ATF_CHECK_EQ(report_of(&w, 2)->blocks_to_move, 15);
    live_on(&w, 4, 0, 60000);
    ATF_CHECK_EQ(report_of(&w, 2)->blocks_to_move, 0);
    ATF_CHECK_EQ(state_of(&w, 2), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_is_not_in_service_gets_no_blocks);
ATF_TC_BODY(a_node_that_is_not_in_service_gets_no_blocks, tc)
{
    struct world w;
    some_nodes(&w, 4);
    decommission(&w, 1); /* the writer's own machine */
    maintain(&w, 2, 60000);
    for (int i = 0; i < 8; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        do_create(&w, path, "writer");
        Hdw__LocatedBlock *l = do_add_block(&w, path, "writer", NULL);
        ATF_REQUIRE_EQ(l->n_locs, 2);
        ATF_CHECK(node_of(l->locs[0]) > 2 && node_of(l->locs[1]) > 2);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(recommission_trims_what_is_too_many);
ATF_TC_BODY(recommission_trims_what_is_too_many, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    decommission(&w, n);
    live_on(&w, 4, 0, 4000);
    ATF_REQUIRE_EQ(locations(&w, "/f"), 4);
    recommission(&w, n);
    live_on(&w, 4, 0, 2000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(where_fewer_nodes_are_left_than_replicas_one_on_each_is_enough);
ATF_TC_BODY(where_fewer_nodes_are_left_than_replicas_one_on_each_is_enough, tc)
{
    struct world w;
    some_nodes(&w, 3);
    w.m->o.lease_soft_ms = 0;
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 3, 6000);
    w.m->o.lease_soft_ms = 20000;
    decommission(&w, 1);
    nodes_pass(&w, 1, 3, 3000); /* there may be others that have not come yet */
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    nodes_pass(&w, 1, 3, 12000);
    nodes_pass(&w, 1, 3, 3000);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    decommission(&w, 2);
    nodes_pass(&w, 1, 3, 3000);
    ATF_CHECK_EQ(state_of(&w, 2), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    decommission(&w, 3); /* the last one: there is nowhere to go */
    nodes_pass(&w, 1, 3, 3000);
    ATF_CHECK_EQ(state_of(&w, 3), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    ATF_CHECK_EQ(report_of(&w, 3)->blocks_to_move, 1);
    ATF_CHECK_EQ(count_of(&w, b).readable, 3);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_died_lately_is_waited_for_where_nodes_are_few);
ATF_TC_BODY(a_node_that_died_lately_is_waited_for_where_nodes_are_few, tc)
{
    struct world w;
    some_nodes(&w, 4);
    w.m->o.lease_soft_ms = 0;
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int gone = 1;
    while (count_of(&w, b).live == 3 && gone <= 4) { /* one that has none of it */
        bool has = false;
        for (size_t i = 0; i < 3; i++) {
            has |= holder_of(&w, "/f", i) == gone;
        }
        if (!has) {
            break;
        }
        gone++;
    }
    close_conn(&w, gone);
    live_on(&w, 4, gone, 5000);
    int n = gone % 4 + 1;
    decommission(&w, n);
    live_on(&w, 4, gone, 10000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    node_start(&w, gone); /* and takes a copy */
    live_on(&w, 4, 0, 10000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    recommission(&w, n);
    live_on(&w, 4, 0, 4000);
    close_conn(&w, gone);
    w.m->o.lease_hard_ms = 20000;
    live_on(&w, 4, gone, 5000);
    decommission(&w, n);
    live_on(&w, 4, gone, 30000); /* it is not expected back any more */
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_last_block_of_an_open_file_holds_the_node_back);
ATF_TC_BODY(the_last_block_of_an_open_file_holds_the_node_back, tc)
{
    struct world w;
    some_nodes(&w, 1);
    w.m->o.lease_soft_ms = 0;
    do_create(&w, "/f", "writer");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "writer", NULL);
    ATF_REQUIRE_EQ(l->n_locs, 1);
    node_says(&w, 1, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, l->b->block_id,
              l->b->generation_stamp, 1);
    node_start(&w, 2);
    node_start(&w, 3);
    decommission(&w, 1);
    live_on(&w, 3, 0, 5000);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    ATF_CHECK_EQ(report_of(&w, 1)->blocks_to_move, 1);
    node_received(&w, 1, l->b->block_id, l->b->generation_stamp, 10);
    l->b->num_bytes = 10;
    ATF_CHECK(do_complete(&w, "/f", "writer", l->b));
    live_on(&w, 3, 0, 20000);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    ATF_CHECK_EQ(count_of(&w, l->b).live, 2);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_finished_block_of_an_open_file_is_waited_for);
ATF_TC_BODY(a_finished_block_of_an_open_file_is_waited_for, tc)
{
    struct world w;
    some_nodes(&w, 3);
    do_create(&w, "/f", "writer");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "writer", NULL);
    for (int n = 1; n <= 3; n++) {
        node_says(&w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, l->b->block_id,
                  l->b->generation_stamp, 1);
    }
    node_start(&w, 4);
    decommission(&w, 2);
    ATF_CHECK_EQ(state_of(&w, 2), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    recommission(&w, 2);
    for (int n = 1; n <= 3; n++) {
        node_received(&w, n, l->b->block_id, l->b->generation_stamp, 10);
    }
    decommission(&w, 2);
    live_on(&w, 4, 0, 5000);
    ATF_CHECK_EQ(state_of(&w, 2), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    l->b->num_bytes = 10;
    ATF_CHECK(do_complete(&w, "/f", "writer", l->b));
    live_on(&w, 4, 0, 15000);
    ATF_CHECK_EQ(state_of(&w, 2), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    ATF_CHECK_EQ(count_of(&w, l->b).live, 3);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(replicas_that_come_during_the_walk_are_seen);
ATF_TC_BODY(replicas_that_come_during_the_walk_are_seen, tc)
{
    struct world w;
    some_nodes(&w, 1);
    do_create(&w, "/f", "writer");
    Hdw__LocatedBlock *l = do_add_block(&w, "/f", "writer", NULL);
    struct hd_node *node = hd_nodes_find(&w.m->nodes, "uuid-1");
    node_start(&w, 2);
    decommission(&w, 1);
    ATF_REQUIRE_EQ(node->drain.phase, HD_DRAIN_WATCHING);
    do_delete(&w, "/f", false);
    CALL(&w, "create", Create, create, .src = S("/g"),
         .masked = &(Hdw__FsPermission){PROTOBUF_C_MESSAGE_INIT(&hdw__fs_permission__descriptor),
                                        .perm = 0644},
         .client_name = S("writer"), .create_flag = 1, .replication = 1, .block_size = 1 << 20);
    Hdw__LocatedBlock *g = do_add_block(&w, "/g", "writer", NULL);
    node->drain.phase = HD_DRAIN_WALKING; /* in the middle of a walk that has seen nothing */
    node->drain.begun = true;
    node->drain.storage = 1;
    node->drain.waiting_count = 0;
    hd_blk_set_replica(w.m, hd_ns_block(&w.m->ns, (struct hd_block_id){g->b->block_id}), 0,
                       HD_REPLICA_WRITING);
    hd_blk_drop_replica(w.m, hd_ns_block(&w.m->ns, (struct hd_block_id){g->b->block_id}), 1);
    nodes_pass(&w, 1, 2, 3000);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    ATF_CHECK_EQ(report_of(&w, 1)->blocks_to_move, 1);
    (void)l;
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(nothing_is_copied_for_a_node_in_maintenance_until_its_time_is_up);
ATF_TC_BODY(nothing_is_copied_for_a_node_in_maintenance_until_its_time_is_up, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    maintain(&w, n, 100000);
    nodes_pass(&w, 1, 4, 3000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE);
    close_conn(&w, n);
    ATF_CHECK_EQ(live_on(&w, 4, n, 60000), 0);
    ATF_CHECK_EQ(stats(&w).nodes_dead, 1);
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
    ATF_CHECK_EQ(count_of(&w, b).maintenance, 1);
    ATF_CHECK_EQ(locations(&w, "/f"), 2); /* nobody is sent there */
    ATF_CHECK_EQ(live_on(&w, 4, n, 60000), 1);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    ATF_CHECK_EQ(count_of(&w, b).maintenance, 0);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_comes_back_from_maintenance_has_what_it_had);
ATF_TC_BODY(a_node_that_comes_back_from_maintenance_has_what_it_had, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    maintain(&w, n, 3600000);
    nodes_pass(&w, 1, 4, 3000);
    close_conn(&w, n);
    live_on(&w, 4, n, 30000);
    node_register(&w, n);
    node_beat(&w, n);
    node_report(&w, n, (const uint64_t[][3]){{b->block_id, 10, b->generation_stamp}}, 1);
    ATF_CHECK_EQ(live_on(&w, 4, 0, 10000), 0);
    ATF_CHECK_EQ(locations(&w, "/f"), 3);
    recommission(&w, n);
    ATF_CHECK_EQ(live_on(&w, 4, 0, 10000), 0);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_block_that_only_the_node_has_is_copied_before_its_maintenance);
ATF_TC_BODY(a_block_that_only_the_node_has_is_copied_before_its_maintenance, tc)
{
    struct world w;
    some_nodes(&w, 1);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    CALL(&w, "setReplication", SetReplication, set_replication, .src = S("/f"), .replication = 1);
    node_start(&w, 2);
    node_start(&w, 3);
    nodes_pass(&w, 1, 3, 6000);
    maintain(&w, 1, 3600000);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE);
    ATF_CHECK_EQ(live_on(&w, 3, 0, 10000), 1);
    ATF_CHECK_EQ(state_of(&w, 1), HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE);
    ATF_CHECK_EQ(count_of(&w, b).live, 1);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_states_survive_a_restart_and_the_nodes_absence);
ATF_TC_BODY(the_states_survive_a_restart_and_the_nodes_absence, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    int away = n == 4 ? 3 : 4;
    maintain(&w, n, 60000);
    decommission(&w, away);
    world_restart(&w);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE);
    ATF_CHECK_STREQ(report_of(&w, n)->state, "dead");
    for (int i = 1; i <= 4; i++) {
        if (i != n && i != away) {
            node_register(&w, i);
            node_beat(&w, i);
            node_report(&w, i, (const uint64_t[][3]){{b->block_id, 10, b->generation_stamp}}, 1);
        }
    }
    world_pass(&w, 4000);
    /* What the node in maintenance has is not known, and not missed. */
    for (int i = 0; i < 30; i++) {
        world_pass(&w, 1000);
        for (int k = 1; k <= 4; k++) {
            if (k != n && k != away) {
                ATF_CHECK(find_command(node_beat(&w, k),
                                       HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER) == NULL);
            }
        }
    }
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, 0);
    ATF_CHECK_EQ(try_state(&w, "10.0.0.9:9866", 0, 0)->err, -HD_E_ILLEGAL_ARGUMENT);
    char address[40];
    snprintf(address, sizeof(address), "10.0.0.%d:9866", away);
    ATF_CHECK_EQ(try_state(&w, address, 0, 0)->err, 0); /* it is away, and still has its name */
    ATF_CHECK_EQ(w.m->ns.node_admins.count, 1);
    for (int i = 0; i < 40; i++) {
        world_pass(&w, 1000);
        for (int k = 1; k <= 4; k++) {
            if (k != n && k != away) {
                node_beat(&w, k);
            }
        }
    }
    ATF_CHECK_EQ(w.m->ns.node_admins.count, 0); /* its time is up */
    ATF_CHECK_EQ(stats(&w).blocks_under_replicated, count_of(&w, b).live < 3);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_decommissioned_node_is_looked_at_again_after_a_restart);
ATF_TC_BODY(a_decommissioned_node_is_looked_at_again_after_a_restart, tc)
{
    struct world w;
    some_nodes(&w, 4);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    decommission(&w, n);
    w.options.safe_mode_threshold = 0; /* it ends without the reports */
    world_restart(&w);
    for (int i = 1; i <= 4; i++) {
        node_register(&w, i);
        node_beat(&w, i);
    }
    nodes_pass(&w, 1, 4, 5000);
    ATF_REQUIRE(!hd_safe_mode_on(w.m));
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    for (int i = 1; i <= 4; i++) {
        bool has = hd_nodes_find(&w.m->nodes, node_texts(i).uuid) != NULL;
        ATF_REQUIRE(has);
        node_report(&w, i, (const uint64_t[][3]){{b->block_id, 10, b->generation_stamp}},
                    i == n || i == n % 4 + 1 ? 1 : 0);
    }
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    ATF_CHECK_EQ(live_on(&w, 4, 0, 20000), 2);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    ATF_CHECK_EQ(count_of(&w, b).live, 3);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_dead_node_is_decommissioned_only_when_nothing_is_missed);
ATF_TC_BODY(a_dead_node_is_decommissioned_only_when_nothing_is_missed, tc)
{
    struct world w;
    some_nodes(&w, 4);
    do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 4, 6000);
    int n = holder_of(&w, "/f", 0);
    close_conn(&w, n);
    for (int i = 0; i < 10; i++) {
        world_pass(&w, 500);
        for (int k = 1; k <= 4; k++) {
            if (k != n) {
                node_beat(&w, k);
            }
        }
    }
    ATF_REQUIRE_EQ(stats(&w).nodes_dead, 1);
    decommission(&w, n);
    world_pass(&w, 1000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING);
    live_on(&w, 4, n, 40000);
    ATF_CHECK_EQ(state_of(&w, n), HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(states_are_for_superusers_and_make_sense);
ATF_TC_BODY(states_are_for_superusers_and_make_sense, tc)
{
    struct world w;
    some_nodes(&w, 1);
    size_t before = w.record_count;
    ATF_CHECK_EQ(try_state(&w, "data-1", 1, 0)->err, -HD_E_ILLEGAL_ARGUMENT);
    ATF_CHECK_EQ(
        try_state(&w, "uuid-1", HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE, 1000)->err,
        -HD_E_ILLEGAL_ARGUMENT);
    ATF_CHECK_EQ(try_state(&w, "uuid-1", HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE, 0)->err, 0);
    ATF_CHECK_EQ(w.record_count, before); /* nothing was changed */
    w.user = "alice";
    ATF_CHECK_EQ(try_state(&w, "uuid-1", HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING, 0)->err,
                 -EACCES);
    w.user = "root";
    ATF_CHECK_EQ(
        try_state(&w, "10.0.0.1:9866", HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING, 0)->err, 0);
    ATF_CHECK(w.record_count > before);
    world_check(&w);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_nodes_blocks_are_told_page_by_page);
ATF_TC_BODY(a_nodes_blocks_are_told_page_by_page, tc)
{
    enum { FILES = 25 };
    struct world w;
    some_nodes(&w, 3);
    for (int i = 0; i < FILES; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        do_write(&w, path, 10);
    }
    bool seen[FILES] = {false};
    Hdw__GetNodeBlocksRequest q = HDW__GET_NODE_BLOCKS_REQUEST__INIT;
    q.uuid = S("uuid-2");
    q.count = 10;
    int pages = 0;
    size_t total = 0;
    do {
        Hdw__GetNodeBlocksResponse *r = world_decode(&w, meta_call(&w, "getNodeBlocks", &q),
                                                     &hdw__get_node_blocks_response__descriptor);
        for (size_t i = 0; i < r->n_blocks; i++, total++) {
            uint64_t at = r->blocks[i]->block_id - HD_FIRST_BLOCK_ID;
            ATF_REQUIRE(at < FILES && !seen[at]);
            seen[at] = true;
            ATF_CHECK_EQ(r->blocks[i]->n_uuids, 3);
            ATF_CHECK_EQ(r->blocks[i]->size_bytes, 10);
        }
        q.cursor = r->cursor;
        pages++;
    } while (q.cursor != 0);
    ATF_CHECK_EQ(pages, 3);
    ATF_CHECK_EQ(total, FILES);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_decommissioning_nodes_blocks_are_copied_and_then_it_may_go);
    ATF_TP_ADD_TC(tp, progress_is_the_number_of_blocks_that_need_the_node);
    ATF_TP_ADD_TC(tp, a_node_that_is_not_in_service_gets_no_blocks);
    ATF_TP_ADD_TC(tp, recommission_trims_what_is_too_many);
    ATF_TP_ADD_TC(tp, where_fewer_nodes_are_left_than_replicas_one_on_each_is_enough);
    ATF_TP_ADD_TC(tp, a_node_that_died_lately_is_waited_for_where_nodes_are_few);
    ATF_TP_ADD_TC(tp, the_last_block_of_an_open_file_holds_the_node_back);
    ATF_TP_ADD_TC(tp, a_finished_block_of_an_open_file_is_waited_for);
    ATF_TP_ADD_TC(tp, replicas_that_come_during_the_walk_are_seen);
    ATF_TP_ADD_TC(tp, nothing_is_copied_for_a_node_in_maintenance_until_its_time_is_up);
    ATF_TP_ADD_TC(tp, a_node_that_comes_back_from_maintenance_has_what_it_had);
    ATF_TP_ADD_TC(tp, a_block_that_only_the_node_has_is_copied_before_its_maintenance);
    ATF_TP_ADD_TC(tp, the_states_survive_a_restart_and_the_nodes_absence);
    ATF_TP_ADD_TC(tp, a_decommissioned_node_is_looked_at_again_after_a_restart);
    ATF_TP_ADD_TC(tp, a_dead_node_is_decommissioned_only_when_nothing_is_missed);
    ATF_TP_ADD_TC(tp, states_are_for_superusers_and_make_sense);
    ATF_TP_ADD_TC(tp, a_nodes_blocks_are_told_page_by_page);
    return atf_no_error();
}
