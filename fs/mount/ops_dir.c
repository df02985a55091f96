/* Names into inodes, and directories read: lookup, forget, readdir, readdirplus. */
#include "fs/mount/attr.h"
#include "fs/mount/native.h"
#include "fs/mount/listing.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

/* "." and ".." come before the entries of the listing. */
enum { DOT_ENTRIES = 2 };

struct dir_handle {
    struct hd_fs *fs;
    struct hd_listing *listing;
    pthread_mutex_t lock;
    uint32_t losses; /* (lock) that fsync has told of */
    char path[HD_INODE_PATH_BYTES];
};

static struct dir_handle *dir_of(const struct fuse_file_info *fi)
{
    return (struct dir_handle *)(uintptr_t)fi->fh;
}

void hd_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_lookup(req, parent, name);
        return;
    }
    struct hd_fs *fs;
    int rc = hd_mount_caller(hd_mount_of(req), req, &fs);
    if (rc < 0) {
        hd_mount_fail(req, "lookup", parent, rc);
        return;
    }
    hd_attr_reply_entry(req, fs, "lookup", parent, name);
}

void hd_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup)
{
    hd_inode_forget(&hd_mount_of(req)->inodes, ino, nlookup);
    fuse_reply_none(req);
}

void hd_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets)
{
    for (size_t i = 0; i < count; i++) {
        hd_inode_forget(&hd_mount_of(req)->inodes, forgets[i].ino, forgets[i].nlookup);
    }
    fuse_reply_none(req);
}

static int source_open(void *arg, const char *start_after, void **ret)
{
    struct dir_handle *d = arg;
    struct hd_dir *dir = NULL;
    int rc = hd_dir_open(d->fs, d->path, start_after, &dir);
    *ret = dir;
    return rc;
}

static int source_next(void *cursor, struct hd_stat *ret)
{
    return hd_dir_next(cursor, ret);
}

static void source_close(void *cursor)
{
    hd_dir_close(cursor);
}

void hd_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_opendir(req, ino, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct dir_handle *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        hd_mount_fail(req, "opendir", ino, -ENOMEM);
        return;
    }
    struct hd_listing_source source = {source_open, source_next, source_close, d};
    int rc = hd_mount_caller(m, req, &d->fs);
    if (rc == 0) {
        rc = hd_listing_new(&source, &d->listing);
    }
    if (rc < 0) {
        free(d);
        hd_mount_fail(req, "opendir", ino, rc);
        return;
    }
    hd_inode_object(&m->inodes, ino, d->path);
    d->losses = hd_fs_losses(d->fs);
    pthread_mutex_init(&d->lock, NULL);
    fi->fh = (uintptr_t)d;
    if (fuse_reply_open(req, fi) != 0) {
        hd_listing_free(d->listing);
        free(d);
    }
}

/* An answer to READDIR or READDIRPLUS while it is filled. */
struct dir_answer {
    fuse_req_t req;
    bool plus;
    uint64_t ino; /* of the directory */
    char *data;
    size_t size;
    size_t used;
};

/* False when the answer is full. */
static bool add_dot(struct dir_answer *a, const char *name, uint64_t ino, off_t next)
{
    struct fuse_entry_param e = {.attr = {.st_ino = ino, .st_mode = S_IFDIR}};
    size_t room = a->size - a->used;
    size_t n = a->plus ? fuse_add_direntry_plus(a->req, a->data + a->used, room, name, &e, next)
                       : fuse_add_direntry(a->req, a->data + a->used, room, name, &e.attr, next);
    if (n > room) {
        return false;
    }
    a->used += n;
    return true;
}

static mode_t type_mode(enum hd_file_type type)
{
    switch (type) {
    case HD_TYPE_DIR:
        return S_IFDIR;
    case HD_TYPE_FILE:
        return S_IFREG;
    case HD_TYPE_SYMLINK:
        return S_IFLNK;
    }
    return 0;
}

static bool add_plain(struct dir_answer *a, const struct hd_stat *st, off_t next)
{
    struct hd_mount *m = hd_mount_of(a->req);
    struct stat attr = {.st_ino = hd_inode_ino(&m->inodes, st->ino),
                        .st_mode = type_mode(st->type)};
    size_t room = a->size - a->used;
    size_t n = fuse_add_direntry(a->req, a->data + a->used, room, st->name, &attr, next);
    if (n > room) {
        return false;
    }
    a->used += n;
    return true;
}

