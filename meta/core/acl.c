/* POSIX ACLs: kept, inherited, asked. See acl.h. */
#include "meta/core/acl.h"
#include "meta/core/mem.h"
#include "meta/core/op.h"

#include <sys/stat.h>

/* ---- kept ---- */

const struct hd_acls *hd_ns_acls(const struct hd_ns *ns, const struct hd_inode *i)
{
    return (i->flags & HD_INODE_ACL) != 0 ? hd_map_get(&ns->acls, i->ino.v) : NULL;
}

void hd_acls_free(struct hd_acls *a)
{
    free(a->access.items);
    free(a->standard.items);
    free(a);
}

void hd_acl_drop(struct hd_ns *ns, struct hd_inode *i)
{
    hd_acls_free(hd_map_remove(&ns->acls, i->ino.v));
    i->flags &= (uint16_t)~HD_INODE_ACL;
}

void hd_acl_put(struct hd_ns *ns, struct hd_inode *i, bool is_default,
                Hdm__StoredAclEntry **entries, size_t count)
{
    struct hd_acls *all = (struct hd_acls *)(uintptr_t)hd_ns_acls(ns, i);
    if (all == NULL && count == 0) {
        return;
    }
    if (all == NULL) {
        all = HD_MEM_NEW(struct hd_acls);
        int err = hd_map_put(&ns->acls, i->ino.v, all);
        hd_assert(err == 0);
        i->flags |= HD_INODE_ACL;
    }
    struct hd_acl *acl = is_default ? &all->standard : &all->access;
    free(acl->items);
    acl->items = count > 0 ? hd_mem_new(sizeof(*acl->items) * count) : NULL;
    acl->count = (uint32_t)count;
    for (size_t n = 0; n < count; n++) {
        acl->items[n] = (struct hd_acl_entry){
            .name = entries[n]->name != NULL
                        ? (int64_t)hd_names_number(&ns->names, entries[n]->name)
                        : (int64_t)HD_ACL_OWN,
            .kind = (uint8_t)entries[n]->kind,
            .perm = (uint8_t)entries[n]->perm,
        };
    }
    if (all->access.count == 0 && all->standard.count == 0) {
        hd_acl_drop(ns, i);
    }
}

Hdm__StoredAclEntry **hd_acl_store(const struct hd_ns *ns, const struct hd_acl *acl,
                                   struct hd_arena *arena, size_t *ret_count)
{
    Hdm__StoredAclEntry **list = HD_ARENA_ARRAY(arena, Hdm__StoredAclEntry *, acl->count + 1);
    Hdm__StoredAclEntry *items = HD_ARENA_ARRAY(arena, Hdm__StoredAclEntry, acl->count + 1);
    hd_assert(list != NULL && items != NULL);
    for (uint32_t n = 0; n < acl->count; n++) {
        const struct hd_acl_entry *e = &acl->items[n];
        hdm__stored_acl_entry__init(&items[n]);
        items[n].kind = e->kind;
        items[n].perm = e->perm;
        items[n].name =
            e->name >= 0 ? hd_unconst(hd_names_text(&ns->names, (uint32_t)e->name)) : NULL;
        list[n] = &items[n];
    }
    *ret_count = acl->count;
    return list;
}

/* ---- inherited ---- */

static const struct hd_acl *default_of(const struct hd_call *c, const struct hd_inode *i)
{
    const struct hd_acls *all = hd_ns_acls(c->ns, i);
    return all != NULL && all->standard.count > 0 ? &all->standard : NULL;
}

/* The permissions of the unnamed entry of a kind; false: there is none. */
static bool own_perm(const struct hd_acl *acl, enum hd_acl_kind kind, uint32_t *ret)
{
    for (uint32_t n = 0; n < acl->count; n++) {
        if (acl->items[n].kind == kind && acl->items[n].name == HD_ACL_OWN) {
            *ret = acl->items[n].perm;
            return true;
        }
    }
    *ret = 0;
    return false;
}

