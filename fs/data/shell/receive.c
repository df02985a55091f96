/* The receiver and the responder of a block. See receive.h. */
#include "fs/data/shell/receive.h"
#include "fs/base/error.h"
#include "fs/data/core/pipeline.h"
#include "fs/data/shell/packet_io.h"
#include "fs/data/shell/reporter.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/socket.h>

enum {
    REPORT_WAIT_MS = 3000,
    ACK_TIMEOUT_MS = 10000, /* of the next node, while a packet is under way; + per node below */
    SYNC_ACK_TIMEOUT_MS = 50000, /* the same when the packet asks every disk */
};

struct hd_receive {
    struct hd_receive_options options;
    struct hd_block_writer *writer;
    uint64_t block_id;
    struct hd_buf held; /* whole: what will be sent up; the one thread's own */

    pthread_mutex_t lock; /* guards everything below */
    pthread_cond_t changed;
    struct hd_pipeline pipeline;
    bool ended;         /* no more packets will come */
    bool mirror_broken; /* nothing more goes down; acknowledgements say so */
    int local_error;    /* this node cannot store the block */
    int responder_error;
    bool interrupted;
};

int hd_receive_new(const struct hd_receive_options *options, struct hd_receive **ret)
{
    struct hd_receive *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    r->options = *options;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    *ret = r;
    return 0;
}

void hd_receive_free(struct hd_receive *r)
{
    if (r == NULL) {
        return;
    }
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
    hd_buf_done(&r->held);
    free(r);
}

static void cut(struct hd_stream *s)
{
    if (s != NULL && s->fd >= 0) {
        shutdown(s->fd, SHUT_RDWR);
    }
}

void hd_receive_interrupt(void *receive)
{
    struct hd_receive *r = receive;
    pthread_mutex_lock(&r->lock);
    r->interrupted = true;
    cut(r->options.up);
    cut(r->options.mirror);
    pthread_mutex_unlock(&r->lock);
}

void hd_receive_set_mirror(struct hd_receive *r, struct hd_stream *mirror)
{
    pthread_mutex_lock(&r->lock);
    r->options.mirror = mirror;
    if (r->interrupted) {
        cut(mirror);
    }
    pthread_mutex_unlock(&r->lock);
}

void hd_receive_report_made(struct hd_data *d, struct hd_block_writer *w)
{
    struct hd_replica replica = hd_block_writer_replica(w);
    hd_reporter_made(d->reporter, &replica, hd_block_writer_storage_id(w), REPORT_WAIT_MS);
}

void hd_receive_report(struct hd_data *d, struct hd_block_writer *w, const char *delete_hint)
{
    struct hd_replica replica = hd_block_writer_replica(w);
    if (replica.state == HD_REPLICA_FINALIZED) {
        hd_reporter_received(d->reporter, &replica, hd_block_writer_storage_id(w), delete_hint,
                             REPORT_WAIT_MS);
    } else if (replica.state == HD_REPLICA_RBW) {
        hd_reporter_receiving(d->reporter, &replica, hd_block_writer_storage_id(w));
    }
}

/* --- acknowledgements --- */

static int send_ack(struct hd_receive *r, const struct hd_ack *ack)
{
    uint8_t bytes[HD_ACK_BYTES_MAX];
    size_t n = hd_ack_encode(ack, bytes);
    if (r->options.whole) {
        return hd_buf_add(&r->held, bytes, n);
    }
    return hd_socket_send(r->options.up->fd, bytes, n, false);
}

static int read_ack(struct hd_stream *s, struct hd_ack *ret)
{
    uint8_t body[HD_ACK_BYTES_MAX * 2];
    uint8_t head[4];
    uint64_t size = 0;
    for (size_t i = 0; i < sizeof(head); i++) {
        int err = hd_stream_read(s, &head[i], 1);
        if (err < 0) {
            return err;
        }
        if ((head[i] & 0x80) == 0) {
            hd_varint_decode(head, i + 1, &size);
            break;
        }
    }
    if (size == 0 || size > sizeof(body)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "acknowledgement of %llu bytes",
                       (unsigned long long)size);
    }
    int err = hd_stream_read(s, body, (size_t)size);
    return err < 0 ? err : hd_ack_decode(body, (size_t)size, ret);
}

