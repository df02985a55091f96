/* ACLs: ClientProtocol's calls, and PosixProtocol's setPosixAcl. What is stored: see acl.h. */
#include "meta/core/acl_spec.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"

enum { POSIX_ENTRIES_MAX = 512 }; /* as many as fit into an extended attribute of ext4 */

/* ---- between what is stored and lists ---- */

static void add_stored(struct hd_call *c, const struct hd_acl *acl, bool is_default,
                       struct hd_acl_spec *s)
{
    for (uint32_t n = 0; n < acl->count; n++) {
        const struct hd_acl_entry *e = &acl->items[n];
        struct hd_acl_line line = {.is_default = is_default, .kind = e->kind, .perm = e->perm};
        if (e->name != HD_ACL_OWN) {
            line.name = hd_names_text(&c->ns->names, (uint32_t)e->name);
        }
        hd_acl_spec_add(s, line);
    }
}

/* Both ACLs of an inode, whole. */
static void spec_of(struct hd_call *c, const struct hd_inode *i, struct hd_acl_spec *ret)
{
    static const struct hd_acls none;
    const struct hd_acls *all = hd_ns_acls(c->ns, i);
    all = all != NULL ? all : &none;
    struct hd_acl_line user = {.kind = HD_ACL_USER, .perm = (i->mode >> 6) & 7u};
    struct hd_acl_line group = {.kind = HD_ACL_GROUP, .perm = (i->mode >> 3) & 7u};
    struct hd_acl_line other = {.kind = HD_ACL_OTHER, .perm = i->mode & 7u};
    group.kind = all->access.count > 0 ? HD_ACL_MASK : HD_ACL_GROUP;
    hd_acl_spec_init(ret, all->access.count + all->standard.count + 3, &c->m->fx->arena);
    hd_acl_spec_add(ret, user);
    hd_acl_spec_add(ret, group);
    hd_acl_spec_add(ret, other);
    add_stored(c, &all->access, false, ret);
    add_stored(c, &all->standard, true, ret);
    hd_acl_spec_sort(ret);
}

/* Lines as stored entries: of an access ACL those that the mode does not say. */
static Hdm__StoredAclEntry **store(struct hd_call *c, const struct hd_acl_spec *s, bool is_default,
                                   size_t *ret_count)
{
    Hdm__StoredAclEntry **list = HD_TURN_ARRAY(c->m, Hdm__StoredAclEntry *, s->count);
    size_t count = 0;
    for (size_t n = 0; n < s->count; n++) {
        const struct hd_acl_line *l = &s->lines[n];
        bool stored = is_default || l->name != NULL || l->kind == HD_ACL_GROUP;
        if (l->is_default != is_default || !stored) {
            continue;
        }
        Hdm__StoredAclEntry *e = HD_MSG(c->m, Hdm__StoredAclEntry, hdm__stored_acl_entry);
        e->kind = l->kind;
        e->perm = l->perm;
        e->name = hd_unconst(l->name);
        list[count++] = e;
    }
    *ret_count = count;
    return list;
}

static uint32_t perm_of(const struct hd_acl_spec *s, enum hd_acl_kind kind)
{
    const struct hd_acl_line *l = hd_acl_spec_find(s, false, kind, NULL);
    return l != NULL ? l->perm : 0;
}

static bool is_masked(const struct hd_acl_spec *s)
{
    return hd_acl_spec_find(s, false, HD_ACL_MASK, NULL) != NULL;
}

/* The permissions of the mode that a valid access ACL says. */
static uint32_t mode_of(const struct hd_acl_spec *s)
{
    return perm_of(s, HD_ACL_USER) << 6 |
           perm_of(s, is_masked(s) ? HD_ACL_MASK : HD_ACL_GROUP) << 3 | perm_of(s, HD_ACL_OTHER);
}

/* Fills the access part of a record: what the mode cannot say is stored. */
static void set_access(struct hd_call *c, const struct hd_inode *i, const struct hd_acl_spec *s,
                       Hdm__SetAcl *op)
{
    op->has_has_acl = op->has_acl = true;
    if (is_masked(s)) {
        op->acl = store(c, s, false, &op->n_acl);
    }
    op->has_mode = true;
    op->mode = (i->mode & ~0777u) | mode_of(s);
}

