/*
 * Extended attributes: user.* and trusted.* are the server's; user.howdah.* are made here and not
 * listed, so that cp -a does not copy them:
 *   user.howdah.uri        "hdfs://host:port" of the cluster
 *   user.howdah.path       where the inode is in it
 *   user.howdah.locations  a line a block: offset length blk_ID ip:port,ip:port
 * On a foreign HDFS everything else is answered at once, since ls and cp ask for it all the time;
 * of a mount with a session native_xattr.c has all of xattr(7).
 */
#include "fs/mount/native.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool is_kept(const char *name)
{
    return starts_with(name, "user.") || starts_with(name, "trusted.");
}

static bool is_virtual(const char *name)
{
    return starts_with(name, "user.howdah.");
}

/* Answers as getxattr(2) and listxattr(2) want it: the size alone, or the bytes if they fit. */
static void reply_value(fuse_req_t req, const void *value, size_t value_size, size_t room)
{
    if (room == 0) {
        fuse_reply_xattr(req, value_size);
    } else if (value_size > room) {
        fuse_reply_err(req, ERANGE);
    } else {
        fuse_reply_buf(req, value, value_size);
    }
}

static int write_locations(struct hd_fs *fs, const char *path, struct hd_buf *out)
{
    HD_AUTO(hd_located_file_done) struct hd_located_file f = {0};
    int rc = hd_fs_locate(fs, path, 0, INT64_MAX, &f);
    for (uint32_t i = 0; rc == 0 && i < f.block_count; i++) {
        const struct hd_located_block *b = &f.blocks[i];
        rc = hd_buf_addf(out, "%" PRIu64 " %" PRIu64 " blk_%" PRIu64 " ", b->offset_bytes,
                         b->size_bytes, b->id);
        for (uint32_t k = 0; rc == 0 && k < b->location_count; k++) {
            rc = hd_buf_addf(out, "%s%s:%d", k > 0 ? "," : "", b->locations[k].ip,
                             b->locations[k].data_port);
        }
        if (rc == 0) {
            rc = hd_buf_add_str(out, "\n");
        }
    }
    return rc;
}

static int write_path(struct hd_mount *m, uint64_t ino, struct hd_buf *out)
{
    char path[HD_PATH_MAX_BYTES + 1];
    int rc = hd_inode_path(&m->inodes, ino, path, sizeof(path));
    if (rc < 0) {
        return rc;
    }
    const char *dir = m->options->cluster_dir;
    if (strcmp(dir, "/") == 0) {
        return hd_buf_add_str(out, path);
    }
    return hd_buf_addf(out, "%s%s", dir, strcmp(path, "/") == 0 ? "" : path);
}

static int write_virtual(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, const char *name,
                         struct hd_buf *out)
{
    char path[HD_INODE_PATH_BYTES];
    if (strcmp(name, "user.howdah.uri") == 0) {
        return hd_buf_add_str(out, hd_fs_uri(fs));
    }
    if (strcmp(name, "user.howdah.path") == 0) {
        return write_path(m, ino, out);
    }
    if (strcmp(name, "user.howdah.locations") == 0) {
        hd_inode_object(&m->inodes, ino, path);
        return write_locations(fs, path, out);
    }
    return -ENODATA;
}

static int get_value(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, const char *name,
                     struct hd_buf *out)
{
    if (is_virtual(name)) {
        return write_virtual(m, fs, ino, name, out);
    }
    char path[HD_INODE_PATH_BYTES];
    void *value = NULL;
    size_t size = 0;
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_fs_get_xattr(fs, path, name, &value, &size);
    if (rc == 0) {
        rc = hd_buf_add(out, value, size);
        free(value);
    }
    return rc;
}

void hd_op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
    if (hd_mount_of(req)->posix != NULL && !is_virtual(name)) {
        hd_native_getxattr(req, ino, name, size);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    HD_AUTO(hd_buf_done) struct hd_buf value = {0};
    if (!is_kept(name)) {
        fuse_reply_err(req, EOPNOTSUPP); /* and ls stops asking */
        return;
    }
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = get_value(m, fs, ino, name, &value);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "getxattr", ino, rc);
        return;
    }
    reply_value(req, value.data, value.size, size);
}

void hd_op_setxattr(fuse_req_t req, fuse_ino_t ino, const char *name, const char *value,
                    size_t size, int flags)
{
    if (hd_mount_of(req)->posix != NULL && !is_virtual(name)) {
        hd_native_setxattr(req, ino, name, value, size, flags);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    if (!is_kept(name) || is_virtual(name)) {
        fuse_reply_err(req, is_virtual(name) ? EPERM : EOPNOTSUPP);
        return;
    }
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_fs_set_xattr(fs, path, name, value, size, flags);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "setxattr", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}

/* Keeps the names that getxattr answers. */
static size_t keep_names(char *names, size_t size)
{
    size_t used = 0;
    for (size_t at = 0; at < size;) {
        size_t n = strnlen(names + at, size - at) + 1;
        if (at + n > size) {
            break;
        }
        if (is_kept(names + at)) {
            memmove(names + used, names + at, n);
            used += n;
        }
        at += n;
    }
    return used;
}

void hd_op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
    if (hd_mount_of(req)->posix != NULL) {
        hd_native_listxattr(req, ino, size);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    char *names = NULL;
    size_t names_size = 0;
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_fs_list_xattrs(fs, path, &names, &names_size);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "listxattr", ino, rc);
        return;
    }
    reply_value(req, names, keep_names(names, names_size), size);
    free(names);
}

void hd_op_removexattr(fuse_req_t req, fuse_ino_t ino, const char *name)
{
    if (hd_mount_of(req)->posix != NULL && !is_virtual(name)) {
        hd_native_removexattr(req, ino, name);
        return;
    }
    struct hd_mount *m = hd_mount_of(req);
    struct hd_fs *fs;
    char path[HD_INODE_PATH_BYTES];
    if (!is_kept(name) || is_virtual(name)) {
        fuse_reply_err(req, is_virtual(name) ? EPERM : EOPNOTSUPP);
        return;
    }
    hd_inode_object(&m->inodes, ino, path);
    int rc = hd_mount_caller(m, req, &fs);
    if (rc == 0) {
        rc = hd_fs_remove_xattr(fs, path, name);
    }
    if (rc < 0) {
        hd_mount_fail_object(req, "removexattr", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}
