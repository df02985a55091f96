/* The control thread. See control.h. */
#include "fs/data/shell/control_impl.h"
#include "fs/base/error.h"
#include "fs/data/core/report.h"
#include "fs/data/shell/commands.h"
#include "fs/data/shell/disk_watch.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/scanner.h"
#include "fs/net/rpc_client.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <inttypes.h>
#include <stdlib.h>
#include <time.h>

static const char PROTOCOL[] = "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol";
static const char SOFTWARE_VERSION[] = "3.4.2"; /* of HDFS, as nodes compare it */

enum {
    RETRY_MS = 200,
    CONNECT_TIMEOUT_MS = 2000,
    CALL_TIMEOUT_MS = 15000,
    JOIN_TIMEOUT_MS = 5000,
    REPORT_TIMEOUT_MS = 120000,
    CHECK_DISKS_MS = 5000,
    FULL_REPORT_MS = 6 * 3600 * 1000,
    SPLIT_REPORT_BYTES = 16 << 20, /* about a million replicas, as HDFS has it */
    ARENA_BYTES = 512 << 20,       /* a report of many millions of replicas */
};

void hd_control_wake(struct hd_control *c, bool full_report)
{
    pthread_mutex_lock(&c->lock);
    c->woken = true;
    c->full_report = c->full_report || full_report;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

bool hd_control_is_registered(struct hd_control *c)
{
    pthread_mutex_lock(&c->lock);
    bool registered = c->registered;
    pthread_mutex_unlock(&c->lock);
    return registered;
}

static void set_registered(struct hd_control *c, bool registered)
{
    pthread_mutex_lock(&c->lock);
    c->registered = registered;
    c->connection = hd_rpc_client_connections(c->client);
    pthread_mutex_unlock(&c->lock);
    if (registered) {
        hd_reporter_wake(c->data->reporter);
    }
}

/* --- who we are, in messages --- */

static Hdw__DatanodeID *make_id(struct hd_control *c, struct hd_arena *arena)
{
    struct hd_data *d = c->data;
    Hdw__DatanodeID *id = HD_ARENA_NEW(arena, Hdw__DatanodeID);
    if (id == NULL) {
        return NULL;
    }
    *id = (Hdw__DatanodeID)HDW__DATANODE_ID__INIT;
    pthread_mutex_lock(&c->lock);
    id->ip_addr = hd_arena_str(arena, c->ip);
    pthread_mutex_unlock(&c->lock);
    id->host_name = d->options.host_name;
    id->datanode_uuid = (char *)(uintptr_t)hd_store_node_uuid(d->store);
    id->xfer_port = (uint32_t)d->transfer_port;
    id->info_port = (uint32_t)d->http_port;
    id->ipc_port = (uint32_t)d->ipc_port;
    id->has_info_secure_port = true;
    return id->ip_addr != NULL ? id : NULL;
}

static Hdw__StorageInfo *make_storage_info(struct hd_control *c, struct hd_arena *arena)
{
    Hdw__StorageInfo *info = HD_ARENA_NEW(arena, Hdw__StorageInfo);
    if (info == NULL) {
        return NULL;
    }
    *info = (Hdw__StorageInfo)HDW__STORAGE_INFO__INIT;
    info->layout_version = (uint32_t)HD_LAYOUT_VERSION;
    pthread_mutex_lock(&c->lock);
    info->namespce_id = c->namespace_id;
    info->c_time = c->ctime_ms;
    info->cluster_id = hd_arena_str(arena, c->cluster_id);
    pthread_mutex_unlock(&c->lock);
    return info->cluster_id != NULL ? info : NULL;
}

/* Block keys: none, tokens are off; the message is required all the same. */
static Hdw__ExportedBlockKeys *make_keys(struct hd_arena *arena)
{
    Hdw__ExportedBlockKeys *keys = HD_ARENA_NEW(arena, Hdw__ExportedBlockKeys);
    Hdw__BlockKey *key = HD_ARENA_NEW(arena, Hdw__BlockKey);
    if (keys == NULL || key == NULL) {
        return NULL;
    }
    *key = (Hdw__BlockKey)HDW__BLOCK_KEY__INIT;
    key->has_key_bytes = true;
    *keys = (Hdw__ExportedBlockKeys)HDW__EXPORTED_BLOCK_KEYS__INIT;
    keys->current_key = key;
    return keys;
}

Hdw__DatanodeRegistration *hd_control_registration(struct hd_control *c, struct hd_arena *arena)
{
    Hdw__DatanodeRegistration *r = HD_ARENA_NEW(arena, Hdw__DatanodeRegistration);
    if (r == NULL) {
        return NULL;
    }
    *r = (Hdw__DatanodeRegistration)HDW__DATANODE_REGISTRATION__INIT;
    r->datanode_id = make_id(c, arena);
    r->storage_info = make_storage_info(c, arena);
    r->keys = make_keys(arena);
    r->software_version = (char *)(uintptr_t)SOFTWARE_VERSION;
    return r->datanode_id != NULL && r->storage_info != NULL && r->keys != NULL ? r : NULL;
}

Hdw__DatanodeInfo *hd_control_self(struct hd_control *c, struct hd_arena *arena)
{
    Hdw__DatanodeInfo *info = HD_ARENA_NEW(arena, Hdw__DatanodeInfo);
    if (info == NULL) {
        return NULL;
    }
    *info = (Hdw__DatanodeInfo)HDW__DATANODE_INFO__INIT;
    info->id = make_id(c, arena);
    return info->id != NULL ? info : NULL;
}

static bool joins(const char *method)
{
    return strcmp(method, "versionRequest") == 0 || strcmp(method, "registerDatanode") == 0;
}

int hd_control_call(struct hd_control *c, const char *method, const ProtobufCMessage *request,
                    const ProtobufCMessageDescriptor *response_type, struct hd_arena *arena,
                    ProtobufCMessage **ret_response)
{
    struct hd_rpc_args args = {.method = method,
                               .request = request,
                               .response_type = response_type,
                               .arena = arena,
                               .timeout_ms = strcmp(method, "blockReport") == 0 ? REPORT_TIMEOUT_MS
                                             : joins(method)                    ? JOIN_TIMEOUT_MS
                                                                                : CALL_TIMEOUT_MS,
                               .call_id = -1};
    return hd_rpc_call(c->client, &args, ret_response, NULL);
}

int hd_control_posix_call(struct hd_control *c, const char *method, const ProtobufCMessage *request,
                          const ProtobufCMessageDescriptor *response_type, struct hd_arena *arena,
                          ProtobufCMessage **ret_response)
{
    struct hd_rpc_args args = {.method = method,
                               .request = request,
                               .response_type = response_type,
                               .arena = arena,
                               .timeout_ms = CALL_TIMEOUT_MS,
                               .call_id = -1,
                               .protocol = "howdah.PosixProtocol"};
    return hd_rpc_call(c->client, &args, ret_response, NULL);
}

/* --- registering --- */

static int adopt_identity(struct hd_control *c, const Hdw__NamespaceInfo *info)
{
    struct hd_store_identity id = {.namespace_id = info->storage_info->namespce_id,
                                   .ctime_ms = info->storage_info->c_time};
    snprintf(id.cluster_id, sizeof(id.cluster_id), "%s", info->storage_info->cluster_id);
    snprintf(id.pool_id, sizeof(id.pool_id), "%s", info->block_pool_id);
    int err = hd_store_bind(c->data->store, &id);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&c->lock);
    snprintf(c->cluster_id, sizeof(c->cluster_id), "%s", id.cluster_id);
    c->namespace_id = id.namespace_id;
    c->ctime_ms = id.ctime_ms;
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static int shake_hands(struct hd_control *c, struct hd_arena *arena)
{
    Hdw__VersionRequestRequest q = HDW__VERSION_REQUEST_REQUEST__INIT;
    ProtobufCMessage *m;
    int err = hd_control_call(c, "versionRequest", &q.base,
                              &hdw__version_request_response__descriptor, arena, &m);
    if (err < 0) {
        return err;
    }
    return adopt_identity(c, ((const Hdw__VersionRequestResponse *)m)->info);
}

static int do_register(struct hd_control *c, struct hd_arena *arena)
{
    Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
    ProtobufCMessage *m;
    q.registration = hd_control_registration(c, arena);
    if (q.registration == NULL) {
        return -HD_E_TOO_LARGE;
    }
    q.name = c->data->options.name;
    q.rack = c->data->options.rack[0] != '\0' ? c->data->options.rack : NULL;
    q.has_epoch = true;
    q.epoch = hd_control_epoch(c);
    int err = hd_control_call(c, "registerDatanode", &q.base,
                              &hdw__register_datanode_response__descriptor, arena, &m);
    if (err < 0) {
        return err;
    }
    const Hdw__RegisterDatanodeResponse *r = (const Hdw__RegisterDatanodeResponse *)m;
    err = hd_control_check_epoch(c, r->has_epoch, r->epoch);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&c->lock);
    snprintf(c->ip, sizeof(c->ip), "%s", r->registration->datanode_id->ip_addr);
    c->full_report = true;
    pthread_mutex_unlock(&c->lock);
    set_registered(c, true);
    hd_log_info("registered", "meta=%s uuid=%s ip=%s", hd_control_meta(c),
                hd_store_node_uuid(c->data->store), r->registration->datanode_id->ip_addr);
    return 0;
}

