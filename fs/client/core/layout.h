/*
 * Where the bytes of a file are: blocks, chunks and packets as numbers. Pure.
 */
#ifndef HD_CLIENT_CORE_LAYOUT_H
#define HD_CLIENT_CORE_LAYOUT_H

/* A block's place in its file. */
struct hd_extent {
    uint64_t offset_bytes;
    uint64_t size_bytes;
};

/* The index of the extent that holds offset, among count ascending ones; -1 when none does. */
int hd_extent_find(const struct hd_extent *extents, size_t count, uint64_t offset);

/* The chunk boundary at or below v, and at or above. */
uint64_t hd_chunk_floor(uint64_t v, uint32_t chunk_bytes);
uint64_t hd_chunk_ceil(uint64_t v, uint32_t chunk_bytes);

/*
 * How many bytes a packet that begins at `offset` of its block may carry: whole chunks up to
 * max_bytes and the end of the block; only the rest of the chunk when it begins inside one.
 */
size_t hd_packet_room(uint64_t offset, uint64_t block_bytes, uint32_t chunk_bytes,
                      size_t max_bytes);

/*
 * How much of a packet that ends at `end` (and began at `offset`) the next packet repeats after a
 * flush: the bytes of the last chunk while it is partial, 0 otherwise.
 */
size_t hd_packet_keep(uint64_t offset, uint64_t end, uint32_t chunk_bytes);

/* Recognises sequential reading among several readers of one file. */
enum { HD_SEQUENCE_ENDS = 8 };

struct hd_sequence {
    uint64_t ends[HD_SEQUENCE_ENDS]; /* where recent reads stopped */
    size_t next;
};

/*
 * Notes a read; true when it goes on where another stopped, or as little behind as several threads
 * of one reader get out of order (slack_bytes).
 */
bool hd_sequence_note(struct hd_sequence *s, uint64_t offset, uint64_t size, uint64_t slack_bytes);

#endif
