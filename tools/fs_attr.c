/* fs -chmod -chown -chgrp -setrep. */
#include "tools/fs_format.h"
#include "tools/fs_shell.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <inttypes.h>
#include <errno.h>
#include <stdlib.h>

enum { POLL_MS = 100, DOT_MS = 2000 };

struct owning {
    const char *owner, *group; /* NULL: leave */
};

static void chmod_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    uint32_t mode;
    int rc = hd_parse_mode(ctx, item->st.mode, item->st.type == HD_TYPE_DIR, &mode);
    if (rc == 0 && mode != item->st.mode) {
        rc = hd_fs_set_mode(sh->fs, item->path, mode);
    }
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static void chown_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct owning *o = ctx;
    const char *owner = o->owner != NULL && strcmp(o->owner, item->st.owner) != 0 ? o->owner : NULL;
    const char *group = o->group != NULL && strcmp(o->group, item->st.group) != 0 ? o->group : NULL;
    if (owner == NULL && group == NULL) {
        return;
    }
    int rc = hd_fs_set_owner(sh->fs, item->path, owner, group);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

/* What -R needs: fn for everything below. */
struct deep {
    void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx);
    void *ctx;
};

static void walk_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    const struct deep *d = ctx;
    hd_sh_walk(sh, item, d->fn, d->ctx);
}

static void apply(struct hd_sh *sh, struct hd_sh_args *args,
                  void (*fn)(struct hd_sh *, const struct hd_sh_item *, void *), void *ctx)
{
    struct deep deep = {.fn = fn, .ctx = ctx};
    if (hd_sh_flag(args, "R")) {
        hd_sh_each(sh, args, 1, walk_item, &deep);
    } else {
        hd_sh_each(sh, args, 1, fn, ctx);
    }
}

static int run_chmod(struct hd_sh *sh, struct hd_sh_args *args)
{
    uint32_t mode;
    if (hd_parse_mode(args->list[0], 0, false, &mode) < 0) {
        return hd_sh_usage(args, "chmod : mode '%s' does not match the expected pattern.",
                           args->list[0]);
    }
    apply(sh, args, chmod_item, args->list[0]);
    return 0;
}

static int run_chown(struct hd_sh *sh, struct hd_sh_args *args)
{
    char *text = args->list[0];
    char *colon = strchr(text, ':');
    struct owning o = {0};
    if (colon != NULL) {
        *colon = '\0';
        o.group = colon[1] != '\0' ? colon + 1 : NULL;
    }
    o.owner = text[0] != '\0' ? text : NULL;
    if (o.owner == NULL && o.group == NULL) {
        return hd_sh_usage(args, "chown : neither an owner nor a group is named");
    }
    apply(sh, args, chown_item, &o);
    return 0;
}

static int run_chgrp(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct owning o = {.group = args->list[0]};
    apply(sh, args, chown_item, &o);
    return 0;
}

/* ---- setrep ---- */

struct replicating {
    uint32_t replication;
    struct hd_sh_items waiting; /* files to wait for, with -w */
    bool wait;
};

static void setrep_item(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx)
{
    struct replicating *r = ctx;
    if (item->st.type != HD_TYPE_FILE) {
        return; /* a directory stands for the files below it */
    }
    int rc = hd_fs_set_replication(sh->fs, item->path, r->replication);
    if (rc <= 0) {
        hd_sh_say(sh, "Could not set replication for: %s%s%s", item->shown, rc < 0 ? ": " : "",
                  rc < 0 ? hd_fail_describe(rc) : "");
        return;
    }
    printf("Replication %u set: %s\n", r->replication, item->shown);
    if (r->wait) {
        struct hd_sh_item copy = {.shown = strdup(item->shown), .path = strdup(item->path)};
        if (copy.shown == NULL || copy.path == NULL || hd_sh_items_add(&r->waiting, &copy) < 0) {
            hd_sh_fail(sh, item->shown, -ENOMEM);
        }
    }
}

/* 1 when every block has as many replicas as wanted. */
static int is_replicated(struct hd_sh *sh, const char *path, uint32_t want)
{
    struct hd_located_file f;
    int rc = hd_fs_locate(sh->fs, path, 0, UINT64_MAX >> 1, &f);
    if (rc < 0) {
        return rc;
    }
    bool done = true;
    for (uint32_t i = 0; i < f.block_count; i++) {
        done = done && f.blocks[i].location_count == want;
    }
    hd_located_file_done(&f);
    return done;
}

static void wait_for(struct hd_sh *sh, const struct hd_sh_item *item, uint32_t want)
{
    int rc;
    int64_t dot_ms = hd_clock_mono_ms().v + DOT_MS;
    printf("Waiting for %s ...", item->shown);
    fflush(stdout);
    while ((rc = is_replicated(sh, item->path, want)) == 0 && !hd_sh_interrupted()) {
        hd_clock_sleep_ms(POLL_MS);
        if (hd_clock_mono_ms().v >= dot_ms) {
            putchar('.');
            fflush(stdout);
            dot_ms += DOT_MS;
        }
    }
    puts(rc == 1 ? " done" : "");
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
    }
}

static int run_setrep(struct hd_sh *sh, struct hd_sh_args *args)
{
    char *end;
    long n = strtol(args->list[0], &end, 10);
    struct replicating r = {.replication = (uint32_t)n, .wait = hd_sh_flag(args, "w")};
    struct deep deep = {.fn = setrep_item, .ctx = &r};
    if (*end != '\0' || end == args->list[0]) {
        return hd_sh_usage(args, "Illegal replication, a positive integer expected");
    }
    if (n < 1) {
        return hd_sh_usage(args, "replication must be >= 1");
    }
    if (n > HD_REPLICATION_MAX) {
        return hd_sh_usage(args, "replication must be <= %d", HD_REPLICATION_MAX);
    }
    hd_sh_each(sh, args, 1, walk_item, &deep);
    for (size_t i = 0; i < r.waiting.count && !hd_sh_interrupted(); i++) {
        wait_for(sh, &r.waiting.list[i], r.replication);
    }
    hd_sh_items_done(&r.waiting);
    return 0;
}

const struct hd_sh_verb hd_sh_verbs_attr[] = {
    {"chmod", "R", 2, -1, "[-R] <MODE[,MODE]... | OCTALMODE> PATH...",
     "Changes permissions: octal, or ugoa +-= rwxXt. -R below directories too.", run_chmod},
    {"chown", "R", 2, -1, "[-R] [OWNER][:[GROUP]] PATH...", "Changes owner and group.", run_chown},
    {"chgrp", "R", 2, -1, "[-R] GROUP PATH...", "Changes the group.", run_chgrp},
    {"setrep", "R w", 2, -1, "[-R] [-w] <rep> <path> ...",
     "Sets the number of replicas of files, and of those below directories; -w waits until it is "
     "so.",
     run_setrep},
    {0},
};