static void fatal(struct hd_control *c, int err)
{
    hd_log_error("this node cannot go on", "error=\"%s\"", hd_fail_describe(err));
    if (c->data->on_fatal != NULL) {
        c->data->on_fatal(c->data->on_fatal_ctx);
    }
}

static int join_meta(struct hd_control *c, struct hd_arena *arena)
{
    int err = shake_hands(c, arena);
    if (err == 0) {
        err = do_register(c, arena);
    }
    if (err == 0) {
        c->away_told = false;
        return 0;
    }
    if (err == -HD_E_INCORRECT_VERSION || err == -HD_E_DISALLOWED_NODE || err == -HD_E_CONFIG) {
        fatal(c, err);
    } else if (!c->away_told) {
        hd_log_warn("meta cannot be reached; trying again until it can", "meta=%s error=\"%s\"",
                    hd_control_meta(c), hd_fail_describe(err));
        c->away_told = true;
    }
    return err;
}

/* --- heartbeats --- */

static Hdw__StorageReport *make_storage_report(const struct hd_volume_info *v,
                                               struct hd_arena *arena)
{
    Hdw__StorageReport *r = HD_ARENA_NEW(arena, Hdw__StorageReport);
    Hdw__DatanodeStorage *s = HD_ARENA_NEW(arena, Hdw__DatanodeStorage);
    if (r == NULL || s == NULL) {
        return NULL;
    }
    *s = (Hdw__DatanodeStorage)HDW__DATANODE_STORAGE__INIT;
    s->storage_uuid = hd_arena_str(arena, v->storage_id);
    s->has_state = true;
    s->has_storage_type = true;
    *r = (Hdw__StorageReport)HDW__STORAGE_REPORT__INIT;
    r->storage_uuid = s->storage_uuid;
    r->has_capacity = r->has_dfs_used = r->has_remaining = r->has_block_pool_used = true;
    r->capacity = v->capacity_bytes;
    r->dfs_used = r->block_pool_used = v->used_bytes;
    r->remaining = v->free_bytes;
    r->storage = s;
    r->has_non_dfs_used = true;
    uint64_t known = v->used_bytes + v->free_bytes;
    r->non_dfs_used = v->capacity_bytes - HD_MIN(known, v->capacity_bytes);
    return s->storage_uuid != NULL ? r : NULL;
}

