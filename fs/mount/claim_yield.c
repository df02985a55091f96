/* Capabilities given back: the kernel's pages, the gate, the last settle. See claim.h. */
#include "fs/mount/claim.h"
#include "fs/mount/native.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

enum {
    GATE_TRIAL_MS = 10,
    GRANT_WAIT_MS = 5, /* for a grant that a recall may have overtaken */
    ROUNDS_MAX = 200,
    SETTLE_TRIES = 2, /* the first one may only tell what had failed before */
};

/* Waits for news of the claim, no longer than until deadline_ms. Wants the lock. */
static void wait_until(struct hd_claim *c, int64_t deadline_ms)
{
    struct timespec t = {.tv_sec = deadline_ms / 1000, .tv_nsec = deadline_ms % 1000 * 1000000};
    (void)pthread_cond_timedwait(&c->changed, &c->lock, &t);
}

/* The kernel forgets pages; blocks while one of them is locked. */
static void forget_pages(struct hd_mount *m, uint64_t id, const struct hd_claim_range *ranges,
                         uint32_t count)
{
    uint64_t ino = hd_inode_ino(&m->inodes, id);
    if (m->session == NULL) {
        return;
    }
    if (count > HD_CLAIM_RANGES) {
        (void)fuse_lowlevel_notify_inval_inode(m->session, ino, 0, 0);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t size = ranges[i].to - ranges[i].from;
        (void)fuse_lowlevel_notify_inval_inode(m->session, ino, (off_t)ranges[i].from,
                                               size > INT64_MAX ? 0 : (off_t)size);
    }
}

/* Nobody may enter, for good or for a while, and those who are inside leave. Wants the lock. */
static void close_gate(struct hd_claim *c, bool for_good)
{
    c->gated = true;
    c->trial_until_ms = for_good ? 0 : hd_clock_mono_ms().v + GATE_TRIAL_MS;
    while (c->busy > 0 && (for_good || hd_clock_mono_ms().v < c->trial_until_ms)) {
        if (for_good) {
            pthread_cond_wait(&c->changed, &c->lock);
        } else {
            wait_until(c, c->trial_until_ms);
        }
    }
}

/*
 * Every page of the inode; the gate is closed for good then. False: the capability went meanwhile
 * (give_way), and what is held now was granted later. Wants the lock.
 */
static bool drop_pages(struct hd_mount *m, struct hd_claim *c, uint32_t turn)
{
    struct hd_claim_range ranges[HD_CLAIM_RANGES];
    uint32_t count = HD_CLAIM_RANGES + 1;
    for (int round = 0;; round++) {
        c->touched_count = 0;
        pthread_mutex_unlock(&c->lock);
        forget_pages(m, c->id, ranges, count);
        pthread_mutex_lock(&c->lock);
        if (c->recall_turn != turn) {
            return false;
        }
        if (c->touched_count == 0 && c->busy == 0) {
            break;
        }
        if (round == ROUNDS_MAX) {
            hd_log_warn("pages in use while they should go", "inode=%" PRIu64, c->id);
            break;
        }
        close_gate(c, false);
        count = c->busy > 0 ? HD_CLAIM_RANGES + 1 : c->touched_count;
        memcpy(ranges, c->touched, sizeof(ranges));
    }
    close_gate(c, true);
    return c->recall_turn == turn;
}

/* A recall can be here before the grant that it is for. Wants the lock. */
static void await_grant(struct hd_claim *c, Hdw__CapKind keep)
{
    int64_t now = hd_clock_mono_ms().v;
    while (c->acquiring > 0 && c->held <= keep && hd_clock_mono_ms().v < now + GRANT_WAIT_MS) {
        wait_until(c, now + GRANT_WAIT_MS);
    }
    while (c->acquiring_write && c->held == HDW__CAP_KIND__CAP_READ &&
           hd_clock_mono_ms().v < now + GRANT_WAIT_MS) {
        wait_until(c, now + GRANT_WAIT_MS);
    }
}

/*
 * Wants the lock. 1: there was something to settle, and *ret is what meta made of it; 0 there was
 * nothing; -ECANCELED: a write gave the capability away meanwhile, and the claim is not ours to
 * change.
 */
