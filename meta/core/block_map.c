/* The block map. See block_map.h. */
#include "meta/core/block_map.h"
#include "meta/core/layout.h"
#include "meta/core/mem.h"
#include "meta/core/open_file.h"
#include "meta/core/state.h"

/* ---- replicas of a block ---- */

struct hd_replica *hd_blk_replicas(struct hd_blk *b)
{
    return b->replica_capacity > HD_REPLICAS_INLINE ? b->replicas.many : b->replicas.few;
}

struct hd_replica *hd_blk_find_replica(struct hd_blk *b, uint16_t storage)
{
    struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (r[i].storage == storage) {
            return &r[i];
        }
    }
    return NULL;
}

/* The replica on any storage of that storage's node; NULL: none. */
static struct hd_replica *find_on_node(struct hd_meta *m, struct hd_blk *b, uint16_t storage)
{
    struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (hd_nodes_storage(&m->nodes, r[i].storage)->node ==
            hd_nodes_storage(&m->nodes, storage)->node) {
            return &r[i];
        }
    }
    return NULL;
}

static struct hd_replica *add_replica(struct hd_meta *m, struct hd_blk *b, uint16_t storage)
{
    if (b->replica_count == b->replica_capacity) {
        uint16_t capacity = (uint16_t)(b->replica_capacity * 2);
        struct hd_replica *many = hd_mem_new(sizeof(*many) * capacity);
        memcpy(many, hd_blk_replicas(b), sizeof(*many) * b->replica_count);
        if (b->replica_capacity > HD_REPLICAS_INLINE) {
            free(b->replicas.many);
        }
        b->replicas.many = many;
        b->replica_capacity = capacity;
    }
    struct hd_replica *r = &hd_blk_replicas(b)[b->replica_count++];
    *r = (struct hd_replica){.storage = storage, .state = HD_REPLICA_EXPECTED};
    r->slot = hd_replica_list_add(&hd_nodes_storage(&m->nodes, storage)->replicas, b);
    return r;
}

/* Takes the replica out of its storage's list; what takes its place there is told. */
static void leave_list(struct hd_meta *m, const struct hd_replica *r)
{
    struct hd_storage *s = hd_nodes_storage(&m->nodes, r->storage);
    struct hd_blk *moved = hd_replica_list_remove(&s->replicas, r->slot);
    if (moved != NULL) {
        hd_blk_find_replica(moved, r->storage)->slot = r->slot;
    }
}

static void count_storage(struct hd_storage *s, uint8_t before, uint8_t after)
{
    if (before == HD_REPLICA_FINALIZED) {
        s->block_count--;
    }
    if (after == HD_REPLICA_FINALIZED) {
        s->block_count++;
    }
}

/* One more has an open block: a recovery that is under way has not asked it. */
static void note_holder(struct hd_meta *m, const struct hd_blk *b)
{
    struct hd_open_block *o = hd_open_block_of(&m->ns, b);
    if (o != NULL) {
        o->grown = true;
    }
}

void hd_blk_set_replica(struct hd_meta *m, struct hd_blk *b, uint16_t storage, uint8_t state)
{
    struct hd_storage *s = hd_nodes_storage(&m->nodes, storage);
    struct hd_replica *r = hd_blk_find_replica(b, storage);
    if (r == NULL && (r = find_on_node(m, b, storage)) != NULL) {
        /* The node has put it elsewhere than it was told, or moved it: there is one on a node. */
        count_storage(hd_nodes_storage(&m->nodes, r->storage), r->state, HD_REPLICA_EXPECTED);
        leave_list(m, r);
        *r = (struct hd_replica){.storage = storage, .state = HD_REPLICA_EXPECTED};
        r->slot = hd_replica_list_add(&s->replicas, b);
    } else if (r == NULL) {
        r = add_replica(m, b, storage);
        note_holder(m, b);
    }
    count_storage(s, r->state, state);
    r->state = state;
    r->epoch = s->epoch;
    if ((state == HD_REPLICA_FINALIZED || state == HD_REPLICA_STOPPED) &&
        b->state == HD_BLOCK_COMPLETE) {
        hd_safe_mode_block_safe(m, b);
    }
}

