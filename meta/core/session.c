/* Sessions begin, are waited for after a restart, and end. See session.h. */
#include "meta/core/session.h"
#include "meta/core/locks.h"
#include "meta/core/mem.h"
#include "meta/core/record_make.h"
#include "meta/core/session_impl.h"

int64_t hd_session_lease_ms(const struct hd_meta *m)
{
    return m->o.session_lease_ms > 0 ? m->o.session_lease_ms : HD_SESSION_LEASE_MS;
}

/* ---- finding ---- */

struct hd_session *hd_session_find(const struct hd_sessions *x, uint64_t number)
{
    return hd_map_get(&x->by_number, number);
}

struct hd_session *hd_session_named(const struct hd_sessions *x, const char *name)
{
    return hd_strmap_get(&x->by_name, name, strlen(name));
}

struct hd_session *hd_session_of_event(const struct hd_sessions *x,
                                       const struct hd_meta_event *event)
{
    struct hd_session *s = event->session != 0 ? hd_session_find(x, event->session) : NULL;
    return s != NULL && strcmp(s->user, event->user) == 0 ? s : NULL; /* it is nobody else's */
}

struct hd_session *hd_call_session(const struct hd_call *c)
{
    return hd_session_of_event(c->m->sessions, c->event);
}

int hd_session_of(struct hd_call *c, uint64_t number, struct hd_session **ret)
{
    *ret = number == c->event->session ? hd_call_session(c) : NULL;
    return *ret != NULL ? 0
                        : hd_call_fail(c, -HD_E_NO_SESSION,
                                       "Session %llu has ended, or is not this connection's",
                                       (unsigned long long)number);
}

uint64_t hd_session_number(const struct hd_session *s)
{
    return s->number;
}

const char *hd_session_name(const struct hd_session *s)
{
    return s->name;
}

bool hd_session_is_live(const struct hd_meta *m, uint64_t number)
{
    return hd_session_find(m->sessions, number) != NULL;
}

void hd_session_push_lock(struct hd_meta *m, uint64_t number, uint64_t ino, uint64_t wait_id,
                          int error)
{
    struct hd_session *s = hd_session_find(m->sessions, number);
    if (s != NULL) {
        struct hd_push *p = hd_push_new(m, s, HDW__PUSH_KIND__PUSH_LOCK, ino);
        p->wait_id = wait_id;
        p->error = error;
    }
}

/* ---- the beginning ---- */

static void record(struct hd_meta *m, const char *name, const char *machine, bool ended)
{
    Hdm__Session op = HDM__SESSION__INIT;
    op.client_name = hd_unconst(name);
    op.has_ended = op.ended = ended;
    op.machine = hd_unconst(machine);
    HD_COMMIT(m, session, SESSION, &op);
}