static int add_storages(struct hd_control *c, struct hd_arena *arena, Hdw__SendHeartbeatRequest *q)
{
    struct hd_volume_info *volumes =
        HD_ARENA_ARRAY(arena, struct hd_volume_info, HD_STORE_VOLUMES_MAX);
    q->reports = HD_ARENA_ARRAY(arena, Hdw__StorageReport *, HD_STORE_VOLUMES_MAX);
    if (volumes == NULL || q->reports == NULL) {
        return -HD_E_TOO_LARGE;
    }
    int n = hd_store_volumes(c->data->store, volumes, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n; i++) {
        Hdw__StorageReport *r = make_storage_report(&volumes[i], arena);
        if (r == NULL) {
            return -HD_E_TOO_LARGE;
        }
        q->reports[q->n_reports++] = r;
    }
    return 0;
}

static int add_failures(struct hd_control *c, struct hd_arena *arena, Hdw__SendHeartbeatRequest *q)
{
    struct hd_store_failures f;
    hd_store_failures(c->data->store, &f);
    q->has_failed_volumes = true;
    q->failed_volumes = (uint32_t)f.count;
    if (f.count == 0) {
        return 0;
    }
    Hdw__VolumeFailureSummary *s = HD_ARENA_NEW(arena, Hdw__VolumeFailureSummary);
    char **dirs = HD_ARENA_ARRAY(arena, char *, (size_t)f.count);
    if (s == NULL || dirs == NULL) {
        return -HD_E_TOO_LARGE;
    }
    *s = (Hdw__VolumeFailureSummary)HDW__VOLUME_FAILURE_SUMMARY__INIT;
    for (int i = 0; i < f.count; i++) {
        dirs[i] = (char *)(uintptr_t)f.dirs[i];
    }
    s->n_failed_storage_locations = (size_t)f.count;
    s->failed_storage_locations = dirs;
    s->last_volume_failure_date = f.last_ms;
    s->estimated_capacity_lost_total = f.lost_capacity_bytes;
    q->volume_failure_summary = s;
    return 0;
}

