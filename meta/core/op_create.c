/* ClientProtocol: create, mkdirs, createSymlink: everything that makes an inode. */
#include "meta/core/acl.h"
#include "meta/core/op.h"
#include "meta/core/posix.h"
#include "meta/core/policy.h"
#include "meta/core/record_make.h"

/* Checks the names of all missing components, and that they may be made. */
static int check_missing(struct hd_call *c, const struct hd_where *w)
{
    const char *p = w->rest;
    for (unsigned i = 0; i < w->missing; i++) {
        p += strspn(p, "/");
        size_t size = strcspn(p, "/");
        int err = hd_check_new_name(c, w, p, size);
        if (err < 0) {
            return err;
        }
        p += size;
    }
    int err = hd_check_access(c, w->parent, HD_W);
    if (err == 0) {
        err = hd_check_access(c, w->parent, HD_X);
    }
    return err < 0 ? err : hd_check_quota(c, w->parent, (int64_t)w->missing, 0, NULL);
}

/* Makes the missing directories above the last component; returns where that goes. */
static struct hd_inode *make_parents(struct hd_call *c, const struct hd_where *w, uint32_t mode,
                                     const char **ret_name, size_t *ret_size)
{
    struct hd_inode *parent = w->parent;
    const char *p = w->rest + strspn(w->rest, "/");
    for (unsigned left = w->missing; left > 1; left--) {
        size_t size = strcspn(p, "/");
        Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
        perm.perm = mode | 0300;
        Hdm__NewInode n = hd_new_inode(c, parent, p, size, perm.perm);
        hd_acl_inherit_hdfs(c, parent, true, &perm, NULL, &n);
        n.mode |= parent->mode & HD_SET_GROUP_ID;
        Hdm__MakeDirectory op = HDM__MAKE_DIRECTORY__INIT;
        op.inode = &n;
        uint64_t ino = n.ino;
        HD_COMMIT(c->m, make_directory, MAKE_DIRECTORY, &op);
        parent = hd_ns_inode(c->ns, ino);
        p += size;
        p += strspn(p, "/");
    }
    *ret_name = p;
    *ret_size = strcspn(p, "/");
    return parent;
}

/* ---- mkdirs ---- */

int hd_op_mkdirs(struct hd_call *c)
{
    const Hdw__MkdirsRequest *q = c->request;
    Hdw__MkdirsResponse *r = HD_MSG(c->m, Hdw__MkdirsResponse, hdw__mkdirs_response);
    struct hd_where w;
    r->result = true;
    int err = hd_call_check_safe_mode(c, "Cannot create directory %s", q->src);
    if (err < 0) {
        return err;
    }
    if (!hd_path_is_valid(q->src)) {
        return hd_call_fail(c, -HD_E_INVALID_PATH, "Invalid path name Invalid file name: %s",
                            q->src);
    }
    err = hd_resolve(c, q->src, HD_FOLLOW | HD_BLOCKED, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode != NULL) {
        /* mkdirs is content with a directory that is there; mkdir(2) is not. */
        bool exclusive = c->event->posix && !q->create_parent;
        return hd_inode_is_dir(w.inode) && !exclusive
                   ? hd_call_done(c, &r->base)
                   : hd_call_fail(c, -EEXIST,
                                  hd_inode_is_dir(w.inode) ? "%s already exists as a directory"
                                                           : "Path is not a directory: %s",
                                  q->src);
    }
    if (w.parent == NULL || (!q->create_parent && w.missing > 1)) {
        return hd_call_fail(c, -ENOENT, "Parent directory doesn't exist: %s",
                            hd_path_parent(c, q->src));
    }
    err = check_missing(c, &w);
    if (err < 0) {
        return err;
    }
    const char *name;
    size_t name_size;
    struct hd_inode *parent = make_parents(c, &w, q->masked->perm, &name, &name_size);
    Hdm__NewInode n = hd_new_inode(c, parent, name, name_size, q->masked->perm);
    hd_acl_inherit_hdfs(c, parent, true, q->masked, q->unmasked, &n);
    n.mode |= parent->mode & HD_SET_GROUP_ID;
    Hdm__MakeDirectory op = HDM__MAKE_DIRECTORY__INIT;
    op.inode = &n;
    HD_COMMIT(c->m, make_directory, MAKE_DIRECTORY, &op);
    return hd_call_done(c, &r->base);
}

