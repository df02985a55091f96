/* Copying between two sides. See fs_copy.h. */
#include "tools/fs_copy.h"
#include "tools/fs_workers.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

enum { COPY_BYTES = 1 << 20, PROGRESS_AFTER_BYTES = 32 << 20, PROGRESS_EVERY_MS = 200 };

/* Where a copy goes: as written and as it is. */
struct target {
    char *shown;
    char *path;
};

static void target_done(struct target *t)
{
    free(t->shown);
    free(t->path);
}

/* A directory whose attributes are set, and that is removed, when all below it is copied. */
struct later {
    struct hd_sh_item item;
    struct target target;
};

/* A copy of more than one file: what the threads share. */
struct hd_copy_tree {
    pthread_mutex_t lock; /* of all counters */
    uint64_t files, bytes;
    int64_t begin_ms, next_ms; /* next_ms: when the line is drawn again */
    struct later *later;       /* the walking thread's; children before parents */
    size_t later_count, later_capacity;
};

/* ---- bytes ---- */

struct progress {
    const char *shown;
    uint64_t total_bytes;
    uint64_t done_bytes;
    int64_t begin_ms;
    int64_t next_ms; /* when the line is drawn again */
};

static void show_progress(struct progress *p, bool last)
{
    int64_t now_ms = hd_clock_mono_ms().v;
    if (!last && now_ms < p->next_ms) {
        return;
    }
    p->next_ms = now_ms + PROGRESS_EVERY_MS;
    double seconds = (double)HD_MAX(now_ms - p->begin_ms, 1) / 1000.0;
    fprintf(stderr, "\r%s: %3.0f%%  %.0f MiB  %.0f MiB/s%s", p->shown,
            100.0 * (double)p->done_bytes / (double)HD_MAX(p->total_bytes, 1),
            (double)p->done_bytes / 1048576.0, (double)p->done_bytes / 1048576.0 / seconds,
            last ? "\n" : "  ");
}

/* Counts what a thread has copied, and draws the line of the whole tree now and then. */
static void count_copied(const struct hd_copy *c, uint64_t bytes, unsigned files)
{
    struct hd_copy_tree *t = c->tree;
    pthread_mutex_lock(&t->lock);
    int64_t now_ms = hd_clock_mono_ms().v;
    t->bytes += bytes;
    t->files += files;
    if (c->progress && now_ms >= t->next_ms) {
        double seconds = (double)HD_MAX(now_ms - t->begin_ms, 1) / 1000.0;
        t->next_ms = now_ms + PROGRESS_EVERY_MS;
        fprintf(stderr, "\r%" PRIu64 " files  %.0f MiB  %.1f MiB/s  ", t->files,
                (double)t->bytes / 1048576.0, (double)t->bytes / 1048576.0 / seconds);
    }
    pthread_mutex_unlock(&t->lock);
}

/* Everything from in to out. */
static int pump(const struct hd_copy *c, struct hd_side_file *in, struct hd_side_file *out,
                struct progress *p)
{
    uint8_t *buf = malloc(COPY_BYTES);
    bool show = c->progress && c->tree == NULL && p->total_bytes >= PROGRESS_AFTER_BYTES;
    int rc = buf != NULL ? 0 : -ENOMEM;
    while (rc == 0) {
        int64_t n = c->from.ops->read(in, buf, COPY_BYTES);
        if (n <= 0) {
            rc = (int)n;
            break;
        }
        rc = c->to.ops->write(out, buf, (size_t)n);
        p->done_bytes += (uint64_t)n;
        if (rc == 0 && hd_sh_interrupted()) {
            rc = hd_fail(-EINTR, "interrupted");
        }
        if (c->tree != NULL) {
            count_copied(c, (uint64_t)n, 0);
        } else if (show) {
            show_progress(p, false);
        }
    }
    if (show) {
        show_progress(p, true);
    }
    free(buf);
    return rc;
}

/* Copies an open file into path, which is complete or gone afterwards. Closes in. */
static int fill(const struct hd_copy *c, struct hd_side_file *in, const char *path,
                struct progress *p)
{
    struct hd_side_file *out;
    int rc = c->to.ops->create(&c->to, path, &out);
    if (rc < 0) {
        c->from.ops->close(in);
        return rc;
    }
    rc = pump(c, in, out, p);
    c->from.ops->close(in);
    if (rc == 0) {
        rc = c->to.ops->close(out);
    } else {
        c->to.ops->abandon(out);
    }
    if (rc < 0) {
        char text[HD_FAIL_TEXT_BYTES]; /* the reason, not what removing says */
        snprintf(text, sizeof(text), "%s", hd_fail_describe(rc));
        c->to.ops->remove(&c->to, path);
        hd_fail(rc, "%s", text);
    }
    return rc;
}

