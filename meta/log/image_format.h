/*
 * Layout of an image file, shared by its writer and its reader.
 *
 *   header (128) | block ... | footer (32)
 *   block: u32 payload bytes | u32 entries | u32 CRC32C of the payload | payload
 *   entry: varint key size | key | varint value size | value
 */
#ifndef HD_META_LOG_IMAGE_FORMAT_H
#define HD_META_LOG_IMAGE_FORMAT_H

#include <stdint.h>

enum {
    HD_IMAGE_VERSION = 1,
    HD_IMAGE_HEADER_BYTES = 128,
    HD_IMAGE_VERSION_AT = 8,
    HD_IMAGE_HEADER_SIZE_AT = 12,
    HD_IMAGE_TXID_AT = 16,
    HD_IMAGE_CLUSTER_AT = 24,
    HD_IMAGE_CLUSTER_BYTES = 92,
    HD_IMAGE_HEADER_SUM_AT = 124,

    HD_IMAGE_BLOCK_HEADER_BYTES = 12,
    HD_IMAGE_BLOCK_TARGET_BYTES = 64 << 10,
    HD_IMAGE_BLOCK_MAX_BYTES = 128 << 20,

    /* u32 0 (no block) | u32 magic | u64 keys | u64 txid | u32 0 | u32 CRC32C of the 28 before */
    HD_IMAGE_FOOTER_BYTES = 32,
    HD_IMAGE_FOOTER_SUM_AT = 28,
};

#define HD_IMAGE_MAGIC        "HDIMAGE\n"
#define HD_IMAGE_FOOTER_MAGIC 0x444e4549u /* "IEND" */

#endif
