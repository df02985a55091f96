/*
 * What a peer of the RPC server says, from its first byte to its last. See rpc_conn.h.
 *
 * What is malformed is answered as Hadoop's server does: ERROR for one call, FATAL for the
 * connection, silence for a length that cannot be right.
 */
#include "fs/net/fault_service.h"
#include "fs/net/rpc_conn.h"
#include "fs/base/error.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum { NAME_MAX_BYTES = 1024 /* of a protocol or method in an error text */ };

/* --- answers about the connection --- */

static void answer(struct hd_rpc_conn *c, const struct hd_rpc_response_header *h)
{
    if (hd_rpc_response_add(&c->out, h, 0, NULL) < 0) {
        c->doomed = true;
    }
    hd_rpc_conn_mark_dirty(c);
}

/* An exception for one call; the connection goes on. */
static void answer_error(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q, int err,
                         uint32_t detail, const char *text)
{
    answer(c, &(struct hd_rpc_response_header){
                  .call_id = q->call_id,
                  .status = HDW__RPC_STATUS__RPC_ERROR,
                  .class_name = hd_slice_of(hd_error_class(err)),
                  .error_msg = hd_slice_of(text),
                  .error_detail = detail,
                  .client_id = q->client_id,
                  .retry_count = q->retry_count,
              });
}

/* The last word on a connection. The client id is empty there. */
static void answer_fatal(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q, int err,
                         uint32_t detail, const char *text)
{
    answer(c, &(struct hd_rpc_response_header){
                  .call_id = q->call_id,
                  .status = HDW__RPC_STATUS__RPC_FATAL,
                  .class_name = hd_slice_of(hd_error_class(err)),
                  .error_msg = hd_slice_of(text),
                  .error_detail = detail,
                  .retry_count = q->retry_count,
              });
    c->state = HD_RPC_CONN_LINGER;
    hd_rpc_server_log_drop(c->server, c, text);
}

static void refuse_header(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                          const char *text)
{
    answer_fatal(c, q, -HD_E_RPC_SERVER, HDW__RPC_ERROR_CODE__FATAL_INVALID_RPC_HEADER, text);
}

/* What did not decode: the reason is the thread's failure text. */
static void refuse_message(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                           const char *message_name)
{
    char text[HD_FAIL_TEXT_BYTES];
    snprintf(text, sizeof(text), "Error decoding %s: %s: %.1024s", message_name,
             hd_error_class(-HD_E_BAD_MESSAGE), hd_fail_text());
    answer_fatal(c, q, -HD_E_RPC_SERVER, HDW__RPC_ERROR_CODE__FATAL_DESERIALIZING_REQUEST, text);
}

/* --- messages about the connection --- */

/* Decodes a delimited message of a rare kind into the server's arena; NULL when it does not. */
static ProtobufCMessage *take_message(struct hd_rpc_conn *c, struct hd_slice *rest,
                                      const ProtobufCMessageDescriptor *type)
{
    struct hd_slice in;
    if (hd_slice_take_delimited(rest, &in) < 0) {
        return NULL;
    }
    hd_arena_reset(&c->server->arena);
    ProtobufCAllocator allocator = hd_arena_allocator(&c->server->arena);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, in.size, in.data);
    if (m == NULL) {
        hd_fail(-HD_E_BAD_MESSAGE, "Protocol message does not decode.");
    }
    return m;
}

static bool may_impersonate(const struct hd_rpc_server *s, const char *real_user, const char *user)
{
    return s->options.may_impersonate == NULL ||
           s->options.may_impersonate(s->options.ctx, real_user, user);
}

