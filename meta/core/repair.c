/* The repair queue. See repair.h. */
#include "meta/core/repair.h"
#include "meta/core/block_map.h"
#include "meta/core/layout.h"
#include "meta/core/mem.h"
#include "meta/core/placement.h"
#include "meta/core/state.h"

enum {
    ORDERS_PER_TURN = 256,
    LOOKS_PER_TURN = 2048,
    COPY_TIMEOUT_MS = 10000,
    DELETION_TIMEOUT_MS = 30000,
    LOW_DELAY_MS = 100,
    COPY_BYTES_PER_MS = 8192, /* the slowest copy that is waited for */
    COPY_UNIT_BYTES = 8 << 20,
    STREAM_UNITS = 17, /* a copy of a default block: what one stream may have under way */
};

/* What a copy weighs against its source's streams: many small ones go in the place of a large. */
static uint32_t copy_units(const struct hd_blk *b)
{
    return 1 + (uint32_t)HD_MIN(b->size_bytes / COPY_UNIT_BYTES, (uint64_t)STREAM_UNITS - 1);
}

void hd_repairs_init(struct hd_repairs *r)
{
    *r = (struct hd_repairs){0};
    for (int i = 0; i < HD_REPAIR_CLASSES; i++) {
        hd_list_init(&r->queues[i]);
    }
}

void hd_repairs_done(struct hd_repairs *r)
{
    for (int i = 0; i < HD_REPAIR_CLASSES; i++) {
        HD_LIST_FOR_SAFE(it, &r->queues[i])
        {
            struct hd_repair *e = HD_LIST_ENTRY(it, struct hd_repair, link);
            free(e->copies);
            free(e);
        }
    }
}

static void set_low(struct hd_meta *m, struct hd_repair *e, bool low)
{
    if (e->low != low) {
        m->repairs.low = low ? m->repairs.low + 1 : m->repairs.low - 1;
        e->low = low;
    }
}

static void leave_queue(struct hd_meta *m, struct hd_repair *e)
{
    hd_list_remove(&e->link);
    m->repairs.counts[e->class]--;
}

static void enter_queue(struct hd_meta *m, struct hd_repair *e, enum hd_repair_class class)
{
    e->class = class;
    m->repairs.counts[class]++;
    hd_list_push_back(&m->repairs.queues[class], &e->link);
}

/* Moves the block's entry (made when there is none) to a class; keeps its place if it is there. */
static struct hd_repair *queue_as(struct hd_meta *m, struct hd_blk *b, enum hd_repair_class class,
                                  int64_t delay_ms)
{
    struct hd_repair *e = b->repair;
    if (e == NULL) {
        e = HD_MEM_NEW(struct hd_repair);
        e->block = b;
        b->repair = e;
    } else if (e->class == class) {
        return e;
    } else {
        leave_queue(m, e);
    }
    enter_queue(m, e, class);
    e->not_before.v = m->now.v + delay_ms;
    return e;
}

static void end_copy(struct hd_meta *m, struct hd_repair *e, uint32_t index)
{
    struct hd_node *source = m->nodes.all[e->copies[index].source];
    source->copy_units -= HD_MIN(source->copy_units, e->copies[index].units);
    e->copies[index] = e->copies[--e->copy_count];
}

void hd_repair_forget(struct hd_meta *m, struct hd_blk *b)
{
    struct hd_repair *e = b->repair;
    if (e == NULL) {
        return;
    }
    while (e->copy_count > 0) {
        end_copy(m, e, 0);
    }
    set_low(m, e, false);
    leave_queue(m, e);
    b->repair = NULL;
    free(e->copies);
    free(e);
}

void hd_repair_arrived(struct hd_meta *m, struct hd_blk *b, uint16_t storage)
{
    struct hd_repair *e = b->repair;
    for (uint32_t i = 0; e != NULL && i < e->copy_count; i++) {
        if (e->copies[i].target == storage) {
            end_copy(m, e, i);
            return;
        }
    }
}

