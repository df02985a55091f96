/* Durability of finished blocks (howdah.DataProtocol). Inside the room. */
#ifndef HD_CLIENT_SYNC_H
#define HD_CLIENT_SYNC_H

#include "fs/client/howdah.h"

/*
 * Every replica of every finished block of the file is fsynced by its node; but_last leaves out the
 * last block, which is being written. -EOPNOTSUPP from a foreign data node. A node that cannot be
 * reached is left out as long as another has the block.
 */
int hd_sync_blocks(struct hd_fs *fs, const char *path, bool but_last);

#endif
