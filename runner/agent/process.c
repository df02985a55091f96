/* Running one command of a job from start to end. See agent.h. */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/agent/agent.h"
#include "runner/agent/pump.h"
#include "runner/core/command.h"
#include "runner/ops/record.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OUT_ROOM_BYTES = 256 * 1024, ERR_ROOM_BYTES = 16 * 1024, TICK_MS = 500 };

struct pipes {
    int ours[3];
    int theirs[3];
};

static void close_all(int fds[3])
{
    for (int i = 0; i < 3; i++) {
        hd_fd_done(&fds[i]);
    }
}

static int open_pipes(struct pipes *p)
{
    *p = (struct pipes){.ours = {-1, -1, -1}, .theirs = {-1, -1, -1}};
    for (int i = 0; i < 3; i++) {
        int err = hd_pump_pipe(i == 0, &p->ours[i], &p->theirs[i]);
        if (err < 0) {
            close_all(p->ours);
            close_all(p->theirs);
            return err;
        }
    }
    return 0;
}

static const char *search_path(char **envp)
{
    for (; *envp != NULL; envp++) {
        if (strncmp(*envp, "PATH=", 5) == 0) {
            return *envp + 5;
        }
    }
    return "/usr/local/bin:/usr/bin:/bin";
}

static int launch(struct hd_attempt *t, const struct hd_process *p, struct hd_arena *arena,
                  const struct pipes *pipes, pid_t *ret_pid)
{
    struct hd_command command;
    char path[HD_AGENT_PATH_BYTES];
    int err = hd_command_parse(p->command, arena, &command);
    if (err < 0) {
        return hd_fail(err, "'%s' is not a command", p->command);
    }
    char **envp = hd_attempt_environment(t, arena, p->split);
    if (envp == NULL) {
        return hd_fail(-ENOMEM, "the environment of the task is too large");
    }
    err = hd_spawn_find(command.argv[0], t->work_fd, search_path(envp), path, sizeof(path));
    if (err < 0) {
        return err;
    }
    struct hd_spawn s = {.path = path,
                         .argv = command.argv,
                         .envp = envp,
                         .cwd_fd = t->work_fd,
                         .stdio = {pipes->theirs[0], pipes->theirs[1], pipes->theirs[2]},
                         .identity = &t->job->identity};
    pthread_mutex_lock(&t->lock);
    err = t->cancelled ? -ECANCELED : hd_spawn(&s, ret_pid);
    if (err == 0) {
        hd_assert(t->pid_count < HD_ATTEMPT_PIDS);
        t->pids[t->pid_count++] = *ret_pid;
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

/* Reaps; kills the group first when the pump failed, and what is left of it in any case. */
static int reap(struct hd_attempt *t, pid_t pid, bool kill_it)
{
    int status = 0;
    if (kill_it) {
        kill(-pid, SIGKILL);
    }
    siginfo_t info;
    while (waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT) < 0 && errno == EINTR) {
    }
    pthread_mutex_lock(&t->lock); /* after this nobody kills by a number that may be another's */
    t->pid_count--;               /* commands nest: this was the newest */
    kill(-pid, SIGKILL);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    pthread_mutex_unlock(&t->lock);
    return status;
}

static int judge(const struct hd_attempt *t, const struct hd_process *p, int status)
{
    const char *name = p->shown != NULL ? p->shown : p->command;
    if (WIFSIGNALED(status)) {
        return hd_fail(-HD_E_IO, "%s: killed by signal %d (%s)", name, WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
    }
    int code = WEXITSTATUS(status);
    if (code != 0 && hd_props_bool(&t->job->props, "stream.non.zero.exit.is.failure", true)) {
        return hd_fail(-HD_E_IO, "%s: exit %d", name, code);
    }
    return 0;
}

int hd_process_run(struct hd_attempt *t, struct hd_process *p)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct pipes pipes;
    struct hd_lines out, err_lines;
    pid_t pid = 0;
    hd_arena_init(&arena, 64u << 20);
    int err = open_pipes(&pipes);
    if (err < 0) {
        return err;
    }
    err = launch(t, p, &arena, &pipes, &pid);
    close_all(pipes.theirs);
    if (err < 0) {
        close_all(pipes.ours);
        return err;
    }
    hd_lines_init(&out, p->on_line, p->line_ctx, OUT_ROOM_BYTES, HD_RECORD_MAX_BYTES);
    hd_lines_init(&err_lines, hd_reporter_line, &t->reporter, ERR_ROOM_BYTES, 1 << 20);
    struct hd_pump pump = {.in_fd = pipes.ours[0],
                           .out_fd = pipes.ours[1],
                           .err_fd = pipes.ours[2],
                           .cancel_fd = t->cancel_fd,
                           .fill = p->fill,
                           .fill_ctx = p->fill_ctx,
                           .out = &out,
                           .err = &err_lines,
                           .tick = hd_attempt_tick,
                           .tick_ctx = t,
                           .tick_ms = TICK_MS,
                           .silence_ms =
                               hd_props_int(&t->job->props, "mapreduce.task.timeout", 600000)};
    err = hd_pump_run(&pump);
    p->bytes_in = pump.bytes_in;
    char sentence[HD_FAIL_TEXT_BYTES];
    snprintf(sentence, sizeof(sentence), "%s", hd_fail_text());
    int status = reap(t, pid, err < 0);
    hd_lines_done(&out);
    hd_lines_done(&err_lines);
    if (err < 0) {
        return hd_fail(err, "%s", sentence);
    }
    return judge(t, p, status);
}
