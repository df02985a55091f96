/* Start-up of a metadata directory. See store.h. */
#include "meta/shell/store.h"
#include "meta/shell/dirs.h"
#include "meta/shell/dirs_fill.h"
#include "meta/shell/rebuild.h"
#include "meta/shell/view_read.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include "meta/log/image.h"
#include "meta/log/upgrade.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct hd_kv_options view_options = {.create = true};

int hd_store_core_new(const struct hd_meta_options *core, const struct hd_version *v,
                      struct hd_meta **ret)
{
    struct hd_meta_options o = *core;
    o.cluster_id = v->cluster_id;
    o.block_pool_id = v->block_pool_id;
    o.namespace_id = v->namespace_id;
    o.creation_ms = v->creation_ms;
    return hd_meta_new(&o, ret);
}

/* What a formatting that did not reach VERSION may leave, and nothing else. */
static bool may_be_new(const char *name)
{
    static const char *const known[] = {".",           "..",
                                        "in_use.lock", "VERSION.tmp",
                                        "lost+found",  "edits_inprogress_00000000000000000001"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(known); i++) {
        if (strcmp(name, known[i]) == 0) {
            return true;
        }
    }
    return false;
}

int hd_store_peek(const char *dir, struct hd_version *ret)
{
    int err = hd_version_read(dir, ret);
    if (err != -ENOENT) {
        return err;
    }
    DIR *d = opendir(dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    for (struct dirent *e = readdir(d); e != NULL && err == -ENOENT; e = readdir(d)) {
        if (hd_upgrade_pending(dir)) {
            err = hd_fail(-HD_E_CORRUPT,
                          "%s: a rollback did not come to its end: howdah-meta --rollback again",
                          dir);
        } else if (!may_be_new(e->d_name)) {
            err = hd_fail(-HD_E_CORRUPT,
                          "%s: has no VERSION file, but %s; restore VERSION from the secondary's "
                          "directory, or give an empty directory to start a new cluster",
                          dir, e->d_name);
        }
    }
    closedir(d);
    return err;
}

/* VERSION comes last: without it the directory is new. */
static int format(struct hd_store *s, const struct hd_store_options *o)
{
    struct hd_edit_log_options lo = {.dir = s->dir};
    struct hd_edit_log *log = NULL;
    char path[HD_LOG_PATH_BYTES];
    if (o->version != NULL) {
        s->version = *o->version;
    } else {
        hd_version_make(&s->version, o->ip, (uint64_t)hd_clock_wall_ms().v);
    }
    lo.cluster_id = s->version.cluster_id;
    snprintf(path, sizeof(path), "%s/edits_inprogress_%020d", s->dir, 1);
    if (unlink(path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: remove", path);
    }
    int err = hd_edit_log_open(&lo, &log, NULL);
    if (err == 0) {
        err = hd_edit_log_start(log, (struct hd_txid){1});
    }
    hd_edit_log_close(log);
    if (err == 0) {
        err = hd_version_write(s->dir, &s->version);
    }
    if (err == 0) {
        hd_log_info("formatted", "dir=%s cluster=%s block_pool=%s", s->dir, s->version.cluster_id,
                    s->version.block_pool_id);
    }
    return err;
}

int hd_store_has_log(const char *dir)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    bool any = false;
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        any = any || strncmp(e->d_name, "edits_", 6) == 0;
    }
    closedir(d);
    return any ? 0
               : hd_fail(-HD_E_CORRUPT,
                         "%s: no edit log (edits_*); restore it from the secondary's directory",
                         dir);
}

static void on_dropped(void *ctx, const char *dir, const char *why)
{
    (void)ctx;
    hd_log_error("metadata directory failed and is not written any more; the others go on",
                 "dir=%s reason=\"%s\"", dir, why);
}

static void on_repaired(void *ctx, const char *path, const char *from, const char *why)
{
    (void)ctx;
    hd_log_warn("damaged segment replaced by another directory's", "path=%s from=%s reason=\"%s\"",
                path, from, why);
}

static int open_log(struct hd_store *s)
{
    struct hd_edit_log_options lo = {.dir = s->dir,
                                     .cluster_id = s->version.cluster_id,
                                     .on_dropped = on_dropped,
                                     .on_repaired = on_repaired};
    struct hd_edit_log_recovery recovery;
    if (s->dirs->members.count > 1) {
        lo.members = &s->dirs->members;
    }
    int err = hd_store_has_log(s->dir);
    if (err == 0) {
        err = hd_edit_log_open(&lo, &s->log, &recovery);
    }
    if (err == 0 && recovery.cut_bytes > 0) {
        hd_log_warn("unfinished write cut off the end of the edit log",
                    "dir=%s last_txid=%" PRIu64 " offset=%" PRIu64 " bytes=%" PRIu64, s->dir,
                    hd_edit_log_last(s->log).v, recovery.cut_offset, recovery.cut_bytes);
    }
    return err;
}

