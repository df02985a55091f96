/* Agents as the manager sees them: registering, parked calls, silence, placing. See manager.h. */
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "runner/manager/manager.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PING_MS = 5000,    /* a parked call is answered at least so often */
    SILENT_MS = 15000, /* an agent that does not come back is lost */
    GRACE_MS = 1000,   /* for an agent whose connection broke to come back */
};

struct hd_magent *hd_magent_find(struct hd_manager *m, uint64_t id)
{
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        if (a->id == id && !a->lost) {
            return a;
        }
    }
    return NULL;
}

static void clear_out(struct hd_magent *a)
{
    HD_LIST_FOR_SAFE(it, &a->out)
    {
        hd_list_remove(it);
        free(HD_LIST_ENTRY(it, struct hd_command_out, link));
    }
}

static void lose_agent(struct hd_manager *m, struct hd_magent *a, const char *why)
{
    if (a->lost) {
        return;
    }
    hd_log_warn("agent lost", "name=%s why=\"%s\"", a->name, why);
    a->lost = true;
    if (a->parked != NULL) {
        hd_rpc_reply_error(HD_TAKE_PTR(a->parked), -HD_E_UNREGISTERED_NODE, why);
    }
    clear_out(a);
    hd_sched_agent_remove(m->sched, a->id, hd_mjob_lost, m);
    hd_manager_place_soon(m);
}

/* The record of an agent of this name; a lost one is used again. */
static struct hd_magent *record_of(struct hd_manager *m, const Hdw__RegisterRequest *q)
{
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        if (strcmp(a->name, q->name) == 0) {
            /* Also the same process on a new connection: what the broken one carried is unknown,
             * so both sides begin anew (the agent drops its tasks when its id changes). */
            lose_agent(m, a,
                       strcmp(a->incarnation, q->incarnation) != 0 ? "it was started anew"
                                                                   : "its connection broke");
            return a;
        }
    }
    struct hd_magent *a = calloc(1, sizeof(*a));
    if (a != NULL) {
        hd_list_init(&a->out);
        snprintf(a->name, sizeof(a->name), "%s", q->name);
        a->lost = true;
        hd_list_push_back(&m->agents, &a->link);
    }
    return a;
}

/* "0.0.0.0:port" is where we see the agent. */
static void set_address(char *out, size_t size, const char *text, const char *peer_ip)
{
    if (strncmp(text, "0.0.0.0:", 8) == 0) {
        snprintf(out, size, "%s:%s", peer_ip, text + 8);
    } else {
        snprintf(out, size, "%s", text);
    }
}

static int enlist(struct hd_manager *m, struct hd_magent *a, const Hdw__RegisterRequest *q,
                  const char *peer_ip)
{
    set_address(a->address, sizeof(a->address), q->address, peer_ip);
    a->data_node[0] = '\0';
    if (q->data_node != NULL) {
        set_address(a->data_node, sizeof(a->data_node), q->data_node, peer_ip);
    }
    a->slots = HD_MIN(HD_MAX(q->slots, 1u), 1024u);
    a->pid = q->pid;
    snprintf(a->incarnation, sizeof(a->incarnation), "%s", q->incarnation);
    uint32_t node =
        a->data_node[0] != '\0' ? hd_manager_node(m, a->data_node, "") : (uint32_t)HD_SCHED_NO_NODE;
    a->id = ++m->next_agent;
    if (hd_sched_agent_add(m->sched, a->id, node, a->slots) == NULL) {
        return -ENOMEM;
    }
    a->lost = false;
    return 0;
}

void hd_magent_register(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__RegisterRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__register_request__descriptor);
    if (q == NULL) {
        return;
    }
    struct hd_magent *a = record_of(m, q);
    int err = a != NULL ? enlist(m, a, q, call->peer_ip) : -ENOMEM;
    if (err < 0) {
        hd_rpc_reply_error(call, err, "");
        return;
    }
    a->conn_id = call->conn_id;
    a->seen_ms = hd_clock_mono_ms().v;
    a->closed_ms = -1;
    hd_log_info("agent registered", "name=%s address=%s data_node=%s slots=%u", a->name, a->address,
                a->data_node, a->slots);
    Hdw__RegisterResponse response = HDW__REGISTER_RESPONSE__INIT;
    response.agent_id = a->id;
    response.manager = m->incarnation;
    hd_rpc_reply(call, &response.base, 0);
    hd_manager_place_soon(m);
}

/* ---- answers to nextWork ---- */

