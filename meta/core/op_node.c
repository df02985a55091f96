/* DatanodeProtocol: registration, heartbeats with their commands, reports. */
#include "meta/core/op.h"
#include "meta/core/full_report.h"
#include "meta/core/mem.h"
#include "meta/core/open_file.h"
#include "meta/core/slow.h"

#define HD_SOFTWARE_VERSION "3.4.2" /* what data nodes and clients of Hadoop accept */

enum {
    LAYOUT_VERSION = -67,
    INVALIDATES_PER_HEARTBEAT = 1000,
    CAPABILITY_BUFFERS = 1, /* block reports may come as buffers */
};

/* ---- who is who ---- */

static Hdw__StorageInfo *storage_info(struct hd_call *c)
{
    Hdw__StorageInfo *s = HD_MSG(c->m, Hdw__StorageInfo, hdw__storage_info);
    s->layout_version = (uint32_t)LAYOUT_VERSION;
    s->namespce_id = c->m->o.namespace_id;
    s->cluster_id = hd_unconst(c->m->o.cluster_id);
    s->c_time = c->m->o.creation_ms;
    return s;
}

int hd_op_version_request(struct hd_call *c)
{
    Hdw__VersionRequestResponse *r =
        HD_MSG(c->m, Hdw__VersionRequestResponse, hdw__version_request_response);
    Hdw__NamespaceInfo *i = HD_MSG(c->m, Hdw__NamespaceInfo, hdw__namespace_info);
    r->info = i;
    i->build_version = hd_unconst("howdah");
    i->block_pool_id = hd_unconst(c->m->o.block_pool_id);
    i->storage_info = storage_info(c);
    i->software_version = hd_unconst(HD_SOFTWARE_VERSION);
    i->has_capabilities = i->has_state = true;
    i->capabilities = CAPABILITY_BUFFERS;
    i->state = HDW__NNHASTATUS_HEARTBEAT_STATE__HA_ACTIVE;
    return hd_call_done(c, &r->base);
}

static void set_text(char **field, const char *text)
{
    if (*field == NULL || strcmp(*field, text) != 0) {
        free(*field);
        *field = hd_mem_str(text, strlen(text));
    }
}

static void set_identity(struct hd_call *c, struct hd_node *node,
                         const Hdw__DatanodeRegistration *g)
{
    const Hdw__DatanodeID *id = g->datanode_id;
    set_text(&node->ip, c->event->peer_ip);
    set_text(&node->host, id->host_name[0] != '\0' ? id->host_name : c->event->peer_host);
    set_text(&node->version, g->software_version);
    node->xfer_port = id->xfer_port;
    node->info_port = id->info_port;
    node->ipc_port = id->ipc_port;
    node->info_secure_port = id->has_info_secure_port ? id->info_secure_port : 0;
}

static struct hd_node *new_node(struct hd_meta *m, const char *uuid)
{
    struct hd_nodes *n = &m->nodes;
    struct hd_node *node = HD_MEM_NEW(struct hd_node);
    node->uuid = hd_mem_str(uuid, strlen(uuid));
    node->rack = hd_mem_str(HD_DEFAULT_RACK, sizeof(HD_DEFAULT_RACK) - 1);
    node->name = hd_mem_str("", 0);
    node->own_rack = hd_mem_str("", 0);
    node->index = (uint16_t)n->count;
    HD_MEM_GROW(n->all, n->count, n->capacity);
    n->all[n->count++] = node;
    int err = hd_strmap_put(&n->by_uuid, uuid, strlen(uuid), node);
    hd_assert(err == 0);
    return node;
}

/* Another uuid at the same address: the node was set up anew, its former self is gone. */
static void retire_namesakes(struct hd_meta *m, const struct hd_node *node)
{
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        struct hd_node *other = m->nodes.all[i];
        if (other != node && other->state != HD_NODE_DEAD && other->xfer_port == node->xfer_port &&
            strcmp(other->ip, node->ip) == 0) {
            other->heard.v = m->now.v - m->o.dead_ms;
        }
    }
}

