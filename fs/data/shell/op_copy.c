/*
 * Moving replicas between nodes: TRANSFER_BLOCK (a client in recovery wants a copy elsewhere),
 * COPY_BLOCK (another node fetches) and REPLACE_BLOCK (fetch from another node, for a balancer).
 */
#include "fs/base/error.h"
#include "fs/data/shell/ask_check.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/packet_io.h"
#include "fs/data/shell/peer.h"
#include "fs/data/shell/receive.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/shell/send.h"
#include "fs/data/shell/transfer.h"
#include "fs/os/log.h"

#include <inttypes.h>

enum { OP_COPY = 84, MOVES_MAX = 100, PACKET_BYTES = 65536 };

enum hd_op_result hd_op_transfer(struct hd_conn *c, const Hdw__OpTransferBlock *op)
{
    Hdw__ExtendedBlock *b = op->header->base_header->block;
    struct hd_transfer_args args = {
        .block = b,
        .client_name = op->header->client_name,
        .target_count = op->n_targets,
        .targets = op->targets,
        .storage_types =
            op->n_target_storage_types == op->n_targets ? op->target_storage_types : NULL,
        .storage_ids = op->n_target_storage_ids == op->n_targets ? op->target_storage_ids : NULL};
    int err = op->n_targets == 0 ? hd_fail(-HD_E_ILLEGAL_ARGUMENT, "no target")
                                 : hd_transfer_run(c->data, &args);
    if (err < 0) {
        const char *text = hd_arena_str(&c->arena, hd_fail_describe(err));
        hd_log_warn("transfer for a client failed", "block=%" PRIu64 " error=\"%s\"", b->block_id,
                    text);
        hd_op_reply(c, HDW__STATUS__STATUS_ERROR, NULL,
                    hd_op_exception_text(c, "opTransferBlock", b, err, text));
    } else {
        hd_op_reply(c, HDW__STATUS__STATUS_SUCCESS, NULL, NULL);
    }
    return HD_OP_CLOSE;
}

/* --- the side that gives --- */

static int give(struct hd_conn *c, struct hd_block_view *v)
{
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__ReadOpChecksumInfo info = HDW__READ_OP_CHECKSUM_INFO__INIT;
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    static const uint8_t slot_free[2] = {0x00, 'd'}; /* "my mover slot is free" */
    checksum.type = (Hdw__ChecksumType)v->format.type;
    checksum.bytes_per_checksum = v->format.bytes_per_checksum;
    info.checksum = &checksum;
    r.read_op_checksum_info = &info;
    struct hd_send send = {.fd = c->stream.fd,
                           .view = v,
                           .span = {0, v->visible_bytes},
                           .packet_bytes = PACKET_BYTES,
                           .throttle = &c->data->move_throttle,
                           .sums = true};
    int err = hd_stream_write_message(&c->stream, &r.base);
    if (err == 0) {
        err = hd_send_block(&send);
    }
    return err < 0 ? err : hd_stream_write(&c->stream, slot_free, sizeof(slot_free));
}

enum hd_op_result hd_op_copy(struct hd_conn *c, const Hdw__OpCopyBlock *op)
{
    const Hdw__ExtendedBlock *b = op->header->block;
    struct hd_block_view v;
    int moves = atomic_fetch_add(&c->data->moves, 1);
    int err = moves >= MOVES_MAX ? hd_fail(-HD_E_BUSY_RETRY, "threads quota is exceeded.") : 0;
    if (err == 0) {
        err = hd_store_view(c->data->store, (struct hd_block_id){b->block_id}, &v);
    }
    if (err < 0) {
        hd_op_reply(c, HDW__STATUS__STATUS_ERROR, NULL,
                    hd_op_exception_text(c, "opCopyBlock", b, err,
                                         hd_arena_str(&c->arena, hd_fail_describe(err))));
    } else {
        err = give(c, &v);
        hd_block_view_done(&v);
    }
    atomic_fetch_sub(&c->data->moves, 1);
    if (hd_scanner_is_suspicious(err)) {
        hd_scanner_suspect(c->data->scanner, (struct hd_block_id){b->block_id}, "copy");
    }
    if (err < 0) {
        hd_log_info("copy for another node failed", "block=%" PRIu64 " peer=%s error=\"%s\"",
                    b->block_id, c->peer, hd_fail_describe(err));
    }
    return HD_OP_CLOSE;
}

