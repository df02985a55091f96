/*
 * The checksum file beside every block file: i16be version 1, u8 checksum type, i32be bytes per
 * checksum, then 4 bytes big-endian per chunk (docs/formats.md, "Replicas").
 */
#ifndef HD_DATA_STORE_META_FILE_H
#define HD_DATA_STORE_META_FILE_H

#include "fs/base/crc.h"

enum {
    HD_META_FILE_HEADER_BYTES = 7,
    HD_META_FILE_VERSION = 1,
    HD_SUM_BYTES = 4,
    HD_BYTES_PER_CHECKSUM_MAX = 1 << 20,
};

/* How a replica is summed. */
struct hd_sum_format {
    enum hd_checksum_type type;
    uint32_t bytes_per_checksum;
};

/* -HD_E_ILLEGAL_ARGUMENT with a failure text for a type or chunk size that is not taken. */
int hd_sum_format_check(uint32_t type, uint32_t bytes_per_checksum, struct hd_sum_format *ret);
bool hd_sum_format_equal(struct hd_sum_format a, struct hd_sum_format b);

void hd_meta_file_header_encode(struct hd_sum_format f, uint8_t out[HD_META_FILE_HEADER_BYTES]);

/* -HD_E_CORRUPT with a failure text. */
int hd_meta_file_header_decode(const uint8_t in[HD_META_FILE_HEADER_BYTES],
                               struct hd_sum_format *ret);

/* Reads the header of an open checksum file. */
int hd_meta_file_read_header(int fd, struct hd_sum_format *ret);

/* Where the sum of the chunk at `bytes` stands in the file, and how long the file of a replica is.
 */
uint64_t hd_meta_file_offset(struct hd_sum_format f, uint64_t bytes);
uint64_t hd_meta_file_size(struct hd_sum_format f, uint64_t replica_bytes);

#endif
