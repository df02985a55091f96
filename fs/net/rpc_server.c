/* Listening, answering, and the ends of turns. See rpc_server.h and rpc_conn.h. */
#include "fs/net/rpc_server.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_conn.h"
#include "fs/os/log.h"
#include "fs/wire/explain.h"
#include "fs/wire/frame.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum {
    DEFAULT_CONNECTIONS = 10000,
    DEFAULT_CALLS_PER_CONNECTION = 1000,
    DEFAULT_UNSENT_BYTES = 128 << 20,
    DEFAULT_IDLE_MS = 20000,
    ACCEPTS_PER_TURN = 64,
    ACCEPT_RETRY_MS = 100,
    LOG_PERIOD_MS = 1000,
};

/* --- accepting --- */

void hd_rpc_server_accept_more(struct hd_rpc_server *s)
{
    if (s->open_count < s->options.max_connections) {
        hd_loop_fd_set(s->listen_watch, EPOLLIN);
    }
}

static void on_accept_timer(void *ctx)
{
    hd_rpc_server_accept_more(ctx);
}

static void pause_accepting(struct hd_rpc_server *s, const char *why)
{
    hd_log_warn("rpc server pauses accepting", "port=%d reason=\"%s\"", s->port, why);
    hd_loop_fd_set(s->listen_watch, 0);
    hd_loop_timer_set(s->accept_timer, ACCEPT_RETRY_MS);
}

static void on_accept(void *ctx, uint32_t events HD_UNUSED)
{
    struct hd_rpc_server *s = ctx;
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        if (s->open_count >= s->options.max_connections) {
            hd_loop_fd_set(s->listen_watch, 0); /* a close opens it again */
            return;
        }
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
                pause_accepting(s, strerrordesc_np(errno));
            }
            return;
        }
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
        if (hd_rpc_conn_new(s, fd) == -ENOMEM) {
            pause_accepting(s, "no memory");
            return;
        }
    }
}

void hd_rpc_server_log_drop(struct hd_rpc_server *s, const struct hd_rpc_conn *c, const char *why)
{
    struct hd_mono_ms now = hd_loop_now(s->loop);
    if (now.v - s->last_log_at.v < LOG_PERIOD_MS) {
        s->drops_unlogged++;
        return;
    }
    hd_log_warn("rpc connection dropped", "port=%d peer=%s unlogged=%" PRIu64 " reason=\"%.200s\"",
                s->port, c->peer_ip, s->drops_unlogged, why);
    s->last_log_at = now;
    s->drops_unlogged = 0;
}

/* --- turns --- */

static void on_flush(void *ctx)
{
    struct hd_rpc_server *s = ctx;
    struct hd_list *node;
    while ((node = hd_list_pop_front(&s->dirty)) != NULL) {
        hd_rpc_conn_flush(HD_LIST_ENTRY(node, struct hd_rpc_conn, dirty_link));
    }
}

static void on_resume(void *ctx)
{
    struct hd_rpc_server *s = ctx;
    struct hd_list *node;
    while ((node = hd_list_pop_front(&s->resume)) != NULL) {
        hd_rpc_conn_resume(HD_LIST_ENTRY(node, struct hd_rpc_conn, resume_link));
    }
}

static void on_gate(void *ctx)
{
    hd_rpc_gate_check(ctx);
}

/* Few connections: idle ones harm nobody. Many: they must not keep others out. */
static void on_idle_timer(void *ctx)
{
    struct hd_rpc_server *s = ctx;
    struct hd_mono_ms now = hd_loop_now(s->loop);
    bool crowded = s->open_count >= s->options.max_connections / 5 * 2;
    HD_LIST_FOR_SAFE(it, &s->conns)
    {
        struct hd_rpc_conn *c = HD_LIST_ENTRY(it, struct hd_rpc_conn, link);
        if (crowded && c->calls == 0 && now.v - c->heard_at.v >= s->options.idle_ms) {
            hd_rpc_conn_close(c);
        }
    }
    hd_loop_timer_set(s->idle_timer, s->options.idle_ms / 2);
}

/* --- life --- */

