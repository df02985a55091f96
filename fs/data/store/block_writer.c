/* The writer of a replica. See block_writer.h. */
#include "fs/data/store/block_writer.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/data/store/block_writer_internal.h"
#include "fs/data/store/dirty_log.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

/* What a block may grow to when the client does not say. */
#define UNKNOWN_BLOCK_BYTES ((uint64_t)1 << 20)

enum { WRITE_BACK_BYTES = 8 << 20 };

void hd_block_writer_interrupt(struct hd_block_writer *w)
{
    if (w->options.interrupt != NULL) {
        w->options.interrupt(w->options.ctx);
    }
}

/* --- set-up --- */

static uint64_t need_bytes(const struct hd_write_setup *s)
{
    return s->reserve_bytes != 0 ? s->reserve_bytes : UNKNOWN_BLOCK_BYTES;
}

/* Free space is asked before the lock is taken; a little stale is fine. */
static int choose_volume(struct hd_store *s, uint64_t need, struct hd_volume **ret)
{
    struct hd_volume_space_left free_space[HD_STORE_VOLUMES_MAX];
    struct hd_volume_space_left fast[HD_STORE_VOLUMES_MAX];
    for (int i = 0; i < s->volume_count; i++) {
        uint64_t capacity;
        free_space[i] = (struct hd_volume_space_left){0};
        free_space[i].usable = !s->volumes[i].failed && hd_volume_room(s, &s->volumes[i], &capacity,
                                                                       &free_space[i].free_bytes);
    }
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->volume_count; i++) {
        uint64_t kept = s->reserved_bytes + s->volumes[i].promised_bytes;
        free_space[i].free_bytes -= HD_MIN(kept, free_space[i].free_bytes);
        fast[i] = free_space[i];
        fast[i].usable = fast[i].usable && !hd_volume_is_slow(s, &s->volumes[i]);
    }
    int at = hd_volume_pick(fast, s->volume_count, need, &s->cursor);
    if (at < 0) { /* rather slow than not at all */
        at = hd_volume_pick(free_space, s->volume_count, need, &s->cursor);
    }
    if (at >= 0) {
        s->volumes[at].promised_bytes += need;
    }
    pthread_mutex_unlock(&s->lock);
    if (at < 0) {
        return hd_fail(-ENOSPC, "no data directory has %" PRIu64 " bytes free", need);
    }
    *ret = &s->volumes[at];
    return 0;
}

static int create_files(struct hd_block_writer *w, const struct hd_replica *r)
{
    struct hd_layout l = hd_store_layout(w->store, w->volume);
    uint8_t header[HD_META_FILE_HEADER_BYTES];
    int err = hd_files_open(&l, r, hd_store_place(r), O_RDWR | O_CREAT | O_TRUNC, &w->data_fd,
                            &w->meta_fd);
    w->format = w->options.format;
    hd_meta_file_header_encode(w->format, header);
    return err < 0 ? err : hd_fd_pwrite(w->meta_fd, header, sizeof(header), 0);
}

/* A new replica: first in the map, so that nobody else makes it, then on disk. */
static int create(struct hd_block_writer *w, const struct hd_write_plan *plan)
{
    struct hd_store *s = w->store;
    struct hd_store_replica *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    *r = (struct hd_store_replica){
        .volume = w->volume,
        .owned = true,
        .writer = w,
        .synced = w->options.setup.from_node, /* the source may be deleted once this is there */
        .r = {.id = w->options.setup.id,
              .gs = plan->gs,
              .state = plan->temporary ? HD_REPLICA_TEMPORARY : HD_REPLICA_RBW}};
    int err = hd_store_insert(s, r);
    if (err < 0) {
        free(r);
        return err;
    }
    w->replica = r;
    pthread_mutex_unlock(&s->lock);
    err = create_files(w, &r->r);
    if (err == 0 && w->options.setup.overwrite) {
        err = hd_overwrite_created(w);
    }
    pthread_mutex_lock(&s->lock);
    r->r.acked_bytes = r->r.size_bytes;
    w->discard = err < 0;
    return err;
}