/*
 * A copy of a node's directory that was started elsewhere while the node is there. One that moved
 * has closed its connection before.
 */
static int refuse_clone(struct hd_call *c, const Hdw__DatanodeRegistration *g)
{
    const Hdw__DatanodeID *id = g->datanode_id;
    const struct hd_node *node = hd_nodes_find(&c->m->nodes, id->datanode_uuid);
    if (node == NULL || node->state != HD_NODE_LIVE || !node->registered || node->closed.v != 0 ||
        node->conn_id == c->event->conn_id || hd_meta_past(c->m, node->heard, c->m->o.stale_ms) ||
        (strcmp(node->ip, c->event->peer_ip) == 0 && node->xfer_port == id->xfer_port)) {
        return 0;
    }
    return hd_call_fail(c, -HD_E_DISALLOWED_NODE,
                        "Data node %s at %s:%u is here and well: %s:%u has a copy of its "
                        "directories, and has to start with empty ones",
                        node->uuid, node->ip, node->xfer_port, c->event->peer_ip, id->xfer_port);
}

static int check_registration(struct hd_call *c, const Hdw__DatanodeRegistration *g)
{
    const char *uuid = g->datanode_id->datanode_uuid;
    if (uuid[0] == '\0' || strlen(uuid) > 255) {
        return hd_call_fail(c, -HD_E_DISALLOWED_NODE, "A data node must have an id: %s", uuid);
    }
    if (g->storage_info->cluster_id[0] != '\0' &&
        strcmp(g->storage_info->cluster_id, c->m->o.cluster_id) != 0) {
        return hd_call_fail(c, -HD_E_DISALLOWED_NODE,
                            "Data node %s is of cluster %s, this is %s: its blocks are not ours",
                            uuid, g->storage_info->cluster_id, c->m->o.cluster_id);
    }
    if (hd_nodes_find(&c->m->nodes, uuid) == NULL && c->m->nodes.count >= HD_NODES_MAX) {
        return hd_call_fail(c, -HD_E_DISALLOWED_NODE, "Too many data nodes: %d", HD_NODES_MAX);
    }
    return refuse_clone(c, g);
}

int hd_op_register_datanode(struct hd_call *c)
{
    const Hdw__RegisterDatanodeRequest *q = c->request;
    const char *uuid = q->registration->datanode_id->datanode_uuid;
    int err = check_registration(c, q->registration);
    if (err < 0) {
        return err;
    }
    struct hd_node *node = hd_nodes_find(&c->m->nodes, uuid);
    if (node == NULL) {
        node = new_node(c->m, uuid);
    }
    set_identity(c, node, q->registration);
    set_text(&node->name, q->name != NULL ? q->name : "");
    set_text(&node->own_rack, q->rack != NULL ? q->rack : "");
    retire_namesakes(c->m, node);
    hd_full_report_cancel(c->m, node);
    node->state = HD_NODE_LIVE;
    node->registered = true;
    node->transfer_count = 0; /* commands of its former life */
    node->recovery_count = node->finish_count = 0;
    for (uint32_t i = 0; i < node->storage_count; i++) {
        hd_nodes_storage(&c->m->nodes, node->storages[i])->reported = false;
    }
    hd_node_heard(c->m, node, c->event->conn_id);
    hd_racks_place(c->m, node);
    hd_node_take_wish(c->m, node);
    hd_safe_mode_news(c->m);
    hd_meta_trace(c->m, "node %s:%u is live: registered as %s", node->ip, node->xfer_port,
                  node->uuid);
    Hdw__RegisterDatanodeResponse *r =
        HD_MSG(c->m, Hdw__RegisterDatanodeResponse, hdw__register_datanode_response);
    Hdw__DatanodeRegistration *g =
        HD_MSG(c->m, Hdw__DatanodeRegistration, hdw__datanode_registration);
    *g = *q->registration;
    g->datanode_id = hd_node_info(c->m, node)->id;
    r->registration = g;
    return hd_call_done(c, &r->base);
}

