/*
 * Extended attributes by xattr(7): getPosixXattrs gives everything an inode has, ACLs too;
 * setPosixXattr sets or removes one. ClientProtocol sees the same attributes (xattr.c), by its own
 * rules and limits.
 */
#include "meta/core/acl.h"
#include "meta/core/caps.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"

enum {
    NAME_MAX_BYTES = 255,    /* XATTR_NAME_MAX, the prefix included */
    VALUE_MAX_BYTES = 65536, /* XATTR_SIZE_MAX */
    LIST_MAX_BYTES = 65536,  /* XATTR_LIST_MAX: all names, each with a NUL */
};

static const char *const prefixes[] = {
    [HDW__XATTR_NAMESPACE__XATTR_NS_USER] = "user.",
    [HDW__XATTR_NAMESPACE__XATTR_NS_TRUSTED] = "trusted.",
    [HDW__XATTR_NAMESPACE__XATTR_NS_SECURITY] = "security.",
    [HDW__XATTR_NAMESPACE__XATTR_NS_SYSTEM] = "system.",
    [HDW__XATTR_NAMESPACE__XATTR_NS_RAW] = "raw.",
};

static size_t prefix_size(unsigned space)
{
    return space < HD_ARRAY_COUNT(prefixes) ? strlen(prefixes[space]) : 0;
}

/* "user.k" -> its namespace and "k". -EOPNOTSUPP: there is no such namespace; -EINVAL: no name. */
static int split_name(struct hd_call *c, const char *full, uint32_t *ret_space,
                      const char **ret_name)
{
    if (strlen(full) > NAME_MAX_BYTES) {
        return hd_call_fail(c, -ERANGE, "The name of an extended attribute has at most %d bytes",
                            NAME_MAX_BYTES);
    }
    for (unsigned n = 0; n < HD_ARRAY_COUNT(prefixes); n++) {
        bool ours = n != HDW__XATTR_NAMESPACE__XATTR_NS_SYSTEM &&
                    n != HDW__XATTR_NAMESPACE__XATTR_NS_RAW; /* ACLs have a call of their own */
        if (ours && strncmp(full, prefixes[n], prefix_size(n)) == 0) {
            *ret_space = n;
            *ret_name = full + prefix_size(n);
            return **ret_name != '\0'
                       ? 0
                       : hd_call_fail(c, -EINVAL, "\"%s\" is no name of an attribute", full);
        }
    }
    return hd_call_fail(c, -EOPNOTSUPP, "\"%s\" is in no namespace of extended attributes", full);
}

static const struct hd_xattr *find(const struct hd_xattrs *all, uint32_t space, const char *name)
{
    for (uint32_t n = 0; all != NULL && n < all->count; n++) {
        if (all->items[n].space == space && strcmp(all->items[n].name, name) == 0) {
            return &all->items[n];
        }
    }
    return NULL;
}

/* xattr(7): who may change it, and on what. A trusted session's kernel has asked already. */
static int check_change(struct hd_call *c, const struct hd_inode *i, uint32_t space)
{
    if (space != HDW__XATTR_NAMESPACE__XATTR_NS_USER) {
        return c->superuser ? 0
                            : hd_call_fail(c, -HD_E_NOT_PERMITTED,
                                           "Only the superuser changes attributes of \"%s\"",
                                           prefixes[space]);
    }
    if (!hd_inode_is_dir(i) && !hd_inode_is_file(i)) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED,
                            "Only files and directories have attributes of \"user.\"");
    }
    if (hd_inode_is_dir(i) && (i->mode & 01000) != 0 && hd_check_owner(c, i) < 0) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED,
                            "Only the owner changes attributes of a sticky directory");
    }
    return hd_posix_access(c, i, HD_W);
}

