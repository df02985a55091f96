/* See sched.h. */
#include "runner/core/sched.h"
#include "fs/base/assert.h"

#include <errno.h>
#include <stdlib.h>

struct hd_sched *hd_sched_new(void)
{
    struct hd_sched *s = calloc(1, sizeof(*s));
    if (s != NULL) {
        hd_list_init(&s->jobs);
        hd_list_init(&s->agents);
    }
    return s;
}

static void job_free(struct hd_sched_job *job)
{
    free(job->tasks[HD_TASK_MAP]);
    free(job->tasks[HD_TASK_REDUCE]);
    free(job);
}

void hd_sched_free(struct hd_sched *s)
{
    if (s == NULL) {
        return;
    }
    HD_LIST_FOR_SAFE(it, &s->jobs)
    {
        job_free(HD_LIST_ENTRY(it, struct hd_sched_job, link));
    }
    HD_LIST_FOR_SAFE(it, &s->agents)
    {
        free(HD_LIST_ENTRY(it, struct hd_sched_agent, link));
    }
    free(s->racks);
    free(s);
}

int hd_sched_set_rack(struct hd_sched *s, uint32_t node, uint32_t rack)
{
    if (node >= s->rack_capacity) {
        uint32_t capacity = HD_MAX(2 * s->rack_capacity, node + 16);
        uint32_t *more = realloc(s->racks, capacity * sizeof(*more));
        if (more == NULL) {
            return -ENOMEM;
        }
        for (uint32_t i = s->rack_capacity; i < capacity; i++) {
            more[i] = UINT32_MAX;
        }
        s->racks = more;
        s->rack_capacity = capacity;
    }
    s->racks[node] = rack;
    return 0;
}

static uint32_t rack_of(const struct hd_sched *s, uint32_t node)
{
    return node < s->rack_capacity ? s->racks[node] : UINT32_MAX;
}

struct hd_sched_agent *hd_sched_agent_add(struct hd_sched *s, uint64_t id, uint32_t node,
                                          uint32_t slots)
{
    struct hd_sched_agent *a = calloc(1, sizeof(*a));
    if (a != NULL) {
        *a = (struct hd_sched_agent){.id = id, .node = node, .slots = slots};
        hd_list_push_back(&s->agents, &a->link);
    }
    return a;
}

struct hd_sched_agent *hd_sched_agent(const struct hd_sched *s, uint64_t id)
{
    HD_LIST_FOR(it, &s->agents)
    {
        struct hd_sched_agent *a = HD_LIST_ENTRY(it, struct hd_sched_agent, link);
        if (a->id == id) {
            return a;
        }
    }
    return NULL;
}

/* ---- states ---- */

static void to_waiting(struct hd_sched_job *job, enum hd_task_kind kind, uint32_t index)
{
    struct hd_sched_task *t = &job->tasks[kind][index];
    hd_assert(t->state != HD_TASK_WAITING);
    if (t->state == HD_TASK_RUNNING) {
        job->running[kind]--;
    } else {
        job->done[kind]--;
    }
    t->state = HD_TASK_WAITING;
    t->granted = false;
    job->first_waiting[kind] = HD_MIN(job->first_waiting[kind], index);
}

static bool needs_map_outputs(const struct hd_sched_job *job)
{
    return !job->closed && job->done[HD_TASK_REDUCE] < job->count[HD_TASK_REDUCE];
}

static void lose_tasks(struct hd_sched_job *job, enum hd_task_kind kind, uint64_t agent,
                       hd_sched_lost_fn on_lost, void *ctx)
{
    bool outputs = kind == HD_TASK_MAP && needs_map_outputs(job);
    for (uint32_t i = 0; i < job->count[kind]; i++) {
        struct hd_sched_task *t = &job->tasks[kind][i];
        bool running = t->state == HD_TASK_RUNNING;
        if (t->agent != agent || !(running || (t->state == HD_TASK_DONE && outputs))) {
            continue;
        }
        to_waiting(job, kind, i);
        if (on_lost != NULL) {
            on_lost(ctx, job, kind, i, running);
        }
    }
}

void hd_sched_agent_remove(struct hd_sched *s, uint64_t id, hd_sched_lost_fn on_lost, void *ctx)
{
    struct hd_sched_agent *a = hd_sched_agent(s, id);
    if (a == NULL) {
        return;
    }
    HD_LIST_FOR(it, &s->jobs)
    {
        struct hd_sched_job *job = HD_LIST_ENTRY(it, struct hd_sched_job, link);
        lose_tasks(job, HD_TASK_MAP, id, on_lost, ctx);
        lose_tasks(job, HD_TASK_REDUCE, id, on_lost, ctx);
    }
    hd_list_remove(&a->link);
    free(a);
}

