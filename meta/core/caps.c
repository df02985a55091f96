/*
 * What sessions know and hold of inodes: who is told of a change, and who may have the content of a
 * file. See caps.h.
 */
#include "meta/core/caps.h"
#include "meta/core/locks.h"
#include "meta/core/mem.h"
#include "meta/core/record_make.h"
#include "meta/core/session_impl.h"

/* ---- asking ---- */

static bool has_other(const struct hd_call *c, uint64_t ino, enum hd_cap cap)
{
    const struct hd_session *own = hd_call_session(c);
    for (const struct hd_known *k = hd_known_first(c->m->sessions, ino); k != NULL;
         k = hd_known_next(k)) {
        if (k->session != own && k->cap >= cap) {
            return true;
        }
    }
    return false;
}

/*
 * Of what the session knows longest something is forgotten: it is told so. What it has had open
 * stays: it may be open still.
 */
static void evict(struct hd_meta *m, struct hd_session *s)
{
    for (int n = 0; n < HD_KNOWN_EVICT; n++) {
        struct hd_known *k = HD_LIST_ENTRY(s->known.next, struct hd_known, in_session);
        hd_list_remove(&k->in_session);
        hd_list_push_back(&s->known, &k->in_session);
        if (k->grant_serial != 0 || (k->bits & ~(HD_KNOWN_ATTR | HD_KNOWN_ENTRIES)) != 0) {
            continue;
        }
        struct hd_due *due = hd_due_get(k);
        due->attr = hd_push_new(m, s, HDW__PUSH_KIND__PUSH_ATTR, k->ino)->serial;
        if ((k->bits & HD_KNOWN_ENTRIES) != 0) {
            due->entries = hd_push_new(m, s, HDW__PUSH_KIND__PUSH_ENTRIES, k->ino)->serial;
        }
        k->bits = HD_KNOWN_LEAVES | HD_KNOWN_DUE;
        return;
    }
}

bool hd_caps_know(struct hd_call *c, struct hd_inode *i)
{
    struct hd_session *s = hd_call_session(c);
    if (s == NULL || has_other(c, i->ino.v, HD_CAP_WRITE)) {
        return false; /* whoever writes it does not tell of each byte */
    }
    struct hd_known *k = hd_known_get(c->m->sessions, i->ino.v, s, HD_KNOWN_CEILING);
    if (k == NULL) {
        return false;
    }
    if (s->known_count > HD_KNOWN_MAX) {
        evict(c->m, s);
    }
    k->bits &= (uint8_t)~HD_KNOWN_LEAVES;
    k->bits |= HD_KNOWN_ATTR | (hd_inode_is_dir(i) ? HD_KNOWN_ENTRIES : 0);
    k->entry_pushes = 0;
    return true;
}

bool hd_caps_has(struct hd_call *c, const struct hd_inode *file, enum hd_cap kind)
{
    const struct hd_session *s = hd_call_session(c);
    const struct hd_known *k = s != NULL ? hd_known_find(c->m->sessions, file->ino.v, s) : NULL;
    return k != NULL && k->cap >= (uint8_t)kind;
}

bool hd_caps_knows(const struct hd_call *c, const struct hd_inode *i)
{
    const struct hd_session *s = hd_call_session(c);
    return s != NULL && hd_known_find(c->m->sessions, i->ino.v, s) != NULL;
}

bool hd_caps_elsewhere(struct hd_call *c, const struct hd_inode *file)
{
    return hd_caps_in_grace(c->m) || has_other(c, file->ino.v, HD_CAP_NONE);
}

bool hd_caps_busy(struct hd_call *c, const struct hd_inode *file)
{
    return has_other(c, file->ino.v, HD_CAP_WRITE);
}

bool hd_caps_trusted(const struct hd_call *c)
{
    const struct hd_session *s = c->superuser ? hd_call_session(c) : NULL;
    return s != NULL && s->trusted;
}

/* ---- capabilities ---- */

