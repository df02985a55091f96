/*
 * The inside of struct hd_meta: the durable namespace, what the data nodes told, and the work that
 * follows from comparing the two. Each part has a file of its own.
 */
#ifndef HD_META_CORE_STATE_H
#define HD_META_CORE_STATE_H

#include "fs/base/assert.h"
#include "fs/base/prng.h"
#include "meta/core/keys.h"
#include "meta/core/locks.h"
#include "meta/core/meta.h"
#include "meta/core/nodes.h"
#include "meta/core/racks.h"
#include "meta/core/ns.h"
#include "meta/core/repair.h"
#include "meta/core/retry_cache.h"
#include "meta/core/safe_mode.h"

#include <stdlib.h>

struct hd_call;

/* Corrupt or stale replicas of one block: not used, deleted once enough good ones exist. */
struct hd_bad_replica {
    uint16_t storage;
    uint8_t epoch;
    bool ordered; /* its node was told to delete it, at ordered_at: the mark stays until it has */
    struct hd_mono_ms ordered_at;
    struct hd_genstamp gs;
    uint64_t size_bytes;
};

struct hd_bad_replicas {
    struct hd_bad_replica *items; /* heap, owned */
    uint32_t count;
    uint32_t capacity;
};

struct hd_sessions;

/*
 * A call that waits for a block to be complete, or for capabilities of an inode: run again then, or
 * when its time is up.
 */
struct hd_parked {
    struct hd_list link;        /* of meta->parked, or of the inode's queue */
    struct hd_meta_event event; /* strings and bytes are copies in the arena */
    struct hd_arena arena;
    struct hd_mono_ms deadline;
    struct hd_block_id block;
    uint64_t ino; /* 0: it waits for the block */
    bool ready;
};

/* Storages that are `losing` have replicas to be taken out. */
struct hd_sweep {
    bool on;
};

/* After safe mode: blocks that are still to be looked at. */
struct hd_check {
    uint64_t *ids; /* heap, owned; [0, count) are left */
    size_t count;
};

struct hd_meta {
    struct hd_meta_options o; /* strings owned */
    struct hd_ns ns;
    struct hd_nodes nodes;
    struct hd_racks racks;
    struct hd_map bad;          /* block id -> hd_bad_replicas */
    struct hd_map dirty;        /* ids of closed blocks of which nobody had a whole replica */
    uint64_t bad_blocks_in_use; /* blocks that have bad replicas */
    uint64_t blocks_in_future;  /* reports of blocks that this namespace has not given out yet */
    struct hd_repairs repairs;
    struct hd_sweep sweep;
    struct hd_check check;
    uint32_t absent_in_maintenance; /* nodes in maintenance that were not seen since the start */
    const char *delete_hint; /* of the report being taken in: the node whose replica may go; or NULL
                              */
    struct hd_safe_mode safe;
    struct hd_retry_cache retry;
    struct hd_locks *locks;
    struct hd_prng prng;
    struct hd_sessions *sessions;
    uint8_t method_slots[512]; /* find_method: places in hd_methods, from 1 on */
    struct hd_list reports;    /* struct hd_full_report that are being taken in */
    struct hd_list parked;
    size_t parked_count;
    struct hd_view_load load; /* while starting */
    struct hd_mono_ms started;
    bool opened; /* what this process does is recorded: see open_life */
    struct hd_mono_ms next_periodic;
    struct hd_mono_ms next_lease_check;

    /* The turn: set by the step, for everything it calls. */
    struct hd_mono_ms now;
    struct hd_wall_ms wall;
    struct hd_txid durable;
    struct hd_meta_effects *fx;
    struct hd_call *call; /* the call being answered, or NULL */
    uint64_t turn;        /* counts steps: what is cached in the effects' arena dies with it */
};

/* Gives the record its txid and time, applies it, and hands it to the log. */
void hd_meta_commit(struct hd_meta *m, Hdm__EditRecord *record);

/* The trace of the step (one line; the first of a step wins). */
void hd_meta_trace(struct hd_meta *m, const char *fmt, ...) HD_PRINTF(2, 3);

bool hd_meta_past(const struct hd_meta *m, struct hd_mono_ms since, int64_t ms);

/* A message in the effects' arena. */
#define HD_MSG(m, type, lower)                                                                     \
    ({                                                                                             \
        type *msg_ = HD_ARENA_NEW(&(m)->fx->arena, type);                                          \
        hd_assert(msg_ != NULL);                                                                   \
        lower##__init(msg_);                                                                       \
        msg_;                                                                                      \
    })

/* Memory of the effects' arena, never NULL. */
void *hd_meta_alloc(struct hd_meta *m, size_t size);
#define HD_TURN_ARRAY(m, type, count) ((type *)hd_meta_alloc((m), sizeof(type) * ((count) + 1)))

/* protobuf-c's strings are not const; what the core puts there is never written. */
static inline char *hd_unconst(const char *text)
{
    return (char *)(uintptr_t)text;
}

#endif
