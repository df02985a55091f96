/*
 * The running chain: sending from the queue, taking acks, noticing silence. What to do about a
 * failure is write_recover.c's.
 */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    SEND_PIECES = 48, /* of one send: three a packet */
    SEND_BYTES = 262144,
    SILENCE_MAX_MS = 60000, /* they live but do not move */
    AWAKE_MS = 15000,       /* quiet chains get a heartbeat; nodes give up after 60 s */
    ACK_MAX_BYTES = 65536,
};

void hd_wchain_init(struct hd_wchain *c)
{
    *c = (struct hd_wchain){.silence_ms = HD_CHAIN_SILENCE_MS};
    hd_arena_init(&c->arena, 0);
    hd_list_init(&c->queue);
    hd_list_init(&c->held);
    c->unsent = &c->queue;
}

static void drop_packets(struct hd_writer *w, struct hd_list *list)
{
    struct hd_list *node;
    while ((node = hd_list_pop_front(list)) != NULL) {
        hd_wpacket_put(w, HD_LIST_ENTRY(node, struct hd_wpacket, link));
    }
}

void hd_wchain_done(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    hd_wchain_hang_up(w);
    drop_packets(w, &c->queue);
    drop_packets(w, &c->held);
    hd_arena_done(&c->arena);
    hd_wchain_init(c);
}

void hd_wchain_hang_up(struct hd_writer *w)
{
    struct hd_conn *conn = HD_TAKE_PTR(w->chain.conn);
    if (conn != NULL && w->pollers > 0) {
        shutdown(conn->stream.fd, SHUT_RDWR); /* wakes them up */
        while (w->pollers > 0) {
            pthread_cond_wait(&w->quiet, &w->lock);
        }
    }
    hd_conn_close(conn);
}

static void drop_held(struct hd_writer *w)
{
    drop_packets(w, &w->chain.held);
    w->chain.held_bytes = 0;
}

void hd_wchain_queue(struct hd_writer *w, struct hd_wpacket *p)
{
    struct hd_wchain *c = &w->chain;
    if (hd_list_empty(&c->queue)) {
        c->heard_ms = hd_clock_mono_ms().v; /* silence counts from here */
    }
    hd_wpacket_seal(w, p, c->next_seqno++);
    p->serial = ++c->queued_serial;
    hd_list_push_back(&c->queue, &p->link);
    if (c->unsent == &c->queue) {
        c->unsent = &p->link;
    }
    c->queue_bytes += p->size;
    c->unsent_bytes += p->size;
    c->end = HD_MAX(c->end, p->offset + p->size);
    if (c->end > HD_WRITER_RETAIN_BYTES && c->state.fresh && !hd_list_empty(&c->held)) {
        c->state.fresh = false;
        drop_held(w);
    }
}

/* ---- sending ---- */

static size_t wire_size(const struct hd_writer *w, const struct hd_wpacket *p)
{
    return p->header_size + (p->size + w->chunk_bytes - 1) / w->chunk_bytes * 4 + p->size;
}

/* The unsent rest of a packet as at most three pieces. */
static int pieces(const struct hd_writer *w, struct hd_wpacket *p, struct iovec out[3])
{
    size_t sums = (p->size + w->chunk_bytes - 1) / w->chunk_bytes * 4;
    struct iovec all[3] = {{p->header, p->header_size}, {p->sums, sums}, {p->data, p->size}};
    size_t skip = p->sent;
    int count = 0;
    for (int i = 0; i < 3; i++) {
        if (skip >= all[i].iov_len) {
            skip -= all[i].iov_len;
            continue;
        }
        out[count].iov_base = (uint8_t *)all[i].iov_base + skip;
        out[count].iov_len = all[i].iov_len - skip;
        skip = 0;
        count++;
    }
    return count;
}

