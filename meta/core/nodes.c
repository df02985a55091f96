/* Data nodes and storages. See nodes.h. */
#include "meta/core/nodes.h"
#include "meta/core/block_map.h"
#include "meta/core/full_report.h"
#include "meta/core/mem.h"
#include "meta/core/record_make.h"

void hd_nodes_init(struct hd_nodes *n)
{
    *n = (struct hd_nodes){0};
    hd_strmap_init(&n->by_uuid);
    hd_strmap_init(&n->storage_by_uuid);
}

static void node_free(struct hd_node *node)
{
    free(node->uuid);
    free(node->ip);
    free(node->host);
    free(node->version);
    free(node->rack);
    free(node->name);
    free(node->own_rack);
    free(node->drain.waiting);
    free(node->storages);
    free(node->invalidates);
    free(node->transfers);
    free(node->recoveries);
    free(node->finishes);
    free(node);
}

void hd_nodes_done(struct hd_nodes *n)
{
    for (uint32_t i = 0; i < n->count; i++) {
        node_free(n->all[i]);
    }
    for (uint32_t i = 0; i < n->storage_count; i++) {
        hd_replica_list_done(&n->storages[i]->replicas);
        free(n->storages[i]->uuid);
        free(n->storages[i]);
    }
    free(n->all);
    free(n->storages);
    hd_strmap_done(&n->by_uuid);
    hd_strmap_done(&n->storage_by_uuid);
}

struct hd_node *hd_nodes_find(const struct hd_nodes *n, const char *uuid)
{
    return hd_strmap_get(&n->by_uuid, uuid, strlen(uuid));
}

struct hd_storage *hd_nodes_find_storage(const struct hd_nodes *n, const char *uuid)
{
    return hd_strmap_get(&n->storage_by_uuid, uuid, strlen(uuid));
}

struct hd_storage *hd_nodes_add_storage(struct hd_meta *m, struct hd_node *node, const char *uuid,
                                        Hdw__StorageType type)
{
    struct hd_nodes *n = &m->nodes;
    struct hd_storage *s = hd_nodes_find_storage(n, uuid);
    if (s != NULL && s->node == node->index) {
        s->type = type;
        return s;
    }
    if (s != NULL || n->storage_count == HD_STORAGES_MAX) {
        return NULL; /* another node's, or too many */
    }
    s = HD_MEM_NEW(struct hd_storage);
    s->uuid = hd_mem_str(uuid, strlen(uuid));
    s->node = node->index;
    s->index = (uint16_t)n->storage_count;
    s->type = type;
    HD_MEM_GROW(n->storages, n->storage_count, n->storage_capacity);
    n->storages[n->storage_count++] = s;
    HD_MEM_GROW(node->storages, node->storage_count, node->storage_capacity);
    node->storages[node->storage_count++] = s->index;
    int err = hd_strmap_put(&n->storage_by_uuid, uuid, strlen(uuid), s);
    hd_assert(err == 0);
    return s;
}

void hd_node_invalidate(struct hd_node *node, struct hd_invalidate what)
{
    if (node->invalidate_head > 1024 && node->invalidate_head * 2 > node->invalidate_count) {
        node->invalidate_count -= node->invalidate_head;
        memmove(node->invalidates, &node->invalidates[node->invalidate_head],
                sizeof(what) * node->invalidate_count);
        node->invalidate_head = 0;
    }
    HD_MEM_GROW(node->invalidates, node->invalidate_count, node->invalidate_capacity);
    node->invalidates[node->invalidate_count++] = what;
}

bool hd_node_is_deleting(const struct hd_node *node, struct hd_block_id id)
{
    enum { LOOK_BACK = 4096 };
    size_t end = node->invalidate_count;
    size_t start = HD_MAX(node->invalidate_head, end > LOOK_BACK ? end - LOOK_BACK : 0);
    for (size_t i = start; i < end; i++) {
        if (node->invalidates[i].block.v == id.v) {
            return true;
        }
    }
    return false;
}

/* ---- live, stale, dead ---- */

void hd_node_heard(struct hd_meta *m, struct hd_node *node, uint64_t conn_id)
{
    node->conn_id = conn_id;
    node->heard = m->now;
    node->heard_wall = m->wall;
    node->closed.v = 0;
    if (node->state == HD_NODE_STALE) {
        hd_meta_trace(m, "node %s:%u is live again", node->ip, node->xfer_port);
        node->state = HD_NODE_LIVE;
    }
}

