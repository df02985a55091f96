/* Claims: the table, operations, capabilities got. See claim.h; giving back is claim_yield.c. */
#include "fs/mount/claim.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum { TRIM_AT_ONCE = 64, MEMORY_POLL_MS = 2, ARENA_MAX_BYTES = 64 << 20 };

/* ---- the table ---- */

int hd_claims_new(struct hd_claims **ret)
{
    struct hd_claims *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&t->lock, NULL);
    hd_map_init(&t->by_id);
    hd_list_init(&t->idle);
    hd_list_init(&t->dirty);
    *ret = t;
    return 0;
}

static void free_claim(struct hd_claim *c)
{
    hd_content_free(c->content);
    free(c->newborn);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

void hd_claims_free(struct hd_claims *t)
{
    if (t == NULL) {
        return;
    }
    uint64_t id;
    void *claim;
    for (size_t i = 0; hd_map_next(&t->by_id, &i, &id, &claim);) {
        free_claim(claim);
    }
    hd_map_done(&t->by_id);
    pthread_mutex_destroy(&t->lock);
    free(t);
}

static struct hd_claim *new_claim(uint64_t id)
{
    struct hd_claim *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return NULL;
    }
    c->id = id;
    c->held = HDW__CAP_KIND__CAP_NONE;
    hd_list_init(&c->idle);
    hd_list_init(&c->dirty);
    pthread_mutex_init(&c->lock, NULL);
    hd_clock_cond_init(&c->changed);
    return c;
}

void hd_claim_pin(struct hd_claims *t, struct hd_claim *c)
{
    if (c->pins++ == 0 && !hd_list_empty(&c->idle)) {
        hd_list_remove(&c->idle);
        t->idle_count--;
    }
}

struct hd_claim *hd_claim_find(struct hd_mount *m, uint64_t id)
{
    struct hd_claims *t = m->claims;
    if (t == NULL) {
        return NULL; /* an event before everything is there */
    }
    pthread_mutex_lock(&t->lock);
    struct hd_claim *c = hd_map_get(&t->by_id, id);
    if (c != NULL) {
        hd_claim_pin(t, c);
    }
    pthread_mutex_unlock(&t->lock);
    return c;
}

struct hd_claim *hd_claim_get(struct hd_mount *m, uint64_t id)
{
    struct hd_claims *t = m->claims;
    pthread_mutex_lock(&t->lock);
    struct hd_claim *c = hd_map_get(&t->by_id, id);
    if (c == NULL && (c = new_claim(id)) != NULL && hd_map_put(&t->by_id, id, c) < 0) {
        free_claim(c);
        c = NULL;
    }
    if (c != NULL) {
        hd_claim_pin(t, c);
    }
    pthread_mutex_unlock(&t->lock);
    return c;
}

void hd_claim_put(struct hd_mount *m, struct hd_claim *c)
{
    if (c == NULL) {
        return;
    }
    struct hd_claims *t = m->claims;
    pthread_mutex_lock(&t->lock);
    bool gone = --c->pins == 0 &&
                (c->dropped || (c->held == HDW__CAP_KIND__CAP_NONE && hd_list_empty(&c->dirty)));
    if (gone) {
        hd_list_remove(&c->dirty);
        hd_map_remove(&t->by_id, c->id);
        atomic_fetch_sub(&t->held_bytes, c->held_bytes);
    } else if (c->pins == 0) {
        hd_list_push_back(&t->idle, &c->idle);
        t->idle_count++;
    }
    pthread_mutex_unlock(&t->lock);
    if (gone) {
        free_claim(c);
    }
}

size_t hd_claims_dirty(struct hd_mount *m, struct hd_claim **out, size_t max)
{
    struct hd_claims *t = m->claims;
    size_t count = 0;
    pthread_mutex_lock(&t->lock);
    HD_LIST_FOR(it, &t->dirty)
    {
        if (count == max) {
            break;
        }
        out[count] = HD_LIST_ENTRY(it, struct hd_claim, dirty);
        hd_claim_pin(t, out[count++]);
    }
    pthread_mutex_unlock(&t->lock);
    return count;
}

void hd_claims_trim(struct hd_mount *m)
{
    struct hd_claims *t = m->claims;
    for (int i = 0; i < TRIM_AT_ONCE; i++) {
        struct hd_claim *c = NULL;
        pthread_mutex_lock(&t->lock);
        if (t->idle_count > HD_CLAIM_IDLE_MAX) {
            c = HD_LIST_ENTRY(t->idle.next, struct hd_claim, idle);
            hd_claim_pin(t, c);
        }
        pthread_mutex_unlock(&t->lock);
        if (c == NULL) {
            return;
        }
        hd_claim_yield(m, c, HDW__CAP_KIND__CAP_NONE, 0);
        hd_claim_put(m, c);
    }
}