/* ---- create ---- */

static int check_create_arguments(struct hd_call *c, const Hdw__CreateRequest *q)
{
    const struct hd_meta_options *o = &c->m->o;
    if (!hd_path_is_valid(q->src)) {
        return hd_call_fail(c, -HD_E_INVALID_PATH, "Invalid path name %s", q->src);
    }
    if (q->replication > o->replication_max) {
        return hd_call_fail(c, -HD_E_IO,
                            "Requested replication factor of %u exceeds maximum of %u for %s, "
                            "clientName=%s",
                            q->replication, o->replication_max, q->src, c->event->peer_ip);
    }
    if (q->replication < 1) {
        return hd_call_fail(c, -HD_E_IO,
                            "Requested replication factor of %u is less than the required minimum "
                            "of 1 for %s, clientName=%s",
                            q->replication, q->src, c->event->peer_ip);
    }
    if (q->block_size < o->min_block_size_bytes) {
        return hd_call_fail(c, -HD_E_IO,
                            "Specified block size %llu is less than configured minimum value "
                            "dfs.namenode.fs-limits.min-block-size=%llu",
                            (unsigned long long)q->block_size,
                            (unsigned long long)o->min_block_size_bytes);
    }
    if (q->storage_policy != NULL && q->storage_policy[0] != '\0' &&
        hd_policy_by_name(q->storage_policy) == NULL) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "Cannot find a block policy with the name %s", q->storage_policy);
    }
    if (q->ec_policy_name != NULL && q->ec_policy_name[0] != '\0') {
        return hd_call_fail(
            c, -HD_E_ILLEGAL_ARGUMENT,
            "Policy '%s' does not match any enabled erasure coding policies: []. An "
            "erasure coding policy can be enabled by enableErasureCodingPolicy API.",
            q->ec_policy_name);
    }
    return 0;
}

static int check_existing(struct hd_call *c, const Hdw__CreateRequest *q, const struct hd_where *w)
{
    bool overwrite = (q->create_flag & HDW__CREATE_FLAG__CREATE_FLAG_OVERWRITE) != 0;
    int err = 0;
    if (overwrite) {
        err = hd_check_access(c, w->inode, HD_W);
    }
    if (err == 0) {
        err = hd_check_access(c, w->parent != NULL ? w->parent : w->inode, HD_W);
    }
    if (err == 0 && overwrite) {
        err = w->parent == NULL ? hd_call_fail(c, -ENOENT, "%s has no name any more", q->src)
                                : hd_check_unlink(c, w->entry);
    }
    if (err < 0 || overwrite) {
        return err;
    }
    err = hd_check_lease(c, w, q->client_name, "CREATE_FILE");
    if (err < 0) {
        return err;
    }
    return hd_call_fail(c, -EEXIST, "%s for client %s already exists", q->src, c->event->peer_ip);
}

/* Everything that may refuse, before the first record. */
static int check_create(struct hd_call *c, const Hdw__CreateRequest *q, struct hd_where *w)
{
    int err = hd_call_check_safe_mode(c, "Cannot create file%s", q->src);
    if (err == 0) {
        err = check_create_arguments(c, q);
    }
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW | HD_BLOCKED, w);
    }
    if (err < 0) {
        return err;
    }
    if (w->inode != NULL && hd_inode_is_dir(w->inode)) {
        return hd_call_fail(c, -EEXIST, "%s already exists as a directory", q->src);
    }
    if (w->inode != NULL) {
        return check_existing(c, q, w);
    }
    if (w->parent == NULL || (!q->create_parent && w->missing > 1)) {
        return hd_call_fail(c, -ENOENT, "Parent directory doesn't exist: %s",
                            hd_path_parent(c, q->src));
    }
    if ((q->create_flag & HDW__CREATE_FLAG__CREATE_FLAG_CREATE) == 0) {
        return hd_call_fail(c, -ENOENT, "Can't overwrite non-existent %s", q->src);
    }
    return check_missing(c, w);
}

