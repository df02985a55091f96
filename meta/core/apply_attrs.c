/* The records of what few inodes have: extended attributes, ACLs, quotas. See apply.h. */
#include "meta/core/acl.h"
#include "meta/core/apply.h"
#include "meta/core/mem.h"

static void drop_xattrs(struct hd_ns *ns, struct hd_inode *i)
{
    struct hd_xattrs *x = hd_map_remove(&ns->xattrs, i->ino.v);
    for (uint32_t n = 0; n < x->count; n++) {
        free(x->items[n].name);
        free(x->items[n].value);
    }
    free(x->items);
    free(x);
    i->flags &= (uint16_t)~HD_INODE_XATTRS;
}

void hd_apply_drop_attrs(struct hd_ns *ns, struct hd_inode *i)
{
    if ((i->flags & HD_INODE_XATTRS) != 0) {
        drop_xattrs(ns, i);
    }
    if ((i->flags & HD_INODE_ACL) != 0) {
        hd_acl_drop(ns, i);
    }
    if ((i->flags & HD_INODE_QUOTA) != 0) {
        free(hd_map_remove(&ns->quotas, i->ino.v));
        i->flags &= (uint16_t)~HD_INODE_QUOTA;
    }
}

void hd_apply_set_xattr(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetXAttr *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    hd_ns_set_xattr(ns, i, op->xattr);
    hd_apply_ctime(ns, i, r);
}

void hd_apply_remove_xattr(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__RemoveXAttr *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    struct hd_xattrs *all = hd_ns_xattrs(ns, i);
    hd_assert(all != NULL);
    for (uint32_t n = 0; n < all->count; n++) {
        struct hd_xattr *x = &all->items[n];
        if (x->space == op->space && strcmp(x->name, op->name) == 0) {
            free(x->name);
            free(x->value);
            all->count--;
            memmove(x, x + 1, sizeof(*x) * (all->count - n));
            break;
        }
    }
    if (all->count == 0) {
        drop_xattrs(ns, i);
    }
    hd_apply_ctime(ns, i, r);
}

void hd_apply_set_acl(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetAcl *op)
{
    struct hd_inode *i = hd_apply_inode(ns, op->ino);
    if (op->has_has_acl && op->has_acl) {
        hd_acl_put(ns, i, false, op->acl, op->n_acl);
    }
    if (op->has_has_default && op->has_default) {
        hd_acl_put(ns, i, true, op->default_acl, op->n_default_acl);
    }
    if (op->has_mode) {
        i->mode = (uint16_t)op->mode;
    }
    hd_apply_ctime(ns, i, r);
}

void hd_apply_set_quotas(struct hd_ns *ns, struct hd_inode *i, const Hdm__SetAttributes *op)
{
    if (!op->has_name_quota && !op->has_space_quota && !op->has_byte_quota) {
        return;
    }
    const struct hd_quota *q = hd_ns_quota(ns, i);
    struct hd_quota_limits limits = {-1, -1, -1};
    if (q != NULL) {
        limits = (struct hd_quota_limits){q->names, q->space_bytes, q->data_bytes};
    }
    limits.names = op->has_name_quota ? op->name_quota : limits.names;
    limits.space_bytes = op->has_space_quota ? op->space_quota : limits.space_bytes;
    limits.data_bytes = op->has_byte_quota ? op->byte_quota : limits.data_bytes;
    hd_ns_set_quotas(ns, i, limits);
}
