/* ClientProtocol: extended attributes. Limits and sentences are HDFS's. */
#include "meta/core/op.h"
#include "meta/core/record_make.h"

enum { XATTRS_MAX = 32, XATTR_MAX_BYTES = 16384 };

static const char *const prefixes[] = {"user", "trusted", "security", "system", "raw"};

/* user.* for all, trusted.* for the superuser, the rest is nobody's. */
static bool may_use(const struct hd_call *c, const Hdw__XAttr *x)
{
    return x->namespace_ == HDW__XATTR_NAMESPACE__XATTR_NS_USER ||
           (x->namespace_ == HDW__XATTR_NAMESPACE__XATTR_NS_TRUSTED && c->superuser);
}

static int check_space(struct hd_call *c, const Hdw__XAttr *x)
{
    if (may_use(c, x)) {
        return 0;
    }
    unsigned space = (unsigned)x->namespace_;
    return hd_call_fail(c, -EACCES, "User doesn't have permission for xattr: %s.%s",
                        space < HD_ARRAY_COUNT(prefixes) ? prefixes[space] : "unknown", x->name);
}

static int find(struct hd_call *c, const char *path, struct hd_where *ret)
{
    int err = hd_resolve(c, path, HD_FOLLOW, ret);
    if (err == 0 && ret->inode == NULL) {
        return hd_call_fail(c, -ENOENT, "cannot find %s", path);
    }
    return err;
}

static const struct hd_xattr *lookup(const struct hd_xattrs *all, const Hdw__XAttr *x)
{
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        if (all->items[i].space == (unsigned)x->namespace_ &&
            strcmp(all->items[i].name, x->name) == 0) {
            return &all->items[i];
        }
    }
    return NULL;
}

/* Of a sticky directory only the owner changes attributes; otherwise w is enough. */
static int check_change(struct hd_call *c, const struct hd_inode *i)
{
    return hd_inode_is_dir(i) && (i->mode & 01000) != 0 ? hd_check_owner(c, i)
                                                        : hd_check_access(c, i, HD_W);
}

static int check_set(struct hd_call *c, const Hdw__SetXAttrRequest *q, const struct hd_inode *i)
{
    const Hdw__XAttr *x = q->x_attr;
    const struct hd_xattrs *all = hd_ns_xattrs(c->ns, i);
    bool there = lookup(all, x) != NULL;
    unsigned flag = q->has_flag ? q->flag : 3;
    size_t size = strlen(x->name) + x->value.len;
    if (x->name[0] == '\0') {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "XAttr name cannot be empty");
    }
    if (size > XATTR_MAX_BYTES) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                            "The XAttr is too big. The maximum combined size of the name and value "
                            "is %d, but the total size is %zu",
                            XATTR_MAX_BYTES, size);
    }
    if (there && (flag & HDW__XATTR_SET_FLAG__XATTR_REPLACE) == 0) {
        return hd_call_fail(
            c, -HD_E_IO, "XAttr: %s already exists. The REPLACE flag must be specified.", x->name);
    }
    if (!there && (flag & HDW__XATTR_SET_FLAG__XATTR_CREATE) == 0) {
        return hd_call_fail(
            c, -HD_E_IO, "XAttr: %s does not exist. The CREATE flag must be specified.", x->name);
    }
    if (!there && all != NULL && all->count >= XATTRS_MAX) {
        return hd_call_fail(c, -HD_E_IO,
                            "Cannot add additional XAttr to inode, would exceed limit of %d",
                            XATTRS_MAX);
    }
    return 0;
}

int hd_op_set_xattr(struct hd_call *c)
{
    const Hdw__SetXAttrRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot set XAttr on %s", q->src);
    if (err == 0 && q->x_attr == NULL) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "No XAttr given");
    }
    if (err == 0) {
        err = check_space(c, q->x_attr);
    }
    if (err == 0) {
        err = find(c, q->src, &w);
    }
    if (err == 0) {
        err = check_change(c, w.inode);
    }
    if (err == 0) {
        err = check_set(c, q, w.inode);
    }
    if (err < 0) {
        return err;
    }
    Hdm__StoredXAttr stored = HDM__STORED_XATTR__INIT;
    Hdm__SetXAttr op = HDM__SET_XATTR__INIT;
    stored.space = (uint32_t)q->x_attr->namespace_;
    stored.name = q->x_attr->name;
    stored.value = q->x_attr->value;
    op.ino = w.inode->ino.v;
    op.xattr = &stored;
    HD_COMMIT(c->m, set_xattr, SET_XATTR, &op);
    return hd_call_done(c, &HD_MSG(c->m, Hdw__SetXAttrResponse, hdw__set_xattr_response)->base);
}

