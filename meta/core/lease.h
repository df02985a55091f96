/*
 * Leases: which client writes which files. The holder of an open file is durable (it is in the
 * file's inode); when it was heard last is not, so after a restart every holder counts as heard.
 */
#ifndef HD_META_CORE_LEASE_H
#define HD_META_CORE_LEASE_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/base/types.h"

struct hd_inode;

/* The holder of files that meta itself is closing. */
#define HD_META_HOLDER "HDFS_NameNode"

struct hd_lease {
    char *holder; /* heap, owned */
    struct hd_mono_ms renewed;
    struct hd_list files; /* hd_open_file.in_lease */
    size_t file_count;
    struct hd_list in_leases;
};

/* A finalized replica of a block that is still open: kept until the block's size is known. */
struct hd_early_report {
    uint16_t storage;
    struct hd_genstamp gs;
    uint64_t size_bytes;
};

struct hd_blk;

/* What there is to know of an open block: one being written, or under recovery. */
struct hd_open_block {
    struct hd_blk *block;
    struct hd_genstamp recovery_gs; /* 0: not under recovery */
    bool truncating;                /* its replicas are to be cut to truncate_size_bytes */
    bool overwritten; /* its writer may have changed any byte: replicas differ anywhere */
    bool fresh;       /* it was never whole, and no size of it was told */
    uint64_t truncate_size_bytes;
    char **chain;         /* heap, owned: uuids of the nodes that may have its end */
    uint32_t chain_count; /* 0: not known */
    /* Not durable: */
    struct hd_mono_ms recovery_sent; /* when a node was told; 0: not yet */
    struct hd_txid recovery_after;   /* not before this is durable: replicas change by it */
    uint32_t recovery_tries;
    bool grown;             /* a node told of a replica after the recovery was ordered without it */
    uint16_t recovery_node; /* the one that was told: earlier orders to others are void */
    struct hd_early_report *early; /* heap, owned */
    uint32_t early_count;
    uint32_t early_capacity;
};

/* The under-construction part of a file: see open_file.h. */
struct hd_open_file {
    struct hd_inode *file;
    struct hd_lease *lease;
    struct hd_list in_lease;
    char *machine;                 /* heap, owned; address of the writer */
    struct hd_open_block **blocks; /* heap, owned, as are they: every open block, in no order */
    uint32_t block_count, block_capacity;
    struct hd_block_id content_block; /* takes the content's place when it is as long; 0: none */
    /* Not durable: */
    bool abandoned;          /* its holder is gone */
    uint64_t promised_bytes; /* of data it may still add, by quota.h */
};

struct hd_leases {
    struct hd_strmap by_holder;
    struct hd_list all;
};

void hd_leases_init(struct hd_leases *l);
void hd_leases_done(struct hd_leases *l); /* every file must have left */

struct hd_lease *hd_leases_find(const struct hd_leases *l, const char *holder); /* NULL: none */

/* Gives the file to a holder, whose lease is made when it has none (heard at `now`). */
void hd_leases_add(struct hd_leases *l, struct hd_open_file *f, const char *holder,
                   struct hd_mono_ms now);
void hd_leases_remove(struct hd_leases *l,
                      struct hd_open_file *f); /* the last file ends the lease */

#endif