static void set_default(struct hd_call *c, const struct hd_acl_spec *s, Hdm__SetAcl *op)
{
    op->has_has_default = op->has_default = true;
    op->default_acl = store(c, s, true, &op->n_default_acl);
}

/* ---- ClientProtocol ---- */

static int find_for_acl(struct hd_call *c, const char *path, const char *what, struct hd_where *ret)
{
    int err = hd_call_check_safe_mode(c, "Cannot %s on %s", what, path);
    if (err == 0) {
        err = hd_resolve(c, path, HD_FOLLOW, ret);
    }
    if (err == 0 && ret->inode == NULL) {
        return hd_call_fail(c, -ENOENT, "cannot find %s", path);
    }
    return err < 0 ? err : hd_check_owner(c, ret->inode);
}

/* Names of users and groups are kept for good, and each inode below may get a copy. */
enum { NAME_MAX_BYTES = 255 };

static bool is_name(const char *name)
{
    return name == NULL || strlen(name) <= NAME_MAX_BYTES;
}

static int take_spec(struct hd_call *c, Hdw__AclEntry **entries, size_t count,
                     struct hd_acl_spec *ret)
{
    if (count > 2 * HD_ACL_ENTRIES_MAX) {
        return hd_call_fail(c, -HD_E_ACL,
                            "Invalid ACL: ACL spec has %zu entries, which exceeds maximum of %d.",
                            count, HD_ACL_ENTRIES_MAX);
    }
    hd_acl_spec_init(ret, count, &c->m->fx->arena);
    for (size_t n = 0; n < count; n++) {
        const Hdw__AclEntry *e = entries[n];
        if (!is_name(e->name)) {
            return hd_call_fail(c, -HD_E_ACL, "Invalid ACL: a name has more than %d bytes",
                                NAME_MAX_BYTES);
        }
        struct hd_acl_line line = {
            .is_default = e->scope == HDW__ACL_ENTRY_SCOPE__SCOPE_DEFAULT,
            .kind = (uint8_t)((unsigned)e->type & 3u),
            .perm = (uint8_t)((unsigned)e->permissions & 7u),
            .name = e->name != NULL && e->name[0] != '\0' ? e->name : NULL,
        };
        hd_acl_spec_add(ret, line);
    }
    return 0;
}

static int change_acl(struct hd_call *c, const char *path, const char *what,
                      Hdw__AclEntry **entries, size_t count, enum hd_acl_change how)
{
    struct hd_where w;
    struct hd_acl_spec old, by, changed;
    const char *text;
    int err = find_for_acl(c, path, what, &w);
    if (err == 0) {
        err = take_spec(c, entries, count, &by);
    }
    if (err < 0) {
        return err;
    }
    spec_of(c, w.inode, &old);
    err = hd_acl_spec_change(&old, &by, how, HD_ACL_ENTRIES_MAX, &c->m->fx->arena, &changed, &text);
    if (err < 0) {
        return hd_call_fail(c, err, "%s", text);
    }
    if (hd_acl_spec_find(&changed, true, HD_ACL_USER, NULL) != NULL && !hd_inode_is_dir(w.inode)) {
        return hd_call_fail(c, -HD_E_ACL,
                            "Invalid ACL: only directories may have a default ACL. Path: %s", path);
    }
    Hdm__SetAcl op = HDM__SET_ACL__INIT;
    op.ino = w.inode->ino.v;
    set_access(c, w.inode, &changed, &op);
    set_default(c, &changed, &op);
    HD_COMMIT(c->m, set_acl, SET_ACL, &op);
    return 0;
}

int hd_op_modify_acl_entries(struct hd_call *c)
{
    const Hdw__ModifyAclEntriesRequest *q = c->request;
    int err = change_acl(c, q->src, "modify ACL entries", q->acl_spec, q->n_acl_spec, HD_ACL_MERGE);
    return err < 0 ? err
                   : hd_call_done(c, &HD_MSG(c->m, Hdw__ModifyAclEntriesResponse,
                                             hdw__modify_acl_entries_response)
                                          ->base);
}

