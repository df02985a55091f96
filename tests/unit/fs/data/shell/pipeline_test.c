/*
 * Pipelines of nodes in this process, and a client by hand: what comes up when all is well, when a
 * node below is lost, when the data is corrupt, and when somebody else needs the replica.
 */
#include "fs/data/core/pipeline.h"
#include "fs/data/shell/peer.h"
#include "tests/unit/fs/data/shell/node.h"

#include <sys/stat.h>

enum { NODES = 3, BLOCK = 300000, OP_WRITE = 80, OP_FDS = 87 };

static struct node nodes[NODES];
static char empty[] = "";

static void start_all(void)
{
    for (int i = 0; i < NODES; i++) {
        node_start(&nodes[i], TEST_POOL);
    }
}

static void stop_all(int from)
{
    for (int i = from; i < NODES; i++) {
        node_stop(&nodes[i]);
    }
}

/* Opens a pipeline over nodes[first..NODES) and returns the set-up reply's status. */
static Hdw__Status open_pipeline(struct hd_stream *s, int first, const struct hd_write_setup *setup,
                                 char *bad_link)
{
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__BaseHeader base = HDW__BASE_HEADER__INIT;
    Hdw__ClientOperationHeader header = HDW__CLIENT_OPERATION_HEADER__INIT;
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__OpWriteBlock op = HDW__OP_WRITE_BLOCK__INIT;
    Hdw__DatanodeID ids[NODES];
    Hdw__DatanodeInfo infos[NODES];
    Hdw__DatanodeInfo *targets[NODES];
    for (int i = first + 1; i < NODES; i++) {
        ids[i] = (Hdw__DatanodeID)HDW__DATANODE_ID__INIT;
        ids[i].ip_addr = (char *)(uintptr_t) "127.0.0.1";
        ids[i].host_name = ids[i].datanode_uuid = empty;
        ids[i].xfer_port = (uint32_t)nodes[i].data.transfer_port;
        infos[i] = (Hdw__DatanodeInfo)HDW__DATANODE_INFO__INIT;
        infos[i].id = &ids[i];
        targets[op.n_targets++] = &infos[i];
    }
    block.pool_id = (char *)(uintptr_t)TEST_POOL;
    block.block_id = setup->id.v;
    block.generation_stamp = setup->gs.v;
    base.block = &block;
    header.base_header = &base;
    header.client_name = (char *)(uintptr_t) "tester";
    checksum.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    checksum.bytes_per_checksum = 512;
    op.header = &header;
    op.targets = targets;
    op.stage = (Hdw__BlockConstructionStage)setup->stage;
    op.min_bytes_rcvd = setup->min_bytes;
    op.max_bytes_rcvd = setup->max_bytes;
    op.latest_generation_stamp = setup->new_gs.v;
    op.requested_checksum = &checksum;
    ATF_REQUIRE_EQ(hd_stream_init(s, node_connect(&nodes[first]), 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(s, OP_WRITE, &op.base), 0);
    struct hd_arena arena;
    ProtobufCMessage *m;
    hd_arena_init(&arena, 0);
    ATF_REQUIRE_EQ_MSG(
        hd_stream_read_message(s, &hdw__block_op_response__descriptor, 65536, &arena, &m), 0, "%s",
        hd_fail_text());
    const Hdw__BlockOpResponse *r = (const Hdw__BlockOpResponse *)m;
    Hdw__Status status = r->status;
    ATF_REQUIRE(r->first_bad_link != NULL); /* some clients wait for five bytes */
    snprintf(bad_link, 64, "%s", r->first_bad_link);
    hd_arena_done(&arena);
    return status;
}

static void send_packet(struct hd_stream *s, int64_t seqno, const uint8_t *data, size_t offset,
                        size_t size, bool last)
{
    static uint8_t buf[HD_PACKET_HEADER_MAX_BYTES + 4096 + 65536];
    struct hd_packet p = {.offset_bytes = (int64_t)offset,
                          .seqno = seqno,
                          .data_bytes = (uint32_t)size,
                          .sums_bytes = (uint32_t)((size + 511) / 512 * 4),
                          .last = last};
    size_t n = hd_packet_encode(&p, buf);
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data + offset, size, buf + n);
    memcpy(buf + n + p.sums_bytes, data + offset, size);
    ATF_REQUIRE_EQ(hd_stream_write(s, buf, n + p.sums_bytes + size), 0);
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

/* The whole block in packets of 60000 bytes and the last, empty one; every packet acknowledged. */
static void write_block(struct hd_stream *s, const uint8_t *data, size_t from, int count)
{
    int64_t seqno = 0;
    for (size_t at = from; at < BLOCK; at += 61440) {
        send_packet(s, seqno++, data, at, HD_MIN((size_t)61440, BLOCK - at), false);
    }
    for (int64_t i = 0; i < seqno; i++) {
        expect_ack(s, i, count);
    }
    send_packet(s, seqno, data, BLOCK, 0, true);
    expect_ack(s, seqno, count);
}

static const struct hd_write_setup create = {
    .stage = HD_STAGE_CREATE, .id = {77}, .gs = {1001}, .new_gs = {0}};

ATF_TC_WITHOUT_HEAD(three_nodes_end_up_with_the_same_block);
ATF_TC_BODY(three_nodes_end_up_with_the_same_block, tc)
{
    struct hd_stream s;
    char bad[64];
    uint8_t *data = capture_bytes(0, BLOCK, 3);
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&s, 0, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    ATF_CHECK_STREQ(bad, "");
    send_packet(&s, HD_PACKET_HEARTBEAT_SEQNO, data, 0, 0, false); /* an idle writer */
    expect_ack(&s, HD_PACKET_HEARTBEAT_SEQNO, NODES);
    write_block(&s, data, 0, NODES);
    hd_stream_done(&s);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], 77, 1001, data, BLOCK);
    }
    stop_all(0);
    free(data);
}

