/* Outgoing copies. See transfer.h. */
#include "fs/data/shell/transfer.h"
#include "fs/base/error.h"
#include "fs/data/core/replica.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/peer.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/shell/send.h"
#include "fs/data/shell/workers.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    OP_WRITE = 80,
    PACKET_BYTES = 512 * 1024,
    ARENA_BYTES = 1 << 20,
    READAHEAD_BYTES = 4194304,
};

/* The write request of a copy (docs/protocol.md, "Copies"). */
static int send_request(struct hd_data *d, const struct hd_transfer_args *a,
                        const struct hd_block_view *v, struct hd_stream *s, struct hd_arena *arena)
{
    Hdw__Token token = HDW__TOKEN__INIT;
    Hdw__BaseHeader base = HDW__BASE_HEADER__INIT;
    Hdw__ClientOperationHeader header = HDW__CLIENT_OPERATION_HEADER__INIT;
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__CachingStrategy caching = HDW__CACHING_STRATEGY__INIT;
    Hdw__ExtendedBlock block = *a->block;
    Hdw__OpWriteBlock op = HDW__OP_WRITE_BLOCK__INIT;
    block.generation_stamp = v->replica.gs.v;
    block.has_num_bytes = true;
    block.num_bytes = v->visible_bytes;
    token.kind = token.service = (char *)(uintptr_t) "";
    base.block = &block;
    base.token = &token;
    header.base_header = &base;
    header.client_name = (char *)(uintptr_t)a->client_name;
    checksum.type = (Hdw__ChecksumType)v->format.type;
    checksum.bytes_per_checksum = v->format.bytes_per_checksum;
    caching.has_drop_behind = caching.has_readahead = true;
    caching.drop_behind = true;
    caching.readahead = READAHEAD_BYTES;
    op.header = &header;
    op.source = hd_control_self(d->control, arena);
    op.requested_checksum = &checksum;
    op.caching_strategy = &caching;
    op.stage = HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE;
    if (a->client_name[0] != '\0') {
        op.stage = v->replica.state == HD_REPLICA_FINALIZED
                       ? HDW__BLOCK_CONSTRUCTION_STAGE__TRANSFER_FINALIZED
                       : HDW__BLOCK_CONSTRUCTION_STAGE__TRANSFER_RBW;
    }
    op.n_targets = a->target_count - 1;
    op.targets = a->targets + 1;
    if (a->storage_types != NULL) {
        op.has_storage_type = true;
        op.storage_type = a->storage_types[0];
        op.n_target_storage_types = a->target_count - 1;
        op.target_storage_types = a->storage_types + 1;
    }
    if (a->storage_ids != NULL) {
        op.storage_id = a->storage_ids[0];
        op.n_target_storage_ids = a->target_count - 1;
        op.target_storage_ids = a->storage_ids + 1;
    }
    return op.source == NULL ? -ENOMEM : hd_peer_send_op(s, OP_WRITE, &op.base);
}

/* For a client the target says that it has it all. */
static int read_answer(struct hd_stream *s, struct hd_arena *arena)
{
    ProtobufCMessage *m;
    int err = hd_stream_read_message(s, &hdw__dntransfer_ack__descriptor, HD_DATA_MESSAGE_BYTES_MAX,
                                     arena, &m);
    if (err == 0 && ((const Hdw__DNTransferAck *)m)->status != HDW__STATUS__STATUS_SUCCESS) {
        err = hd_fail(-HD_E_IO, "the target answers status %d",
                      (int)((const Hdw__DNTransferAck *)m)->status);
    }
    return err;
}

static int send_to(struct hd_data *d, const struct hd_transfer_args *a, struct hd_block_view *v,
                   struct hd_arena *arena)
{
    struct hd_stream s;
    int err = hd_peer_connect(a->targets[0], (int)a->target_count - 1, &s);
    if (err < 0) {
        return err;
    }
    struct hd_send send = {.fd = s.fd,
                           .view = v,
                           .span = {0, v->visible_bytes},
                           .packet_bytes = PACKET_BYTES,
                           .sums = true,
                           .durable = v->synced};
    err = send_request(d, a, v, &s, arena);
    if (err == 0) {
        err = hd_send_block(&send);
    }
    if (err == 0 && a->client_name[0] != '\0') {
        err = read_answer(&s, arena);
    }
    hd_stream_done(&s);
    return err;
}

