/*
 * The bytes of another node's replica in place of one's own: what block recovery does for replicas
 * that were overwritten, and for one whose node lost power.
 */
#ifndef HD_DATA_SHELL_RESYNC_H
#define HD_DATA_SHELL_RESYNC_H

#include "fs/data/core/dirty.h"
#include "fs/data/shell/data.h"

#include "inter_datanode.pb-c.h"

struct hd_resync {
    const Hdw__DatanodeInfo *source;
    const char *pool_id;
    struct hd_block_id id;
    uint64_t recovery_id;    /* that the replica here is under */
    struct hd_genstamp gs;   /* which the source's replica has, or a later one */
    uint64_t size_bytes;     /* of the whole: what is missing here is fetched, too */
    struct hd_dirty regions; /* borrowed bits */
    bool whole;              /* all of it */
};

/*
 * Fetches the bytes, compares them with the source's sums, and puts them into the replica here, in
 * the dirty log as any change. Blocks. Errors leave a replica that can be resynced again.
 */
int hd_resync_run(struct hd_data *d, const struct hd_resync *r);

/* Zeros behind a replica that is shorter than the update says. Blocks. */
int hd_resync_grow(struct hd_data *d, const Hdw__UpdateReplicaUnderRecoveryRequest *q);

#endif
