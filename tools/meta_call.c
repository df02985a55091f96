/* Calls of meta's admin service. See meta_call.h. */
#include "tools/meta_call.h"
#include "fs/base/error.h"
#include "runner.pb-c.h"

#include <errno.h>

static const char client_protocol[] = "org.apache.hadoop.hdfs.protocol.ClientProtocol";
static const char admin_protocol[] = "howdah.MetaProtocol";
static const char posix_protocol[] = "howdah.PosixProtocol";

static int init_one(struct hd_meta_call *m, const char *address, const char *user, int timeout_ms)
{
    struct hd_rpc_client_options options = {
        .address = address,
        .protocol = client_protocol,
        .user = user,
        .connect_timeout_ms = timeout_ms,
        .call_timeout_ms = timeout_ms,
    };
    *m = (struct hd_meta_call){0};
    hd_arena_init(&m->arena, 0);
    int rc = hd_rpc_client_new(&options, &m->client);
    if (rc < 0) {
        hd_meta_call_done(m);
    }
    return rc;
}

int hd_meta_ask_self(const char *address, const char *user, struct hd_meta_self *ret)
{
    HD_AUTO(hd_meta_call_done) struct hd_meta_call m = {0};
    Hdw__GetClusterResponse *r;
    int rc = init_one(&m, address, user, HD_META_ASK_MS);
    if (rc == 0) {
        rc = hd_meta_get_cluster(&m, &r);
    }
    if (rc == 0) {
        *ret = (struct hd_meta_self){
            .primary = r->role == NULL || strcmp(r->role, "primary") == 0,
            .exposed = r->has_exposed && r->exposed,
            .both = r->sync != NULL && strcmp(r->sync, "both") == 0,
            .epoch = r->epoch,
        };
        snprintf(ret->cluster_id, sizeof(ret->cluster_id), "%s", r->cluster_id);
    }
    return rc;
}

/* The one of "a:1,b:2" that serves, else the first. */
static void pick(const char *addresses, const char *user, char *out, size_t size)
{
    uint64_t best = 0;
    bool found = false;
    snprintf(out, size, "%.*s", (int)strcspn(addresses, ","), addresses);
    while (*addresses != '\0') {
        char one[512];
        struct hd_meta_self self;
        size_t n = strcspn(addresses, ",");
        snprintf(one, sizeof(one), "%.*s", (int)n, addresses);
        if (hd_meta_ask_self(one, user, &self) == 0 && self.primary &&
            (!found || self.epoch > best)) {
            found = true;
            best = self.epoch;
            snprintf(out, size, "%s", one);
        }
        addresses += n + (addresses[n] == ',');
    }
}

int hd_meta_call_init(struct hd_meta_call *m, const char *address, const char *user, int timeout_ms)
{
    char one[512];
    if (strchr(address, ',') == NULL) {
        return init_one(m, address, user, timeout_ms);
    }
    pick(address, user, one, sizeof(one));
    return init_one(m, one, user, timeout_ms);
}

void hd_meta_call_done(struct hd_meta_call *m)
{
    hd_rpc_client_free(m->client);
    hd_arena_done(&m->arena);
    *m = (struct hd_meta_call){0};
}

void hd_meta_call_reset(struct hd_meta_call *m)
{
    hd_arena_reset(&m->arena);
}

static int call(struct hd_meta_call *m, const char *protocol, const char *method,
                const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type, void *ret)
{
    struct hd_rpc_args args = {.protocol = protocol,
                               .method = method,
                               .request = request,
                               .response_type = type,
                               .arena = &m->arena,
                               .call_id = -1};
    ProtobufCMessage *response;
    int rc = hd_rpc_call(m->client, &args, &response, NULL);
    if (rc == 0) {
        *(void **)ret = response;
    }
    return rc;
}

int hd_meta_set_tree_quota(struct hd_meta_call *m, const char *path, const int64_t *names,
                           const int64_t *bytes)
{
    Hdw__SetTreeQuotaRequest request = HDW__SET_TREE_QUOTA_REQUEST__INIT;
    Hdw__SetTreeQuotaResponse *r;
    request.path = (char *)path;
    request.has_names = names != NULL;
    request.names = names != NULL ? *names : 0;
    request.has_bytes = bytes != NULL;
    request.bytes = bytes != NULL ? *bytes : 0;
    return call(m, posix_protocol, "setTreeQuota", &request.base,
                &hdw__set_tree_quota_response__descriptor, &r);
}

