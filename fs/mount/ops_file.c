/* Open files: create, open, read, write, flush, fsync, release, lseek. */
#include "fs/mount/attr.h"
#include "fs/mount/backing.h"
#include "fs/mount/descriptors.h"
#include "fs/mount/device.h"
#include "fs/mount/handle.h"
#include "fs/mount/io.h"
#include "fs/mount/stage.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <unistd.h>

/* Counts the open and fills in what the kernel is told of it. Wants io held. */
static void admit(struct hd_mount *m, struct hd_handle *h, struct fuse_file_info *fi)
{
    struct hd_node *n = h->node;
    HD_AUTO(hd_fd_done) int fd = -1;
    if (h->reader != NULL && hd_backing_may(m, n, hd_file_size(h->reader)) &&
        hd_file_local_fd(h->reader, &fd) < 0) {
        fd = -1;
    }
    struct hd_backing_wish wish = {.writable = h->writable, .direct = h->writable, .local_fd = fd};
    h->errors_seen = n->error_count;
    h->mode = hd_backing_open(m, n, &wish);
    fi->fh = (uintptr_t)h;
    fi->direct_io = h->mode == HD_OPEN_DIRECT;
    if (h->mode == HD_OPEN_CACHED) {
        /* The page cache is good for as long as the file is the one it was filled from. */
        pthread_mutex_lock(&m->inodes.lock);
        fi->keep_cache = n->stage == NULL && n->opened.mtime_ms != 0 &&
                         n->opened.mtime_ms == n->seen.mtime_ms &&
                         n->opened.size_bytes == n->seen.size_bytes && h->reader != NULL &&
                         hd_file_size(h->reader) == n->seen.size_bytes;
        n->opened = n->seen;
        pthread_mutex_unlock(&m->inodes.lock);
    }
}

/* A file that was unlinked while open goes with its last close. */
static void delete_if_hidden(struct hd_mount *m, struct hd_handle *h)
{
    struct hd_node *n = h->node;
    char path[HD_INODE_PATH_BYTES] = "";
    pthread_mutex_lock(&m->inodes.lock);
    if (n->hidden && n->opens.cached + n->opens.direct + n->opens.passed == 0 && n->name != NULL) {
        (void)hd_inode_child(&m->inodes, n->parent, n->name, path);
        n->hidden = false;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    if (path[0] != '\0') {
        int rc = hd_fs_delete(h->fs, path, false);
        hd_inode_dir_changed(&m->inodes, hd_inode_parent(&m->inodes, n->ino), 0);
        if (rc < 0 && rc != -ENOENT) {
            hd_log_warn("hidden file stays", "path=%s error=%s", path, hd_error_name(rc));
        }
    }
}

static void end_open(struct hd_mount *m, struct hd_handle *h)
{
    struct hd_node *n = h->node;
    pthread_mutex_lock(&n->io);
    pthread_mutex_lock(&m->inodes.lock);
    bool last_writer = h->writable && --n->writers == 0;
    pthread_mutex_unlock(&m->inodes.lock);
    if (last_writer) {
        (void)hd_stage_finish(m, n); /* flush has told of failures; this is for writes after it */
    }
    hd_backing_release(m, n, h->mode);
    pthread_mutex_unlock(&n->io);
    delete_if_hidden(m, h);
    hd_handle_free(m, h);
}

static int open_existing(struct hd_mount *m, fuse_req_t req, struct hd_fs *fs, struct hd_node *n,
                         struct fuse_file_info *fi, struct hd_handle **ret)
{
    struct hd_handle *h = hd_handle_new(m, n, fs, fi->flags);
    if (h == NULL) {
        return -ENOMEM;
    }
    h->opener = fuse_req_ctx(req)->pid;
    int rc = 0;
    if (!h->writable) {
        struct hd_file *reader;
        rc = hd_handle_reader(m, h, &reader);
    }
    if (rc == 0) {
        pthread_mutex_lock(&n->io);
        if ((fi->flags & O_TRUNC) != 0) {
            rc = hd_stage_resize(m, n, fs, UINT64_MAX, 0);
        }
        if (rc == 0 && h->reader != NULL && h->reader_version != atomic_load(&n->version)) {
            struct hd_file *reader; /* it was made before the last write here was completed */
            rc = hd_handle_reader(m, h, &reader);
        }
        if (rc == 0) {
            admit(m, h, fi);
        }
        pthread_mutex_unlock(&n->io);
    }
    if (rc < 0) {
        hd_handle_free(m, h);
        return rc;
    }
    *ret = h;
    return 0;
}

void hd_op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_open(req, ino, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    struct hd_handle *h;
    struct hd_node *n = hd_inode_get(&m->inodes, ino);
    int rc = n == NULL ? -ESTALE : hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = open_existing(m, req, fs, n, fi, &h);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "open", ino, rc);
    } else if (hd_backing_reply(req, n, h->mode, fi) != 0) {
        end_open(m, h);
    }
    hd_inode_put(&m->inodes, n);
}

