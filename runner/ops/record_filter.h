/*
 * What may be done to the lines of a split on their way to a mapper: records ended by a delimiter
 * of the job's own (textinputformat.record.delimiter) instead of line ends, and records left out
 * because they are too long (mapreduce.input.linerecordreader.line.maxlength).
 *
 * With a delimiter, bytes are fed in file order from hd_record_filter_from(start) on, and the rule
 * of splits is that of line_split.h with the delimiter as line end. Without one, the bytes are
 * those that hd_line_split gave. A record leaves with an LF behind it.
 */
#ifndef HD_RUNNER_OPS_RECORD_FILTER_H
#define HD_RUNNER_OPS_RECORD_FILTER_H

#include "fs/base/buf.h"

enum { HD_DELIMITER_BYTES = 64 };

struct hd_record_filter {
    uint8_t delimiter[HD_DELIMITER_BYTES];
    size_t delimiter_size; /* 0: lines ended by LF, every one of them this split's */
    uint64_t max_bytes;    /* with its delimiter a record is shorter than this; 0: no limit */
    uint64_t start;        /* of the split */
    uint64_t end;
    uint64_t pos;       /* file offset behind the bytes that went through */
    struct hd_buf held; /* the record under way, or the beginning of one too long */
    bool skipping;      /* in the record that belongs to the split before */
    bool dropping;      /* in a record that is too long */
    bool done;          /* the rest of the file is another split's */
    uint64_t records;   /* given out */
    uint64_t left_out;  /* too long */
};

/* -EINVAL when the delimiter is too long. delimiter may be NULL. */
int hd_record_filter_init(struct hd_record_filter *f, const char *delimiter, uint64_t max_bytes,
                          uint64_t start, uint64_t end);
void hd_record_filter_done(struct hd_record_filter *f);

/* Whether occurrences of a delimiter can overlap: then only whole files can be cut by it. */
bool hd_delimiter_overlaps_itself(const char *delimiter);

/* Where feeding begins, so that a delimiter across the split's start is seen. */
uint64_t hd_record_filter_from(const struct hd_record_filter *f);

/* Appends the records that end in these bytes to out. 0, -ENOMEM, -HD_E_TOO_LARGE. */
int hd_record_filter_feed(struct hd_record_filter *f, const uint8_t *data, size_t size,
                          struct hd_buf *out);

/* The end of the file: a last record without a delimiter, with an LF when end_line. */
int hd_record_filter_end(struct hd_record_filter *f, bool end_line, struct hd_buf *out);

#endif
