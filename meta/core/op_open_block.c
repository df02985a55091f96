/*
 * PosixProtocol: openBlock. Which block an offset belongs to, what its replicas have to become, and
 * on which nodes.
 */
#include "meta/core/layout.h"
#include "meta/core/op_blocks.h"
#include "meta/core/open_file.h"
#include "meta/core/quota.h"
#include "meta/core/record_make.h"

/* A place of the file: what is there, and what it is to become. */
struct place {
    struct hd_inode *file;
    struct hd_open_file *open;
    struct hd_blk *block; /* it becomes, or is, open; NULL: a new one */
    uint64_t start;       /* where it begins */
    uint64_t size_bytes;  /* how long its replicas are to be made */
    bool content;         /* it is to take the place of the content */
    uint32_t at;          /* a new one: its index: that of a hole, or behind all */
    uint64_t hole_offset; /* a new one in a hole: how far into it */
};

/* ---- which block ---- */

/* The part of a hole that a block takes: what a file of whole blocks has there. */
static void place_in_hole(struct place *p, uint32_t index, uint64_t start, uint64_t offset)
{
    uint64_t block_size = p->file->u.file.block_size_bytes;
    uint64_t end = start + hd_file_block(p->file, index)->size_bytes;
    uint64_t window = offset - offset % block_size;
    p->start = HD_MAX(start, window);
    p->size_bytes = HD_MIN(end, window + block_size) - p->start;
    p->at = index;
    p->hole_offset = p->start - start;
}

/* A short block takes the hole behind it in, as far as it reaches. False: there is none. */
static bool place_before_hole(struct place *p, uint32_t index, uint64_t start, uint64_t offset)
{
    struct hd_blk *before = index > 0 ? hd_file_block(p->file, index - 1) : NULL;
    uint64_t block_size = p->file->u.file.block_size_bytes;
    if (before == NULL || p->open->content_block.v == before->id.v ||
        offset >= start - before->size_bytes + block_size) {
        return false;
    }
    uint64_t hole = hd_file_block(p->file, index)->size_bytes;
    const struct hd_open_block *o = hd_open_file_find(p->open, before);
    p->block = before;
    p->start = start - before->size_bytes;
    p->size_bytes = HD_MIN(block_size, before->size_bytes + hole);
    if (o != NULL && o->truncating) { /* first what is behind its new end goes */
        p->size_bytes = before->size_bytes;
    }
    return true;
}

/* In the content, or right behind it where no block is. */
static bool is_in_content(const struct place *p, uint64_t offset)
{
    const struct hd_file_body *body = &p->file->u.file;
    uint32_t first = p->open->content_block.v != 0 ? 1 : 0;
    bool free_behind = body->block_count == first || hd_blk_is_hole(hd_file_block(p->file, first));
    return body->content_size > 0 &&
           (offset < body->content_size || (free_behind && offset < body->block_size_bytes));
}

static void place_at_end(struct place *p)
{
    struct hd_blk *last = hd_file_last_block(p->file);
    p->start = hd_file_size(p->file);
    p->at = p->file->u.file.block_count;
    if (last != NULL && last->state == HD_BLOCK_OPEN && last->size_bytes == 0) {
        p->block = last; /* nothing of it was told yet */
    }
}

static int find_place(struct hd_call *c, struct hd_inode *file, uint64_t offset, struct place *p)
{
    uint32_t index;
    uint64_t start;
    *p = (struct place){.file = file, .open = hd_ns_open_file(c->ns, file)};
    if (offset > hd_file_size(file)) {
        return hd_call_fail(c, -EINVAL, "Inode %llu ends at %llu: there is no block at %llu",
                            (unsigned long long)file->ino.v, (unsigned long long)hd_file_size(file),
                            (unsigned long long)offset);
    }
    if (is_in_content(p, offset)) {
        p->content = true;
        p->block = hd_ns_block(c->ns, p->open->content_block);
    } else if (!hd_file_find(file, offset, &index, &start)) {
        place_at_end(p);
    } else if (!hd_blk_is_hole(hd_file_block(file, index))) {
        p->block = hd_file_block(file, index);
        p->start = start;
        p->size_bytes = p->block->size_bytes;
    } else if (!place_before_hole(p, index, start, offset)) {
        place_in_hole(p, index, start, offset);
    }
    return 0;
}

