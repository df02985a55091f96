/* Durability of finished blocks (howdah.DataProtocol). Inside the room. */
#ifndef HD_CLIENT_SYNC_H
#define HD_CLIENT_SYNC_H

#include "fs/client/howdah.h"

#include "hdfs.pb-c.h"

/*
 * Every live replica of every finished block of the file is fsynced by its node (core/durable.h);
 * but_last leaves out the last block, which is being written. What cannot be made durable is asked
 * for again until the retry time is used up. Nodes of a foreign HDFS know no such call: 0.
 */
int hd_sync_blocks(struct hd_fs *fs, const char *path, bool but_last);

/* The same for one finished block of the file. */
int hd_sync_block(struct hd_fs *fs, const char *path, const Hdw__LocatedBlock *block);

#endif