static int discard(struct hd_store *s, struct hd_store_replica *r)
{
    struct hd_replica copy = r->r;
    struct hd_layout l = hd_store_layout(s, r->volume);
    pthread_mutex_unlock(&s->lock);
    int err = hd_files_unlink(&l, &copy, hd_store_place(&copy));
    if (err == 0 && r->log != NULL) {
        err = hd_dirty_log_remove(&l, copy.id);
    }
    pthread_mutex_lock(&s->lock);
    if (err < 0) {
        hd_store_disown(s, r);
        return err;
    }
    hd_store_remove(s, r);
    return 0;
}

static int sync_file(struct hd_block_writer *w, int fd)
{
    uint64_t begin_ns = hd_clock_mono_ns();
    int rc = hd_io_fdatasync(fd);
    hd_volume_note(w->store, &w->volume->syncs, begin_ns);
    if (rc < 0) {
        int err = hd_fail_errno(errno, "fdatasync of blk_%" PRIu64, w->options.setup.id.v);
        w->discard = hd_volume_sync_failed(w->store, w->volume, err);
        return err;
    }
    return 0;
}

int hd_writer_sync_data(struct hd_block_writer *w)
{
    int err = w->data_dirty ? sync_file(w, w->data_fd) : 0;
    w->data_dirty = w->data_dirty && err < 0;
    return err;
}

static int sync_files(struct hd_block_writer *w)
{
    int err = hd_writer_sync_data(w);
    if (err == 0) {
        err = sync_file(w, w->meta_fd);
    }
    if (err < 0) {
        return err;
    }
    w->dirty = false;
    w->synced_bytes = w->whole_bytes = w->size_bytes;
    return 0;
}

/* synced: the names of its files are promised, too, so their changes are made durable at once. */
static int reopen_files(struct hd_block_writer *w, const struct hd_replica *r, bool synced,
                        const struct hd_write_plan *plan)
{
    struct hd_layout l = hd_store_layout(w->store, w->volume);
    enum hd_place from = hd_store_place(r);
    enum hd_place to = plan->finalize ? HD_PLACE_FINALIZED : HD_PLACE_RBW;
    int err = hd_files_open(&l, r, from, O_RDWR, &w->data_fd, &w->meta_fd);
    if (err == 0) {
        err = hd_meta_file_read_header(w->meta_fd, &w->format);
    }
    if (err == 0 && w->replica->log != NULL && plan->keep_bytes < r->size_bytes) {
        err = hd_dirty_log_add(&l, w->replica->log, plan->keep_bytes, r->size_bytes);
    }
    if (err == 0) {
        err = hd_files_cut(w->data_fd, w->meta_fd, w->format, r->size_bytes, plan->keep_bytes);
    }
    w->dirty = w->data_dirty = true;
    if (err == 0 && plan->finalize) { /* what its last packet asked for is not known any more */
        err = sync_files(w);
    }
    if (err == 0) {
        err = hd_files_move(&l, r, from, to, plan->gs);
    }
    if (err == 0 && (synced || plan->finalize)) {
        err = hd_files_sync_names(&l, r->id, to);
        if (err == 0 && from != to) {
            err = hd_files_sync_names(&l, r->id, from);
        }
    }
    return err;
}

/* An existing replica is opened again: append and the recoveries. Under the lock, r is owned. */
static int reopen(struct hd_block_writer *w, struct hd_store_replica *r,
                  const struct hd_write_plan *plan)
{
    struct hd_store *s = w->store;
    struct hd_replica copy = r->r;
    r->writer = w;
    w->replica = r;
    w->volume = r->volume;
    bool synced = r->synced;
    pthread_mutex_unlock(&s->lock);
    int err = reopen_files(w, &copy, synced, plan);
    pthread_mutex_lock(&s->lock);
    r->version++;
    if (err < 0) {
        return err;
    }
    w->volume->used_bytes += hd_store_replica_disk_bytes(plan->keep_bytes);
    w->volume->used_bytes -= hd_store_replica_disk_bytes(copy.size_bytes);
    r->r.gs = plan->gs;
    r->r.size_bytes = plan->keep_bytes;
    r->r.acked_bytes = plan->keep_bytes;
    r->whole = r->whole && plan->keep_bytes == copy.size_bytes;
    w->whole_bytes = r->whole ? copy.size_bytes : 0;
    w->size_bytes = plan->keep_bytes;
    w->synced_bytes = synced ? plan->keep_bytes : 0;
    w->dirty = w->data_dirty = synced; /* how much of it is durable is not known */
    if (!plan->finalize) {
        hd_replica_move(&r->r, HD_REPLICA_RBW);
    } else if (r->r.state != HD_REPLICA_FINALIZED) {
        hd_replica_move(&r->r, HD_REPLICA_FINALIZED);
    }
    w->finished = plan->finalize;
    return 0;
}