void hd_blk_drop_replica(struct hd_meta *m, struct hd_blk *b, uint16_t storage)
{
    struct hd_replica *r = hd_blk_find_replica(b, storage);
    if (r == NULL) {
        return;
    }
    count_storage(hd_nodes_storage(&m->nodes, storage), r->state, HD_REPLICA_EXPECTED);
    leave_list(m, r);
    struct hd_replica *last = &hd_blk_replicas(b)[b->replica_count - 1];
    memmove(r, r + 1, sizeof(*r) * (size_t)(last - r));
    b->replica_count--;
    if (hd_blk_live(m, b, false) == 0) {
        hd_safe_mode_block_unsafe(m, b);
    }
}

bool hd_replica_is_losing(const struct hd_meta *m, const struct hd_replica *r)
{
    const struct hd_storage *s = hd_nodes_storage(&m->nodes, r->storage);
    return s->losing && r->epoch != s->epoch;
}

struct hd_blk_count hd_blk_count(const struct hd_meta *m, struct hd_blk *b)
{
    struct hd_blk_count count = {0};
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_node *node = hd_nodes_of_storage(&m->nodes, r[i].storage);
        if (r[i].state != HD_REPLICA_FINALIZED || hd_replica_is_losing(m, &r[i])) {
            continue;
        }
        count.readable += node->state != HD_NODE_DEAD;
        if (hd_node_is_leaving(node)) {
            count.leaving++;
        } else if (hd_node_in_maintenance(node)) {
            count.maintenance++;
        } else {
            count.live++;
            count.fresh +=
                node->state == HD_NODE_LIVE && hd_nodes_storage(&m->nodes, r[i].storage)->reported;
        }
    }
    return count;
}

uint32_t hd_blk_live(const struct hd_meta *m, struct hd_blk *b, bool fresh_only)
{
    uint32_t live = 0;
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_node *node = hd_nodes_of_storage(&m->nodes, r[i].storage);
        if (r[i].state != HD_REPLICA_FINALIZED || node->state == HD_NODE_DEAD ||
            hd_replica_is_losing(m, &r[i])) {
            continue;
        }
        if (fresh_only &&
            (node->state != HD_NODE_LIVE || !hd_nodes_storage(&m->nodes, r[i].storage)->reported)) {
            continue;
        }
        live++;
    }
    return live;
}

uint32_t hd_blk_needed(const struct hd_meta *m, const struct hd_blk *b,
                       const struct hd_blk_count *count)
{
    /* Of a node in maintenance that was not seen since meta started it is not known what it has. */
    uint32_t away = count->maintenance + m->absent_in_maintenance;
    uint32_t expected = hd_blk_expected(b);
    uint32_t least = HD_MIN(m->o.maintenance_replicas_min, expected);
    return HD_MAX(expected - HD_MIN(away, expected), least);
}

uint32_t hd_blk_expected(const struct hd_blk *b)
{
    return b->file->replication;
}

/* ---- bad replicas ---- */

struct hd_bad_replicas *hd_blk_bad(const struct hd_meta *m, const struct hd_blk *b)
{
    return b->has_corrupt ? hd_map_get(&m->bad, b->id.v) : NULL;
}

static struct hd_bad_replica *find_bad(const struct hd_meta *m, const struct hd_blk *b,
                                       uint16_t storage)
{
    struct hd_bad_replicas *all = hd_blk_bad(m, b);
    for (uint32_t i = 0; all != NULL && i < all->count; i++) {
        if (all->items[i].storage == storage) {
            return &all->items[i];
        }
    }
    return NULL;
}

void hd_blk_add_bad(struct hd_meta *m, struct hd_blk *b, uint16_t storage, struct hd_genstamp gs,
                    uint64_t size_bytes)
{
    hd_blk_drop_replica(m, b, storage);
    struct hd_bad_replica *item = find_bad(m, b, storage);
    if (item == NULL) {
        struct hd_bad_replicas *all = hd_blk_bad(m, b);
        if (all == NULL) {
            all = HD_MEM_NEW(struct hd_bad_replicas);
            int err = hd_map_put(&m->bad, b->id.v, all);
            hd_assert(err == 0);
            b->has_corrupt = true;
        }
        HD_MEM_GROW(all->items, all->count, all->capacity);
        item = &all->items[all->count++];
    }
    *item = (struct hd_bad_replica){
        .storage = storage,
        .epoch = hd_nodes_storage(&m->nodes, storage)->epoch,
        .gs = gs,
        .size_bytes = size_bytes,
    };
}

static void drop_all_bad(struct hd_meta *m, struct hd_blk *b)
{
    if (b->has_corrupt) {
        struct hd_bad_replicas *all = hd_map_remove(&m->bad, b->id.v);
        free(all->items);
        free(all);
        b->has_corrupt = false;
    }
}