/* By way of the temporary name, unless direct. Closes in. */
static int place(const struct hd_copy *c, struct hd_side_file *in, const char *path,
                 struct progress *p)
{
    if (c->direct) {
        return fill(c, in, path, p);
    }
    char *temporary;
    if (asprintf(&temporary, "%s._COPYING_", path) < 0) {
        c->from.ops->close(in);
        return -ENOMEM;
    }
    int rc = fill(c, in, temporary, p);
    if (rc == 0) {
        rc = c->to.ops->rename(&c->to, temporary, path, c->overwrite);
        if (rc < 0) {
            c->to.ops->remove(&c->to, temporary);
        }
    }
    free(temporary);
    return rc;
}

int hd_copy_stream(const struct hd_copy *c, struct hd_side_file *in, const char *path)
{
    struct progress p = {.shown = "-", .begin_ms = hd_clock_mono_ms().v};
    return place(c, in, path, &p);
}

int hd_copy_bytes(const struct hd_copy *c, struct hd_side_file *in, struct hd_side_file *out)
{
    struct progress p = {.shown = "-", .begin_ms = hd_clock_mono_ms().v};
    return pump(c, in, out, &p);
}

/* ---- files and directories ---- */

static void copy_one(struct hd_copy *c, const struct hd_sh_item *item, const struct target *t);

static void copy_file(struct hd_copy *c, const struct hd_sh_item *item, const struct target *t)
{
    struct hd_side_file *in;
    struct hd_stat st;
    struct progress p = {
        .shown = item->shown, .total_bytes = item->st.size_bytes, .begin_ms = hd_clock_mono_ms().v};
    int rc = c->to.ops->stat(&c->to, t->path, &st);
    if (rc == 0) {
        rc = st.type == HD_TYPE_DIR ? -EISDIR : c->overwrite ? 0 : -EEXIST;
        hd_stat_done(&st);
        if (rc < 0) {
            hd_sh_fail(c->sh, t->shown, rc);
            return;
        }
    } else if (rc != -ENOENT) {
        hd_sh_fail(c->sh, t->shown, rc);
        return;
    }
    if ((rc = c->from.ops->open(&c->from, item->path, &in)) < 0) {
        hd_sh_fail(c->sh, item->shown, rc);
        return;
    }
    rc = place(c, in, t->path, &p);
    if (rc == 0 && c->keep != 0) {
        rc = c->to.ops->set_attr(&c->to, t->path, &item->st, c->keep);
    }
    if (rc == 0 && c->remove_source) {
        rc = c->from.ops->remove(&c->from, item->path);
    }
    if (rc < 0) {
        hd_sh_fail(c->sh, t->shown, rc);
    } else if (c->tree != NULL) {
        count_copied(c, 0, 1);
    }
}

/* A file on its way to a worker. */
struct file_job {
    struct hd_copy *copy;
    struct hd_sh_item item;
    struct target target;
};

static void do_file_job(void *job)
{
    struct file_job *j = job;
    if (!hd_sh_interrupted()) {
        copy_file(j->copy, &j->item, &j->target);
    }
    hd_sh_item_done(&j->item);
    target_done(&j->target);
    free(j);
}

/* The item and target with memory of their own. The link of the stat stays behind. */
static bool own(const struct hd_sh_item *item, const struct target *t, struct hd_sh_item *ret_item,
                struct target *ret_target)
{
    *ret_item = (struct hd_sh_item){
        .shown = strdup(item->shown), .path = strdup(item->path), .exists = true, .st = item->st};
    ret_item->st.link = NULL;
    *ret_target = (struct target){.shown = strdup(t->shown), .path = strdup(t->path)};
    return ret_item->shown != NULL && ret_item->path != NULL && ret_target->shown != NULL &&
           ret_target->path != NULL;
}

