/* See upgrade.h. */
#include "meta/log/upgrade.h"
#include "meta/log/segment.h"
#include "meta/log/version.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <dirent.h>
#include <errno.h>

static bool has_prefix(const char *name, const char *prefix)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

static bool is_kept(const char *name)
{
    size_t n = strlen(name);
    return (n <= 4 || strcmp(name + n - 4, ".tmp") != 0) &&
           (has_prefix(name, "edits_") || has_prefix(name, "image_") ||
            strcmp(name, "MEMBERS") == 0 || strcmp(name, "witnesses") == 0);
}

/* What a rollback takes away: all that is kept, and the view that goes with it. */
static bool is_replaced(const char *name)
{
    return is_kept(name) || strcmp(name, "view") == 0;
}

static int join(char out[HD_LOG_PATH_BYTES], const char *dir, const char *name)
{
    return snprintf(out, HD_LOG_PATH_BYTES, "%s/%s", dir, name) < HD_LOG_PATH_BYTES
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s/%s", dir, name);
}

/* A link where the file never changes any more; a segment in progress is written on: a copy. */
static int keep(const char *from_dir, const char *to_dir, const char *name)
{
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    int err = join(from, from_dir, name);
    if (err == 0) {
        err = join(to, to_dir, name);
    }
    if (err < 0) {
        return err;
    }
    bool finished = has_prefix(name, "image_") ||
                    (has_prefix(name, "edits_") && !has_prefix(name, "edits_inprogress_"));
    if (finished && (link(from, to) == 0 || errno == EEXIST)) {
        return 0;
    }
    return hd_file_copy(from, to);
}

static int move(const char *from_dir, const char *to_dir, const char *name)
{
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    int err = join(from, from_dir, name);
    if (err == 0) {
        err = join(to, to_dir, name);
    }
    return err < 0 || hd_io_rename(from, to) == 0
               ? err
               : hd_fail_errno(errno, "%s: rename to %s", from, to);
}

typedef int (*file_fn)(const char *from_dir, const char *to_dir, const char *name);

static int each(const char *from, const char *to, bool (*wanted)(const char *), file_fn fn)
{
    DIR *d = opendir(from);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", from);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        if (wanted(e->d_name)) {
            err = fn(from, to, e->d_name);
        }
    }
    closedir(d);
    return err < 0 ? err : hd_dir_sync(to);
}

bool hd_upgrade_pending(const char *dir)
{
    char path[HD_LOG_PATH_BYTES];
    return join(path, dir, "previous/VERSION") == 0 && access(path, F_OK) == 0;
}

/* Under another name until it is whole. */
static int make_previous(const char *dir)
{
    char temp[HD_LOG_PATH_BYTES];
    char path[HD_LOG_PATH_BYTES];
    int err = join(temp, dir, "previous.tmp");
    if (err == 0) {
        err = join(path, dir, "previous");
    }
    if (err == 0) {
        err = hd_dir_remove(temp);
    }
    if (err == 0) {
        err = hd_dir_make(temp, 0755);
    }
    if (err == 0) {
        err = each(dir, temp, is_kept, keep);
    }
    if (err == 0) {
        err = keep(dir, temp, "VERSION");
    }
    if (err == 0 && hd_io_rename(temp, path) < 0) {
        err = hd_fail_errno(errno, "%s: rename to %s", temp, path);
    }
    return err < 0 ? err : hd_dir_sync(dir);
}

int hd_upgrade_begin(const char *dir)
{
    struct hd_version v;
    if (hd_upgrade_pending(dir)) {
        return hd_fail(-EEXIST,
                       "%s: an upgrade was begun and not ended: howdah-meta --rollback, or "
                       "howdah-meta --finalize",
                       dir);
    }
    int err = hd_version_read_any(dir, &v);
    if (err == 0) {
        err = make_previous(dir);
    }
    return err < 0 ? err : hd_version_write(dir, &v);
}

int hd_upgrade_rollback(const char *dir)
{
    char previous[HD_LOG_PATH_BYTES];
    char aside[HD_LOG_PATH_BYTES];
    char version[HD_LOG_PATH_BYTES];
    if (!hd_upgrade_pending(dir)) {
        return hd_fail(-ENOENT, "%s: no previous/ to go back to", dir);
    }
    int err = join(previous, dir, "previous");
    if (err == 0) {
        err = join(aside, dir, "aside");
    }
    if (err == 0) {
        err = join(version, dir, "VERSION");
    }
    if (err == 0 && hd_io_unlink(version) < 0 && errno != ENOENT) {
        err = hd_fail_errno(errno, "%s: remove", version); /* until the end nobody starts here */
    }
    if (err == 0) {
        err = hd_dir_remove(aside);
    }
    if (err == 0) {
        err = hd_dir_make(aside, 0755);
    }
    if (err == 0) {
        err = each(dir, aside, is_replaced, move);
    }
    if (err == 0) {
        err = each(previous, dir, is_kept, keep);
    }
    if (err == 0) {
        err = keep(previous, dir, "VERSION");
    }
    return err < 0 ? err : hd_upgrade_finalize(dir);
}

int hd_upgrade_finalize(const char *dir)
{
    char path[HD_LOG_PATH_BYTES];
    char going[HD_LOG_PATH_BYTES];
    if (!hd_upgrade_pending(dir)) {
        return hd_fail(-ENOENT, "%s: no upgrade to finalize", dir);
    }
    int err = join(path, dir, "previous");
    if (err == 0) {
        err = join(going, dir, "previous.tmp");
    }
    if (err == 0) {
        err = hd_dir_remove(going);
    }
    if (err == 0 && hd_io_rename(path, going) < 0) {
        err = hd_fail_errno(errno, "%s: rename to %s", path, going);
    }
    return err < 0 ? err : hd_dir_remove(going);
}
