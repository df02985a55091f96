/* The manager's state as answers to people. See manager.h. */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "runner/lib/json.h"
#include "runner/manager/manager.h"

#include <errno.h>

static void fill_counters(const struct hd_mjob *job, Hdw__RunnerJobStatus *s,
                          struct hd_arena *arena)
{
    s->counter = HD_ARENA_ARRAY(arena, Hdw__RunnerCounter *, job->counter_count + 1);
    for (uint32_t i = 0; s->counter != NULL && i < job->counter_count; i++) {
        Hdw__RunnerCounter *c = HD_ARENA_NEW(arena, Hdw__RunnerCounter);
        if (c != NULL) {
            hdw__runner_counter__init(c);
            c->group = job->counters[i].group;
            c->name = job->counters[i].name;
            c->value = job->counters[i].value;
            s->counter[s->n_counter++] = c;
        }
    }
}

Hdw__RunnerJobStatus *hd_mjob_status(const struct hd_mjob *job, struct hd_arena *arena)
{
    if (job->old != NULL) {
        return job->old;
    }
    Hdw__RunnerJobStatus *s = HD_ARENA_NEW(arena, Hdw__RunnerJobStatus);
    if (s == NULL) {
        return NULL;
    }
    const struct hd_sched_job *live = job->sched;
    const uint32_t *done = live != NULL ? live->done : job->done;
    const uint32_t *locality = live != NULL ? live->locality : job->locality;
    hdw__runner_job_status__init(s);
    s->id = (char *)(uintptr_t)job->id;
    s->name = job->spec->name;
    s->user = job->user;
    s->state = job->state;
    s->version = job->version;
    s->maps = job->count[HD_TASK_MAP];
    s->reduces = job->count[HD_TASK_REDUCE];
    s->maps_done = done[HD_TASK_MAP];
    s->reduces_done = done[HD_TASK_REDUCE];
    s->maps_running = live != NULL ? live->running[HD_TASK_MAP] : 0;
    s->reduces_running = live != NULL ? live->running[HD_TASK_REDUCE] : 0;
    s->local = locality[HD_LOCALITY_LOCAL];
    s->rack = locality[HD_LOCALITY_RACK];
    s->any = locality[HD_LOCALITY_ANY];
    s->bytes_in = job->bytes_in;
    s->bytes_total = job->bytes_total;
    s->bytes_shuffled = job->bytes_shuffled;
    s->bytes_out = job->bytes_out;
    s->submitted_ms = (uint64_t)job->submitted_wall_ms;
    s->elapsed_ms =
        (uint64_t)(hd_job_state_final(job->state) ? job->elapsed_ms
                                                  : hd_clock_mono_ms().v - job->submitted_ms);
    s->output = job->spec->output;
    s->failure = job->failure;
    s->has_failed_attempts = true;
    s->failed_attempts = live != NULL ? live->failed_attempts : job->failed_attempts;
    fill_counters(job, s, arena);
    return s;
}

static const char *const locality_names[] = {"local", "rack", "any"};

static Hdw__RunnerAttempt *attempt_view(const struct hd_mattempt *a, enum hd_task_kind kind,
                                        struct hd_arena *arena)
{
    Hdw__RunnerAttempt *out = HD_ARENA_NEW(arena, Hdw__RunnerAttempt);
    if (out != NULL) {
        hdw__runner_attempt__init(out);
        out->number = a->number;
        out->agent = (char *)(uintptr_t)a->agent;
        out->state = (char *)(uintptr_t)a->state;
        out->start_ms = (uint64_t)a->start_ms;
        out->has_end_ms = a->end_ms >= 0;
        out->end_ms = a->end_ms >= 0 ? (uint64_t)a->end_ms : 0;
        out->error = a->error;
        if (kind == HD_TASK_MAP) {
            out->locality = (char *)(uintptr_t)locality_names[a->locality];
        }
    }
    return out;
}

static const char *task_state(const struct hd_mjob *job, enum hd_task_kind kind, uint32_t index)
{
    static const char *const names[] = {"waiting", "running", "done"};
    const struct hd_mtask *t = &job->tasks[kind][index];
    if (job->sched != NULL) {
        return names[job->sched->tasks[kind][index].state];
    }
    return t->attempt_count > 0 ? t->attempts[t->attempt_count - 1].state : "waiting";
}