/* Plans and carries out, under the lock. */
static int set_up(struct hd_block_writer *w)
{
    struct hd_store *s = w->store;
    const struct hd_write_setup *setup = &w->options.setup;
    bool making = setup->from_node || setup->stage == HD_STAGE_CREATE ||
                  setup->stage == HD_STAGE_TRANSFER_RBW ||
                  setup->stage == HD_STAGE_TRANSFER_FINALIZED;
    struct hd_store_replica *r = hd_map_get(&s->replicas, setup->id.v);
    struct hd_write_plan plan;
    if (making) { /* ask first: a replica that stays does not lose its writer */
        int err = hd_write_plan(r == NULL ? NULL : &r->r, setup, &plan);
        if (err < 0) {
            return err;
        }
    }
    bool stops = making || setup->overwrite || hd_write_stage_stops_writer(setup->stage);
    int err = hd_store_own(s, setup->id, stops, &r);
    if (err < 0) {
        return err;
    }
    err = hd_write_plan(r == NULL ? NULL : &r->r, setup, &plan);
    if (err < 0) {
        if (r != NULL) {
            hd_store_disown(s, r);
        }
        return err;
    }
    if (plan.discard) {
        err = discard(s, r);
    }
    if (err < 0) {
        return err;
    }
    return plan.create        ? create(w, &plan)
           : setup->overwrite ? hd_overwrite_reopen(w, r, &plan)
                              : reopen(w, r, &plan);
}

int hd_block_writer_open(struct hd_store *s, const struct hd_block_writer_options *options,
                         struct hd_block_writer **ret)
{
    struct hd_block_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    *w = (struct hd_block_writer){
        .store = s, .options = *options, .data_fd = -1, .meta_fd = -1, .format = options->format};
    /* Room is asked for new replicas; an append goes where the replica is. */
    bool making = options->setup.from_node || options->setup.stage >= HD_STAGE_CREATE;
    int err = 0;
    if (making) {
        err = choose_volume(s, need_bytes(&options->setup), &w->volume);
        w->promised_bytes = err == 0 ? need_bytes(&options->setup) : 0;
    }
    if (err == 0) {
        pthread_mutex_lock(&s->lock);
        err = set_up(w);
        pthread_mutex_unlock(&s->lock);
    }
    if (err < 0) {
        if (hd_volume_error_is_fatal(err) && w->volume != NULL) {
            hd_volume_fail(s, w->volume, err);
        }
        hd_block_writer_close(w);
        return err;
    }
    *ret = w;
    return 0;
}

/* --- packets --- */

static int scratch_reserve(struct hd_block_writer *w, size_t bytes)
{
    if (bytes > w->scratch_bytes) {
        uint8_t *p = realloc(w->scratch, bytes);
        if (p == NULL) {
            return -ENOMEM;
        }
        w->scratch = p;
        w->scratch_bytes = bytes;
    }
    return 0;
}

static int verify_sums(const struct hd_block_writer *w, const struct hd_packet *p,
                       const uint8_t *sums, const uint8_t *data)
{
    struct hd_sum_format f = w->options.format;
    int64_t bad = hd_checksum_verify(f.type, f.bytes_per_checksum, data, p->data_bytes, sums);
    if (bad >= 0) {
        return hd_fail(-HD_E_CHECKSUM,
                       "blk_%" PRIu64 ": packet at %" PRIi64 ": chunk %" PRIi64
                       " does not match its sum",
                       w->options.setup.id.v, p->offset_bytes, bad);
    }
    return 0;
}

/*
 * The sum of the chunk that begins before the packet: bytes of the disk (checked against their own
 * sum when that covers just them) and the packet's.
 */
