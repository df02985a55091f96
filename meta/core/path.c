/*
 * Paths: from text to inode.
 *
 * "/.reserved/.inodes/<id>" names an inode and "/.reserved/.inodes/<id>/a/b" what is below it, as
 * in HDFS; such a path follows no symlink at its end.
 */
#include "meta/core/op.h"

#define INODES_PREFIX "/.reserved/.inodes/"

static const char *skip_slashes(const char *p)
{
    while (*p == '/') {
        p++;
    }
    return p;
}

static size_t component_size(const char *p)
{
    return strcspn(p, "/");
}

/* "/.reserved/.inodes/<id>...": sets the inode to start at. False: an ordinary path. */
static bool start_at_inode(struct hd_call *c, const char *path, const char **ret_rest,
                           struct hd_inode **ret_start)
{
    size_t prefix = sizeof(INODES_PREFIX) - 1;
    if (strncmp(path, INODES_PREFIX, prefix) != 0) {
        return false;
    }
    uint64_t ino = 0;
    const char *p = path + prefix;
    const char *digits = p;
    for (; *p >= '0' && *p <= '9' && p - digits < 19; p++) {
        ino = ino * 10 + (uint64_t)(*p - '0');
    }
    if (p == digits || (*p != '/' && *p != '\0')) {
        return false;
    }
    *ret_start = hd_ns_inode(c->ns, ino);
    *ret_rest = p;
    return true;
}

/* The text clients parse: where the symlink leads, with what follows it in the path. */
static int unresolved(struct hd_call *c, struct hd_inode *link, const char *rest)
{
    const char *target = hd_inode_of_entry(link)->u.target;
    rest = skip_slashes(rest);
    const char *slash = *rest != '\0' ? "/" : "";
    if (target[0] == '/') {
        return hd_call_fail(c, -HD_E_UNRESOLVED_LINK, "%s%s%s", target, slash, rest);
    }
    const char *parent = hd_inode_path(link->parent, &c->m->fx->arena);
    return hd_call_fail(c, -HD_E_UNRESOLVED_LINK, "%s/%s%s%s",
                        link->parent->parent == NULL ? "" : parent, target, slash, rest);
}

/* A component below something that is no directory. */
static int blocked(struct hd_call *c, struct hd_inode *at, const char *rest, unsigned flags)
{
    if (hd_inode_of_entry(at)->type == HD_INODE_SYMLINK && at->parent != NULL) {
        return unresolved(c, at, rest);
    }
    const char *path = hd_inode_path(at, &c->m->fx->arena);
    if ((flags & HD_BLOCKED) != 0) {
        return hd_call_fail(c, -ENOTDIR, "%s (is not a directory)", path);
    }
    if ((flags & HD_BLOCKED_DENIED) != 0 || !c->superuser) {
        return hd_call_fail(c, -EACCES, "%s (is not a directory)", path);
    }
    return 0; /* the superuser sees nothing there */
}

static unsigned count_components(const char *p)
{
    unsigned count = 0;
    for (p = skip_slashes(p); *p != '\0'; p = skip_slashes(p + component_size(p))) {
        count++;
    }
    return count;
}

static void missing_from(struct hd_where *w, struct hd_inode *parent, const char *rest)
{
    w->inode = w->entry = NULL;
    w->parent = parent;
    w->rest = rest;
    w->missing = count_components(rest);
}

static void set_name(struct hd_where *w, const char *path)
{
    size_t end = strlen(path);
    while (end > 0 && path[end - 1] == '/') {
        end--;
    }
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') {
        start--;
    }
    w->name = path + start;
    w->name_size = end - start;
}

static int walk(struct hd_call *c, struct hd_inode *at, const char *p, unsigned flags,
                struct hd_where *w)
{
    for (p = skip_slashes(p); *p != '\0'; p = skip_slashes(p)) {
        size_t size = component_size(p);
        if (!hd_inode_is_dir(at)) {
            int err = blocked(c, at, p, flags);
            missing_from(w, at->parent, p);
            w->missing = 2; /* not a place where something could be made */
            return err;
        }
        int err = c->superuser ? 0 : hd_check_access(c, at, HD_X);
        if (err < 0) {
            return err;
        }
        struct hd_inode *child = hd_ns_child(c->ns, at, p, size);
        if (child == NULL) {
            missing_from(w, at, p);
            return 0;
        }
        at = child;
        p += size;
    }
    w->inode = hd_inode_of_entry(at);
    w->entry = at;
    w->parent = at->parent;
    return 0;
}

