/*
 * One mount: what its operations share. Made by session.c, read by every ops_*.c.
 *
 *   options.c      command line and configuration
 *   session.c      the life of the mount
 *   device.c       /dev/fuse and the mount point
 *   guard.c        a process that frees programs when this one is killed
 *   keeper.c       the thread that sends waiting bytes
 *   stopper.c      the thread that ends the mount on a signal
 *   init_reply.c   FUSE_INIT, completed for passthrough
 *   inode_table.c  inodes the kernel knows
 *   users.c        names and numbers of users and groups
 *   attr.c         attributes
 *   listing.c      a directory while it is read
 *   native*.c      names and attributes of a mount with a session, and what meta tells it
 *   known.c        what of them may be kept, the rules
 *   notifier.c     how the kernel is told
 *   xattr_cache.c  extended attributes and ACLs that are known; acl_xattr.c: the kernel's form of
 * them locks.c        locks of files, held and waited for hold.c         written bytes that wait
 *   stage.c        an inode that is being written
 *   open_mode.c    page cache, direct or passthrough: the rules
 *   backing.c      backing files of passthrough
 *   handle.c       an open file
 *   buffers.c      memory for READ
 *   ops_*.c        the FUSE operations
 *
 * Every operation runs in a libfuse thread and may block in the client library.
 */
#ifndef HD_MOUNT_MOUNT_H
#define HD_MOUNT_MOUNT_H

#define FUSE_USE_VERSION 314

#include "fs/client/howdah.h"
#include "fs/mount/buffers.h"
#include "fs/mount/inode_table.h"
#include "fs/mount/options.h"
#include "fs/mount/users.h"

#include <fuse_lowlevel.h>

enum {
    HD_MOUNT_IO_BYTES = 1 << 20,       /* of one READ or WRITE */
    HD_HOLD_MAX_BYTES = 4 << 20,       /* held of one file */
    HD_HOLD_ALL_MAX_BYTES = 128 << 20, /* held of all files */
    HD_DIR_BYTES = 4096,               /* st_size of a directory */
};

/* The largest gap that is filled with zeros when a file grows past its end. */
#define HD_ZERO_FILL_MAX_BYTES ((uint64_t)4 << 30)

struct hd_device;
struct hd_native;
struct hd_posix;
struct hd_claims;

struct hd_mount {
    const struct hd_mount_options *options;
    struct hd_fs *fs;         /* as the user of the process, or of -o user */
    struct hd_posix *posix;   /* NULL: a foreign HDFS, without sessions */
    struct hd_native *native; /* with posix: names and attributes (native.h) */
    struct hd_claims *claims; /* (io.h) NULL without a session */
    struct hd_users *users;
    struct hd_inode_table inodes;
    struct hd_buffers buffers;
    struct fuse_session *session;
    struct hd_device *device;
    double attr_timeout_s;
    double entry_timeout_s;
    _Atomic bool passthrough; /* the kernel agreed and the process may */
    _Atomic size_t held_bytes;
    _Atomic uint32_t hidden_count; /* names of unlinked open files given out */
    void (*ready)(void *arg);      /* called once, when the kernel has shaken hands */
    void *ready_arg;
};

static inline struct hd_mount *hd_mount_of(fuse_req_t req)
{
    return fuse_req_userdata(req);
}

/* The file system as the caller of a request. 0 or an error. */
int hd_mount_caller(struct hd_mount *m, fuse_req_t req, struct hd_fs **ret);

/* The errno (positive) for an error of the client: trouble on the way to a server is EIO. */
int hd_mount_errno(int err);

/* Answers with an error, and logs it when it is one an administrator wants to know. */
void hd_mount_fail(fuse_req_t req, const char *operation, uint64_t ino, int err);

/* The same for requests that name an inode by number: a vanished inode is ESTALE, so that the
 * kernel looks its name up again. */
void hd_mount_fail_object(fuse_req_t req, const char *operation, uint64_t ino, int err);

extern const struct fuse_lowlevel_ops hd_mount_operations;

/* ops_dir.c */
void hd_op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void hd_op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t nlookup);
void hd_op_forget_multi(fuse_req_t req, size_t count, struct fuse_forget_data *forgets);
void hd_op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                   struct fuse_file_info *fi);
void hd_op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi);
void hd_op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_fsyncdir(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);

/* ops_name.c */
void hd_op_mkdir(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode);
void hd_op_rmdir(fuse_req_t req, fuse_ino_t parent, const char *name);
void hd_op_unlink(fuse_req_t req, fuse_ino_t parent, const char *name);
void hd_op_rename(fuse_req_t req, fuse_ino_t parent, const char *name, fuse_ino_t new_parent,
                  const char *new_name, unsigned int flags);
void hd_op_symlink(fuse_req_t req, const char *target, fuse_ino_t parent, const char *name);
void hd_op_readlink(fuse_req_t req, fuse_ino_t ino);
void hd_op_link(fuse_req_t req, fuse_ino_t ino, fuse_ino_t new_parent, const char *new_name);
void hd_op_mknod(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode, dev_t dev);

/* ops_attr.c */
void hd_op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_setattr(fuse_req_t req, fuse_ino_t ino, struct stat *attr, int to_set,
                   struct fuse_file_info *fi);
void hd_op_statfs(fuse_req_t req, fuse_ino_t ino);

/* ops_file.c */
void hd_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi);
void hd_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void hd_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi);
void hd_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi);
void hd_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void hd_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi);
void hd_op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                           struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
                           struct fuse_file_info *fi_out, size_t length, int flags);

/* locks.c */
void hd_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock);
void hd_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
                 int sleep);
void hd_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op);

/* ops_xattr.c */
void hd_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void hd_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags);
void hd_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);
void hd_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name);

#endif
