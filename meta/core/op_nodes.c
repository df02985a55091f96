/* howdah.MetaProtocol: what administrators and the balancer ask of data nodes. */
#include "meta/core/op.h"
#include "meta/core/record_make.h"
#include "howdah.pb-c.h"

/* ---- setNodeState ---- */

/* A node that is away is found by what it was known by when its state was asked for. */
static const struct hd_node_admin *find_away(const struct hd_ns *ns, const char *text)
{
    for (uint32_t i = 0; i < ns->node_admins.count; i++) {
        const struct hd_node_admin *a = &ns->node_admins.items[i];
        if (strcmp(a->uuid, text) == 0 || strcmp(a->address, text) == 0 ||
            (a->name[0] != '\0' && strcmp(a->name, text) == 0)) {
            return a;
        }
    }
    return NULL;
}

static int unknown_node(struct hd_call *c, const char *text)
{
    const char *known = "";
    for (uint32_t i = 0; i < c->m->nodes.count && i < 8; i++) {
        const struct hd_node *node = c->m->nodes.all[i];
        known = node->name[0] != '\0'
                    ? hd_call_printf(c, "%s %s", known, node->name)
                    : hd_call_printf(c, "%s %s:%u", known, node->ip, node->xfer_port);
    }
    return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "No data node is known as %s. %s%s", text,
                        known[0] != '\0' ? "There are:" : "None has registered yet.", known);
}

static int wish_of(struct hd_call *c, const Hdw__SetNodeStateRequest *q, Hdm__NodeAdmin *op)
{
    switch (q->state) {
    case HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE:
        op->wish = HD_WISH_NONE;
        return 0;
    case HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING:
    case HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED:
        op->wish = HD_WISH_DECOMMISSION;
        return 0;
    case HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE:
    case HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE:
        op->wish = HD_WISH_MAINTENANCE;
        op->has_until_ms = q->has_until_ms && q->until_ms != 0;
        op->until_ms = (int64_t)HD_MIN(q->until_ms, (uint64_t)INT64_MAX);
        if (op->has_until_ms && op->until_ms <= c->m->wall.v) {
            return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT,
                                "The end of the maintenance of %s has passed", q->node);
        }
        return 0;
    case _HDW__NODE_ADMIN_STATE_IS_INT_SIZE:
        break;
    }
    return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "No such state of a data node: %d", q->state);
}

/* Is it what holds already? Then no record is made. */
static bool is_so(const struct hd_call *c, const Hdm__NodeAdmin *op)
{
    const struct hd_node_admin *a = hd_node_admins_find(&c->ns->node_admins, op->uuid);
    return a == NULL ? op->wish == HD_WISH_NONE
                     : op->wish == a->wish && a->until_ms == (op->has_until_ms ? op->until_ms : 0);
}

int hd_op_set_node_state(struct hd_call *c)
{
    const Hdw__SetNodeStateRequest *q = c->request;
    struct hd_node *node = hd_nodes_resolve(&c->m->nodes, q->node);
    const struct hd_node_admin *away = node == NULL ? find_away(c->ns, q->node) : NULL;
    Hdm__NodeAdmin op = HDM__NODE_ADMIN__INIT;
    if (node == NULL && away == NULL) {
        return unknown_node(c, q->node);
    }
    if (node != NULL) {
        op.uuid = node->uuid;
        op.name = node->name;
        op.host = node->host;
        op.address = hd_call_printf(c, "%s:%u", node->ip, node->xfer_port);
    } else {
        op.uuid = hd_call_printf(c, "%s", away->uuid);
        op.name = hd_call_printf(c, "%s", away->name);
        op.host = hd_call_printf(c, "%s", away->host);
        op.address = hd_call_printf(c, "%s", away->address);
    }
    int err = wish_of(c, q, &op);
    if (err < 0) {
        return err;
    }
    if (!is_so(c, &op)) {
        if (op.wish != HD_WISH_NONE && c->ns->node_admins.count >= HD_NODE_ADMINS_MAX) {
            return hd_call_fail(c, -HD_E_ILLEGAL_ARGUMENT, "%d data nodes are not in service",
                                HD_NODE_ADMINS_MAX);
        }
        HD_COMMIT(c->m, node_admin, NODE_ADMIN, &op);
        hd_nodes_take_wishes(c->m, node);
    }
    return hd_op_nothing(c);
}

/* ---- getNodes ---- */

static const char *state_name(const struct hd_node *node)
{
    switch (node->state) {
    case HD_NODE_LIVE:
        return "live";
    case HD_NODE_STALE:
        return "stale";
    case HD_NODE_DEAD:
        break;
    }
    return "dead";
}

static Hdw__NodeReport *report_of(struct hd_call *c, struct hd_node *node)
{
    const Hdw__DatanodeInfo *info = hd_node_info(c->m, node);
    Hdw__NodeReport *r = HD_MSG(c->m, Hdw__NodeReport, hdw__node_report);
    r->uuid = node->uuid;
    r->address = hd_call_printf(c, "%s:%u", node->ip, node->xfer_port);
    r->host = node->host;
    r->ipc_port = node->ipc_port;
    r->rack = node->rack;
    r->admin_state = (Hdw__NodeAdminState)node->duty;
    r->state = hd_unconst(state_name(node));
    r->has_until_ms = node->until_ms != 0;
    r->until_ms = (uint64_t)node->until_ms;
    r->capacity_bytes = info->capacity;
    r->used_bytes = info->dfs_used;
    r->remaining_bytes = info->remaining;
    r->blocks = info->num_blocks;
    r->last_contact_ms = info->last_update;
    r->last_scan_ms = node->last_scan_ms;
    r->blocks_to_move = hd_drain_waiting(node);
    r->failed_volumes = node->failed_volumes;
    r->name = node->name[0] != '\0' ? node->name : NULL;
    return r;
}

