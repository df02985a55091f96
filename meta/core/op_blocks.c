/*
 * PosixProtocol: blocks of a file that a session writes, at any place and several at once.
 * howdah.proto says what each call promises, layout.h how a file is made up; opening one block is
 * in op_open_block.c.
 */
#include "meta/core/op_blocks.h"
#include "fs/wire/reserved.h"
#include "meta/core/caps.h"
#include "meta/core/layout.h"
#include "meta/core/open_file.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"
#include "meta/core/session.h"

/* ---- who may ---- */

int hd_written_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret,
                    const char **ret_holder)
{
    struct hd_session *s;
    int err = hd_call_check_safe_mode(c, "Cannot change the content of inode %llu",
                                      (unsigned long long)ino);
    if (err == 0) {
        err = hd_session_of(c, session, &s);
    }
    if (err == 0) {
        err = hd_posix_file(c, ino, ret);
    }
    if (err < 0) {
        return err;
    }
    if (!hd_caps_has(c, *ret, HD_CAP_WRITE)) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED,
                            "Session %s has not, or no more, the right to write inode %llu",
                            hd_session_name(s), (unsigned long long)ino);
    }
    *ret_holder = hd_session_name(s);
    return 0;
}

int hd_wait_for_block(struct hd_call *c, const struct hd_blk *b)
{
    if (b == NULL || c->time_is_up) {
        return hd_call_fail(c, -HD_E_RETRIABLE, "A block of the file is not settled yet");
    }
    c->wait_block = b->id;
    return HD_PARK;
}

int hd_lease_way(struct hd_call *c, struct hd_inode *file, const char *holder, bool *ret_open)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    const char *text;
    *ret_open = false;
    if (f == NULL) {
        return 0;
    }
    const char *owner = f->lease->holder;
    if (strcmp(owner, holder) == 0 && !f->abandoned) {
        f->lease->renewed = c->m->now;
        *ret_open = true;
        return 0;
    }
    if (!f->abandoned && strcmp(owner, HD_META_HOLDER) != 0 &&
        !hd_meta_past(c->m, f->lease->renewed, c->m->o.lease_soft_ms)) {
        return hd_call_fail(c, -EBUSY, "Inode %llu is being written by %s on %s",
                            (unsigned long long)file->ino.v, owner, f->machine);
    }
    if (hd_release_lease(c->m, file, &text) == 1) {
        return 0;
    }
    return hd_wait_for_block(c, hd_first_incomplete(file, false));
}

int hd_opened_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret)
{
    const char *holder;
    int err = hd_written_file(c, session, ino, ret, &holder);
    if (err < 0) {
        return err;
    }
    struct hd_open_file *f = hd_ns_open_file(c->ns, *ret);
    if (f == NULL || f->abandoned || strcmp(f->lease->holder, holder) != 0) {
        return hd_call_fail(c, -HD_E_LEASE_EXPIRED, "Inode %llu is not open for %s",
                            (unsigned long long)ino, holder);
    }
    f->lease->renewed = c->m->now;
    return 0;
}

/* ---- openBlocks ---- */

int hd_open_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret)
{
    const char *holder;
    bool open;
    int err = hd_written_file(c, session, ino, ret, &holder);
    if (err == 0) {
        err = hd_lease_way(c, *ret, holder, &open);
    }
    if (err != 0 || open) {
        return err;
    }
    Hdm__OpenForAppend op = HDM__OPEN_FOR_APPEND__INIT;
    op.ino = (*ret)->ino.v;
    op.holder = hd_unconst(holder);
    op.machine = hd_unconst(c->event->peer_ip);
    HD_COMMIT(c->m, open_for_append, OPEN_FOR_APPEND, &op);
    return 0;
}

int hd_op_open_blocks(struct hd_call *c)
{
    const Hdw__OpenBlocksRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_open_file(c, q->session, q->ino, &file);
    if (err != 0) {
        return err;
    }
    Hdw__OpenBlocksResponse *r = HD_MSG(c->m, Hdw__OpenBlocksResponse, hdw__open_blocks_response);
    r->block_size = file->u.file.block_size_bytes;
    r->blocks = hd_located_blocks(c, file, 0, UINT64_MAX);
    r->has_content = file->u.file.content_size > 0;
    r->content = hd_content_of(c->m, file);
    return hd_call_done(c, &r->base);
}

/* ---- closeBlock ---- */

static int check_close(struct hd_call *c, struct hd_blk *b, const Hdw__ExtendedBlock *named)
{
    const struct hd_open_block *o = hd_open_block_of(c->ns, b);
    const char *name = hd_block_name(c, b->id, b->gs);
    if (o->recovery_gs.v != 0) {
        return hd_call_fail(c, -HD_E_RECOVERY, "%s is being recovered", name);
    }
    if (o->truncating) {
        return hd_call_fail(c, -EINVAL, "%s is not cut on its nodes yet", name);
    }
    int err = hd_check_stamp(c, b, named);
    if (err == 0) {
        err = hd_check_length(c, b, named->num_bytes);
    }
    if (err == 0 && hd_ns_open_file(c->ns, b->file)->content_block.v == b->id.v &&
        named->num_bytes < b->file->u.file.content_size) {
        return hd_call_fail(c, -EINVAL, "%s is shorter than what it replaces", name);
    }
    return err;
}

