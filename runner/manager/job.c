/* A job's life on the loop: submit, start, the end. See manager.h. */
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
#include <unistd.h>

enum { EXIT_USAGE = 1, EXIT_IO = 5, PUSH_MS = 100, REDUCES_MAX = 100000 };

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
    char path[HD_MANAGER_PATH_BYTES];
    time_t now = (time_t)(hd_clock_wall_ms().v / 1000);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(today, sizeof(today), "%Y%m%d", &tm);
    if (strcmp(today, m->today) != 0) {
        memcpy(m->today, today, sizeof(today));
        m->today_number = 0;
    }
    do { /* a clock that was set back comes to days that have jobs */
        snprintf(out, HD_JOB_ID_BYTES, "%s-%04u", m->today, ++m->today_number);
        snprintf(path, sizeof(path), "%s/jobs/%s", m->dir, out);
    } while (access(path, F_OK) == 0);
}

/*
 * Hidden siblings of the output: "/a/.out.staging-<job>.1", one for each life, and for what is
 * replaced "/a/.out.replaced-<job>".
 */
static int name_siblings(struct hd_mjob *job)
{
    const char *output = job->spec->output;
    const char *slash = strrchr(output, '/');
    int folder = (int)(slash - output);
    job->staging = hd_arena_printf(&job->arena, "%.*s/.%s.staging-%s.%u", folder, output, slash + 1,
                                   job->id, job->lives);
    if (job->staging == NULL || !hd_props_bool(&job->props, "howdah.output.replace", false)) {
        return job->staging != NULL ? 0 : -ENOMEM;
    }
    job->replaced =
        hd_arena_printf(&job->arena, "%.*s/.%s.replaced-%s", folder, output, slash + 1, job->id);
    return job->replaced != NULL ? 0 : -ENOMEM;
}

/* "/a/b": no empty names, no "." and "..": its siblings are named after its last one. */
static bool is_output_path(const char *path)
{
    while (*path == '/') {
        size_t size = strcspn(path + 1, "/");
        bool dots = size <= 2 && strspn(path + 1, ".") >= size;
        if (dots) { /* empty is of dots alone, too */
            return false;
        }
        path += 1 + size;
        if (*path == '\0') {
            return true;
        }
    }
    return false;
}

