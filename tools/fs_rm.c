/*
 * fs -rm and -expunge. With a trash interval at the server, what is removed goes to
 * /user/<user>/.Trash/Current; a checkpoint of it is removed once it is older than the interval.
 */
#include "tools/fs_format.h"
#include "tools/fs_shell.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { SAFE_LIMIT = 100, DIR_MODE = 0700 };

struct removing {
    bool recursive, force, skip_trash, safely;
    uint64_t trash_minutes;
    char *trash; /* /user/<user>/.Trash; heap */
};

/* Moves to Current + path; a taken name gets the time behind it. */
static int move_to_trash(struct hd_sh *sh, const struct hd_sh_item *item, const char *trash)
{
    char *target;
    char *parent = NULL;
    const char *path = item->link != NULL ? item->link : item->path;
    if (asprintf(&target, "%s/Current%s", trash, path) < 0) {
        return -ENOMEM;
    }
    int rc = (parent = hd_sh_dirname(target)) != NULL ? hd_fs_mkdir(sh->fs, parent, DIR_MODE, true)
                                                      : -ENOMEM;
    if (rc == 0) {
        rc = hd_fs_rename(sh->fs, path, target, false);
    }
    if (rc == -EEXIST) {
        char *other;
        if (asprintf(&other, "%s%" PRId64, target, hd_clock_wall_ms().v) < 0) {
            rc = -ENOMEM;
        } else {
            free(target);
            target = other;
            rc = hd_fs_rename(sh->fs, path, target, false);
        }
    }
    if (rc == 0) {
        const char *uri = hd_fs_uri(sh->fs);
        fflush(stdout);
        fprintf(stderr, "Moved: '%s%s' to trash at: %s%s\n", uri, path, uri, target);
    }
    free(parent);
    free(target);
    return rc;
}

/* -safely: asks before many files are removed. */
static bool confirmed(struct hd_sh *sh, const struct hd_sh_item *item)
{
    struct hd_summary sum;
    char line[16];
    if (hd_fs_summary(sh->fs, item->path, &sum) < 0 || sum.files + sum.directories <= SAFE_LIMIT) {
        return true;
    }
    printf("Proceed deleting %" PRIu64 " files? (Y or N) ", sum.files + sum.directories);
    fflush(stdout);
    return fgets(line, sizeof(line), stdin) != NULL && (line[0] == 'y' || line[0] == 'Y');
}

static void remove_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct removing *r = ctx;
    bool is_dir = item->st.type == HD_TYPE_DIR && item->link == NULL; /* a symlink goes itself */
    int rc;
    if (is_dir && !r->recursive) {
        hd_sh_fail(sh, item->shown, -EISDIR);
        return;
    }
    if (is_dir && r->safely && !confirmed(sh, item)) {
        hd_sh_say(sh, "Delete aborted at user request.");
        return;
    }
    if (!r->skip_trash && r->trash_minutes > 0 && !hd_sh_is_below(item->path, r->trash)) {
        if (hd_sh_is_below(r->trash, item->path)) {
            hd_sh_say(sh, "`%s': Cannot move \"%s\" to the trash, as it contains the trash",
                      item->shown, item->shown);
            return;
        }
        rc = move_to_trash(sh, item, r->trash);
        if (rc < 0) {
            hd_sh_fail(sh, item->shown, rc);
        }
        return;
    }
    rc = hd_fs_delete(sh->fs, item->link != NULL ? item->link : item->path, r->recursive);
    if (rc == 0) {
        rc = hd_fail(-EIO, "`%s': Input/output error", item->shown);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    } else {
        printf("Deleted %s\n", item->shown);
    }
}

static int open_trash(struct hd_sh *sh, struct removing *r)
{
    struct hd_defaults defaults;
    int rc = hd_fs_defaults(sh->fs, &defaults);
    if (rc < 0) {
        return rc;
    }
    r->trash_minutes = defaults.trash_minutes;
    return asprintf(&r->trash, "/user/%s/.Trash", hd_fs_user(sh->fs)) < 0 ? -ENOMEM : 0;
}

