/* A job's life on the loop: submit, start, reports of attempts, the end. See manager.h. */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "runner/lib/call.h"
#include "runner/lib/io_props.h"
#include "runner/core/command.h"
#include "runner/manager/manager.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { EXIT_USAGE = 1, EXIT_IO = 5, PUSH_MS = 100, REDUCES_MAX = 100000, COUNTERS_MAX = 1000 };

struct watcher {
    struct hd_list link;
    struct hd_rpc_call *call;
    uint64_t seen;
};

struct job_work { /* planning, committing, aborting */
    struct hd_work work;
    struct hd_mjob *job;
    struct hd_rpc_call *submit;
    struct hd_plan_result plan;
    int err;
    char why[HD_FAIL_TEXT_BYTES];
};

struct hd_mjob *hd_mjob_find(struct hd_manager *m, const char *id)
{
    HD_LIST_FOR(it, &m->jobs)
    {
        struct hd_mjob *job = HD_LIST_ENTRY(it, struct hd_mjob, link);
        if (strcmp(job->id, id) == 0) {
            return job;
        }
    }
    return NULL;
}

/* ---- making and unmaking ---- */

static void task_done(struct hd_mtask *t)
{
    for (uint32_t i = 0; i < t->attempt_count; i++) {
        free(t->attempts[i].error);
    }
    free(t->attempts);
    free(t->status);
}

void hd_mjob_free(struct hd_mjob *job)
{
    for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; job->tasks[kind] != NULL && i < job->count[kind]; i++) {
            task_done(&job->tasks[kind][i]);
        }
        free(job->tasks[kind]);
    }
    for (uint32_t i = 0; i < job->counter_count; i++) {
        free(job->counters[i].group);
        free(job->counters[i].name);
    }
    free(job->counters);
    free(job->failure);
    free(job->agents_told);
    hd_loop_timer_remove(job->push_timer);
    hd_props_done(&job->props);
    hd_arena_done(&job->arena);
    free(job);
}

static void next_id(struct hd_manager *m, char out[HD_JOB_ID_BYTES])
{
    char today[9];
    time_t now = (time_t)(hd_clock_wall_ms().v / 1000);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(today, sizeof(today), "%Y%m%d", &tm);
    if (strcmp(today, m->today) != 0) {
        memcpy(m->today, today, sizeof(today));
        m->today_number = 0;
    }
    snprintf(out, HD_JOB_ID_BYTES, "%s-%04u", m->today, ++m->today_number);
}

/* OUTPUT's hidden sibling: "/a/.out.staging-<job>". */
static char *staging_of(struct hd_mjob *job)
{
    const char *output = job->spec->output;
    const char *slash = strrchr(output, '/');
    return hd_arena_printf(&job->arena, "%.*s/.%s.staging-%s", (int)(slash - output), output,
                           slash + 1, job->id);
}

static int read_spec(struct hd_mjob *job)
{
    const Hdw__RunnerJobSpec *spec = job->spec;
    struct hd_io_props io;
    int err = 0;
    for (size_t i = 0; err == 0 && i < spec->n_property; i++) {
        err = hd_props_set(&job->props, spec->property[i]->name, spec->property[i]->value);
    }
    if (err == 0 && (spec->output[0] != '/' || spec->output[1] == '\0')) {
        err = hd_fail(-EINVAL, "%s: not a path for an output directory", spec->output);
    }
    for (size_t i = 0; err == 0 && i < spec->n_input; i++) {
        if (spec->input[i][0] != '/') {
            err = hd_fail(-EINVAL, "%s: not an absolute path", spec->input[i]);
        }
    }
    if (err == 0 && spec->reduces > REDUCES_MAX) {
        err = hd_fail(-EINVAL, "more than %d reduces", REDUCES_MAX);
    }
    if (err == 0) {
        err = hd_io_props_read(&job->props, &io);
    }
    bool offsets = spec->mapper == NULL || hd_command_builtin(spec->mapper) == 'I';
    if (err == 0 && offsets && (io.partition_fields || io.sort_fields)) {
        err = hd_fail(-EINVAL, "keys have no fields without a mapper: they are offsets; -mapper "
                               "cat passes lines on");
    }
    if (err == 0 && offsets && spec->reducer != NULL && hd_command_builtin(spec->reducer) == 'A') {
        err =
            hd_fail(-EINVAL, "-reducer aggregate needs a mapper that writes AGGREGATOR:key lines");
    }
    static const char *const cut[] = {"textinputformat.record.delimiter",
                                      "mapreduce.input.linerecordreader.line.maxlength"};
    for (size_t i = 0; err == 0 && offsets && i < HD_ARRAY_COUNT(cut); i++) {
        if (hd_props_get(&job->props, cut[i], NULL) != NULL) {
            err = hd_fail(-EINVAL, "%s needs a mapper; -mapper cat passes records on", cut[i]);
        }
    }
    return err;
}