/* This node is the trouble: its own status alone, with no packet's number. */
static int send_own_error(struct hd_receive *r, int err)
{
    struct hd_ack ack;
    enum hd_ack_status status = err == -HD_E_CHECKSUM ? HD_ACK_ERROR_CHECKSUM : HD_ACK_ERROR;
    hd_ack_join(HD_ACK_UNKNOWN_SEQNO, status, NULL, 0, &ack);
    return send_ack(r, &ack);
}

/* Waits until the oldest packet is there (written: and stored by this node). False at the end. */
static bool wait_first(struct hd_receive *r, bool written, struct hd_pipeline_packet *ret)
{
    bool there = false;
    pthread_mutex_lock(&r->lock);
    for (;;) {
        if (!hd_pipeline_empty(&r->pipeline)) {
            *ret = *hd_pipeline_first(&r->pipeline);
            there = !written || ret->written;
        }
        if (there || r->local_error < 0 || (r->ended && hd_pipeline_empty(&r->pipeline)) ||
            (r->ended && written)) {
            break;
        }
        pthread_cond_wait(&r->changed, &r->lock);
    }
    there = there && r->local_error == 0;
    pthread_mutex_unlock(&r->lock);
    return there;
}

static void set_mirror_broken(struct hd_receive *r, const char *why)
{
    pthread_mutex_lock(&r->lock);
    bool first = !r->mirror_broken;
    r->mirror_broken = true;
    cut(r->options.mirror); /* a sender blocked on it wakes up */
    pthread_mutex_unlock(&r->lock);
    if (first) {
        hd_log_warn("next node of the pipeline is lost", "block=%" PRIu64 " error=\"%s\"",
                    r->block_id, why);
    }
}

static bool is_mirror_broken(struct hd_receive *r)
{
    pthread_mutex_lock(&r->lock);
    bool broken = r->mirror_broken;
    pthread_mutex_unlock(&r->lock);
    return broken;
}

/* The next node's word on a packet; false when there will be none. */
static bool ack_from_below(struct hd_receive *r, const struct hd_pipeline_packet *p,
                           struct hd_ack *below)
{
    if (is_mirror_broken(r)) {
        return false;
    }
    /* Shorter for the nodes further down, so that the right one is called bad. */
    r->options.mirror->timeout_ms = (p->slow ? SYNC_ACK_TIMEOUT_MS : ACK_TIMEOUT_MS) +
                                    HD_DATA_PER_NODE_MS * r->options.nodes_below;
    int err = read_ack(r->options.mirror, below);
    if (err < 0) {
        set_mirror_broken(r, hd_fail_describe(err));
        return false;
    }
    if (below->seqno != p->seqno && below->seqno != HD_ACK_UNKNOWN_SEQNO) {
        set_mirror_broken(r, "acknowledgement out of order");
        return false;
    }
    return true;
}