/* --- the side that takes --- */

struct replace {
    struct hd_conn *c;
    const Hdw__OpReplaceBlock *op;
    struct hd_stream source;
    struct hd_receive *receive;
    struct hd_block_writer *writer;
};

/* Asks the source for the block; its reply says how it is summed. */
static int ask_source(struct replace *r, struct hd_sum_format *ret)
{
    Hdw__OpCopyBlock q = HDW__OP_COPY_BLOCK__INIT;
    ProtobufCMessage *m;
    q.header = r->op->header;
    int err = hd_peer_send_op(&r->source, OP_COPY, &q.base);
    if (err == 0) {
        err = hd_stream_read_message(&r->source, &hdw__block_op_response__descriptor,
                                     HD_DATA_MESSAGE_BYTES_MAX, &r->c->arena, &m);
    }
    if (err < 0) {
        return err;
    }
    const Hdw__BlockOpResponse *p = (const Hdw__BlockOpResponse *)m;
    if (p->status != HDW__STATUS__STATUS_SUCCESS || p->read_op_checksum_info == NULL) {
        return hd_fail(-HD_E_IO, "the source answers status %d: %.300s", (int)p->status,
                       p->message != NULL ? p->message : "");
    }
    const Hdw__Checksum *checksum = p->read_op_checksum_info->checksum;
    return hd_sum_format_check((uint32_t)checksum->type, checksum->bytes_per_checksum, ret);
}

static int fetch(struct replace *r)
{
    const Hdw__ExtendedBlock *b = r->op->header->block;
    struct hd_block_writer_options options = {.setup = {.stage = HD_STAGE_CREATE,
                                                        .from_node = true,
                                                        .id = {b->block_id},
                                                        .gs = {b->generation_stamp},
                                                        .reserve_bytes = b->num_bytes}};
    struct hd_receive_options receive = {
        .data = r->c->data, .up = &r->source, .delete_hint = r->op->del_hint};
    int err = ask_source(r, &options.format);
    if (err == 0) {
        err = hd_receive_new(&receive, &r->receive);
    }
    if (err < 0) {
        return err;
    }
    options.interrupt = hd_receive_interrupt;
    options.ctx = r->receive;
    err = hd_block_writer_open(r->c->data->store, &options, &r->writer);
    if (err < 0) {
        return err;
    }
    hd_op_reply(r->c, HDW__STATUS__STATUS_IN_PROGRESS, NULL, NULL);
    return hd_receive_run(r->receive, r->writer);
}

enum hd_op_result hd_op_replace(struct hd_conn *c, const Hdw__OpReplaceBlock *op)
{
    const Hdw__ExtendedBlock *b = op->header->block;
    struct replace r = {.c = c, .op = op, .source = {.fd = -1}};
    struct hd_replica there;
    int err = 0;
    const char *text = NULL;
    if (hd_store_get(c->data->store, (struct hd_block_id){b->block_id}, &there) == 0) {
        err = -HD_E_REPLICA_EXISTS;
        text = hd_arena_printf(&c->arena,
                               "Block %s already exists in state %s and thus cannot be created.",
                               hd_op_block_text(c, b), hd_replica_state_name(there.state));
    }
    if (err == 0) {
        err = hd_peer_connect(op->source, 0, &r.source);
    }
    if (err == 0) {
        hd_socket_timeouts(r.source.fd, HD_DATA_STREAM_TIMEOUT_MS);
        err = fetch(&r);
    }
    hd_block_writer_close(r.writer);
    hd_receive_free(r.receive);
    if (r.source.fd >= 0) {
        hd_stream_done(&r.source);
    }
    if (err == -HD_E_CHECKSUM) {
        hd_ask_check(c->data, op->source, (struct hd_block_id){b->block_id});
    }
    if (err < 0) {
        text = text != NULL ? text : hd_arena_str(&c->arena, hd_fail_describe(err));
        hd_log_warn("replace failed", "block=%" PRIu64 " error=\"%s\"", b->block_id, text);
        hd_op_reply(c, HDW__STATUS__STATUS_ERROR, NULL,
                    hd_op_exception_text(c, "opReplaceBlock", b, err, text));
    } else {
        hd_op_reply(c, HDW__STATUS__STATUS_SUCCESS, NULL, NULL);
    }
    return HD_OP_CLOSE;
}
