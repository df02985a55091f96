/*
 * Paths of the command line. A path is the cluster's ("/a/b", "hdfs://host:port/a/b", "a" in the
 * user's home) unless it lies on a mount of Howdah, which tells its cluster and path by extended
 * attributes (user.howdah.uri, user.howdah.path).
 */
#include "fs/base/error.h"
#include "runner/cli/cli.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { VALUE_BYTES = 8192 };

static bool get_xattr(const char *path, const char *name, char out[VALUE_BYTES])
{
    ssize_t n = getxattr(path, name, out, VALUE_BYTES - 1);
    if (n < 0) {
        return false;
    }
    out[n] = '\0';
    return true;
}

/* host:port of "hdfs://host:port/..."; the size, 0 when it is no such URI. */
static size_t authority_of(const char *uri, const char **ret)
{
    if (strncmp(uri, "hdfs://", 7) != 0) {
        return 0;
    }
    *ret = uri + 7;
    return strcspn(*ret, "/");
}

static bool same_cluster(const struct hd_cli *c, const char *uri)
{
    const char *a = NULL;
    const char *b = NULL;
    size_t n = authority_of(uri, &a);
    size_t m = authority_of(c->settings.uri, &b);
    if (n == m && strncmp(a, b, n) == 0) {
        return true;
    }
    /* localhost and 127.0.0.1 are one. */
    const char *port_a = memchr(a, ':', n);
    const char *port_b = memchr(b, ':', m);
    bool local_a = strncmp(a, "localhost:", 10) == 0 || strncmp(a, "127.", 4) == 0;
    bool local_b = strncmp(b, "localhost:", 10) == 0 || strncmp(b, "127.", 4) == 0;
    return local_a && local_b && port_a != NULL && port_b != NULL &&
           (size_t)(a + n - port_a) == (size_t)(b + m - port_b) &&
           strncmp(port_a, port_b, (size_t)(a + n - port_a)) == 0;
}

/* "/a//b/./c/" -> "/a/b/c"; ".." is the one before. */
static char *normalize(const char *path, struct hd_arena *arena)
{
    char *out = hd_arena_alloc(arena, strlen(path) + 2);
    size_t n = 0;
    if (out == NULL) {
        return NULL;
    }
    while (*path != '\0') {
        size_t size = strcspn(path, "/");
        if (size == 2 && strncmp(path, "..", 2) == 0) {
            while (n > 0 && out[--n] != '/') {
            }
        } else if (size > 0 && !(size == 1 && path[0] == '.')) {
            out[n++] = '/';
            memcpy(out + n, path, size);
            n += size;
        }
        path += size;
        path += strspn(path, "/");
    }
    if (n == 0) {
        out[n++] = '/';
    }
    out[n] = '\0';
    return out;
}

/* The longest leading part of path that exists and has no glob, and what is behind it. */
static const char *existing_part(const char *path, char *base, size_t size)
{
    size_t glob = strcspn(path, "*?[{\\");
    if (snprintf(base, size, "%s", path) >= (int)size) {
        return NULL;
    }
    if (path[glob] != '\0') {
        base[glob] = '\0';
        char *slash = strrchr(base, '/');
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
    while (base[0] != '\0' && access(base, F_OK) != 0) {
        char *slash = strrchr(base, '/');
        if (slash == NULL) {
            return NULL;
        }
        *slash = '\0';
    }
    return base[0] != '\0' ? path + strlen(base) : NULL;
}

/* 1: a path on a mount, resolved; 0: it is none; -1: of another cluster (said). */
static int from_mount(const struct hd_cli *c, const char *text, struct hd_arena *arena, char **ret)
{
    char uri[VALUE_BYTES];
    char inside[VALUE_BYTES];
    char absolute[PATH_MAX * 2];
    char base[PATH_MAX * 2];
    char cwd[PATH_MAX];
    if (text[0] == '/') {
        snprintf(absolute, sizeof(absolute), "%s", text);
    } else if (getcwd(cwd, sizeof(cwd)) != NULL) {
        snprintf(absolute, sizeof(absolute), "%s/%s", cwd, text);
    } else {
        return 0;
    }
    const char *rest = existing_part(absolute, base, sizeof(base));
    if (rest == NULL || !get_xattr(base, "user.howdah.uri", uri) ||
        !get_xattr(base, "user.howdah.path", inside)) {
        return 0;
    }
    if (!same_cluster(c, uri)) {
        hd_cli_say("%s is on a mount of %s, the runner works on %s", text, uri, c->settings.uri);
        return -1;
    }
    char *joined = hd_arena_printf(arena, "%s/%s", inside, rest);
    *ret = joined != NULL ? normalize(joined, arena) : NULL;
    return *ret != NULL ? 1 : -1;
}

char *hd_cli_path(const struct hd_cli *c, const char *text, struct hd_arena *arena)
{
    char *out = NULL;
    const char *authority = NULL;
    size_t n = authority_of(text, &authority);
    if (n > 0 || strncmp(text, "hdfs:///", 8) == 0) {
        if (n > 0 && !same_cluster(c, text)) {
            hd_cli_say("%s: the runner works on %s", text, c->settings.uri);
            return NULL;
        }
        return normalize(authority + n, arena);
    }
    if (strncmp(text, "hdfs:/", 6) == 0) {
        return normalize(text + 5, arena);
    }
    int got = from_mount(c, text, arena, &out);
    if (got != 0) {
        return got > 0 ? out : NULL;
    }
    if (text[0] == '/') {
        return normalize(text, arena);
    }
    char *home = hd_arena_printf(arena, "/user/%s/%s", c->user, text);
    return home != NULL ? normalize(home, arena) : NULL;
}
