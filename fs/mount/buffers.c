/* The stack of free buffers of buffers.h. */
#include "fs/mount/buffers.h"

#include <stdlib.h>

void hd_buffers_init(struct hd_buffers *b, size_t size_bytes)
{
    *b = (struct hd_buffers){.size_bytes = size_bytes};
    pthread_mutex_init(&b->lock, NULL);
}

static void free_all(struct hd_buffers *b)
{
    while (b->count > 0) {
        free(b->free_ones[--b->count]);
    }
}

void hd_buffers_done(struct hd_buffers *b)
{
    free_all(b);
    pthread_mutex_destroy(&b->lock);
}

void *hd_buffers_take(struct hd_buffers *b)
{
    pthread_mutex_lock(&b->lock);
    void *buffer = b->count > 0 ? b->free_ones[--b->count] : NULL;
    b->used = true;
    pthread_mutex_unlock(&b->lock);
    return buffer != NULL ? buffer : malloc(b->size_bytes);
}

void hd_buffers_give(struct hd_buffers *b, void *buffer)
{
    pthread_mutex_lock(&b->lock);
    if (b->count < HD_BUFFERS_MAX) {
        b->free_ones[b->count++] = buffer;
        buffer = NULL;
    }
    pthread_mutex_unlock(&b->lock);
    free(buffer);
}

bool hd_buffers_trim(struct hd_buffers *b)
{
    pthread_mutex_lock(&b->lock);
    bool idle = !b->used;
    b->used = false;
    if (idle) {
        free_all(b);
    }
    pthread_mutex_unlock(&b->lock);
    return idle;
}