static int heartbeat(struct hd_control *c, struct hd_arena *arena, bool want_lease)
{
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    ProtobufCMessage *m;
    q.registration = hd_control_registration(c, arena);
    int err = q.registration == NULL ? -HD_E_TOO_LARGE : add_storages(c, arena, &q);
    if (err == 0) {
        err = add_failures(c, arena, &q);
    }
    if (err < 0) {
        return err;
    }
    q.has_xmits_in_progress = q.has_xceiver_count = q.has_cache_capacity = true;
    q.xmits_in_progress = (uint32_t)atomic_load(&c->data->transfers_out);
    pthread_mutex_lock(&c->data->conns.lock);
    q.xceiver_count = (uint32_t)c->data->conns.count;
    pthread_mutex_unlock(&c->data->conns.lock);
    q.has_request_full_block_report_lease = true;
    q.request_full_block_report_lease = want_lease;
    q.has_last_scan_ms = true;
    q.last_scan_ms = hd_scanner_last_scan_ms(c->data->scanner);
    hd_disk_watch_report(c->data, arena, &q);
    q.has_epoch = true;
    q.epoch = hd_control_epoch(c);
    err = hd_control_call(c, "sendHeartbeat", &q.base, &hdw__send_heartbeat_response__descriptor,
                          arena, &m);
    if (err < 0) {
        return err;
    }
    const Hdw__SendHeartbeatResponse *r = (const Hdw__SendHeartbeatResponse *)m;
    err = hd_control_check_epoch(c, r->has_epoch, r->epoch);
    if (err < 0) {
        return err;
    }
    hd_disk_watch_judged(c->data, r->has_is_slownode && r->is_slownode);
    if (r->full_block_report_lease_id != 0) {
        c->lease_id = r->full_block_report_lease_id;
    }
    for (size_t i = 0; i < r->n_cmds; i++) {
        if (r->cmds[i]->cmd_type == HDW__DATANODE_COMMAND_TYPE__CMD_RegisterCommand) {
            hd_log_info("meta asks to register again", "meta=%s", hd_control_meta(c));
            set_registered(c, false);
        } else {
            hd_command_run(c->data, r->cmds[i]);
        }
    }
    return 0;
}

/* --- full reports --- */

