/* Commands of meta (docs/protocol.md, "Commands to data nodes"): delete, copy, recover. */
#ifndef HD_DATA_SHELL_COMMANDS_H
#define HD_DATA_SHELL_COMMANDS_H

#include "fs/data/shell/data.h"

#include "datanode.pb-c.h"

/* Hands the command to a pool of workers; never blocks on disks or peers. Borrowed. */
void hd_command_run(struct hd_data *d, const Hdw__DatanodeCommand *command);

#endif
