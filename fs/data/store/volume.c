/* One data directory: opening, loading what it holds, its space, its failure. */
#include "fs/base/error.h"
#include "fs/data/store/patch.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"
#include "fs/os/log.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

int hd_volume_open(struct hd_volume *v, const char *dir)
{
    *v = (struct hd_volume){.lock_fd = -1, .dir = strdup(dir)};
    if (v->dir == NULL) {
        return -ENOMEM;
    }
    int err = hd_dir_make(dir, 0700);
    if (err == 0) {
        err = hd_dir_lock(dir, &v->lock_fd);
    }
    if (err == 0) {
        err = hd_node_version_read(dir, &v->version);
        err = err == -ENOENT ? 0 : err;
    }
    return err;
}

int hd_volume_space(const struct hd_volume *v, uint64_t *ret_capacity, uint64_t *ret_available)
{
    struct statvfs st;
    if (hd_io_statvfs(v->dir, &st) < 0) {
        return hd_fail_errno(errno, "%s", v->dir);
    }
    *ret_capacity = (uint64_t)st.f_blocks * st.f_frsize;
    *ret_available = (uint64_t)st.f_bavail * st.f_frsize;
    return 0;
}

bool hd_volume_error_is_fatal(int err)
{
    return err == -EIO || err == -EROFS || err == -ENODEV || err == -ENXIO || err == -EUCLEAN ||
           err == -ESTALE;
}

void hd_volume_fail(struct hd_store *s, struct hd_volume *v, int err)
{
    pthread_mutex_lock(&s->lock);
    if (v->failed) {
        pthread_mutex_unlock(&s->lock);
        return;
    }
    v->failed = true;
    s->last_failure_ms = (uint64_t)hd_clock_wall_ms().v;
    uint64_t lost = v->used_bytes;
    /* Free replicas go now; owned ones go when their owner lets go. */
    size_t cursor = 0;
    void *value;
    uint64_t gone = 0;
    uint64_t *ids = calloc(s->replicas.count + 1, sizeof(*ids));
    while (ids != NULL && hd_map_next(&s->replicas, &cursor, NULL, &value)) {
        struct hd_store_replica *r = value;
        if (r->volume == v && !r->owned) {
            ids[gone++] = r->r.id.v;
        }
    }
    for (uint64_t i = 0; i < gone; i++) {
        hd_store_remove(s, hd_map_get(&s->replicas, ids[i]));
    }
    free(ids);
    s->lost_capacity_bytes += lost;
    pthread_mutex_unlock(&s->lock);
    hd_log_error("data directory failed",
                 "dir=%s replicas=%" PRIu64 " bytes=%" PRIu64 " error=\"%s\"", v->dir, gone, lost,
                 hd_fail_describe(err));
    if (s->options.on_failure != NULL) {
        s->options.on_failure(s->options.on_failure_ctx);
    }
}

/* Refusals that are no sign of a broken disk. */
static bool is_passing(int err)
{
    return err == -ENOSPC || err == -EMFILE || err == -ENFILE || err == -EDQUOT || err == -ENOMEM;
}

bool hd_volume_sync_failed(struct hd_store *s, struct hd_volume *v, int err)
{
    if (!is_passing(err)) {
        hd_volume_fail(s, v, err);
        return false;
    }
    return true;
}

static int probe(const struct hd_volume *v)
{
    char path[HD_LAYOUT_PATH_BYTES];
    struct hd_node_version version;
    int err = hd_node_version_read(v->dir, &version);
    if (err == 0 && strcmp(version.storage_id, v->version.storage_id) != 0) {
        err = hd_fail(-ENODEV, "%s is %s now, it was %s", v->dir, version.storage_id,
                      v->version.storage_id);
    }
    if (err < 0) {
        return err;
    }
    snprintf(path, sizeof(path), "%s/current/check.tmp", v->dir);
    HD_AUTO(hd_fd_done) int fd = hd_io_open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    char text[64];
    snprintf(text, sizeof(text), "%-62" PRIi64 "\n", hd_clock_wall_ms().v);
    err = hd_fd_pwrite(fd, text, strlen(text), 0); /* in place: no journal is kept busy */
    if (err == 0 && hd_io_fdatasync(fd) < 0) {
        err = hd_fail_errno(errno, "%s: fdatasync", path);
    }
    return err;
}

