/*
 * A whole data node in this process, without a meta: for tests that talk to its sockets. Each lives
 * in a directory of its own under the working directory and is bound to the pool the test names.
 */
#ifndef HD_TESTS_DATA_NODE_H
#define HD_TESTS_DATA_NODE_H

#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/shell/data.h"
#include "fs/data/store/block_writer.h"
#include "fs/net/loop.h"
#include "fs/net/stream.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <atf-c.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define TEST_POOL "BP-1976064991-127.0.0.1-1795363449510" /* of the captures */

struct node {
    struct hd_data data;
    struct hd_loop *loop;
    pthread_t thread;
    char dir[64];
};

/* Before the first thread: the level is not guarded. */
static inline void quiet_once(void)
{
    static bool done;
    if (!done) {
        hd_log_init("test", HD_LOG_ERROR);
        done = true;
    }
}

static void *node_main(void *ctx)
{
    hd_loop_run(ctx);
    return NULL;
}

/* dir "" makes a fresh directory; else an earlier node's is opened again. */
static inline void node_start_in(struct node *n, const char *pool_id, const char *dir)
{
    memset(n, 0, sizeof(*n));
    quiet_once();
    signal(SIGPIPE, SIG_IGN);
    snprintf(n->dir, sizeof(n->dir), "%s", dir[0] != '\0' ? dir : "node.XXXXXX");
    if (dir[0] == '\0') {
        ATF_REQUIRE(mkdtemp(n->dir) != NULL);
    }
    struct hd_data_options o = {.heartbeat_ms = 1000, .max_transfer_threads = 100};
    snprintf(o.address, sizeof(o.address), "127.0.0.1:0");
    snprintf(o.ipc_address, sizeof(o.ipc_address), "127.0.0.1:0");
    snprintf(o.http_address, sizeof(o.http_address), "127.0.0.1:0");
    snprintf(o.meta_address, sizeof(o.meta_address), "127.0.0.1:1");
    snprintf(o.host_name, sizeof(o.host_name), "localhost");
    snprintf(o.user, sizeof(o.user), "test");
    snprintf(o.socket_path, sizeof(o.socket_path), "%s/sock_PORT", n->dir);
    o.dirs = strdup(n->dir);
    ATF_REQUIRE_EQ(hd_loop_new(&n->loop), 0);
    ATF_REQUIRE_EQ_MSG(hd_data_start(&n->data, n->loop, &o), 0, "%s", hd_fail_text());
    struct hd_store_identity id = {.cluster_id = "CID-test", .namespace_id = 7, .ctime_ms = 1};
    snprintf(id.pool_id, sizeof(id.pool_id), "%s", pool_id);
    ATF_REQUIRE_EQ_MSG(hd_store_bind(n->data.store, &id), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(pthread_create(&n->thread, NULL, node_main, n->loop), 0);
}

static inline void node_start(struct node *n, const char *pool_id)
{
    node_start_in(n, pool_id, "");
}

static inline void node_stop(struct node *n)
{
    hd_loop_stop(n->loop);
    pthread_join(n->thread, NULL);
    hd_data_stop(&n->data);
    hd_loop_free(n->loop);
}

/* The test data of the captures: byte i = (31 i + 7 (i >> 8) + seed) mod 256. */
static inline uint8_t capture_byte(uint64_t i, unsigned seed)
{
    return (uint8_t)(31 * i + 7 * (i >> 8) + seed);
}

static inline uint8_t *capture_bytes(uint64_t first, size_t size, unsigned seed)
{
    uint8_t *data = malloc(size + 1);
    ATF_REQUIRE(data != NULL);
    for (size_t i = 0; i < size; i++) {
        data[i] = capture_byte(first + i, seed);
    }
    return data;
}

/* Puts a finalized replica into the store. */
static inline void node_put(struct node *n, uint64_t id, uint64_t gs, struct hd_sum_format f,
                            const uint8_t *data, size_t size)
{
    struct hd_block_writer_options o = {.setup = {.stage = HD_STAGE_CREATE, .id = {id}, .gs = {gs}},
                                        .format = f};
    struct hd_block_writer *w;
    size_t sums_bytes = (size / f.bytes_per_checksum + 1) * HD_SUM_BYTES;
    uint8_t *sums = malloc(sums_bytes);
    hd_checksum_chunks(f.type, f.bytes_per_checksum, data, size, sums);
    struct hd_packet p = {
        .data_bytes = (uint32_t)size,
        .sums_bytes = (uint32_t)((size + f.bytes_per_checksum - 1) / f.bytes_per_checksum) * 4};
    ATF_REQUIRE_EQ_MSG(hd_block_writer_open(n->data.store, &o, &w), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(hd_block_writer_write(w, &p, sums, data, true), 0);
    ATF_REQUIRE_EQ(hd_block_writer_finish(w), 0);
    hd_block_writer_close(w);
    free(sums);
}

/* The replica's bytes are exactly these, and every sum agrees. */
static inline void node_check(struct node *n, uint64_t id, uint64_t gs, const uint8_t *data,
                              size_t size)
{
    struct hd_block_view v;
    ATF_REQUIRE_EQ_MSG(hd_store_view(n->data.store, (struct hd_block_id){id}, &v), 0, "%s",
                       hd_fail_text());
    ATF_CHECK_EQ(v.replica.gs.v, gs);
    ATF_REQUIRE_EQ(v.replica.size_bytes, size);
    uint8_t *got = malloc(size + 1);
    uint8_t *sums = malloc(hd_meta_file_size(v.format, size));
    ATF_REQUIRE_EQ(hd_fd_pread(v.data_fd, got, size, 0), 0);
    ATF_REQUIRE_EQ(hd_fd_pread(v.meta_fd, sums, hd_meta_file_size(v.format, size) - 7, 7), 0);
    ATF_CHECK_EQ(memcmp(got, data, size), 0);
    ATF_CHECK_EQ(hd_checksum_verify(v.format.type, v.format.bytes_per_checksum, got, size, sums),
                 -1);
    ATF_CHECK_EQ(lseek(v.meta_fd, 0, SEEK_END), (off_t)hd_meta_file_size(v.format, size));
    free(got);
    free(sums);
    hd_block_view_done(&v);
}

static inline int node_connect(const struct node *n)
{
    int fd;
    ATF_REQUIRE_EQ(hd_addr_connect("127.0.0.1", n->data.transfer_port, 2000, &fd), 0);
    return fd;
}

#endif