static char *own(const char *text)
{
    return hd_mem_str(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

static void forget_awaited(struct hd_awaited *a)
{
    hd_list_remove(&a->link);
    free(a->name);
    free(a);
}

static struct hd_awaited *awaited_named(const struct hd_sessions *x, const char *name)
{
    HD_LIST_FOR(it, &x->awaited)
    {
        struct hd_awaited *a = HD_LIST_ENTRY(it, struct hd_awaited, link);
        if (strcmp(a->name, name) == 0) {
            return a;
        }
    }
    return NULL;
}

struct hd_session *hd_session_begin(struct hd_call *c, const char *name)
{
    struct hd_meta *m = c->m;
    struct hd_sessions *x = m->sessions;
    struct hd_awaited *awaited = awaited_named(x, name);
    record(m, name, c->event->peer_host, false);
    struct hd_session *s = HD_MEM_NEW(struct hd_session);
    s->number = m->ns.txid.v; /* of the record: nobody ever had it */
    s->name = own(name);
    s->user = own(c->event->user);
    s->machine = own(c->event->peer_host);
    s->trusted = c->superuser;
    s->heard = s->answered = m->now;
    if (awaited != NULL) {
        forget_awaited(awaited);
        s->reclaiming = true;
        s->reclaim_until.v = m->now.v + hd_session_lease_ms(m);
    }
    hd_list_init(&s->tell);
    hd_list_init(&s->pushes);
    hd_list_init(&s->known);
    hd_map_init(&s->by_serial);
    hd_map_init(&s->dues);
    hd_list_push_back(&x->all, &s->link);
    int err = hd_map_put(&x->by_number, s->number, s);
    hd_assert(err == 0);
    err = hd_strmap_put(&x->by_name, name, strlen(name), s);
    hd_assert(err == 0);
    hd_meta_trace(m, "session %llu began: %s on %s%s", (unsigned long long)s->number, name,
                  s->machine, s->reclaiming ? ", reclaims" : "");
    return s;
}

/* ---- grace ---- */

bool hd_caps_in_grace(const struct hd_meta *m)
{
    return m->sessions->grace;
}

static bool is_waited_for(const struct hd_sessions *x)
{
    if (!hd_list_empty(&x->awaited)) {
        return true;
    }
    HD_LIST_FOR(it, &x->all)
    {
        if (HD_LIST_ENTRY(it, struct hd_session, link)->reclaiming) {
            return true;
        }
    }
    return false;
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Orphans that nobody holds, in the order of their numbers: the same in every run. */
static void purge_orphans(struct hd_meta *m)
{
    size_t count = 0;
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    uint64_t *inos = hd_mem_new(sizeof(*inos) * (m->ns.orphans.count + 1));
    while (hd_map_next(&m->ns.orphans, &cursor, &ino, &value)) {
        inos[count++] = ino;
    }
    qsort(inos, count, sizeof(*inos), compare_inos);
    m->sessions->purge_due = false;
    for (size_t n = 0; n < count; n++) {
        hd_caps_check_orphan(m, inos[n]);
    }
    free(inos);
}

static void check_grace(struct hd_meta *m)
{
    struct hd_sessions *x = m->sessions;
    if (!x->grace || is_waited_for(x)) {
        return;
    }
    x->grace = false;
    purge_orphans(m);
    hd_locks_grace_ended(m);
    hd_caps_kick(m, HD_GRACE_QUEUE);
}

void hd_session_reclaimed(struct hd_meta *m, struct hd_session *s)
{
    s->reclaiming = false;
    check_grace(m);
}

void hd_sessions_start(struct hd_meta *m)
{
    struct hd_sessions *x = m->sessions;
    size_t cursor = 0;
    const char *name;
    void *machine;
    while (hd_strmap_next(&m->ns.session_records.by_name, &cursor, &name, &machine)) {
        struct hd_awaited *a = HD_MEM_NEW(struct hd_awaited);
        a->name = own(name);
        a->until.v = m->now.v + hd_session_lease_ms(m);
        hd_list_push_back(&x->awaited, &a->link);
        x->grace = true;
    }
    x->purge_due = m->ns.orphans.count > 0;
}

/* ---- the end ---- */

static void end_durably(struct hd_meta *m, const char *name)
{
    if (!m->safe.disk_full) { /* else the next process waits for it once more */
        record(m, name, NULL, true);
        hd_leases_holder_gone(m, name); /* not when an HDFS lease would have expired */
    }
}

static void session_free(struct hd_session *s)
{
    hd_map_done(&s->by_serial);
    hd_map_done(&s->dues);
    free(s->name);
    free(s->user);
    free(s->machine);
    free(s);
}

/* Everything it knew and held; what was held of orphans is checked by the caller. */
static void drop_known(struct hd_meta *m, struct hd_session *s)
{
    while (!hd_list_empty(&s->known)) {
        hd_known_drop(m->sessions, HD_LIST_ENTRY(s->known.next, struct hd_known, in_session));
    }
    while (!hd_list_empty(&s->pushes)) {
        hd_push_end(m, s, HD_LIST_ENTRY(s->pushes.next, struct hd_push, link));
    }
}

void hd_session_end(struct hd_meta *m, struct hd_session *s, const char *why)
{
    struct hd_sessions *x = m->sessions;
    hd_meta_trace(m, "session %llu ended: %s on %s: %s", (unsigned long long)s->number, s->name,
                  s->machine, why);
    hd_list_remove(&s->link);
    hd_list_remove(&s->tell);
    (void)hd_map_remove(&x->by_number, s->number);
    (void)hd_strmap_remove(&x->by_name, s->name, strlen(s->name));
    if (s->poll_token != 0) {
        hd_meta_answer_later(m, s->poll_token, -HD_E_NO_SESSION, "The session has ended", NULL);
    }
    drop_known(m, s);
    hd_locks_session_ended(m, s->number);
    end_durably(m, s->name);
    x->purge_due = m->ns.orphans.count > 0;
    hd_caps_kick_all(m);
    session_free(s);
    check_grace(m);
}

void hd_sessions_closed(struct hd_meta *m, uint64_t conn_id)
{
    HD_LIST_FOR(it, &m->sessions->all)
    {
        struct hd_session *s = HD_LIST_ENTRY(it, struct hd_session, link);
        if (s->poll_conn == conn_id) {
            s->poll_conn = 0;
            s->closed = m->now;
            if (s->poll_token != 0) { /* nobody reads it, but the call is kept for it */
                hd_meta_answer_later(m, s->poll_token, -HD_E_NO_SESSION, "", NULL);
                s->poll_token = 0;
            }
        }
    }
}

/* Why the session cannot go on; NULL: it can. */
static const char *time_is_up(const struct hd_meta *m, const struct hd_session *s)
{
    int64_t lease_ms = hd_session_lease_ms(m);
    if (s->closed.v != 0 && hd_meta_past(m, s->closed, HD_SESSION_CLOSED_MS)) {
        return "its connection closed";
    }
    if (hd_meta_past(m, s->heard, lease_ms)) {
        return "it has not polled for too long";
    }
    if (s->by_serial.count > HD_PUSHES_MAX) {
        return "it does not answer as fast as things change";
    }
    HD_LIST_FOR(it, &s->pushes)
    {
        const struct hd_push *p = HD_LIST_ENTRY(it, struct hd_push, link);
        if (p->kind == HDW__PUSH_KIND__PUSH_RECALL) {
            if (hd_meta_past(m, p->made, HD_RECALL_MAX_MS)) {
                return "it does not give a capability back";
            }
        } else if (hd_meta_past(m, p->made, lease_ms)) {
            bool moves = !hd_meta_past(m, s->answered, lease_ms);
            return moves && !hd_meta_past(m, p->made, lease_ms * 6) ? NULL
                                                                    : "it leaves a push unanswered";
        } else {
            break; /* those behind it are younger */
        }
    }
    return NULL;
}

void hd_sessions_check(struct hd_meta *m)
{
    struct hd_sessions *x = m->sessions;
    HD_LIST_FOR_SAFE(it, &x->all)
    {
        struct hd_session *s = HD_LIST_ENTRY(it, struct hd_session, link);
        const char *why = time_is_up(m, s);
        if (why != NULL) {
            hd_session_end(m, s, why);
            continue;
        }
        if (s->reclaiming && m->now.v >= s->reclaim_until.v) {
            s->reclaiming = false;
        }
        hd_push_deliver(m, s);
    }
    HD_LIST_FOR_SAFE(it, &x->awaited)
    {
        struct hd_awaited *a = HD_LIST_ENTRY(it, struct hd_awaited, link);
        if (m->now.v < a->until.v) {
            continue;
        }
        hd_meta_trace(m, "session of %s did not come back", a->name);
        end_durably(m, a->name);
        forget_awaited(a);
    }
    check_grace(m);
    if (x->purge_due && !x->grace && !m->safe.disk_full) {
        purge_orphans(m);
    }
}

void hd_sessions_step_end(struct hd_meta *m)
{
    struct hd_sessions *x = m->sessions;
    for (struct hd_list *it; (it = hd_list_pop_front(&x->to_tell)) != NULL;) {
        hd_push_deliver(m, HD_LIST_ENTRY(it, struct hd_session, tell));
    }
}

/* ---- as part of struct hd_meta ---- */

struct hd_sessions *hd_sessions_new(void)
{
    struct hd_sessions *x = HD_MEM_NEW(struct hd_sessions);
    hd_list_init(&x->all);
    hd_list_init(&x->to_tell);
    hd_list_init(&x->holds);
    hd_list_init(&x->awaited);
    hd_list_init(&x->kicked);
    hd_map_init(&x->by_number);
    hd_strmap_init(&x->by_name);
    hd_map_init(&x->queues);
    return x;
}

void hd_sessions_free(struct hd_meta *m)
{
    struct hd_sessions *x = m->sessions;
    HD_LIST_FOR_SAFE(it, &x->all)
    {
        struct hd_session *s = HD_LIST_ENTRY(it, struct hd_session, link);
        drop_known(m, s);
        session_free(s);
    }
    HD_LIST_FOR_SAFE(it, &x->awaited)
    {
        forget_awaited(HD_LIST_ENTRY(it, struct hd_awaited, link));
    }
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&x->queues, &cursor, &ino, &value)) {
        struct hd_cap_queue *q = value;
        HD_LIST_FOR_SAFE(it, &q->waits)
        {
            struct hd_parked *p = HD_LIST_ENTRY(it, struct hd_parked, link);
            hd_arena_done(&p->arena);
            free(p);
        }
        free(q);
    }
    hd_map_done(&x->queues);
    hd_map_done(&x->by_number);
    hd_strmap_done(&x->by_name);
    free(x->buckets);
    free(x->orphaned);
    free(x->granted);
    free(x);
    m->sessions = NULL;
}
