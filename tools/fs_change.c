/* fs -mkdir -rmdir -mv -touchz -touch -truncate: what changes the tree, but for copying and -rm. */
#include "tools/fs_shell.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { POLL_MS = 200 };

/* Creates an empty file with the shell's settings. */
static int create_empty(struct hd_sh *sh, const char *path)
{
    struct hd_create_options o = {.mode = 0666 & ~sh->umask,
                                  .replication = sh->replication,
                                  .block_size_bytes = sh->block_size_bytes};
    struct hd_file *f;
    int rc = hd_file_create(sh->fs, path, &o, &f);
    return rc < 0 ? rc : hd_file_close(f);
}

/* 0 when the directory that would hold path is there; -ENOENT, -ENOTDIR. */
static int check_parent(struct hd_sh *sh, const char *path)
{
    struct hd_stat st;
    char *parent = hd_sh_dirname(path);
    int rc = parent != NULL ? hd_fs_stat(sh->fs, parent, &st) : -ENOMEM;
    free(parent);
    if (rc == 0) {
        rc = st.type == HD_TYPE_FILE ? -ENOTDIR : 0;
        hd_stat_done(&st);
    }
    return rc;
}

/* ---- mkdir, rmdir ---- */

static void make_one(struct hd_sh *sh, const struct hd_sh_item *item, bool parents)
{
    if (item->exists) {
        if (item->st.type != HD_TYPE_DIR) {
            hd_sh_fail(sh, item->shown, -ENOTDIR);
        } else if (!parents) {
            hd_sh_fail(sh, item->shown, -EEXIST);
        }
        return;
    }
    int rc = parents ? 0 : check_parent(sh, item->path);
    if (rc == -ENOENT) {
        char *parent = hd_sh_dirname(item->path);
        hd_sh_say(sh, "`%s%s': No such file or directory", hd_fs_uri(sh->fs),
                  parent != NULL ? parent : "");
        free(parent);
        return;
    }
    if (rc == 0) {
        rc = hd_fs_mkdir(sh->fs, item->path, 0777 & ~sh->umask, parents);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_mkdir(struct hd_sh *sh, struct hd_sh_args *args)
{
    bool parents = hd_sh_flag(args, "p");
    for (int i = 0; i < args->count; i++) {
        HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
        int rc = hd_sh_expand(sh, args->list[i], &items);
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
        }
        for (size_t k = 0; k < items.count; k++) {
            make_one(sh, &items.list[k], parents);
        }
    }
    return 0;
}

static void rmdir_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const bool *ignore = ctx;
    int rc = item->st.type != HD_TYPE_DIR ? -ENOTDIR : hd_fs_delete(sh->fs, item->path, false);
    if (rc == -ENOTEMPTY && *ignore) {
        return;
    }
    rc = rc == 0 && item->st.type == HD_TYPE_DIR ? -ENOENT : rc;
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_rmdir(struct hd_sh *sh, struct hd_sh_args *args)
{
    bool ignore = hd_sh_flag(args, "-ignore-fail-on-non-empty");
    hd_sh_each(sh, args, 0, rmdir_item, &ignore);
    return 0;
}

/* ---- mv ---- */

static void move_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct hd_sh_item *dst = ctx;
    bool into = dst->exists && dst->st.type == HD_TYPE_DIR;
    const char *from = item->link != NULL ? item->link : item->path;
    const char *name = hd_sh_basename(from);
    char *path = into ? hd_sh_join(dst->path, name) : strdup(dst->path);
    char *shown = into ? hd_sh_join(dst->shown, name) : strdup(dst->shown);
    if (path == NULL || shown == NULL) {
        hd_sh_fail(sh, item->shown, -ENOMEM);
    } else if (strcmp(path, from) == 0) {
        hd_sh_fail(sh, shown, -EEXIST);
    } else if (item->st.type == HD_TYPE_DIR && hd_sh_is_below(path, from)) {
        hd_sh_say(sh, "`%s' to `%s': is a subdirectory of itself", item->shown, shown);
    } else {
        int rc = hd_fs_rename(sh->fs, from, path, false);
        if (rc == -EEXIST) {
            hd_sh_fail(sh, shown, rc);
        } else if (rc < 0) {
            hd_sh_fail(sh, item->shown, rc);
        }
    }
    free(path);
    free(shown);
}