static int check_room(struct hd_call *c, const struct hd_xattrs *all, const struct hd_xattr *old,
                      const Hdw__SetPosixXattrRequest *q)
{
    size_t name_size = strlen(q->name);
    size_t names = name_size + 1;
    size_t total = name_size + q->value.len;
    for (uint32_t n = 0; all != NULL && n < all->count; n++) {
        const struct hd_xattr *x = &all->items[n];
        if (x != old) {
            size_t size = prefix_size(x->space) + strlen(x->name);
            names += size + 1;
            total += size + x->value_size;
        }
    }
    if (names > LIST_MAX_BYTES || total > c->m->o.xattrs_max_bytes) {
        return hd_call_fail(c, -ENOSPC,
                            "The extended attributes would take %zu bytes, %llu are allowed", total,
                            (unsigned long long)c->m->o.xattrs_max_bytes);
    }
    return 0;
}

static int check_value(struct hd_call *c, const Hdw__SetPosixXattrRequest *q,
                       const struct hd_xattrs *all, const struct hd_xattr *old)
{
    if (q->value.len > VALUE_MAX_BYTES) {
        return hd_call_fail(c, -E2BIG, "The value of an extended attribute has at most %d bytes",
                            VALUE_MAX_BYTES);
    }
    if (old != NULL && q->has_create_only && q->create_only) {
        return hd_call_fail(c, -EEXIST, "There is an attribute \"%s\" already", q->name);
    }
    bool must_be = !q->has_value || (q->has_replace_only && q->replace_only);
    if (old == NULL && must_be) {
        return hd_call_fail(c, -ENODATA, "There is no attribute \"%s\"", q->name);
    }
    return q->has_value ? check_room(c, all, old, q) : 0;
}

static void commit_set(struct hd_call *c, const struct hd_inode *i, uint32_t space,
                       const char *name, ProtobufCBinaryData value)
{
    Hdm__StoredXAttr stored = HDM__STORED_XATTR__INIT;
    Hdm__SetXAttr op = HDM__SET_XATTR__INIT;
    stored.space = space;
    stored.name = hd_unconst(name);
    stored.value = value;
    op.ino = i->ino.v;
    op.xattr = &stored;
    HD_COMMIT(c->m, set_xattr, SET_XATTR, &op);
}

static void commit_remove(struct hd_call *c, const struct hd_inode *i, uint32_t space,
                          const char *name)
{
    Hdm__RemoveXAttr op = HDM__REMOVE_XATTR__INIT;
    op.ino = i->ino.v;
    op.space = space;
    op.name = hd_unconst(name);
    HD_COMMIT(c->m, remove_xattr, REMOVE_XATTR, &op);
}

int hd_op_set_posix_xattr(struct hd_call *c)
{
    const Hdw__SetPosixXattrRequest *q = c->request;
    struct hd_inode *i;
    uint32_t space = 0;
    const char *name = "";
    int err = hd_call_check_safe_mode(c, "Cannot set an extended attribute of inode %llu",
                                      (unsigned long long)q->ino);
    if (err == 0) {
        err = split_name(c, q->name, &space, &name);
    }
    if (err == 0) {
        err = hd_posix_inode(c, q->ino, &i);
    }
    if (err == 0) {
        err = check_change(c, i, space);
    }
    if (err < 0) {
        return err;
    }
    const struct hd_xattrs *all = hd_ns_xattrs(c->ns, i);
    err = check_value(c, q, all, find(all, space, name));
    if (err < 0) {
        return err;
    }
    if (q->has_value) {
        commit_set(c, i, space, name, q->value);
    } else {
        commit_remove(c, i, space, name);
    }
    Hdw__SetPosixXattrResponse *r =
        HD_MSG(c->m, Hdw__SetPosixXattrResponse, hdw__set_posix_xattr_response);
    r->attr = hd_posix_attr(c, i);
    return hd_call_done(c, &r->base);
}

/* ---- reading ---- */