static void recall(struct hd_meta *m, struct hd_known *k, enum hd_cap keep)
{
    struct hd_session *s = k->session;
    struct hd_due *due = hd_due_get(k);
    if (due->recall != 0) {
        if (due->keep <= (uint8_t)keep) {
            return;
        }
        hd_push_end(m, s, hd_map_get(&s->by_serial, due->recall)); /* more is wanted back now */
    }
    struct hd_push *p = hd_push_new(m, s, HDW__PUSH_KIND__PUSH_RECALL, k->ino);
    p->keep = keep;
    due->recall = p->serial;
    due->keep = (uint8_t)keep;
}

bool hd_caps_recall_others(struct hd_meta *m, uint64_t ino, const struct hd_session *own,
                           enum hd_cap keep)
{
    bool any = false;
    for (struct hd_known *k = hd_known_first(m->sessions, ino); k != NULL; k = hd_known_next(k)) {
        if (k->session != own && k->cap > (uint8_t)keep) {
            if ((k->bits & HD_KNOWN_GRANTING) == 0) { /* else when its answer has left */
                recall(m, k, keep);
            }
            any = true;
        }
    }
    return any;
}

void hd_caps_lower(struct hd_meta *m, struct hd_known *k, enum hd_cap keep, uint64_t serial)
{
    if (serial >= k->grant_serial && k->cap > (uint8_t)keep) {
        k->cap = (uint8_t)keep;
        hd_caps_kick(m, k->ino);
    }
    struct hd_due *due = hd_due_find(k);
    if (due == NULL || due->recall == 0 || (k->cap > due->keep && serial < due->recall)) {
        return;
    }
    /* It has given back what it was asked for; or all it had when it was, and got more since. */
    hd_push_end(m, k->session, hd_map_get(&k->session->by_serial, due->recall));
    due->recall = 0;
    k->session->answered = m->now;
    hd_caps_kick(m, k->ino); /* who still waits asks again */
    hd_due_settle(m->sessions, k);
}

uint64_t hd_caps_raise(struct hd_meta *m, struct hd_known *k, enum hd_cap cap)
{
    struct hd_sessions *x = m->sessions;
    const struct hd_due *due = hd_due_find(k);
    k->cap = (uint8_t)cap;
    k->bits &= (uint8_t)~HD_KNOWN_LEAVES;
    /* What is given while a recall is under way goes back with its answer. */
    k->grant_serial = due != NULL && due->recall != 0 ? due->recall - 1 : ++k->session->serial;
    if (cap == HD_CAP_WRITE) { /* what others know of size and times is what they are now */
        HD_MEM_GROW(x->granted, x->granted_count, x->granted_capacity);
        x->granted[x->granted_count++] = k->ino;
    }
    return k->grant_serial;
}

int hd_caps_want(struct hd_call *c, struct hd_inode *file, enum hd_cap want)
{
    struct hd_meta *m = c->m;
    if (!hd_inode_is_file(file) || want == HD_CAP_NONE) {
        return 0;
    }
    uint64_t queue = file->ino.v;
    if (want == HD_CAP_WRITE && m->sessions->grace && !hd_caps_has(c, file, want)) {
        queue = HD_GRACE_QUEUE;
    } else if (!hd_caps_recall_others(m, file->ino.v, hd_call_session(c),
                                      want == HD_CAP_WRITE ? HD_CAP_NONE : HD_CAP_READ)) {
        return 0;
    }
    if (m->sessions->wait_count >= HD_WAITS_MAX) {
        return hd_call_fail(c, -HD_E_RETRIABLE, "Too many calls wait for capabilities");
    }
    c->wait_ino = queue;
    return HD_PARK;
}

bool hd_caps_grant(struct hd_call *c, struct hd_inode *file, enum hd_cap kind, uint64_t *ret_serial)
{
    struct hd_session *s = hd_call_session(c);
    struct hd_known *k = s != NULL && hd_inode_is_file(file)
                             ? hd_known_get(c->m->sessions, file->ino.v, s, HD_KNOWN_CEILING)
                             : NULL;
    *ret_serial = 0;
    if (k == NULL || has_other(c, file->ino.v, HD_CAP_READ)) {
        return false;
    }
    *ret_serial = hd_caps_raise(c->m, k, kind);
    return true;
}

