/*
 * How far the scanner has come in a directory: DIR/current/<pool>/scanner.cursor, text, replaced
 * atomically (docs/formats.md, "Replicas of a data node").
 */
#ifndef HD_DATA_STORE_SCAN_CURSOR_H
#define HD_DATA_STORE_SCAN_CURSOR_H

#include "fs/base/types.h"

#include <stdint.h>

/* Wall times in ms; 0: never. */
struct hd_scan_cursor {
    struct hd_block_id last; /* the last replica that the pass has checked; 0: none yet */
    uint64_t pass_begin_ms;  /* of the pass that runs; 0: none runs */
    uint64_t pass_checked;   /* replicas checked in it */
    uint64_t full_begin_ms;  /* of the last pass that came to its end */
    uint64_t full_end_ms;
    uint64_t full_checked;
};

/* path: the directory of the pool. A file that is not there or does not read is a fresh start. */
void hd_scan_cursor_read(const char *pool_dir, struct hd_scan_cursor *ret);

/* Durable. Errors as hd_file_replace. */
int hd_scan_cursor_write(const char *pool_dir, const struct hd_scan_cursor *c);

#endif