/* By a worker if there are any, else at once. */
static void start_file(struct hd_copy *c, const struct hd_sh_item *item, const struct target *t)
{
    struct file_job *j = c->workers != NULL ? calloc(1, sizeof(*j)) : NULL;
    if (j == NULL) {
        copy_file(c, item, t);
        return;
    }
    j->copy = c;
    if (own(item, t, &j->item, &j->target)) {
        hd_workers_put(c->workers, j);
        return;
    }
    hd_sh_item_done(&j->item);
    target_done(&j->target);
    free(j);
    hd_sh_fail(c->sh, t->shown, -ENOMEM);
}

/* Makes sure the target is a directory. */
static int need_dir(struct hd_copy *c, const struct target *t)
{
    struct hd_stat st;
    int rc = c->to.ops->stat(&c->to, t->path, &st);
    if (rc == -ENOENT) {
        return c->to.ops->make_dir(&c->to, t->path);
    }
    if (rc == 0) {
        rc = st.type == HD_TYPE_DIR ? 0 : -ENOTDIR;
        hd_stat_done(&st);
    }
    return rc;
}

static void leave_for_later(struct hd_copy *c, const struct hd_sh_item *item,
                            const struct target *t)
{
    struct hd_copy_tree *tree = c->tree;
    if (tree->later_count == tree->later_capacity) {
        size_t capacity = tree->later_capacity != 0 ? tree->later_capacity * 2 : 64;
        struct later *grown = realloc(tree->later, capacity * sizeof(*grown));
        if (grown == NULL) {
            hd_sh_fail(c->sh, t->shown, -ENOMEM);
            return;
        }
        tree->later = grown;
        tree->later_capacity = capacity;
    }
    struct later *l = &tree->later[tree->later_count++];
    if (!own(item, t, &l->item, &l->target)) {
        hd_sh_fail(c->sh, t->shown, -ENOMEM);
    }
}

/* Everything below is copied: the directories get their attributes, or go. */
static void finish_directories(struct hd_copy *c)
{
    for (size_t i = 0; i < c->tree->later_count; i++) {
        struct later *l = &c->tree->later[i];
        bool whole = l->item.path != NULL && l->target.path != NULL;
        int rc = 0;
        if (whole && c->keep != 0) {
            rc = c->to.ops->set_attr(&c->to, l->target.path, &l->item.st, c->keep);
        }
        if (whole && rc == 0 && c->remove_source && c->sh->exit_code == 0) {
            rc = c->from.ops->remove(&c->from, l->item.path);
        }
        if (rc < 0) {
            hd_sh_fail(c->sh, l->target.shown, rc);
        }
        hd_sh_item_done(&l->item);
        target_done(&l->target);
    }
    free(c->tree->later);
}

static void copy_dir(struct hd_copy *c, const struct hd_sh_item *item, const struct target *t)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = need_dir(c, t);
    if (rc < 0) {
        hd_sh_fail(c->sh, t->shown, rc);
        return;
    }
    if ((rc = c->from.ops->list(&c->from, item, &items)) < 0) {
        hd_sh_fail(c->sh, item->shown, rc);
    }
    for (size_t i = 0; i < items.count && !hd_sh_interrupted(); i++) {
        const char *name = hd_sh_basename(items.list[i].path);
        HD_AUTO(target_done)
        struct target child = {.shown = hd_sh_join(t->shown, name),
                               .path = hd_sh_join(t->path, name)};
        if (child.shown == NULL || child.path == NULL) {
            hd_sh_fail(c->sh, t->shown, -ENOMEM);
            return;
        }
        copy_one(c, &items.list[i], &child);
    }
    if (c->keep != 0 || c->remove_source) {
        leave_for_later(c, item, t);
    }
}

static void copy_one(struct hd_copy *c, const struct hd_sh_item *item, const struct target *t)
{
    if (!item->exists) {
        hd_sh_fail(c->sh, item->shown, -ENOENT);
    } else if (item->st.type == HD_TYPE_DIR && !c->recursive) {
        hd_sh_fail(c->sh, item->shown, -EISDIR);
    } else if (item->st.type == HD_TYPE_DIR) {
        copy_dir(c, item, t);
    } else if (item->st.type == HD_TYPE_SYMLINK) { /* inside a directory: copied as what it means */
        struct hd_sh_item followed = {.shown = item->shown, .path = item->path};
        int rc = c->from.ops->stat(&c->from, item->path, &followed.st);
        followed.exists = rc == 0;
        if (rc < 0) {
            hd_sh_fail(c->sh, item->shown, rc);
        } else if (followed.st.type == HD_TYPE_FILE) {
            start_file(c, &followed, t);
        } else {
            hd_sh_say(c->sh, "`%s': a symbolic link to a directory is not copied", item->shown);
        }
    } else {
        start_file(c, item, t);
    }
}