static void pop_first(struct hd_receive *r)
{
    pthread_mutex_lock(&r->lock);
    hd_pipeline_pop(&r->pipeline);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* Acknowledges one packet; *ret_last at the block's last. */
static int respond_one(struct hd_receive *r, bool *ret_last)
{
    struct hd_pipeline_packet p;
    struct hd_ack below;
    struct hd_ack ack;
    if (!wait_first(r, false, &p)) {
        return -HD_E_CLOSED;
    }
    uint64_t start_ns = hd_clock_mono_ns();
    bool heard = ack_from_below(r, &p, &below);
    uint64_t waited_ns = hd_clock_mono_ns() - start_ns;
    if (!wait_first(r, true, &p)) {
        return -HD_E_CLOSED;
    }
    if (!heard) {
        hd_ack_mirror_broken(&ack);
    } else if (below.count > 0 && below.reply[0] == HD_ACK_ERROR_CHECKSUM) {
        /* What the next node got from here was corrupt: this node is the bad one. */
        hd_fail(-HD_E_CHECKSUM, "the next node received corrupt data");
        send_own_error(r, -HD_E_CHECKSUM);
        return -HD_E_CHECKSUM;
    } else {
        hd_ack_join(below.seqno, HD_ACK_SUCCESS, &below, waited_ns, &ack);
    }
    bool well = heard && hd_ack_all_well(&ack) && ack.seqno == p.seqno;
    if (well && p.seqno != HD_PACKET_HEARTBEAT_SEQNO) {
        hd_block_writer_acked(r->writer, p.end_bytes);
    }
    int err = send_ack(r, &ack);
    if (heard && below.seqno == HD_ACK_UNKNOWN_SEQNO) {
        set_mirror_broken(r, "it reports an error");
    }
    pop_first(r);
    *ret_last = p.last && well;
    return err;
}

static int send_held(struct hd_receive *r)
{
    int err =
        r->held.size > 0 ? hd_socket_send(r->options.up->fd, r->held.data, r->held.size, false) : 0;
    hd_buf_clear(&r->held);
    return err;
}

static void *responder_main(void *arg)
{
    struct hd_receive *r = arg;
    bool last = false;
    int err = 0;
    while (err == 0 && !last) {
        err = respond_one(r, &last);
    }
    if (r->options.whole) {
        int sent = send_held(r);
        err = err < 0 ? err : sent;
    }
    pthread_mutex_lock(&r->lock);
    int local_error = r->local_error;
    r->responder_error = err;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    if (local_error < 0) {
        send_own_error(r, local_error);
    } else if (err < 0) {
        cut(r->options.up); /* the receiving thread need not wait for more */
    }
    return NULL;
}

/* --- packets --- */

static void pass_on(struct hd_receive *r, const struct hd_packet_view *v)
{
    if (r->options.mirror == NULL || r->options.whole || is_mirror_broken(r)) {
        return;
    }
    int err = hd_socket_send(r->options.mirror->fd, v->raw, v->raw_bytes, false);
    if (err < 0) {
        set_mirror_broken(r, hd_fail_describe(err));
    }
}

static int push(struct hd_receive *r, const struct hd_packet *head)
{
    struct hd_pipeline_packet p = {.seqno = head->seqno,
                                   .end_bytes = (uint64_t)head->offset_bytes + head->data_bytes,
                                   .last = head->last,
                                   .slow = head->sync};
    pthread_mutex_lock(&r->lock);
    while (hd_pipeline_full(&r->pipeline) && r->responder_error == 0) {
        pthread_cond_wait(&r->changed, &r->lock);
    }
    int err = r->responder_error;
    if (err == 0) {
        hd_pipeline_push(&r->pipeline, &p);
        pthread_cond_broadcast(&r->changed);
    }
    pthread_mutex_unlock(&r->lock);
    return err;
}

static int store(struct hd_receive *r, const struct hd_packet_view *v)
{
    bool verify = r->options.mirror == NULL; /* the tail vouches for all */
    int err = hd_block_writer_write(r->writer, &v->head, v->sums, v->data, verify);
    if (err == 0 && v->head.sync) {
        err = hd_block_writer_sync(r->writer);
    }
    if (err == 0 && v->head.last) {
        err = hd_block_writer_finish(r->writer);
        if (err == 0) {
            hd_receive_report(r->options.data, r->writer, r->options.delete_hint);
        }
    }
    return err;
}

/* The tail acknowledges at once. */
static int acknowledge_alone(struct hd_receive *r, const struct hd_packet *p)
{
    struct hd_ack ack;
    if (p->seqno != HD_PACKET_HEARTBEAT_SEQNO) {
        hd_block_writer_acked(r->writer, (uint64_t)p->offset_bytes + p->data_bytes);
    }
    hd_ack_join(p->seqno, HD_ACK_SUCCESS, NULL, 0, &ack);
    return send_ack(r, &ack);
}

static void mark_written(struct hd_receive *r)
{
    pthread_mutex_lock(&r->lock);
    hd_pipeline_mark_written(&r->pipeline);
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

static int receive_one(struct hd_receive *r, struct hd_packet_reader *reader, bool responder,
                       bool *ret_last)
{
    struct hd_packet_view v;
    int err = hd_packet_reader_next(reader, &v);
    if (err < 0) {
        return err;
    }
    if (v.head.last && v.head.data_bytes > 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "last packet with %u bytes of data", v.head.data_bytes);
    }
    if (responder) {
        err = push(r, &v.head);
        if (err < 0) {
            return err;
        }
    }
    pass_on(r, &v);
    err = store(r, &v);
    if (err < 0) {
        pthread_mutex_lock(&r->lock);
        r->local_error = err;
        cut(r->options.mirror);
        pthread_cond_broadcast(&r->changed);
        pthread_mutex_unlock(&r->lock);
        if (r->options.acks && !responder && !r->options.whole) {
            send_own_error(r, err);
        }
        return err;
    }
    *ret_last = v.head.last;
    if (responder) {
        mark_written(r);
        return 0;
    }
    return r->options.acks ? acknowledge_alone(r, &v.head) : 0;
}

/* Waits for the responder: at the end it still has acknowledgements to bring up. */
static int end_responder(struct hd_receive *r, pthread_t thread, int err)
{
    pthread_mutex_lock(&r->lock);
    r->ended = true;
    if (err < 0) {
        cut(r->options.mirror);
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    pthread_join(thread, NULL);
    return err < 0 ? err : r->responder_error;
}

/* A block that is all there, by one thread. The reply is the first to go up. */
static int run_whole(struct hd_receive *r, struct hd_packet_reader *reader)
{
    bool below = r->options.mirror != NULL;
    bool last = false;
    int err = below ? 0 : r->options.settle(r->options.settle_ctx, &r->held);
    while (err == 0 && !last) {
        err = receive_one(r, reader, below, &last);
    }
    if (err == 0 && below) {
        err = r->options.settle(r->options.settle_ctx, &r->held);
    }
    if (err < 0) {
        return err;
    }
    if (!below) {
        return send_held(r);
    }
    r->ended = true;
    responder_main(r);
    return r->responder_error;
}

int hd_receive_run(struct hd_receive *r, struct hd_block_writer *writer)
{
    struct hd_packet_reader reader;
    pthread_t thread;
    bool responder = r->options.acks && r->options.mirror != NULL;
    bool last = false;
    r->writer = writer;
    r->block_id = hd_block_writer_replica(writer).id.v;
    if (r->options.mirror != NULL) {
        int timeout_ms = HD_DATA_STREAM_TIMEOUT_MS - HD_DATA_PER_NODE_MS * 2 +
                         HD_DATA_PER_NODE_MS * r->options.nodes_below;
        hd_socket_timeouts(r->options.mirror->fd, timeout_ms);
    }
    int err = hd_packet_reader_init(&reader, r->options.up);
    if (err < 0) {
        return err;
    }
    if (r->options.whole) {
        err = run_whole(r, &reader);
        hd_packet_reader_done(&reader);
        return err;
    }
    if (responder) {
        err = hd_data_thread(&thread, false, responder_main, r);
        responder = err == 0;
    }
    while (err == 0 && !last) {
        err = receive_one(r, &reader, responder, &last);
    }
    if (responder) {
        err = end_responder(r, thread, err);
    }
    if (err < 0 && r->local_error < 0) {
        hd_socket_linger(r->options.up->fd);
    }
    hd_packet_reader_done(&reader);
    return err;
}