/* The access ACL that comes of a default one: what the mode does not say. */
static void inherit_access(struct hd_call *c, const struct hd_acl *from, Hdm__NewInode *n)
{
    size_t count;
    Hdm__StoredAclEntry **all = hd_acl_store(c->ns, from, &c->m->fx->arena, &count);
    n->acl = HD_TURN_ARRAY(c->m, Hdm__StoredAclEntry *, count);
    for (size_t k = 0; k < count; k++) {
        if (all[k]->name != NULL || all[k]->kind == HD_ACL_GROUP) {
            n->acl[n->n_acl++] = all[k];
        }
    }
}

void hd_acl_inherit(struct hd_call *c, const struct hd_inode *parent, uint32_t umask,
                    uint32_t *mode, Hdm__NewInode *n)
{
    const struct hd_acl *from = S_ISLNK(*mode) ? NULL : default_of(c, parent);
    uint32_t allowed = ~umask & 0777u;
    if (from != NULL) {
        uint32_t user, group, other;
        bool masked = own_perm(from, HD_ACL_MASK, &group);
        if (!masked) {
            own_perm(from, HD_ACL_GROUP, &group);
        }
        own_perm(from, HD_ACL_USER, &user);
        own_perm(from, HD_ACL_OTHER, &other);
        allowed = user << 6 | group << 3 | other;
        if (masked) {
            inherit_access(c, from, n);
        }
        if (S_ISDIR(*mode)) {
            n->default_acl = hd_acl_store(c->ns, from, &c->m->fx->arena, &n->n_default_acl);
        }
    }
    *mode &= ~0777u | allowed;
    n->mode = *mode & 07777u;
}

void hd_acl_inherit_hdfs(struct hd_call *c, const struct hd_inode *parent, bool directory,
                         const Hdw__FsPermission *masked, const Hdw__FsPermission *unmasked,
                         Hdm__NewInode *n)
{
    bool has_default = default_of(c, parent) != NULL;
    uint32_t perm = has_default && unmasked != NULL ? unmasked->perm : masked->perm;
    uint32_t mode = (directory ? S_IFDIR : S_IFREG) | (perm & 01777u) | (n->mode & 06000u);
    hd_acl_inherit(c, parent, 0, &mode, n);
}

/* ---- asked ---- */

/* acl(5), 4.: the owning group and those named; one entry that says yes is enough. */
static bool groups_allow(const struct hd_call *c, const struct hd_inode *i,
                         const struct hd_acl *acl, unsigned access, bool *ret_matched)
{
    unsigned mask = (i->mode >> 3) & 7u;
    for (uint32_t n = 0; n < acl->count; n++) {
        const struct hd_acl_entry *e = &acl->items[n];
        const char *group = e->name == HD_ACL_OWN ? hd_ns_group(c->ns, i)
                                                  : hd_names_text(&c->ns->names, (uint32_t)e->name);
        if (e->kind == HD_ACL_GROUP && hd_user_in_group(c, group)) {
            *ret_matched = true;
            if ((e->perm & mask & access) == access) {
                return true;
            }
        }
    }
    return false;
}

static bool acl_allows(const struct hd_call *c, const struct hd_inode *i, const struct hd_acl *acl,
                       unsigned access)
{
    unsigned mask = (i->mode >> 3) & 7u;
    for (uint32_t n = 0; n < acl->count; n++) {
        const struct hd_acl_entry *e = &acl->items[n];
        if (e->kind == HD_ACL_USER && e->name != HD_ACL_OWN &&
            strcmp(hd_names_text(&c->ns->names, (uint32_t)e->name), c->event->user) == 0) {
            return (e->perm & mask & access) == access;
        }
    }
    bool matched = false;
    bool allowed = groups_allow(c, i, acl, access, &matched);
    return matched ? allowed : (i->mode & access) == access;
}

bool hd_acl_allows(const struct hd_call *c, const struct hd_inode *i, unsigned access)
{
    const struct hd_acls *all = hd_ns_acls(c->ns, i);
    if (strcmp(c->event->user, hd_ns_user(c->ns, i)) == 0) {
        return ((i->mode >> 6) & access) == access;
    }
    if (all != NULL && all->access.count > 0) {
        return acl_allows(c, i, &all->access, access);
    }
    unsigned class = hd_user_in_group(c, hd_ns_group(c->ns, i)) ? i->mode >> 3 : i->mode;
    return (class & access) == access;
}
