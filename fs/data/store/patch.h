/*
 * Changing the bytes of a replica in place, with its sums: any bytes of it, and its length. Of the
 * chunks that change only in part the other bytes are verified before they are summed anew.
 *
 * Nothing here is safe in a crash, and nothing is synced: the data file is changed first, then the
 * sums. The caller has the regions in the dirty log (dirty_log.h), owns the replica, and keeps
 * readers away (guard.h).
 */
#ifndef HD_DATA_STORE_PATCH_H
#define HD_DATA_STORE_PATCH_H

#include "fs/data/store/meta_file.h"

struct hd_patch {
    int data_fd; /* borrowed, both open for reading and writing */
    int meta_fd;
    struct hd_sum_format format;
    uint64_t size_bytes; /* of the replica: the files hold as much */
    uint8_t *scratch;    /* heap, owned */
    size_t scratch_bytes;
    bool torn; /* a change failed half-way: bytes and sums may differ from torn_from to torn_to */
    uint64_t torn_from;
    uint64_t torn_to;
};

void hd_patch_done(struct hd_patch *p); /* the descriptors stay open */

/*
 * Sums of a run of bytes that lies anywhere on the grid of chunks: one for each chunk it touches.
 */
uint64_t hd_patch_sums_count(uint64_t offset, uint32_t size, uint32_t bytes_per_checksum);

/*
 * Verifies and stores `size` bytes at `offset` <= size_bytes; the replica grows when they end
 * behind it. `sums`: those of the bytes, on the grid, in the replica's format; NULL: they are made
 * here. verify: compare all of them with the bytes first; those of chunks that are merged are
 * compared anyway. -HD_E_CHECKSUM: the bytes are not what their sums say, nothing was changed.
 * -HD_E_IO: the replica's own bytes are not. I/O errors.
 */
int hd_patch_write(struct hd_patch *p, uint64_t offset, const uint8_t *data, uint32_t size,
                   const uint8_t *sums, bool verify);

/* Cuts, or grows with zeros. */
int hd_patch_resize(struct hd_patch *p, uint64_t size_bytes);

/* Makes the sums of these bytes anew from what the data file holds. */
int hd_patch_mend(struct hd_patch *p, uint64_t from, uint64_t to);

#endif
