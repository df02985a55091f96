/* Unmounting and stopping, in the opposite order of starting. See start.h. */
#include "tools/start.h"
#include "tools/probe.h"
#include "tools/process.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <unistd.h>

enum {
    UNMOUNT_TIMEOUT_MS = 1500,
    MOUNT_BUSY_MS = 30000, /* for a mount that has much to bring to the data nodes */
};

/*
 * One try, made by a child: it may hang on a mount whose daemon does. Root needs no program for it,
 * which would only look at the mount first.
 */
static int try_unmount(const char *path, bool lazy)
{
    if (geteuid() != 0) {
        const char *const argv[] = {"fusermount3", lazy ? "-uz" : "-u", path, NULL};
        return hd_process_run(argv, UNMOUNT_TIMEOUT_MS);
    }
    pid_t child = fork();
    if (child == 0) {
        _exit(umount2(path, UMOUNT_NOFOLLOW | (lazy ? MNT_DETACH : 0)) == 0 ? 0 : 1);
    }
    return child < 0 ? -errno : hd_process_wait(child, UNMOUNT_TIMEOUT_MS);
}

int hd_unmount(const char *path, bool *ret_lazy)
{
    int lazy = 0;
    for (; lazy < 2 && hd_probe_mounted(path); lazy++) {
        try_unmount(path, lazy != 0);
    }
    if (ret_lazy != NULL) {
        *ret_lazy = lazy == 2;
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

static int unmount_one(const char *path, struct hd_buf *given_up)
{
    bool lazy;
    int rc = hd_unmount(path, &lazy);
    if (rc == 0 && lazy && given_up != NULL) {
        (void)hd_buf_addf(given_up, "%s: in use or not served; unmounted lazily\n", path);
    }
    return rc;
}

/* What the mount left when it ended, and those that were made by hand. */
static int unmount_all(const struct hd_cluster *c, bool owner, struct hd_buf *given_up)
{
    enum { EXTRA_MAX = 64 };
    char(*paths)[HD_PATH_BYTES] = calloc(EXTRA_MAX, sizeof(*paths));
    int rc = c->mount[0] != '\0' ? unmount_one(c->mount, given_up) : 0;
    size_t count = paths != NULL && owner ? hd_probe_mounts_of(c->uri, paths, EXTRA_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        int extra = unmount_one(paths[i], given_up);
        rc = rc < 0 ? rc : extra;
    }
    free(paths);
    return rc;
}

static bool is_of(const struct hd_member *m, unsigned role_bits)
{
    return (role_bits & (1U << m->role)) != 0;
}

static bool is_of_mount(unsigned role_bits)
{
    return role_bits == 1U << HD_ROLE_MOUNT;
}

static int stop_roles(const struct hd_cluster *c, unsigned role_bits, int grace_ms,
                      struct hd_buf *given_up)
{
    pid_t *pids = calloc(c->member_count + 1, sizeof(*pids));
    if (pids == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->member_count; i++) {
        pids[i] = is_of(&c->members[i], role_bits) ? hd_process_find(c, &c->members[i]) : 0;
    }
    int busy_ms = is_of_mount(role_bits) ? MOUNT_BUSY_MS : 0;
    int rc = hd_process_stop(pids, c->member_count, grace_ms, busy_ms);
    for (size_t i = 0; rc > 0 && given_up != NULL && i < c->member_count; i++) {
        if (pids[i] != 0) {
            (void)hd_buf_addf(given_up, "%s (pid %d): did not end in %.1f s; killed\n",
                              c->members[i].name, (int)pids[i], grace_ms / 1000.0);
        }
    }
    free(pids);
    for (size_t i = 0; rc >= 0 && i < c->member_count; i++) {
        char path[HD_PATH_BYTES];
        if (is_of(&c->members[i], role_bits)) {
            hd_member_pid_path(c, &c->members[i], path);
            unlink(path);
        }
    }
    return rc;
}

int hd_stop(const struct hd_cluster *c, int limit_ms, struct hd_buf *given_up)
{
    static const unsigned steps[] = {
        1U << HD_ROLE_MOUNT,
        1U << HD_ROLE_MANAGER | 1U << HD_ROLE_AGENT,
        1U << HD_ROLE_DATA | 1U << HD_ROLE_SECONDARY,
        1U << HD_ROLE_META,
    };
    int64_t deadline_ms = hd_clock_mono_ms().v + limit_ms;
    bool owner = owns_address(c);
    int result = 0;
    for (size_t i = 0; i < HD_ARRAY_COUNT(steps); i++) {
        int64_t left = HD_MAX(deadline_ms - hd_clock_mono_ms().v, 0);
        bool last = i + 1 == HD_ARRAY_COUNT(steps);
        int64_t begin_ms = hd_clock_mono_ms().v;
        int64_t grace_ms = last ? left : left / 2;
        int rc = stop_roles(c, steps[i], (int)grace_ms, given_up);
        /* What a busy mount took beyond its share is not taken from the others. */
        deadline_ms += HD_MAX(hd_clock_mono_ms().v - begin_ms - grace_ms, 0);
        if (rc >= 0 && i == 0) {
            rc = unmount_all(c, owner, given_up);
        }
        result = result < 0 || rc >= 0 ? result : rc;
    }
    return result;
}
