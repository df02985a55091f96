/*
 * Is what follows the last good record the end of the log, or damage?
 *
 * An append that a crash interrupted can leave, in any order, each 512-byte sector of it written or
 * as it was: zeros, since the file was preallocated; or the file ends early. None of those records
 * was acknowledged. Everything else is damage to records that may have been, and start-up refuses:
 *
 *   - a good record further on that was written after the missing one was durable;
 *   - a record that was written to its end, in every sector, and whose sum is wrong all the same.
 */
#include "meta/log/segment.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <inttypes.h>

enum { SECTOR_BYTES = 512 };

static bool all_zero(const uint8_t *p, size_t n)
{
    return n == 0 || (p[0] == 0 && memcmp(p, p + 1, n - 1) == 0);
}

static int damaged(const struct hd_segment_reader *r, const char *why)
{
    return hd_fail(-HD_E_CORRUPT,
                   "%s: offset %" PRIu64 ": the record of txid %" PRIu64
                   " is damaged: %s; not starting without it. Take it from another copy of the "
                   "log (howdah admin edits repair DIR OTHER), promote the secondary, or cut the "
                   "file at this offset to give up what follows",
                   r->path, r->offset, r->next.v, why);
}

/* One part of a frame within each sector it touches: is one of them all zeros? */
static bool has_zero_sector(const uint8_t *p, size_t n, uint64_t file_offset)
{
    while (n > 0) {
        size_t part = (size_t)(SECTOR_BYTES - file_offset % SECTOR_BYTES);
        part = HD_MIN(part, n);
        if (all_zero(p, part)) {
            return true;
        }
        p += part;
        n -= part;
        file_offset += part;
    }
    return false;
}

/* Can the bad bytes at the front of p be a write that did not finish? */
static bool may_be_torn(enum hd_record_state state, const uint8_t *p, size_t n, size_t frame_bytes,
                        uint64_t file_offset)
{
    switch (state) {
    case HD_RECORD_GOOD:
    case HD_RECORD_ZERO:
    case HD_RECORD_SHORT: /* the file ends inside the record */
        return true;
    case HD_RECORD_BAD_BODY: /* frame_bytes can be trusted */
        return p[frame_bytes - 1] == 0 || has_zero_sector(p, frame_bytes, file_offset);
    case HD_RECORD_BAD_HEADER: {
        /* The header crosses into a sector that was not written, or breaks off in zeros. */
        size_t sector = (size_t)(SECTOR_BYTES - file_offset % SECTOR_BYTES);
        size_t end = sector < HD_RECORD_HEADER_BYTES ? sector + SECTOR_BYTES : sector;
        size_t from = sector < HD_RECORD_HEADER_BYTES ? sector : HD_RECORD_HEADER_BYTES - 1;
        return has_zero_sector(p, HD_RECORD_HEADER_BYTES, file_offset) ||
               all_zero(p + HD_MIN(from, n), HD_MIN(end, n) - HD_MIN(from, n));
    }
    }
    return false;
}

/* Looks for good records anywhere in p: one that promises the missing txid durable is damage. */
static int look_behind(const struct hd_segment_reader *r, const uint8_t *p, size_t n)
{
    for (size_t at = 1; at + HD_RECORD_FRAME_BYTES < n; at++) {
        if (p[at] == 0 && all_zero(p + at, HD_MIN((size_t)HD_RECORD_HEADER_BYTES, n - at))) {
            continue;
        }
        struct hd_record rec;
        size_t bytes;
        if (hd_record_decode(p + at, n - at, &rec, &bytes) != HD_RECORD_GOOD ||
            rec.txid.v <= r->next.v) {
            continue;
        }
        if (rec.durable.v >= r->next.v) {
            char why[128];
            snprintf(why, sizeof(why),
                     "txid %" PRIu64 " at offset %" PRIu64 " came after it was safe", rec.txid.v,
                     r->offset + at);
            return damaged(r, why);
        }
        at += bytes - 1;
    }
    return 0;
}

int hd_segment_tail_check(struct hd_segment_reader *r, uint64_t *ret_garbage)
{
    *ret_garbage = 0;
    size_t n = (size_t)(r->size - r->offset);
    if (n == 0) {
        return 0;
    }
    HD_AUTO(hd_buf_done) struct hd_buf rest = {0};
    int err = hd_buf_reserve(&rest, n);
    if (err == 0) {
        err = hd_fd_pread(r->fd, rest.data, n, r->offset);
    }
    if (err < 0) {
        return hd_fail(err, "%s: offset %" PRIu64 ": %s", r->path, r->offset,
                       hd_fail_describe(err));
    }
    while (n > 0 && rest.data[n - 1] == 0) {
        n--;
    }
    size_t full = (size_t)(r->size - r->offset);
    struct hd_record rec;
    size_t bytes;
    enum hd_record_state state = hd_record_decode(rest.data, full, &rec, &bytes);
    err = look_behind(r, rest.data, n);
    if (err == 0 && !may_be_torn(state, rest.data, full, bytes, r->offset)) {
        err = damaged(r, "it was written whole, and its checksum is wrong");
    }
    *ret_garbage = n;
    return err;
}
