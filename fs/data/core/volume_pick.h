/* Which directory of the node takes a new replica. Pure. */
#ifndef HD_DATA_CORE_VOLUME_PICK_H
#define HD_DATA_CORE_VOLUME_PICK_H

#include <stdint.h>

/* Spreads further apart than this are evened out: the emptiest directory is taken. */
#define HD_VOLUME_BALANCE_BYTES ((uint64_t)10 << 30)

struct hd_volume_space_left {
    bool usable;
    uint64_t free_bytes; /* after reservations */
};

/*
 * Round robin from *cursor among those with need_bytes free, or the emptiest when their free space
 * lies too far apart. Returns the index and moves the cursor, or -ENOSPC.
 */
int hd_volume_pick(const struct hd_volume_space_left *volumes, int count, uint64_t need_bytes,
                   unsigned *cursor);

#endif
