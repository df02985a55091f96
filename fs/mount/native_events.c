/*
 * What meta tells the mount, and how the kernel hears of it; the beginning and the end of what
 * native.h needs.
 *
 * Attributes are taken back at once, which waits for nothing in the kernel. Names go through the
 * notifier.
 */
#include "fs/mount/io.h"
#include "fs/mount/locks.h"
#include "fs/mount/native.h"
#include "fs/mount/notifier.h"
#include "fs/mount/orphans.h"
#include "fs/mount/xattr_cache.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <errno.h>
#include <stdlib.h>

enum { LOST_STUCK_MS = 100 };

/* ---- the kernel ---- */

static void inval_attr(struct hd_mount *m, uint64_t ino)
{
    if (m->session != NULL) {
        (void)fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
    }
}

/* Names and the kernel's copy of the listing. Waits for the directory's lock. */
static void tell(void *ctx, const struct hd_notice *notice)
{
    struct hd_mount *m = ctx;
    size_t size = strlen(notice->name);
    if (m->session == NULL) {
        return;
    }
    if (notice->kind == HD_NOTICE_EXPIRED) {
        (void)fuse_lowlevel_notify_expire_entry(m->session, notice->dir, notice->name, size,
                                                FUSE_LL_EXPIRE_ONLY);
        return;
    }
    (void)fuse_lowlevel_notify_inval_entry(m->session, notice->dir, notice->name, size);
    (void)fuse_lowlevel_notify_inval_inode(m->session, notice->dir, 0, 0);
}

static void told(void *ctx, uint64_t ticket)
{
    struct hd_mount *m = ctx;
    hd_posix_answer(m->posix, ticket);
}

/* ---- pushes ---- */

static void note_stray(struct hd_native *v, uint64_t txid)
{
    uint64_t seen = atomic_load(&v->stray);
    while (seen < txid && !atomic_compare_exchange_weak(&v->stray, &seen, txid)) {
    }
}

static bool on_attr(void *ctx, uint64_t id, uint64_t txid, uint64_t serial)
{
    struct hd_mount *m = ctx;
    uint64_t ino = hd_inode_ino(&m->inodes, id);
    (void)serial;
    hd_xattr_cache_forget(m->native->xattrs, id);
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, ino);
    if (n != NULL) {
        hd_known_push(&n->known, hd_posix_era(m->posix), txid);
        atomic_fetch_add(&m->native->pushes, 1);
    } else {
        note_stray(m->native, txid);
    }
    pthread_mutex_unlock(&m->inodes.lock);
    if (n != NULL) {
        inval_attr(m, ino);
    }
    return true;
}

/* (table) What was kept of a name goes. True: the kernel may have it. */
static bool drop_entry(struct hd_mount *m, uint64_t dir, const char *name, uint64_t child,
                       uint64_t txid)
{
    uint32_t era = hd_posix_era(m->posix);
    struct hd_node *d = hd_inode_find(&m->inodes, dir);
    struct hd_node *c = child == 0 ? NULL : hd_inode_find(&m->inodes, child);
    if (c != NULL) {
        hd_known_push(&c->known, era, txid);
        atomic_fetch_add(&m->native->pushes, 1);
    }
    if (d == NULL) {
        note_stray(m->native, txid);
        return false;
    }
    hd_known_push_entry(&d->known, era, txid, child == 0 ? name : NULL);
    char key[sizeof(dir) + HD_POSIX_NAME_MAX_BYTES];
    size_t size = strlen(name);
    memcpy(key, &dir, sizeof(dir));
    memcpy(key + sizeof(dir), name, size);
    (void)hd_strmap_remove(&m->native->negatives, key, sizeof(dir) + size);
    return true;
}

