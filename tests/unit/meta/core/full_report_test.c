/* Tests of full block reports that are too large for one step. */
#include "tests/unit/meta/core/harness.h"
#include "meta/core/block_map.h"
#include "meta/core/full_report.h"

enum { FILES = 40, GARBAGE = 200000 };

struct rows {
    uint64_t (*items)[3];
    size_t count;
};

static void add_row(struct rows *r, uint64_t id, uint64_t size, uint64_t gs)
{
    ATF_REQUIRE(r->count < GARBAGE + FILES);
    r->items[r->count][0] = id;
    r->items[r->count][1] = size;
    r->items[r->count][2] = gs;
    r->count++;
}

static Hdw__ExtendedBlock *blocks[FILES];
static size_t cut_bytes; /* from the end of a report */

/* FILES files on three nodes, and rows that name all their blocks between many old ones. */
static struct rows setup(struct world *w)
{
    struct rows rows = {0};
    rows.items = calloc(GARBAGE + FILES, sizeof(*rows.items));
    ATF_REQUIRE(rows.items != NULL);
    world_init(w);
    for (int n = 1; n <= 3; n++) {
        node_start(w, n);
    }
    w->m->ns.next_block += GARBAGE; /* given out, and deleted since */
    uint64_t old = HD_FIRST_BLOCK_ID;
    for (int i = 0; i < FILES; i++) {
        char path[16];
        snprintf(path, sizeof(path), "/%d", i);
        blocks[i] = do_write(w, path, 10);
    }
    nodes_pass(w, 1, 3, 6000);
    for (int i = 0; i < FILES; i++) {
        for (int k = 0; k < GARBAGE / FILES; k++) {
            add_row(&rows, old++, 10, 1001);
        }
        add_row(&rows, blocks[i]->block_id, 10, blocks[i]->generation_stamp);
    }
    return rows;
}

/* Sends the report; its token. */
static uint64_t send_report(struct world *w, int n, const struct rows *rows, bool numbers)
{
    struct registration r;
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    registration_init(&r, n);
    Hdw__DatanodeStorage storage = HDW__DATANODE_STORAGE__INIT;
    storage.storage_uuid = r.t.storage;
    Hdw__StorageBlockReport s = HDW__STORAGE_BLOCK_REPORT__INIT;
    Hdw__StorageBlockReport *all[] = {&s};
    s.storage = &storage;
    uint64_t *list = calloc(rows->count * 3 + 2, sizeof(*list));
    list[0] = rows->count;
    for (size_t i = 0; i < rows->count; i++) {
        hd_buf_add_varint(&b, rows->items[i][0] << 1);
        hd_buf_add_varint(&b, rows->items[i][1]);
        hd_buf_add_varint(&b, rows->items[i][2]);
        hd_buf_add_varint(&b, 0);
        memcpy(&list[2 + 3 * i], rows->items[i], sizeof(rows->items[i]));
    }
    ProtobufCBinaryData chunk = {b.size - cut_bytes, b.data};
    if (numbers) {
        s.n_blocks = rows->count * 3 + 2;
        s.blocks = list;
    } else {
        s.has_number_of_blocks = true;
        s.number_of_blocks = rows->count;
        s.n_blocks_buffers = 1;
        s.blocks_buffers = &chunk;
    }
    Hdw__BlockReportRequest q = HDW__BLOCK_REPORT_REQUEST__INIT;
    q.registration = &r.g;
    q.block_pool_id = S("BP-1");
    q.n_reports = 1;
    q.reports = all;
    const char *peer = w->peer_ip;
    w->peer_ip = r.t.ip;
    uint64_t token = world_send(w, DATANODE_PROTOCOL, "blockReport", &q, node_conn(n));
    w->peer_ip = peer;
    free(list);
    return token;
}

static void tick(struct world *w)
{
    world_step(w, &(struct hd_meta_event){.type = HD_META_TICK});
}

/* Steps until the report is answered; how many it took. */
static int finish(struct world *w, uint64_t token)
{
    int steps = 0;
    while (world_answer(w, token) == NULL) {
        ATF_REQUIRE(steps++ < 1000);
        tick(w);
    }
    return steps;
}

static struct hd_blk *blk(struct world *w, int i)
{
    return hd_ns_block(&w->m->ns, (struct hd_block_id){blocks[i]->block_id});
}

static bool is_on(struct world *w, int i, int n)
{
    uint16_t storage = hd_nodes_find_storage(&w->m->nodes, node_texts(n).storage)->index;
    return hd_blk_find_replica(blk(w, i), storage) != NULL;
}

