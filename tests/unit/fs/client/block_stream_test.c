/*
 * Reading a block from a node that a thread of the test plays on loopback: alignment, packets cut
 * anywhere, bad sums, early ends, and the connection kept afterwards.
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/client/block_stream.h"
#include "fs/client/core/layout.h"
#include "fs/wire/packet.h"

#include <atf-c.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BLOCK_BYTES = 200000, CHUNK_BYTES = 512 };

/* What the node does. */
struct node {
    int listener;
    int port;
    pthread_t thread;
    size_t packet_bytes; /* data a packet, whole chunks */
    int64_t corrupt_at;  /* offset of a byte sent wrong; -1: none */
    uint64_t stop_at;    /* closes the connection there; 0: never */
    bool refuse;
    int requests; /* requests on the connection to serve */
    int thanks;   /* read statuses received */
    uint8_t data[BLOCK_BYTES];
};

static void send_packet(struct hd_stream *s, const struct hd_packet *p, const uint8_t *sums,
                        const uint8_t *data)
{
    uint8_t header[HD_PACKET_HEADER_MAX_BYTES];
    struct iovec iov[] = {{header, hd_packet_encode(p, header)},
                          {(void *)(uintptr_t)sums, p->sums_bytes},
                          {(void *)(uintptr_t)data, p->data_bytes}};
    (void)hd_stream_writev(s, iov, 3);
}

static bool serve_range(struct node *n, struct hd_stream *s, uint64_t offset, uint64_t size)
{
    uint64_t at = hd_chunk_floor(offset, CHUNK_BYTES);
    uint64_t end = HD_MIN(hd_chunk_ceil(offset + size, CHUNK_BYTES), (uint64_t)BLOCK_BYTES);
    int64_t seqno = 0;
    while (at < end) {
        size_t k = (size_t)HD_MIN((uint64_t)n->packet_bytes, end - at);
        static uint8_t sums[BLOCK_BYTES / CHUNK_BYTES * 4 + 4];
        hd_checksum_chunks(HD_CHECKSUM_CRC32C, CHUNK_BYTES, n->data + at, k, sums);
        static uint8_t copy[BLOCK_BYTES];
        memcpy(copy, n->data + at, k);
        if (n->corrupt_at >= (int64_t)at && n->corrupt_at < (int64_t)(at + k)) {
            copy[n->corrupt_at - (int64_t)at] ^= 1;
        }
        if (n->stop_at != 0 && at >= n->stop_at) {
            return false;
        }
        struct hd_packet p = {
            .offset_bytes = (int64_t)at,
            .seqno = seqno++,
            .data_bytes = (uint32_t)k,
            .sums_bytes = (uint32_t)((k + CHUNK_BYTES - 1) / CHUNK_BYTES * 4),
        };
        send_packet(s, &p, sums, copy);
        at += k;
    }
    struct hd_packet last = {.offset_bytes = (int64_t)at, .seqno = seqno, .last = true};
    send_packet(s, &last, NULL, NULL);
    return true;
}

static bool serve_one(struct node *n, struct hd_stream *s)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    uint8_t head[3];
    Hdw__OpReadBlock *op;
    if (hd_stream_read(s, head, 3) < 0 || head[2] != HD_OP_READ_BLOCK ||
        hd_stream_read_message(s, &hdw__op_read_block__descriptor, 4096, &arena,
                               (ProtobufCMessage **)(void *)&op) < 0) {
        return false;
    }
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__ReadOpChecksumInfo info = HDW__READ_OP_CHECKSUM_INFO__INIT;
    checksum.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    checksum.bytes_per_checksum = CHUNK_BYTES;
    info.checksum = &checksum;
    info.chunk_offset = hd_chunk_floor(op->offset, CHUNK_BYTES);
    r.status = n->refuse ? HDW__STATUS__STATUS_ERROR : HDW__STATUS__STATUS_SUCCESS;
    r.message = n->refuse ? (char *)"no such replica" : NULL;
    r.read_op_checksum_info = n->refuse ? NULL : &info;
    if (hd_stream_write_message(s, &r.base) < 0 || n->refuse ||
        !serve_range(n, s, op->offset, op->len)) {
        return false;
    }
    Hdw__ClientReadStatus *status;
    if (hd_stream_read_message(s, &hdw__client_read_status__descriptor, 64, &arena,
                               (ProtobufCMessage **)(void *)&status) < 0) {
        return false;
    }
    n->thanks += status->status == HDW__STATUS__STATUS_CHECKSUM_OK;
    return true;
}

