/*
 * The socket of a connection of the RPC server: reading, sending, backpressure, its end. What the
 * bytes mean is rpc_input.c's. See rpc_conn.h.
 */
#include "fs/net/rpc_conn.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/fault.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 << 10,    /* room for the rest of a frame: at least this much, */
    READ_MAX_BYTES = 1 << 20, /* at most that, so a length alone takes no memory */
};

static atomic_uint_fast64_t last_conn_id;

void hd_rpc_conn_update_watch(struct hd_rpc_conn *c)
{
    uint32_t events = c->write_blocked ? EPOLLOUT : 0;
    if (!c->stalled) {
        events |= EPOLLIN;
    }
    if (hd_rpc_conn_is_gated(c)) {
        events = 0;
    }
    if (hd_loop_fd_set(c->watch, events) < 0) {
        c->doomed = true;
        hd_rpc_conn_mark_dirty(c);
    }
}

/* Keeps what was not taken of the bytes in c->in. */
static void keep_rest(struct hd_rpc_conn *c, size_t used)
{
    hd_buf_consume(&c->in, used);
    if (c->in.size == 0) {
        hd_buf_done(&c->in);
    }
}

static size_t read_room(const struct hd_rpc_conn *c)
{
    size_t room = READ_BYTES;
    if (c->in.size >= 4) {
        size_t frame = 4 + (size_t)hd_get_be32(c->in.data);
        room = HD_MAX(room, HD_MIN(frame - HD_MIN(frame, c->in.size), (size_t)READ_MAX_BYTES));
    }
    return room;
}

/* One recv; bytes go through the server's scratch unless an incomplete frame waits. */
static ssize_t receive(struct hd_rpc_conn *c)
{
    ssize_t n;
    if (c->in.size == 0 || c->state == HD_RPC_CONN_LINGER) {
        n = recv(c->fd, c->server->scratch, HD_RPC_SCRATCH_BYTES, MSG_DONTWAIT);
        if (n > 0 && c->state != HD_RPC_CONN_LINGER) {
            size_t used = hd_rpc_conn_take(c, (struct hd_slice){c->server->scratch, (size_t)n});
            if (hd_buf_add(&c->in, c->server->scratch + used, (size_t)n - used) < 0) {
                return -ENOMEM;
            }
        }
    } else {
        size_t room = read_room(c);
        int err = hd_buf_reserve(&c->in, room);
        if (err < 0) {
            return err;
        }
        n = recv(c->fd, c->in.data + c->in.size, room, MSG_DONTWAIT);
        if (n > 0) {
            c->in.size += (size_t)n;
            keep_rest(c, hd_rpc_conn_take(c, (struct hd_slice){c->in.data, c->in.size}));
        }
    }
    return n < 0 ? -errno : n;
}

/* Forgets what was sent: all at once, or when it is the larger part. */
static void trim_out(struct hd_rpc_conn *c)
{
    if (hd_rpc_conn_unsent(c) > c->out_sent) {
        return;
    }
    hd_buf_consume(&c->out, c->out_sent);
    c->out_sent = 0;
    if (c->out.size == 0 && c->out.capacity > HD_RPC_OUT_KEEP_BYTES) {
        hd_buf_done(&c->out);
    }
}

/* Sends what it can. 0, or a negative errno when the connection is over. */
static int send_out(struct hd_rpc_conn *c)
{
    int err = 0;
    c->write_blocked = false;
    while (hd_rpc_conn_unsent(c) > 0) {
        ssize_t n = send(c->fd, c->out.data + c->out_sent, hd_rpc_conn_unsent(c),
                         MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            c->out_sent += (size_t)n;
        } else if (errno == EAGAIN) {
            c->write_blocked = true;
            break;
        } else if (errno != EINTR) {
            err = -errno;
            break;
        }
    }
    trim_out(c);
    return err;
}

static void linger_over(void *ctx)
{
    hd_rpc_conn_close(ctx);
}

/* The last word is out: closes our side and waits a moment, so that no reset overtakes it. */
static void start_linger(struct hd_rpc_conn *c)
{
    if (c->write_shut) {
        return;
    }
    c->write_shut = true;
    shutdown(c->fd, SHUT_WR);
    if (hd_loop_timer_add(c->server->loop, HD_RPC_LINGER_MS, linger_over, c, &c->linger_timer) <
        0) {
        c->doomed = true;
    }
}

