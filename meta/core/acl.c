/* POSIX ACLs: kept, inherited, asked. See acl.h. */
#include "meta/core/acl.h"
#include "meta/core/mem.h"
#include "meta/core/op.h"

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

void hd_acl_inherit(struct hd_call *c, const struct hd_inode *parent, uint32_t umask,
                    uint32_t *mode, Hdm__NewInode *n)
{
    (void)c;
    (void)parent;
    *mode &= ~(umask & 0777u);
    n->mode = *mode & 07777u;
}

/* ---- asked ---- */

unsigned hd_acl_granted(const struct hd_call *c, const struct hd_inode *i)
{
    if (strcmp(c->event->user, hd_ns_user(c->ns, i)) == 0) {
        return (i->mode >> 6) & 7u;
    }
    if (hd_user_in_group(c, hd_ns_group(c->ns, i))) {
        return (i->mode >> 3) & 7u;
    }
    return i->mode & 7u;
}