static void close_block(struct hd_call *c, struct hd_blk *b, uint64_t size_bytes)
{
    struct hd_early_reports early = hd_block_map_early(c->m, b);
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__CloseOneBlock op = HDM__CLOSE_ONE_BLOCK__INIT;
    stored.id = b->id.v;
    stored.gs = b->gs.v;
    stored.size = size_bytes;
    op.ino = b->file->ino.v;
    op.block = &stored;
    HD_COMMIT(c->m, close_one_block, CLOSE_ONE_BLOCK, &op);
    hd_block_map_committed(c->m, b, &early);
}

/* Closes it, or finds that this was done already. */
static int close_named(struct hd_call *c, struct hd_inode *file, const Hdw__ExtendedBlock *named)
{
    struct hd_blk *b = hd_ns_block(c->ns, (struct hd_block_id){named->block_id});
    if (b == NULL || b->file != file) {
        return hd_call_fail(c, -HD_E_IO, "blk_%llu is not in inode %llu",
                            (unsigned long long)named->block_id, (unsigned long long)file->ino.v);
    }
    if (b->state != HD_BLOCK_OPEN) {
        bool again = b->gs.v == named->generation_stamp && b->size_bytes == named->num_bytes;
        return again ? 0
                     : hd_call_fail(c, -HD_E_IO, "%s is not open", hd_block_name(c, b->id, b->gs));
    }
    int err = check_close(c, b, named);
    if (err == 0) {
        close_block(c, b, named->num_bytes);
    }
    return err;
}

int hd_op_close_block(struct hd_call *c)
{
    const Hdw__CloseBlockRequest *q = c->request;
    struct hd_inode *file;
    int err = hd_opened_file(c, q->session, q->ino, &file);
    if (err == 0) {
        err = close_named(c, file, q->block);
    }
    if (err < 0) {
        return err;
    }
    return hd_call_done(c, &HD_MSG(c->m, Hdw__CloseBlockResponse, hdw__close_block_response)->base);
}

/* ---- closeBlocks ---- */

/* 0: every block is whole, but for one that was cut and never set up (*ret_cut). */
static int check_all_closed(struct hd_call *c, struct hd_inode *file, bool *ret_cut)
{
    const struct hd_open_file *f = hd_ns_open_file(c->ns, file);
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        struct hd_blk *b = hd_file_block(file, i);
        const struct hd_open_block *o = hd_open_file_find(f, b);
        if (o != NULL && o->truncating) {
            *ret_cut = true;
        } else if (o != NULL && o->recovery_gs.v == 0) {
            return hd_call_fail(c, -EBUSY, "%s is still open", hd_block_name(c, b->id, b->gs));
        } else if (b->state != HD_BLOCK_COMPLETE) {
            return hd_wait_for_block(c, b);
        }
    }
    return 0;
}

/* Is the file open, and may it be closed? */
static int check_close_blocks(struct hd_call *c, const Hdw__CloseBlocksRequest *q,
                              struct hd_inode **ret_file, bool *ret_open, bool *ret_cut)
{
    const char *holder;
    int err = hd_written_file(c, q->session, q->ino, ret_file, &holder);
    if (err == 0 && q->change != NULL) {
        err = hd_posix_check_change(c, *ret_file, q->change);
    }
    *ret_cut = false;
    *ret_open = err == 0 && hd_inode_is_open(*ret_file); /* else it was closed already */
    if (err < 0 || !*ret_open) {
        return err;
    }
    err = hd_opened_file(c, q->session, q->ino, ret_file);
    for (size_t i = 0; i < q->n_closing && err == 0; i++) {
        err = close_named(c, *ret_file, q->closing[i]);
    }
    return err < 0 ? err : check_all_closed(c, *ret_file, ret_cut);
}

static void close_file(struct hd_call *c, struct hd_inode *file, Hdm__SetAttributes *change)
{
    Hdm__CloseFile op = HDM__CLOSE_FILE__INIT;
    op.ino = file->ino.v;
    op.attributes = change; /* also without any: who wrote knows when */
    HD_COMMIT(c->m, close_file, CLOSE_FILE, &op);
}

int hd_op_close_blocks(struct hd_call *c)
{
    const Hdw__CloseBlocksRequest *q = c->request;
    struct hd_inode *file;
    bool open;
    bool cut;
    int err = check_close_blocks(c, q, &file, &open, &cut);
    if (err != 0) {
        return err;
    }
    Hdm__SetAttributes change = HDM__SET_ATTRIBUTES__INIT;
    change.ino = file->ino.v;
    bool has_change = q->change != NULL && hd_posix_change(c, file, q->change, &change);
    if (open && !cut) {
        close_file(c, file, &change);
    } else if (has_change) {
        HD_COMMIT(c->m, set_attributes, SET_ATTRIBUTES, &change);
    }
    if (cut) { /* meta has it cut on its nodes, and closes the file behind that */
        const char *text;
        hd_release_lease(c->m, file, &text);
    }
    Hdw__CloseBlocksResponse *r =
        HD_MSG(c->m, Hdw__CloseBlocksResponse, hdw__close_blocks_response);
    r->attr = hd_posix_attr(c, file);
    if (q->has_keep) {
        hd_caps_keep(c, file, (enum hd_cap)q->keep);
    }
    return hd_call_done(c, &r->base);
}

