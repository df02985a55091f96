/*
 * Open files of a mount with a session: what ops_file.c is without one. Content and capabilities
 * are claim.h's.
 *
 *   create   one call of meta: the name, and WRITE of the new file
 *   open     none, but for what may be passed through (READ, to know the replica)
 *   close    one, if something was written; none else
 */
#include "fs/mount/io.h"
#include "fs/base/error.h"
#include "fs/mount/backing.h"
#include "fs/mount/claim.h"
#include "fs/mount/handle.h"
#include "fs/mount/locks.h"
#include "fs/mount/native.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "fs/wire/reserved.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <unistd.h>

enum {
    QUIET_MS = 2000, /* a file that nobody wrote to for so long may be passed through */
    CREATE_TRIES = 4,
    COPY_BYTES = 64 << 20, /* of one copy_file_range */
};

/* ---- open and close ---- */

/* The replica here, of a file that is large and that nobody writes. Wants io held. */
static int local_replica(struct hd_mount *m, struct hd_handle *h)
{
    struct hd_content *content;
    struct stat st;
    int fd = -1;
    if (h->writable || !hd_native_known(m, h->node->ino, &st, NULL) || st.st_size <= 0 ||
        !hd_backing_may(m, h->node, (uint64_t)st.st_size) ||
        (int64_t)st.st_mtim.tv_sec * 1000 > hd_clock_wall_ms().v - QUIET_MS) {
        return -1;
    }
    int rc = hd_claim_enter(m, h->claim, HDW__CAP_KIND__CAP_READ, false, &content);
    if (rc >= 0) {
        if (rc > 0 || hd_content_is_dirty(content) || hd_content_local_fd(content, &fd) < 0) {
            fd = -1;
        }
        hd_claim_leave(m, h->claim, HD_CLAIM_NOTHING);
    }
    return fd;
}

/* Counts the open and fills in what the kernel is told of it. */
static void admit(struct hd_mount *m, struct hd_handle *h, struct fuse_file_info *fi)
{
    struct hd_node *n = h->node;
    pthread_mutex_lock(&n->io);
    HD_AUTO(hd_fd_done) int fd = (fi->flags & O_DIRECT) != 0 ? -1 : local_replica(m, h);
    struct hd_backing_wish wish = {
        .writable = h->writable, .direct = (fi->flags & O_DIRECT) != 0, .local_fd = fd};
    h->mode = hd_backing_open(m, n, &wish);
    pthread_mutex_unlock(&n->io);
    atomic_fetch_add(&h->claim->opens, 1);
    atomic_fetch_add(&h->claim->writers, h->writable);
    fi->fh = (uintptr_t)h;
    fi->direct_io = h->mode == HD_OPEN_DIRECT;
    fi->keep_cache = h->mode == HD_OPEN_CACHED; /* pages are good while there are any */
}

static void end_open(struct hd_mount *m, struct hd_handle *h)
{
    struct hd_node *n = h->node;
    struct hd_claim *c = h->claim;
    if (h->writable && atomic_fetch_sub(&c->writers, 1) == 1) {
        struct hd_posix_attr attr = {0};
        if (hd_claim_settle(m, c, NULL, &attr) >
            0) { /* pages of a mapping, behind the last close */
            (void)hd_native_learned(m, &attr);
        }
        hd_posix_attr_done(&attr);
    }
    pthread_mutex_lock(&n->io);
    pthread_mutex_lock(&m->inodes.lock);
    n->writers -= h->writable;
    pthread_mutex_unlock(&m->inodes.lock);
    hd_backing_release(m, n, h->mode);
    pthread_mutex_unlock(&n->io);
    if (atomic_fetch_sub(&c->opens, 1) == 1) {
        hd_native_last_close(m, c->id);
    }
    hd_handle_free(m, h);
}

static int new_handle(struct hd_mount *m, fuse_req_t req, struct hd_node *n, int flags,
                      struct hd_handle **ret)
{
    struct hd_handle *h = hd_handle_new(m, n, m->fs, flags);
    if (h == NULL || (h->claim = hd_claim_get(m, n->id)) == NULL) {
        if (h != NULL) {
            hd_handle_free(m, h);
        }
        return -ENOMEM;
    }
    pthread_mutex_lock(&h->claim->lock);
    h->errors_seen = h->claim->error_count;
    pthread_mutex_unlock(&h->claim->lock);
    h->opener = fuse_req_ctx(req)->pid;
    *ret = h;
    return 0;
}

