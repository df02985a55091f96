/*
 * Packets that replace bytes of a replica: see block_writer.h.
 *
 * Bytes that come in order behind the end of a replica that this writer made are stored as those of
 * any writer, without a dirty log: after a crash their sums tell how far they go. Everything else
 * is in the log before it is changed, and so is what comes after a first fsync, since then an fsync
 * of the sums can be left out.
 */
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/data/store/block_writer_internal.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

/* So long plain readers may go on; then they get files of their own. */
enum { DRAIN_MS = 1000, DRAIN_STEP_MS = 5 };

/* --- readers --- */

static void enter(struct hd_block_writer *w)
{
    w->guard = hd_guard_of(w->store->guards, w->options.setup.id);
    atomic_fetch_add(&w->guard->changers, 1);
}

static bool plain_readers_end(struct hd_guard *g)
{
    for (int waited_ms = 0; atomic_load(&g->plain) > 0; waited_ms += DRAIN_STEP_MS) {
        if (waited_ms >= DRAIN_MS) {
            return false;
        }
        hd_clock_sleep_ms(DRAIN_STEP_MS);
    }
    return true;
}

/* Whoever has the files open keeps them; readers that open them now wait for the new ones. */
static int leave_files_to_readers(struct hd_block_writer *w, const struct hd_layout *l,
                                  const struct hd_replica *r, bool durable)
{
    struct hd_store *s = w->store;
    pthread_mutex_lock(&s->lock);
    w->replica->unstable = true;
    w->replica->version++;
    pthread_mutex_unlock(&s->lock);
    int err = hd_files_renew(l, r, hd_store_place(r), durable);
    pthread_mutex_lock(&s->lock);
    w->replica->unstable = false;
    w->replica->handed_out = w->replica->handed_out && err < 0;
    w->replica->version++;
    pthread_mutex_unlock(&s->lock);
    return err;
}

/* --- the dirty log --- */

static int begin_log(struct hd_block_writer *w)
{
    struct hd_store *s = w->store;
    struct hd_dirty_header header = {.id = w->options.setup.id,
                                     .since = w->replica->r.gs,
                                     .sum_type = (uint8_t)w->format.type,
                                     .bytes_per_checksum = w->format.bytes_per_checksum};
    memcpy(header.boot_id, s->boot_id, sizeof(header.boot_id));
    struct hd_dirty_log *log = hd_dirty_log_new(&header);
    if (log == NULL) {
        return -ENOMEM;
    }
    int err = hd_dirty_add(&log->dirty, HD_MIN(w->whole_bytes, w->size_bytes), w->size_bytes);
    if (err < 0) {
        hd_dirty_log_free(log);
        return err;
    }
    log->unsaved = true;
    pthread_mutex_lock(&s->lock);
    hd_store_set_log(s, w->replica, log);
    w->replica->whole = false;
    pthread_mutex_unlock(&s->lock);
    return 0;
}

int hd_overwrite_mark(struct hd_block_writer *w, uint64_t from, uint64_t to)
{
    struct hd_layout l = hd_store_layout(w->store, w->volume);
    int err = w->replica->log == NULL ? begin_log(w) : 0;
    return err < 0 ? err : hd_dirty_log_add(&l, w->replica->log, from, to);
}

/* --- set-up --- */

static int resize(struct hd_block_writer *w, uint64_t size_bytes)
{
    if (size_bytes == w->size_bytes) {
        return 0;
    }
    int err =
        hd_overwrite_mark(w, HD_MIN(size_bytes, w->size_bytes), HD_MAX(size_bytes, w->size_bytes));
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&w->guard->lock);
    err = hd_patch_resize(&w->patch, size_bytes);
    pthread_mutex_unlock(&w->guard->lock);
    w->dirty = w->data_dirty = true;
    hd_writer_resized(w, w->patch.size_bytes);
    return err;
}