/* xattr(7): who may read the file sees user.*, everybody security.*, the superuser all. */
static bool is_shown(const struct hd_call *c, const struct hd_xattr *x, bool readable)
{
    return c->superuser || x->space == HDW__XATTR_NAMESPACE__XATTR_NS_SECURITY ||
           (readable && x->space == HDW__XATTR_NAMESPACE__XATTR_NS_USER);
}

static void fill_xattrs(struct hd_call *c, const struct hd_inode *i, Hdw__GetPosixXattrsResponse *r)
{
    bool readable = hd_check_access(c, i, HD_R) == 0;
    const struct hd_xattrs *all = hd_ns_xattrs(c->ns, i);
    uint32_t count = all != NULL ? all->count : 0;
    r->xattrs = HD_TURN_ARRAY(c->m, Hdw__PosixXattr *, count);
    for (uint32_t n = 0; n < count; n++) {
        const struct hd_xattr *x = &all->items[n];
        if (!is_shown(c, x, readable) || x->space >= HD_ARRAY_COUNT(prefixes)) {
            continue;
        }
        Hdw__PosixXattr *m = HD_MSG(c->m, Hdw__PosixXattr, hdw__posix_xattr);
        m->name = hd_call_printf(c, "%s%s", prefixes[x->space], x->name);
        m->value.data = x->value;
        m->value.len = x->value_size;
        r->xattrs[r->n_xattrs++] = m;
    }
}

static Hdw__PosixAclEntry *entry(struct hd_call *c, enum hd_acl_kind kind, const char *name,
                                 uint32_t perm)
{
    Hdw__PosixAclEntry *e = HD_MSG(c->m, Hdw__PosixAclEntry, hdw__posix_acl_entry);
    e->kind = (Hdw__AclEntryKind)kind;
    e->name = hd_unconst(name);
    e->perm = perm & 7u;
    return e;
}

/* What is stored, and what the mode says besides (of an access ACL). */
static Hdw__PosixAclEntry **fill_acl(struct hd_call *c, const struct hd_inode *i,
                                     const struct hd_acl *acl, bool is_default, size_t *ret_count)
{
    Hdw__PosixAclEntry **list = HD_TURN_ARRAY(c->m, Hdw__PosixAclEntry *, acl->count + 3);
    size_t count = 0;
    for (uint32_t n = 0; n < acl->count; n++) {
        const struct hd_acl_entry *e = &acl->items[n];
        list[count++] =
            entry(c, e->kind,
                  e->name == HD_ACL_OWN ? NULL : hd_names_text(&c->ns->names, (uint32_t)e->name),
                  e->perm);
    }
    if (count > 0 && !is_default) {
        list[count++] = entry(c, HD_ACL_USER, NULL, i->mode >> 6);
        list[count++] = entry(c, HD_ACL_MASK, NULL, i->mode >> 3);
        list[count++] = entry(c, HD_ACL_OTHER, NULL, i->mode);
    }
    *ret_count = count;
    return list;
}

int hd_op_get_posix_xattrs(struct hd_call *c)
{
    const Hdw__GetPosixXattrsRequest *q = c->request;
    struct hd_inode *i;
    int err = hd_posix_inode(c, q->ino, &i);
    if (err == 0) {
        err = hd_posix_access(c, i, 0);
    }
    if (err < 0) {
        return err;
    }
    Hdw__GetPosixXattrsResponse *r =
        HD_MSG(c->m, Hdw__GetPosixXattrsResponse, hdw__get_posix_xattrs_response);
    fill_xattrs(c, i, r);
    const struct hd_acls *acls = hd_ns_acls(c->ns, i);
    if (acls != NULL) {
        r->acl = fill_acl(c, i, &acls->access, false, &r->n_acl);
        r->default_acl = fill_acl(c, i, &acls->standard, true, &r->n_default_acl);
    }
    r->has_cached = r->cached = hd_caps_know(c, i);
    return hd_call_done(c, &r->base);
}
