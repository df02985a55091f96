/*
 * The chunk grid: which chunks a read covers, and how the bytes of a packet meet those already on
 * disk. Chunks are bytes_per_checksum long and counted from the start of the block; only the last
 * chunk of a block may be short (docs/protocol.md, "Checksums"). Pure.
 */
#ifndef HD_DATA_CORE_SPAN_H
#define HD_DATA_CORE_SPAN_H

#include <stdint.h>

/* What a READ sends: whole chunks, from start to end (the last one capped at the replica's end). */
struct hd_read_span {
    uint64_t start_bytes;
    uint64_t end_bytes;
};

/* -HD_E_ILLEGAL_ARGUMENT when offset + length is beyond the visible length. */
int hd_read_span(uint64_t offset, uint64_t length, uint64_t visible_bytes,
                 uint32_t bytes_per_checksum, struct hd_read_span *ret);

enum hd_write_kind {
    HD_WRITE_SKIP,    /* all of it is there already */
    HD_WRITE_WHOLE,   /* begins on a chunk: data and sums are stored as they came */
    HD_WRITE_PARTIAL, /* fills up a chunk that has bytes: its sum is computed anew */
};

/*
 * How to store `size` bytes at `offset` when `have_bytes` are there. -HD_E_BAD_MESSAGE for a hole,
 * and for a packet that begins inside a chunk and does not end with it (sums_fit_grid false: its
 * sums are counted from the packet's own start).
 */
int hd_write_kind(uint64_t offset, uint32_t size, uint64_t have_bytes, uint32_t bytes_per_checksum,
                  enum hd_write_kind *ret);

/* Sums of `bytes` of data: how many, 4 bytes each. */
static inline uint64_t hd_chunk_count(uint64_t bytes, uint32_t bytes_per_checksum)
{
    return (bytes + bytes_per_checksum - 1) / bytes_per_checksum;
}

#endif