/* Marks n bytes as sent. */
static void advance(struct hd_writer *w, size_t n)
{
    struct hd_wchain *c = &w->chain;
    while (n > 0) {
        struct hd_wpacket *p = HD_LIST_ENTRY(c->unsent, struct hd_wpacket, link);
        size_t part = HD_MIN(n, wire_size(w, p) - p->sent);
        p->sent += part;
        n -= part;
        if (p->sent == wire_size(w, p)) {
            c->unsent_bytes -= p->size;
            c->unsent = p->link.next;
        }
    }
}

/* The unsent packets, as much as is good for one send. */
static int gather(const struct hd_writer *w, struct iovec iov[SEND_PIECES])
{
    const struct hd_wchain *c = &w->chain;
    int count = 0;
    size_t bytes = 0;
    for (struct hd_list *at = c->unsent; at != &c->queue; at = at->next) {
        struct hd_wpacket *p = HD_LIST_ENTRY(at, struct hd_wpacket, link);
        if (count + 3 > SEND_PIECES || bytes > SEND_BYTES) {
            break;
        }
        count += pieces(w, p, iov + count);
        bytes += p->size;
    }
    return count;
}

int hd_wchain_send_all(struct hd_writer *w, const struct hd_buf *head)
{
    struct hd_wchain *c = &w->chain;
    struct iovec iov[1 + 2 * 3] = {{head->data, head->size}};
    int count = 1;
    HD_LIST_FOR(it, &c->queue)
    {
        if (count + 3 > (int)(sizeof(iov) / sizeof(iov[0]))) {
            break; /* the rest follows when the node has answered */
        }
        struct hd_wpacket *p = HD_LIST_ENTRY(it, struct hd_wpacket, link);
        count += pieces(w, p, iov + count);
        advance(w, wire_size(w, p));
    }
    c->spoke_ms = hd_clock_mono_ms().v;
    return hd_stream_writev(&c->conn->stream, iov, count);
}

void hd_wchain_keep_conn(struct hd_writer *w)
{
    struct hd_conn *conn = w->chain.conn;
    bool ours = atomic_load(&w->fs->session->server_kind) == HD_SERVER_HOWDAH;
    if (ours && conn != NULL && !w->chain.state.appended && hd_list_empty(&w->chain.queue) &&
        conn->stream.start == conn->stream.end) {
        hd_conn_keep(&w->fs->session->conns, HD_TAKE_PTR(w->chain.conn));
    }
}

/* Sends what the socket takes. 1: all is sent, 0: the socket is full, < 0: broken. */
static int send_some(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    while (c->unsent != &c->queue) {
        struct iovec iov[SEND_PIECES]; /* a small file's data and end leave together */
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)gather(w, iov)};
        ssize_t n = sendmsg(c->conn->stream.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            c->spoke_ms = hd_clock_mono_ms().v;
            advance(w, (size_t)n);
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            return hd_fail_errno(errno, "%s: send", c->conn->address);
        }
    }
    return 1;
}

/* ---- acks ---- */

static void acknowledged(struct hd_writer *w, struct hd_wpacket *p)
{
    struct hd_wchain *c = &w->chain;
    if (c->unsent == &p->link) { /* a node that acknowledges what it does not have all of */
        c->unsent_bytes -= p->size;
        c->unsent = p->link.next;
    }
    hd_list_remove(&p->link);
    c->queue_bytes -= p->size;
    c->state.acked_bytes = HD_MAX(c->state.acked_bytes, p->offset + p->size);
    c->state.recoveries = 0;
    c->sure_bytes = HD_MAX(c->sure_bytes, c->state.acked_bytes);
    c->acked_serial = HD_MAX(c->acked_serial, p->serial);
    if (c->state.fresh && c->end <= HD_WRITER_RETAIN_BYTES &&
        c->held_bytes + p->size <= HD_WRITER_RETAIN_BYTES) {
        c->held_bytes += p->size;
        hd_list_push_back(&c->held, &p->link);
    } else {
        c->state.fresh = false;
        drop_held(w);
        hd_wpacket_put(w, p);
    }
    if (w->source != NULL) {
        w->source->acked(w);
    }
}

