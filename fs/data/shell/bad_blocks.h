/* Telling meta which replicas of this node are bad (DatanodeProtocol.reportBadBlocks). */
#ifndef HD_DATA_SHELL_BAD_BLOCKS_H
#define HD_DATA_SHELL_BAD_BLOCKS_H

#include "fs/data/shell/data.h"
#include "fs/data/store/check.h"

enum { HD_BAD_BLOCKS_MAX = 512 }; /* in one report */

/* One call; the caller repeats it when it fails. */
int hd_bad_blocks_report(struct hd_data *d, const struct hd_bad_replica *bad, int count);

#endif