static int load_key(void *ctx, const struct hd_kv_op *op)
{
    return hd_view_is_applied_key(op)
               ? 0
               : hd_meta_load(ctx, op->key, op->key_size, op->value, op->value_size);
}

/* Loads the open view into a new core. -HD_E_CORRUPT: rebuild it. -ENOENT: it is not complete. */
static int load_view(struct hd_store *s, const struct hd_meta_options *core)
{
    int err = hd_view_applied_get(s->view, &s->applied);
    if (err == 0) {
        err = hd_store_core_new(core, &s->version, &s->meta);
    }
    if (err == 0) {
        err = hd_view_read(s->view, load_key, s->meta);
    }
    return err < 0 ? err : hd_meta_load_done(s->meta, s->applied);
}

/* Does the view's directory hold a leveldb (CURRENT is what names its state)? */
static bool view_exists(const char *path)
{
    char current[HD_LOG_PATH_BYTES + 16];
    struct stat st;
    snprintf(current, sizeof(current), "%s/CURRENT", path);
    return stat(current, &st) == 0;
}

/* One put-aside view is evidence, more of them are lost disk space. */
static void remove_older_asides(const char *dir)
{
    DIR *d = opendir(dir);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char path[HD_LOG_PATH_BYTES];
        if (strncmp(e->d_name, "view.bad-", 9) == 0 &&
            snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) < (int)sizeof(path)) {
            (void)hd_dir_remove(path);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

static int put_aside(const char *dir, const char *path)
{
    remove_older_asides(dir);
    char to[HD_LOG_PATH_BYTES];
    snprintf(to, sizeof(to), "%s/view.bad-%" PRId64, dir, hd_clock_wall_ms().v);
    if (rename(path, to) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: rename to %s", path, to);
    }
    return 0;
}

static void drop_view(struct hd_store *s)
{
    hd_kv_close(s->view);
    s->view = NULL;
    hd_meta_free(s->meta);
    s->meta = NULL;
}

/* 0: loaded. -ENOENT: there is none (any more) that could be used. */
static int try_view(struct hd_store *s, const struct hd_meta_options *core, const char *path)
{
    if (!view_exists(path)) {
        hd_log_info("no view", "path=%s", path);
        return -ENOENT;
    }
    int err = hd_kv_open_leveldb(path, &view_options, &s->view);
    if (err == 0) {
        err = load_view(s, core);
    }
    if (err == 0 && s->applied.v + 1 < hd_edit_log_first(s->log).v) {
        err = hd_fail(-HD_E_CORRUPT, "%s: at txid %" PRIu64 ", older than the log", path,
                      s->applied.v);
    }
    if (err == 0 || (err != -HD_E_CORRUPT && err != -ENOENT)) {
        return err;
    }
    hd_log_warn("view cannot be used, rebuilding it", "path=%s reason=\"%s\"", path,
                err == -ENOENT ? "not complete" : hd_fail_describe(err));
    drop_view(s);
    err = put_aside(s->dir, path);
    return err < 0 ? err : -ENOENT;
}

/* The log must reach at least as far as the base that the replay starts from. */
static int check_reach(const struct hd_store *s, const char *base)
{
    uint64_t last = hd_edit_log_last(s->log).v;
    if (s->applied.v > last) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: the edit log ends with txid %" PRIu64
                       ", but %s already holds txid %" PRIu64
                       ": acknowledged records are missing; restore edits_* from the secondary's "
                       "directory",
                       s->dir, last, base, s->applied.v);
    }
    return 0;
}