static int job_new(struct hd_manager *m, const Hdw__SubmitRequest *request, const char *user,
                   struct hd_mjob **ret)
{
    struct hd_mjob *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return -ENOMEM;
    }
    job->manager = m;
    hd_arena_init(&job->arena, 0);
    hd_list_init(&job->watchers);
    hd_list_init(&job->link);
    next_id(m, job->id);
    job->version = 1;
    job->submitted_wall_ms = hd_clock_wall_ms().v;
    job->submitted_ms = hd_clock_mono_ms().v;
    hd_random_bytes(job->key, sizeof(job->key));
    job->user = hd_arena_str(&job->arena, user);
    job->spec = hd_message_copy(&request->spec->base, &job->arena);
    int err = job->user == NULL || job->spec == NULL ? -ENOMEM : read_spec(job);
    if (err == 0) {
        job->staging = staging_of(job);
        err = job->staging != NULL ? hd_upload_claim(job) : -ENOMEM;
    }
    if (err < 0) {
        hd_mjob_free(job);
        return err;
    }
    *ret = job;
    return 0;
}

/* ---- watchers ---- */

static void push(struct hd_mjob *job)
{
    job->pushed_ms = hd_clock_mono_ms().v;
    HD_LIST_FOR_SAFE(it, &job->watchers)
    {
        struct watcher *w = HD_LIST_ENTRY(it, struct watcher, link);
        if (w->seen >= job->version) {
            continue;
        }
        Hdw__WatchResponse response = HDW__WATCH_RESPONSE__INIT;
        response.status = hd_mjob_status(job, &w->call->arena);
        hd_list_remove(&w->link);
        if (response.status != NULL) {
            hd_rpc_reply(w->call, &response.base, 0);
        } else {
            hd_rpc_reply_error(w->call, -ENOMEM, "");
        }
        free(w);
    }
}

static void on_push_timer(void *arg)
{
    push(arg);
}

void hd_mjob_changed(struct hd_mjob *job, bool at_once)
{
    job->version++;
    if (hd_list_empty(&job->watchers)) {
        return;
    }
    int64_t since = hd_clock_mono_ms().v - job->pushed_ms;
    if (at_once || since >= PUSH_MS) {
        push(job);
    } else if (job->push_timer != NULL) {
        hd_loop_timer_set(job->push_timer, PUSH_MS - since);
    } else {
        (void)hd_loop_timer_add(job->manager->loop, PUSH_MS - since, on_push_timer, job,
                                &job->push_timer);
    }
}

void hd_mjob_watch(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__WatchRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__watch_request__descriptor);
    if (q == NULL) {
        return;
    }
    struct hd_mjob *job = hd_mjob_find(m, q->job);
    struct watcher *w = job != NULL ? calloc(1, sizeof(*w)) : NULL;
    if (w == NULL) {
        hd_rpc_reply_error(call, job == NULL ? -ENOENT : -ENOMEM, job == NULL ? "no such job" : "");
        return;
    }
    bool final = job->state >= HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED;
    w->call = call;
    w->seen = final && q->seen_version >= job->version ? 0 : q->seen_version;
    hd_list_push_back(&job->watchers, &w->link);
    if (job->version > w->seen) {
        push(job);
    }
}

/* ---- the end ---- */

static void trim_history(struct hd_manager *m)
{
    for (struct hd_list *it = m->jobs.prev;
         m->jobs_kept > HD_MANAGER_JOBS_KEPT && it != &m->jobs;) {
        struct hd_mjob *job = HD_LIST_ENTRY(it, struct hd_mjob, link);
        it = it->prev;
        if (job->state >= HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED && hd_list_empty(&job->watchers)) {
            hd_list_remove(&job->link);
            hd_mjob_free(job);
            m->jobs_kept--;
        }
    }
}

/* Figures that live in the scheduler are taken over before its record goes. */
static void leave_scheduler(struct hd_mjob *job)
{
    struct hd_sched_job *s = job->sched;
    if (s == NULL) {
        return;
    }
    memcpy(job->done, s->done, sizeof(job->done));
    memcpy(job->locality, s->locality, sizeof(job->locality));
    job->failed_attempts = s->failed_attempts;
    hd_sched_job_remove(job->manager->sched, s);
    job->sched = NULL;
}

