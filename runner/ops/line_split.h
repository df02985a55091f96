/*
 * The lines of one split of a text file, as the bytes a task's stdin gets.
 *
 * A line ends at LF, CR or CRLF and reaches the task ending in LF. A UTF-8 byte order mark at the
 * start of the file is dropped. A split [start, end) owns the lines that begin at p with
 * start < p <= end, and the first of the file when start is 0: it throws its first line away (the
 * split before reads it) and reads one line past its end. So every cut of a file gives every line
 * to exactly one split.
 *
 * Bytes are fed in file order from `start`; where nothing needs changing, what comes out is a view
 * of what went in. A last line without line end stays without one: `unterminated` tells.
 */
#ifndef HD_RUNNER_OPS_LINE_SPLIT_H
#define HD_RUNNER_OPS_LINE_SPLIT_H

#include "fs/base/buf.h"

struct hd_line_split {
    uint64_t end;
    uint64_t pos;      /* file offset of the next byte to feed */
    uint64_t lines;    /* lines begun and ended so far */
    uint8_t bom_seen;  /* bytes of the mark matched; 0xff: past it */
    bool skipping;     /* in the line that belongs to the split before */
    bool after_cr;     /* the byte before was a CR: an LF now belongs to it */
    bool last_line;    /* the line under way begins at `end` or ends behind it */
    bool unterminated; /* bytes of a line came out, but not yet its end */
    bool done;         /* nothing of the rest of the file belongs to this split */
};

void hd_line_split_init(struct hd_line_split *s, uint64_t start, uint64_t end);

/*
 * Feeds the next bytes of the file. The bytes for the task are *ret_out, *ret_size: a view of data
 * or of scratch (whose content is replaced). Returns 0 or -ENOMEM / -HD_E_TOO_LARGE. Stop feeding
 * once s->done.
 */
int hd_line_split_feed(struct hd_line_split *s, const uint8_t *data, size_t size,
                       struct hd_buf *scratch, const uint8_t **ret_out, size_t *ret_size);

#endif