static void take_context(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                         struct hd_slice rest)
{
    if (c->auth == HD_RPC_AUTH_SASL && !c->sasl_done) {
        refuse_header(c, q, "Connection header sent during SASL negotiation");
        return;
    }
    if (c->has_context) {
        refuse_header(c, q, "Connection context already processed");
        return;
    }
    const Hdw__IpcConnectionContext *m = (const Hdw__IpcConnectionContext *)take_message(
        c, &rest, &hdw__ipc_connection_context__descriptor);
    if (m == NULL) {
        refuse_message(c, q, "IpcConnectionContextProto");
        return;
    }
    const Hdw__UserInformation *u = m->user_info;
    if (u != NULL && u->real_user != NULL && u->effective_user != NULL &&
        !may_impersonate(c->server, u->real_user, u->effective_user)) {
        char text[512];
        snprintf(text, sizeof(text), "User: %.200s is not allowed to impersonate %.200s",
                 u->real_user, u->effective_user);
        answer_fatal(c, q, -HD_E_UNAUTHORIZED, HDW__RPC_ERROR_CODE__FATAL_UNAUTHORIZED, text);
        return;
    }
    c->user = strdup(u != NULL && u->effective_user != NULL ? u->effective_user : "");
    c->real_user = u != NULL && u->real_user != NULL ? strdup(u->real_user) : NULL;
    c->has_context = true;
    if (c->user == NULL || (u != NULL && u->real_user != NULL && c->real_user == NULL)) {
        c->doomed = true;
        hd_rpc_conn_mark_dirty(c);
    }
}

static void refuse_sasl(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                        const char *text)
{
    answer_fatal(c, q, -EACCES, HDW__RPC_ERROR_CODE__FATAL_UNAUTHORIZED, text);
}

/* NEGOTIATE is answered by SUCCESS without a token: "no SASL needed, go on with SIMPLE". */
static void answer_negotiate(struct hd_rpc_conn *c)
{
    Hdw__RpcSasl m = HDW__RPC_SASL__INIT;
    m.state = HDW__SASL_STATE__SASL_SUCCESS;
    struct hd_rpc_response_header h = {
        .call_id = HD_RPC_CALL_SASL,
        .status = HDW__RPC_STATUS__RPC_SUCCESS,
        .retry_count = HD_RPC_RETRY_NONE,
    };
    if (hd_rpc_response_add_message(&c->out, &h, &m.base) < 0) {
        c->doomed = true;
    }
    hd_rpc_conn_mark_dirty(c);
    c->sasl_done = true;
}

static void take_sasl(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                      struct hd_slice rest)
{
    if (c->auth != HD_RPC_AUTH_SASL) {
        refuse_header(c, q, "SASL protocol not requested by client");
        return;
    }
    const Hdw__RpcSasl *m =
        (const Hdw__RpcSasl *)take_message(c, &rest, &hdw__rpc_sasl__descriptor);
    char text[256];
    if (m == NULL) {
        refuse_message(c, q, "RpcSaslProto");
    } else if (c->has_context) {
        refuse_sasl(c, q, "Negotiation is already complete");
    } else if (m->state == HDW__SASL_STATE__SASL_NEGOTIATE) {
        answer_negotiate(c);
    } else if (m->state != HDW__SASL_STATE__SASL_INITIATE) {
        snprintf(text, sizeof(text), "Client sent unsupported state %d", (int)m->state);
        refuse_sasl(c, q, text);
    } else if (m->n_auths == 1 && strcmp(m->auths[0]->method, "SIMPLE") == 0) {
        c->sasl_done = true; /* without an answer: the context is right behind */
    } else {
        snprintf(text, sizeof(text), "%.64s authentication is not enabled.  Available:[SIMPLE]",
                 m->n_auths > 0 ? m->auths[0]->method : "null");
        refuse_sasl(c, q, text);
    }
}

/* --- calls --- */

/* The served name that equals the requested one, or NULL. */
static const char *find_protocol(struct hd_rpc_conn *c, struct hd_slice name)
{
    if (c->protocol != NULL && hd_slice_equals(name, c->protocol)) {
        return c->protocol;
    }
    for (const char *const *p = c->server->options.protocols; *p != NULL; p++) {
        if (hd_slice_equals(name, *p)) {
            c->protocol = *p;
            return *p;
        }
    }
    if (hd_slice_equals(name, hd_fault_protocol)) {
        c->spared = true;
        return hd_fault_protocol;
    }
    return NULL;
}