static void end_attempts(struct hd_mjob *job)
{
    int64_t now = hd_clock_mono_ms().v - job->submitted_ms;
    for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; i < job->count[kind]; i++) {
            struct hd_mtask *t = &job->tasks[kind][i];
            for (uint32_t a = 0; a < t->attempt_count; a++) {
                if (t->attempts[a].end_ms < 0) {
                    t->attempts[a].end_ms = now;
                    t->attempts[a].state = "killed";
                }
            }
        }
    }
}

static void finish(struct hd_mjob *job, Hdw__RunnerJobState state)
{
    struct hd_manager *m = job->manager;
    job->elapsed_ms = hd_clock_mono_ms().v - job->submitted_ms;
    job->state = state;
    end_attempts(job);
    hd_upload_drop(job);
    m->jobs_running--;
    m->jobs_kept++;
    hd_log_info("job ended", "job=%s state=%d ms=%lld maps=%u reduces=%u", job->id, (int)state,
                (long long)job->elapsed_ms, job->count[0], job->count[1]);
    hd_mjob_changed(job, true);
    hd_history_save(job);
    trim_history(m);
}

static void set_failure(struct hd_mjob *job, const char *why)
{
    free(job->failure);
    job->failure = strdup(why);
}

static void abort_work(struct hd_work *w)
{
    hd_abort_job(HD_CONTAINER(w, struct job_work, work)->job);
}

static void abort_done(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    finish(jw->job, jw->job->end_state);
    free(jw);
}

/* Removes the staging directory, then ends the job. */
static void start_abort(struct hd_mjob *job, Hdw__RunnerJobState end)
{
    struct job_work *jw = calloc(1, sizeof(*jw));
    job->state = HDW__RUNNER_JOB_STATE__JOB_COMMITTING;
    job->end_state = end;
    if (jw == NULL) {
        finish(job, end);
        return;
    }
    jw->work.fn = abort_work;
    jw->work.done = abort_done;
    jw->job = job;
    hd_work_submit(job->manager, &jw->work);
}

void hd_mjob_fail(struct hd_mjob *job, Hdw__RunnerJobState end, const char *why)
{
    struct hd_manager *m = job->manager;
    if (job->state == HDW__RUNNER_JOB_STATE__JOB_PLANNING) { /* planned() sees end_state */
        job->end_state = end;
        set_failure(job, why);
        return;
    }
    if (job->state != HDW__RUNNER_JOB_STATE__JOB_RUNNING) {
        return;
    }
    set_failure(job, why);
    leave_scheduler(job);
    hd_magents_forget(m, job->id);
    start_abort(job, end);
    hd_manager_place_soon(m);
}

static void commit_work(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    jw->err = hd_commit_job(jw->job);
    snprintf(jw->why, sizeof(jw->why), "commit: %s", jw->err < 0 ? hd_fail_describe(jw->err) : "");
}

static void commit_done(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    struct hd_mjob *job = jw->job;
    if (jw->err < 0) {
        set_failure(job, jw->why);
        start_abort(job, HDW__RUNNER_JOB_STATE__JOB_FAILED);
    } else {
        finish(job, HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED);
    }
    free(jw);
}

static void start_commit(struct hd_mjob *job)
{
    struct job_work *jw = calloc(1, sizeof(*jw));
    leave_scheduler(job);
    hd_magents_forget(job->manager, job->id);
    if (jw == NULL) {
        set_failure(job, "commit: no memory");
        start_abort(job, HDW__RUNNER_JOB_STATE__JOB_FAILED);
        return;
    }
    job->state = HDW__RUNNER_JOB_STATE__JOB_COMMITTING;
    jw->work.fn = commit_work;
    jw->work.done = commit_done;
    jw->job = job;
    hd_work_submit(job->manager, &jw->work);
    hd_manager_place_soon(job->manager);
}

/* ---- submit ---- */

