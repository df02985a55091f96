/*
 * Block recovery (docs/protocol.md, "Block recovery"): as primary on an order of meta, and as one
 * of the locations (InterDatanodeProtocol).
 */
#ifndef HD_DATA_SHELL_RECOVER_H
#define HD_DATA_SHELL_RECOVER_H

#include "fs/data/core/recovery.h"
#include "fs/data/shell/data.h"

#include "inter_datanode.pb-c.h"
#include "namenode.pb-c.h"

/* Recovers the block as its primary, in the background. */
void hd_recover_order(struct hd_data *d, const Hdw__RecoveringBlock *block);

/*
 * The second half at this node: the bytes of the source, when there is one, then cut, stamp,
 * finalize, report. Blocks.
 */
int hd_recover_update(struct hd_data *d, const Hdw__UpdateReplicaUnderRecoveryRequest *q,
                      char ret_storage_id[HD_LAYOUT_ID_BYTES]);

#endif
