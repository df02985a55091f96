/* Deleting, syncing and recovering replicas. See store.h. */
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

static int not_found(struct hd_block_id id, struct hd_genstamp gs)
{
    return hd_fail(-HD_E_REPLICA_NOT_FOUND, "no replica of blk_%" PRIu64 "_%" PRIu64, id.v, gs.v);
}

int hd_store_delete(struct hd_store *s, struct hd_block_id id, struct hd_genstamp gs,
                    char ret_storage_id[HD_LAYOUT_ID_BYTES])
{
    struct hd_store_replica *r = NULL;
    pthread_mutex_lock(&s->lock);
    const struct hd_store_replica *there = hd_map_get(&s->replicas, id.v);
    int err =
        there == NULL || there->r.gs.v != gs.v ? not_found(id, gs) : hd_store_own(s, id, true, &r);
    if (err == 0 && (r == NULL || r->r.gs.v != gs.v)) { /* it changed while we waited */
        if (r != NULL) {
            hd_store_disown(s, r);
        }
        err = not_found(id, gs);
    }
    if (err < 0) {
        pthread_mutex_unlock(&s->lock);
        return err;
    }
    struct hd_replica copy = r->r;
    struct hd_volume *volume = r->volume;
    struct hd_layout l = hd_store_layout(s, volume);
    snprintf(ret_storage_id, HD_LAYOUT_ID_BYTES, "%s", volume->version.storage_id);
    pthread_mutex_unlock(&s->lock);

    err = hd_files_unlink(&l, &copy, hd_store_place(&copy));
    if (err == 0 && r->log != NULL) {
        err = hd_dirty_log_remove(&l, id);
    }

    pthread_mutex_lock(&s->lock);
    if (err == 0) {
        hd_store_remove(s, r);
    } else {
        hd_store_disown(s, r);
    }
    pthread_mutex_unlock(&s->lock);
    if (hd_volume_error_is_fatal(err)) {
        hd_volume_fail(s, volume, err);
    }
    return err;
}

static int sync_view(const struct hd_layout *l, const struct hd_block_view *v)
{
    if (hd_io_fsync(v->data_fd) < 0 || hd_io_fsync(v->meta_fd) < 0) {
        return hd_fail_errno(errno, "%s: fsync", v->data_path);
    }
    return hd_files_sync_names(l, v->replica.id, hd_store_place(&v->replica));
}

/* Marks the replica as promised, so that who moves its files from here on does it durably. */
static bool promise(struct hd_store *s, struct hd_block_id id, uint32_t *ret_version,
                    struct hd_volume **ret_volume)
{
    pthread_mutex_lock(&s->lock);
    struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
    if (r != NULL) {
        r->synced = true;
        *ret_version = r->version;
        *ret_volume = r->volume;
    }
    pthread_mutex_unlock(&s->lock);
    return r != NULL;
}

int hd_store_sync(struct hd_store *s, struct hd_block_id id, struct hd_genstamp gs)
{
    struct hd_volume *volume = NULL;
    uint32_t version;
    uint32_t after = 0;
    do { /* again when somebody moved the files meanwhile, who may not have seen the promise */
        struct hd_block_view v;
        if (!promise(s, id, &version, &volume)) {
            return not_found(id, gs);
        }
        int err = hd_store_view(s, id, &v);
        if (err < 0) {
            return err;
        }
        bool old = v.replica.gs.v < gs.v;
        struct hd_layout l = hd_store_layout(s, volume);
        err = old ? not_found(id, gs) : sync_view(&l, &v);
        hd_block_view_done(&v);
        if (err < 0 && !old) {
            hd_volume_sync_failed(s, volume, err);
        }
        if (err < 0) {
            return err;
        }
    } while (promise(s, id, &after, &volume) && after != version);
    return 0;
}

static int take_dirty(const struct hd_store_replica *r, struct hd_recovery_answer *ret)
{
    if (r->log == NULL) {
        return 0;
    }
    ret->overwritten = true;
    ret->doubtful = r->r.doubtful;
    ret->since = r->log->header.since;
    return hd_dirty_add_bits(&ret->dirty, r->log->dirty.bits, r->log->dirty.count);
}

/*
 * Bytes of an owned replica that its sums vouch for. A recovery may keep no other replica, so it
 * must not keep a rotten one: -HD_E_CHECKSUM when bytes that were acknowledged are spoilt. The lock
 * is let go meanwhile.
 */
static int verify_owned(struct hd_store *s, struct hd_store_replica *r, uint64_t *ret_bytes)
{
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    const struct hd_replica copy = r->r;
    const struct hd_layout l = hd_store_layout(s, r->volume);
    uint64_t good = 0;
    pthread_mutex_unlock(&s->lock);
    int err = hd_files_open(&l, &copy, hd_store_place(&copy), O_RDONLY, &data_fd, &meta_fd);
    if (err == 0) {
        err = hd_files_verified_prefix(data_fd, meta_fd, copy.size_bytes, &good);
    }
    pthread_mutex_lock(&s->lock);
    bool stopped = copy.state == HD_REPLICA_RWR ||
                   (copy.state == HD_REPLICA_RUR && copy.before_recovery == HD_REPLICA_RWR);
    if (err == 0 && stopped && r->log == NULL) { /* as after a start: only that counts */
        r->r.size_bytes = r->r.acked_bytes = good;
    } else if (err == 0 && good < (r->log != NULL ? copy.size_bytes : copy.acked_bytes)) {
        s->bad_count += !r->bad;
        r->bad = true;
        err = hd_fail(-HD_E_CHECKSUM, "blk_%" PRIu64 " differs from its sums at byte %" PRIu64,
                      copy.id.v, good);
    }
    *ret_bytes = good;
    return err;
}