struct hd_sched_job *hd_sched_job_add(struct hd_sched *s, uint64_t id, uint32_t maps,
                                      uint32_t reduces, uint32_t map_attempts,
                                      uint32_t reduce_attempts)
{
    struct hd_sched_job *job = calloc(1, sizeof(*job));
    if (job == NULL) {
        return NULL;
    }
    *job = (struct hd_sched_job){
        .id = id,
        .count = {maps, reduces},
        .max_attempts = {HD_MAX(map_attempts, 1u), HD_MAX(reduce_attempts, 1u)},
        .local_wait_ms = -1};
    job->tasks[HD_TASK_MAP] = calloc(HD_MAX(maps, 1u), sizeof(struct hd_sched_task));
    job->tasks[HD_TASK_REDUCE] = calloc(HD_MAX(reduces, 1u), sizeof(struct hd_sched_task));
    if (job->tasks[HD_TASK_MAP] == NULL || job->tasks[HD_TASK_REDUCE] == NULL) {
        job_free(job);
        return NULL;
    }
    hd_list_push_back(&s->jobs, &job->link);
    return job;
}

void hd_sched_job_close(struct hd_sched_job *job)
{
    job->closed = true;
    job->local_wait_ms = -1;
}

void hd_sched_job_remove(struct hd_sched *s, struct hd_sched_job *job)
{
    for (int kind = HD_TASK_MAP; kind <= HD_TASK_REDUCE; kind++) {
        for (uint32_t i = 0; i < job->count[kind]; i++) {
            struct hd_sched_task *t = &job->tasks[kind][i];
            struct hd_sched_agent *a =
                t->state == HD_TASK_RUNNING ? hd_sched_agent(s, t->agent) : NULL;
            if (a != NULL) {
                a->used--;
            }
        }
    }
    hd_list_remove(&job->link);
    job_free(job);
}

/* ---- placing ---- */

static bool failed_here(const struct hd_sched_task *t, uint64_t agent)
{
    for (uint32_t i = 0; i < t->bad_count; i++) {
        if (t->bad[i] == agent) {
            return true;
        }
    }
    return false;
}

/* An agent that failed the task gets it again only when every agent has failed it. */
static bool may_run(const struct hd_sched *s, const struct hd_sched_task *t, uint64_t agent)
{
    if (t->bad_count == 0 || !failed_here(t, agent)) {
        return true;
    }
    HD_LIST_FOR(it, &s->agents)
    {
        if (!failed_here(t, HD_LIST_ENTRY(it, struct hd_sched_agent, link)->id)) {
            return false;
        }
    }
    return true;
}

static enum hd_locality locality_of(const struct hd_sched *s, const struct hd_sched_task *t,
                                    const struct hd_sched_agent *a)
{
    uint32_t rack = rack_of(s, a->node);
    enum hd_locality best = HD_LOCALITY_ANY;
    for (uint32_t i = 0; i < t->node_count; i++) {
        if (t->nodes[i] == a->node) {
            return HD_LOCALITY_LOCAL;
        }
        if (rack != UINT32_MAX && rack_of(s, t->nodes[i]) == rack) {
            best = HD_LOCALITY_RACK;
        }
    }
    return best;
}

static int64_t wait_limit_ms(const struct hd_sched_job *job)
{
    uint32_t done = job->done[HD_TASK_MAP];
    if (done == 0) {
        return 0;
    }
    return HD_MIN((int64_t)(job->map_ms_sum / done / 10), (int64_t)HD_SCHED_WAIT_MAX_MS);
}

/* A task with bytes on some live agent's node has a reason to wait for it. */
static bool has_home(const struct hd_sched *s, const struct hd_sched_task *t)
{
    HD_LIST_FOR(it, &s->agents)
    {
        const struct hd_sched_agent *a = HD_LIST_ENTRY(it, struct hd_sched_agent, link);
        for (uint32_t i = 0; i < t->node_count; i++) {
            if (t->nodes[i] == a->node) {
                return true;
            }
        }
    }
    return false;
}

