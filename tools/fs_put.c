/* fs -put -get -cp -appendToFile and their kin: arguments of what fs_copy.c does. */
#include "tools/fs_copy.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { APPEND_BYTES = 1 << 20, DEFAULT_THREADS = 8, MAX_THREADS = 64 };

/* -t, or the default. 0: it makes no sense, and that was said. */
static int threads_of(const struct hd_sh_args *args)
{
    const char *text = hd_sh_value(args, "t");
    long n = text != NULL ? atol(text) : DEFAULT_THREADS;
    if (n < 1 || n > MAX_THREADS) {
        hd_sh_usage(args, "-t %s: a number from 1 to %d is expected", text, MAX_THREADS);
        return 0;
    }
    return (int)n;
}

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

static void expand_sources(struct hd_copy *c, struct hd_sh_args *args, struct hd_sh_items *out)
{
    for (int i = 0; i < args->count; i++) {
        int rc = c->from.ops == &hd_side_local ? hd_side_expand_local(args->list[i], out)
                                               : hd_sh_expand(c->sh, args->list[i], out);
        if (rc < 0) {
            hd_sh_fail(c->sh, args->list[i], rc);
        }
    }
}

static void run_copy(struct hd_copy *c, struct hd_sh_args *args, const char *destination)
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
    hd_copy_all(c, &sources, &dst);
}

static struct hd_copy new_copy(struct hd_sh *sh, const struct hd_side_ops *from,
                               const struct hd_side_ops *to)
{
    return (struct hd_copy){
        .sh = sh,
        .from = {.ops = from, .sh = sh},
        .to = {.ops = to, .sh = sh},
        .recursive = true,
        .progress = isatty(STDERR_FILENO) == 1,
    };
}

/* stdin into one file. */
static void put_stdin(struct hd_copy *c, const char *destination)
{
    HD_AUTO(hd_sh_item_done) struct hd_sh_item dst = {0};
    struct hd_sh_items none = {0};
    struct hd_side_file *in;
    int rc = hd_sh_lookup(c->sh, destination, &dst);
    if (rc < 0) {
        hd_sh_fail(c->sh, destination, rc);
        return;
    }
    if (!hd_copy_check_destination(c, &none, &dst)) {
        return;
    }
    bool is_dir = dst.exists && dst.st.type == HD_TYPE_DIR;
    char *path = is_dir ? hd_sh_join(dst.path, "-") : strdup(dst.path);
    rc = path != NULL ? hd_side_stdio(STDIN_FILENO, &in) : -ENOMEM;
    rc = rc == 0 ? hd_copy_stream(c, in, path) : rc;
    free(path);
    if (rc < 0) {
        hd_sh_fail(c->sh, dst.shown, rc);
    }
}

static int run_put_with(struct hd_sh *sh, struct hd_sh_args *args, bool remove_source)
{
    struct hd_copy c = new_copy(sh, &hd_side_local, &hd_side_cluster);
    c.overwrite = hd_sh_flag(args, "f");
    c.direct = hd_sh_flag(args, "d");
    c.keep = hd_sh_flag(args, "p") ? HD_KEEP_TIMES | HD_KEEP_OWNER | HD_KEEP_MODE : 0;
    c.remove_source = remove_source;
    if (hd_sh_flag(args, "l")) {
        sh->replication = 1;
    }
    if ((c.threads = threads_of(args)) == 0) {
        return HD_SH_USAGE;
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
static void get_stdout(struct hd_copy *c, struct hd_sh_args *args)
{
    HD_AUTO(hd_sh_items_done) struct hd_sh_items sources = {0};
    expand_sources(c, args, &sources);
    c->progress = false;
    for (size_t i = 0; i < sources.count; i++) {
        const struct hd_sh_item *item = &sources.list[i];
        struct hd_side_file *in;
        struct hd_side_file *out;
        int rc = !item->exists ? -ENOENT : item->st.type == HD_TYPE_DIR ? -EISDIR : 0;
        rc = rc == 0 ? c->from.ops->open(&c->from, item->path, &in) : rc;
        if (rc == 0) {
            rc = hd_side_stdio(STDOUT_FILENO, &out);
            if (rc == 0) {
                rc = hd_copy_bytes(c, in, out);
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
    struct hd_copy c = new_copy(sh, &hd_side_cluster, &hd_side_local);
    c.overwrite = hd_sh_flag(args, "f");
    c.keep = hd_sh_flag(args, "p") ? HD_KEEP_TIMES | HD_KEEP_OWNER | HD_KEEP_MODE : 0;
    if ((c.threads = threads_of(args)) == 0) {
        return HD_SH_USAGE;
    }
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
    struct hd_copy c = new_copy(sh, &hd_side_cluster, &hd_side_cluster);
    c.keep = take_keep(args);
    args->verb = &parsed;
    int rc = hd_sh_parse(args);
    if (rc != 0) {
        return rc;
    }
    c.overwrite = hd_sh_flag(args, "f");
    c.direct = hd_sh_flag(args, "d");
    if ((c.threads = threads_of(args)) == 0) {
        return HD_SH_USAGE;
    }
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
    uint8_t *buf = malloc(APPEND_BYTES);
    int64_t n = 0;
    int rc = buf == NULL             ? -ENOMEM
             : strcmp(arg, "-") == 0 ? hd_side_stdio(STDIN_FILENO, &in)
                                     : local->ops->open(local, arg, &in);
    if (rc == 0) {
        while (rc == 0 && (n = local->ops->read(in, buf, APPEND_BYTES)) > 0) {
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
    "  and mode, -l one replica, -d no temporary name.\n"                                          \
    "  -t is how many files of a tree are copied at once (8)."
#define GET_HELP                                                                                   \
    "Copies files and directories to the local file system; - is stdout. -f replaces, -p keeps "   \
    "times, owner\n"                                                                               \
    "  and mode. Checksums are always verified."

const struct hd_sh_verb hd_sh_verbs_copy[] = {
    {"put", "f p l d t= q=", 1, -1, PUT_SYNOPSIS, PUT_HELP, run_put},
    {"copyFromLocal", "f p l d t= q=", 1, -1, PUT_SYNOPSIS, PUT_HELP, run_put},
    {"moveFromLocal", "f p l d t= q=", 1, -1,
     "[-f] [-p] [-l] [-d] [-t <thread count>] <localsrc> ... <dst>",
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
