/* Calls to any daemon. See call.h. */
#include "tools/drill/call.h"
#include "fs/base/error.h"
#include "fs/net/rpc_client.h"

#include <errno.h>

enum { TIMEOUT_MS = 5000, PROMOTE_TIMEOUT_MS = 30000 };

static const char meta_protocol[] = "howdah.MetaProtocol";

struct call {
    const char *address;
    const char *protocol;
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *type;
    int timeout_ms; /* 0: TIMEOUT_MS */
};

static int call(const struct call *k, struct hd_arena *arena, void *ret)
{
    int timeout_ms = k->timeout_ms != 0 ? k->timeout_ms : TIMEOUT_MS;
    struct hd_rpc_client_options options = {
        .address = k->address,
        .protocol = k->protocol,
        .user = hd_user_name(),
        .connect_timeout_ms = timeout_ms,
        .call_timeout_ms = timeout_ms,
    };
    struct hd_rpc_client *client;
    int rc = hd_rpc_client_new(&options, &client);
    if (rc < 0) {
        return rc;
    }
    struct hd_rpc_args args = {.method = k->method,
                               .request = k->request,
                               .response_type = k->type,
                               .arena = arena,
                               .call_id = -1};
    ProtobufCMessage *response;
    rc = hd_rpc_call(client, &args, &response, NULL);
    if (rc == 0 && ret != NULL) {
        *(void **)ret = response;
    }
    hd_rpc_client_free(client);
    return rc;
}

/* A call whose answer says nothing. */
static int call_only(const struct call *k)
{
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    int rc = call(k, &arena, NULL);
    hd_arena_done(&arena);
    return rc;
}

int hd_drill_set_faults(const char *address, const struct hd_drill_fault *faults, size_t count,
                        uint64_t for_ms)
{
    enum { MAX = 64 };
    Hdw__Fault list[MAX];
    Hdw__Fault *pointers[MAX];
    Hdw__SetFaultsRequest request = HDW__SET_FAULTS_REQUEST__INIT;
    if (count > MAX) {
        return hd_fail(-HD_E_TOO_LARGE, "more than %d faults", MAX);
    }
    for (size_t i = 0; i < count; i++) {
        list[i] = (Hdw__Fault)HDW__FAULT__INIT;
        list[i].point = (char *)(uintptr_t)faults[i].point;
        list[i].target = (char *)(uintptr_t)faults[i].target;
        list[i].has_value = true;
        list[i].value = faults[i].value;
        list[i].for_ms = for_ms;
        pointers[i] = &list[i];
    }
    request.n_faults = count;
    request.faults = pointers;
    return call_only(&(struct call){.address = address,
                                    .protocol = "howdah.FaultProtocol",
                                    .method = "setFaults",
                                    .request = &request.base,
                                    .type = &hdw__set_faults_response__descriptor});
}

const char *hd_drill_rpc_address(const struct hd_cluster *c, const struct hd_member *m)
{
    return m->role == HD_ROLE_DATA ? hd_member_str(c, m, "ipc_address", m->address) : m->address;
}

int hd_drill_scan(const char *ipc_address)
{
    Hdw__ScanReplicasRequest request = HDW__SCAN_REPLICAS_REQUEST__INIT;
    return call_only(&(struct call){.address = ipc_address,
                                    .protocol = "howdah.DataProtocol",
                                    .method = "scanReplicas",
                                    .request = &request.base,
                                    .type = &hdw__scan_replicas_response__descriptor});
}

int hd_drill_set_node_state(const char *address, const char *node, Hdw__NodeAdminState state)
{
    Hdw__SetNodeStateRequest request = HDW__SET_NODE_STATE_REQUEST__INIT;
    request.node = (char *)(uintptr_t)node;
    request.state = state;
    return call_only(&(struct call){.address = address,
                                    .protocol = meta_protocol,
                                    .method = "setNodeState",
                                    .request = &request.base,
                                    .type = &hdw__set_node_state_response__descriptor});
}

int hd_drill_get_nodes(const char *address, struct hd_arena *arena, Hdw__GetNodesResponse **ret)
{
    Hdw__GetNodesRequest request = HDW__GET_NODES_REQUEST__INIT;
    return call(&(struct call){.address = address,
                               .protocol = meta_protocol,
                               .method = "getNodes",
                               .request = &request.base,
                               .type = &hdw__get_nodes_response__descriptor},
                arena, ret);
}

int hd_drill_node_blocks(const char *address, const char *uuid, uint64_t cursor, uint32_t count,
                         struct hd_arena *arena, Hdw__GetNodeBlocksResponse **ret)
{
    Hdw__GetNodeBlocksRequest request = HDW__GET_NODE_BLOCKS_REQUEST__INIT;
    request.uuid = (char *)(uintptr_t)uuid;
    request.cursor = cursor;
    request.count = count;
    return call(&(struct call){.address = address,
                               .protocol = meta_protocol,
                               .method = "getNodeBlocks",
                               .request = &request.base,
                               .type = &hdw__get_node_blocks_response__descriptor},
                arena, ret);
}

int hd_drill_promote(const char *address, Hdw__PromoteResponse **ret, struct hd_arena *arena)
{
    Hdw__PromoteRequest request = HDW__PROMOTE_REQUEST__INIT;
    return call(&(struct call){.address = address,
                               .protocol = meta_protocol,
                               .method = "promote",
                               .request = &request.base,
                               .type = &hdw__promote_response__descriptor,
                               .timeout_ms = PROMOTE_TIMEOUT_MS},
                arena, ret);
}

int hd_drill_get_cluster(const char *address, int timeout_ms, struct hd_arena *arena,
                         Hdw__GetClusterResponse **ret)
{
    Hdw__GetClusterRequest request = HDW__GET_CLUSTER_REQUEST__INIT;
    return call(&(struct call){.address = address,
                               .protocol = meta_protocol,
                               .method = "getCluster",
                               .request = &request.base,
                               .type = &hdw__get_cluster_response__descriptor,
                               .timeout_ms = timeout_ms},
                arena, ret);
}

int hd_drill_active_meta(const struct hd_cluster *c, int timeout_ms, char out[HD_TEXT_BYTES])
{
    int result = hd_fail(-ENOENT, "the configuration names no meta");
    for (size_t i = 0; i < c->member_count; i++) {
        const struct hd_member *m = &c->members[i];
        struct hd_arena arena;
        Hdw__GetClusterResponse *r;
        if (m->role != HD_ROLE_META && m->role != HD_ROLE_SECONDARY) {
            continue;
        }
        hd_arena_init(&arena, 0);
        int rc = hd_drill_get_cluster(m->address, timeout_ms, &arena, &r);
        bool primary = rc == 0 && (r->role == NULL || strcmp(r->role, "primary") == 0);
        hd_arena_done(&arena);
        if (primary) {
            snprintf(out, HD_TEXT_BYTES, "%s", m->address);
            return 0;
        }
        result = m->role == HD_ROLE_META ? rc : result;
    }
    return result < 0 ? result : hd_fail(-HD_E_STANDBY, "no meta is primary");
}

int hd_drill_open_fs(const struct hd_cluster *c, const char *name, int retry_ms, struct hd_fs **ret)
{
    struct hd_fs_options options = {
        .uri = c->uri,
        .meta_addresses = c->metas,
        .user = hd_user_name(),
        .client_name_prefix = name,
        .retry_ms = retry_ms,
        .retry_safe_mode = true,
        .host_name = c->host_name[0] != '\0' ? c->host_name : NULL,
    };
    return hd_fs_open(&options, ret);
}