/* The map this agent should run, or UINT32_MAX. */
static uint32_t pick_map(struct hd_sched *s, struct hd_sched_job *job,
                         const struct hd_sched_agent *a, bool local_only, int64_t now_ms,
                         enum hd_locality *ret)
{
    uint32_t best = UINT32_MAX;
    enum hd_locality best_locality = HD_LOCALITY_ANY;
    bool first = true;
    for (uint32_t i = job->first_waiting[HD_TASK_MAP]; i < job->count[HD_TASK_MAP]; i++) {
        const struct hd_sched_task *t = &job->tasks[HD_TASK_MAP][i];
        if (t->state != HD_TASK_WAITING) {
            continue;
        }
        if (first) {
            job->first_waiting[HD_TASK_MAP] = i;
            first = false;
        }
        if (!may_run(s, t, a->id)) {
            continue;
        }
        enum hd_locality l = locality_of(s, t, a);
        if (best == UINT32_MAX || l < best_locality) {
            best = i;
            best_locality = l;
        }
        if (l == HD_LOCALITY_LOCAL) {
            break;
        }
    }
    if (best == UINT32_MAX || (local_only && best_locality != HD_LOCALITY_LOCAL)) {
        return UINT32_MAX;
    }
    int64_t limit_ms = wait_limit_ms(job);
    if (limit_ms > 0 && best_locality != HD_LOCALITY_LOCAL &&
        has_home(s, &job->tasks[HD_TASK_MAP][best])) {
        if (job->local_wait_ms < 0) {
            job->local_wait_ms = now_ms;
        }
        if (now_ms - job->local_wait_ms < limit_ms) {
            return UINT32_MAX;
        }
    }
    *ret = best_locality;
    return best;
}

static uint32_t pick_reduce(struct hd_sched *s, struct hd_sched_job *job,
                            const struct hd_sched_agent *a)
{
    if (job->done[HD_TASK_MAP] < job->count[HD_TASK_MAP]) {
        return UINT32_MAX;
    }
    for (uint32_t i = job->first_waiting[HD_TASK_REDUCE]; i < job->count[HD_TASK_REDUCE]; i++) {
        const struct hd_sched_task *t = &job->tasks[HD_TASK_REDUCE][i];
        if (t->state == HD_TASK_WAITING && may_run(s, t, a->id)) {
            return i;
        }
    }
    return UINT32_MAX;
}

static void place(struct hd_sched *s, struct hd_sched_job *job, struct hd_sched_agent *a,
                  const struct hd_placement *p, int64_t now_ms)
{
    struct hd_sched_task *t = &job->tasks[p->kind][p->index];
    if (p->kind == HD_TASK_MAP) {
        if (t->placed_map) {
            job->locality[t->locality]--;
        }
        t->placed_map = true;
        job->locality[p->locality]++;
        if (p->locality == HD_LOCALITY_LOCAL) {
            job->local_wait_ms = -1;
        }
    }
    t->state = HD_TASK_RUNNING;
    t->locality = p->locality;
    t->number++;
    t->agent = a->id;
    t->placed_ms = now_ms;
    t->granted = false;
    job->running[p->kind]++;
    a->used++;
    a->last_placed = ++s->sequence;
}

static bool place_from(struct hd_sched *s, struct hd_sched_job *job, struct hd_sched_agent *a,
                       bool local_only, int64_t now_ms, struct hd_placement *ret)
{
    struct hd_placement p = {
        .job = job, .agent = a, .kind = HD_TASK_MAP, .locality = HD_LOCALITY_ANY};
    p.index = pick_map(s, job, a, local_only, now_ms, &p.locality);
    if (p.index == UINT32_MAX && !local_only) {
        p.kind = HD_TASK_REDUCE;
        p.index = pick_reduce(s, job, a);
    }
    if (p.index == UINT32_MAX) {
        return false;
    }
    place(s, job, a, &p, now_ms);
    p.number = job->tasks[p.kind][p.index].number;
    *ret = p;
    return true;
}

/* True when x should be asked before y. */
static bool job_first(const struct hd_sched_job *x, const struct hd_sched_job *y)
{
    uint32_t a = x->running[0] + x->running[1];
    uint32_t b = y->running[0] + y->running[1];
    return a != b ? a < b : x->id < y->id;
}

static bool agent_first(const struct hd_sched_agent *x, const struct hd_sched_agent *y)
{
    uint32_t a = x->slots - x->used;
    uint32_t b = y->slots - y->used;
    return a != b ? a > b : x->last_placed < y->last_placed;
}

/* The next job in order of need behind `last` (NULL: the first). Jobs are few: a scan will do. */
static struct hd_sched_job *next_job(struct hd_sched *s, const struct hd_sched_job *last)
{
    struct hd_sched_job *best = NULL;
    HD_LIST_FOR(it, &s->jobs)
    {
        struct hd_sched_job *j = HD_LIST_ENTRY(it, struct hd_sched_job, link);
        bool behind = last == NULL || job_first(last, j);
        if (!j->closed && behind && j != last && (best == NULL || job_first(j, best))) {
            best = j;
        }
    }
    return best;
}

static struct hd_sched_agent *next_agent(struct hd_sched *s, const struct hd_sched_agent *last)
{
    struct hd_sched_agent *best = NULL;
    HD_LIST_FOR(it, &s->agents)
    {
        struct hd_sched_agent *a = HD_LIST_ENTRY(it, struct hd_sched_agent, link);
        bool behind =
            last == NULL || agent_first(last, a) || (!agent_first(a, last) && a->id > last->id);
        if (a->used >= a->slots || a == last || !behind) {
            continue;
        }
        bool before =
            best == NULL || agent_first(a, best) || (!agent_first(best, a) && a->id < best->id);
        if (before) {
            best = a;
        }
    }
    return best;
}

