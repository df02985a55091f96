/*
 * Block ids that name no replica. Meta gives them to clients in place of what it does not keep on
 * the data nodes: the content of a small file, which is in the metadata, and holes. Any live data
 * node is named as the location, and serves them: content after asking meta for it (readContent),
 * holes as zeros.
 *
 *   bit 63   0: no id of ours is negative, which HDFS takes for erasure coding
 *   bit 62   1: reserved
 *   bit 61   0 content: the bits below are the inode's number
 *            1 hole: bits 46 to 60 are its index among the file's blocks, 0 to 45 its size
 *
 * A hole says in its id how long it is, so that a data node needs nothing else; the index keeps the
 * ids of one file apart. The stamp is always HD_RESERVED_GENSTAMP. Ids of replicas are counted up
 * from HD_FIRST_BLOCK_ID and never reach bit 62.
 *
 * Nobody writes, recovers, syncs or deletes such a block; a data node refuses all but reading,
 * checksums and the visible length.
 */
#ifndef HD_WIRE_RESERVED_H
#define HD_WIRE_RESERVED_H

#include "fs/base/types.h"

#define HD_RESERVED_BIT       ((uint64_t)1 << 62)
#define HD_RESERVED_HOLE_BIT  ((uint64_t)1 << 61)
#define HD_RESERVED_SIZE_BITS 46
#define HD_RESERVED_SIZE_MASK (((uint64_t)1 << HD_RESERVED_SIZE_BITS) - 1)
#define HD_RESERVED_GENSTAMP  ((uint64_t)1000) /* below HD_FIRST_GENSTAMP */

/* No file is longer (64 TiB), so that every hole has an id. */
#define HD_FILE_MAX_BYTES HD_RESERVED_SIZE_MASK

static inline bool hd_reserved_is(uint64_t block_id)
{
    return (block_id >> 62) == 1;
}

static inline bool hd_reserved_is_content(uint64_t block_id)
{
    return (block_id >> 61) == 2;
}

static inline bool hd_reserved_is_hole(uint64_t block_id)
{
    return (block_id >> 61) == 3;
}

static inline uint64_t hd_reserved_content(struct hd_ino ino)
{
    return HD_RESERVED_BIT | ino.v;
}

/* Of a content's id. */
static inline struct hd_ino hd_reserved_ino(uint64_t block_id)
{
    return (struct hd_ino){block_id & (HD_RESERVED_HOLE_BIT - 1)};
}

/* Indexes beyond 32767 wrap: they only keep ids apart. */
static inline uint64_t hd_reserved_hole(uint32_t index, uint64_t size_bytes)
{
    return HD_RESERVED_BIT | HD_RESERVED_HOLE_BIT |
           (uint64_t)(index & 0x7fff) << HD_RESERVED_SIZE_BITS | size_bytes;
}

/* Of a hole's id. */
static inline uint64_t hd_reserved_size(uint64_t block_id)
{
    return block_id & HD_RESERVED_SIZE_MASK;
}

#endif
