/* The life of one attempt: its thread, its reports, its end. See agent.h. */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/agent/agent.h"
#include "runner/agent/sweep.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { REPORT_MS = 500, REPORT_TRIES = 20, REPORT_RETRY_MS = 500 };

void hd_attempt_cancel(struct hd_attempt *t)
{
    uint64_t one = 1;
    pthread_mutex_lock(&t->lock);
    t->cancelled = true;
    for (int i = 0; i < t->pid_count; i++) {
        kill(-t->pids[i], SIGKILL);
    }
    pthread_mutex_unlock(&t->lock);
    (void)!write(t->cancel_fd, &one, sizeof(one));
}

static bool is_cancelled(struct hd_attempt *t)
{
    pthread_mutex_lock(&t->lock);
    bool cancelled = t->cancelled;
    pthread_mutex_unlock(&t->lock);
    return cancelled;
}

static int fill_counters(const struct hd_reporter *r, struct hd_arena *arena,
                         Hdw__ReportRequest *request)
{
    request->counter = HD_ARENA_ARRAY(arena, Hdw__RunnerCounter *, r->counter_count + 1);
    if (request->counter == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < r->counter_count; i++) {
        Hdw__RunnerCounter *c = HD_ARENA_NEW(arena, Hdw__RunnerCounter);
        if (c == NULL) {
            return -ENOMEM;
        }
        hdw__runner_counter__init(c);
        c->group = r->counters[i].group;
        c->name = r->counters[i].name;
        c->value = r->counters[i].value;
        request->counter[request->n_counter++] = c;
    }
    return 0;
}

/* One report. 1: go on, 0: not wanted any more, or an error. */
static int report(struct hd_attempt *t, Hdw__RunnerReportState state, const char *error)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__ReportRequest request = HDW__REPORT_REQUEST__INIT;
    Hdw__ReportResponse *response;
    hd_arena_init(&arena, 0);
    request.agent_id = t->agent->id;
    request.key = t->work->key;
    request.state = state;
    request.error = (char *)(uintptr_t)error;
    request.has_bytes_in = request.has_bytes_out = request.has_bytes_shuffled = true;
    request.bytes_in = t->bytes_in;
    request.bytes_out = t->bytes_out;
    request.bytes_shuffled = t->bytes_shuffled;
    request.has_records_in = request.has_records_out = true;
    request.records_in = t->records_in;
    request.records_out = t->records_out;
    request.status = t->reporter.status[0] != '\0' ? t->reporter.status : NULL;
    if (state == HDW__RUNNER_REPORT_STATE__REPORT_FETCH_FAILED) {
        request.has_fetch_index = request.has_fetch_number = true;
        request.fetch_index = t->fetch_index;
        request.fetch_number = t->fetch_number;
    }
    if (state != HDW__RUNNER_REPORT_STATE__REPORT_PROGRESS) {
        const struct hd_buf *tail = &t->reporter.tail;
        size_t size = HD_MIN(tail->size, (size_t)HD_REPORTER_TAIL_BYTES);
        request.has_stderr_tail = true;
        request.stderr_tail.data = size > 0 ? tail->data + tail->size - size : NULL;
        request.stderr_tail.len = size;
    }
    int err = fill_counters(&t->reporter, &arena, &request);
    if (err == 0) {
        err = hd_runner_call(t->agent->manager, "report", &request,
                             &hdw__report_response__descriptor, 0, &arena, &response);
    }
    return err < 0 ? err : response->go_on;
}

void hd_attempt_tick(void *attempt)
{
    struct hd_attempt *t = attempt;
    int64_t now = hd_clock_mono_ms().v;
    if (now - t->reported_ms < REPORT_MS) {
        return;
    }
    t->reported_ms = now;
    if (report(t, HDW__RUNNER_REPORT_STATE__REPORT_PROGRESS, NULL) == 0) {
        hd_attempt_cancel(t);
    }
}

static int run(struct hd_attempt *t)
{
    if (t->job->ready < 0) {
        return hd_fail(t->job->ready, "%s", t->job->ready_text);
    }
    int err = hd_attempt_enter(t);
    if (err < 0) {
        return err;
    }
    return t->work->key->kind == HDW__RUNNER_TASK_KIND__TASK_MAP ? hd_task_map(t)
                                                                 : hd_task_reduce(t);
}

