/*
 * Chains of nodes in this process whose replicas are overwritten by hand: what all of them hold
 * afterwards, what readers get meanwhile, and what a resync makes of replicas that differ.
 */
#include "fs/data/core/pipeline.h"
#include "fs/data/shell/peer.h"
#include "fs/data/shell/recover.h"
#include "fs/data/store/patch.h"
#include "fs/base/prng.h"
#include "tests/unit/fs/data/shell/node.h"

#include <stdatomic.h>

enum { NODES = 3, BLOCK = 3 << 20, OP_WRITE = 80, OP_READ = 81, ID = 77 };

static struct node nodes[NODES];
static Hdw__DatanodeID ids[NODES];
static Hdw__DatanodeInfo infos[NODES];
static char empty[] = "";
static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};

static void start_all(void)
{
    for (int i = 0; i < NODES; i++) {
        node_start(&nodes[i], TEST_POOL);
        ids[i] = (Hdw__DatanodeID)HDW__DATANODE_ID__INIT;
        ids[i].ip_addr = (char *)(uintptr_t) "127.0.0.1";
        ids[i].host_name = ids[i].datanode_uuid = empty;
        ids[i].xfer_port = (uint32_t)nodes[i].data.transfer_port;
        infos[i] = (Hdw__DatanodeInfo)HDW__DATANODE_INFO__INIT;
        infos[i].id = &ids[i];
    }
}

static void stop_all(void)
{
    for (int i = 0; i < NODES; i++) {
        node_stop(&nodes[i]);
    }
}

/* The head of every request about the block. */
struct head {
    Hdw__ExtendedBlock block;
    Hdw__BaseHeader base;
    Hdw__ClientOperationHeader header;
};

static void fill_head(struct head *h, uint64_t gs)
{
    h->block = (Hdw__ExtendedBlock)HDW__EXTENDED_BLOCK__INIT;
    h->base = (Hdw__BaseHeader)HDW__BASE_HEADER__INIT;
    h->header = (Hdw__ClientOperationHeader)HDW__CLIENT_OPERATION_HEADER__INIT;
    h->block.pool_id = (char *)(uintptr_t)TEST_POOL;
    h->block.block_id = ID;
    h->block.generation_stamp = gs;
    h->base.block = &h->block;
    h->header.base_header = &h->base;
    h->header.client_name = (char *)(uintptr_t) "tester";
}

static Hdw__Status read_status(struct hd_stream *s)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    ProtobufCMessage *m;
    hd_arena_init(&arena, 0);
    ATF_REQUIRE_EQ_MSG(
        hd_stream_read_message(s, &hdw__block_op_response__descriptor, 65536, &arena, &m), 0, "%s",
        hd_fail_text());
    return ((const Hdw__BlockOpResponse *)m)->status;
}