ATF_TC_WITHOUT_HEAD(a_large_report_takes_many_steps_and_drops_what_it_does_not_name);
ATF_TC_BODY(a_large_report_takes_many_steps_and_drops_what_it_does_not_name, tc)
{
    for (int numbers = 0; numbers < 2; numbers++) {
        struct world w;
        struct rows rows = setup(&w);
        rows.count--; /* the last file's block is not there any more */
        uint64_t token = send_report(&w, 2, &rows, numbers != 0);
        ATF_CHECK(world_answer(&w, token) == NULL);
        ATF_CHECK(is_on(&w, FILES - 1, 2));
        do_mkdirs(&w, "/between", 0755); /* others are answered */
        ATF_CHECK(finish(&w, token) >= 4);
        ATF_CHECK_EQ(world_answer(&w, token)->err, 0);
        for (int i = 0; i < FILES - 1; i++) {
            ATF_CHECK(is_on(&w, i, 2));
        }
        ATF_CHECK(!is_on(&w, FILES - 1, 2));
        struct hd_node *node = hd_nodes_find(&w.m->nodes, "uuid-2");
        ATF_CHECK_EQ(node->invalidate_count, GARBAGE);
        ATF_CHECK(node->report == NULL);
        free(rows.items);
        world_done(&w);
    }
}

ATF_TC_WITHOUT_HEAD(the_node_is_heard_while_its_report_is_taken_in);
ATF_TC_BODY(the_node_is_heard_while_its_report_is_taken_in, tc)
{
    struct world w;
    struct rows rows = setup(&w);
    uint64_t token = send_report(&w, 2, &rows, false);
    for (int i = 0; world_answer(&w, token) == NULL; i++) {
        ATF_REQUIRE(i < 100);
        w.now_ms += 4000;
        tick(&w);
        ATF_CHECK_EQ(hd_nodes_find(&w.m->nodes, "uuid-2")->state, HD_NODE_LIVE);
    }
    free(rows.items);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(what_a_node_tells_during_its_report_is_newer);
ATF_TC_BODY(what_a_node_tells_during_its_report_is_newer, tc)
{
    struct world w;
    struct rows rows = setup(&w);
    uint64_t token = send_report(&w, 2, &rows, false);
    int last = FILES - 1;
    /* Deleted since the report was made, though it names it; and a new one that it does not name.
     */
    node_says(&w, 2, HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED, blocks[last]->block_id,
              blocks[last]->generation_stamp, 10);
    ATF_CHECK(!is_on(&w, last, 2));
    Hdw__ExtendedBlock *b = do_write(&w, "/new", 10);
    w.m->o.repair_grace_ms = 0;
    w.now_ms += 1000; /* it settles */
    ATF_REQUIRE(finish(&w, token) >= 1);
    ATF_CHECK(!is_on(&w, last, 2));
    struct hd_blk *created = hd_ns_block(&w.m->ns, (struct hd_block_id){b->block_id});
    ATF_CHECK_EQ(hd_blk_live(w.m, created, false), 3);
    free(rows.items);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_node_that_registers_anew_ends_its_report);
ATF_TC_BODY(a_node_that_registers_anew_ends_its_report, tc)
{
    struct world w;
    struct rows rows = setup(&w);
    uint64_t token = send_report(&w, 2, &rows, false);
    node_register(&w, 2);
    ATF_REQUIRE(world_answer(&w, token) != NULL);
    ATF_CHECK_EQ(world_answer(&w, token)->err, -HD_E_IO);
    uint64_t second = send_report(&w, 2, &rows, false);
    uint64_t third = send_report(&w, 2, &rows, false);
    ATF_CHECK_EQ(world_answer(&w, second)->err, -HD_E_IO);
    ATF_CHECK(!hd_nodes_find_storage(&w.m->nodes, "DS-2")->reported);
    finish(&w, third);
    ATF_CHECK(hd_nodes_find_storage(&w.m->nodes, "DS-2")->reported);
    send_report(&w, 3, &rows, false); /* freed with the rest */
    free(rows.items);
    world_done(&w);
}

ATF_TC_WITHOUT_HEAD(a_large_report_that_is_cut_drops_nothing);
ATF_TC_BODY(a_large_report_that_is_cut_drops_nothing, tc)
{
    struct world w;
    struct rows rows = setup(&w);
    rows.count--;
    cut_bytes = 1;
    uint64_t token = send_report(&w, 2, &rows, false);
    finish(&w, token);
    ATF_CHECK_EQ(world_answer(&w, token)->err, -HD_E_BAD_MESSAGE);
    ATF_CHECK(is_on(&w, FILES - 1, 2));
    ATF_CHECK(hd_nodes_find(&w.m->nodes, "uuid-2")->report == NULL);
    free(rows.items);
    world_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_large_report_takes_many_steps_and_drops_what_it_does_not_name);
    ATF_TP_ADD_TC(tp, the_node_is_heard_while_its_report_is_taken_in);
    ATF_TP_ADD_TC(tp, what_a_node_tells_during_its_report_is_newer);
    ATF_TP_ADD_TC(tp, a_node_that_registers_anew_ends_its_report);
    ATF_TP_ADD_TC(tp, a_large_report_that_is_cut_drops_nothing);
    return atf_no_error();
}
