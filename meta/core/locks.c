/* Locks of files: the table, and the calls and pushes around it. See locks.h. */
#include "meta/core/locks.h"
#include "meta/core/caps.h"
#include "meta/core/lock_table.h"
#include "meta/core/mem.h"
#include "meta/core/op.h"
#include "meta/core/posix.h"
#include "meta/core/session.h"

/* A call that would not have waited, but for the grace period: answered when that is over. */
struct deferred {
    struct hd_list link;
    uint64_t token;
    struct hd_lock_want want;
};

struct hd_locks {
    struct hd_meta *m;
    struct hd_lock_table table;
    struct hd_list deferred;
    size_t deferred_count;
};

enum { DEFERRED_MAX = 1 << 16 };

static void wait_done(void *ctx, const struct hd_lock_want *want, int err)
{
    struct hd_locks *l = ctx;
    hd_session_push_lock(l->m, want->range.session, want->ino, want->wait_id, -err);
}

struct hd_locks *hd_locks_new(struct hd_meta *m)
{
    struct hd_locks *l = HD_MEM_NEW(struct hd_locks);
    l->m = m;
    hd_lock_table_init(&l->table, wait_done, l);
    hd_list_init(&l->deferred);
    return l;
}

static void drop_deferred(struct hd_locks *l, struct deferred *d)
{
    hd_list_remove(&d->link);
    l->deferred_count--;
    free(d);
}

void hd_locks_free(struct hd_locks *l)
{
    if (l == NULL) {
        return;
    }
    HD_LIST_FOR_SAFE(it, &l->deferred)
    {
        drop_deferred(l, HD_LIST_ENTRY(it, struct deferred, link));
    }
    hd_lock_table_done(&l->table);
    free(l);
}

void hd_locks_session_ended(struct hd_meta *m, uint64_t session)
{
    HD_LIST_FOR_SAFE(it, &m->locks->deferred)
    {
        struct deferred *d = HD_LIST_ENTRY(it, struct deferred, link);
        if (d->want.range.session == session) {
            hd_meta_answer_later(m, d->token, -HD_E_NO_SESSION, "the session has ended", NULL);
            drop_deferred(m->locks, d);
        }
    }
    hd_lock_table_drop_session(&m->locks->table, session);
}

void hd_locks_inode_gone(struct hd_meta *m, uint64_t ino)
{
    hd_lock_table_drop_file(&m->locks->table, ino, -ESTALE);
}

/* ---- requests ---- */

static bool take_want(uint64_t session, const Hdw__LockRange *q, struct hd_lock_want *ret)
{
    *ret = (struct hd_lock_want){
        .ino = q->ino,
        .flock = q->has_flock && q->flock,
        .range = {.session = session,
                  .owner = q->owner,
                  .start = q->start,
                  .end = q->end,
                  .pid = q->has_pid ? q->pid : 0,
                  .type = (uint8_t)HD_MIN(q->type, (uint32_t)HD_LOCK_NONE)},
    };
    if (ret->flock) {
        ret->range.start = 0;
        ret->range.end = UINT64_MAX;
    }
    return q->type <= HD_LOCK_NONE && ret->range.start <= ret->range.end;
}

static Hdw__SetLockResponse *lock_answer(struct hd_meta *m, bool granted)
{
    Hdw__SetLockResponse *r = HD_MSG(m, Hdw__SetLockResponse, hdw__set_lock_response);
    r->granted = granted;
    return r;
}

static int too_many(struct hd_call *c)
{
    return hd_call_fail(c, -ENOLCK, "There are too many locks");
}

/* While others may still claim what they held: the answer comes when that is over. */
static int defer(struct hd_call *c, const struct hd_lock_want *want)
{
    struct hd_locks *l = c->m->locks;
    if (l->deferred_count >= DEFERRED_MAX) {
        return too_many(c);
    }
    struct deferred *d = HD_MEM_NEW(struct deferred);
    d->token = c->event->token;
    d->want = *want;
    hd_list_push_back(&l->deferred, &d->link);
    l->deferred_count++;
    return HD_LATER;
}