/* True when the target lies inside of the source, on the same side: copying would not end. */
static bool is_inside(const struct hd_copy *c, const struct hd_sh_item *item,
                      const struct target *t)
{
    return c->from.ops == c->to.ops && item->st.type == HD_TYPE_DIR &&
           hd_sh_is_below(t->path, item->path);
}

static void copy_argument(struct hd_copy *c, const struct hd_sh_item *item,
                          const struct hd_sh_item *dst, bool dst_is_dir)
{
    const char *name = hd_sh_basename(item->path);
    HD_AUTO(target_done)
    struct target t = {
        .shown = dst_is_dir ? hd_sh_join(dst->shown, name) : strdup(dst->shown),
        .path = dst_is_dir ? hd_sh_join(dst->path, name) : strdup(dst->path),
    };
    if (t.shown == NULL || t.path == NULL) {
        hd_sh_fail(c->sh, item->shown, -ENOMEM);
    } else if (c->from.ops == c->to.ops && strcmp(t.path, item->path) == 0) {
        hd_sh_say(c->sh, "`%s' to `%s': are the same", item->shown, t.shown);
    } else if (item->exists && is_inside(c, item, &t)) {
        hd_sh_say(c->sh, "`%s' to `%s': is a subdirectory of itself", item->shown, t.shown);
    } else {
        copy_one(c, item, &t);
    }
}

bool hd_copy_check_destination(struct hd_copy *c, const struct hd_sh_items *sources,
                               const struct hd_sh_item *dst)
{
    bool is_dir = dst->exists && dst->st.type == HD_TYPE_DIR;
    if (sources->count > 1 && !dst->exists) {
        hd_sh_fail(c->sh, dst->shown, -ENOENT);
        return false;
    }
    if (sources->count > 1 && !is_dir) {
        hd_sh_fail(c->sh, dst->shown, -ENOTDIR);
        return false;
    }
    if (dst->exists && !is_dir && !c->overwrite) {
        hd_sh_fail(c->sh, dst->shown, -EEXIST);
        return false;
    }
    if (dst->exists) {
        return true;
    }
    struct hd_stat st;
    char *parent = hd_sh_dirname(dst->path);
    int rc = parent != NULL ? c->to.ops->stat(&c->to, parent, &st) : -ENOMEM;
    free(parent);
    if (rc == 0) {
        hd_stat_done(&st);
        return true;
    }
    if (rc == -ENOENT && c->to.ops == &hd_side_cluster) {
        hd_sh_fail_full(c->sh, dst);
    } else {
        hd_sh_fail(c->sh, dst->shown, rc);
    }
    return false;
}

void hd_copy_all(struct hd_copy *c, const struct hd_sh_items *sources, const struct hd_sh_item *dst)
{
    bool is_dir = dst->exists && dst->st.type == HD_TYPE_DIR;
    bool many =
        sources->count > 1 || (sources->count == 1 && sources->list[0].st.type == HD_TYPE_DIR);
    struct hd_copy_tree tree = {.lock = PTHREAD_MUTEX_INITIALIZER,
                                .begin_ms = hd_clock_mono_ms().v};
    if (!hd_copy_check_destination(c, sources, dst)) {
        return;
    }
    tree.next_ms = tree.begin_ms + PROGRESS_EVERY_MS;
    if (many) {
        c->tree = &tree;
    }
    if (many && c->threads > 1 && hd_workers_new(c->threads, do_file_job, &c->workers) < 0) {
        c->workers = NULL; /* no threads to be had: slower, and just as right */
    }
    for (size_t i = 0; i < sources->count && !hd_sh_interrupted(); i++) {
        copy_argument(c, &sources->list[i], dst, is_dir);
    }
    hd_workers_finish(c->workers);
    c->workers = NULL;
    if (many) {
        finish_directories(c);
    }
    if (many && c->progress && tree.next_ms > tree.begin_ms + PROGRESS_EVERY_MS) {
        fputc('\n', stderr);
    }
    c->tree = NULL;
}
