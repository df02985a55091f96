/*
 * hd_ns_apply, the content of files: blocks, holes, leases, what is in the metadata. See apply.h,
 * layout.h, open_file.h.
 */
#include "meta/core/apply.h"
#include "meta/core/layout.h"
#include "meta/core/mem.h"
#include "meta/core/open_file.h"

void hd_apply_take_stamp(struct hd_ns *ns, uint64_t gs)
{
    if (gs >= ns->next_gs) {
        ns->next_gs = gs + 1;
        ns->view.counters = true;
    }
}

/* ---- blocks and leases go ---- */

/* A block that is in no file any more. */
static void drop_block(struct hd_ns *ns, struct hd_blk *b)
{
    if (!hd_blk_is_hole(b)) {
        if (ns->on_block_gone != NULL) {
            ns->on_block_gone(ns->ctx, b);
        }
        void *removed = hd_map_remove(&ns->blocks, b->id.v);
        hd_assert(removed == b);
    }
    hd_blk_free(b);
}

/* A block of a file that stays. */
static void take_out(struct hd_ns *ns, struct hd_inode *file, uint32_t index)
{
    struct hd_blk *b = hd_file_take_block(file, index);
    struct hd_open_file *f = hd_ns_open_file(ns, file);
    if (f != NULL) {
        hd_open_file_drop(f, b);
        if (!hd_blk_is_hole(b) && f->content_block.v == b->id.v) {
            f->content_block.v = 0;
        }
    }
    drop_block(ns, b);
}

static void end_open(struct hd_ns *ns, struct hd_inode *file)
{
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    hd_map_remove(&ns->open, file->ino.v);
    hd_leases_remove(&ns->leases, f);
    hd_open_file_free(f);
    file->flags &= (uint16_t)~HD_INODE_OPEN;
}

void hd_apply_drop_content(struct hd_ns *ns, struct hd_inode *file)
{
    if (hd_inode_is_open(file)) {
        end_open(ns, file);
    }
    while (file->u.file.block_count > 0) {
        drop_block(ns, hd_file_pop_block(file));
    }
    hd_file_set_content(file, NULL, 0);
}

static struct hd_blk *block_of(const struct hd_ns *ns, const struct hd_inode *file, uint64_t id)
{
    struct hd_blk *b = hd_ns_block(ns, (struct hd_block_id){id});
    hd_assert(b != NULL && b->file == file);
    return b;
}

static struct hd_open_block *open_block_of(const struct hd_ns *ns, struct hd_inode *file,
                                           uint64_t id)
{
    struct hd_open_block *o = hd_open_block_of(ns, block_of(ns, file, id));
    hd_assert(o != NULL);
    return o;
}

/* ---- the block a writer of HDFS appends to ---- */

static void note_id(struct hd_ns *ns, const Hdm__StoredBlock *b)
{
    hd_assert(b->id >= ns->next_block);
    ns->next_block = b->id + 1;
    ns->view.counters = true;
    hd_apply_take_stamp(ns, b->gs);
}

void hd_apply_add_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__AddBlock *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    note_id(ns, op->block);
    struct hd_blk *b = hd_ns_new_block(ns, file, op->block);
    struct hd_open_block *o = hd_open_file_add(hd_apply_open_file(ns, file), b);
    hd_open_block_set_chain(o, op->chain, op->n_chain);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

/* A block that took the place of a hole leaves one. */
void hd_apply_abandon_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__AbandonBlock *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = block_of(ns, file, op->block);
    const struct hd_open_block *o = hd_open_block_of(ns, b);
    uint32_t index = hd_file_index_of(file, b);
    bool from_hole = o != NULL && o->overwritten && o->fresh && b->size_bytes > 0;
    if (from_hole) {
        hd_file_insert_block(file, index + 1, hd_hole_new(b->size_bytes));
    }
    take_out(ns, file, index);
    hd_file_merge_holes(file);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

/* ---- sizes and stamps ---- */

/* The length that counts; with it a block grows into the hole behind it, or replaces the content.
 */
static void set_size(struct hd_open_file *f, struct hd_blk *b, uint64_t size)
{
    struct hd_inode *file = f->file;
    uint32_t index = hd_file_index_of(file, b);
    uint64_t had = b->size_bytes;
    if (f->content_block.v == b->id.v) {
        had = file->u.file.content_size;
        if (size < had) {
            return;
        }
        hd_file_set_content(file, NULL, 0);
        f->content_block.v = 0;
    }
    if (size > had) {
        hd_file_shrink_hole(file, index, HD_MIN(size - had, hd_file_hole_behind(file, index)));
    }
    b->size_bytes = size;
}