/* A chain over nodes[0..count). */
static Hdw__Status open_chain(struct hd_stream *s, int count, enum hd_write_stage stage,
                              uint64_t gs, uint64_t new_gs, uint64_t length)
{
    struct head h;
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__OpWriteBlock op = HDW__OP_WRITE_BLOCK__INIT;
    Hdw__DatanodeInfo *targets[NODES];
    fill_head(&h, gs);
    for (int i = 1; i < count; i++) {
        targets[op.n_targets++] = &infos[i];
    }
    checksum.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    checksum.bytes_per_checksum = 512;
    op.header = &h.header;
    op.targets = targets;
    op.stage = (Hdw__BlockConstructionStage)stage;
    op.max_bytes_rcvd = length;
    op.latest_generation_stamp = new_gs;
    op.requested_checksum = &checksum;
    op.has_overwrite = op.overwrite = true;
    ATF_REQUIRE_EQ(hd_stream_init(s, node_connect(&nodes[0]), 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(s, OP_WRITE, &op.base), 0);
    return read_status(s);
}

static void send_packet(struct hd_stream *s, int64_t seqno, const uint8_t *data, uint64_t offset,
                        size_t size, bool sync, bool last)
{
    static uint8_t buf[HD_PACKET_HEADER_MAX_BYTES + 8192 + 600000];
    uint32_t sums = (uint32_t)hd_patch_sums_count(offset, (uint32_t)size, 512) * 4;
    struct hd_packet p = {.offset_bytes = (int64_t)offset,
                          .seqno = seqno,
                          .data_bytes = (uint32_t)size,
                          .sums_bytes = sums,
                          .sync = sync,
                          .last = last};
    size_t n = hd_packet_encode(&p, buf);
    size_t first = HD_MIN(size, 512 - (size_t)(offset % 512));
    hd_checksum_chunks(crc32c.type, 512, data, first, buf + n);
    if (size > first) {
        hd_checksum_chunks(crc32c.type, 512, data + first, size - first, buf + n + 4);
    }
    memcpy(buf + n + sums, data, size);
    ATF_REQUIRE_EQ(hd_stream_write(s, buf, n + sums + size), 0);
}

static int read_ack(struct hd_stream *s, struct hd_ack *ret)
{
    uint8_t size;
    uint8_t body[128];
    int err = hd_stream_read(s, &size, 1);
    if (err == 0) {
        err = hd_stream_read(s, body, HD_MIN((size_t)size, sizeof(body)));
    }
    return err < 0 ? err : hd_ack_decode(body, size, ret);
}

static void expect_ack(struct hd_stream *s, int64_t seqno, int count)
{
    struct hd_ack a;
    ATF_REQUIRE_EQ_MSG(read_ack(s, &a), 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(a.seqno, seqno);
    ATF_CHECK_EQ(a.count, count);
    ATF_CHECK(hd_ack_all_well(&a));
}

static void random_bytes(uint8_t *out, size_t size, struct hd_prng *r)
{
    for (size_t i = 0; i < size; i++) {
        out[i] = (uint8_t)hd_prng_next(r);
    }
}

/* The same finished replica on all nodes. */
static uint8_t *put_everywhere(size_t size, uint64_t gs)
{
    uint8_t *data = capture_bytes(0, size + BLOCK, 3);
    for (int i = 0; i < NODES; i++) {
        node_put(&nodes[i], ID, gs, crc32c, data, size);
    }
    return data;
}

/* Random packets, some of them to be durable; data is what the replica is then. */
static void overwrite(struct hd_stream *s, uint8_t *data, size_t size, int packets, int count,
                      struct hd_prng *r, bool last)
{
    for (int i = 0; i < packets; i++) {
        size_t n = 1 + hd_prng_below(r, i % 5 == 0 ? 100000 : 5000);
        uint64_t at = hd_prng_below(r, size - n);
        random_bytes(data + at, n, r);
        send_packet(s, i, data + at, at, n, i % 10 == 3, false);
    }
    for (int i = 0; i < packets; i++) {
        expect_ack(s, i, count);
    }
    if (last) {
        send_packet(s, packets, data, size, 0, false, true);
        expect_ack(s, packets, count);
    }
}

ATF_TC_WITHOUT_HEAD(three_nodes_are_overwritten_alike);
ATF_TC_BODY(three_nodes_are_overwritten_alike, tc)
{
    struct hd_stream s;
    struct hd_prng r = {1};
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    for (uint64_t gs = 1001; gs < 1004; gs++) {
        ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, gs, gs + 1, BLOCK),
                       HDW__STATUS__STATUS_SUCCESS);
        overwrite(&s, data, BLOCK, 100, NODES, &r, true);
        hd_stream_done(&s);
        for (int i = 0; i < NODES; i++) {
            node_check(&nodes[i], ID, gs + 1, data, BLOCK);
        }
    }
    stop_all();
    free(data);
}

ATF_TC_WITHOUT_HEAD(a_fresh_block_is_written_in_any_order_and_cut_at_its_end);
ATF_TC_BODY(a_fresh_block_is_written_in_any_order_and_cut_at_its_end, tc)
{
    struct hd_stream s;
    start_all();
    uint8_t *data = calloc(1, BLOCK);
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_CREATE, 1001, 0, 0), HDW__STATUS__STATUS_SUCCESS);
    memset(data + 700000, 'b', 600000);
    memset(data, 'a', 1000);
    send_packet(&s, HD_PACKET_HEARTBEAT_SEQNO, data, 0, 0, false, false);
    expect_ack(&s, HD_PACKET_HEARTBEAT_SEQNO, NODES);
    send_packet(&s, 0, data + 700000, 700000, 600000, false, false);
    send_packet(&s, 1, data, 0, 1000, true, false);
    send_packet(&s, 2, data, 1200001, 0, false, true);
    for (int i = 0; i < 3; i++) {
        expect_ack(&s, i, NODES);
    }
    hd_stream_done(&s);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], ID, 1001, data, 1200001);
    }
    stop_all();
    free(data);
}