bool hd_node_has_reported(const struct hd_meta *m, const struct hd_node *node)
{
    for (uint32_t i = 0; i < node->storage_count; i++) {
        const struct hd_storage *s = hd_nodes_storage(&m->nodes, node->storages[i]);
        if (!s->reported && !s->failed) {
            return false;
        }
    }
    return node->storage_count > 0 && node->report == NULL;
}

bool hd_node_may_hold_more(const struct hd_meta *m, const struct hd_node *node)
{
    if (node->state == HD_NODE_DEAD) {
        return hd_node_in_maintenance(node) || !hd_meta_past(m, node->heard, m->o.lease_hard_ms);
    }
    return !hd_node_has_reported(m, node);
}

bool hd_nodes_may_return(const struct hd_meta *m)
{
    if (m->absent_in_maintenance > 0 || hd_nodes_live(&m->nodes) == 0 ||
        !hd_meta_past(m, m->started, m->o.lease_soft_ms)) {
        return true; /* after a start it is not known whom to expect */
    }
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        if (hd_node_may_hold_more(m, m->nodes.all[i])) {
            return true;
        }
    }
    return false;
}

static void become_dead(struct hd_meta *m, struct hd_node *node)
{
    hd_meta_trace(m, "node %s:%u is dead", node->ip, node->xfer_port);
    node->state = HD_NODE_DEAD;
    node->registered = false;
    node->invalidate_head = node->invalidate_count = 0;
    node->transfer_count = 0;
    node->recovery_count = node->finish_count = 0;
    hd_full_report_cancel(m, node);
    if (hd_node_in_maintenance(node)) {
        hd_repair_drop_node(m, node->index); /* what it has is not missed until its time is up */
    } else {
        hd_block_map_drop_node(m, node);
    }
    node->copy_units = 0;
    hd_safe_mode_news(m);
}

/* ---- what is asked of a node ---- */

static void leave_maintenance(struct hd_meta *m, struct hd_node *node)
{
    if (hd_node_in_maintenance(node) && node->state == HD_NODE_DEAD) {
        hd_block_map_drop_node(m, node);
    }
}

/* Is it in maintenance, and not known what it has? */
static bool is_absent(const struct hd_meta *m, const struct hd_node_admin *a)
{
    const struct hd_node *node = hd_nodes_find(&m->nodes, a->uuid);
    return a->wish == HD_WISH_MAINTENANCE && (node == NULL || node->report_wall.v == 0);
}

void hd_nodes_count_absent(struct hd_meta *m)
{
    uint32_t before = m->absent_in_maintenance;
    m->absent_in_maintenance = 0;
    for (uint32_t i = 0; i < m->ns.node_admins.count; i++) {
        m->absent_in_maintenance += is_absent(m, &m->ns.node_admins.items[i]);
    }
    if (m->absent_in_maintenance < before && !m->safe.starting) {
        hd_repair_check_all(m); /* what was put down to them may be missing indeed */
    }
}

void hd_node_take_wish(struct hd_meta *m, struct hd_node *node)
{
    const struct hd_node_admin *a = hd_node_admins_find(&m->ns.node_admins, node->uuid);
    enum hd_node_wish wish = a != NULL ? a->wish : HD_WISH_NONE;
    enum hd_node_duty before = node->duty;
    switch (wish) {
    case HD_WISH_NONE:
        leave_maintenance(m, node);
        node->duty = HD_DUTY_IN_SERVICE;
        break;
    case HD_WISH_DECOMMISSION:
        leave_maintenance(m, node);
        node->duty = hd_node_is_leaving(node) ? before : HD_DUTY_DECOMMISSIONING;
        break;
    case HD_WISH_MAINTENANCE:
        node->duty = hd_node_in_maintenance(node) ? before : HD_DUTY_ENTERING_MAINTENANCE;
        break;
    }
    node->until_ms = a != NULL ? a->until_ms : 0;
    m->nodes.count_turn = 0;
    hd_nodes_count_absent(m);
    if (node->duty != before) {
        hd_drain_start(m, node);
    }
}

