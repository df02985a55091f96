/*
 * Local replicas over a UNIX socket that a thread of the test serves: verified reads, reuse,
 * refusals.
 */
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/client/local_cache.h"
#include "fs/client/transfer.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

enum { BLOCK_BYTES = 10000, CHUNK_BYTES = 512, PORT = 7 };

static uint8_t content[BLOCK_BYTES];

struct node {
    int listener;
    int answers; /* connections to serve */
    bool refuse;
    pthread_t thread;
};

static void make_files(void)
{
    static uint8_t sums[7 + (BLOCK_BYTES / CHUNK_BYTES + 1) * 4] = {0, 1, 2, 0, 0, 2, 0};
    for (size_t i = 0; i < BLOCK_BYTES; i++) {
        content[i] = (uint8_t)(i * 13 + i / 512);
    }
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, CHUNK_BYTES, content, BLOCK_BYTES, sums + 7);
    int fd = open("block", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ATF_REQUIRE(write(fd, content, BLOCK_BYTES) == BLOCK_BYTES);
    close(fd);
    fd = open("sums", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    ATF_REQUIRE(write(fd, sums, sizeof(sums)) == (ssize_t)sizeof(sums));
    close(fd);
}

static void serve(const struct node *n, int fd)
{
    struct hd_stream s;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    uint8_t head[3];
    ProtobufCMessage *op;
    if (hd_stream_init(&s, fd, 5000, 0) < 0) {
        return;
    }
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = n->refuse ? HDW__STATUS__STATUS_ERROR_UNSUPPORTED : HDW__STATUS__STATUS_SUCCESS;
    if (hd_stream_read(&s, head, 3) == 0 && head[2] == HD_OP_REQUEST_SHORT_CIRCUIT_FDS &&
        hd_stream_read_message(&s, &hdw__op_request_short_circuit_access__descriptor, 4096, &arena,
                               &op) == 0 &&
        hd_stream_write_message(&s, &r.base) == 0 && !n->refuse) {
        int fds[2] = {open("block", O_RDONLY), open("sums", O_RDONLY)};
        uint8_t no = 0;
        (void)hd_stream_send_fds(&s, &no, 1, fds, 2);
        close(fds[0]);
        close(fds[1]);
    }
    hd_stream_done(&s);
}

static void *node_main(void *ctx)
{
    struct node *n = ctx;
    for (int i = 0; i < n->answers; i++) {
        int fd = accept(n->listener, NULL, NULL);
        if (fd >= 0) {
            serve(n, fd);
        }
    }
    return NULL;
}

static void node_start(struct node *n)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX, .sun_path = "data_7.sock"};
    n->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ATF_REQUIRE(bind(n->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
    ATF_REQUIRE(listen(n->listener, 4) == 0);
    ATF_REQUIRE_EQ(pthread_create(&n->thread, NULL, node_main, n), 0);
}

static void node_stop(struct node *n)
{
    pthread_join(n->thread, NULL);
    close(n->listener);
}

static int get(struct hd_local_cache *c, struct hd_local_block **ret)
{
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__Token token = HDW__TOKEN__INIT;
    block.pool_id = (char *)"BP-1";
    block.block_id = 42;
    block.generation_stamp = 1001;
    token.kind = token.service = (char *)"";
    return hd_local_cache_get(c, "data_PORT.sock", PORT, &block, &token, ret);
}

ATF_TC_WITHOUT_HEAD(a_replica_is_asked_for_once_and_reads_right);
ATF_TC_BODY(a_replica_is_asked_for_once_and_reads_right, tc)
{
    make_files();
    struct node n = {.answers = 1};
    node_start(&n);
    struct hd_local_cache c;
    hd_local_cache_init(&c);
    struct hd_local_block *b;
    ATF_REQUIRE_EQ(get(&c, &b), 0);
    ATF_CHECK_EQ(b->size_bytes, (uint64_t)BLOCK_BYTES);
    static uint8_t out[BLOCK_BYTES];
    for (size_t at = 0; at < BLOCK_BYTES; at += 333) {
        size_t size = HD_MIN((size_t)2000, BLOCK_BYTES - at);
        ATF_REQUIRE_EQ(hd_local_block_read(b, out, size, at), 0);
        ATF_REQUIRE(memcmp(out, content + at, size) == 0);
    }
    ATF_CHECK_EQ(hd_local_block_read(b, out, 2, BLOCK_BYTES - 1), -HD_E_TRUNCATED);
    hd_local_cache_put(&c, b);
    ATF_REQUIRE_EQ(get(&c, &b), 0); /* the node answers only once */
    hd_local_cache_put(&c, b);
    hd_local_cache_done(&c);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(a_wrong_byte_is_found);
ATF_TC_BODY(a_wrong_byte_is_found, tc)
{
    make_files();
    int fd = open("block", O_WRONLY);
    ATF_REQUIRE(pwrite(fd, "\xff", 1, 3000) == 1);
    close(fd);
    struct node n = {.answers = 1};
    node_start(&n);
    struct hd_local_cache c;
    hd_local_cache_init(&c);
    struct hd_local_block *b;
    ATF_REQUIRE_EQ(get(&c, &b), 0);
    uint8_t out[4096];
    ATF_CHECK_EQ(hd_local_block_read(b, out, 100, 2600), -HD_E_CHECKSUM); /* same chunk */
    ATF_CHECK_EQ(hd_local_block_read(b, out, 2560, 0), 0);
    hd_local_cache_drop(&c, b);
    hd_local_cache_put(&c, b);
    hd_local_cache_done(&c);
    node_stop(&n);
}

ATF_TC_WITHOUT_HEAD(a_node_that_refuses_is_left_alone);
ATF_TC_BODY(a_node_that_refuses_is_left_alone, tc)
{
    struct node n = {.answers = 1, .refuse = true};
    node_start(&n);
    struct hd_local_cache c;
    hd_local_cache_init(&c);
    struct hd_local_block *b;
    ATF_CHECK(get(&c, &b) < 0);
    ATF_CHECK_EQ(get(&c, &b), -ENOENT); /* without asking: nobody would answer */
    hd_local_cache_done(&c);
    node_stop(&n);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_replica_is_asked_for_once_and_reads_right);
    ATF_TP_ADD_TC(tp, a_wrong_byte_is_found);
    ATF_TP_ADD_TC(tp, a_node_that_refuses_is_left_alone);
    return atf_no_error();
}