static int sum_shared_chunk(struct hd_block_writer *w, uint64_t offset, const uint8_t *data,
                            uint32_t size, uint8_t sum[HD_SUM_BYTES])
{
    struct hd_sum_format f = w->format;
    uint32_t into = (uint32_t)(offset % f.bytes_per_checksum);
    uint64_t start = offset - into;
    uint32_t taken = HD_MIN(size, f.bytes_per_checksum - into);
    int err = scratch_reserve(w, f.bytes_per_checksum);
    if (err == 0) {
        err = hd_fd_pread(w->data_fd, w->scratch, into, start);
    }
    if (err < 0) {
        return err;
    }
    uint8_t stored[HD_SUM_BYTES];
    uint32_t computed = hd_checksum(f.type, w->scratch, into);
    if (offset == w->size_bytes) {
        err = hd_fd_pread(w->meta_fd, stored, sizeof(stored), hd_meta_file_offset(f, start));
        if (err < 0) {
            return err;
        }
        if (hd_get_be32(stored) != computed) {
            return hd_fail(-HD_E_IO,
                           "blk_%" PRIu64 ": checksum differs at byte %" PRIu64
                           " of the stored replica",
                           w->options.setup.id.v, start);
        }
    }
    memcpy(w->scratch + into, data, taken);
    hd_put_be32(sum, hd_checksum(f.type, w->scratch, into + taken));
    return 0;
}

/* Sums that do not fit the grid or the format on disk are made anew from the data. */
static int store_remade_sums(struct hd_block_writer *w, uint64_t offset, const uint8_t *data,
                             uint32_t size)
{
    struct hd_sum_format f = w->format;
    uint32_t into = (uint32_t)(offset % f.bytes_per_checksum);
    uint8_t first[HD_SUM_BYTES];
    if (into != 0) {
        int err = sum_shared_chunk(w, offset, data, size, first);
        if (err == 0) {
            err = hd_fd_pwrite(w->meta_fd, first, sizeof(first), hd_meta_file_offset(f, offset));
        }
        uint32_t taken = HD_MIN(size, f.bytes_per_checksum - into);
        if (err < 0 || taken == size) {
            return err;
        }
        offset += taken;
        data += taken;
        size -= taken;
    }
    size_t sums_bytes = hd_chunk_count(size, f.bytes_per_checksum) * HD_SUM_BYTES;
    int err = scratch_reserve(w, sums_bytes);
    if (err < 0) {
        return err;
    }
    hd_checksum_chunks(f.type, f.bytes_per_checksum, data, size, w->scratch);
    return hd_fd_pwrite(w->meta_fd, w->scratch, sums_bytes, hd_meta_file_offset(f, offset));
}

static int check_lengths(const struct hd_block_writer *w, const struct hd_packet *p)
{
    struct hd_sum_format f = w->options.format;
    uint64_t want = f.type == HD_CHECKSUM_NULL
                        ? 0
                        : hd_chunk_count(p->data_bytes, f.bytes_per_checksum) * HD_SUM_BYTES;
    if (p->sums_bytes != want || p->offset_bytes < 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "packet of %u bytes at %" PRIi64 " has %u bytes of sums",
                       p->data_bytes, p->offset_bytes, p->sums_bytes);
    }
    return 0;
}

void hd_writer_resized(struct hd_block_writer *w, uint64_t size_bytes)
{
    struct hd_store *s = w->store;
    uint64_t now = hd_store_replica_disk_bytes(size_bytes);
    uint64_t before = hd_store_replica_disk_bytes(w->size_bytes);
    pthread_mutex_lock(&s->lock);
    w->volume->used_bytes += now;
    w->volume->used_bytes -= before;
    if (now > before) {
        uint64_t kept = HD_MIN(now - before, w->promised_bytes);
        w->volume->unseen_bytes += now - before;
        w->promised_bytes -= kept;
        w->volume->promised_bytes -= kept;
    }
    w->replica->r.size_bytes = size_bytes;
    w->replica->r.acked_bytes = HD_MIN(w->replica->r.acked_bytes, size_bytes);
    pthread_mutex_unlock(&s->lock);
    w->size_bytes = size_bytes;
}

/*
 * The bytes first, then their sums: after a crash in between the old sum still tells how much of
 * the chunk can be trusted. The sum of bytes that were promised to be durable goes over only when
 * what it will vouch for is durable as well, since a power cut keeps no order of its own.
 */
