/* Draining of nodes. See drain.h. */
#include "meta/core/drain.h"
#include "meta/core/block_map.h"
#include "meta/core/mem.h"
#include "meta/core/state.h"

enum { ROUND_MS = 1000, LOOKS_PER_ROUND = 8192 };

static uint64_t count_added(const struct hd_meta *m, const struct hd_node *node)
{
    uint64_t added = 0;
    for (uint32_t i = 0; i < node->storage_count; i++) {
        added += hd_nodes_storage(&m->nodes, node->storages[i])->replicas.added;
    }
    return added;
}

static void set_phase(struct hd_meta *m, struct hd_node *node, enum hd_drain_phase phase)
{
    struct hd_drain *d = &node->drain;
    m->nodes.draining += (phase != HD_DRAIN_IDLE) - (d->phase != HD_DRAIN_IDLE);
    d->phase = phase;
    d->begun = false;
}

void hd_drain_start(struct hd_meta *m, struct hd_node *node)
{
    set_phase(m, node, HD_DRAIN_WALKING);
}

void hd_drain_stop(struct hd_meta *m, struct hd_node *node)
{
    set_phase(m, node, HD_DRAIN_IDLE);
    free(node->drain.waiting);
    node->drain = (struct hd_drain){0};
}

void hd_drain_start_all(struct hd_meta *m)
{
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        if (m->nodes.all[i]->duty != HD_DUTY_IN_SERVICE) {
            hd_drain_start(m, m->nodes.all[i]);
        }
    }
}

uint64_t hd_drain_waiting(const struct hd_node *node)
{
    const struct hd_drain *d = &node->drain;
    return d->phase == HD_DRAIN_WATCHING ? d->kept + (d->waiting_count - d->looked)
                                         : d->waiting_count;
}

/* ---- one block ---- */

/* Of a file being written: its last block is somewhere else, too. */
static bool is_written_elsewhere(const struct hd_meta *m, struct hd_blk *b)
{
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        const struct hd_node *node = hd_nodes_of_storage(&m->nodes, r->storage);
        if (r->state != HD_REPLICA_EXPECTED && node->duty == HD_DUTY_IN_SERVICE &&
            node->state == HD_NODE_LIVE && !hd_replica_is_losing(m, r)) {
            return true;
        }
    }
    return false;
}

/* Of a file being written: the node has all of the block, and meta will be told in a moment. */
static bool is_finished_on(const struct hd_meta *m, struct hd_blk *b, const struct hd_node *node)
{
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        if (hd_nodes_of_storage(&m->nodes, r->storage) == node) {
            return r->state == HD_REPLICA_FINALIZED;
        }
    }
    return false;
}

/*
 * HDFS's rule, and a way out for small clusters: where fewer nodes are left than the block is to
 * have replicas, one on each of them is enough. A node that died lately is waited for,
 * and after a start it is not known for a while how many there are.
 */
static bool needs(struct hd_meta *m, struct hd_blk *b, const struct hd_node *node)
{
    if (b->state != HD_BLOCK_COMPLETE) {
        return is_finished_on(m, b, node) || !is_written_elsewhere(m, b);
    }
    struct hd_blk_count count = hd_blk_count(m, b);
    uint32_t needed = hd_blk_needed(m, b, &count);
    if (hd_node_in_maintenance(node)) {
        needed = HD_MIN(m->o.maintenance_replicas_min, hd_blk_expected(b));
    }
    if (hd_meta_past(m, m->started, m->o.lease_soft_ms)) {
        needed = HD_MIN(needed, HD_MAX(hd_nodes_expected(m), 1u));
    }
    return count.live < needed;
}

static bool is_draining(const struct hd_node *node)
{
    return node->duty == HD_DUTY_DECOMMISSIONING || node->duty == HD_DUTY_ENTERING_MAINTENANCE;
}

static void look_at(struct hd_meta *m, struct hd_node *node, struct hd_blk *b)
{
    struct hd_drain *d = &node->drain;
    hd_repair_check(m, b);
    if (is_draining(node) && needs(m, b, node)) {
        HD_MEM_GROW(d->waiting, d->waiting_count, d->waiting_capacity);
        d->waiting[d->waiting_count++] = b->id.v;
    }
}

/* ---- the walk ---- */

static bool may_walk(struct hd_meta *m, const struct hd_node *node)
{
    if (hd_safe_mode_on(m) || m->check.count > 0) {
        return false;
    }
    if (node->state == HD_NODE_DEAD) {
        return true;
    }
    return hd_node_has_reported(m, node);
}