/*
 * The node that speaks, by the identity it was given. NULL: unknown, or it must register again.
 * -HD_E_UNREGISTERED_NODE: the id is another node's.
 */
static int find_node(struct hd_call *c, const Hdw__DatanodeRegistration *g, struct hd_node **ret)
{
    const Hdw__DatanodeID *id = g->datanode_id;
    struct hd_node *node = hd_nodes_find(&c->m->nodes, id->datanode_uuid);
    *ret = NULL;
    if (node == NULL || !node->registered) {
        return 0;
    }
    if (strcmp(node->ip, id->ip_addr) != 0 || node->xfer_port != id->xfer_port) {
        return hd_call_fail(
            c, -HD_E_UNREGISTERED_NODE,
            "Data node DatanodeRegistration(%s:%u, datanodeUuid=%s) is attempting to "
            "report storage ID %s. Node %s:%u is expected to serve this storage.",
            id->ip_addr, id->xfer_port, id->datanode_uuid, id->datanode_uuid, node->ip,
            node->xfer_port);
    }
    hd_node_heard(c->m, node, c->event->conn_id);
    *ret = node;
    return 0;
}

static int need_node(struct hd_call *c, const Hdw__DatanodeRegistration *g, struct hd_node **ret)
{
    int err = find_node(c, g, ret);
    if (err == 0 && *ret == NULL) {
        return hd_call_fail(c, -HD_E_UNREGISTERED_NODE,
                            "ProcessReport from dead or unregistered node: %s:%u",
                            g->datanode_id->ip_addr, g->datanode_id->xfer_port);
    }
    return err;
}

/* ---- commands ---- */

struct commands {
    Hdw__DatanodeCommand **items;
    size_t count;
};

static Hdw__DatanodeCommand *add_command(struct hd_call *c, struct commands *l,
                                         Hdw__DatanodeCommandType type)
{
    Hdw__DatanodeCommand *command = HD_MSG(c->m, Hdw__DatanodeCommand, hdw__datanode_command);
    command->cmd_type = type;
    l->items[l->count++] = command;
    return command;
}

static Hdw__Block *block_message(struct hd_call *c, struct hd_block_id id, struct hd_genstamp gs,
                                 uint64_t size_bytes)
{
    Hdw__Block *b = HD_MSG(c->m, Hdw__Block, hdw__block);
    b->block_id = id.v;
    b->gen_stamp = gs.v;
    b->has_num_bytes = true;
    b->num_bytes = size_bytes;
    return b;
}

static bool is_named(const Hdw__BlockRecoveryCommand *r, struct hd_block_id id)
{
    for (size_t i = 0; i < r->n_blocks; i++) {
        if (r->blocks[i]->block->b->block_id == id.v) {
            return true;
        }
    }
    return false;
}

static void add_recoveries(struct hd_call *c, struct hd_node *node, Hdw__BlockRecoveryCommand *r)
{
    size_t kept = 0;
    for (size_t i = 0; i < node->recovery_count; i++) {
        struct hd_blk *b = hd_ns_block(c->ns, node->recoveries[i]);
        const struct hd_open_block *f = hd_open_block_of(c->ns, b);
        if (f == NULL || f->recovery_gs.v == 0 || f->recovery_node != node->index ||
            is_named(r, b->id)) {
            continue; /* it has ended, or another one was told meanwhile */
        }
        if (f->recovery_after.v > c->m->durable.v) {
            node->recoveries[kept++] = node->recoveries[i];
            continue;
        }
        Hdw__RecoveringBlock *m = HD_MSG(c->m, Hdw__RecoveringBlock, hdw__recovering_block);
        m->new_gen_stamp = f->recovery_gs.v;
        m->block = hd_block_locations(c, b, UINT64_MAX);
        m->block->n_storage_types = m->block->n_storage_i_ds = 0;
        m->has_overwrite = f->overwritten;
        m->overwrite = f->overwritten;
        uint64_t length = hd_open_block_length(hd_ns_open_file(c->ns, b->file), f);
        if (length != UINT64_MAX) {
            m->truncate_block = block_message(c, b->id, f->recovery_gs, length);
        }
        r->blocks[r->n_blocks++] = m;
    }
    node->recovery_count = kept;
}