int hd_volume_probe(struct hd_store *s, struct hd_volume *v)
{
    if (v->failed) {
        return hd_fail(-EIO, "%s has failed", v->dir);
    }
    int err = probe(v);
    if (err < 0 && !is_passing(err)) {
        hd_volume_fail(s, v, err);
        return err;
    }
    return 0;
}

/* --- loading --- */

/* What the directories say about one block, before it becomes a replica. */
struct found {
    uint64_t data_bytes;
    enum hd_place place;
    bool has_data;
    bool has_meta;
    enum hd_place meta_place;
    struct hd_genstamp gs;
    bool has_log; /* a dirty log */
};

struct load {
    struct hd_store *store;
    struct hd_volume *volume;
    struct hd_layout layout;
    struct hd_map found; /* id -> struct found, owned */
    uint64_t ignored;
};

static struct found *found_for(struct load *l, struct hd_block_id id)
{
    struct found *f = hd_map_get(&l->found, id.v);
    if (f == NULL) {
        f = calloc(1, sizeof(*f));
        if (f != NULL && hd_map_put(&l->found, id.v, f) < 0) {
            free(f);
            f = NULL;
        }
    }
    return f;
}

static int note_file(struct load *l, int dir_fd, const char *name, enum hd_place place)
{
    struct hd_block_id id;
    struct hd_genstamp gs;
    enum hd_name_kind kind = hd_layout_parse(name, &id, &gs);
    if (kind == HD_NAME_OTHER) {
        return 0;
    }
    struct found *f = found_for(l, id);
    if (f == NULL) {
        return -ENOMEM;
    }
    if (kind == HD_NAME_DATA) {
        struct stat st;
        if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0) {
            return hd_fail_errno(errno, "%s", name);
        }
        f->has_data = true;
        f->place = place;
        f->data_bytes = (uint64_t)st.st_size;
    } else if (!f->has_meta || f->gs.v < gs.v) {
        f->has_meta = true;
        f->meta_place = place;
        f->gs = gs;
    }
    return 0;
}

/* The dirty logs. The folder comes with the first one. */
static int note_logs(struct load *l)
{
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_dirty_dir(&l->layout, path);
    DIR *d = opendir(path);
    if (d == NULL) {
        return errno == ENOENT ? 0 : hd_fail_errno(errno, "%s", path);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        struct hd_block_id id;
        struct hd_genstamp gs;
        char *suffix = strstr(e->d_name, HD_LAYOUT_DIRTY_SUFFIX);
        if (suffix == NULL || strcmp(suffix, HD_LAYOUT_DIRTY_SUFFIX) != 0) {
            continue;
        }
        *suffix = '\0';
        if (hd_layout_parse(e->d_name, &id, &gs) == HD_NAME_DATA) {
            struct found *f = found_for(l, id);
            err = f == NULL ? -ENOMEM : 0;
            if (f != NULL) {
                f->has_log = true;
            }
        }
    }
    closedir(d);
    return err;
}

/* Every file below path, two levels of subdirectories deep for finalized replicas. */
static int note_dir(struct load *l, const char *path, enum hd_place place, int depth)
{
    DIR *d = opendir(path);
    if (d == NULL) {
        return errno == ENOENT ? 0 : hd_fail_errno(errno, "%s", path);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        if (depth > 0 && strncmp(e->d_name, "subdir", 6) == 0) {
            char sub[HD_LAYOUT_PATH_BYTES];
            if (snprintf(sub, sizeof(sub), "%s/%s", path, e->d_name) < (int)sizeof(sub)) {
                err = note_dir(l, sub, place, depth - 1);
            }
        } else {
            err = note_file(l, dirfd(d), e->d_name, place);
        }
    }
    closedir(d);
    return err;
}

