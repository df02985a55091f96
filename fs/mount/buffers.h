/*
 * Buffers of HD_MOUNT_IO_BYTES for READ requests: kept while the mount is busy, given back to the
 * system when it is not. Thread safe.
 */
#ifndef HD_MOUNT_BUFFERS_H
#define HD_MOUNT_BUFFERS_H

#include <pthread.h>

enum { HD_BUFFERS_MAX = 64 };

struct hd_buffers {
    pthread_mutex_t lock;
    size_t size_bytes; /* of each */
    size_t count;      /* free ones */
    void
        *free_ones[HD_BUFFERS_MAX]; /* the last given back is the first taken: it is in the cache */
    bool used;                      /* since the last call of hd_buffers_trim */
};

void hd_buffers_init(struct hd_buffers *b, size_t size_bytes);
void hd_buffers_done(struct hd_buffers *b);

/* NULL without memory. */
void *hd_buffers_take(struct hd_buffers *b);
void hd_buffers_give(struct hd_buffers *b, void *buffer);

/* Frees the free ones if none was taken since the last call: true when that was so. */
bool hd_buffers_trim(struct hd_buffers *b);

#endif
