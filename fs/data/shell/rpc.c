/* Answers to RPC calls. See rpc.h. */
#include "fs/data/shell/rpc.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/recover.h"
#include "fs/data/shell/reserved_view.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/shell/workers.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/os/clock.h"
#include "fs/wire/reserved.h"
#include "fs/wire/witness.h"

#include "client_datanode.pb-c.h"
#include "howdah.pb-c.h"
#include "inter_datanode.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#define CLIENT_PROTOCOL "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol"
#define INTER_PROTOCOL  "org.apache.hadoop.hdfs.server.protocol.InterDatanodeProtocol"
#define OWN_PROTOCOL    "howdah.DataProtocol"
static const char *const protocols[] = {CLIENT_PROTOCOL, INTER_PROTOCOL, OWN_PROTOCOL, NULL};

enum { CONNECTIONS_MAX = 2000, CONTENT_ARENA_BYTES = 4 << 20 };

/* --- calls answered at once --- */

static void get_info(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    (void)m;
    Hdw__DatanodeLocalInfo info = HDW__DATANODE_LOCAL_INFO__INIT;
    Hdw__GetDatanodeInfoResponse r = HDW__GET_DATANODE_INFO_RESPONSE__INIT;
    info.software_version = (char *)(uintptr_t) "3.4.2";
    info.config_version = (char *)(uintptr_t) "core-3.4.2,hdfs-1";
    info.uptime = (uint64_t)(hd_clock_mono_ms().v - d->start_ms) / 1000;
    r.local_info = &info;
    hd_rpc_reply(call, &r.base, 0);
}

static void get_volumes(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    (void)m;
    struct hd_volume_info *volumes = calloc(HD_STORE_VOLUMES_MAX, sizeof(*volumes));
    Hdw__DatanodeVolumeInfo infos[HD_STORE_VOLUMES_MAX];
    Hdw__DatanodeVolumeInfo *list[HD_STORE_VOLUMES_MAX];
    Hdw__GetVolumeReportResponse r = HDW__GET_VOLUME_REPORT_RESPONSE__INIT;
    int n = volumes == NULL ? 0 : hd_store_volumes(d->store, volumes, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n; i++) {
        infos[i] = (Hdw__DatanodeVolumeInfo)HDW__DATANODE_VOLUME_INFO__INIT;
        infos[i].path = volumes[i].dir;
        infos[i].storage_type = HDW__STORAGE_TYPE__STORAGE_TYPE_DISK;
        infos[i].used_space = volumes[i].used_bytes;
        infos[i].free_space = volumes[i].free_bytes;
        infos[i].reserved_space = volumes[i].reserved_bytes;
        infos[i].num_blocks = volumes[i].replica_count;
        list[i] = &infos[i];
    }
    r.n_volume_info = (size_t)n;
    r.volume_info = list;
    hd_rpc_reply(call, &r.base, 0);
    free(volumes);
}

static void trigger_report(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    Hdw__TriggerBlockReportResponse r = HDW__TRIGGER_BLOCK_REPORT_RESPONSE__INIT;
    hd_control_wake(d->control, !((const Hdw__TriggerBlockReportRequest *)m)->incremental);
    hd_rpc_reply(call, &r.base, 0);
}

static void get_bandwidth(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    (void)m;
    Hdw__GetBalancerBandwidthResponse r = HDW__GET_BALANCER_BANDWIDTH_RESPONSE__INIT;
    r.bandwidth = atomic_load(&d->move_throttle.bytes_per_s);
    hd_rpc_reply(call, &r.base, 0);
}

static void scan_replicas(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    const Hdw__ScanReplicasRequest *q = (const Hdw__ScanReplicasRequest *)m;
    Hdw__ScanReplicasResponse r = HDW__SCAN_REPLICAS_RESPONSE__INIT;
    if (q->has_block_id) {
        hd_scanner_suspect(d->scanner, (struct hd_block_id){q->block_id}, "request");
    } else {
        hd_scanner_scan_all(d->scanner);
    }
    hd_rpc_reply(call, &r.base, 0);
}

