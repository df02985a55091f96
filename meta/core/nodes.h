/*
 * The data nodes and their storages: who they are, when they were heard, what they have to be told.
 *
 *              register / any call                 silence stale_ms, or its connection closes
 *      (new) ----------------------> LIVE ------------------------------------------> STALE
 *                                     ^  <------------------------------------------   |
 *                                     |            any call                            |
 *                                     |                                                v
 *                                     +------ register again ------------------------ DEAD
 *                                                     silence dead_ms, or closed_grace_ms after a
 * close
 *
 * A stale node is asked last and gets no new blocks; a dead one's replicas leave the block map.
 */
#ifndef HD_META_CORE_NODES_H
#define HD_META_CORE_NODES_H

#include "fs/base/map.h"
#include "fs/base/types.h"
#include "hdfs.pb-c.h"
#include "datanode.pb-c.h"

struct hd_meta;
struct hd_blk;
struct hd_inode;

enum { HD_NODES_MAX = 10000, HD_STORAGES_MAX = 65000 };

enum hd_node_state { HD_NODE_LIVE, HD_NODE_STALE, HD_NODE_DEAD };

struct hd_storage {
    char *uuid; /* heap, owned */
    uint16_t node;
    uint16_t index;
    Hdw__StorageType type;
    bool failed;
    uint8_t epoch;   /* of its last full report: replicas it did not name are gone */
    bool reported;   /* a full report came since the node registered */
    bool reporting;  /* a full report of it is being taken in */
    bool losing;     /* its replicas count no more, and are leaving the map */
    uint64_t listed; /* the turn of the heartbeat that listed it last */
    uint64_t capacity_bytes, used_bytes, remaining_bytes, pool_used_bytes, non_dfs_used_bytes;
    uint32_t block_count; /* finalized replicas */
};

/* A replica that a node is to delete. */
struct hd_invalidate {
    struct hd_block_id block;
    struct hd_genstamp gs;
    uint64_t size_bytes;  /* INT64_MAX: the node need not report it */
    struct hd_txid after; /* not before this is durable */
};

struct hd_transfer {
    struct hd_block_id block;
    uint16_t target; /* storage */
};

struct hd_node {
    char *uuid; /* heap, owned, as all strings here */
    char *ip;   /* as seen on its connection */
    char *host;
    char *version;
    char *rack;
    uint32_t xfer_port, info_port, ipc_port, info_secure_port;
    uint16_t index;
    enum hd_node_state state;
    uint64_t conn_id; /* it was heard on last */
    struct hd_mono_ms heard;
    struct hd_mono_ms closed; /* when its connection ended; 0: it did not */
    struct hd_wall_ms heard_wall;
    struct hd_wall_ms report_wall; /* of the last full report; 0: none */
    struct hd_mono_ms report_mono;
    bool registered; /* since meta started, and not dead since */
    uint64_t cache_capacity, cache_used;
    uint32_t xceivers;
    uint32_t failed_volumes;
    uint16_t *storages; /* indices */
    uint32_t storage_count, storage_capacity;
    struct hd_invalidate *invalidates; /* a queue: [invalidate_head, invalidate_count) */
    size_t invalidate_head, invalidate_count, invalidate_capacity;
    struct hd_transfer *transfers; /* commands not sent yet */
    size_t transfer_count, transfer_capacity;
    struct hd_ino *recoveries; /* open files whose last block it is to recover */
    size_t recovery_count, recovery_capacity;
    uint32_t copy_units;     /* weight of the copies it is sending, as far as known */
    uint64_t bandwidth;      /* to be sent; 0: nothing */
    uint64_t placed;         /* blocks placed on it lately: spreads writers */
    Hdw__DatanodeInfo *info; /* in the effects' arena of turn info_turn */
    uint64_t info_turn;
};

struct hd_nodes {
    struct hd_strmap by_uuid;         /* -> hd_node */
    struct hd_strmap storage_by_uuid; /* -> hd_storage */
    struct hd_node **all;
    uint32_t count, capacity;
    struct hd_storage **storages;
    uint32_t storage_count, storage_capacity;
};

void hd_nodes_init(struct hd_nodes *n);
void hd_nodes_done(struct hd_nodes *n);

struct hd_node *hd_nodes_find(const struct hd_nodes *n, const char *uuid);
struct hd_storage *hd_nodes_find_storage(const struct hd_nodes *n, const char *uuid);

static inline struct hd_storage *hd_nodes_storage(const struct hd_nodes *n, uint16_t index)
{
    return n->storages[index];
}

static inline struct hd_node *hd_nodes_of_storage(const struct hd_nodes *n, uint16_t index)
{
    return n->all[n->storages[index]->node];
}

/* The storage of a node, made when new. NULL: too many. */
struct hd_storage *hd_nodes_add_storage(struct hd_meta *m, struct hd_node *node, const char *uuid,
                                        Hdw__StorageType type);

/* A node says something on this connection: it is live. */
void hd_node_heard(struct hd_meta *m, struct hd_node *node, uint64_t conn_id);

/* Looks at the clock: live -> stale -> dead. */
void hd_nodes_check(struct hd_meta *m);
void hd_nodes_closed(struct hd_meta *m, uint64_t conn_id);

void hd_node_invalidate(struct hd_node *node, struct hd_invalidate what);

/* Is a replica of the block waiting to be deleted there (among the newest few thousand)? */
bool hd_node_is_deleting(const struct hd_node *node, struct hd_block_id id);

/* The message about a node, built once a turn. */
Hdw__DatanodeInfo *hd_node_info(struct hd_meta *m, struct hd_node *node);

/* May a node that is away, or has not reported yet, hold replicas that nobody told of? */
bool hd_nodes_may_return(const struct hd_meta *m);

uint32_t hd_nodes_live(const struct hd_nodes *n); /* stale ones included */

#endif