int hd_rpc_server_new(struct hd_loop *loop, const char *address,
                      const struct hd_rpc_server_options *options, struct hd_rpc_server **ret)
{
    struct hd_rpc_server *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->loop = loop;
    s->options = *options;
    if (s->options.max_frame_bytes == 0) {
        s->options.max_frame_bytes = HD_RPC_MAX_FRAME_BYTES;
    }
    if (s->options.max_connections <= 0) {
        s->options.max_connections = DEFAULT_CONNECTIONS;
    }
    if (s->options.max_calls_per_connection <= 0) {
        s->options.max_calls_per_connection = DEFAULT_CALLS_PER_CONNECTION;
    }
    if (s->options.max_unsent_bytes == 0) {
        s->options.max_unsent_bytes = DEFAULT_UNSENT_BYTES;
    }
    if (s->options.idle_ms <= 0) {
        s->options.idle_ms = DEFAULT_IDLE_MS;
    }
    s->listen_fd = -1;
    s->refs = 1;
    s->last_log_at.v = -LOG_PERIOD_MS;
    s->flush.fn = on_flush;
    s->flush.ctx = s;
    hd_list_init(&s->conns);
    hd_list_init(&s->dirty);
    hd_list_init(&s->resume);
    hd_list_init(&s->gated);
    hd_arena_init(&s->arena, 0);
    hd_loop_flush_add(loop, &s->flush);
    s->scratch = malloc(HD_RPC_SCRATCH_BYTES);
    int err = s->scratch == NULL ? -ENOMEM : 0;
    err = err < 0 ? err : hd_addr_listen(address, &s->listen_fd, &s->port);
    err = err < 0 ? err : hd_loop_timer_add(loop, -1, on_accept_timer, s, &s->accept_timer);
    err = err < 0 ? err : hd_loop_timer_add(loop, -1, on_resume, s, &s->resume_timer);
    err = err < 0 ? err : hd_loop_timer_add(loop, -1, on_gate, s, &s->gate_timer);
    err = err < 0
              ? err
              : hd_loop_timer_add(loop, s->options.idle_ms / 2, on_idle_timer, s, &s->idle_timer);
    err =
        err < 0 ? err : hd_loop_fd_add(loop, s->listen_fd, EPOLLIN, on_accept, s, &s->listen_watch);
    if (err < 0) {
        hd_rpc_server_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void hd_rpc_server_free(struct hd_rpc_server *s)
{
    if (s == NULL) {
        return;
    }
    s->freed = true;
    while (!hd_list_empty(&s->conns)) {
        hd_rpc_conn_close(HD_LIST_ENTRY(s->conns.next, struct hd_rpc_conn, link));
    }
    hd_loop_flush_remove(&s->flush);
    hd_loop_timer_remove(s->accept_timer);
    hd_loop_timer_remove(s->resume_timer);
    hd_loop_timer_remove(s->gate_timer);
    hd_loop_timer_remove(s->idle_timer);
    hd_loop_fd_remove(s->listen_watch);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    hd_rpc_server_release(s);
}

void hd_rpc_server_release(struct hd_rpc_server *s)
{
    if (--s->refs > 0) {
        return;
    }
    while (s->free_calls != NULL) {
        struct hd_rpc_call_slot *slot = s->free_calls;
        s->free_calls = slot->next_free;
        hd_arena_done(&slot->call.arena);
        free(slot);
    }
    hd_arena_done(&s->arena);
    free(s->scratch);
    free(s);
}

int hd_rpc_server_port(const struct hd_rpc_server *s)
{
    return s->port;
}

/* --- calls --- */

struct hd_rpc_call *hd_rpc_call_new(struct hd_rpc_conn *c)
{
    struct hd_rpc_server *s = c->server;
    struct hd_rpc_call_slot *slot = s->free_calls;
    if (slot != NULL) {
        s->free_calls = slot->next_free;
        s->free_call_count--;
    } else {
        slot = calloc(1, sizeof(*slot));
        if (slot == NULL) {
            return NULL;
        }
        hd_arena_init(&slot->call.arena, 0);
    }
    slot->call.conn = c;
    slot->call.conn_id = c->id;
    c->calls++;
    return &slot->call;
}

void hd_rpc_call_free(struct hd_rpc_call *call)
{
    struct hd_rpc_call_slot *slot = (struct hd_rpc_call_slot *)call;
    struct hd_rpc_conn *c = call->conn;
    struct hd_rpc_server *s = c->server;
    if (s->free_call_count < HD_RPC_CALLS_KEPT && !s->freed) {
        hd_arena_reset(&call->arena);
        slot->next_free = s->free_calls;
        s->free_calls = slot;
        s->free_call_count++;
    } else {
        hd_arena_done(&call->arena);
        free(slot);
    }
    c->calls--;
    if (c->stalled) {
        hd_rpc_conn_mark_dirty(c);
    }
    hd_rpc_conn_release(c);
}

static struct hd_rpc_response_header header_of(const struct hd_rpc_call *call, uint32_t status)
{
    return (struct hd_rpc_response_header){
        .call_id = call->call_id,
        .status = status,
        .client_id = {call->client_id, call->client_id_size},
        .retry_count = call->retry_count,
    };
}

/* Makes the frame of a success and gives where its message goes; NULL when there is no need. */
static uint8_t *begin_reply(struct hd_rpc_call *call, size_t body_size, int64_t state_id)
{
    struct hd_rpc_conn *c = call->conn;
    if (c->state != HD_RPC_CONN_OPEN) {
        hd_rpc_call_free(call);
        return NULL;
    }
    if (body_size > HD_RPC_MAX_FRAME_BYTES - 1024) {
        hd_rpc_reply_error(call, -HD_E_TOO_LARGE, "RPC response exceeds maximum data length");
        return NULL;
    }
    struct hd_rpc_response_header h = header_of(call, HDW__RPC_STATUS__RPC_SUCCESS);
    h.state_id = state_id;
    uint8_t *body;
    if (hd_rpc_response_add(&c->out, &h, body_size, &body) < 0) {
        c->doomed = true;
        hd_rpc_conn_mark_dirty(c);
        hd_rpc_call_free(call);
        return NULL;
    }
    hd_rpc_conn_mark_dirty(c);
    return body;
}

void hd_rpc_reply(struct hd_rpc_call *call, const ProtobufCMessage *response, int64_t state_id)
{
    uint8_t *body = begin_reply(call, protobuf_c_message_get_packed_size(response), state_id);
    if (body != NULL) {
        protobuf_c_message_pack(response, body);
        hd_rpc_call_free(call);
    }
}

void hd_rpc_reply_bytes(struct hd_rpc_call *call, const void *data, size_t size, int64_t state_id)
{
    uint8_t *body = begin_reply(call, size, state_id);
    if (body != NULL) {
        if (size > 0) {
            memcpy(body, data, size);
        }
        hd_rpc_call_free(call);
    }
}

static uint32_t detail_of(int err)
{
    switch (-err) {
    case HD_E_NO_SUCH_METHOD:
        return HDW__RPC_ERROR_CODE__ERROR_NO_SUCH_METHOD;
    case HD_E_NO_SUCH_PROTOCOL:
        return HDW__RPC_ERROR_CODE__ERROR_NO_SUCH_PROTOCOL;
    case HD_E_RPC_SERVER:
        return HDW__RPC_ERROR_CODE__ERROR_RPC_SERVER;
    case HD_E_RPC_VERSION:
        return HDW__RPC_ERROR_CODE__ERROR_RPC_VERSION_MISMATCH;
    default:
        return HDW__RPC_ERROR_CODE__ERROR_APPLICATION;
    }
}

void hd_rpc_reply_error(struct hd_rpc_call *call, int err, const char *text)
{
    struct hd_rpc_conn *c = call->conn;
    if (c->state == HD_RPC_CONN_OPEN) {
        struct hd_rpc_response_header h = header_of(call, HDW__RPC_STATUS__RPC_ERROR);
        h.class_name = hd_slice_of(hd_error_class(err));
        h.error_msg = hd_slice_of(text != NULL && text[0] != '\0' ? text : hd_error_name(err));
        h.error_detail = detail_of(err);
        if (hd_rpc_response_add(&c->out, &h, 0, NULL) < 0) {
            c->doomed = true;
        }
        hd_rpc_conn_mark_dirty(c);
    }
    hd_rpc_call_free(call);
}

ProtobufCMessage *hd_rpc_call_decode(struct hd_rpc_call *call,
                                     const ProtobufCMessageDescriptor *type)
{
    ProtobufCAllocator allocator = hd_arena_allocator(&call->arena);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, call->body_size, call->body);
    if (m == NULL) {
        char text[HD_EXPLAIN_TEXT_BYTES];
        hd_explain_undecodable(type, (struct hd_slice){call->body, call->body_size}, text,
                               sizeof(text));
        hd_rpc_reply_error(call, -HD_E_BAD_MESSAGE, text);
    }
    return m;
}
