/* The daemons of a cluster as processes. See process.h. */
#include "tools/process.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    SMALL_FILE_BYTES = 65536,
    EXEC_TIMEOUT_MS = 10000,
    EXEC_FAILED = 127,
    KILLED_MS = 2000, /* for those that got SIGKILL */
    BUSY_LOOK_MS = 1000,
    BUSY_BYTES = 16384, /* less in a second is a heartbeat, no progress */
    STUCK_MS = 100,     /* for a child that may be in a call the kernel does not break off */
};

pid_t hd_process_recorded(const struct hd_cluster *c, const struct hd_member *m)
{
    char path[HD_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    hd_member_pid_path(c, m, path);
    if (hd_file_read(path, 64, &text) < 0) {
        return 0;
    }
    const char *str = hd_buf_str(&text);
    long pid = str != NULL ? strtol(str, NULL, 10) : 0;
    return pid > 0 && pid <= INT32_MAX ? (pid_t)pid : 0;
}

bool hd_process_alive(pid_t pid)
{
    char path[64];
    HD_AUTO(hd_buf_done) struct hd_buf stat = {0};
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    if (pid <= 0 || hd_file_read(path, SMALL_FILE_BYTES, &stat) < 0) {
        return false;
    }
    const char *text = hd_buf_str(&stat);
    const char *paren = text != NULL ? strrchr(text, ')') : NULL; /* the name may hold anything */
    return paren != NULL && paren[1] == ' ' && paren[2] != 'Z' && paren[2] != 'X';
}

/* The argument after `at`, NULL at the end. */
static const char *next_arg(const char *at, const char *end)
{
    at += strnlen(at, (size_t)(end - at)) + 1;
    return at < end ? at : NULL;
}

static bool has_arg(const char *cmdline, size_t size, const char *want)
{
    const char *end = cmdline + size;
    for (const char *at = cmdline; at != NULL && at < end; at = next_arg(at, end)) {
        if (strncmp(at, want, (size_t)(end - at)) == 0 && strlen(want) < (size_t)(end - at)) {
            return true;
        }
    }
    return false;
}

bool hd_process_is_member(const struct hd_cluster *c, const struct hd_member *m,
                          const char *cmdline, size_t size)
{
    if (size == 0 || cmdline[size - 1] != '\0') {
        return false;
    }
    const char *slash = strrchr(cmdline, '/');
    if (strcmp(slash != NULL ? slash + 1 : cmdline, m->program) != 0) {
        return false;
    }
    return has_arg(cmdline, size, c->conf) &&
           has_arg(cmdline, size, m->role == HD_ROLE_MOUNT ? c->mount : m->name);
}

pid_t hd_process_find(const struct hd_cluster *c, const struct hd_member *m)
{
    char path[64];
    HD_AUTO(hd_buf_done) struct hd_buf cmdline = {0};
    pid_t pid = hd_process_recorded(c, m);
    if (!hd_process_alive(pid)) {
        return 0;
    }
    snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
    if (hd_file_read(path, SMALL_FILE_BYTES, &cmdline) < 0) {
        return 0;
    }
    return hd_process_is_member(c, m, (const char *)cmdline.data, cmdline.size) ? pid : 0;
}

int hd_process_program(const char *name, char out[HD_PATH_BYTES])
{
    char self[HD_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n > 0) {
        self[n] = '\0';
        char *slash = strrchr(self, '/');
        slash[1] = '\0';
        if (snprintf(out, HD_PATH_BYTES, "%s%s", self, name) < HD_PATH_BYTES &&
            access(out, X_OK) == 0) {
            return 0;
        }
    }
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t size = strcspn(path, ":");
        if (snprintf(out, HD_PATH_BYTES, "%.*s/%s", (int)size, path, name) < HD_PATH_BYTES &&
            access(out, X_OK) == 0) {
            return 0;
        }
        path += size + (path[size] == ':');
    }
    return hd_fail(-ENOENT, "%s: no such program beside howdah nor on PATH", name);
}