static int open_view(struct hd_store *s, const struct hd_meta_options *core)
{
    char path[HD_LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/view", s->dir);
    int err = try_view(s, core, path);
    if (err != -ENOENT) {
        return err < 0 ? err : check_reach(s, "the view");
    }
    err = hd_dir_remove(path);
    if (err == 0) {
        err = hd_dir_make(path, 0755);
    }
    if (err == 0) {
        err = hd_kv_open_leveldb(path, &view_options, &s->view);
    }
    if (err == 0) {
        err = hd_rebuild_base(s, core);
    }
    return err < 0 ? err : check_reach(s, "an image");
}

/* Directories, version, and the first directory in use. */
static int open_dirs(struct hd_store *s, const struct hd_store_options *o)
{
    s->dirs = calloc(1, sizeof(*s->dirs));
    if (s->dirs == NULL) {
        return -ENOMEM;
    }
    int err = hd_dirs_open(o->dir, s->dirs);
    if (err == -ENOENT) {
        snprintf(s->dir, sizeof(s->dir), "%s", s->dirs->list[0].path);
        err = format(s, o);
        if (err == 0) {
            err = hd_dirs_formatted(s->dirs);
        }
    }
    if (err == 0) {
        err = hd_dirs_settle(s->dirs);
    }
    if (err < 0) {
        return err;
    }
    s->version = *hd_dirs_version(s->dirs);
    snprintf(s->dir, sizeof(s->dir), "%s", s->dirs->members.list[0].path);
    s->lock_fd = dup(s->dirs->list[0].lock_fd);
    return 0;
}

int hd_store_open(const struct hd_store_options *o, struct hd_store *ret)
{
    *ret = (struct hd_store){.lock_fd = -1};
    uint64_t begin = hd_clock_mono_ns();
    int err = open_dirs(ret, o);
    if (err == 0) {
        err = hd_image_remove_temps(ret->dir);
    }
    if (err == 0) {
        err = open_log(ret);
    }
    if (err == 0) {
        err = open_view(ret, o->core);
    }
    if (err == 0) {
        err = hd_rebuild_replay(ret);
    }
    if (err < 0) {
        hd_store_close(ret);
        return err;
    }
    hd_log_info("loaded", "dir=%s txid=%" PRIu64 " ms=%" PRIu64, ret->dir,
                hd_meta_txid(ret->meta).v, (hd_clock_mono_ns() - begin) / 1000000);
    return 0;
}

int hd_store_restart_from_image(struct hd_store *s, const struct hd_meta_options *core,
                                struct hd_txid txid)
{
    char path[HD_LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/view", s->dir);
    drop_view(s);
    int err = hd_edit_log_clear(s->log);
    if (err == 0) {
        err = hd_dir_remove(path);
    }
    if (err == 0) {
        err = hd_edit_log_start(s->log, (struct hd_txid){txid.v + 1});
    }
    return err < 0 ? err : open_view(s, core);
}

void hd_store_close(struct hd_store *s)
{
    hd_meta_free(s->meta);
    hd_kv_close(s->view);
    hd_edit_log_close(s->log);
    hd_fd_done(&s->lock_fd);
    if (s->dirs != NULL) {
        hd_dirs_close(s->dirs);
        free(s->dirs);
    }
    *s = (struct hd_store){.lock_fd = -1};
}

int hd_store_write_version(struct hd_store *s)
{
    struct hd_edit_log_dir dirs[HD_DIRS_MAX];
    size_t count = hd_edit_log_dirs(s->log, dirs);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        if (dirs[i].failed == NULL) {
            err = hd_version_write(dirs[i].dir, &s->version);
            err = err < 0 ? hd_edit_log_drop(s->log, dirs[i].dir, err) : 0;
        }
    }
    return err;
}

size_t hd_store_failed_dirs(const struct hd_store *s, const char *out[HD_DIRS_MAX])
{
    struct hd_edit_log_dir dirs[HD_DIRS_MAX];
    size_t count = hd_edit_log_dirs(s->log, dirs);
    size_t failed = 0;
    for (size_t i = 0; i < s->dirs->count; i++) {
        const char *path = s->dirs->list[i].path;
        bool in_use = false;
        for (size_t k = 0; k < count; k++) {
            in_use = in_use || (dirs[k].failed == NULL && strcmp(dirs[k].dir, path) == 0);
        }
        if (!in_use) {
            out[failed++] = path;
        }
    }
    return failed;
}

int hd_store_put_aside(const char *text, const char *suffix)
{
    char dirs[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    int err = hd_dirs_split(text, dirs, &count);
    for (size_t i = 0; i < count && err == 0; i++) {
        char to[HD_LOG_PATH_BYTES];
        snprintf(to, sizeof(to), "%s%s", dirs[i], suffix);
        if (rename(dirs[i], to) < 0 && errno != ENOENT) {
            err = hd_fail_errno(errno, "%s: rename to %s", dirs[i], to);
        }
    }
    return err;
}

int hd_store_spread_images(struct hd_edit_log *log)
{
    struct hd_edit_log_dir dirs[HD_DIRS_MAX];
    size_t count = hd_edit_log_dirs(log, dirs);
    const char *first = hd_edit_log_dir(log);
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        if (dirs[i].failed == NULL && dirs[i].dir != first) {
            err = hd_dirs_equalise_images(first, dirs[i].dir);
            err = err < 0 ? hd_edit_log_drop(log, dirs[i].dir, err) : 0;
        }
    }
    return err;
}
