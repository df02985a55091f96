/* PosixProtocol: move, which is renameat2(2). */
#include "meta/core/links.h"
#include "meta/core/posix.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

struct move {
    struct hd_posix_entry from, to;
    bool no_replace, exchange, held;
};

static bool is_move_of_directory(const struct move *m)
{
    return hd_inode_is_dir(m->from.inode) ||
           (m->exchange && m->to.inode != NULL && hd_inode_is_dir(m->to.inode));
}

/* Neither may come to be inside itself, nor take the place of what it is in. */
static int check_loops(struct hd_call *c, const struct move *m)
{
    if (hd_inode_is_within(m->to.parent, m->from.entry)) {
        return hd_call_fail(c, -EINVAL, "\"%.*s\" cannot go into itself", (int)m->from.name_size,
                            m->from.name);
    }
    if (m->to.entry != NULL && hd_inode_is_within(m->from.parent, m->to.entry)) {
        return hd_call_fail(c, m->exchange ? -EINVAL : -ENOTEMPTY,
                            "\"%.*s\" is in what it would replace", (int)m->from.name_size,
                            m->from.name);
    }
    return 0;
}

static int check_replaced(struct hd_call *c, const struct move *m)
{
    const struct hd_inode *from = m->from.inode;
    const struct hd_inode *to = m->to.inode;
    int size = (int)m->to.name_size;
    if (hd_inode_is_dir(from) && !hd_inode_is_dir(to)) {
        return hd_call_fail(c, -ENOTDIR, "\"%.*s\" is no directory", size, m->to.name);
    }
    if (!hd_inode_is_dir(from) && hd_inode_is_dir(to)) {
        return hd_call_fail(c, -EISDIR, "\"%.*s\" is a directory", size, m->to.name);
    }
    if (hd_inode_is_dir(to) && to->u.children.count > 0) {
        return hd_call_fail(c, -ENOTEMPTY, "\"%.*s\" is not empty", size, m->to.name);
    }
    return 0;
}

/* What comes to a directory from elsewhere counts against the quotas there; what leaves is taken
 * off only when they have both. */
static int check_quotas(struct hd_call *c, const struct move *m)
{
    if (c->ns->quotas.count == 0 || m->from.parent == m->to.parent) {
        return 0;
    }
    struct hd_charge there = hd_quota_of_tree(m->from.entry);
    struct hd_charge back = {0};
    if (m->to.entry != NULL) {
        back = hd_quota_of_tree(m->to.entry);
    }
    struct hd_charge more = {there.names - back.names, there.space_bytes - back.space_bytes,
                             there.data_bytes - back.data_bytes};
    int err = hd_check_charge(c, m->to.parent, more, m->from.parent);
    if (err == 0 && m->exchange) {
        more = (struct hd_charge){-more.names, -more.space_bytes, -more.data_bytes};
        err = hd_check_charge(c, m->from.parent, more, m->to.parent);
    }
    return err;
}

static int check_permissions(struct hd_call *c, const struct move *m)
{
    int err = hd_check_unlink(c, m->from.entry);
    if (err == 0 && m->to.entry != NULL) {
        err = hd_check_unlink(c, m->to.entry);
    }
    if (err == 0) {
        err = hd_posix_check_new(c, &m->to, 0);
    }
    /* Its ".." changes. */
    if (err == 0 && m->from.parent != m->to.parent && hd_inode_is_dir(m->from.inode)) {
        err = hd_check_access(c, m->from.inode, HD_W);
    }
    if (err == 0 && m->exchange && m->from.parent != m->to.parent && hd_inode_is_dir(m->to.inode)) {
        err = hd_check_access(c, m->to.inode, HD_W);
    }
    return err;
}

static int find(struct hd_call *c, const Hdw__MoveRequest *q, struct move *m)
{
    m->no_replace = q->has_no_replace && q->no_replace;
    m->exchange = q->has_exchange && q->exchange;
    m->held = q->has_held && q->held;
    if (m->no_replace && m->exchange) {
        return hd_call_fail(c, -EINVAL, "Exchange, and not replace");
    }
    int err = hd_posix_entry(c, q->from_parent, &q->from_name, &m->from);
    if (err == 0) {
        err = hd_posix_entry(c, q->to_parent, &q->to_name, &m->to);
    }
    if (err < 0) {
        return err;
    }
    if (m->from.dots || m->to.dots) {
        return hd_call_fail(c, m->no_replace && !m->from.dots ? -EEXIST : -EBUSY,
                            "\".\" and \"..\" stay");
    }
    if (m->from.inode == NULL) {
        return hd_posix_missing(c, &m->from);
    }
    if (m->to.inode == NULL && m->exchange) {
        return hd_posix_missing(c, &m->to);
    }
    return m->to.inode != NULL && m->no_replace ? hd_posix_exists(c, &m->to) : 0;
}

static int check(struct hd_call *c, const struct move *m)
{
    int err = is_move_of_directory(m) || (m->to.inode != NULL && hd_inode_is_dir(m->to.inode))
                  ? check_loops(c, m)
                  : 0;
    if (err == 0) {
        err = check_permissions(c, m);
    }
    if (err == 0 && m->to.inode != NULL && !m->exchange) {
        err = check_replaced(c, m);
    }
    return err < 0 ? err : check_quotas(c, m);
}

static Hdw__PosixAttr *commit(struct hd_call *c, const struct move *m)
{
    Hdm__Rename op = HDM__RENAME__INIT;
    Hdw__PosixAttr *other = m->to.inode != NULL ? hd_posix_before(c, m->to.inode) : NULL;
    op.ino = m->from.entry->ino.v;
    op.has_link_of = m->from.entry != m->from.inode;
    op.link_of = m->from.inode->ino.v;
    op.parent = m->to.parent->ino.v;
    op.name.data = (uint8_t *)(uintptr_t)m->to.name;
    op.name.len = m->to.name_size;
    if (m->exchange) {
        op.has_exchanges = true;
        op.exchanges = m->to.entry->ino.v;
    } else if (m->to.entry != NULL) {
        op.has_replaces = true;
        op.replaces = m->to.entry->ino.v;
        op.n_orphans = hd_posix_orphans(c, m->to.entry, m->held, &op.orphans);
    }
    HD_COMMIT(c->m, rename, RENAME, &op);
    hd_posix_orphaned(c, op.orphans, op.n_orphans, m->held);
    return other != NULL ? hd_posix_left(c, other) : NULL;
}

int hd_op_move(struct hd_call *c)
{
    const Hdw__MoveRequest *q = c->request;
    struct move m = {0};
    int err = hd_call_check_safe_mode(c, "Cannot move");
    if (err == 0) {
        err = find(c, q, &m);
    }
    if (err < 0) {
        return err;
    }
    Hdw__MoveResponse *r = HD_MSG(c->m, Hdw__MoveResponse, hdw__move_response);
    if (m.from.inode != m.to.inode) { /* else both names stay: rename(2) */
        err = check(c, &m);
        if (err < 0) {
            return err;
        }
        r->other = commit(c, &m);
    }
    r->attr = hd_posix_attr(c, m.from.inode);
    r->from_parent = hd_posix_attr(c, m.from.parent);
    r->to_parent = m.to.parent != m.from.parent ? hd_posix_attr(c, m.to.parent) : r->from_parent;
    return hd_call_done(c, &r->base);
}
