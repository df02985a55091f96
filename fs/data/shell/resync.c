/* Fetching a replica's bytes from another node. See resync.h. */
#include "fs/data/shell/resync.h"
#include "fs/base/error.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/packet_io.h"
#include "fs/data/shell/peer.h"
#include "fs/data/store/block_writer.h"
#include "fs/os/log.h"

#include <inttypes.h>

enum { OP_READ = 81, ARENA_BYTES = 1 << 20 };

struct fetch {
    struct hd_data *data;
    const struct hd_resync *order;
    struct hd_block_writer *writer; /* opened when the source's format is known */
    uint64_t bytes;
};

static int send_request(struct hd_stream *s, const struct hd_resync *r, uint64_t from, uint64_t to)
{
    Hdw__Token token = HDW__TOKEN__INIT;
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    Hdw__BaseHeader base = HDW__BASE_HEADER__INIT;
    Hdw__ClientOperationHeader header = HDW__CLIENT_OPERATION_HEADER__INIT;
    Hdw__OpReadBlock op = HDW__OP_READ_BLOCK__INIT;
    token.kind = token.service = (char *)(uintptr_t) "";
    block.pool_id = (char *)(uintptr_t)r->pool_id;
    block.block_id = r->id.v;
    block.generation_stamp = r->gs.v;
    base.block = &block;
    base.token = &token;
    header.base_header = &base;
    header.client_name = (char *)(uintptr_t)HD_OWN_CLIENT_PREFIX "-resync";
    op.header = &header;
    op.offset = from;
    op.len = to - from;
    return hd_peer_send_op(s, OP_READ, &op.base);
}

static int read_reply(struct hd_stream *s, struct hd_arena *arena, struct hd_sum_format *ret)
{
    ProtobufCMessage *m;
    int err = hd_stream_read_message(s, &hdw__block_op_response__descriptor,
                                     HD_DATA_MESSAGE_BYTES_MAX, arena, &m);
    if (err < 0) {
        return err;
    }
    const Hdw__BlockOpResponse *p = (const Hdw__BlockOpResponse *)m;
    if (p->status != HDW__STATUS__STATUS_SUCCESS || p->read_op_checksum_info == NULL) {
        return hd_fail(-HD_E_IO, "the source answers status %d: %.300s", (int)p->status,
                       p->message != NULL ? p->message : "");
    }
    const Hdw__Checksum *c = p->read_op_checksum_info->checksum;
    return hd_sum_format_check((uint32_t)c->type, c->bytes_per_checksum, ret);
}

static int open_writer(struct hd_store *s, struct hd_block_id id, uint64_t recovery_id,
                       uint64_t size_bytes, struct hd_sum_format format,
                       struct hd_block_writer **ret)
{
    struct hd_block_writer_options options = {.setup = {.stage = HD_STAGE_APPEND,
                                                        .id = id,
                                                        .new_gs = {recovery_id},
                                                        .max_bytes = size_bytes,
                                                        .overwrite = true,
                                                        .resync = true},
                                              .format = format};
    return hd_block_writer_open(s, &options, ret);
}

static int take_packets(struct fetch *f, struct hd_stream *s)
{
    struct hd_packet_reader reader;
    struct hd_packet_view v = {0};
    int err = hd_packet_reader_init(&reader, s);
    while (err == 0 && !v.head.last) {
        err = hd_packet_reader_next(&reader, &v);
        if (err == 0 && !v.head.last) {
            err = hd_block_writer_write(f->writer, &v.head, v.sums, v.data, true);
            f->bytes += v.head.data_bytes;
        }
    }
    hd_packet_reader_done(&reader);
    return err;
}

static int fetch_range(struct fetch *f, uint64_t from, uint64_t to)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_sum_format format;
    struct hd_stream s;
    hd_arena_init(&arena, ARENA_BYTES);
    int err = hd_peer_connect(f->order->source, 0, &s);
    if (err < 0) {
        return err;
    }
    hd_socket_timeouts(s.fd, HD_DATA_STREAM_TIMEOUT_MS);
    err = send_request(&s, f->order, from, to);
    if (err == 0) {
        err = read_reply(&s, &arena, &format);
    }
    if (err == 0 && f->writer == NULL) {
        err =
            open_writer(f->data->store, f->order->id, f->order->recovery_id, 0, format, &f->writer);
    }
    if (err == 0) {
        err = take_packets(f, &s);
    }
    hd_stream_done(&s);
    return err;
}

/* Which bytes: the regions, and from the region on in which the replica here ends. */
static int choose_regions(struct hd_data *d, const struct hd_resync *r, struct hd_dirty *ret)
{
    struct hd_replica own;
    int err = hd_store_get(d->store, r->id, &own);
    if (err == 0 && r->whole) {
        err = hd_dirty_add(ret, 0, r->size_bytes);
    } else if (err == 0) {
        err = hd_dirty_add_bits(ret, r->regions.bits, r->regions.count);
    }
    if (err >= 0 && own.size_bytes < r->size_bytes) {
        err = hd_dirty_add(ret, own.size_bytes, r->size_bytes);
    }
    return HD_MIN(err, 0);
}

int hd_resync_run(struct hd_data *d, const struct hd_resync *r)
{
    struct fetch f = {.data = d, .order = r};
    struct hd_dirty regions = {0};
    uint64_t from = 0;
    uint64_t to = 0;
    int err = choose_regions(d, r, &regions);
    while (err == 0 && hd_dirty_next(&regions, to, r->size_bytes, &from, &to)) {
        err = fetch_range(&f, from, to);
    }
    hd_block_writer_close(f.writer);
    hd_dirty_done(&regions);
    if (err == 0) {
        hd_log_info("replica made equal to another node's",
                    "block=%" PRIu64 " source=%s:%u bytes=%" PRIu64, r->id.v,
                    r->source->id->ip_addr, r->source->id->xfer_port, f.bytes);
    }
    return err;
}

int hd_resync_grow(struct hd_data *d, const Hdw__UpdateReplicaUnderRecoveryRequest *q)
{
    const struct hd_block_id id = {q->block->block_id};
    const struct hd_sum_format any = {HD_CHECKSUM_CRC32C, HD_BYTES_PER_CHECKSUM};
    struct hd_block_writer *w = NULL;
    struct hd_replica own;
    int err = hd_store_get(d->store, id, &own);
    if (err < 0 || own.size_bytes >= q->new_length) {
        return err;
    }
    err = open_writer(d->store, id, q->recovery_id, q->new_length, any, &w);
    hd_block_writer_close(w);
    return err;
}