static int empty(struct hd_mount *m, struct hd_claim *c)
{
    struct hd_content *content;
    int rc = hd_claim_enter(m, c, HDW__CAP_KIND__CAP_WRITE, false, &content);
    if (rc < 0) {
        return rc;
    }
    rc = hd_content_resize(content, 0);
    hd_claim_wrote(m, c, 0);
    hd_claim_leave(m, c, HD_CLAIM_NOTHING);
    return rc;
}

static int open_known(struct hd_mount *m, fuse_req_t req, struct hd_node *n,
                      struct fuse_file_info *fi, struct hd_handle **ret)
{
    struct hd_handle *h;
    int rc = new_handle(m, req, n, fi->flags, &h);
    if (rc == 0 && (fi->flags & O_TRUNC) != 0) {
        rc = empty(m, h->claim);
        if (rc < 0) {
            hd_handle_free(m, h);
        }
    }
    if (rc == 0) {
        admit(m, h, fi);
        *ret = h;
    }
    return rc;
}

void hd_io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h;
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    int rc = n == NULL ? -ESTALE : hd_native_opened(m, n);
    rc = rc < 0 ? rc : open_known(m, req, n, fi, &h);
    if (rc == 0 && (rc = hd_native_opened(m, n)) < 0) {
        end_open(m, h);
    }
    if (rc == -ESTALE) {
        hd_native_be_cautious(m);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "open", ino, rc);
    } else if (hd_backing_reply(req, n, h->mode, fi) != 0) {
        end_open(m, h);
    }
    hd_inode_put(&m->inodes, n);
}

/* Makes the file; of one that is there already (no O_EXCL) the answer says so. */
static int make_node(struct hd_mount *m, fuse_req_t req, uint64_t parent, const char *name,
                     mode_t mode, int flags, struct hd_posix_made *ret)
{
    struct hd_posix_cred cred;
    hd_native_cred(req, &cred);
    const struct hd_posix_make make = {
        .name = name,
        .mode = S_IFREG | (mode & 07777),
        .umask = fuse_req_ctx(req)->umask,
        .exclusive = (flags & O_EXCL) != 0,
        .open = true,
    };
    int rc = hd_posix_make_node(m->posix, &cred, hd_inode_id(&m->inodes, parent), &make, ret);
    if (rc == 0 && ret->dir.ino != 0) {
        (void)hd_native_learned(m, &ret->dir);
    }
    return rc;
}

static int open_made(struct hd_mount *m, fuse_req_t req, const struct hd_posix_made *made,
                     uint64_t ino, struct fuse_file_info *fi, struct hd_handle **ret)
{
    struct hd_handle *h;
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    int rc = n == NULL ? -ESTALE : 0;
    if (rc == 0 && made->existed) {
        rc = S_ISREG(made->attr.mode) ? open_known(m, req, n, fi, ret) : -ESTALE;
        if (rc == 0 && hd_open_is_passed((*ret)->mode)) {
            end_open(m,
                     *ret); /* CREATE has no answer with a backing id: the kernel shall OPEN it */
            rc = -ESTALE;
        }
    } else if (rc == 0 && (rc = new_handle(m, req, n, fi->flags, &h)) == 0) {
        if (made->granted == HDW__CAP_KIND__CAP_WRITE) {
            rc = hd_claim_adopt(m, h->claim, &made->attr, made->serial);
        }
        if (rc == 0) {
            admit(m, h, fi);
            *ret = h;
        } else {
            hd_handle_free(m, h);
        }
    }
    hd_inode_put(&m->inodes, n);
    return rc;
}

/* A new file's name, or the one that has it, and its handle. */
struct birth {
    struct hd_posix_made made;
    struct fuse_entry_param entry;
    struct hd_handle *handle;
};

static int make_and_open(struct hd_mount *m, fuse_req_t req, uint64_t parent, const char *name,
                         mode_t mode, struct fuse_file_info *fi, struct birth *ret)
{
    *ret = (struct birth){0};
    int rc = make_node(m, req, parent, name, mode, fi->flags, &ret->made);
    if (rc == 0) {
        rc = hd_native_entry(m, &ret->made.attr, ret->made.attr.cached, parent, name, &ret->entry);
    }
    if (rc < 0) {
        ret->entry.ino = 0;
        return rc;
    }
    return open_made(m, req, &ret->made, ret->entry.ino, fi, &ret->handle);
}