void hd_caps_keep(struct hd_call *c, struct hd_inode *file, enum hd_cap keep)
{
    struct hd_session *s = hd_call_session(c);
    struct hd_known *k = s != NULL ? hd_known_find(c->m->sessions, file->ino.v, s) : NULL;
    if (k != NULL) {
        hd_caps_lower(c->m, k, keep, s->serial);
    }
}

/* ---- calls that wait ---- */

static struct hd_cap_queue *queue_of(struct hd_sessions *x, uint64_t ino)
{
    struct hd_cap_queue *q = hd_map_get(&x->queues, ino);
    if (q == NULL) {
        q = HD_MEM_NEW(struct hd_cap_queue);
        q->ino = ino;
        hd_list_init(&q->waits);
        hd_list_init(&q->kicked);
        int err = hd_map_put(&x->queues, ino, q);
        hd_assert(err == 0);
    }
    return q;
}

void hd_caps_park(struct hd_meta *m, const struct hd_call *c, struct hd_parked *p)
{
    struct hd_sessions *x = m->sessions;
    struct hd_cap_queue *q = queue_of(x, c->wait_ino);
    p->ino = c->wait_ino;
    p->deadline.v = c->wait_ms > 0 ? m->now.v + c->wait_ms : INT64_MAX;
    if (c->wait_first || x->running == q) { /* that had its place already */
        hd_list_push_front(&q->waits, &p->link);
    } else {
        hd_list_push_back(&q->waits, &p->link);
    }
    x->requeued |= x->running == q;
    x->wait_count++;
}

static void kick(struct hd_sessions *x, struct hd_cap_queue *q)
{
    hd_list_remove(&q->kicked);
    hd_list_push_back(&x->kicked, &q->kicked);
}

void hd_caps_kick(struct hd_meta *m, uint64_t ino)
{
    struct hd_sessions *x = m->sessions;
    struct hd_cap_queue *q = x->queues.count > 0 ? hd_map_get(&x->queues, ino) : NULL;
    if (q != NULL) {
        kick(x, q);
    }
}

void hd_caps_kick_all(struct hd_meta *m)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&m->sessions->queues, &cursor, &ino, &value)) {
        kick(m->sessions, value);
    }
}

bool hd_caps_is_awaited(const struct hd_sessions *x, uint64_t ino)
{
    const struct hd_cap_queue *q = x->queues.count > 0 ? hd_map_get(&x->queues, ino) : NULL;
    return q != NULL && !hd_list_empty(&q->waits);
}

void hd_caps_run_waits(struct hd_meta *m, hd_run_parked *run)
{
    struct hd_sessions *x = m->sessions;
    for (struct hd_list *it; (it = hd_list_pop_front(&x->kicked)) != NULL;) {
        struct hd_cap_queue *q = HD_LIST_ENTRY(it, struct hd_cap_queue, kicked);
        x->running = q;
        x->requeued = false;
        while (!x->requeued && !hd_list_empty(&q->waits)) {
            struct hd_parked *p = HD_LIST_ENTRY(q->waits.next, struct hd_parked, link);
            hd_list_remove(&p->link);
            x->wait_count--;
            run(m, p, m->now.v >= p->deadline.v); /* frees p */
        }
        x->running = NULL;
        if (hd_list_empty(&q->waits)) {
            hd_list_remove(&q->kicked);
            (void)hd_map_remove(&x->queues, q->ino);
            free(q);
        }
    }
}

/* Waits that are bounded: the first of a queue is looked at when its time is up. */
void hd_caps_check_waits(struct hd_meta *m)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&m->sessions->queues, &cursor, &ino, &value)) {
        struct hd_cap_queue *q = value;
        const struct hd_parked *first = HD_LIST_ENTRY(q->waits.next, struct hd_parked, link);
        if (!hd_list_empty(&q->waits) && m->now.v >= first->deadline.v) {
            kick(m->sessions, q);
        }
    }
}

/* ---- orphans ---- */

void hd_caps_orphaned(struct hd_meta *m, struct hd_inode *file, uint64_t holder_session)
{
    struct hd_sessions *x = m->sessions;
    HD_MEM_GROW(x->orphaned, x->orphaned_count, x->orphaned_capacity);
    x->orphaned[x->orphaned_count++] = (struct hd_orphaned){file->ino.v, holder_session};
}

