/* The primary's part in block recovery. See recover.h; the rules are in fs/data/core/recovery.h. */
#include "fs/data/shell/recover.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/resync.h"
#include "fs/data/shell/workers.h"
#include "fs/net/rpc_client.h"
#include "fs/os/log.h"

#include "datanode.pb-c.h"
#include "inter_datanode.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

static const char PROTOCOL[] = "org.apache.hadoop.hdfs.server.protocol.InterDatanodeProtocol";

enum {
    CONNECT_TIMEOUT_MS = 3000,
    CALL_TIMEOUT_MS = 20000,
    RESYNC_TIMEOUT_MS = 120000, /* a whole block may have to travel */
    ARENA_BYTES = 4 << 20,
    LOCATIONS_MAX = 64,
    REPORT_WAIT_MS = 1000,
};

struct location {
    const Hdw__DatanodeInfo *node;
    bool self;
    char storage_id[HD_LAYOUT_ID_BYTES]; /* where its replica is, once updated */
    bool updated;
};

struct recovery {
    struct hd_data *data;
    Hdw__RecoveringBlock *order; /* heap, owned */
    struct hd_arena arena;
    int count;
    struct location locations[LOCATIONS_MAX];
    struct hd_recovery_answer answers[LOCATIONS_MAX];
    struct hd_recovery_choice choice;
};

static int resync(struct hd_data *d, const Hdw__UpdateReplicaUnderRecoveryRequest *q)
{
    struct hd_resync r = {.source = q->source,
                          .pool_id = q->block->pool_id,
                          .id = {q->block->block_id},
                          .recovery_id = q->recovery_id,
                          .gs = {q->block->generation_stamp},
                          .size_bytes = q->new_length,
                          .whole = !q->has_regions};
    if (q->has_regions &&
        (q->region_count > HD_DIRTY_REGIONS_MAX || q->regions.len < (q->region_count + 7) / 8)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%u regions in %zu bytes", q->region_count,
                       q->regions.len);
    }
    r.regions = (struct hd_dirty){.bits = q->regions.data, .count = q->region_count};
    return hd_resync_run(d, &r);
}

int hd_recover_update(struct hd_data *d, const Hdw__UpdateReplicaUnderRecoveryRequest *q,
                      char ret_storage_id[HD_LAYOUT_ID_BYTES])
{
    const struct hd_block_id id = {q->block->block_id};
    struct hd_replica replica;
    int err = q->source != NULL ? resync(d, q) : q->grow ? hd_resync_grow(d, q) : 0;
    if (err == 0) {
        err = hd_store_recovery_update(d->store, id, q->recovery_id, q->new_length, ret_storage_id);
    }
    if (err == 0 && hd_store_get(d->store, id, &replica) == 0) {
        hd_reporter_received(d->reporter, &replica, ret_storage_id, NULL, REPORT_WAIT_MS);
    }
    return err;
}

static int call_peer(struct recovery *r, const Hdw__DatanodeInfo *node, const char *method,
                     const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
                     int timeout_ms, ProtobufCMessage **ret)
{
    char address[HD_ADDR_TEXT_BYTES];
    snprintf(address, sizeof(address), strchr(node->id->ip_addr, ':') != NULL ? "[%s]:%u" : "%s:%u",
             node->id->ip_addr, node->id->ipc_port);
    struct hd_rpc_client_options options = {.address = address,
                                            .protocol = PROTOCOL,
                                            .user = r->data->options.user,
                                            .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                            .call_timeout_ms = timeout_ms};
    struct hd_rpc_client *client;
    int err = hd_rpc_client_new(&options, &client);
    if (err < 0) {
        return err;
    }
    struct hd_rpc_args args = {.method = method,
                               .request = request,
                               .response_type = type,
                               .arena = &r->arena,
                               .call_id = -1};
    err = hd_rpc_call(client, &args, ret, NULL);
    hd_rpc_client_free(client);
    return err;
}

/* --- asking --- */