/* 0, or -1 after answering that there is no such protocol, version or method. */
static int check_request(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                         const struct hd_rpc_request *r, const char **ret_protocol)
{
    char text[2 * NAME_MAX_BYTES + 128];
    const char *protocol = find_protocol(c, r->protocol);
    if (protocol == NULL) {
        snprintf(text, sizeof(text), "Unknown protocol: %.*s",
                 (int)HD_MIN(r->protocol.size, (size_t)NAME_MAX_BYTES),
                 (const char *)r->protocol.data);
        answer_error(c, q, -HD_E_NO_SUCH_PROTOCOL, HDW__RPC_ERROR_CODE__ERROR_NO_SUCH_PROTOCOL,
                     text);
        return -1;
    }
    if (r->version != 1) {
        snprintf(text, sizeof(text), "Protocol %s version mismatch. (client = %lld, server = 1)",
                 protocol, (long long)r->version);
        answer_error(c, q, -HD_E_RPC_VERSION, HDW__RPC_ERROR_CODE__ERROR_RPC_VERSION_MISMATCH,
                     text);
        return -1;
    }
    if (r->method.size > NAME_MAX_BYTES || memchr(r->method.data, 0, r->method.size) != NULL) {
        snprintf(text, sizeof(text), "Unknown method %.*s called on %s protocol.",
                 (int)HD_MIN(r->method.size, (size_t)NAME_MAX_BYTES), (const char *)r->method.data,
                 protocol);
        answer_error(c, q, -HD_E_NO_SUCH_METHOD, HDW__RPC_ERROR_CODE__ERROR_NO_SUCH_METHOD, text);
        return -1;
    }
    *ret_protocol = protocol;
    return 0;
}

/* Fills the call from a frame that is about to go. */
static int fill_call(struct hd_rpc_call *call, const struct hd_rpc_request_header *q,
                     const struct hd_rpc_request *r, struct hd_slice body)
{
    struct hd_rpc_conn *c = call->conn;
    call->user = c->user;
    call->real_user = c->real_user;
    call->peer_ip = c->peer_ip;
    call->call_id = q->call_id;
    call->retry_count = q->retry_count;
    call->client_id_size = q->client_id.size;
    call->client_id = hd_arena_copy(&call->arena, q->client_id.data, q->client_id.size);
    call->method = hd_arena_strn(&call->arena, (const char *)r->method.data, r->method.size);
    call->body = hd_arena_copy(&call->arena, body.data, body.size);
    call->body_size = body.size;
    bool ok = call->client_id != NULL && call->method != NULL && call->body != NULL;
    return ok ? 0 : -ENOMEM;
}

static void take_call(struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                      struct hd_slice rest)
{
    struct hd_rpc_request r;
    struct hd_slice body;
    const char *protocol;
    if (hd_rpc_request_decode(&rest, &r) < 0) {
        answer_error(c, q, -HD_E_BAD_MESSAGE, HDW__RPC_ERROR_CODE__ERROR_APPLICATION,
                     hd_fail_text());
        return;
    }
    if (check_request(c, q, &r, &protocol) < 0) {
        return;
    }
    if (hd_slice_take_delimited(&rest, &body) < 0) {
        answer_error(c, q, -HD_E_BAD_MESSAGE, HDW__RPC_ERROR_CODE__ERROR_APPLICATION,
                     hd_fail_text());
        return;
    }
    struct hd_rpc_call *call = hd_rpc_call_new(c);
    if (call == NULL || fill_call(call, q, &r, body) < 0) {
        if (call != NULL) {
            hd_rpc_call_free(call);
        }
        answer_error(c, q, -HD_E_RETRIABLE, HDW__RPC_ERROR_CODE__ERROR_RPC_SERVER,
                     "Server is too busy.");
        return;
    }
    call->protocol = protocol;
    if (protocol == hd_fault_protocol) {
        hd_fault_service_call(call);
        return;
    }
    c->server->options.on_call(c->server->options.ctx, call);
}

/* --- frames --- */

static const char *const op_names[] = {"RPC_FINAL_PACKET", "RPC_CONTINUATION_PACKET",
                                       "RPC_CLOSE_CONNECTION"};
static const char *const kind_names[] = {"RPC_BUILTIN", "RPC_WRITABLE", "RPC_PROTOCOL_BUFFER"};