static int run_mv(struct hd_sh *sh, struct hd_sh_args *args)
{
    HD_AUTO(hd_sh_item_done) struct hd_sh_item dst = {0};
    const char *target = args->list[--args->count];
    int rc = hd_sh_lookup(sh, target, &dst);
    if (rc < 0) {
        hd_sh_fail(sh, target, rc);
        return 0;
    }
    HD_AUTO(hd_sh_items_done) struct hd_sh_items sources = {0};
    for (int i = 0; i < args->count; i++) {
        if ((rc = hd_sh_expand(sh, args->list[i], &sources)) < 0) {
            hd_sh_fail(sh, args->list[i], rc);
        }
    }
    if (sources.count > 1 && !dst.exists) {
        hd_sh_fail(sh, dst.shown, -ENOENT);
        return 0;
    }
    if (sources.count > 1 && dst.st.type != HD_TYPE_DIR) {
        hd_sh_fail(sh, dst.shown, -ENOTDIR);
        return 0;
    }
    if (dst.exists && dst.st.type != HD_TYPE_DIR) {
        hd_sh_fail(sh, dst.shown, -EEXIST);
        return 0;
    }
    if (!dst.exists && (rc = check_parent(sh, dst.path)) < 0) {
        if (rc == -ENOENT) {
            hd_sh_fail_full(sh, &dst);
        } else {
            hd_sh_fail(sh, dst.shown, rc);
        }
        return 0;
    }
    for (size_t i = 0; i < sources.count; i++) {
        if (sources.list[i].exists) {
            move_item(sh, &sources.list[i], &dst);
        } else {
            hd_sh_fail(sh, sources.list[i].shown, -ENOENT);
        }
    }
    return 0;
}

/* ---- touchz, touch ---- */

/* An empty file where its directory is. 1: it is not, and that was said. */
static int create_below(struct hd_sh *sh, const struct hd_sh_item *item)
{
    int rc = check_parent(sh, item->path);
    if (rc == -ENOENT) {
        hd_sh_fail_full(sh, item);
        return 1;
    }
    return rc < 0 ? rc : create_empty(sh, item->path);
}

