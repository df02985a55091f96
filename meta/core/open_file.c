/* Open blocks of files being written. See open_file.h. */
#include "meta/core/open_file.h"
#include "meta/core/mem.h"

struct hd_open_block *hd_open_file_find(const struct hd_open_file *f, const struct hd_blk *b)
{
    for (uint32_t i = 0; f != NULL && i < f->block_count; i++) {
        if (f->blocks[i]->block == b) {
            return f->blocks[i];
        }
    }
    return NULL;
}

struct hd_open_block *hd_open_block_of(const struct hd_ns *ns, const struct hd_blk *b)
{
    return b != NULL && b->state == HD_BLOCK_OPEN
               ? hd_open_file_find(hd_ns_open_file(ns, b->file), b)
               : NULL;
}

struct hd_open_block *hd_open_file_add(struct hd_open_file *f, struct hd_blk *b)
{
    hd_assert(hd_open_file_find(f, b) == NULL);
    struct hd_open_block *o = HD_MEM_NEW(struct hd_open_block);
    o->block = b;
    b->state = HD_BLOCK_OPEN;
    HD_MEM_GROW(f->blocks, f->block_count, f->block_capacity);
    f->blocks[f->block_count++] = o;
    return o;
}

static void free_block(struct hd_open_block *o)
{
    hd_open_block_set_chain(o, NULL, 0);
    free(o->early);
    free(o);
}

void hd_open_file_drop(struct hd_open_file *f, const struct hd_blk *b)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        if (f->blocks[i]->block == b) {
            free_block(f->blocks[i]);
            f->blocks[i] = f->blocks[--f->block_count];
            return;
        }
    }
}

void hd_open_file_free(struct hd_open_file *f)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        free_block(f->blocks[i]);
    }
    free(f->blocks);
    free(f->machine);
    free(f);
}

void hd_open_block_set_chain(struct hd_open_block *o, char *const *uuids, size_t count)
{
    for (uint32_t i = 0; i < o->chain_count; i++) {
        free(o->chain[i]);
    }
    free(o->chain);
    o->chain = count > 0 ? hd_mem_new(sizeof(*o->chain) * count) : NULL;
    o->chain_count = (uint32_t)count;
    for (size_t i = 0; i < count; i++) {
        o->chain[i] = hd_mem_str(uuids[i], strlen(uuids[i]));
    }
}

uint64_t hd_open_block_length(const struct hd_open_file *f, const struct hd_open_block *o)
{
    const struct hd_blk *b = o->block;
    if (o->truncating) {
        return o->truncate_size_bytes;
    }
    bool free_end = hd_file_last_block(b->file) == b || f->content_block.v == b->id.v;
    return o->overwritten && !free_end ? b->size_bytes : UINT64_MAX;
}

bool hd_open_file_recovers(const struct hd_open_file *f)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        if (f->blocks[i]->recovery_gs.v != 0) {
            return true;
        }
    }
    return false;
}

bool hd_open_file_truncates(const struct hd_open_file *f)
{
    for (uint32_t i = 0; i < f->block_count; i++) {
        if (f->blocks[i]->truncating) {
            return true;
        }
    }
    return false;
}