static int give_back(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind keep,
                     struct hd_posix_attr *ret)
{
    int settled = 0;
    uint32_t turn = c->recall_turn;
    if (c->held == HDW__CAP_KIND__CAP_READ && c->acquiring_write) {
        hd_claim_give_way(m, c);
    }
    if (keep != HDW__CAP_KIND__CAP_NONE) {
        close_gate(c, true);
    } else if (!drop_pages(m, c, turn)) {
        return -ECANCELED;
    }
    hd_claim_be_alone(c);
    for (int i = 0;
         c->held == HDW__CAP_KIND__CAP_WRITE && hd_claim_has_to_settle(c) && i < SETTLE_TRIES;
         i++) {
        settled = hd_claim_settle_alone(m, c, NULL, keep, ret) == 0 ? 1 : 0;
    }
    /* Others may change the file from now on: what could not be sent must not come after that. */
    c->spoiled = c->spoiled || hd_claim_has_to_settle(c);
    c->held = HD_MIN(c->held, keep);
    if (c->spoiled) {
        c->held = HDW__CAP_KIND__CAP_NONE;
        c->current = false;
    }
    if (c->held == HDW__CAP_KIND__CAP_NONE) {
        c->current = false;
        c->written = false;
    }
    if (c->held != HDW__CAP_KIND__CAP_WRITE) {
        free(HD_TAKE_PTR(c->newborn)); /* others know it now */
    }
    hd_claim_note(m, c);
    hd_claim_be_with_others(c);
    return settled;
}

void hd_claim_yield(struct hd_mount *m, struct hd_claim *c, Hdw__CapKind keep, uint64_t serial)
{
    struct hd_posix_attr attr = {0};
    int settled = 0;
    uint32_t era = hd_posix_era(m->posix);
    pthread_mutex_lock(&c->lock);
    while (c->recalling) {
        pthread_cond_wait(&c->changed, &c->lock);
    }
    if (c->dropped || (serial != 0 && serial <= c->dealt_serial)) {
        pthread_mutex_unlock(&c->lock);
        return;
    }
    c->recalling = true;
    uint32_t turn = ++c->recall_turn;
    c->recall_serial = serial;
    await_grant(c, keep);
    if (c->recall_turn != turn) {
        settled = -ECANCELED;
    } else if (c->held > keep) {
        settled = give_back(m, c, keep, &attr);
        if (settled >= 0 && serial == 0) {
            uint64_t own = c->serial;
            pthread_mutex_unlock(&c->lock);
            (void)hd_posix_release(m->posix, c->id, keep, own);
            pthread_mutex_lock(&c->lock);
        }
    }
    if (settled >= 0) {
        if (era == hd_posix_era(m->posix)) { /* else serials are counted anew */
            c->dealt_serial = HD_MAX(c->dealt_serial, serial);
        }
        c->recalling = false;
        c->gated = false;
        pthread_cond_broadcast(&c->changed);
    }
    pthread_mutex_unlock(&c->lock);
    if (settled > 0) {
        hd_native_learned(m, &attr);
        (void)fuse_lowlevel_notify_inval_inode(m->session, hd_inode_ino(&m->inodes, c->id), -1, 0);
    }
    hd_posix_attr_done(&attr);
}

bool hd_claim_lose(struct hd_mount *m, struct hd_claim *c)
{
    pthread_mutex_lock(&c->lock);
    bool had_pages = c->held == HDW__CAP_KIND__CAP_READ;
    if (c->held != HDW__CAP_KIND__CAP_WRITE) {
        c->held = HDW__CAP_KIND__CAP_NONE;
        c->current = false;
    }
    c->serial = c->dealt_serial = 0; /* they are counted anew */
    hd_claim_note(m, c);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    return had_pages;
}

bool hd_claim_writes(struct hd_claim *c)
{
    pthread_mutex_lock(&c->lock);
    bool writes = c->held == HDW__CAP_KIND__CAP_WRITE;
    pthread_mutex_unlock(&c->lock);
    return writes;
}

void hd_claim_spoil(struct hd_mount *m, struct hd_claim *c)
{
    pthread_mutex_lock(&c->lock);
    c->held = HDW__CAP_KIND__CAP_NONE;
    c->current = false;
    if (hd_claim_has_to_settle(c)) {
        hd_claim_failed(c, hd_fail(-EIO, "what was not settled is lost"));
    }
    c->spoiled = true;
    c->written = false;
    hd_claim_note(m, c);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

void hd_claim_drop(struct hd_mount *m, struct hd_claim *c)
{
    struct hd_claims *t = m->claims;
    pthread_mutex_lock(&c->lock);
    c->dropped = true;
    c->held = HDW__CAP_KIND__CAP_NONE;
    c->current = false;
    c->dirty_noted = false;
    atomic_store(&c->shadows, false);
    pthread_mutex_lock(&t->lock);
    hd_list_remove(&c->dirty);
    pthread_mutex_unlock(&t->lock);
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}
