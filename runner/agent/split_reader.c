/* See split_reader.h. */
#include "runner/agent/split_reader.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

enum { CHUNK_BYTES = 1 << 20, EDGE_BYTES = 64 * 1024 };

static int open_codec(struct hd_split_reader *r, enum hd_codec codec)
{
    hd_line_split_init(&r->lines, 0, UINT64_MAX);
    r->text = malloc(CHUNK_BYTES);
    return r->text != NULL ? hd_codec_reader_new(codec, &r->codec) : -ENOMEM;
}

int hd_split_reader_open(struct hd_split_reader *r, struct hd_attempt *t,
                         const Hdw__RunnerSplit *split)
{
    enum hd_codec codec = hd_codec_of_name(split->path);
    *r = (struct hd_split_reader){.t = t, .split = split, .offset = split->start};
    r->end_line = hd_props_bool(&t->job->props, "howdah.input.end.line", false);
    hd_line_split_init(&r->lines, split->start, split->start + split->length);
    r->chunk = malloc(CHUNK_BYTES);
    int err = r->chunk == NULL ? -ENOMEM : codec != HD_CODEC_PLAIN ? open_codec(r, codec) : 0;
    r->lines.done = split->length == 0;
    return err == 0 && !r->lines.done ? hd_file_open(t->job->fs, split->path, &r->file) : err;
}

void hd_split_reader_close(struct hd_split_reader *r)
{
    if (r->file != NULL) {
        (void)hd_file_close(r->file);
    }
    hd_codec_reader_free(r->codec);
    free(r->text);
    free(r->chunk);
    hd_buf_done(&r->scratch);
}

/* How much to read next: up to the end of the split, then a little for its last line. */
static size_t next_size(const struct hd_split_reader *r)
{
    uint64_t end = r->lines.end;
    return r->offset < end ? (size_t)HD_MIN(end - r->offset + EDGE_BYTES, (uint64_t)CHUNK_BYTES)
                           : (size_t)EDGE_BYTES;
}

static int64_t read_plain(struct hd_split_reader *r)
{
    int64_t n = hd_file_pread(r->file, r->chunk, next_size(r), r->offset);
    r->offset += n > 0 ? (uint64_t)n : 0;
    return n;
}

/* Decompressed bytes into r->text: how many, 0 at the end of the file, or an error. */
static int64_t read_compressed(struct hd_split_reader *r)
{
    for (;;) {
        size_t took, gave;
        int err = hd_codec_read(r->codec, r->chunk + r->chunk_at, r->chunk_size - r->chunk_at,
                                r->text, CHUNK_BYTES, &took, &gave);
        r->chunk_at += took;
        if (err == 0 && took + gave == 0) { /* it needs more */
            int64_t n = hd_file_pread(r->file, r->chunk, CHUNK_BYTES, r->offset);
            if (n < 0) {
                return n;
            }
            r->offset += (uint64_t)n;
            r->chunk_at = 0;
            r->chunk_size = (size_t)n;
            r->t->bytes_in += (uint64_t)n;
            err = n == 0 ? hd_codec_end(r->codec) : 0;
            if (err == 0 && n == 0) {
                return 0;
            }
        }
        if (err < 0) {
            return hd_fail(err, "%s: %s", r->split->path, hd_fail_describe(err));
        }
        if (gave > 0) {
            return (int64_t)gave;
        }
    }
}

int hd_split_reader_fill(void *reader, const uint8_t **ret_data, size_t *ret_size)
{
    struct hd_split_reader *r = reader;
    *ret_size = 0;
    while (!r->lines.done && *ret_size == 0) {
        int64_t n = r->codec != NULL ? read_compressed(r) : read_plain(r);
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            r->lines.done = true;
            if (r->lines.unterminated && r->end_line) {
                *ret_data = (const uint8_t *)"\n";
                *ret_size = 1;
            }
            r->t->records_in += r->lines.unterminated;
            break;
        }
        uint64_t before = r->lines.lines;
        const uint8_t *data = r->codec != NULL ? r->text : r->chunk;
        int err = hd_line_split_feed(&r->lines, data, (size_t)n, &r->scratch, ret_data, ret_size);
        if (err < 0) {
            return err;
        }
        r->t->records_in += r->lines.lines - before;
        r->t->bytes_in += r->codec == NULL ? *ret_size : 0;
    }
    return *ret_size > 0;
}