/* What Hadoop has to say about a header, or NULL when it is in order. */
static const char *check_header(const struct hd_rpc_conn *c, const struct hd_rpc_request_header *q,
                                char *text, size_t size)
{
    if (!q->has_op) {
        return " IPC Server: No rpc op in rpcRequestHeader";
    }
    if (q->op != HDW__OPERATION__RPC_FINAL_PACKET) {
        snprintf(text, size, "IPC Server does not implement rpc header operation%s",
                 q->op < HD_ARRAY_COUNT(op_names) ? op_names[q->op] : "null");
        return text;
    }
    if (!q->has_kind) {
        return " IPC Server: No rpc kind in rpcRequestHeader";
    }
    if (q->call_id < 0) {
        return NULL;
    }
    if (!c->has_context) {
        return "Connection context not established";
    }
    if (q->kind != HDW__RPC_KIND__RPC_PROTOCOL_BUFFER) {
        snprintf(text, size, "Unknown rpc kind in rpc header%s",
                 q->kind < HD_ARRAY_COUNT(kind_names) ? kind_names[q->kind] : "null");
        return text;
    }
    return NULL;
}

static void take_frame(struct hd_rpc_conn *c, struct hd_slice rest)
{
    struct hd_rpc_request_header q;
    char text[128];
    if (hd_rpc_request_header_decode(&rest, &q) < 0) {
        struct hd_rpc_request_header none = {.call_id = HD_RPC_CALL_NONE,
                                             .retry_count = HD_RPC_RETRY_NONE};
        refuse_message(c, &none, "RpcRequestHeaderProto");
        return;
    }
    const char *bad = check_header(c, &q, text, sizeof(text));
    if (bad != NULL) {
        refuse_header(c, &q, bad);
        return;
    }
    if (q.call_id >= 0) {
        take_call(c, &q, rest);
        return;
    }
    switch (q.call_id) {
    case HD_RPC_CALL_CONTEXT:
        take_context(c, &q, rest);
        return;
    case HD_RPC_CALL_SASL:
        take_sasl(c, &q, rest);
        return;
    case HD_RPC_CALL_PING:
        return;
    default:
        snprintf(text, sizeof(text), "Unknown out of band call #%d", q.call_id);
        refuse_header(c, &q, text);
    }
}

static size_t take_preamble(struct hd_rpc_conn *c, struct hd_slice in)
{
    enum hd_rpc_preamble what = hd_rpc_preamble_decode(in.data, in.size, &c->auth);
    if (what == HD_RPC_PREAMBLE_MORE) {
        return 0;
    }
    if (what == HD_RPC_PREAMBLE_OK) {
        c->state = HD_RPC_CONN_OPEN;
        return HD_RPC_PREAMBLE_BYTES;
    }
    c->state = HD_RPC_CONN_LINGER;
    c->doomed = hd_rpc_preamble_refuse(&c->out, what, in.data) < 0 || c->out.size == 0;
    hd_rpc_conn_mark_dirty(c);
    hd_rpc_server_log_drop(c->server, c, "not a preamble of Hadoop RPC version 9");
    return 0;
}

static bool must_stall(const struct hd_rpc_conn *c)
{
    return c->calls >= c->server->options.max_calls_per_connection ||
           hd_rpc_conn_unsent(c) >= HD_RPC_OUT_HIGH_BYTES;
}

size_t hd_rpc_conn_take(struct hd_rpc_conn *c, struct hd_slice in)
{
    size_t used = c->state == HD_RPC_CONN_PREAMBLE ? take_preamble(c, in) : 0;
    while (c->state == HD_RPC_CONN_OPEN && !c->doomed) {
        c->stalled = must_stall(c);
        if (c->stalled) {
            break;
        }
        struct hd_slice body;
        struct hd_slice rest = {in.data + used, in.size - used};
        int64_t n = hd_frame_take(rest, c->server->options.max_frame_bytes, &body);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            hd_rpc_server_log_drop(c->server, c, "frame length out of bounds");
            c->doomed = true;
            hd_rpc_conn_mark_dirty(c);
            break;
        }
        used += (size_t)n;
        take_frame(c, body);
    }
    return c->state == HD_RPC_CONN_LINGER || c->doomed ? in.size : used;
}