static int lock(struct hd_call *c, const struct hd_lock_want *want)
{
    struct hd_locks *l = c->m->locks;
    const struct hd_inode *i = hd_ns_inode(c->ns, want->ino);
    if (i == NULL) {
        return hd_call_fail(c, -ESTALE, "The file is no more");
    }
    int err = hd_posix_may_open(c, i, 0);
    if (err < 0) {
        return err;
    }
    l->table.closed = l->table.closed || hd_caps_in_grace(c->m);
    if (l->table.closed && !want->wait && !hd_lock_table_covers(&l->table, want)) {
        return defer(c, want);
    }
    switch (hd_lock_table_lock(&l->table, want)) {
    case HD_LOCK_GRANTED:
        return hd_call_done(c, &lock_answer(c->m, true)->base);
    case HD_LOCK_REFUSED:
    case HD_LOCK_QUEUED:
        return hd_call_done(c, &lock_answer(c->m, false)->base);
    case HD_LOCK_DEADLOCK:
        return hd_call_fail(c, -EDEADLK, "Waiting for this lock would never end");
    case HD_LOCK_TOO_MANY:
        return too_many(c);
    }
    hd_unreachable();
}

int hd_op_set_lock(struct hd_call *c)
{
    const Hdw__SetLockRequest *q = c->request;
    struct hd_lock_want want;
    struct hd_session *session;
    int err = hd_session_of(c, q->session, &session);
    if (err < 0) {
        return err;
    }
    if (!take_want(q->session, q->lock, &want)) {
        return hd_call_fail(c, -EINVAL, "There is no such lock");
    }
    want.wait = q->has_wait && q->wait;
    want.wait_id = q->has_wait_id ? q->wait_id : 0;
    if (q->has_cancel && q->cancel) {
        bool granted = hd_lock_table_cancel(&c->m->locks->table, &want);
        return hd_call_done(c, &lock_answer(c->m, granted)->base);
    }
    if (want.range.type == HD_LOCK_NONE) {
        hd_lock_table_unlock(&c->m->locks->table, &want, q->has_all && q->all);
        return hd_call_done(c, &lock_answer(c->m, true)->base);
    }
    return lock(c, &want);
}

int hd_op_get_lock(struct hd_call *c)
{
    const Hdw__GetLockRequest *q = c->request;
    struct hd_lock_want want;
    struct hd_session *session;
    int err = hd_session_of(c, q->session, &session);
    if (err < 0) {
        return err;
    }
    if (!take_want(q->session, q->lock, &want) || want.range.type == HD_LOCK_NONE) {
        return hd_call_fail(c, -EINVAL, "There is no such lock");
    }
    Hdw__GetLockResponse *r = HD_MSG(c->m, Hdw__GetLockResponse, hdw__get_lock_response);
    const struct hd_lock_range *held = hd_lock_table_conflict(&c->m->locks->table, &want);
    if (held != NULL) {
        r->conflict = HD_MSG(c->m, Hdw__LockRange, hdw__lock_range);
        r->conflict->ino = want.ino;
        r->conflict->owner = held->owner;
        r->conflict->start = held->start;
        r->conflict->end = held->end;
        r->conflict->type = held->type;
        r->conflict->has_flock = true;
        r->conflict->flock = want.flock;
        r->conflict->has_pid = held->session == q->session; /* of another machine it says nothing */
        r->conflict->pid = held->pid;
    }
    return hd_call_done(c, &r->base);
}

/* ---- after a restart ---- */

int hd_locks_reclaim(struct hd_meta *m, uint64_t session, const Hdw__LockRange *lock)
{
    struct hd_lock_want want;
    if (!take_want(session, lock, &want) || want.range.type == HD_LOCK_NONE) {
        return -EINVAL;
    }
    if (hd_ns_inode(&m->ns, want.ino) == NULL) {
        return -ESTALE;
    }
    return hd_lock_table_claim(&m->locks->table, &want) ? 0 : -EAGAIN;
}

void hd_locks_grace_ended(struct hd_meta *m)
{
    struct hd_locks *l = m->locks;
    hd_lock_table_open(&l->table);
    HD_LIST_FOR_SAFE(it, &l->deferred)
    {
        struct deferred *d = HD_LIST_ENTRY(it, struct deferred, link);
        bool granted = hd_lock_table_lock(&l->table, &d->want) == HD_LOCK_GRANTED;
        hd_meta_answer_later(m, d->token, 0, NULL, &lock_answer(m, granted)->base);
        drop_deferred(l, d);
    }
}