Hdw__RunnerTask *hd_mtask_view(const struct hd_mjob *job, enum hd_task_kind kind, uint32_t index,
                               struct hd_arena *arena)
{
    const struct hd_mtask *t = &job->tasks[kind][index];
    Hdw__RunnerTask *out = HD_ARENA_NEW(arena, Hdw__RunnerTask);
    char name[HD_NAME_BYTES];
    if (out == NULL) {
        return NULL;
    }
    hdw__runner_task__init(out);
    hd_task_name((Hdw__RunnerTaskKind)kind, index, name);
    out->id = hd_arena_str(arena, name);
    out->state = (char *)(uintptr_t)task_state(job, kind, index);
    out->status = t->status;
    if (t->split_count > 0) {
        const Hdw__RunnerSplit *s = t->splits[0];
        out->input =
            hd_arena_printf(arena, "%s:%llu+%llu%s", s->path, (unsigned long long)s->start,
                            (unsigned long long)s->length, t->split_count > 1 ? " and others" : "");
    }
    out->attempt = HD_ARENA_ARRAY(arena, Hdw__RunnerAttempt *, t->attempt_count + 1);
    for (uint32_t i = 0; out->attempt != NULL && i < t->attempt_count; i++) {
        Hdw__RunnerAttempt *a = attempt_view(&t->attempts[i], kind, arena);
        if (a != NULL) {
            out->attempt[out->n_attempt++] = a;
        }
    }
    return out->id != NULL ? out : NULL;
}

void hd_view_list(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__ListJobsRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__list_jobs_request__descriptor);
    Hdw__ListJobsResponse response = HDW__LIST_JOBS_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    size_t count = 1;
    HD_LIST_FOR(it, &m->jobs)
    {
        count++;
    }
    response.job = HD_ARENA_ARRAY(&call->arena, Hdw__RunnerJobStatus *, count);
    HD_LIST_FOR(it, &m->jobs)
    {
        const struct hd_mjob *job = HD_LIST_ENTRY(it, struct hd_mjob, link);
        Hdw__RunnerJobStatus *s =
            q->all || !hd_job_state_final(job->state) ? hd_mjob_status(job, &call->arena) : NULL;
        if (s != NULL && response.job != NULL) {
            response.job[response.n_job++] = s;
        }
    }
    hd_rpc_reply(call, &response.base, 0);
}

static void show_tasks(const struct hd_mjob *job, Hdw__ShowJobResponse *r, struct hd_arena *arena)
{
    if (job->old != NULL) {
        r->task = job->old_tasks;
        r->n_task = job->old_task_count;
        return;
    }
    r->task = HD_ARENA_ARRAY(arena, Hdw__RunnerTask *, job->count[0] + job->count[1] + 1);
    for (int kind = HD_TASK_MAP; r->task != NULL && kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; job->tasks[kind] != NULL && i < job->count[kind]; i++) {
            Hdw__RunnerTask *t = hd_mtask_view(job, (enum hd_task_kind)kind, i, arena);
            if (t != NULL) {
                r->task[r->n_task++] = t;
            }
        }
    }
}

void hd_view_show(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__ShowJobRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__show_job_request__descriptor);
    Hdw__ShowJobResponse response = HDW__SHOW_JOB_RESPONSE__INIT;
    if (q == NULL) {
        return;
    }
    const struct hd_mjob *job = hd_mjob_find(m, q->job);
    if (job == NULL) {
        hd_rpc_reply_error(call, -ENOENT, "no such job");
        return;
    }
    response.status = hd_mjob_status(job, &call->arena);
    if (response.status == NULL) {
        hd_rpc_reply_error(call, -ENOMEM, "");
        return;
    }
    if (job->state != HDW__RUNNER_JOB_STATE__JOB_PLANNING) {
        show_tasks(job, &response, &call->arena);
    }
    char *commands[3];
    if (job->spec != NULL) {
        commands[0] = job->spec->mapper != NULL ? job->spec->mapper : (char *)(uintptr_t) "";
        commands[1] = job->spec->combiner != NULL ? job->spec->combiner : (char *)(uintptr_t) "";
        commands[2] = job->spec->reducer != NULL ? job->spec->reducer : (char *)(uintptr_t) "";
        response.command = commands;
        response.n_command = HD_ARRAY_COUNT(commands);
    }
    hd_rpc_reply(call, &response.base, 0);
}

void hd_view_status(struct hd_manager *m, struct hd_rpc_call *call)
{
    Hdw__GetStatusResponse response = HDW__GET_STATUS_RESPONSE__INIT;
    size_t count = 1;
    HD_LIST_FOR(it, &m->agents)
    {
        count++;
    }
    response.agents = HD_ARENA_ARRAY(&call->arena, Hdw__GetStatusResponse__Agent *, count);
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        Hdw__GetStatusResponse__Agent *out =
            HD_ARENA_NEW(&call->arena, Hdw__GetStatusResponse__Agent);
        if (out == NULL || response.agents == NULL) {
            continue;
        }
        const struct hd_sched_agent *live = hd_sched_agent(m->sched, a->id);
        hdw__get_status_response__agent__init(out);
        out->name = a->name;
        out->address = a->address;
        out->slots = a->slots;
        out->state = (char *)(uintptr_t)(a->lost || a->closed_ms >= 0 ? "lost" : "up");
        out->running = live != NULL ? live->used : 0;
        out->data_node = a->data_node[0] != '\0' ? a->data_node : NULL;
        out->has_pid = true;
        out->pid = a->pid;
        response.agents[response.n_agents++] = out;
    }
    response.jobs_running = m->jobs_running;
    hd_rpc_reply(call, &response.base, 0);
}
