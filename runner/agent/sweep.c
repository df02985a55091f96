/* See sweep.h. A pid is held by a pidfd while it is looked at: no other process can be hit. */
#include "runner/agent/sweep.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { ENVIRONMENT_MAX_BYTES = 16 << 20, READ_BYTES = 64 * 1024, WAIT_MS = 2000, PAUSE_MS = 5 };

struct sweep {
    const char *dir;
    size_t dir_size;
    struct hd_buf b; /* an environment, with a NUL before it and behind */
};

static bool is_below(const struct sweep *s, const char *path)
{
    return strncmp(path, s->dir, s->dir_size) == 0 &&
           (path[s->dir_size] == '/' || path[s->dir_size] == '\0');
}

static int read_environment(struct hd_buf *b, pid_t pid)
{
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/environ", pid);
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    hd_buf_clear(b);
    int err = fd >= 0 ? hd_buf_add_u8(b, 0) : -errno;
    while (err == 0) {
        err = hd_buf_reserve(b, READ_BYTES);
        ssize_t n = err == 0 ? read(fd, b->data + b->size, READ_BYTES) : 0;
        if (n <= 0) {
            return n < 0 ? -errno : err;
        }
        b->size += (size_t)n;
    }
    return err;
}

static bool has_variable(struct sweep *s, pid_t pid)
{
    static const char name[] = "\0" HD_SWEEP_VARIABLE "=";
    if (read_environment(&s->b, pid) < 0 || hd_buf_add_u8(&s->b, 0) < 0) {
        return false;
    }
    const char *end = (const char *)s->b.data + s->b.size;
    const char *at =
        memmem(s->b.data, s->b.size, name, sizeof(name) - 1); /* the first is what counts */
    return at != NULL && at + sizeof(name) - 1 < end && is_below(s, at + sizeof(name) - 1);
}

static bool works_below(const struct sweep *s, pid_t pid)
{
    char path[64];
    char cwd[PATH_MAX];
    snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
    ssize_t n = readlink(path, cwd, sizeof(cwd) - 1);
    cwd[n > 0 ? n : 0] = '\0';
    return n > 0 && is_below(s, cwd);
}

static bool kill_if_ours(struct sweep *s, pid_t pid)
{
    HD_AUTO(hd_fd_done) int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    return fd >= 0 && (has_variable(s, pid) || works_below(s, pid)) &&
           syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0;
}

/* One look at all processes: how many were ours. The dead have no environment any more. */
static int sweep_once(struct sweep *s)
{
    DIR *proc = opendir("/proc");
    if (proc == NULL) {
        return hd_fail_errno(errno, "/proc");
    }
    int found = 0;
    struct dirent *entry;
    while ((entry = readdir(proc)) != NULL) {
        long pid = strtol(entry->d_name, NULL, 10);
        if (pid > 0 && pid != getpid()) {
            found += kill_if_ours(s, (pid_t)pid);
        }
    }
    closedir(proc);
    return found;
}

int hd_sweep(const char *dir)
{
    struct sweep s = {.dir = dir, .dir_size = strlen(dir)};
    hd_buf_init(&s.b, ENVIRONMENT_MAX_BYTES);
    int64_t end = hd_clock_mono_ms().v + WAIT_MS;
    int first = sweep_once(&s);
    int found = first;
    while (found > 0 && hd_clock_mono_ms().v < end) { /* they die, or had just forked */
        hd_clock_sleep_ms(PAUSE_MS);
        found = sweep_once(&s);
    }
    hd_buf_done(&s.b);
    return first;
}