/*
 * Replicas of closed blocks that their nodes have unfinished. The stamp stays as it is, and nobody
 * else takes part: "cut it to this length and finish it" (docs/protocol.md, "Block recovery").
 */
static void add_finishes(struct hd_call *c, struct hd_node *node, Hdw__BlockRecoveryCommand *r)
{
    for (size_t i = 0; i < node->finish_count; i++) {
        struct hd_blk *b = hd_ns_block(c->ns, node->finishes[i]);
        if (b == NULL || b->state == HD_BLOCK_OPEN || is_named(r, b->id)) {
            continue; /* gone, or opened again: it will be recovered */
        }
        Hdw__RecoveringBlock *m = HD_MSG(c->m, Hdw__RecoveringBlock, hdw__recovering_block);
        m->new_gen_stamp = b->gs.v;
        m->block = hd_located_block(c->m, b, UINT64_MAX, node->storages,
                                    node->storage_count > 0 ? 1 : 0, false);
        m->truncate_block = block_message(c, b->id, b->gs, b->size_bytes);
        r->blocks[r->n_blocks++] = m;
    }
    node->finish_count = 0;
}

/* In safe mode only what changes no name: without finished replicas it might never end. */
static void command_recover(struct hd_call *c, struct hd_node *node, struct commands *l)
{
    if (node->recovery_count + node->finish_count == 0) {
        return;
    }
    Hdw__BlockRecoveryCommand *r =
        HD_MSG(c->m, Hdw__BlockRecoveryCommand, hdw__block_recovery_command);
    r->blocks =
        HD_TURN_ARRAY(c->m, Hdw__RecoveringBlock *, node->recovery_count + node->finish_count);
    if (!hd_safe_mode_on(c->m)) {
        add_recoveries(c, node, r);
    }
    add_finishes(c, node, r);
    if (r->n_blocks > 0) {
        add_command(c, l, HDW__DATANODE_COMMAND_TYPE__CMD_BlockRecoveryCommand)->recovery_cmd = r;
    }
}

static Hdw__BlockCommand *block_command(struct hd_call *c, Hdw__BlockCommandAction action,
                                        size_t room)
{
    Hdw__BlockCommand *b = HD_MSG(c->m, Hdw__BlockCommand, hdw__block_command);
    b->action = action;
    b->block_pool_id = hd_unconst(c->m->o.block_pool_id);
    b->blocks = HD_TURN_ARRAY(c->m, Hdw__Block *, room);
    return b;
}

/* One block and the one node it is to be copied to. */
static void add_transfer(struct hd_call *c, Hdw__BlockCommand *b, const struct hd_blk *block,
                         const struct hd_storage *target)
{
    size_t i = b->n_blocks++;
    b->blocks[i] = block_message(c, block->id, block->gs, block->size_bytes);
    b->targets[i] = HD_MSG(c->m, Hdw__DatanodeInfos, hdw__datanode_infos);
    b->targets[i]->datanodes = HD_TURN_ARRAY(c->m, Hdw__DatanodeInfo *, 1);
    b->targets[i]->datanodes[b->targets[i]->n_datanodes++] =
        hd_node_info(c->m, c->m->nodes.all[target->node]);
    b->target_storage_uuids[i] = HD_MSG(c->m, Hdw__StorageUuids, hdw__storage_uuids);
    b->target_storage_uuids[i]->storage_uuids = HD_TURN_ARRAY(c->m, char *, 1);
    b->target_storage_uuids[i]->storage_uuids[b->target_storage_uuids[i]->n_storage_uuids++] =
        target->uuid;
    b->target_storage_types[i] = HD_MSG(c->m, Hdw__StorageTypes, hdw__storage_types);
    b->target_storage_types[i]->storage_types = HD_TURN_ARRAY(c->m, Hdw__StorageType, 1);
    b->target_storage_types[i]->storage_types[b->target_storage_types[i]->n_storage_types++] =
        target->type;
}

