/* Unmounting and stopping, in the opposite order of starting. See start.h. */
#include "tools/start.h"
#include "tools/probe.h"
#include "tools/process.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { UNMOUNT_TIMEOUT_MS = 10000 };

/* One try; it may hang on a mount whose daemon does, so it is made by a child. */
static int try_unmount(const char *path, bool lazy)
{
    if (geteuid() == 0) {
        const char *const argv[] = {"umount", lazy ? "-l" : "-i", path, NULL};
        return hd_process_run(argv, UNMOUNT_TIMEOUT_MS);
    }
    const char *const argv[] = {"fusermount3", lazy ? "-uz" : "-u", path, NULL};
    return hd_process_run(argv, UNMOUNT_TIMEOUT_MS);
}

int hd_unmount(const char *path)
{
    for (int lazy = 0; lazy < 2 && hd_probe_mounted(path); lazy++) {
        try_unmount(path, lazy != 0);
    }
    return hd_probe_mounted(path) ? hd_fail(-EBUSY, "%s: cannot be unmounted", path) : 0;
}

/* Is the address this cluster's at the moment? While its meta is down, another's may have it. */
static bool owns_address(const struct hd_cluster *c)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_META && hd_process_find(c, &c->members[i]) > 0) {
            return true;
        }
    }
    return false;
}

static int unmount_all(const struct hd_cluster *c)
{
    enum { EXTRA_MAX = 64 };
    char(*paths)[HD_PATH_BYTES] = calloc(EXTRA_MAX, sizeof(*paths));
    int rc = c->mount[0] != '\0' ? hd_unmount(c->mount) : 0;
    size_t count =
        paths != NULL && owns_address(c) ? hd_probe_mounts_of(c->uri, paths, EXTRA_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        int extra = hd_unmount(paths[i]);
        rc = rc < 0 ? rc : extra;
    }
    free(paths);
    return rc;
}

static int stop_roles(const struct hd_cluster *c, unsigned role_bits, int grace_ms)
{
    size_t count = 0;
    pid_t *pids = calloc(c->member_count + 1, sizeof(*pids));
    if (pids == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        if ((role_bits & (1U << c->members[i].role)) != 0) {
            pids[count++] = hd_process_find(c, &c->members[i]);
        }
    }
    int rc = hd_process_stop(pids, count, grace_ms);
    free(pids);
    for (size_t i = 0; rc >= 0 && i < c->member_count; i++) {
        char path[HD_PATH_BYTES];
        if ((role_bits & (1U << c->members[i].role)) != 0) {
            hd_member_pid_path(c, &c->members[i], path);
            unlink(path);
        }
    }
    return rc;
}

int hd_stop(const struct hd_cluster *c, int grace_ms)
{
    static const unsigned steps[] = {
        1U << HD_ROLE_MOUNT,
        1U << HD_ROLE_MANAGER | 1U << HD_ROLE_AGENT,
        1U << HD_ROLE_DATA | 1U << HD_ROLE_SECONDARY,
        1U << HD_ROLE_META,
    };
    int result = unmount_all(c);
    for (size_t i = 0; i < HD_ARRAY_COUNT(steps); i++) {
        int rc = stop_roles(c, steps[i], grace_ms);
        result = result < 0 || rc >= 0 ? result : rc;
    }
    return result;
}