bool hd_repair_is_ordered(const struct hd_blk *b, uint16_t storage)
{
    const struct hd_repair *e = b->repair;
    for (uint32_t i = 0; e != NULL && i < e->copy_count; i++) {
        if (e->copies[i].target == storage) {
            return true;
        }
    }
    return false;
}

void hd_repair_drop_node(struct hd_meta *m, uint16_t node)
{
    HD_LIST_FOR_SAFE(it, &m->repairs.queues[HD_REPAIR_WAITING])
    {
        struct hd_repair *e = HD_LIST_ENTRY(it, struct hd_repair, link);
        bool dropped = false;
        for (uint32_t i = 0; i < e->copy_count;) {
            if (e->copies[i].source == node ||
                hd_nodes_storage(&m->nodes, e->copies[i].target)->node == node) {
                end_copy(m, e, i);
                dropped = true;
            } else {
                i++;
            }
        }
        if (dropped) {
            hd_repair_check(m, e->block);
        }
    }
}

/* ---- too many ---- */

static bool counts(const struct hd_meta *m, const struct hd_replica *r)
{
    const struct hd_node *node = hd_nodes_of_storage(&m->nodes, r->storage);
    return r->state == HD_REPLICA_FINALIZED && node->duty == HD_DUTY_IN_SERVICE &&
           !hd_replica_is_losing(m, r);
}

static uint32_t count_rack(struct hd_meta *m, struct hd_blk *b, const char *rack)
{
    uint32_t count = 0;
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        count += counts(m, &r[i]) &&
                 strcmp(hd_nodes_of_storage(&m->nodes, r[i].storage)->rack, rack) == 0;
    }
    return count;
}

/* All that count are on one rack, and could be on two. */
static bool is_crowded(struct hd_meta *m, struct hd_blk *b, const struct hd_blk_count *count)
{
    if (count->live < 2 || !hd_nodes_many_racks(m)) {
        return false;
    }
    const struct hd_replica *r = hd_blk_replicas(b);
    uint16_t first = 0;
    while (!counts(m, &r[first])) {
        first++;
    }
    const char *rack = hd_nodes_of_storage(&m->nodes, r[first].storage)->rack;
    return count_rack(m, b, rack) == count->live;
}

/* Would two racks be left without that node's? */
static bool keeps_racks(struct hd_meta *m, struct hd_blk *b, const struct hd_node *without)
{
    const char *rack = NULL;
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_node *node = hd_nodes_of_storage(&m->nodes, r[i].storage);
        if (node == without || !counts(m, &r[i])) {
            continue;
        }
        if (rack != NULL && strcmp(rack, node->rack) != 0) {
            return true;
        }
        rack = node->rack;
    }
    return false;
}

/* How much better than others it is to give this replica up; 0: not at all. */
static uint32_t rank_excess(struct hd_meta *m, struct hd_blk *b, const struct hd_replica *r)
{
    const struct hd_storage *s = hd_nodes_storage(&m->nodes, r->storage);
    const struct hd_node *node = m->nodes.all[s->node];
    if (!counts(m, r) || node->state != HD_NODE_LIVE || !s->reported) {
        return 0;
    }
    bool shares_rack = count_rack(m, b, node->rack) > 1;
    bool hinted = m->delete_hint != NULL && strcmp(m->delete_hint, node->uuid) == 0;
    return hinted && (shares_rack || keeps_racks(m, b, node)) ? 3 : 1 + shares_rack;
}

/*
 * The replica to give up: the one that the balancer has moved away, unless a rack is lost by it;
 * not the last of its rack while another rack has more; then the one where there is least space.
 */
static const struct hd_replica *choose_excess(struct hd_meta *m, struct hd_blk *b)
{
    const struct hd_replica *best = NULL;
    uint32_t best_rank = 0;
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        uint32_t rank = rank_excess(m, b, r);
        if (rank > best_rank || (rank > 0 && rank == best_rank &&
                                 hd_nodes_storage(&m->nodes, r->storage)->remaining_bytes <
                                     hd_nodes_storage(&m->nodes, best->storage)->remaining_bytes)) {
            best = r;
            best_rank = rank;
        }
    }
    return best;
}