static int take_regions(const Hdw__InitReplicaRecoveryResponse *p, struct hd_recovery_answer *a)
{
    if (!p->has_regions) {
        return 0;
    }
    if (p->region_count > HD_DIRTY_REGIONS_MAX || p->regions.len < (p->region_count + 7) / 8) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%u regions in %zu bytes", p->region_count,
                       p->regions.len);
    }
    a->overwritten = true;
    a->doubtful = p->doubtful;
    a->since.v = p->since;
    return hd_dirty_add_bits(&a->dirty, p->regions.data, p->region_count);
}

static int ask_peer(struct recovery *r, const Hdw__DatanodeInfo *node, struct hd_recovery_answer *a)
{
    Hdw__InitReplicaRecoveryRequest q = HDW__INIT_REPLICA_RECOVERY_REQUEST__INIT;
    ProtobufCMessage *m;
    q.block = r->order;
    int err = call_peer(r, node, "initReplicaRecovery", &q.base,
                        &hdw__init_replica_recovery_response__descriptor, CALL_TIMEOUT_MS, &m);
    if (err < 0) {
        return err;
    }
    const Hdw__InitReplicaRecoveryResponse *p = (const Hdw__InitReplicaRecoveryResponse *)m;
    *a = (struct hd_recovery_answer){.reached = true};
    if (p->replica_found && p->block != NULL && p->has_state) {
        a->found = true;
        a->state = (enum hd_replica_state)p->state;
        a->gs.v = p->block->gen_stamp;
        a->size_bytes = p->block->num_bytes;
        return take_regions(p, a);
    }
    return 0;
}

static int ask_all(struct recovery *r)
{
    const Hdw__ExtendedBlock *b = r->order->block->b;
    for (int i = 0; i < r->count; i++) {
        struct location *l = &r->locations[i];
        int err = l->self
                      ? hd_store_recovery_init(r->data->store, (struct hd_block_id){b->block_id},
                                               (struct hd_genstamp){b->generation_stamp},
                                               r->order->new_gen_stamp, &r->answers[i])
                      : ask_peer(r, l->node, &r->answers[i]);
        if (err == -HD_E_RECOVERY) {
            hd_log_debug("recovery gives way", "block=%" PRIu64 " node=%s:%u", b->block_id,
                         l->node->id->ip_addr, l->node->id->ipc_port);
            return err; /* somebody newer is at it */
        }
        if (err < 0) {
            r->answers[i].reached = false;
            hd_log_warn("a location does not take part in the recovery",
                        "block=%" PRIu64 " node=%s:%u error=\"%s\"", b->block_id,
                        l->node->id->ip_addr, l->node->id->ipc_port, hd_fail_describe(err));
        }
    }
    return 0;
}

/* --- updating --- */

static void describe_update(const struct recovery *r, int i,
                            Hdw__UpdateReplicaUnderRecoveryRequest *ret)
{
    const struct hd_recovery_choice *c = &r->choice;
    *ret = (Hdw__UpdateReplicaUnderRecoveryRequest)HDW__UPDATE_REPLICA_UNDER_RECOVERY_REQUEST__INIT;
    ret->block = r->order->block->b;
    ret->recovery_id = r->order->new_gen_stamp;
    ret->new_length = c->size_bytes;
    ret->has_new_block_id = true;
    ret->new_block_id = ret->block->block_id;
    ret->has_grow = ret->grow = c->resync;
    if (!c->resync || i == c->source) {
        return;
    }
    ret->source = (Hdw__DatanodeInfo *)(uintptr_t)r->locations[c->source].node;
    if (!c->whole) {
        ret->has_regions = ret->has_region_count = true;
        ret->regions.data = c->dirty.bits;
        ret->regions.len = (c->dirty.count + 7) / 8;
        ret->region_count = c->dirty.count;
    }
}

static int update_peer(struct recovery *r, struct location *l,
                       const Hdw__UpdateReplicaUnderRecoveryRequest *q)
{
    ProtobufCMessage *m;
    int err = call_peer(r, l->node, "updateReplicaUnderRecovery", &q->base,
                        &hdw__update_replica_under_recovery_response__descriptor,
                        q->source != NULL ? RESYNC_TIMEOUT_MS : CALL_TIMEOUT_MS, &m);
    if (err == 0) {
        const char *id = ((const Hdw__UpdateReplicaUnderRecoveryResponse *)m)->storage_uuid;
        snprintf(l->storage_id, sizeof(l->storage_id), "%s", id != NULL ? id : "");
    }
    return err;
}

