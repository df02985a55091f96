/*
 * See line_split.h. Three zones of a split:
 *
 *   start            first line end        end - 1            end of the last line
 *     |--- skipping ------|------ body: copied in bulk ---|--- edge: byte by byte ---|
 *
 * Only in the edge can a line end be the last one: an LF or lone CR at i gives the next line the
 * offset i + 1, a CRLF at i the offset i + 2, and the split is over when that offset is above
 * `end`.
 */
#include "runner/ops/line_split.h"
#include "fs/base/error.h"

static const uint8_t bom[] = {0xef, 0xbb, 0xbf};
enum { BOM_PAST = 0xff };

void hd_line_split_init(struct hd_line_split *s, uint64_t start, uint64_t end)
{
    *s = (struct hd_line_split){
        .end = end, .pos = start, .skipping = start != 0, .bom_seen = start != 0 ? BOM_PAST : 0};
}

/* 16 bytes at a time, each lane counting in its own byte: at most 255 times before it is full. */
static uint64_t count_lf(const uint8_t *p, size_t size)
{
    typedef uint8_t lanes __attribute__((vector_size(16)));
    uint64_t n = 0;
    while (size >= sizeof(lanes)) {
        lanes sum = {0};
        size_t turns = HD_MIN(size / sizeof(lanes), (size_t)255);
        for (size_t i = 0; i < turns; i++, p += sizeof(lanes)) {
            lanes v;
            memcpy(&v, p, sizeof(v));
            sum -= (lanes)(v == '\n'); /* true is all ones, that is -1 */
        }
        for (size_t i = 0; i < sizeof(lanes); i++) {
            n += sum[i];
        }
        size -= turns * sizeof(lanes);
    }
    for (; size > 0; size--) {
        n += *p++ == '\n';
    }
    return n;
}

/* Appends bytes with every CR and CRLF made LF. s->after_cr carries over. */
static int add_normalized(struct hd_line_split *s, const uint8_t *p, size_t size,
                          struct hd_buf *out)
{
    const uint8_t *end = p + size;
    int err = hd_buf_reserve(out, size);
    if (err < 0) {
        return err;
    }
    while (p < end) {
        if (s->after_cr && *p == '\n') {
            p++;
        }
        s->after_cr = false;
        const uint8_t *cr = memchr(p, '\r', (size_t)(end - p));
        const uint8_t *stop = cr != NULL ? cr : end;
        size_t run = (size_t)(stop - p);
        memcpy(out->data + out->size, p, run);
        s->lines += count_lf(p, run);
        out->size += run;
        p = stop;
        if (cr != NULL) {
            out->data[out->size++] = '\n';
            s->lines++;
            s->after_cr = true;
            p++;
        }
    }
    return 0;
}

/* The line that belongs to the split before. Returns the bytes taken. */
static size_t skip_first_line(struct hd_line_split *s, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t c = data[i];
        if (s->after_cr) {
            s->after_cr = false;
            s->skipping = false;
            i += c == '\n';
            return i;
        }
        if (c == '\n') {
            s->skipping = false;
            return i + 1;
        }
        s->after_cr = c == '\r';
    }
    return size;
}

/* Bytes from end - 1 on, until the last line ends. Returns bytes taken or an error. */
static int64_t feed_edge(struct hd_line_split *s, uint64_t at, const uint8_t *data, size_t size,
                         struct hd_buf *out)
{
    int err = hd_buf_reserve(out, size + 1);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < size; i++) {
        uint8_t c = data[i];
        uint64_t offset = at + i;
        if (s->after_cr) {
            s->after_cr = false;
            if (c == '\n') { /* the second byte of a CRLF: the next line begins behind it */
                if (offset + 1 > s->end) {
                    s->done = true;
                    return (int64_t)i + 1;
                }
                continue;
            }
            if (offset > s->end) {
                s->done = true;
                return (int64_t)i;
            }
        }
        if (c != '\n' && c != '\r') {
            out->data[out->size++] = c;
            continue;
        }
        out->data[out->size++] = '\n';
        s->lines++;
        s->after_cr = c == '\r';
        if (offset + 1 > s->end) {
            s->done = true;
            return (int64_t)i + 1;
        }
    }
    return (int64_t)size;
}

/* Takes a byte order mark off; bytes that began like one but were not are put into out. */
static int strip_bom(struct hd_line_split *s, const uint8_t **data, size_t *size,
                     struct hd_buf *out)
{
    while (*size > 0 && s->bom_seen < sizeof(bom)) {
        if (**data != bom[s->bom_seen]) {
            int err = hd_buf_add(out, bom, s->bom_seen);
            s->bom_seen = BOM_PAST;
            return err;
        }
        s->bom_seen++;
        (*data)++;
        (*size)--;
        s->pos++;
    }
    if (s->bom_seen == sizeof(bom)) {
        s->bom_seen = BOM_PAST;
    }
    return 0;
}

int hd_line_split_feed(struct hd_line_split *s, const uint8_t *data, size_t size,
                       struct hd_buf *scratch, const uint8_t **ret_out, size_t *ret_size)
{
    int err;
    hd_buf_clear(scratch);
    *ret_size = 0;
    *ret_out = data;
    if (s->bom_seen != BOM_PAST) {
        err = strip_bom(s, &data, &size, scratch);
        if (err < 0) {
            return err;
        }
    }
    if (s->skipping) {
        size_t taken = skip_first_line(s, data, size);
        s->pos += taken;
        data += taken;
        size -= taken;
        if (s->skipping) {
            return 0;
        }
        if (s->pos > s->end) { /* the thrown line reaches past the split: it owns none */
            s->done = true;
            return 0;
        }
    }
    uint64_t edge = s->end > 0 ? s->end - 1 : 0;
    size_t body = s->pos < edge ? (size_t)HD_MIN((uint64_t)size, edge - s->pos) : 0;
    bool changed = scratch->size > 0 || s->after_cr || memchr(data, '\r', body) != NULL;
    if (body == size && !changed) { /* the common case: a view */
        s->pos += size;
        s->lines += count_lf(data, size);
        *ret_out = data;
        *ret_size = size;
        if (size > 0) {
            s->unterminated = data[size - 1] != '\n';
        }
        return 0;
    }
    err = add_normalized(s, data, body, scratch);
    if (err < 0) {
        return err;
    }
    s->pos += body;
    if (size > body) {
        int64_t taken = feed_edge(s, s->pos, data + body, size - body, scratch);
        if (taken < 0) {
            return (int)taken;
        }
        s->pos += (uint64_t)taken;
    }
    *ret_out = scratch->data;
    *ret_size = scratch->size;
    if (scratch->size > 0) {
        s->unterminated = scratch->data[scratch->size - 1] != '\n';
    }
    return 0;
}