static void *node_main(void *ctx)
{
    struct node *n = ctx;
    int fd = accept(n->listener, NULL, NULL);
    struct hd_stream s;
    if (fd >= 0 && hd_stream_init(&s, fd, 5000, 0) == 0) {
        for (int i = 0; i < n->requests && serve_one(n, &s); i++) {
        }
        hd_stream_done(&s);
    }
    return NULL;
}

static struct node *node_start(void)
{
    struct node *n = calloc(1, sizeof(*n));
    n->packet_bytes = 65536;
    n->corrupt_at = -1;
    n->requests = 1;
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        n->data[i] = (uint8_t)(i * 7 + i / 512);
    }
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    n->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ATF_REQUIRE(bind(n->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
    ATF_REQUIRE(listen(n->listener, 4) == 0);
    ATF_REQUIRE(getsockname(n->listener, (struct sockaddr *)&a, &size) == 0);
    n->port = ntohs(a.sin_port);
    return n;
}

static void node_run(struct node *n)
{
    ATF_REQUIRE_EQ(pthread_create(&n->thread, NULL, node_main, n), 0);
}

static void node_stop(struct node *n)
{
    pthread_join(n->thread, NULL);
    close(n->listener);
    free(n);
}

/* The block and the node as meta would tell them. */
struct target {
    Hdw__ExtendedBlock block;
    Hdw__Token token;
    Hdw__LocatedBlock located;
    Hdw__DatanodeID id;
    Hdw__DatanodeInfo info;
};

static void target_init(struct target *t, const struct node *n)
{
    hdw__extended_block__init(&t->block);
    hdw__token__init(&t->token);
    hdw__located_block__init(&t->located);
    hdw__datanode_id__init(&t->id);
    hdw__datanode_info__init(&t->info);
    t->block.pool_id = (char *)"BP-1";
    t->block.block_id = 1;
    t->token.kind = t->token.service = (char *)"";
    t->located.b = &t->block;
    t->located.block_token = &t->token;
    t->id.ip_addr = (char *)"127.0.0.1";
    t->id.host_name = (char *)"localhost";
    t->id.datanode_uuid = (char *)"u";
    t->id.xfer_port = (uint32_t)n->port;
    t->info.id = &t->id;
}

/* Opens at offset and reads everything in pieces of `step`. */
static int read_range(struct node *n, struct hd_conn_cache *cache, uint64_t offset, size_t size,
                      size_t step, uint8_t *out, size_t *ret_done)
{
    struct target t;
    target_init(&t, n);
    struct hd_block_stream s;
    *ret_done = 0;
    int err = hd_block_stream_open(&s, cache, &t.located, &t.info, "test", offset, size, 5000);
    while (err == 0 && *ret_done < size) {
        size_t done;
        err = hd_block_stream_read(&s, out + *ret_done, HD_MIN(step, size - *ret_done), &done);
        *ret_done += done;
    }
    if (s.conn != NULL) {
        hd_block_stream_close(&s, err == 0 ? cache : NULL);
    }
    return err;
}

static void check_range(uint64_t offset, size_t size, size_t step, size_t packet)
{
    struct node *n = node_start();
    n->packet_bytes = packet;
    node_run(n);
    struct hd_conn_cache cache;
    hd_conn_cache_init(&cache);
    uint8_t *out = malloc(size + 1);
    size_t done;
    ATF_REQUIRE_EQ(read_range(n, &cache, offset, size, step, out, &done), 0);
    ATF_CHECK_EQ(done, size);
    ATF_CHECK(memcmp(out, n->data + offset, size) == 0);
    ATF_CHECK_EQ(cache.count, 1u);
    free(out);
    hd_conn_cache_done(&cache);
    node_stop(n);
}

ATF_TC_WITHOUT_HEAD(any_range_in_any_pieces_comes_right);
ATF_TC_BODY(any_range_in_any_pieces_comes_right, tc)
{
    check_range(0, BLOCK_BYTES, BLOCK_BYTES, 65536);
    check_range(0, BLOCK_BYTES, 1000, 65536);
    check_range(1, BLOCK_BYTES - 1, 131072, 4096);
    check_range(777, 5, 1, 512);
    check_range(511, 2, 2, 65536);
    check_range(BLOCK_BYTES - 1, 1, 1, 65536);
    check_range(512, 131072, 4096, 1024);
}

ATF_TC_WITHOUT_HEAD(a_wrong_byte_is_never_handed_out);
ATF_TC_BODY(a_wrong_byte_is_never_handed_out, tc)
{
    struct node *n = node_start();
    n->corrupt_at = 70001;
    node_run(n);
    static uint8_t out[BLOCK_BYTES];
    size_t done;
    ATF_CHECK_EQ(read_range(n, NULL, 0, BLOCK_BYTES, 10000, out, &done), -HD_E_CHECKSUM);
    ATF_CHECK(done <= 70001);
    ATF_CHECK(memcmp(out, n->data, done) == 0);
    node_stop(n);
}

ATF_TC_WITHOUT_HEAD(an_early_end_keeps_what_came);
ATF_TC_BODY(an_early_end_keeps_what_came, tc)
{
    struct node *n = node_start();
    n->stop_at = 131072;
    node_run(n);
    static uint8_t out[BLOCK_BYTES];
    size_t done;
    ATF_CHECK_EQ(read_range(n, NULL, 0, BLOCK_BYTES, BLOCK_BYTES, out, &done), -HD_E_CLOSED);
    ATF_CHECK_EQ(done, 131072u);
    ATF_CHECK(memcmp(out, n->data, done) == 0);
    node_stop(n);
}

ATF_TC_WITHOUT_HEAD(a_refusal_carries_the_nodes_words);
ATF_TC_BODY(a_refusal_carries_the_nodes_words, tc)
{
    struct node *n = node_start();
    n->refuse = true;
    node_run(n);
    uint8_t out[10];
    size_t done;
    ATF_CHECK_EQ(read_range(n, NULL, 0, 10, 10, out, &done), -HD_E_IO);
    ATF_CHECK(strstr(hd_fail_text(), "no such replica") != NULL);
    node_stop(n);
}

ATF_TC_WITHOUT_HEAD(a_connection_serves_the_next_read);
ATF_TC_BODY(a_connection_serves_the_next_read, tc)
{
    struct node *n = node_start();
    n->requests = 3;
    node_run(n);
    struct hd_conn_cache cache;
    hd_conn_cache_init(&cache);
    static uint8_t out[BLOCK_BYTES];
    size_t done;
    for (int i = 0; i < 3; i++) { /* the node accepts only once */
        ATF_REQUIRE_EQ(read_range(n, &cache, (uint64_t)i * 1000, 5000, 5000, out, &done), 0);
        ATF_CHECK(memcmp(out, n->data + i * 1000, 5000) == 0);
    }
    pthread_join(n->thread, NULL);
    ATF_CHECK_EQ(n->thanks, 3);
    hd_conn_cache_done(&cache);
    close(n->listener);
    free(n);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, any_range_in_any_pieces_comes_right);
    ATF_TP_ADD_TC(tp, a_wrong_byte_is_never_handed_out);
    ATF_TP_ADD_TC(tp, an_early_end_keeps_what_came);
    ATF_TP_ADD_TC(tp, a_refusal_carries_the_nodes_words);
    ATF_TP_ADD_TC(tp, a_connection_serves_the_next_read);
    return atf_no_error();
}