void hd_blk_drop_bad(struct hd_meta *m, struct hd_blk *b, uint16_t storage)
{
    struct hd_bad_replicas *all = hd_blk_bad(m, b);
    struct hd_bad_replica *item = find_bad(m, b, storage);
    if (item == NULL) {
        return;
    }
    all->count--;
    memmove(item, item + 1, sizeof(*item) * (size_t)(&all->items[all->count] - item));
    if (all->count == 0) {
        drop_all_bad(m, b);
    }
}

void hd_block_map_invalidate(struct hd_meta *m, uint16_t storage, struct hd_block_id id,
                             struct hd_genstamp gs, uint64_t size_bytes)
{
    struct hd_node *node = hd_nodes_of_storage(&m->nodes, storage);
    if (node->state != HD_NODE_DEAD) {
        hd_node_invalidate(node, (struct hd_invalidate){id, gs, size_bytes, m->ns.txid});
    }
}

/* ---- completion ---- */

static void wake_parked(struct hd_meta *m, struct hd_blk *b)
{
    if (!b->awaited) {
        return;
    }
    b->awaited = false;
    HD_LIST_FOR(it, &m->parked)
    {
        struct hd_parked *p = HD_LIST_ENTRY(it, struct hd_parked, link);
        if (p->block.v == b->id.v) {
            p->ready = true;
        }
    }
}

static void settle(struct hd_meta *m, struct hd_blk *b)
{
    hd_repair_settle(m, b);
    wake_parked(m, b);
}

static void check_complete(struct hd_meta *m, struct hd_blk *b)
{
    if (b->state == HD_BLOCK_COMMITTED && hd_blk_live(m, b, false) > 0) {
        b->state = HD_BLOCK_COMPLETE;
        settle(m, b);
    }
}

static void note_early(struct hd_open_block *f, uint16_t storage, const struct hd_reported *r)
{
    struct hd_early_report *item = NULL;
    for (uint32_t i = 0; i < f->early_count; i++) {
        if (f->early[i].storage == storage) {
            item = &f->early[i];
        }
    }
    if (item == NULL) {
        HD_MEM_GROW(f->early, f->early_count, f->early_capacity);
        item = &f->early[f->early_count++];
    }
    *item = (struct hd_early_report){storage, r->gs, r->size_bytes};
}

static const struct hd_early_report *early_of(const struct hd_early_report *all, uint32_t count,
                                              uint16_t storage)
{
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].storage == storage) {
            return &all[i];
        }
    }
    return NULL;
}

static const struct hd_early_report *find_early(const struct hd_open_block *f, uint16_t storage)
{
    return f != NULL ? early_of(f->early, f->early_count, storage) : NULL;
}

struct hd_early_reports hd_block_map_early(struct hd_meta *m, const struct hd_blk *b)
{
    const struct hd_open_block *o = hd_open_block_of(&m->ns, b);
    struct hd_early_reports early = {.count = o != NULL ? o->early_count : 0};
    struct hd_early_report *items = HD_TURN_ARRAY(m, struct hd_early_report, early.count);
    if (early.count > 0) {
        memcpy(items, o->early, sizeof(*items) * early.count);
    }
    early.items = items;
    return early;
}

void hd_block_map_committed(struct hd_meta *m, struct hd_blk *b,
                            const struct hd_early_reports *reports)
{
    for (uint16_t i = b->replica_count; i > 0; i--) {
        struct hd_replica *r = &hd_blk_replicas(b)[i - 1];
        uint16_t storage = r->storage;
        const struct hd_early_report *early = early_of(reports->items, reports->count, storage);
        if (r->state != HD_REPLICA_FINALIZED || early == NULL) {
            continue;
        }
        if (early->gs.v != b->gs.v || early->size_bytes != b->size_bytes) {
            hd_blk_add_bad(m, b, storage, early->gs, early->size_bytes);
        }
    }
    check_complete(m, b);
}

static bool contains(const uint16_t *storages, size_t count, uint16_t storage)
{
    for (size_t i = 0; i < count; i++) {
        if (storages[i] == storage) {
            return true;
        }
    }
    return false;
}

