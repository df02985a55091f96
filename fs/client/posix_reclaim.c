/* What a session held in the life of meta before, claimed again. */
#include "fs/base/error.h"
#include "fs/client/posix_impl.h"

#include <errno.h>
#include <stdlib.h>

enum { AT_ONCE = 4096, TIMEOUT_MS = 10000 };

struct numbers {
    uint64_t *v;
    size_t count, capacity;
};

struct hd_posix_holdings {
    struct numbers orphans;
    struct numbers writing;
    struct hd_posix_lock *locks;
    size_t lock_count, lock_capacity;
};

static int add_number(struct numbers *n, uint64_t v)
{
    if (n->count == n->capacity) {
        size_t capacity = HD_MAX(n->capacity * 2, (size_t)16);
        uint64_t *grown = realloc(n->v, capacity * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        n->v = grown;
        n->capacity = capacity;
    }
    n->v[n->count++] = v;
    return 0;
}

int hd_posix_hold_orphan(struct hd_posix_holdings *h, uint64_t ino)
{
    return add_number(&h->orphans, ino);
}

int hd_posix_hold_writing(struct hd_posix_holdings *h, uint64_t ino)
{
    return add_number(&h->writing, ino);
}

int hd_posix_hold_lock(struct hd_posix_holdings *h, const struct hd_posix_lock *lock)
{
    if (h->lock_count == h->lock_capacity) {
        size_t capacity = HD_MAX(h->lock_capacity * 2, (size_t)16);
        struct hd_posix_lock *grown = realloc(h->locks, capacity * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        h->locks = grown;
        h->lock_capacity = capacity;
    }
    h->locks[h->lock_count++] = *lock;
    return 0;
}

/* The part of a list that goes with one request. */
static size_t part(size_t *at, size_t count, size_t *room)
{
    size_t n = HD_MIN(count - *at, *room);
    *at += n;
    *room -= n;
    return n;
}

static int add_locks(Hdw__ReclaimRequest *q, const struct hd_posix_lock *locks, size_t count,
                     struct hd_arena *arena)
{
    q->locks = HD_ARENA_ARRAY(arena, Hdw__LockRange *, HD_MAX(count, (size_t)1));
    if (q->locks == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        Hdw__LockRange *r = HD_ARENA_NEW(arena, Hdw__LockRange);
        if (r == NULL) {
            return -ENOMEM;
        }
        hdw__lock_range__init(r);
        r->ino = locks[i].ino;
        r->owner = locks[i].owner;
        r->start = locks[i].start;
        r->end = locks[i].end;
        r->type = locks[i].type;
        r->has_flock = r->flock = locks[i].flock;
        r->has_pid = true;
        r->pid = locks[i].pid;
        q->locks[q->n_locks++] = r;
    }
    return 0;
}

static int claim(struct hd_posix *p, const struct hd_posix_holdings *h, struct numbers *lost)
{
    size_t orphans = 0;
    size_t writing = 0;
    size_t locks = 0;
    bool done = false;
    uint64_t number = p->number;
    while (!done) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        hd_arena_init(&arena, 0);
        size_t room = AT_ONCE;
        Hdw__ReclaimRequest q = HDW__RECLAIM_REQUEST__INIT;
        Hdw__ReclaimResponse *r;
        q.client_name = p->session->client_name;
        q.session = number;
        q.orphans = h->orphans.v != NULL ? h->orphans.v + orphans : NULL;
        q.n_orphans = part(&orphans, h->orphans.count, &room);
        q.writing = h->writing.v != NULL ? h->writing.v + writing : NULL;
        q.n_writing = part(&writing, h->writing.count, &room);
        size_t first_lock = locks;
        size_t lock_count = part(&locks, h->lock_count, &room);
        int err = lock_count == 0 ? 0 : add_locks(&q, h->locks + first_lock, lock_count, &arena);
        done = orphans == h->orphans.count && writing == h->writing.count && locks == h->lock_count;
        q.has_done = q.done = done;
        err = err < 0 ? err
                      : hd_posix_call_directly(p, "reclaim", &q.base,
                                               &hdw__reclaim_response__descriptor, TIMEOUT_MS,
                                               &arena, (ProtobufCMessage **)(void *)&r);
        if (err == 0 && p->number != number) {
            err = hd_fail(-HD_E_CLOSED, "another session meanwhile");
        }
        for (size_t i = 0; err == 0 && i < r->n_lost; i++) {
            err = add_number(lost, r->lost[i]);
        }
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

int hd_posix_reclaim(struct hd_posix *p)
{
    struct hd_posix_holdings h = {0};
    struct numbers lost = {0};
    if (p->events.on_reclaim != NULL) {
        p->events.on_reclaim(p->events.ctx, &h);
    }
    int err = claim(p, &h, &lost);
    if (err == 0 && p->events.on_reclaimed != NULL) {
        p->events.on_reclaimed(p->events.ctx, lost.v, lost.count);
    }
    free(h.orphans.v);
    free(h.writing.v);
    free(h.locks);
    free(lost.v);
    return err;
}