/* The end must be known: it is told again until the manager answers or is another one. */
static void report_end(struct hd_attempt *t, int err, const char *why)
{
    Hdw__RunnerReportState state = HDW__RUNNER_REPORT_STATE__REPORT_DONE;
    if (is_cancelled(t) || err == -ECANCELED) {
        state = HDW__RUNNER_REPORT_STATE__REPORT_KILLED;
    } else if (t->fetch_failed) {
        state = HDW__RUNNER_REPORT_STATE__REPORT_FETCH_FAILED;
    } else if (err < 0) {
        state = HDW__RUNNER_REPORT_STATE__REPORT_FAILED;
    }
    for (int i = 0; i < REPORT_TRIES; i++) {
        int got = report(t, state, err < 0 ? why : NULL);
        if (got >= 0 || !hd_rpc_is_connection_error(got)) {
            return;
        }
        hd_clock_sleep_ms(REPORT_RETRY_MS);
    }
}

static void attempt_free(struct hd_attempt *t)
{
    struct hd_agent *a = t->agent;
    hd_fd_done(&t->work_fd);
    hd_fd_done(&t->cancel_fd);
    hd_reporter_done(&t->reporter);
    free(t->work_dir);
    pthread_mutex_lock(&a->lock);
    hd_list_remove(&t->link);
    pthread_cond_broadcast(&a->idle);
    pthread_mutex_unlock(&a->lock);
    if (t->job != NULL) {
        hd_agent_job_put(a, t->job);
    }
    pthread_mutex_destroy(&t->lock);
    hd_arena_done(&t->arena);
    free(t);
}

static void *attempt_main(void *arg)
{
    struct hd_attempt *t = arg;
    char why[HD_FAIL_TEXT_BYTES] = "";
    hd_fail_clear();
    hd_reporter_init(&t->reporter,
                     hd_props_get(&t->job->props, "stream.stderr.reporter.prefix", "reporter:"));
    int err = run(t);
    if (err < 0) {
        snprintf(why, sizeof(why), "%s", hd_fail_describe(err));
        hd_log_warn("attempt failed", "job=%s attempt=%s error=\"%s\"", t->job->id, t->name, why);
    }
    if (err < 0 && t->work_dir != NULL) { /* what went well may leave what it likes */
        (void)hd_sweep(t->work_dir);
    }
    report_end(t, err, why);
    if (t->work_dir != NULL) {
        (void)hd_dir_remove(t->work_dir);
    }
    attempt_free(t);
    return NULL;
}

/* The job of an assignment, known or new, with a reference. */
static struct hd_agent_job *job_of(struct hd_agent *a, const Hdw__RunnerAssignment *work)
{
    struct hd_agent_job *job = hd_agent_job_get(a, work->key->job);
    if (job == NULL && work->setup != NULL && hd_agent_job_new(a, work, &job) == 0) {
        pthread_mutex_lock(&a->lock);
        hd_list_push_back(&a->jobs, &job->link);
        job->refs++;
        pthread_mutex_unlock(&a->lock);
    }
    return job;
}

void hd_attempt_start(struct hd_agent *a, const Hdw__RunnerAssignment *work)
{
    struct hd_attempt *t = calloc(1, sizeof(*t));
    pthread_attr_t attr;
    pthread_t thread;
    if (t == NULL) {
        return;
    }
    hd_list_init(&t->link);
    hd_arena_init(&t->arena, 0);
    pthread_mutex_init(&t->lock, NULL);
    t->agent = a;
    t->work_fd = -1;
    t->cancel_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    t->work = hd_message_copy(&work->base, &t->arena);
    t->job = t->work != NULL ? job_of(a, t->work) : NULL;
    if (t->work == NULL || t->job == NULL || t->cancel_fd < 0) {
        hd_log_error("attempt cannot start", "job=%s", work->key->job);
        attempt_free(t);
        return;
    }
    hd_attempt_name(t->work->key, t->name);
    t->reported_ms = hd_clock_mono_ms().v;
    pthread_mutex_lock(&a->lock);
    hd_list_push_back(&a->attempts, &t->link);
    pthread_mutex_unlock(&a->lock);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 1u << 20);
    int rc = pthread_create(&thread, &attr, attempt_main, t);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        report_end(t, -rc, "the agent cannot start a thread");
        attempt_free(t);
    }
}