static Hdw__XAttr *message_of(struct hd_call *c, const struct hd_xattr *x)
{
    Hdw__XAttr *m = HD_MSG(c->m, Hdw__XAttr, hdw__xattr);
    m->namespace_ = (Hdw__XAttrNamespace)x->space;
    m->name = x->name;
    m->has_value = x->value_size > 0;
    m->value.data = x->value;
    m->value.len = x->value_size;
    return m;
}

/* All that the caller may see. */
static size_t collect(struct hd_call *c, const struct hd_inode *i, Hdw__XAttr ***ret)
{
    const struct hd_xattrs *all = hd_ns_xattrs(c->ns, i);
    uint32_t count = all != NULL ? all->count : 0;
    size_t found = 0;
    *ret = HD_TURN_ARRAY(c->m, Hdw__XAttr *, count);
    for (uint32_t n = 0; n < count; n++) {
        Hdw__XAttr *m = message_of(c, &all->items[n]);
        if (may_use(c, m)) {
            (*ret)[found++] = m;
        }
    }
    return found;
}

int hd_op_get_xattrs(struct hd_call *c)
{
    const Hdw__GetXAttrsRequest *q = c->request;
    Hdw__GetXAttrsResponse *r = HD_MSG(c->m, Hdw__GetXAttrsResponse, hdw__get_xattrs_response);
    struct hd_where w;
    for (size_t i = 0; i < q->n_x_attrs; i++) {
        int err = check_space(c, q->x_attrs[i]);
        if (err < 0) {
            return err;
        }
    }
    int err = find(c, q->src, &w);
    if (err == 0) {
        err = hd_check_access(c, w.inode, HD_R);
    }
    if (err < 0) {
        return err;
    }
    if (q->n_x_attrs == 0) {
        r->n_x_attrs = collect(c, w.inode, &r->x_attrs);
        return hd_call_done(c, &r->base);
    }
    r->x_attrs = HD_TURN_ARRAY(c->m, Hdw__XAttr *, q->n_x_attrs);
    for (size_t i = 0; i < q->n_x_attrs; i++) {
        const struct hd_xattr *x = lookup(hd_ns_xattrs(c->ns, w.inode), q->x_attrs[i]);
        if (x == NULL) {
            return hd_call_fail(c, -HD_E_XATTR_NOT_FOUND,
                                "At least one of the attributes provided was not found.");
        }
        r->x_attrs[r->n_x_attrs++] = message_of(c, x);
    }
    return hd_call_done(c, &r->base);
}

int hd_op_list_xattrs(struct hd_call *c)
{
    const Hdw__ListXAttrsRequest *q = c->request;
    struct hd_where w;
    int err = find(c, q->src, &w);
    if (err < 0) {
        return err;
    }
    Hdw__ListXAttrsResponse *r = HD_MSG(c->m, Hdw__ListXAttrsResponse, hdw__list_xattrs_response);
    r->n_x_attrs = collect(c, w.inode, &r->x_attrs);
    return hd_call_done(c, &r->base);
}

int hd_op_remove_xattr(struct hd_call *c)
{
    const Hdw__RemoveXAttrRequest *q = c->request;
    struct hd_where w;
    int err = hd_call_check_safe_mode(c, "Cannot remove XAttr entry on %s", q->src);
    if (err == 0 && q->x_attr == NULL) {
        return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "No XAttr given");
    }
    if (err == 0) {
        err = check_space(c, q->x_attr);
    }
    if (err == 0) {
        err = find(c, q->src, &w);
    }
    if (err == 0) {
        err = check_change(c, w.inode);
    }
    if (err < 0) {
        return err;
    }
    if (lookup(hd_ns_xattrs(c->ns, w.inode), q->x_attr) == NULL) {
        return hd_call_fail(c, -HD_E_IO, "No matching attributes found for remove operation");
    }
    Hdm__RemoveXAttr op = HDM__REMOVE_XATTR__INIT;
    op.ino = w.inode->ino.v;
    op.space = (uint32_t)q->x_attr->namespace_;
    op.name = q->x_attr->name;
    HD_COMMIT(c->m, remove_xattr, REMOVE_XATTR, &op);
    return hd_call_done(c,
                        &HD_MSG(c->m, Hdw__RemoveXAttrResponse, hdw__remove_xattr_response)->base);
}