static bool knows_job(struct hd_mjob *job, uint64_t agent)
{
    for (uint32_t i = 0; i < job->agents_told_count; i++) {
        if (job->agents_told[i] == agent) {
            return true;
        }
    }
    uint64_t *more = realloc(job->agents_told, (job->agents_told_count + 1) * sizeof(*more));
    if (more != NULL) { /* without memory it is told again, which does no harm */
        job->agents_told = more;
        job->agents_told[job->agents_told_count++] = agent;
    }
    return false;
}

static Hdw__RunnerJobSetup *setup_of(struct hd_mjob *job, struct hd_arena *arena)
{
    Hdw__RunnerJobSetup *s = HD_ARENA_NEW(arena, Hdw__RunnerJobSetup);
    if (s != NULL) {
        hdw__runner_job_setup__init(s);
        s->spec = job->spec;
        s->user = job->user;
        s->staging = job->staging;
        s->key.data = job->key;
        s->key.len = sizeof(job->key);
        s->maps = job->count[HD_TASK_MAP];
        s->n_file_size = s->n_file_mode = job->spec->n_file;
        s->file_size = job->file_sizes;
        s->file_mode = job->file_modes;
    }
    return s;
}

static bool add_outputs(struct hd_manager *m, struct hd_mjob *job, Hdw__RunnerAssignment *out,
                        struct hd_arena *arena)
{
    uint32_t maps = job->count[HD_TASK_MAP];
    out->output = HD_ARENA_ARRAY(arena, Hdw__RunnerMapOutput *, maps + 1);
    Hdw__RunnerMapOutput *all = HD_ARENA_ARRAY(arena, Hdw__RunnerMapOutput, maps + 1);
    if (out->output == NULL || all == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < maps; i++) {
        const struct hd_sched_task *t = &job->sched->tasks[HD_TASK_MAP][i];
        struct hd_magent *holder = hd_magent_find(m, t->agent);
        hdw__runner_map_output__init(&all[i]);
        all[i].index = i;
        all[i].number = t->number;
        all[i].agent_id = t->agent;
        all[i].address = holder != NULL ? holder->address : (char *)(uintptr_t) "";
        out->output[out->n_output++] = &all[i];
    }
    return true;
}

static Hdw__RunnerAssignment *assignment_of(struct hd_manager *m, const struct hd_magent *a,
                                            struct hd_mjob *job, const struct hd_command_out *c,
                                            struct hd_arena *arena)
{
    Hdw__RunnerAssignment *out = HD_ARENA_NEW(arena, Hdw__RunnerAssignment);
    Hdw__RunnerAttemptKey *key = HD_ARENA_NEW(arena, Hdw__RunnerAttemptKey);
    if (out == NULL || key == NULL) {
        return NULL;
    }
    hdw__runner_assignment__init(out);
    hdw__runner_attempt_key__init(key);
    key->job = job->id;
    key->kind = (Hdw__RunnerTaskKind)c->kind;
    key->index = c->index;
    key->number = c->number;
    out->key = key;
    if (!knows_job(job, a->id)) {
        out->setup = setup_of(job, arena);
    }
    if (c->kind == HD_TASK_REDUCE) {
        return add_outputs(m, job, out, arena) ? out : NULL;
    }
    out->n_split = job->tasks[HD_TASK_MAP][c->index].split_count;
    out->split = job->tasks[HD_TASK_MAP][c->index].splits;
    return out;
}

static void add_command(struct hd_manager *m, struct hd_magent *a, const struct hd_command_out *c,
                        Hdw__NextWorkResponse *r, struct hd_arena *arena)
{
    struct hd_mjob *job = hd_mjob_find(m, c->job);
    if (c->what == HD_OUT_FORGET) {
        char *id = hd_arena_str(arena, c->job);
        if (id != NULL) {
            r->forget[r->n_forget++] = id;
        }
        return;
    }
    if (job == NULL || job->sched == NULL) { /* it ended before the agent came for it */
        return;
    }
    Hdw__RunnerAssignment *start = assignment_of(m, a, job, c, arena);
    if (start != NULL) {
        r->start[r->n_start++] = start;
    }
}

