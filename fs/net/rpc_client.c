/*
 * The RPC client of rpc_client.h.
 *
 * One mutex guards the client; a second one a connection lines up its senders. Of the callers that
 * wait for answers one is the leader: it reads, hands every frame to the caller it belongs to, and
 * passes the lead on when its own has come. A connection that failed is shut down, not closed,
 * until the last caller has let go of it.
 */
#include "fs/net/rpc_client.h"
#include "fs/base/assert.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/list.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"
#include "fs/wire/frame.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    CONNECT_TIMEOUT_MS = 20000,
    CALL_TIMEOUT_MS = 120000,
    RECV_SLICE_MS = 1000, /* a blocking recv returns after this; shorter waits poll */
    READ_BYTES = 64 << 10,
    READ_MAX_BYTES = 1 << 20,
    BUFFER_KEEP_BYTES = 256 << 10,
    CLASS_BYTES = 256,
};

struct conn {
    int fd;
    int refs;               /* the client and every call that uses it; client lock */
    int err;                /* what ended it, 0 while it is good; client lock */
    bool has_lead;          /* somebody reads; client lock */
    struct hd_list waiters; /* client lock */
    uint64_t frames_seen;   /* client lock */
    struct hd_buf in;       /* the leader's */
    pthread_mutex_t send_lock;
    struct hd_buf out; /* send_lock */
    bool greeted;      /* send_lock */
};

/* One call under way; lives on its caller's stack. */
struct waiter {
    struct hd_list link;
    int32_t call_id;
    bool done;
    int err;             /* of the connection */
    struct hd_buf frame; /* the answer: its body as it came */
    pthread_cond_t wake;
    uint64_t frames_seen; /* of the connection, when the call began */
    int64_t deadline_ms;  /* INT64_MAX: none */
};