int hd_meta_get_tree_quota(struct hd_meta_call *m, const char *path,
                           Hdw__GetTreeQuotaResponse **ret)
{
    Hdw__GetTreeQuotaRequest request = HDW__GET_TREE_QUOTA_REQUEST__INIT;
    request.path = (char *)path;
    return call(m, posix_protocol, "getTreeQuota", &request.base,
                &hdw__get_tree_quota_response__descriptor, ret);
}

/* The answers put together, page by page. */
static int append_quotas(struct hd_meta_call *m, const Hdw__ListTreeQuotasResponse *page,
                         Hdw__TreeQuota ***all, size_t *count)
{
    Hdw__TreeQuota **more =
        HD_ARENA_ARRAY(&m->arena, Hdw__TreeQuota *, *count + page->n_quotas + 1);
    if (more == NULL) {
        return -ENOMEM;
    }
    for (size_t n = 0; n < *count; n++) {
        more[n] = (*all)[n];
    }
    for (size_t n = 0; n < page->n_quotas; n++) {
        more[*count + n] = page->quotas[n];
    }
    *all = more;
    *count += page->n_quotas;
    return 0;
}

int hd_meta_list_tree_quotas(struct hd_meta_call *m, Hdw__TreeQuota ***ret, size_t *ret_count)
{
    Hdw__ListTreeQuotasRequest request = HDW__LIST_TREE_QUOTAS_REQUEST__INIT;
    Hdw__ListTreeQuotasResponse *page;
    *ret = NULL;
    *ret_count = 0;
    do {
        int rc = call(m, posix_protocol, "listTreeQuotas", &request.base,
                      &hdw__list_tree_quotas_response__descriptor, &page);
        if (rc == 0) {
            rc = append_quotas(m, page, ret, ret_count);
        }
        if (rc < 0) {
            return rc;
        }
        if (page->n_quotas > 0) {
            request.start_after = page->quotas[page->n_quotas - 1]->ino;
        }
    } while (page->more && page->n_quotas > 0);
    return 0;
}

int hd_meta_get_cluster(struct hd_meta_call *m, Hdw__GetClusterResponse **ret)
{
    Hdw__GetClusterRequest request = HDW__GET_CLUSTER_REQUEST__INIT;
    return call(m, admin_protocol, "getCluster", &request.base,
                &hdw__get_cluster_response__descriptor, ret);
}

int hd_meta_promote(struct hd_meta_call *m, bool force, Hdw__PromoteResponse **ret)
{
    Hdw__PromoteRequest request = HDW__PROMOTE_REQUEST__INIT;
    request.has_force = true;
    request.force = force;
    return call(m, admin_protocol, "promote", &request.base, &hdw__promote_response__descriptor,
                ret);
}

int hd_meta_checkpoint(struct hd_meta_call *m, Hdw__CheckpointResponse **ret)
{
    Hdw__CheckpointRequest request = HDW__CHECKPOINT_REQUEST__INIT;
    return call(m, admin_protocol, "checkpoint", &request.base,
                &hdw__checkpoint_response__descriptor, ret);
}

int hd_meta_block_health(struct hd_meta_call *m, const char *path, Hdw__BlockHealthResponse **ret)
{
    Hdw__BlockHealthRequest request = HDW__BLOCK_HEALTH_REQUEST__INIT;
    request.path = (char *)path;
    return call(m, admin_protocol, "blockHealth", &request.base,
                &hdw__block_health_response__descriptor, ret);
}

int hd_meta_nodes(struct hd_meta_call *m, Hdw__DatanodeReportType type,
                  Hdw__GetDatanodeReportResponse **ret)
{
    Hdw__GetDatanodeReportRequest request = HDW__GET_DATANODE_REPORT_REQUEST__INIT;
    request.type = type;
    return call(m, client_protocol, "getDatanodeReport", &request.base,
                &hdw__get_datanode_report_response__descriptor, ret);
}

int hd_meta_get_nodes(struct hd_meta_call *m, Hdw__GetNodesResponse **ret)
{
    Hdw__GetNodesRequest request = HDW__GET_NODES_REQUEST__INIT;
    return call(m, admin_protocol, "getNodes", &request.base, &hdw__get_nodes_response__descriptor,
                ret);
}

int hd_meta_set_node_state(struct hd_meta_call *m, const char *node, Hdw__NodeAdminState state,
                           uint64_t until_ms)
{
    Hdw__SetNodeStateRequest request = HDW__SET_NODE_STATE_REQUEST__INIT;
    Hdw__SetNodeStateResponse *response;
    request.node = (char *)node;
    request.state = state;
    request.has_until_ms = until_ms != 0;
    request.until_ms = until_ms;
    return call(m, admin_protocol, "setNodeState", &request.base,
                &hdw__set_node_state_response__descriptor, &response);
}