static bool on_entry(void *ctx, uint64_t dir_id, const char *name, uint64_t child_id, uint64_t txid,
                     uint64_t serial)
{
    struct hd_mount *m = ctx;
    uint64_t dir = hd_inode_ino(&m->inodes, dir_id);
    uint64_t child = child_id == 0 ? 0 : hd_inode_ino(&m->inodes, child_id);
    pthread_mutex_lock(&m->inodes.lock);
    bool known = drop_entry(m, dir, name, child, txid);
    bool child_known = child != 0 && hd_inode_find(&m->inodes, child) != NULL;
    pthread_mutex_unlock(&m->inodes.lock);
    if (child_known) {
        inval_attr(m, child);
    }
    if (!known) {
        return true;
    }
    hd_inode_unlinked(&m->inodes, dir, name);
    const struct hd_notice notice = {
        .kind = HD_NOTICE_CHANGED, .dir = dir, .name = name, .ticket = serial};
    return hd_notifier_add(m->native->notifier, &notice);
}

/* ---- many names at once ---- */

struct name {
    uint64_t dir;
    char *text;
};

struct names {
    struct name *v;
    size_t count, capacity;
};

static void add_name(struct names *list, uint64_t dir, const char *name, size_t size)
{
    if (list->count == list->capacity) {
        size_t capacity = HD_MAX(list->capacity * 2, (size_t)64);
        struct name *v = realloc(list->v, capacity * sizeof(*v));
        if (v == NULL) {
            return;
        }
        list->v = v;
        list->capacity = capacity;
    }
    char *text = strndup(name, size);
    if (text != NULL) {
        list->v[list->count++] = (struct name){dir, text};
    }
}

/* (table) The names of a directory (0: all) among the keys of a map. */
static void collect(const struct hd_strmap *map, uint64_t dir, struct names *ret)
{
    size_t cursor = 0;
    const char *key;
    void *value;
    for (; hd_strmap_next(map, &cursor, &key, &value);) {
        uint64_t parent;
        memcpy(&parent, key, sizeof(parent));
        if (dir == 0 || parent == dir) {
            add_name(ret, parent, key + sizeof(parent), strlen(key + sizeof(parent)));
        }
    }
}

/* Tells the kernel of them all; the last one carries the ticket. */
static bool expire(struct hd_mount *m, struct names *list, uint64_t ticket)
{
    bool done = ticket != 0;
    for (size_t i = 0; i < list->count; i++) {
        const struct hd_notice notice = {
            .kind = HD_NOTICE_EXPIRED,
            .dir = list->v[i].dir,
            .name = list->v[i].text,
            .ticket = i + 1 == list->count ? ticket : 0,
        };
        done = hd_notifier_add(m->native->notifier, &notice);
        free(list->v[i].text);
    }
    free(list->v);
    return done;
}

static bool on_entries(void *ctx, uint64_t dir_id, uint64_t txid, uint64_t serial)
{
    struct hd_mount *m = ctx;
    uint64_t dir = hd_inode_ino(&m->inodes, dir_id);
    struct names names = {0};
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *d = hd_inode_find(&m->inodes, dir);
    if (d != NULL) {
        hd_known_push_entries(&d->known, hd_posix_era(m->posix), txid);
        collect(&m->inodes.by_name, dir, &names);
        collect(&m->native->negatives, dir, &names);
    } else {
        note_stray(m->native, txid);
    }
    pthread_mutex_unlock(&m->inodes.lock);
    if (d != NULL && m->session != NULL) {
        (void)fuse_lowlevel_notify_inval_inode(m->session, dir, 0, 0);
    }
    return names.count == 0 || expire(m, &names, serial);
}

static void on_recall(void *ctx, uint64_t id, Hdw__CapKind keep, uint64_t serial)
{
    hd_io_recall(ctx, id, keep, serial);
}

/* Also of what is in no table: an answer that names it may be on its way to the kernel. */
static bool on_gone(void *ctx, uint64_t id, uint64_t txid)
{
    struct hd_mount *m = ctx;
    (void)txid;
    if (hd_orphans_add(m->native->orphans, id, true)) {
        return true;
    }
    hd_io_dropped(m, id);
    return false;
}

/* ---- files without a name ---- */

static bool is_open(void *ctx, uint64_t id)
{
    return hd_io_is_open(ctx, id);
}

static void forget(void *ctx, const uint64_t *ids, size_t count)
{
    struct hd_mount *m = ctx;
    int rc = hd_posix_forget_orphans(m->posix, ids, count);
    if (rc < 0) { /* they go with the session */
        hd_log_debug("files without a name stay", "count=%zu error=%s", count, hd_error_name(rc));
    }
    for (size_t i = 0; i < count; i++) {
        hd_io_dropped(m, ids[i]);
    }
}

