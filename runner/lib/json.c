/* See json.h. */
#include "runner/lib/json.h"

static const char *const state_names[] = {"planning",  "running", "committing",
                                          "succeeded", "failed",  "killed"};

const char *hd_job_state_name(Hdw__RunnerJobState state)
{
    return (unsigned)state < HD_ARRAY_COUNT(state_names) ? state_names[state] : "unknown";
}

bool hd_job_state_final(Hdw__RunnerJobState state)
{
    return state == HDW__RUNNER_JOB_STATE__JOB_SUCCEEDED ||
           state == HDW__RUNNER_JOB_STATE__JOB_FAILED || state == HDW__RUNNER_JOB_STATE__JOB_KILLED;
}

static void set(json_t *o, const char *key, json_t *value)
{
    (void)json_object_set_new(o, key, value);
}

static void set_n(json_t *o, const char *key, uint64_t n)
{
    set(o, key, json_integer((json_int_t)n));
}

/* Text of tasks may be any bytes; JSON is UTF-8. */
static void set_s(json_t *o, const char *key, const char *text)
{
    if (text == NULL) {
        return;
    }
    json_t *s = json_string(text);
    if (s == NULL) {
        char fit[1024];
        size_t n = 0;
        for (; text[n] != '\0' && n + 1 < sizeof(fit); n++) {
            fit[n] = (unsigned char)text[n] < 0x80 ? text[n] : '?';
        }
        fit[n] = '\0';
        s = json_string(fit);
    }
    set(o, key, s);
}

json_t *hd_job_json(const Hdw__RunnerJobStatus *s)
{
    json_t *o = json_object();
    json_t *counters = json_array();
    set_s(o, "id", s->id);
    set_s(o, "name", s->name);
    set_s(o, "user", s->user);
    set_s(o, "state", hd_job_state_name(s->state));
    set_n(o, "maps", s->maps);
    set_n(o, "maps_done", s->maps_done);
    set_n(o, "maps_running", s->maps_running);
    set_n(o, "reduces", s->reduces);
    set_n(o, "reduces_done", s->reduces_done);
    set_n(o, "reduces_running", s->reduces_running);
    set_n(o, "local", s->local);
    set_n(o, "rack", s->rack);
    set_n(o, "any", s->any);
    set_n(o, "bytes_in", s->bytes_in);
    set_n(o, "bytes_total", s->bytes_total);
    set_n(o, "bytes_shuffled", s->bytes_shuffled);
    set_n(o, "bytes_out", s->bytes_out);
    set_n(o, "submitted_ms", s->submitted_ms);
    set_n(o, "elapsed_ms", s->elapsed_ms);
    set_n(o, "failed_attempts", s->failed_attempts);
    set_s(o, "output", s->output);
    set_s(o, "failure", s->failure);
    for (size_t i = 0; i < s->n_counter; i++) {
        json_t *c = json_object();
        set_s(c, "group", s->counter[i]->group);
        set_s(c, "name", s->counter[i]->name);
        set(c, "value", json_integer(s->counter[i]->value));
        json_array_append_new(counters, c);
    }
    set(o, "counters", counters);
    return o;
}

json_t *hd_attempt_json(const Hdw__RunnerAttempt *a)
{
    json_t *o = json_object();
    set_n(o, "number", a->number);
    set_s(o, "agent", a->agent);
    set_s(o, "state", a->state);
    set_n(o, "start_ms", a->start_ms);
    if (a->has_end_ms) {
        set_n(o, "end_ms", a->end_ms);
    }
    set_s(o, "error", a->error);
    set_s(o, "locality", a->locality);
    return o;
}

json_t *hd_task_json(const Hdw__RunnerTask *t)
{
    json_t *o = json_object();
    json_t *attempts = json_array();
    set_s(o, "id", t->id);
    set_s(o, "state", t->state);
    set_s(o, "input", t->input);
    set_s(o, "status", t->status);
    for (size_t i = 0; i < t->n_attempt; i++) {
        json_array_append_new(attempts, hd_attempt_json(t->attempt[i]));
    }
    set(o, "attempts", attempts);
    return o;
}

/* ---- back ---- */

struct reader {
    const json_t *object;
    struct hd_arena *arena;
    bool bad;
};

static char *get_s(struct reader *r, const char *key, bool required)
{
    const char *text = json_string_value(json_object_get(r->object, key));
    if (text == NULL) {
        r->bad = r->bad || required;
        return NULL;
    }
    char *copy = hd_arena_str(r->arena, text);
    r->bad = r->bad || copy == NULL;
    return copy;
}

static uint64_t get_n(struct reader *r, const char *key)
{
    const json_t *v = json_object_get(r->object, key);
    if (!json_is_integer(v)) {
        r->bad = true;
        return 0;
    }
    return (uint64_t)json_integer_value(v);
}