int hd_op_create(struct hd_call *c)
{
    const Hdw__CreateRequest *q = c->request;
    struct hd_where w;
    int err = check_create(c, q, &w);
    if (err < 0) {
        return err;
    }
    struct hd_inode *parent = w.parent;
    const char *name = w.name;
    size_t name_size = w.name_size;
    if (w.inode == NULL) {
        parent = make_parents(c, &w, w.parent->mode, &name, &name_size);
    } else {
        name = hd_call_printf(c, "%s", hd_inode_name(w.entry)); /* it is about to be freed */
        name_size = w.entry->name_size;
    }
    Hdm__NewInode n = hd_new_inode(c, parent, name, name_size, q->masked->perm);
    hd_acl_inherit_hdfs(c, parent, false, q->masked, q->unmasked, &n);
    n.has_replaces = w.inode != NULL;
    if (w.inode != NULL) {
        n.replaces = w.entry->ino.v;
        n.n_orphans = hd_posix_orphans(c, w.entry, false, &n.orphans);
    }
    Hdm__CreateFile op = HDM__CREATE_FILE__INIT;
    op.inode = &n;
    op.replication = q->replication;
    op.block_size = q->block_size;
    op.holder = q->client_name;
    op.machine = hd_unconst(c->event->peer_ip);
    if (q->storage_policy != NULL && q->storage_policy[0] != '\0') {
        op.has_policy = true;
        op.policy = hd_policy_by_name(q->storage_policy)->id;
    }
    uint64_t ino = n.ino;
    HD_COMMIT(c->m, create_file, CREATE_FILE, &op);
    hd_posix_orphaned(c, n.orphans, n.n_orphans, false);
    Hdw__CreateResponse *r = HD_MSG(c->m, Hdw__CreateResponse, hdw__create_response);
    r->fs = hd_status(c, hd_ns_inode(c->ns, ino), false, false);
    return hd_call_done(c, &r->base);
}

/* ---- symlinks ---- */

int hd_op_create_symlink(struct hd_call *c)
{
    const Hdw__CreateSymlinkRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot create symlink %s", q->link);
    if (err < 0) {
        return err;
    }
    if (!hd_path_is_valid(q->link)) {
        return hd_call_fail(c, -HD_E_INVALID_PATH, "Invalid link name: %s", q->link);
    }
    if (q->target[0] == '\0' || strlen(q->target) > HD_PATH_MAX_BYTES) {
        return hd_call_fail(c, -HD_E_INVALID_PATH, "Invalid target name: %s", q->target);
    }
    err = hd_resolve(c, q->link, HD_BLOCKED, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode != NULL) {
        return hd_call_fail(c, -EEXIST, "file %s already exists", q->link);
    }
    if (w.parent == NULL || (!q->create_parent && w.missing > 1)) {
        return hd_call_fail(c, -ENOENT, "Parent directory doesn't exist: %s",
                            hd_path_parent(c, q->link));
    }
    err = check_missing(c, &w);
    if (err < 0) {
        return err;
    }
    const char *name;
    size_t name_size;
    struct hd_inode *parent = make_parents(c, &w, w.parent->mode, &name, &name_size);
    Hdm__NewInode n = hd_new_inode(c, parent, name, name_size, 0777);
    Hdm__MakeSymlink op = HDM__MAKE_SYMLINK__INIT;
    op.inode = &n;
    op.target = q->target;
    HD_COMMIT(c->m, make_symlink, MAKE_SYMLINK, &op);
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__CreateSymlinkResponse, hdw__create_symlink_response)->base);
}
