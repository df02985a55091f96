/* Dirty regions and their file. See dirty.h. */
#include "fs/data/core/dirty.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

static const uint8_t MAGIC[8] = {'H', 'D', 'd', 'i', 'r', 't', 'y', '\n'};

enum { AT_VERSION = 8, AT_FORMAT = 10, AT_BOOT = 16, AT_ID = 32, AT_SINCE = 40, AT_REGION = 48 };

void hd_dirty_done(struct hd_dirty *d)
{
    free(d->bits);
    *d = (struct hd_dirty){0};
}

static size_t bytes_of(uint32_t count)
{
    return (count + 7) / 8;
}

static bool test(const struct hd_dirty *d, uint64_t region)
{
    return region < d->count && (d->bits[region / 8] >> region % 8 & 1) != 0;
}

static int reserve(struct hd_dirty *d, uint64_t count)
{
    if (count <= d->count) {
        return 0;
    }
    if (count > HD_DIRTY_REGIONS_MAX) {
        return hd_fail(-HD_E_TOO_LARGE, "a replica of more than %d MiB is not changed in place",
                       HD_DIRTY_REGIONS_MAX);
    }
    uint8_t *bits = realloc(d->bits, bytes_of((uint32_t)count));
    if (bits == NULL) {
        return -ENOMEM;
    }
    memset(bits + bytes_of(d->count), 0, bytes_of((uint32_t)count) - bytes_of(d->count));
    d->bits = bits;
    d->count = (uint32_t)count;
    return 0;
}

static uint64_t region_end(uint64_t to)
{
    return to / HD_DIRTY_REGION_BYTES + (to % HD_DIRTY_REGION_BYTES != 0);
}

bool hd_dirty_has(const struct hd_dirty *d, uint64_t from, uint64_t to)
{
    for (uint64_t r = from / HD_DIRTY_REGION_BYTES; from < to && r < region_end(to); r++) {
        if (!test(d, r)) {
            return false;
        }
    }
    return true;
}

int hd_dirty_add(struct hd_dirty *d, uint64_t from, uint64_t to)
{
    if (hd_dirty_has(d, from, to)) {
        return 0;
    }
    int err = reserve(d, region_end(to));
    if (err < 0) {
        return err;
    }
    for (uint64_t r = from / HD_DIRTY_REGION_BYTES; r < region_end(to); r++) {
        d->bits[r / 8] |= (uint8_t)(1u << r % 8);
    }
    return 1;
}

int hd_dirty_add_bits(struct hd_dirty *d, const uint8_t *more, uint32_t count)
{
    int err = reserve(d, count);
    for (uint32_t r = 0; err == 0 && r < count; r++) {
        d->bits[r / 8] |= (uint8_t)(more[r / 8] & 1u << r % 8);
    }
    return err;
}

bool hd_dirty_next(const struct hd_dirty *d, uint64_t from, uint64_t size_bytes, uint64_t *ret_from,
                   uint64_t *ret_to)
{
    uint64_t r = from / HD_DIRTY_REGION_BYTES;
    while (r < d->count && !test(d, r)) {
        r++;
    }
    uint64_t end = r;
    while (test(d, end)) {
        end++;
    }
    *ret_from = HD_MAX(from, r * HD_DIRTY_REGION_BYTES);
    *ret_to = HD_MIN(end * HD_DIRTY_REGION_BYTES, size_bytes);
    return end > r && *ret_from < *ret_to;
}

/* --- the file --- */

int hd_dirty_encode(const struct hd_dirty_header *h, const struct hd_dirty *d, struct hd_buf *out)
{
    uint8_t head[HD_DIRTY_HEADER_BYTES] = {0};
    memcpy(head, MAGIC, sizeof(MAGIC));
    hd_put_be16(head + AT_VERSION, HD_DIRTY_VERSION);
    head[AT_FORMAT] = h->sum_type;
    hd_put_be32(head + AT_FORMAT + 2, h->bytes_per_checksum);
    memcpy(head + AT_BOOT, h->boot_id, HD_BOOT_ID_BYTES);
    hd_put_be64(head + AT_ID, h->id.v);
    hd_put_be64(head + AT_SINCE, h->since.v);
    hd_put_be32(head + AT_REGION, HD_DIRTY_REGION_BYTES);
    hd_put_be32(head + AT_REGION + 4, d->count);
    hd_buf_clear(out);
    int err = hd_buf_add(out, head, sizeof(head));
    if (err == 0 && d->count > 0) {
        err = hd_buf_add(out, d->bits, bytes_of(d->count));
    }
    if (err < 0) {
        return err;
    }
    uint8_t crc[4];
    hd_put_be32(crc, hd_crc32c(0, out->data, out->size));
    return hd_buf_add(out, crc, sizeof(crc));
}

static int corrupt(const char *what)
{
    return hd_fail(-HD_E_CORRUPT, "dirty log: %s", what);
}

int hd_dirty_decode(const uint8_t *in, size_t size, struct hd_block_id id,
                    struct hd_dirty_header *ret_header, struct hd_dirty *ret)
{
    if (size < HD_DIRTY_HEADER_BYTES + 4 || memcmp(in, MAGIC, sizeof(MAGIC)) != 0) {
        return corrupt("no header");
    }
    uint32_t count = hd_get_be32(in + AT_REGION + 4);
    if (hd_get_be16(in + AT_VERSION) != HD_DIRTY_VERSION || count > HD_DIRTY_REGIONS_MAX ||
        hd_get_be32(in + AT_REGION) != HD_DIRTY_REGION_BYTES ||
        size != HD_DIRTY_HEADER_BYTES + bytes_of(count) + 4) {
        return corrupt("another version or length");
    }
    if (hd_get_be32(in + size - 4) != hd_crc32c(0, in, size - 4)) {
        return corrupt("its checksum differs");
    }
    if (hd_get_be64(in + AT_ID) != id.v) {
        return corrupt("of another block");
    }
    *ret_header = (struct hd_dirty_header){.id = id,
                                           .since = {hd_get_be64(in + AT_SINCE)},
                                           .sum_type = in[AT_FORMAT],
                                           .bytes_per_checksum = hd_get_be32(in + AT_FORMAT + 2)};
    memcpy(ret_header->boot_id, in + AT_BOOT, HD_BOOT_ID_BYTES);
    *ret = (struct hd_dirty){0};
    return hd_dirty_add_bits(ret, in + HD_DIRTY_HEADER_BYTES, count);
}