void hd_block_map_chain(struct hd_meta *m, struct hd_blk *b, struct hd_genstamp old_gs,
                        const uint16_t *told, size_t count)
{
    const struct hd_open_block *f = hd_open_block_of(&m->ns, b);
    uint16_t *storages = HD_TURN_ARRAY(m, uint16_t, count);
    for (size_t i = 0; i < count; i++) {
        const struct hd_replica *known = find_on_node(m, b, told[i]);
        storages[i] = known != NULL ? known->storage : told[i]; /* a node may choose another one */
    }
    for (uint16_t i = b->replica_count; i > 0; i--) {
        struct hd_replica r = hd_blk_replicas(b)[i - 1];
        if (contains(storages, count, r.storage)) {
            continue;
        }
        if (old_gs.v != 0 && old_gs.v != b->gs.v) {
            hd_blk_add_bad(m, b, r.storage, old_gs, b->size_bytes);
        } else {
            hd_blk_drop_replica(m, b, r.storage);
        }
    }
    for (size_t i = 0; i < count; i++) {
        const struct hd_early_report *early = find_early(f, storages[i]);
        bool there = early != NULL && early->gs.v >= b->gs.v;
        hd_blk_drop_bad(m, b, storages[i]);
        hd_blk_set_replica(m, b, storages[i], there ? HD_REPLICA_FINALIZED : HD_REPLICA_EXPECTED);
    }
}

/*
 * What is whole stays so until its node says otherwise: a writer that opens a block and closes it
 * without having written finds it as it was.
 */
void hd_block_map_reopened(struct hd_meta *m, struct hd_blk *b, uint64_t size_bytes)
{
    struct hd_open_block *o = hd_open_block_of(&m->ns, b);
    hd_repair_forget(m, b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        if (r->state == HD_REPLICA_FINALIZED) {
            note_early(o, r->storage, &(struct hd_reported){.gs = b->gs, .size_bytes = size_bytes});
        }
    }
}

void hd_block_map_recovered(struct hd_meta *m, struct hd_blk *b, const struct hd_recovered *o)
{
    for (uint16_t i = b->replica_count; i > 0; i--) {
        uint16_t storage = hd_blk_replicas(b)[i - 1].storage;
        const struct hd_early_report *early = early_of(o->early.items, o->early.count, storage);
        bool updated = early != NULL && early->gs.v == b->gs.v &&
                       early->size_bytes == b->size_bytes; /* only its answer was lost */
        if (!updated && !contains(o->storages, o->count, storage)) {
            hd_blk_add_bad(m, b, storage, early != NULL ? early->gs : o->old_gs, b->size_bytes);
        }
    }
    for (size_t i = 0; i < o->count; i++) {
        hd_blk_drop_bad(m, b, o->storages[i]);
        hd_blk_set_replica(m, b, o->storages[i], HD_REPLICA_FINALIZED);
    }
    if (b->state == HD_BLOCK_COMPLETE) { /* by the record */
        settle(m, b);
    } else {
        check_complete(m, b);
    }
}

void hd_block_map_gone(void *meta, struct hd_blk *b)
{
    struct hd_meta *m = meta;
    const struct hd_bad_replicas *bad = hd_blk_bad(m, b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        hd_block_map_invalidate(m, r->storage, b->id, b->gs, INT64_MAX);
        count_storage(hd_nodes_storage(&m->nodes, r->storage), r->state, HD_REPLICA_EXPECTED);
        leave_list(m, r);
    }
    for (uint32_t i = 0; bad != NULL && i < bad->count; i++) {
        hd_block_map_invalidate(m, bad->items[i].storage, b->id, bad->items[i].gs, INT64_MAX);
    }
    b->replica_count = 0;
    drop_all_bad(m, b);
    hd_repair_forget(m, b);
    hd_safe_mode_block_unsafe(m, b);
    wake_parked(m, b);
}

/* ---- reports ---- */

static void report_unknown(struct hd_meta *m, struct hd_storage *s, const struct hd_reported *r)
{
    if (r->id.v >= m->ns.next_block || r->gs.v >= m->ns.next_gs) {
        /* The node knows more than this namespace: it may be an older copy. Delete nothing. */
        m->blocks_in_future++;
        hd_meta_trace(m, "block blk_%llu_%llu was never given out here; kept on %s",
                      (unsigned long long)r->id.v, (unsigned long long)r->gs.v, s->uuid);
        return;
    }
    hd_block_map_invalidate(m, s->index, r->id, r->gs, r->size_bytes);
}

/* There is a whole one: those that lost writes are worth nothing any more. */
static void drop_stopped(struct hd_meta *m, struct hd_blk *b)
{
    for (uint16_t i = b->replica_count; i > 0; i--) {
        const struct hd_replica r = hd_blk_replicas(b)[i - 1];
        if (r.state == HD_REPLICA_STOPPED) {
            hd_blk_add_bad(m, b, r.storage, b->gs, b->size_bytes);
        }
    }
}