static void get_scan_status(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    Hdw__GetScanStatusResponse r = HDW__GET_SCAN_STATUS_RESPONSE__INIT;
    struct hd_scan_status s;
    (void)m;
    hd_scanner_status(d->scanner, &s);
    r.scanning = s.scanning;
    r.replicas_total = s.total;
    r.replicas_done = s.done;
    r.replicas_bad = s.bad;
    r.replicas_lost = s.lost;
    r.has_last_scan_ms = r.has_oldest_check_ms = true;
    r.last_scan_ms = s.last_scan_ms;
    r.oldest_check_ms = s.oldest_check_ms;
    hd_rpc_reply(call, &r.base, 0);
}

/* --- calls answered by a worker: done there, answered on the loop --- */

struct job {
    struct hd_data *data;
    struct hd_rpc_call *call;
    const ProtobufCMessage *request; /* in the call's arena */
    void (*work)(struct job *j);
    int err;
    char text[512];
    union {
        struct hd_recovery_answer answer;
        char storage_id[HD_LAYOUT_ID_BYTES];
        struct hd_witness_state witness;
        uint64_t length_bytes;
    } result;
    bool accepted;
    void (*answer)(struct job *j);
};

static void job_answer(void *ctx)
{
    struct job *j = ctx;
    if (j->err < 0) {
        hd_rpc_reply_error(j->call, j->err, j->text);
    } else {
        j->answer(j);
    }
    free(j);
}

static void job_work(void *ctx)
{
    struct job *j = ctx;
    j->work(j);
    if (j->err < 0) {
        snprintf(j->text, sizeof(j->text), "%s", hd_fail_describe(j->err));
    }
    if (hd_loop_post(j->data->loop, job_answer, j) < 0) {
        free(j); /* no memory: the caller's timeout answers */
    }
}

static void run_job(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m,
                    void (*work)(struct job *), void (*answer)(struct job *))
{
    struct job *j = calloc(1, sizeof(*j));
    if (j != NULL) {
        *j = (struct job){.data = d, .call = call, .request = m, .work = work, .answer = answer};
        if (hd_workers_run(d->rpc_workers, job_work, j) == 0) {
            return;
        }
    }
    free(j);
    hd_rpc_reply_error(call, -HD_E_BUSY_RETRY, "too many calls wait; try again");
}

static int check_pool(struct job *j, const char *pool_id)
{
    return hd_store_serves_pool(j->data->store, pool_id)
               ? 0
               : hd_fail(-HD_E_IO, "pool %.100s is not served here", pool_id);
}

static void reserved_length_work(struct job *j)
{
    const Hdw__ExtendedBlock *b = ((const Hdw__GetReplicaVisibleLengthRequest *)j->request)->block;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_block_view v;
    hd_arena_init(&arena, CONTENT_ARENA_BYTES);
    j->err = hd_reserved_or_replica(j->data, b, &arena, &v);
    if (j->err == 0) {
        j->result.length_bytes = v.visible_bytes;
        hd_block_view_done(&v);
    }
}

static void reserved_length_answer(struct job *j)
{
    Hdw__GetReplicaVisibleLengthResponse r = HDW__GET_REPLICA_VISIBLE_LENGTH_RESPONSE__INIT;
    r.length = j->result.length_bytes;
    hd_rpc_reply(j->call, &r.base, 0);
}

static void get_visible_length(struct hd_data *d, struct hd_rpc_call *call,
                               const ProtobufCMessage *m)
{
    const Hdw__ExtendedBlock *b = ((const Hdw__GetReplicaVisibleLengthRequest *)m)->block;
    Hdw__GetReplicaVisibleLengthResponse r = HDW__GET_REPLICA_VISIBLE_LENGTH_RESPONSE__INIT;
    struct hd_replica replica;
    char text[300];
    if (hd_reserved_is(b->block_id)) {
        run_job(d, call, m, reserved_length_work, reserved_length_answer);
        return;
    }
    if (!hd_store_serves_pool(d->store, b->pool_id) ||
        hd_store_get(d->store, (struct hd_block_id){b->block_id}, &replica) < 0) {
        snprintf(text, sizeof(text), "Replica does not exist %.100s:%" PRIu64, b->pool_id,
                 b->block_id);
        hd_rpc_reply_error(call, -HD_E_REPLICA_NOT_FOUND, text);
        return;
    }
    if (replica.gs.v < b->generation_stamp) {
        snprintf(text, sizeof(text),
                 "replica.getGenerationStamp() < block.getGenerationStamp(), "
                 "block=%.100s:blk_%" PRIu64 "_%" PRIu64 ", replica stamp %" PRIu64,
                 b->pool_id, b->block_id, b->generation_stamp, replica.gs.v);
        hd_rpc_reply_error(call, -HD_E_IO, text);
        return;
    }
    r.length = hd_replica_visible_bytes(&replica);
    hd_rpc_reply(call, &r.base, 0);
}

