/*
 * Fuzz target: what an RPC peer sends. The bytes go through the pure decoders and then, behind a
 * preamble and a context or as they are, into a server over a socket pair, in two pieces. Calls are
 * answered at once, later or after the connection is gone, as their id says.
 */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_conn.h"
#include "fs/net/rpc_server.h"
#include "fs/os/log.h"
#include "fs/wire/explain.h"
#include "fs/wire/frame.h"
#include "fs/wire/methods.h"

#include <sys/socket.h>
#include <unistd.h>

enum { PARKED_MAX = 64, INPUT_MAX = 60000 };

static struct hd_loop *loop;
static struct hd_rpc_server *server;
static struct hd_rpc_call *parked[PARKED_MAX];
static int parked_count;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void answer_parked(void)
{
    while (parked_count > 0) {
        hd_rpc_reply_error(parked[--parked_count], -HD_E_RETRIABLE, "");
    }
}

static void on_call(void *ctx HD_UNUSED, struct hd_rpc_call *call)
{
    const struct hd_method *m = hd_method_find(call->protocol, call->method);
    hd_assert(call->user != NULL && call->peer_ip != NULL);
    if (call->call_id % 3 == 1 && parked_count < PARKED_MAX) {
        parked[parked_count++] = call;
    } else if (m == NULL) {
        hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, call->method);
    } else if (hd_rpc_call_decode(call, m->request) != NULL) {
        hd_rpc_reply_bytes(call, call->body, call->body_size, call->retry_count);
        answer_parked();
    }
}

static void on_close(void *ctx HD_UNUSED, uint64_t conn_id HD_UNUSED)
{
    hd_loop_stop(loop);
}

static void start_server(void)
{
    static const char *const protocols[] = {HD_PROTOCOL_CLIENT, HD_PROTOCOL_DATANODE, NULL};
    struct hd_rpc_server_options o = {.protocols = protocols,
                                      .max_frame_bytes = 1 << 20,
                                      .max_calls_per_connection = 1000,
                                      .on_call = on_call,
                                      .on_close = on_close};
    hd_log_init("fuzz", HD_LOG_ERROR);
    hd_assert(hd_loop_new(&loop) == 0);
    hd_assert(hd_rpc_server_new(loop, "127.0.0.1:0", &o, &server) == 0);
}

static void serve(const struct hd_buf *in, size_t cut)
{
    int fds[2];
    hd_assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) == 0);
    hd_assert(hd_rpc_conn_new(server, fds[0]) == 0);
    hd_assert(send(fds[1], in->data, cut, MSG_NOSIGNAL) == (ssize_t)cut);
    size_t rest = in->size - cut;
    hd_assert(send(fds[1], in->data + cut, rest, MSG_NOSIGNAL) == (ssize_t)rest);
    shutdown(fds[1], SHUT_WR);
    hd_assert(hd_loop_run(loop) == 0); /* until the connection is closed */
    close(fds[1]);
    answer_parked();
}

static void check_request(struct hd_slice body)
{
    struct hd_rpc_request_header h;
    struct hd_rpc_request r;
    struct hd_slice message;
    char text[HD_EXPLAIN_TEXT_BYTES];
    if (hd_rpc_request_header_decode(&body, &h) < 0 || hd_rpc_request_decode(&body, &r) < 0) {
        return;
    }
    struct hd_buf again = {0};
    uint8_t *to;
    hd_assert(hd_rpc_request_add(&again, &h, &r, 0, &to) == 0);
    struct hd_slice rest;
    struct hd_rpc_request_header h2;
    hd_assert(hd_frame_take((struct hd_slice){again.data, again.size}, again.size, &rest) ==
              (int64_t)again.size);
    hd_assert(hd_rpc_request_header_decode(&rest, &h2) == 0);
    hd_assert(h2.call_id == h.call_id && h2.retry_count == h.retry_count);
    hd_assert(h2.client_id.size == h.client_id.size);
    hd_buf_done(&again);
    if (hd_slice_take_delimited(&body, &message) == 0) {
        size_t count;
        const struct hd_method *table = hd_method_table(&count);
        hd_explain_undecodable(table[(uint32_t)h.call_id % count].request, message, text,
                               sizeof(text));
        hd_assert(strlen(text) < sizeof(text));
    }
}

static void check_pure(struct hd_slice in)
{
    struct hd_slice body;
    struct hd_rpc_response_header h;
    int64_t n;
    while ((n = hd_frame_take(in, 1 << 20, &body)) > 0) {
        check_request(body);
        hd_rpc_response_decode(&body, &h);
        in.data += n;
        in.size -= (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t client_id[HD_RPC_CLIENT_ID_BYTES] = {1};
    if (loop == NULL) {
        start_server();
    }
    if (size < 2 || size > INPUT_MAX) {
        return 0;
    }
    bool greet = (data[0] & 1) != 0;
    check_pure((struct hd_slice){data + 1, size - 1});
    struct hd_buf in = {0};
    if (greet) {
        hd_assert(hd_rpc_preamble_add(&in, HD_RPC_AUTH_SIMPLE) == 0);
        hd_assert(hd_rpc_context_add(&in, client_id, "alice", HD_PROTOCOL_CLIENT) == 0);
    }
    hd_assert(hd_buf_add(&in, data + 1, size - 1) == 0);
    serve(&in, in.size * data[0] / 256);
    hd_buf_done(&in);
    return 0;
}