static void get_counters(struct reader *r, Hdw__RunnerJobStatus *s)
{
    const json_t *list = json_object_get(r->object, "counters");
    size_t count = json_array_size(list);
    s->counter = HD_ARENA_ARRAY(r->arena, Hdw__RunnerCounter *, count + 1);
    for (size_t i = 0; s->counter != NULL && i < count; i++) {
        struct reader c = {.object = json_array_get(list, i), .arena = r->arena};
        Hdw__RunnerCounter *x = HD_ARENA_NEW(r->arena, Hdw__RunnerCounter);
        if (x == NULL) {
            r->bad = true;
            return;
        }
        hdw__runner_counter__init(x);
        x->group = get_s(&c, "group", true);
        x->name = get_s(&c, "name", true);
        x->value = (int64_t)get_n(&c, "value");
        r->bad = r->bad || c.bad;
        s->counter[s->n_counter++] = x;
    }
    r->bad = r->bad || s->counter == NULL;
}

Hdw__RunnerJobStatus *hd_job_from_json(const json_t *j, struct hd_arena *arena)
{
    struct reader r = {.object = j, .arena = arena};
    Hdw__RunnerJobStatus *s = HD_ARENA_NEW(arena, Hdw__RunnerJobStatus);
    if (s == NULL) {
        return NULL;
    }
    hdw__runner_job_status__init(s);
    s->id = get_s(&r, "id", true);
    s->name = get_s(&r, "name", true);
    s->user = get_s(&r, "user", true);
    s->output = get_s(&r, "output", true);
    s->failure = get_s(&r, "failure", false);
    const char *state = get_s(&r, "state", true);
    for (size_t i = 0; state != NULL && i < HD_ARRAY_COUNT(state_names); i++) {
        if (strcmp(state, state_names[i]) == 0) {
            s->state = (Hdw__RunnerJobState)i;
        }
    }
    s->maps = (uint32_t)get_n(&r, "maps");
    s->maps_done = (uint32_t)get_n(&r, "maps_done");
    s->reduces = (uint32_t)get_n(&r, "reduces");
    s->reduces_done = (uint32_t)get_n(&r, "reduces_done");
    s->local = (uint32_t)get_n(&r, "local");
    s->rack = (uint32_t)get_n(&r, "rack");
    s->any = (uint32_t)get_n(&r, "any");
    s->bytes_in = get_n(&r, "bytes_in");
    s->bytes_total = get_n(&r, "bytes_total");
    s->bytes_shuffled = get_n(&r, "bytes_shuffled");
    s->bytes_out = get_n(&r, "bytes_out");
    s->submitted_ms = get_n(&r, "submitted_ms");
    s->elapsed_ms = get_n(&r, "elapsed_ms");
    s->has_failed_attempts = true;
    s->failed_attempts = (uint32_t)get_n(&r, "failed_attempts");
    s->version = 1;
    get_counters(&r, s);
    return r.bad ? NULL : s;
}

static Hdw__RunnerAttempt *attempt_from_json(const json_t *j, struct hd_arena *arena)
{
    struct reader r = {.object = j, .arena = arena};
    Hdw__RunnerAttempt *a = HD_ARENA_NEW(arena, Hdw__RunnerAttempt);
    if (a == NULL) {
        return NULL;
    }
    hdw__runner_attempt__init(a);
    a->number = (uint32_t)get_n(&r, "number");
    a->agent = get_s(&r, "agent", true);
    a->state = get_s(&r, "state", true);
    a->start_ms = get_n(&r, "start_ms");
    a->has_end_ms = json_object_get(j, "end_ms") != NULL;
    a->end_ms = a->has_end_ms ? get_n(&r, "end_ms") : 0;
    a->error = get_s(&r, "error", false);
    a->locality = get_s(&r, "locality", false);
    return r.bad ? NULL : a;
}

Hdw__RunnerTask *hd_task_from_json(const json_t *j, struct hd_arena *arena)
{
    struct reader r = {.object = j, .arena = arena};
    Hdw__RunnerTask *t = HD_ARENA_NEW(arena, Hdw__RunnerTask);
    const json_t *attempts = json_object_get(j, "attempts");
    size_t count = json_array_size(attempts);
    if (t == NULL) {
        return NULL;
    }
    hdw__runner_task__init(t);
    t->id = get_s(&r, "id", true);
    t->state = get_s(&r, "state", true);
    t->input = get_s(&r, "input", false);
    t->status = get_s(&r, "status", false);
    t->attempt = HD_ARENA_ARRAY(arena, Hdw__RunnerAttempt *, count + 1);
    for (size_t i = 0; t->attempt != NULL && i < count; i++) {
        Hdw__RunnerAttempt *a = attempt_from_json(json_array_get(attempts, i), arena);
        if (a == NULL) {
            return NULL;
        }
        t->attempt[t->n_attempt++] = a;
    }
    return r.bad || t->attempt == NULL ? NULL : t;
}
