/* One connection of the RPC client. See rpc_link.h. */
#include "fs/net/rpc_link.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"
#include "fs/wire/frame.h"
#include "rpc.pb-c.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

enum {
    RECV_SLICE_MS = 1000, /* a blocking recv returns after this; shorter waits poll */
    READ_BYTES = 64 << 10,
    READ_MAX_BYTES = 1 << 20,
    BUFFER_KEEP_BYTES = 256 << 10,
};

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

int hd_rpc_link_new(int fd, pthread_mutex_t *lock, size_t max_frame_bytes, struct hd_rpc_link **ret)
{
    struct hd_rpc_link *k = calloc(1, sizeof(*k));
    if (k == NULL) {
        close(fd);
        return -ENOMEM;
    }
    set_socket_options(fd);
    k->fd = fd;
    k->refs = 1;
    k->lock = lock;
    k->max_frame_bytes = max_frame_bytes;
    hd_list_init(&k->waiters);
    hd_buf_init(&k->in, max_frame_bytes + 4 + READ_MAX_BYTES);
    pthread_mutex_init(&k->send_lock, NULL);
    *ret = k;
    return 0;
}

void hd_rpc_link_unref(struct hd_rpc_link *k)
{
    if (--k->refs > 0) {
        return;
    }
    hd_assert(hd_list_empty(&k->waiters));
    hd_fault_net_close(k->fd);
    hd_buf_done(&k->in);
    hd_buf_done(&k->out);
    pthread_mutex_destroy(&k->send_lock);
    free(k);
}

static void end_wait(struct hd_rpc_waiter *w, int err)
{
    w->done = true;
    w->err = err;
    pthread_cond_signal(&w->wake);
}

void hd_rpc_link_fail(struct hd_rpc_link *k, int err)
{
    if (k->err != 0) {
        return;
    }
    k->err = err;
    if (!hd_fault_net_is_cut(k->fd)) { /* else the reader looks up within RECV_SLICE_MS */
        shutdown(k->fd, SHUT_RDWR);
    }
    HD_LIST_FOR(it, &k->waiters)
    {
        struct hd_rpc_waiter *w = HD_LIST_ENTRY(it, struct hd_rpc_waiter, link);
        if (!w->done) {
            end_wait(w, err);
        }
    }
}