static int run_rm_with(struct hd_sh *sh, struct hd_sh_args *args, bool recursive)
{
    struct removing r = {
        .recursive = recursive || hd_sh_flag(args, "r") || hd_sh_flag(args, "R"),
        .force = hd_sh_flag(args, "f"),
        .skip_trash = hd_sh_flag(args, "skipTrash"),
        .safely = hd_sh_flag(args, "safely"),
    };
    if (args->count == 0) {
        return hd_sh_usage(args, "Not enough arguments: expected 1 but got 0");
    }
    int rc = r.skip_trash ? 0 : open_trash(sh, &r);
    if (rc < 0) {
        hd_sh_fail(sh, "/", rc);
        return 0;
    }
    for (int i = 0; i < args->count && !hd_sh_interrupted(); i++) {
        HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
        rc = hd_sh_expand(sh, args->list[i], &items);
        if (rc < 0 && !(rc == -ENOENT && r.force)) {
            hd_sh_fail(sh, args->list[i], rc);
        }
        for (size_t k = 0; k < items.count && !hd_sh_interrupted(); k++) {
            if (items.list[k].exists) {
                remove_item(sh, &items.list[k], &r);
            } else if (!r.force) {
                hd_sh_fail(sh, items.list[k].shown, -ENOENT);
            }
        }
    }
    free(r.trash);
    return 0;
}

static int run_rm(struct hd_sh *sh, struct hd_sh_args *args)
{
    return run_rm_with(sh, args, false);
}

static int run_rmr(struct hd_sh *sh, struct hd_sh_args *args)
{
    fprintf(stderr, "rmr: DEPRECATED: Please use '-rm -r' instead.\n");
    return run_rm_with(sh, args, true);
}

/* ---- expunge ---- */

/* The time in the name of a trash checkpoint (yyMMddHHmmss), -1 for another name. */
static int64_t checkpoint_time_ms(const char *name)
{
    struct tm tm = {.tm_isdst = -1};
    const char *end = strlen(name) >= 12 ? strptime(name, "%y%m%d%H%M%S", &tm) : NULL;
    return end != NULL ? (int64_t)mktime(&tm) * 1000 : -1;
}

static int remove_old_checkpoints(struct hd_sh *sh, const struct removing *r, bool all)
{
    struct hd_sh_item dir = {.path = r->trash, .shown = r->trash};
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int64_t limit_ms = hd_clock_wall_ms().v - (int64_t)r->trash_minutes * 60000;
    int rc = hd_sh_list(sh, &dir, &items);
    for (size_t i = 0; rc >= 0 && i < items.count; i++) {
        int64_t time_ms = checkpoint_time_ms(hd_sh_basename(items.list[i].path));
        if (time_ms >= 0 && (all || time_ms < limit_ms)) {
            rc = hd_fs_delete(sh->fs, items.list[i].path, true);
        }
    }
    return rc == -ENOENT ? 0 : HD_MIN(rc, 0);
}

static int make_checkpoint(struct hd_sh *sh, const struct removing *r)
{
    char *current = NULL;
    char *target = NULL;
    char name[HD_TIME_TEXT_BYTES];
    hd_format_time(hd_clock_wall_ms().v, "%y%m%d%H%M%S", false, name);
    int rc = -ENOMEM;
    if (asprintf(&current, "%s/Current", r->trash) >= 0 &&
        asprintf(&target, "%s/%s", r->trash, name) >= 0) {
        rc = hd_fs_rename(sh->fs, current, target, false);
    }
    if (rc == 0) {
        fprintf(stderr, "Created trash checkpoint: %s\n", target);
    }
    free(current);
    free(target);
    return rc == -ENOENT ? 0 : rc;
}

static int run_expunge(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct removing r = {0};
    bool now = hd_sh_flag(args, "immediate");
    int rc = open_trash(sh, &r);
    if (rc == 0 && (r.trash_minutes > 0 || now)) {
        rc = now ? make_checkpoint(sh, &r) : 0;
        rc = rc == 0 ? remove_old_checkpoints(sh, &r, now) : rc;
        rc = rc == 0 && !now ? make_checkpoint(sh, &r) : rc;
    }
    if (rc < 0) {
        hd_sh_fail(sh, r.trash != NULL ? r.trash : "/", rc);
    }
    free(r.trash);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_trash[] = {
    {"rm", "f r R skipTrash safely", 0, -1, "[-f] [-r|-R] [-skipTrash] [-safely] <src> ...",
     "Removes files, -r directories with all in them. -f is silent about what is missing, -safely\n"
     "  asks above 100 files. With a trash interval at the server things move to the trash first.",
     run_rm},
    {"rmr", "f skipTrash safely", 1, -1, "<src> ...", "The same as -rm -r.", run_rmr},
    {"expunge", "immediate fs=", 0, 0, "[-immediate]",
     "Removes trash older than the interval and makes a checkpoint of the rest; -immediate removes "
     "all.",
     run_expunge},
    {0},
};
