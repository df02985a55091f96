/*
 * fs -put -get -cp and their kin. One algorithm between two sides (fs_side.h): a file is written to
 * "<target>._COPYING_" and renamed when it is complete, so nobody ever sees half of it; directories
 * are copied with all in them.
 */
#include "tools/fs_side.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { COPY_BYTES = 1 << 20, PROGRESS_AFTER_BYTES = 32 << 20, PROGRESS_EVERY_MS = 200 };

struct copy {
    struct hd_sh *sh;
    struct hd_side from;
    struct hd_side to;
    bool overwrite, direct, recursive, remove_source;
    unsigned keep; /* HD_KEEP_* */
    bool progress; /* on a terminal */
};

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

/* Everything from in to out. */
static int pump(const struct copy *c, struct hd_side_file *in, struct hd_side_file *out,
                struct progress *p)
{
    uint8_t *buf = malloc(COPY_BYTES);
    bool show = c->progress && p->total_bytes >= PROGRESS_AFTER_BYTES;
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
        if (show) {
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
static int fill(const struct copy *c, struct hd_side_file *in, const char *path, struct progress *p)
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
static int place(const struct copy *c, struct hd_side_file *in, const char *path,
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

/* ---- files and directories ---- */

static void copy_one(struct copy *c, const struct hd_sh_item *item, const struct target *t);

static void copy_file(struct copy *c, const struct hd_sh_item *item, const struct target *t)
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
    }
}

/* Makes sure the target is a directory. */
static int need_dir(struct copy *c, const struct target *t)
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

static void copy_dir(struct copy *c, const struct hd_sh_item *item, const struct target *t)
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
    if (c->keep != 0 && (rc = c->to.ops->set_attr(&c->to, t->path, &item->st, c->keep)) < 0) {
        hd_sh_fail(c->sh, t->shown, rc);
    }
    if (c->remove_source && c->sh->exit_code == 0 &&
        (rc = c->from.ops->remove(&c->from, item->path)) < 0) {
        hd_sh_fail(c->sh, item->shown, rc);
    }
}

static void copy_one(struct copy *c, const struct hd_sh_item *item, const struct target *t)
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
            copy_file(c, &followed, t);
        } else {
            hd_sh_say(c->sh, "`%s': a symbolic link to a directory is not copied", item->shown);
        }
    } else {
        copy_file(c, item, t);
    }
}

/* True when the target lies inside of the source, on the same side: copying would not end. */
static bool is_inside(const struct copy *c, const struct hd_sh_item *item, const struct target *t)
{
    return c->from.ops == c->to.ops && item->st.type == HD_TYPE_DIR &&
           hd_sh_is_below(t->path, item->path);
}

static void copy_argument(struct copy *c, const struct hd_sh_item *item,
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

/* What FsShell checks of a destination before it copies anything. */
static bool check_destination(struct copy *c, const struct hd_sh_items *sources,
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

static void copy_all(struct copy *c, const struct hd_sh_items *sources,
                     const struct hd_sh_item *dst)
{
    bool is_dir = dst->exists && dst->st.type == HD_TYPE_DIR;
    if (!check_destination(c, sources, dst)) {
        return;
    }
    for (size_t i = 0; i < sources->count && !hd_sh_interrupted(); i++) {
        copy_argument(c, &sources->list[i], dst, is_dir);
    }
}

/* ---- arguments ---- */

static int local_destination(const char *arg, struct hd_sh_item *ret)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = hd_side_expand_local(arg, &items);
    if (rc == 0 && items.count != 1) {
        rc = hd_fail(-EINVAL, "`%s': Too many matches", arg);
    }
    if (rc == 0) {
        *ret = items.list[0];
        items.list[0] = (struct hd_sh_item){0};
    }
    return rc;
}

/* Takes the last argument as destination, "." when there is only one. */
static const char *take_destination(struct hd_sh_args *args)
{
    return args->count > 1 ? args->list[--args->count] : ".";
}

static void expand_sources(struct copy *c, struct hd_sh_args *args, struct hd_sh_items *out)
{
    for (int i = 0; i < args->count; i++) {
        int rc = c->from.ops == &hd_side_local ? hd_side_expand_local(args->list[i], out)
                                               : hd_sh_expand(c->sh, args->list[i], out);
        if (rc < 0) {
            hd_sh_fail(c->sh, args->list[i], rc);
        }
    }
}

static void run_copy(struct copy *c, struct hd_sh_args *args, const char *destination)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items sources = {0};
    HD_AUTO(hd_sh_item_done) struct hd_sh_item dst = {0};
    int rc = c->to.ops == &hd_side_local ? local_destination(destination, &dst)
                                         : hd_sh_lookup(c->sh, destination, &dst);
    if (rc < 0) {
        hd_sh_fail(c->sh, destination, rc);
        return;
    }
    expand_sources(c, args, &sources);
    copy_all(c, &sources, &dst);
}

