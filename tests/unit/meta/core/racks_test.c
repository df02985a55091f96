/* Tests of racks: the map, blocks that stand on one rack only, and hints of what may be deleted. */
#include "tests/unit/meta/core/harness.h"
#include "meta/core/block_map.h"

static void some_nodes(struct world *w, int count)
{
    world_init(w);
    for (int n = 1; n <= count; n++) {
        node_start(w, n);
    }
}

static void tell(struct world *w, const struct hd_meta_rack *racks, size_t count, bool replace)
{
    world_step(w, &(struct hd_meta_event){.type = HD_META_RACKS,
                                          .racks = racks,
                                          .rack_count = count,
                                          .racks_replace = replace});
}

static const char *rack_of(struct world *w, int n)
{
    return hd_nodes_find(&w->m->nodes, node_texts(n).uuid)->rack;
}

static struct hd_blk *blk(struct world *w, const Hdw__ExtendedBlock *b)
{
    return hd_ns_block(&w->m->ns, (struct hd_block_id){b->block_id});
}

static bool has(struct world *w, const Hdw__ExtendedBlock *b, int n)
{
    return hd_blk_find_replica(blk(w, b),
                               hd_nodes_find_storage(&w->m->nodes, node_texts(n).storage)->index) !=
           NULL;
}

/* Lets time pass; nodes do what they are told. How many copies were made. */
static int live_on(struct world *w, int nodes, int64_t ms)
{
    int copies = 0;
    for (; ms > 0; ms -= 500) {
        world_pass(w, 500);
        for (int n = 1; n <= nodes; n++) {
            Hdw__SendHeartbeatResponse *r = node_beat(w, n);
            for (size_t k = 0; k < r->n_cmds; k++) {
                Hdw__BlockCommand *c = r->cmds[k]->blk_cmd;
                bool copy = c != NULL && c->action == HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER;
                for (size_t i = 0; c != NULL && i < c->n_blocks; i++) {
                    int to = copy ? node_of(c->targets[i]->datanodes[0]) : n;
                    node_says(w, to,
                              copy ? HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED
                                   : HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED,
                              c->blocks[i]->block_id, c->blocks[i]->gen_stamp,
                              c->blocks[i]->num_bytes);
                    copies += copy;
                }
            }
        }
    }
    return copies;
}

static void received_with_hint(struct world *w, int n, const Hdw__ExtendedBlock *b, int hint)
{
    struct registration r;
    struct node_texts hinted = node_texts(hint);
    registration_init(&r, n);
    Hdw__Block block = HDW__BLOCK__INIT;
    block.block_id = b->block_id;
    block.gen_stamp = b->generation_stamp;
    block.has_num_bytes = true;
    block.num_bytes = b->num_bytes;
    Hdw__ReceivedDeletedBlockInfo i = HDW__RECEIVED_DELETED_BLOCK_INFO__INIT;
    Hdw__ReceivedDeletedBlockInfo *infos[] = {&i};
    i.block = &block;
    i.status = HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED;
    i.delete_hint = hinted.uuid;
    Hdw__StorageReceivedDeletedBlocks s = HDW__STORAGE_RECEIVED_DELETED_BLOCKS__INIT;
    Hdw__StorageReceivedDeletedBlocks *all[] = {&s};
    s.storage_uuid = r.t.storage;
    s.n_blocks = 1;
    s.blocks = infos;
    Hdw__BlockReceivedAndDeletedRequest q = HDW__BLOCK_RECEIVED_AND_DELETED_REQUEST__INIT;
    q.registration = &r.g;
    q.block_pool_id = S("BP-1");
    q.n_blocks = 1;
    q.blocks = all;
    node_send(w, n, "blockReceivedAndDeleted", &q);
}

static void register_as(struct world *w, int n, const char *name, const char *rack)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
    q.registration = &r.g;
    q.name = S(name);
    q.rack = S(rack);
    node_send(w, n, "registerDatanode", &q);
}

