/*
 * Merging sorted sources with a tournament ("loser") tree: one comparison a level for each record.
 * The merge is a source itself; it owns its sources and closes them.
 */
#ifndef HD_RUNNER_OPS_MERGE_H
#define HD_RUNNER_OPS_MERGE_H

#include "runner/ops/record.h"

/* Takes the sources (closed also on error); the array stays the caller's. count may be 0. */
int hd_merge_new(struct hd_source **sources, size_t count, struct hd_source **ret);

#endif
