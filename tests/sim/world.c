/* Events, fibers, actors' lives, the network. See sim.h. */
#include "fs/base/error.h"
#include "fs/wire/witness.h"
#include "tests/sim/sim.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <ucontext.h>
#include <unistd.h>

enum { STACK_BYTES = 192 << 10, HASH_PRIME = 0x1b3, CALL_TIMEOUT_US = 8000000 };

struct sim_event {
    int64_t at_us;
    uint64_t seq;
    sim_fn *fn;
    void *arg;
    uint64_t fiber; /* != 0: the fiber to go on with, if it still waits for `wake` */
    uint64_t wake;
};

struct sim_fiber {
    struct sim_fiber *next;
    uint64_t id;
    int actor;
    ucontext_t context;
    ucontext_t *back;
    char *stack;
    struct hd_arena arena;
    sim_fn *fn;
    void *arg;
    uint64_t wake; /* counts waits */
    bool woken;
    bool done;
};

static ucontext_t main_context;
static struct sim *current; /* for makecontext, and for the crash line */

/* ---- chance and words ---- */

static void hash_bytes(struct sim *s, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) {
        s->hash = (s->hash ^ p[i]) * (0x10000000000u + HASH_PRIME);
    }
}

void sim_trace(struct sim *s, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, fmt);
    int size = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    hash_bytes(s, &s->now_us, sizeof(s->now_us));
    hash_bytes(s, line, HD_MIN((size_t)size, sizeof(line) - 1));
    if (s->verbose) {
        printf("%10.6f %s\n", (double)s->now_us / 1e6, line);
    }
}

void sim_fail(struct sim *s, const char *fmt, ...)
{
    char line[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    fflush(stdout);
    printf("FAIL seed %llu at %.6f s: %s; repeat: tests/sim/run --seed %llu --verbose\n",
           (unsigned long long)s->seed, (double)s->now_us / 1e6, line, (unsigned long long)s->seed);
    fflush(stdout);
    _exit(1);
}

static void on_crash(int sig)
{
    char line[160];
    unsigned long long seed = current != NULL ? (unsigned long long)current->seed : 0;
    int size = snprintf(line, sizeof(line),
                        "FAIL seed %llu: signal %d; repeat: tests/sim/run --seed %llu --verbose\n",
                        seed, sig, seed);
    ssize_t n = write(STDOUT_FILENO, line, (size_t)size);
    (void)n;
    _exit(1);
}

void sim_catch_crashes(void)
{
    static char stack[64 << 10]; /* a fiber may have used up its own */
    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof(stack)};
    struct sigaction a = {.sa_handler = on_crash, .sa_flags = SA_ONSTACK};
    sigaltstack(&alternate, NULL);
    sigaction(SIGABRT, &a, NULL);
    sigaction(SIGSEGV, &a, NULL);
    sigaction(SIGBUS, &a, NULL);
}

/* ---- events ---- */

static bool earlier(const struct sim_event *a, const struct sim_event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->seq < b->seq;
}

static void push(struct sim *s, struct sim_event e)
{
    if (s->heap_count == s->heap_capacity) {
        s->heap_capacity = s->heap_capacity * 2 + 64;
        s->heap = realloc(s->heap, s->heap_capacity * sizeof(*s->heap));
        hd_assert(s->heap != NULL);
    }
    e.seq = ++s->next_seq;
    e.at_us = HD_MAX(e.at_us, s->now_us);
    size_t i = s->heap_count++;
    for (; i > 0 && earlier(&e, &s->heap[(i - 1) / 2]); i = (i - 1) / 2) {
        s->heap[i] = s->heap[(i - 1) / 2];
    }
    s->heap[i] = e;
}

static struct sim_event pop(struct sim *s)
{
    struct sim_event first = s->heap[0];
    struct sim_event last = s->heap[--s->heap_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < s->heap_count; i = child) {
        child += child + 1 < s->heap_count && earlier(&s->heap[child + 1], &s->heap[child]);
        if (!earlier(&s->heap[child], &last)) {
            break;
        }
        s->heap[i] = s->heap[child];
    }
    s->heap[i] = last;
    return first;
}

void sim_at(struct sim *s, int64_t at_us, sim_fn *fn, void *arg)
{
    push(s, (struct sim_event){.at_us = at_us, .fn = fn, .arg = arg});
}

/* ---- fibers ---- */

static struct sim_fiber *find_fiber(struct sim *s, uint64_t id)
{
    struct sim_fiber *f = s->fibers;
    while (f != NULL && f->id != id) {
        f = f->next;
    }
    return f;
}

static void fiber_free(struct sim_fiber *f)
{
    hd_arena_done(&f->arena);
    free(f->stack);
    free(f);
}

