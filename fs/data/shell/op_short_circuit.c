/*
 * Short-circuit reads: over the UNIX socket a client on this machine gets the two files of a
 * finalized replica as read-only descriptors (docs/protocol.md, "Short-circuit reads"). Shared
 * memory for revoking them is not offered; clients do without.
 */
#include "fs/base/error.h"
#include "fs/data/shell/op.h"
#include "fs/os/log.h"
#include "fs/wire/reserved.h"

#include <inttypes.h>

enum { ACCESS_VERSION = 1, NO_RECEIPT = 0, USE_RECEIPT = 1 };

static int refuse(struct hd_conn *c, Hdw__Status status, const char *message)
{
    hd_op_reply(c, status, NULL, message);
    return -HD_E_UNSUPPORTED;
}

/* Of this replica only: with a version in the reply clients do not give up the whole socket. */
static int refuse_replica(struct hd_conn *c, const char *message)
{
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = HDW__STATUS__STATUS_ERROR_UNSUPPORTED;
    r.message = (char *)(uintptr_t)message;
    r.has_short_circuit_access_version = true;
    r.short_circuit_access_version = ACCESS_VERSION;
    int err = hd_stream_write_message(&c->stream, &r.base);
    return err < 0 ? err : -HD_E_UNSUPPORTED;
}

static int hand_over(struct hd_conn *c, const Hdw__OpRequestShortCircuitAccess *op,
                     const struct hd_block_view *v)
{
    bool receipt = op->has_supports_receipt_verification && op->supports_receipt_verification;
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = HDW__STATUS__STATUS_SUCCESS;
    r.has_short_circuit_access_version = true;
    r.short_circuit_access_version = ACCESS_VERSION;
    int err = hd_stream_write_message(&c->stream, &r.base);
    uint8_t byte = receipt ? USE_RECEIPT : NO_RECEIPT;
    int fds[2] = {v->data_fd, v->meta_fd};
    if (err == 0) {
        err = hd_stream_send_fds(&c->stream, &byte, sizeof(byte), fds, 2);
    }
    if (err == 0 && receipt) {
        err = hd_stream_read(&c->stream, &byte, sizeof(byte));
    }
    return err;
}

static int give_fds(struct hd_conn *c, const Hdw__OpRequestShortCircuitAccess *op)
{
    struct hd_block_view v;
    const Hdw__ExtendedBlock *b = op->header->block;
    if (!c->is_unix) {
        return refuse(c, HDW__STATUS__STATUS_ERROR,
                      "You cannot pass file descriptors over anything but a UNIX domain socket.");
    }
    if (op->max_version < ACCESS_VERSION) {
        return refuse(c, HDW__STATUS__STATUS_ERROR_UNSUPPORTED,
                      "version 1 is the oldest known here");
    }
    if (hd_reserved_is(b->block_id)) {
        return refuse_replica(c, "there is no file of what meta keeps");
    }
    int err = hd_store_view(c->data->store, (struct hd_block_id){b->block_id}, &v);
    if (err < 0) {
        return refuse(c, HDW__STATUS__STATUS_ERROR,
                      hd_op_exception_text(c, "requestShortCircuitFds", b, err,
                                           hd_arena_str(&c->arena, hd_fail_describe(err))));
    }
    bool lets_go = op->has_lets_go && op->lets_go;
    if (v.replica.state != HD_REPLICA_FINALIZED || v.replica.gs.v < b->generation_stamp ||
        (!lets_go && !hd_store_hand_out(c->data->store, &v))) {
        err = refuse_replica(c, "only finalized replicas are handed out");
    } else {
        err = hand_over(c, op, &v);
    }
    hd_block_view_done(&v);
    return err;
}

enum hd_op_result hd_op_short_circuit_fds(struct hd_conn *c,
                                          const Hdw__OpRequestShortCircuitAccess *op)
{
    int err = give_fds(c, op);
    if (err < 0) {
        hd_log_debug("no descriptors given", "peer=%s block=%" PRIu64, c->peer,
                     op->header->block->block_id);
    }
    c->own_client = true; /* local clients may keep the socket a while */
    return err == 0 || err == -HD_E_UNSUPPORTED ? HD_OP_KEEP : HD_OP_CLOSE;
}

enum hd_op_result hd_op_short_circuit_release(struct hd_conn *c)
{
    Hdw__ReleaseShortCircuitAccessResponse r = HDW__RELEASE_SHORT_CIRCUIT_ACCESS_RESPONSE__INIT;
    r.status = HDW__STATUS__STATUS_ERROR_UNSUPPORTED;
    r.error = (char *)(uintptr_t) "unsupported operation";
    return hd_stream_write_message(&c->stream, &r.base) < 0 ? HD_OP_CLOSE : HD_OP_KEEP;
}

enum hd_op_result hd_op_short_circuit_shm(struct hd_conn *c)
{
    Hdw__ShortCircuitShmResponse r = HDW__SHORT_CIRCUIT_SHM_RESPONSE__INIT;
    r.status =
        c->is_unix ? HDW__STATUS__STATUS_ERROR_UNSUPPORTED : HDW__STATUS__STATUS_ERROR_INVALID;
    const char *text =
        c->is_unix ? "shared memory segments are not offered; go on without"
                   : hd_arena_printf(&c->arena,
                                     "Bad request from %s: must request a shared memory segment "
                                     "over a UNIX domain socket.",
                                     c->peer);
    r.error = (char *)(uintptr_t)text;
    return hd_stream_write_message(&c->stream, &r.base) < 0 ? HD_OP_CLOSE : HD_OP_KEEP;
}