ATF_TC_WITHOUT_HEAD(a_broken_chain_goes_on_and_resends);
ATF_TC_BODY(a_broken_chain_goes_on_and_resends, tc)
{
    struct hd_stream s;
    struct hd_prng r = {2};
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, 1001, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    overwrite(&s, data, BLOCK, 50, NODES, &r, false);
    for (int i = 0; i < 20; i++) { /* on their way when it breaks */
        random_bytes(data + i * 5000, 5000, &r);
        send_packet(&s, 50 + i, data + i * 5000, (uint64_t)i * 5000, 5000, false, false);
    }
    hd_stream_done(&s);
    ATF_REQUIRE_EQ(open_chain(&s, 2, HD_STAGE_STREAMING_RECOVERY, 1002, 1003, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    for (int i = 0; i < 20; i++) {
        send_packet(&s, i, data + i * 5000, (uint64_t)i * 5000, 5000, false, false);
        expect_ack(&s, i, 2);
    }
    send_packet(&s, 20, data, BLOCK, 0, false, true);
    expect_ack(&s, 20, 2);
    hd_stream_done(&s);
    for (int i = 0; i < 2; i++) {
        node_check(&nodes[i], ID, 1003, data, BLOCK);
    }
    stop_all();
    free(data);
}

ATF_TC_WITHOUT_HEAD(corrupt_packets_are_refused);
ATF_TC_BODY(corrupt_packets_are_refused, tc)
{
    struct hd_stream s;
    struct hd_ack a;
    uint8_t buf[HD_PACKET_HEADER_MAX_BYTES + 8 + 1000] = {0};
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, 1001, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    struct hd_packet p = {.offset_bytes = 100, .data_bytes = 600, .sums_bytes = 8};
    size_t n = hd_packet_encode(&p, buf);
    ATF_REQUIRE_EQ(hd_stream_write(&s, buf, n + 608), 0);
    ATF_REQUIRE_EQ(read_ack(&s, &a), 0);
    ATF_CHECK(!hd_ack_all_well(&a));
    hd_stream_done(&s);
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, 1001, 1003, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    send_packet(&s, 0, data, BLOCK, 0, false, true);
    expect_ack(&s, 0, NODES);
    hd_stream_done(&s);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], ID, 1003, data, BLOCK);
    }
    stop_all();
    free(data);
}

/* --- readers --- */

/* READ_BLOCK of everything; false when a sum differs. */
static bool read_block(int node, size_t size, uint8_t *out)
{
    struct head h;
    struct hd_stream s;
    Hdw__OpReadBlock op = HDW__OP_READ_BLOCK__INIT;
    static uint8_t payload[HD_PACKET_MAX_BYTES];
    bool good = true;
    fill_head(&h, 1001); /* an older stamp gets the newer replica */
    op.header = &h.header;
    op.len = size;
    ATF_REQUIRE_EQ(hd_stream_init(&s, node_connect(&nodes[node]), 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(&s, OP_READ, &op.base), 0);
    ATF_REQUIRE_EQ(read_status(&s), HDW__STATUS__STATUS_SUCCESS);
    for (bool last = false; !last;) {
        uint8_t lengths[HD_PACKET_LENGTHS_BYTES];
        uint8_t head[256];
        uint32_t payload_bytes;
        struct hd_packet p;
        ATF_REQUIRE_EQ(hd_stream_read(&s, lengths, sizeof(lengths)), 0);
        int n = hd_packet_decode_lengths(lengths, &payload_bytes);
        ATF_REQUIRE_EQ(hd_stream_read(&s, head, (size_t)n), 0);
        ATF_REQUIRE_EQ(hd_packet_decode(head, (size_t)n, payload_bytes, &p), 0);
        ATF_REQUIRE_EQ(hd_stream_read(&s, payload, payload_bytes), 0);
        good = good && hd_checksum_verify(crc32c.type, 512, payload + p.sums_bytes, p.data_bytes,
                                          payload) < 0;
        memcpy(out + p.offset_bytes, payload + p.sums_bytes, p.data_bytes);
        last = p.last;
    }
    hd_stream_done(&s);
    return good;
}

struct reader {
    int node;
    atomic_bool stop;
    int reads;
    int bad;
};

static void *read_on(void *ctx)
{
    struct reader *r = ctx;
    static uint8_t out[BLOCK];
    while (!atomic_load(&r->stop)) {
        r->bad += !read_block(r->node, BLOCK, out);
        r->reads++;
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(what_readers_get_meanwhile_fits_its_sums);
ATF_TC_BODY(what_readers_get_meanwhile_fits_its_sums, tc)
{
    struct hd_stream s;
    struct hd_prng r = {4};
    struct reader reader = {.node = 1};
    pthread_t thread;
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    uint8_t *got = malloc(BLOCK);
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, read_on, &reader), 0);
    for (uint64_t gs = 1001; gs < 1007; gs++) { /* also while chains come and go */
        ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, gs, gs + 1, BLOCK),
                       HDW__STATUS__STATUS_SUCCESS);
        overwrite(&s, data, BLOCK, 200, NODES, &r, gs % 2 == 0);
        hd_stream_done(&s);
    }
    atomic_store(&reader.stop, true);
    pthread_join(thread, NULL);
    ATF_CHECK(reader.reads > 0);
    ATF_CHECK_EQ(reader.bad, 0);
    ATF_CHECK(read_block(2, BLOCK, got));
    ATF_CHECK_EQ(memcmp(got, data, BLOCK), 0);
    stop_all();
    free(data);
    free(got);
}

/* --- resync --- */

