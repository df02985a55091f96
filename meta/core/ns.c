/* The namespace's parts: look-up, building, freeing. What changes it is apply.c. */
#include "meta/core/ns.h"
#include "meta/core/links.h"
#include "meta/core/acl.h"
#include "meta/core/layout.h"
#include "meta/core/mem.h"
#include "meta/core/open_file.h"
#include "meta/core/quota.h"

void hd_ns_init(struct hd_ns *ns)
{
    *ns = (struct hd_ns){0};
    hd_map_init(&ns->inodes);
    hd_map_init(&ns->blocks);
    hd_map_init(&ns->open);
    hd_map_init(&ns->xattrs);
    hd_map_init(&ns->quotas);
    hd_map_init(&ns->acls);
    hd_map_init(&ns->links);
    hd_map_init(&ns->orphans);
    hd_session_records_init(&ns->session_records);
    hd_leases_init(&ns->leases);
    hd_names_init(&ns->names);
    hd_arena_init(&ns->view.arena, 0);
    ns->next_ino = HD_ROOT_INO + 1;
    ns->next_block = HD_FIRST_BLOCK_ID;
    ns->next_gs = HD_FIRST_GENSTAMP;
}

static void xattrs_free(struct hd_xattrs *x)
{
    for (uint32_t i = 0; i < x->count; i++) {
        free(x->items[i].name);
        free(x->items[i].value);
    }
    free(x->items);
    free(x);
}

void hd_blk_free(struct hd_blk *b)
{
    if (b->replica_capacity > HD_REPLICAS_INLINE) {
        free(b->replicas.many);
    }
    free(b);
}

void hd_ns_done(struct hd_ns *ns)
{
    size_t cursor = 0;
    uint64_t key;
    void *value;
    while (hd_map_next(&ns->open, &cursor, &key, &value)) {
        hd_leases_remove(&ns->leases, value);
        hd_open_file_free(value);
    }
    for (cursor = 0; hd_map_next(&ns->xattrs, &cursor, &key, &value);) {
        xattrs_free(value);
    }
    for (cursor = 0; hd_map_next(&ns->quotas, &cursor, &key, &value);) {
        free(value);
    }
    for (cursor = 0; hd_map_next(&ns->acls, &cursor, &key, &value);) {
        hd_acls_free(value);
    }
    for (cursor = 0; hd_map_next(&ns->inodes, &cursor, &key, &value);) {
        if (hd_inode_is_file(value)) {
            hd_file_free_holes(value); /* while the blocks can be looked at */
        }
    }
    for (cursor = 0; hd_map_next(&ns->blocks, &cursor, &key, &value);) {
        hd_blk_free(value);
    }
    for (cursor = 0; hd_map_next(&ns->inodes, &cursor, &key, &value);) {
        hd_inode_free(value);
    }
    free(ns->dentries.buckets);
    hd_map_done(&ns->inodes);
    hd_map_done(&ns->blocks);
    hd_map_done(&ns->open);
    hd_map_done(&ns->xattrs);
    hd_map_done(&ns->quotas);
    hd_map_done(&ns->acls);
    hd_links_done(ns);
    hd_leases_done(&ns->leases);
    hd_names_done(&ns->names);
    hd_arena_done(&ns->view.arena);
    free(ns->view.dentries);
    free(ns->view.changed);
    free(ns->view.gone);
    free(ns->view.admins);
    free(ns->view.sessions);
    hd_session_records_done(&ns->session_records);
    hd_node_admins_done(&ns->node_admins);
}

void hd_ns_format(struct hd_ns *ns, const char *user, const char *group, int64_t wall_ms)
{
    hd_assert(ns->root == NULL);
    struct hd_inode *root = hd_inode_new((struct hd_ino){HD_ROOT_INO}, HD_INODE_DIR, "", 0);
    root->mode = 0755;
    root->user = hd_names_number(&ns->names, user);
    root->group = hd_names_number(&ns->names, group);
    root->mtime_ms = wall_ms;
    hd_ns_register(ns, root);
    ns->root = root;
}

struct hd_inode *hd_ns_inode(const struct hd_ns *ns, uint64_t ino)
{
    return hd_map_get(&ns->inodes, ino);
}

struct hd_blk *hd_ns_block(const struct hd_ns *ns, struct hd_block_id id)
{
    return hd_map_get(&ns->blocks, id.v);
}

struct hd_open_file *hd_ns_open_file(const struct hd_ns *ns, const struct hd_inode *file)
{
    return hd_inode_is_open(file) ? hd_map_get(&ns->open, file->ino.v) : NULL;
}

struct hd_xattrs *hd_ns_xattrs(const struct hd_ns *ns, const struct hd_inode *i)
{
    return (i->flags & HD_INODE_XATTRS) != 0 ? hd_map_get(&ns->xattrs, i->ino.v) : NULL;
}

struct hd_quota *hd_ns_quota(const struct hd_ns *ns, const struct hd_inode *i)
{
    return (i->flags & HD_INODE_QUOTA) != 0 ? hd_map_get(&ns->quotas, i->ino.v) : NULL;
}

