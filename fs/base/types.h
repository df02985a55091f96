/*
 * Identities that travel together, as one-member structs so that they cannot be swapped, and the
 * fixed numbers of the protocol.
 */
#ifndef HD_BASE_TYPES_H
#define HD_BASE_TYPES_H

struct hd_ino {
    uint64_t v;
};

struct hd_block_id {
    uint64_t v;
};

struct hd_genstamp {
    uint64_t v;
};

struct hd_txid {
    uint64_t v;
};

/* Milliseconds: monotonic (since an arbitrary start) and wall (since 1970), never mixed. */
struct hd_mono_ms {
    int64_t v;
};

struct hd_wall_ms {
    int64_t v;
};

/* A block as it is named between processes. size_bytes is 0 for a fresh block. */
struct hd_block {
    struct hd_block_id id;
    struct hd_genstamp gs;
    uint64_t size_bytes;
};

enum {
    HD_ROOT_INO = 16385,
    HD_FIRST_GENSTAMP = 1001,
    HD_DEFAULT_PACKET_BYTES = 65536,
    HD_BYTES_PER_CHECKSUM = 512,
    HD_NAME_MAX_BYTES = 255,
    HD_PATH_MAX_BYTES = 8000,
    HD_PATH_MAX_DEPTH = 1000,
    HD_REPLICATION_MAX = 512,
    HD_UUID_TEXT_BYTES = 37, /* 36 characters and the NUL */
};

#define HD_FIRST_BLOCK_ID     ((uint64_t)1073741825)
#define HD_DEFAULT_BLOCK_SIZE ((uint64_t)134217728)
#define HD_NO_QUOTA           UINT64_MAX

#endif