static void command_transfer(struct hd_call *c, struct hd_node *node, struct commands *l)
{
    if (node->transfer_count == 0) {
        hd_repair_work(c->m); /* it asks when it has done what it was given */
    }
    if (node->transfer_count == 0) {
        return;
    }
    Hdw__BlockCommand *b =
        block_command(c, HDW__BLOCK_COMMAND_ACTION__BLOCK_TRANSFER, node->transfer_count);
    b->targets = HD_TURN_ARRAY(c->m, Hdw__DatanodeInfos *, node->transfer_count);
    b->target_storage_uuids = HD_TURN_ARRAY(c->m, Hdw__StorageUuids *, node->transfer_count);
    b->target_storage_types = HD_TURN_ARRAY(c->m, Hdw__StorageTypes *, node->transfer_count);
    for (size_t i = 0; i < node->transfer_count; i++) {
        struct hd_blk *block = hd_ns_block(c->ns, node->transfers[i].block);
        if (block != NULL && hd_repair_is_ordered(block, node->transfers[i].target)) {
            add_transfer(c, b, block, hd_nodes_storage(&c->m->nodes, node->transfers[i].target));
        }
    }
    node->transfer_count = 0;
    b->n_targets = b->n_target_storage_uuids = b->n_target_storage_types = b->n_blocks;
    if (b->n_blocks > 0) {
        add_command(c, l, HDW__DATANODE_COMMAND_TYPE__CMD_BlockCommand)->blk_cmd = b;
    }
}

static void command_invalidate(struct hd_call *c, struct hd_node *node, struct commands *l)
{
    Hdw__BlockCommand *b = NULL;
    while (node->invalidate_head < node->invalidate_count) {
        const struct hd_invalidate *i = &node->invalidates[node->invalidate_head];
        if (i->after.v > c->m->durable.v ||
            (b != NULL && b->n_blocks == INVALIDATES_PER_HEARTBEAT)) {
            break;
        }
        if (b == NULL) {
            b = block_command(c, HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE,
                              INVALIDATES_PER_HEARTBEAT);
        }
        b->blocks[b->n_blocks++] = block_message(c, i->block, i->gs, i->size_bytes);
        node->invalidate_head++;
    }
    if (node->invalidate_head == node->invalidate_count) {
        node->invalidate_head = node->invalidate_count = 0;
    }
    if (b != NULL) {
        add_command(c, l, HDW__DATANODE_COMMAND_TYPE__CMD_BlockCommand)->blk_cmd = b;
    }
}

static void command_bandwidth(struct hd_call *c, struct hd_node *node, struct commands *l)
{
    if (node->bandwidth == 0) {
        return;
    }
    Hdw__BalancerBandwidthCommand *b =
        HD_MSG(c->m, Hdw__BalancerBandwidthCommand, hdw__balancer_bandwidth_command);
    b->bandwidth = node->bandwidth;
    node->bandwidth = 0;
    add_command(c, l, HDW__DATANODE_COMMAND_TYPE__CMD_BalancerBandwidthCommand)->balancer_cmd = b;
}

/* ---- heartbeats ---- */