static void begin_walk(struct hd_meta *m, struct hd_node *node)
{
    struct hd_drain *d = &node->drain;
    d->begun = true;
    d->storage = 0;
    d->left = UINT32_MAX;
    d->added = count_added(m, node);
    d->waiting_count = d->looked = d->kept = 0;
}

/* True: the walk has seen all. */
static bool walk(struct hd_meta *m, struct hd_node *node, uint32_t most)
{
    struct hd_drain *d = &node->drain;
    for (; d->storage < node->storage_count; d->storage++, d->left = UINT32_MAX) {
        const struct hd_storage *s = hd_nodes_storage(&m->nodes, node->storages[d->storage]);
        d->left = HD_MIN(d->left, s->replicas.count);
        while (d->left > 0) {
            if (most-- == 0) {
                return false;
            }
            d->left--;
            look_at(m, node, hd_replica_list_at(&s->replicas, d->left));
            d->left = HD_MIN(d->left, s->replicas.count);
        }
    }
    return true;
}

/* A decommissioning node that is away: what it alone had would be missing, or low. */
static bool may_be_given_up(const struct hd_meta *m, const struct hd_node *node)
{
    return node->state != HD_NODE_DEAD || node->duty != HD_DUTY_DECOMMISSIONING ||
           (m->repairs.low == 0 && m->repairs.counts[HD_REPAIR_MISSING] == 0 && !m->sweep.on);
}

static void watch(struct hd_meta *m, struct hd_node *node)
{
    set_phase(m, node, HD_DRAIN_WATCHING);
    node->drain.looked = node->drain.kept = 0;
    node->drain.next_round.v = m->now.v + ROUND_MS;
}

static void end_walk(struct hd_meta *m, struct hd_node *node)
{
    struct hd_drain *d = &node->drain;
    if (!is_draining(node)) {
        hd_drain_stop(m, node);
    } else if (d->waiting_count > 0 || !may_be_given_up(m, node)) {
        watch(m, node);
    } else if (d->added != count_added(m, node)) {
        hd_drain_start(m, node); /* replicas have come meanwhile */
    } else {
        bool decommission = node->duty == HD_DUTY_DECOMMISSIONING;
        node->duty = decommission ? HD_DUTY_DECOMMISSIONED : HD_DUTY_IN_MAINTENANCE;
        hd_meta_trace(m, "node %s:%u %s: no block needs it", node->ip, node->xfer_port,
                      decommission ? "is decommissioned" : "is in maintenance");
        hd_drain_stop(m, node);
    }
}

/* ---- the rounds over those that need it ---- */

static bool has_replica_on(const struct hd_meta *m, struct hd_blk *b, const struct hd_node *node)
{
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (hd_nodes_of_storage(&m->nodes, hd_blk_replicas(b)[i].storage) == node) {
            return true;
        }
    }
    return false;
}

static bool round_of(struct hd_meta *m, struct hd_node *node)
{
    struct hd_drain *d = &node->drain;
    if (m->now.v < d->next_round.v || hd_safe_mode_on(m)) {
        return false;
    }
    for (int looks = LOOKS_PER_ROUND; d->looked < d->waiting_count; looks--) {
        if (looks == 0) {
            return true;
        }
        uint64_t id = d->waiting[d->looked++];
        struct hd_blk *b = hd_ns_block(&m->ns, (struct hd_block_id){id});
        if (b != NULL && has_replica_on(m, b, node) && needs(m, b, node)) {
            d->waiting[d->kept++] = id;
        }
    }
    d->waiting_count = d->kept;
    d->looked = d->kept = 0;
    d->next_round.v = m->now.v + ROUND_MS;
    if (d->waiting_count == 0) {
        hd_drain_start(m, node);
        return true;
    }
    return false;
}

static bool work_on(struct hd_meta *m, struct hd_node *node, uint32_t most)
{
    struct hd_drain *d = &node->drain;
    switch (d->phase) {
    case HD_DRAIN_IDLE:
        return false;
    case HD_DRAIN_WALKING:
        if (!may_walk(m, node)) {
            return false;
        }
        if (!d->begun) {
            begin_walk(m, node);
        }
        if (walk(m, node, most)) {
            end_walk(m, node);
        }
        return d->phase == HD_DRAIN_WALKING;
    case HD_DRAIN_WATCHING:
        return round_of(m, node);
    }
    hd_unreachable();
}

bool hd_drain_work(struct hd_meta *m, uint32_t most)
{
    bool more = false;
    for (uint32_t i = 0; m->nodes.draining > 0 && i < m->nodes.count; i++) {
        more |= work_on(m, m->nodes.all[i], most);
    }
    return more;
}
