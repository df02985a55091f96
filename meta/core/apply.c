/*
 * hd_ns_apply: one record becomes one change of the namespace, the same live and at replay.
 *
 * Nothing here asks whether a change is allowed. What the record leaves to be derived (times of
 * parents, usage of quotas, what the view must be told) is derived here and nowhere else.
 */
#include "meta/core/acl.h"
#include "meta/core/apply.h"
#include "meta/core/mem.h"

/* ---- what the view must be told ---- */

void hd_apply_touch(struct hd_ns *ns, struct hd_inode *i)
{
    if (!ns->view.on || (i->flags & HD_INODE_DIRTY) != 0) {
        return;
    }
    i->flags |= HD_INODE_DIRTY;
    struct hd_view_changes *v = &ns->view;
    HD_MEM_GROW(v->changed, v->changed_count, v->changed_capacity);
    v->changed[v->changed_count++] = i->ino;
}

void hd_apply_touch_dentry(struct hd_ns *ns, const struct hd_inode *i, bool there)
{
    struct hd_view_changes *v = &ns->view;
    if (!v->on) {
        return;
    }
    HD_MEM_GROW(v->dentries, v->dentry_count, v->dentry_capacity);
    char *name = hd_arena_copy(&v->arena, hd_inode_name(i), i->name_size);
    hd_assert(name != NULL);
    v->dentries[v->dentry_count++] = (struct hd_dentry_change){
        .parent = i->parent->ino,
        .child = {there ? i->ino.v : 0},
        .was = {there ? 0 : (i->type == HD_INODE_LINK ? i->u.link : i)->ino.v},
        .name = name,
        .name_size = i->name_size,
    };
}

void hd_apply_touch_gone(struct hd_ns *ns, struct hd_ino ino)
{
    struct hd_view_changes *v = &ns->view;
    if (v->on) {
        HD_MEM_GROW(v->gone, v->gone_count, v->gone_capacity);
        v->gone[v->gone_count++] = ino;
    }
}

/* ---- inodes come and go ---- */

struct hd_inode *hd_apply_inode(const struct hd_ns *ns, uint64_t ino)
{
    struct hd_inode *i = hd_ns_inode(ns, ino);
    hd_assert(i != NULL);
    return i;
}

struct hd_inode *hd_apply_file(const struct hd_ns *ns, uint64_t ino)
{
    struct hd_inode *i = hd_apply_inode(ns, ino);
    hd_assert(hd_inode_is_file(i));
    return i;
}

struct hd_open_file *hd_apply_open_file(const struct hd_ns *ns, struct hd_inode *file)
{
    struct hd_open_file *f = hd_ns_open_file(ns, file);
    hd_assert(f != NULL);
    return f;
}

/* ---- the operations ---- */

static void set_node_admin(struct hd_ns *ns, const Hdm__NodeAdmin *op)
{
    struct hd_view_changes *v = &ns->view;
    hd_node_admins_set(&ns->node_admins, op);
    if (v->on) {
        HD_MEM_GROW(v->admins, v->admin_count, v->admin_capacity);
        v->admins[v->admin_count] = hd_arena_str(&v->arena, op->uuid);
        hd_assert(v->admins[v->admin_count] != NULL);
        v->admin_count++;
    }
}

static void set_session(struct hd_ns *ns, const Hdm__Session *op)
{
    struct hd_view_changes *v = &ns->view;
    hd_session_records_set(&ns->session_records, op);
    if (v->on) {
        HD_MEM_GROW(v->sessions, v->session_count, v->session_capacity);
        v->sessions[v->session_count] = hd_arena_str(&v->arena, op->client_name);
        hd_assert(v->sessions[v->session_count] != NULL);
        v->session_count++;
    }
}

