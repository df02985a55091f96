/*
 * The sweep: what a dead node or a failed storage had leaves the block map, a few thousand replicas
 * a step. They count no more from the first moment: the storage is `losing`, and begins an epoch
 * that is not theirs. What the node, back again, reports meanwhile is of the new one and stays.
 */
#include "meta/core/block_map.h"
#include "meta/core/mem.h"
#include "meta/core/state.h"

static int compare_blocks(const void *a, const void *b)
{
    uint64_t x = (*(struct hd_blk *const *)a)->id.v;
    uint64_t y = (*(struct hd_blk *const *)b)->id.v;
    return x < y ? -1 : x > y;
}

/* Bad replicas are few: they go at once. */
static void drop_losing_bad(struct hd_meta *m)
{
    struct hd_blk **all = NULL;
    size_t count = 0;
    size_t capacity = 0;
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (hd_map_next(&m->bad, &cursor, &id, &value)) {
        HD_MEM_GROW(all, count, capacity);
        all[count++] = hd_ns_block(&m->ns, (struct hd_block_id){id});
    }
    if (count > 0) {
        qsort(all, count, sizeof(struct hd_blk *), compare_blocks);
    }
    for (size_t n = 0; n < count; n++) {
        struct hd_blk *b = all[n];
        const struct hd_bad_replicas *bad;
        for (uint32_t i = 0; (bad = hd_blk_bad(m, b)) != NULL && i < bad->count;) {
            const struct hd_storage *s = hd_nodes_storage(&m->nodes, bad->items[i].storage);
            if (s->losing && bad->items[i].epoch != s->epoch) {
                hd_blk_drop_bad(m, b, bad->items[i].storage);
            } else {
                i++;
            }
        }
        hd_repair_check(m, b);
    }
    free(all);
}

static void begin_losing(struct hd_storage *s)
{
    s->losing = true;
    s->epoch++;
    s->sweep_left = UINT32_MAX;
}

static void start_sweep(struct hd_meta *m)
{
    m->sweep.on = true;
    drop_losing_bad(m);
}

/* Walks the storage's list downwards. True: it has none left to lose. */
static bool sweep_storage(struct hd_meta *m, struct hd_storage *s, size_t *most)
{
    s->sweep_left = HD_MIN(s->sweep_left, s->replicas.count);
    while (s->sweep_left > 0) {
        if (*most == 0) {
            return false;
        }
        (*most)--;
        s->sweep_left--;
        struct hd_blk *b = hd_replica_list_at(&s->replicas, s->sweep_left);
        if (hd_replica_is_losing(m, hd_blk_find_replica(b, s->index))) {
            hd_blk_drop_replica(m, b, s->index);
            hd_repair_check(m, b);
        }
        s->sweep_left = HD_MIN(s->sweep_left, s->replicas.count);
    }
    s->losing = false;
    return true;
}

void hd_block_map_sweep(struct hd_meta *m, size_t most)
{
    bool more = false;
    for (uint32_t i = 0; m->sweep.on && !more && i < m->nodes.storage_count; i++) {
        struct hd_storage *s = m->nodes.storages[i];
        more = s->losing && !sweep_storage(m, s, &most);
    }
    m->sweep.on = more;
}

void hd_block_map_drop_node(struct hd_meta *m, struct hd_node *node)
{
    hd_repair_drop_node(m, node->index);
    for (uint32_t n = 0; n < node->storage_count; n++) {
        begin_losing(hd_nodes_storage(&m->nodes, node->storages[n]));
    }
    start_sweep(m);
}

void hd_block_map_drop_storage(struct hd_meta *m, struct hd_storage *s)
{
    begin_losing(s);
    start_sweep(m);
}
