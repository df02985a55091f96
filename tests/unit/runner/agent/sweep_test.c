/* What killed agents leave behind is ended, and nothing else. */
#include "runner/agent/sweep.h"

#include <atf-c.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static char here[PATH_MAX];

/* A sleeper in a session of its own, with nothing open, in `cwd`, with `variable`. */
static pid_t start(const char *cwd, const char *variable)
{
    int ready[2];
    char byte;
    ATF_REQUIRE_EQ(pipe2(ready, 02000000 /* O_CLOEXEC */), 0);
    pid_t pid = fork();
    ATF_REQUIRE(pid >= 0);
    if (pid == 0) {
        char *const argv[] = {(char *)(uintptr_t) "sleep", (char *)(uintptr_t) "1000", NULL};
        char *const envp[] = {(char *)(uintptr_t) "A=b", (char *)(uintptr_t)variable, NULL};
        if (setsid() < 0 || chdir(cwd) < 0) {
            _exit(1);
        }
        for (int fd = 0; fd < 3; fd++) {
            close(fd);
        }
        execve("/bin/sleep", argv, envp);
        _exit(1);
    }
    close(ready[1]);
    ATF_REQUIRE_EQ(read(ready[0], &byte, 1), 0); /* closed by the exec */
    close(ready[0]);
    return pid;
}

static bool was_killed(pid_t pid)
{
    int status;
    ATF_REQUIRE_EQ(waitpid(pid, &status, 0), pid);
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
}

static bool lives(pid_t pid)
{
    return waitpid(pid, NULL, WNOHANG) == 0;
}

ATF_TC_WITHOUT_HEAD(leftovers_die_and_bystanders_live);
ATF_TC_BODY(leftovers_die_and_bystanders_live, tc)
{
    char dir[PATH_MAX + 32], jobs[PATH_MAX + 32], beside[PATH_MAX + 32];
    char variable[PATH_MAX + 64], deeper[PATH_MAX + 64], longer[PATH_MAX + 64],
        inside[PATH_MAX + 64];
    ATF_REQUIRE(getcwd(here, sizeof(here)) != NULL);
    snprintf(dir, sizeof(dir), "%s/agent-1", here);
    snprintf(jobs, sizeof(jobs), "%s/agent-1/jobs", here);
    snprintf(beside, sizeof(beside), "%s/agent-1/jobs2", here);
    snprintf(variable, sizeof(variable), HD_SWEEP_VARIABLE "=%s", dir);
    snprintf(longer, sizeof(longer), HD_SWEEP_VARIABLE "=%s0", jobs);
    snprintf(inside, sizeof(inside), "X" HD_SWEEP_VARIABLE "=%s", jobs);
    snprintf(deeper, sizeof(deeper), HD_SWEEP_VARIABLE "=%s/a/b", jobs);
    ATF_REQUIRE_EQ(mkdir(dir, 0755), 0);
    ATF_REQUIRE_EQ(mkdir(jobs, 0755), 0);
    ATF_REQUIRE_EQ(mkdir(beside, 0755), 0);
    pid_t marked = start("/", deeper);
    pid_t below = start(jobs, "B=c");
    pid_t other[] = {start("/", longer), start("/", inside), start("/", variable),
                     start(beside, "B=c")};
    ATF_CHECK_EQ(hd_sweep(jobs), 2);
    ATF_CHECK(was_killed(marked));
    ATF_CHECK(was_killed(below));
    ATF_CHECK_EQ(hd_sweep(jobs), 0);
    for (size_t i = 0; i < HD_ARRAY_COUNT(other); i++) {
        ATF_CHECK(lives(other[i]));
        kill(other[i], SIGKILL);
        ATF_CHECK(was_killed(other[i]));
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, leftovers_die_and_bystanders_live);
    return atf_no_error();
}
