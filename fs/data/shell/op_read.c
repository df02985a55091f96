/* READ_BLOCK: checks, reply, packets, and the client's last word (docs/protocol.md, "Reading"). */
#include "fs/base/error.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/reserved_view.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/shell/send.h"
#include "fs/os/log.h"
#include "fs/wire/reserved.h"

#include <inttypes.h>

enum {
    PACKET_BYTES = 65536,          /* what Hadoop's nodes send */
    OWN_PACKET_BYTES = 512 * 1024, /* to clients of ours */
    WAIT_VISIBLE_MS = 3000,
    STATUS_TIMEOUT_MS = 60000,
};

static const char *java_class_of(enum hd_replica_state state)
{
    switch (state) {
    case HD_REPLICA_FINALIZED:
        return "FinalizedReplica";
    case HD_REPLICA_RBW:
        return "ReplicaBeingWritten";
    case HD_REPLICA_RWR:
        return "ReplicaWaitingToBeRecovered";
    case HD_REPLICA_RUR:
        return "ReplicaUnderRecovery";
    case HD_REPLICA_TEMPORARY:
        return "ReplicaInPipeline";
    }
    return "Replica";
}

static const char *not_found_text(struct hd_conn *c, const Hdw__ExtendedBlock *b)
{
    return hd_arena_printf(
        &c->arena,
        "Replica not found for %s. The block may have been removed recently by the balancer or by "
        "intentionally reducing the replication factor. This condition is usually harmless. To be "
        "certain, please check the preceding datanode log messages for signs of a more serious "
        "issue.",
        hd_op_block_text(c, b));
}

static const char *old_stamp_text(struct hd_conn *c, const Hdw__ExtendedBlock *b,
                                  const struct hd_block_view *v)
{
    const struct hd_replica *r = &v->replica;
    return hd_arena_printf(&c->arena,
                           "Replica gen stamp < block genstamp, block=%s, replica=%s, blk_%" PRIu64
                           "_%" PRIu64 ", %s\n  getNumBytes()     = %" PRIu64
                           "\n  getBytesOnDisk()  = %" PRIu64 "\n  getVisibleLength()= %" PRIu64
                           "\n  getBlockURI()     = file:%s",
                           hd_op_block_text(c, b), java_class_of(r->state), r->id.v, r->gs.v,
                           hd_replica_state_name(r->state), r->size_bytes, r->size_bytes,
                           v->visible_bytes, v->data_path);
}

/* Opens the replica and checks the request. On failure *ret_text is what to tell the client. */
static int open_for(struct hd_conn *c, const Hdw__OpReadBlock *op, struct hd_block_view *v,
                    struct hd_read_span *span, const char **ret_text)
{
    const Hdw__ExtendedBlock *b = op->header->base_header->block;
    struct hd_block_id id = {b->block_id};
    if (op->offset <= UINT64_MAX - op->len && !hd_reserved_is(id.v)) {
        hd_store_wait_visible(c->data->store, id, op->offset + op->len, WAIT_VISIBLE_MS);
    }
    int err = hd_reserved_or_replica(c->data, b, &c->arena, v);
    if (err == -HD_E_REPLICA_NOT_FOUND) {
        *ret_text = not_found_text(c, b);
        return err;
    }
    if (err < 0) {
        *ret_text = hd_fail_describe(err);
        return err;
    }
    if (v->replica.gs.v < b->generation_stamp) {
        *ret_text = old_stamp_text(c, b, v);
        err = -HD_E_IO;
    } else if (hd_read_span(op->offset, op->len, v->visible_bytes, v->format.bytes_per_checksum,
                            span) < 0) {
        *ret_text = hd_arena_printf(&c->arena,
                                    " Offset %" PRIu64 " and length %" PRIu64
                                    " don't match block %s ( blockLen %" PRIu64 " )",
                                    op->offset, op->len, hd_op_block_text(c, b), v->visible_bytes);
        err = -HD_E_IO;
    }
    if (err < 0) {
        hd_block_view_done(v);
    }
    return err;
}

