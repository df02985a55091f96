/* Attributes. See attr.h. */
#include "fs/mount/attr.h"
#include "fs/base/error.h"

#include <errno.h>

enum { STAT_BLOCK_BYTES = 512 };

struct timespec hd_attr_timespec(int64_t ms)
{
    int64_t s = ms / 1000;
    int64_t rest = ms % 1000;
    if (rest < 0) {
        rest += 1000;
        s--;
    }
    return (struct timespec){.tv_sec = s, .tv_nsec = rest * 1000000};
}

int64_t hd_attr_ms(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000 + t->tv_nsec / 1000000;
}

void hd_attr_fill(struct hd_users *users, const struct hd_stat *st, uint64_t ino, struct stat *ret)
{
    *ret = (struct stat){
        .st_ino = ino,
        .st_mode = st->mode & 01777,
        .st_nlink = 1,
        .st_uid = hd_users_uid(users, st->owner),
        .st_gid = hd_users_gid(users, st->group),
        .st_blksize = HD_MOUNT_IO_BYTES,
        .st_mtim = hd_attr_timespec(st->mtime_ms),
        .st_ctim = hd_attr_timespec(st->mtime_ms),
        .st_atim = hd_attr_timespec(st->atime_ms > 0 ? st->atime_ms : st->mtime_ms),
    };
    switch (st->type) {
    case HD_TYPE_DIR:
        ret->st_mode |= S_IFDIR;
        ret->st_nlink = 2 + (nlink_t)HD_MAX(st->children, 0);
        ret->st_size = HD_DIR_BYTES;
        ret->st_blocks = HD_DIR_BYTES / STAT_BLOCK_BYTES;
        ret->st_blksize = HD_DIR_BYTES;
        break;
    case HD_TYPE_FILE:
        ret->st_mode |= S_IFREG;
        ret->st_size = (off_t)st->size_bytes;
        ret->st_blocks = (blkcnt_t)((st->size_bytes + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES);
        break;
    case HD_TYPE_SYMLINK:
        ret->st_mode = S_IFLNK | 0777;
        ret->st_size = st->link != NULL ? (off_t)strlen(st->link) : 0;
        break;
    }
}

struct hd_seen hd_attr_seen(const struct stat *st)
{
    return (struct hd_seen){
        .size_bytes = (uint64_t)st->st_size,
        .mtime_ms = hd_attr_ms(&st->st_mtim),
        .gid = st->st_gid,
    };
}

void hd_attr_overlay(const struct hd_node *n, struct stat *st)
{
    uint64_t size = atomic_load(&n->staged_size);
    if (size == HD_NOT_STAGED || !S_ISREG(st->st_mode)) {
        return;
    }
    st->st_size = (off_t)size;
    st->st_blocks = (blkcnt_t)((size + STAT_BLOCK_BYTES - 1) / STAT_BLOCK_BYTES);
    st->st_mtim = hd_attr_timespec(atomic_load(&n->staged_mtime_ms));
    st->st_ctim = st->st_mtim;
}

int hd_attr_entry(struct hd_mount *m, const struct hd_stat *st, uint64_t parent, const char *name,
                  struct fuse_entry_param *ret)
{
    uint64_t ino = hd_inode_ino(&m->inodes, st->ino);
    *ret = (struct fuse_entry_param){
        .ino = ino,
        .attr_timeout = m->attr_timeout_s,
        .entry_timeout = m->entry_timeout_s,
    };
    hd_attr_fill(m->users, st, ino, &ret->attr);
    struct hd_seen seen = hd_attr_seen(&ret->attr);
    struct hd_node *n;
    int rc = hd_inode_enter(&m->inodes, st->ino, parent, name, &seen, &n);
    if (rc < 0) {
        return rc;
    }
    hd_attr_overlay(n, &ret->attr);
    return 0;
}

void hd_attr_reply_entry(fuse_req_t req, struct hd_fs *fs, const char *operation, uint64_t parent,
                         const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    char path[HD_INODE_PATH_BYTES];
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    struct fuse_entry_param entry;
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_fs_stat(fs, path, &st);
    }
    if (rc == 0) {
        rc = hd_attr_entry(m, &st, parent, name, &entry);
    }
    if (rc < 0) {
        hd_mount_fail(req, operation, parent, rc);
    } else if (fuse_reply_entry(req, &entry) != 0) {
        hd_inode_forget(&m->inodes, entry.ino, 1);
    }
}

int hd_attr_get(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, struct stat *ret)
{
    char path[HD_INODE_PATH_BYTES];
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_fs_stat(fs, path, &st);
    if (rc < 0) {
        return rc;
    }
    hd_attr_fill(m->users, &st, ino, ret);
    struct hd_seen seen = hd_attr_seen(ret);
    hd_inode_see(&m->inodes, ino, &seen);
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    if (n != NULL) {
        hd_attr_overlay(n, ret);
        hd_inode_put(&m->inodes, n);
    }
    return 0;
}
