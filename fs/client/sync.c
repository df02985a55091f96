/* Making finished blocks durable (sync.h). */
#include "fs/client/sync.h"
#include "fs/base/error.h"
#include "fs/client/blocks.h"
#include "fs/client/session.h"

#include "howdah.pb-c.h"

#include <errno.h>

enum { SYNC_TIMEOUT_MS = 30000 };

static int sync_replica(struct hd_fs *fs, const Hdw__LocatedBlock *block,
                        const Hdw__DatanodeInfo *node)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SyncReplicaRequest request = HDW__SYNC_REPLICA_REQUEST__INIT;
    request.block_id = block->b->block_id;
    request.generation_stamp = block->b->generation_stamp;
    ProtobufCMessage *response;
    int err = hd_call_node(fs, node->id->ip_addr, (int)node->id->ipc_port, HD_DATA_PROTOCOL,
                           "syncReplica", &request.base, &hdw__sync_replica_response__descriptor,
                           &arena, SYNC_TIMEOUT_MS, &response);
    if (err == -HD_E_NO_SUCH_PROTOCOL || err == -HD_E_NO_SUCH_METHOD || err == -HD_E_RPC_SERVER) {
        return hd_fail(-EOPNOTSUPP, "this data node cannot sync a finished replica");
    }
    return err;
}

static int sync_block(struct hd_fs *fs, const char *path, const Hdw__LocatedBlock *block)
{
    int err = -HD_E_MISSING_BLOCK;
    size_t done = 0;
    for (size_t i = 0; i < block->n_locs; i++) {
        err = sync_replica(fs, block, block->locs[i]);
        if (err == -EOPNOTSUPP) {
            return err;
        }
        done += err == 0;
    }
    return done > 0 ? 0
                    : hd_fail(err, "%s: no replica of blk_%llu could be synced", path,
                              (unsigned long long)block->b->block_id);
}

int hd_sync_blocks(struct hd_fs *fs, const char *path, bool but_last)
{
    struct hd_blocks *b;
    int err = hd_blocks_fetch(fs, path, 0, INT64_MAX, false, &b);
    if (err < 0) {
        return err;
    }
    size_t count = b->count;
    if (count > 0 && (but_last || b->last_incomplete)) {
        count--;
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        err = sync_block(fs, path, b->blocks[i]);
    }
    hd_blocks_unref(b);
    return err;
}

int hd_fs_sync_file(struct hd_fs *fs, const char *path)
{
    int err = hd_sync_blocks(fs, path, false);
    return err < 0 ? err : hd_fs_sync(fs);
}