/* True when replicas on nodes that cannot be trusted now keep it from trimming. */
static bool trim(struct hd_meta *m, struct hd_blk *b)
{
    uint32_t expected = hd_blk_expected(b);
    struct hd_blk_count count;
    while ((count = hd_blk_count(m, b)).live > expected) {
        if (count.fresh <= expected) {
            return true;
        }
        const struct hd_replica *r = choose_excess(m, b);
        uint16_t storage = r->storage;
        hd_block_map_invalidate(m, storage, b->id, b->gs, b->size_bytes);
        hd_blk_drop_replica(m, b, storage);
    }
    return false;
}

/* ---- where a copy could go ---- */

static void exclude_holders(struct hd_meta *m, struct hd_blk *b, bool *excluded)
{
    for (uint16_t i = 0; i < b->replica_count; i++) {
        excluded[hd_nodes_storage(&m->nodes, hd_blk_replicas(b)[i].storage)->node] = true;
    }
    const struct hd_bad_replicas *bad = hd_blk_bad(m, b);
    for (uint32_t i = 0; bad != NULL && i < bad->count; i++) {
        excluded[hd_nodes_storage(&m->nodes, bad->items[i].storage)->node] = true;
    }
    for (uint32_t i = 0; b->repair != NULL && i < b->repair->copy_count; i++) {
        excluded[hd_nodes_storage(&m->nodes, b->repair->copies[i].target)->node] = true;
    }
}

/* Nodes that are about to be told to delete a replica of it would refuse a new one. */
static void exclude_deleting(struct hd_meta *m, struct hd_blk *b, bool *excluded)
{
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        excluded[i] |= hd_node_is_deleting(m->nodes.all[i], b->id);
    }
}

static bool choose_target(struct hd_meta *m, struct hd_blk *b, const char *source_rack,
                          bool other_rack_only, uint16_t *ret_storage)
{
    bool *excluded = HD_TURN_ARRAY(m, bool, m->nodes.count);
    exclude_holders(m, b, excluded);
    exclude_deleting(m, b, excluded);
    const struct hd_placement want = {.count = 1,
                                      .excluded = excluded,
                                      .reported_only = true,
                                      .size_bytes = b->size_bytes,
                                      .other_than_rack = source_rack,
                                      .other_rack_only = other_rack_only};
    return hd_placement_choose(m, &want, ret_storage) > 0;
}

/* ---- bad ones ---- */

/*
 * Every node that could take a copy has a bad replica: one of them makes room. Not the last but
 * one of all that is left: while one good replica is known, and nobody has read it lately, a bad
 * one is what could be salvaged.
 */
static bool is_in_the_way(struct hd_meta *m, struct hd_blk *b, uint32_t good)
{
    const struct hd_bad_replicas *bad = hd_blk_bad(m, b);
    uint32_t expected = hd_blk_expected(b);
    uint32_t coming = b->repair != NULL ? b->repair->copy_count : 0;
    uint32_t ordered = 0;
    uint16_t storage;
    for (uint32_t i = 0; i < bad->count; i++) {
        ordered += bad->items[i].ordered;
    }
    bool safe = good >= 1 && (good >= HD_MIN(2u, expected - 1) || good + bad->count - ordered > 2);
    return safe && good + coming + ordered < expected &&
           !choose_target(m, b, NULL, false, &storage);
}

/*
 * A bad replica goes once enough good ones exist; at once when its stamp is old; and when it is in
 * the way. Its mark stays until the node says that it is deleted, so that a report that crosses the
 * order does not make it a good one; unless the node says nothing for long.
 */