/* The attributes of a file that was made a moment ago, without asking: its group is its parent's.
 */
static void fill_new(struct hd_mount *m, fuse_req_t req, uint64_t parent, mode_t mode,
                     struct stat *ret)
{
    struct hd_node *dir = hd_inode_get(&m->inodes, parent);
    struct timespec now = hd_attr_timespec(hd_clock_wall_ms().v);
    *ret = (struct stat){
        .st_mode = S_IFREG | (mode & 01777),
        .st_nlink = 1,
        .st_uid = fuse_req_ctx(req)->uid,
        .st_blksize = HD_MOUNT_IO_BYTES,
        .st_mtim = now,
        .st_ctim = now,
        .st_atim = now,
    };
    if (dir != NULL) {
        ret->st_gid = hd_inode_seen(&m->inodes, dir).gid;
        hd_inode_put(&m->inodes, dir);
    }
    if (m->options->user != NULL) {
        ret->st_uid = hd_users_uid(m->users, m->options->user);
    }
}

/* Makes the node and the handle of a created file; takes the file. */
static int enter_created(struct hd_mount *m, fuse_req_t req, struct hd_fs *fs, uint64_t parent,
                         const char *name, mode_t mode, struct hd_file *file,
                         struct fuse_file_info *fi, struct fuse_entry_param *entry,
                         struct hd_handle **ret)
{
    struct hd_node *n;
    uint64_t id = hd_file_ino(file);
    *entry = (struct fuse_entry_param){
        .ino = hd_inode_ino(&m->inodes, id),
        .attr_timeout = m->attr_timeout_s,
        .entry_timeout = m->entry_timeout_s,
    };
    fill_new(m, req, parent, mode, &entry->attr);
    entry->attr.st_ino = entry->ino;
    struct hd_seen seen = hd_attr_seen(&entry->attr);
    int rc = hd_inode_enter(&m->inodes, id, parent, name, &seen, &n);
    if (rc < 0) {
        (void)hd_file_close(file);
        return rc;
    }
    struct hd_handle *h = hd_handle_new(m, n, fs, fi->flags);
    pthread_mutex_lock(&n->io);
    rc = hd_stage_adopt(m, n, fs, file);
    n->unsynced = false; /* there is nothing of it yet */
    if (rc == 0 && h != NULL) {
        h->opener = fuse_req_ctx(req)->pid;
        admit(m, h, fi);
    }
    pthread_mutex_unlock(&n->io);
    if (rc < 0 || h == NULL) {
        if (h != NULL) {
            hd_handle_free(m, h);
        }
        hd_inode_forget(&m->inodes, entry->ino, 1);
        return -ENOMEM;
    }
    *ret = h;
    return 0;
}

/* O_CREAT without O_EXCL on a name that somebody else made meanwhile. */
static int open_instead(struct hd_mount *m, fuse_req_t req, struct hd_fs *fs, uint64_t parent,
                        const char *name, struct fuse_file_info *fi, struct fuse_entry_param *entry,
                        struct hd_handle **ret)
{
    char path[HD_INODE_PATH_BYTES];
    HD_AUTO(hd_stat_done) struct hd_stat st = {0};
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_fs_stat(fs, path, &st);
    }
    if (rc < 0) {
        return rc;
    }
    if (st.type != HD_TYPE_FILE) {
        return st.type == HD_TYPE_DIR ? -EISDIR : -ESTALE; /* the kernel follows links itself */
    }
    rc = hd_attr_entry(m, &st, parent, name, entry);
    if (rc < 0) {
        return rc;
    }
    struct hd_node *n = hd_inode_get(&m->inodes, entry->ino);
    rc = open_existing(m, req, fs, n, fi, ret);
    if (rc == 0 && hd_open_is_passed((*ret)->mode)) {
        end_open(m, *ret); /* CREATE has no answer with a backing id: the kernel shall OPEN it */
        rc = -ESTALE;
    }
    if (rc == 0 && (fi->flags & O_TRUNC) != 0) {
        entry->attr.st_size = 0;
        entry->attr.st_blocks = 0;
    }
    hd_inode_put(&m->inodes, n);
    if (rc < 0) {
        hd_inode_forget(&m->inodes, entry->ino, 1);
    }
    return rc;
}