/* ---- what was written and is not settled ---- */

/* In and out of the list, and what is counted of its memory. Wants the claim's lock. */
static void note_dirty(struct hd_mount *m, struct hd_claim *c)
{
    struct hd_claims *t = m->claims;
    bool dirty = hd_claim_has_to_settle(c);
    size_t held = dirty ? hd_content_held_bytes(c->content) : 0;
    if (held > c->held_bytes) {
        atomic_fetch_add(&t->held_bytes, held - c->held_bytes);
    } else {
        atomic_fetch_sub(&t->held_bytes, c->held_bytes - held);
    }
    c->held_bytes = held;
    if (dirty == c->dirty_noted) {
        return;
    }
    c->dirty_noted = dirty;
    c->dirty_since_ms = dirty ? hd_clock_mono_ms().v : 0;
    pthread_mutex_lock(&t->lock);
    hd_list_remove(&c->dirty);
    if (dirty) {
        hd_list_push_back(&t->dirty, &c->dirty);
    }
    pthread_mutex_unlock(&t->lock);
}

/* getattr answers from the content while it knows better than meta. Wants the claim's lock. */
static void cast_shadow(struct hd_claim *c)
{
    const struct hd_newborn *b = c->newborn;
    bool shadows = c->held == HDW__CAP_KIND__CAP_WRITE && c->content != NULL && c->dirty_noted;
    if (!shadows) {
        atomic_store(&c->written_bytes, 0);
    } else {
        atomic_store(&c->size_bytes, hd_content_size(c->content));
        atomic_store(&c->mtime_ns, b != NULL && b->change.has_mtime
                                       ? b->change.mtime_ns
                                       : hd_content_mtime_ns(c->content));
    }
    atomic_store(&c->told, false);
    atomic_store(&c->shadows, shadows);
}

void hd_claim_note(struct hd_mount *m, struct hd_claim *c)
{
    note_dirty(m, c);
    cast_shadow(c);
}

void hd_claim_wrote(struct hd_mount *m, struct hd_claim *c, size_t size)
{
    atomic_fetch_add(&c->written_bytes, size);
    pthread_mutex_lock(&c->lock);
    c->written = true;
    if (c->newborn != NULL) {
        c->newborn->change.has_mtime = c->newborn->change.mtime_now = false; /* it is older now */
    }
    hd_claim_note(m, c);
    pthread_mutex_unlock(&c->lock);
}

void hd_claim_failed(struct hd_claim *c, int err)
{
    hd_log_error("write failed", "inode=%" PRIu64 " error=%s text=\"%s\"", c->id,
                 hd_error_name(err), hd_fail_describe(err));
    c->write_error = err;
    c->error_count++;
}

void hd_claim_spread(struct hd_claim *c, int err)
{
    bool lost = err < 0 && hd_error_errno(err) == EIO; /* else it is of the call's own wish */
    if (lost) {
        pthread_mutex_lock(&c->lock);
        hd_claim_failed(c, err);
        pthread_mutex_unlock(&c->lock);
    }
}

int hd_claim_wait_memory(struct hd_mount *m, struct hd_claim *c)
{
    struct hd_claims *t = m->claims;
    if (atomic_load(&t->held_bytes) < m->options->memory_bytes) {
        return 0;
    }
    int64_t deadline = hd_clock_mono_ms().v + m->options->retry_s * 1000;
    int rc = hd_claim_flush(m, c, false);
    while (rc == 0 && atomic_load(&t->held_bytes) >= m->options->memory_bytes) {
        struct hd_claim *others[TRIM_AT_ONCE];
        size_t count = hd_claims_dirty(m, others, TRIM_AT_ONCE);
        for (size_t i = 0; i < count; i++) {
            pthread_mutex_lock(&others[i]->lock);
            note_dirty(m, others[i]);
            pthread_mutex_unlock(&others[i]->lock);
            hd_claim_put(m, others[i]);
        }
        if (hd_clock_mono_ms().v > deadline) {
            return hd_fail(-EIO, "written bytes cannot be sent: %zu wait",
                           atomic_load(&t->held_bytes));
        }
        hd_clock_sleep_ms(MEMORY_POLL_MS);
    }
    return rc;
}

/* ---- capabilities ---- */

