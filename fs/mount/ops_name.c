/* Names made, moved and removed: mkdir, rmdir, unlink, rename, symlink, readlink, mknod. */
#include "fs/mount/attr.h"
#include "fs/mount/native.h"
#include "fs/base/error.h"

#include <errno.h>

/* RENAME_NOREPLACE of linux/fs.h, which clashes with sys/mount.h. */
enum { NO_REPLACE = 1 };

void hd_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_mkdir(req, parent, name, mode);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        rc = hd_fs_mkdir(fs, path, mode & 01777, false);
    }
    if (rc < 0) {
        hd_mount_fail(req, "mkdir", parent, rc);
        return;
    }
    hd_inode_dir_changed(&m->inodes, parent, 0);
    hd_attr_reply_entry(req, fs, "mkdir", parent, name);
}

void hd_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_remove(req, parent, name, true);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        rc = hd_fs_delete(fs, path, false);
    }
    if (rc <= 0) {
        hd_mount_fail(req, "rmdir", parent, rc < 0 ? rc : -ENOENT);
        return;
    }
    hd_inode_unlinked(&m->inodes, parent, name);
    hd_inode_dir_changed(&m->inodes, parent, 0);
    fuse_reply_err(req, 0);
}

/*
 * A file that somebody here has open lives on under a hidden name until the last close, as over
 * NFS: the server would free its blocks. Opens that are passed through hold the blocks themselves.
 * Returns 1 when the file was hidden, 0 when it is not open, or an error.
 */
static int hide_if_open(struct hd_mount *m, struct hd_fs *fs, uint64_t parent, const char *name)
{
    struct hd_node *n = hd_inode_get_child(&m->inodes, parent, name);
    if (n == NULL) {
        return 0;
    }
    pthread_mutex_lock(&m->inodes.lock);
    bool open = n->opens.cached + n->opens.direct > 0 || n->writers > 0;
    pthread_mutex_unlock(&m->inodes.lock);
    int rc = 0;
    if (open) {
        char from[HD_INODE_PATH_BYTES];
        char to[HD_INODE_PATH_BYTES];
        char hidden[64];
        snprintf(hidden, sizeof(hidden), ".howdah-unlinked-%llx-%x", (unsigned long long)n->id,
                 atomic_fetch_add(&m->hidden_count, 1));
        (void)hd_inode_child(&m->inodes, parent, name, from);
        (void)hd_inode_child(&m->inodes, parent, hidden, to);
        rc = hd_fs_rename(fs, from, to, false);
        if (rc == 0) {
            hd_inode_moved(&m->inodes, parent, name, parent, hidden);
            pthread_mutex_lock(&m->inodes.lock);
            n->hidden = true;
            pthread_mutex_unlock(&m->inodes.lock);
            rc = 1;
        }
    }
    hd_inode_put(&m->inodes, n);
    return rc;
}

void hd_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_remove(req, parent, name, false);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        rc = hide_if_open(m, fs, parent, name);
    }
    if (rc == 0) {
        rc = hd_fs_delete(fs, path, false);
        rc = rc == 0 ? -ENOENT : rc;
        if (rc > 0) {
            hd_inode_unlinked(&m->inodes, parent, name);
        }
    }
    if (rc < 0) {
        hd_mount_fail(req, "unlink", parent, rc);
        return;
    }
    hd_inode_dir_changed(&m->inodes, parent, 0);
    fuse_reply_err(req, 0);
}

void hd_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned int flags)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_rename(req, parent, name, new_parent, new_name, flags);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char from[HD_INODE_PATH_BYTES];
    char to[HD_INODE_PATH_BYTES];
    if ((flags & ~(unsigned)NO_REPLACE) != 0) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    int rc = hd_inode_child(&m->inodes, parent, name, from);
    if (rc == 0) {
        rc = hd_inode_child(&m->inodes, new_parent, new_name, to);
    }
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        rc = hd_fs_rename(fs, from, to, (flags & NO_REPLACE) == 0);
    }
    if (rc < 0) {
        hd_mount_fail(req, "rename", parent, rc);
        return;
    }
    hd_inode_moved(&m->inodes, parent, name, new_parent, new_name);
    hd_inode_dir_changed(&m->inodes, parent, 0);
    hd_inode_dir_changed(&m->inodes, new_parent, 0);
    fuse_reply_err(req, 0);
}

void hd_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_symlink(req, target, parent, name);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        rc = hd_fs_symlink(fs, target, path);
    }
    if (rc < 0) {
        hd_mount_fail(req, "symlink", parent, rc);
        return;
    }
    hd_inode_dir_changed(&m->inodes, parent, 0);
    hd_attr_reply_entry(req, fs, "symlink", parent, name);
}

void hd_op_readlink(fuse_req_t req, fuse_ino_t ino)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_readlink(req, ino);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_fs_stat(fs, path, &st);
    }
    if (rc == 0 && (st.type != HD_TYPE_SYMLINK || st.link == NULL)) {
        rc = -EINVAL;
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "readlink", ino, rc);
        return;
    }
    fuse_reply_readlink(req, st.link);
}

void hd_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_mknod(req, parent, name, mode, dev);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    (void)dev;
    if (!S_ISREG(mode)) {
        fuse_reply_err(req, EOPNOTSUPP);
        return;
    }
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        struct hd_create_options o = {.mode = mode & 01777};
        struct hd_file *file = NULL;
        rc = hd_file_create(fs, path, &o, &file);
        if (rc == 0) {
            rc = hd_file_close(file);
        }
    }
    if (rc < 0) {
        hd_mount_fail(req, "mknod", parent, rc);
        return;
    }
    hd_inode_dir_changed(&m->inodes, parent, 0);
    hd_attr_reply_entry(req, fs, "mknod", parent, name);
}

void hd_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_link(req, ino, new_parent, new_name);
        return;
    }
    fuse_reply_err(req, EOPNOTSUPP);
}