/* ---- resize, punch ---- */

/* The block that the new end is inside of; NULL: none. */
static struct hd_blk *cut_block(struct hd_inode *file, uint64_t size)
{
    uint32_t index;
    uint64_t start;
    if (!hd_file_find(file, size, &index, &start) || start == size ||
        hd_blk_is_hole(hd_file_block(file, index))) {
        return NULL;
    }
    return hd_file_block(file, index);
}

static int check_resize(struct hd_call *c, const Hdw__ResizeRequest *q, struct hd_inode **ret_file,
                        const char **ret_holder)
{
    bool open;
    int err = hd_written_file(c, q->session, q->ino, ret_file, ret_holder);
    if (err < 0) {
        return err;
    }
    if (q->size > HD_FILE_MAX_BYTES) {
        return hd_call_fail(c, -EFBIG, "A file has %llu bytes at most",
                            (unsigned long long)HD_FILE_MAX_BYTES);
    }
    err = hd_lease_way(c, *ret_file, *ret_holder, &open);
    if (err != 0) {
        return err;
    }
    const struct hd_blk *cut = cut_block(*ret_file, q->size);
    return cut != NULL && cut->state == HD_BLOCK_COMMITTED ? hd_wait_for_block(c, cut) : 0;
}

int hd_op_resize(struct hd_call *c)
{
    const Hdw__ResizeRequest *q = c->request;
    struct hd_inode *file;
    const char *holder;
    int err = check_resize(c, q, &file, &holder);
    if (err != 0) {
        return err;
    }
    struct hd_blk *cut = cut_block(file, q->size);
    uint64_t was_bytes = cut != NULL ? cut->size_bytes : 0;
    bool was_whole = cut != NULL && cut->state == HD_BLOCK_COMPLETE;
    Hdm__Resize op = HDM__RESIZE__INIT;
    op.ino = file->ino.v;
    op.size = q->size;
    op.holder = hd_unconst(holder);
    op.machine = hd_unconst(c->event->peer_ip);
    HD_COMMIT(c->m, resize, RESIZE, &op);
    if (was_whole) {
        hd_block_map_reopened(c->m, cut, was_bytes);
    }
    Hdw__ResizeResponse *r = HD_MSG(c->m, Hdw__ResizeResponse, hdw__resize_response);
    r->attr = hd_posix_attr(c, file);
    r->has_content = file->u.file.content_size > 0;
    r->content = hd_content_of(c->m, file);
    r->blocks = hd_located_blocks(c, file, 0, UINT64_MAX);
    r->has_cut = true;
    r->cut = cut != NULL;
    return hd_call_done(c, &r->base);
}

/* Blocks that are whole and lie in [offset, end), from the last one on: the indices before it stay
 * as they are while holes join. */
static void punch(struct hd_call *c, struct hd_inode *file, uint64_t offset, uint64_t end)
{
    uint64_t at = hd_file_size(file);
    for (uint32_t i = file->u.file.block_count; i > 0;) {
        const struct hd_blk *b = hd_file_block(file, --i);
        at -= b->size_bytes;
        if (hd_blk_is_hole(b) || b->state != HD_BLOCK_COMPLETE || b->size_bytes == 0 ||
            at < offset || at + b->size_bytes > end) {
            continue;
        }
        Hdm__Punch op = HDM__PUNCH__INIT;
        op.ino = file->ino.v;
        op.first = i;
        op.count = 1;
        HD_COMMIT(c->m, punch, PUNCH, &op);
        at = hd_file_start_of(file, HD_MIN(i, file->u.file.block_count));
        i = HD_MIN(i, file->u.file.block_count);
    }
}

int hd_op_punch(struct hd_call *c)
{
    const Hdw__PunchRequest *q = c->request;
    struct hd_inode *file;
    const char *holder;
    bool open;
    int err = hd_written_file(c, q->session, q->ino, &file, &holder);
    if (err == 0) {
        err = hd_lease_way(c, file, holder, &open);
    }
    if (err != 0) {
        return err;
    }
    punch(c, file, q->offset,
          q->length > UINT64_MAX - q->offset ? UINT64_MAX : q->offset + q->length);
    Hdw__PunchResponse *r = HD_MSG(c->m, Hdw__PunchResponse, hdw__punch_response);
    r->attr = hd_posix_attr(c, file);
    r->blocks = hd_located_blocks(c, file, 0, UINT64_MAX);
    return hd_call_done(c, &r->base);
}
