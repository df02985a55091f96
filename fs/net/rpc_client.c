/*
 * The RPC client of rpc_client.h: connects when there is need, encodes requests, and makes answers
 * and exceptions of what comes. Sending and waiting is rpc_link.c's.
 */
#include "fs/net/rpc_client.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/rpc_link.h"
#include "fs/os/clock.h"
#include "fs/wire/frame.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { CONNECT_TIMEOUT_MS = 20000, CALL_TIMEOUT_MS = 120000, CLASS_BYTES = 256 };

/* A server's address. All that were ever used live as long as the client: messages name them. */
struct address {
    struct address *older;
    char text[];
};

struct hd_rpc_client {
    struct address *addresses;
    _Atomic(const char *) address; /* one of them */
    char *protocol;
    char *user;
    char source_ip[HD_IP_TEXT_BYTES]; /* "": any */
    int connect_timeout_ms;
    int call_timeout_ms;
    size_t max_frame_bytes;
    uint8_t client_id[HD_RPC_CLIENT_ID_BYTES];
    atomic_uint next_call_id;
    pthread_condattr_t monotonic;
    pthread_mutex_t lock;
    pthread_cond_t connected; /* the connect under way ended */
    bool connecting;
    uint64_t attempts; /* connects that ended, and how the last one did */
    int attempt_err;
    uint64_t redirects;           /* a connect begun before the last one is not wanted any more */
    struct hd_rpc_link *link;     /* NULL until the first call and after a disconnect */
    struct hd_rpc_link *greeting; /* of the connect under way, once it says hello */
    uint64_t connections;
    const struct hd_rpc_hello *(*hello)(void *ctx);
    int (*welcome)(void *ctx, int err, const ProtobufCMessage *response, uint64_t *ret_tag);
    void *ctx;
};

static _Thread_local char last_class[CLASS_BYTES];

const char *hd_rpc_last_class(void)
{
    return last_class;
}

bool hd_rpc_is_connection_error(int err)
{
    switch (-err) {
    case HD_E_CLOSED:
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case EPIPE:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case EHOSTDOWN:
    case ENETUNREACH:
    case ENETDOWN:
    case EADDRNOTAVAIL:
        return true;
    default:
        return false;
    }
}

/* --- life --- */

/* The text among the client's addresses, added when it is new; NULL: no memory. */
static const char *keep_address(struct hd_rpc_client *c, const char *text)
{
    struct address *a = c->addresses;
    while (a != NULL && strcmp(a->text, text) != 0) {
        a = a->older;
    }
    if (a == NULL) {
        size_t size = strlen(text) + 1;
        a = malloc(sizeof(*a) + size);
        if (a == NULL) {
            return NULL;
        }
        memcpy(a->text, text, size);
        a->older = c->addresses;
        c->addresses = a;
    }
    return a->text;
}

int hd_rpc_client_new(const struct hd_rpc_client_options *o, struct hd_rpc_client **ret)
{
    struct hd_rpc_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -ENOMEM;
    }
    atomic_init(&c->address, keep_address(c, o->address));
    c->protocol = strdup(o->protocol);
    c->user = strdup(o->user);
    c->connect_timeout_ms =
        o->connect_timeout_ms > 0 ? o->connect_timeout_ms : (int)CONNECT_TIMEOUT_MS;
    c->call_timeout_ms = o->call_timeout_ms > 0 ? o->call_timeout_ms : (int)CALL_TIMEOUT_MS;
    c->max_frame_bytes = o->max_frame_bytes != 0 ? o->max_frame_bytes : HD_RPC_MAX_FRAME_BYTES;
    snprintf(c->source_ip, sizeof(c->source_ip), "%s", o->source_ip != NULL ? o->source_ip : "");
    c->hello = o->hello;
    c->welcome = o->welcome;
    c->ctx = o->ctx;
    hd_random_bytes(c->client_id, sizeof(c->client_id));
    pthread_condattr_init(&c->monotonic);
    pthread_condattr_setclock(&c->monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->connected, &c->monotonic);
    if (c->address == NULL || c->protocol == NULL || c->user == NULL) {
        hd_rpc_client_free(c);
        return -ENOMEM;
    }
    *ret = c;
    return 0;
}

static void drop_link(struct hd_rpc_client *c)
{
    if (c->link != NULL) {
        hd_rpc_link_fail(c->link, -HD_E_CLOSED);
        hd_rpc_link_unref(HD_TAKE_PTR(c->link));
    }
}

void hd_rpc_client_free(struct hd_rpc_client *c)
{
    if (c == NULL) {
        return;
    }
    hd_rpc_client_disconnect(c);
    pthread_cond_destroy(&c->connected);
    pthread_mutex_destroy(&c->lock);
    pthread_condattr_destroy(&c->monotonic);
    while (c->addresses != NULL) {
        struct address *a = c->addresses;
        c->addresses = a->older;
        free(a);
    }
    free(c->protocol);
    free(c->user);
    free(c);
}

void hd_rpc_client_disconnect(struct hd_rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    drop_link(c);
    pthread_mutex_unlock(&c->lock);
}

