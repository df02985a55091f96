/* Inodes and the blocks of files. See inode.h. */
#include "meta/core/inode.h"
#include "fs/base/arena.h"
#include "meta/core/mem.h"

struct hd_blk *hd_file_block(const struct hd_inode *file, uint32_t index)
{
    const struct hd_file_body *f = &file->u.file;
    hd_assert(index < f->block_count);
    return f->block_count == 1 ? f->blocks.one : f->blocks.many[index];
}

struct hd_blk *hd_file_last_block(const struct hd_inode *file)
{
    uint32_t count = file->u.file.block_count;
    return count == 0 ? NULL : hd_file_block(file, count - 1);
}

static bool is_power_of_two(uint32_t n)
{
    return (n & (n - 1)) == 0;
}

void hd_file_add_block(struct hd_inode *file, struct hd_blk *block)
{
    struct hd_file_body *f = &file->u.file;
    block->file = file;
    if (f->block_count == 0) {
        f->blocks.one = block;
    } else if (f->block_count == 1) {
        struct hd_blk **many = hd_mem_new(sizeof(*many) * 2);
        many[0] = f->blocks.one;
        many[1] = block;
        f->blocks.many = many;
    } else {
        if (is_power_of_two(f->block_count)) {
            f->blocks.many =
                hd_mem_resize(f->blocks.many, sizeof(struct hd_blk *) * f->block_count * 2);
        }
        f->blocks.many[f->block_count] = block;
    }
    f->block_count++;
}

struct hd_blk *hd_file_pop_block(struct hd_inode *file)
{
    struct hd_file_body *f = &file->u.file;
    struct hd_blk *last = hd_file_last_block(file);
    hd_assert(last != NULL);
    f->block_count--;
    if (f->block_count == 0) {
        f->blocks.one = NULL;
    } else if (f->block_count == 1) {
        struct hd_blk *one = f->blocks.many[0];
        free(f->blocks.many);
        f->blocks.one = one;
    } else if (is_power_of_two(f->block_count)) {
        f->blocks.many = hd_mem_resize(f->blocks.many, sizeof(struct hd_blk *) * f->block_count);
    }
    return last;
}

uint64_t hd_file_size(const struct hd_inode *file)
{
    uint64_t size = file->u.file.content_size;
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        size += hd_file_block(file, i)->size_bytes;
    }
    return size;
}

uint64_t hd_file_space(const struct hd_inode *file)
{
    uint64_t size = file->u.file.content_size;
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        const struct hd_blk *b = hd_file_block(file, i);
        if (b->state == HD_BLOCK_OPEN) {
            size += HD_MAX(b->size_bytes, file->u.file.block_size_bytes);
        } else if (b->id.v != 0) {
            size += b->size_bytes;
        }
    }
    return size * file->replication;
}

uint64_t hd_file_data(const struct hd_inode *file)
{
    uint64_t size = file->u.file.content_size;
    for (uint32_t i = 0; i < file->u.file.block_count; i++) {
        const struct hd_blk *b = hd_file_block(file, i);
        size += b->id.v != 0 ? b->size_bytes : 0;
    }
    return size;
}

static void drop_name(struct hd_inode *i)
{
    if (i->name_size >= HD_NAME_INLINE) {
        free(i->name.many);
    }
    i->name_size = 0;
}

void hd_inode_set_name(struct hd_inode *i, const char *name, size_t name_size)
{
    hd_assert(name_size <= HD_NAME_MAX_BYTES);
    drop_name(i);
    if (name_size >= HD_NAME_INLINE) {
        i->name.many = hd_mem_str(name, name_size);
    } else {
        if (name_size > 0) {
            memcpy(i->name.few, name, name_size); /* of an empty protobuf field: NULL */
        }
        i->name.few[name_size] = '\0';
    }
    i->name_size = (uint8_t)name_size;
}

struct hd_inode *hd_inode_new(struct hd_ino ino, enum hd_inode_type type, const char *name,
                              size_t name_size)
{
    struct hd_inode *i = HD_MEM_NEW(struct hd_inode);
    i->ino = ino;
    i->type = (unsigned)type & 15u;
    hd_inode_set_name(i, name, name_size);
    return i;
}

void hd_inode_free(struct hd_inode *i)
{
    if (i == NULL) {
        return;
    }
    switch ((enum hd_inode_type)i->type) {
    case HD_INODE_DIR:
        hd_children_done(&i->u.children);
        break;
    case HD_INODE_FILE:
        free(i->u.file.content);
        if (i->u.file.block_count > 1) {
            free(i->u.file.blocks.many);
        }
        break;
    case HD_INODE_SYMLINK:
        free(i->u.target);
        break;
    case HD_INODE_FIFO:
    case HD_INODE_SOCKET:
    case HD_INODE_CHAR:
    case HD_INODE_BLOCK:
    case HD_INODE_LINK:
        break;
    }
    drop_name(i);
    free(i);
}

bool hd_inode_is_within(const struct hd_inode *i, const struct hd_inode *ancestor)
{
    for (; i != NULL; i = i->parent) {
        if (i == ancestor) {
            return true;
        }
    }
    return false;
}

const char *hd_inode_path(const struct hd_inode *i, struct hd_arena *arena)
{
    if (hd_inode_is_orphan(i)) {
        return "(deleted)";
    }
    if (i->parent == NULL) {
        return "/";
    }
    size_t size = 0;
    for (const struct hd_inode *p = i; p->parent != NULL; p = p->parent) {
        size += 1 + (size_t)p->name_size;
    }
    char *path = hd_arena_alloc(arena, size + 1);
    hd_assert(path != NULL);
    char *end = path + size;
    for (const struct hd_inode *p = i; p->parent != NULL; p = p->parent) {
        end -= p->name_size;
        memcpy(end, hd_inode_name(p), p->name_size);
        *--end = '/';
    }
    return path;
}