int hd_meta_set_bandwidth(struct hd_meta_call *m, int64_t bytes_per_s)
{
    Hdw__SetBalancerBandwidthRequest request = HDW__SET_BALANCER_BANDWIDTH_REQUEST__INIT;
    Hdw__SetBalancerBandwidthResponse *response;
    request.bandwidth = bytes_per_s;
    return call(m, client_protocol, "setBalancerBandwidth", &request.base,
                &hdw__set_balancer_bandwidth_response__descriptor, &response);
}

int hd_meta_node_blocks(struct hd_meta_call *m, const char *uuid, uint64_t cursor, uint32_t count,
                        Hdw__GetNodeBlocksResponse **ret)
{
    Hdw__GetNodeBlocksRequest request = HDW__GET_NODE_BLOCKS_REQUEST__INIT;
    request.uuid = (char *)uuid;
    request.cursor = cursor;
    request.count = count;
    return call(m, admin_protocol, "getNodeBlocks", &request.base,
                &hdw__get_node_blocks_response__descriptor, ret);
}

int hd_meta_fs_stats(struct hd_meta_call *m, Hdw__GetFsStatsResponse **ret)
{
    Hdw__GetFsStatsRequest request = HDW__GET_FS_STATS_REQUEST__INIT;
    return call(m, client_protocol, "getFsStats", &request.base,
                &hdw__get_fs_stats_response__descriptor, ret);
}

int hd_meta_block_stats(struct hd_meta_call *m, Hdw__GetFsReplicatedBlockStatsResponse **ret)
{
    Hdw__GetFsReplicatedBlockStatsRequest request =
        HDW__GET_FS_REPLICATED_BLOCK_STATS_REQUEST__INIT;
    return call(m, client_protocol, "getFsReplicatedBlockStats", &request.base,
                &hdw__get_fs_replicated_block_stats_response__descriptor, ret);
}

int hd_meta_safe_mode(struct hd_meta_call *m, Hdw__SafeModeAction action, bool *ret_on)
{
    Hdw__SetSafeModeRequest request = HDW__SET_SAFE_MODE_REQUEST__INIT;
    Hdw__SetSafeModeResponse *response;
    request.action = action;
    int rc = call(m, client_protocol, "setSafeMode", &request.base,
                  &hdw__set_safe_mode_response__descriptor, &response);
    if (rc == 0) {
        *ret_on = response->result;
    }
    return rc;
}

int hd_meta_check_access(struct hd_meta_call *m, const char *path, Hdw__FsAction action)
{
    Hdw__CheckAccessRequest request = HDW__CHECK_ACCESS_REQUEST__INIT;
    Hdw__CheckAccessResponse *response;
    request.path = (char *)path;
    request.mode = action;
    return call(m, client_protocol, "checkAccess", &request.base,
                &hdw__check_access_response__descriptor, &response);
}

int hd_meta_corrupt_files(struct hd_meta_call *m, const char *path, const char *cookie,
                          Hdw__CorruptFileBlocks **ret)
{
    Hdw__ListCorruptFileBlocksRequest request = HDW__LIST_CORRUPT_FILE_BLOCKS_REQUEST__INIT;
    Hdw__ListCorruptFileBlocksResponse *response;
    request.path = (char *)(path != NULL ? path : "/");
    request.cookie = (char *)cookie;
    int rc = call(m, client_protocol, "listCorruptFileBlocks", &request.base,
                  &hdw__list_corrupt_file_blocks_response__descriptor, &response);
    if (rc == 0) {
        *ret = response->corrupt;
    }
    return rc;
}

int hd_manager_agents(const char *address, const char *user, int timeout_ms, uint32_t *ret_up)
{
    struct hd_rpc_client_options options = {
        .address = address,
        .protocol = "howdah.RunnerProtocol",
        .user = user,
        .connect_timeout_ms = timeout_ms,
        .call_timeout_ms = timeout_ms,
    };
    HD_AUTO(hd_meta_call_done) struct hd_meta_call m = {0};
    Hdw__GetStatusRequest request = HDW__GET_STATUS_REQUEST__INIT;
    Hdw__GetStatusResponse *response = NULL;
    hd_arena_init(&m.arena, 0);
    int rc = hd_rpc_client_new(&options, &m.client);
    if (rc == 0) {
        rc = call(&m, options.protocol, "getStatus", &request.base,
                  &hdw__get_status_response__descriptor, &response);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_up = 0;
    for (size_t i = 0; i < response->n_agents; i++) {
        *ret_up += strcmp(response->agents[i]->state, "up") == 0;
    }
    return 0;
}