int hd_resolve(struct hd_call *c, const char *path, unsigned flags, struct hd_where *ret)
{
    struct hd_where w = {.path = path};
    struct hd_inode *start = c->ns->root;
    const char *rest = path;
    if (path == NULL || path[0] != '/') {
        return hd_call_fail(c, -HD_E_ASSERTION, "Absolute path required, but got '%s'",
                            path != NULL ? path : "");
    }
    w.by_inode = start_at_inode(c, path, &rest, &start);
    if (w.by_inode && start == NULL) {
        missing_from(&w, NULL, skip_slashes(rest));
        w.missing = 2;
        *ret = w;
        return 0;
    }
    int err = w.by_inode && !c->superuser ? hd_check_traverse(c, start) : 0;
    if (err == 0) {
        err = walk(c, start, rest, flags, &w);
    }
    if (err < 0) {
        return err;
    }
    set_name(&w, w.by_inode ? rest : path);
    if (w.inode != NULL && w.name_size == 0) {
        w.name = hd_inode_name(w.entry);
        w.name_size = w.entry->name_size;
    }
    if (w.inode != NULL && w.inode->type == HD_INODE_SYMLINK && (flags & HD_FOLLOW) != 0 &&
        !w.by_inode) {
        return unresolved(c, w.entry, "");
    }
    *ret = w;
    return 0;
}

bool hd_path_is_valid(const char *path)
{
    if (path[0] != '/') {
        return false;
    }
    bool by_inode = strncmp(path, INODES_PREFIX, sizeof(INODES_PREFIX) - 1) == 0;
    for (const char *p = path; *p == '/';) {
        p++;
        size_t size = component_size(p);
        if (size == 0 && p[size] != '\0') {
            return false; /* "//" inside */
        }
        if ((size == 1 && p[0] == '.') || (size == 2 && p[0] == '.' && p[1] == '.')) {
            return false;
        }
        if (!by_inode && memchr(p, ':', size) != NULL) {
            return false; /* HDFS's rule; a mount names its files by inode, and POSIX has no such */
        }
        p += size;
    }
    return true;
}

static unsigned depth_of(const struct hd_inode *i)
{
    unsigned depth = 0;
    for (; i->parent != NULL; i = i->parent) {
        depth++;
    }
    return depth;
}

int hd_check_new_name(struct hd_call *c, const struct hd_where *w, const char *name,
                      size_t name_size)
{
    struct hd_arena *arena = &c->m->fx->arena;
    if ((name_size == 9 && memcmp(name, ".snapshot", 9) == 0) ||
        (w->parent->parent == NULL && name_size == 9 && memcmp(name, ".reserved", 9) == 0)) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "\"%.*s\" is a reserved name.",
                            (int)name_size, name);
    }
    if (name_size > HD_NAME_MAX_BYTES) {
        return hd_call_fail(c, -HD_E_NAME_TOO_LONG,
                            "The maximum path component name limit of %.*s in directory %s is "
                            "exceeded: limit=%d length=%zu",
                            (int)name_size, name, hd_inode_path(w->parent, arena),
                            HD_NAME_MAX_BYTES, name_size);
    }
    if (w->parent->u.children.count >= HD_DIRECTORY_MAX_ITEMS) {
        return hd_call_fail(c, -HD_E_DIR_FULL,
                            "The directory item limit of %s is exceeded: limit=%d items=%u",
                            hd_inode_path(w->parent, arena), HD_DIRECTORY_MAX_ITEMS,
                            w->parent->u.children.count + 1);
    }
    if (strlen(w->path) > HD_PATH_MAX_BYTES ||
        depth_of(w->parent) + w->missing > HD_PATH_MAX_DEPTH) {
        return hd_call_fail(c, -HD_E_IO, "%s: Pathname too long.  Limit %d characters, %d levels.",
                            c->method->name, HD_PATH_MAX_BYTES, HD_PATH_MAX_DEPTH);
    }
    return 0;
}

const char *hd_path_parent(struct hd_call *c, const char *path)
{
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    while (end > 1 && path[end - 1] != '/') {
        end--;
    }
    while (end > 1 && path[end - 1] == '/') {
        end--;
    }
    return hd_call_printf(c, "%.*s", (int)end, path);
}
