/*
 * One open block of a content: a writer that overwrites (writer.h), what of it is under way, and
 * how it can be read meanwhile.
 */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/client/core/layout.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum {
    SEND_BYTES = 131072, /* small writes are gathered up to this before they are sent */
};

static struct hd_open_block *of_writer(struct hd_writer *w)
{
    return HD_LIST_ENTRY(w, struct hd_open_block, w);
}

/* Memory of the block as it is now, for the content's sum. */
static void recount(struct hd_open_block *b)
{
    const struct hd_wchain *c = &b->w.chain;
    size_t bytes = c->queue_bytes + c->held_bytes;
    bytes += b->w.filling != NULL ? b->w.filling->capacity : 0;
    atomic_fetch_add(&b->content->held_bytes, bytes - b->counted_bytes);
    b->counted_bytes = bytes;
}

/* ---- where the block comes from ---- */

static int ask(struct hd_writer *w, Hdw__LocatedBlock **ret)
{
    struct hd_open_block *b = of_writer(w);
    Hdw__OpenBlockResponse *r = HD_TAKE_PTR(b->offer);
    int err = r != NULL ? 0
                        : hd_posix_open_block(b->content->posix, b->content->ino, b->offset,
                                              w->excluded, w->excluded_count, &w->chain.arena, &r);
    if (err < 0) {
        return err;
    }
    if (!r->fresh) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: no new block at %llu", w->path,
                       (unsigned long long)b->offset);
    }
    if (r->limit < w->chain.end) {
        return hd_fail(-EDQUOT, "%s: no room for the block at %llu", w->path,
                       (unsigned long long)b->offset);
    }
    b->offset = r->block->offset; /* in a hole: where the block begins that holds the offset */
    w->base_bytes = r->block->b->has_num_bytes ? r->block->b->num_bytes : 0;
    b->limit = r->limit;
    b->told_bytes = w->base_bytes;
    *ret = r->block;
    return 0;
}

static void acked(struct hd_writer *w)
{
    struct hd_open_block *b = of_writer(w);
    hd_inflight_acked(&b->inflight, w->chain.acked_serial);
    b->acked_most = HD_MAX(b->acked_most, w->chain.acked_serial);
    recount(b);
}

static bool is_worth_another_try(int err)
{
    return err == -EIO || err == -HD_E_IO || err == -HD_E_NO_NODES || err == -ETIMEDOUT ||
           err == -HD_E_RETRIABLE || err == -HD_E_BUSY_RETRY || err == -HD_E_RECOVERY ||
           hd_rpc_is_connection_error(err);
}

/* One try. The replicas are made as long as was acknowledged, though meta may have heard of less.
 */
static int try_reopen(struct hd_open_block *b)
{
    struct hd_wchain *c = &b->w.chain;
    Hdw__OpenBlockResponse *r;
    hd_writer_forgive(&b->w);
    int err =
        hd_posix_open_block(b->content->posix, b->content->ino, b->offset, NULL, 0, &c->arena, &r);
    if (err < 0) {
        return err;
    }
    if (r->fresh || !r->has_new_stamp || r->block->b->block_id != c->block.block_id) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: the block at %llu was lost", b->w.path,
                       (unsigned long long)b->offset);
    }
    b->limit = r->limit;
    b->told_bytes = r->block->b->num_bytes;
    r->block->b->num_bytes = HD_MAX(b->told_bytes, c->state.acked_bytes);
    return hd_wchain_open(&b->w, r->block, r->new_stamp);
}

static int reopen(struct hd_writer *w)
{
    struct hd_open_block *b = of_writer(w);
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, w->fs->session->retry_ms, (uint64_t)now);
    int err;
    while (is_worth_another_try(err = try_reopen(b))) {
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            break;
        }
        hd_clock_sleep_ms(pause);
    }
    b->doubtful = b->doubtful || w->chain.acked_serial > b->synced_serial;
    return err;
}

static const struct hd_wsource source = {.ask = ask, .acked = acked, .reopen = reopen};

int hd_open_block_new(struct hd_content *c, uint64_t offset, uint64_t limit,
                      struct hd_open_block **ret)
{
    struct hd_open_block *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return -ENOMEM;
    }
    int err = hd_writer_init(&b->w, c->fs, c->path);
    if (err < 0) {
        free(b);
        return err;
    }
    b->content = c;
    b->offset = offset;
    b->used_ms = hd_clock_mono_ms().v;
    b->limit = limit;
    b->w.ino = c->ino;
    b->w.block_bytes = c->block_bytes;
    b->w.replication = c->replication;
    b->w.overwrite = true;
    b->w.source = &source;
    hd_list_init(&b->link);
    atomic_store(&b->refs, 1);
    *ret = b;
    return 0;
}