static struct copy new_copy(struct hd_sh *sh, const struct hd_side_ops *from,
                            const struct hd_side_ops *to)
{
    return (struct copy){
        .sh = sh,
        .from = {.ops = from, .sh = sh},
        .to = {.ops = to, .sh = sh},
        .recursive = true,
        .progress = isatty(STDERR_FILENO) == 1,
    };
}

/* stdin into one file. */
static void put_stdin(struct copy *c, const char *destination)
{
    HD_AUTO(hd_sh_item_done) struct hd_sh_item dst = {0};
    struct hd_sh_items none = {0};
    struct hd_side_file *in;
    struct progress p = {.shown = "-", .begin_ms = hd_clock_mono_ms().v};
    int rc = hd_sh_lookup(c->sh, destination, &dst);
    if (rc < 0) {
        hd_sh_fail(c->sh, destination, rc);
        return;
    }
    if (!check_destination(c, &none, &dst)) {
        return;
    }
    bool is_dir = dst.exists && dst.st.type == HD_TYPE_DIR;
    HD_AUTO(target_done)
    struct target t = {.shown = strdup(dst.shown),
                       .path = is_dir ? hd_sh_join(dst.path, "-") : strdup(dst.path)};
    rc = t.path != NULL && t.shown != NULL ? hd_side_stdio(STDIN_FILENO, &in) : -ENOMEM;
    rc = rc == 0 ? place(c, in, t.path, &p) : rc;
    if (rc < 0) {
        hd_sh_fail(c->sh, dst.shown, rc);
    }
}

static int run_put_with(struct hd_sh *sh, struct hd_sh_args *args, bool remove_source)
{
    struct copy c = new_copy(sh, &hd_side_local, &hd_side_cluster);
    c.overwrite = hd_sh_flag(args, "f");
    c.direct = hd_sh_flag(args, "d");
    c.keep = hd_sh_flag(args, "p") ? HD_KEEP_TIMES | HD_KEEP_OWNER | HD_KEEP_MODE : 0;
    c.remove_source = remove_source;
    if (hd_sh_flag(args, "l")) {
        sh->replication = 1;
    }
    const char *destination = take_destination(args);
    if (args->count == 1 && strcmp(args->list[0], "-") == 0 && !remove_source) {
        put_stdin(&c, destination);
    } else {
        run_copy(&c, args, destination);
    }
    return 0;
}

static int run_put(struct hd_sh *sh, struct hd_sh_args *args)
{
    return run_put_with(sh, args, false);
}

static int run_move_from_local(struct hd_sh *sh, struct hd_sh_args *args)
{
    return run_put_with(sh, args, true);
}

