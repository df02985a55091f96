/* What content does for the rest of the mount: events, attributes, the end. See io.h. */
#include "fs/mount/io.h"
#include "fs/base/error.h"
#include "fs/mount/claim.h"
#include "fs/mount/native.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum { AT_ONCE = 256, STAT_BLOCK_BYTES = 512, SETTLE_TRIES = 3 };

int hd_io_start(struct hd_mount *m)
{
    return hd_claims_new(&m->claims);
}

/* Each with a pin. NULL without memory. */
static struct hd_claim **all_claims(struct hd_mount *m, size_t *ret_count)
{
    struct hd_claims *t = m->claims;
    uint64_t id;
    void *claim;
    size_t count = 0;
    *ret_count = 0;
    if (t == NULL) {
        return NULL;
    }
    pthread_mutex_lock(&t->lock);
    struct hd_claim **all = calloc(t->by_id.count + 1, sizeof(struct hd_claim *));
    for (size_t i = 0; all != NULL && hd_map_next(&t->by_id, &i, &id, &claim);) {
        all[count++] = claim;
        hd_claim_pin(t, claim);
    }
    pthread_mutex_unlock(&t->lock);
    *ret_count = count;
    return all;
}

/* One go at everything that has to settle; false when something did not. */
static bool settle_all(struct hd_mount *m)
{
    size_t count;
    struct hd_claim **all = all_claims(m, &count);
    bool good = all != NULL;
    for (size_t i = 0; all != NULL && i < count; i++) {
        struct hd_posix_attr attr = {0};
        good = hd_claim_settle(m, all[i], NULL, &attr) >= 0 && good;
        hd_posix_attr_done(&attr);
        hd_claim_put(m, all[i]);
    }
    free(all);
    return good;
}

void hd_io_stop(struct hd_mount *m)
{
    if (m->claims == NULL) {
        return;
    }
    for (int i = 0; i < SETTLE_TRIES && !settle_all(m); i++) {
    }
    hd_posix_hush(m->posix); /* recalls use claims */
    hd_claims_free(HD_TAKE_PTR(m->claims));
}

void hd_io_tend(struct hd_mount *m)
{
    struct hd_claim *dirty[AT_ONCE];
    if (m->claims == NULL) {
        return;
    }
    int64_t before = hd_clock_mono_ms().v - m->options->write_behind_ms;
    size_t count = hd_claims_dirty(m, dirty, AT_ONCE);
    for (size_t i = 0; i < count; i++) {
        if (hd_claim_waits_since(dirty[i]) <= before) {
            (void)hd_claim_flush(m, dirty[i], false); /* a failure is kept for its handles */
        }
        hd_claim_put(m, dirty[i]);
    }
    hd_claims_trim(m);
}

/* ---- events ---- */

void hd_io_recall(struct hd_mount *m, uint64_t id, Hdw__CapKind keep, uint64_t serial)
{
    struct hd_claim *c = hd_claim_find(m, id);
    if (c != NULL) {
        hd_claim_yield(m, c, keep, serial);
        hd_claim_put(m, c);
    } else if (m->claims != NULL) { /* of a file whose making is not answered yet, perhaps */
        uint64_t stray = atomic_load(&m->claims->stray);
        while (stray < serial && !atomic_compare_exchange_weak(&m->claims->stray, &stray, serial)) {
        }
    }
}

/* Pages that have to go; the kernel may have to wait for our threads meanwhile. */
struct lost_pages {
    struct hd_mount *m;
    size_t count;
    uint64_t inos[];
};

static void *drop_lost_pages(void *arg)
{
    struct lost_pages *l = arg;
    for (size_t i = 0; i < l->count; i++) {
        (void)fuse_lowlevel_notify_inval_inode(l->m->session, l->inos[i], 0, 0);
    }
    free(l);
    return NULL;
}

/* Room for count inodes; NULL without memory. */
static struct lost_pages *new_lost_pages(struct hd_mount *m, size_t count)
{
    struct lost_pages *l = malloc(sizeof(*l) + count * sizeof(l->inos[0]));
    if (l != NULL) {
        *l = (struct lost_pages){.m = m};
    }
    return l;
}

/* In a thread of its own. Takes l, which may be NULL. */
static void begin_to_drop(struct lost_pages *l)
{
    pthread_t thread;
    if (l == NULL || l->count == 0 || l->m->session == NULL ||
        pthread_create(&thread, NULL, drop_lost_pages, l) != 0) {
        free(l);
        return;
    }
    pthread_detach(thread);
}