static void report_finalized(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                             const struct hd_reported *r)
{
    if (b->state == HD_BLOCK_OPEN) {
        if (r->gs.v < b->gs.v) {
            hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
            return;
        }
        note_early(hd_open_block_of(&m->ns, b), s->index, r);
        hd_blk_set_replica(m, b, s->index, HD_REPLICA_FINALIZED);
        return;
    }
    bool matches = r->gs.v == b->gs.v && r->size_bytes == b->size_bytes;
    struct hd_bad_replica *bad = find_bad(m, b, s->index);
    if (!matches) {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
    } else if (bad != NULL && bad->gs.v == b->gs.v && bad->size_bytes == b->size_bytes) {
        bad->epoch = s->epoch; /* a reader found it corrupt: a report does not heal it */
        bad->ordered = false;  /* and it is still there */
    } else {
        hd_blk_drop_bad(m, b, s->index);
        hd_blk_set_replica(m, b, s->index, HD_REPLICA_FINALIZED);
        hd_repair_arrived(m, b, s->index);
        drop_stopped(m, b);
    }
    if (b->state == HD_BLOCK_COMMITTED) {
        check_complete(m, b);
    } else {
        hd_repair_check(m, b);
    }
}

/*
 * The node stopped before the end of this replica was on its disk, or lost the name it had as a
 * finished one: what is there has all bytes of the block, so the node is told to finish it. Enough
 * others: it goes.
 */
static void report_unfinished(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                              const struct hd_reported *r)
{
    hd_blk_drop_replica(m, b, s->index);
    if (b->state == HD_BLOCK_COMPLETE && !m->safe.starting &&
        hd_blk_live(m, b, true) >= hd_blk_expected(b)) {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
    } else {
        struct hd_node *node = m->nodes.all[s->node];
        HD_MEM_GROW(node->finishes, node->finish_count, node->finish_capacity);
        node->finishes[node->finish_count++] = b->id;
    }
    hd_repair_check(m, b);
}

static void report_writing(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                           const struct hd_reported *r, bool restarted)
{
    const struct hd_replica *known = hd_blk_find_replica(b, s->index);
    if (b->state == HD_BLOCK_OPEN) {
        const struct hd_early_report *early = find_early(hd_open_block_of(&m->ns, b), s->index);
        bool crossed = !restarted && known != NULL && known->state == HD_REPLICA_FINALIZED &&
                       early != NULL && early->gs.v >= r->gs.v;
        if (r->gs.v >= b->gs.v) {
            uint8_t unfinished = restarted ? HD_REPLICA_STOPPED : HD_REPLICA_WRITING;
            hd_blk_set_replica(m, b, s->index, crossed ? HD_REPLICA_FINALIZED : unfinished);
        } else if (restarted) { /* the chain went on without it: nobody will bring it up to date */
            hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
        }
    } else if (restarted && r->gs.v == b->gs.v && r->size_bytes >= b->size_bytes) {
        report_unfinished(m, s, b, r);
    } else if (r->gs.v < b->gs.v || (restarted && r->size_bytes != b->size_bytes)) {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
        hd_repair_check(m, b);
    } else if (known != NULL) {
        /* The report crossed the one that it is whole. */
        hd_blk_set_replica(m, b, s->index, known->state);
    }
}

/*
 * Under a recovery, of which this process may know nothing: it has to be told to somebody again,
 * who is found by this replica. A recovery that went on without it leaves it as it was.
 */
static void report_recovering(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                              const struct hd_reported *r)
{
    const struct hd_replica *known = hd_blk_find_replica(b, s->index);
    bool crossed = known != NULL && known->state == HD_REPLICA_FINALIZED;
    if (b->state == HD_BLOCK_OPEN && r->gs.v >= b->gs.v && !crossed) {
        bool writing = known != NULL && known->state == HD_REPLICA_WRITING;
        hd_blk_set_replica(m, b, s->index, writing ? HD_REPLICA_WRITING : HD_REPLICA_STOPPED);
    } else if (b->state != HD_BLOCK_OPEN && r->gs.v == b->gs.v && !crossed) {
        if (r->size_bytes >= b->size_bytes) {
            report_unfinished(m, s, b, r);
        } else { /* it was told to finish it, and found that it has not all of it */
            hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
            hd_repair_check(m, b);
        }
    }
    if (b->state == HD_BLOCK_COMPLETE && r->gs.v < b->gs.v && !crossed) {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
        hd_repair_check(m, b);
    }
}