bool hd_sched_place(struct hd_sched *s, int64_t now_ms, struct hd_placement *ret)
{
    for (struct hd_sched_job *job = next_job(s, NULL); job != NULL; job = next_job(s, job)) {
        bool waits = job->done[0] + job->running[0] < job->count[0] ||
                     job->done[1] + job->running[1] < job->count[1];
        if (!waits) {
            continue;
        }
        for (int pass = 0; pass < 2; pass++) { /* who has the bytes is asked first */
            for (struct hd_sched_agent *a = next_agent(s, NULL); a != NULL; a = next_agent(s, a)) {
                if (place_from(s, job, a, pass == 0, now_ms, ret)) {
                    return true;
                }
            }
        }
    }
    return false;
}

int64_t hd_sched_wait_ms(const struct hd_sched *s, int64_t now_ms)
{
    int64_t least = -1;
    HD_LIST_FOR(it, &s->jobs)
    {
        const struct hd_sched_job *j = HD_LIST_ENTRY(it, struct hd_sched_job, link);
        bool waits =
            !j->closed && j->local_wait_ms >= 0 && j->done[0] + j->running[0] < j->count[0];
        if (waits) {
            int64_t left = HD_MAX(j->local_wait_ms + wait_limit_ms(j) - now_ms, (int64_t)1);
            least = least < 0 ? left : HD_MIN(least, left);
        }
    }
    return least;
}

/* ---- ends ---- */

static enum hd_verdict count_failure(struct hd_sched_job *job, enum hd_task_kind kind,
                                     struct hd_sched_task *t, uint64_t agent)
{
    t->failures++;
    job->failed_attempts++;
    if (!failed_here(t, agent) && t->bad_count < HD_SCHED_BAD_AGENTS) {
        t->bad[t->bad_count++] = agent;
    }
    return t->failures >= job->max_attempts[kind] ? HD_VERDICT_JOB_FAILED : HD_VERDICT_GO_ON;
}

static bool all_done(const struct hd_sched_job *job)
{
    /* Maps whose output was lost after every reduce was done do not matter any more. */
    bool reduced =
        job->count[HD_TASK_REDUCE] > 0 && job->done[HD_TASK_REDUCE] == job->count[HD_TASK_REDUCE];
    return reduced ||
           (job->count[HD_TASK_REDUCE] == 0 && job->done[HD_TASK_MAP] == job->count[HD_TASK_MAP]);
}

enum hd_verdict hd_sched_ended(struct hd_sched *s, struct hd_sched_job *job, enum hd_task_kind kind,
                               uint32_t index, uint32_t number, uint64_t agent,
                               enum hd_outcome outcome, int64_t now_ms)
{
    if (index >= job->count[kind]) {
        return HD_VERDICT_STALE;
    }
    struct hd_sched_task *t = &job->tasks[kind][index];
    if (t->state != HD_TASK_RUNNING || t->number != number || t->agent != agent) {
        return HD_VERDICT_STALE;
    }
    struct hd_sched_agent *a = hd_sched_agent(s, agent);
    if (a != NULL) {
        a->used--;
    }
    if (outcome != HD_OUTCOME_DONE) {
        to_waiting(job, kind, index);
        return outcome == HD_OUTCOME_FAILED ? count_failure(job, kind, t, agent) : HD_VERDICT_GO_ON;
    }
    job->running[kind]--;
    job->done[kind]++;
    t->state = HD_TASK_DONE;
    if (kind == HD_TASK_MAP) {
        job->map_ms_sum += (uint64_t)HD_MAX(now_ms - t->placed_ms, (int64_t)0);
    }
    return all_done(job) ? HD_VERDICT_JOB_DONE : HD_VERDICT_GO_ON;
}

void hd_sched_output_lost(struct hd_sched_job *job, uint32_t map, uint32_t number)
{
    if (map < job->count[HD_TASK_MAP] && needs_map_outputs(job)) {
        const struct hd_sched_task *t = &job->tasks[HD_TASK_MAP][map];
        if (t->state == HD_TASK_DONE && t->number == number) {
            to_waiting(job, HD_TASK_MAP, map);
        }
    }
}

bool hd_sched_grant(struct hd_sched_job *job, enum hd_task_kind kind, uint32_t index,
                    uint32_t number, uint64_t agent)
{
    if (index >= job->count[kind] || job->closed) {
        return false;
    }
    struct hd_sched_task *t = &job->tasks[kind][index];
    t->granted = t->state == HD_TASK_RUNNING && t->number == number && t->agent == agent;
    return t->granted;
}
