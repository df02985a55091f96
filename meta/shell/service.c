/* Dispatch, and the calls that are answered at once. See service.h. */
#include "meta/shell/service_impl.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"
#include "meta/log/image.h"

#include "client_namenode.pb-c.h"
#include "ha.pb-c.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { TIMER_MS = 200 };

void *hd_service_decode(struct hd_rpc_call *call, const ProtobufCMessageDescriptor *type)
{
    return hd_rpc_call_decode(call, type);
}

/* --- howdah.PosixProtocol --- */

/*
 * Before the core sees it: the connection is relaxed from now on, and belongs to the client. False:
 * answered, with an error.
 */
static bool open_session(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    struct hd_exec_conn *c = hd_executor_conn(s->x, call);
    const Hdw__OpenSessionRequest *q =
        hd_service_decode(call, &hdw__open_session_request__descriptor);
    if (q == NULL) {
        return false;
    }
    char *name = strdup(q->client_name);
    char *user = strdup(call->user);
    if (name == NULL || user == NULL) {
        free(name);
        free(user);
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return false;
    }
    free(c->client_name); /* on_call made sure that c is there */
    c->client_name = name;
    free(c->client_user);
    c->client_user = user;
    c->relaxed = true;
    c->session = 0;
    return true;
}

void hd_service_session_opened(struct hd_meta_service *s, struct hd_exec_conn *conn,
                               ProtobufCMessage *response)
{
    Hdw__OpenSessionResponse *r = (Hdw__OpenSessionResponse *)response;
    struct hd_executor *x = s->x;
    r->cluster_id = x->store->version.cluster_id;
    r->txid = x->written.v;
    r->superuser = (char *)(uintptr_t)x->conf->superuser;
    r->has_epoch = true;
    r->epoch = x->store->version.epoch;
    s->meta_addresses[0] = (char *)(uintptr_t)x->conf->own_address;
    s->meta_addresses[1] = (char *)(uintptr_t)x->conf->peer_address;
    r->meta_addresses = s->meta_addresses;
    r->n_meta_addresses = x->conf->peer_address[0] != '\0' ? 2 : 1;
    r->has_incarnation = r->has_first_txid = true;
    r->incarnation = x->incarnation;
    r->first_txid = x->base.v + 1;
    if (conn != NULL && conn->client_name != NULL && r->has_session) {
        hd_executor_set_session(x, conn->client_name, conn->client_user, r->session);
    }
}

static void sync_txid(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__SyncTxidResponse r = HDW__SYNC_TXID_RESPONSE__INIT;
    const Hdw__SyncTxidRequest *q = hd_service_decode(call, &hdw__sync_txid_request__descriptor);
    if (q == NULL) {
        return;
    }
    struct hd_txid txid = {q->txid};
    if (txid.v > s->x->stepped.v) {
        char text[256];
        snprintf(text, sizeof(text),
                 "txid %" PRIu64 " was never made durable: the log ends with %" PRIu64
                 "; changes that were not synced were lost in a crash of the machine",
                 txid.v, s->x->stepped.v);
        hd_rpc_reply_error(call, -HD_E_IO, text);
        return;
    }
    r.durable_txid = HD_MAX(txid.v, s->x->committed.v);
    hd_executor_reply(s->x, call, txid, true, &r.base);
}

/* --- howdah.MetaProtocol --- */

static void get_cluster(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    struct hd_executor *x = s->x;
    struct hd_meta_stats stats = {0};
    Hdw__GetClusterResponse r = HDW__GET_CLUSTER_RESPONSE__INIT;
    hd_meta_stats(x->store->meta, &stats);
    r.cluster_id = x->store->version.cluster_id;
    r.block_pool_id = x->store->version.block_pool_id;
    r.namespace_id = x->store->version.namespace_id;
    r.creation_ms = x->store->version.creation_ms;
    r.written_txid = x->written.v;
    r.durable_txid = x->durable.v;
    r.checkpoint_txid = s->image_txid.v;
    r.safe_mode = stats.safe_mode;
    r.blocks_total = stats.blocks;
    r.blocks_missing = stats.blocks_missing;
    r.blocks_under_replicated = stats.blocks_under_replicated;
    r.blocks_corrupt = stats.blocks_corrupt;
    r.nodes_live = stats.nodes_live;
    r.nodes_dead = stats.nodes_dead;
    r.files_total = stats.files + stats.directories;
    r.safe_mode_text = stats.safe_mode ? stats.safe_mode_text : NULL;
    r.has_secondary_txid = s->secondary_seen_wall.v > 0;
    r.secondary_txid = s->secondary_txid.v;
    r.has_secondary_seen_ms = true;
    r.secondary_seen_ms = (uint64_t)s->secondary_seen_wall.v;
    r.has_epoch = true;
    r.epoch = x->store->version.epoch;
    r.role = (char *)(uintptr_t) "primary";
    const struct hd_quorum *q = hd_ha_quorum(x->ha);
    r.sync = (char *)(uintptr_t)(q->state == HD_QUORUM_BOTH ? "both" : "primary");
    r.has_exposed = true;
    r.exposed = x->conf->sync_both && !q->in_step;
    r.has_primary_id = true;
    r.primary_id = x->store->version.primary_id;
    if (x->conf->peer_address[0] != '\0') {
        r.secondary_address = (char *)(uintptr_t)x->conf->peer_address;
    }
    const char *failed[HD_DIRS_MAX];
    r.n_failed_dirs = hd_store_failed_dirs(x->store, failed);
    r.failed_dirs = (char **)(uintptr_t)failed;
    hd_executor_reply(x, call, (struct hd_txid){0}, false, &r.base);
}