uint64_t hd_rpc_client_connections(struct hd_rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    uint64_t n = c->connections;
    pthread_mutex_unlock(&c->lock);
    return n;
}

int64_t hd_rpc_call_id_new(struct hd_rpc_client *c)
{
    return (int64_t)(atomic_fetch_add(&c->next_call_id, 1) & INT32_MAX);
}

/* --- connecting --- */

static int exchange(struct hd_rpc_client *c, struct hd_rpc_link *k, const struct hd_rpc_args *a,
                    ProtobufCMessage **ret_response, int64_t *ret_state_id);

/* Says hello on a link that nobody else knows yet. With the lock, which it lets go meanwhile. */
static int say_hello(struct hd_rpc_client *c, struct hd_rpc_link *k)
{
    pthread_mutex_unlock(&c->lock);
    const struct hd_rpc_hello *hello = c->hello != NULL ? c->hello(c->ctx) : NULL;
    pthread_mutex_lock(&c->lock);
    if (hello == NULL || !c->connecting) {
        return 0;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    struct hd_rpc_args args = {
        .method = hello->method,
        .protocol = hello->protocol,
        .request = hello->request,
        .response_type = hello->response_type,
        .arena = &arena,
        .call_id = -1,
    };
    ProtobufCMessage *response = NULL;
    c->greeting = k;
    k->refs++;
    int err = exchange(c, k, &args, &response, NULL);
    uint64_t tag = 0;
    err = c->welcome(c->ctx, err, err == 0 ? response : NULL, &tag);
    pthread_mutex_lock(&c->lock);
    k->tag = tag;
    if (c->greeting == k) {
        c->greeting = NULL;
    }
    return err;
}

/* Connects for all callers that want to. With the lock, which it lets go meanwhile. */
static int connect_for_all(struct hd_rpc_client *c)
{
    const char *address = c->address;
    uint64_t redirects = c->redirects;
    c->connecting = true;
    pthread_mutex_unlock(&c->lock);
    struct hd_rpc_link *k = NULL;
    int fd;
    int err = hd_addr_connect_text_from(c->source_ip, address, c->connect_timeout_ms, &fd);
    if (err == 0) {
        err = hd_rpc_link_new(fd, &c->lock, c->max_frame_bytes, &k);
    }
    pthread_mutex_lock(&c->lock);
    if (err == 0 && c->redirects == redirects) {
        err = say_hello(c, k);
    }
    if (c->redirects != redirects) { /* another server is wanted by now; others connect to it */
        err = hd_fail(-HD_E_CLOSED, "%s: left for another server", address);
    } else {
        c->connecting = false;
        c->attempts++;
        c->attempt_err = err;
        pthread_cond_broadcast(&c->connected);
    }
    if (err == 0) {
        c->link = k;
        c->connections++;
    } else if (k != NULL) {
        hd_rpc_link_fail(k, -HD_E_CLOSED);
        hd_rpc_link_unref(k);
    }
    return err;
}

/* Waits for the connect of another caller; its failure is ours too. */
static int await_connect(struct hd_rpc_client *c)
{
    uint64_t attempt = c->attempts;
    while (c->attempts == attempt) {
        pthread_cond_wait(&c->connected, &c->lock);
    }
    int err = c->attempt_err;
    return err < 0 ? hd_fail(err, "connect to %s: %s", c->address, hd_error_name(err)) : 0;
}

/* A link with a reference for the caller. Called with the lock, which it may let go. */
static int get_link(struct hd_rpc_client *c, struct hd_rpc_link **ret)
{
    if (c->link != NULL && (c->link->err != 0 || hd_rpc_link_is_stale(c->link))) {
        drop_link(c);
    }
    while (c->link == NULL) {
        int err = c->connecting ? await_connect(c) : connect_for_all(c);
        if (err < 0) {
            return err;
        }
    }
    c->link->refs++;
    *ret = c->link;
    return 0;
}

int hd_rpc_client_redirect(struct hd_rpc_client *c, const char *address)
{
    pthread_mutex_lock(&c->lock);
    const char *kept = keep_address(c, address);
    if (kept == NULL) {
        pthread_mutex_unlock(&c->lock);
        return -ENOMEM;
    }
    atomic_store(&c->address, kept);
    c->redirects++;
    drop_link(c);
    if (c->greeting != NULL) {
        hd_rpc_link_fail(HD_TAKE_PTR(c->greeting), -HD_E_CLOSED);
    }
    if (c->connecting) { /* whoever connects finds out; the others begin again */
        c->connecting = false;
        c->attempts++;
        c->attempt_err = -HD_E_CLOSED;
        pthread_cond_broadcast(&c->connected);
    }
    pthread_mutex_unlock(&c->lock);
    return 0;
}

/* --- a call --- */

struct request {
    struct hd_rpc_client *client;
    const struct hd_rpc_args *args;
    int32_t call_id;
};

/* Encodes the request, behind the greeting when it is the connection's first. */
static int add_request(void *ctx, struct hd_buf *out, bool first)
{
    const struct request *q = ctx;
    struct hd_rpc_client *c = q->client;
    const struct hd_rpc_args *a = q->args;
    int err = 0;
    if (first) {
        err = hd_rpc_preamble_add(out, HD_RPC_AUTH_SIMPLE);
        err = err < 0 ? err : hd_rpc_context_add(out, c->client_id, c->user, c->protocol);
    }
    struct hd_rpc_request_header h = {
        .kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER,
        .op = HDW__OPERATION__RPC_FINAL_PACKET,
        .call_id = q->call_id,
        .retry_count = a->retry_count,
        .client_id = {c->client_id, sizeof(c->client_id)},
    };
    struct hd_rpc_request r = {
        .method = hd_slice_of(a->method),
        .protocol = hd_slice_of(a->protocol != NULL ? a->protocol : c->protocol),
        .version = 1,
    };
    size_t size = protobuf_c_message_get_packed_size(a->request);
    uint8_t *body;
    err = err < 0 ? err : hd_rpc_request_add(out, &h, &r, size, &body);
    if (err == 0) {
        protobuf_c_message_pack(a->request, body);
    }
    return err;
}

static int fail_connection(const struct hd_rpc_client *c, const char *method, int err)
{
    if (err == -HD_E_CLOSED) {
        return hd_fail(err, "%s: connection closed during %s", c->address, method);
    }
    if (err == -ETIMEDOUT) {
        return hd_fail(err, "%s: no answer to %s in time", c->address, method);
    }
    return hd_fail(err, "%s: %s: %s", c->address, method, hd_error_name(err));
}

static int fail_exception(const struct hd_rpc_response_header *h)
{
    snprintf(last_class, sizeof(last_class), "%.*s", (int)HD_MIN(h->class_name.size, CLASS_BYTES),
             (const char *)h->class_name.data);
    const uint8_t *end =
        h->error_msg.size > 0 ? memchr(h->error_msg.data, '\n', h->error_msg.size) : NULL;
    size_t size = end != NULL ? (size_t)(end - h->error_msg.data) : h->error_msg.size;
    return hd_fail(hd_error_from_class(last_class), "%.*s",
                   (int)HD_MIN(size, (size_t)HD_FAIL_TEXT_BYTES), (const char *)h->error_msg.data);
}

static int take_answer(const struct hd_rpc_client *c, const struct hd_rpc_args *a,
                       const struct hd_buf *frame, ProtobufCMessage **ret_response,
                       int64_t *ret_state_id)
{
    struct hd_slice rest = {frame->data, frame->size};
    struct hd_slice body;
    struct hd_rpc_response_header h;
    int err = hd_rpc_response_decode(&rest, &h);
    if (err < 0) {
        return err;
    }
    if (h.status != HDW__RPC_STATUS__RPC_SUCCESS) {
        return fail_exception(&h);
    }
    ProtobufCMessage *m = NULL;
    if (hd_slice_take_delimited(&rest, &body) == 0 && rest.size == 0) {
        ProtobufCAllocator allocator = hd_arena_allocator(a->arena);
        m = protobuf_c_message_unpack(a->response_type, &allocator, body.size, body.data);
    }
    if (m == NULL) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: the answer to %s does not decode", c->address,
                       a->method);
    }
    if (ret_state_id != NULL) {
        *ret_state_id = h.state_id;
    }
    *ret_response = m;
    return 0;
}

