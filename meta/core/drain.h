/*
 * Draining: after the wish about a node has changed, every block that it has is looked at again,
 * some thousand a step; and a node that is to leave is watched until none of them needs it any
 * more.
 *
 *          wish changed                all looked at, some need the node
 *   IDLE ---------------> WALKING ---------------------------------------> WATCHING
 *     ^                    |    ^                                            |
 *     |  none needs it     |    |      none of those needs it any more       |
 *     +--------------------+    +--------------------------------------------+
 *
 * The last walk finds nothing, and no replica came to the node during it: only then is it drained.
 * A walk waits until safe mode is off and the node has reported all it has, or is away.
 */
#ifndef HD_META_CORE_DRAIN_H
#define HD_META_CORE_DRAIN_H

#include "fs/base/types.h"

struct hd_meta;
struct hd_node;

enum hd_drain_phase { HD_DRAIN_IDLE, HD_DRAIN_WALKING, HD_DRAIN_WATCHING };

struct hd_drain {
    enum hd_drain_phase phase;
    bool begun;        /* the walk has */
    uint32_t storage;  /* of the node: where the walk is */
    uint32_t left;     /* slots of that storage, walked downwards */
    uint64_t added;    /* to the node's storages, when the walk began */
    uint64_t *waiting; /* ids of blocks that need the node; heap, owned */
    size_t waiting_count, waiting_capacity;
    size_t looked; /* of these, in this round; [0, kept) still need it */
    size_t kept;
    struct hd_mono_ms next_round;
};

/* Begins a walk, or begins it anew. */
void hd_drain_start(struct hd_meta *m, struct hd_node *node);

/* The node's work so far is forgotten. */
void hd_drain_stop(struct hd_meta *m, struct hd_node *node);

/* Safe mode has ended: nodes that are not in service are looked at. */
void hd_drain_start_all(struct hd_meta *m);

/* Looks at that many replicas of each such node. True: there is more to do at once. */
bool hd_drain_work(struct hd_meta *m, uint32_t most);

/* Blocks that are known to need the node. */
uint64_t hd_drain_waiting(const struct hd_node *node);

#endif
