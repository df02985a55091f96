/*
 * The bytes of a file, in order: its content, when there is one in the metadata; then blocks and
 * holes, of any sizes. A hole is a block with the id 0: it is in no map, has no replicas, is always
 * COMPLETE and never empty, and has no other hole beside it.
 *
 * The block that is to take the content's place (hd_open_file.content_block) is the first of the
 * blocks and has the size 0 meanwhile.
 */
#ifndef HD_META_CORE_LAYOUT_H
#define HD_META_CORE_LAYOUT_H

#include "meta/core/inode.h"

static inline bool hd_blk_is_hole(const struct hd_blk *b)
{
    return b->id.v == 0;
}

/* Where a block of a file begins. */
uint64_t hd_file_start_of(const struct hd_inode *file, uint32_t index);

/* The index of a block of that file. */
uint32_t hd_file_index_of(const struct hd_inode *file, const struct hd_blk *b);

/* The block or hole that the byte is in, and where it begins. False: it is in the content, or
 * behind all. */
bool hd_file_find(const struct hd_inode *file, uint64_t offset, uint32_t *ret_index,
                  uint64_t *ret_start);

void hd_file_insert_block(struct hd_inode *file, uint32_t index, struct hd_blk *b);
struct hd_blk *hd_file_take_block(struct hd_inode *file, uint32_t index); /* the caller owns it */

struct hd_blk *hd_hole_new(uint64_t size_bytes);
void hd_file_add_hole(struct hd_inode *file,
                      uint64_t size_bytes); /* at the end; of 0 bytes: none */
void hd_file_merge_holes(struct hd_inode *file);
void hd_file_free_holes(struct hd_inode *file); /* of a file that goes */

/* Size of the hole right behind a block; 0: there is none. */
uint64_t hd_file_hole_behind(const struct hd_inode *file, uint32_t index);

/* By how much a block may grow: into the hole behind it, and on when nothing is behind that. */
uint64_t hd_file_room_behind(const struct hd_inode *file, uint32_t index);

/* Takes that much of the front of the hole behind a block. */
void hd_file_shrink_hole(struct hd_inode *file, uint32_t index, uint64_t size_bytes);

void hd_file_set_content(struct hd_inode *file, const void *data, size_t size); /* copies */

#endif