/* In the child: only async-signal-safe calls until exec. */
static HD_NORETURN void become(const char *program, const char *const argv[], char **env,
                               int log_fd)
{
    sigset_t none;
    int null_fd = open("/dev/null", O_RDONLY);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (setsid() < 0 || chdir("/") < 0 || null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 ||
        dup2(log_fd, STDOUT_FILENO) < 0 || dup2(log_fd, STDERR_FILENO) < 0) {
        _exit(EXEC_FAILED);
    }
    umask(022);
    if (close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0) { /* at exec: see begun in hd_process_start */
        close_range(3, ~0U, 0);
    }
    execve(program, (char *const *)argv, env);
    _exit(EXEC_FAILED);
}

/* The environment with NOTIFY_SOCKET set and the watchdog of our own manager, if any, left out. */
static char **make_env(const char *notify_socket, char *variable, size_t size)
{
    size_t count = 0;
    size_t kept = 0;
    while (environ[count] != NULL) {
        count++;
    }
    char **env = calloc(count + 2, sizeof(*env));
    if (env == NULL) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (strncmp(environ[i], "NOTIFY_SOCKET=", 14) != 0 &&
            strncmp(environ[i], "WATCHDOG_", 9) != 0 &&
            strncmp(environ[i], "HADOOP_USER_NAME=", 17) != 0) {
            env[kept++] = environ[i];
        }
    }
    snprintf(variable, size, "NOTIFY_SOCKET=%s", notify_socket);
    env[kept] = variable;
    return env;
}

static int write_pid_file(const struct hd_cluster *c, const struct hd_member *m, pid_t pid)
{
    char path[HD_PATH_BYTES];
    char text[16];
    hd_member_pid_path(c, m, path);
    int size = snprintf(text, sizeof(text), "%d\n", (int)pid);
    HD_AUTO(hd_fd_done) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    return hd_fd_write(fd, text, (size_t)size);
}

int hd_process_start(const struct hd_cluster *c, const struct hd_member *m,
                     const char *notify_socket, pid_t *ret_pid)
{
    char program[HD_PATH_BYTES];
    char log[HD_PATH_BYTES];
    char variable[256];
    const char *argv[HD_MEMBER_ARGS];
    int rc = hd_process_program(m->program, program);
    if (rc < 0) {
        return rc;
    }
    hd_member_argv(c, m, argv);
    argv[0] = program;
    hd_member_log_path(c, m, log);
    HD_AUTO(hd_fd_done) int log_fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (log_fd < 0) {
        return hd_fail_errno(errno, "%s", log);
    }
    char **env = make_env(notify_socket, variable, sizeof(variable));
    if (env == NULL) {
        return -ENOMEM;
    }
    /* Until exec the child looks like us, and nobody would find it: its end of the pipe closes
     * then. */
    HD_AUTO(hd_fd_done) int begun = -1;
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0) {
        free(env);
        return hd_fail_errno(errno, "pipe");
    }
    begun = ends[0];
    pid_t pid = fork();
    if (pid == 0) {
        become(program, argv, env, log_fd);
    }
    int e = errno;
    free(env);
    close(ends[1]);
    if (pid < 0) {
        return hd_fail_errno(e, "fork");
    }
    struct pollfd exec_done = {.fd = begun, .events = POLLIN};
    while (poll(&exec_done, 1, EXEC_TIMEOUT_MS) < 0 && errno == EINTR) {
    }
    *ret_pid = pid;
    return write_pid_file(c, m, pid);
}

/* Waits until every pid has ended or the deadline is there. True when all have ended. */
static bool wait_for_end(const pid_t *pids, size_t count, int64_t deadline_ms)
{
    for (size_t i = 0; i < count; i++) {
        while (pids[i] != 0 && hd_process_alive(pids[i])) {
            int64_t left = deadline_ms - hd_clock_mono_ms().v;
            if (left <= 0) {
                return false;
            }
            HD_AUTO(hd_fd_done) int fd = pidfd_open(pids[i], 0);
            struct pollfd p = {.fd = fd, .events = POLLIN};
            if (fd < 0 || poll(&p, 1, (int)HD_MIN(left, 1000)) < 0) {
                hd_clock_sleep_ms(2);
            }
            waitpid(pids[i], NULL, WNOHANG); /* in the foreground they are our children */
        }
    }
    return true;
}