static void init_recovery_work(struct job *j)
{
    const Hdw__RecoveringBlock *q = ((const Hdw__InitReplicaRecoveryRequest *)j->request)->block;
    const Hdw__ExtendedBlock *b = q->block->b;
    j->err = check_pool(j, b->pool_id);
    if (j->err == 0) {
        j->err = hd_store_recovery_init(j->data->store, (struct hd_block_id){b->block_id},
                                        (struct hd_genstamp){b->generation_stamp}, q->new_gen_stamp,
                                        &j->result.answer);
    }
}

static void init_recovery_answer(struct job *j)
{
    const Hdw__RecoveringBlock *q = ((const Hdw__InitReplicaRecoveryRequest *)j->request)->block;
    const struct hd_recovery_answer *a = &j->result.answer;
    Hdw__InitReplicaRecoveryResponse r = HDW__INIT_REPLICA_RECOVERY_RESPONSE__INIT;
    Hdw__Block b = HDW__BLOCK__INIT;
    r.replica_found = a->found;
    if (a->found) {
        r.has_state = true;
        r.state = (Hdw__ReplicaState)a->state;
        r.block = &b;
        b.block_id = q->block->b->block_id;
        b.gen_stamp = a->gs.v;
        b.has_num_bytes = true;
        b.num_bytes = a->size_bytes;
    }
    if (a->overwritten) {
        r.has_regions = r.has_region_count = r.has_since = r.has_doubtful = true;
        r.regions.data = a->dirty.bits;
        r.regions.len = (a->dirty.count + 7) / 8;
        r.region_count = a->dirty.count;
        r.since = a->since.v;
        r.doubtful = a->doubtful;
    }
    hd_rpc_reply(j->call, &r.base, 0);
    hd_recovery_answer_done(&j->result.answer);
}

static void update_recovery_work(struct job *j)
{
    const Hdw__UpdateReplicaUnderRecoveryRequest *q =
        (const Hdw__UpdateReplicaUnderRecoveryRequest *)j->request;
    j->err = check_pool(j, q->block->pool_id);
    if (j->err == 0 && q->new_block_id != 0 && q->new_block_id != q->block->block_id) {
        j->err = hd_fail(-HD_E_UNSUPPORTED, "copy-on-truncate is not done here");
    }
    if (j->err == 0) {
        j->err = hd_recover_update(j->data, q, j->result.storage_id);
    }
}

static void update_recovery_answer(struct job *j)
{
    Hdw__UpdateReplicaUnderRecoveryResponse r = HDW__UPDATE_REPLICA_UNDER_RECOVERY_RESPONSE__INIT;
    r.storage_uuid = j->result.storage_id;
    hd_rpc_reply(j->call, &r.base, 0);
}

static void sync_work(struct job *j)
{
    const Hdw__SyncReplicaRequest *q = (const Hdw__SyncReplicaRequest *)j->request;
    j->err = hd_store_sync(j->data->store, (struct hd_block_id){q->block_id},
                           (struct hd_genstamp){q->generation_stamp});
}

static void sync_answer(struct job *j)
{
    Hdw__SyncReplicaResponse r = HDW__SYNC_REPLICA_RESPONSE__INIT;
    hd_rpc_reply(j->call, &r.base, 0);
}

static void init_recovery(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    run_job(d, call, m, init_recovery_work, init_recovery_answer);
}

static void update_recovery(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    run_job(d, call, m, update_recovery_work, update_recovery_answer);
}

static void sync_replica(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    run_job(d, call, m, sync_work, sync_answer);
}