/* Answers the parked call with what waits; an empty answer is a ping. */
static void answer_parked(struct hd_manager *m, struct hd_magent *a)
{
    struct hd_rpc_call *call = HD_TAKE_PTR(a->parked);
    Hdw__NextWorkResponse r = HDW__NEXT_WORK_RESPONSE__INIT;
    size_t count = 1;
    HD_LIST_FOR(it, &a->out)
    {
        count++;
    }
    r.start = HD_ARENA_ARRAY(&call->arena, Hdw__RunnerAssignment *, count);
    r.forget = HD_ARENA_ARRAY(&call->arena, char *, count);
    if (r.start == NULL || r.forget == NULL) {
        hd_rpc_reply_error(call, -ENOMEM, "");
        return;
    }
    HD_LIST_FOR(it, &a->out)
    {
        add_command(m, a, HD_LIST_ENTRY(it, struct hd_command_out, link), &r, &call->arena);
    }
    clear_out(a);
    hd_rpc_reply(call, &r.base, 0);
}

void hd_magent_next_work(struct hd_manager *m, struct hd_rpc_call *call)
{
    const Hdw__NextWorkRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__next_work_request__descriptor);
    if (q == NULL) {
        return;
    }
    struct hd_magent *a = hd_magent_find(m, q->agent_id);
    if (a == NULL) {
        hd_rpc_reply_error(call, -HD_E_UNREGISTERED_NODE, "register first");
        return;
    }
    if (a->parked != NULL) {
        hd_rpc_reply_error(HD_TAKE_PTR(a->parked), -HD_E_FENCED, "a newer call has come");
    }
    a->parked = call;
    a->conn_id = call->conn_id;
    a->closed_ms = -1;
    a->seen_ms = hd_clock_mono_ms().v;
    if (!hd_list_empty(&a->out)) {
        answer_parked(m, a);
    }
}

/* Answering is what gives a parked call back; the server is not to be called while it closes. */
static void drop_call(void *call)
{
    hd_rpc_reply_error(call, -HD_E_CLOSED, "");
}

void hd_magent_closed(struct hd_manager *m, uint64_t conn_id)
{
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        if (a->conn_id == conn_id && !a->lost) {
            if (a->parked != NULL) {
                (void)hd_loop_post(m->loop, drop_call, HD_TAKE_PTR(a->parked));
            }
            a->conn_id = 0;
            a->closed_ms = hd_clock_mono_ms().v;
        }
    }
}

void hd_magent_care(struct hd_manager *m)
{
    int64_t now = hd_clock_mono_ms().v;
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        if (a->lost) {
            continue;
        }
        if (a->closed_ms >= 0 && now - a->closed_ms >= GRACE_MS) {
            lose_agent(m, a, "its connection closed");
        } else if (a->parked != NULL && now - a->seen_ms >= PING_MS) {
            answer_parked(m, a);
        } else if (a->parked == NULL && now - a->seen_ms >= SILENT_MS) {
            lose_agent(m, a, "it is silent");
        }
    }
}

/* ---- placing ---- */

static void queue_start(struct hd_manager *m, const struct hd_placement *p)
{
    struct hd_mjob *job = p->job->owner;
    struct hd_magent *a = hd_magent_find(m, p->agent->id);
    struct hd_command_out *c = calloc(1, sizeof(*c));
    if (c == NULL || a == NULL) {
        free(c);
        return;
    }
    *c = (struct hd_command_out){
        .what = HD_OUT_START, .kind = p->kind, .index = p->index, .number = p->number};
    memcpy(c->job, job->id, sizeof(c->job));
    hd_list_push_back(&a->out, &c->link);
    hd_mjob_placed(job, p, a->name);
}

void hd_manager_place(struct hd_manager *m)
{
    struct hd_placement p;
    int64_t now = hd_clock_mono_ms().v;
    while (hd_sched_place(m->sched, now, &p)) {
        queue_start(m, &p);
    }
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        if (!hd_list_empty(&a->out) && a->parked != NULL) {
            answer_parked(m, a);
        }
    }
    hd_loop_timer_set(m->place_timer, hd_sched_wait_ms(m->sched, now));
}

void hd_manager_place_soon(struct hd_manager *m)
{
    m->place_wanted = true;
}

void hd_magents_forget(struct hd_manager *m, const char *job)
{
    HD_LIST_FOR(it, &m->agents)
    {
        struct hd_magent *a = HD_LIST_ENTRY(it, struct hd_magent, link);
        struct hd_command_out *c = a->lost ? NULL : calloc(1, sizeof(*c));
        if (c != NULL) {
            c->what = HD_OUT_FORGET;
            snprintf(c->job, sizeof(c->job), "%s", job);
            hd_list_push_back(&a->out, &c->link);
        }
    }
}