/* An entry with its attributes counts as a lookup of it. */
static bool add_plus(struct dir_answer *a, const struct hd_stat *st, off_t next)
{
    struct hd_mount *m = hd_mount_of(a->req);
    struct fuse_entry_param e = {0};
    size_t room = a->size - a->used;
    if (fuse_add_direntry_plus(a->req, NULL, 0, st->name, &e, next) > room) {
        return false;
    }
    if (hd_attr_entry(m, st, a->ino, st->name, &e) < 0) {
        return false;
    }
    e.entry_timeout = e.attr_timeout; /* `ls -l` looks at each of them soon */
    a->used += fuse_add_direntry_plus(a->req, a->data + a->used, room, st->name, &e, next);
    return true;
}

static int fill(struct dir_answer *a, struct dir_handle *d, off_t off)
{
    if (off == 0) {
        hd_listing_rewind(d->listing);
        if (!add_dot(a, ".", a->ino, 1)) {
            return 0;
        }
        off = 1;
    }
    if (off == 1) {
        if (!add_dot(a, "..", hd_inode_parent(&hd_mount_of(a->req)->inodes, a->ino), DOT_ENTRIES)) {
            return 0;
        }
        off = DOT_ENTRIES;
    }
    for (;; off++) {
        const struct hd_stat *st;
        int rc = hd_listing_at(d->listing, (uint64_t)(off - DOT_ENTRIES), &st);
        if (rc <= 0) {
            return a->used > 0 ? 0 : rc;
        }
        if (a->plus ? !add_plus(a, st, off + 1) : !add_plain(a, st, off + 1)) {
            return 0;
        }
    }
}

/* Takes back the lookups that an answer which did not arrive had counted. */
static void forget_answer(struct hd_mount *m, const struct dir_answer *a)
{
    struct plus_head { /* struct fuse_direntplus begins so: fuse_entry_out (128), fuse_dirent */
        uint64_t nodeid;
        uint8_t rest[120];
        uint64_t ino;
        uint64_t off;
        uint32_t name_size;
        uint32_t type;
    } head;
    for (size_t at = 0; a->plus && at + sizeof(head) <= a->used;) {
        memcpy(&head, a->data + at, sizeof(head));
        if (head.nodeid != 0) {
            hd_inode_forget(&m->inodes, head.nodeid, 1);
        }
        at += (sizeof(head) + head.name_size + 7) / 8 * 8;
    }
}

static void read_directory(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                           struct fuse_file_info *fi, bool plus)
{
    struct hd_mount *m = hd_mount_of(req);
    struct dir_handle *d = dir_of(fi);
    struct dir_answer a = {.req = req, .plus = plus, .ino = ino, .size = size};
    a.data = malloc(size);
    if (a.data == NULL) {
        hd_mount_fail(req, "readdir", ino, -ENOMEM);
        return;
    }
    pthread_mutex_lock(&d->lock);
    int rc = fill(&a, d, off);
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        hd_mount_fail_object(req, "readdir", ino, rc);
    } else if (fuse_reply_buf(req, a.data, a.used) != 0) {
        forget_answer(m, &a);
    }
    free(a.data);
}

void hd_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                   struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_readdir(req, ino, size, off, fi, false);
        return;
    }
    read_directory(req, ino, size, off, fi, false);
}

void hd_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_readdir(req, ino, size, off, fi, true);
        return;
    }
    read_directory(req, ino, size, off, fi, true);
}

void hd_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_releasedir(req, fi);
        return;
    }
    struct dir_handle *d = dir_of(fi);
    (void)ino;
    hd_listing_free(d->listing);
    pthread_mutex_destroy(&d->lock);
    free(d);
    fuse_reply_err(req, 0);
}

void hd_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_fsyncdir(req, ino, fi);
        return;
    }
    (void)datasync;
    struct dir_handle *d = dir_of(fi);
    pthread_mutex_lock(&d->lock);
    uint32_t losses = d->losses;
    pthread_mutex_unlock(&d->lock);
    int rc = hd_fs_sync_since(d->fs, &losses);
    pthread_mutex_lock(&d->lock);
    d->losses = losses;
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        hd_mount_fail(req, "fsyncdir", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}