static int take_layout(struct hd_mount *m, struct hd_claim *c, const Hdw__AcquireResponse *a)
{
    if (c->spoiled) {
        hd_content_free(HD_TAKE_PTR(c->content));
        c->spoiled = false;
    }
    if (c->content == NULL) {
        return hd_content_new(m->posix, c->id, a, &c->content);
    }
    return hd_content_layout(c->content, a);
}

void hd_claim_be_alone(struct hd_claim *c)
{
    c->alone_wanted++;
    while (c->busy > 0 || c->alone) {
        pthread_cond_wait(&c->changed, &c->lock);
    }
    c->alone = true;
}

void hd_claim_be_with_others(struct hd_claim *c)
{
    c->alone_wanted--;
    c->alone = false;
    pthread_cond_broadcast(&c->changed);
}

void hd_claim_give_way(struct hd_mount *m, struct hd_claim *c)
{
    uint64_t serial = c->recall_serial != 0 ? c->recall_serial : c->serial;
    hd_assert(c->held == HDW__CAP_KIND__CAP_READ);
    c->held = HDW__CAP_KIND__CAP_NONE;
    c->current = false;
    c->recall_turn++; /* who drops pages finds out, and leaves the claim alone */
    c->recalling = false;
    c->gated = false;
    pthread_cond_broadcast(&c->changed);
    c->dealt_serial = HD_MAX(c->dealt_serial, serial);
    pthread_mutex_unlock(&c->lock);
    (void)hd_posix_release(m->posix, c->id, HDW__CAP_KIND__CAP_NONE, serial);
    pthread_mutex_lock(&c->lock);
}

/*
 * 0: tried, look again; 1: to be used for one operation only; or an error. made: a file that was
 * just made, whose recall may have come before its claim was there. Wants the lock.
 */
static int take_grant(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind kind,
                      const Hdw__AcquireResponse *a, bool with_blocks, bool made)
{
    uint64_t dealt = HD_MAX(c->dealt_serial, made ? atomic_load(&m->claims->stray) : 0);
    bool is_void = a->has_serial && a->serial < dealt;
    bool kept = !is_void && a->granted != HDW__CAP_KIND__CAP_NONE;
    int rc = 0;
    if (!with_blocks && !c->current) {
        return 0; /* what was known when the call was made has been given away meanwhile */
    }
    if (with_blocks && (kept || kind == HDW__CAP_KIND__CAP_READ)) {
        hd_claim_be_alone(c);
        rc = take_layout(m, c, a);
        hd_claim_be_with_others(c);
    }
    if (rc < 0) {
        return rc;
    }
    if (kept) {
        c->held = HD_MAX(c->held, a->granted);
        c->serial = a->serial;
        c->current = true;
        return 0;
    }
    if (is_void) {
        c->dealt_serial = dealt; /* the next one may still be as old */
        return 0;
    }
    return kind == HDW__CAP_KIND__CAP_READ
               ? 1
               : hd_fail(-ETXTBSY, "inode %" PRIu64 " is being written by an HDFS client", c->id);
}

static int acquire(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind kind, bool page)
{
    struct hd_posix_acquire ask = {.want = kind};
    Hdw__AcquireResponse *a = NULL;
    struct hd_posix_as_of as_of = {0};
    struct hd_arena arena;
    bool plain_write = kind == HDW__CAP_KIND__CAP_WRITE && !page;
    c->acquiring++;
    c->acquiring_write = c->acquiring_write || plain_write;
    if (c->recalling && c->held == HDW__CAP_KIND__CAP_READ && plain_write) {
        hd_claim_give_way(m, c);
    }
    ask.blocks = !c->current;
    ask.writeback = page && c->recalling;
    pthread_mutex_unlock(&c->lock);
    hd_arena_init(&arena, ARENA_MAX_BYTES);
    int rc = hd_posix_acquire(m->posix, c->id, &ask, &arena, &a, &as_of);
    pthread_mutex_lock(&c->lock);
    if (rc == 0 && as_of.era == hd_posix_era(m->posix)) { /* else it went with its session */
        rc = take_grant(m, c, kind, a, ask.blocks, false);
    }
    c->acquiring--;
    if (plain_write) {
        c->acquiring_write = false;
    }
    hd_arena_done(&arena);
    pthread_cond_broadcast(&c->changed);
    return rc;
}

/* Waits at the gate; on trial no longer than that lasts. */
static bool is_kept_out(const struct hd_claim *c)
{
    return c->gated && (c->trial_until_ms == 0 || hd_clock_mono_ms().v < c->trial_until_ms);
}

