/*
 * WRITE_BLOCK: set-up of the replica and of the pipeline below, then the packets (receive.c).
 *
 * The order: own replica, connection to the next node, its reply, our reply upwards. Of a block
 * that came whole with its request (clients of ours send small ones so) everything goes on at once
 * and the replies come up with the acknowledgements. A replica that
 * cannot be set up because the request does not fit it is closed without a reply, as Hadoop does; a
 * node without room says so, with itself as the bad link.
 */
#include "fs/base/error.h"
#include "fs/data/shell/ask_check.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/packet_io.h"
#include "fs/data/shell/peer.h"
#include "fs/data/shell/receive.h"
#include "fs/os/log.h"
#include "fs/wire/reserved.h"

#include <errno.h>
#include <inttypes.h>

enum { OP_WRITE = 80, TARGETS_MAX = 63 };

struct write {
    struct hd_conn *c;
    Hdw__OpWriteBlock *op;
    struct hd_block_writer_options options;
    struct hd_block_writer *writer;
    struct hd_receive *receive;
    struct hd_stream mirror; /* fd -1 until connected */
    const Hdw__DatanodeInfo *next;
    bool replies; /* a client's pipeline: set-up reply and acknowledgements */
    bool whole;   /* all of the block came behind the request */
    char bad_link[HD_ADDR_TEXT_BYTES];
};

static bool stage_known(int stage)
{
    return stage == HD_STAGE_APPEND || stage == HD_STAGE_APPEND_RECOVERY ||
           stage == HD_STAGE_STREAMING_RECOVERY || stage == HD_STAGE_CLOSE_RECOVERY ||
           stage == HD_STAGE_CREATE || stage == HD_STAGE_TRANSFER_RBW ||
           stage == HD_STAGE_TRANSFER_FINALIZED;
}

static int check(struct write *w)
{
    const Hdw__OpWriteBlock *op = w->op;
    const Hdw__ExtendedBlock *b = op->header->base_header->block;
    if (hd_reserved_is(b->block_id)) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "block %" PRIu64 " is kept by meta", b->block_id);
    }
    if (!stage_known((int)op->stage)) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "stage %d is not a set-up", (int)op->stage);
    }
    if (op->n_targets > TARGETS_MAX) {
        return hd_fail(-HD_E_TOO_LARGE, "a pipeline of %zu nodes", op->n_targets + 1);
    }
    struct hd_write_setup *s = &w->options.setup;
    *s = (struct hd_write_setup){.stage = (enum hd_write_stage)op->stage,
                                 .from_node = op->header->client_name[0] == '\0',
                                 .id = {b->block_id},
                                 .gs = {b->generation_stamp},
                                 .new_gs = {op->latest_generation_stamp},
                                 .min_bytes = op->min_bytes_rcvd,
                                 .max_bytes = op->max_bytes_rcvd,
                                 .reserve_bytes = b->num_bytes,
                                 .overwrite = op->has_overwrite && op->overwrite};
    if (s->overwrite && (s->from_node || s->stage == HD_STAGE_TRANSFER_RBW ||
                         s->stage == HD_STAGE_TRANSFER_FINALIZED)) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "a copy does not overwrite");
    }
    if (s->from_node && s->stage != HD_STAGE_CREATE) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "stage %d without a client", (int)op->stage);
    }
    w->replies = !s->from_node && s->stage != HD_STAGE_TRANSFER_RBW &&
                 s->stage != HD_STAGE_TRANSFER_FINALIZED;
    return hd_sum_format_check((uint32_t)op->requested_checksum->type,
                               op->requested_checksum->bytes_per_checksum, &w->options.format);
}

/* Clients of ours, and nodes of ours for them, send a small block along with the request. */
static bool came_whole(const struct write *w)
{
    const struct hd_stream *s = &w->c->stream;
    return w->replies && w->c->own_client && w->options.setup.stage == HD_STAGE_CREATE &&
           hd_packets_whole_block(s->buf + s->start, s->end - s->start);
}

static int settle(void *ctx, struct hd_buf *out);