/* Files to stdout, one behind the other. */
static void get_stdout(struct copy *c, struct hd_sh_args *args)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items sources = {0};
    expand_sources(c, args, &sources);
    c->progress = false;
    for (size_t i = 0; i < sources.count; i++) {
        const struct hd_sh_item *item = &sources.list[i];
        struct hd_side_file *in;
        struct hd_side_file *out;
        struct progress p = {.shown = item->shown};
        int rc = !item->exists ? -ENOENT : item->st.type == HD_TYPE_DIR ? -EISDIR : 0;
        rc = rc == 0 ? c->from.ops->open(&c->from, item->path, &in) : rc;
        if (rc == 0) {
            rc = hd_side_stdio(STDOUT_FILENO, &out);
            if (rc == 0) {
                rc = pump(c, in, out, &p);
                c->to.ops->close(out);
            }
            c->from.ops->close(in);
        }
        if (rc < 0) {
            hd_sh_fail(c->sh, item->shown, rc);
        }
    }
}

static int run_get(struct hd_sh *sh, struct hd_sh_args *args)
{
    struct copy c = new_copy(sh, &hd_side_cluster, &hd_side_local);
    c.overwrite = hd_sh_flag(args, "f");
    c.keep = hd_sh_flag(args, "p") ? HD_KEEP_TIMES | HD_KEEP_OWNER | HD_KEEP_MODE : 0;
    const char *destination = take_destination(args);
    c.direct = strncmp(destination, "/dev/", 5) == 0;
    c.overwrite = c.overwrite || c.direct;
    if (strcmp(destination, "-") == 0) {
        get_stdout(&c, args);
    } else {
        run_copy(&c, args, destination);
    }
    return 0;
}

/* "-p" and "-ptopax": what to keep. Takes it out of the arguments. */
static unsigned take_keep(struct hd_sh_args *args)
{
    unsigned keep = 0;
    for (int i = 0; i < args->count && args->list[i][0] == '-'; i++) {
        const char *letters = args->list[i] + 2;
        if (args->list[i][1] != 'p' || letters[strspn(letters, "topax")] != '\0') {
            continue;
        }
        bool all = letters[0] == '\0';
        keep |= all || strchr(letters, 't') != NULL ? HD_KEEP_TIMES : 0;
        keep |= all || strchr(letters, 'o') != NULL ? HD_KEEP_OWNER : 0;
        keep |= all || strchr(letters, 'p') != NULL ? HD_KEEP_MODE : 0;
        memmove(&args->list[i], &args->list[i + 1], (size_t)(args->count - i) * sizeof(char *));
        args->count--;
        i--;
    }
    return keep;
}

static int run_cp(struct hd_sh *sh, struct hd_sh_args *args)
{
    static const struct hd_sh_verb parsed = {
        .name = "cp",
        .options = "f d t= q=",
        .min = 2,
        .max = -1,
        .synopsis =
            "[-f] [-p | -p[topax]] [-d] [-t <thread count>] [-q <queue size>] <src> ... <dst>"};
    struct copy c = new_copy(sh, &hd_side_cluster, &hd_side_cluster);
    c.keep = take_keep(args);
    args->verb = &parsed;
    int rc = hd_sh_parse(args);
    if (rc != 0) {
        return rc;
    }
    c.overwrite = hd_sh_flag(args, "f");
    c.direct = hd_sh_flag(args, "d");
    run_copy(&c, args, args->list[--args->count]);
    return 0;
}

/* ---- append ---- */

/* Opens the target for appending, creating it when missing. */
static int open_append(struct hd_sh *sh, const struct hd_sh_item *dst, struct hd_file **ret)
{
    struct hd_create_options o = {.mode = 0666 & ~sh->umask,
                                  .parents = true,
                                  .replication = sh->replication,
                                  .block_size_bytes = sh->block_size_bytes};
    if (!dst->exists) {
        return hd_file_create(sh->fs, dst->path, &o, ret);
    }
    return hd_file_append(sh->fs, dst->path, ret);
}