void hd_nodes_take_wishes(struct hd_meta *m, struct hd_node *node)
{
    if (node != NULL) {
        hd_node_take_wish(m, node);
    } else {
        hd_nodes_count_absent(m);
    }
}

/* Where there was one rack and now there are two, every block may stand wrong. */
static void check_racks(struct hd_meta *m)
{
    bool before = m->nodes.had_many_racks;
    m->nodes.had_many_racks = hd_nodes_many_racks(m);
    if (m->nodes.had_many_racks && !before && !m->safe.starting) {
        hd_repair_check_all(m);
    }
}

/* Maintenance whose time is up. */
static void check_wishes(struct hd_meta *m)
{
    const struct hd_node_admins *all = &m->ns.node_admins;
    for (uint32_t i = all->count; i > 0; i--) {
        const struct hd_node_admin *a = &all->items[i - 1];
        if (a->wish != HD_WISH_MAINTENANCE || a->until_ms == 0 || m->wall.v < a->until_ms) {
            continue;
        }
        struct hd_node *node = hd_nodes_find(&m->nodes, a->uuid);
        Hdm__NodeAdmin op = HDM__NODE_ADMIN__INIT;
        op.uuid = hd_arena_str(&m->fx->arena, a->uuid);
        hd_assert(op.uuid != NULL);
        hd_meta_trace(m, "node %s: the time of its maintenance is up", op.uuid);
        HD_COMMIT(m, node_admin, NODE_ADMIN, &op);
        hd_nodes_take_wishes(m, node);
    }
}

void hd_nodes_check(struct hd_meta *m)
{
    check_wishes(m);
    hd_nodes_count_absent(m);
    check_racks(m);
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        struct hd_node *node = m->nodes.all[i];
        if (node->state == HD_NODE_DEAD) {
            continue;
        }
        bool closed_long =
            node->closed.v != 0 && hd_meta_past(m, node->closed, m->o.closed_grace_ms);
        if (closed_long || hd_meta_past(m, node->heard, m->o.dead_ms)) {
            become_dead(m, node);
        } else if (node->state == HD_NODE_LIVE && hd_meta_past(m, node->heard, m->o.stale_ms)) {
            hd_meta_trace(m, "node %s:%u is stale: silent for %lld ms", node->ip, node->xfer_port,
                          (long long)(m->now.v - node->heard.v));
            node->state = HD_NODE_STALE;
        }
    }
}

void hd_nodes_closed(struct hd_meta *m, uint64_t conn_id)
{
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        struct hd_node *node = m->nodes.all[i];
        if (node->conn_id == conn_id && node->state == HD_NODE_LIVE) {
            hd_meta_trace(m, "node %s:%u is stale: its connection ended", node->ip,
                          node->xfer_port);
            node->state = HD_NODE_STALE;
            node->closed = m->now;
        }
    }
}

uint32_t hd_nodes_live(const struct hd_nodes *n)
{
    uint32_t live = 0;
    for (uint32_t i = 0; i < n->count; i++) {
        live += n->all[i]->state != HD_NODE_DEAD && n->all[i]->registered;
    }
    return live;
}

static void count_turn(struct hd_meta *m)
{
    struct hd_nodes *n = &m->nodes;
    const char *rack = NULL;
    if (n->count_turn == m->turn) {
        return;
    }
    n->count_turn = m->turn;
    n->in_service = n->expected = 0;
    n->many_racks = false;
    for (uint32_t i = 0; i < n->count; i++) {
        const struct hd_node *node = n->all[i];
        if (node->duty != HD_DUTY_IN_SERVICE) {
            continue;
        }
        bool here = node->state != HD_NODE_DEAD && node->registered;
        n->expected += here || !hd_meta_past(m, node->heard, m->o.lease_hard_ms);
        if (!here) {
            continue;
        }
        n->in_service++;
        n->many_racks |= rack != NULL && strcmp(rack, node->rack) != 0;
        rack = node->rack;
    }
}

uint32_t hd_nodes_in_service(struct hd_meta *m)
{
    count_turn(m);
    return m->nodes.in_service;
}

uint32_t hd_nodes_expected(struct hd_meta *m)
{
    count_turn(m);
    return m->nodes.expected;
}

bool hd_nodes_many_racks(struct hd_meta *m)
{
    count_turn(m);
    return m->nodes.many_racks;
}