int hd_store_recovery_init(struct hd_store *s, struct hd_block_id id, struct hd_genstamp block_gs,
                           uint64_t recovery_id, struct hd_recovery_answer *ret)
{
    struct hd_store_replica *r = NULL;
    *ret = (struct hd_recovery_answer){.reached = true};
    pthread_mutex_lock(&s->lock);
    const struct hd_store_replica *there = hd_map_get(&s->replicas, id.v);
    int err = hd_recovery_check(there == NULL ? NULL : &there->r, block_gs, recovery_id);
    if (err == 1) { /* the writer is stopped, then the question is asked again */
        err = hd_store_own(s, id, true, &r);
    }
    if (err == 0 && r != NULL) {
        uint64_t good = 0;
        err = verify_owned(s, r, &good);
        if (err == 0) {
            err = hd_recovery_check(&r->r, block_gs, recovery_id);
        }
        if (err == 1) {
            hd_replica_move(&r->r, HD_REPLICA_RUR);
            r->r.recovery_id = recovery_id;
            r->version++;
            *ret = (struct hd_recovery_answer){.reached = true,
                                               .found = true,
                                               .state = r->r.before_recovery,
                                               .gs = r->r.gs,
                                               .size_bytes = good};
            err = take_dirty(r, ret);
        }
        hd_store_disown(s, r);
    }
    ret->reached = err == 0; /* what is here but cannot be used now is not nothing */
    pthread_mutex_unlock(&s->lock);
    return err;
}

static int cut_and_finalize(const struct hd_layout *l, const struct hd_replica *r,
                            struct hd_dirty_log *log, uint64_t new_bytes, struct hd_genstamp new_gs)
{
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    struct hd_sum_format f;
    enum hd_place place = hd_store_place(r);
    int err = hd_files_open(l, r, place, O_RDWR, &data_fd, &meta_fd);
    if (err == 0) {
        err = hd_meta_file_read_header(meta_fd, &f);
    }
    if (err == 0 && log != NULL) {
        err = hd_dirty_log_add(l, log, new_bytes, r->size_bytes);
    }
    if (err == 0) {
        err = hd_files_cut(data_fd, meta_fd, f, r->size_bytes, new_bytes);
    }
    if (err == 0 && (hd_io_fdatasync(data_fd) < 0 || hd_io_fdatasync(meta_fd) < 0)) {
        err = hd_fail_errno(errno, "fdatasync of blk_%" PRIu64, r->id.v);
    }
    if (err == 0) {
        err = hd_files_move(l, r, place, HD_PLACE_FINALIZED, new_gs);
    }
    if (err == 0) {
        err = hd_files_sync_names(l, r->id, HD_PLACE_FINALIZED);
    }
    if (err == 0 && log != NULL) { /* all of it is durable now, and the same everywhere */
        hd_dirty_log_close(log);
        err = hd_dirty_log_remove(l, r->id);
    }
    return err;
}

int hd_store_recovery_update(struct hd_store *s, struct hd_block_id id, uint64_t recovery_id,
                             uint64_t new_bytes, char ret_storage_id[HD_LAYOUT_ID_BYTES])
{
    struct hd_store_replica *r = NULL;
    pthread_mutex_lock(&s->lock);
    int err = hd_store_own(s, id, false, &r);
    if (err == 0 && r == NULL) {
        err = not_found(id, (struct hd_genstamp){recovery_id});
    }
    if (err == 0 && (r->r.state != HD_REPLICA_RUR || r->r.recovery_id != recovery_id ||
                     new_bytes > r->r.size_bytes)) {
        err = hd_fail(-HD_E_IO,
                      "blk_%" PRIu64 " is %s with recovery %" PRIu64 " and %" PRIu64
                      " bytes; recovery %" PRIu64 " to %" PRIu64 " bytes does not fit",
                      id.v, hd_replica_state_name(r->r.state), r->r.recovery_id, r->r.size_bytes,
                      recovery_id, new_bytes);
        hd_store_disown(s, r);
    }
    if (err < 0) {
        pthread_mutex_unlock(&s->lock);
        return err;
    }
    struct hd_replica copy = r->r;
    struct hd_volume *volume = r->volume;
    struct hd_layout l = hd_store_layout(s, volume);
    snprintf(ret_storage_id, HD_LAYOUT_ID_BYTES, "%s", volume->version.storage_id);
    pthread_mutex_unlock(&s->lock);

    struct hd_genstamp new_gs = {recovery_id};
    err = cut_and_finalize(&l, &copy, r->log, new_bytes, new_gs);

    pthread_mutex_lock(&s->lock);
    if (err == 0) {
        volume->used_bytes += hd_store_replica_disk_bytes(new_bytes);
        volume->used_bytes -= hd_store_replica_disk_bytes(copy.size_bytes);
        r->r.size_bytes = new_bytes;
        r->r.gs = new_gs;
        hd_replica_move(&r->r, HD_REPLICA_FINALIZED);
        hd_store_drop_log(r);
        r->synced = true;
        r->whole = true;
    }
    r->version++;
    hd_store_disown(s, r);
    pthread_mutex_unlock(&s->lock);
    if (hd_volume_error_is_fatal(err)) {
        hd_volume_fail(s, volume, err);
    }
    return err;
}
