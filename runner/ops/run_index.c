/* The index of a run: in memory and as a file. See run.h. */
#include "runner/ops/run.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

enum { MAGIC = 0x31584448 /* "HDX1" */, HEADER_BYTES = 8, PART_BYTES = 40, CRC_BYTES = 4 };

int hd_run_index_init(struct hd_run_index *x, uint32_t count)
{
    *x = (struct hd_run_index){.count = count};
    x->parts = calloc(HD_MAX(count, 1u), sizeof(*x->parts));
    return x->parts != NULL ? 0 : -ENOMEM;
}

void hd_run_index_done(struct hd_run_index *x)
{
    free(x->parts);
    *x = (struct hd_run_index){0};
}

uint64_t hd_run_index_size_bytes(const struct hd_run_index *x)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < x->count; i++) {
        sum += x->parts[i].size_bytes;
    }
    return sum;
}

int hd_run_index_encode(const struct hd_run_index *x, struct hd_buf *out)
{
    size_t size = HEADER_BYTES + (size_t)x->count * PART_BYTES + CRC_BYTES;
    int err = hd_buf_reserve(out, size);
    if (err < 0) {
        return err;
    }
    uint8_t *base = out->data + out->size;
    uint8_t *p = base;
    hd_put_le32(p, MAGIC);
    hd_put_le32(p + 4, x->count);
    p += HEADER_BYTES;
    for (uint32_t i = 0; i < x->count; i++, p += PART_BYTES) {
        const struct hd_run_part *part = &x->parts[i];
        hd_put_le64(p, part->offset);
        hd_put_le64(p + 8, part->size_bytes);
        hd_put_le64(p + 16, part->raw_bytes);
        hd_put_le64(p + 24, part->records);
        hd_put_le64(p + 32, part->hash);
    }
    hd_put_le32(p, hd_crc32c(0, base, size - CRC_BYTES));
    out->size += size;
    return 0;
}

int hd_run_index_decode(const uint8_t *data, size_t size, struct hd_run_index *ret)
{
    if (size < HEADER_BYTES + CRC_BYTES || hd_get_le32(data) != MAGIC) {
        return hd_fail(-HD_E_CORRUPT, "not an index of a run");
    }
    uint32_t count = hd_get_le32(data + 4);
    if (count > HD_RUN_PARTITIONS_MAX ||
        size != HEADER_BYTES + (size_t)count * PART_BYTES + CRC_BYTES ||
        hd_get_le32(data + size - CRC_BYTES) != hd_crc32c(0, data, size - CRC_BYTES)) {
        return hd_fail(-HD_E_CORRUPT, "the index of a run is damaged");
    }
    int err = hd_run_index_init(ret, count);
    if (err < 0) {
        return err;
    }
    const uint8_t *p = data + HEADER_BYTES;
    for (uint32_t i = 0; i < count; i++, p += PART_BYTES) {
        ret->parts[i] = (struct hd_run_part){.offset = hd_get_le64(p),
                                             .size_bytes = hd_get_le64(p + 8),
                                             .raw_bytes = hd_get_le64(p + 16),
                                             .records = hd_get_le64(p + 24),
                                             .hash = hd_get_le64(p + 32)};
    }
    return 0;
}
