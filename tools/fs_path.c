/* Paths of `howdah fs`: what an argument means, symlinks, walking. See fs_shell.h. */
#include "tools/fs_shell.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

enum { ITEMS_MAX = 10000000, LINKS_MAX = 32 };

char *hd_sh_join(const char *parent, const char *name)
{
    char *out;
    if (strcmp(parent, ".") == 0) { /* children of "." are shown without it, as Hadoop does */
        return strdup(name);
    }
    size_t size = strlen(parent);
    const char *slash = size > 0 && parent[size - 1] == '/' ? "" : "/";
    return asprintf(&out, "%s%s%s", parent, slash, name) >= 0 ? out : NULL;
}

const char *hd_sh_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash != NULL && slash[1] != '\0' ? slash + 1 : path;
}

char *hd_sh_dirname(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (slash == NULL) {
        return strdup(".");
    }
    return slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
}

/* Drops empty components and ".", and takes ".." back, in place. The path is absolute. */
static void normalize(char *path)
{
    char *out = path;
    const char *at = path;
    while (*at != '\0') {
        at += strspn(at, "/");
        size_t size = strcspn(at, "/");
        if (size == 0 || (size == 1 && at[0] == '.')) {
            at += size;
            continue;
        }
        if (size == 2 && at[0] == '.' && at[1] == '.') {
            while (out > path && *--out != '/') {
            }
        } else {
            *out++ = '/';
            memmove(out, at, size);
            out += size;
        }
        at += size;
    }
    if (out == path) {
        *out++ = '/';
    }
    *out = '\0';
}

/* Where several metas are named, with commas, each alone names the file system too. */
static bool names_one_of(const char *list, const char *authority, size_t size)
{
    for (size_t n; *list != '\0'; list += n + (list[n] == ',')) {
        n = strcspn(list, ",");
        if (n == size && strncmp(list, authority, n) == 0) {
            return true;
        }
    }
    return false;
}

int hd_sh_path_of_uri(const struct hd_sh *sh, const char *arg, const char **ret)
{
    const char *authority = arg + 7;
    size_t size = strcspn(authority, "/");
    const char *ours = hd_fs_uri(sh->fs) + 7;
    bool same = size == 0 || (strlen(ours) == size && strncmp(ours, authority, size) == 0) ||
                names_one_of(ours, authority, size);
    if (!same) {
        return hd_fail(-EINVAL, "Wrong FS: %s, expected: %s (name another file system with -fs)",
                       arg, hd_fs_uri(sh->fs));
    }
    *ret = authority[size] != '\0' ? authority + size : "/";
    return 0;
}

int hd_sh_resolve(const struct hd_sh *sh, const char *arg, char **ret_path)
{
    char *path;
    const char *colon = strchr(arg, ':');
    if (strncmp(arg, "hdfs://", 7) == 0) {
        int rc = hd_sh_path_of_uri(sh, arg, &arg);
        if (rc < 0) {
            return rc;
        }
    } else if (colon != NULL && colon[1] == '/' &&
               memchr(arg, '/', (size_t)(colon - arg)) == NULL) {
        return hd_fail(-EINVAL, "Wrong FS: %s, expected: %s", arg, hd_fs_uri(sh->fs));
    }
    if (arg[0] == '\0') {
        return hd_fail(-EINVAL, "Can not create a Path from an empty string");
    }
    int n = arg[0] == '/' ? asprintf(&path, "%s", arg)
                          : asprintf(&path, "/user/%s/%s", hd_fs_user(sh->fs), arg);
    if (n < 0) {
        return -ENOMEM;
    }
    normalize(path);
    *ret_path = path;
    return 0;
}

bool hd_sh_is_below(const char *path, const char *dir)
{
    size_t size = strlen(dir);
    return strncmp(path, dir, size) == 0 && (path[size] == '\0' || path[size] == '/' || size == 1);
}

