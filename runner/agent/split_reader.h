/*
 * A split of an input file as the bytes of a mapper's stdin: read from the cluster, decompressed
 * when the name says so (then the split is the whole file), cut to the lines that are the split's.
 */
#ifndef HD_RUNNER_AGENT_SPLIT_READER_H
#define HD_RUNNER_AGENT_SPLIT_READER_H

#include "runner/agent/agent.h"
#include "runner/ops/codec.h"
#include "runner/ops/line_split.h"
#include "runner/ops/record_filter.h"

struct hd_split_reader {
    struct hd_attempt *t; /* its bytes_in and records_in are counted */
    struct hd_file *file;
    const Hdw__RunnerSplit *split;
    struct hd_line_split lines;
    uint64_t offset; /* next byte of the file to read */
    uint8_t *chunk;
    struct hd_codec_reader *codec; /* NULL: plain */
    uint8_t *text;                 /* decompressed bytes */
    size_t chunk_at;               /* bytes of the chunk given to the codec, and in it */
    size_t chunk_size;
    bool filtered; /* a delimiter of the job's own, or a limit on lines */
    struct hd_record_filter filter;
    struct hd_buf out;
    bool ended; /* nothing more to read */
    bool left_out_told;
    struct hd_buf scratch;
    bool end_line; /* an LF behind a last line without one, as Hadoop's reader does */
};

/* Call close also after an error. */
int hd_split_reader_open(struct hd_split_reader *r, struct hd_attempt *t,
                         const Hdw__RunnerSplit *split);
void hd_split_reader_close(struct hd_split_reader *r);

/* The next bytes, valid until the next call: 1, 0 at the end, or an error. For hd_process. */
int hd_split_reader_fill(void *reader, const uint8_t **ret_data, size_t *ret_size);

#endif