static void undo_birth(struct hd_mount *m, struct birth *b)
{
    if (b->entry.ino != 0) {
        hd_inode_forget(&m->inodes, b->entry.ino, 1);
    }
    hd_posix_made_done(&b->made);
}

void hd_io_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct birth b;
    hd_native_change_begin(m, parent);
    int rc = make_and_open(m, req, parent, name, mode, fi, &b);
    /* What had the name may have lost it again before it was open: who has it now? */
    for (int tries = 0; rc == -ESTALE && b.made.existed && tries < CREATE_TRIES; tries++) {
        undo_birth(m, &b);
        hd_native_be_cautious(m);
        rc = make_and_open(m, req, parent, name, mode, fi, &b);
    }
    if (rc == 0 && (fi->flags & O_TRUNC) != 0) {
        hd_io_overlay(m, b.handle->node->id, &b.entry.attr);
    }
    bool answered = true;
    hd_native_change_end(m, parent);
    if (rc < 0) {
        hd_mount_fail(req, "create", parent, rc);
    } else {
        answered = fuse_reply_create(req, &b.entry, fi) == 0;
    }
    if (!answered) {
        end_open(m, b.handle);
    }
    if (rc < 0 || !answered) {
        undo_birth(m, &b);
    } else {
        hd_native_answered(m, &b.entry);
        hd_posix_made_done(&b.made);
    }
}

void hd_io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    hd_locks_release(m, hd_inode_id(&m->inodes, ino), fi);
    end_open(m, hd_handle_of(fi));
    fuse_reply_err(req, 0);
}

/* ---- errors that come later than the write they are of ---- */

/* This handle's operation failed and says so: it is not told again. */
static int note_failure(struct hd_handle *h, int rc)
{
    struct hd_claim *c = h->claim;
    pthread_mutex_lock(&c->lock);
    hd_claim_failed(c, rc);
    h->errors_seen = c->error_count;
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* A failure since that this handle has not told, or rc. */
static int take_failure(struct hd_handle *h, int rc)
{
    struct hd_claim *c = h->claim;
    pthread_mutex_lock(&c->lock);
    if (h->errors_seen != c->error_count) {
        rc = rc < 0 ? rc : c->write_error;
        h->errors_seen = c->error_count;
    }
    pthread_mutex_unlock(&c->lock);
    return rc;
}

/* ---- reading and writing ---- */

static void drop_range(struct hd_mount *m, uint64_t ino, uint64_t offset, size_t size)
{
    (void)fuse_lowlevel_notify_inval_inode(m->session, ino, (off_t)offset, (off_t)size);
}

void hd_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_claim *c = hd_handle_of(fi)->claim;
    struct hd_content *content;
    void *out = hd_buffers_take(&m->buffers);
    size = HD_MIN(size, (size_t)HD_MOUNT_IO_BYTES);
    int rc = out == NULL ? -ENOMEM : hd_claim_enter(m, c, HDW__CAP_KIND__CAP_READ, false, &content);
    if (rc < 0) {
        hd_mount_fail_object(req, "read", ino, rc);
        hd_buffers_give(&m->buffers, out);
        return;
    }
    int64_t got = hd_content_pread(content, out, size, (uint64_t)off);
    if (got < 0) {
        hd_mount_fail_object(req, "read", ino, (int)got);
    } else {
        fuse_reply_buf(req, out, (size_t)got);
    }
    hd_claim_leave(m, c, (struct hd_claim_range){(uint64_t)off, (uint64_t)off + size});
    hd_buffers_give(&m->buffers, out);
    if (rc > 0) {
        drop_range(m, ino, (uint64_t)off, size); /* nothing may be kept */
    }
}

/* Set-id bits go when somebody without privileges writes. */
static void clear_set_id(struct hd_mount *m, fuse_req_t req, uint64_t ino)
{
    struct stat st;
    if (fuse_req_ctx(req)->uid == 0 || !hd_native_known(m, ino, &st, NULL) ||
        ((st.st_mode & S_ISUID) == 0 &&
         (st.st_mode & (S_ISGID | S_IXGRP)) != (S_ISGID | S_IXGRP))) {
        return;
    }
    mode_t gone = S_ISUID | ((st.st_mode & S_IXGRP) != 0 ? S_ISGID : 0);
    const struct hd_posix_change change = {.has_mode = true, .mode = st.st_mode & 07777 & ~gone};
    struct hd_posix_attr attr = {0};
    if (hd_posix_set_attr(m->posix, NULL, hd_inode_id(&m->inodes, ino), &change, &attr) == 0) {
        (void)hd_native_learned(m, &attr);
    }
    hd_posix_attr_done(&attr);
}