static int store_packet(struct hd_block_writer *w, const struct hd_packet *p, const uint8_t *sums,
                        const uint8_t *data, bool remake)
{
    uint64_t offset = (uint64_t)p->offset_bytes;
    bool logged = w->replica->log != NULL; /* from overwriting, and not cleaned yet */
    int err = logged ? hd_overwrite_mark(w, offset, offset + p->data_bytes) : 0;
    if (err < 0) {
        return err;
    }
    uint64_t begin_ns = hd_clock_mono_ns();
    w->dirty = w->data_dirty = true;
    err = hd_fd_pwrite(w->data_fd, data, p->data_bytes, offset);
    hd_volume_note(w->store, &w->volume->writes, begin_ns);
    if (err == 0 && !logged && offset - offset % w->format.bytes_per_checksum < w->synced_bytes) {
        err = hd_writer_sync_data(w);
    }
    if (err < 0) {
        return err;
    }
    if (w->format.type != HD_CHECKSUM_NULL && remake) {
        return store_remade_sums(w, offset, data, p->data_bytes);
    }
    return p->sums_bytes == 0 ? 0
                              : hd_fd_pwrite(w->meta_fd, sums, p->sums_bytes,
                                             hd_meta_file_offset(w->format, offset));
}

/* A copy is made durable at its end: the disk may begin with it before. */
static void start_write_back(const struct hd_block_writer *w, uint64_t offset, uint32_t size)
{
    uint64_t from = offset / WRITE_BACK_BYTES * WRITE_BACK_BYTES;
    uint64_t to = (offset + size) / WRITE_BACK_BYTES * WRITE_BACK_BYTES;
    if (to > from) {
        sync_file_range(w->data_fd, (off64_t)from, (off64_t)(to - from), SYNC_FILE_RANGE_WRITE);
    }
}

/* What a write that failed says about the directory. */
static int write_failed(struct hd_block_writer *w, int err)
{
    if (hd_volume_error_is_fatal(err)) {
        hd_volume_fail(w->store, w->volume, err);
    }
    if (err == -ENOSPC || err == -EDQUOT) {
        hd_volume_note_full(w->store, w->volume);
    }
    return err;
}

int hd_block_writer_write(struct hd_block_writer *w, const struct hd_packet *p, const uint8_t *sums,
                          const uint8_t *data, bool verify)
{
    hd_assert(!w->finished);
    if (w->options.setup.overwrite) {
        int err = hd_overwrite_write(w, p, sums, data, verify);
        return err < 0 ? write_failed(w, err) : 0;
    }
    if (p->data_bytes == 0) {
        return 0;
    }
    int err = check_lengths(w, p);
    if (err < 0) {
        return err;
    }
    bool translate = !hd_sum_format_equal(w->format, w->options.format);
    enum hd_write_kind kind = HD_WRITE_WHOLE;
    err = hd_write_kind((uint64_t)p->offset_bytes, p->data_bytes, w->size_bytes,
                        w->options.format.bytes_per_checksum, &kind);
    if (err == 0 && (verify || translate || kind == HD_WRITE_PARTIAL)) {
        err = verify_sums(w, p, sums, data);
    }
    if (err < 0 || kind == HD_WRITE_SKIP) {
        return err;
    }
    err = store_packet(w, p, sums, data, translate || kind == HD_WRITE_PARTIAL);
    if (err < 0) {
        return write_failed(w, err);
    }
    if (w->options.setup.from_node) {
        start_write_back(w, (uint64_t)p->offset_bytes, p->data_bytes);
    }
    hd_writer_resized(w, (uint64_t)p->offset_bytes + p->data_bytes);
    return 0;
}

/* The names of a replica's files in the place where it is. A failure fails the volume. */
int hd_writer_sync_names(struct hd_block_writer *w, enum hd_place place)
{
    struct hd_layout l = hd_store_layout(w->store, w->volume);
    int err = hd_files_sync_names(&l, w->options.setup.id, place);
    if (err < 0) {
        w->discard = hd_volume_sync_failed(w->store, w->volume, err);
    }
    return err;
}

int hd_block_writer_sync(struct hd_block_writer *w)
{
    struct hd_store *s = w->store;
    pthread_mutex_lock(&s->lock);
    w->replica->synced = true;
    struct hd_replica copy = w->replica->r;
    pthread_mutex_unlock(&s->lock);
    /* The dirty log stands for the sums. */
    int err = w->replica->log != NULL ? hd_writer_sync_data(w) : w->dirty ? sync_files(w) : 0;
    if (err == 0 && !w->names_synced) {
        err = hd_writer_sync_names(w, hd_store_place(&copy));
        w->names_synced = err == 0;
    }
    w->log_wanted = true;
    return err;
}

