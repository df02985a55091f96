/*
 * When a finished block is durable: every live node that has a replica has synced it. Pure.
 *
 * A node that cannot be reached is not live: it is left out as soon as two others have synced.
 * Where that would leave a single copy meta is asked again, which drops dead nodes and orders
 * copies. A node that answers and fails is live: the block is not durable until meta no longer
 * counts on it.
 */
#ifndef HD_CLIENT_CORE_DURABLE_H
#define HD_CLIENT_CORE_DURABLE_H

enum hd_replica_sync {
    HD_SYNC_PENDING,
    HD_SYNC_DONE,
    HD_SYNC_GONE,   /* the node cannot be reached */
    HD_SYNC_FAILED, /* it says that it could not */
};

enum hd_sync_verdict {
    HD_SYNC_WAIT,
    HD_SYNC_DURABLE,
    HD_SYNC_AGAIN, /* ask meta who has the block now */
};

enum { HD_SYNC_COPIES_MIN = 2, HD_SYNC_SILENCE_MS = 1500 };

enum hd_sync_verdict hd_sync_judge(const enum hd_replica_sync *replicas, size_t count,
                                   int64_t waited_ms);

#endif
