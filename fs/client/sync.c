/* Making finished blocks durable (sync.h). */
#include "fs/client/sync.h"
#include "fs/base/error.h"
#include "fs/client/blocks.h"
#include "fs/client/core/durable.h"
#include "fs/client/core/retry.h"
#include "fs/client/crowd.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"
#include "fs/wire/reserved.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum { SYNC_TIMEOUT_MS = 10000 };

/* What the threads of one block share. */
struct replicas {
    char user[HD_STAT_USER_BYTES];
    uint64_t block_id;
    uint64_t genstamp;
    struct replica {
        char ip[HD_IP_TEXT_BYTES];
        int ipc_port;
        char uuid[HD_HEALTH_KEY_BYTES];
    } nodes[HD_CROWD_MAX];
};

static int sync_replica(void *ctx, size_t i)
{
    const struct replicas *r = ctx;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__SyncReplicaRequest request = HDW__SYNC_REPLICA_REQUEST__INIT;
    request.block_id = r->block_id;
    request.generation_stamp = r->genstamp;
    ProtobufCMessage *response;
    return hd_call_node_as(r->user, r->nodes[i].ip, r->nodes[i].ipc_port, HD_DATA_PROTOCOL,
                           "syncReplica", &request.base, &hdw__sync_replica_response__descriptor,
                           &arena, SYNC_TIMEOUT_MS, &response);
}

static struct replicas *replicas_of(const struct hd_fs *fs, const Hdw__LocatedBlock *block,
                                    size_t count)
{
    struct replicas *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        return NULL;
    }
    snprintf(r->user, sizeof(r->user), "%s", fs->user);
    r->block_id = block->b->block_id;
    r->genstamp = block->b->generation_stamp;
    for (size_t i = 0; i < count; i++) {
        const Hdw__DatanodeID *id = block->locs[i]->id;
        snprintf(r->nodes[i].ip, sizeof(r->nodes[i].ip), "%s", id->ip_addr);
        snprintf(r->nodes[i].uuid, sizeof(r->nodes[i].uuid), "%s", id->datanode_uuid);
        r->nodes[i].ipc_port = (int)id->ipc_port;
    }
    return r;
}

static bool is_unknown_service(int err)
{
    return err == -HD_E_NO_SUCH_PROTOCOL || err == -HD_E_NO_SUCH_METHOD || err == -HD_E_RPC_SERVER;
}

static enum hd_replica_sync state_of(bool ended, int err)
{
    if (!ended) {
        return HD_SYNC_PENDING;
    }
    if (err == 0) {
        return HD_SYNC_DONE;
    }
    return hd_rpc_is_connection_error(err) ? HD_SYNC_GONE : HD_SYNC_FAILED;
}

/* One round at all replicas of a block: 1 durable, 0 ask meta again, -EOPNOTSUPP: a foreign node.
 */
static int sync_block_once(struct hd_fs *fs, const Hdw__LocatedBlock *block)
{
    size_t count = HD_MIN(block->n_locs, (size_t)HD_CROWD_MAX);
    struct replicas *r = replicas_of(fs, block, count);
    struct hd_crowd *crowd;
    int err = hd_crowd_start(r, count, sync_replica, &crowd);
    if (err < 0) {
        return err;
    }
    enum hd_replica_sync states[HD_CROWD_MAX];
    enum hd_sync_verdict verdict = HD_SYNC_WAIT;
    int64_t began_ms = hd_clock_mono_ms().v;
    bool foreign = false;
    while (verdict == HD_SYNC_WAIT && !foreign) {
        for (size_t i = 0; i < count; i++) {
            int failure;
            states[i] = state_of(hd_crowd_ended(crowd, i, &failure), failure);
            foreign = foreign || is_unknown_service(failure);
        }
        int64_t waited_ms = hd_clock_mono_ms().v - began_ms;
        verdict = hd_sync_judge(states, count, waited_ms);
        if (verdict == HD_SYNC_WAIT && !foreign) {
            bool patient = waited_ms >= HD_SYNC_SILENCE_MS;
            (void)hd_crowd_wait(crowd,
                                began_ms + (patient ? SYNC_TIMEOUT_MS * 2 : HD_SYNC_SILENCE_MS));
        }
    }
    for (size_t i = 0; i < count && !foreign; i++) {
        if (states[i] == HD_SYNC_GONE || states[i] == HD_SYNC_PENDING) {
            hd_session_node_failed(fs->session, r->nodes[i].uuid);
        }
    }
    hd_crowd_leave(crowd);
    return foreign ? -EOPNOTSUPP : verdict == HD_SYNC_DURABLE;
}

/* The block as meta knows it now; NULL when it is gone (with its file, or a cut). */
static const Hdw__LocatedBlock *find_again(const struct hd_blocks *b, const Hdw__LocatedBlock *old)
{
    for (size_t i = 0; i < b->count; i++) {
        if (b->blocks[i]->b->block_id == old->b->block_id) {
            return b->blocks[i];
        }
    }
    return NULL;
}

int hd_sync_block(struct hd_fs *fs, const char *path, const Hdw__LocatedBlock *block)
{
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    struct hd_blocks *fresh = NULL;
    hd_retry_init(&retry, now, fs->session->retry_ms, (uint64_t)now);
    int rc;
    while ((rc = sync_block_once(fs, block)) == 0) {
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            rc = hd_fail(-HD_E_IO, "%s: blk_%llu: not every live replica could be synced", path,
                         (unsigned long long)block->b->block_id);
            break;
        }
        hd_clock_sleep_ms(pause);
        struct hd_blocks *old = fresh;
        rc = hd_blocks_fetch(fs, path, 0, INT64_MAX, false, &fresh);
        if (rc < 0) {
            fresh = old;
            break;
        }
        block = find_again(fresh, block);
        hd_blocks_unref(old);
        if (block == NULL) {
            break;
        }
    }
    hd_blocks_unref(fresh);
    return HD_MIN(rc, 0);
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
        if (!hd_reserved_is(b->blocks[i]->b->block_id)) { /* holes, and content of the metadata */
            err = hd_sync_block(fs, path, b->blocks[i]);
        }
    }
    hd_blocks_unref(b);
    return err == -EOPNOTSUPP ? 0 : err; /* there is no way to ask a foreign node for it */
}

int hd_fs_sync_blocks(struct hd_fs *fs, const char *path)
{
    return hd_sync_blocks(fs, path, false);
}

int hd_fs_sync_file(struct hd_fs *fs, const char *path)
{
    int err = hd_sync_blocks(fs, path, false);
    return err < 0 ? err : hd_fs_sync(fs);
}
