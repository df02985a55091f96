/* For tests of the RPC server: a server in a thread, and a peer that writes and reads raw bytes. */
#ifndef HD_TESTS_RPC_PEER_H
#define HD_TESTS_RPC_PEER_H

#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/net/stream.h"
#include "fs/wire/frame.h"
#include "fs/wire/methods.h"
#include "rpc.pb-c.h"

#include <atf-c.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RPC_PEER_TIMEOUT_MS = 20000 };

static const uint8_t peer_client_id[HD_RPC_CLIENT_ID_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                               8, 9, 10, 11, 12, 13, 14, 15};

struct test_server {
    struct hd_loop *loop;
    struct hd_rpc_server *rpc;
    pthread_t thread;
    int port;
    void (*at_end)(void *ctx); /* on the loop's thread, after the server was freed; or NULL */
    void *at_end_ctx;
};

static inline void *test_server_run(void *ctx)
{
    struct test_server *s = ctx;
    hd_loop_run(s->loop);
    if (s->at_end != NULL) {
        s->at_end(s->at_end_ctx);
    }
    return NULL;
}

static inline void test_server_start(struct test_server *s, const struct hd_rpc_server_options *o)
{
    *s = (struct test_server){0};
    ATF_REQUIRE_EQ(hd_loop_new(&s->loop), 0);
    int err = hd_rpc_server_new(s->loop, "127.0.0.1:0", o, &s->rpc);
    ATF_REQUIRE_EQ_MSG(err, 0, "%s", hd_fail_text());
    s->port = hd_rpc_server_port(s->rpc);
    pthread_create(&s->thread, NULL, test_server_run, s);
}

static inline void test_server_free_rpc(void *ctx)
{
    struct test_server *s = ctx;
    hd_rpc_server_free(s->rpc);
    hd_loop_stop(s->loop);
}

static inline void test_server_stop(struct test_server *s)
{
    ATF_REQUIRE_EQ(hd_loop_post(s->loop, test_server_free_rpc, s), 0);
    pthread_join(s->thread, NULL);
    hd_loop_free(s->loop);
}

static inline void peer_connect(const struct test_server *s, struct hd_stream *peer)
{
    int fd;
    ATF_REQUIRE_EQ(hd_addr_connect("127.0.0.1", s->port, 5000, &fd), 0);
    ATF_REQUIRE_EQ(hd_stream_init(peer, fd, RPC_PEER_TIMEOUT_MS, 0), 0);
}

/* Adds preamble and context; adds a call with the body. */
static inline void peer_add_greeting(struct hd_buf *out, const char *user)
{
    ATF_REQUIRE_EQ(hd_rpc_preamble_add(out, HD_RPC_AUTH_SIMPLE), 0);
    ATF_REQUIRE_EQ(hd_rpc_context_add(out, peer_client_id, user, HD_PROTOCOL_CLIENT), 0);
}

static inline void peer_add_call(struct hd_buf *out, int32_t call_id, const char *method,
                                 const void *data, size_t size)
{
    struct hd_rpc_request_header h = {.kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER,
                                      .op = HDW__OPERATION__RPC_FINAL_PACKET,
                                      .call_id = call_id,
                                      .client_id = {peer_client_id, sizeof(peer_client_id)}};
    struct hd_rpc_request r = {
        .method = hd_slice_of(method), .protocol = hd_slice_of(HD_PROTOCOL_CLIENT), .version = 1};
    uint8_t *body;
    ATF_REQUIRE_EQ(hd_rpc_request_add(out, &h, &r, size, &body), 0);
    if (size > 0) {
        memcpy(body, data, size);
    }
}

/* Reads one frame into `frame` (emptied first) and decodes its header. False at the end. */
static inline bool peer_read_frame(struct hd_stream *peer, struct hd_buf *frame,
                                   struct hd_rpc_response_header *ret, struct hd_slice *ret_body)
{
    uint8_t length[4];
    if (hd_stream_wait(peer) <= 0 || hd_stream_read(peer, length, sizeof(length)) < 0) {
        return false;
    }
    size_t size = (size_t)length[0] << 24 | (size_t)length[1] << 16 | (size_t)length[2] << 8 |
                  (size_t)length[3];
    hd_buf_clear(frame);
    ATF_REQUIRE_EQ(hd_buf_reserve(frame, size + 1), 0);
    ATF_REQUIRE_EQ(hd_stream_read(peer, frame->data, size), 0);
    frame->size = size;
    struct hd_slice rest = {frame->data, frame->size};
    ATF_REQUIRE_EQ(hd_rpc_response_decode(&rest, ret), 0);
    *ret_body = (struct hd_slice){NULL, 0};
    if (ret->status == HDW__RPC_STATUS__RPC_SUCCESS) {
        ATF_REQUIRE_EQ(hd_slice_take_delimited(&rest, ret_body), 0);
    }
    ATF_REQUIRE_EQ(rest.size, 0u);
    return true;
}

/* The whole of a golden file, appended. */
static inline void golden_read(const char *name, const char *direction, struct hd_buf *out)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/tests/golden/hdfs/%s.%s.bin", HD_SOURCE_DIR, name, direction);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ATF_REQUIRE_MSG(fd >= 0, "%s", path);
    struct stat st;
    ATF_REQUIRE_EQ(fstat(fd, &st), 0);
    ATF_REQUIRE_EQ(hd_buf_reserve(out, (size_t)st.st_size + 1), 0);
    ATF_REQUIRE_EQ(read(fd, out->data + out->size, (size_t)st.st_size), st.st_size);
    out->size += (size_t)st.st_size;
    close(fd);
}

#endif
