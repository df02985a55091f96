/* What the operations share: the caller, errors, the table of operations. See mount.h. */
#include "fs/mount/mount.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>

int hd_mount_caller(struct hd_mount *m, fuse_req_t req, struct hd_fs **ret)
{
    if (m->options->user != NULL) {
        *ret = m->fs;
        return 0;
    }
    char name[HD_STAT_USER_BYTES];
    hd_users_user_name(m->users, fuse_req_ctx(req)->uid, name);
    return hd_fs_as(m->fs, name, ret);
}

int hd_mount_errno(int err)
{
    if (err == -HD_E_STANDBY || err == -HD_E_FENCED) {
        return EIO; /* nobody serves, and the retry time is over */
    }
    int e = hd_error_errno(err);
    switch (e) { /* numbers of the system: most go through as they are */
    case ECONNREFUSED:
    case ECONNRESET:
    case ECONNABORTED:
    case ETIMEDOUT:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN:
    case ENOTCONN:
    case EPIPE:
    case EPROTO:
    case EPROTONOSUPPORT:
    case ENODEV: /* would say that the mount is gone */
        return EIO;
    default:
        return e;
    }
}

void hd_mount_fail(fuse_req_t req, const char *operation, uint64_t ino, int err)
{
    int e = hd_mount_errno(err);
    if (e == EIO || e == ENOSPC || e == EROFS) {
        hd_log_warn("operation failed", "op=%s inode=%" PRIu64 " error=%s text=\"%s\"", operation,
                    ino, hd_error_name(err), hd_fail_describe(err));
    }
    fuse_reply_err(req, e);
}

void hd_mount_fail_object(fuse_req_t req, const char *operation, uint64_t ino, int err)
{
    hd_mount_fail(req, operation, ino, err == -ENOENT ? -ESTALE : err);
}

static void op_init(void *userdata, struct fuse_conn_info *conn)
{
    struct hd_mount *m = userdata;
    unsigned want = FUSE_CAP_ATOMIC_O_TRUNC | FUSE_CAP_ASYNC_READ | FUSE_CAP_PARALLEL_DIROPS |
                    FUSE_CAP_READDIRPLUS | FUSE_CAP_READDIRPLUS_AUTO | FUSE_CAP_AUTO_INVAL_DATA;
    /* Splicing gains nothing; writes must arrive in order. */
    unsigned refuse = FUSE_CAP_SPLICE_READ | FUSE_CAP_SPLICE_WRITE | FUSE_CAP_SPLICE_MOVE |
                      FUSE_CAP_WRITEBACK_CACHE | FUSE_CAP_ASYNC_DIO;
    if (m->posix != NULL) {
        /* What changes elsewhere is told, so that nothing needs to be guessed from times. */
        want |= FUSE_CAP_DONT_MASK | FUSE_CAP_EXPORT_SUPPORT | FUSE_CAP_CACHE_SYMLINKS |
                FUSE_CAP_EXPLICIT_INVAL_DATA | FUSE_CAP_POSIX_ACL;
        refuse |= FUSE_CAP_AUTO_INVAL_DATA;
    } else { /* HDFS has no locks: the kernel's own are better than none */
        refuse |= FUSE_CAP_POSIX_LOCKS | FUSE_CAP_FLOCK_LOCKS;
    }
    conn->want = ((conn->want | want) & conn->capable) & ~refuse;
    conn->max_write = HD_MOUNT_IO_BYTES;
    conn->max_readahead = HD_MOUNT_IO_BYTES;
    conn->max_background = 64;
    conn->congestion_threshold = 48;
    conn->time_gran = m->posix != NULL ? 1 : 1000000; /* HDFS keeps milliseconds */
    if (m->ready != NULL) {
        m->ready(m->ready_arg);
    }
}

const struct fuse_lowlevel_ops hd_mount_operations = {
    .init = op_init,
    .lookup = hd_op_lookup,
    .forget = hd_op_forget,
    .forget_multi = hd_op_forget_multi,
    .getattr = hd_op_getattr,
    .setattr = hd_op_setattr,
    .readlink = hd_op_readlink,
    .mknod = hd_op_mknod,
    .mkdir = hd_op_mkdir,
    .unlink = hd_op_unlink,
    .rmdir = hd_op_rmdir,
    .symlink = hd_op_symlink,
    .link = hd_op_link,
    .rename = hd_op_rename,
    .create = hd_op_create,
    .open = hd_op_open,
    .read = hd_op_read,
    .write = hd_op_write,
    .flush = hd_op_flush,
    .release = hd_op_release,
    .fsync = hd_op_fsync,
    .opendir = hd_op_opendir,
    .readdir = hd_op_readdir,
    .readdirplus = hd_op_readdirplus,
    .releasedir = hd_op_releasedir,
    .fsyncdir = hd_op_fsyncdir,
    .statfs = hd_op_statfs,
    .setxattr = hd_op_setxattr,
    .getxattr = hd_op_getxattr,
    .listxattr = hd_op_listxattr,
    .removexattr = hd_op_removexattr,
    .getlk = hd_op_getlk,
    .setlk = hd_op_setlk,
    .flock = hd_op_flock,
    .fallocate = hd_op_fallocate,
    .lseek = hd_op_lseek,
    .copy_file_range = hd_op_copy_file_range,
};
