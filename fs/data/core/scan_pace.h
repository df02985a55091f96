/*
 * How fast and how often a directory is read through. Pure: times come in, waits come out.
 *
 * A pass begins every `period` less a tenth, so that no replica goes unchecked for longer than the
 * period; within a pass at most `rate` bytes a second are read, and never more than a part of the
 * time: when the disk is slow because others want it, the scanner waits the longer.
 */
#ifndef HD_DATA_CORE_SCAN_PACE_H
#define HD_DATA_CORE_SCAN_PACE_H

#include <stdint.h>

struct hd_scan_limits {
    uint64_t rate_bytes; /* a second; 0: no scanning but on request */
    uint64_t period_ms;
};

/* How long to wait after `bytes` were read in elapsed_ns. `hurry`: somebody waits for the result.
 */
uint64_t hd_scan_wait_ns(const struct hd_scan_limits *l, uint64_t bytes, uint64_t elapsed_ns,
                         bool hurry);

/* When the next pass begins, of one that began at begin_ms (0: there was none). Wall times. */
uint64_t hd_scan_next_pass_ms(const struct hd_scan_limits *l, uint64_t begin_ms, uint64_t now_ms);

/* How long a pass over so many bytes takes at the limit; UINT64_MAX without one. */
uint64_t hd_scan_pass_ms(const struct hd_scan_limits *l, uint64_t bytes);

#endif