const char *hd_ns_user(const struct hd_ns *ns, const struct hd_inode *i)
{
    return hd_names_text(&ns->names, i->user);
}

const char *hd_ns_group(const struct hd_ns *ns, const struct hd_inode *i)
{
    return hd_names_text(&ns->names, i->group);
}

uint8_t hd_ns_policy(const struct hd_inode *i)
{
    for (; i != NULL; i = i->parent) {
        if (i->policy != 0) {
            return i->policy;
        }
    }
    return 0;
}

struct hd_inode *hd_ns_walk(const struct hd_inode *top, struct hd_inode *at)
{
    if (hd_inode_is_dir(at) && at->u.children.count > 0) {
        struct hd_children_at first = {0, 0};
        return hd_children_next(&at->u.children, &first);
    }
    for (; at != top; at = at->parent) {
        const struct hd_children *siblings = &at->parent->u.children;
        struct hd_children_at behind =
            hd_children_after(siblings, hd_inode_name(at), at->name_size);
        struct hd_inode *next = hd_children_next(siblings, &behind);
        if (next != NULL) {
            return next;
        }
    }
    return NULL;
}

struct hd_usage_sum hd_ns_usage(struct hd_inode *top)
{
    struct hd_usage_sum sum = {0};
    for (struct hd_inode *i = top; i != NULL; i = hd_ns_walk(top, i)) {
        if (hd_inode_is_dir(i)) {
            sum.directories++;
        } else {
            sum.files++;
        }
        if (hd_inode_is_file(i)) {
            sum.size_bytes += hd_file_size(i);
            sum.space_bytes += hd_file_space(i);
            sum.data_bytes += hd_file_data(i);
        }
    }
    return sum;
}

/* ---- entries of directories ---- */

enum { SMALL_DIRECTORY = 16, FIRST_BUCKETS = 64 };

static struct hd_inode **bucket_of(const struct hd_dentries *d, const struct hd_inode *parent,
                                   const char *name, size_t name_size)
{
    uint64_t hash = hd_hash_bytes(name, name_size) ^ hd_hash_u64(parent->ino.v);
    return &d->buckets[hd_hash_u64(hash) & (d->bucket_count - 1)];
}

static void hash_inode(struct hd_dentries *d, struct hd_inode *i)
{
    struct hd_inode **bucket = bucket_of(d, i->parent, hd_inode_name(i), i->name_size);
    i->hash_next = *bucket;
    *bucket = i;
}

static void set_buckets(struct hd_dentries *d, size_t bucket_count)
{
    struct hd_dentries more = {.count = d->count, .bucket_count = bucket_count};
    more.buckets = hd_mem_new(sizeof(struct hd_inode *) * more.bucket_count);
    for (size_t n = 0; n < d->bucket_count; n++) {
        for (struct hd_inode *i = d->buckets[n]; i != NULL;) {
            struct hd_inode *next = i->hash_next;
            hash_inode(&more, i);
            i = next;
        }
    }
    free(d->buckets);
    *d = more;
}

void hd_ns_reserve(struct hd_ns *ns, uint64_t inodes)
{
    size_t buckets = HD_MAX(ns->dentries.bucket_count, (size_t)FIRST_BUCKETS);
    while (buckets < inodes) {
        buckets *= 2;
    }
    if (buckets > ns->dentries.bucket_count) {
        set_buckets(&ns->dentries, buckets);
    }
}

void hd_ns_reserve_load(struct hd_ns *ns, size_t inodes)
{
    /* Without the memory they grow as they need to, or fail then. */
    (void)hd_map_reserve(&ns->inodes, inodes);
    (void)hd_map_reserve(&ns->blocks, inodes);
}

struct hd_inode *hd_ns_child(const struct hd_ns *ns, const struct hd_inode *parent,
                             const char *name, size_t name_size)
{
    if (parent->u.children.count <= SMALL_DIRECTORY) {
        return hd_children_find(&parent->u.children, name, name_size);
    }
    struct hd_inode *i = *bucket_of(&ns->dentries, parent, name, name_size);
    while (i != NULL && (i->parent != parent || i->name_size != name_size ||
                         memcmp(hd_inode_name(i), name, name_size) != 0)) {
        i = i->hash_next;
    }
    return i;
}

static void add_dentry(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *child)
{
    child->parent = parent;
    parent->u.children.directories += hd_inode_is_dir(child);
    hd_ns_reserve(ns, ns->dentries.count + 1);
    hash_inode(&ns->dentries, child);
    ns->dentries.count++;
}

void hd_ns_link(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *child)
{
    hd_assert(hd_inode_is_dir(parent));
    hd_children_insert(&parent->u.children, child);
    add_dentry(ns, parent, child);
}

bool hd_ns_link_last(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *child)
{
    hd_assert(hd_inode_is_dir(parent));
    if (!hd_children_append(&parent->u.children, child)) {
        return false;
    }
    add_dentry(ns, parent, child);
    return true;
}