/* The replicas of one directory, cut into buffers. */
static Hdw__StorageBlockReport *report_of(struct hd_control *c, const struct hd_volume_info *v,
                                          struct hd_buf *bytes, struct hd_arena *arena)
{
    Hdw__StorageBlockReport *r = HD_ARENA_NEW(arena, Hdw__StorageBlockReport);
    Hdw__DatanodeStorage *s = HD_ARENA_NEW(arena, Hdw__DatanodeStorage);
    int64_t count = hd_store_report(c->data->store, v->storage_id, bytes);
    size_t pieces = bytes->size / HD_REPORT_PIECE_BYTES + 1;
    ProtobufCBinaryData *buffers = HD_ARENA_ARRAY(arena, ProtobufCBinaryData, pieces);
    if (r == NULL || s == NULL || count < 0 || buffers == NULL) {
        return NULL;
    }
    *s = (Hdw__DatanodeStorage)HDW__DATANODE_STORAGE__INIT;
    s->storage_uuid = hd_arena_str(arena, v->storage_id);
    s->has_state = true;
    s->has_storage_type = true;
    *r = (Hdw__StorageBlockReport)HDW__STORAGE_BLOCK_REPORT__INIT;
    r->storage = s;
    r->has_number_of_blocks = true;
    r->number_of_blocks = (uint64_t)count;
    r->blocks_buffers = buffers;
    for (size_t at = 0; at < bytes->size || r->n_blocks_buffers == 0; at += HD_REPORT_PIECE_BYTES) {
        buffers[r->n_blocks_buffers++] =
            (ProtobufCBinaryData){.data = bytes->data + at,
                                  .len = HD_MIN(bytes->size - at, (size_t)HD_REPORT_PIECE_BYTES)};
    }
    return s->storage_uuid != NULL ? r : NULL;
}

/* One call of the report `id`: the `index`-th of `total`. */
static int send_report(struct hd_control *c, Hdw__BlockReportRequest *q, int64_t id, int index,
                       int total, struct hd_arena *arena)
{
    Hdw__BlockReportContext context = HDW__BLOCK_REPORT_CONTEXT__INIT;
    ProtobufCMessage *m;
    context.total_rpcs = total;
    context.cur_rpc = index;
    context.id = id;
    context.has_lease_id = true;
    context.lease_id = c->lease_id;
    q->context = &context;
    q->registration = hd_control_registration(c, arena);
    q->block_pool_id = (char *)(uintptr_t)hd_store_pool_id(c->data->store);
    if (q->registration == NULL) {
        return -HD_E_TOO_LARGE;
    }
    int err = hd_control_call(c, "blockReport", &q->base, &hdw__block_report_response__descriptor,
                              arena, &m);
    if (err == 0 && ((const Hdw__BlockReportResponse *)m)->cmd != NULL) {
        hd_command_run(c->data, ((const Hdw__BlockReportResponse *)m)->cmd);
    }
    return err;
}

/* A large report goes directory by directory, so that no call is too large for meta. */
static int send_reports(struct hd_control *c, Hdw__BlockReportRequest *all, size_t size_bytes,
                        struct hd_arena *arena)
{
    int64_t id;
    int err = 0;
    hd_random_bytes(&id, sizeof(id));
    if (size_bytes <= SPLIT_REPORT_BYTES) {
        return send_report(c, all, id, 0, 1, arena);
    }
    for (size_t i = 0; i < all->n_reports && err == 0; i++) {
        Hdw__BlockReportRequest one = *all;
        one.reports = &all->reports[i];
        one.n_reports = 1;
        err = send_report(c, &one, id, (int)i, (int)all->n_reports, arena);
    }
    return err;
}