ATF_TC_WITHOUT_HEAD(readers_see_what_was_acknowledged_while_it_is_written);
ATF_TC_BODY(readers_see_what_was_acknowledged_while_it_is_written, tc)
{
    struct hd_stream s;
    char bad[64];
    struct hd_block_view v;
    uint8_t *data = capture_bytes(0, BLOCK, 3);
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&s, 0, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    send_packet(&s, 0, data, 0, 1000, false);
    expect_ack(&s, 0, NODES);
    for (int i = 0; i < NODES; i++) {
        ATF_REQUIRE_EQ(hd_store_view(nodes[i].data.store, create.id, &v), 0);
        ATF_CHECK(v.visible_bytes == 1000 && v.replica.state == HD_REPLICA_RBW);
        hd_block_view_done(&v);
    }
    hd_stream_done(&s);
    stop_all(0);
    free(data);
}

/* A node below goes: "mirror broken", then the client writes on with the two that are left. */
ATF_TC_WITHOUT_HEAD(a_lost_node_is_told_and_the_rest_goes_on_under_a_new_stamp);
ATF_TC_BODY(a_lost_node_is_told_and_the_rest_goes_on_under_a_new_stamp, tc)
{
    struct hd_stream s;
    struct hd_ack a;
    char bad[64];
    char want[64];
    uint8_t *data = capture_bytes(0, BLOCK, 3);
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&s, 0, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    send_packet(&s, 0, data, 0, 1000, false);
    expect_ack(&s, 0, NODES);
    int dead_port = nodes[0].data.transfer_port;
    node_stop(
        &nodes[0]); /* nodes[1] and [2] lose their upstream: their replicas stay as they are */
    ATF_CHECK(read_ack(&s, &a) < 0);
    hd_stream_done(&s);
    struct hd_write_setup go_on = {.stage = HD_STAGE_STREAMING_RECOVERY,
                                   .id = {77},
                                   .gs = {1001},
                                   .new_gs = {1002},
                                   .min_bytes = 1000,
                                   .max_bytes = 1000};
    ATF_REQUIRE_EQ(open_pipeline(&s, 1, &go_on, bad), HDW__STATUS__STATUS_SUCCESS);
    write_block(&s, data, 512, 2);
    hd_stream_done(&s);
    node_check(&nodes[1], 77, 1002, data, BLOCK);
    node_check(&nodes[2], 77, 1002, data, BLOCK);
    /* And a dead node in the set-up is named. */
    struct hd_write_setup other = create;
    other.id.v = 78;
    int port = nodes[2].data.transfer_port;
    nodes[2].data.transfer_port = dead_port;
    ATF_CHECK_EQ(open_pipeline(&s, 1, &other, bad), HDW__STATUS__STATUS_ERROR);
    snprintf(want, sizeof(want), "127.0.0.1:%d", dead_port);
    ATF_CHECK_STREQ(bad, want);
    hd_stream_done(&s);
    nodes[2].data.transfer_port = port;
    stop_all(1);
    free(data);
}

ATF_TC_WITHOUT_HEAD(a_broken_mirror_comes_up_as_two_replies);
ATF_TC_BODY(a_broken_mirror_comes_up_as_two_replies, tc)
{
    struct hd_stream s;
    struct hd_ack a;
    char bad[64];
    uint8_t *data = capture_bytes(0, BLOCK, 3);
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&s, 0, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    send_packet(&s, 0, data, 0, 1000, false);
    expect_ack(&s, 0, NODES);
    node_stop(&nodes[1]);
    send_packet(&s, 1, data, 512, 2000, false);
    ATF_REQUIRE_EQ(read_ack(&s, &a), 0);
    ATF_CHECK_EQ(a.seqno, HD_ACK_UNKNOWN_SEQNO);
    ATF_REQUIRE_EQ(a.count, 2);
    ATF_CHECK(a.reply[0] == HD_ACK_SUCCESS && a.reply[1] == HD_ACK_ERROR);
    hd_stream_done(&s);
    node_stop(&nodes[0]);
    node_stop(&nodes[2]);
    free(data);
}