struct hd_rpc_client {
    char *address;
    char *protocol;
    char *user;
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
    struct conn *conn; /* NULL until the first call and after a failure */
    uint64_t connections;
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

int hd_rpc_client_new(const struct hd_rpc_client_options *o, struct hd_rpc_client **ret)
{
    struct hd_rpc_client *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -ENOMEM;
    }
    c->address = strdup(o->address);
    c->protocol = strdup(o->protocol);
    c->user = strdup(o->user);
    c->connect_timeout_ms =
        o->connect_timeout_ms > 0 ? o->connect_timeout_ms : (int)CONNECT_TIMEOUT_MS;
    c->call_timeout_ms = o->call_timeout_ms > 0 ? o->call_timeout_ms : (int)CALL_TIMEOUT_MS;
    c->max_frame_bytes = o->max_frame_bytes != 0 ? o->max_frame_bytes : HD_RPC_MAX_FRAME_BYTES;
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

static void conn_unref(struct conn *k)
{
    if (--k->refs > 0) {
        return;
    }
    hd_assert(hd_list_empty(&k->waiters));
    close(k->fd);
    hd_buf_done(&k->in);
    hd_buf_done(&k->out);
    pthread_mutex_destroy(&k->send_lock);
    free(k);
}

/* Ends a connection: whoever waits gets err, whoever is in a system call on it comes out. */
static void conn_fail(struct hd_rpc_client *c, struct conn *k, int err)
{
    if (k->err != 0) {
        return;
    }
    k->err = err;
    shutdown(k->fd, SHUT_RDWR);
    HD_LIST_FOR(it, &k->waiters)
    {
        struct waiter *w = HD_LIST_ENTRY(it, struct waiter, link);
        if (!w->done) {
            w->done = true;
            w->err = err;
            pthread_cond_signal(&w->wake);
        }
    }
    if (c->conn == k) {
        c->conn = NULL;
        conn_unref(k);
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
    free(c->address);
    free(c->protocol);
    free(c->user);
    free(c);
}

void hd_rpc_client_disconnect(struct hd_rpc_client *c)
{
    pthread_mutex_lock(&c->lock);
    if (c->conn != NULL) {
        conn_fail(c, c->conn, -HD_E_CLOSED);
    }
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

static void set_socket_options(int fd)
{
    int one = 1;
    int idle_s = 30;
    int interval_s = 10;
    int count = 3;
    struct timeval slice = {.tv_sec = RECV_SLICE_MS / 1000};
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, sizeof(idle_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, sizeof(interval_s));
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &slice, sizeof(slice));
}

static int conn_new(struct hd_rpc_client *c, struct conn **ret)
{
    int fd;
    int err = hd_addr_connect_text(c->address, c->connect_timeout_ms, &fd);
    if (err < 0) {
        return err;
    }
    struct conn *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        close(fd);
        return -ENOMEM;
    }
    set_socket_options(fd);
    k->fd = fd;
    k->refs = 1;
    hd_list_init(&k->waiters);
    hd_buf_init(&k->in, c->max_frame_bytes + 4 + READ_MAX_BYTES);
    pthread_mutex_init(&k->send_lock, NULL);
    *ret = k;
    return 0;
}

/* With nothing under way the server's close would only be seen after a request went out. */
static bool is_stale(const struct conn *k)
{
    char byte;
    if (!hd_list_empty(&k->waiters)) {
        return false;
    }
    ssize_t n = recv(k->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

/* Connects for all callers that want to. With the lock, which it lets go meanwhile. */
static int connect_for_all(struct hd_rpc_client *c)
{
    c->connecting = true;
    pthread_mutex_unlock(&c->lock);
    struct conn *k = NULL;
    int err = conn_new(c, &k);
    pthread_mutex_lock(&c->lock);
    c->connecting = false;
    c->attempts++;
    c->attempt_err = err;
    if (err == 0) {
        c->conn = k;
        c->connections++;
    }
    pthread_cond_broadcast(&c->connected);
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

/* A connection with a reference for the caller. Called with the lock, which it may let go. */
static int conn_get(struct hd_rpc_client *c, struct conn **ret)
{
    if (c->conn != NULL && is_stale(c->conn)) {
        conn_fail(c, c->conn, -HD_E_CLOSED);
    }
    while (c->conn == NULL) {
        int err = c->connecting ? await_connect(c) : connect_for_all(c);
        if (err < 0) {
            return err;
        }
    }
    c->conn->refs++;
    *ret = c->conn;
    return 0;
}

/* --- sending --- */

static int64_t left_ms(int64_t deadline_ms)
{
    return deadline_ms == INT64_MAX ? INT64_MAX : deadline_ms - hd_clock_mono_ms().v;
}

/* Waits for the socket. 1, 0 at the deadline, or a negative errno. */
static int wait_socket(int fd, short events, int64_t deadline_ms)
{
    int64_t left = left_ms(deadline_ms);
    if (left <= 0) {
        return 0;
    }
    struct pollfd p = {.fd = fd, .events = events};
    int n = poll(&p, 1, (int)HD_MIN(left, (int64_t)INT32_MAX));
    if (n < 0) {
        return errno == EINTR ? 1 : -errno;
    }
    return n;
}

static int send_all(int fd, const uint8_t *data, size_t size, int64_t deadline_ms)
{
    while (size > 0) {
        ssize_t n = send(fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            data += n;
            size -= (size_t)n;
        } else if (errno == EAGAIN) {
            int ready = wait_socket(fd, POLLOUT, deadline_ms);
            if (ready <= 0) {
                return ready < 0 ? ready : -ETIMEDOUT;
            }
        } else if (errno != EINTR) {
            return -errno;
        }
    }
    return 0;
}

/* Encodes the request, behind the greeting when it is the connection's first. */
static int encode_request(struct hd_rpc_client *c, struct conn *k, const struct hd_rpc_args *a,
                          int32_t call_id)
{
    int err = 0;
    if (!k->greeted) {
        err = hd_rpc_preamble_add(&k->out, HD_RPC_AUTH_SIMPLE);
        err = err < 0 ? err : hd_rpc_context_add(&k->out, c->client_id, c->user, c->protocol);
    }
    struct hd_rpc_request_header h = {
        .kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER,
        .op = HDW__OPERATION__RPC_FINAL_PACKET,
        .call_id = call_id,
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
    err = err < 0 ? err : hd_rpc_request_add(&k->out, &h, &r, size, &body);
    if (err == 0) {
        protobuf_c_message_pack(a->request, body);
    }
    return err;
}

/* Errors of encoding leave the connection good; ret_broken tells them apart. */
static int send_request(struct hd_rpc_client *c, struct conn *k, const struct hd_rpc_args *a,
                        const struct waiter *w, bool *ret_broken)
{
    pthread_mutex_lock(&k->send_lock);
    int err = encode_request(c, k, a, w->call_id);
    *ret_broken = false;
    if (err == 0) {
        err = send_all(k->fd, k->out.data, k->out.size, w->deadline_ms);
        *ret_broken = err < 0; /* part of a frame may be out */
        k->greeted = true;
    }
    hd_buf_clear(&k->out);
    if (k->out.capacity > BUFFER_KEEP_BYTES) {
        hd_buf_done(&k->out);
    }
    pthread_mutex_unlock(&k->send_lock);
    return err;
}

/* --- reading --- */

/* The leader's recv, without the lock. Bytes, 0 when the wait ended, or what ends the connection.
 */
static int64_t read_some(struct conn *k, int64_t deadline_ms)
{
    size_t room = READ_BYTES;
    if (k->in.size >= 4) {
        size_t frame = (size_t)k->in.data[0] << 24 | (size_t)k->in.data[1] << 16 |
                       (size_t)k->in.data[2] << 8 | k->in.data[3];
        room = HD_MAX(room, HD_MIN(frame, (size_t)READ_MAX_BYTES));
    }
    int err = hd_buf_reserve(&k->in, room);
    if (err < 0) {
        return err;
    }
    int flags = 0;
    if (left_ms(deadline_ms) < RECV_SLICE_MS) {
        int ready = wait_socket(k->fd, POLLIN, deadline_ms);
        if (ready <= 0) {
            return ready;
        }
        flags = MSG_DONTWAIT;
    }
    ssize_t n = recv(k->fd, k->in.data + k->in.size, room, flags);
    if (n > 0) {
        k->in.size += (size_t)n;
        return n;
    }
    if (n == 0) {
        return -HD_E_CLOSED;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -HD_E_CLOSED;
}

static void hand_over(struct waiter *w, struct hd_slice frame)
{
    w->err = hd_buf_add(&w->frame, frame.data, frame.size);
    w->done = true;
    pthread_cond_signal(&w->wake);
}

/* Gives a frame to its caller. An answer to no call in particular is the last word for all. */
static int dispatch(struct conn *k, struct hd_slice frame)
{
    struct hd_rpc_response_header h;
    struct hd_slice rest = frame;
    if (hd_rpc_response_decode(&rest, &h) < 0) {
        return -HD_E_CLOSED;
    }
    HD_LIST_FOR(it, &k->waiters)
    {
        struct waiter *w = HD_LIST_ENTRY(it, struct waiter, link);
        if (!w->done && (w->call_id == h.call_id || h.call_id < 0)) {
            hand_over(w, frame);
            if (h.call_id >= 0) {
                break;
            }
        }
    }
    return h.status == HDW__RPC_STATUS__RPC_FATAL ? -HD_E_CLOSED : 0;
}

/* Hands over every whole frame that was read. With the lock. */
static int dispatch_all(struct hd_rpc_client *c, struct conn *k)
{
    size_t used = 0;
    int err = 0;
    while (err == 0) {
        struct hd_slice body;
        struct hd_slice in = {k->in.data + used, k->in.size - used};
        int64_t n = hd_frame_take(in, c->max_frame_bytes, &body);
        if (n == 0) {
            break;
        }
        if (n < 0) {
            err = -HD_E_CLOSED;
            break;
        }
        used += (size_t)n;
        k->frames_seen++;
        err = dispatch(k, body);
    }
    hd_buf_consume(&k->in, used);
    if (k->in.size == 0 && k->in.capacity > BUFFER_KEEP_BYTES) {
        hd_buf_done(&k->in);
    }
    return err;
}

/* Reads for all until the own answer is there or the own deadline has passed. With the lock. */
static void lead(struct hd_rpc_client *c, struct conn *k, struct waiter *w)
{
    k->has_lead = true;
    while (!w->done && left_ms(w->deadline_ms) > 0) {
        pthread_mutex_unlock(&c->lock);
        int64_t n = read_some(k, w->deadline_ms);
        pthread_mutex_lock(&c->lock);
        int err = n > 0 ? dispatch_all(c, k) : (int)n;
        if (err < 0) {
            conn_fail(c, k, -HD_E_CLOSED);
        }
    }
    k->has_lead = false;
}

static void follow(struct hd_rpc_client *c, struct waiter *w)
{
    if (w->deadline_ms == INT64_MAX) {
        pthread_cond_wait(&w->wake, &c->lock);
        return;
    }
    struct timespec until = {.tv_sec = w->deadline_ms / 1000,
                             .tv_nsec = w->deadline_ms % 1000 * 1000000};
    pthread_cond_timedwait(&w->wake, &c->lock, &until);
}

/* Wakes one caller that can read on. */
static void pass_lead(struct conn *k)
{
    if (k->has_lead) {
        return;
    }
    HD_LIST_FOR(it, &k->waiters)
    {
        struct waiter *w = HD_LIST_ENTRY(it, struct waiter, link);
        if (!w->done) {
            pthread_cond_signal(&w->wake);
            return;
        }
    }
}

/* Waits until w is done or its time is over. With the lock. */
static void await(struct hd_rpc_client *c, struct conn *k, struct waiter *w)
{
    while (!w->done && left_ms(w->deadline_ms) > 0) {
        if (k->has_lead) {
            follow(c, w);
        } else {
            lead(c, k, w);
        }
    }
    if (!w->done) {
        w->done = true;
        w->err = -ETIMEDOUT;
        if (k->frames_seen == w->frames_seen) { /* silence since the call: not just a slow call */
            conn_fail(c, k, -HD_E_CLOSED);
        }
    }
}

/* --- a call --- */

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

/* Sends and waits, on a connection that is held. With the lock. */
static int exchange(struct hd_rpc_client *c, struct conn *k, const struct hd_rpc_args *a,
                    struct waiter *w)
{
    w->frames_seen = k->frames_seen;
    hd_list_push_back(&k->waiters, &w->link);
    pthread_mutex_unlock(&c->lock);
    bool broken;
    int err = send_request(c, k, a, w, &broken);
    pthread_mutex_lock(&c->lock);
    if (broken) {
        conn_fail(c, k, -HD_E_CLOSED);
    } else if (err < 0) {
        w->done = true;
        w->err = err;
    }
    if (k->err != 0 && !w->done) {
        w->done = true;
        w->err = k->err;
    }
    await(c, k, w);
    hd_list_remove(&w->link);
    pass_lead(k);
    return w->err;
}

int hd_rpc_call(struct hd_rpc_client *c, const struct hd_rpc_args *a,
                ProtobufCMessage **ret_response, int64_t *ret_state_id)
{
    int timeout_ms = a->timeout_ms != 0 ? a->timeout_ms : c->call_timeout_ms;
    int64_t call_id = a->call_id >= 0 ? a->call_id : hd_rpc_call_id_new(c);
    struct waiter w = {.call_id = (int32_t)call_id, .deadline_ms = INT64_MAX};
    struct conn *k;
    last_class[0] = '\0';
    pthread_mutex_lock(&c->lock);
    int err = conn_get(c, &k);
    if (err < 0) {
        pthread_mutex_unlock(&c->lock);
        return err;
    }
    if (timeout_ms > 0) {
        w.deadline_ms = hd_clock_mono_ms().v + timeout_ms;
    }
    hd_buf_init(&w.frame, c->max_frame_bytes);
    pthread_cond_init(&w.wake, &c->monotonic);
    err = exchange(c, k, a, &w);
    conn_unref(k);
    pthread_mutex_unlock(&c->lock);
    pthread_cond_destroy(&w.wake);
    err = err < 0 ? fail_connection(c, a->method, err)
                  : take_answer(c, a, &w.frame, ret_response, ret_state_id);
    hd_buf_done(&w.frame);
    return err;
}