static int update_one(struct recovery *r, int i)
{
    struct location *l = &r->locations[i];
    Hdw__UpdateReplicaUnderRecoveryRequest q;
    describe_update(r, i, &q);
    int err = l->self ? hd_recover_update(r->data, &q, l->storage_id) : update_peer(r, l, &q);
    l->updated = err == 0;
    if (err < 0) {
        hd_log_warn("a replica was not updated in the recovery",
                    "block=%" PRIu64 " node=%s:%u error=\"%s\"", q.block->block_id,
                    l->node->id->ip_addr, l->node->id->ipc_port, hd_fail_describe(err));
    }
    return err;
}

/* Whose bytes all get comes first: without it there is nothing to get. */
static int update_all(struct recovery *r)
{
    const int source = r->choice.resync ? r->choice.source : -1;
    int updated = 0;
    if (source >= 0) {
        int err = update_one(r, source);
        if (err < 0) {
            return err;
        }
        updated = 1;
    }
    for (int i = 0; i < r->count; i++) {
        if (r->answers[i].takes_part && i != source) {
            updated += update_one(r, i) == 0;
        }
    }
    return updated > 0 ? 0 : hd_fail(-HD_E_IO, "no replica could be updated");
}

static int commit(struct recovery *r)
{
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    ProtobufCMessage *m;
    Hdw__DatanodeID *targets[LOCATIONS_MAX];
    char *storages[LOCATIONS_MAX];
    for (int i = 0; i < r->count; i++) {
        if (r->locations[i].updated) {
            targets[q.n_new_taragets++] = r->locations[i].node->id;
            storages[q.n_new_target_storages++] = r->locations[i].storage_id;
        }
    }
    q.block = r->order->block->b;
    q.new_gen_stamp = r->order->new_gen_stamp;
    q.new_length = r->choice.size_bytes;
    q.close_file = true;
    q.delete_block = r->choice.delete_block;
    q.new_taragets = targets;
    q.new_target_storages = storages;
    return hd_control_call(r->data->control, "commitBlockSynchronization", &q.base,
                           &hdw__commit_block_synchronization_response__descriptor, &r->arena, &m);
}

static int recover(struct recovery *r)
{
    const Hdw__ExtendedBlock *b = r->order->block->b;
    struct hd_recovery_order order = {
        .block_gs = {b->generation_stamp},
        .known_bytes = b->has_num_bytes ? b->num_bytes : 0,
        .truncate_bytes =
            r->order->truncate_block != NULL ? r->order->truncate_block->num_bytes : UINT64_MAX,
        .overwrite = r->order->has_overwrite && r->order->overwrite,
    };
    int err = ask_all(r);
    if (err == 0) {
        err = hd_recovery_choose(r->answers, r->count, &order, &r->choice);
    }
    if (err == 0 && !r->choice.delete_block) {
        err = update_all(r);
    }
    return err < 0 ? err : commit(r);
}

static int finish_as_it_is(struct recovery *r, char ret_storage_id[HD_LAYOUT_ID_BYTES])
{
    Hdw__UpdateReplicaUnderRecoveryRequest q = HDW__UPDATE_REPLICA_UNDER_RECOVERY_REQUEST__INIT;
    q.block = r->order->block->b;
    q.recovery_id = r->order->new_gen_stamp;
    q.new_length = r->order->truncate_block->num_bytes;
    return hd_recover_update(r->data, &q, ret_storage_id);
}