void hd_rpc_conn_flush(struct hd_rpc_conn *c)
{
    bool blocked = c->write_blocked;
    bool may_send = !blocked && !hd_rpc_gate_closed_to_output(c);
    if (hd_rpc_conn_unsent(c) > 0 && may_send && send_out(c) < 0) {
        hd_rpc_conn_close(c);
        return;
    }
    if (hd_rpc_conn_unsent(c) > c->server->options.max_unsent_bytes) {
        hd_rpc_server_log_drop(c->server, c, "the peer does not read its answers");
        c->doomed = true;
    }
    if (c->state == HD_RPC_CONN_LINGER && hd_rpc_conn_unsent(c) == 0) {
        start_linger(c);
    }
    if (c->doomed) {
        hd_rpc_conn_close(c);
        return;
    }
    const struct hd_rpc_server_options *o = &c->server->options;
    if (c->stalled && hd_list_empty(&c->resume_link) &&
        c->calls <= o->max_calls_per_connection / 4 * 3 &&
        hd_rpc_conn_unsent(c) < HD_RPC_OUT_HIGH_BYTES / 2) {
        hd_list_push_back(&c->server->resume, &c->resume_link);
        hd_loop_timer_set(c->server->resume_timer, 0);
    }
    if (c->write_blocked != blocked) {
        hd_rpc_conn_update_watch(c);
    }
}

void hd_rpc_conn_resume(struct hd_rpc_conn *c)
{
    c->stalled = false;
    keep_rest(c, hd_rpc_conn_take(c, (struct hd_slice){c->in.data, c->in.size}));
    hd_rpc_conn_update_watch(c);
}

static void on_socket(void *ctx, uint32_t events)
{
    struct hd_rpc_conn *c = ctx;
    if (hd_rpc_gate_closed_to_input(c)) {
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        c->write_blocked = false;
        hd_rpc_conn_update_watch(c);
        hd_rpc_conn_mark_dirty(c);
    }
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) {
        return;
    }
    ssize_t n = receive(c);
    if (n == -EAGAIN || n == -EINTR) {
        return;
    }
    if (n <= 0) {
        hd_rpc_conn_close(c);
        return;
    }
    c->heard_at = hd_loop_now(c->server->loop);
    if (c->stalled) {
        hd_rpc_conn_update_watch(c);
    }
}

/* --- life --- */

void hd_rpc_conn_mark_dirty(struct hd_rpc_conn *c)
{
    if (hd_list_empty(&c->dirty_link) && c->state != HD_RPC_CONN_CLOSED) {
        hd_list_push_back(&c->server->dirty, &c->dirty_link);
    }
}

int hd_rpc_conn_new(struct hd_rpc_server *s, int fd)
{
    struct hd_rpc_conn *c = calloc(1, sizeof(*c));
    int err = c == NULL ? -ENOMEM : 0;
    if (err == 0) {
        c->server = s;
        c->fd = fd;
        err = hd_addr_peer(fd, c->peer_ip, NULL);
    }
    if (err == 0) {
        err = hd_loop_fd_add(s->loop, fd, EPOLLIN, on_socket, c, &c->watch);
    }
    if (err < 0) {
        free(c);
        close(fd);
        return err;
    }
    c->id = atomic_fetch_add(&last_conn_id, 1) + 1;
    c->heard_at = hd_loop_now(s->loop);
    hd_buf_init(&c->in, s->options.max_frame_bytes + 4 + READ_MAX_BYTES);
    hd_list_init(&c->dirty_link);
    hd_list_init(&c->resume_link);
    hd_list_init(&c->gate_link);
    hd_list_push_back(&s->conns, &c->link);
    s->open_count++;
    s->refs++;
    return 0;
}

void hd_rpc_conn_release(struct hd_rpc_conn *c)
{
    if (c->state != HD_RPC_CONN_CLOSED || c->calls > 0) {
        return;
    }
    struct hd_rpc_server *s = c->server;
    free(c->user);
    free(c->real_user);
    free(c);
    hd_rpc_server_release(s);
}

void hd_rpc_conn_close(struct hd_rpc_conn *c)
{
    struct hd_rpc_server *s = c->server;
    hd_assert(c->state != HD_RPC_CONN_CLOSED);
    if (hd_rpc_conn_unsent(c) > 0 && !hd_rpc_gate_closed_to_output(c)) {
        send_out(c); /* what was said before the end, if it goes at once */
    }
    c->state = HD_RPC_CONN_CLOSED;
    hd_list_remove(&c->link);
    hd_list_remove(&c->dirty_link);
    hd_list_remove(&c->resume_link);
    hd_list_remove(&c->gate_link);
    hd_loop_timer_remove(c->linger_timer);
    c->linger_timer = NULL;
    hd_loop_fd_remove(c->watch);
    hd_fault_net_close(c->fd);
    hd_buf_done(&c->in);
    hd_buf_done(&c->out);
    s->open_count--;
    if (!s->freed) {
        c->calls++; /* held: on_close may answer its last call, or free the server */
        hd_rpc_server_accept_more(s);
        if (s->options.on_close != NULL) {
            s->options.on_close(s->options.ctx, c->id);
        }
        c->calls--;
    }
    hd_rpc_conn_release(c);
}