static int reply(struct hd_conn *c, const struct hd_block_view *v, uint64_t chunk_offset, bool sums)
{
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    checksum.type = sums ? (Hdw__ChecksumType)v->format.type : HDW__CHECKSUM_TYPE__CHECKSUM_NULL;
    checksum.bytes_per_checksum = v->format.bytes_per_checksum;
    Hdw__ReadOpChecksumInfo info = HDW__READ_OP_CHECKSUM_INFO__INIT;
    info.checksum = &checksum;
    info.chunk_offset = chunk_offset;
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = HDW__STATUS__STATUS_SUCCESS;
    r.read_op_checksum_info = &info;
    return hd_stream_write_message(&c->stream, &r.base);
}

/* The client says how its verification went, if it read to the end; many just close. */
static enum hd_op_result read_status(struct hd_conn *c, const Hdw__ExtendedBlock *b)
{
    ProtobufCMessage *m;
    c->stream.timeout_ms = STATUS_TIMEOUT_MS;
    if (hd_stream_wait(&c->stream) != 1 ||
        hd_stream_read_message(&c->stream, &hdw__client_read_status__descriptor,
                               HD_DATA_MESSAGE_BYTES_MAX, &c->arena, &m) < 0) {
        return HD_OP_CLOSE;
    }
    Hdw__Status status = ((const Hdw__ClientReadStatus *)m)->status;
    if (status != HDW__STATUS__STATUS_SUCCESS && status != HDW__STATUS__STATUS_CHECKSUM_OK) {
        hd_log_warn("reader is not content", "block=%" PRIu64 " peer=%s status=%d", b->block_id,
                    c->peer, (int)status);
    }
    if (status == HDW__STATUS__STATUS_ERROR_CHECKSUM) {
        hd_scanner_suspect(c->data->scanner, (struct hd_block_id){b->block_id}, "reader");
    }
    return HD_OP_KEEP;
}

enum hd_op_result hd_op_read(struct hd_conn *c, const Hdw__OpReadBlock *op)
{
    const Hdw__ExtendedBlock *b = op->header->base_header->block;
    struct hd_block_view v;
    struct hd_read_span span;
    const char *text;
    bool sums = !op->has_send_checksums || op->send_checksums;
    c->own_client = strncmp(op->header->client_name, HD_OWN_CLIENT_PREFIX,
                            sizeof(HD_OWN_CLIENT_PREFIX) - 1) == 0;
    int err = open_for(c, op, &v, &span, &text);
    if (err < 0) {
        if (hd_scanner_is_suspicious(err)) {
            hd_scanner_suspect(c->data->scanner, (struct hd_block_id){b->block_id}, "open");
        }
        hd_log_info("read refused", "peer=%s block=%" PRIu64 " error=\"%.300s\"", c->peer,
                    b->block_id, text);
        hd_op_reply(c, HDW__STATUS__STATUS_ERROR, NULL,
                    hd_op_exception_text(c, "opReadBlock", b, err, text));
        return HD_OP_CLOSE;
    }
    struct hd_send send = {.fd = c->stream.fd,
                           .view = &v,
                           .span = span,
                           .packet_bytes = c->own_client ? OWN_PACKET_BYTES : PACKET_BYTES,
                           .sums = sums};
    err = reply(c, &v, span.start_bytes, sums);
    if (err == 0) {
        err = hd_send_block(&send);
    }
    if (err < 0) {
        hd_block_view_done(&v);
        if (hd_scanner_is_suspicious(err)) {
            hd_scanner_suspect(c->data->scanner, (struct hd_block_id){b->block_id}, "send");
        }
        if (err != -HD_E_CLOSED) {
            hd_log_warn("read broken off", "peer=%s block=%" PRIu64 " error=\"%s\"", c->peer,
                        b->block_id, hd_fail_describe(err));
        }
        return HD_OP_CLOSE;
    }
    /* Pages that were sent may still wait in a socket: the reader is not done before it says so. */
    enum hd_op_result result = read_status(c, b);
    hd_block_view_done(&v);
    return result;
}