static bool is_named(const struct hd_node *node, const char *text)
{
    char address[300];
    char by_name[300];
    snprintf(address, sizeof(address), "%s:%u", node->ip, node->xfer_port);
    snprintf(by_name, sizeof(by_name), "%s:%u", node->host, node->xfer_port);
    return strcmp(node->uuid, text) == 0 || (node->name[0] != '\0' && !strcmp(node->name, text)) ||
           strcmp(address, text) == 0 || strcmp(by_name, text) == 0;
}

struct hd_node *hd_nodes_resolve(const struct hd_nodes *n, const char *text)
{
    struct hd_node *best = NULL;
    for (uint32_t i = 0; i < n->count; i++) {
        struct hd_node *node = n->all[i];
        if (is_named(node, text) && (best == NULL || node->heard.v >= best->heard.v)) {
            best = node;
        }
    }
    return best;
}

/* ---- what others are told about a node ---- */

static Hdw__AdminState admin_state(const struct hd_node *node)
{
    switch (node->duty) {
    case HD_DUTY_IN_SERVICE:
        break;
    case HD_DUTY_DECOMMISSIONING:
        return HDW__ADMIN_STATE__ADMIN_DECOMMISSION_INPROGRESS;
    case HD_DUTY_DECOMMISSIONED:
        return HDW__ADMIN_STATE__ADMIN_DECOMMISSIONED;
    case HD_DUTY_ENTERING_MAINTENANCE:
        return HDW__ADMIN_STATE__ADMIN_ENTERING_MAINTENANCE;
    case HD_DUTY_IN_MAINTENANCE:
        return HDW__ADMIN_STATE__ADMIN_IN_MAINTENANCE;
    }
    return HDW__ADMIN_STATE__ADMIN_NORMAL;
}

static void sum_storages(struct hd_meta *m, const struct hd_node *node, Hdw__DatanodeInfo *info)
{
    uint32_t blocks = 0;
    for (uint32_t i = 0; i < node->storage_count; i++) {
        const struct hd_storage *s = hd_nodes_storage(&m->nodes, node->storages[i]);
        blocks += s->block_count;
        info->capacity += s->capacity_bytes;
        info->dfs_used += s->used_bytes;
        info->remaining += s->remaining_bytes;
        info->block_pool_used += s->pool_used_bytes;
        info->non_dfs_used += s->non_dfs_used_bytes;
    }
    info->num_blocks = blocks;
}

Hdw__DatanodeInfo *hd_node_info(struct hd_meta *m, struct hd_node *node)
{
    if (node->info_turn == m->turn && node->info != NULL) {
        return node->info;
    }
    Hdw__DatanodeInfo *info = HD_MSG(m, Hdw__DatanodeInfo, hdw__datanode_info);
    Hdw__DatanodeID *id = HD_MSG(m, Hdw__DatanodeID, hdw__datanode_id);
    id->ip_addr = node->ip;
    id->host_name = node->host;
    id->datanode_uuid = node->uuid;
    id->xfer_port = node->xfer_port;
    id->info_port = node->info_port;
    id->ipc_port = node->ipc_port;
    id->has_info_secure_port = true;
    id->info_secure_port = node->info_secure_port;
    info->id = id;
    info->has_capacity = info->has_dfs_used = info->has_remaining = true;
    info->has_block_pool_used = info->has_last_update = info->has_xceiver_count = true;
    info->has_non_dfs_used = info->has_admin_state = info->has_cache_capacity = true;
    info->has_cache_used = info->has_last_update_monotonic = true;
    info->has_last_block_report_time = info->has_last_block_report_monotonic = true;
    info->has_num_blocks = true;
    sum_storages(m, node, info);
    info->last_update = (uint64_t)node->heard_wall.v;
    info->xceiver_count = node->xceivers;
    info->location = node->rack;
    info->admin_state = admin_state(node);
    info->cache_capacity = node->cache_capacity;
    info->cache_used = node->cache_used;
    info->last_update_monotonic = (uint64_t)node->heard.v;
    info->last_block_report_time = (uint64_t)node->report_wall.v;
    info->last_block_report_monotonic = (uint64_t)node->report_mono.v;
    node->info = info;
    node->info_turn = m->turn;
    return info;
}
