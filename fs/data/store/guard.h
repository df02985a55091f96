/*
 * Between those who read a replica and the one who changes its bytes in place.
 *
 * A reader that begins while nobody changes the replica is "plain": it sends the files as they are
 * (sendfile, or the descriptors themselves). Bytes that were handed to the kernel that way can
 * still change on their way, so who wants to change the replica waits until there is no plain
 * reader left, or gives them the old files for themselves and goes on with copies of its own.
 * Readers that begin while it is open read data and sums together, under the lock.
 *
 * Guards are shared by blocks whose ids meet in the table: then somebody waits for nothing, never
 * the other way round. For a replica that nobody changes it costs one addition a reader.
 */
#ifndef HD_DATA_STORE_GUARD_H
#define HD_DATA_STORE_GUARD_H

#include "fs/base/types.h"

#include <pthread.h>
#include <stdatomic.h>

enum { HD_GUARDS = 1024 };

struct hd_guard {
    _Alignas(64) pthread_mutex_t lock; /* held over each change of data and sums */
    atomic_int plain;
    atomic_int changers;
};

static inline struct hd_guard *hd_guard_of(struct hd_guard *guards, struct hd_block_id id)
{
    return &guards[(id.v * 0x9E3779B97F4A7C15u) >> 54];
}

/* True: a plain reader, which has to leave. False: to read under the lock. */
static inline bool hd_guard_enter_plain(struct hd_guard *g)
{
    atomic_fetch_add(&g->plain, 1);
    if (atomic_load(&g->changers) == 0) {
        return true;
    }
    atomic_fetch_sub(&g->plain, 1);
    return false;
}

static inline void hd_guard_leave_plain(struct hd_guard *g)
{
    atomic_fetch_sub(&g->plain, 1);
}

#endif
