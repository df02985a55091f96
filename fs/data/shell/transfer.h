/* Copies of replicas to other nodes: ordered by meta, or asked for by a client (TRANSFER_BLOCK). */
#ifndef HD_DATA_SHELL_TRANSFER_H
#define HD_DATA_SHELL_TRANSFER_H

#include "fs/data/shell/data.h"

#include "data_transfer.pb-c.h"
#include "datanode.pb-c.h"

/* Block i of a TRANSFER command, in the background. */
void hd_transfer_order(struct hd_data *d, const Hdw__BlockCommand *cmd, size_t i);

struct hd_transfer_args {
    Hdw__ExtendedBlock *block; /* the replica must have at least this stamp */
    const char *client_name;   /* "" for copies ordered by meta */
    size_t target_count;       /* >= 1; the first is connected to, the rest chained */
    Hdw__DatanodeInfo **targets;
    Hdw__StorageType *storage_types; /* target_count of them, or NULL */
    char **storage_ids;              /* the same */
};

/* Sends the replica and, for a client, waits for the target's word. Blocks. */
int hd_transfer_run(struct hd_data *d, const struct hd_transfer_args *args);

#endif