/* Stops what writes the replica and makes it ready for recovery `id`. */
static void init_recovery(int node, uint64_t gs, uint64_t id, struct hd_recovery_answer *ret)
{
    ATF_REQUIRE_EQ_MSG(hd_store_recovery_init(nodes[node].data.store, (struct hd_block_id){ID},
                                              (struct hd_genstamp){gs}, id, ret),
                       0, "%s", hd_fail_text());
    ATF_REQUIRE(ret->found);
}

static void update(int node, int source, uint64_t gs, uint64_t id,
                   const struct hd_recovery_choice *c)
{
    Hdw__UpdateReplicaUnderRecoveryRequest q = HDW__UPDATE_REPLICA_UNDER_RECOVERY_REQUEST__INIT;
    struct head h;
    char storage[HD_LAYOUT_ID_BYTES];
    fill_head(&h, gs);
    q.block = &h.block;
    q.recovery_id = id;
    q.new_length = c->size_bytes;
    if (node != source) {
        q.source = &infos[source];
        q.has_regions = !c->whole;
        q.regions.data = c->dirty.bits;
        q.regions.len = (c->dirty.count + 7) / 8;
        q.region_count = c->dirty.count;
    }
    ATF_REQUIRE_EQ_MSG(hd_recover_update(&nodes[node].data, &q, storage), 0, "%s", hd_fail_text());
}

/* Node 0 has writes that the others do not have: the writer died with them on their way. */
static void make_them_differ(uint8_t *data)
{
    struct hd_stream s;
    struct hd_prng r = {9};
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, 1001, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    overwrite(&s, data, BLOCK / 3, 50, NODES, &r, false);
    hd_stream_done(&s);
    ATF_REQUIRE_EQ(open_chain(&s, 1, HD_STAGE_APPEND, 1002, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    random_bytes(data + BLOCK - 100, 5100, &r);
    send_packet(&s, 0, data + BLOCK - 100, BLOCK - 100, 5100, false, false);
    expect_ack(&s, 0, 1);
    hd_stream_done(&s);
}

static void recover_all(bool want_whole)
{
    struct hd_recovery_answer a[NODES] = {0};
    struct hd_recovery_choice c;
    struct hd_recovery_order o = {.block_gs = {1002}, .truncate_bytes = UINT64_MAX};
    for (int i = 0; i < NODES; i++) {
        init_recovery(i, 1002, 1003, &a[i]);
    }
    ATF_REQUIRE_EQ_MSG(hd_recovery_choose(a, NODES, &o, &c), 0, "%s", hd_fail_text());
    ATF_CHECK(c.resync);
    ATF_CHECK_EQ(c.whole, want_whole);
    update(c.source, c.source, 1002, 1003, &c);
    for (int i = 0; i < NODES; i++) {
        if (i != c.source) {
            update(i, c.source, 1002, 1003, &c);
        }
        hd_recovery_answer_done(&a[i]);
    }
    hd_recovery_choice_done(&c);
}

ATF_TC_WITHOUT_HEAD(a_recovery_makes_all_replicas_the_same);
ATF_TC_BODY(a_recovery_makes_all_replicas_the_same, tc)
{
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    make_them_differ(data);
    recover_all(false);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], ID, 1003, data, BLOCK + 5000);
    }
    stop_all();
    free(data);
}

ATF_TC_WITHOUT_HEAD(a_replica_without_a_log_gets_every_byte);
ATF_TC_BODY(a_replica_without_a_log_gets_every_byte, tc)
{
    struct hd_stream s;
    struct hd_prng r = {9};
    start_all();
    uint8_t *data = put_everywhere(BLOCK, 1001);
    ATF_REQUIRE_EQ(open_chain(&s, NODES, HD_STAGE_APPEND, 1001, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    hd_stream_done(&s);
    ATF_REQUIRE_EQ(open_chain(&s, 1, HD_STAGE_APPEND, 1002, 1002, BLOCK),
                   HDW__STATUS__STATUS_SUCCESS);
    overwrite(&s, data, BLOCK, 50, 1, &r, false);
    hd_stream_done(&s);
    recover_all(true);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], ID, 1003, data, BLOCK);
    }
    stop_all();
    free(data);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, three_nodes_are_overwritten_alike);
    ATF_TP_ADD_TC(tp, a_fresh_block_is_written_in_any_order_and_cut_at_its_end);
    ATF_TP_ADD_TC(tp, a_broken_chain_goes_on_and_resends);
    ATF_TP_ADD_TC(tp, corrupt_packets_are_refused);
    ATF_TP_ADD_TC(tp, what_readers_get_meanwhile_fits_its_sums);
    ATF_TP_ADD_TC(tp, a_recovery_makes_all_replicas_the_same);
    ATF_TP_ADD_TC(tp, a_replica_without_a_log_gets_every_byte);
    return atf_no_error();
}