/* ---- the answer ---- */

/* Bytes the block may hold, as far as a quota of bytes leaves room. */
static uint64_t limit_of(struct hd_call *c, const struct place *p)
{
    uint64_t most = p->file->u.file.block_size_bytes;
    uint64_t has = p->content ? p->file->u.file.content_size : p->block->size_bytes;
    uint32_t index = hd_file_index_of(p->file, p->block);
    most = HD_MIN(most, has + hd_file_room_behind(p->file, index)); /* others stay where they are */
    return has >= most ? most : has + hd_quota_promise(c->ns, p->file, most - has);
}

/* new_stamp 0: it is fresh. */
static int answer(struct hd_call *c, const struct place *p, Hdw__LocatedBlock *located,
                  uint64_t new_stamp)
{
    Hdw__OpenBlockResponse *r = HD_MSG(c->m, Hdw__OpenBlockResponse, hdw__open_block_response);
    r->block = located;
    r->block->b->num_bytes = p->size_bytes;
    r->has_fresh = true;
    r->fresh = new_stamp == 0;
    r->has_new_stamp = new_stamp != 0;
    r->new_stamp = new_stamp;
    r->limit = limit_of(c, p);
    return hd_call_done(c, &r->base);
}

/* ---- the three ways ---- */

static int give_nodes(struct hd_call *c, const struct place *p, uint16_t *storages,
                      uint32_t *ret_count)
{
    const Hdw__OpenBlockRequest *q = c->request;
    Hdw__AddBlockRequest add = HDW__ADD_BLOCK_REQUEST__INIT;
    add.src = hd_unconst(hd_inode_path(p->file, &c->m->fx->arena));
    add.exclude_nodes = q->excluded;
    add.n_exclude_nodes = q->n_excluded;
    return hd_choose_targets(c, &add, p->file, storages, ret_count);
}

static int answer_fresh(struct hd_call *c, const struct place *p, const uint16_t *storages,
                        size_t count)
{
    hd_block_map_chain(c->m, p->block, (struct hd_genstamp){0}, storages, count);
    return answer(c, p, hd_located_block(c->m, p->block, p->start, storages, count, true), 0);
}

/* Has no node told of it yet? */
static bool is_untouched(struct hd_blk *b)
{
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (hd_blk_replicas(b)[i].state != HD_REPLICA_EXPECTED) {
            return false;
        }
    }
    return true;
}

/* Was it cut before any node had it? There is nothing to cut: it becomes the hole again that it
 * came of, which is as long as it was cut to. */
static void forget_cut(struct hd_call *c, struct place *p)
{
    const struct hd_open_block *o = hd_open_file_find(p->open, p->block);
    if (o == NULL || !o->truncating || !o->fresh || o->recovery_gs.v != 0 ||
        !is_untouched(p->block)) {
        return;
    }
    Hdm__AbandonBlock op = HDM__ABANDON_BLOCK__INIT;
    op.ino = p->file->ino.v;
    op.block = p->block->id.v;
    HD_COMMIT(c->m, abandon_block, ABANDON_BLOCK, &op);
    p->block = NULL;
}

/* It is open: the answer was lost, or its writer sets the chain up anew. */
static int open_again(struct hd_call *c, const struct place *p)
{
    const struct hd_open_block *o = hd_open_file_find(p->open, p->block);
    if (o->recovery_gs.v != 0) {
        return hd_wait_for_block(c, p->block);
    }
    if (o->fresh && is_untouched(p->block)) {
        uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, p->file->replication);
        uint32_t count;
        int err = give_nodes(c, p, storages, &count);
        return err < 0 ? err : answer_fresh(c, p, storages, count);
    }
    Hdm__TakeStamp op = HDM__TAKE_STAMP__INIT;
    op.gs = c->ns->next_gs;
    HD_COMMIT(c->m, take_stamp, TAKE_STAMP, &op);
    return answer(c, p, hd_block_locations(c, p->block, p->start), op.gs);
}