/* A node that was not seen since meta started. */
static Hdw__NodeReport *report_of_away(struct hd_call *c, const struct hd_node_admin *a)
{
    Hdw__NodeReport *r = HD_MSG(c->m, Hdw__NodeReport, hdw__node_report);
    bool missed = hd_safe_mode_on(c->m) || c->m->repairs.low > 0 ||
                  c->m->repairs.counts[HD_REPAIR_MISSING] > 0;
    r->uuid = a->uuid;
    r->address = a->address;
    r->host = a->host;
    r->rack = hd_unconst(HD_DEFAULT_RACK);
    r->admin_state = a->wish == HD_WISH_MAINTENANCE ? HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE
                     : missed                       ? HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING
                                                    : HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED;
    r->state = hd_unconst("dead");
    r->has_until_ms = a->until_ms != 0;
    r->until_ms = (uint64_t)a->until_ms;
    r->name = a->name[0] != '\0' ? a->name : NULL;
    return r;
}

int hd_op_get_nodes(struct hd_call *c)
{
    const struct hd_node_admins *away = &c->ns->node_admins;
    Hdw__GetNodesResponse *r = HD_MSG(c->m, Hdw__GetNodesResponse, hdw__get_nodes_response);
    r->nodes = HD_TURN_ARRAY(c->m, Hdw__NodeReport *, c->m->nodes.count + away->count);
    for (uint32_t i = 0; i < c->m->nodes.count; i++) {
        r->nodes[r->n_nodes++] = report_of(c, c->m->nodes.all[i]);
    }
    for (uint32_t i = 0; i < away->count; i++) {
        if (hd_nodes_find(&c->m->nodes, away->items[i].uuid) == NULL) {
            r->nodes[r->n_nodes++] = report_of_away(c, &away->items[i]);
        }
    }
    return hd_call_done(c, &r->base);
}

/* ---- getNodeBlocks ---- */

enum { NODE_BLOCKS_MAX = 10000 };

/* A cursor: which of the node's storages, and how many slots of it are left; 0: none. */
static uint64_t cursor_of(uint32_t storage, uint32_t left)
{
    return (uint64_t)(storage + 1) << 32 | left;
}

static Hdw__NodeBlock *node_block(struct hd_call *c, struct hd_blk *b)
{
    Hdw__NodeBlock *n = HD_MSG(c->m, Hdw__NodeBlock, hdw__node_block);
    n->block_id = b->id.v;
    n->generation_stamp = b->gs.v;
    n->size_bytes = b->size_bytes;
    n->uuids = HD_TURN_ARRAY(c->m, char *, b->replica_count);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        n->uuids[n->n_uuids++] = hd_nodes_of_storage(&c->m->nodes, r->storage)->uuid;
    }
    return n;
}

/* Whole, enough of it, and nothing is being done about it. */
static bool may_be_moved(const struct hd_call *c, struct hd_blk *b, uint16_t storage)
{
    const struct hd_replica *r = hd_blk_find_replica(b, storage);
    return b->state == HD_BLOCK_COMPLETE && b->repair == NULL && !b->has_corrupt &&
           r->state == HD_REPLICA_FINALIZED && !hd_replica_is_losing(c->m, r);
}

int hd_op_get_node_blocks(struct hd_call *c)
{
    const Hdw__GetNodeBlocksRequest *q = c->request;
    const struct hd_node *node = hd_nodes_find(&c->m->nodes, q->uuid);
    uint32_t storage = q->cursor == 0 ? 0 : (uint32_t)(q->cursor >> 32) - 1;
    uint32_t left = q->cursor == 0 ? UINT32_MAX : (uint32_t)q->cursor;
    uint32_t looks = HD_MIN(q->count, NODE_BLOCKS_MAX);
    if (node == NULL) {
        return unknown_node(c, q->uuid);
    }
    Hdw__GetNodeBlocksResponse *r =
        HD_MSG(c->m, Hdw__GetNodeBlocksResponse, hdw__get_node_blocks_response);
    r->blocks = HD_TURN_ARRAY(c->m, Hdw__NodeBlock *, looks);
    for (; storage < node->storage_count; storage++, left = UINT32_MAX) {
        const struct hd_storage *s = hd_nodes_storage(&c->m->nodes, node->storages[storage]);
        left = HD_MIN(left, s->replicas.count);
        for (; left > 0 && looks > 0; left--, looks--) {
            struct hd_blk *b = hd_replica_list_at(&s->replicas, left - 1);
            if (may_be_moved(c, b, s->index)) {
                r->blocks[r->n_blocks++] = node_block(c, b);
            }
        }
        if (left > 0) {
            r->cursor = cursor_of(storage, left);
            break;
        }
    }
    return hd_call_done(c, &r->base);
}