static void drop_bad(struct hd_meta *m, struct hd_blk *b)
{
    uint32_t good = hd_blk_count(m, b).fresh;
    struct hd_bad_replicas *bad;
    for (uint32_t i = 0; (bad = hd_blk_bad(m, b)) != NULL && i < bad->count;) {
        struct hd_bad_replica *item = &bad->items[i];
        if (item->ordered && hd_meta_past(m, item->ordered_at, DELETION_TIMEOUT_MS)) {
            hd_blk_drop_bad(m, b, item->storage);
            continue;
        }
        if (!item->ordered && (good >= hd_blk_expected(b) || (good >= 1 && item->gs.v < b->gs.v) ||
                               is_in_the_way(m, b, good))) {
            hd_block_map_invalidate(m, item->storage, b->id, item->gs, item->size_bytes);
            item->ordered = true;
            item->ordered_at = m->now;
        }
        i++;
    }
}

/* ---- what a block needs ---- */

/* Those that lost writes stay for as long as there is no whole one: they will be compared. */
static void drop_expected(struct hd_meta *m, struct hd_blk *b)
{
    bool whole = hd_blk_live(m, b, false) > 0;
    for (uint16_t i = b->replica_count; i > 0; i--) {
        struct hd_replica r = hd_blk_replicas(b)[i - 1];
        if (r.state != HD_REPLICA_FINALIZED && (whole || r.state != HD_REPLICA_STOPPED)) {
            hd_blk_drop_replica(m, b, r.storage);
        }
    }
}

/* Live replicas that it is to have, the one that brings it to a second rack included. */
static uint32_t wanted(struct hd_meta *m, struct hd_blk *b, const struct hd_blk_count *count)
{
    uint32_t needed = hd_blk_needed(m, b, count);
    return count->live >= needed && is_crowded(m, b, count) ? count->live + 1 : needed;
}

/* Which class a block that wants more belongs to, and how long it has to wait there. */
static enum hd_repair_class class_of(struct hd_meta *m, struct hd_blk *b,
                                     const struct hd_blk_count *count, int64_t last_delay_ms,
                                     int64_t *ret_delay_ms)
{
    uint32_t copies = b->repair != NULL ? b->repair->copy_count : 0;
    uint32_t needed = hd_blk_needed(m, b, count);
    *ret_delay_ms = 0;
    if (count->readable == 0) {
        return HD_REPAIR_MISSING;
    }
    if (count->live + copies >= wanted(m, b, count)) {
        return HD_REPAIR_WAITING;
    }
    if (count->live >= needed) {
        return HD_REPAIR_CROWDED;
    }
    if (count->live + count->leaving >= needed) {
        return HD_REPAIR_LOW; /* nothing is lost yet, and nobody is expected back */
    }
    *ret_delay_ms = last_delay_ms;
    if (count->readable > 1) { /* replicas that are told of one by one are not made anew at once */
        *ret_delay_ms = HD_MAX(last_delay_ms, HD_MIN(m->o.repair_grace_ms, (int64_t)LOW_DELAY_MS));
    }
    return count->readable == 1 ? HD_REPAIR_LAST : HD_REPAIR_LOW;
}

static void check(struct hd_meta *m, struct hd_blk *b, int64_t last_delay_ms)
{
    drop_expected(m, b);
    drop_bad(m, b);
    bool held_up = trim(m, b) || b->has_corrupt;
    struct hd_blk_count count = hd_blk_count(m, b);
    if (count.live >= wanted(m, b, &count) && count.readable > 0) {
        if (held_up) {
            set_low(m, queue_as(m, b, HD_REPAIR_WAITING, m->o.stale_ms), false);
        } else {
            hd_repair_forget(m, b);
        }
        return;
    }
    int64_t delay_ms;
    enum hd_repair_class class = class_of(m, b, &count, last_delay_ms, &delay_ms);
    bool low = count.live + count.leaving < hd_blk_needed(m, b, &count);
    set_low(m, queue_as(m, b, class, delay_ms), low && count.readable > 0);
}