/* None of the replicas that are known is whole: they are compared, in a moment (op_lease.c). */
static void keep_for_recovery(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b)
{
    hd_blk_drop_bad(m, b, s->index);
    hd_blk_set_replica(m, b, s->index, HD_REPLICA_STOPPED);
    int err = hd_map_put(&m->dirty, b->id.v, m);
    hd_assert(err == 0);
    hd_repair_check(m, b);
}

/*
 * A closed block has a newer stamp on its node: it was opened again, and the records of that were
 * lost in a power cut. What its writer told nobody to keep need not be kept; but when no other
 * replica is left, these have all that was there before. True: that was it.
 */
static bool report_newer(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                         const struct hd_reported *r)
{
    if (b->state == HD_BLOCK_OPEN || r->gs.v <= b->gs.v || r->gs.v >= m->ns.next_gs ||
        r->state == HDW__REPLICA_STATE__REPLICA_TEMPORARY || hd_blk_live(m, b, false) > 0) {
        return false;
    }
    keep_for_recovery(m, s, b);
    return true;
}

/*
 * Finalized once, but its machine went down with writes that were not on its disk: which of them it
 * has is not known. With a whole replica elsewhere it is replaced by a copy of that; else the nodes
 * compare what they have (op_lease.c).
 */
static void report_dirty(struct hd_meta *m, struct hd_storage *s, struct hd_blk *b,
                         const struct hd_reported *r)
{
    if (b->state == HD_BLOCK_OPEN) {
        report_writing(m, s, b, r, true);
    } else if (r->gs.v < b->gs.v || (r->gs.v == b->gs.v && hd_blk_live(m, b, false) > 0)) {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
        hd_repair_check(m, b);
    } else if (r->gs.v == b->gs.v) {
        keep_for_recovery(m, s, b);
    } else {
        hd_blk_add_bad(m, b, s->index, r->gs, r->size_bytes);
    }
}

void hd_block_map_report(struct hd_meta *m, struct hd_storage *s, struct hd_reported r)
{
    struct hd_blk *b = hd_ns_block(&m->ns, r.id);
    if (b == NULL) {
        report_unknown(m, s, &r);
        return;
    }
    if (report_newer(m, s, b, &r)) {
        return;
    }
    switch (r.state) {
    case HDW__REPLICA_STATE__REPLICA_FINALIZED:
        report_finalized(m, s, b, &r);
        break;
    case HDW__REPLICA_STATE__REPLICA_RBW:
        report_writing(m, s, b, &r, false);
        break;
    case HDW__REPLICA_STATE__REPLICA_RWR:
        report_writing(m, s, b, &r, true);
        break;
    case HDW__REPLICA_STATE__REPLICA_RUR:
        report_recovering(m, s, b, &r);
        break;
    case HDW__REPLICA_STATE__REPLICA_DIRTY:
        report_dirty(m, s, b, &r);
        break;
    default: /* temporary: the outcome will be reported */
        break;
    }
}

void hd_block_map_deleted(struct hd_meta *m, struct hd_storage *s, struct hd_block_id id)
{
    struct hd_blk *b = hd_ns_block(&m->ns, id);
    if (b == NULL) {
        return;
    }
    hd_blk_drop_bad(m, b, s->index);
    hd_blk_drop_replica(m, b, s->index);
    hd_repair_check(m, b);
}

void hd_block_map_report_begin(struct hd_storage *s)
{
    s->epoch++;
}

static int compare_ids(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void hd_block_map_report_end(struct hd_meta *m, struct hd_storage *s)
{
    uint64_t *ids = HD_TURN_ARRAY(m, uint64_t, m->bad.count);
    size_t count = 0;
    size_t cursor = 0;
    void *value;
    if (!s->reported) {
        s->reported = true;
        hd_safe_mode_news(m);
    }
    while (hd_map_next(&m->bad, &cursor, &ids[count], &value)) {
        count++;
    }
    if (count > 1) { /* no order of the map gets out */
        qsort(ids, count, sizeof(*ids), compare_ids);
    }
    for (size_t i = 0; i < count; i++) {
        struct hd_blk *b = hd_ns_block(&m->ns, (struct hd_block_id){ids[i]});
        const struct hd_bad_replica *bad = find_bad(m, b, s->index);
        if (bad != NULL && bad->epoch != s->epoch) {
            hd_blk_drop_bad(m, b, s->index);
            hd_repair_check(m, b);
        }
    }
}
