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
    hd_conn_close(c->conn);
    drop_packets(w, &c->queue);
    drop_packets(w, &c->held);
    hd_arena_done(&c->arena);
    hd_wchain_init(c);
}

void hd_wchain_queue(struct hd_writer *w, struct hd_wpacket *p)
{
    struct hd_wchain *c = &w->chain;
    if (hd_list_empty(&c->queue)) {
        c->heard_ms = hd_clock_mono_ms().v; /* silence counts from here */
    }
    hd_wpacket_seal(w, p, c->next_seqno++);
    hd_list_push_back(&c->queue, &p->link);
    c->queue_bytes += p->size;
    c->end = HD_MAX(c->end, p->offset + p->size);
    if (c->end > HD_WRITER_RETAIN_BYTES && c->state.fresh && !hd_list_empty(&c->held)) {
        c->state.fresh = false;
        drop_packets(w, &c->held);
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

/* Marks n bytes as sent, from the packet `p` on. */
static void advance(struct hd_writer *w, struct hd_list *at, size_t n)
{
    while (n > 0) {
        struct hd_wpacket *p = HD_LIST_ENTRY(at, struct hd_wpacket, link);
        size_t part = HD_MIN(n, wire_size(w, p) - p->sent);
        p->sent += part;
        n -= part;
        at = at->next;
    }
}

static struct hd_list *first_unsent(struct hd_writer *w)
{
    /* Packets are sent in order, so look from the end for the last one that is whole. */
    struct hd_list *at = w->chain.queue.prev;
    while (at != &w->chain.queue) {
        struct hd_wpacket *p = HD_LIST_ENTRY(at, struct hd_wpacket, link);
        if (p->sent == wire_size(w, p)) {
            break;
        }
        at = at->prev;
    }
    return at->next; /* the head itself when all is sent */
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
        p->sent = wire_size(w, p);
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
    for (;;) {
        struct hd_list *at = first_unsent(w);
        if (at == &c->queue) {
            return 1;
        }
        struct iovec iov[6]; /* two packets: a small file's data and end leave together */
        int count = pieces(w, HD_LIST_ENTRY(at, struct hd_wpacket, link), iov);
        if (at->next != &c->queue) {
            count += pieces(w, HD_LIST_ENTRY(at->next, struct hd_wpacket, link), iov + count);
        }
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)count};
        ssize_t n = sendmsg(c->conn->stream.fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            c->spoke_ms = hd_clock_mono_ms().v;
            advance(w, at, (size_t)n);
        } else if (errno == EAGAIN) {
            return 0;
        } else if (errno != EINTR) {
            return hd_fail_errno(errno, "%s: send", c->conn->address);
        }
    }
}

/* ---- acks ---- */

static void acknowledged(struct hd_writer *w, struct hd_wpacket *p)
{
    struct hd_wchain *c = &w->chain;
    hd_list_remove(&p->link);
    c->queue_bytes -= p->size;
    c->state.acked_bytes = HD_MAX(c->state.acked_bytes, p->offset + p->size);
    c->state.recoveries = 0;
    if (c->state.fresh && c->end <= HD_WRITER_RETAIN_BYTES) {
        hd_list_push_back(&c->held, &p->link);
    } else {
        c->state.fresh = false;
        drop_packets(w, &c->held);
        hd_wpacket_put(w, p);
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

static bool is_reached(const struct hd_wchain *c, enum hd_wait wait)
{
    switch (wait) {
    case HD_WAIT_NOTHING:
        return true;
    case HD_WAIT_WINDOW:
        return c->queue_bytes <= HD_WRITER_WINDOW_BYTES;
    case HD_WAIT_ALL:
        return hd_list_empty(&c->queue);
    }
    hd_unreachable();
}

/* One turn without repairs: 1 when the goal is reached, 0 to go on, < 0 with *ret_bad. */
static int turn(struct hd_writer *w, enum hd_wait wait, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    *ret_bad = 0;
    int sent = send_some(w);
    int err = take_acks(w, ret_bad); /* an ack says more about a failure than the send does */
    if (err < 0 || sent < 0) {
        return err < 0 ? err : sent;
    }
    if (is_reached(c, wait)) {
        return 1;
    }
    int64_t now = hd_clock_mono_ms().v;
    int64_t left = c->heard_ms + c->silence_ms - now;
    if (left <= 0) {
        return silence(w, now, ret_bad);
    }
    struct pollfd p = {.fd = c->conn->stream.fd, .events = POLLIN};
    if (sent == 0) {
        p.events |= POLLOUT;
    }
    (void)poll(&p, 1, (int)left);
    return 0;
}

int hd_wchain_pump(struct hd_writer *w, enum hd_wait wait)
{
    struct hd_wchain *c = &w->chain;
    while (!hd_list_empty(&c->queue)) {
        int bad = -1;
        int err = c->conn != NULL ? turn(w, wait, &bad) : -HD_E_CLOSED;
        if (err > 0) {
            return 0;
        }
        if (err < 0) {
            err = hd_wchain_recover(w, bad);
            if (err < 0) {
                return err;
            }
        }
    }
    return 0;
}

void hd_wchain_keep_awake(struct hd_writer *w, int64_t now_ms)
{
    struct hd_wchain *c = &w->chain;
    if (w->failed < 0 || c->conn == NULL || now_ms - c->spoke_ms < AWAKE_MS) {
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