void hd_io_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    struct hd_claim *c = h->claim;
    struct hd_content *content;
    bool page = fi->writepage;
    uint64_t at = (uint64_t)off;
    int rc = at + size > HD_FILE_MAX_BYTES ? -EFBIG : hd_claim_wait_memory(m, c);
    if (!page) {
        clear_set_id(m, req, ino);
    }
    if (rc == 0) {
        rc = hd_claim_enter(m, c, HDW__CAP_KIND__CAP_WRITE, page, &content);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "write", ino, rc);
        return;
    }
    if (h->append && !page) {
        at = hd_content_size(content); /* writes of one inode come one at a time from the kernel */
    }
    rc = hd_content_pwrite(content, data, size, at);
    hd_claim_wrote(m, c, size);
    if (rc < 0) {
        hd_mount_fail_object(req, "write", ino, note_failure(h, rc));
    } else {
        fuse_reply_write(req, size);
    }
    bool moved = at != (uint64_t)off;
    hd_claim_leave(m, c, moved ? HD_CLAIM_ALL : (struct hd_claim_range){at, at + size});
    if (moved) {
        drop_range(m, ino, 0, 0); /* the kernel has put the bytes where it thought the end is */
    }
}

/* ---- close and sync ---- */

void hd_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    struct hd_claim *c = h->claim;
    struct hd_posix_attr attr = {0};
    int rc = 0;
    if (h->writable) {
        /* Blocks stay open while a duplicate of the descriptor goes on; small content has none. */
        bool large = atomic_load(&c->shadows) &&
                     atomic_load(&c->size_bytes) > hd_posix_content_max(m->posix);
        bool told = atomic_load(&c->told);
        rc = large && hd_handle_is_duplicate(m, req, h) ? hd_claim_flush(m, c, false)
                                                        : hd_claim_settle(m, c, NULL, &attr);
        if (rc > 0) {
            (void)hd_native_learned(m, &attr);
            if (told) { /* ctime is meta's now */
                (void)fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
            }
        }
        rc = take_failure(h, HD_MIN(rc, 0));
    }
    hd_posix_attr_done(&attr);
    hd_locks_flush(m, hd_inode_id(&m->inodes, ino), fi->lock_owner);
    if (rc < 0) {
        hd_mount_fail_object(req, "flush", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

/* Settles, and tells the kernel: 0 or an error. */
static int settle(struct hd_mount *m, fuse_ino_t ino, struct hd_claim *c)
{
    struct hd_posix_attr attr = {0};
    bool told = atomic_load(&c->told);
    int rc = hd_claim_settle(m, c, NULL, &attr);
    if (rc > 0) {
        (void)hd_native_learned(m, &attr);
        if (told) { /* ctime is meta's now */
            (void)fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
        }
    }
    hd_posix_attr_done(&attr);
    return HD_MIN(rc, 0);
}

/* What was lost with a meta since this handle was opened is an error once. */
static int check_losses(struct hd_handle *h)
{
    uint32_t now = hd_fs_losses(h->fs);
    if (atomic_exchange(&h->losses, now) == now) {
        return 0;
    }
    return hd_fail(-EIO, "changes that were not synced got lost with their meta");
}

/*
 * What was written here is on the disks of its nodes, and its place in the namespace is durable. A
 * file that was settled before, here or anywhere, is made durable replica by replica.
 */
void hd_io_fsync(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    struct hd_claim *c = h->claim;
    int rc = hd_claim_has_wishes(c) ? settle(m, ino, c) : 0;
    rc = rc < 0 ? rc : hd_claim_sync(m, c);
    if (rc == 0) {
        char path[HD_INODE_PATH_BYTES];
        hd_inode_object(&m->inodes, ino, path);
        rc = hd_fs_sync_blocks(h->fs, path);
        rc = rc < 0 ? rc : hd_handle_sync_names(h);
    }
    rc = take_failure(h, HD_MIN(rc, 0));
    rc = rc < 0 ? rc : check_losses(h);
    if (rc < 0) {
        hd_mount_fail_object(req, "fsync", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

/* ---- holes, space, copies ---- */

void hd_io_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_claim *c = hd_handle_of(fi)->claim;
    struct hd_content *content;
    uint64_t found = 0;
    int rc = -EINVAL;
    if (whence == SEEK_DATA || whence == SEEK_HOLE) {
        rc = off < 0 ? -ENXIO : hd_claim_enter(m, c, HDW__CAP_KIND__CAP_READ, false, &content);
        if (rc >= 0) {
            rc = hd_content_next(content, (uint64_t)off, whence == SEEK_DATA, &found);
            hd_claim_leave(m, c, HD_CLAIM_NOTHING);
        }
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "lseek", ino, rc);
        return;
    }
    fuse_reply_lseek(req, (off_t)found);
}

static int allocate(struct hd_content *content, int mode, uint64_t offset, uint64_t length)
{
    bool keep_size = (mode & FALLOC_FL_KEEP_SIZE) != 0;
    switch (mode & ~FALLOC_FL_KEEP_SIZE) {
    case 0:
        return hd_content_allocate(content, offset, length, keep_size);
    case FALLOC_FL_PUNCH_HOLE:
        return hd_content_zero(content, offset, length, true);
    case FALLOC_FL_ZERO_RANGE:
        if (keep_size) {
            uint64_t size = hd_content_size(content);
            length = offset < size ? HD_MIN(length, size - offset) : 0;
        }
        return length == 0 ? 0 : hd_content_zero(content, offset, length, false);
    default:
        return -EOPNOTSUPP;
    }
}

void hd_io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    struct hd_claim *c = h->claim;
    struct hd_content *content;
    const int known = FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE | FALLOC_FL_ZERO_RANGE;
    int rc = (mode & ~known) != 0                                      ? -EOPNOTSUPP
             : (uint64_t)offset + (uint64_t)length > HD_FILE_MAX_BYTES ? -EFBIG
                                                                       : 0;
    if (rc == 0) {
        rc = hd_claim_enter(m, c, HDW__CAP_KIND__CAP_WRITE, false, &content);
    }
    if (rc >= 0) {
        rc = allocate(content, mode, (uint64_t)offset, (uint64_t)length);
        hd_claim_wrote(m, c, 0);
        hd_claim_spread(c, rc);
        hd_claim_leave(m, c, HD_CLAIM_NOTHING);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "fallocate", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

/* One piece; the number of bytes, 0 at the end of the source. */
static int64_t copy_piece(struct hd_mount *m, struct hd_claim *from, uint64_t from_at,
                          struct hd_claim *to, uint64_t to_at, void *buffer, size_t size)
{
    struct hd_content *content;
    int rc = hd_claim_enter(m, from, HDW__CAP_KIND__CAP_READ, false, &content);
    if (rc < 0) {
        return rc;
    }
    int64_t got = hd_content_pread(content, buffer, size, from_at);
    hd_claim_leave(m, from, HD_CLAIM_NOTHING);
    if (got <= 0) {
        return got;
    }
    rc = hd_claim_wait_memory(m, to);
    if (rc == 0) {
        rc = hd_claim_enter(m, to, HDW__CAP_KIND__CAP_WRITE, false, &content);
    }
    if (rc < 0) {
        return rc;
    }
    rc = hd_content_pwrite(content, buffer, (size_t)got, to_at);
    hd_claim_wrote(m, to, (size_t)got);
    if (rc < 0) { /* pieces before may have been lost, of which the answer tells */
        pthread_mutex_lock(&to->lock);
        hd_claim_failed(to, rc);
        pthread_mutex_unlock(&to->lock);
    }
    hd_claim_leave(m, to, (struct hd_claim_range){to_at, to_at + (uint64_t)got});
    return rc < 0 ? rc : got;
}

void hd_io_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t length)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *in = hd_handle_of(fi_in);
    struct hd_handle *out = hd_handle_of(fi_out);
    void *buffer = hd_buffers_take(&m->buffers);
    size_t done = 0;
    int64_t got = buffer == NULL ? -ENOMEM : 1;
    (void)ino_in;
    length = HD_MIN(length, (size_t)COPY_BYTES);
    if ((uint64_t)off_out + length > HD_FILE_MAX_BYTES) {
        got = -EFBIG;
    }
    while (got > 0 && done < length) {
        size_t size = HD_MIN(length - done, (size_t)HD_MOUNT_IO_BYTES);
        got = copy_piece(m, in->claim, (uint64_t)off_in + done, out->claim,
                         (uint64_t)off_out + done, buffer, size);
        done += got > 0 ? (size_t)got : 0;
    }
    hd_buffers_give(&m->buffers, buffer);
    if (got < 0 && done == 0) {
        hd_mount_fail_object(req, "copy_file_range", ino_out, (int)got);
        return;
    }
    fuse_reply_write(req, done);
}
