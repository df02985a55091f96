/*
 * The records of names and attributes: inodes come, move, get further names, and go. See apply.h.
 *
 * A file whose entry goes lives on while it has another name: it takes the place of its oldest
 * LINK, which goes instead. One that a record calls an orphan lives on without a name.
 */
#include "meta/core/acl.h"
#include "meta/core/apply.h"
#include "meta/core/links.h"
#include "meta/core/mem.h"

enum { NS_PER_MS = 1000000 };

void hd_apply_ctime(struct hd_ns *ns, struct hd_inode *i, const Hdm__EditRecord *r)
{
    i->ctime_ns = r->wall_ms * NS_PER_MS;
    hd_apply_touch(ns, i);
}

void hd_apply_changed(struct hd_ns *ns, struct hd_inode *i, const Hdm__EditRecord *r)
{
    i->mtime_ms = r->wall_ms;
    i->mtime_part_ns = 0;
    hd_apply_ctime(ns, i, r);
}

/* ---- entries ---- */

static void add_entry(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *i)
{
    hd_ns_link(ns, parent, i);
    hd_apply_touch_dentry(ns, i, true);
}

static void remove_entry(struct hd_ns *ns, struct hd_inode *i)
{
    hd_apply_touch_dentry(ns, i, false);
    hd_ns_unlink(ns, i);
}

/* ---- inodes go ---- */

/* Frees one inode that is in no directory and has no children and no other names any more. */
static void drop_inode(struct hd_ns *ns, struct hd_inode *i)
{
    if (hd_inode_is_file(i)) {
        hd_apply_drop_content(ns, i);
    }
    hd_apply_drop_attrs(ns, i);
    if (hd_inode_is_dir(i)) {
        ns->directory_count--;
    } else {
        ns->file_count--;
    }
    hd_apply_touch_gone(ns, i->ino);
    hd_map_remove(&ns->inodes, i->ino.v);
    hd_inode_free(i);
}

static void drop_link(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *link)
{
    hd_apply_ctime(ns, link->u.link, r);
    hd_links_remove(ns, link);
    remove_entry(ns, link);
    drop_inode(ns, link);
}

/* The file leaves its place for that of its oldest other name. */
static void take_link_place(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *file)
{
    struct hd_inode *link = hd_links_first(ns, file);
    struct hd_inode *parent = link->parent;
    hd_links_remove(ns, link);
    remove_entry(ns, file);
    hd_ns_unlink(ns, link); /* to the view its entry does not go, it leads elsewhere */
    hd_inode_set_name(file, hd_inode_name(link), link->name_size);
    add_entry(ns, parent, file);
    hd_quota_charge(ns, parent, hd_quota_of_content(ns, file)); /* the name was counted */
    hd_apply_ctime(ns, file, r);
    drop_inode(ns, link);
}

static void make_orphan(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *i)
{
    remove_entry(ns, i);
    i->parent = NULL;
    hd_inode_set_name(i, "", 0);
    hd_orphans_add(ns, i);
    hd_apply_ctime(ns, i, r);
}

static bool is_among(const struct hd_inode *i, const uint64_t *rising, size_t count)
{
    size_t low = 0;
    size_t high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (rising[middle] < i->ino.v) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < count && rising[low] == i->ino.v;
}

void hd_apply_drop_tree(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *top,
                        const uint64_t *orphans, size_t orphan_count)
{
    hd_quota_charge_tree(ns, top->parent, top, -1);
    size_t count = 0;
    size_t capacity = 0;
    struct hd_inode **all = NULL;
    for (struct hd_inode *i = top; i != NULL; i = hd_ns_walk(top, i)) {
        HD_MEM_GROW(all, count, capacity);
        all[count++] = i;
    }
    for (size_t n = count; n > 0; n--) { /* a file must not move to a name that goes, too */
        if (all[n - 1]->type == HD_INODE_LINK) {
            drop_link(ns, r, all[n - 1]);
            all[n - 1] = NULL;
        }
    }
    for (size_t n = count; n > 0; n--) { /* children before parents, last names first */
        struct hd_inode *i = all[n - 1];
        if (i == NULL) {
            continue;
        }
        if ((i->flags & HD_INODE_LINKED) != 0) {
            take_link_place(ns, r, i);
        } else if (is_among(i, orphans, orphan_count)) {
            make_orphan(ns, r, i);
        } else {
            remove_entry(ns, i);
            drop_inode(ns, i);
        }
    }
    free(all);
}