void hd_sh_item_done(struct hd_sh_item *item)
{
    free(item->shown);
    free(item->path);
    free(item->link);
    if (item->exists) {
        hd_stat_done(&item->st);
    }
    *item = (struct hd_sh_item){0};
}

void hd_sh_items_done(struct hd_sh_items *items)
{
    for (size_t i = 0; i < items->count; i++) {
        hd_sh_item_done(&items->list[i]);
    }
    free(items->list);
    *items = (struct hd_sh_items){0};
}

int hd_sh_items_add(struct hd_sh_items *items, struct hd_sh_item *item)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity != 0 ? items->capacity * 2 : 16;
        struct hd_sh_item *grown =
            capacity <= ITEMS_MAX ? realloc(items->list, capacity * sizeof(*grown)) : NULL;
        if (grown == NULL) {
            hd_sh_item_done(item);
            return hd_fail(-ENOMEM, "more than %zu entries", items->count);
        }
        items->list = grown;
        items->capacity = capacity;
    }
    items->list[items->count++] = *item;
    *item = (struct hd_sh_item){0};
    return 0;
}

/* "/a/" is shown as "/a"; "/" stays. */
static char *make_shown(const char *arg)
{
    char *shown = strdup(arg);
    size_t size = shown != NULL ? strlen(shown) : 0;
    while (size > 1 && shown[size - 1] == '/' && strcmp(shown, "hdfs://") != 0) {
        shown[--size] = '\0';
    }
    return shown;
}

/* Where the symlink at path leads, and on with rest. Heap, NULL without memory. */
static char *link_target(const char *path, const char *link, const char *rest)
{
    char *out;
    const char *slash = strrchr(path, '/');
    int n = link[0] == '/' ? asprintf(&out, "%s%s", link, rest)
                           : asprintf(&out, "%.*s/%s%s", (int)(slash - path), path, link, rest);
    if (n < 0) {
        return NULL;
    }
    normalize(out);
    return out;
}