void hd_io_lost(struct hd_mount *m)
{
    size_t count;
    struct hd_claim **all = all_claims(m, &count);
    struct lost_pages *l = new_lost_pages(m, count);
    for (size_t i = 0; all != NULL && i < count; i++) {
        if (hd_claim_lose(m, all[i]) && l != NULL) {
            l->inos[l->count++] = hd_inode_ino(&m->inodes, all[i]->id);
        }
        hd_claim_put(m, all[i]);
    }
    free(all);
    if (m->claims != NULL) {
        atomic_store(&m->claims->stray, 0); /* serials are counted anew */
    }
    begin_to_drop(l);
}

void hd_io_reclaim(struct hd_mount *m, struct hd_posix_holdings *h)
{
    size_t count;
    struct hd_claim **all = all_claims(m, &count);
    for (size_t i = 0; all != NULL && i < count; i++) {
        if (hd_claim_writes(all[i]) && hd_posix_hold_writing(h, all[i]->id) < 0) {
            hd_claim_spoil(m, all[i]);
        }
        hd_claim_put(m, all[i]);
    }
    free(all);
}

void hd_io_reclaimed(struct hd_mount *m, const uint64_t *lost, size_t count)
{
    struct lost_pages *l = new_lost_pages(m, count);
    for (size_t i = 0; i < count; i++) {
        struct hd_claim *c = hd_claim_find(m, lost[i]);
        if (c != NULL) {
            hd_claim_spoil(m, c);
            hd_claim_put(m, c);
        }
        if (c != NULL && l != NULL) { /* they show what was lost */
            l->inos[l->count++] = hd_inode_ino(&m->inodes, lost[i]);
        }
    }
    begin_to_drop(l);
}

/* ---- names and attributes ---- */

bool hd_io_is_open(struct hd_mount *m, uint64_t id)
{
    struct hd_claim *c = hd_claim_find(m, id);
    bool open = c != NULL && atomic_load(&c->opens) > 0;
    hd_claim_put(m, c);
    return open;
}

void hd_io_dropped(struct hd_mount *m, uint64_t id)
{
    struct hd_claim *c = hd_claim_find(m, id);
    if (c != NULL) {
        hd_claim_drop(m, c);
        hd_claim_put(m, c);
    }
}

void hd_io_overlay(struct hd_mount *m, uint64_t id, struct stat *st)
{
    struct hd_claim *c = S_ISREG(st->st_mode) ? hd_claim_find(m, id) : NULL;
    if (c != NULL && atomic_load(&c->shadows)) {
        int64_t mtime_ns = atomic_load(&c->mtime_ns);
        uint64_t size = atomic_load(&c->size_bytes);
        uint64_t written = atomic_load(&c->written_bytes); /* some of it over what was there */
        uint64_t most = (size + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES;
        uint64_t blocks =
            (uint64_t)st->st_blocks + (written + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES;
        st->st_blocks = (blkcnt_t)HD_MIN(most, blocks);
        st->st_size = (off_t)size;
        st->st_mtim =
            (struct timespec){.tv_sec = mtime_ns / 1000000000, .tv_nsec = mtime_ns % 1000000000};
        st->st_ctim = st->st_mtim;
        atomic_store(&c->told, true);
    }
    hd_claim_put(m, c);
}

void hd_io_refresh(struct hd_mount *m, uint64_t id)
{
    struct hd_content *content;
    struct hd_claim *c = hd_claim_get(m, id);
    if (c != NULL && hd_claim_enter(m, c, HDW__CAP_KIND__CAP_READ, false, &content) >= 0) {
        hd_claim_leave(m, c, HD_CLAIM_NOTHING);
    }
    hd_claim_put(m, c);
}

static int set_size(struct hd_mount *m, struct hd_claim *c, uint64_t size)
{
    struct hd_content *content;
    int rc = hd_claim_enter(m, c, HDW__CAP_KIND__CAP_WRITE, false, &content);
    if (rc < 0) {
        return rc;
    }
    rc = hd_content_resize(content, size);
    hd_claim_wrote(m, c, 0);
    hd_claim_spread(c, rc);
    hd_claim_leave(m, c, HD_CLAIM_NOTHING);
    return rc;
}

int hd_io_set_attr(struct hd_mount *m, uint64_t id, const uint64_t *size,
                   const struct hd_posix_change *change, struct hd_posix_attr *ret)
{
    struct hd_claim *c = size != NULL ? hd_claim_get(m, id) : hd_claim_find(m, id);
    if (c == NULL) {
        return size != NULL ? -ENOMEM : 0;
    }
    int rc = size != NULL ? set_size(m, c, *size) : 0;
    bool empty = hd_posix_change_is_empty(change);
    if (rc == 0 && !empty && size == NULL) {
        rc = hd_claim_change_newborn(c, change, ret);
    }
    if (rc == 0 && (!empty || (size != NULL && atomic_load(&c->writers) == 0))) {
        rc = hd_claim_settle(m, c, change, ret);
    }
    if (rc == 0 && size != NULL) {
        rc = 2;
    }
    hd_claim_put(m, c);
    return rc;
}