/* ---- inodes come ---- */

static struct hd_inode *add_inode(struct hd_ns *ns, const Hdm__EditRecord *r,
                                  const Hdm__NewInode *n, enum hd_inode_type type)
{
    hd_assert(n->ino >= ns->next_ino);
    ns->next_ino = n->ino + 1;
    ns->view.counters = true;
    if (n->has_replaces) {
        hd_apply_drop_tree(ns, r, hd_apply_inode(ns, n->replaces), n->orphans, n->n_orphans);
    }
    struct hd_inode *parent = hd_apply_inode(ns, n->parent);
    struct hd_inode *i =
        hd_inode_new((struct hd_ino){n->ino}, type, (const char *)n->name.data, n->name.len);
    i->mode = (uint16_t)(n->mode & HD_MODE_BITS);
    i->user = hd_names_number(&ns->names, n->user);
    i->group = hd_names_number(&ns->names, n->group);
    i->mtime_ms = i->atime_ms = r->wall_ms;
    i->ctime_ns = r->wall_ms * NS_PER_MS;
    hd_acl_put(ns, i, false, n->acl, n->n_acl);
    hd_acl_put(ns, i, true, n->default_acl, n->n_default_acl);
    hd_ns_register(ns, i);
    add_entry(ns, parent, i);
    hd_quota_charge(ns, parent, (struct hd_charge){.names = 1});
    hd_apply_touch(ns, i);
    hd_apply_changed(ns, parent, r);
    return i;
}

void hd_apply_make_directory(struct hd_ns *ns, const Hdm__EditRecord *r,
                             const Hdm__MakeDirectory *op)
{
    add_inode(ns, r, op->inode, HD_INODE_DIR);
}

void hd_apply_create_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__CreateFile *op)
{
    struct hd_inode *i = add_inode(ns, r, op->inode, HD_INODE_FILE);
    i->replication = (uint16_t)op->replication;
    i->u.file.block_size_bytes = op->block_size;
    i->policy = op->has_policy ? op->policy & HD_POLICY_BITS : 0;
    if (op->holder[0] != '\0') {
        hd_ns_open(ns, i, op->holder, op->machine);
    }
}

void hd_apply_make_symlink(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeSymlink *op)
{
    struct hd_inode *i = add_inode(ns, r, op->inode, HD_INODE_SYMLINK);
    i->u.target = hd_mem_str(op->target, strlen(op->target));
}

void hd_apply_make_node(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeNode *op)
{
    hd_assert(op->type >= HDM__INODE_TYPE__FIFO && op->type <= HDM__INODE_TYPE__BLOCK_DEVICE);
    struct hd_inode *i = add_inode(ns, r, op->inode, (enum hd_inode_type)op->type);
    i->u.rdev = op->has_rdev ? op->rdev : 0;
}

void hd_apply_make_link(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__MakeLink *op)
{
    struct hd_inode *file = hd_apply_inode(ns, op->link);
    hd_assert(!hd_inode_is_dir(file) && file->type != HD_INODE_LINK && !hd_inode_is_orphan(file));
    struct hd_inode *link = add_inode(ns, r, op->inode, HD_INODE_LINK);
    hd_links_add(ns, file, link);
    hd_apply_ctime(ns, file, r);
}

/* ---- entries go and move ---- */

void hd_apply_delete(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Delete *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    struct hd_inode *parent = i->parent;
    hd_assert(parent != NULL);
    hd_apply_drop_tree(ns, r, i, op->orphans, op->n_orphans);
    hd_apply_changed(ns, parent, r);
}

void hd_apply_purge_orphan(struct hd_ns *ns, const Hdm__PurgeOrphan *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    hd_orphans_remove(ns, i);
    drop_inode(ns, i);
}