static int read_spec(struct hd_mjob *job)
{
    const Hdw__RunnerJobSpec *spec = job->spec;
    struct hd_io_props io;
    int err = 0;
    for (size_t i = 0; err == 0 && i < spec->n_property; i++) {
        err = hd_props_set(&job->props, spec->property[i]->name, spec->property[i]->value);
    }
    if (err == 0 && !is_output_path(spec->output)) {
        err = hd_fail(-EINVAL, "%s: not a path for an output directory", spec->output);
    }
    for (size_t i = 0; err == 0 && i < spec->n_input; i++) {
        if (spec->input[i][0] != '/') {
            err = hd_fail(-EINVAL, "%s: not an absolute path", spec->input[i]);
        }
    }
    bool pipeline = spec->n_input_chain > 0;
    if (err == 0 && !pipeline && (spec->wide != NULL || spec->output_chain != NULL)) {
        err = hd_fail(-EINVAL, "a wide operation without chains for the inputs");
    }
    for (size_t i = 0; err == 0 && i < spec->n_input_chain; i++) {
        if (spec->input_chain[i]->tag > UINT8_MAX) {
            err = hd_fail(-EINVAL, "data set %u: at most %d", spec->input_chain[i]->tag, UINT8_MAX);
        }
    }
    if (err == 0 && pipeline &&
        (spec->n_input_chain != spec->n_input || (spec->wide != NULL) != (spec->reduces > 0))) {
        err = hd_fail(-EINVAL, "a stage has a chain for each input, and reduces when it is wide");
    }
    bool automatic = pipeline && spec->reduces == HD_REDUCES_AUTO;
    if (err == 0 && spec->reduces > REDUCES_MAX && !automatic) {
        err = hd_fail(-EINVAL, "more than %d reduces", REDUCES_MAX);
    }
    if (err == 0) {
        err = hd_io_props_read(&job->props, &io);
    }
    bool offsets = !pipeline && (spec->mapper == NULL || hd_command_builtin(spec->mapper) == 'I');
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

/* What is common to a job that was submitted now and one that goes on. */
static int job_new(struct hd_manager *m, const Hdw__RunnerJobSpec *spec, const char *user,
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
    job->version = 1;
    job->lives = 1;
    job->submitted_wall_ms = hd_clock_wall_ms().v;
    job->submitted_ms = hd_clock_mono_ms().v;
    hd_random_bytes(job->key, sizeof(job->key));
    job->user = hd_arena_str(&job->arena, user);
    job->spec = hd_message_copy(&spec->base, &job->arena);
    int err = job->user == NULL || job->spec == NULL ? -ENOMEM : read_spec(job);
    if (err < 0) {
        hd_mjob_free(job);
        return err;
    }
    *ret = job;
    return 0;
}

static int fresh_job(struct hd_manager *m, const Hdw__SubmitRequest *request, const char *user,
                     struct hd_mjob **ret)
{
    int err = job_new(m, request->spec, user, ret);
    if (err < 0) {
        return err;
    }
    struct hd_mjob *job = *ret;
    next_id(m, job->id);
    err = name_siblings(job);
    err = err == 0 ? hd_upload_claim(job) : err;
    if (err < 0) {
        hd_record_forget(job);
        hd_mjob_free(job);
    }
    return err;
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
    m->jobs_running--;
    m->jobs_ended[state]++;
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
    struct hd_mjob *job = HD_CONTAINER(w, struct job_work, work)->job;
    int err = hd_record_end(job);
    if (err < 0) {
        hd_log_warn("the end of a job cannot be written down", "job=%s error=\"%s\"", job->id,
                    hd_fail_describe(err));
    }
    hd_abort_job(job);
}

static void abort_done(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    finish(jw->job, jw->job->end_state);
    free(jw);
}

/* Writes down that it ends so, removes the staging directory, then ends the job. */
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

void hd_mjob_commit(struct hd_mjob *job)
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
    if (jw->plan.exit_code == 0 && !jw->job->committed) {
        int err = hd_record_write(jw->job);
        if (err < 0) {
            jw->plan.exit_code = EXIT_IO;
            snprintf(jw->plan.message, sizeof(jw->plan.message), "%s", hd_fail_describe(err));
            hd_abort_job(jw->job);
        }
    }
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

/* The plan could not be made. A job that nobody has heard of yet never was one. */
static void plan_failed(struct hd_mjob *job, struct hd_rpc_call *submit,
                        const struct hd_plan_result *plan)
{
    if (submit == NULL) {
        set_failure(job, plan->message);
        start_abort(job, HDW__RUNNER_JOB_STATE__JOB_FAILED);
        return;
    }
    answer_submit(submit, job, plan);
    hd_record_forget(job);
    hd_list_remove(&job->link);
    job->manager->jobs_running--;
    hd_mjob_free(job);
}

static void start_running(struct hd_mjob *job)
{
    struct hd_manager *m = job->manager;
    job->state = HDW__RUNNER_JOB_STATE__JOB_RUNNING;
    hd_log_info("job started", "job=%s user=%s name=\"%s\" maps=%u reduces=%u bytes=%llu life=%u",
                job->id, job->user, job->spec->name, job->count[0], job->count[1],
                (unsigned long long)job->bytes_total, job->lives);
    if (job->end_state != HDW__RUNNER_JOB_STATE__JOB_PLANNING) { /* killed meanwhile */
        hd_mjob_fail(job, job->end_state, "killed");
    } else if (job->count[0] + job->count[1] == 0) {
        hd_mjob_commit(job);
    } else {
        hd_manager_place(m);
    }
}

static void plan_done(struct hd_work *w)
{
    struct job_work *jw = HD_CONTAINER(w, struct job_work, work);
    struct hd_mjob *job = jw->job;
    if (jw->plan.exit_code == 0 && !job->committed && enter_scheduler(job) < 0) {
        jw->plan.exit_code = EXIT_IO;
        snprintf(jw->plan.message, sizeof(jw->plan.message), "the manager is out of memory");
    }
    if (jw->plan.exit_code != 0) {
        plan_failed(job, jw->submit, &jw->plan);
    } else if (job->committed) {
        finish(job, HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED);
    } else {
        start_running(job);
        hd_mjob_changed(job, true);
        if (jw->submit != NULL) {
            answer_submit(jw->submit, job, &jw->plan);
        }
    }
    free(jw);
}

static int start_planning(struct hd_mjob *job, struct hd_rpc_call *submit)
{
    struct job_work *jw = calloc(1, sizeof(*jw));
    if (jw == NULL) {
        return -ENOMEM;
    }
    job->manager->jobs_running++;
    jw->work.fn = plan_work;
    jw->work.done = plan_done;
    jw->job = job;
    jw->submit = submit;
    hd_work_submit(job->manager, &jw->work);
    return 0;
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
    int err = fresh_job(m, q, call->user, &job);
    if (err < 0) {
        refuse_submit(call, err == -ENOENT ? 2 : EXIT_USAGE, hd_fail_describe(err));
        return;
    }
    hd_list_push_front(&m->jobs, &job->link);
    err = start_planning(job, call);
    if (err < 0) {
        refuse_submit(call, EXIT_USAGE, hd_fail_describe(err));
        hd_record_forget(job);
        hd_list_remove(&job->link);
        hd_mjob_free(job);
    }
}

/* The life before had failed or was killed: that stays so. */
static void resume_end(struct hd_mjob *job, const Hdw__RunnerJobRecord *record)
{
    job->staging = job->stale_staging;
    set_failure(job, record->failure != NULL ? record->failure : "");
    job->manager->jobs_running++;
    start_abort(job, record->end == HDW__RUNNER_JOB_STATE__JOB_KILLED
                         ? HDW__RUNNER_JOB_STATE__JOB_KILLED
                         : HDW__RUNNER_JOB_STATE__JOB_FAILED);
}

int hd_mjob_resume(struct hd_manager *m, const char *id, const Hdw__RunnerJobRecord *record)
{
    struct hd_mjob *job;
    int err = job_new(m, record->spec, record->user, &job);
    if (err < 0) {
        return err;
    }
    snprintf(job->id, sizeof(job->id), "%s", id);
    job->lives = record->lives + 1;
    job->submitted_ms -= HD_MAX(job->submitted_wall_ms - (int64_t)record->submitted_ms, (int64_t)0);
    job->submitted_wall_ms = (int64_t)record->submitted_ms;
    job->stale_ino = record->staging_ino;
    job->stale_staging = hd_arena_str(&job->arena, record->staging);
    err = job->stale_staging != NULL ? name_siblings(job) : -ENOMEM;
    if (err == 0 && record->has_end) {
        resume_end(job, record);
    } else if (err == 0) {
        err = hd_upload_look(job);
        err = err == 0 ? start_planning(job, NULL) : err;
    }
    if (err < 0) {
        hd_mjob_free(job);
        return err;
    }
    hd_list_push_back(&m->jobs, &job->link);
    return 0;
}