int hd_transfer_run(struct hd_data *d, const struct hd_transfer_args *args)
{
    struct hd_block_view v;
    struct hd_arena arena;
    int err = hd_store_view(d->store, (struct hd_block_id){args->block->block_id}, &v);
    if (err < 0) {
        return err;
    }
    atomic_fetch_add(&d->transfers_out, 1);
    hd_arena_init(&arena, ARENA_BYTES);
    if (v.replica.gs.v < args->block->generation_stamp) {
        err = hd_fail(-HD_E_REPLICA_NOT_FOUND, "only generation stamp %" PRIu64 " is here",
                      v.replica.gs.v);
    } else {
        err = send_to(d, args, &v, &arena);
    }
    if (hd_scanner_is_suspicious(err)) {
        hd_scanner_suspect(d->scanner, v.replica.id, "copy");
    }
    hd_arena_done(&arena);
    hd_block_view_done(&v);
    atomic_fetch_sub(&d->transfers_out, 1);
    return err;
}

/* --- orders of meta --- */

struct order {
    struct hd_data *data;
    Hdw__BlockCommand *command; /* one block, its targets; heap, owned */
};

static void order_free(struct order *o)
{
    if (o->command != NULL) {
        hdw__block_command__free_unpacked(o->command, NULL);
    }
    free(o);
}

static void order_run(void *ctx)
{
    struct order *o = ctx;
    const Hdw__BlockCommand *cmd = o->command;
    const Hdw__Block *b = cmd->blocks[0];
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    block.pool_id = cmd->block_pool_id;
    block.block_id = b->block_id;
    block.generation_stamp = b->gen_stamp;
    size_t n = cmd->targets[0]->n_datanodes;
    bool types =
        cmd->n_target_storage_types > 0 && cmd->target_storage_types[0]->n_storage_types == n;
    bool ids =
        cmd->n_target_storage_uuids > 0 && cmd->target_storage_uuids[0]->n_storage_uuids == n;
    struct hd_transfer_args args = {
        .block = &block,
        .client_name = "",
        .target_count = n,
        .targets = cmd->targets[0]->datanodes,
        .storage_types = types ? cmd->target_storage_types[0]->storage_types : NULL,
        .storage_ids = ids ? cmd->target_storage_uuids[0]->storage_uuids : NULL};
    int err = hd_transfer_run(o->data, &args);
    hd_log(err < 0 ? HD_LOG_WARN : HD_LOG_INFO, err < 0 ? "copy failed" : "copied",
           "block=%" PRIu64 " to=%s:%u error=\"%s\"", b->block_id, args.targets[0]->id->ip_addr,
           args.targets[0]->id->xfer_port, err < 0 ? hd_fail_describe(err) : "");
    if (atomic_fetch_sub(&o->data->orders_waiting, 1) == 1) {
        hd_control_wake(o->data->control, false); /* done: meta may have more */
    }
    order_free(o);
}

void hd_transfer_order(struct hd_data *d, const Hdw__BlockCommand *cmd, size_t i)
{
    if (cmd->targets[i]->n_datanodes == 0) {
        return;
    }
    /* The part of the command that is about this block, copied by its own encoding. */
    Hdw__BlockCommand part = HDW__BLOCK_COMMAND__INIT;
    part.action = cmd->action;
    part.block_pool_id = cmd->block_pool_id;
    part.n_blocks = part.n_targets = 1;
    part.blocks = &cmd->blocks[i];
    part.targets = &cmd->targets[i];
    if (i < cmd->n_target_storage_types) {
        part.n_target_storage_types = 1;
        part.target_storage_types = &cmd->target_storage_types[i];
    }
    if (i < cmd->n_target_storage_uuids) {
        part.n_target_storage_uuids = 1;
        part.target_storage_uuids = &cmd->target_storage_uuids[i];
    }
    struct order *o = calloc(1, sizeof(*o));
    size_t size = hdw__block_command__get_packed_size(&part);
    uint8_t *bytes = malloc(size);
    if (o != NULL && bytes != NULL) {
        o->data = d;
        hdw__block_command__pack(&part, bytes);
        o->command = hdw__block_command__unpack(NULL, size, bytes);
    }
    free(bytes);
    if (o == NULL) {
        return;
    }
    atomic_fetch_add(&d->orders_waiting, 1);
    if (o->command == NULL || hd_workers_run(d->copy_workers, order_run, o) < 0) {
        atomic_fetch_sub(&d->orders_waiting, 1);
        hd_log_warn("copy is not carried out: too much waits", "block=%" PRIu64,
                    cmd->blocks[i]->block_id);
        order_free(o);
    }
}