void hd_block_writer_acked(struct hd_block_writer *w, uint64_t end_bytes)
{
    struct hd_store *s = w->store;
    if (end_bytes <= atomic_load_explicit(&w->acked_bytes, memory_order_relaxed)) {
        return; /* bytes that were there before were replaced */
    }
    atomic_store_explicit(&w->acked_bytes, end_bytes, memory_order_relaxed);
    pthread_mutex_lock(&s->lock);
    struct hd_replica *r = &w->replica->r;
    if (end_bytes > r->acked_bytes) {
        r->acked_bytes = HD_MIN(end_bytes, r->size_bytes);
        if (s->waiters > 0) {
            pthread_cond_broadcast(&s->changed);
        }
    }
    pthread_mutex_unlock(&s->lock);
}

/* --- the end --- */

/*
 * A replica that had durable bytes is finalized durably, all of it: with its size and its place it
 * would otherwise take those bytes along into a power cut, since meta knows only the whole.
 */
int hd_block_writer_finish(struct hd_block_writer *w)
{
    hd_assert(!w->finished);
    struct hd_store *s = w->store;
    bool to_rbw = w->options.setup.stage == HD_STAGE_TRANSFER_RBW;
    enum hd_place to = to_rbw ? HD_PLACE_RBW : HD_PLACE_FINALIZED;
    struct hd_layout l = hd_store_layout(s, w->volume);
    pthread_mutex_lock(&s->lock);
    struct hd_replica copy = w->replica->r;
    bool synced = w->replica->synced;
    pthread_mutex_unlock(&s->lock);
    bool logged = w->replica->log != NULL;
    int err = !synced || !w->dirty ? 0 : logged ? hd_writer_sync_data(w) : sync_files(w);
    if (err == 0) {
        err = hd_files_move(&l, &copy, hd_store_place(&copy), to, copy.gs);
    }
    if (err == 0 && synced) {
        err = hd_writer_sync_names(w, to);
    }
    pthread_mutex_lock(&s->lock);
    w->replica->version++;
    if (err == 0) {
        w->replica->r.acked_bytes = w->replica->r.size_bytes;
        w->replica->whole = synced && !logged;
        w->replica->finished_ms = hd_clock_mono_ms().v;
        hd_replica_move(&w->replica->r, to_rbw ? HD_REPLICA_RBW : HD_REPLICA_FINALIZED);
        w->finished = true;
    }
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    if (hd_volume_error_is_fatal(err)) {
        hd_volume_fail(s, w->volume, err);
    }
    return err;
}

static void let_go(struct hd_block_writer *w)
{
    struct hd_store *s = w->store;
    struct hd_store_replica *r = w->replica;
    if (w->discard || (!w->finished && r->r.state == HD_REPLICA_TEMPORARY)) {
        struct hd_layout l = hd_store_layout(s, w->volume);
        struct hd_replica copy = r->r;
        pthread_mutex_unlock(&s->lock);
        hd_files_unlink(&l, &copy, hd_store_place(&copy));
        if (w->discard) { /* it may have been on its way there */
            hd_files_unlink(&l, &copy, HD_PLACE_FINALIZED);
        }
        if (r->log != NULL) {
            hd_dirty_log_remove(&l, copy.id);
        }
        pthread_mutex_lock(&s->lock);
        hd_store_remove(s, r);
        return;
    }
    hd_store_disown(s, r);
}

void hd_block_writer_close(struct hd_block_writer *w)
{
    if (w == NULL) {
        return;
    }
    struct hd_store *s = w->store;
    if (w->replica != NULL) {
        hd_overwrite_end(w);
        hd_dirty_log_close(w->replica->log);
    }
    pthread_mutex_lock(&s->lock);
    if (w->volume != NULL) {
        w->volume->promised_bytes -= w->promised_bytes;
    }
    if (w->replica != NULL) {
        let_go(w);
    }
    pthread_mutex_unlock(&s->lock);
    hd_fd_done(&w->data_fd);
    hd_fd_done(&w->meta_fd);
    free(w->scratch);
    hd_patch_done(&w->patch);
    free(w);
}

struct hd_replica hd_block_writer_replica(struct hd_block_writer *w)
{
    pthread_mutex_lock(&w->store->lock);
    struct hd_replica copy = w->replica->r;
    pthread_mutex_unlock(&w->store->lock);
    return copy;
}

const char *hd_block_writer_storage_id(const struct hd_block_writer *w)
{
    return w->volume->version.storage_id;
}
