/*
 * The sweep: what a dead node or a failed storage had leaves the block map, a few thousand blocks a
 * step. Its replicas count no more from the first moment (storages are marked as `losing`).
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

static bool has_losing(struct hd_meta *m, struct hd_blk *b)
{
    const struct hd_replica *r = hd_blk_replicas(b);
    for (uint16_t i = 0; i < b->replica_count; i++) {
        if (hd_nodes_storage(&m->nodes, r[i].storage)->losing) {
            return true;
        }
    }
    return false;
}

static void drop_losing(struct hd_meta *m, struct hd_blk *b)
{
    for (uint16_t i = b->replica_count; i > 0; i--) {
        uint16_t storage = hd_blk_replicas(b)[i - 1].storage;
        if (hd_nodes_storage(&m->nodes, storage)->losing) {
            hd_blk_drop_replica(m, b, storage);
        }
    }
    hd_repair_check(m, b);
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
            uint16_t storage = bad->items[i].storage;
            if (hd_nodes_storage(&m->nodes, storage)->losing) {
                hd_blk_drop_bad(m, b, storage);
            } else {
                i++;
            }
        }
        hd_repair_check(m, b);
    }
    free(all);
}

static void start_sweep(struct hd_meta *m)
{
    m->sweep.on = true;
    m->sweep.cursor = 0;
    drop_losing_bad(m);
}

/*
 * The end of a pass over the blocks. Blocks that came and went meanwhile may have moved others out
 * of its way: a storage is done when it has none left.
 */
static void end_pass(struct hd_meta *m)
{
    m->sweep.on = false;
    m->sweep.cursor = 0;
    for (uint32_t i = 0; i < m->nodes.storage_count; i++) {
        struct hd_storage *s = m->nodes.storages[i];
        s->losing = s->losing && s->block_count > 0;
        m->sweep.on |= s->losing;
    }
}

void hd_block_map_sweep(struct hd_meta *m, size_t most)
{
    struct hd_blk **found = NULL;
    size_t count = 0;
    size_t capacity = 0;
    bool more = true;
    void *value;
    if (!m->sweep.on) {
        return;
    }
    while (most-- > 0 && (more = hd_map_next(&m->ns.blocks, &m->sweep.cursor, NULL, &value))) {
        if (has_losing(m, value)) {
            HD_MEM_GROW(found, count, capacity);
            found[count++] = value;
        }
    }
    if (count > 0) { /* no order of the map gets out */
        qsort(found, count, sizeof(struct hd_blk *), compare_blocks);
    }
    for (size_t i = 0; i < count; i++) {
        drop_losing(m, found[i]);
    }
    free(found);
    if (!more) {
        end_pass(m);
    }
}

void hd_block_map_sweep_storage(struct hd_meta *m, const struct hd_storage *s)
{
    while (s->losing) {
        hd_block_map_sweep(m, SIZE_MAX);
    }
}

void hd_block_map_drop_node(struct hd_meta *m, struct hd_node *node)
{
    hd_repair_drop_node(m, node->index);
    for (uint32_t n = 0; n < node->storage_count; n++) {
        hd_nodes_storage(&m->nodes, node->storages[n])->losing = true;
    }
    start_sweep(m);
}

void hd_block_map_drop_storage(struct hd_meta *m, struct hd_storage *s)
{
    s->losing = true;
    start_sweep(m);
}
