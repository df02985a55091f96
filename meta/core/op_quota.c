/* Quotas: what may be added, and who sets them: HDFS's setQuota, PosixProtocol's, and statFs. */
#include "meta/core/posix.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

enum { QUOTAS_LISTED_MAX = 4096 };

/* ---- what may be added ---- */

static int check_one(struct hd_call *c, const struct hd_inode *i, const struct hd_quota *q,
                     struct hd_charge more)
{
    const char *path = hd_inode_path(i, &c->m->fx->arena);
    if (more.names > 0 && q->names >= 0 && q->used_names + more.names > q->names) {
        return hd_call_fail(c, -HD_E_NS_QUOTA,
                            "The NameSpace quota (directories and files) of directory %s is "
                            "exceeded: quota=%lld file count=%lld",
                            path, (long long)q->names, (long long)(q->used_names + more.names));
    }
    if (more.space_bytes > 0 && q->space_bytes >= 0 &&
        q->used_bytes + more.space_bytes > q->space_bytes) {
        return hd_call_fail(c, -HD_E_DS_QUOTA,
                            "The DiskSpace quota of %s is exceeded: quota = %lld B but diskspace "
                            "consumed = %lld B",
                            path, (long long)q->space_bytes,
                            (long long)(q->used_bytes + more.space_bytes));
    }
    if (more.data_bytes > 0 && q->data_bytes >= 0 &&
        q->used_data_bytes + more.data_bytes > q->data_bytes) {
        return hd_call_fail(c, -HD_E_DS_QUOTA,
                            "The byte quota of %s is exceeded: quota = %lld B but %lld B would be "
                            "stored",
                            path, (long long)q->data_bytes,
                            (long long)(q->used_data_bytes + more.data_bytes));
    }
    return 0;
}

int hd_check_charge(struct hd_call *c, const struct hd_inode *at, struct hd_charge more,
                    const struct hd_inode *up_to)
{
    if (c->ns->quotas.count == 0) {
        return 0;
    }
    for (const struct hd_inode *i = at; i != NULL; i = i->parent) {
        const struct hd_quota *q = hd_ns_quota(c->ns, i);
        if (q == NULL || (up_to != NULL && hd_inode_is_within(up_to, i))) {
            continue; /* what moves within a directory does not add to it */
        }
        int err = check_one(c, i, q, more);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

int hd_check_quota(struct hd_call *c, struct hd_inode *parent, int64_t names, int64_t bytes,
                   const struct hd_inode *up_to)
{
    return hd_check_charge(c, parent, (struct hd_charge){.names = names, .space_bytes = bytes},
                           up_to);
}

int hd_check_data_room(struct hd_call *c, const struct hd_inode *file)
{
    return hd_quota_room(c->ns, file) > 0
               ? 0
               : hd_check_charge(c, file, (struct hd_charge){.data_bytes = INT32_MAX}, NULL);
}

/* ---- ClientProtocol ---- */

int hd_op_set_quota(struct hd_call *c)
{
    const Hdw__SetQuotaRequest *q = c->request;
    int64_t names = (int64_t)q->namespace_quota;
    int64_t space = (int64_t)q->storagespace_quota;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set quota on %s", q->path);
    if (err < 0) {
        return err;
    }
    if (q->has_storage_type) {
        return hd_call_fail(c, -HD_E_UNSUPPORTED, "Quotas by storage type are not supported");
    }
    if (names < -1 || space < -1) {
        return hd_call_fail(c, -HD_E_JAVA_ILLEGAL_ARGUMENT,
                            "Illegal value for nsQuota or ssQuota : %lld and %lld",
                            (long long)names, (long long)space);
    }
    err = hd_resolve(c, q->path, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Directory does not exist: %s", q->path);
    }
    if (!hd_inode_is_dir(w.inode)) {
        return hd_call_fail(c, -HD_E_PATH_NOT_DIR, "`%s': Is not a directory", q->path);
    }
    Hdm__SetAttributes op = HDM__SET_ATTRIBUTES__INIT;
    op.ino = w.inode->ino.v;
    op.has_name_quota = names != INT64_MAX;
    op.name_quota = names;
    op.has_space_quota = space != INT64_MAX;
    op.space_quota = space;
    if (op.has_name_quota || op.has_space_quota) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__SetQuotaResponse, hdw__set_quota_response)->base);
}

