/* Blocks that are no replicas: holes are read as zeros, and nothing else is done with them. */
#include "fs/data/shell/peer.h"
#include "fs/data/shell/reserved_view.h"
#include "fs/data/store/block_sums.h"
#include "fs/wire/packet.h"
#include "fs/wire/reserved.h"
#include "tests/unit/fs/data/shell/node.h"

#include <openssl/evp.h>

enum { HOLE = 200001, OP_WRITE = 80, OP_READ = 81, OP_COPY = 84, OP_FDS = 87 };

static struct node node;

struct head {
    Hdw__ExtendedBlock block;
    Hdw__BaseHeader base;
    Hdw__ClientOperationHeader header;
};

static void fill_head(struct head *h, uint64_t id)
{
    h->block = (Hdw__ExtendedBlock)HDW__EXTENDED_BLOCK__INIT;
    h->base = (Hdw__BaseHeader)HDW__BASE_HEADER__INIT;
    h->header = (Hdw__ClientOperationHeader)HDW__CLIENT_OPERATION_HEADER__INIT;
    h->block.pool_id = (char *)(uintptr_t)TEST_POOL;
    h->block.block_id = id;
    h->block.generation_stamp = HD_RESERVED_GENSTAMP;
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

static Hdw__Status open_read(struct hd_stream *s, uint64_t id, uint64_t offset, uint64_t len)
{
    struct head h;
    Hdw__OpReadBlock op = HDW__OP_READ_BLOCK__INIT;
    fill_head(&h, id);
    op.header = &h.header;
    op.offset = offset;
    op.len = len;
    ATF_REQUIRE_EQ(hd_stream_init(s, node_connect(&node), 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(s, OP_READ, &op.base), 0);
    return read_status(s);
}

ATF_TC_WITHOUT_HEAD(a_hole_is_zeros_with_sums);
ATF_TC_BODY(a_hole_is_zeros_with_sums, tc)
{
    static uint8_t payload[1 << 20];
    struct hd_stream s;
    uint64_t next = 512;
    node_start(&node, TEST_POOL);
    ATF_REQUIRE_EQ(open_read(&s, hd_reserved_hole(3, HOLE), 1000, HOLE - 1000),
                   HDW__STATUS__STATUS_SUCCESS);
    for (bool last = false; !last;) {
        uint8_t lengths[HD_PACKET_LENGTHS_BYTES];
        uint8_t head[256];
        uint32_t payload_bytes;
        struct hd_packet p;
        ATF_REQUIRE_EQ(hd_stream_read(&s, lengths, sizeof(lengths)), 0);
        int n = hd_packet_decode_lengths(lengths, &payload_bytes);
        ATF_REQUIRE_EQ(hd_stream_read(&s, head, (size_t)n), 0);
        ATF_REQUIRE_EQ(hd_packet_decode(head, (size_t)n, payload_bytes, &p), 0);
        ATF_REQUIRE(payload_bytes <= sizeof(payload));
        memset(payload, 1, sizeof(payload));
        ATF_REQUIRE_EQ(hd_stream_read(&s, payload, payload_bytes), 0);
        ATF_CHECK_EQ(p.offset_bytes, (int64_t)next);
        ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, payload + p.sums_bytes,
                                        p.data_bytes, payload),
                     -1);
        for (uint32_t i = 0; i < p.data_bytes; i++) {
            ATF_REQUIRE_EQ(payload[p.sums_bytes + i], 0);
        }
        next += p.data_bytes;
        last = p.last;
    }
    ATF_CHECK_EQ(next, HOLE);
    hd_stream_done(&s);
    ATF_CHECK_EQ(open_read(&s, hd_reserved_hole(3, HOLE), 1000, HOLE), HDW__STATUS__STATUS_ERROR);
    hd_stream_done(&s);
    node_stop(&node);
}

