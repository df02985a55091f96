/* See fenced.h. */
#include "meta/shell/fenced.h"
#include "meta/shell/dirs.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <dirent.h>
#include <stdlib.h>

enum { KEPT = 2, NAMES_MAX = 256 };

/* The ms at the end of <base>.fenced-<epoch>-<ms>; 0: another name. */
static uint64_t time_of(const char *name, const char *base)
{
    size_t n = strlen(base);
    const char *dash = strrchr(name, '-');
    if (strncmp(name, base, n) != 0 || strncmp(name + n, ".fenced-", 8) != 0 || dash == NULL) {
        return 0;
    }
    return strtoull(dash + 1, NULL, 10);
}

static int newest_first(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x < y) - (x > y);
}

/* Calls fn for each copy of base in parent. */
static void each(const char *parent, const char *base,
                 void (*fn)(void *ctx, const char *path, uint64_t ms), void *ctx)
{
    DIR *d = opendir(parent);
    for (struct dirent *e = d != NULL ? readdir(d) : NULL; e != NULL; e = readdir(d)) {
        char path[HD_DIR_PATH_BYTES + 300];
        uint64_t ms = time_of(e->d_name, base);
        if (ms != 0 &&
            snprintf(path, sizeof(path), "%s/%s", parent, e->d_name) < (int)sizeof(path)) {
            fn(ctx, path, ms);
        }
    }
    if (d != NULL) {
        closedir(d);
    }
}

struct times {
    uint64_t ms[NAMES_MAX];
    size_t count;
};

static void note(void *ctx, const char *path, uint64_t ms)
{
    struct times *t = ctx;
    (void)path;
    if (t->count < NAMES_MAX) {
        t->ms[t->count++] = ms;
    }
}

static void remove_older(void *ctx, const char *path, uint64_t ms)
{
    if (ms < *(const uint64_t *)ctx) {
        int err = hd_dir_remove(path);
        hd_log_info("what a replaced primary left is old enough to go", "path=%s result=\"%s\"",
                    path, err < 0 ? hd_fail_describe(err) : "removed");
    }
}

void hd_fenced_remove_old(const char *dirs)
{
    char list[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    if (hd_dirs_split(dirs, list, &count) < 0) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        struct times t = {.count = 0};
        char *slash = strrchr(list[i], '/');
        if (slash == NULL || slash == list[i]) {
            continue;
        }
        *slash = '\0';
        each(list[i], slash + 1, note, &t);
        qsort(t.ms, t.count, sizeof(t.ms[0]), newest_first);
        if (t.count > KEPT) {
            each(list[i], slash + 1, remove_older, &t.ms[KEPT - 1]);
        }
    }
}
