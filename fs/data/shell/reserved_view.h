/*
 * Blocks that are no replicas (fs/wire/reserved.h): the content of a small file, which meta keeps,
 * and holes. They are read like replicas; nothing else is done with them.
 */
#ifndef HD_DATA_SHELL_RESERVED_VIEW_H
#define HD_DATA_SHELL_RESERVED_VIEW_H

#include "fs/base/arena.h"
#include "fs/data/shell/data.h"

#include "hdfs.pb-c.h"

/*
 * Opens what a client may read: a replica, or one of those, after asking meta for its bytes, which
 * are put into the arena. As hd_store_view. Blocks.
 */
int hd_reserved_or_replica(struct hd_data *d, const Hdw__ExtendedBlock *b, struct hd_arena *arena,
                           struct hd_block_view *ret);

#endif