struct hd_open_block *hd_open_block_ref(struct hd_open_block *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void hd_open_block_unref(struct hd_open_block *b)
{
    if (b == NULL || atomic_fetch_sub(&b->refs, 1) != 1) {
        return;
    }
    pthread_mutex_lock(&b->w.lock); /* hanging up wants it */
    hd_wchain_hang_up(&b->w);
    pthread_mutex_unlock(&b->w.lock);
    atomic_fetch_sub(&b->content->held_bytes, b->counted_bytes);
    hd_blocks_unref(b->view);
    hd_inflight_done(&b->inflight);
    hd_writer_done(&b->w);
    free(b);
}

/* ---- writing ---- */

static int failed_before(const struct hd_open_block *b)
{
    return b->w.failed == 0 ? 0 : hd_fail(b->w.failed, "%s", b->w.failure);
}

/* A failure is final for the block as it is open. */
static int note(struct hd_open_block *b, int err)
{
    if (err < 0 && b->w.failed == 0) {
        b->w.failed = err;
        snprintf(b->w.failure, sizeof(b->w.failure), "%s", hd_fail_text());
    }
    return err;
}

int hd_open_block_begin(struct hd_open_block *b)
{
    return b->w.chain.open ? 0 : note(b, hd_wchain_begin(&b->w));
}

int hd_open_block_open(struct hd_open_block *b)
{
    Hdw__OpenBlockResponse *r;
    int err = hd_posix_open_block(b->content->posix, b->content->ino, b->offset, NULL, 0,
                                  &b->w.chain.arena, &r);
    if (err < 0) {
        return note(b, err);
    }
    if (r->fresh) {
        b->offer = r;
        return hd_open_block_begin(b);
    }
    hd_reader_forget(&b->content->reader, r->block->b->block_id);
    if (!r->has_new_stamp || !r->block->b->has_num_bytes) {
        return note(b, hd_fail(-HD_E_BAD_MESSAGE, "%s: a block without a stamp", b->w.path));
    }
    b->was_there = true;
    b->old_unsynced = true; /* as far as is known */
    b->offset = r->block->offset;
    b->limit = r->limit;
    b->told_bytes = r->block->b->num_bytes;
    err = hd_wchain_open(&b->w, r->block, r->new_stamp);
    return note(b, is_worth_another_try(err) ? reopen(&b->w) : err);
}

/* The queue gets a packet, and the block is begun when it was not. */
static int queue_packet(struct hd_open_block *b, struct hd_wpacket *p)
{
    struct hd_writer *w = &b->w;
    uint64_t from = HD_MIN(p->offset, w->chain.end); /* with a gap in front: that is written, too */
    int err = p->size == 0 ? 0
                           : hd_inflight_add(&b->inflight, w->chain.queued_serial + 1, from,
                                             p->offset + p->size);
    if (err < 0) {
        hd_wpacket_free(p);
        return note(b, err);
    }
    hd_wchain_queue(w, p);
    recount(b);
    return hd_open_block_begin(b);
}

static int queue_filling(struct hd_open_block *b, bool sync)
{
    struct hd_wpacket *p = HD_TAKE_PTR(b->w.filling);
    p->sync = sync;
    return queue_packet(b, p);
}

/* Bytes over some that wait in the packet being filled. */
static void patch(struct hd_open_block *b, const uint8_t *data, size_t size, size_t at)
{
    struct hd_wpacket *p = b->w.filling;
    memcpy(p->data + at, data, size);
    size_t from = at - at % b->w.chunk_bytes;
    size_t to = HD_MIN(at + size + b->w.chunk_bytes - 1, p->summed);
    to -= to % b->w.chunk_bytes;
    if (to > from) {
        hd_checksum_chunks(b->w.type, b->w.chunk_bytes, p->data + from, to - from,
                           p->sums + from / b->w.chunk_bytes * 4);
    }
}

/* One packet's worth at most; returns the bytes taken. */
static int64_t write_some(struct hd_open_block *b, const uint8_t *data, size_t size,
                          uint64_t offset)
{
    struct hd_writer *w = &b->w;
    struct hd_wpacket *p = w->filling;
    if (p != NULL && offset >= p->offset && offset < p->offset + p->size) {
        size_t at = (size_t)(offset - p->offset);
        size_t n = HD_MIN(size, p->size - at);
        patch(b, data, n, at);
        return (int64_t)n;
    }
    if (p != NULL && offset != p->offset + p->size) {
        int err = queue_filling(b, false);
        if (err < 0) {
            return err;
        }
        p = NULL;
    }
    if (p == NULL) {
        p = w->filling = hd_wpacket_get(w, offset);
        if (p == NULL) {
            return -ENOMEM;
        }
    }
    size_t room = hd_packet_room(p->offset, b->limit, w->chunk_bytes, HD_WRITER_PACKET_BYTES);
    int64_t taken = hd_wpacket_fill(w, p, data, size, room);
    if (taken >= 0 && p->size == room) {
        w->full_packets = w->full_packets || room == HD_WRITER_PACKET_BYTES;
        int err = queue_filling(b, false);
        return err < 0 ? err : taken;
    }
    return taken;
}

int hd_open_block_write(struct hd_open_block *b, const uint8_t *data, size_t size, uint64_t offset)
{
    struct hd_wchain *c = &b->w.chain;
    int err = failed_before(b);
    while (size > 0 && err == 0) {
        int64_t taken = write_some(b, data, size, offset);
        if (taken < 0) {
            return note(b, (int)taken);
        }
        data += taken;
        size -= (size_t)taken;
        offset += (uint64_t)taken;
        if (c->queue_bytes > HD_WRITER_WINDOW_BYTES) {
            err = note(b, hd_wchain_pump(&b->w, HD_WAIT_WINDOW));
        } else if (c->unsent_bytes >= SEND_BYTES) {
            err = note(b, hd_wchain_pump(&b->w, HD_WAIT_NOTHING));
        }
    }
    recount(b);
    return err;
}

uint64_t hd_open_block_end(const struct hd_open_block *b)
{
    const struct hd_wpacket *p = b->w.filling;
    return HD_MAX(b->w.chain.end, p != NULL ? p->offset + p->size : 0);
}

bool hd_open_block_is_synced(const struct hd_open_block *b)
{
    const struct hd_wchain *c = &b->w.chain;
    return !b->old_unsynced && b->w.filling == NULL && b->synced_serial == c->queued_serial &&
           (c->queued_serial == 0 || b->synced_stamp == c->block.generation_stamp);
}

int hd_open_block_push(struct hd_open_block *b, bool sync, uint64_t *ret_serial)
{
    int err = failed_before(b);
    bool wanted = sync && !hd_open_block_is_synced(b);
    if (err == 0 && b->w.filling != NULL) {
        err = queue_filling(b, wanted);
    } else if (err == 0 && wanted) {
        struct hd_wpacket *p = hd_wpacket_get(&b->w, b->w.chain.end); /* nothing but the wish */
        if (p == NULL) {
            return -ENOMEM;
        }
        p->sync = true;
        err = queue_packet(b, p);
    }
    *ret_serial = b->w.chain.queued_serial;
    return err < 0 ? err : note(b, hd_wchain_pump(&b->w, HD_WAIT_NOTHING));
}

int hd_open_block_await(struct hd_open_block *b, uint64_t serial, bool sync)
{
    struct hd_wchain *c = &b->w.chain;
    int err = note(b, hd_wchain_await(&b->w, serial));
    if (err < 0) {
        return err;
    }
    c->state.flushed = c->state.flushed || serial > 0;
    if (sync && b->doubtful) {
        b->doubtful = false;
        return hd_fail(-EIO, "%s: every node of a block went at once: writes may be lost",
                       b->w.path);
    }
    if (sync && serial > b->synced_serial) {
        b->synced_serial = serial;
        b->old_unsynced = false;
        b->synced_stamp = c->block.generation_stamp;
    }
    return 0;
}

int hd_open_block_flush(struct hd_open_block *b, bool sync)
{
    uint64_t serial;
    int err = hd_open_block_push(b, sync, &serial);
    return err < 0 ? err : hd_open_block_await(b, serial, sync);
}

/* ---- reading ---- */

/* The block as it is on its nodes now. */
int hd_open_block_view(struct hd_open_block *b)
{
    const struct hd_wchain *c = &b->w.chain;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__LocatedBlock lb = HDW__LOCATED_BLOCK__INIT;
    Hdw__LocatedBlock *list[] = {&lb};
    Hdw__LocatedBlocks all = HDW__LOCATED_BLOCKS__INIT;
    Hdw__ExtendedBlock block = c->block;
    size_t n = c->node_count;
    lb.locs = HD_ARENA_ARRAY(&arena, Hdw__DatanodeInfo *, n + 1);
    lb.storage_types = HD_ARENA_ARRAY(&arena, Hdw__StorageType, n + 1);
    lb.storage_i_ds = HD_ARENA_ARRAY(&arena, char *, n + 1);
    if (lb.locs == NULL || lb.storage_types == NULL || lb.storage_i_ds == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        lb.locs[i] = c->nodes[i].info;
        lb.storage_types[i] = c->nodes[i].storage_type;
        lb.storage_i_ds[i] = c->nodes[i].storage_id;
    }
    lb.n_locs = lb.n_storage_types = lb.n_storage_i_ds = n;
    block.has_num_bytes = true;
    block.num_bytes = c->end;
    lb.b = &block;
    lb.offset = b->offset;
    lb.block_token = c->token;
    all.file_length = b->offset + c->end;
    all.n_blocks = 1;
    all.blocks = list;
    struct hd_blocks *view;
    int err = hd_blocks_copy(b->w.fs, b->w.path, &all, false, &view);
    if (err < 0) {
        return err;
    }
    hd_blocks_unref(b->view);
    b->view = view;
    b->view_stamp = c->block.generation_stamp;
    return 0;
}

int hd_open_block_readable(struct hd_open_block *b, uint64_t offset, uint64_t size,
                           struct hd_blocks **ret)
{
    struct hd_wchain *c = &b->w.chain;
    const struct hd_wpacket *p = b->w.filling;
    int err = failed_before(b);
    bool gap = p != NULL && p->offset > c->end && offset + size > c->end;
    if (err == 0 && p != NULL &&
        (gap || (p->offset < offset + size && offset < p->offset + p->size))) {
        err = queue_filling(b, false);
    }
    err = err < 0 ? err : hd_open_block_begin(b);
    uint64_t serial = hd_inflight_find(&b->inflight, offset, offset + size);
    if (c->acked_serial < b->acked_most) { /* begun anew: all of it is on its way again */
        serial = HD_MAX(serial, b->acked_most);
    }
    if (err == 0 && serial > 0) {
        err = note(b, hd_wchain_await(&b->w, serial));
    }
    while (err == 0 && b->w.repairing) { /* its nodes are about to be others */
        pthread_cond_wait(&b->w.quiet, &b->w.lock);
        err = failed_before(b);
    }
    if (err == 0 && (b->view == NULL || b->view_stamp != c->block.generation_stamp ||
                     b->view->extents[0].size_bytes < offset + size)) {
        err = hd_open_block_view(b);
    }
    if (err == 0) {
        *ret = hd_blocks_ref(b->view);
    }
    return err;
}

/* ---- the end ---- */

static int queue_last(struct hd_open_block *b)
{
    struct hd_wpacket *p = hd_wpacket_get(&b->w, b->w.chain.end);
    if (p == NULL) {
        return -ENOMEM;
    }
    p->last = true;
    hd_wchain_queue(&b->w, p);
    return 0;
}

/*
 * The last packet goes right behind the data: an overwriting chain is repaired whether its replicas
 * are finished or not.
 */
int hd_open_block_finish(struct hd_open_block *b, struct hd_blocks **ret)
{
    struct hd_wchain *c = &b->w.chain;
    struct hd_wpacket *p = HD_TAKE_PTR(b->w.filling);
    int err = failed_before(b);
    *ret = NULL;
    if (p == NULL && !c->open && hd_list_empty(&c->queue)) {
        return err;
    }
    if (p != NULL && err == 0) { /* both before the block is begun: a small one goes in one go */
        hd_wchain_queue(&b->w, p);
    } else {
        hd_wpacket_free(p);
    }
    err = err < 0 ? err : queue_last(b);
    err = err < 0 ? err : hd_open_block_begin(b);
    err = err < 0 ? err : hd_wchain_pump(&b->w, HD_WAIT_ALL);
    err = err < 0 ? err : hd_open_block_view(b);
    if (err < 0) {
        return note(b, err);
    }
    hd_wchain_keep_conn(&b->w);
    *ret = hd_blocks_ref(b->view);
    return 0;
}
