/*
 * The blocks of a file as meta told them at one moment: immutable, shared by reference. Inside the
 * room.
 */
#ifndef HD_CLIENT_BLOCKS_H
#define HD_CLIENT_BLOCKS_H

#include "fs/base/arena.h"
#include "fs/client/core/layout.h"
#include "fs/client/howdah.h"

#include "hdfs.pb-c.h"

#include <stdatomic.h>

struct hd_blocks {
    atomic_uint refs;
    struct hd_arena arena; /* holds the answer and the arrays */
    Hdw__LocatedBlock **blocks;
    struct hd_extent *extents;
    size_t count;
    uint64_t size_bytes; /* readable, the last block under construction included */
    bool open_for_write;
    bool last_incomplete; /* the last block is still being written */
};

/*
 * Asks meta for the blocks of path that overlap [offset, offset + size). ask_nodes: also asks a
 * holder of a last block under construction how much of it is readable, so that what a writer
 * flushed is there. -ENOENT, -EACCES, ...
 */
int hd_blocks_fetch(struct hd_fs *fs, const char *path, uint64_t offset, uint64_t size,
                    bool ask_nodes, struct hd_blocks **ret);

/*
 * The same from a list that meta sent with something else; it is copied. path is for messages.
 */
int hd_blocks_copy(struct hd_fs *fs, const char *path, const Hdw__LocatedBlocks *l, bool ask_nodes,
                   struct hd_blocks **ret);

struct hd_blocks *hd_blocks_ref(struct hd_blocks *b);
void hd_blocks_unref(struct hd_blocks *b); /* takes NULL */

#endif
