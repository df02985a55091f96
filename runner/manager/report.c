/* What agents say of attempts: progress, ends, lost ones. See manager.h. */
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "runner/lib/names.h"
#include "runner/manager/manager.h"

#include <stdlib.h>

enum { COUNTERS_MAX = 1000 };

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
        hd_mjob_commit(job);
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