/* A block that is closed: what this node has of it becomes a finished replica. No one is asked. */
static int finish(struct recovery *r)
{
    const Hdw__ExtendedBlock *b = r->order->block->b;
    const struct hd_block_id id = {b->block_id};
    const uint64_t bytes = r->order->truncate_block->num_bytes;
    struct hd_replica replica;
    struct hd_recovery_answer answer = {0};
    char storage_id[HD_LAYOUT_ID_BYTES];
    int err = hd_store_get(r->data->store, id, &replica);
    if (err == 0 && replica.state == HD_REPLICA_FINALIZED) {
        hd_control_wake(r->data->control, true); /* meta does not know: it gets a full report */
        return 0;
    }
    if (err == 0 && replica.doubtful) {
        err = hd_fail(-HD_E_IO, "the machine lost power: bytes may be older than elsewhere");
    }
    if (err == 0) {
        err = hd_store_recovery_init(r->data->store, id, (struct hd_genstamp){b->generation_stamp},
                                     r->order->new_gen_stamp, &answer);
    }
    if (err == 0 && !answer.found) {
        err = hd_fail(-HD_E_REPLICA_NOT_FOUND, "there is no replica to finish");
    }
    if (err == 0) {
        err = finish_as_it_is(r, storage_id);
    }
    hd_recovery_answer_done(&answer);
    r->choice = (struct hd_recovery_choice){.size_bytes = bytes, .parts = 1};
    if (err < 0) {
        hd_control_wake(r->data->control, true); /* meta hears what there is of it */
    }
    return err;
}

static bool is_finish(const Hdw__RecoveringBlock *order)
{
    return order->truncate_block != NULL &&
           order->new_gen_stamp == order->block->b->generation_stamp;
}

static void recovery_free(struct recovery *r)
{
    if (r->order != NULL) {
        hdw__recovering_block__free_unpacked(r->order, NULL);
    }
    for (int i = 0; i < r->count; i++) {
        hd_recovery_answer_done(&r->answers[i]);
    }
    hd_recovery_choice_done(&r->choice);
    hd_arena_done(&r->arena);
    free(r);
}

static void recovery_run(void *ctx)
{
    struct recovery *r = ctx;
    uint64_t id = r->order->block->b->block_id;
    int err = is_finish(r->order) ? finish(r) : recover(r);
    if (err < 0) {
        hd_log_warn("block recovery failed", "block=%" PRIu64 " recovery=%" PRIu64 " error=\"%s\"",
                    id, r->order->new_gen_stamp, hd_fail_describe(err));
    } else {
        hd_log_info("block recovered",
                    "block=%" PRIu64 " stamp=%" PRIu64 " bytes=%" PRIu64 " replicas=%d", id,
                    r->order->new_gen_stamp, r->choice.size_bytes, r->choice.parts);
    }
    recovery_free(r);
}

/* A node counts once, however often it is named. */
static void add_location(struct recovery *r, const Hdw__DatanodeInfo *node)
{
    const char *uuid = node->id->datanode_uuid;
    for (int i = 0; i < r->count; i++) {
        if (strcmp(r->locations[i].node->id->datanode_uuid, uuid) == 0) {
            return;
        }
    }
    if (r->count < LOCATIONS_MAX) {
        bool self = strcmp(uuid, hd_store_node_uuid(r->data->store)) == 0;
        r->locations[r->count++] = (struct location){.node = node, .self = self};
    }
}

void hd_recover_order(struct hd_data *d, const Hdw__RecoveringBlock *block)
{
    const Hdw__LocatedBlock *lb = block->block;
    if (!hd_store_serves_pool(d->store, lb->b->pool_id)) {
        return;
    }
    struct recovery *r = calloc(1, sizeof(*r));
    size_t size = hdw__recovering_block__get_packed_size(block);
    uint8_t *bytes = malloc(size);
    if (r == NULL || bytes == NULL) {
        free(r);
        free(bytes);
        return;
    }
    r->data = d;
    hd_arena_init(&r->arena, ARENA_BYTES);
    hdw__recovering_block__pack(block, bytes);
    r->order = hdw__recovering_block__unpack(NULL, size, bytes);
    free(bytes);
    for (size_t i = 0; r->order != NULL && i < lb->n_locs; i++) {
        add_location(r, r->order->block->locs[i]);
    }
    if (r->order == NULL || hd_workers_run(d->recovery_workers, recovery_run, r) < 0) {
        recovery_free(r);
    }
}