ATF_TC_WITHOUT_HEAD(the_most_particular_entry_says_where_a_node_is);
ATF_TC_BODY(the_most_particular_entry_says_where_a_node_is, tc)
{
    static const struct hd_meta_rack racks[] = {{"10.0.0.1", "/a"},
                                                {"10.0.0.2", "b/"},
                                                {"10.0.0.2:9866", "/b/2"},
                                                {"data-3", "/c"},
                                                {"10.0.0.4", "/"}};
    struct world w;
    some_nodes(&w, 2);
    ATF_CHECK_STREQ(rack_of(&w, 1), "/default-rack");
    tell(&w, racks, 5, true);
    ATF_CHECK_STREQ(rack_of(&w, 1), "/a");
    ATF_CHECK_STREQ(rack_of(&w, 2), "/b/2");
    register_as(&w, 3, "data-3", "/own"); /* the map goes before what the node says */
    ATF_CHECK_STREQ(rack_of(&w, 3), "/c");
    register_as(&w, 4, "data-4", "own/4");
    ATF_CHECK_STREQ(rack_of(&w, 4), "/own/4");
    tell(&w, racks + 1, 1, true);
    ATF_CHECK_STREQ(rack_of(&w, 1), "/default-rack");
    ATF_CHECK_STREQ(rack_of(&w, 2), "/b");
    ATF_CHECK_STREQ(rack_of(&w, 3), "/own");
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_shell_is_asked_for_racks_that_nobody_told);
ATF_TC_BODY(the_shell_is_asked_for_racks_that_nobody_told, tc)
{
    static const struct hd_meta_rack rack = {"10.0.0.1", "/a"};
    struct world w;
    struct registration r;
    world_init(&w);
    for (int n = 1; n <= 2; n++) {
        registration_init(&r, n);
        Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
        q.registration = &r.g;
        uint8_t body[2048];
        struct hd_meta_event ev = {.type = HD_META_REQUEST,
                                   .now = {w.now_ms},
                                   .wall = {w.wall_ms},
                                   .durable = {w.durable},
                                   .protocol = DATANODE_PROTOCOL,
                                   .method = "registerDatanode",
                                   .body = body,
                                   .body_size = hdw__register_datanode_request__pack(&q, body),
                                   .user = "root",
                                   .groups = no_groups,
                                   .peer_ip = r.t.ip,
                                   .peer_host = r.t.ip,
                                   .call_id = -1};
        tell(&w, &rack, 1, true);
        hd_meta_step(w.m, &ev, &w.fx);
        ATF_CHECK_MSG((w.fx.rack_wanted == NULL) == (n == 1), "%d", n);
        if (n == 2) {
            ATF_REQUIRE(w.fx.rack_wanted != NULL);
            ATF_CHECK_STREQ(w.fx.rack_wanted, "10.0.0.2");
        }
        world_absorb(&w);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_block_on_one_rack_gets_a_copy_on_another);
ATF_TC_BODY(a_block_on_one_rack_gets_a_copy_on_another, tc)
{
    static const struct hd_meta_rack racks[] = {
        {"10.0.0.1", "/a"}, {"10.0.0.2", "/a"}, {"10.0.0.3", "/a"}, {"10.0.0.4", "/b"}};
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    node_start(&w, 4);
    nodes_pass(&w, 1, 4, 6000);
    ATF_CHECK_EQ(live_on(&w, 4, 3000), 0);
    tell(&w, racks, 4, true);
    ATF_CHECK_EQ(live_on(&w, 4, 5000), 1);
    ATF_CHECK(has(&w, b, 4)); /* and it is the one that stays */
    ATF_CHECK_EQ(blk(&w, b)->replica_count, 3);
    ATF_CHECK_EQ(live_on(&w, 4, 10000), 0);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_second_rack_that_comes_up_has_all_blocks_looked_at);
ATF_TC_BODY(a_second_rack_that_comes_up_has_all_blocks_looked_at, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    nodes_pass(&w, 1, 3, 6000);
    register_as(&w, 4, "data-4", "/b");
    node_beat(&w, 4);
    node_report(&w, 4, NULL, 0);
    ATF_CHECK_EQ(live_on(&w, 4, 5000), 1);
    ATF_CHECK(has(&w, b, 4));
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(of_too_many_the_one_that_was_moved_away_goes);
ATF_TC_BODY(of_too_many_the_one_that_was_moved_away_goes, tc)
{
    struct world w;
    some_nodes(&w, 3);
    Hdw__ExtendedBlock *blocks[12];
    for (int i = 0; i < 12; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        blocks[i] = do_write(&w, path, 10);
    }
    node_start(&w, 4);
    nodes_pass(&w, 1, 4, 6000);
    for (int i = 0; i < 12; i++) {
        received_with_hint(&w, 4, blocks[i], 1 + i % 3);
        ATF_CHECK(has(&w, blocks[i], 4) && !has(&w, blocks[i], 1 + i % 3));
        ATF_CHECK_EQ(blk(&w, blocks[i])->replica_count, 3);
    }
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_hint_that_would_cost_a_rack_is_not_followed);
ATF_TC_BODY(a_hint_that_would_cost_a_rack_is_not_followed, tc)
{
    static const struct hd_meta_rack racks[] = {
        {"10.0.0.1", "/a"}, {"10.0.0.2", "/b"}, {"10.0.0.3", "/b"}, {"10.0.0.4", "/b"}};
    struct world w;
    world_init(&w);
    tell(&w, racks, 4, true);
    for (int n = 1; n <= 3; n++) {
        node_start(&w, n);
    }
    Hdw__ExtendedBlock *b = do_write(&w, "/f", 10);
    node_start(&w, 4);
    nodes_pass(&w, 1, 4, 6000);
    received_with_hint(&w, 4, b, 1);
    ATF_CHECK(has(&w, b, 1));
    ATF_CHECK_EQ(blk(&w, b)->replica_count, 3);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_most_particular_entry_says_where_a_node_is);
    ATF_TP_ADD_TC(tp, the_shell_is_asked_for_racks_that_nobody_told);
    ATF_TP_ADD_TC(tp, a_block_on_one_rack_gets_a_copy_on_another);
    ATF_TP_ADD_TC(tp, a_second_rack_that_comes_up_has_all_blocks_looked_at);
    ATF_TP_ADD_TC(tp, of_too_many_the_one_that_was_moved_away_goes);
    ATF_TP_ADD_TC(tp, a_hint_that_would_cost_a_rack_is_not_followed);
    return atf_no_error();
}
