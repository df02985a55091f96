/* ClientProtocol: attributes of inodes: mode, owner, times, replication, quota, policy. */
#include "meta/core/op.h"
#include "meta/core/policy.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"

static Hdm__SetAttributes attributes_of(const struct hd_inode *i)
{
    Hdm__SetAttributes op = HDM__SET_ATTRIBUTES__INIT;
    op.ino = i->ino.v;
    return op;
}

int hd_op_set_permission(struct hd_call *c)
{
    const Hdw__SetPermissionRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set permission for %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Directory/File does not exist %s", q->src);
    }
    err = hd_check_owner(c, w.inode);
    if (err < 0) {
        return err;
    }
    Hdm__SetAttributes op = attributes_of(w.inode);
    op.has_mode = true;
    op.mode = q->permission->perm & HD_HDFS_MODE_BITS;
    if (hd_inode_is_dir(w.inode)) { /* as chmod(1) with digits leaves it; of a file it goes */
        op.mode |= w.inode->mode & ~HD_HDFS_MODE_BITS;
    }
    HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__SetPermissionResponse, hdw__set_permission_response)->base);
}

static int check_set_owner(struct hd_call *c, const Hdw__SetOwnerRequest *q,
                           const struct hd_inode *i)
{
    int err = hd_check_owner(c, i);
    if (err < 0 || c->superuser) {
        return err;
    }
    if (q->username != NULL && strcmp(q->username, c->event->user) != 0) {
        return hd_call_fail(c, -EACCES,
                            "User %s is not a super user (non-super user cannot change owner).",
                            c->event->user);
    }
    if (q->groupname != NULL && strcmp(q->groupname, hd_ns_group(c->ns, i)) != 0 &&
        !hd_user_in_group(c, q->groupname)) {
        return hd_call_fail(c, -EACCES, "User %s does not belong to %s", c->event->user,
                            q->groupname);
    }
    return 0;
}

int hd_op_set_owner(struct hd_call *c)
{
    const Hdw__SetOwnerRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set owner for %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Directory/File does not exist %s", q->src);
    }
    err = check_set_owner(c, q, w.inode);
    if (err < 0) {
        return err;
    }
    Hdm__SetAttributes op = attributes_of(w.inode);
    op.user = q->username;
    op.group = q->groupname;
    op.mode = hd_posix_mode_without_set_id(w.inode, w.inode->mode);
    op.has_mode = op.mode != w.inode->mode;
    if (op.user != NULL || op.group != NULL) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__SetOwnerResponse, hdw__set_owner_response)->base);
}

int hd_op_set_times(struct hd_call *c)
{
    const Hdw__SetTimesRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set times %s", q->src);
    if (err == 0) {
        err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "File/Directory %s does not exist.", q->src);
    }
    if (hd_check_owner(c, w.inode) < 0) { /* the owner may, also of a read-only file */
        err = hd_check_access(c, w.inode, HD_W);
    }
    if (err < 0) {
        return err;
    }
    Hdm__SetAttributes op = attributes_of(w.inode);
    op.has_mtime_ms = (int64_t)q->mtime != -1;
    op.mtime_ms = (int64_t)q->mtime;
    op.has_atime_ms = (int64_t)q->atime != -1;
    op.atime_ms = (int64_t)q->atime;
    if (op.has_mtime_ms || op.has_atime_ms) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__SetTimesResponse, hdw__set_times_response)->base);
}

int hd_op_set_replication(struct hd_call *c)
{
    const Hdw__SetReplicationRequest *q = c->request;
    Hdw__SetReplicationResponse *r =
        HD_MSG(c->m, Hdw__SetReplicationResponse, hdw__set_replication_response);
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set replication for %s", q->src);
    if (err < 0) {
        return err;
    }
    if (q->replication > c->m->o.replication_max || q->replication < 1) {
        return q->replication < 1
                   ? hd_call_fail(c, -HD_E_IO,
                                  "Requested replication factor of %u is less than the required "
                                  "minimum of 1 for %s",
                                  q->replication, q->src)
                   : hd_call_fail(c, -HD_E_IO,
                                  "Requested replication factor of %u exceeds maximum of %u for %s",
                                  q->replication, c->m->o.replication_max, q->src);
    }
    err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL || !hd_inode_is_file(w.inode)) {
        return hd_call_done(c, &r->base);
    }
    err = hd_check_access(c, w.inode, HD_W);
    int64_t more = (int64_t)q->replication - w.inode->replication;
    if (err == 0 && more > 0) {
        err = hd_check_quota(c, w.inode->parent, 0, (int64_t)hd_file_size(w.inode) * more, NULL);
    }
    if (err < 0) {
        return err;
    }
    Hdm__SetAttributes op = attributes_of(w.inode);
    op.has_replication = true;
    op.replication = q->replication;
    HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    for (uint32_t i = 0; i < w.inode->u.file.block_count; i++) {
        hd_repair_check(c->m, hd_file_block(w.inode, i));
    }
    r->result = true;
    return hd_call_done(c, &r->base);
}

