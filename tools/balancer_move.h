/*
 * Moving replicas: HDFS's REPLACE_BLOCK to the node that is to have it, which fetches it from the
 * source and tells meta that the source's may go. A few threads; so many moves a node at a time.
 */
#ifndef HD_TOOLS_BALANCER_MOVE_H
#define HD_TOOLS_BALANCER_MOVE_H

#include "hdfs.pb-c.h"

struct hd_move {
    uint64_t block_id, gs, size_bytes;
    size_t source, target; /* indices of infos */
    bool taken, done;
    int err;
};

struct hd_moves {
    struct hd_move *items; /* heap, owned */
    size_t count, capacity;
    uint64_t moved_bytes;
    size_t moved, failed;
};

struct hd_moves_options {
    const char *pool_id;
    Hdw__DatanodeInfo *const *infos; /* of the nodes; borrowed */
    size_t info_count;
    int streams; /* moves of one node at a time */
    /* Called with a lock held, after every move. May be NULL. */
    void (*on_move)(void *ctx, const struct hd_moves *m, const struct hd_move *move,
                    const char *failure);
    void *ctx;
    const volatile bool *stop; /* no more moves are begun once it is true; NULL: never */
};

int hd_moves_add(struct hd_moves *m, const struct hd_move *move);
void hd_moves_done(struct hd_moves *m);

/* Makes them all; returns when they are. A move that fails is counted. 0 or -ENOMEM. */
int hd_moves_run(struct hd_moves *m, const struct hd_moves_options *o);

#endif
