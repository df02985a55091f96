/* From commands to work. See commands.h. */
#include "fs/data/shell/commands.h"
#include "fs/base/error.h"
#include "fs/data/shell/recover.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/transfer.h"
#include "fs/data/shell/workers.h"
#include "fs/os/log.h"

#include <inttypes.h>
#include <stdlib.h>

/* Blocks of deleted files come with this length: nobody waits to hear that they are gone. */
#define NO_REPORT_BYTES ((uint64_t)INT64_MAX)

struct deletion {
    struct hd_data *data;
    size_t count;
    struct hd_block blocks[];
};

static void delete_all(void *ctx)
{
    struct deletion *job = ctx;
    for (size_t i = 0; i < job->count; i++) {
        const struct hd_block *b = &job->blocks[i];
        char storage_id[HD_LAYOUT_ID_BYTES];
        int err = hd_store_delete(job->data->store, b->id, b->gs, storage_id);
        if (err < 0) {
            hd_log_info("nothing deleted", "block=%" PRIu64 " stamp=%" PRIu64 " error=\"%s\"",
                        b->id.v, b->gs.v, hd_fail_describe(err));
        } else if (b->size_bytes != NO_REPORT_BYTES) {
            hd_reporter_deleted(job->data->reporter, b->id, b->gs, storage_id);
        }
    }
    hd_log_debug("deleted", "count=%zu", job->count);
    free(job);
}

static void run_invalidate(struct hd_data *d, const Hdw__BlockCommand *cmd)
{
    struct deletion *job = calloc(1, sizeof(*job) + cmd->n_blocks * sizeof(job->blocks[0]));
    if (job == NULL) {
        return; /* meta asks again after the next report */
    }
    job->data = d;
    job->count = cmd->n_blocks;
    for (size_t i = 0; i < cmd->n_blocks; i++) {
        job->blocks[i] = (struct hd_block){.id = {cmd->blocks[i]->block_id},
                                           .gs = {cmd->blocks[i]->gen_stamp},
                                           .size_bytes = cmd->blocks[i]->num_bytes};
    }
    if (hd_workers_run(d->disk_workers, delete_all, job) < 0) {
        free(job);
    }
}

static void run_block_command(struct hd_data *d, const Hdw__BlockCommand *cmd)
{
    if (cmd == NULL || !hd_store_serves_pool(d->store, cmd->block_pool_id)) {
        return;
    }
    switch ((int)cmd->action) {
    case HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE:
        run_invalidate(d, cmd);
        return;
    case HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER:
        for (size_t i = 0; i < cmd->n_blocks && i < cmd->n_targets; i++) {
            hd_transfer_order(d, cmd, i);
        }
        return;
    case HDW__BLOCK_COMMAND_ACTION__BLOCK_SHUTDOWN:
    default:
        hd_log_warn("block command is not carried out", "action=%d", (int)cmd->action);
        return;
    }
}

void hd_command_run(struct hd_data *d, const Hdw__DatanodeCommand *command)
{
    switch ((int)command->cmd_type) {
    case HDW__DATANODE_COMMAND_TYPE__CMD_BlockCommand:
        run_block_command(d, command->blk_cmd);
        return;
    case HDW__DATANODE_COMMAND_TYPE__CMD_BlockRecoveryCommand:
        for (size_t i = 0; command->recovery_cmd != NULL && i < command->recovery_cmd->n_blocks;
             i++) {
            hd_recover_order(d, command->recovery_cmd->blocks[i]);
        }
        return;
    case HDW__DATANODE_COMMAND_TYPE__CMD_BalancerBandwidthCommand:
        if (command->balancer_cmd != NULL && command->balancer_cmd->bandwidth > 0) {
            atomic_store(&d->move_throttle.bytes_per_s, command->balancer_cmd->bandwidth);
            hd_log_info("bandwidth of moves", "bytes_per_s=%" PRIu64,
                        command->balancer_cmd->bandwidth);
        }
        return;
    case HDW__DATANODE_COMMAND_TYPE__CMD_FinalizeCommand: /* no upgrade is ever open */
    case HDW__DATANODE_COMMAND_TYPE__CMD_KeyUpdateCommand:
    case HDW__DATANODE_COMMAND_TYPE__CMD_NullDatanodeCommand:
        return;
    default:
        hd_log_warn("command is not carried out", "type=%d", (int)command->cmd_type);
        return;
    }
}