/* ---- storage policies ---- */

static int set_policy(struct hd_call *c, const char *path, uint8_t id)
{
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set storage policy for %s", path);
    if (err == 0) {
        err = hd_resolve(c, path, HD_FOLLOW, &w);
    }
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "File/Directory does not exist: %s", path);
    }
    err = hd_check_access(c, w.inode, HD_W);
    if (err < 0) {
        return err;
    }
    Hdm__SetAttributes op = attributes_of(w.inode);
    op.has_policy = true;
    op.policy = id;
    HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    return 0;
}

int hd_op_set_storage_policy(struct hd_call *c)
{
    const Hdw__SetStoragePolicyRequest *q = c->request;
    const struct hd_policy *policy = hd_policy_by_name(q->policy_name);
    if (policy == NULL) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "Cannot find a block policy with the name %s", q->policy_name);
    }
    int err = set_policy(c, q->src, policy->id);
    return err < 0 ? err
                   : hd_call_done(c, &HD_MSG(c->m, Hdw__SetStoragePolicyResponse,
                                             hdw__set_storage_policy_response)
                                          ->base);
}

int hd_op_unset_storage_policy(struct hd_call *c)
{
    const Hdw__UnsetStoragePolicyRequest *q = c->request;
    int err = set_policy(c, q->src, 0);
    return err < 0 ? err
                   : hd_call_done(c, &HD_MSG(c->m, Hdw__UnsetStoragePolicyResponse,
                                             hdw__unset_storage_policy_response)
                                          ->base);
}

static Hdw__StorageTypes *type_list(struct hd_call *c, const uint8_t *types, uint8_t count)
{
    Hdw__StorageTypes *l = HD_MSG(c->m, Hdw__StorageTypes, hdw__storage_types);
    l->storage_types = HD_TURN_ARRAY(c->m, Hdw__StorageType, count);
    l->n_storage_types = count;
    for (uint8_t i = 0; i < count; i++) {
        l->storage_types[i] = (Hdw__StorageType)types[i];
    }
    return l;
}

static Hdw__BlockStoragePolicy *policy_message(struct hd_call *c, const struct hd_policy *p)
{
    Hdw__BlockStoragePolicy *m = HD_MSG(c->m, Hdw__BlockStoragePolicy, hdw__block_storage_policy);
    m->policy_id = p->id;
    m->name = hd_unconst(p->name);
    m->creation_policy = type_list(c, p->create, p->create_count);
    if (p->create_fallback_count > 0) {
        m->creation_fallback_policy = type_list(c, p->create_fallback, p->create_fallback_count);
    }
    if (p->replicate_fallback_count > 0) {
        m->replication_fallback_policy =
            type_list(c, p->replicate_fallback, p->replicate_fallback_count);
    }
    return m;
}

int hd_op_get_storage_policy(struct hd_call *c)
{
    const Hdw__GetStoragePolicyRequest *q = c->request;
    struct hd_where w;
    int err = hd_resolve(c, q->path, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "File/Directory does not exist: %s", q->path);
    }
    Hdw__GetStoragePolicyResponse *r =
        HD_MSG(c->m, Hdw__GetStoragePolicyResponse, hdw__get_storage_policy_response);
    r->storage_policy = policy_message(c, hd_policy_by_id(hd_ns_policy(w.inode)));
    return hd_call_done(c, &r->base);
}

int hd_op_get_storage_policies(struct hd_call *c)
{
    Hdw__GetStoragePoliciesResponse *r =
        HD_MSG(c->m, Hdw__GetStoragePoliciesResponse, hdw__get_storage_policies_response);
    r->policies = HD_TURN_ARRAY(c->m, Hdw__BlockStoragePolicy *, hd_policy_count);
    for (size_t i = 0; i < hd_policy_count; i++) {
        r->policies[r->n_policies++] = policy_message(c, &hd_policies[i]);
    }
    return hd_call_done(c, &r->base);
}

/* ---- what there is none of ---- */

int hd_op_get_erasure_coding_policy(struct hd_call *c)
{
    const Hdw__GetErasureCodingPolicyRequest *q = c->request;
    struct hd_where w;
    int err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Path not found: %s", q->src);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__GetErasureCodingPolicyResponse,
                                   hdw__get_erasure_coding_policy_response)
                                ->base);
}