static int open_replica(struct write *w)
{
    w->whole = came_whole(w);
    struct hd_receive_options options = {.whole = w->whole,
                                         .settle = settle,
                                         .settle_ctx = w,
                                         .data = w->c->data,
                                         .up = &w->c->stream,
                                         .nodes_below = (int)w->op->n_targets,
                                         .acks = w->replies};
    int err = hd_receive_new(&options, &w->receive);
    if (err < 0) {
        return err;
    }
    hd_conn_set_receive(w->c, w->receive);
    w->options.interrupt = hd_receive_interrupt;
    w->options.ctx = w->receive;
    err = hd_block_writer_open(w->c->data->store, &w->options, &w->writer);
    const struct hd_write_setup *s = &w->options.setup;
    if (err == 0 && s->overwrite && s->stage == HD_STAGE_CREATE && s->max_bytes > 0) {
        hd_receive_report_made(w->c->data, w->writer);
    } else if (err == 0 && !w->whole) { /* what came whole is received in a moment */
        hd_receive_report(w->c->data, w->writer, NULL);
    }
    return err;
}

/* The op for the next node: its own fields move to the front, ours go. */
static void shift(Hdw__OpWriteBlock *op)
{
    op->n_targets--;
    op->targets++;
    if (op->n_target_storage_types > 0) {
        op->has_storage_type = true;
        op->storage_type = op->target_storage_types[0];
        op->n_target_storage_types--;
        op->target_storage_types++;
    }
    if (op->n_target_storage_ids > 0) {
        op->storage_id = op->target_storage_ids[0];
        op->n_target_storage_ids--;
        op->target_storage_ids++;
    }
    op->has_pinning = true;
    op->pinning = op->n_target_pinnings > 0 && op->target_pinnings[0];
    op->n_target_pinnings = 0;
    if (op->source == NULL) {
        op->source = hd_peer_nobody();
    }
}

/* Connects, or takes an idle connection, and passes the op on, with the block if it is here. */
static int open_mirror(struct write *w)
{
    const struct hd_stream *s = &w->c->stream;
    const Hdw__DatanodeInfo *next = w->op->targets[0];
    int below = (int)w->op->n_targets;
    w->next = next;
    snprintf(w->bad_link, sizeof(w->bad_link), "%s:%u", next->id->ip_addr, next->id->xfer_port);
    bool idle = w->replies && w->c->own_client &&
                hd_peers_take(&w->c->data->peers, next, below, &w->mirror);
    int err = idle ? 0 : hd_peer_connect(next, below, &w->mirror);
    if (err < 0) {
        w->mirror.fd = -1;
        return err;
    }
    hd_receive_set_mirror(w->receive, &w->mirror);
    shift(w->op);
    return hd_peer_send_op_data(&w->mirror, OP_WRITE, &w->op->base, s->buf + s->start,
                                w->whole ? s->end - s->start : 0);
}

/* The reply of everybody below. */
static int read_reply(struct write *w)
{
    ProtobufCMessage *m;
    int err = hd_stream_read_message(&w->mirror, &hdw__block_op_response__descriptor,
                                     HD_DATA_MESSAGE_BYTES_MAX, &w->c->arena, &m);
    if (err < 0) {
        return err;
    }
    const Hdw__BlockOpResponse *r = (const Hdw__BlockOpResponse *)m;
    if (r->status != HDW__STATUS__STATUS_SUCCESS) {
        if (r->first_bad_link != NULL && r->first_bad_link[0] != '\0') {
            snprintf(w->bad_link, sizeof(w->bad_link), "%s", r->first_bad_link);
        }
        return hd_fail(-HD_E_IO, "it answers status %d, bad link %s", (int)r->status, w->bad_link);
    }
    return 0;
}

/* The chain below did not come up. Copies between nodes go on without it. */
static int below_failed(struct write *w, int err)
{
    hd_log_warn("next node of the pipeline cannot be set up",
                "block=%" PRIu64 " node=%s error=\"%s\"", w->options.setup.id.v, w->bad_link,
                hd_fail_describe(err));
    if (!w->replies) {
        hd_receive_set_mirror(w->receive, NULL);
        if (w->mirror.fd >= 0) {
            hd_stream_done(&w->mirror);
        }
        return 0;
    }
    hd_op_reply(w->c, HDW__STATUS__STATUS_ERROR, w->bad_link, NULL);
    return err;
}

static int set_up_below(struct write *w)
{
    if (w->op->n_targets == 0) {
        return 0;
    }
    int err = open_mirror(w);
    if (err == 0 && w->replies && !w->whole) {
        err = read_reply(w);
    }
    return err < 0 ? below_failed(w, err) : 0;
}