/* Nobody knows or has anything of the inode any more. */
static void forget(struct hd_meta *m, uint64_t ino)
{
    for (struct hd_known *k = hd_known_first(m->sessions, ino), *next; k != NULL; k = next) {
        next = hd_known_next(k);
        const struct hd_due *due = hd_due_find(k);
        if (due != NULL && due->recall != 0) {
            hd_push_end(m, k->session, hd_map_get(&k->session->by_serial, due->recall));
        }
        hd_known_drop(m->sessions, k);
    }
}

void hd_caps_check_orphan(struct hd_meta *m, uint64_t ino)
{
    const struct hd_inode *file = hd_ns_inode(&m->ns, ino);
    if (file == NULL || !hd_inode_is_orphan(file) || m->sessions->grace) {
        return;
    }
    for (const struct hd_known *k = hd_known_first(m->sessions, ino); k != NULL;
         k = hd_known_next(k)) {
        if ((k->bits & (HD_KNOWN_HELD | HD_KNOWN_ASKED)) != 0) {
            return;
        }
    }
    if (m->safe.disk_full) {
        m->sessions->purge_due = true;
        return;
    }
    forget(m, ino); /* who knew it was told when its last name went */
    Hdm__PurgeOrphan op = HDM__PURGE_ORPHAN__INIT;
    op.ino = ino;
    HD_COMMIT(m, purge_orphan, PURGE_ORPHAN, &op);
}

/* ---- changes become pushes ---- */

struct telling {
    struct hd_meta *m;
    const struct hd_session *maker;
    const struct hd_meta_event *event;
    struct hd_meta_reply *reply; /* NULL: nobody waits */
    struct hd_hold *hold;        /* made with the first push */
    /*
     * 1: what is told is no change yet, but the right to one: answers as of now are not to be kept
     * either, which may be under way.
     */
    uint64_t ahead;
};

static void wait_for(struct telling *t, struct hd_push *p)
{
    if (t->reply == NULL || p == NULL) {
        return;
    }
    if (t->hold == NULL) {
        t->hold = hd_hold_new(t->m->sessions, t->reply, t->event);
    }
    hd_push_hold(p, t->hold);
}

static void tell_attr(struct telling *t, struct hd_known *k)
{
    struct hd_session *s = k->session;
    struct hd_push *p = NULL;
    if ((k->bits & HD_KNOWN_ATTR) != 0) {
        p = hd_push_new(t->m, s, HDW__PUSH_KIND__PUSH_ATTR, k->ino);
        p->txid.v += t->ahead;
        k->bits &= (uint8_t)~HD_KNOWN_ATTR;
        hd_due_get(k)->attr = p->serial;
    } else { /* as long as it has not answered it may go on with what it knew */
        const struct hd_due *due = hd_due_find(k);
        p = due != NULL && due->attr != 0 ? hd_map_get(&s->by_serial, due->attr) : NULL;
    }
    wait_for(t, p);
}

static void tell_entry(struct telling *t, struct hd_known *k, const struct hd_dentry_change *d)
{
    struct hd_session *s = k->session;
    struct hd_push *p = NULL;
    if ((k->bits & HD_KNOWN_ENTRIES) == 0) {
        const struct hd_due *due = hd_due_find(k);
        p = due != NULL && due->entries != 0 ? hd_map_get(&s->by_serial, due->entries) : NULL;
    } else if (++k->entry_pushes > HD_ENTRY_PUSHES_MAX) {
        p = hd_push_new(t->m, s, HDW__PUSH_KIND__PUSH_ENTRIES, k->ino);
        k->bits &= (uint8_t)~HD_KNOWN_ENTRIES;
        hd_due_get(k)->entries = p->serial;
    } else {
        p = hd_push_new(t->m, s, HDW__PUSH_KIND__PUSH_ENTRY, k->ino);
        p->name = hd_mem_str(d->name, d->name_size);
        p->name_size = d->name_size;
        p->child = d->was.v;
    }
    wait_for(t, p);
}

static void tell_inode(struct telling *t, uint64_t ino)
{
    for (struct hd_known *k = hd_known_first(t->m->sessions, ino); k != NULL;
         k = hd_known_next(k)) {
        if (k->session != t->maker) {
            tell_attr(t, k);
        }
    }
}

