/* What edit_log.c and edit_log_read.c share. */
#ifndef HD_META_LOG_EDIT_LOG_IMPL_H
#define HD_META_LOG_EDIT_LOG_IMPL_H

#include "meta/log/edit_log.h"
#include "meta/log/places.h"

struct hd_edit_segment {
    uint64_t first;
    uint64_t last; /* of the open one: kept by append */
    bool open;
};

struct hd_edit_log {
    struct hd_places places; /* writers: the appending thread's */
    char *cluster_id;
    uint64_t chunk_bytes;
    uint64_t segment_bytes;
    void (*on_repaired)(void *ctx, const char *path, const char *from, const char *why);
    void *ctx;
    bool writing; /* the appending thread's */

    pthread_mutex_t lock;             /* all below */
    uint64_t next;                    /* while there is no segment: the txid that is to come */
    struct hd_edit_segment *segments; /* in txid order */
    size_t count;
    size_t capacity;
    struct { /* where the last read ended, so that the next one need not search */
        uint64_t segment_first;
        uint64_t txid;
        uint64_t offset;
    } cursor;
};

void hd_edit_log_segment_path(const char *dir, const struct hd_edit_segment *s,
                              char out[HD_LOG_PATH_BYTES]);

#endif