static int enter_scheduler(struct hd_mjob *job)
{
    struct hd_manager *m = job->manager;
    const struct hd_props *p = &job->props;
    pthread_mutex_lock(&m->nodes_lock); /* racks that planning has learned */
    for (uint32_t i = 0; i < m->node_count; i++) {
        (void)hd_sched_set_rack(
            m->sched, i, (uint32_t)hd_hash_bytes(m->nodes[i].rack, strlen(m->nodes[i].rack)) >> 1);
    }
    pthread_mutex_unlock(&m->nodes_lock);
    job->sched = hd_sched_job_add(
        m->sched, ++m->next_job, job->count[HD_TASK_MAP], job->count[HD_TASK_REDUCE],
        (uint32_t)HD_MAX(hd_props_int(p, "mapreduce.map.maxattempts", 4), (int64_t)1),
        (uint32_t)HD_MAX(hd_props_int(p, "mapreduce.reduce.maxattempts", 4), (int64_t)1));
    if (job->sched == NULL) {
        return -ENOMEM;
    }
    job->sched->owner = job;
    for (uint32_t i = 0; i < job->count[HD_TASK_MAP]; i++) {
        struct hd_sched_task *t = &job->sched->tasks[HD_TASK_MAP][i];
        memcpy(t->nodes, job->tasks[HD_TASK_MAP][i].nodes, sizeof(t->nodes));
        t->node_count = job->tasks[HD_TASK_MAP][i].node_count;
    }
    return 0;
}

static void plan_work(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    hd_plan_job(jw->job, &jw->plan);
}

static void answer_submit(struct hd_rpc_call *call, const struct hd_mjob *job,
                          const struct hd_plan_result *plan)
{
    Hdw__SubmitResponse response = HDW__SUBMIT_RESPONSE__INIT;
    response.exit_code = plan->exit_code;
    if (plan->exit_code != 0) {
        response.message = (char *)(uintptr_t)plan->message;
    } else {
        response.status = hd_mjob_status(job, &call->arena);
    }
    hd_rpc_reply(call, &response.base, 0);
}

static void plan_done(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    struct hd_mjob *job = jw->job;
    struct hd_manager *m = job->manager;
    if (jw->plan.exit_code == 0 && enter_scheduler(job) < 0) {
        jw->plan.exit_code = EXIT_IO;
        snprintf(jw->plan.message, sizeof(jw->plan.message), "the manager is out of memory");
    }
    if (jw->plan.exit_code != 0) { /* refused: it never was a job */
        answer_submit(jw->submit, job, &jw->plan);
        hd_upload_drop(job);
        hd_list_remove(&job->link);
        m->jobs_running--;
        hd_mjob_free(job);
        free(jw);
        return;
    }
    job->state = HDW__RUNNER_JOB_STATE__JOB_RUNNING;
    hd_log_info("job started", "job=%s user=%s name=\"%s\" maps=%u reduces=%u bytes=%llu", job->id,
                job->user, job->spec->name, job->count[0], job->count[1],
                (unsigned long long)job->bytes_total);
    if (job->end_state != HDW__RUNNER_JOB_STATE__JOB_PLANNING) { /* killed meanwhile */
        hd_mjob_fail(job, job->end_state, "killed");
    } else if (job->count[0] + job->count[1] == 0) {
        start_commit(job);
    } else {
        hd_manager_place(m);
    }
    answer_submit(jw->submit, job, &jw->plan);
    hd_history_save(job); /* so that the next manager knows what this one had begun */
    free(jw);
}

static void refuse_submit(struct hd_rpc_call *call, int exit_code, const char *why)
{
    Hdw__SubmitResponse response = HDW__SUBMIT_RESPONSE__INIT;
    response.exit_code = exit_code;
    response.message = (char *)(uintptr_t)why;
    hd_rpc_reply(call, &response.base, 0);
}

void hd_mjob_submit(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__SubmitRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__submit_request__descriptor);
    struct hd_mjob *job;
    if (q == NULL) {
        return;
    }
    if (m->jobs_running >= HD_MANAGER_JOBS_RUNNING) {
        hd_rpc_reply_error(call, -HD_E_BUSY_RETRY, "too many jobs are running");
        return;
    }
    hd_fail_clear();
    int err = job_new(m, q, call->user, &job);
    struct job_work *jw = err == 0 ? calloc(1, sizeof(*jw)) : NULL;
    if (jw == NULL) {
        refuse_submit(call, err == -ENOENT ? 2 : EXIT_USAGE,
                      hd_fail_describe(err < 0 ? err : -ENOMEM));
        return;
    }
    hd_list_push_front(&m->jobs, &job->link);
    m->jobs_running++;
    jw->work.fn = plan_work;
    jw->work.done = plan_done;
    jw->job = job;
    jw->submit = call;
    hd_work_submit(m, &jw->work);
}

