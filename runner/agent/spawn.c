/*
 * See spawn.h. The child shares the agent's memory until it execs, so it calls nothing of libc that
 * takes locks or touches other threads: identities are set by system calls, not by setuid(3), which
 * would try to make every thread of the agent follow.
 */
#include "runner/agent/spawn.h"
#include "fs/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STACK_BYTES = 64 * 1024, GROUPS_MAX = 1024 };

int hd_identity_look_up(const char *user, struct hd_identity *ret)
{
    struct passwd pw;
    struct passwd *found = NULL;
    char text[4096];
    int rc = getpwnam_r(user, &pw, text, sizeof(text), &found);
    if (rc != 0 || found == NULL) {
        return hd_fail(-ENOENT, "user %s is not known on this machine", user);
    }
    struct hd_identity i = {.uid = pw.pw_uid, .gid = pw.pw_gid};
    i.switch_user = pw.pw_uid != geteuid();
    if (i.switch_user && geteuid() != 0) {
        return hd_fail(-EPERM, "the agent runs as uid %u and cannot run tasks of %s", geteuid(),
                       user);
    }
    i.home = strdup(pw.pw_dir);
    i.groups = malloc(GROUPS_MAX * sizeof(*i.groups));
    i.group_count = GROUPS_MAX;
    if (i.home == NULL || i.groups == NULL ||
        getgrouplist(user, pw.pw_gid, i.groups, &i.group_count) < 0) {
        hd_identity_done(&i);
        return hd_fail(-ENOMEM, "cannot list the groups of %s", user);
    }
    *ret = i;
    return 0;
}

void hd_identity_done(struct hd_identity *i)
{
    free(i->groups);
    free(i->home);
    *i = (struct hd_identity){0};
}

int hd_spawn_find(const char *name, int cwd_fd, const char *search_path, char *out, size_t size)
{
    if (strchr(name, '/') != NULL) {
        return snprintf(out, size, "%s", name) < (int)size ? 0 : -ENAMETOOLONG;
    }
    struct stat st;
    if (fstatat(cwd_fd, name, &st, 0) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 0111) != 0) {
        return snprintf(out, size, "./%s", name) < (int)size ? 0 : -ENAMETOOLONG;
    }
    for (const char *p = search_path; *p != '\0';) {
        const char *colon = strchrnul(p, ':');
        int n = snprintf(out, size, "%.*s/%s", (int)(colon - p), p, name);
        if (n < (int)size && colon > p && stat(out, &st) == 0 && S_ISREG(st.st_mode) &&
            (st.st_mode & 0111) != 0) {
            return 0;
        }
        p = *colon != '\0' ? colon + 1 : colon;
    }
    return hd_fail(-ENOENT, "%s: no such program among the job's files or in PATH (%s)", name,
                   search_path);
}

struct child {
    const struct hd_spawn *s;
    pid_t parent;
    int error;
};

static int become(const struct hd_identity *i)
{
    if (!i->switch_user) {
        return 0;
    }
    if (syscall(SYS_setgroups, i->group_count, i->groups) < 0 ||
        syscall(SYS_setresgid, i->gid, i->gid, i->gid) < 0 ||
        syscall(SYS_setresuid, i->uid, i->uid, i->uid) < 0) {
        return -1;
    }
    return 0;
}

static void clean_signals(void)
{
    struct sigaction dfl = {.sa_handler = SIG_DFL};
    for (int sig = 1; sig < NSIG; sig++) {
        sigaction(sig, &dfl, NULL);
    }
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* Descriptors 0, 1, 2 in place: first above, so that none overwrites another. */
static int place_stdio(const int stdio[3])
{
    int high[3];
    for (int i = 0; i < 3; i++) {
        high[i] = fcntl(stdio[i], F_DUPFD_CLOEXEC, 3);
        if (high[i] < 0) {
            return -1;
        }
    }
    for (int i = 0; i < 3; i++) {
        if (dup2(high[i], i) < 0) {
            return -1;
        }
    }
    return 0;
}

static int child_main(void *arg)
{
    struct child *c = arg;
    const struct hd_spawn *s = c->s;
    clean_signals();
    if (setpgid(0, 0) < 0 || place_stdio(s->stdio) < 0 || fchdir(s->cwd_fd) < 0 ||
        become(s->identity) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGKILL) < 0) { /* after the identity, which clears it */
        c->error = errno;
        _exit(127);
    }
    if (getppid() != c->parent) {
        _exit(127);
    }
    syscall(SYS_close_range, 3, ~0U, 0);
    umask(022);
    execve(s->path, s->argv, s->envp);
    if (errno == ENOEXEC) { /* a script without #!: the shell's, as execvp does */
        char *const argv[] = {(char *)(uintptr_t) "sh", (char *)(uintptr_t)s->path, NULL};
        execve("/bin/sh", argv, s->envp);
    }
    c->error = errno;
    _exit(127);
}

int hd_spawn(const struct hd_spawn *s, pid_t *ret_pid)
{
    struct child c = {.s = s, .parent = getpid()};
    sigset_t all, old;
    uint8_t *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
    if (stack == MAP_FAILED) {
        return -ENOMEM;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pid_t pid = clone(child_main, stack + STACK_BYTES, CLONE_VM | CLONE_VFORK | SIGCHLD, &c);
    int err = pid < 0 ? errno : c.error;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    munmap(stack, STACK_BYTES);
    if (err != 0) {
        if (pid > 0) {
            waitpid(pid, NULL, 0);
        }
        return hd_fail_errno(err, "%s", s->argv[0]);
    }
    *ret_pid = pid;
    return 0;
}