/* A crash between two renames left the sums in the other place. */
static int heal_place(struct load *l, struct hd_block_id id, struct found *f)
{
    char from[HD_LAYOUT_PATH_BYTES];
    char to[HD_LAYOUT_PATH_BYTES];
    hd_layout_meta(&l->layout, f->meta_place, id, f->gs, from);
    hd_layout_meta(&l->layout, f->place, id, f->gs, to);
    if (hd_io_rename(from, to) < 0) {
        return hd_fail_errno(errno, "%s: rename to %s", from, to);
    }
    f->meta_place = f->place;
    return 0;
}

/* A replica that was being written: what its sums vouch for is kept. */
static int cut_to_verified(struct load *l, struct hd_replica *r)
{
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    int err = hd_files_open(&l->layout, r, HD_PLACE_RBW, O_RDWR, &data_fd, &meta_fd);
    uint64_t good = 0;
    if (err == 0) {
        err = hd_files_verified_prefix(data_fd, meta_fd, r->size_bytes, &good);
    }
    if (err == 0 && good < r->size_bytes && hd_io_ftruncate(data_fd, (off_t)good) < 0) {
        err = hd_fail_errno(errno, "truncate of blk_%" PRIu64, r->id.v);
    }
    if (good < r->size_bytes) {
        hd_log_info("unfinished replica cut to what its sums vouch for",
                    "block=%" PRIu64 " from=%" PRIu64 " to=%" PRIu64, r->id.v, r->size_bytes, good);
    }
    r->size_bytes = good;
    r->acked_bytes = good;
    return err;
}

/* --- replicas that were changed in place --- */

/* The sums of dirty regions, and of everything when the file of sums is not one any more. */
static int mend_sums(const struct hd_replica *r, const struct hd_dirty_log *log, int data_fd,
                     int meta_fd)
{
    struct hd_sum_format f;
    struct hd_patch p = {.data_fd = data_fd, .meta_fd = meta_fd, .size_bytes = r->size_bytes};
    bool known = hd_sum_format_check(log->header.sum_type, log->header.bytes_per_checksum, &f) == 0;
    bool usable = hd_meta_file_read_header(meta_fd, &p.format) == 0 &&
                  (!known || hd_sum_format_equal(f, p.format));
    int err = 0;
    if (!usable) {
        uint8_t header[HD_META_FILE_HEADER_BYTES];
        p.format = known ? f : (struct hd_sum_format){HD_CHECKSUM_CRC32C, HD_BYTES_PER_CHECKSUM};
        hd_meta_file_header_encode(p.format, header);
        err = hd_fd_pwrite(meta_fd, header, sizeof(header), 0);
        err = err < 0 ? err : hd_patch_mend(&p, 0, r->size_bytes);
    }
    uint64_t from = 0;
    uint64_t to = 0;
    while (err == 0 && hd_dirty_next(&log->dirty, to, r->size_bytes, &from, &to)) {
        err = hd_patch_mend(&p, from, to);
    }
    if (err == 0 &&
        hd_io_ftruncate(meta_fd, (off_t)hd_meta_file_size(p.format, r->size_bytes)) < 0) {
        err = hd_fail_errno(errno, "truncate of sums");
    }
    hd_patch_done(&p);
    return err;
}

/*
 * A replica with a dirty log. Whatever its regions hold is summed anew. When the machine has
 * started since, they may lack what was written last, so that the replica waits for a recovery,
 * where those wait that were being written.
 */
static int load_dirty(struct load *l, struct hd_store_replica *r)
{
    bool damaged;
    int err = hd_dirty_log_read(&l->layout, r->r.id, l->store->boot_id, r->r.size_bytes, &r->log,
                                &damaged);
    if (err == 0 && r->log->other_boot) {
        if (r->r.state == HD_REPLICA_FINALIZED) {
            err = hd_files_move(&l->layout, &r->r, HD_PLACE_FINALIZED, HD_PLACE_RBW, r->r.gs);
            r->r.state = HD_REPLICA_RWR;
        }
        r->r.doubtful = true;
    }
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    if (err == 0) {
        err = hd_files_open(&l->layout, &r->r, hd_store_place(&r->r), O_RDWR, &data_fd, &meta_fd);
    }
    if (err == 0) {
        err = mend_sums(&r->r, r->log, data_fd, meta_fd);
    }
    if (err < 0) {
        hd_dirty_log_free(r->log);
        r->log = NULL;
        return err;
    }
    hd_log_info("sums of a replica that was changed in place were made anew",
                "block=%" PRIu64 " bytes=%" PRIu64 " state=%s log=%s", r->r.id.v, r->r.size_bytes,
                hd_replica_state_name(r->r.state), damaged ? "damaged" : "good");
    r->finished_ms = hd_clock_mono_ms().v;
    return 0;
}