/* One ack. *ret_bad: the node that an error is to be blamed on. */
static int take_ack(struct hd_writer *w, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 1 << 20);
    Hdw__PipelineAck *m;
    int err = hd_stream_read_message(&c->conn->stream, &hdw__pipeline_ack__descriptor,
                                     ACK_MAX_BYTES, &arena, (ProtobufCMessage **)(void *)&m);
    if (err < 0) {
        *ret_bad = 0; /* the head of the chain went */
        return err;
    }
    struct hd_ack ack = {
        .seqno = m->seqno,
        .flags = m->flag,
        .flag_count = m->n_flag,
        .replies = (const int32_t *)m->reply,
        .reply_count = m->n_reply,
    };
    c->heard_ms = hd_clock_mono_ms().v;
    c->silent_since_ms = 0;
    c->silence_ms = HD_CHAIN_SILENCE_MS;
    int bad = hd_ack_bad_node(&ack, c->node_count);
    if (bad >= 0) {
        *ret_bad = bad;
        return hd_fail(-HD_E_IO, "%s: failed in the chain with status %u", c->nodes[bad].address,
                       hd_ack_status(&ack, (size_t)bad));
    }
    if (ack.seqno == HD_PACKET_HEARTBEAT_SEQNO) {
        return 0;
    }
    struct hd_wpacket *p =
        hd_list_empty(&c->queue) ? NULL : HD_LIST_ENTRY(c->queue.next, struct hd_wpacket, link);
    if (ack.reply_count < c->node_count) {
        *ret_bad = (int)ack.reply_count;
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: ack %lld says nothing of this node",
                       c->nodes[*ret_bad].address, (long long)ack.seqno);
    }
    if (p == NULL || p->seqno != ack.seqno || p->sent == 0) {
        *ret_bad = 0;
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: ack %lld is not expected", c->conn->address,
                       (long long)ack.seqno);
    }
    acknowledged(w, p);
    return 0;
}

static bool ack_is_there(const struct hd_wchain *c)
{
    struct pollfd p = {.fd = c->conn->stream.fd, .events = POLLIN};
    return c->conn->stream.start < c->conn->stream.end || poll(&p, 1, 0) > 0;
}

