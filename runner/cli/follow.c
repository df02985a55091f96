/*
 * A job until its end. On a terminal one line that changes; otherwise a plain line when a whole
 * tenth more is done, at most one a second. An interrupt kills the job.
 */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "runner/cli/cli.h"
#include "runner/lib/call.h"
#include "runner/lib/json.h"
#include "runner/lib/names.h"

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    RETRY_MS = 200,
    RETRY_MAX = 150,
    PLAIN_MS = 1000,
    WATCH_MS = -1,
    KILL_MS = 5000,
    SUBMIT_WAIT_S = 10,
    END_MS = 50,
    END_TRIES = 100,
};

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

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct hd_cli *cli; /* NULL: nothing is caught */
    char job[HD_JOB_ID_BYTES];
    bool submitting;
    bool caught; /* its thread ends the program; nobody else does */
    void (*then)(void);
} interrupt = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void set_job(const char *job)
{
    pthread_mutex_lock(&interrupt.lock);
    snprintf(interrupt.job, sizeof(interrupt.job), "%s", job);
    interrupt.submitting = false;
    pthread_cond_broadcast(&interrupt.changed);
    pthread_mutex_unlock(&interrupt.lock);
}

/* The end of a job that an interrupt killed is not for this thread to judge. */
static void yield_to_interrupt(void)
{
    pthread_mutex_lock(&interrupt.lock);
    bool caught = interrupt.caught;
    pthread_mutex_unlock(&interrupt.lock);
    while (caught) {
        pause();
    }
}

void hd_interrupt_submitting(bool now)
{
    pthread_mutex_lock(&interrupt.lock);
    interrupt.submitting = now;
    pthread_cond_broadcast(&interrupt.changed);
    pthread_mutex_unlock(&interrupt.lock);
}

/* The job that is followed, or "". One that is being handed in is waited for. */
static void interrupted_job(char job[HD_JOB_ID_BYTES])
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SUBMIT_WAIT_S;
    int rc = 0;
    pthread_mutex_lock(&interrupt.lock);
    interrupt.caught = true;
    while (interrupt.submitting && rc == 0) {
        rc = pthread_cond_timedwait(&interrupt.changed, &interrupt.lock, &until);
    }
    memcpy(job, interrupt.job, HD_JOB_ID_BYTES);
    pthread_mutex_unlock(&interrupt.lock);
}

/* What a killed job still writes should not come behind what is tidied up after it. */
static void await_end(const char *job)
{
    for (int i = 0; i < END_TRIES; i++) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        Hdw__WatchRequest request = HDW__WATCH_REQUEST__INIT;
        Hdw__WatchResponse *response;
        hd_arena_init(&arena, 0);
        request.job = (char *)(uintptr_t)job;
        if (hd_runner_call(interrupt.cli->manager, "watch", &request,
                           &hdw__watch_response__descriptor, KILL_MS, &arena, &response) < 0 ||
            hd_job_state_final(response->status->state)) {
            return;
        }
        hd_clock_sleep_ms(END_MS);
    }
}

static void kill_job(const char *job)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__KillJobRequest request = HDW__KILL_JOB_REQUEST__INIT;
    Hdw__KillJobResponse *response;
    hd_arena_init(&arena, 0);
    request.job = (char *)(uintptr_t)job;
    int err = hd_runner_call(interrupt.cli->manager, "killJob", &request,
                             &hdw__kill_job_response__descriptor, KILL_MS, &arena, &response);
    fprintf(stderr, "\nrunner: interrupted, job %s %s\n", job,
            err == 0 ? "killed" : "could not be killed");
    if (err == 0 && interrupt.then != NULL) {
        await_end(job);
    }
}

static void *interrupt_main(void *signals)
{
    char job[HD_JOB_ID_BYTES];
    int sig;
    sigwait(signals, &sig);
    interrupted_job(job);
    if (job[0] != '\0') {
        kill_job(job);
    } else {
        fprintf(stderr, "\nrunner: interrupted\n");
    }
    if (interrupt.then != NULL) {
        interrupt.then();
    }
    _exit(HD_EXIT_INTERRUPTED);
}

void hd_catch_interrupts(struct hd_cli *c, void (*then)(void))
{
    static sigset_t signals; /* outlives this call: the thread has it */
    pthread_t thread;
    if (interrupt.cli != NULL) {
        return;
    }
    interrupt.cli = c;
    interrupt.then = then;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    if (then != NULL) {
        sigaddset(&signals, SIGHUP);
    }
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    if (pthread_create(&thread, NULL, interrupt_main, &signals) == 0) {
        pthread_detach(thread);
    } else {
        pthread_sigmask(SIG_UNBLOCK, &signals, NULL);
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

static int follow(struct hd_cli *c, const char *job, const struct hd_follow *o)
{
    struct screen v = {.terminal = isatty(STDERR_FILENO) == 1, .plain_ms = hd_clock_mono_ms().v};
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    uint64_t seen = 0;
    hd_arena_init(&arena, 0);
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

int hd_follow_job(struct hd_cli *c, const char *job, const struct hd_follow *o)
{
    if (o->kill_on_interrupt) {
        hd_catch_interrupts(c, NULL);
        set_job(job);
    }
    int rc = follow(c, job, o);
    if (o->kill_on_interrupt) {
        yield_to_interrupt();
        set_job("");
    }
    return rc;
}