static void take_storage_reports(struct hd_call *c, struct hd_node *node,
                                 Hdw__StorageReport *const *reports, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const Hdw__StorageReport *r = reports[i];
        Hdw__StorageType type = r->storage != NULL && r->storage->has_storage_type
                                    ? r->storage->storage_type
                                    : HDW__STORAGE_TYPE__STORAGE_TYPE_DISK;
        struct hd_storage *s = hd_nodes_add_storage(c->m, node, r->storage_uuid, type);
        if (s == NULL) {
            continue;
        }
        s->listed = r->has_failed && r->failed ? 0 : c->m->turn;
        s->failed = s->failed && s->listed == 0;
        s->capacity_bytes = r->capacity;
        s->used_bytes = r->dfs_used;
        s->remaining_bytes = r->remaining;
        s->pool_used_bytes = r->block_pool_used;
        s->non_dfs_used_bytes = r->has_non_dfs_used ? r->non_dfs_used : 0;
    }
    for (uint32_t i = 0; count > 0 && i < node->storage_count; i++) {
        struct hd_storage *s = hd_nodes_storage(&c->m->nodes, node->storages[i]);
        if (s->listed != c->m->turn && !s->failed) {
            hd_meta_trace(c->m, "node %s:%u has lost storage %s", node->ip, node->xfer_port,
                          s->uuid);
            s->failed = true;
            s->capacity_bytes = s->used_bytes = s->remaining_bytes = 0;
            hd_block_map_drop_storage(c->m, s);
        }
    }
}

static Hdw__NNHAStatusHeartbeat *ha_status(struct hd_call *c)
{
    Hdw__NNHAStatusHeartbeat *h = HD_MSG(c->m, Hdw__NNHAStatusHeartbeat, hdw__nnhastatus_heartbeat);
    h->state = HDW__NNHASTATUS_HEARTBEAT_STATE__HA_ACTIVE;
    h->txid = c->ns->txid.v;
    return h;
}

int hd_op_send_heartbeat(struct hd_call *c)
{
    const Hdw__SendHeartbeatRequest *q = c->request;
    enum { COMMANDS_MAX = 4 };
    struct hd_node *node;
    int err = find_node(c, q->registration, &node);
    if (err < 0) {
        return err;
    }
    Hdw__SendHeartbeatResponse *r =
        HD_MSG(c->m, Hdw__SendHeartbeatResponse, hdw__send_heartbeat_response);
    struct commands l = {HD_TURN_ARRAY(c->m, Hdw__DatanodeCommand *, COMMANDS_MAX), 0};
    r->ha_status = ha_status(c);
    r->has_full_block_report_lease_id = r->has_is_slownode = true;
    if (node == NULL) {
        add_command(c, &l, HDW__DATANODE_COMMAND_TYPE__CMD_RegisterCommand)->register_cmd =
            HD_MSG(c->m, Hdw__RegisterCommand, hdw__register_command);
    } else {
        take_storage_reports(c, node, q->reports, q->n_reports);
        node->xceivers = q->has_xceiver_count ? q->xceiver_count : 0;
        node->failed_volumes = q->has_failed_volumes ? q->failed_volumes : 0;
        node->last_scan_ms = q->has_last_scan_ms ? q->last_scan_ms : node->last_scan_ms;
        hd_slow_heard(c->m, node, q->slow_disks, q->n_slow_disks);
        r->is_slownode = node->slow;
        node->cache_capacity = q->has_cache_capacity ? q->cache_capacity : 0;
        node->cache_used = q->has_cache_used ? q->cache_used : 0;
        if (q->has_request_full_block_report_lease && q->request_full_block_report_lease) {
            r->full_block_report_lease_id = hd_prng_next(&c->m->prng) | 1;
        }
        command_recover(c, node, &l);
        if (!hd_safe_mode_on(c->m) && l.count == 0) { /* a recovery goes alone */
            command_transfer(c, node, &l);
            command_invalidate(c, node, &l);
            command_bandwidth(c, node, &l);
        }
    }
    r->cmds = l.items;
    r->n_cmds = l.count;
    return hd_call_done(c, &r->base);
}

/* ---- full reports ---- */

static int check_pool(struct hd_call *c, const char *pool)
{
    return strcmp(pool, c->m->o.block_pool_id) == 0
               ? 0
               : hd_call_fail(c, -HD_E_IO, "Unexpected BlockPoolId %s - expected %s", pool,
                              c->m->o.block_pool_id);
}