static int open_finished(struct hd_call *c, const struct place *p)
{
    struct hd_blk *b = p->block;
    if (b->state == HD_BLOCK_COMMITTED) {
        return hd_wait_for_block(c, b);
    }
    Hdw__LocatedBlock *located = hd_block_locations(c, b, p->start);
    if (located->n_locs == 0 || located->corrupt) {
        return hd_call_fail(c, -EIO, "No whole replica of %s is there now",
                            hd_block_name(c, b->id, b->gs));
    }
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, b->replica_count);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        storages[i] = hd_blk_replicas(b)[i].storage;
    }
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__OpenBlockAgain op = HDM__OPEN_BLOCK_AGAIN__INIT;
    stored.id = b->id.v;
    stored.gs = c->ns->next_gs;
    stored.size = b->size_bytes;
    op.ino = p->file->ino.v;
    op.block = &stored;
    op.n_chain = b->replica_count;
    op.chain = hd_chain_uuids(c, storages, b->replica_count);
    HD_COMMIT(c->m, open_block_again, OPEN_BLOCK_AGAIN, &op);
    hd_block_map_reopened(c->m, b, b->size_bytes);
    return answer(c, p, located, stored.gs);
}

static int check_new(struct hd_call *c, const struct place *p)
{
    if (p->file->u.file.block_count + 2 >= HD_FILE_MAX_BLOCKS) {
        return hd_call_fail(c, -EFBIG, "A file has %d blocks at most", HD_FILE_MAX_BLOCKS);
    }
    struct hd_charge more = {.data_bytes = (int64_t)p->size_bytes};
    int err = p->content ? 0 : hd_check_data_room(c, p->file);
    if (err == 0) {
        err = hd_check_charge(c, p->file, more, NULL);
    }
    if (err < 0) {
        return err;
    }
    return hd_check_quota(c, p->file->parent, 0,
                          (int64_t)(p->file->u.file.block_size_bytes * p->file->replication), NULL);
}

static int open_new(struct hd_call *c, struct place *p)
{
    uint16_t *storages = HD_TURN_ARRAY(c->m, uint16_t, p->file->replication);
    uint32_t count = 0;
    int err = check_new(c, p);
    if (err == 0) {
        err = give_nodes(c, p, storages, &count);
    }
    if (err < 0) {
        return err;
    }
    Hdm__StoredBlock stored = HDM__STORED_BLOCK__INIT;
    Hdm__OpenBlockAgain op = HDM__OPEN_BLOCK_AGAIN__INIT;
    stored.id = c->ns->next_block;
    stored.gs = c->ns->next_gs;
    stored.size = p->size_bytes;
    op.ino = p->file->ino.v;
    op.block = &stored;
    op.has_at = op.has_hole_offset = op.has_instead_of_content = true;
    op.at = p->at;
    op.hole_offset = p->hole_offset;
    op.instead_of_content = p->content;
    op.n_chain = count;
    op.chain = hd_chain_uuids(c, storages, count);
    HD_COMMIT(c->m, open_block_again, OPEN_BLOCK_AGAIN, &op);
    p->block = hd_ns_block(c->ns, (struct hd_block_id){stored.id});
    return answer_fresh(c, p, storages, count);
}

/* A file that is opened by this stays so when there is no block in the end: closeBlocks ends it. */
int hd_op_open_block(struct hd_call *c)
{
    const Hdw__OpenBlockRequest *q = c->request;
    struct hd_inode *file;
    struct place p;
    int err = hd_open_file(c, q->session, q->ino, &file);
    if (err == 0) {
        err = find_place(c, file, q->offset, &p);
    }
    if (err != 0) {
        return err;
    }
    if (p.block != NULL) {
        forget_cut(c, &p);
        err = p.block == NULL ? find_place(c, file, q->offset, &p) : 0;
    }
    if (err != 0) {
        return err;
    }
    if (p.block == NULL) {
        return open_new(c, &p);
    }
    return p.block->state == HD_BLOCK_OPEN ? open_again(c, &p) : open_finished(c, &p);
}