/* The set-up reply of a block that came whole. */
static int settle(void *ctx, struct hd_buf *out)
{
    struct write *w = ctx;
    int err = w->mirror.fd >= 0 ? read_reply(w) : 0;
    return err < 0 ? below_failed(w, err) : hd_op_reply_add(out, HDW__STATUS__STATUS_SUCCESS, "");
}

/* No room here is news that the client can act on: it takes this node out and another in. */
static void say_why(struct write *w, int err)
{
    char ip[HD_IP_TEXT_BYTES];
    int port;
    bool own_trouble = err == -ENOSPC || err == -EDQUOT || err == -EIO || err == -EROFS ||
                       err == -ENOMEM || err == -EMFILE;
    const char *text = hd_arena_str(&w->c->arena, hd_fail_describe(err));
    if (!w->replies || !own_trouble || w->c->is_unix ||
        hd_addr_local(w->c->stream.fd, ip, &port) < 0) {
        return;
    }
    snprintf(w->bad_link, sizeof(w->bad_link), "%s:%d", ip, w->c->data->transfer_port);
    hd_op_reply(w->c, HDW__STATUS__STATUS_ERROR, w->bad_link, text);
}

static int move_block(struct write *w)
{
    const struct hd_write_setup *s = &w->options.setup;
    if (w->whole) {
        int err = hd_receive_run(w->receive, w->writer);
        if (err < 0) {
            say_why(w, err);
        }
        return err;
    }
    if (w->replies) {
        int err = hd_op_reply(w->c, HDW__STATUS__STATUS_SUCCESS, "", NULL);
        if (err < 0 || s->stage == HD_STAGE_CLOSE_RECOVERY) { /* finalized: nothing follows */
            return err;
        }
    }
    int err = hd_receive_run(w->receive, w->writer);
    if (err == 0 && !s->from_node && !w->replies) {
        err =
            hd_op_reply(w->c, HDW__STATUS__STATUS_SUCCESS, NULL, NULL); /* of a client's transfer */
    }
    return err;
}

/* What the end of a write says about others, or to meta. */
static void learn(const struct write *w, int err)
{
    if (err == -HD_E_CHECKSUM && !w->replies) {
        hd_ask_check(w->c->data, w->op->source, w->options.setup.id);
    }
    if (err == -ENOSPC || err == -EDQUOT) { /* before meta sends the next one here */
        hd_control_wake(w->c->data->control, false);
    }
}

enum hd_op_result hd_op_write(struct hd_conn *c, const Hdw__OpWriteBlock *op)
{
    struct write w = {.c = c, .op = (Hdw__OpWriteBlock *)(uintptr_t)op, .mirror = {.fd = -1}};
    c->own_client = strncmp(op->header->client_name, HD_OWN_CLIENT_PREFIX,
                            sizeof(HD_OWN_CLIENT_PREFIX) - 1) == 0;
    int err = check(&w);
    if (err == 0) {
        err = open_replica(&w);
        if (err < 0) {
            say_why(&w, err);
        }
    }
    if (err == 0) {
        err = set_up_below(&w);
        /* The replica stays, empty: Hadoop's client recovers a pipeline that never came up. */
        if (err == 0) {
            err = move_block(&w);
        }
    }
    learn(&w, err);
    if (err < 0) {
        hd_log_info("write ended early", "block=%" PRIu64 " stage=%d peer=%s error=\"%s\"",
                    op->header->base_header->block->block_id, (int)op->stage, c->peer,
                    hd_fail_describe(err));
    }
    if (err < 0 && w.replies && c->own_client) { /* data may be under way behind the request */
        hd_socket_linger(c->stream.fd);
    }
    hd_block_writer_close(w.writer);
    hd_conn_set_receive(c, NULL);
    hd_receive_free(w.receive);
    bool keep = err == 0 && w.replies && c->own_client && !atomic_load(&c->data->stopping) &&
                w.options.setup.stage == HD_STAGE_CREATE;
    if (w.mirror.fd >= 0 && keep) {
        hd_peers_keep(&c->data->peers, w.next, &w.mirror);
    } else if (w.mirror.fd >= 0) {
        hd_stream_done(&w.mirror);
    }
    return keep ? HD_OP_KEEP : HD_OP_CLOSE;
}