static int full_report(struct hd_control *c, struct hd_arena *arena)
{
    struct hd_volume_info *volumes =
        HD_ARENA_ARRAY(arena, struct hd_volume_info, HD_STORE_VOLUMES_MAX);
    struct hd_buf bytes[HD_STORE_VOLUMES_MAX] = {{0}};
    Hdw__BlockReportRequest q = HDW__BLOCK_REPORT_REQUEST__INIT;
    q.reports = HD_ARENA_ARRAY(arena, Hdw__StorageBlockReport *, HD_STORE_VOLUMES_MAX);
    if (volumes == NULL || q.reports == NULL) {
        return -HD_E_TOO_LARGE;
    }
    pthread_mutex_lock(&c->lock);
    c->full_report = false; /* what comes from here on asks for another */
    pthread_mutex_unlock(&c->lock);
    int n = hd_store_volumes(c->data->store, volumes, HD_STORE_VOLUMES_MAX);
    size_t size_bytes = 0;
    int err = 0;
    for (int i = 0; i < n && err == 0; i++) {
        Hdw__StorageBlockReport *r = report_of(c, &volumes[i], &bytes[i], arena);
        if (r == NULL) {
            err = -HD_E_TOO_LARGE;
        } else {
            q.reports[q.n_reports++] = r;
            size_bytes += bytes[i].size;
        }
    }
    if (err == 0) {
        err = send_reports(c, &q, size_bytes, arena);
    }
    uint64_t total = 0;
    for (int i = 0; i < n; i++) {
        total += err == 0 ? q.reports[i]->number_of_blocks : 0;
        hd_buf_done(&bytes[i]);
    }
    if (err == 0) {
        hd_log_info("replicas reported", "count=%" PRIu64 " storages=%d", total, n);
        c->next_full_ms = hd_clock_mono_ms().v + FULL_REPORT_MS;
    } else {
        hd_control_wake(c, true);
    }
    c->lease_id = 0;
    return err;
}

/* --- the thread --- */

/* A directory that failed since the last look is told to meta, with a fresh list. */
static void check_disks(struct hd_control *c, struct hd_arena *arena)
{
    int64_t now_ms = hd_clock_mono_ms().v;
    struct hd_store_failures f;
    int err = 0;
    hd_store_failures(c->data->store, &f);
    if (now_ms >= c->next_check_ms || f.count > c->failures_told) {
        c->next_check_ms = now_ms + CHECK_DISKS_MS;
        err = hd_store_check(c->data->store);
        hd_store_failures(c->data->store, &f);
    }
    if (f.count > c->failures_told) {
        Hdw__ErrorReportRequest q = HDW__ERROR_REPORT_REQUEST__INIT;
        ProtobufCMessage *m;
        c->failures_told = f.count;
        q.registartion = hd_control_registration(c, arena);
        q.error_code = HDW__ERROR_REPORT_REQUEST_ERROR_CODE__ERROR_REPORT_DISK_ERROR;
        q.msg = hd_arena_printf(arena, "DataNode failed volumes:%s;", f.dirs[f.count - 1]);
        if (q.registartion != NULL && q.msg != NULL) {
            hd_control_call(c, "errorReport", &q.base, &hdw__error_report_response__descriptor,
                            arena, &m);
        }
        hd_control_wake(c, true);
    }
    if (err < 0) {
        fatal(c, err);
    }
}

static bool take_full_report(struct hd_control *c)
{
    pthread_mutex_lock(&c->lock);
    bool due = c->full_report;
    pthread_mutex_unlock(&c->lock);
    return due || (c->next_full_ms != 0 && hd_clock_mono_ms().v >= c->next_full_ms);
}

static void one_turn(struct hd_control *c, struct hd_arena *arena)
{
    bool registered = hd_control_is_registered(c);
    if (registered && c->connection != hd_rpc_client_connections(c->client)) {
        registered = false; /* some call had to connect anew: meta does not know it is us */
        set_registered(c, false);
    }
    int err = registered ? 0 : join_meta(c, arena);
    if (err == 0) {
        bool full = take_full_report(c);
        err = heartbeat(c, arena, full);
        if (err == 0 && full && hd_control_is_registered(c)) {
            err = full_report(c, arena);
        }
        if (err == 0) {
            check_disks(c, arena);
        }
    }
    if (err < 0) {
        if (hd_control_is_registered(c)) {
            hd_log_warn("lost meta", "meta=%s error=\"%s\"", hd_control_meta(c),
                        hd_fail_describe(err));
        }
        set_registered(c, false);
        hd_control_try_other(c);
    }
}