void hd_op_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_create(req, parent, name, mode, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    struct hd_handle *h;
    struct fuse_entry_param entry;
    char path[HD_INODE_PATH_BYTES];
    int rc = hd_inode_child(&m->inodes, parent, name, path);
    if (rc == 0) {
        rc = hd_mount_caller(m, req, &fs);
    }
    if (rc == 0) {
        struct hd_create_options o = {.mode = mode & 01777, .sync_on_close = m->options->strict};
        struct hd_file *file = NULL;
        rc = hd_file_create(fs, path, &o, &file);
        if (rc == 0) {
            hd_inode_dir_changed(&m->inodes, parent, hd_file_mtime_ms(file));
            rc = enter_created(m, req, fs, parent, name, mode, file, fi, &entry, &h);
        } else if (rc == -EEXIST && (fi->flags & O_EXCL) == 0) {
            rc = open_instead(m, req, fs, parent, name, fi, &entry, &h);
        } else if ((fi->flags & O_EXCL) != 0 && hd_error_errno(rc) == EBUSY) {
            rc = -EEXIST; /* it is there, even if its writer is not done */
        }
    }
    if (rc < 0) {
        hd_mount_fail(req, "create", parent, rc);
    } else if (fuse_reply_create(req, &entry, fi) != 0) {
        end_open(m, h);
        hd_inode_forget(&m->inodes, entry.ino, 1);
    }
}

static int64_t read_handle(struct hd_mount *m, struct hd_handle *h, void *out, size_t size,
                           uint64_t offset)
{
    struct hd_node *n = h->node;
    struct hd_file *reader;
    if (atomic_load(&n->staged_size) != HD_NOT_STAGED) {
        int rc = hd_handle_reader(m, h, &reader);
        if (rc < 0) {
            return rc;
        }
        pthread_mutex_lock(&n->io);
        bool staged = n->stage != NULL;
        int64_t got = staged ? hd_stage_read(m, n, reader, out, size, offset) : 0;
        pthread_mutex_unlock(&n->io);
        if (staged) {
            return got;
        }
    }
    int rc = hd_handle_reader(m, h, &reader);
    return rc < 0 ? rc : hd_file_pread(reader, out, size, offset);
}

void hd_op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_read(req, ino, size, off, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    void *out = hd_buffers_take(&m->buffers);
    if (out == NULL) {
        hd_mount_fail(req, "read", ino, -ENOMEM);
        return;
    }
    size = HD_MIN(size, (size_t)HD_MOUNT_IO_BYTES);
    int64_t got = read_handle(m, hd_handle_of(fi), out, size, (uint64_t)off);
    if (got < 0) {
        hd_mount_fail_object(req, "read", ino, (int)got);
    } else {
        fuse_reply_buf(req, out, (size_t)got);
    }
    hd_buffers_give(&m->buffers, out);
}

void hd_op_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_write(req, ino, data, size, off, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    struct hd_node *n = h->node;
    pthread_mutex_lock(&n->io);
    int rc = hd_stage_begin(m, n, h->fs);
    if (rc == 0) {
        rc = hd_stage_write(m, n, data, size, (uint64_t)off, h->append);
    }
    pthread_mutex_unlock(&n->io);
    if (rc < 0) {
        hd_mount_fail_object(req, "write", ino, rc);
        return;
    }
    fuse_reply_write(req, size);
}

/* Attributes that the kernel keeps of the inode are old: completing a file sets its time. */
static void forget_attributes(struct hd_mount *m, fuse_ino_t ino)
{
    (void)fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
}

