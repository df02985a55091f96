/* The structs of posix.h from messages and back. */
#include "fs/base/error.h"
#include "fs/client/posix_impl.h"

#include <errno.h>
#include <stdlib.h>

void hd_posix_attr_done(struct hd_posix_attr *a)
{
    free(HD_TAKE_PTR(a->target));
}

int hd_posix_attr_take(const Hdw__PosixAttr *m, struct hd_posix_as_of as_of,
                       struct hd_posix_attr *ret)
{
    *ret = (struct hd_posix_attr){
        .ino = m->ino,
        .mode = m->mode,
        .nlink = m->nlink,
        .size_bytes = m->size,
        .allocated_bytes = m->allocated,
        .mtime_ns = m->mtime_ns,
        .atime_ns = m->atime_ns,
        .ctime_ns = m->ctime_ns,
        .rdev = m->has_rdev ? m->rdev : 0,
        .block_size_bytes = m->has_block_size ? m->block_size : 0,
        .replication = m->has_replication ? m->replication : 0,
        .parent = m->has_parent ? m->parent : 0,
        .cached = m->has_cached && m->cached,
        .busy = m->has_busy && m->busy,
        .has_xattrs = m->has_has_xattrs && m->has_xattrs,
        .has_acl = m->has_has_acl && m->has_acl,
        .has_quota = m->has_has_quota && m->has_quota,
        .as_of = as_of,
    };
    snprintf(ret->user, sizeof(ret->user), "%s", m->user);
    snprintf(ret->group, sizeof(ret->group), "%s", m->group);
    if (!m->has_target) {
        return 0;
    }
    if (m->target.len == 0 || memchr(m->target.data, '\0', m->target.len) != NULL) {
        return hd_fail(-HD_E_BAD_MESSAGE, "inode %llu: a link to nowhere",
                       (unsigned long long)m->ino);
    }
    ret->target = strndup((const char *)m->target.data, m->target.len);
    return ret->target != NULL ? 0 : -ENOMEM;
}

bool hd_posix_change_is_empty(const struct hd_posix_change *c)
{
    return c == NULL || (!c->has_mode && c->user == NULL && c->group == NULL && !c->has_mtime &&
                         !c->has_atime && !c->mtime_now && !c->atime_now);
}

void hd_posix_change_fill(const struct hd_posix_change *c, Hdw__PosixAttrChange *ret)
{
    hdw__posix_attr_change__init(ret);
    ret->has_mode = c->has_mode;
    ret->mode = c->mode;
    ret->user = (char *)(uintptr_t)c->user;
    ret->group = (char *)(uintptr_t)c->group;
    ret->has_mtime_ns = c->has_mtime;
    ret->mtime_ns = c->mtime_ns;
    ret->has_atime_ns = c->has_atime;
    ret->atime_ns = c->atime_ns;
    ret->has_mtime_now = ret->mtime_now = c->mtime_now;
    ret->has_atime_now = ret->atime_now = c->atime_now;
}

void hd_posix_cred_fill(const struct hd_posix_cred *c, Hdw__PosixCred *ret)
{
    hdw__posix_cred__init(ret);
    ret->user = (char *)(uintptr_t)c->user;
    ret->group = (char *)(uintptr_t)c->group;
}
