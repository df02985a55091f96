/* See record_filter.h. */
#include "runner/ops/record_filter.h"
#include "fs/base/error.h"

#include <errno.h>

enum { HELD_MAX_BYTES = 1 << 30 };

int hd_record_filter_init(struct hd_record_filter *f, const char *delimiter, uint64_t max_bytes,
                          uint64_t start, uint64_t end)
{
    size_t size = delimiter != NULL ? strlen(delimiter) : 0;
    *f = (struct hd_record_filter){.max_bytes = max_bytes, .start = start, .end = end};
    hd_buf_init(&f->held, HELD_MAX_BYTES);
    if (size > HD_DELIMITER_BYTES) {
        return hd_fail(-EINVAL, "textinputformat.record.delimiter has more than %d bytes",
                       HD_DELIMITER_BYTES);
    }
    if (size > 0) {
        memcpy(f->delimiter, delimiter, size);
        f->delimiter_size = size;
        f->skipping = start != 0;
    }
    f->pos = hd_record_filter_from(f);
    return 0;
}

void hd_record_filter_done(struct hd_record_filter *f)
{
    hd_buf_done(&f->held);
}

bool hd_delimiter_overlaps_itself(const char *delimiter)
{
    size_t size = strlen(delimiter);
    for (size_t n = 1; n < size; n++) {
        if (memcmp(delimiter, delimiter + size - n, n) == 0) {
            return true;
        }
    }
    return false;
}

uint64_t hd_record_filter_from(const struct hd_record_filter *f)
{
    uint64_t before = f->delimiter_size > 1 ? f->delimiter_size - 1 : 0;
    return f->start - HD_MIN(f->start, before);
}

/* A record's bytes are known: out with it. `at` is the file offset behind its delimiter. */
static int end_record(struct hd_record_filter *f, const uint8_t *record, size_t size,
                      size_t delimiter, uint64_t at, struct hd_buf *out)
{
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
    if (f->delimiter_size > 0 && at == size + delimiter && size >= sizeof(bom) &&
        memcmp(record, bom, sizeof(bom)) == 0) {
        record += sizeof(bom);
        size -= sizeof(bom);
    }
    bool long_one = f->max_bytes != 0 && (f->dropping || size + delimiter >= f->max_bytes);
    f->dropping = false;
    int err = 0;
    if (f->skipping) {
        f->skipping = at <= f->start; /* it may have ended before the split did begin */
    } else if (long_one) {
        f->left_out++;
    } else {
        f->records++;
        err = hd_buf_add(out, record, size);
        err = err == 0 ? hd_buf_add_u8(out, '\n') : err;
    }
    f->done = f->delimiter_size > 0 && at > f->end;
    return err;
}

/* Forgets the beginning of a record that will not be given; only a delimiter's start is kept. */
static void shed(struct hd_record_filter *f, size_t delimiter)
{
    size_t keep = delimiter - 1;
    if (f->held.size <= keep) {
        return;
    }
    bool long_one = f->max_bytes != 0 && f->held.size >= f->max_bytes + keep;
    if (f->skipping || f->dropping || long_one) {
        f->dropping = !f->skipping;
        hd_buf_consume(&f->held, f->held.size - keep);
    }
}

int hd_record_filter_feed(struct hd_record_filter *f, const uint8_t *data, size_t size,
                          struct hd_buf *out)
{
    static const uint8_t lf = '\n';
    const uint8_t *delimiter = f->delimiter_size > 0 ? f->delimiter : &lf;
    size_t n = HD_MAX(f->delimiter_size, (size_t)1);
    size_t from = f->held.size > n - 1 ? f->held.size - (n - 1) : 0; /* searched before */
    int err = hd_buf_add(&f->held, data, size);
    uint64_t held_at = f->pos + size - f->held.size; /* file offset of held.data */
    f->pos += size;
    size_t start = 0; /* of the record in held */
    while (err == 0 && !f->done) {
        const uint8_t *found = memmem(f->held.data + HD_MAX(from, start),
                                      f->held.size - HD_MAX(from, start), delimiter, n);
        if (found == NULL) {
            break;
        }
        size_t at = (size_t)(found - f->held.data);
        err = end_record(f, f->held.data + start, at - start, n, held_at + at + n, out);
        start = at + n;
    }
    hd_buf_consume(&f->held, start);
    shed(f, n);
    return err;
}

int hd_record_filter_end(struct hd_record_filter *f, bool end_line, struct hd_buf *out)
{
    size_t before = out->size;
    if (f->done || f->skipping || (f->held.size == 0 && !f->dropping)) {
        return 0;
    }
    int err = end_record(f, f->held.data, f->held.size, 0, f->pos, out);
    if (err == 0 && out->size > before && !end_line) {
        out->size--;
    }
    return err;
}
