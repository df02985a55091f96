/*
 * The dirty log of a replica: a file in DIR/current/<pool>/dirty/ that says which regions were
 * changed in place since data and sums were last known to be on the disk. There is none while there
 * is nothing to say.
 *
 *   change      a region's bit is durable before the first byte of the region is changed
 *   fsync       of the data alone: the sums of dirty regions are made anew at the next start
 *   cleaning    fsync of data, then of sums, then the log goes (hd_store_clean)
 *   start       the sums of dirty regions are made from the data. Bits of this boot of the machine:
 *               nothing that was written is lost. Of an earlier one: bytes may be lost, and the
 *               replica waits for a recovery (RWR).
 *
 * A log that is torn or was tampered with counts as "all regions, and of an earlier boot".
 */
#ifndef HD_DATA_STORE_DIRTY_LOG_H
#define HD_DATA_STORE_DIRTY_LOG_H

#include "fs/data/core/dirty.h"
#include "fs/data/store/layout.h"

struct hd_dirty_log {
    struct hd_dirty_header header;
    struct hd_dirty dirty;
    bool other_boot;   /* bytes of dirty regions may be those of before */
    bool unsaved;      /* bits that the file may not have */
    int fd;            /* of the file while somebody changes the replica; else -1 */
    uint64_t ahead_at; /* a region behind the last one that was set: who writes on will set it */
    uint64_t ahead_bytes;
};

/* Fresh and empty, in memory only. NULL: no memory. */
struct hd_dirty_log *hd_dirty_log_new(const struct hd_dirty_header *header);
void hd_dirty_log_free(struct hd_dirty_log *log); /* takes NULL */

/*
 * What the disk has: -ENOENT when there is none. A log that cannot be believed gives one of another
 * boot with all regions of size_bytes set, and true in *ret_damaged.
 */
int hd_dirty_log_read(const struct hd_layout *l, struct hd_block_id id,
                      const uint8_t boot_id[HD_BOOT_ID_BYTES], uint64_t size_bytes,
                      struct hd_dirty_log **ret, bool *ret_damaged);

/*
 * Bytes from `from` to `to` are about to be changed: returns when their bits are durable. Nothing
 * may be changed after an error. Quick when they are set. Whoever writes one region after the other
 * sets several at once.
 */
int hd_dirty_log_add(const struct hd_layout *l, struct hd_dirty_log *log, uint64_t from,
                     uint64_t to);

void hd_dirty_log_close(struct hd_dirty_log *log); /* the descriptor; takes NULL */

/* Removes the file; data and sums are durable. A missing one is fine. */
int hd_dirty_log_remove(const struct hd_layout *l, struct hd_block_id id);

#endif