/* One call on a link. Called with the lock and a reference; gives both back. */
static int exchange(struct hd_rpc_client *c, struct hd_rpc_link *k, const struct hd_rpc_args *a,
                    ProtobufCMessage **ret_response, int64_t *ret_state_id)
{
    int timeout_ms = a->timeout_ms != 0 ? a->timeout_ms : c->call_timeout_ms;
    int64_t call_id = a->call_id >= 0 ? a->call_id : hd_rpc_call_id_new(c);
    struct hd_rpc_waiter w = {.call_id = (int32_t)call_id, .deadline_ms = INT64_MAX};
    if (timeout_ms > 0) {
        w.deadline_ms = hd_clock_mono_ms().v + timeout_ms;
    }
    hd_buf_init(&w.frame, c->max_frame_bytes);
    pthread_cond_init(&w.wake, &c->monotonic);
    struct request q = {.client = c, .args = a, .call_id = w.call_id};
    last_class[0] = '\0';
    int err = hd_rpc_link_exchange(k, &w, add_request, &q);
    if (a->ret_tag != NULL) {
        *a->ret_tag = k->tag;
    }
    hd_rpc_link_unref(k);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&w.wake);
    err = err < 0 ? fail_connection(c, a->method, err)
                  : take_answer(c, a, &w.frame, ret_response, ret_state_id);
    hd_buf_done(&w.frame);
    return err;
}

int hd_rpc_call(struct hd_rpc_client *c, const struct hd_rpc_args *a,
                ProtobufCMessage **ret_response, int64_t *ret_state_id)
{
    struct hd_rpc_link *k;
    last_class[0] = '\0';
    pthread_mutex_lock(&c->lock);
    int err = get_link(c, &k);
    if (err < 0) {
        pthread_mutex_unlock(&c->lock);
        return err;
    }
    return exchange(c, k, a, ret_response, ret_state_id);
}
