/* Xattrs, ACLs and locks: the calls of posix.h. */
#include "fs/base/error.h"
#include "fs/client/posix_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/xattr.h>

int hd_posix_get_xattrs(struct hd_posix *p, uint64_t ino, struct hd_arena *arena,
                        Hdw__GetPosixXattrsResponse **ret, struct hd_posix_as_of *ret_as_of)
{
    Hdw__GetPosixXattrsRequest q = HDW__GET_POSIX_XATTRS_REQUEST__INIT;
    q.ino = ino;
    return HD_POSIX_CALL(p, "getPosixXattrs", get_posix_xattrs, &q, NULL, arena, ret, ret_as_of);
}

static int take(const Hdw__PosixAttr *m, struct hd_posix_as_of as_of, struct hd_posix_attr *ret)
{
    return m == NULL || ret == NULL ? 0 : hd_posix_attr_take(m, as_of, ret);
}

int hd_posix_set_xattr(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                       const char *name, const void *value, size_t size, int flags,
                       struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SetPosixXattrRequest q = HDW__SET_POSIX_XATTR_REQUEST__INIT;
    Hdw__PosixCred who;
    Hdw__SetPosixXattrResponse *r;
    struct hd_posix_as_of as_of;
    if (ret != NULL) {
        *ret = (struct hd_posix_attr){0};
    }
    q.ino = ino;
    q.name = (char *)(uintptr_t)name;
    q.has_value = value != NULL;
    q.value.data = (uint8_t *)(uintptr_t)value;
    q.value.len = size;
    q.has_create_only = q.create_only = (flags & XATTR_CREATE) != 0;
    q.has_replace_only = q.replace_only = (flags & XATTR_REPLACE) != 0;
    if (cred != NULL) {
        hd_posix_cred_fill(cred, &who);
        q.cred = &who;
    }
    int err = HD_POSIX_CALL(p, "setPosixXattr", set_posix_xattr, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}

int hd_posix_set_acl(struct hd_posix *p, const struct hd_posix_cred *cred, uint64_t ino,
                     bool is_default, Hdw__PosixAclEntry **entries, size_t count, bool clear_setgid,
                     struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SetPosixAclRequest q = HDW__SET_POSIX_ACL_REQUEST__INIT;
    Hdw__PosixCred who;
    Hdw__SetPosixAclResponse *r;
    struct hd_posix_as_of as_of;
    if (ret != NULL) {
        *ret = (struct hd_posix_attr){0};
    }
    q.ino = ino;
    q.has_is_default = q.is_default = is_default;
    q.entries = entries;
    q.n_entries = count;
    q.has_clear_setgid = q.clear_setgid = clear_setgid;
    if (cred != NULL) {
        hd_posix_cred_fill(cred, &who);
        q.cred = &who;
    }
    int err = HD_POSIX_CALL(p, "setPosixAcl", set_posix_acl, &q, NULL, &arena, &r, &as_of);
    return err < 0 ? err : take(r->attr, as_of, ret);
}

/* ---- locks ---- */

static void fill_lock(const struct hd_posix_lock *lock, Hdw__LockRange *ret)
{
    hdw__lock_range__init(ret);
    ret->ino = lock->ino;
    ret->owner = lock->owner;
    ret->start = lock->start;
    ret->end = lock->end;
    ret->type = lock->type;
    ret->has_flock = ret->flock = lock->flock;
    ret->has_pid = true;
    ret->pid = lock->pid;
}

int hd_posix_set_lock(struct hd_posix *p, const struct hd_posix_lock *lock,
                      enum hd_posix_lock_how how, uint64_t wait_id)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SetLockRequest q = HDW__SET_LOCK_REQUEST__INIT;
    Hdw__LockRange range;
    Hdw__SetLockResponse *r;
    fill_lock(lock, &range);
    q.lock = &range;
    q.has_wait = q.wait = how == HD_LOCK_WAIT;
    q.has_cancel = q.cancel = how == HD_LOCK_CANCEL;
    q.has_all = q.all = how == HD_LOCK_UNLOCK_ALL;
    q.has_wait_id = wait_id != 0;
    q.wait_id = wait_id;
    int err = HD_POSIX_CALL(p, "setLock", set_lock, &q, &q.session, &arena, &r, NULL);
    return err < 0 ? err : r->granted;
}

int hd_posix_get_lock(struct hd_posix *p, const struct hd_posix_lock *lock,
                      struct hd_posix_lock *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetLockRequest q = HDW__GET_LOCK_REQUEST__INIT;
    Hdw__LockRange range;
    Hdw__GetLockResponse *r;
    fill_lock(lock, &range);
    q.lock = &range;
    int err = HD_POSIX_CALL(p, "getLock", get_lock, &q, &q.session, &arena, &r, NULL);
    if (err < 0) {
        return err;
    }
    *ret = *lock;
    ret->type = F_UNLCK;
    if (r->conflict != NULL) {
        *ret = (struct hd_posix_lock){
            .ino = r->conflict->ino,
            .owner = r->conflict->owner,
            .start = r->conflict->start,
            .end = r->conflict->end,
            .type = r->conflict->type,
            .flock = r->conflict->has_flock && r->conflict->flock,
            .pid = r->conflict->has_pid ? r->conflict->pid : 0,
        };
    }
    return 0;
}