/* The answers of rollSegment and rollEdits differ; the call says which it is. */
static void on_rolled(void *ctx, struct hd_txid last)
{
    struct hd_rpc_call *call = ctx;
    if (strcmp(call->method, "rollEdits") == 0) {
        Hdw__RollEditsResponse r = HDW__ROLL_EDITS_RESPONSE__INIT;
        r.new_segment_tx_id = last.v + 1;
        hd_rpc_reply(call, &r.base, (int64_t)last.v);
        return;
    }
    Hdw__RollSegmentResponse r = HDW__ROLL_SEGMENT_RESPONSE__INIT;
    r.last_txid = last.v;
    hd_rpc_reply(call, &r.base, (int64_t)last.v);
}

static void roll(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    hd_executor_flush(s->x);
    if (hd_log_thread_roll(s->x->log, on_rolled, call) < 0) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
    }
}

static void get_current_txid(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__GetCurrentEditLogTxidResponse r = HDW__GET_CURRENT_EDIT_LOG_TXID_RESPONSE__INIT;
    r.txid = (int64_t)s->x->durable.v;
    hd_executor_reply(s->x, call, (struct hd_txid){0}, false, &r.base);
}

/* --- HAServiceProtocol --- */

static void get_service_status(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__GetServiceStatusResponse r = HDW__GET_SERVICE_STATUS_RESPONSE__INIT;
    r.state = HDW__HASERVICE_STATE__HASTATE_ACTIVE;
    r.has_ready_to_become_active = r.ready_to_become_active = true;
    hd_executor_reply(s->x, call, (struct hd_txid){0}, false, &r.base);
}

static void get_ha_state(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__GetHAServiceStateResponse r = HDW__GET_HASERVICE_STATE_RESPONSE__INIT;
    r.state = HDW__HASERVICE_STATE__HASTATE_ACTIVE;
    hd_executor_reply(s->x, call, (struct hd_txid){0}, false, &r.base);
}

/* --- users and groups --- */

static void get_groups(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__GetGroupsForUserResponse r = HDW__GET_GROUPS_FOR_USER_RESPONSE__INIT;
    const Hdw__GetGroupsForUserRequest *q =
        hd_service_decode(call, &hdw__get_groups_for_user_request__descriptor);
    if (q == NULL) {
        return;
    }
    const char *const *names = hd_groups_of(&s->x->groups, q->user, hd_loop_now(s->x->loop));
    while (names[r.n_groups] != NULL) {
        r.n_groups++;
    }
    r.groups = (char **)(uintptr_t)names;
    hd_executor_reply(s->x, call, (struct hd_txid){0}, false, &r.base);
}

static void refresh_groups(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    Hdw__RefreshUserToGroupsMappingsResponse r =
        HDW__REFRESH_USER_TO_GROUPS_MAPPINGS_RESPONSE__INIT;
    hd_groups_clear(&s->x->groups);
    hd_executor_reply(s->x, call, (struct hd_txid){0}, false, &r.base);
}

/* --- dispatch --- */

struct method {
    const char *protocol;
    const char *name;
    bool superuser;
    bool with_peer; /* the core answers when there is no other meta */
    void (*fn)(struct hd_meta_service *s, struct hd_rpc_call *call);
};

static const char posix_protocol[] = "howdah.PosixProtocol";
static const char meta_protocol[] = "howdah.MetaProtocol";
static const char groups_protocol[] = "org.apache.hadoop.tools.GetUserMappingsProtocol";
static const char refresh_protocol[] = "org.apache.hadoop.security.RefreshUserMappingsProtocol";
static const char client_protocol[] = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
static const char ha_protocol[] = "org.apache.hadoop.ha.HAServiceProtocol";

