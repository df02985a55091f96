/* Choice of a directory. See volume_pick.h. */
#include "fs/data/core/volume_pick.h"

#include <errno.h>

int hd_volume_pick(const struct hd_volume_space_left *volumes, int count, uint64_t need_bytes,
                   unsigned *cursor)
{
    int emptiest = -1;
    int next = -1;
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < count; i++) {
        int at = (int)((*cursor + (unsigned)i) % (unsigned)count);
        const struct hd_volume_space_left *v = &volumes[at];
        if (!v->usable || v->free_bytes < need_bytes) {
            continue;
        }
        if (next < 0) {
            next = at;
        }
        if (emptiest < 0 || v->free_bytes > volumes[emptiest].free_bytes) {
            emptiest = at;
        }
        least = HD_MIN(least, v->free_bytes);
    }
    if (next < 0) {
        return -ENOSPC;
    }
    if (volumes[emptiest].free_bytes - least > HD_VOLUME_BALANCE_BYTES) {
        return emptiest;
    }
    *cursor = (unsigned)next + 1;
    return next;
}