ATF_TC_WITHOUT_HEAD(the_tail_refuses_corrupt_data);
ATF_TC_BODY(the_tail_refuses_corrupt_data, tc)
{
    struct hd_stream s;
    struct hd_ack a;
    char bad[64];
    uint8_t bytes[HD_PACKET_HEADER_MAX_BYTES + 4 + 100] = {0};
    struct hd_packet p = {.data_bytes = 100, .sums_bytes = 4};
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&s, 2, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    size_t n = hd_packet_encode(&p, bytes);
    ATF_REQUIRE_EQ(hd_stream_write(&s, bytes, n + 104), 0);
    ATF_REQUIRE_EQ(read_ack(&s, &a), 0);
    ATF_CHECK(a.count == 1 && a.reply[0] == HD_ACK_ERROR_CHECKSUM);
    ATF_CHECK_EQ(hd_stream_wait(&s), 0);
    hd_stream_done(&s);
    stop_all(0);
}

/* A recovery needs the replica: the writer is cut off, the new one gets it. */
ATF_TC_WITHOUT_HEAD(a_recovery_takes_the_replica_from_a_writer_that_hangs);
ATF_TC_BODY(a_recovery_takes_the_replica_from_a_writer_that_hangs, tc)
{
    struct hd_stream old;
    struct hd_stream s;
    char bad[64];
    uint8_t *data = capture_bytes(0, BLOCK, 3);
    start_all();
    ATF_REQUIRE_EQ(open_pipeline(&old, 0, &create, bad), HDW__STATUS__STATUS_SUCCESS);
    send_packet(&old, 0, data, 0, 1000, false);
    expect_ack(&old, 0, NODES);
    struct hd_write_setup go_on = {.stage = HD_STAGE_STREAMING_RECOVERY,
                                   .id = {77},
                                   .gs = {1001},
                                   .new_gs = {1002},
                                   .min_bytes = 1000,
                                   .max_bytes = 1000};
    ATF_REQUIRE_EQ(open_pipeline(&s, 0, &go_on, bad), HDW__STATUS__STATUS_SUCCESS);
    write_block(&s, data, 512, NODES);
    hd_stream_done(&s);
    hd_stream_done(&old);
    for (int i = 0; i < NODES; i++) {
        node_check(&nodes[i], 77, 1002, data, BLOCK);
    }
    stop_all(0);
    free(data);
}

ATF_TC_WITHOUT_HEAD(a_local_client_gets_both_files_of_a_finalized_replica);
ATF_TC_BODY(a_local_client_gets_both_files_of_a_finalized_replica, tc)
{
    static struct node n;
    struct hd_stream s;
    int fd;
    uint8_t *data = capture_bytes(0, 20000, 1);
    node_start(&n, TEST_POOL);
    node_put(&n, 77, 1001, (struct hd_sum_format){HD_CHECKSUM_CRC32C, 512}, data, 20000);
    ATF_REQUIRE_EQ(hd_addr_connect_unix(n.data.options.socket_path, &fd), 0);
    ATF_REQUIRE_EQ(hd_stream_init(&s, fd, 5000, 0), 0);
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__BaseHeader base = HDW__BASE_HEADER__INIT;
    Hdw__OpRequestShortCircuitAccess op = HDW__OP_REQUEST_SHORT_CIRCUIT_ACCESS__INIT;
    block.pool_id = (char *)(uintptr_t)TEST_POOL;
    block.block_id = 77;
    block.generation_stamp = 1001;
    base.block = &block;
    op.header = &base;
    op.max_version = 1;
    for (int round = 0; round < 2; round++) { /* the connection serves on */
        uint8_t reply[6];
        int fds[2];
        int count;
        struct stat st;
        ATF_REQUIRE_EQ(hd_peer_send_op(&s, OP_FDS, &op.base), 0);
        ATF_REQUIRE_EQ(hd_stream_recv_fds(&s, reply, sizeof(reply), fds, 2, &count), 0);
        ATF_CHECK_EQ(memcmp(reply, "\x04\x08\x00\x30\x01\x00", 6), 0);
        ATF_REQUIRE_EQ(count, 2);
        ATF_CHECK(fstat(fds[0], &st) == 0 && st.st_size == 20000);
        ATF_CHECK(fstat(fds[1], &st) == 0 && st.st_size == 167);
        ATF_CHECK(write(fds[0], "x", 1) < 0); /* read-only */
        close(fds[0]);
        close(fds[1]);
    }
    hd_stream_done(&s);
    node_stop(&n);
    free(data);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, three_nodes_end_up_with_the_same_block);
    ATF_TP_ADD_TC(tp, readers_see_what_was_acknowledged_while_it_is_written);
    ATF_TP_ADD_TC(tp, a_lost_node_is_told_and_the_rest_goes_on_under_a_new_stamp);
    ATF_TP_ADD_TC(tp, a_broken_mirror_comes_up_as_two_replies);
    ATF_TP_ADD_TC(tp, the_tail_refuses_corrupt_data);
    ATF_TP_ADD_TC(tp, a_recovery_takes_the_replica_from_a_writer_that_hangs);
    ATF_TP_ADD_TC(tp, a_local_client_gets_both_files_of_a_finalized_replica);
    return atf_no_error();
}
