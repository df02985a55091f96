/*
 * A copy that came from another node did not match its sums. Whether the replica there is bad, or
 * the way from there, only that node can tell: it is asked to look (howdah.DataProtocol,
 * scanReplicas), and reports the replica itself if it is.
 */
#ifndef HD_DATA_SHELL_ASK_CHECK_H
#define HD_DATA_SHELL_ASK_CHECK_H

#include "fs/data/shell/data.h"

#include "hdfs.pb-c.h"

/* Any thread; does not block. source as the request named it; one without an address is ignored. */
void hd_ask_check(struct hd_data *d, const Hdw__DatanodeInfo *source, struct hd_block_id id);

#endif