/* ---- PosixProtocol: howdah admin quota ---- */

static int find_directory(struct hd_call *c, const char *path, struct hd_inode **ret)
{
    struct hd_where w;
    int err = hd_resolve(c, path, HD_FOLLOW, &w);
    if (err < 0) {
        return err;
    }
    if (w.inode == NULL) {
        return hd_call_fail(c, -ENOENT, "Directory does not exist: %s", path);
    }
    if (!hd_inode_is_dir(w.inode)) {
        return hd_call_fail(c, -HD_E_PATH_NOT_DIR, "`%s': Is not a directory", path);
    }
    *ret = w.inode;
    return 0;
}

int hd_op_set_tree_quota(struct hd_call *c)
{
    const Hdw__SetTreeQuotaRequest *q = c->request;
    struct hd_inode *i;
    int err = hd_call_check_safe_mode(c, "Cannot set quota on %s", q->path);
    if (err == 0) {
        err = find_directory(c, q->path, &i);
    }
    if (err < 0) {
        return err;
    }
    if ((q->has_names && (q->names < -1 || q->names == 0)) || (q->has_bytes && q->bytes < -1)) {
        return hd_call_fail(c, -EINVAL, "A quota of %lld names and %lld bytes makes no sense",
                            (long long)q->names, (long long)q->bytes);
    }
    Hdm__SetAttributes op = HDM__SET_ATTRIBUTES__INIT;
    op.ino = i->ino.v;
    op.has_name_quota = q->has_names;
    op.name_quota = q->names;
    op.has_byte_quota = q->has_bytes;
    op.byte_quota = q->bytes;
    op.has_keep_ctime = op.keep_ctime = true;
    if (op.has_name_quota || op.has_byte_quota) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &op);
    }
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__SetTreeQuotaResponse, hdw__set_tree_quota_response)->base);
}

int hd_op_get_tree_quota(struct hd_call *c)
{
    const Hdw__GetTreeQuotaRequest *q = c->request;
    struct hd_inode *i;
    int err = find_directory(c, q->path, &i);
    if (err == 0) {
        err = hd_check_traverse(c, i);
    }
    if (err < 0) {
        return err;
    }
    Hdw__GetTreeQuotaResponse *r =
        HD_MSG(c->m, Hdw__GetTreeQuotaResponse, hdw__get_tree_quota_response);
    const struct hd_quota *quota = hd_ns_quota(c->ns, i);
    struct hd_charge used;
    if (quota != NULL) {
        used.names = quota->used_names;
        used.data_bytes = quota->used_data_bytes;
    } else {
        used = hd_quota_of_tree(i);
    }
    r->names = quota != NULL ? quota->names : -1;
    r->bytes = quota != NULL ? quota->data_bytes : -1;
    r->used_names = (uint64_t)HD_MAX(used.names, 0);
    r->used_bytes = (uint64_t)HD_MAX(used.data_bytes, 0);
    return hd_call_done(c, &r->base);
}

