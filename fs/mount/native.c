/* What the operations of native.h share. */
#include "fs/mount/native.h"
#include "fs/mount/io.h"
#include "fs/mount/notifier.h"
#include "fs/mount/orphans.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum { STAT_BLOCK_BYTES = 512, CAUTIOUS_MS = 200 };

void hd_native_cred(fuse_req_t req, struct hd_posix_cred *ret)
{
    struct hd_mount *m = hd_mount_of(req);
    const struct fuse_ctx *ctx = fuse_req_ctx(req);
    hd_users_user_name(m->users, ctx->uid, ret->user);
    hd_users_group_name(m->users, ctx->gid, ret->group);
}

void hd_native_change_begin(struct hd_mount *m, uint64_t dir)
{
    hd_notifier_change_begin(m->native->notifier, dir);
}

void hd_native_change_end(struct hd_mount *m, uint64_t dir)
{
    hd_notifier_change_end(m->native->notifier, dir);
}

/* ---- attributes ---- */

static void convert(struct hd_mount *m, const struct hd_posix_attr *a, struct hd_known_attr *ret)
{
    bool dir = S_ISDIR(a->mode);
    uint64_t allocated = dir ? (uint64_t)HD_DIR_BYTES : a->allocated_bytes;
    *ret = (struct hd_known_attr){
        .size_bytes = dir && a->size_bytes == 0 ? (uint64_t)HD_DIR_BYTES : a->size_bytes,
        .blocks = (allocated + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES,
        .rdev = a->rdev,
        .mtime_ns = a->mtime_ns,
        .atime_ns = a->atime_ns,
        .ctime_ns = a->ctime_ns,
        .mode = a->mode,
        .nlink = a->nlink,
        .uid = hd_users_uid(m->users, a->user),
        .gid = hd_users_gid(m->users, a->group),
        .flags = (a->has_xattrs ? HD_KNOWN_XATTRS : 0u) | (a->has_acl ? HD_KNOWN_ACL : 0u) |
                 (a->has_quota ? HD_KNOWN_QUOTA : 0u) | (a->busy ? HD_KNOWN_BUSY : 0u),
        .era = a->as_of.era,
        .as_of = a->as_of.txid,
        .cached = a->cached,
    };
    if (S_ISLNK(a->mode) && a->target != NULL) {
        ret->size_bytes = strlen(a->target);
    }
}

/* (table) Learns; *ret is then the best that is known. */
static bool learn(struct hd_mount *m, struct hd_node *n, const struct hd_known_attr *a,
                  struct hd_known_attr *ret)
{
    bool keeps = n != NULL && hd_known_learn(&n->known, a, hd_posix_era(m->posix),
                                             atomic_load(&m->native->stray));
    *ret = keeps ? n->known.attr : *a;
    return keeps;
}

void hd_native_take(struct hd_mount *m, const struct hd_posix_attr *attr, struct stat *ret,
                    double *ret_timeout_s)
{
    struct hd_known_attr a;
    struct hd_known_attr best;
    uint64_t ino = hd_inode_ino(&m->inodes, attr->ino);
    convert(m, attr, &a);
    pthread_mutex_lock(&m->inodes.lock);
    bool keeps = learn(m, hd_inode_find(&m->inodes, ino), &a, &best);
    pthread_mutex_unlock(&m->inodes.lock);
    hd_known_stat(&best, ino, ret);
    hd_io_overlay(m, attr->ino, ret);
    *ret_timeout_s = keeps ? m->attr_timeout_s : 0;
}

bool hd_native_learned(struct hd_mount *m, const struct hd_posix_attr *attr)
{
    struct hd_known_attr a;
    struct hd_known_attr best;
    if (attr->ino == 0) {
        return false;
    }
    convert(m, attr, &a);
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, hd_inode_ino(&m->inodes, attr->ino));
    bool keeps = learn(m, n, &a, &best);
    pthread_mutex_unlock(&m->inodes.lock);
    return keeps;
}

void hd_native_unlearn(struct hd_mount *m, uint64_t ino, const struct hd_posix_as_of *as_of)
{
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, ino);
    if (n != NULL) {
        hd_known_push(&n->known, hd_posix_era(m->posix), as_of->txid);
        n->known.has_attr = false;
    }
    pthread_mutex_unlock(&m->inodes.lock);
}

