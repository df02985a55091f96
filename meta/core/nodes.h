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
 * A stale node is asked last and gets no new blocks; a dead one's replicas leave the block map,
 * unless it is in maintenance.
 */
#ifndef HD_META_CORE_NODES_H
#define HD_META_CORE_NODES_H

#include "fs/base/map.h"
#include "fs/base/types.h"
#include "meta/core/drain.h"
#include "meta/core/replica_list.h"
#include "hdfs.pb-c.h"
#include "datanode.pb-c.h"

#define HD_DEFAULT_RACK "/default-rack"

struct hd_meta;
struct hd_blk;
struct hd_inode;

enum { HD_NODES_MAX = 10000, HD_STORAGES_MAX = 65000 };

enum hd_node_state { HD_NODE_LIVE, HD_NODE_STALE, HD_NODE_DEAD };

/*
 * What an administrator wants of a node, and how far it has got (drain.h). Replicas on a node that
 * is not in service are read and copied from, but do not count; those of a node in (or entering)
 * maintenance are only missed when its time is up, also while it is dead. Numbers of
 * NodeAdminState.
 */
enum hd_node_duty {
    HD_DUTY_IN_SERVICE,
    HD_DUTY_DECOMMISSIONING,
    HD_DUTY_DECOMMISSIONED,
    HD_DUTY_ENTERING_MAINTENANCE,
    HD_DUTY_IN_MAINTENANCE,
};

struct hd_storage {
    char *uuid; /* heap, owned */
    uint16_t node;
    uint16_t index;
    Hdw__StorageType type;
    bool failed;
    uint8_t epoch;       /* of its last full report: replicas it did not name are gone */
    bool reported;       /* a full report came since the node registered */
    bool losing;         /* replicas of earlier epochs count no more, and are leaving the map */
    uint32_t sweep_left; /* while losing: slots of the list that were not looked at */
    uint64_t listed;     /* the turn of the heartbeat that listed it last */
    uint64_t capacity_bytes, used_bytes, remaining_bytes, pool_used_bytes, non_dfs_used_bytes;
    uint32_t block_count;            /* finalized replicas */
    struct hd_replica_list replicas; /* all of them, in any state */
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
    char *name;     /* "data-1", as it calls itself, or "" */
    char *own_rack; /* as its configuration says, or "" */
    uint32_t xfer_port, info_port, ipc_port, info_secure_port;
    uint16_t index;
    enum hd_node_state state;
    enum hd_node_duty duty;
    int64_t until_ms; /* of a maintenance: wall; 0: without end */
    struct hd_drain drain;
    struct hd_full_report *report; /* being taken in; NULL: none */
    uint64_t last_scan_ms;         /* wall time of its last whole scan; 0: none */
    uint64_t conn_id;              /* it was heard on last */
    struct hd_mono_ms heard;
    struct hd_mono_ms closed; /* when its connection ended; 0: it did not */
    struct hd_wall_ms heard_wall;
    struct hd_wall_ms report_wall; /* of the last full report; 0: none */
    struct hd_mono_ms report_mono;
    bool registered; /* since meta started, and not dead since */
    uint64_t cache_capacity, cache_used;
    uint32_t xceivers;
    uint32_t failed_volumes;
    uint32_t disk_us;   /* of a small durable write on its fastest disk; 0: not told */
    bool slow;          /* against the others (slow.h) */
    uint16_t *storages; /* indices */
    uint32_t storage_count, storage_capacity;
    struct hd_invalidate *invalidates; /* a queue: [invalidate_head, invalidate_count) */
    size_t invalidate_head, invalidate_count, invalidate_capacity;
    struct hd_transfer *transfers; /* commands not sent yet */
    size_t transfer_count, transfer_capacity;
    struct hd_block_id *recoveries; /* open blocks that it is to recover */
    size_t recovery_count, recovery_capacity;
    struct hd_block_id *finishes; /* closed blocks of which it is to finish its replica */
    size_t finish_count, finish_capacity;
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
    uint32_t draining;   /* nodes that drain.c has to look after */
    uint64_t count_turn; /* when the next three were counted */
    uint32_t in_service;
    uint32_t expected; /* these, and those that died lately */
    bool many_racks;
    bool had_many_racks;      /* at the last periodic turn */
    struct hd_mono_ms judged; /* when slow nodes were looked for */
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

/* Has it told all it has since it registered? */
bool hd_node_has_reported(const struct hd_meta *m, const struct hd_node *node);

/* May it hold replicas that it has not told of, or be dead and come back with them? */
bool hd_node_may_hold_more(const struct hd_meta *m, const struct hd_node *node);

/* May a node that is away, or has not reported yet, hold replicas that nobody told of? */
bool hd_nodes_may_return(const struct hd_meta *m);

uint32_t hd_nodes_live(const struct hd_nodes *n); /* stale ones included */

/* Nodes that may get replicas (full ones included), and whether they are on more than one rack. */
uint32_t hd_nodes_in_service(struct hd_meta *m);
uint32_t hd_nodes_expected(struct hd_meta *m); /* those that died lately included */
bool hd_nodes_many_racks(struct hd_meta *m);

/* The durable wish about the node has changed, or the node has just become known. */
void hd_node_take_wish(struct hd_meta *m, struct hd_node *node);

/* A wish has changed: of this node, NULL: of one that was not seen since the start. */
void hd_nodes_take_wishes(struct hd_meta *m, struct hd_node *node);

/* How many nodes in maintenance may have replicas that nobody told of. */
void hd_nodes_count_absent(struct hd_meta *m);

/* A node by uuid, name, "host:port" or "ip:port"; the one heard last of several. NULL: none. */
struct hd_node *hd_nodes_resolve(const struct hd_nodes *n, const char *text);

static inline bool hd_node_is_leaving(const struct hd_node *node)
{
    return node->duty == HD_DUTY_DECOMMISSIONING || node->duty == HD_DUTY_DECOMMISSIONED;
}

static inline bool hd_node_in_maintenance(const struct hd_node *node)
{
    return node->duty == HD_DUTY_ENTERING_MAINTENANCE || node->duty == HD_DUTY_IN_MAINTENANCE;
}

#endif
