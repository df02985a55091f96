/* Patterns of `howdah fs`: what in the file system they match. See fs_shell.h. */
#include "tools/fs_shell.h"
#include "tools/fs_glob.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

struct globbing {
    struct hd_sh *sh;
    struct hd_sh_items *out;
};

/* A directory on the way: path and shown grow by the same components. */
struct place {
    const char *path;
    const char *shown;
};

static int glob_below(struct globbing *g, const struct place *at, const char *rest);

static int glob_step(struct globbing *g, const struct place *at, const char *name, const char *rest)
{
    char *path = hd_sh_join(at->path, name);
    char *shown = at->shown[0] == '\0' ? strdup(name) : hd_sh_join(at->shown, name);
    struct place next = {.path = path, .shown = shown};
    int rc = path != NULL && shown != NULL ? glob_below(g, &next, rest) : -ENOMEM;
    free(path);
    free(shown);
    return rc;
}

/* Every entry of the directory that matches. What is no directory or may not be read matches
 * nothing. */
static int glob_list(struct globbing *g, const struct place *at, const char *pattern,
                     const char *rest)
{
    struct hd_dir *d;
    struct hd_stat st;
    int rc = hd_dir_open(g->sh->fs, at->path, "", &d);
    if (rc < 0) {
        return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
    }
    while ((rc = hd_dir_next(d, &st)) > 0) {
        bool may_go_on = *rest == '\0' || st.type != HD_TYPE_FILE;
        if (may_go_on && hd_glob_match(pattern, st.name)) {
            rc = glob_step(g, at, st.name, rest);
        }
        hd_stat_done(&st);
        if (rc < 0) {
            break;
        }
    }
    hd_dir_close(d);
    return rc;
}

/* The end of the pattern: the place is a match if it exists. */
static int glob_end(struct globbing *g, const struct place *at)
{
    struct hd_sh_item item = {.path = strdup(at->path), .shown = strdup(at->shown)};
    int rc = item.path != NULL && item.shown != NULL ? hd_sh_stat_item(g->sh, &item) : -ENOMEM;
    if (rc == 0) {
        return hd_sh_items_add(g->out, &item);
    }
    hd_sh_item_done(&item);
    return rc == -ENOENT || rc == -ENOTDIR ? 0 : rc;
}

static int glob_below(struct globbing *g, const struct place *at, const char *rest)
{
    rest += strspn(rest, "/");
    size_t size = strcspn(rest, "/");
    if (size == 0) {
        return glob_end(g, at);
    }
    char *component = strndup(rest, size);
    if (component == NULL) {
        return -ENOMEM;
    }
    int rc;
    if (hd_glob_is_pattern(component)) {
        rc = glob_list(g, at, component, rest + size);
    } else {
        hd_glob_unescape(component);
        rc = glob_step(g, at, component, rest + size);
    }
    free(component);
    return rc;
}

/* One pattern without braces. Its shown form begins as it was written: URI, "/" or relative. */
static int glob_one(void *ctx, const char *pattern)
{
    struct globbing *g = ctx;
    if (strncmp(pattern, "hdfs://", 7) == 0) {
        const char *path;
        int rc = hd_sh_path_of_uri(g->sh, pattern, &path);
        struct place root = {.path = "/", .shown = hd_fs_uri(g->sh->fs)};
        return rc < 0 ? rc : glob_below(g, &root, path);
    }
    if (pattern[0] == '/') {
        struct place root = {.path = "/", .shown = "/"};
        return glob_below(g, &root, pattern);
    }
    char *home;
    int rc = hd_sh_resolve(g->sh, ".", &home);
    if (rc < 0) {
        return rc;
    }
    struct place start = {.path = home, .shown = ""};
    rc = glob_below(g, &start, pattern);
    free(home);
    return rc;
}

static int by_path(const void *a, const void *b)
{
    return strcmp(((const struct hd_sh_item *)a)->path, ((const struct hd_sh_item *)b)->path);
}

/* Braces may have named a path twice. */
static void sort_and_dedupe(struct hd_sh_items *items, size_t from)
{
    size_t kept = from;
    if (items->count == from) {
        return;
    }
    qsort(&items->list[from], items->count - from, sizeof(*items->list), by_path);
    for (size_t i = from; i < items->count; i++) {
        if (kept > from && strcmp(items->list[kept - 1].path, items->list[i].path) == 0) {
            hd_sh_item_done(&items->list[i]);
        } else {
            items->list[kept++] = items->list[i];
        }
    }
    items->count = kept;
}

int hd_sh_expand(struct hd_sh *sh, const char *arg, struct hd_sh_items *out)
{
    size_t before = out->count;
    if (hd_glob_is_pattern(arg)) {
        struct globbing g = {.sh = sh, .out = out};
        int rc = hd_glob_expand_braces(arg, glob_one, &g);
        if (rc < 0) {
            return rc;
        }
        sort_and_dedupe(out, before);
        if (out->count > before) {
            return 0;
        }
        return hd_fail(-ENOENT, "`%s': No such file or directory", arg);
    }
    struct hd_sh_item item;
    char *plain = strdup(arg);
    if (plain == NULL) {
        return -ENOMEM;
    }
    hd_glob_unescape(plain);
    int rc = hd_sh_lookup(sh, plain, &item);
    free(plain);
    return rc < 0 ? rc : hd_sh_items_add(out, &item);
}
