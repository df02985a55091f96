/*
 * Writing a replica: the one writer it has between set-up and last packet.
 *
 * One thread writes; hd_block_writer_acked may be called by another. When somebody needs the
 * replica (a recovery, a delete) the interrupt function is called, once, by that other thread under
 * the store's lock: it must not block, only make the writer give up soon and close.
 */
#ifndef HD_DATA_STORE_BLOCK_WRITER_H
#define HD_DATA_STORE_BLOCK_WRITER_H

#include "fs/data/store/store.h"
#include "fs/wire/packet.h"

struct hd_block_writer;

struct hd_block_writer_options {
    struct hd_write_setup setup;
    struct hd_sum_format format;  /* of the packets; a new replica is stored in it too */
    void (*interrupt)(void *ctx); /* may be NULL */
    void *ctx;
};

/*
 * Sets the replica up (fs/data/core/replica.h says how). Close recovery finalizes at once and still
 * gives a writer to close. Errors: those of hd_write_plan, -ENOSPC when no directory has room, I/O.
 */
int hd_block_writer_open(struct hd_store *s, const struct hd_block_writer_options *options,
                         struct hd_block_writer **ret);

/*
 * Stores a packet's data and sums. verify: compare the sums first. -HD_E_CHECKSUM with the place
 * in the failure text; -HD_E_BAD_MESSAGE when lengths or offset do not fit; I/O errors.
 */
int hd_block_writer_write(struct hd_block_writer *w, const struct hd_packet *p, const uint8_t *sums,
                          const uint8_t *data, bool verify);

/* fdatasync of data and sums; the directory follows when the replica is finalized. */
int hd_block_writer_sync(struct hd_block_writer *w);

/* Every node below has acknowledged up to end_bytes: readers may see it. */
void hd_block_writer_acked(struct hd_block_writer *w, uint64_t end_bytes);

/* Last packet: the replica is complete. Stage TRANSFER_RBW makes it RBW instead. */
int hd_block_writer_finish(struct hd_block_writer *w);

/* Ends the ownership. Not finished: RBW stays as it is, a TEMPORARY replica is removed. Frees. */
void hd_block_writer_close(struct hd_block_writer *w); /* takes NULL */

/* A copy of the replica's facts, and where it is. */
struct hd_replica hd_block_writer_replica(struct hd_block_writer *w);
const char *hd_block_writer_storage_id(const struct hd_block_writer *w);

#endif
