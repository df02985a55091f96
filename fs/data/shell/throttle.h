/*
 * A rate that several threads keep together: each asks before it sends, and waits for its turn.
 */
#ifndef HD_DATA_SHELL_THROTTLE_H
#define HD_DATA_SHELL_THROTTLE_H

#include <pthread.h>
#include <stdatomic.h>

struct hd_throttle {
    _Atomic uint64_t bytes_per_s; /* any thread may change it */
    pthread_mutex_t lock;
    int64_t next_ns; /* monotonic: when what was granted so far is sent; under the lock */
    const atomic_bool *stopping;
};

/* stopping: nobody waits any more once it is true; borrowed. */
void hd_throttle_init(struct hd_throttle *t, uint64_t bytes_per_s, const atomic_bool *stopping);
void hd_throttle_done(struct hd_throttle *t);

/* Blocks until so many bytes may be sent. Takes NULL: no limit. */
void hd_throttle_take(struct hd_throttle *t, uint64_t bytes);

#endif
