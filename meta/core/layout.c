/* Where the bytes of a file are. See layout.h. */
#include "meta/core/layout.h"
#include "fs/wire/reserved.h"
#include "meta/core/mem.h"
#include "meta/core/ns.h"

uint64_t hd_file_start_of(const struct hd_inode *file, uint32_t index)
{
    uint64_t start = file->u.file.content_size;
    for (uint32_t i = 0; i < index; i++) {
        start += hd_file_block(file, i)->size_bytes;
    }
    return start;
}

uint32_t hd_file_index_of(const struct hd_inode *file, const struct hd_blk *b)
{
    uint32_t count = file->u.file.block_count;
    hd_assert(count > 0);
    if (hd_file_block(file, count - 1) == b) {
        return count - 1; /* that is who is asked for mostly */
    }
    uint32_t i = 0;
    while (hd_file_block(file, i) != b) {
        i++;
    }
    return i;
}

bool hd_file_find(const struct hd_inode *file, uint64_t offset, uint32_t *ret_index,
                  uint64_t *ret_start)
{
    uint64_t start = file->u.file.content_size;
    if (offset < start) {
        return false;
    }
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        uint64_t size = hd_file_block(file, i)->size_bytes;
        if (offset < start + size) {
            *ret_index = i;
            *ret_start = start;
            return true;
        }
        start += size;
    }
    return false;
}

void hd_file_insert_block(struct hd_inode *file, uint32_t index, struct hd_blk *b)
{
    hd_file_add_block(file, b);
    uint32_t last = file->u.file.block_count - 1;
    hd_assert(index <= last);
    if (index < last) {
        struct hd_blk **many = file->u.file.blocks.many;
        memmove(many + index + 1, many + index, sizeof(struct hd_blk *) * (last - index));
        many[index] = b;
    }
}

struct hd_blk *hd_file_take_block(struct hd_inode *file, uint32_t index)
{
    uint32_t last = file->u.file.block_count - 1;
    struct hd_blk *b = hd_file_block(file, index);
    if (index < last) {
        struct hd_blk **many = file->u.file.blocks.many;
        memmove(many + index, many + index + 1, sizeof(struct hd_blk *) * (last - index));
        many[last] = b;
    }
    return hd_file_pop_block(file);
}

struct hd_blk *hd_hole_new(uint64_t size_bytes)
{
    struct hd_blk *b = HD_MEM_NEW(struct hd_blk);
    b->size_bytes = size_bytes;
    b->state = HD_BLOCK_COMPLETE;
    b->replica_capacity = HD_REPLICAS_INLINE;
    return b;
}

void hd_file_add_hole(struct hd_inode *file, uint64_t size_bytes)
{
    struct hd_blk *last = hd_file_last_block(file);
    if (size_bytes > 0 && last != NULL && hd_blk_is_hole(last)) {
        last->size_bytes += size_bytes;
    } else if (size_bytes > 0) {
        hd_file_add_block(file, hd_hole_new(size_bytes));
    }
}

void hd_file_merge_holes(struct hd_inode *file)
{
    for (uint32_t i = 0; i < file->u.file.block_count;) {
        struct hd_blk *b = hd_file_block(file, i);
        struct hd_blk *before = i > 0 ? hd_file_block(file, i - 1) : NULL;
        bool joins = hd_blk_is_hole(b) && before != NULL && hd_blk_is_hole(before);
        if (joins) {
            before->size_bytes += b->size_bytes;
        }
        if (joins || (hd_blk_is_hole(b) && b->size_bytes == 0)) {
            hd_blk_free(hd_file_take_block(file, i));
        } else {
            i++;
        }
    }
}

void hd_file_free_holes(struct hd_inode *file)
{
    for (uint32_t i = 0; i < file->u.file.block_count;) {
        if (hd_blk_is_hole(hd_file_block(file, i))) {
            hd_blk_free(hd_file_take_block(file, i));
        } else {
            i++;
        }
    }
}

uint64_t hd_file_hole_behind(const struct hd_inode *file, uint32_t index)
{
    if (index + 1 >= file->u.file.block_count) {
        return 0;
    }
    const struct hd_blk *next = hd_file_block(file, index + 1);
    return hd_blk_is_hole(next) ? next->size_bytes : 0;
}

uint64_t hd_file_room_behind(const struct hd_inode *file, uint32_t index)
{
    uint64_t hole = hd_file_hole_behind(file, index);
    uint32_t behind = index + 1 + (hole > 0);
    return behind == file->u.file.block_count ? HD_FILE_MAX_BYTES : hole;
}

void hd_file_shrink_hole(struct hd_inode *file, uint32_t index, uint64_t size_bytes)
{
    if (size_bytes == 0) {
        return;
    }
    struct hd_blk *hole = hd_file_block(file, index + 1);
    hd_assert(hd_blk_is_hole(hole) && hole->size_bytes >= size_bytes);
    hole->size_bytes -= size_bytes;
    if (hole->size_bytes == 0) {
        hd_blk_free(hd_file_take_block(file, index + 1));
    }
}

void hd_file_set_content(struct hd_inode *file, const void *data, size_t size)
{
    free(file->u.file.content);
    file->u.file.content = NULL;
    file->u.file.content_size = (uint32_t)size;
    if (size > 0) {
        file->u.file.content = hd_mem_new(size);
        memcpy(file->u.file.content, data, size);
    }
}