void hd_ns_unlink(struct hd_ns *ns, struct hd_inode *child)
{
    struct hd_inode **at =
        bucket_of(&ns->dentries, child->parent, hd_inode_name(child), child->name_size);
    while (*at != child) {
        hd_assert(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = child->hash_next;
    child->hash_next = NULL;
    ns->dentries.count--;
    child->parent->u.children.directories -= hd_inode_is_dir(child);
    hd_children_remove(&child->parent->u.children, child);
}

void hd_ns_register(struct hd_ns *ns, struct hd_inode *i)
{
    size_t before = ns->inodes.count;
    int err = hd_map_put(&ns->inodes, i->ino.v, i);
    hd_assert(err == 0 && ns->inodes.count == before + 1); /* there was none of that number */
    if (hd_inode_is_dir(i)) {
        ns->directory_count++;
    } else {
        ns->file_count++;
    }
}

struct hd_blk *hd_ns_new_block(struct hd_ns *ns, struct hd_inode *file, const Hdm__StoredBlock *b)
{
    struct hd_blk *blk = HD_MEM_NEW(struct hd_blk);
    blk->id.v = b->id;
    blk->gs.v = b->gs;
    blk->size_bytes = b->size;
    blk->replica_capacity = HD_REPLICAS_INLINE;
    size_t before = ns->blocks.count;
    int err = hd_map_put(&ns->blocks, b->id, blk);
    hd_assert(err == 0 && ns->blocks.count == before + 1);
    hd_file_add_block(file, blk);
    return blk;
}

void hd_ns_open(struct hd_ns *ns, struct hd_inode *file, const char *holder, const char *machine)
{
    hd_assert(!hd_inode_is_open(file));
    struct hd_open_file *f = HD_MEM_NEW(struct hd_open_file);
    f->file = file;
    f->machine = hd_mem_str(machine, strlen(machine));
    hd_leases_add(&ns->leases, f, holder, ns->now);
    int err = hd_map_put(&ns->open, file->ino.v, f);
    hd_assert(err == 0);
    file->flags |= HD_INODE_OPEN;
}

static struct hd_xattr *find_xattr(struct hd_xattrs *x, uint32_t space, const char *name)
{
    for (uint32_t i = 0; i < x->count; i++) {
        if (x->items[i].space == space && strcmp(x->items[i].name, name) == 0) {
            return &x->items[i];
        }
    }
    return NULL;
}

void hd_ns_set_xattr(struct hd_ns *ns, struct hd_inode *i, const Hdm__StoredXAttr *x)
{
    struct hd_xattrs *all = hd_ns_xattrs(ns, i);
    if (all == NULL) {
        all = HD_MEM_NEW(struct hd_xattrs);
        int err = hd_map_put(&ns->xattrs, i->ino.v, all);
        hd_assert(err == 0);
        i->flags |= HD_INODE_XATTRS;
    }
    struct hd_xattr *item = find_xattr(all, x->space, x->name);
    if (item == NULL) {
        HD_MEM_GROW(all->items, all->count, all->capacity);
        item = &all->items[all->count++];
        *item = (struct hd_xattr){.space = (uint8_t)x->space};
        item->name = hd_mem_str(x->name, strlen(x->name));
    } else {
        free(item->value);
    }
    item->value =
        (uint8_t *)hd_mem_str(x->value.len > 0 ? (const char *)x->value.data : "", x->value.len);
    item->value_size = x->value.len;
}

static void count_usage(struct hd_quota *q, struct hd_inode *i)
{
    struct hd_charge used = hd_quota_of_tree(i);
    q->used_names = used.names;
    q->used_bytes = used.space_bytes;
    q->used_data_bytes = used.data_bytes;
}

void hd_ns_set_quotas(struct hd_ns *ns, struct hd_inode *i, struct hd_quota_limits limits)
{
    struct hd_quota *q = hd_ns_quota(ns, i);
    if (limits.names < 0 && limits.space_bytes < 0 && limits.data_bytes < 0) {
        if (q != NULL) {
            free(hd_map_remove(&ns->quotas, i->ino.v));
            i->flags &= (uint16_t)~HD_INODE_QUOTA;
        }
        return;
    }
    if (q == NULL) {
        q = HD_MEM_NEW(struct hd_quota);
        int err = hd_map_put(&ns->quotas, i->ino.v, q);
        hd_assert(err == 0);
        i->flags |= HD_INODE_QUOTA;
        count_usage(q, i);
    }
    q->names = limits.names;
    q->space_bytes = limits.space_bytes;
    q->data_bytes = limits.data_bytes;
}

void hd_ns_count_quotas(struct hd_ns *ns)
{
    size_t cursor = 0;
    uint64_t ino;
    void *value;
    while (hd_map_next(&ns->quotas, &cursor, &ino, &value)) {
        count_usage(value, hd_ns_inode(ns, ino));
    }
}