/* ---- attempts ---- */

void hd_mjob_placed(struct hd_mjob *job, const struct hd_placement *p, const char *agent)
{
    struct hd_mtask *t = &job->tasks[p->kind][p->index];
    struct hd_mattempt *more = realloc(t->attempts, (t->attempt_count + 1) * sizeof(*more));
    if (more == NULL) {
        return;
    }
    t->attempts = more;
    struct hd_mattempt *a = &t->attempts[t->attempt_count++];
    *a = (struct hd_mattempt){.number = p->number,
                              .state = "running",
                              .start_ms = hd_clock_mono_ms().v - job->submitted_ms,
                              .end_ms = -1,
                              .locality = p->locality};
    snprintf(a->agent, sizeof(a->agent), "%s", agent);
    job->bytes_in -= t->bytes_in;
    t->bytes_in = 0;
    hd_mjob_changed(job, false);
}

static struct hd_mattempt *find_attempt(struct hd_mtask *t, uint32_t number)
{
    for (uint32_t i = t->attempt_count; i-- > 0;) {
        if (t->attempts[i].number == number) {
            return &t->attempts[i];
        }
    }
    return NULL;
}

static void end_attempt(struct hd_mjob *job, struct hd_mtask *t, uint32_t number, const char *state,
                        const char *error)
{
    struct hd_mattempt *a = find_attempt(t, number);
    if (a != NULL && a->end_ms < 0) {
        a->state = state;
        a->end_ms = hd_clock_mono_ms().v - job->submitted_ms;
        a->error = error != NULL ? strdup(error) : NULL;
    }
}

void hd_mjob_lost(void *manager, struct hd_sched_job *sched, enum hd_task_kind kind, uint32_t index,
                  bool was_running)
{
    (void)manager;
    struct hd_mjob *job = sched->owner;
    struct hd_mtask *t = &job->tasks[kind][index];
    if (was_running) {
        end_attempt(job, t, sched->tasks[kind][index].number, "lost", "its agent is gone");
    }
    hd_mjob_changed(job, false);
}

static void add_counter(struct hd_mjob *job, const Hdw__RunnerCounter *c)
{
    for (uint32_t i = 0; i < job->counter_count; i++) {
        if (strcmp(job->counters[i].group, c->group) == 0 &&
            strcmp(job->counters[i].name, c->name) == 0) {
            job->counters[i].value += c->value;
            return;
        }
    }
    if (job->counter_count == COUNTERS_MAX) {
        return;
    }
    struct hd_mcounter *more =
        realloc(job->counters, (job->counter_count + 1) * sizeof(*job->counters));
    if (more == NULL) {
        return;
    }
    job->counters = more;
    struct hd_mcounter *x = &more[job->counter_count];
    *x = (struct hd_mcounter){strdup(c->group), strdup(c->name), c->value};
    if (x->group == NULL || x->name == NULL) {
        free(x->group);
        free(x->name);
        return;
    }
    job->counter_count++;
}

/* Counted once per successful task. */
static void take_figures(struct hd_mjob *job, const Hdw__ReportRequest *q)
{
    for (size_t i = 0; i < q->n_counter; i++) {
        add_counter(job, q->counter[i]);
    }
    job->bytes_shuffled += q->bytes_shuffled;
    if (q->key->kind == HDW__RUNNER_TASK_KIND__TASK_REDUCE || job->spec->reduces == 0) {
        job->bytes_out += q->bytes_out;
    }
}

static void take_progress(struct hd_mjob *job, struct hd_mtask *t, const Hdw__ReportRequest *q)
{
    if (q->key->kind == HDW__RUNNER_TASK_KIND__TASK_MAP && q->has_bytes_in) {
        job->bytes_in += q->bytes_in - t->bytes_in;
        t->bytes_in = q->bytes_in;
    }
    if (q->status != NULL && (t->status == NULL || strcmp(t->status, q->status) != 0)) {
        free(t->status);
        t->status = strdup(q->status);
    }
}

static enum hd_outcome outcome_of(Hdw__RunnerReportState state)
{
    if (state == HDW__RUNNER_REPORT_STATE__REPORT_DONE) {
        return HD_OUTCOME_DONE;
    }
    return state == HDW__RUNNER_REPORT_STATE__REPORT_FAILED ? HD_OUTCOME_FAILED : HD_OUTCOME_KILLED;
}