/* What these processes have written so far, to files and sockets. */
static uint64_t written_bytes(const pid_t *pids, size_t count)
{
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) {
        char path[64];
        HD_AUTO(hd_buf_done) struct hd_buf text = {0};
        snprintf(path, sizeof(path), "/proc/%d/io", (int)pids[i]);
        if (pids[i] != 0 && hd_file_read(path, SMALL_FILE_BYTES, &text) == 0) {
            const char *at = hd_buf_str(&text);
            at = at != NULL ? strstr(at, "wchar: ") : NULL;
            all += at != NULL ? strtoull(at + strlen("wchar: "), NULL, 10) : 0;
        }
    }
    return all;
}

/* The same beyond the grace, for as long as they get on. */
static bool wait_for_busy(const pid_t *pids, size_t count, int64_t deadline_ms)
{
    uint64_t before = written_bytes(pids, count);
    while (hd_clock_mono_ms().v < deadline_ms) {
        if (wait_for_end(pids, count, hd_clock_mono_ms().v + BUSY_LOOK_MS)) {
            return true;
        }
        uint64_t now = written_bytes(pids, count);
        if (now < before + BUSY_BYTES) {
            return false;
        }
        before = now;
    }
    return false;
}

int hd_process_stop(pid_t *pids, size_t count, int grace_ms, int busy_ms)
{
    int killed = 0;
    int64_t begin_ms = hd_clock_mono_ms().v;
    for (size_t i = 0; i < count; i++) {
        if (pids[i] != 0 && kill(pids[i], SIGTERM) < 0 && errno != ESRCH) {
            return hd_fail_errno(errno, "cannot stop process %d", (int)pids[i]);
        }
        if (pids[i] != 0) {
            kill(pids[i], SIGCONT); /* a stopped process ends only once it goes on */
        }
    }
    if (wait_for_end(pids, count, begin_ms + grace_ms) ||
        (busy_ms > grace_ms && wait_for_busy(pids, count, begin_ms + busy_ms))) {
        return 0;
    }
    for (size_t i = 0; i < count; i++) {
        if (pids[i] != 0 && hd_process_alive(pids[i])) {
            kill(pids[i], SIGKILL);
            killed++;
        } else {
            pids[i] = 0;
        }
    }
    if (!wait_for_end(pids, count, hd_clock_mono_ms().v + KILLED_MS)) {
        return hd_fail(-EBUSY, "a process does not end, not even by SIGKILL");
    }
    return killed;
}

int hd_process_wait(pid_t child, int timeout_ms)
{
    HD_AUTO(hd_fd_done) int fd = pidfd_open(child, 0);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int status;
    if (fd >= 0 && poll(&p, 1, timeout_ms) == 0) {
        kill(child, SIGKILL);
        if (poll(&p, 1, STUCK_MS) > 0) {
            waitpid(child, &status, 0);
        }
        return -ETIMEDOUT;
    }
    if (waitpid(child, &status, 0) < 0) {
        return -errno;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : -EINTR;
}

int hd_process_run(const char *const argv[], int timeout_ms)
{
    pid_t pid = fork();
    if (pid < 0) {
        return -errno;
    }
    if (pid == 0) {
        int null_fd = open("/dev/null", O_RDWR);
        dup2(null_fd, STDIN_FILENO);
        dup2(null_fd, STDOUT_FILENO);
        dup2(null_fd, STDERR_FILENO);
        execvp(argv[0], (char *const *)argv);
        _exit(EXEC_FAILED);
    }
    return hd_process_wait(pid, timeout_ms);
}
