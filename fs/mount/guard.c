/* The guard of a mount. See guard.h. */
#include "fs/mount/guard.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

extern char **environ;

enum { MOUNTINFO_MAX_BYTES = 16 << 20 };

#define CONNECTIONS "/sys/fs/fuse/connections"

static pid_t guard; /* 0: none */

/* Whether a field of mountinfo, where space, tab, newline and backslash are octal, is the path. */
static bool field_is(const char *field, size_t size, const char *path)
{
    size_t at = 0;
    while (at < size) {
        char c = field[at++];
        if (c == '\\' && at + 3 <= size) {
            c = (char)((field[at] - '0') << 6 | (field[at + 1] - '0') << 3 | (field[at + 2] - '0'));
            at += 3;
        }
        if (*path++ != c) {
            return false;
        }
    }
    return *path == '\0';
}

bool hd_guard_find(const char *mountinfo, const char *path, unsigned *ret_number)
{
    bool found = false;
    for (const char *line = mountinfo; line != NULL && *line != '\0';) {
        unsigned number;
        int at = 0;
        const char *end = strchrnul(line, '\n');
        if (sscanf(line, "%*u %*u %*u:%u %*s %n", &number, &at) == 1 && at > 0 && line + at < end &&
            field_is(line + at, strcspn(line + at, " \n"), path)) {
            *ret_number = number;
            found = true;
        }
        line = *end == '\n' ? end + 1 : end;
    }
    return found;
}

int hd_guard_start(const char *path)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {.max = MOUNTINFO_MAX_BYTES};
    char number[16];
    char parent[16];
    unsigned n;
    int rc = hd_file_read("/proc/self/mountinfo", MOUNTINFO_MAX_BYTES, &text);
    if (rc < 0 || hd_buf_str(&text) == NULL) {
        return hd_fail(rc < 0 ? rc : -ENOMEM, "/proc/self/mountinfo cannot be read");
    }
    if (!hd_guard_find(hd_buf_str(&text), path, &n)) {
        return hd_fail(-ENOENT, "%s: not in /proc/self/mountinfo", path);
    }
    snprintf(number, sizeof(number), "%u", n);
    snprintf(parent, sizeof(parent), "%d", (int)getpid());
    char program[] = "howdah-mount";
    char option[] = "--guard";
    char *argv[] = {program, option, number, parent, NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    rc = posix_spawn_file_actions_init(&actions);
    for (int fd = 0; fd < 3 && rc == 0; fd++) {
        rc = posix_spawn_file_actions_addopen(&actions, fd, "/dev/null", O_RDWR, 0);
    }
    rc = rc == 0 ? posix_spawn(&pid, "/proc/self/exe", &actions, NULL, argv, environ) : rc;
    posix_spawn_file_actions_destroy(&actions);
    if (rc != 0) {
        return hd_fail_errno(rc, "the guard of %s", path);
    }
    guard = pid;
    return 0;
}

void hd_guard_stop(void)
{
    if (guard > 0) {
        (void)kill(guard, SIGKILL);
        (void)waitpid(guard, NULL, 0);
        guard = 0;
    }
}

/* Writes "1" into the connection's `abort`. */
static bool abort_connection(const char *number)
{
    char path[128];
    snprintf(path, sizeof(path), CONNECTIONS "/%.16s/abort", number);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    bool done = write(fd, "1", 1) == 1;
    close(fd);
    return done;
}

int hd_guard_main(int argc, char **argv)
{
    sigset_t wanted;
    int signal_number;
    if (argc != 4) {
        return EX_USAGE;
    }
    (void)setsid();
    sigfillset(&wanted);
    sigprocmask(SIG_SETMASK, &wanted, NULL); /* a stop of the whole group is not for the guard */
    sigemptyset(&wanted);
    sigaddset(&wanted, SIGUSR1);
    (void)prctl(PR_SET_PDEATHSIG, SIGUSR1);
    while (getppid() == (pid_t)atoi(argv[3]) && sigwait(&wanted, &signal_number) != 0) {
    }
    if (!abort_connection(argv[2])) {
        /* Often it is just gone. Where the control file system is not mounted, it is now. */
        if (access(CONNECTIONS, F_OK) == 0 &&
            mount("fusectl", CONNECTIONS, "fusectl", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) == 0) {
            (void)abort_connection(argv[2]);
        }
    }
    return EXIT_SUCCESS;
}