static int open_files(struct hd_block_writer *w, const struct hd_layout *l,
                      const struct hd_replica *r)
{
    int err = hd_files_open(l, r, hd_store_place(r), O_RDWR, &w->data_fd, &w->meta_fd);
    if (err == 0) {
        err = hd_meta_file_read_header(w->meta_fd, &w->format);
    }
    if (err == 0) { /* what a write left behind that failed half-way */
        err = hd_files_cut(w->data_fd, w->meta_fd, w->format, r->size_bytes, r->size_bytes);
    }
    w->patch = (struct hd_patch){.data_fd = w->data_fd,
                                 .meta_fd = w->meta_fd,
                                 .format = w->format,
                                 .size_bytes = r->size_bytes};
    return err;
}

/* The new stamp is durable before meta hears of it: it may count from then on. */
static int rename_files(struct hd_block_writer *w, const struct hd_layout *l,
                        const struct hd_replica *r, const struct hd_write_plan *plan)
{
    enum hd_place from = hd_store_place(r);
    enum hd_place to = plan->finalize ? HD_PLACE_FINALIZED : HD_PLACE_RBW;
    int err = plan->finalize ? hd_writer_sync_data(w) : 0;
    if (err == 0) {
        err = hd_files_move(l, r, from, to, plan->gs);
    }
    if (err == 0) {
        err = hd_writer_sync_names(w, to);
    }
    if (err == 0 && from != to) {
        err = hd_writer_sync_names(w, from);
    }
    w->names_synced = err == 0;
    return err;
}

int hd_overwrite_reopen(struct hd_block_writer *w, struct hd_store_replica *r,
                        const struct hd_write_plan *plan)
{
    struct hd_store *s = w->store;
    struct hd_replica copy = r->r;
    bool handed_out = r->handed_out;
    bool durable = r->synced;
    w->replica = r;
    w->volume = r->volume;
    w->size_bytes = copy.size_bytes;
    w->whole_bytes = r->whole ? copy.size_bytes : 0;
    w->dirty = w->data_dirty = true;
    r->writer = w;
    struct hd_layout l = hd_store_layout(s, w->volume);
    pthread_mutex_unlock(&s->lock);
    enter(w);
    int err = 0;
    if (!plain_readers_end(w->guard) || handed_out) {
        err = leave_files_to_readers(w, &l, &copy, durable);
    }
    if (err == 0) {
        err = open_files(w, &l, &copy);
    }
    if (err == 0) {
        err = resize(w, plan->keep_bytes);
    }
    if (err == 0 && !plan->resync) {
        err = rename_files(w, &l, &copy, plan);
    }
    pthread_mutex_lock(&s->lock);
    r->version++;
    if (err < 0 || plan->resync) {
        return err;
    }
    r->r.gs = plan->gs;
    r->r.acked_bytes = r->r.size_bytes;
    atomic_store(&w->acked_bytes, r->r.acked_bytes);
    hd_replica_move(&r->r, HD_REPLICA_RBW);
    if (plan->finalize) {
        hd_replica_move(&r->r, HD_REPLICA_FINALIZED);
    }
    r->finished_ms = hd_clock_mono_ms().v;
    w->finished = plan->finalize;
    return 0;
}

int hd_overwrite_created(struct hd_block_writer *w)
{
    enter(w); /* nobody reads it yet */
    w->fresh = true;
    w->patch = (struct hd_patch){
        .data_fd = w->data_fd, .meta_fd = w->meta_fd, .format = w->format, .size_bytes = 0};
    int err = resize(w, w->options.setup.max_bytes);
    atomic_store(&w->acked_bytes, w->size_bytes);
    return err;
}

/* --- packets --- */

/* Sums of another format are compared here, and made anew. */
static int check_foreign_sums(const struct hd_block_writer *w, uint64_t offset, uint32_t size,
                              const uint8_t *sums, const uint8_t *data)
{
    struct hd_sum_format f = w->options.format;
    uint32_t first = HD_MIN(size, f.bytes_per_checksum - (uint32_t)(offset % f.bytes_per_checksum));
    bool good = hd_checksum_verify(f.type, f.bytes_per_checksum, data, first, sums) < 0 &&
                (size == first || hd_checksum_verify(f.type, f.bytes_per_checksum, data + first,
                                                     size - first, sums + HD_SUM_BYTES) < 0);
    return good ? 0
                : hd_fail(-HD_E_CHECKSUM,
                          "blk_%" PRIu64 ": packet at %" PRIu64 " does not match its sums",
                          w->options.setup.id.v, offset);
}

