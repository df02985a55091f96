/*
 * A job until its end. On a terminal one line that changes; otherwise a plain line when a whole
 * tenth more is done, at most one a second. An interrupt kills the job.
 */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "runner/cli/cli.h"
#include "runner/lib/call.h"
#include "runner/lib/json.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { RETRY_MS = 200, RETRY_MAX = 150, PLAIN_MS = 1000, WATCH_MS = -1 };

const char *hd_size_text(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "KB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1000 && u + 1 < HD_ARRAY_COUNT(units)) {
        v /= 1000;
        u++;
    }
    snprintf(out, 32, u == 0 || v >= 100 ? "%.0f %s" : "%.1f %s", v, units[u]);
    return out;
}

void hd_print_plan(const Hdw__RunnerJobStatus *s)
{
    fprintf(stderr, "job %s %s  %u %s", s->id, s->name, s->maps, s->maps == 1 ? "map" : "maps");
    if (s->local + s->rack + s->any > 0) {
        const char *sep = "";
        fprintf(stderr, " (");
        if (s->local > 0) {
            fprintf(stderr, "%u local", s->local);
            sep = ", ";
        }
        if (s->rack > 0) {
            fprintf(stderr, "%s%u rack", sep, s->rack);
            sep = ", ";
        }
        if (s->any > 0) {
            fprintf(stderr, "%s%u any", sep, s->any);
        }
        fprintf(stderr, ")");
    }
    fprintf(stderr, ", %u %s, queue default\n", s->reduces, s->reduces == 1 ? "reduce" : "reduces");
}

static unsigned percent(uint64_t part, uint64_t whole)
{
    return whole == 0 ? 100 : (unsigned)(part * 100 / whole);
}

static void format_progress(const Hdw__RunnerJobStatus *s, char *out, size_t size)
{
    char in[32], shuffled[32], written[32];
    int n = snprintf(out, size, "map %u%% %u/%u", percent(s->maps_done, s->maps), s->maps_done,
                     s->maps);
    if (s->reduces > 0 && n < (int)size) {
        n += snprintf(out + n, size - (size_t)n, "   reduce %u%% %u/%u",
                      percent(s->reduces_done, s->reduces), s->reduces_done, s->reduces);
    }
    if (n < (int)size) {
        n += snprintf(out + n, size - (size_t)n, "   %.2f s   in %s", (double)s->elapsed_ms / 1000,
                      hd_size_text(s->bytes_in, in));
    }
    if (s->reduces > 0 && n < (int)size) {
        n += snprintf(out + n, size - (size_t)n, "  shuffled %s",
                      hd_size_text(s->bytes_shuffled, shuffled));
    }
    if (n < (int)size) {
        snprintf(out + n, size - (size_t)n, "  out %s", hd_size_text(s->bytes_out, written));
    }
}

static void print_counters(const Hdw__RunnerJobStatus *s)
{
    for (size_t i = 0; i < s->n_counter; i++) {
        bool first = true; /* of its group */
        for (size_t j = 0; j < i; j++) {
            first = first && strcmp(s->counter[i]->group, s->counter[j]->group) != 0;
        }
        if (!first) {
            continue;
        }
        fprintf(stderr, "counters %s\n", s->counter[i]->group);
        for (size_t j = i; j < s->n_counter; j++) {
            if (strcmp(s->counter[i]->group, s->counter[j]->group) == 0) {
                fprintf(stderr, "  %s=%lld\n", s->counter[j]->name,
                        (long long)s->counter[j]->value);
            }
        }
    }
}

void hd_print_end(const Hdw__RunnerJobStatus *s)
{
    char line[512];
    hd_print_plan(s);
    format_progress(s, line, sizeof(line));
    fprintf(stderr, "%s\n", line);
    print_counters(s);
    if (s->failed_attempts > 0) {
        fprintf(stderr, "%u failed %s: runner logs %s --failed\n", s->failed_attempts,
                s->failed_attempts == 1 ? "attempt" : "attempts", s->id);
    }
    if (s->state == HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED) {
        fprintf(stderr, "%s: ", s->output);
        uint32_t parts = s->reduces > 0 ? s->reduces : s->maps;
        if (parts == 1) {
            fprintf(stderr, "part-00000 _SUCCESS\n");
        } else if (parts > 1) {
            fprintf(stderr, "part-00000 ... part-%05u _SUCCESS\n", parts - 1);
        } else {
            fprintf(stderr, "_SUCCESS\n");
        }
    } else {
        fprintf(stderr, "job %s %s: %s\n", s->id, hd_job_state_name(s->state),
                s->failure != NULL ? s->failure : "no reason given");
    }
}