bool hd_native_known(struct hd_mount *m, uint64_t ino, struct stat *ret, uint32_t *ret_flags)
{
    struct hd_known_attr a = {0};
    uint32_t era = hd_posix_era(m->posix);
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_node *n = hd_inode_find(&m->inodes, ino);
    bool known = n != NULL && n->known.era == era && n->known.has_attr;
    if (known) {
        a = n->known.attr;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    if (!known) {
        return false;
    }
    hd_known_stat(&a, ino, ret);
    hd_io_overlay(m, hd_inode_id(&m->inodes, ino), ret);
    if (ret_flags != NULL) {
        *ret_flags = a.flags;
    }
    return true;
}

/* One that is open, and was removed elsewhere: what was known of it last. */
static bool was_directory(struct hd_mount *m, uint64_t ino, struct stat *ret)
{
    struct hd_known_attr a = {0};
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_node *n = hd_inode_find(&m->inodes, ino);
    bool open = n != NULL && n->dir_handles > 0 && S_ISDIR(n->known.attr.mode);
    if (open) {
        a = n->known.attr;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    a.nlink = 0;
    hd_known_stat(&a, ino, ret);
    return open;
}

int hd_native_stat(struct hd_mount *m, uint64_t ino, struct stat *ret, double *ret_timeout_s)
{
    if (hd_native_known(m, ino, ret, NULL)) {
        *ret_timeout_s = m->attr_timeout_s;
        return 0;
    }
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr attr = {0};
    int rc = hd_native_ask(m, hd_inode_id(&m->inodes, ino), &attr);
    if (rc == 0) {
        hd_native_take(m, &attr, ret, ret_timeout_s);
    } else if (rc == -ESTALE && was_directory(m, ino, ret)) {
        *ret_timeout_s = 0;
        return 0;
    }
    return rc;
}

int hd_native_ask(struct hd_mount *m, uint64_t id, struct hd_posix_attr *ret)
{
    int rc = hd_posix_get_attr(m->posix, id, ret);
    return rc < 0 ? rc : hd_native_settled(m, ret);
}

int hd_native_settled(struct hd_mount *m, struct hd_posix_attr *attr)
{
    uint64_t id = attr->ino;
    if (!attr->busy) {
        return 0;
    }
    hd_posix_attr_done(attr);
    hd_io_refresh(m, id);
    return hd_posix_get_attr(m->posix, id, attr);
}

/* ---- entries ---- */

int hd_native_entry(struct hd_mount *m, const struct hd_posix_attr *attr, bool cached,
                    uint64_t parent, const char *name, struct fuse_entry_param *ret)
{
    struct hd_native *v = m->native;
    struct hd_known_attr a;
    struct hd_known_attr best;
    struct hd_node *n;
    uint64_t ino = hd_inode_ino(&m->inodes, attr->ino);
    const struct hd_seen seen = {.size_bytes = attr->size_bytes,
                                 .mtime_ms = attr->mtime_ns / 1000000};
    convert(m, attr, &a);
    int rc = S_ISDIR(attr->mode)
                 ? hd_inode_enter(&m->inodes, attr->ino, parent, name, &seen, &n)
                 : hd_inode_enter_alias(&m->inodes, attr->ino, parent, name, &seen, &n);
    if (rc < 0) {
        return rc;
    }
    pthread_mutex_lock(&m->inodes.lock);
    bool keeps = learn(m, n, &a, &best);
    struct hd_node *dir = hd_inode_find(&m->inodes, parent);
    bool holds =
        dir != NULL && hd_known_entry_holds(&dir->known, cached, attr->as_of.era, attr->as_of.txid,
                                            hd_posix_era(m->posix), atomic_load(&v->stray));
    if (dir != NULL && name != NULL) {
        hd_known_add_name(&dir->known, name);
    }
    pthread_mutex_unlock(&m->inodes.lock);
    *ret = (struct fuse_entry_param){
        .ino = ino,
        .attr_timeout = keeps ? m->attr_timeout_s : 0,
        .entry_timeout = holds ? m->entry_timeout_s : 0,
    };
    hd_known_stat(&best, ino, &ret->attr);
    hd_io_overlay(m, attr->ino, &ret->attr);
    return 0;
}

static bool is_later(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec != b->tv_sec ? a->tv_sec > b->tv_sec : a->tv_nsec > b->tv_nsec;
}

void hd_native_answered(struct hd_mount *m, const struct fuse_entry_param *e)
{
    struct stat st;
    if (e->ino != 0 && e->attr_timeout > 0 &&
        (!hd_native_known(m, e->ino, &st, NULL) || is_later(&st.st_ctim, &e->attr.st_ctim))) {
        (void)fuse_lowlevel_notify_inval_inode(m->session, e->ino, -1, 0);
    }
}

/* ---- what is open and has no name ---- */

void hd_native_orphaned(struct hd_mount *m, uint64_t id)
{
    (void)hd_orphans_add(m->native->orphans, id, true);
}

void hd_native_be_cautious(struct hd_mount *m)
{
    atomic_store(&m->native->cautious_until_ms, hd_clock_mono_ms().v + CAUTIOUS_MS);
}

int hd_native_opened(struct hd_mount *m, struct hd_node *n)
{
    pthread_mutex_lock(&m->inodes.lock);
    while (n->removals > 0) {
        /* If it ends badly the kernel looks the name up and opens again, once: that must not fail.
         */
        hd_native_be_cautious(m);
        pthread_cond_wait(&m->native->removed, &m->inodes.lock);
    }
    bool gone = n->gone;
    pthread_mutex_unlock(&m->inodes.lock);
    return gone ? -ESTALE : 0;
}

void hd_native_last_close(struct hd_mount *m, uint64_t id)
{
    hd_orphans_closed(m->native->orphans, id);
}
