/*
 * What a drill will break: the blocks that have copies on its targets, and how many copies each of
 * them is left with. Meta is asked for the blocks of each target, with the nodes of all copies.
 */
#include "tools/drill/call.h"
#include "tools/drill/drill.h"
#include "fs/base/arena.h"
#include "fs/base/error.h"
#include "fs/base/map.h"

#include <errno.h>

enum { BLOCKS_A_CALL = 1000, BLOCKS_MAX = 200000 };

struct blast {
    char uuids[HD_DRILL_TARGETS][HD_UUID_TEXT_BYTES]; /* of the targets that are data nodes */
    size_t uuid_count;
    struct hd_map seen; /* block ids: two targets may hold the same */
    struct hd_blast *out;
};

static int find_uuids(const struct hd_drill_run *r, const char *meta, struct hd_arena *arena,
                      struct blast *b)
{
    Hdw__GetNodesResponse *nodes;
    int rc = hd_drill_get_nodes(meta, arena, &nodes);
    for (size_t t = 0; rc == 0 && t < HD_DRILL_TARGETS; t++) {
        if (r->targets[t] == NULL || r->targets[t]->role != HD_ROLE_DATA) {
            continue;
        }
        for (size_t i = 0; i < nodes->n_nodes; i++) {
            if (strcmp(nodes->nodes[i]->address, r->targets[t]->address) == 0) {
                snprintf(b->uuids[b->uuid_count++], HD_UUID_TEXT_BYTES, "%s",
                         nodes->nodes[i]->uuid);
            }
        }
    }
    return rc;
}

static void count_block(struct blast *b, const Hdw__NodeBlock *block)
{
    size_t left = block->n_uuids;
    for (size_t i = 0; i < block->n_uuids; i++) {
        for (size_t t = 0; t < b->uuid_count; t++) {
            left -= strcmp(block->uuids[i], b->uuids[t]) == 0;
        }
    }
    b->out->blocks++;
    *(left == 0   ? &b->out->to_none
      : left == 1 ? &b->out->to_one
      : left == 2 ? &b->out->to_two
                  : &b->out->to_more) += 1;
}

static int count_target(struct blast *b, const char *meta, const char *uuid)
{
    uint64_t cursor = 0;
    int rc;
    do {
        struct hd_arena arena;
        Hdw__GetNodeBlocksResponse *page = NULL;
        hd_arena_init(&arena, 0);
        rc = hd_drill_node_blocks(meta, uuid, cursor, BLOCKS_A_CALL, &arena, &page);
        for (size_t i = 0; rc == 0 && i < page->n_blocks; i++) {
            if (hd_map_get(&b->seen, page->blocks[i]->block_id) == NULL) {
                count_block(b, page->blocks[i]);
                rc = hd_map_put(&b->seen, page->blocks[i]->block_id, b);
            }
        }
        cursor = rc == 0 ? page->cursor : 0;
        hd_arena_done(&arena);
    } while (rc == 0 && cursor != 0 && b->out->blocks < BLOCKS_MAX);
    b->out->complete = b->out->complete && cursor == 0;
    return rc;
}

int hd_drill_blast(struct hd_drill_run *r, struct hd_blast *ret)
{
    char meta[HD_TEXT_BYTES];
    struct hd_arena arena;
    *ret = (struct hd_blast){.complete = true};
    struct blast b = {.out = ret};
    hd_map_init(&b.seen);
    hd_arena_init(&arena, 0);
    int rc = hd_drill_active_meta(&r->cluster, 2000, meta);
    rc = rc == 0 ? find_uuids(r, meta, &arena, &b) : rc;
    for (size_t t = 0; rc == 0 && t < b.uuid_count; t++) {
        rc = count_target(&b, meta, b.uuids[t]);
    }
    hd_arena_done(&arena);
    hd_map_done(&b.seen);
    return rc;
}
