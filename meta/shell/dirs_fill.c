/* See dirs_fill.h. */
#include "meta/shell/dirs_fill.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"
#include "meta/log/segment.h"

#include <dirent.h>
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* Stands in a directory while it is filled. */
static const char mark[] = "FILLING";

typedef bool (*wanted_fn)(const char *name);

static bool is_temp(const char *name)
{
    size_t n = strlen(name);
    return n > 4 && strcmp(name + n - 4, ".tmp") == 0;
}

static bool is_image(const char *name)
{
    return strncmp(name, "image_", 6) == 0 && !is_temp(name);
}

static bool is_data(const char *name)
{
    return is_image(name) || (strncmp(name, "edits_", 6) == 0 && !is_temp(name));
}

static bool is_anything(const char *name)
{
    return is_data(name) || is_temp(name) || strcmp(name, "VERSION") == 0 ||
           strcmp(name, "MEMBERS") == 0 || strcmp(name, "view") == 0;
}

static int join(char out[HD_LOG_PATH_BYTES], const char *dir, const char *name)
{
    return snprintf(out, HD_LOG_PATH_BYTES, "%s/%s", dir, name) < HD_LOG_PATH_BYTES
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s/%s", dir, name);
}

/* Calls fn(ctx, name) for the wanted names of dir. */
static int each(const char *dir, wanted_fn wanted, int (*fn)(void *ctx, const char *name),
                void *ctx)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        if (wanted(e->d_name)) {
            err = fn(ctx, e->d_name);
        }
    }
    closedir(d);
    return err;
}

struct pair {
    const char *from;
    const char *to;
};

/* The size of dir/name; -1: it is not there. */
static int64_t size_of(const char *dir, const char *name)
{
    char path[HD_LOG_PATH_BYTES];
    struct stat st;
    return join(path, dir, name) < 0 || stat(path, &st) < 0 ? -1 : (int64_t)st.st_size;
}

static int remove_extra(void *ctx, const char *name)
{
    const struct pair *p = ctx;
    char path[HD_LOG_PATH_BYTES];
    if (size_of(p->from, name) == size_of(p->to, name)) {
        return 0;
    }
    int err = join(path, p->to, name);
    return err < 0 || hd_io_unlink(path) == 0 ? err : hd_fail_errno(errno, "%s: remove", path);
}

static int copy(const struct pair *p, const char *name)
{
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    int err = join(from, p->from, name);
    if (err == 0) {
        err = join(to, p->to, name);
    }
    return err < 0 ? err : hd_file_copy(from, to);
}

static int copy_missing(void *ctx, const char *name)
{
    const struct pair *p = ctx;
    return size_of(p->from, name) == size_of(p->to, name) ? 0 : copy(p, name);
}

/*
 * First what is too much goes, so that an interruption leaves a log that is shorter, never two that
 * overlap. Images come before the digests that vouch for them: names sort that way, directories do
 * not, so in two passes.
 */
static bool is_digest(const char *name)
{
    return is_image(name) && strstr(name, ".sha256") != NULL;
}

static bool is_plain(const char *name)
{
    return is_data(name) && !is_digest(name);
}

static bool is_plain_image(const char *name)
{
    return is_image(name) && !is_digest(name);
}

static int equalise(const char *from, const char *to, wanted_fn all, wanted_fn plain)
{
    struct pair p = {from, to};
    int err = each(to, is_digest, remove_extra, &p);
    if (err == 0) {
        err = each(to, all, remove_extra, &p);
    }
    if (err == 0) {
        err = hd_dir_sync(to);
    }
    if (err == 0) {
        err = each(from, plain, copy_missing, &p);
    }
    return err < 0 ? err : each(from, is_digest, copy_missing, &p);
}

int hd_dirs_equalise_images(const char *from, const char *to)
{
    return equalise(from, to, is_image, is_plain_image);
}

int hd_dirs_equalise(const char *from, const char *to)
{
    const struct pair p = {from, to};
    int err = equalise(from, to, is_data, is_plain);
    return err < 0 ? err : copy(&p, "VERSION");
}

bool hd_dirs_filling(const char *dir)
{
    return size_of(dir, mark) >= 0;
}

static int put_aside(void *ctx, const char *name)
{
    const struct pair *p = ctx;
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    int err = join(from, p->from, name);
    if (err == 0) {
        err = join(to, p->to, name);
    }
    return err < 0 || hd_io_rename(from, to) == 0 ? err : hd_fail_errno(errno, "%s: rename", from);
}

static int count_one(void *ctx, const char *name)
{
    (void)name;
    *(size_t *)ctx += 1;
    return 0;
}

static int clear(const char *dir)
{
    char aside[HD_LOG_PATH_BYTES];
    size_t count = 0;
    int err = each(dir, is_anything, count_one, &count);
    if (err < 0 || count == 0) {
        return err;
    }
    err = join(aside, dir, "aside");
    if (err == 0) {
        err = hd_dir_remove(aside);
    }
    if (err == 0) {
        err = hd_dir_make(aside, 0755);
    }
    struct pair p = {dir, aside};
    return err < 0 ? err : each(dir, is_anything, put_aside, &p);
}

int hd_dirs_fill(const char *from, const char *to)
{
    char path[HD_LOG_PATH_BYTES];
    int err = join(path, to, mark);
    if (err == 0) {
        err = hd_file_replace(path, "", 0, 0644);
    }
    if (err == 0) {
        err = clear(to);
    }
    if (err == 0) {
        err = hd_dirs_equalise(from, to);
    }
    if (err == 0 && hd_io_unlink(path) < 0) {
        err = hd_fail_errno(errno, "%s: remove", path);
    }
    return err < 0 ? err : hd_dir_sync(to);
}