ATF_TC_WITHOUT_HEAD(its_block_checksum_is_that_of_a_replica_of_zeros);
ATF_TC_BODY(its_block_checksum_is_that_of_a_replica_of_zeros, tc)
{
    static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};
    struct head h;
    struct hd_block_view a;
    struct hd_block_view b;
    struct hd_arena arena;
    uint8_t sums[2][HD_BLOCK_MD5_BYTES];
    uint8_t *zeros = calloc(1, HOLE);
    node_start(&node, TEST_POOL);
    node_put(&node, 77, 1001, crc32c, zeros, HOLE);
    hd_arena_init(&arena, 0);
    fill_head(&h, hd_reserved_hole(0, HOLE));
    ATF_REQUIRE_EQ(hd_reserved_or_replica(&node.data, &h.block, &arena, &a), 0);
    h.block.block_id = 77;
    ATF_REQUIRE_EQ(hd_reserved_or_replica(&node.data, &h.block, &arena, &b), 0);
    for (uint64_t bytes = 0; bytes <= HOLE; bytes += 66667) {
        ATF_REQUIRE_EQ(hd_block_md5(&a, bytes, sums[0]), 0);
        ATF_REQUIRE_EQ(hd_block_md5(&b, bytes, sums[1]), 0);
        ATF_CHECK_EQ(memcmp(sums[0], sums[1], HD_BLOCK_MD5_BYTES), 0);
        ATF_REQUIRE_EQ(hd_block_composite_crc(&a, bytes, sums[0]), 0);
        ATF_REQUIRE_EQ(hd_block_composite_crc(&b, bytes, sums[1]), 0);
        ATF_CHECK_EQ(memcmp(sums[0], sums[1], HD_SUM_BYTES), 0);
    }
    hd_block_view_done(&a);
    hd_block_view_done(&b);
    hd_arena_done(&arena);
    node_stop(&node);
    free(zeros);
}

ATF_TC_WITHOUT_HEAD(content_is_an_error_while_meta_is_away);
ATF_TC_BODY(content_is_an_error_while_meta_is_away, tc)
{
    struct hd_stream s;
    node_start(&node, TEST_POOL);
    ATF_CHECK_EQ(open_read(&s, hd_reserved_content((struct hd_ino){16400}), 0, 5),
                 HDW__STATUS__STATUS_ERROR);
    hd_stream_done(&s);
    node_stop(&node);
}

ATF_TC_WITHOUT_HEAD(nobody_writes_or_opens_the_files_of_a_hole);
ATF_TC_BODY(nobody_writes_or_opens_the_files_of_a_hole, tc)
{
    struct head h;
    struct hd_stream s;
    uint8_t byte;
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__OpWriteBlock write = HDW__OP_WRITE_BLOCK__INIT;
    Hdw__OpRequestShortCircuitAccess fds = HDW__OP_REQUEST_SHORT_CIRCUIT_ACCESS__INIT;
    char path[200];
    int fd;
    node_start(&node, TEST_POOL);
    fill_head(&h, hd_reserved_hole(1, HOLE));
    checksum.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    checksum.bytes_per_checksum = 512;
    write.header = &h.header;
    write.stage = HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE;
    write.requested_checksum = &checksum;
    ATF_REQUIRE_EQ(hd_stream_init(&s, node_connect(&node), 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(&s, OP_WRITE, &write.base), 0);
    ATF_CHECK(hd_stream_read(&s, &byte, 1) < 0); /* as any set-up that cannot be */
    hd_stream_done(&s);

    fds.header = &h.base;
    fds.max_version = 1;
    snprintf(path, sizeof(path), "%s/sock_%d", node.dir, node.data.transfer_port);
    ATF_REQUIRE_EQ(hd_addr_connect_unix(path, &fd), 0);
    ATF_REQUIRE_EQ(hd_stream_init(&s, fd, 20000, 0), 0);
    ATF_REQUIRE_EQ(hd_peer_send_op(&s, OP_FDS, &fds.base), 0);
    ATF_CHECK_EQ(read_status(&s), HDW__STATUS__STATUS_ERROR_UNSUPPORTED);
    hd_stream_done(&s);
    node_stop(&node);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_hole_is_zeros_with_sums);
    ATF_TP_ADD_TC(tp, its_block_checksum_is_that_of_a_replica_of_zeros);
    ATF_TP_ADD_TC(tp, content_is_an_error_while_meta_is_away);
    ATF_TP_ADD_TC(tp, nobody_writes_or_opens_the_files_of_a_hole);
    return atf_no_error();
}
