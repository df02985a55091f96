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

static int open_filter(struct hd_split_reader *r)
{
    const struct hd_props *props = &r->t->job->props;
    const char *delimiter = hd_props_get(props, "textinputformat.record.delimiter", "");
    int64_t max = hd_props_int(props, "mapreduce.input.linerecordreader.line.maxlength", INT32_MAX);
    r->filtered = delimiter[0] != '\0' || max < INT32_MAX;
    if (!r->filtered) {
        return 0;
    }
    uint64_t max_bytes = max < INT32_MAX ? (uint64_t)max : 0;
    int err = hd_record_filter_init(&r->filter, delimiter, max_bytes, r->split->start,
                                    r->codec != NULL ? UINT64_MAX : r->lines.end);
    r->offset = delimiter[0] != '\0' ? hd_record_filter_from(&r->filter) : r->offset;
    return err;
}

int hd_split_reader_open(struct hd_split_reader *r, struct hd_attempt *t,
                         const Hdw__RunnerSplit *split)
{
    enum hd_codec codec = hd_codec_of_name(split->path);
    *r = (struct hd_split_reader){.t = t, .split = split, .offset = split->start};
    r->end_line = hd_props_bool(&t->job->props, "howdah.input.end.line", false);
    r->ended = split->length == 0;
    hd_line_split_init(&r->lines, split->start, split->start + split->length);
    r->chunk = malloc(CHUNK_BYTES);
    int err = r->chunk == NULL ? -ENOMEM : codec != HD_CODEC_PLAIN ? open_codec(r, codec) : 0;
    err = err == 0 ? open_filter(r) : err;
    return err == 0 && !r->ended ? hd_file_open(t->job->fs, split->path, &r->file) : err;
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
    hd_buf_done(&r->out);
    hd_record_filter_done(&r->filter);
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

/* Bytes of the file to the mapper's, by lines. */
static int feed_lines(struct hd_split_reader *r, const uint8_t *data, size_t size,
                      const uint8_t **ret_data, size_t *ret_size)
{
    uint64_t before = r->lines.lines;
    int err = hd_line_split_feed(&r->lines, data, size, &r->scratch, ret_data, ret_size);
    r->t->records_in += r->filtered ? 0 : r->lines.lines - before;
    r->ended = r->lines.done;
    return err;
}

/* By records of the job's own, or lines through the limit. */
static int feed_filtered(struct hd_split_reader *r, const uint8_t *data, size_t size,
                         const uint8_t **ret_data, size_t *ret_size)
{
    uint64_t before = r->filter.records;
    int err = 0;
    if (r->filter.delimiter_size == 0) {
        err = feed_lines(r, data, size, &data, &size);
    }
    hd_buf_clear(&r->out);
    if (err == 0) {
        err = hd_record_filter_feed(&r->filter, data, size, &r->out);
    }
    r->ended = r->ended || r->filter.done;
    r->t->records_in += r->filter.records - before;
    *ret_data = r->out.data;
    *ret_size = r->out.size;
    return err;
}

static int finish(struct hd_split_reader *r, const uint8_t **ret_data, size_t *ret_size)
{
    r->ended = true;
    if (r->filtered) {
        uint64_t before = r->filter.records;
        hd_buf_clear(&r->out);
        int err = hd_record_filter_end(&r->filter, r->end_line, &r->out);
        r->t->records_in += r->filter.records - before;
        *ret_data = r->out.data;
        *ret_size = r->out.size;
        return err;
    }
    r->t->records_in += r->lines.unterminated;
    if (r->lines.unterminated && r->end_line) {
        *ret_data = (const uint8_t *)"\n";
        *ret_size = 1;
    }
    return 0;
}

int hd_split_reader_fill(void *reader, const uint8_t **ret_data, size_t *ret_size)
{
    struct hd_split_reader *r = reader;
    int err = 0;
    *ret_size = 0;
    while (err == 0 && !r->ended && *ret_size == 0) {
        int64_t n = r->codec != NULL ? read_compressed(r) : read_plain(r);
        if (n <= 0) {
            err = n < 0 ? (int)n : finish(r, ret_data, ret_size);
            break;
        }
        const uint8_t *data = r->codec != NULL ? r->text : r->chunk;
        err = r->filtered ? feed_filtered(r, data, (size_t)n, ret_data, ret_size)
                          : feed_lines(r, data, (size_t)n, ret_data, ret_size);
        r->t->bytes_in += r->codec == NULL ? *ret_size : 0;
    }
    if (err == 0 && r->ended && !r->left_out_told && r->filter.left_out > 0) {
        r->left_out_told = true;
        (void)hd_reporter_count(&r->t->reporter, "howdah", "lines left out as too long",
                                (int64_t)r->filter.left_out);
    }
    return err < 0 ? err : *ret_size > 0;
}
