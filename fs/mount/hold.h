/*
 * Written bytes that wait in the mount before they go to the data nodes. Pure.
 *
 * A hold starts at a file offset and grows at its end. While bytes are held a program may go back
 * and write them again (a linker that fills in its header, an archiver its directory), which a
 * chain of replicas cannot do once it has them.
 */
#ifndef HD_MOUNT_HOLD_H
#define HD_MOUNT_HOLD_H

#include "fs/base/buf.h"

struct hd_hold {
    uint64_t offset; /* of the first held byte in the file; what is below has been given away */
    struct hd_buf bytes;
};

void hd_hold_init(struct hd_hold *h, uint64_t offset);
void hd_hold_done(struct hd_hold *h);

/* The file's size with the held bytes. */
uint64_t hd_hold_end(const struct hd_hold *h);

/*
 * Writes the part of data that lies on held bytes; ret_done is how much that is (0 when offset is
 * at or behind the end). -EOPNOTSUPP, with nothing written, when offset is below the hold.
 */
int hd_hold_patch(struct hd_hold *h, const void *data, size_t size, uint64_t offset,
                  size_t *ret_done);

/* Appends. 0 or -ENOMEM or -HD_E_TOO_LARGE. data NULL: zeros. */
int hd_hold_append(struct hd_hold *h, const void *data, size_t size);

/* Cuts the file to size_bytes if that lies in the hold: true when done. */
bool hd_hold_cut(struct hd_hold *h, uint64_t size_bytes);

/* The held bytes have been given away: the hold is empty and starts at its old end. */
void hd_hold_given(struct hd_hold *h);

/* Copies what is held of [offset, offset+size); the number of bytes, 0 when offset is outside. */
size_t hd_hold_read(const struct hd_hold *h, void *out, size_t size, uint64_t offset);

#endif