static void hold_orphan(void *ctx, uint64_t id)
{
    (void)hd_posix_hold_orphan(ctx, id);
}

/* ---- a session that ended ---- */

static void on_lost(void *ctx)
{
    struct hd_mount *m = ctx;
    struct names names = {0};
    size_t cursor = 0;
    size_t count = 0;
    uint64_t ino;
    void *value;
    hd_log_info("the session has ended, everything is asked for anew", "path=%s", m->options->path);
    pthread_mutex_lock(&m->inodes.lock);
    atomic_store(&m->native->stray, 0);
    collect(&m->inodes.by_name, 0, &names);
    collect(&m->native->negatives, 0, &names);
    hd_strmap_done(&m->native->negatives);
    hd_strmap_init(&m->native->negatives);
    uint64_t *inos = calloc(HD_MAX(m->inodes.by_ino.count, (size_t)1), sizeof(*inos));
    while (inos != NULL && hd_map_next(&m->inodes.by_ino, &cursor, &ino, &value)) {
        inos[count++] = ino;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    for (size_t i = 0; i < count; i++) {
        inval_attr(m, inos[i]);
    }
    free(inos);
    (void)expire(m, &names, 0);
    hd_xattr_cache_forget_all(m->native->xattrs);
    hd_io_lost(m);
    hd_notifier_drain(m->native->notifier, LOST_STUCK_MS);
}

static void on_reclaim(void *ctx, struct hd_posix_holdings *h)
{
    struct hd_mount *m = ctx;
    hd_orphans_each(m->native->orphans, hold_orphan, h);
    hd_io_reclaim(m, h);
    hd_locks_reclaim(m, h);
}

static void on_reclaimed(void *ctx, const uint64_t *lost, size_t count)
{
    struct hd_mount *m = ctx;
    hd_log_info("the session is open again", "path=%s lost=%zu", m->options->path, count);
    hd_io_reclaimed(m, lost, count);
    hd_locks_reclaimed(m, lost, count);
}

static void on_lock(void *ctx, uint64_t wait_id, int err)
{
    hd_locks_granted(ctx, wait_id, err);
}

/* Without ctx: hd_native_start puts the mount there. */
const struct hd_posix_events hd_native_events = {
    .on_attr = on_attr,
    .on_entry = on_entry,
    .on_entries = on_entries,
    .on_recall = on_recall,
    .on_gone = on_gone,
    .on_lock = on_lock,
    .on_lost = on_lost,
    .on_reclaim = on_reclaim,
    .on_reclaimed = on_reclaimed,
};

/* ---- life ---- */

int hd_native_start(struct hd_mount *m)
{
    struct hd_native *v = calloc(1, sizeof(*v));
    if (v == NULL) {
        return -ENOMEM;
    }
    hd_strmap_init(&v->negatives);
    pthread_cond_init(&v->removed, NULL);
    m->native = v;
    v->xattrs = hd_xattr_cache_new();
    if (v->xattrs == NULL) {
        return -ENOMEM;
    }
    int rc = hd_locks_start(m, &v->locks);
    const struct hd_notifier_owner owner = {.ctx = m, .tell = tell, .done = told};
    const struct hd_orphans_owner keeper = {.ctx = m, .is_open = is_open, .forget = forget};
    rc = rc < 0 ? rc : hd_notifier_new(&owner, &v->notifier);
    return rc < 0 ? rc : hd_orphans_new(&keeper, &v->orphans);
}

void hd_native_stop(struct hd_mount *m)
{
    struct hd_native *v = m->native;
    if (v == NULL) {
        return;
    }
    hd_notifier_free(HD_TAKE_PTR(v->notifier));
    hd_orphans_free(HD_TAKE_PTR(v->orphans));
    hd_locks_stop(HD_TAKE_PTR(v->locks));
    hd_xattr_cache_free(HD_TAKE_PTR(v->xattrs));
    hd_strmap_done(&v->negatives);
    pthread_cond_destroy(&v->removed);
    free(HD_TAKE_PTR(m->native));
}
