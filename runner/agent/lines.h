/*
 * Cuts what a process writes into lines. A line ends at LF, CR or CRLF, as Hadoop reads the output
 * of a task; the rest behind the last line end is a line too, at the end.
 */
#ifndef HD_RUNNER_AGENT_LINES_H
#define HD_RUNNER_AGENT_LINES_H

#include "runner/ops/line_split.h"

typedef int (*hd_line_fn)(void *ctx, const uint8_t *line, size_t size);

struct hd_lines {
    hd_line_fn on_line; /* the line without its end; an error ends the reading */
    void *ctx;
    struct hd_buf buf;       /* begins at the line under way */
    struct hd_line_split cr; /* only for its line-end rule */
    struct hd_buf scratch;
    size_t room; /* bytes offered to each read */
    uint64_t count;
};

/* room: bytes for one read; max_line_bytes: a longer line is -HD_E_TOO_LARGE. */
void hd_lines_init(struct hd_lines *l, hd_line_fn on_line, void *ctx, size_t room,
                   size_t max_line_bytes);
void hd_lines_done(struct hd_lines *l);

/* Reads once from fd. 1: go on, 0: end of file (the last line was given), -EAGAIN, or an error. */
int hd_lines_read(struct hd_lines *l, int fd);

#endif