/* Both change places. */
static void exchange(struct hd_ns *ns, struct hd_inode *a, struct hd_inode *b)
{
    struct hd_inode *a_parent = a->parent;
    struct hd_inode *b_parent = b->parent;
    char name[HD_NAME_MAX_BYTES];
    size_t name_size = a->name_size;
    memcpy(name, hd_inode_name(a), name_size);
    hd_assert(!hd_inode_is_within(a_parent, b) && !hd_inode_is_within(b_parent, a));
    hd_quota_charge_tree(ns, a_parent, a, -1);
    hd_quota_charge_tree(ns, b_parent, b, -1);
    remove_entry(ns, a);
    remove_entry(ns, b);
    hd_inode_set_name(a, hd_inode_name(b), b->name_size);
    hd_inode_set_name(b, name, name_size);
    add_entry(ns, b_parent, a);
    add_entry(ns, a_parent, b);
    hd_quota_charge_tree(ns, b_parent, a, 1);
    hd_quota_charge_tree(ns, a_parent, b, 1);
}

static void move(struct hd_ns *ns, struct hd_inode *i, struct hd_inode *parent,
                 const Hdm__Rename *op)
{
    hd_assert(!hd_inode_is_within(parent, i));
    if (i->parent != parent) {
        hd_quota_charge_tree(ns, i->parent, i, -1);
        hd_quota_charge_tree(ns, parent, i, 1);
    }
    remove_entry(ns, i);
    hd_inode_set_name(i, (const char *)op->name.data, op->name.len);
    add_entry(ns, parent, i);
}

void hd_apply_rename(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Rename *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    struct hd_inode *parent = hd_apply_inode(ns, op->parent);
    struct hd_inode *old_parent = i->parent;
    hd_assert(old_parent != NULL);
    if (op->has_replaces) {
        hd_apply_drop_tree(ns, r, hd_apply_inode(ns, op->replaces), op->orphans, op->n_orphans);
    }
    if (op->has_exchanges) {
        struct hd_inode *other = hd_apply_inode(ns, op->exchanges);
        hd_assert(other->parent == parent);
        exchange(ns, i, other);
        hd_apply_touch(ns, other);
        hd_apply_ctime(ns, hd_inode_of_entry(other), r);
    } else {
        move(ns, i, parent, op);
    }
    hd_apply_touch(ns, i);
    hd_apply_ctime(ns, hd_inode_of_entry(i), r);
    hd_apply_changed(ns, old_parent, r);
    hd_apply_changed(ns, parent, r);
}

/* ---- attributes ---- */

static void set_times(struct hd_inode *i, const Hdm__SetAttributes *op)
{
    if (op->has_mtime_ms) {
        i->mtime_ms = op->mtime_ms;
        i->mtime_part_ns = op->has_mtime_part_ns ? op->mtime_part_ns : 0;
    }
    if (op->has_atime_ms) {
        i->atime_ms = op->atime_ms;
        i->atime_part_ns = op->has_atime_part_ns ? op->atime_part_ns : 0;
    }
}

void hd_apply_set_attributes(struct hd_ns *ns, const Hdm__EditRecord *r,
                             const Hdm__SetAttributes *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    if (op->has_mode) {
        i->mode = (uint16_t)(op->mode & HD_MODE_BITS);
    }
    if (op->user != NULL) {
        i->user = hd_names_number(&ns->names, op->user);
    }
    if (op->group != NULL) {
        i->group = hd_names_number(&ns->names, op->group);
    }
    set_times(i, op);
    if (op->has_replication && hd_inode_is_file(i)) {
        struct hd_charge before = hd_quota_of_content(ns, i);
        i->replication = (uint16_t)op->replication;
        hd_quota_content_changed(ns, i, before);
    }
    if (op->has_policy) {
        i->policy = op->policy & HD_POLICY_BITS;
    }
    hd_apply_set_quotas(ns, i, op);
    if (op->has_keep_ctime && op->keep_ctime) {
        hd_apply_touch(ns, i);
    } else {
        hd_apply_ctime(ns, i, r);
    }
}