/* Stops at the last one expected: behind it the node closes. */
static int take_acks(struct hd_writer *w, int *ret_bad)
{
    while (!hd_list_empty(&w->chain.queue) && ack_is_there(&w->chain)) {
        int err = take_ack(w, ret_bad);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* ---- the pump ---- */

/* No ack for a while: -ETIMEDOUT when a node is to blame. */
static int silence(struct hd_writer *w, int64_t now, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    if (c->silent_since_ms == 0) {
        c->silent_since_ms = c->heard_ms;
    }
    *ret_bad = hd_wchain_probe(w);
    if (*ret_bad >= 0) {
        return hd_fail(-ETIMEDOUT, "%s: does not answer", c->nodes[*ret_bad].address);
    }
    if (now - c->silent_since_ms > SILENCE_MAX_MS) {
        *ret_bad = 0;
        return hd_fail(-ETIMEDOUT, "%s: no acknowledgement for %d s", c->nodes[0].address,
                       SILENCE_MAX_MS / 1000);
    }
    c->silence_ms = hd_chain_silence_next_ms(c->silence_ms);
    c->heard_ms = hd_clock_mono_ms().v;
    return 0;
}

/* What a pump goes on for. */
struct goal {
    enum hd_wait wait;
    uint64_t serial; /* with HD_WAIT_ALL: all up to this one */
};

static bool is_reached(const struct hd_wchain *c, const struct goal *g)
{
    switch (g->wait) {
    case HD_WAIT_NOTHING:
        return true;
    case HD_WAIT_WINDOW:
        return c->queue_bytes <= HD_WRITER_WINDOW_BYTES;
    case HD_WAIT_ALL:
        return hd_list_empty(&c->queue) || c->acked_serial >= g->serial;
    }
    hd_unreachable();
}

/* For an ack, or room in the socket; others may use the chain of a content meanwhile. */
static void wait_at_conn(struct hd_writer *w, bool all_sent, int timeout_ms)
{
    struct pollfd p = {.fd = w->chain.conn->stream.fd, .events = POLLIN};
    if (!all_sent) {
        p.events |= POLLOUT;
    }
    if (!w->overwrite) {
        (void)poll(&p, 1, timeout_ms);
        return;
    }
    w->pollers++;
    pthread_mutex_unlock(&w->lock);
    (void)poll(&p, 1, timeout_ms);
    pthread_mutex_lock(&w->lock);
    w->pollers--;
    if (w->pollers == 0) {
        pthread_cond_broadcast(&w->quiet);
    }
}

/* One turn without repairs: 1 when the goal is reached, 0 to go on, < 0 with *ret_bad. */
static int turn(struct hd_writer *w, const struct goal *g, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    *ret_bad = 0;
    int sent = send_some(w);
    int err = take_acks(w, ret_bad); /* an ack says more about a failure than the send does */
    if (err < 0 || sent < 0) {
        return err < 0 ? err : sent;
    }
    if (is_reached(c, g)) {
        return 1;
    }
    int64_t now = hd_clock_mono_ms().v;
    int64_t left = c->heard_ms + c->silence_ms - now;
    if (left <= 0) {
        return silence(w, now, ret_bad);
    }
    wait_at_conn(w, sent == 1, (int)left);
    return 0;
}

/* One thread repairs, the others wait for it. */
static int repair(struct hd_writer *w, int bad)
{
    w->repairing = true;
    int err = hd_wchain_recover(w, bad);
    w->repairing = false;
    if (err < 0 && w->overwrite && w->failed == 0) {
        w->failed = err;
        snprintf(w->failure, sizeof(w->failure), "%s", hd_fail_text());
    }
    if (w->overwrite) {
        pthread_cond_broadcast(&w->quiet);
    }
    return err;
}

static int pump(struct hd_writer *w, const struct goal *g)
{
    struct hd_wchain *c = &w->chain;
    while (!hd_list_empty(&c->queue) && (g->wait != HD_WAIT_ALL || !is_reached(c, g))) {
        if (w->repairing) {
            pthread_cond_wait(&w->quiet, &w->lock);
            continue;
        }
        if (w->failed < 0) {
            return hd_fail(w->failed, "%s", w->failure);
        }
        int bad = -1;
        int err = c->conn != NULL ? turn(w, g, &bad) : -HD_E_CLOSED;
        if (err > 0) {
            return 0;
        }
        if (err < 0) {
            err = repair(w, bad);
            if (err < 0) {
                return err;
            }
        }
    }
    return 0;
}

int hd_wchain_pump(struct hd_writer *w, enum hd_wait wait)
{
    return pump(w, &(struct goal){.wait = wait, .serial = UINT64_MAX});
}

int hd_wchain_await(struct hd_writer *w, uint64_t serial)
{
    return pump(w, &(struct goal){.wait = HD_WAIT_ALL, .serial = serial});
}

void hd_wchain_keep_awake(struct hd_writer *w, int64_t now_ms)
{
    struct hd_wchain *c = &w->chain;
    if (w->failed < 0 || c->conn == NULL || now_ms - c->spoke_ms < AWAKE_MS || w->pollers > 0 ||
        w->repairing) {
        return;
    }
    int bad = -1;
    int sent = send_some(w);
    if (take_acks(w, &bad) < 0 || sent < 0) {
        hd_conn_close(c->conn); /* the writer's next call repairs */
        c->conn = NULL;
        return;
    }
    struct hd_packet heartbeat = {.seqno = HD_PACKET_HEARTBEAT_SEQNO};
    uint8_t bytes[HD_PACKET_HEADER_MAX_BYTES];
    size_t size = hd_packet_encode(&heartbeat, bytes);
    if (sent == 1) { /* never in the middle of a packet */
        ssize_t n = send(c->conn->stream.fd, bytes, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0 && (size_t)n < size) {
            hd_conn_close(c->conn);
            c->conn = NULL;
        }
        c->spoke_ms = now_ms;
    }
}