/*
 * Data without sums, or sums without data. Where replicas are written that is a crash at the very
 * beginning of one, or in the middle of a deletion: nothing of it counts.
 */
static int load_half(struct load *l, struct hd_block_id id, const struct found *f)
{
    struct hd_replica r = {.id = id, .gs = f->gs};
    if (f->has_log && !f->has_data) { /* of a replica that was deleted */
        int err = hd_dirty_log_remove(&l->layout, id);
        if (err < 0 || !f->has_meta) {
            return err;
        }
    }
    if ((f->has_data ? f->place : f->meta_place) != HD_PLACE_RBW) {
        l->ignored++;
        return 0;
    }
    return hd_files_unlink(&l->layout, &r, HD_PLACE_RBW);
}

static int load_one(struct load *l, struct hd_block_id id, struct found *f)
{
    if (!f->has_data || !f->has_meta) {
        return load_half(l, id, f);
    }
    int err = f->place != f->meta_place ? heal_place(l, id, f) : 0;
    struct hd_store_replica *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return -ENOMEM;
    }
    *r = (struct hd_store_replica){
        .volume = l->volume,
        .synced = true, /* who knows what the process before promised */
        .r = {.id = id,
              .gs = f->gs,
              .state = f->place == HD_PLACE_RBW ? HD_REPLICA_RWR : HD_REPLICA_FINALIZED,
              .size_bytes = f->data_bytes,
              .acked_bytes = f->data_bytes}};
    if (err == 0 && f->has_log) {
        err = load_dirty(l, r);
    } else if (err == 0 && f->place == HD_PLACE_RBW) {
        err = cut_to_verified(l, &r->r);
    }
    struct hd_store_replica *old = hd_map_get(&l->store->replicas, id.v);
    bool better = old == NULL || old->r.gs.v < r->r.gs.v;
    if (err == 0 && better) {
        if (old != NULL) {
            hd_store_remove(l->store, old);
        }
        struct hd_dirty_log *log = r->log;
        err = hd_store_insert(l->store, r);
        if (err == 0 && log != NULL) {
            r->log = NULL;
            hd_store_set_log(l->store, r, log);
        }
        if (err == 0) {
            return 0;
        }
    }
    l->ignored += err == 0;
    hd_dirty_log_free(r->log);
    free(r);
    return err;
}

static int empty_tmp(struct load *l)
{
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_dir(&l->layout, HD_PLACE_TMP, (struct hd_block_id){0}, path);
    int err = hd_dir_remove(path);
    return err < 0 ? err : hd_dir_make(path, 0755);
}

int hd_volume_load(struct hd_store *s, struct hd_volume *v)
{
    struct load l = {.store = s, .volume = v, .layout = hd_store_layout(s, v)};
    char path[HD_LAYOUT_PATH_BYTES];
    hd_map_init(&l.found);
    int err = empty_tmp(&l);
    if (err == 0) {
        hd_layout_dir(&l.layout, HD_PLACE_RBW, (struct hd_block_id){0}, path);
        err = note_dir(&l, path, HD_PLACE_RBW, 0);
    }
    if (err == 0) {
        snprintf(path, sizeof(path), "%s/current/%s/current/finalized", v->dir, s->pool_id);
        err = note_dir(&l, path, HD_PLACE_FINALIZED, 2);
    }
    if (err == 0) {
        err = note_logs(&l);
    }
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (hd_map_next(&l.found, &cursor, &id, &value)) {
        if (err == 0) {
            err = load_one(&l, (struct hd_block_id){id}, value);
        }
        free(value);
    }
    hd_map_done(&l.found);
    if (l.ignored > 0) {
        hd_log_warn("files without their other half, or older doubles, were left alone",
                    "dir=%s count=%" PRIu64, v->dir, l.ignored);
    }
    return err;
}