static int append_one(const struct hd_side *local, const char *arg, struct hd_file *out)
{
    struct hd_side_file *in;
    uint8_t *buf = malloc(COPY_BYTES);
    int64_t n = 0;
    int rc = buf == NULL             ? -ENOMEM
             : strcmp(arg, "-") == 0 ? hd_side_stdio(STDIN_FILENO, &in)
                                     : local->ops->open(local, arg, &in);
    if (rc == 0) {
        while (rc == 0 && (n = local->ops->read(in, buf, COPY_BYTES)) > 0) {
            rc = hd_file_write(out, buf, (size_t)n);
        }
        local->ops->close(in);
    }
    free(buf);
    return rc < 0 ? rc : (int)HD_MIN(n, 0);
}

static int run_append(struct hd_sh *sh, struct hd_sh_args *args)
{
    HD_AUTO(hd_sh_item_done) struct hd_sh_item dst = {0};
    struct hd_side local = {.ops = &hd_side_local, .sh = sh};
    struct hd_file *out;
    const char *destination = args->list[--args->count];
    for (int i = 0; i < args->count; i++) { /* before anything is appended */
        struct hd_stat st;
        int rc = strcmp(args->list[i], "-") == 0 ? 0 : local.ops->stat(&local, args->list[i], &st);
        rc = rc == 0 && strcmp(args->list[i], "-") != 0 && st.type == HD_TYPE_DIR ? -EISDIR : rc;
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
            return 0;
        }
    }
    int rc = hd_sh_lookup(sh, destination, &dst);
    if (rc == 0 && dst.exists && dst.st.type == HD_TYPE_DIR) {
        hd_sh_say(sh, "Cannot append to directory %s; already exists as a directory.", dst.shown);
        return 0;
    }
    if (rc == 0) {
        rc = open_append(sh, &dst, &out);
    }
    if (rc < 0) {
        hd_sh_fail(sh, destination, rc);
        return 0;
    }
    for (int i = 0; rc == 0 && i < args->count; i++) {
        rc = append_one(&local, args->list[i], out);
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
        }
    }
    int close_rc = hd_file_close(out);
    if (rc == 0 && close_rc < 0) {
        hd_sh_fail(sh, destination, close_rc);
    }
    return 0;
}

#define PUT_SYNOPSIS                                                                               \
    "[-f] [-p] [-l] [-d] [-t <thread count>] [-q <queue size>] <localsrc> ... <dst>"
#define GET_SYNOPSIS                                                                               \
    "[-f] [-p] [-crc] [-ignoreCrc] [-t <thread count>] [-q <queue size>] <src> ... <localdst>"
#define PUT_HELP                                                                                   \
    "Copies local files and directories into the file system; - is stdin. -f replaces, -p keeps "  \
    "times, owner\n"                                                                               \
    "  and mode, -l one replica, -d no temporary name. -t and -q are accepted; one thread copies."
#define GET_HELP                                                                                   \
    "Copies files and directories to the local file system; - is stdout. -f replaces, -p keeps "   \
    "times, owner\n"                                                                               \
    "  and mode. Checksums are always verified."

const struct hd_sh_verb hd_sh_verbs_copy[] = {
    {"put", "f p l d t= q=", 1, -1, PUT_SYNOPSIS, PUT_HELP, run_put},
    {"copyFromLocal", "f p l d t= q=", 1, -1, PUT_SYNOPSIS, PUT_HELP, run_put},
    {"moveFromLocal", "f p l d t= q=", 1, -1, "[-f] [-p] [-l] [-d] <localsrc> ... <dst>",
     "The same as -put, and removes the source.", run_move_from_local},
    {"get", "f p crc ignoreCrc t= q=", 1, -1, GET_SYNOPSIS, GET_HELP, run_get},
    {"copyToLocal", "f p crc ignoreCrc t= q=", 1, -1, GET_SYNOPSIS, GET_HELP, run_get},
    {"cp", NULL, 2, -1,
     "[-f] [-p | -p[topax]] [-d] [-t <thread count>] [-q <queue size>] <src> ... <dst>",
     "Copies within the file system.", run_cp},
    {"appendToFile", "n", 2, -1, "[-n] <localsrc> ... <dst>",
     "Appends local files, or stdin (-), to a file; creates it when missing.", run_append},
    {0},
};
