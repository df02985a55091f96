/* Checksums of whole replicas, made from their stored chunk sums (BLOCK_CHECKSUM). */
#ifndef HD_DATA_STORE_BLOCK_SUMS_H
#define HD_DATA_STORE_BLOCK_SUMS_H

#include "fs/data/store/store.h"

enum { HD_BLOCK_MD5_BYTES = 16 };

/*
 * MD5 over the sums of the first `bytes` bytes; where they end inside a chunk, the sum of that part
 * is computed from the data.
 */
int hd_block_md5(const struct hd_block_view *v, uint64_t bytes, uint8_t out[HD_BLOCK_MD5_BYTES]);

/* The CRC of the first `bytes` bytes as a whole, combined from the sums. Big-endian in out. */
int hd_block_composite_crc(const struct hd_block_view *v, uint64_t bytes,
                           uint8_t out[HD_SUM_BYTES]);

#endif
