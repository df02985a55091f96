/* Attributes: getattr, setattr, statfs. */
#include "fs/mount/attr.h"
#include "fs/mount/native.h"
#include "fs/mount/stage.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>

enum { STATFS_BLOCK_BYTES = 4096 };

void hd_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_getattr(req, ino);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    struct stat st;
    (void)fi;
    int64_t now = hd_clock_mono_ms().v;
    int64_t left_ms;
    if (hd_inode_kept_dir(&m->inodes, ino, now, &st, &left_ms)) {
        fuse_reply_attr(req, &st, (double)left_ms / 1000);
        return;
    }
    uint32_t changes = hd_inode_dir_changes(&m->inodes, ino);
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_attr_get(m, fs, ino, &st);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "getattr", ino, rc);
        return;
    }
    if (S_ISDIR(st.st_mode)) {
        hd_inode_keep_dir(&m->inodes, ino, changes, &st, now + m->options->attr_timeout_ms);
    }
    fuse_reply_attr(req, &st, m->attr_timeout_s);
}

/* HDFS keeps the sticky bit and no other of the upper ones: refused rather than dropped. */
static int set_mode(struct hd_fs *fs, const char *path, mode_t mode)
{
    if ((mode & (S_ISUID | S_ISGID)) != 0) {
        return hd_fail(-EOPNOTSUPP, "%s: no set-user-id and set-group-id bits", path);
    }
    return hd_fs_set_mode(fs, path, mode & 01777);
}

static int set_owner(struct hd_mount *m, struct hd_fs *fs, const char *path,
                     const struct stat *attr, int to_set)
{
    char user[HD_STAT_USER_BYTES];
    char group[HD_STAT_USER_BYTES];
    bool has_user = (to_set & FUSE_SET_ATTR_UID) != 0;
    bool has_group = (to_set & FUSE_SET_ATTR_GID) != 0;
    if (has_user) {
        hd_users_user_name(m->users, attr->st_uid, user);
    }
    if (has_group) {
        hd_users_group_name(m->users, attr->st_gid, group);
    }
    return hd_fs_set_owner(fs, path, has_user ? user : NULL, has_group ? group : NULL);
}

static int set_size(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, const char *path,
                    uint64_t size, bool open_here)
{
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    if (n == NULL) {
        return -ESTALE;
    }
    pthread_mutex_lock(&n->io);
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    int rc = n->stage == NULL ? hd_fs_stat(fs, path, &st) : 0;
    if (rc == 0 && n->stage == NULL && st.type != HD_TYPE_FILE) {
        rc = -EISDIR;
    }
    if (rc == 0) {
        rc = hd_stage_resize(m, n, fs, st.size_bytes, size);
    }
    if (rc == 0 && !open_here) {
        rc = hd_stage_finish(m, n);
    }
    pthread_mutex_unlock(&n->io);
    hd_inode_put(&m->inodes, n);
    return rc;
}

/* Completing a file sets its time, so a file that is being written is completed first. */
static int set_times(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, const char *path,
                     const struct stat *attr, int to_set)
{
    int64_t now = hd_clock_wall_ms().v;
    int64_t mtime_ms = -1;
    int64_t atime_ms = -1;
    if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
        mtime_ms = (to_set & FUSE_SET_ATTR_MTIME_NOW) != 0 ? now : hd_attr_ms(&attr->st_mtim);
    }
    if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
        atime_ms = (to_set & FUSE_SET_ATTR_ATIME_NOW) != 0 ? now : hd_attr_ms(&attr->st_atim);
    }
    int rc = 0;
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    if (n != NULL) {
        pthread_mutex_lock(&n->io);
        rc = hd_stage_finish(m, n);
        pthread_mutex_unlock(&n->io);
        hd_inode_put(&m->inodes, n);
    }
    return rc < 0 ? rc : hd_fs_set_times(fs, path, mtime_ms, atime_ms);
}

static bool is_open_here(struct hd_mount *m, uint64_t ino)
{
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    if (n == NULL) {
        return false;
    }
    pthread_mutex_lock(&m->inodes.lock);
    bool open = n->writers > 0;
    pthread_mutex_unlock(&m->inodes.lock);
    hd_inode_put(&m->inodes, n);
    return open;
}

static int set_all(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, const struct stat *attr,
                   int to_set)
{
    char path[HD_INODE_PATH_BYTES];
    hd_inode_object(&m->inodes, ino, path);
    int rc = 0;
    if ((to_set & FUSE_SET_ATTR_SIZE) != 0) {
        rc = set_size(m, fs, ino, path, (uint64_t)attr->st_size, is_open_here(m, ino));
    }
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0) {
        rc = set_owner(m, fs, path, attr, to_set);
    }
    if (rc == 0 && (to_set & FUSE_SET_ATTR_MODE) != 0) {
        rc = set_mode(fs, path, attr->st_mode);
    }
    if (rc == 0 && (to_set & (FUSE_SET_ATTR_MTIME | FUSE_SET_ATTR_ATIME)) != 0) {
        rc = set_times(m, fs, ino, path, attr, to_set);
    }
    return rc;
}

void hd_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                   struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_setattr(req, ino, attr, to_set);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    struct stat st;
    (void)fi;
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = set_all(m, fs, ino, attr, to_set);
        hd_inode_dir_changed(&m->inodes, ino, 0);
    }
    if (rc == 0) {
        rc = hd_attr_get(m, fs, ino, &st);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "setattr", ino, rc);
        return;
    }
    fuse_reply_attr(req, &st, m->attr_timeout_s);
}

void hd_op_statfs(fuse_req_t req, fuse_ino_t ino)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_statfs(req, ino);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_usage usage;
    struct hd_fs *fs;
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_fs_usage(fs, &usage);
    }
    if (rc < 0) {
        hd_mount_fail(req, "statfs", ino, rc);
        return;
    }
    struct statvfs st = {
        .f_bsize = STATFS_BLOCK_BYTES,
        .f_frsize = STATFS_BLOCK_BYTES,
        .f_blocks = usage.capacity_bytes / STATFS_BLOCK_BYTES,
        .f_bfree = usage.remaining_bytes / STATFS_BLOCK_BYTES,
        .f_bavail = usage.remaining_bytes / STATFS_BLOCK_BYTES,
        .f_namemax = 255,
    };
    fuse_reply_statfs(req, &st);
}
