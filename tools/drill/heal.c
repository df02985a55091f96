/*
 * Undoing a journal. Each inverse may meet a world in which it is not needed any more, because the
 * fault never happened, was undone before, or the cluster mended it by itself: then it does
 * nothing.
 */
#include "tools/drill/call.h"
#include "tools/drill/do_powercut.h"
#include "tools/drill/drill.h"
#include "tools/process.h"
#include "tools/start.h"
#include "tools/up_lock.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    START_TIMEOUT_MS = 90000,
    STOP_GRACE_MS = 5000,
    AGAIN_MS = 500,
    SAVED_MAX_BYTES = 1 << 20,
};

static const struct hd_member *find_member(const struct hd_cluster *c, const char *name)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (strcmp(c->members[i].name, name) == 0) {
            return &c->members[i];
        }
    }
    return NULL;
}

/*
 * What runs may be about to end: a meta that was replaced while it slept finds out when it wakes,
 * and steps down by a new start. So one end on the way is no failure.
 */
int hd_drill_start_cluster(const struct hd_cluster *c, bool no_mount)
{
    HD_AUTO(hd_fd_done) int lock_fd = -1;
    struct hd_start_options options = {.no_mount = no_mount, .timeout_ms = START_TIMEOUT_MS};
    int rc = hd_up_lock(c->dir, &lock_fd);
    if (rc < 0) {
        return rc;
    }
    rc = hd_start(c, &options, NULL);
    if (rc == -HD_E_CLOSED) {
        hd_clock_sleep_ms(AGAIN_MS);
        rc = hd_start(c, &options, NULL);
    }
    return rc;
}

static int go_on(const struct hd_cluster *c, const char *name)
{
    const struct hd_member *m = find_member(c, name);
    pid_t pid = m != NULL ? hd_process_find(c, m) : 0;
    if (pid != 0 && kill(pid, SIGCONT) < 0 && errno != ESRCH) {
        return hd_fail_errno(errno, "%s: SIGCONT to process %d", name, (int)pid);
    }
    return 0;
}

static int stop_member(const struct hd_cluster *c, const char *name, const char *pid_text)
{
    const struct hd_member *m = find_member(c, name);
    pid_t pid = m != NULL ? hd_process_find(c, m) : 0;
    if (pid == 0 || pid != (pid_t)strtol(pid_text, NULL, 10)) {
        return 0; /* ended, or another process has taken its place */
    }
    int rc = hd_process_stop(&pid, 1, STOP_GRACE_MS, 0);
    return HD_MIN(rc, 0);
}

/* Puts saved bytes back, where the bytes that replaced them still are. */
static int put_back(const char *path, const char *offset_text, const char *saved_path,
                    const char *bad_path)
{
    HD_AUTO(hd_buf_done) struct hd_buf saved = {0};
    HD_AUTO(hd_buf_done) struct hd_buf bad = {0};
    uint64_t offset = strtoull(offset_text, NULL, 10);
    int rc = hd_file_read(saved_path, SAVED_MAX_BYTES, &saved);
    rc = rc == 0 ? hd_file_read(bad_path, SAVED_MAX_BYTES, &bad) : rc;
    if (rc < 0) {
        return rc;
    }
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? 0 : hd_fail_errno(errno, "%s", path);
    }
    uint8_t *now = malloc(bad.size + 1);
    rc = now != NULL ? hd_fd_pread(fd, now, bad.size, offset) : -ENOMEM;
    bool still_bad = rc == 0 && saved.size == bad.size && memcmp(now, bad.data, bad.size) == 0;
    free(now);
    if (!still_bad) {
        return rc == -HD_E_TRUNCATED ? 0 : rc;
    }
    rc = hd_fd_pwrite(fd, saved.data, saved.size, offset);
    return rc == 0 && fdatasync(fd) < 0 ? hd_fail_errno(errno, "%s", path) : rc;
}

static int move_back(const char *from, const char *to)
{
    struct stat st;
    if (lstat(from, &st) < 0 || lstat(to, &st) == 0) {
        return 0;
    }
    if (rename(from, to) < 0) {
        return hd_fail_errno(errno, "%s", to);
    }
    return hd_dir_sync_parent(to);
}

/* A saved file takes the place of the bad one, as long as that one is still there. */
static int replace_bad(const char *saved, const char *path, const char *bad_size)
{
    struct stat st;
    if (stat(saved, &st) < 0 || stat(path, &st) < 0 ||
        st.st_size != (off_t)strtoull(bad_size, NULL, 10)) {
        return 0;
    }
    if (rename(saved, path) < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    return hd_dir_sync_parent(path);
}

static int clear_faults(const char *address)
{
    int rc = hd_drill_set_faults(address, NULL, 0, 1);
    bool gone = rc == -ECONNREFUSED; /* with its process, and faults are in memory only */
    return gone ? 0 : rc;
}

static int back_in_service(const struct hd_cluster *c, const char *node)
{
    char meta[HD_TEXT_BYTES];
    int rc = hd_drill_active_meta(c, 5000, meta);
    return rc < 0 ? rc
                  : hd_drill_set_node_state(meta, node, HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE);
}

static int undo(const struct hd_cluster *c, const struct hd_inverse *u, bool no_mount)
{
    switch (u->kind) {
    case HD_UNDO_START:
        return hd_drill_start_cluster(c, no_mount);
    case HD_UNDO_CONTINUE:
        return go_on(c, u->args[0]);
    case HD_UNDO_BYTES:
        return put_back(u->args[0], u->args[1], u->args[2], u->args[3]);
    case HD_UNDO_MOVE:
        return move_back(u->args[0], u->args[1]);
    case HD_UNDO_REPLACE:
        return replace_bad(u->args[0], u->args[1], u->args[2]);
    case HD_UNDO_FAULTS:
        return clear_faults(u->args[0]);
    case HD_UNDO_NODE:
        return back_in_service(c, u->args[0]);
    case HD_UNDO_POWERCUT:
        return hd_drill_undo_writes(u->args[0], u->args[1]);
    case HD_UNDO_RESTART:
        return stop_member(c, u->args[0], u->args[1]);
    case HD_UNDO_KINDS:
        break;
    }
    return -EINVAL;
}

int hd_drill_heal(const struct hd_cluster *c, const struct hd_journal *journal, bool no_mount)
{
    int result = 0;
    for (size_t i = journal->count; i-- > 0;) {
        int rc = undo(c, &journal->list[i], no_mount);
        result = result < 0 ? result : rc;
    }
    return result;
}