static void pause_turn(struct hd_control *c)
{
    pthread_mutex_lock(&c->lock);
    int64_t wait_ms = c->registered ? c->data->options.heartbeat_ms : RETRY_MS;
    int64_t until_ms = hd_clock_mono_ms().v + wait_ms;
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    int err = 0;
    while (!c->woken && !c->stopping && err == 0) {
        err = pthread_cond_timedwait(&c->changed, &c->lock, &at);
    }
    bool hurry = c->woken && !c->registered;
    c->woken = false;
    pthread_mutex_unlock(&c->lock);
    if (hurry) {
        hd_clock_sleep_ms(20); /* a meta that refuses is not asked in a tight loop */
    }
}

static void *control_main(void *arg)
{
    struct hd_control *c = arg;
    struct hd_arena arena;
    hd_arena_init(&arena, ARENA_BYTES);
    for (;;) {
        pthread_mutex_lock(&c->lock);
        bool stopping = c->stopping;
        pthread_mutex_unlock(&c->lock);
        if (stopping) {
            break;
        }
        one_turn(c, &arena);
        hd_arena_reset(&arena);
        pause_turn(c);
    }
    hd_arena_done(&arena);
    return NULL;
}

/* The address we listen on, "" when that is "any". */
static void own_ip(const struct hd_data *d, char out[HD_IP_TEXT_BYTES])
{
    int port;
    char host[256];
    out[0] = '\0';
    if (hd_addr_split(d->options.address, 0, host, sizeof(host), &port) == 0 &&
        strcmp(host, "0.0.0.0") != 0 && strcmp(host, "::") != 0 &&
        strlen(host) < HD_IP_TEXT_BYTES) {
        snprintf(out, HD_IP_TEXT_BYTES, "%.*s", HD_IP_TEXT_BYTES - 1, host);
    }
}

int hd_control_start(struct hd_data *d, struct hd_control **ret)
{
    struct hd_control *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -HD_E_TOO_LARGE;
    }
    c->data = d;
    char listens_on[HD_IP_TEXT_BYTES];
    own_ip(d, listens_on);
    /* Before meta tells. */
    snprintf(c->ip, sizeof(c->ip), "%s", listens_on[0] != '\0' ? listens_on : "127.0.0.1");
    pthread_mutex_init(&c->lock, NULL);
    hd_clock_cond_init(&c->changed);
    /* Nodes on one machine may differ in nothing but the address: meta is to see it. */
    snprintf(c->addresses[0], HD_ADDR_TEXT_BYTES, "%s", d->options.meta_address);
    snprintf(c->addresses[1], HD_ADDR_TEXT_BYTES, "%s", d->options.secondary_address);
    c->address_count = c->addresses[1][0] != '\0' ? 2 : 1;
    int err = hd_witness_open(d->store, &c->witness);
    if (err < 0) {
        free(c);
        return err;
    }
    struct hd_witness_state witness;
    hd_witness_get(c->witness, &witness);
    c->at = strcmp(witness.address, c->addresses[1]) == 0 && c->address_count == 2;
    struct hd_rpc_client_options options = {.address = c->addresses[c->at],
                                            .source_ip = listens_on,
                                            .protocol = PROTOCOL,
                                            .user = d->options.user,
                                            .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                            .call_timeout_ms = CALL_TIMEOUT_MS};
    err = hd_rpc_client_new(&options, &c->client);
    *ret = c;
    if (err == 0) {
        err = hd_data_thread(&c->thread, false, control_main, c);
    }
    if (err < 0) {
        hd_rpc_client_free(c->client);
        hd_witness_close(c->witness);
        free(c);
        *ret = NULL;
    }
    return err;
}

void hd_control_quit(struct hd_control *c)
{
    if (c == NULL) {
        return;
    }
    pthread_mutex_lock(&c->lock);
    c->stopping = true;
    c->registered = false;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
    hd_rpc_client_disconnect(c->client);
}

void hd_control_stop(struct hd_control *c)
{
    if (c == NULL) {
        return;
    }
    hd_control_quit(c);
    pthread_join(c->thread, NULL);
    hd_rpc_client_free(c->client);
    hd_witness_close(c->witness);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}
