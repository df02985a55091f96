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

void hd_apply_drop_block(struct hd_ns *ns, struct hd_blk *b)
{
    if (ns->on_block_gone != NULL) {
        ns->on_block_gone(ns->ctx, b);
    }
    void *removed = hd_map_remove(&ns->blocks, b->id.v);
    hd_assert(removed == b);
    hd_blk_free(b);
}

void hd_apply_end_open(struct hd_ns *ns, struct hd_inode *file)
{
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    hd_map_remove(&ns->open, file->ino.v);
    hd_leases_remove(&ns->leases, f);
    hd_ns_set_chain(f, NULL, 0);
    free(f->machine);
    free(f->early);
    free(f);
    file->flags &= (uint16_t)~HD_INODE_OPEN;
}

void hd_apply_drop_content(struct hd_ns *ns, struct hd_inode *file)
{
    if (hd_inode_is_open(file)) {
        hd_apply_end_open(ns, file);
    }
    while (file->u.file.block_count > 0) {
        hd_apply_drop_block(ns, hd_file_pop_block(file));
    }
}

/* ---- the operations ---- */

static void take_stamp(struct hd_ns *ns, uint64_t gs)
{
    if (gs >= ns->next_gs) {
        ns->next_gs = gs + 1;
        ns->view.counters = true;
    }
}

static void add_block(struct hd_ns *ns, const Hdm__AddBlock *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    hd_assert(op->block->id >= ns->next_block);
    ns->next_block = op->block->id + 1;
    ns->view.counters = true;
    take_stamp(ns, op->block->gs);
    hd_ns_new_block(ns, file, op->block);
    hd_ns_set_chain(hd_apply_open_file(ns, file), op->chain, op->n_chain);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

static void abandon_block(struct hd_ns *ns, const Hdm__AbandonBlock *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = hd_file_pop_block(file);
    hd_assert(b->id.v == op->block);
    hd_apply_drop_block(ns, b);
    f->recovery_gs.v = 0;
    f->truncating = false;
    f->early_count = 0;
    hd_ns_set_chain(f, NULL, 0);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

static void complete_file(struct hd_ns *ns, const Hdm__EditRecord *r, struct hd_inode *file)
{
    hd_apply_end_open(ns, file);
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        hd_file_block(file, i)->state = HD_BLOCK_COMPLETE;
    }
    hd_apply_changed(ns, file, r);
}

static void update_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__UpdateBlock *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = hd_file_last_block(file);
    hd_assert(b != NULL && b->id.v == op->block->id && b->state == HD_BLOCK_OPEN);
    if (b->gs.v != op->block->gs) { /* who is not in the new chain has nothing that counts */
        hd_ns_set_chain(f, op->chain, op->n_chain);
    }
    b->gs.v = op->block->gs;
    b->size_bytes = op->block->size;
    take_stamp(ns, op->block->gs);
    if (op->commit) {
        b->state = HD_BLOCK_COMMITTED;
        f->recovery_gs.v = 0;
        f->truncating = false;
    }
    if (op->commit && op->has_close && op->close) {
        complete_file(ns, r, file);
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

static void close_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__CloseFile *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    complete_file(ns, r, file);
    hd_quota_content_changed(ns, file, before);
}

static void open_for_append(struct hd_ns *ns, const Hdm__OpenForAppend *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    hd_ns_open(ns, file, op->holder, op->machine);
    if (op->reopen_last) {
        hd_file_last_block(file)->state = HD_BLOCK_OPEN;
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

static void recover_block(struct hd_ns *ns, const Hdm__RecoverBlock *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    f->recovery_gs.v = op->gs;
    take_stamp(ns, op->gs);
    if (strcmp(f->lease->holder, op->holder) != 0) {
        hd_leases_remove(&ns->leases, f);
        hd_leases_add(&ns->leases, f, op->holder, ns->now);
    }
    hd_apply_touch(ns, file);
}

static void truncate_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Truncate *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge space_before = hd_quota_of_content(ns, file);
    uint64_t size = hd_file_size(file);
    hd_assert(op->size <= size);
    while (file->u.file.block_count > 0) {
        uint64_t last = hd_file_last_block(file)->size_bytes;
        if (size - last < op->size) {
            break;
        }
        size -= last;
        hd_apply_drop_block(ns, hd_file_pop_block(file));
    }
    if (op->has_recovery_gs) {
        struct hd_blk *b = hd_file_last_block(file);
        hd_ns_open(ns, file, op->holder, op->machine);
        struct hd_open_file *f = hd_apply_open_file(ns, file);
        f->recovery_gs.v = op->recovery_gs;
        f->truncating = true;
        f->truncate_size_bytes = op->size - (size - b->size_bytes);
        b->state = HD_BLOCK_OPEN;
        take_stamp(ns, op->recovery_gs);
    } else {
        hd_assert(size == op->size);
    }
    hd_quota_content_changed(ns, file, space_before);
    hd_apply_changed(ns, file, r);
}

static void concat_files(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Concat *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    for (size_t n = 0; n < op->n_sources; n++) {
        struct hd_inode *source = hd_apply_file(ns, op->sources[n]);
        struct hd_charge source_before = hd_quota_of_content(ns, source);
        uint32_t count = source->u.file.block_count;
        for (uint32_t i = 0; i < count; i++) {
            hd_file_add_block(file, hd_file_block(source, i));
        }
        while (source->u.file.block_count > 0) { /* the blocks have moved, only forget them */
            struct hd_blk *moved = hd_file_pop_block(source);
            moved->file = file;
        }
        hd_quota_content_changed(ns, source, source_before);
        hd_apply_changed(ns, source->parent, r);
        hd_apply_drop_tree(ns, r, source, NULL, 0);
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
}

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
        add_block(ns, r->add_block);
        break;
    case HDM__EDIT_RECORD__OP_ABANDON_BLOCK:
        abandon_block(ns, r->abandon_block);
        break;
    case HDM__EDIT_RECORD__OP_UPDATE_BLOCK:
        update_block(ns, r, r->update_block);
        break;
    case HDM__EDIT_RECORD__OP_CLOSE_FILE:
        close_file(ns, r, r->close_file);
        break;
    case HDM__EDIT_RECORD__OP_OPEN_FOR_APPEND:
        open_for_append(ns, r->open_for_append);
        break;
    case HDM__EDIT_RECORD__OP_RECOVER_BLOCK:
        recover_block(ns, r->recover_block);
        break;
    case HDM__EDIT_RECORD__OP_TRUNCATE:
        truncate_file(ns, r, r->truncate);
        break;
    case HDM__EDIT_RECORD__OP_CONCAT:
        concat_files(ns, r, r->concat);
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
        take_stamp(ns, r->take_stamp->gs);
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
    case HDM__EDIT_RECORD__OP_OPEN_BLOCK_AGAIN:
    case HDM__EDIT_RECORD__OP_CLOSE_ONE_BLOCK:
    case HDM__EDIT_RECORD__OP_RESIZE:
    case HDM__EDIT_RECORD__OP_PUNCH:
    case HDM__EDIT_RECORD__OP__NOT_SET:
    case _HDM__EDIT_RECORD__OP__CASE_IS_INT_SIZE:
        hd_unreachable();
    }
}
