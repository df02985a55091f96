/* Attributes in a session: getattr, setattr. */
#include "fs/mount/io.h"
#include "fs/mount/native.h"
#include "fs/base/error.h"

#include <errno.h>

static uint64_t id_of(const struct hd_mount *m, uint64_t ino)
{
    return hd_inode_id(&m->inodes, ino);
}

void hd_native_getattr(fuse_req_t req, uint64_t ino)
{
    struct hd_mount *m = hd_mount_of(req);
    struct stat st;
    double timeout_s;
    int rc = hd_native_stat(m, ino, &st, &timeout_s);
    if (rc < 0) {
        hd_mount_fail_object(req, "getattr", ino, rc);
        return;
    }
    fuse_reply_attr(req, &st, timeout_s);
}

/* A change with the texts that it points to. */
struct wish {
    struct hd_posix_change change;
    char user[HD_POSIX_USER_BYTES];
    char group[HD_POSIX_USER_BYTES];
};

static int64_t ns_of(const struct timespec *t)
{
    return (int64_t)t->tv_sec * 1000000000 + t->tv_nsec;
}

static void fill_times(struct hd_posix_change *c, const struct stat *attr, int to_set)
{
    if ((to_set & FUSE_SET_ATTR_MTIME_NOW) != 0) {
        c->mtime_now = true;
    } else if ((to_set & FUSE_SET_ATTR_MTIME) != 0) {
        c->has_mtime = true;
        c->mtime_ns = ns_of(&attr->st_mtim);
    }
    if ((to_set & FUSE_SET_ATTR_ATIME_NOW) != 0) {
        c->atime_now = true;
    } else if ((to_set & FUSE_SET_ATTR_ATIME) != 0) {
        c->has_atime = true;
        c->atime_ns = ns_of(&attr->st_atim);
    }
}

static void fill_wish(struct hd_mount *m, const struct stat *attr, int to_set, struct wish *ret)
{
    *ret = (struct wish){0};
    struct hd_posix_change *c = &ret->change;
    if ((to_set & FUSE_SET_ATTR_MODE) != 0) {
        c->has_mode = true;
        c->mode = attr->st_mode & 07777;
    }
    if ((to_set & FUSE_SET_ATTR_UID) != 0) {
        hd_users_user_name(m->users, attr->st_uid, ret->user);
        c->user = ret->user;
    }
    if ((to_set & FUSE_SET_ATTR_GID) != 0) {
        hd_users_group_name(m->users, attr->st_gid, ret->group);
        c->group = ret->group;
    }
    fill_times(c, attr, to_set);
}

/*
 * What the kernel leaves to us (FUSE_HANDLE_KILLPRIV_V2): a change of owner or, by anybody but
 * root, of the size takes the set-id bits of a file away; set-group-id without group execution is
 * none.
 */
static int kill_privileges(fuse_req_t req, uint64_t ino, int to_set, struct wish *w)
{
    struct hd_mount *m = hd_mount_of(req);
    struct stat st;
    double timeout_s;
    bool owner = (to_set & (FUSE_SET_ATTR_UID | FUSE_SET_ATTR_GID)) != 0;
    bool size = (to_set & FUSE_SET_ATTR_SIZE) != 0 && fuse_req_ctx(req)->uid != 0;
    if ((!owner && !size) || w->change.has_mode) {
        return 0;
    }
    int rc = hd_native_stat(m, ino, &st, &timeout_s);
    if (rc < 0 || S_ISDIR(st.st_mode)) {
        return rc;
    }
    mode_t kill = S_ISUID | ((st.st_mode & S_IXGRP) != 0 ? S_ISGID : 0);
    if ((st.st_mode & kill) != 0) {
        w->change.has_mode = true;
        w->change.mode = st.st_mode & 07777 & ~kill;
    }
    return 0;
}

static int set_all(fuse_req_t req, uint64_t ino, const struct stat *attr, int to_set,
                   struct stat *ret, double *ret_timeout_s)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_cred cred;
    struct wish w;
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr got = {0};
    uint64_t size = (uint64_t)attr->st_size;
    bool sizes = (to_set & FUSE_SET_ATTR_SIZE) != 0;
    fill_wish(m, attr, to_set, &w);
    int rc = kill_privileges(req, ino, to_set, &w);
    if (rc < 0) {
        return rc;
    }
    rc = hd_io_set_attr(m, id_of(m, ino), sizes ? &size : NULL, &w.change, &got);
    if (rc == 1) {
        hd_native_take(m, &got, ret, ret_timeout_s);
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (rc == 0 && sizes) {
        return -EINVAL; /* of what has none */
    }
    if (hd_posix_change_is_empty(&w.change)) {
        return hd_native_stat(m, ino, ret, ret_timeout_s);
    }
    hd_native_cred(req, &cred);
    rc = hd_posix_set_attr(m->posix, &cred, id_of(m, ino), &w.change, &got);
    if (rc == 0) {
        hd_native_take(m, &got, ret, ret_timeout_s);
    }
    return rc;
}

void hd_native_setattr(fuse_req_t req, uint64_t ino, const struct stat *attr, int to_set)
{
    struct hd_mount *m = hd_mount_of(req);
    struct stat st;
    double timeout_s;
    hd_native_change_begin(m, ino); /* in case it is a directory */
    int rc = set_all(req, ino, attr, to_set, &st, &timeout_s);
    hd_native_change_end(m, ino);
    if (rc < 0) {
        hd_mount_fail_object(req, "setattr", ino, rc);
    } else {
        fuse_reply_attr(req, &st, timeout_s);
    }
}
