/* The guard of a drill. See guard.h. */
#include "tools/drill/guard.h"
#include "tools/drill/drill.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

/* In the child: waits for the other end to be closed, and heals if there is a journal then. */
static HD_NORETURN void keep_guard(const struct hd_cluster *c, const char *path, bool no_mount,
                                   int fd)
{
    struct hd_journal journal;
    char byte;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    setsid();
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    dup2(null_fd, STDIN_FILENO);
    dup2(null_fd, STDOUT_FILENO);
    dup2(null_fd, STDERR_FILENO);
    while (read(fd, &byte, 1) < 0 && errno == EINTR) {
    }
    if (access(path, F_OK) == 0 && hd_journal_load(path, &journal) == 0 &&
        hd_drill_heal(c, &journal, no_mount) == 0) {
        hd_journal_clear(&journal);
    }
    _exit(0);
}

int hd_guard_start(const struct hd_cluster *c, const char *journal, bool no_mount,
                   struct hd_guard *ret)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0) {
        return hd_fail_errno(errno, "pipe");
    }
    pid_t pid = fork();
    if (pid < 0) {
        close(fds[0]);
        close(fds[1]);
        return hd_fail_errno(errno, "fork");
    }
    if (pid == 0) {
        close(fds[1]);
        keep_guard(c, journal, no_mount, fds[0]);
    }
    close(fds[0]);
    *ret = (struct hd_guard){.fd = fds[1], .pid = pid};
    return 0;
}

void hd_guard_end(struct hd_guard *g)
{
    if (g->fd >= 0) {
        hd_fd_done(&g->fd);
        waitpid(g->pid, NULL, 0);
    }
}