static bool has_enough(struct hd_meta *m, struct hd_blk *b)
{
    struct hd_blk_count count = hd_blk_count(m, b);
    return count.live >= wanted(m, b, &count);
}

void hd_repair_check(struct hd_meta *m, struct hd_blk *b)
{
    if (b->state != HD_BLOCK_COMPLETE || hd_blk_is_hole(b)) {
        return;
    }
    if (m->safe.starting) {
        return; /* all are looked at when it ends */
    }
    if (b->repair != NULL && b->repair->class == HD_REPAIR_SETTLING &&
        m->now.v < b->repair->not_before.v && !has_enough(m, b)) {
        return;
    }
    check(m, b, 0);
}

void hd_repair_settle(struct hd_meta *m, struct hd_blk *b)
{
    if (hd_blk_count(m, b).live == hd_blk_expected(b) && has_enough(m, b) && !b->has_corrupt) {
        hd_repair_forget(m, b);
        return;
    }
    queue_as(m, b, HD_REPAIR_SETTLING, m->o.repair_grace_ms);
}

/* ---- ordering copies ---- */

static struct hd_node *choose_source(struct hd_meta *m, struct hd_blk *b)
{
    struct hd_node *best = NULL;
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        struct hd_node *node = hd_nodes_of_storage(&m->nodes, r->storage);
        if (r->state != HD_REPLICA_FINALIZED || node->state == HD_NODE_DEAD || !node->registered ||
            hd_replica_is_losing(m, r) ||
            node->copy_units + copy_units(b) > m->o.repair_streams_per_node * STREAM_UNITS) {
            continue;
        }
        if (best == NULL || node->state < best->state ||
            (node->state == best->state && node->copy_units < best->copy_units)) {
            best = node;
        }
    }
    return best;
}

static bool order_copy(struct hd_meta *m, struct hd_blk *b, bool other_rack_only)
{
    struct hd_repair *e = b->repair;
    struct hd_node *source = choose_source(m, b);
    if (source == NULL || e->copy_count == HD_REPAIR_COPIES_MAX) {
        return false;
    }
    uint16_t target;
    if (!choose_target(m, b, source->rack, other_rack_only, &target)) {
        return false;
    }
    HD_MEM_GROW(source->transfers, source->transfer_count, source->transfer_capacity);
    source->transfers[source->transfer_count++] = (struct hd_transfer){b->id, target};
    source->copy_units += copy_units(b);
    HD_MEM_GROW(e->copies, e->copy_count, e->copy_capacity);
    e->copies[e->copy_count++] = (struct hd_repair_copy){
        .source = source->index,
        .target = target,
        .units = copy_units(b),
        .deadline = {m->now.v + COPY_TIMEOUT_MS + (int64_t)(b->size_bytes / COPY_BYTES_PER_MS)},
    };
    return true;
}

/* Copies that were not reported in time are given up. True: there were some. */
static bool expire_copies(struct hd_meta *m, struct hd_repair *e)
{
    bool expired = false;
    for (uint32_t i = 0; i < e->copy_count;) {
        if (m->now.v >= e->copies[i].deadline.v) {
            end_copy(m, e, i);
            expired = true;
        } else {
            i++;
        }
    }
    return expired;
}

/* Orders what the blocks of one queue need; those that get nothing go to its end. */
static void work_queue(struct hd_meta *m, enum hd_repair_class class, int *orders, int *looks)
{
    uint64_t entries = m->repairs.counts[class];
    for (; entries > 0 && *orders > 0 && *looks > 0; entries--, (*looks)--) {
        struct hd_list *first = m->repairs.queues[class].next;
        struct hd_repair *e = HD_LIST_ENTRY(first, struct hd_repair, link);
        hd_list_remove(first);
        hd_list_push_back(&m->repairs.queues[class], first);
        struct hd_blk_count count = hd_blk_count(m, e->block);
        expire_copies(m, e);
        if (m->now.v < e->not_before.v || count.live >= hd_nodes_in_service(m)) {
            continue;
        }
        uint32_t more = wanted(m, e->block, &count);
        while (count.live + e->copy_count < more &&
               order_copy(m, e->block, class == HD_REPAIR_CROWDED)) {
            (*orders)--;
        }
        check(m, e->block, 0);
    }
}