bool hd_rpc_link_is_stale(const struct hd_rpc_link *k)
{
    char byte;
    if (!hd_list_empty(&k->waiters)) {
        return false;
    }
    ssize_t n = recv(k->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
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
        int err = hd_fault_net_pass(fd, false, deadline_ms);
        if (err < 0) {
            return err;
        }
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

/* ret_broken: part of a frame may be out, so the link is over. */
static int send_request(struct hd_rpc_link *k, const struct hd_rpc_waiter *w,
                        hd_rpc_link_add_fn add, void *ctx, bool *ret_broken)
{
    pthread_mutex_lock(&k->send_lock);
    int err = add(ctx, &k->out, !k->greeted);
    *ret_broken = false;
    if (err == 0) {
        err = send_all(k->fd, k->out.data, k->out.size, w->deadline_ms);
        *ret_broken = err < 0;
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
static int64_t read_some(struct hd_rpc_link *k, int64_t deadline_ms)
{
    size_t room = READ_BYTES;
    if (k->in.size >= 4) {
        size_t frame = hd_get_be32(k->in.data);
        room = HD_MAX(room, HD_MIN(frame, (size_t)READ_MAX_BYTES));
    }
    int err = hd_buf_reserve(&k->in, room);
    if (err < 0) {
        return err;
    }
    int flags = 0;
    bool faults = hd_fault_net_any();
    if (faults) { /* nobody can break a wait by a shutdown: short ones */
        deadline_ms = HD_MIN(deadline_ms, hd_clock_mono_ms().v + RECV_SLICE_MS);
    }
    if (faults || left_ms(deadline_ms) < RECV_SLICE_MS) {
        int ready = wait_socket(k->fd, POLLIN, deadline_ms);
        if (ready <= 0) {
            return ready;
        }
        flags = MSG_DONTWAIT;
    }
    if (faults && hd_fault_net_pass(k->fd, true, deadline_ms) < 0) {
        return 0;
    }
    ssize_t n = recv(k->fd, k->in.data + k->in.size, room, flags);
    if (n > 0) {
        k->in.size += (size_t)n;
        if (!faults && hd_fault_net_pass(k->fd, false, deadline_ms) < 0) {
            return -HD_E_CLOSED; /* a cut came while the kernel waited */
        }
        return n;
    }
    if (n == 0) {
        return -HD_E_CLOSED;
    }
    return errno == EAGAIN || errno == EINTR ? 0 : -HD_E_CLOSED;
}

static void hand_over(struct hd_rpc_waiter *w, struct hd_slice frame)
{
    w->err = hd_buf_add(&w->frame, frame.data, frame.size);
    w->done = true;
    pthread_cond_signal(&w->wake);
}

/* Gives a frame to its caller. An answer to no call in particular is the last word for all. */
static int dispatch(struct hd_rpc_link *k, struct hd_slice frame)
{
    struct hd_rpc_response_header h;
    struct hd_slice rest = frame;
    if (hd_rpc_response_decode(&rest, &h) < 0) {
        return -HD_E_CLOSED;
    }
    HD_LIST_FOR(it, &k->waiters)
    {
        struct hd_rpc_waiter *w = HD_LIST_ENTRY(it, struct hd_rpc_waiter, link);
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
static int dispatch_all(struct hd_rpc_link *k)
{
    size_t used = 0;
    int err = 0;
    while (err == 0) {
        struct hd_slice body;
        struct hd_slice in = {k->in.data + used, k->in.size - used};
        int64_t n = hd_frame_take(in, k->max_frame_bytes, &body);
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
static void lead(struct hd_rpc_link *k, struct hd_rpc_waiter *w)
{
    k->has_lead = true;
    while (!w->done && left_ms(w->deadline_ms) > 0) {
        pthread_mutex_unlock(k->lock);
        int64_t n = read_some(k, w->deadline_ms);
        pthread_mutex_lock(k->lock);
        int err = n > 0 ? dispatch_all(k) : (int)n;
        if (err < 0) {
            hd_rpc_link_fail(k, -HD_E_CLOSED);
        }
    }
    k->has_lead = false;
}

static void follow(struct hd_rpc_link *k, struct hd_rpc_waiter *w)
{
    if (w->deadline_ms == INT64_MAX) {
        pthread_cond_wait(&w->wake, k->lock);
        return;
    }
    struct timespec until = {.tv_sec = w->deadline_ms / 1000,
                             .tv_nsec = w->deadline_ms % 1000 * 1000000};
    pthread_cond_timedwait(&w->wake, k->lock, &until);
}

/* Wakes one caller that can read on. */
static void pass_lead(struct hd_rpc_link *k)
{
    if (k->has_lead) {
        return;
    }
    HD_LIST_FOR(it, &k->waiters)
    {
        struct hd_rpc_waiter *w = HD_LIST_ENTRY(it, struct hd_rpc_waiter, link);
        if (!w->done) {
            pthread_cond_signal(&w->wake);
            return;
        }
    }
}

/* Waits until w is done or its time is over. With the lock. */
static void await(struct hd_rpc_link *k, struct hd_rpc_waiter *w)
{
    while (!w->done && left_ms(w->deadline_ms) > 0) {
        if (k->has_lead) {
            follow(k, w);
        } else {
            lead(k, w);
        }
    }
    if (!w->done) {
        w->done = true;
        w->err = -ETIMEDOUT;
        if (k->frames_seen == w->frames_seen) { /* silence since the call: not just a slow call */
            hd_rpc_link_fail(k, -HD_E_CLOSED);
        }
    }
}

int hd_rpc_link_exchange(struct hd_rpc_link *k, struct hd_rpc_waiter *w, hd_rpc_link_add_fn add,
                         void *ctx)
{
    w->frames_seen = k->frames_seen;
    hd_list_push_back(&k->waiters, &w->link);
    pthread_mutex_unlock(k->lock);
    bool broken;
    int err = send_request(k, w, add, ctx, &broken);
    pthread_mutex_lock(k->lock);
    if (broken) {
        hd_rpc_link_fail(k, -HD_E_CLOSED);
    } else if (err < 0 && !w->done) {
        end_wait(w, err);
    }
    if (k->err != 0 && !w->done) {
        end_wait(w, k->err);
    }
    await(k, w);
    hd_list_remove(&w->link);
    pass_lead(k);
    return w->err;
}