static int check_lengths(const struct hd_block_writer *w, const struct hd_packet *p)
{
    struct hd_sum_format f = w->options.format;
    uint64_t want = 0;
    if (p->offset_bytes >= 0 && f.type != HD_CHECKSUM_NULL) {
        want = hd_patch_sums_count((uint64_t)p->offset_bytes, p->data_bytes, f.bytes_per_checksum) *
               HD_SUM_BYTES;
    }
    if (p->offset_bytes < 0 || p->sums_bytes != want ||
        (uint64_t)p->offset_bytes + p->data_bytes >
            (uint64_t)HD_DIRTY_REGIONS_MAX * HD_DIRTY_REGION_BYTES) {
        return hd_fail(-HD_E_BAD_MESSAGE, "packet of %u bytes at %" PRIi64 " has %u bytes of sums",
                       p->data_bytes, p->offset_bytes, p->sums_bytes);
    }
    return 0;
}

/* In order, into a replica of this writer, and nothing of it was promised yet. */
static bool needs_no_log(const struct hd_block_writer *w, uint64_t offset)
{
    return offset == w->size_bytes && w->replica->log == NULL && !w->log_wanted &&
           (w->fresh || offset % w->format.bytes_per_checksum == 0);
}

static int store(struct hd_block_writer *w, uint64_t offset, uint32_t size, const uint8_t *sums,
                 const uint8_t *data, bool verify)
{
    uint64_t end = offset + size;
    int err = offset > w->size_bytes ? resize(w, offset) : 0;
    if (err == 0 && !needs_no_log(w, offset)) {
        err = hd_overwrite_mark(w, offset, end);
    }
    if (err < 0) {
        return err;
    }
    uint64_t begin_ns = hd_clock_mono_ns();
    w->dirty = w->data_dirty = true;
    pthread_mutex_lock(&w->guard->lock);
    err = hd_patch_write(&w->patch, offset, data, size, sums, verify);
    pthread_mutex_unlock(&w->guard->lock);
    hd_volume_note(w->store, &w->volume->writes, begin_ns);
    if (err == 0 && end > w->size_bytes) {
        hd_writer_resized(w, end);
    }
    return err;
}

int hd_overwrite_write(struct hd_block_writer *w, const struct hd_packet *p, const uint8_t *sums,
                       const uint8_t *data, bool verify)
{
    if (p->seqno == HD_PACKET_HEARTBEAT_SEQNO) {
        return 0;
    }
    int err = check_lengths(w, p);
    if (err < 0) {
        return err;
    }
    uint64_t offset = (uint64_t)p->offset_bytes;
    if (p->last) {
        return resize(w, offset);
    }
    if (p->data_bytes == 0) {
        return 0;
    }
    if (w->options.format.type == HD_CHECKSUM_NULL) {
        sums = NULL;
    } else if (!hd_sum_format_equal(w->format, w->options.format)) {
        err = check_foreign_sums(w, offset, p->data_bytes, sums, data);
        sums = NULL;
    }
    return err < 0 ? err : store(w, offset, p->data_bytes, sums, data, verify);
}

/* --- the end --- */

/* Bytes and sums of a change that failed are made to agree; else the replica is no good. */
static void mend(struct hd_block_writer *w)
{
    struct hd_store *s = w->store;
    pthread_mutex_lock(&w->guard->lock);
    int err = hd_patch_mend(&w->patch, w->patch.torn_from, w->patch.torn_to);
    pthread_mutex_unlock(&w->guard->lock);
    w->patch.torn = false;
    if (err < 0) {
        pthread_mutex_lock(&s->lock);
        s->bad_count += !w->replica->bad;
        w->replica->bad = true;
        pthread_mutex_unlock(&s->lock);
    }
}

void hd_overwrite_end(struct hd_block_writer *w)
{
    if (w->guard == NULL) {
        return;
    }
    if (w->patch.torn && !w->discard && !w->volume->failed) {
        mend(w);
    }
    atomic_fetch_sub(&w->guard->changers, 1);
    w->guard = NULL;
}