static void tell_gone(struct telling *t, uint64_t ino)
{
    hd_locks_inode_gone(t->m, ino);
    hd_caps_kick(t->m, ino);
    tell_inode(t, ino);
    forget(t->m, ino);
}

/* Of a file without a name each session that knows it is asked whether it is open there. */
static void ask_around(struct telling *t, const struct hd_orphaned *o)
{
    struct hd_sessions *x = t->m->sessions;
    struct hd_session *holder = o->holder != 0 ? hd_session_find(x, o->holder) : NULL;
    if (holder != NULL) {
        struct hd_known *k = hd_known_get(x, o->ino, holder, SIZE_MAX);
        k->bits |= HD_KNOWN_HELD;
    }
    for (struct hd_known *k = hd_known_first(x, o->ino); k != NULL; k = hd_known_next(k)) {
        if (k->session != holder && k->session != t->maker) {
            struct hd_push *p = hd_push_new(t->m, k->session, HDW__PUSH_KIND__PUSH_GONE, o->ino);
            k->bits |= HD_KNOWN_ASKED;
            k->bits &= (uint8_t)~HD_KNOWN_ATTR;
            hd_due_get(k)->attr = p->serial;
            wait_for(t, p);
        }
    }
    hd_caps_check_orphan(t->m, o->ino);
}

/* A file that is closed now may be what somebody waits for. */
static void look_at_waits(struct hd_meta *m, uint64_t ino)
{
    if (m->sessions->queues.count > 0) {
        const struct hd_inode *i = hd_ns_inode(&m->ns, ino);
        if (i != NULL && !hd_inode_is_open(i)) {
            hd_caps_kick(m, ino);
        }
    }
}

/* A recall must not overtake the grant by as long as others take to answer. */
static void note_granting(struct telling *t, uint64_t ino)
{
    struct hd_known *k = hd_known_find(t->m->sessions, ino, t->maker);
    if (k != NULL) {
        k->bits |= HD_KNOWN_GRANTING;
        t->hold->granted_to = t->maker->number;
        t->hold->granted_ino = ino;
    }
}

void hd_caps_changes(struct hd_meta *m, const struct hd_meta_event *event,
                     struct hd_meta_reply *reply)
{
    struct hd_sessions *x = m->sessions;
    const struct hd_view_changes *v = &m->ns.view;
    if (hd_list_empty(&x->all)) {
        x->purge_due |= x->orphaned_count > 0; /* nobody is there to have them open */
        x->orphaned_count = x->granted_count = 0;
        return;
    }
    struct telling t = {.m = m, .event = event, .reply = reply};
    t.maker = event != NULL ? hd_session_of_event(x, event) : NULL;
    for (size_t n = 0; n < x->orphaned_count; n++) {
        ask_around(&t, &x->orphaned[n]);
    }
    t.reply = x->writeback ? NULL : reply;
    t.ahead = 1;
    for (size_t n = 0; n < x->granted_count; n++) {
        tell_inode(&t, x->granted[n]);
    }
    t.ahead = 0;
    t.reply = reply;
    x->writeback = false;
    for (size_t n = 0; n < v->dentry_count; n++) {
        for (struct hd_known *k = hd_known_first(x, v->dentries[n].parent.v); k != NULL;
             k = hd_known_next(k)) {
            if (k->session != t.maker) {
                tell_entry(&t, k, &v->dentries[n]);
            }
        }
    }
    for (size_t n = 0; n < v->changed_count; n++) {
        tell_inode(&t, v->changed[n].v);
        look_at_waits(m, v->changed[n].v);
    }
    for (size_t n = 0; n < v->gone_count; n++) {
        tell_gone(&t, v->gone[n].v);
    }
    if (t.hold != NULL && t.maker != NULL && x->granted_count > 0) {
        note_granting(&t, x->granted[0]);
    }
    x->orphaned_count = x->granted_count = 0;
    if (t.hold != NULL) {
        hd_assert(reply == &m->fx->replies[m->fx->reply_count - 1]);
        m->fx->reply_count--; /* it leaves with the last answer */
    }
}