static void wait_a_while(struct hd_claim *c)
{
    if (!c->gated || c->trial_until_ms == 0) {
        pthread_cond_wait(&c->changed, &c->lock);
        return;
    }
    struct timespec t = {.tv_sec = c->trial_until_ms / 1000,
                         .tv_nsec = c->trial_until_ms % 1000 * 1000000};
    (void)pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

int hd_claim_enter(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind kind, bool page,
                   struct hd_content **ret)
{
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    while (rc == 0) {
        if (c->dropped) {
            rc = -ESTALE;
        } else if (c->alone_wanted > 0 || is_kept_out(c)) {
            wait_a_while(c);
        } else if (c->held >= kind && c->current) {
            break;
        } else if (c->acquiring > 0 && !(page && c->recalling)) {
            pthread_cond_wait(&c->changed, &c->lock);
        } else {
            rc = acquire(m, c, kind, page);
        }
    }
    if (rc >= 0) {
        c->busy++;
        *ret = c->content;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

static void note_touched(struct hd_claim *c, struct hd_claim_range r)
{
    if (r.to <= r.from || !c->recalling) {
        return;
    }
    if (c->touched_count < HD_CLAIM_RANGES) {
        c->touched[c->touched_count] = r;
    }
    c->touched_count = HD_MIN(c->touched_count + 1, (uint32_t)HD_CLAIM_RANGES + 1);
}

void hd_claim_leave(struct hd_mount *m, struct hd_claim *c, struct hd_claim_range touched)
{
    (void)m;
    pthread_mutex_lock(&c->lock);
    hd_assert(c->busy > 0);
    note_touched(c, touched);
    if (--c->busy == 0 && (c->alone_wanted > 0 || c->recalling)) {
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
}

int hd_claim_adopt(struct hd_mount *m, struct hd_claim *c, const struct hd_posix_attr *attr,
                   uint64_t serial)
{
    Hdw__PosixAttr pa = HDW__POSIX_ATTR__INIT;
    Hdw__AcquireResponse a = HDW__ACQUIRE_RESPONSE__INIT;
    char user[HD_POSIX_USER_BYTES];
    char group[HD_POSIX_USER_BYTES];
    memcpy(user, attr->user, sizeof(user));
    memcpy(group, attr->group, sizeof(group));
    pa.ino = attr->ino;
    pa.mode = attr->mode;
    pa.nlink = attr->nlink;
    pa.user = user;
    pa.group = group;
    pa.size = attr->size_bytes;
    pa.mtime_ns = attr->mtime_ns;
    pa.atime_ns = attr->atime_ns;
    pa.ctime_ns = attr->ctime_ns;
    pa.has_block_size = attr->block_size_bytes != 0;
    pa.block_size = attr->block_size_bytes;
    pa.has_replication = attr->replication != 0;
    pa.replication = attr->replication;
    pa.has_has_quota = pa.has_quota = attr->has_quota;
    a.granted = HDW__CAP_KIND__CAP_WRITE;
    a.attr = &pa;
    a.has_serial = serial != 0;
    a.serial = serial;
    struct hd_newborn *b = calloc(1, sizeof(*b));
    if (b != NULL) {
        b->attr = *attr;
        b->attr.target = NULL;
    }
    pthread_mutex_lock(&c->lock);
    bool same = attr->as_of.era == hd_posix_era(m->posix); /* else it went with its session */
    int rc = same ? take_grant(m, c, HDW__CAP_KIND__CAP_WRITE, &a, true, true) : 0;
    if (rc == 0 && c->held == HDW__CAP_KIND__CAP_WRITE) {
        c->newborn = HD_TAKE_PTR(b);
    }
    pthread_mutex_unlock(&c->lock);
    free(b);
    return rc < 0 ? rc : 0;
}

/* ---- settling and flushing ---- */

/* Adds to what waits for the first settle. */
static void merge_change(struct hd_newborn *b, const struct hd_posix_change *change)
{
    struct hd_posix_change *c = &b->change;
    if (change == NULL) {
        return;
    }
    if (change->has_mode) {
        c->has_mode = true;
        c->mode = b->attr.mode = (b->attr.mode & S_IFMT) | (change->mode & 07777);
        c->mode &= 07777;
    }
    if (change->user != NULL) {
        snprintf(b->user, sizeof(b->user), "%s", change->user);
        memcpy(b->attr.user, b->user, sizeof(b->user));
        c->user = b->user;
    }
    if (change->group != NULL) {
        snprintf(b->group, sizeof(b->group), "%s", change->group);
        memcpy(b->attr.group, b->group, sizeof(b->group));
        c->group = b->group;
    }
    int64_t now_ns = hd_clock_wall_ms().v * 1000000;
    if (change->has_mtime || change->mtime_now) {
        c->has_mtime = true;
        c->mtime_ns = b->attr.mtime_ns = change->mtime_now ? now_ns : change->mtime_ns;
    }
    if (change->has_atime || change->atime_now) {
        c->has_atime = true;
        c->atime_ns = b->attr.atime_ns = change->atime_now ? now_ns : change->atime_ns;
    }
    b->attr.ctime_ns = now_ns;
}

int hd_claim_change_newborn(struct hd_claim *c, const struct hd_posix_change *change,
                            struct hd_posix_attr *ret)
{
    pthread_mutex_lock(&c->lock);
    struct hd_newborn *b = c->held == HDW__CAP_KIND__CAP_WRITE && !c->alone ? c->newborn : NULL;
    if (b != NULL) {
        merge_change(b, change);
        cast_shadow(c);
        *ret = b->attr;
        ret->size_bytes = hd_content_size(c->content);
        if (!b->change.has_mtime) {
            ret->mtime_ns = HD_MAX(ret->mtime_ns, hd_content_mtime_ns(c->content));
        }
    }
    pthread_mutex_unlock(&c->lock);
    return b != NULL;
}

/* Wants the lock and to be alone; gives the lock up meanwhile. */
int hd_claim_settle_alone(struct hd_mount *m, struct hd_claim *c,
                          const struct hd_posix_change *change, Hdw__CapKind keep,
                          struct hd_posix_attr *ret)
{
    struct hd_newborn *newborn = HD_TAKE_PTR(c->newborn);
    if (newborn != NULL) {
        merge_change(newborn, change);
        change = hd_posix_change_is_empty(&newborn->change) ? NULL : &newborn->change;
    }
    pthread_mutex_unlock(&c->lock);
    int rc = hd_content_settle(c->content, change, keep, ret);
    pthread_mutex_lock(&c->lock);
    if (rc < 0) {
        hd_claim_failed(c, rc);
        c->newborn = HD_TAKE_PTR(newborn); /* for the next try */
    }
    free(newborn);
    hd_claim_note(m, c);
    return rc;
}

bool hd_claim_has_to_settle(const struct hd_claim *c)
{
    return c->content != NULL && !c->spoiled &&
           (hd_content_is_dirty(c->content) ||
            (c->newborn != NULL && !hd_posix_change_is_empty(&c->newborn->change)));
}

int hd_claim_settle(struct hd_mount *m, struct hd_claim *c, const struct hd_posix_change *change,
                    struct hd_posix_attr *ret)
{
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    if (hd_claim_has_to_settle(c) && !c->dropped) {
        hd_claim_be_alone(c);
        if (c->held == HDW__CAP_KIND__CAP_WRITE && hd_claim_has_to_settle(c)) {
            rc = hd_claim_settle_alone(m, c, change, HDW__CAP_KIND__CAP_WRITE, ret);
            rc = rc < 0 ? rc : 1;
        }
        hd_claim_be_with_others(c);
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int64_t hd_claim_waits_since(struct hd_claim *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t since = c->dirty_noted ? c->dirty_since_ms : INT64_MAX;
    pthread_mutex_unlock(&c->lock);
    return since;
}

bool hd_claim_has_wishes(struct hd_claim *c)
{
    pthread_mutex_lock(&c->lock);
    bool has = c->newborn != NULL && !hd_posix_change_is_empty(&c->newborn->change);
    pthread_mutex_unlock(&c->lock);
    return has;
}

/* 1 it was done, 0 there was nothing. */
static int flush(struct hd_mount *m, struct hd_claim *c, bool durable)
{
    int rc = 0;
    pthread_mutex_lock(&c->lock);
    while (c->alone_wanted > 0) {
        pthread_cond_wait(&c->changed, &c->lock);
    }
    if (c->content != NULL && c->written && c->current && !c->dropped) {
        c->busy++;
        pthread_mutex_unlock(&c->lock);
        rc = hd_content_flush(c->content, durable);
        pthread_mutex_lock(&c->lock);
        c->busy--;
        if (rc < 0) {
            hd_claim_failed(c, rc);
        }
        c->dirty_since_ms = hd_clock_mono_ms().v;
        hd_claim_note(m, c);
        pthread_cond_broadcast(&c->changed);
        rc = rc < 0 ? rc : 1;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

int hd_claim_flush(struct hd_mount *m, struct hd_claim *c, bool durable)
{
    return HD_MIN(flush(m, c, durable), 0);
}

int hd_claim_sync(struct hd_mount *m, struct hd_claim *c)
{
    return flush(m, c, true);
}