void hd_ns_apply(struct hd_ns *ns, const Hdm__EditRecord *r)
{
    hd_assert(r->txid == ns->txid.v + 1);
    ns->txid.v = r->txid;
    switch (r->op_case) {
    case HDM__EDIT_RECORD__OP_MAKE_DIRECTORY:
        hd_apply_make_directory(ns, r, r->make_directory);
        break;
    case HDM__EDIT_RECORD__OP_CREATE_FILE:
        hd_apply_create_file(ns, r, r->create_file);
        break;
    case HDM__EDIT_RECORD__OP_MAKE_SYMLINK:
        hd_apply_make_symlink(ns, r, r->make_symlink);
        break;
    case HDM__EDIT_RECORD__OP_DELETE:
        hd_apply_delete(ns, r, r->delete_);
        break;
    case HDM__EDIT_RECORD__OP_RENAME:
        hd_apply_rename(ns, r, r->rename);
        break;
    case HDM__EDIT_RECORD__OP_ADD_BLOCK:
        hd_apply_add_block(ns, r, r->add_block);
        break;
    case HDM__EDIT_RECORD__OP_ABANDON_BLOCK:
        hd_apply_abandon_block(ns, r, r->abandon_block);
        break;
    case HDM__EDIT_RECORD__OP_UPDATE_BLOCK:
        hd_apply_update_block(ns, r, r->update_block);
        break;
    case HDM__EDIT_RECORD__OP_CLOSE_FILE:
        hd_apply_close_file(ns, r, r->close_file);
        break;
    case HDM__EDIT_RECORD__OP_OPEN_FOR_APPEND:
        hd_apply_open_for_append(ns, r, r->open_for_append);
        break;
    case HDM__EDIT_RECORD__OP_RECOVER_BLOCK:
        hd_apply_recover_block(ns, r, r->recover_block);
        break;
    case HDM__EDIT_RECORD__OP_TRUNCATE:
        hd_apply_truncate(ns, r, r->truncate);
        break;
    case HDM__EDIT_RECORD__OP_CONCAT:
        hd_apply_concat(ns, r, r->concat);
        break;
    case HDM__EDIT_RECORD__OP_SET_ATTRIBUTES:
        hd_apply_set_attributes(ns, r, r->set_attributes);
        break;
    case HDM__EDIT_RECORD__OP_SET_XATTR:
        hd_apply_set_xattr(ns, r, r->set_xattr);
        break;
    case HDM__EDIT_RECORD__OP_REMOVE_XATTR:
        hd_apply_remove_xattr(ns, r, r->remove_xattr);
        break;
    case HDM__EDIT_RECORD__OP_SET_ACL:
        hd_apply_set_acl(ns, r, r->set_acl);
        break;
    case HDM__EDIT_RECORD__OP_TAKE_STAMP:
        hd_apply_take_stamp(ns, r->take_stamp->gs);
        ns->next_block = HD_MAX(ns->next_block, r->take_stamp->next_block);
        ns->next_ino = HD_MAX(ns->next_ino, r->take_stamp->next_ino);
        break;
    case HDM__EDIT_RECORD__OP_SESSION:
        set_session(ns, r->session);
        break;
    case HDM__EDIT_RECORD__OP_NODE_ADMIN:
        set_node_admin(ns, r->node_admin);
        break;
    case HDM__EDIT_RECORD__OP_MAKE_NODE:
        hd_apply_make_node(ns, r, r->make_node);
        break;
    case HDM__EDIT_RECORD__OP_MAKE_LINK:
        hd_apply_make_link(ns, r, r->make_link);
        break;
    case HDM__EDIT_RECORD__OP_PURGE_ORPHAN:
        hd_apply_purge_orphan(ns, r->purge_orphan);
        break;
    case HDM__EDIT_RECORD__OP_SET_CONTENT:
        hd_apply_set_content(ns, r, r->set_content);
        break;
    case HDM__EDIT_RECORD__OP_OPEN_BLOCK_AGAIN:
        hd_apply_open_block_again(ns, r, r->open_block_again);
        break;
    case HDM__EDIT_RECORD__OP_CLOSE_ONE_BLOCK:
        hd_apply_close_one_block(ns, r, r->close_one_block);
        break;
    case HDM__EDIT_RECORD__OP_RESIZE:
        hd_apply_resize(ns, r, r->resize);
        break;
    case HDM__EDIT_RECORD__OP_PUNCH:
        hd_apply_punch(ns, r, r->punch);
        break;
    case HDM__EDIT_RECORD__OP__NOT_SET:
    case _HDM__EDIT_RECORD__OP__CASE_IS_INT_SIZE:
        hd_unreachable();
    }
}