void hd_op_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_flush(req, ino, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_handle *h = hd_handle_of(fi);
    if (!h->writable) {
        fuse_reply_err(req, 0);
        return;
    }
    struct hd_node *n = h->node;
    bool duplicate = hd_handle_is_duplicate(m, req, h);
    pthread_mutex_lock(&n->io);
    bool staged = n->stage != NULL && !duplicate;
    int rc = 0;
    if (!duplicate) {
        rc = hd_stage_finish(m, n);
    } else if (hd_stage_waiting_since(n) != 0) {
        rc = hd_stage_flush(m, n, false); /* for others to read, as after any close */
    }
    int earlier = hd_handle_take_error(h);
    pthread_mutex_unlock(&n->io);
    if (staged) {
        forget_attributes(m, ino);
    }
    rc = rc < 0 ? rc : earlier;
    if (rc < 0) {
        hd_mount_fail_object(req, "flush", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

/*
 * What was written is on the disks of its nodes and its place in the namespace is durable. A file
 * completed before, here or anywhere, is made durable replica by replica.
 */
static int sync_node(struct hd_mount *m, struct hd_handle *h)
{
    struct hd_node *n = h->node;
    char path[HD_INODE_PATH_BYTES];
    pthread_mutex_lock(&n->io);
    bool staged = n->stage != NULL;
    uint32_t version = atomic_load(&n->version);
    int rc = hd_stage_flush(m, n, true); /* what others wrote before into the file too */
    n->unsynced = n->unsynced && !(staged && rc == 0);
    int earlier = hd_handle_take_error(h);
    pthread_mutex_unlock(&n->io);
    rc = rc < 0 ? rc : earlier;
    if (rc < 0 || staged) {
        return rc < 0 ? rc : hd_handle_sync_names(h);
    }
    hd_inode_object(&m->inodes, n->ino, path);
    rc = hd_fs_sync_blocks(h->fs, path);
    if (rc == 0) {
        pthread_mutex_lock(&n->io);
        /* Completed meanwhile by another: then it is for the next fsync. */
        n->unsynced = n->unsynced && version != atomic_load(&n->version);
        pthread_mutex_unlock(&n->io);
    }
    return rc < 0 ? rc : hd_handle_sync_names(h);
}

void hd_op_fsync(fuse_req_t req, fuse_ino_t ino, int datasync, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_fsync(req, ino, fi);
        return;
    }
    (void)datasync; /* the length is needed to read the data back */
    int rc = sync_node(hd_mount_of(req), hd_handle_of(fi));
    if (rc < 0) {
        hd_mount_fail_object(req, "fsync", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

void hd_op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_release(req, ino, fi);
        return;
    }
    (void)ino;
    end_open(hd_mount_of(req), hd_handle_of(fi));
    fuse_reply_err(req, 0);
}

/* Files have no holes but the one behind their end. */
void hd_op_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_lseek(req, ino, off, whence, fi);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct stat st;
    int rc = hd_attr_get(m, hd_handle_of(fi)->fs, ino, &st);
    if (rc < 0) {
        hd_mount_fail_object(req, "lseek", ino, rc);
    } else if (whence != SEEK_DATA && whence != SEEK_HOLE) {
        fuse_reply_err(req, EINVAL);
    } else if (off < 0 || off >= st.st_size) {
        fuse_reply_err(req, ENXIO);
    } else {
        fuse_reply_lseek(req, whence == SEEK_DATA ? off : st.st_size);
    }
}

void hd_op_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_io_fallocate(req, ino, mode, offset, length, fi);
        return;
    }
    (void)ino;
    (void)mode;
    (void)offset;
    (void)length;
    (void)fi;
    fuse_reply_err(req, EOPNOTSUPP);
}

/* Without a session the kernel reads and writes by itself. */
void hd_op_copy_file_range(fuse_req_t req, fuse_ino_t ino_in, off_t off_in,
                           struct fuse_file_info *fi_in, fuse_ino_t ino_out, off_t off_out,
                           struct fuse_file_info *fi_out, size_t length, int flags)
{
    if (hd_mount_of(req)->posix == NULL) {
        fuse_reply_err(req, ENOSYS);
    } else if (flags != 0) {
        fuse_reply_err(req, EINVAL);
    } else {
        hd_io_copy(req, ino_in, off_in, fi_in, ino_out, off_out, fi_out, length);
    }
}
