/* What content does for the rest of the mount. See io.h. */
#include "fs/mount/io.h"

int hd_io_start(struct hd_mount *m)
{
    (void)m;
    return 0;
}

void hd_io_stop(struct hd_mount *m)
{
    (void)m;
}

void hd_io_recall(struct hd_mount *m, uint64_t id, Hdw__CapKind keep, uint64_t serial)
{
    (void)m;
    (void)id;
    (void)keep;
    (void)serial;
}

void hd_io_lost(struct hd_mount *m)
{
    (void)m;
}

void hd_io_reclaim(struct hd_mount *m, struct hd_posix_holdings *h)
{
    (void)m;
    (void)h;
}

void hd_io_reclaimed(struct hd_mount *m, const uint64_t *lost, size_t count)
{
    (void)m;
    (void)lost;
    (void)count;
}

bool hd_io_is_open(struct hd_mount *m, uint64_t id)
{
    (void)m;
    (void)id;
    return false;
}

void hd_io_dropped(struct hd_mount *m, uint64_t id)
{
    (void)m;
    (void)id;
}

void hd_io_overlay(struct hd_mount *m, uint64_t id, struct stat *st)
{
    (void)m;
    (void)id;
    (void)st;
}

int hd_io_set_attr(struct hd_mount *m, uint64_t id, const uint64_t *size,
                   const struct hd_posix_change *change, struct hd_posix_attr *ret)
{
    (void)m;
    (void)id;
    (void)size;
    (void)change;
    (void)ret;
    return 0;
}