static void fiber_main(void)
{
    struct sim *s = current;
    struct sim_fiber *f = s->running;
    f->fn(s, f->arg);
    f->done = true;
    swapcontext(&f->context, &main_context);
}

uint64_t sim_spawn(struct sim *s, int actor, sim_fn *fn, void *arg)
{
    struct sim_fiber *f = calloc(1, sizeof(*f));
    hd_assert(f != NULL);
    f->id = ++s->next_id;
    f->actor = actor;
    f->fn = fn;
    f->arg = arg;
    f->stack = malloc(STACK_BYTES);
    hd_assert(f->stack != NULL);
    hd_arena_init(&f->arena, 0);
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&f->context, fiber_main, 0);
    f->next = s->fibers;
    s->fibers = f;
    push(s, (struct sim_event){.at_us = s->now_us, .fiber = f->id});
    return f->id;
}

static void remove_fiber(struct sim *s, struct sim_fiber *f)
{
    struct sim_fiber **at = &s->fibers;
    while (*at != f) {
        at = &(*at)->next;
    }
    *at = f->next;
    fiber_free(f);
}

static void resume(struct sim *s, const struct sim_event *e)
{
    struct sim_fiber *f = find_fiber(s, e->fiber);
    if (f == NULL || f->wake != e->wake) {
        return; /* it died, or something else woke it */
    }
    if (s->actors[f->actor].paused) {
        push(s, (struct sim_event){
                    .at_us = s->actors[f->actor].resume_us, .fiber = f->id, .wake = f->wake});
        return;
    }
    f->wake++;
    s->running = f;
    current = s;
    swapcontext(&main_context, &f->context);
    s->running = NULL;
    if (f->done) {
        remove_fiber(s, f);
    }
}

bool sim_wait(struct sim *s, int64_t timeout_us)
{
    struct sim_fiber *f = s->running;
    f->woken = false;
    push(s, (struct sim_event){.at_us = s->now_us + timeout_us, .fiber = f->id, .wake = f->wake});
    swapcontext(&f->context, &main_context);
    return f->woken;
}

void sim_sleep(struct sim *s, int64_t us)
{
    int64_t end = s->now_us + us;
    while (s->now_us < end) {
        sim_wait(s, end - s->now_us);
    }
}

void sim_wake(struct sim *s, uint64_t fiber)
{
    struct sim_fiber *f = find_fiber(s, fiber);
    if (f != NULL && !f->woken) {
        f->woken = true;
        push(s, (struct sim_event){.at_us = s->now_us, .fiber = f->id, .wake = f->wake});
    }
}

struct hd_arena *sim_arena(struct sim *s)
{
    return &s->running->arena;
}

int sim_self(const struct sim *s)
{
    return s->running->actor;
}

uint64_t sim_fiber_id(const struct sim *s)
{
    return s->running->id;
}

/* ---- the world ---- */

struct sim *sim_new(uint64_t seed, bool verbose)
{
    struct sim *s = calloc(1, sizeof(*s));
    hd_assert(s != NULL);
    s->seed = seed;
    s->verbose = verbose;
    s->prng.state = seed;
    s->hash = 0xcbf29ce484222325u;
    current = s;
    return s;
}

static void rpc_free(struct sim_rpc *r)
{
    free(r->body);
    free(r->text);
    free(r->answer);
    free(r);
}

struct sim_kept {
    struct sim_kept *next;
    max_align_t data[];
};

void *sim_keep(struct sim *s, size_t size)
{
    struct sim_kept *k = calloc(1, sizeof(*k) + size);
    hd_assert(k != NULL);
    k->next = s->kept;
    s->kept = k;
    return k->data;
}

void sim_free(struct sim *s)
{
    while (s->kept != NULL) {
        struct sim_kept *next = s->kept->next;
        free(s->kept);
        s->kept = next;
    }
    while (s->fibers != NULL) {
        remove_fiber(s, s->fibers);
    }
    while (s->rpcs != NULL) {
        struct sim_rpc *next = s->rpcs->next;
        rpc_free(s->rpcs);
        s->rpcs = next;
    }
    free(s->heap);
    free(s);
    current = NULL;
}

bool sim_run(struct sim *s, int64_t until_us, bool (*done)(struct sim *s))
{
    while (s->heap_count > 0 && s->heap[0].at_us <= until_us) {
        struct sim_event e = pop(s);
        s->now_us = e.at_us;
        s->events++;
        if (e.fiber != 0) {
            resume(s, &e);
        } else {
            e.fn(s, e.arg);
        }
        if (done != NULL && done(s)) {
            return true;
        }
    }
    s->now_us = until_us;
    return false;
}

/* ---- life and death ---- */

static void break_connection(struct sim *s, int actor)
{
    struct sim_actor *a = &s->actors[actor];
    if (a->conn != 0) {
        uint64_t conn = a->conn;
        a->conn = 0;
        sim_meta_closed(s, a->meta, conn);
    }
}