int hd_op_remove_acl_entries(struct hd_call *c)
{
    const Hdw__RemoveAclEntriesRequest *q = c->request;
    int err =
        change_acl(c, q->src, "remove ACL entries", q->acl_spec, q->n_acl_spec, HD_ACL_REMOVE);
    return err < 0 ? err
                   : hd_call_done(c, &HD_MSG(c->m, Hdw__RemoveAclEntriesResponse,
                                             hdw__remove_acl_entries_response)
                                          ->base);
}

int hd_op_set_acl(struct hd_call *c)
{
    const Hdw__SetAclRequest *q = c->request;
    int err = change_acl(c, q->src, "set ACL", q->acl_spec, q->n_acl_spec, HD_ACL_REPLACE);
    return err < 0
               ? err
               : hd_call_done(c, &HD_MSG(c->m, Hdw__SetAclResponse, hdw__set_acl_response)->base);
}

int hd_op_remove_default_acl(struct hd_call *c)
{
    const Hdw__RemoveDefaultAclRequest *q = c->request;
    struct hd_where w;
    int err = find_for_acl(c, q->src, "remove default ACL entries", &w);
    if (err < 0) {
        return err;
    }
    Hdm__SetAcl op = HDM__SET_ACL__INIT;
    op.ino = w.inode->ino.v;
    op.has_has_default = op.has_default = true;
    HD_COMMIT(c->m, set_acl, SET_ACL, &op);
    return hd_call_done(
        c, &HD_MSG(c->m, Hdw__RemoveDefaultAclResponse, hdw__remove_default_acl_response)->base);
}

int hd_op_remove_acl(struct hd_call *c)
{
    const Hdw__RemoveAclRequest *q = c->request;
    struct hd_where w;
    struct hd_acl_spec s;
    int err = find_for_acl(c, q->src, "remove ACL", &w);
    if (err < 0) {
        return err;
    }
    spec_of(c, w.inode, &s);
    Hdm__SetAcl op = HDM__SET_ACL__INIT;
    op.ino = w.inode->ino.v;
    op.has_has_acl = op.has_acl = op.has_has_default = op.has_default = true;
    op.has_mode = true; /* the owning group's own permissions, which the mask stood for */
    op.mode = (w.inode->mode & ~070u) | perm_of(&s, HD_ACL_GROUP) << 3;
    HD_COMMIT(c->m, set_acl, SET_ACL, &op);
    return hd_call_done(c, &HD_MSG(c->m, Hdw__RemoveAclResponse, hdw__remove_acl_response)->base);
}

/* As Hadoop tells it: what the mode says is left out of the access ACL. */
int hd_op_get_acl_status(struct hd_call *c)
{
    const Hdw__GetAclStatusRequest *q = c->request;
    struct hd_where w;
    struct hd_acl_spec s;
    int err = hd_resolve(c, q->src, HD_FOLLOW, &w);
    if (err == 0 && w.inode == NULL) {
        err = hd_call_fail(c, -ENOENT, "cannot find %s", q->src);
    }
    if (err < 0) {
        return err;
    }
    Hdw__GetAclStatusResponse *r =
        HD_MSG(c->m, Hdw__GetAclStatusResponse, hdw__get_acl_status_response);
    Hdw__AclStatus *a = r->result = HD_MSG(c->m, Hdw__AclStatus, hdw__acl_status);
    spec_of(c, w.inode, &s);
    a->owner = hd_unconst(hd_ns_user(c->ns, w.inode));
    a->group = hd_unconst(hd_ns_group(c->ns, w.inode));
    a->sticky = (w.inode->mode & 01000) != 0;
    a->permission = HD_MSG(c->m, Hdw__FsPermission, hdw__fs_permission);
    a->permission->perm = w.inode->mode & 01777u;
    a->entries = HD_TURN_ARRAY(c->m, Hdw__AclEntry *, s.count);
    for (size_t n = 0; n < s.count; n++) {
        const struct hd_acl_line *l = &s.lines[n];
        bool in_mode = !is_masked(&s) || (l->name == NULL && l->kind != HD_ACL_GROUP);
        if (!l->is_default && in_mode) {
            continue;
        }
        Hdw__AclEntry *e = HD_MSG(c->m, Hdw__AclEntry, hdw__acl_entry);
        e->scope = l->is_default ? HDW__ACL_ENTRY_SCOPE__SCOPE_DEFAULT
                                 : HDW__ACL_ENTRY_SCOPE__SCOPE_ACCESS;
        e->type = (Hdw__AclEntryType)l->kind;
        e->permissions = (Hdw__FsAction)l->perm;
        e->name = hd_unconst(l->name);
        a->entries[a->n_entries++] = e;
    }
    return hd_call_done(c, &r->base);
}