static const char *state_word(Hdw__RunnerReportState state)
{
    if (state == HDW__RUNNER_REPORT_STATE__REPORT_DONE) {
        return "done";
    }
    return state == HDW__RUNNER_REPORT_STATE__REPORT_KILLED ? "killed" : "failed";
}

/* The sentence a client sees: which task, where, why, and the end of its stderr. */
static void fail_by(struct hd_mjob *job, const Hdw__ReportRequest *q, const char *agent)
{
    struct hd_buf text = {.max = 16384};
    char task[HD_NAME_BYTES];
    hd_task_name(q->key->kind, q->key->index, task);
    (void)hd_buf_addf(&text, "%s failed %u times, last on %s: %s", task,
                      job->sched->tasks[q->key->kind][q->key->index].failures, agent,
                      q->error != NULL ? q->error : "no reason given");
    if (q->has_stderr_tail && q->stderr_tail.len > 0) {
        const uint8_t *tail = q->stderr_tail.data;
        size_t size = q->stderr_tail.len;
        size_t show = HD_MIN(size, (size_t)2000);
        const uint8_t *from = tail + size - show;
        (void)hd_buf_addf(&text, "\n%.*s", (int)show, (const char *)from);
    }
    const char *s = hd_buf_str(&text);
    hd_mjob_fail(job, HDW__RUNNER_JOB_STATE__JOB_FAILED, s != NULL ? s : "failed");
    hd_buf_done(&text);
}

static void on_verdict(struct hd_mjob *job, enum hd_verdict verdict, const Hdw__ReportRequest *q,
                       const char *agent)
{
    switch (verdict) {
    case HD_VERDICT_STALE:
        break;
    case HD_VERDICT_GO_ON:
        hd_mjob_changed(job, false);
        hd_manager_place(job->manager);
        break;
    case HD_VERDICT_JOB_DONE:
        start_commit(job);
        break;
    case HD_VERDICT_JOB_FAILED:
        fail_by(job, q, agent);
        break;
    }
}

/* The end of an attempt. */
static void take_end(struct hd_mjob *job, struct hd_magent *agent, const Hdw__ReportRequest *q)
{
    const Hdw__RunnerAttemptKey *key = q->key;
    enum hd_task_kind kind = (enum hd_task_kind)key->kind;
    struct hd_mtask *t = &job->tasks[kind][key->index];
    enum hd_verdict verdict =
        hd_sched_ended(job->manager->sched, job->sched, kind, key->index, key->number, agent->id,
                       outcome_of(q->state), hd_clock_mono_ms().v);
    if (verdict == HD_VERDICT_STALE) {
        return;
    }
    end_attempt(job, t, key->number, state_word(q->state), q->error);
    if (q->state == HDW__RUNNER_REPORT_STATE__REPORT_DONE) {
        take_figures(job, q);
    }
    if (q->state == HDW__RUNNER_REPORT_STATE__REPORT_FETCH_FAILED && q->has_fetch_index) {
        hd_sched_output_lost(job->sched, q->fetch_index, q->fetch_number);
    }
    if (q->has_stderr_tail && q->stderr_tail.len > 0) {
        char name[HD_NAME_BYTES];
        hd_attempt_name(key, name);
        hd_history_log(job, name, q->stderr_tail.data, q->stderr_tail.len);
    }
    on_verdict(job, verdict, q, agent->name);
}

static bool is_current(const struct hd_mjob *job, const struct hd_magent *agent,
                       const Hdw__RunnerAttemptKey *key)
{
    const struct hd_sched_task *t = &job->sched->tasks[key->kind][key->index];
    return t->state == HD_TASK_RUNNING && t->number == key->number && t->agent == agent->id;
}

void hd_mjob_report(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__ReportRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__report_request__descriptor);
    Hdw__ReportResponse response = HDW__REPORT_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    struct hd_magent *agent = hd_magent_find(m, q->agent_id);
    struct hd_mjob *job = hd_mjob_find(m, q->key->job);
    bool known = agent != NULL && job != NULL && job->sched != NULL &&
                 (unsigned)q->key->kind <= HD_TASK_REDUCE &&
                 q->key->index < job->count[q->key->kind];
    if (known && is_current(job, agent, q->key)) {
        take_progress(job, &job->tasks[q->key->kind][q->key->index], q);
        if (q->state == HDW__RUNNER_REPORT_STATE__REPORT_PROGRESS) {
            response.go_on = true;
            hd_mjob_changed(job, false);
        } else {
            take_end(job, agent, q);
        }
    }
    hd_rpc_reply(call, &response.base, 0);
}