void sim_start(struct sim *s, int actor)
{
    struct sim_actor *a = &s->actors[actor];
    a->up = true;
    a->paused = false;
    a->life++;
    a->conn = 0;
    sim_trace(s, "%s starts", a->name);
}

void sim_kill(struct sim *s, int actor)
{
    struct sim_actor *a = &s->actors[actor];
    hd_assert(s->running == NULL || s->running->actor != actor);
    sim_trace(s, "%s is killed", a->name);
    a->up = a->paused = false;
    for (struct sim_fiber *f = s->fibers; f != NULL;) {
        struct sim_fiber *next = f->next;
        if (f->actor == actor) {
            remove_fiber(s, f);
        }
        f = next;
    }
    if (actor >= SIM_NODE) {
        break_connection(s, actor);
    }
}

/* ---- the network ---- */

int64_t sim_delay(struct sim *s)
{
    return sim_chance(s, s->slow_ppm) ? sim_between(s, 1000, 400000) : sim_between(s, 50, 1500);
}

int sim_reach(struct sim *s, int from, int to)
{
    return sim_reach_within(s, from, to, SIM_REACH_TIMEOUT_US);
}

int sim_reach_within(struct sim *s, int from, int to, int64_t us)
{
    int64_t end = s->now_us + us;
    sim_sleep(s, sim_delay(s));
    while (s->actors[to].up && (s->actors[to].paused || s->cut[from][to]) && s->now_us < end) {
        sim_sleep(s, 50000);
    }
    bool there = s->actors[to].up && !s->actors[to].paused && !s->cut[from][to];
    return there ? 0
                 : hd_fail(-HD_E_CLOSED, "%s does not reach %s", s->actors[from].name,
                           s->actors[to].name);
}

/* ---- calls to meta ---- */

static struct sim_rpc *find_rpc(struct sim *s, uint64_t id)
{
    struct sim_rpc *r = s->rpcs;
    while (r != NULL && r->id != id) {
        r = r->next;
    }
    return r;
}

static void remove_rpc(struct sim *s, struct sim_rpc *r)
{
    struct sim_rpc **at = &s->rpcs;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    rpc_free(r);
}

static void deliver(struct sim *s, void *arg)
{
    struct sim_rpc *r = find_rpc(s, (uint64_t)(uintptr_t)arg);
    if (r == NULL) {
        return;
    }
    const struct sim_actor *meta = &s->actors[r->to];
    if (meta->up && meta->paused) {
        sim_at(s, meta->resume_us, deliver, arg); /* all that wait go in the same order */
        return;
    }
    if (s->cut[r->from][r->to] || !meta->up || r->lost) {
        r->lost = true;
        sim_wake(s, r->fiber); /* finds itself without an answer when its time is up */
        return;
    }
    sim_meta_request(s, r);
}

static void arrive(struct sim *s, void *arg)
{
    struct sim_rpc *r = find_rpc(s, (uint64_t)(uintptr_t)arg);
    if (r == NULL || r->lost) {
        return;
    }
    if (s->cut[r->to][r->from]) {
        return; /* the caller's patience ends */
    }
    r->answered = true;
    sim_wake(s, r->fiber);
}

void sim_answer(struct sim *s, uint64_t rpc, int err, const char *text, const uint8_t *body,
                size_t size)
{
    struct sim_rpc *r = find_rpc(s, rpc);
    if (r == NULL || r->answer != NULL) {
        return; /* nobody waits any more */
    }
    r->err = err;
    r->answer_epoch = sim_meta_epoch(s->metas[r->to]);
    r->text = text != NULL ? strdup(text) : NULL;
    r->answer = malloc(size + 1);
    hd_assert(r->answer != NULL);
    if (size > 0) {
        memcpy(r->answer, body, size);
    }
    r->answer_size = size;
    sim_at(s, s->now_us + sim_delay(s), arrive, (void *)(uintptr_t)rpc);
}

static void lose(struct sim *s, void *arg)
{
    struct sim_rpc *r = find_rpc(s, (uint64_t)(uintptr_t)arg);
    if (r == NULL || r->answered || r->lost) {
        return;
    }
    r->lost = true;
    sim_wake(s, r->fiber);
    if (s->actors[r->from].conn == r->conn) {
        break_connection(s, r->from);
    }
}

void sim_break_all(struct sim *s, int meta)
{
    for (int i = 0; i < SIM_ACTORS_MAX; i++) {
        s->actors[i].conn = s->actors[i].meta == meta ? 0 : s->actors[i].conn;
    }
    for (struct sim_rpc *r = s->rpcs; r != NULL; r = r->next) {
        if (r->to == meta) {
            sim_at(s, s->now_us + sim_delay(s), lose, (void *)(uintptr_t)r->id);
        }
    }
}