/* ---- PosixProtocol ---- */

static int take_posix_spec(struct hd_call *c, const Hdw__SetPosixAclRequest *q, bool is_default,
                           struct hd_acl_spec *ret)
{
    if (q->n_entries > POSIX_ENTRIES_MAX) {
        return hd_call_fail(c, -ENOSPC, "An ACL has at most %d entries", POSIX_ENTRIES_MAX);
    }
    hd_acl_spec_init(ret, q->n_entries, &c->m->fx->arena);
    for (size_t n = 0; n < q->n_entries; n++) {
        const Hdw__PosixAclEntry *e = q->entries[n];
        struct hd_acl_line line = {.is_default = is_default,
                                   .kind = (uint8_t)e->kind,
                                   .perm = (uint8_t)e->perm,
                                   .name = e->name};
        if ((unsigned)e->kind > HD_ACL_OTHER || e->perm > 7 || !is_name(e->name)) {
            return hd_call_fail(c, -EINVAL, "Invalid ACL: entry %zu", n);
        }
        hd_acl_spec_add(ret, line);
    }
    hd_acl_spec_sort(ret);
    const char *fault = hd_acl_spec_fault(ret, is_default, POSIX_ENTRIES_MAX, &c->m->fx->arena);
    return fault != NULL ? hd_call_fail(c, -EINVAL, "%s", fault) : 0;
}

static int check_posix_acl(struct hd_call *c, const Hdw__SetPosixAclRequest *q, bool is_default,
                           struct hd_inode **ret)
{
    int err =
        hd_call_check_safe_mode(c, "Cannot set ACL of inode %llu", (unsigned long long)q->ino);
    if (err == 0) {
        err = hd_posix_inode(c, q->ino, ret);
    }
    if (err == 0) {
        err = hd_posix_access(c, *ret, 0);
    }
    if (err < 0) {
        return err;
    }
    if (hd_check_owner(c, *ret) < 0) {
        return hd_call_fail(c, -HD_E_NOT_PERMITTED, "Only the owner changes the ACL");
    }
    if ((*ret)->type == HD_INODE_SYMLINK) {
        return hd_call_fail(c, -EOPNOTSUPP, "A symlink has no ACL");
    }
    if (is_default && !hd_inode_is_dir(*ret) && q->n_entries > 0) {
        return hd_call_fail(c, -EACCES, "Only directories have a default ACL");
    }
    return 0;
}

int hd_op_set_posix_acl(struct hd_call *c)
{
    const Hdw__SetPosixAclRequest *q = c->request;
    struct hd_inode *i;
    struct hd_acl_spec s;
    bool is_default = q->has_is_default && q->is_default;
    int err = check_posix_acl(c, q, is_default, &i);
    if (err == 0) {
        err = take_posix_spec(c, q, is_default, &s);
    }
    if (err < 0) {
        return err;
    }
    Hdm__SetAcl op = HDM__SET_ACL__INIT;
    op.ino = i->ino.v;
    if (is_default) {
        set_default(c, &s, &op);
    } else if (s.count > 0) {
        set_access(c, i, &s, &op);
        if (q->has_clear_setgid && q->clear_setgid) {
            op.mode &= ~02000u;
        }
    } else {
        op.has_has_acl = op.has_acl = true; /* the mode stays as it is, mask and all */
    }
    HD_COMMIT(c->m, set_acl, SET_ACL, &op);
    Hdw__SetPosixAclResponse *r =
        HD_MSG(c->m, Hdw__SetPosixAclResponse, hdw__set_posix_acl_response);
    r->attr = hd_posix_attr(c, i);
    return hd_call_done(c, &r->base);
}
