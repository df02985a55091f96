/* The hold of hold.h. */
#include "fs/mount/hold.h"
#include "fs/base/error.h"

#include <errno.h>
#include <string.h>

void hd_hold_init(struct hd_hold *h, uint64_t offset)
{
    h->offset = offset;
    hd_buf_init(&h->bytes, 0);
}

void hd_hold_done(struct hd_hold *h)
{
    hd_buf_done(&h->bytes);
}

uint64_t hd_hold_end(const struct hd_hold *h)
{
    return h->offset + h->bytes.size;
}

int hd_hold_patch(struct hd_hold *h, const void *data, size_t size, uint64_t offset,
                  size_t *ret_done)
{
    *ret_done = 0;
    if (offset < h->offset) {
        return hd_fail(-EOPNOTSUPP, "bytes that were sent cannot be written again");
    }
    if (offset >= hd_hold_end(h)) {
        return 0;
    }
    size_t at = (size_t)(offset - h->offset);
    size_t n = HD_MIN(size, h->bytes.size - at);
    memcpy(h->bytes.data + at, data, n);
    *ret_done = n;
    return 0;
}

int hd_hold_append(struct hd_hold *h, const void *data, size_t size)
{
    if (data != NULL) {
        return hd_buf_add(&h->bytes, data, size);
    }
    int rc = hd_buf_reserve(&h->bytes, size);
    if (rc < 0) {
        return rc;
    }
    if (size > 0) {
        memset(h->bytes.data + h->bytes.size, 0, size);
        h->bytes.size += size;
    }
    return 0;
}

bool hd_hold_cut(struct hd_hold *h, uint64_t size_bytes)
{
    if (size_bytes < h->offset || size_bytes > hd_hold_end(h)) {
        return false;
    }
    h->bytes.size = (size_t)(size_bytes - h->offset);
    return true;
}

void hd_hold_given(struct hd_hold *h)
{
    h->offset = hd_hold_end(h);
    hd_buf_done(&h->bytes);
    hd_buf_init(&h->bytes, 0);
}

size_t hd_hold_read(const struct hd_hold *h, void *out, size_t size, uint64_t offset)
{
    if (offset < h->offset || offset >= hd_hold_end(h)) {
        return 0;
    }
    size_t at = (size_t)(offset - h->offset);
    size_t n = HD_MIN(size, h->bytes.size - at);
    memcpy(out, h->bytes.data + at, n);
    return n;
}
