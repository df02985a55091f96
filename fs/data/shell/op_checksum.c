/* BLOCK_CHECKSUM: MD5 of the sums, or one CRC of the whole (docs/protocol.md, "Checksums of
 * blocks"). */
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/reserved_view.h"
#include "fs/data/store/block_sums.h"
#include "fs/os/log.h"

#include <inttypes.h>

static int compute(const struct hd_block_view *v, uint64_t bytes, bool composite,
                   ProtobufCBinaryData *out)
{
    out->len = composite ? HD_SUM_BYTES : HD_BLOCK_MD5_BYTES;
    return composite ? hd_block_composite_crc(v, bytes, out->data)
                     : hd_block_md5(v, bytes, out->data);
}

static int answer(struct hd_conn *c, const Hdw__OpBlockChecksum *op, const struct hd_block_view *v)
{
    uint8_t sum[HD_BLOCK_MD5_BYTES];
    const Hdw__ExtendedBlock *b = op->header->block;
    const Hdw__BlockChecksumOptions *asked = op->block_checksum_options;
    Hdw__BlockChecksumOptions options = HDW__BLOCK_CHECKSUM_OPTIONS__INIT;
    Hdw__OpBlockChecksumResponse r = HDW__OP_BLOCK_CHECKSUM_RESPONSE__INIT;
    Hdw__BlockOpResponse reply = HDW__BLOCK_OP_RESPONSE__INIT;
    bool composite = asked != NULL && asked->block_checksum_type ==
                                          HDW__BLOCK_CHECKSUM_TYPE__BLOCK_CHECKSUM_COMPOSITE_CRC;
    uint64_t bytes = HD_MIN(b->num_bytes, v->visible_bytes);
    r.block_checksum.data = sum;
    int err = compute(v, bytes, composite, &r.block_checksum);
    if (err < 0) {
        return err;
    }
    options.has_block_checksum_type = options.has_stripe_length = true;
    options.block_checksum_type = composite ? HDW__BLOCK_CHECKSUM_TYPE__BLOCK_CHECKSUM_COMPOSITE_CRC
                                            : HDW__BLOCK_CHECKSUM_TYPE__BLOCK_CHECKSUM_MD5CRC;
    options.stripe_length = asked != NULL ? asked->stripe_length : 0;
    r.bytes_per_crc = v->format.bytes_per_checksum;
    r.crc_per_block = v->format.type == HD_CHECKSUM_NULL
                          ? 0
                          : hd_chunk_count(v->visible_bytes, v->format.bytes_per_checksum);
    r.has_crc_type = true;
    r.crc_type = (Hdw__ChecksumType)v->format.type;
    r.block_checksum_options = &options;
    reply.status = HDW__STATUS__STATUS_SUCCESS;
    reply.checksum_response = &r;
    return hd_stream_write_message(&c->stream, &reply.base);
}

/* Whatever fails is closed without a reply, and so is the connection afterwards. */
enum hd_op_result hd_op_checksum(struct hd_conn *c, const Hdw__OpBlockChecksum *op)
{
    struct hd_block_view v;
    const Hdw__ExtendedBlock *b = op->header->block;
    int err = hd_reserved_or_replica(c->data, b, &c->arena, &v);
    if (err == 0) {
        err = v.replica.gs.v < b->generation_stamp
                  ? hd_fail(-HD_E_REPLICA_NOT_FOUND, "only generation stamp %" PRIu64 " is here",
                            v.replica.gs.v)
                  : answer(c, op, &v);
        hd_block_view_done(&v);
    }
    if (err < 0) {
        hd_log_info("no block checksum", "peer=%s block=%" PRIu64 " error=\"%s\"", c->peer,
                    b->block_id, hd_fail_describe(err));
    }
    return HD_OP_CLOSE;
}