struct screen {
    bool terminal;
    bool shown; /* a live line stands there */
    unsigned tenths;
    int64_t plain_ms;
};

static void clear_line(struct screen *v)
{
    if (v->shown) {
        fputs("\r\033[K", stderr);
        v->shown = false;
    }
}

static void show(struct screen *v, const Hdw__RunnerJobStatus *s)
{
    char line[512];
    format_progress(s, line, sizeof(line));
    if (v->terminal) {
        fprintf(stderr, "\r\033[K%s", line);
        fflush(stderr);
        v->shown = true;
        return;
    }
    unsigned tenths = percent(s->maps_done + s->reduces_done, (uint64_t)s->maps + s->reduces) / 10;
    int64_t now = hd_clock_mono_ms().v;
    if (tenths > v->tenths && now - v->plain_ms >= PLAIN_MS && !hd_job_state_final(s->state)) {
        fprintf(stderr, "%s\n", line);
        v->tenths = tenths;
        v->plain_ms = now;
    }
}

/* ---- interrupts: a thread waits for the signal, kills the job and ends the program ---- */

struct interrupt {
    struct hd_cli *cli;
    const char *job;
    void (*then)(void);
};

static void *interrupt_main(void *arg)
{
    struct interrupt *i = arg;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    sigset_t set;
    int sig;
    hd_arena_init(&arena, 0);
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigwait(&set, &sig);
    Hdw__KillJobRequest request = HDW__KILL_JOB_REQUEST__INIT;
    Hdw__KillJobResponse *response;
    request.job = (char *)(uintptr_t)i->job;
    int err = hd_runner_call(i->cli->manager, "killJob", &request,
                             &hdw__kill_job_response__descriptor, 5000, &arena, &response);
    fprintf(stderr, "\nrunner: interrupted, job %s %s\n", i->job,
            err == 0 ? "killed" : "could not be killed");
    if (i->then != NULL) {
        i->then();
    }
    _exit(HD_EXIT_INTERRUPTED);
}

static void catch_interrupts(struct interrupt *i)
{
    pthread_t thread;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    if (pthread_create(&thread, NULL, interrupt_main, i) == 0) {
        pthread_detach(thread);
    }
}

static int watch(struct hd_cli *c, const char *job, uint64_t seen, struct hd_arena *arena,
                 Hdw__WatchResponse **ret)
{
    Hdw__WatchRequest request = HDW__WATCH_REQUEST__INIT;
    request.job = (char *)(uintptr_t)job;
    request.seen_version = seen;
    int err = 0;
    for (int i = 0; i < RETRY_MAX; i++) {
        err = hd_runner_call(c->manager, "watch", &request, &hdw__watch_response__descriptor,
                             WATCH_MS, arena, ret);
        if (err == 0 || !hd_rpc_is_connection_error(err)) {
            return err;
        }
        request.seen_version = 0; /* a manager that was restarted counts anew */
        hd_clock_sleep_ms(RETRY_MS);
    }
    return err;
}

int hd_follow_job(struct hd_cli *c, const char *job, const struct hd_follow *o)
{
    static struct interrupt interrupt; /* outlives this call: its thread has it */
    struct screen v = {.terminal = isatty(STDERR_FILENO) == 1, .plain_ms = hd_clock_mono_ms().v};
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    uint64_t seen = 0;
    hd_arena_init(&arena, 0);
    if (o->kill_on_interrupt) {
        bool caught = interrupt.cli != NULL; /* by the job before this one */
        interrupt = (struct interrupt){.cli = c, .job = job, .then = o->on_interrupt};
        if (!caught) {
            catch_interrupts(&interrupt);
        }
    }
    for (;;) {
        Hdw__WatchResponse *response;
        hd_arena_reset(&arena);
        int err = watch(c, job, seen, &arena, &response);
        if (err < 0) {
            clear_line(&v);
            hd_cli_say("job %s: %s", job, hd_fail_describe(err));
            return hd_cli_exit_code(err);
        }
        const Hdw__RunnerJobStatus *s = response->status;
        seen = s->version;
        if (!o->quiet) {
            show(&v, s);
        }
        if (hd_job_state_final(s->state)) {
            clear_line(&v);
            if (!o->quiet || s->state != HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED) {
                hd_print_end(s);
            }
            return s->state == HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED ? HD_EXIT_OK : HD_EXIT_FAILED;
        }
    }
}