static void witness_work(struct job *j)
{
    j->err = hd_control_witness(j->data->control, (const Hdw__WitnessRequest *)j->request,
                                &j->result.witness);
    j->accepted = j->err > 0;
    j->err = HD_MIN(j->err, 0);
}

static void witness_answer(struct job *j)
{
    Hdw__WitnessResponse r = HDW__WITNESS_RESPONSE__INIT;
    struct hd_witness_state *w = &j->result.witness;
    r.accepted = j->accepted;
    r.epoch = w->w.epoch;
    r.exposed = w->w.exposed;
    r.has_txid = r.has_serial = r.has_owner = true;
    r.txid = w->txid;
    r.serial = w->w.serial;
    r.owner = w->w.owner;
    r.address = w->address;
    hd_rpc_reply(j->call, &r.base, 0);
}

/* Who is primary is said by metas, which run as the data nodes' user or as root. */
static void witness(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m)
{
    const Hdw__WitnessRequest *q = (const Hdw__WitnessRequest *)m;
    bool trusted = strcmp(call->user, d->options.user) == 0 || strcmp(call->user, "root") == 0;
    if (!trusted && !q->ask_only) {
        hd_rpc_reply_error(call, -EACCES, "only the superuser tells a witness anything");
        return;
    }
    if (q->epoch > HD_EPOCH_MAX) {
        hd_rpc_reply_error(call, -EINVAL, "no epoch is that high");
        return;
    }
    run_job(d, call, m, witness_work, witness_answer);
}

/* --- dispatch --- */

static const struct method {
    const char *protocol;
    const char *name;
    const ProtobufCMessageDescriptor *request;
    void (*handle)(struct hd_data *d, struct hd_rpc_call *call, const ProtobufCMessage *m);
} methods[] = {
    {CLIENT_PROTOCOL, "getReplicaVisibleLength",
     &hdw__get_replica_visible_length_request__descriptor, get_visible_length},
    {CLIENT_PROTOCOL, "getDatanodeInfo", &hdw__get_datanode_info_request__descriptor, get_info},
    {CLIENT_PROTOCOL, "getVolumeReport", &hdw__get_volume_report_request__descriptor, get_volumes},
    {CLIENT_PROTOCOL, "triggerBlockReport", &hdw__trigger_block_report_request__descriptor,
     trigger_report},
    {CLIENT_PROTOCOL, "getBalancerBandwidth", &hdw__get_balancer_bandwidth_request__descriptor,
     get_bandwidth},
    {INTER_PROTOCOL, "initReplicaRecovery", &hdw__init_replica_recovery_request__descriptor,
     init_recovery},
    {INTER_PROTOCOL, "updateReplicaUnderRecovery",
     &hdw__update_replica_under_recovery_request__descriptor, update_recovery},
    {OWN_PROTOCOL, "syncReplica", &hdw__sync_replica_request__descriptor, sync_replica},
    {OWN_PROTOCOL, "scanReplicas", &hdw__scan_replicas_request__descriptor, scan_replicas},
    {OWN_PROTOCOL, "getScanStatus", &hdw__get_scan_status_request__descriptor, get_scan_status},
    {OWN_PROTOCOL, "witness", &hdw__witness_request__descriptor, witness},
};

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(methods); i++) {
        if (strcmp(methods[i].name, call->method) == 0 &&
            strcmp(methods[i].protocol, call->protocol) == 0) {
            ProtobufCMessage *m = hd_rpc_call_decode(call, methods[i].request);
            if (m != NULL) {
                methods[i].handle(ctx, call, m);
            }
            return;
        }
    }
    char text[300];
    snprintf(text, sizeof(text), "Unknown method %.100s called on %.100s protocol.", call->method,
             call->protocol);
    hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD, text);
}

int hd_data_rpc_start(struct hd_data *d)
{
    struct hd_rpc_server_options options = {.protocols = protocols,
                                            .max_frame_bytes = HD_DATA_MESSAGE_BYTES_MAX,
                                            .max_connections = CONNECTIONS_MAX,
                                            .on_call = on_call,
                                            .ctx = d};
    int err = hd_rpc_server_new(d->loop, d->options.ipc_address, &options, &d->rpc);
    if (err == 0) {
        d->ipc_port = hd_rpc_server_port(d->rpc);
    }
    return err;
}