static int compare_inos(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

int hd_op_list_tree_quotas(struct hd_call *c)
{
    const Hdw__ListTreeQuotasRequest *q = c->request;
    Hdw__ListTreeQuotasResponse *r =
        HD_MSG(c->m, Hdw__ListTreeQuotasResponse, hdw__list_tree_quotas_response);
    uint64_t *inos = HD_TURN_ARRAY(c->m, uint64_t, c->ns->quotas.count);
    size_t count = 0;
    uint64_t ino;
    void *value;
    for (size_t cursor = 0; hd_map_next(&c->ns->quotas, &cursor, &ino, &value);) {
        if (ino > q->start_after) {
            inos[count++] = ino;
        }
    }
    qsort(inos, count, sizeof(*inos), compare_inos);
    r->more = count > QUOTAS_LISTED_MAX;
    count = HD_MIN(count, (size_t)QUOTAS_LISTED_MAX);
    r->quotas = HD_TURN_ARRAY(c->m, Hdw__TreeQuota *, count);
    for (size_t n = 0; n < count; n++) {
        const struct hd_inode *i = hd_ns_inode(c->ns, inos[n]);
        const struct hd_quota *quota = hd_ns_quota(c->ns, i);
        Hdw__TreeQuota *t = HD_MSG(c->m, Hdw__TreeQuota, hdw__tree_quota);
        const char *path = hd_inode_path(i, &c->m->fx->arena);
        t->ino = inos[n];
        t->path.data = (uint8_t *)hd_unconst(path);
        t->path.len = strlen(path);
        t->names = quota->names;
        t->bytes = quota->data_bytes;
        t->space = quota->space_bytes;
        t->used_names = (uint64_t)HD_MAX(quota->used_names, 0);
        t->used_bytes = (uint64_t)HD_MAX(quota->used_data_bytes, 0);
        t->used_space = (uint64_t)HD_MAX(quota->used_bytes, 0);
        r->quotas[r->n_quotas++] = t;
    }
    return hd_call_done(c, &r->base);
}

/* ---- statFs ---- */

enum { FREE_NAMES_GIGA = 4 }; /* names have no limit but memory: a number that programs like */

/* The cluster, by the default replication. */
static void fill_cluster(struct hd_call *c, Hdw__StatFsResponse *r)
{
    uint64_t capacity = 0;
    uint64_t remaining = 0;
    for (uint32_t n = 0; n < c->m->nodes.storage_count; n++) {
        const struct hd_storage *s = c->m->nodes.storages[n];
        if (s != NULL && c->m->nodes.all[s->node]->state != HD_NODE_DEAD) {
            capacity += s->capacity_bytes;
            remaining += s->remaining_bytes;
        }
    }
    r->total_bytes = capacity / HD_MAX(c->m->o.replication, 1u);
    r->free_bytes = remaining / HD_MAX(c->m->o.replication, 1u);
    r->free_names = (uint64_t)FREE_NAMES_GIGA << 30;
    r->total_names = c->ns->file_count + c->ns->directory_count + r->free_names;
}

/* The nearest quota's size; free is the least that any quota above leaves. */
static void fill_quotas(struct hd_call *c, const struct hd_inode *i, Hdw__StatFsResponse *r)
{
    bool bytes_told = false;
    bool names_told = false;
    for (; i != NULL; i = i->parent) {
        const struct hd_quota *q = hd_ns_quota(c->ns, i);
        if (q == NULL) {
            continue;
        }
        if (q->names >= 0) {
            uint64_t left = (uint64_t)HD_MAX(q->names - q->used_names, 0);
            r->total_names = names_told ? r->total_names : (uint64_t)q->names;
            r->free_names = HD_MIN(r->free_names, left);
            names_told = true;
        }
        if (q->data_bytes >= 0) {
            uint64_t left = (uint64_t)HD_MAX(q->data_bytes - q->used_data_bytes, 0);
            r->total_bytes = bytes_told ? r->total_bytes : (uint64_t)q->data_bytes;
            r->free_bytes = HD_MIN(r->free_bytes, left);
            bytes_told = true;
        }
    }
}

int hd_op_stat_fs(struct hd_call *c)
{
    const Hdw__StatFsRequest *q = c->request;
    struct hd_inode *i;
    int err = hd_posix_inode(c, q->ino, &i);
    if (err < 0) {
        return err;
    }
    Hdw__StatFsResponse *r = HD_MSG(c->m, Hdw__StatFsResponse, hdw__stat_fs_response);
    fill_cluster(c, r);
    if (c->ns->quotas.count > 0) {
        fill_quotas(c, i, r);
    }
    return hd_call_done(c, &r->base);
}
