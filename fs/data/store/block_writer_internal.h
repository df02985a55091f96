/*
 * Inside of the block writer: block_writer.c (set-up, packets in order, the end) and
 * block_overwrite.c (packets that replace bytes).
 */
#ifndef HD_DATA_STORE_BLOCK_WRITER_INTERNAL_H
#define HD_DATA_STORE_BLOCK_WRITER_INTERNAL_H

#include "fs/data/store/guard.h"
#include "fs/data/store/patch.h"
#include "fs/data/store/store_internal.h"

struct hd_block_writer {
    struct hd_store *store;
    struct hd_store_replica *replica; /* owned through the store's ownership */
    struct hd_volume *volume;
    struct hd_block_writer_options options;
    struct hd_sum_format format; /* on disk */
    int data_fd;
    int meta_fd;
    uint64_t size_bytes;     /* of the replica; the writing thread's own copy */
    uint64_t promised_bytes; /* still kept free for this writer; store lock */
    uint64_t synced_bytes;   /* of the data are durable, as far as this writer knows */
    bool dirty;              /* something was written since */
    bool data_dirty;         /* and not only sums */
    bool names_synced;       /* the directory knows of the files for good */
    bool finished;
    bool discard;     /* the replica goes when the writer does */
    uint8_t *scratch; /* one chunk, and sums of a packet that were made anew */
    size_t scratch_bytes;
    _Atomic(uint64_t) acked_bytes; /* as hd_block_writer_acked said it last */

    /* Of a writer that replaces bytes (setup.overwrite). */
    struct hd_patch patch;
    struct hd_guard *guard; /* entered as changer; NULL: not (yet) */
    bool fresh;             /* this writer made the replica */
    bool log_wanted;        /* it was synced before: from now on with the dirty log */
    uint64_t whole_bytes;   /* data and sums up to here are on the disk */
};

/* block_writer.c: for both. */
int hd_writer_sync_data(struct hd_block_writer *w);
int hd_writer_sync_names(struct hd_block_writer *w, enum hd_place place);
void hd_writer_resized(struct hd_block_writer *w, uint64_t size_bytes);

/* --- block_overwrite.c --- */

/* Under the store lock, r is owned: opens an existing replica as the plan says. */
int hd_overwrite_reopen(struct hd_block_writer *w, struct hd_store_replica *r,
                        const struct hd_write_plan *plan);

/* A replica was just created: it becomes as long as the set-up says. No lock is held. */
int hd_overwrite_created(struct hd_block_writer *w);

/* The bytes are about to be changed: in the dirty log, which is begun when there is none. */
int hd_overwrite_mark(struct hd_block_writer *w, uint64_t from, uint64_t to);

int hd_overwrite_write(struct hd_block_writer *w, const struct hd_packet *p, const uint8_t *sums,
                       const uint8_t *data, bool verify);

/* Before the writer lets go: what failed half-way is made to agree, readers are plain again. */
void hd_overwrite_end(struct hd_block_writer *w);

#endif
