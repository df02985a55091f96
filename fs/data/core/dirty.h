/*
 * Which regions of a replica were changed in place since it was last known to be whole on its disk:
 * one bit for each HD_DIRTY_REGION_BYTES, and the bytes of the file that keeps them
 * (docs/formats.md, "Dirty logs"). Pure.
 *
 * A region's sums, and after a power cut its bytes, are worth nothing while its bit is set; those
 * of a region without a bit are what was last told to be durable.
 */
#ifndef HD_DATA_CORE_DIRTY_H
#define HD_DATA_CORE_DIRTY_H

#include "fs/base/buf.h"
#include "fs/base/types.h"

enum {
    HD_DIRTY_REGION_BYTES = 1 << 20,
    HD_DIRTY_REGIONS_MAX = 1 << 20,
    HD_DIRTY_VERSION = 1,
    HD_DIRTY_HEADER_BYTES = 56,
    HD_BOOT_ID_BYTES = 16,
    HD_DIRTY_FILE_BYTES_MAX = HD_DIRTY_HEADER_BYTES + HD_DIRTY_REGIONS_MAX / 8 + 4,
};

/* Bit i is region i. A zeroed struct is empty. */
struct hd_dirty {
    uint8_t *bits; /* heap, owned; (count + 7) / 8 bytes, unused bits 0 */
    uint32_t count;
};

void hd_dirty_done(struct hd_dirty *d);

/* Sets the bits of all bytes from `from` to `to`. 1: some were not set, 0, -HD_E_TOO_LARGE, -ENOMEM
 * (nothing changed). */
int hd_dirty_add(struct hd_dirty *d, uint64_t from, uint64_t to);

/* Is every region of these bytes set? True when from == to. */
bool hd_dirty_has(const struct hd_dirty *d, uint64_t from, uint64_t to);

/* Sets the bits that `more` has, too. 0, -HD_E_TOO_LARGE, -ENOMEM. */
int hd_dirty_add_bits(struct hd_dirty *d, const uint8_t *more, uint32_t count);

/*
 * The next run of dirty bytes at or behind *from, cut at size_bytes; false when there is none.
 * Call again with *from = *ret_to.
 */
bool hd_dirty_next(const struct hd_dirty *d, uint64_t from, uint64_t size_bytes, uint64_t *ret_from,
                   uint64_t *ret_to);

/* --- the file --- */

struct hd_dirty_header {
    uint8_t boot_id[HD_BOOT_ID_BYTES]; /* of the machine when the bits were set */
    struct hd_block_id id;
    struct hd_genstamp since; /* the replica's stamp when its first bit was set */
    uint8_t sum_type;         /* how the replica is summed */
    uint32_t bytes_per_checksum;
};

/* Replaces what is in `out`. */
int hd_dirty_encode(const struct hd_dirty_header *h, const struct hd_dirty *d, struct hd_buf *out);

/*
 * -HD_E_CORRUPT with a sentence for anything but the exact bytes of an encoded one (of block id).
 * Then nothing is known but that there was one.
 */
int hd_dirty_decode(const uint8_t *in, size_t size, struct hd_block_id id,
                    struct hd_dirty_header *ret_header, struct hd_dirty *ret);

#endif