/* The highest epoch an actor has heard of. */
static uint64_t epoch_of(struct sim *s, int actor)
{
    uint64_t witnessed = sim_is_node(s, actor) ? sim_node_witness(s, actor - SIM_NODE)->epoch : 0;
    return HD_MAX(s->actors[actor].epoch, witnessed);
}

static struct sim_rpc *rpc_new(struct sim *s, const struct sim_call *c, int from)
{
    struct sim_rpc *r = calloc(1, sizeof(*r));
    hd_assert(r != NULL);
    r->id = ++s->next_id;
    r->from = from;
    r->to = s->actors[from].meta;
    r->epoch = epoch_of(s, from);
    r->conn = s->actors[from].conn;
    r->protocol = c->protocol;
    r->method = c->method;
    r->call_id = c->call_id;
    snprintf((char *)r->client_id, sizeof(r->client_id), "%s.%u", s->actors[from].name,
             s->actors[from].life);
    r->body_size = protobuf_c_message_get_packed_size(c->request);
    r->body = malloc(r->body_size + 1);
    hd_assert(r->body != NULL);
    protobuf_c_message_pack(c->request, r->body);
    r->next = s->rpcs;
    s->rpcs = r;
    return r;
}

static void expire(struct sim *s, void *arg)
{
    struct sim_rpc *r = find_rpc(s, (uint64_t)(uintptr_t)arg);
    if (r != NULL && find_fiber(s, r->fiber) == NULL) {
        remove_rpc(s, r); /* its caller is dead */
    }
}

static void send_call(struct sim *s, struct sim_rpc *r, int64_t at_us)
{
    struct sim_actor *a = &s->actors[r->from];
    a->last_sent = HD_MAX(at_us, a->last_sent + 1);
    sim_at(s, a->last_sent, deliver, (void *)(uintptr_t)r->id);
    sim_at(s, a->last_sent + 2 * CALL_TIMEOUT_US, expire, (void *)(uintptr_t)r->id);
}

/* Where it is does not answer, or is not the primary: the other one may be. */
static void other_meta(struct sim *s, int from)
{
    struct sim_actor *a = &s->actors[from];
    break_connection(s, from);
    a->meta = s->pair ? !a->meta : a->meta;
}

/* 0: connected. */
static int connect_meta(struct sim *s, int from)
{
    struct sim_actor *a = &s->actors[from];
    if (a->conn != 0) {
        return 0;
    }
    int err = sim_reach(s, from, a->meta);
    if (a->conn == 0 && err == 0) {
        a->conn = ++s->next_conn;
    } else if (a->conn == 0) {
        other_meta(s, from);
    }
    return a->conn != 0 ? 0 : err;
}

int sim_call_meta(struct sim *s, const struct sim_call *c, const void **ret, const char **ret_text,
                  bool *ret_lost)
{
    int from = sim_self(s);
    *ret_lost = true;
    *ret_text = "no answer";
    if (connect_meta(s, from) < 0) {
        return -HD_E_CLOSED;
    }
    struct sim_rpc *r = rpc_new(s, c, from);
    uint64_t id = r->id;
    r->fiber = sim_fiber_id(s);
    send_call(s, r, s->now_us + sim_delay(s));
    if (c->again && c->call_id >= 0 && sim_chance(s, 300000)) {
        struct sim_rpc *twin = rpc_new(s, c, from); /* the first try, which took its time */
        send_call(s, twin, s->actors[from].last_sent);
    }
    if (s->faults_on && sim_chance(s, s->lose_ppm)) {
        sim_at(s, s->now_us + sim_between(s, 1, 4000), lose, (void *)(uintptr_t)id);
    }
    int64_t end = s->now_us + (s->pair ? CALL_TIMEOUT_US / 4 : CALL_TIMEOUT_US);
    while (!r->answered && !r->lost && s->now_us < end) {
        sim_wait(s, end - s->now_us);
    }
    struct sim_actor *a = &s->actors[from];
    bool old = r->answered && r->answer_epoch < epoch_of(s, from); /* fenced, and does not know */
    if (!r->answered || old || r->err == -HD_E_STANDBY) {
        if (a->conn == r->conn && a->meta == r->to) {
            other_meta(s, from);
        }
        remove_rpc(s, r);
        return -HD_E_CLOSED;
    }
    a->epoch = r->answer_epoch;
    *ret_lost = false;
    int err = r->err;
    if (err < 0) {
        *ret_text = hd_arena_str(sim_arena(s), r->text != NULL ? r->text : "");
    } else {
        ProtobufCAllocator allocator = hd_arena_allocator(sim_arena(s));
        *ret = protobuf_c_message_unpack(c->response, &allocator, r->answer_size, r->answer);
        hd_assert(*ret != NULL);
    }
    remove_rpc(s, r);
    return err;
}