ProtobufCMessage *hd_report_answer(struct hd_meta *m)
{
    Hdw__BlockReportResponse *r = HD_MSG(m, Hdw__BlockReportResponse, hdw__block_report_response);
    r->cmd = HD_MSG(m, Hdw__DatanodeCommand, hdw__datanode_command);
    r->cmd->cmd_type = HDW__DATANODE_COMMAND_TYPE__CMD_FinalizeCommand;
    r->cmd->finalize_cmd = HD_MSG(m, Hdw__FinalizeCommand, hdw__finalize_command);
    r->cmd->finalize_cmd->block_pool_id = hd_unconst(m->o.block_pool_id);
    return &r->base;
}

int hd_op_block_report(struct hd_call *c)
{
    const Hdw__BlockReportRequest *q = c->request;
    struct hd_node *node;
    int err = need_node(c, q->registration, &node);
    if (err == 0) {
        err = check_pool(c, q->block_pool_id);
    }
    if (err < 0) {
        return err;
    }
    node->report_wall = c->m->wall;
    node->report_mono = c->m->now;
    err = hd_full_report_take(c, node, q);
    if (err != 0) {
        return err;
    }
    hd_nodes_count_absent(c->m);
    hd_safe_mode_check(c->m);
    return hd_call_done(c, hd_report_answer(c->m));
}

/* ---- incremental reports ---- */

static void take_received(struct hd_call *c, struct hd_storage *s,
                          const Hdw__ReceivedDeletedBlockInfo *i)
{
    hd_full_report_touch(c->m->nodes.all[s->node], (struct hd_block_id){i->block->block_id});
    struct hd_reported r = {{i->block->block_id}, {i->block->gen_stamp}, i->block->num_bytes, 0};
    switch (i->status) {
    case HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED:
        r.state = HDW__REPLICA_STATE__REPLICA_FINALIZED;
        c->m->delete_hint = i->delete_hint; /* it was moved: the replica there may go */
        hd_block_map_report(c->m, s, r);
        c->m->delete_hint = NULL;
        break;
    case HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING:
        r.state = HDW__REPLICA_STATE__REPLICA_RBW;
        hd_block_map_report(c->m, s, r);
        break;
    case HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED:
        hd_block_map_deleted(c->m, s, r.id);
        break;
    case _HDW__BLOCK_STATUS_IS_INT_SIZE:
    default: /* a wire integer */
        break;
    }
}

int hd_op_block_received_and_deleted(struct hd_call *c)
{
    const Hdw__BlockReceivedAndDeletedRequest *q = c->request;
    struct hd_node *node;
    int err = find_node(c, q->registration, &node);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; node != NULL && i < q->n_blocks; i++) {
        const Hdw__StorageReceivedDeletedBlocks *l = q->blocks[i];
        Hdw__StorageType type = l->storage != NULL && l->storage->has_storage_type
                                    ? l->storage->storage_type
                                    : HDW__STORAGE_TYPE__STORAGE_TYPE_DISK;
        struct hd_storage *s = hd_nodes_add_storage(c->m, node, l->storage_uuid, type);
        /* What a directory received before it failed is gone with it. */
        for (size_t n = 0; s != NULL && !s->failed && n < l->n_blocks; n++) {
            take_received(c, s, l->blocks[n]);
        }
    }
    hd_safe_mode_check(c->m);
    return hd_op_nothing(c);
}

int hd_op_error_report(struct hd_call *c)
{
    const Hdw__ErrorReportRequest *q = c->request;
    struct hd_node *node;
    int err = find_node(c, q->registartion, &node);
    if (err < 0) {
        return err;
    }
    if (node != NULL) {
        hd_meta_trace(c->m, "node %s:%u reports error %u: %s", node->ip, node->xfer_port,
                      q->error_code, q->msg);
    }
    return hd_op_nothing(c);
}