static void touchz_one(struct hd_sh *sh, const struct hd_sh_item *item)
{
    int rc;
    if (!item->exists) {
        rc = create_below(sh, item);
    } else if (item->st.type == HD_TYPE_DIR) {
        rc = -EISDIR;
    } else if (item->st.size_bytes != 0) {
        hd_sh_say(sh, "`%s': Not a zero-length file", item->shown);
        return;
    } else {
        rc = hd_fs_set_times(sh->fs, item->path, hd_clock_wall_ms().v, hd_clock_wall_ms().v);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

struct touching {
    bool no_create;
    int64_t mtime_ms, atime_ms; /* -1: leave */
};

static void touch_one(struct hd_sh *sh, const struct hd_sh_item *item, const struct touching *t)
{
    int rc = 0;
    if (!item->exists) {
        if (t->no_create) {
            return;
        }
        rc = create_below(sh, item);
    }
    if (rc == 0) {
        rc = hd_fs_set_times(sh->fs, item->path, t->mtime_ms, t->atime_ms);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

/* Each argument's items, existing or not. t NULL: touchz. */
static void touch_all(struct hd_sh *sh, struct hd_sh_args *args, const struct touching *t)
{
    for (int i = 0; i < args->count; i++) {
        HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
        int rc = hd_sh_expand(sh, args->list[i], &items);
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
        }
        for (size_t k = 0; k < items.count; k++) {
            if (t != NULL) {
                touch_one(sh, &items.list[k], t);
            } else {
                touchz_one(sh, &items.list[k]);
            }
        }
    }
}

static int run_touchz(struct hd_sh *sh, struct hd_sh_args *args)
{
    touch_all(sh, args, NULL);
    return 0;
}

static int run_touch(struct hd_sh *sh, struct hd_sh_args *args)
{
    const char *text = hd_sh_value(args, "t");
    bool only_a = hd_sh_flag(args, "a") && !hd_sh_flag(args, "m");
    bool only_m = hd_sh_flag(args, "m") && !hd_sh_flag(args, "a");
    int64_t time_ms = hd_clock_wall_ms().v;
    if (text != NULL) {
        struct tm tm = {.tm_isdst = -1};
        const char *end = strptime(text, "%Y%m%d:%H%M%S", &tm);
        if (end == NULL || *end != '\0') {
            return hd_sh_usage(args,
                               "Unable to parse the specified timestamp %s. The expected format is "
                               "yyyyMMdd:HHmmss",
                               text);
        }
        time_ms = (int64_t)mktime(&tm) * 1000;
    }
    struct touching t = {.no_create = hd_sh_flag(args, "c"),
                         .mtime_ms = only_a ? -1 : time_ms,
                         .atime_ms = only_m ? -1 : time_ms};
    touch_all(sh, args, &t);
    return 0;
}

/* ---- truncate ---- */

struct truncating {
    uint64_t size_bytes;
    bool wait;
};

static void truncate_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct truncating *t = ctx;
    if (item->st.type == HD_TYPE_DIR) {
        hd_sh_fail(sh, item->shown, -EISDIR);
        return;
    }
    if (t->size_bytes > item->st.size_bytes) {
        fprintf(stderr,
                "-truncate: Cannot truncate to a larger file size. Current size: %" PRIu64
                ", truncate size: %" PRIu64 ".\n",
                item->st.size_bytes, t->size_bytes);
        sh->exit_code = HD_SH_USAGE;
        return;
    }
    int rc = hd_fs_truncate(sh->fs, item->path, t->size_bytes);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    if (rc == 1) {
        printf("Truncated %s to length: %" PRIu64 "\n", item->shown, t->size_bytes);
    } else if (!t->wait) {
        printf("Truncating %s to length: %" PRIu64
               ". Wait for block recovery to complete before further updating this file.\n",
               item->shown, t->size_bytes);
    } else {
        printf("Waiting for %s ...\n", item->shown);
        fflush(stdout);
        while ((rc = hd_fs_is_closed(sh->fs, item->path)) == 0 && !hd_sh_interrupted()) {
            hd_clock_sleep_ms(POLL_MS);
        }
        if (rc < 0) {
            hd_sh_fail(sh, item->shown, rc);
        } else {
            printf("Truncated %s to length: %" PRIu64 "\n", item->shown, t->size_bytes);
        }
    }
}

static int run_truncate(struct hd_sh *sh, struct hd_sh_args *args)
{
    char *end;
    struct truncating t = {.wait = hd_sh_flag(args, "w")};
    long long size = strtoll(args->list[0], &end, 10);
    if (*end != '\0' || end == args->list[0] || size < 0) {
        return hd_sh_usage(args, "Illegal length, a non-negative integer expected");
    }
    t.size_bytes = (uint64_t)size;
    hd_sh_each(sh, args, 1, truncate_item, &t);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_change[] = {
    {"mkdir", "p", 1, -1, "[-p] <path> ...",
     "Makes directories; -p also missing parents, and an existing one is fine.", run_mkdir},
    {"rmdir", "-ignore-fail-on-non-empty", 1, -1, "[--ignore-fail-on-non-empty] <dir> ...",
     "Removes empty directories.", run_rmdir},
    {"mv", "", 2, -1, "<src> ... <dst>", "Moves files and directories within the file system.",
     run_mv},
    {"touchz", "", 1, -1, "<path> ...", "Creates empty files; an error where a file has bytes.",
     run_touchz},
    {"touch", "a m c t=", 1, -1, "[-a] [-m] [-t TIMESTAMP (yyyyMMdd:HHmmss)] [-c] <path> ...",
     "Sets the times of access (-a) and modification (-m); creates what is missing but for -c.",
     run_touch},
    {"truncate", "w", 2, -1, "[-w] <length> <path> ...",
     "Cuts files to length bytes; -w waits for the last block.", run_truncate},
    {0},
};