static const struct method methods[] = {
    {posix_protocol, "syncTxid", false, false, sync_txid},
    {meta_protocol, "getCluster", false, false, get_cluster},
    {meta_protocol, "fetchEdits", true, false, hd_service_fetch_edits},
    {meta_protocol, "rollSegment", true, false, roll},
    {meta_protocol, "fetchImage", true, false, hd_service_fetch_image},
    {meta_protocol, "putImage", true, false, hd_service_put_image},
    {meta_protocol, "checkpoint", true, false, hd_service_checkpoint},
    {groups_protocol, "getGroupsForUser", false, false, get_groups},
    {refresh_protocol, "refreshUserToGroupsMappings", true, false, refresh_groups},
    {client_protocol, "rollEdits", true, false, roll},
    {client_protocol, "saveNamespace", true, false, hd_service_checkpoint},
    {client_protocol, "getCurrentEditLogTxid", true, false, get_current_txid},
    {client_protocol, "getHAServiceState", false, true, get_ha_state},
    {ha_protocol, "getServiceStatus", false, true, get_service_status},
};

bool hd_service_call(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    /* Most calls are ClientProtocol's, and not ours: look at the name first. */
    char first = call->method[0];
    if (strchr("orsgfpc", first) == NULL) {
        return false;
    }
    if (first == 'o' && strcmp(call->method, "openSession") == 0 &&
        strcmp(call->protocol, posix_protocol) == 0) {
        return !open_session(s, call); /* the core answers */
    }
    for (size_t i = 0; i < HD_ARRAY_COUNT(methods); i++) {
        const struct method *m = &methods[i];
        if (m->name[0] != first || strcmp(call->method, m->name) != 0 ||
            strcmp(call->protocol, m->protocol) != 0 ||
            (m->with_peer && s->x->conf->peer_address[0] == '\0')) {
            continue;
        }
        if (m->superuser && !hd_executor_is_superuser(s->x, call)) {
            char text[512];
            snprintf(text, sizeof(text),
                     "Access denied for user %s. Superuser privilege is required", call->user);
            hd_rpc_reply_error(call, -EACCES, text);
        } else {
            m->fn(s, call);
        }
        return true;
    }
    return false;
}

void hd_service_conn_closed(struct hd_meta_service *s, uint64_t conn_id)
{
    if (conn_id == s->secondary_conn) {
        s->secondary_conn = 0;
        hd_log_warn("secondary disconnected", "txid=%" PRIu64, s->secondary_txid.v);
        hd_service_secondary_lost(s);
        hd_ha_secondary_gone(s->x->ha);
    }
}

void hd_service_durable(struct hd_meta_service *s)
{
    hd_service_fetches_wake(s);
}

static void on_timer(void *ctx)
{
    struct hd_meta_service *s = ctx;
    struct hd_mono_ms now = hd_loop_now(s->x->loop);
    if (s->x->stopping) {
        return;
    }
    hd_ha_tick(s->x->ha);
    hd_service_fetches_tick(s, now);
    hd_service_checkpoint_tick(s, now);
    hd_loop_timer_set(s->timer, TIMER_MS);
}

int hd_service_new(struct hd_executor *x, struct hd_meta_service **ret)
{
    struct hd_meta_service *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->x = x;
    hd_list_init(&s->fetches);
    hd_list_init(&s->recent);
    hd_list_init(&s->checkpoints);
    s->image_at = hd_clock_mono_ms();
    size_t count;
    int err = hd_image_list(x->store->dir, &s->image_txid, 1, &count);
    if (err == 0) {
        err = hd_worker_start("files", x->loop, &s->files);
    }
    if (err == 0) {
        err = hd_worker_start("images", x->loop, &s->images);
    }
    if (err == 0) {
        err = hd_loop_timer_add(x->loop, TIMER_MS, on_timer, s, &s->timer);
    }
    if (err == 0) {
        err = hd_loop_timer_add(x->loop, -1, hd_service_fetches_timer, s, &s->fetch_timer);
    }
    if (err < 0) {
        hd_service_free(s);
        return err;
    }
    *ret = s;
    return 0;
}

void hd_service_stop(struct hd_meta_service *s)
{
    if (s != NULL) {
        hd_worker_stop(s->files);
        hd_worker_stop(s->images);
        s->files = s->images = NULL;
    }
}

void hd_service_free(struct hd_meta_service *s)
{
    if (s == NULL) {
        return;
    }
    hd_service_stop(s);
    hd_service_fetches_end(s);
    hd_service_checkpoints_end(s);
    hd_loop_timer_remove(s->timer);
    hd_loop_timer_remove(s->fetch_timer);
    free(s);
}