static void work_settling(struct hd_meta *m)
{
    struct hd_list *queue = &m->repairs.queues[HD_REPAIR_SETTLING];
    while (!hd_list_empty(queue)) {
        struct hd_repair *e = HD_LIST_ENTRY(queue->next, struct hd_repair, link);
        if (m->now.v < e->not_before.v) {
            return;
        }
        check(m, e->block, 0);
    }
}

static void work_waiting(struct hd_meta *m)
{
    HD_LIST_FOR_SAFE(it, &m->repairs.queues[HD_REPAIR_WAITING])
    {
        struct hd_repair *e = HD_LIST_ENTRY(it, struct hd_repair, link);
        bool again = e->copy_count == 0 && m->now.v >= e->not_before.v;
        again |= expire_copies(m, e);
        if (again) {
            check(m, e->block, 0);
        }
    }
}

void hd_repair_work(struct hd_meta *m)
{
    if (hd_safe_mode_on(m)) {
        return;
    }
    int orders = ORDERS_PER_TURN;
    int looks = LOOKS_PER_TURN;
    work_settling(m);
    work_waiting(m);
    work_queue(m, HD_REPAIR_LAST, &orders, &looks);
    work_queue(m, HD_REPAIR_LOW, &orders, &looks);
    work_queue(m, HD_REPAIR_CROWDED, &orders, &looks);
}

static int compare_blocks(const void *a, const void *b)
{
    uint64_t x = (*(struct hd_blk *const *)a)->id.v;
    uint64_t y = (*(struct hd_blk *const *)b)->id.v;
    return x < y ? -1 : x > y;
}

/* Names and nothing more: a block is not touched before its turn. */
void hd_repair_check_all(struct hd_meta *m)
{
    enum { AT_ONCE = 8192 };
    struct hd_check *c = &m->check;
    size_t cursor = 0;
    void *value;
    free(c->ids);
    c->count = 0;
    c->ids = hd_mem_new(sizeof(*c->ids) * (m->ns.blocks.count + 1));
    while (hd_map_next(&m->ns.blocks, &cursor, &c->ids[c->count], &value)) {
        c->count++;
    }
    hd_repair_check_more(m, AT_ONCE);
}

/* Can it need anything? What the nodes are and where they stand may matter to every block. */
static bool is_to_be_checked(struct hd_meta *m, const struct hd_blk *b)
{
    return b->state == HD_BLOCK_COMPLETE &&
           (b->has_corrupt || b->replica_count != hd_blk_expected(b) ||
            m->ns.node_admins.count > 0 || hd_nodes_many_racks(m));
}

bool hd_repair_check_more(struct hd_meta *m, size_t most)
{
    struct hd_check *c = &m->check;
    if (c->count == 0) {
        return false;
    }
    size_t n = HD_MIN(most, c->count);
    struct hd_blk **some = HD_TURN_ARRAY(m, struct hd_blk *, n);
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        struct hd_blk *b = hd_ns_block(&m->ns, (struct hd_block_id){c->ids[--c->count]});
        if (b != NULL && is_to_be_checked(m, b)) {
            some[count++] = b;
        }
    }
    if (count > 0) { /* no order of the map gets out */
        qsort(some, count, sizeof(struct hd_blk *), compare_blocks);
    }
    for (size_t i = 0; i < count; i++) {
        check(m, some[i], m->o.repair_grace_ms); /* nodes are still coming up: no storm of copies */
    }
    if (c->count == 0) {
        free(c->ids);
        c->ids = NULL;
        hd_drain_start_all(m);
    }
    return c->count > 0;
}