/* Replaces the first symlink among the directories of *path by what it means. */
static int follow_on_the_way(struct hd_sh *sh, char **path)
{
    char *target = NULL;
    for (char *slash = strchr(*path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        struct hd_stat st;
        char *head = strndup(*path, (size_t)(slash - *path));
        int rc = head != NULL ? hd_fs_stat(sh->fs, head, &st) : -ENOMEM;
        if (rc < 0) {
            free(head);
            return rc;
        }
        bool is_link = st.type == HD_TYPE_SYMLINK;
        if (is_link) {
            target = link_target(head, st.link, slash);
        }
        hd_stat_done(&st);
        free(head);
        if (is_link) {
            break;
        }
    }
    if (target == NULL) {
        return hd_fail(-ENOENT, "`%s': No such file or directory", *path);
    }
    free(*path);
    *path = target;
    return 0;
}

/* Stats *path, which is made free of symlinks but for its last component. */
static int stat_plain(struct hd_sh *sh, char **path, struct hd_stat *ret)
{
    int rc = hd_fs_stat(sh->fs, *path, ret);
    for (int links = 0; rc == -HD_E_UNRESOLVED_LINK && links < LINKS_MAX; links++) {
        rc = follow_on_the_way(sh, path);
        rc = rc == 0 ? hd_fs_stat(sh->fs, *path, ret) : rc;
    }
    return rc;
}

/* One step along the symlink at *path; *st becomes that of what it names. -ENOENT: nothing. */
static int follow_one(struct hd_sh *sh, char **path, struct hd_stat *st)
{
    struct hd_stat next;
    char *target = link_target(*path, st->link, "");
    int rc = target != NULL ? stat_plain(sh, &target, &next) : -ENOMEM;
    if (rc < 0) {
        free(target);
        return rc;
    }
    free(*path);
    *path = target;
    hd_stat_done(st);
    *st = next;
    return 0;
}

int hd_sh_stat_item(struct hd_sh *sh, struct hd_sh_item *item)
{
    int rc = stat_plain(sh, &item->path, &item->st);
    item->exists = rc == 0;
    if (rc < 0 || item->st.type != HD_TYPE_SYMLINK) {
        return rc;
    }
    struct hd_stat st;
    char *path = strdup(item->path);
    rc = path != NULL ? hd_fs_stat(sh->fs, path, &st) : -ENOMEM;
    bool have = rc == 0;
    int links = 0;
    for (; rc == 0 && st.type == HD_TYPE_SYMLINK && links < LINKS_MAX; links++) {
        rc = follow_one(sh, &path, &st);
    }
    if (rc == 0 && st.type != HD_TYPE_SYMLINK) {
        hd_stat_done(&item->st);
        item->st = st;
        item->link = item->path;
        item->path = path;
        return 0;
    }
    if (have) {
        hd_stat_done(&st);
    }
    free(path);
    return rc == -ENOENT ? 0 : rc;
}

int hd_sh_lookup(struct hd_sh *sh, const char *arg, struct hd_sh_item *ret)
{
    struct hd_sh_item item = {.shown = make_shown(arg)};
    int rc = item.shown != NULL ? hd_sh_resolve(sh, arg, &item.path) : -ENOMEM;
    if (rc == 0) {
        rc = hd_sh_stat_item(sh, &item);
        rc = rc == -ENOENT ? 0 : rc;
    }
    if (rc < 0) {
        hd_sh_item_done(&item);
        return rc;
    }
    *ret = item;
    return 0;
}

int hd_sh_child(const struct hd_sh_item *parent, struct hd_stat *st, struct hd_sh_item *ret)
{
    struct hd_sh_item item = {.exists = true, .st = *st};
    st->link = NULL;
    item.shown = hd_sh_join(parent->shown, st->name);
    item.path = hd_sh_join(parent->path, st->name);
    if (item.shown == NULL || item.path == NULL) {
        hd_sh_item_done(&item);
        return -ENOMEM;
    }
    *ret = item;
    return 0;
}

int hd_sh_list(struct hd_sh *sh, const struct hd_sh_item *dir, struct hd_sh_items *out)
{
    struct hd_dir *d;
    struct hd_stat st;
    int rc = hd_dir_open(sh->fs, dir->path, "", &d);
    if (rc < 0) {
        return rc;
    }
    while ((rc = hd_dir_next(d, &st)) > 0) {
        struct hd_sh_item item;
        rc = hd_sh_child(dir, &st, &item);
        if (rc == 0) {
            rc = hd_sh_items_add(out, &item);
        }
        if (rc < 0) {
            break;
        }
    }
    hd_dir_close(d);
    return rc;
}

void hd_sh_each(struct hd_sh *sh, struct hd_sh_args *args, int from,
                void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx), void *ctx)
{
    for (int i = from; i < args->count && !hd_sh_interrupted(); i++) {
        HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
        int rc = hd_sh_expand(sh, args->list[i], &items);
        if (rc < 0) {
            hd_sh_fail(sh, args->list[i], rc);
            continue;
        }
        for (size_t k = 0; k < items.count && !hd_sh_interrupted(); k++) {
            if (items.list[k].exists) {
                fn(sh, &items.list[k], ctx);
            } else {
                hd_sh_fail(sh, items.list[k].shown, -ENOENT);
            }
        }
    }
}

void hd_sh_walk(struct hd_sh *sh, const struct hd_sh_item *item,
                void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx), void *ctx)
{
    fn(sh, item, ctx);
    if (item->st.type != HD_TYPE_DIR || hd_sh_interrupted()) {
        return;
    }
    HD_AUTO(hd_sh_items_done) struct hd_sh_items items = {0};
    int rc = hd_sh_list(sh, item, &items);
    if (rc < 0) {
        hd_sh_fail(sh, item->shown, rc);
        return;
    }
    for (size_t i = 0; i < items.count; i++) {
        hd_sh_walk(sh, &items.list[i], fn, ctx);
    }
}