static void complete_file(struct hd_ns *ns, struct hd_inode *file)
{
    end_open(ns, file);
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        hd_file_block(file, i)->state = HD_BLOCK_COMPLETE;
    }
}

static void commit_block(struct hd_open_file *f, struct hd_blk *b)
{
    hd_open_file_drop(f, b);
    b->state = HD_BLOCK_COMMITTED;
}

void hd_apply_update_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__UpdateBlock *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_open_block *o = open_block_of(ns, file, op->block->id);
    struct hd_blk *b = o->block;
    if (b->gs.v != op->block->gs) { /* who is not in the new chain has nothing that counts */
        hd_open_block_set_chain(o, op->chain, op->n_chain);
        o->truncating = false; /* the chain was set up with its length */
    }
    b->gs.v = op->block->gs;
    o->fresh = false;
    set_size(f, b, op->block->size);
    hd_apply_take_stamp(ns, op->block->gs);
    if (op->commit) {
        commit_block(f, b);
    }
    if (op->commit && op->has_close && op->close) {
        complete_file(ns, file);
        hd_apply_changed(ns, file, r);
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

void hd_apply_close_one_block(struct hd_ns *ns, const Hdm__EditRecord *r,
                              const Hdm__CloseOneBlock *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = open_block_of(ns, file, op->block->id)->block;
    set_size(f, b, op->block->size);
    commit_block(f, b);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

void hd_apply_close_file(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__CloseFile *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    complete_file(ns, file);
    hd_quota_content_changed(ns, file, before);
    if (op->attributes != NULL) { /* by whom knows when it was written */
        hd_apply_set_attributes(ns, r, op->attributes);
    } else {
        hd_apply_changed(ns, file, r);
    }
}

/* ---- opening ---- */

void hd_apply_open_for_append(struct hd_ns *ns, const Hdm__EditRecord *r,
                              const Hdm__OpenForAppend *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    hd_ns_open(ns, file, op->holder, op->machine);
    if (op->reopen_last) {
        hd_open_file_add(hd_apply_open_file(ns, file), hd_file_last_block(file));
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

/* A new block in the place of a part of a hole; returns it. */
static struct hd_blk *fill_hole(struct hd_ns *ns, struct hd_inode *file,
                                const Hdm__OpenBlockAgain *op)
{
    struct hd_blk *hole = hd_file_block(file, op->at);
    uint64_t before = op->hole_offset;
    hd_assert(hd_blk_is_hole(hole) && hole->size_bytes >= before + op->block->size);
    uint64_t behind = hole->size_bytes - before - op->block->size;
    struct hd_blk *b = hd_ns_new_block(ns, file, op->block); /* at the end */
    hd_file_take_block(file, file->u.file.block_count - 1);
    hd_file_insert_block(file, op->at + 1, b);
    hd_file_insert_block(file, op->at + 2, hd_hole_new(behind));
    hole->size_bytes = before;
    hd_file_merge_holes(file); /* and those of no size go */
    return b;
}

static struct hd_blk *make_block(struct hd_ns *ns, struct hd_inode *file,
                                 const Hdm__OpenBlockAgain *op)
{
    note_id(ns, op->block);
    if (op->has_instead_of_content && op->instead_of_content) {
        struct hd_blk *b = hd_ns_new_block(ns, file, op->block);
        hd_file_take_block(file, file->u.file.block_count - 1);
        hd_file_insert_block(file, 0, b);
        hd_apply_open_file(ns, file)->content_block = b->id;
        return b;
    }
    return op->at < file->u.file.block_count ? fill_hole(ns, file, op)
                                             : hd_ns_new_block(ns, file, op->block);
}

void hd_apply_open_block_again(struct hd_ns *ns, const Hdm__EditRecord *r,
                               const Hdm__OpenBlockAgain *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = op->has_at ? make_block(ns, file, op) : block_of(ns, file, op->block->id);
    hd_apply_take_stamp(ns, op->block->gs); /* of a finished one: to be set up with */
    struct hd_open_block *o = hd_open_file_add(hd_apply_open_file(ns, file), b);
    o->overwritten = true;
    o->fresh = op->has_at;
    hd_open_block_set_chain(o, op->chain, op->n_chain);
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

/* ---- recovery ---- */

void hd_apply_recover_block(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__RecoverBlock *op)
{
    (void)r;
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    struct hd_blk *b = op->has_block ? block_of(ns, file, op->block) : hd_file_last_block(file);
    if (!hd_inode_is_open(file)) {
        hd_ns_open(ns, file, op->holder, "");
    }
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_open_block *o = hd_open_file_find(f, b);
    if (o == NULL) { /* it was whole: what its nodes lost may be anywhere */
        o = hd_open_file_add(f, b);
        o->overwritten = true;
    }
    o->recovery_gs.v = op->gs;
    hd_apply_take_stamp(ns, op->gs);
    if (strcmp(f->lease->holder, op->holder) != 0) {
        hd_leases_remove(&ns->leases, f);
        hd_leases_add(&ns->leases, f, op->holder, ns->now);
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_touch(ns, file);
}

/* ---- cutting ---- */

/* Blocks and holes that are wholly behind the new end go. Returns what is left. */
static uint64_t drop_behind(struct hd_ns *ns, struct hd_inode *file, uint64_t size)
{
    uint64_t left = hd_file_size(file);
    while (file->u.file.block_count > 0) {
        uint64_t last = hd_file_last_block(file)->size_bytes;
        if (left - last < size) {
            break;
        }
        left -= last;
        take_out(ns, file, file->u.file.block_count - 1);
    }
    return left;
}

void hd_apply_truncate(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Truncate *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    hd_assert(op->size <= hd_file_size(file));
    uint64_t size = drop_behind(ns, file, op->size);
    if (op->has_recovery_gs) {
        struct hd_blk *b = hd_file_last_block(file);
        hd_ns_open(ns, file, op->holder, op->machine);
        struct hd_open_block *o = hd_open_file_add(hd_apply_open_file(ns, file), b);
        o->recovery_gs.v = op->recovery_gs;
        o->truncating = true;
        o->truncate_size_bytes = op->size - (size - b->size_bytes);
        hd_apply_take_stamp(ns, op->recovery_gs);
    } else {
        hd_assert(size == op->size);
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
}

/* The last block has `size` bytes from now on: its replicas are to follow. */
static void cut_last(struct hd_ns *ns, struct hd_inode *file, uint64_t size, const Hdm__Resize *op)
{
    struct hd_blk *b = hd_file_last_block(file);
    if (hd_blk_is_hole(b)) {
        b->size_bytes = size;
        return;
    }
    if (!hd_inode_is_open(file)) {
        hd_ns_open(ns, file, op->holder, op->machine);
    }
    struct hd_open_file *f = hd_apply_open_file(ns, file);
    struct hd_open_block *o = hd_open_file_find(f, b);
    if (o == NULL) {
        o = hd_open_file_add(f, b);
    }
    o->overwritten = o->truncating = true;
    o->truncate_size_bytes = b->size_bytes = size;
}

void hd_apply_resize(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Resize *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    if (op->size >= hd_file_size(file)) {
        hd_file_add_hole(file, op->size - hd_file_size(file));
    } else {
        uint64_t size = drop_behind(ns, file, op->size);
        const struct hd_blk *last = hd_file_last_block(file);
        if (size > op->size && last != NULL) {
            cut_last(ns, file, last->size_bytes - (size - op->size), op);
        } else if (size > op->size) {
            file->u.file.content_size = (uint32_t)op->size;
        }
        if (file->u.file.content_size == 0) {
            hd_file_set_content(file, NULL, 0);
        }
    }
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
}

void hd_apply_punch(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Punch *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    for (uint32_t i = op->first; i < op->first + op->count; i++) {
        struct hd_blk *b = hd_file_block(file, i);
        if (!hd_blk_is_hole(b)) {
            hd_file_insert_block(file, i + 1, hd_hole_new(b->size_bytes));
            take_out(ns, file, i);
        }
    }
    hd_file_merge_holes(file);
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
}

/* ---- whole files ---- */

void hd_apply_concat(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__Concat *op)
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
        hd_apply_drop_tree(ns, r, source, NULL, 0);
    }
    hd_file_merge_holes(file);
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
    hd_apply_changed(ns, file->parent, r);
}

void hd_apply_set_content(struct hd_ns *ns, const Hdm__EditRecord *r, const Hdm__SetContent *op)
{
    struct hd_inode *file = hd_apply_file(ns, op->ino);
    struct hd_charge before = hd_quota_of_content(ns, file);
    hd_apply_drop_content(ns, file);
    hd_file_set_content(file, op->content.data, op->content.len);
    hd_quota_content_changed(ns, file, before);
    hd_apply_changed(ns, file, r);
    if (op->attributes != NULL) {
        hd_apply_set_attributes(ns, r, op->attributes);
    }
}
