/* Reports of bad replicas. See bad_blocks.h. */
#include "fs/data/shell/bad_blocks.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"

#include "client_namenode.pb-c.h"

#include <errno.h>

enum { ARENA_BYTES = 4 << 20 };

static char empty[] = "";

struct item {
    Hdw__LocatedBlock located;
    Hdw__ExtendedBlock block;
    Hdw__Token token;
    Hdw__StorageType type;
    Hdw__DatanodeInfo *self;
    char *storage_id;
};

static void fill(struct item *i, struct hd_data *d, const struct hd_bad_replica *bad)
{
    i->block = (Hdw__ExtendedBlock)HDW__EXTENDED_BLOCK__INIT;
    i->block.pool_id = (char *)(uintptr_t)hd_store_pool_id(d->store);
    i->block.block_id = bad->block.id.v;
    i->block.generation_stamp = bad->block.gs.v;
    i->block.has_num_bytes = true;
    i->block.num_bytes = bad->block.size_bytes;
    i->token = (Hdw__Token)HDW__TOKEN__INIT;
    i->token.kind = i->token.service = empty;
    i->type = HDW__STORAGE_TYPE__STORAGE_TYPE_DISK;
    i->storage_id = (char *)(uintptr_t)bad->storage_id;
    i->located = (Hdw__LocatedBlock)HDW__LOCATED_BLOCK__INIT;
    i->located.b = &i->block;
    i->located.block_token = &i->token;
    i->located.corrupt = true;
    i->located.n_locs = i->located.n_storage_types = i->located.n_storage_i_ds = 1;
    i->located.locs = &i->self;
    i->located.storage_types = &i->type;
    i->located.storage_i_ds = &i->storage_id;
}

int hd_bad_blocks_report(struct hd_data *d, const struct hd_bad_replica *bad, int count)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, ARENA_BYTES);
    Hdw__ReportBadBlocksRequest q = HDW__REPORT_BAD_BLOCKS_REQUEST__INIT;
    ProtobufCMessage *m;
    struct item *items = HD_ARENA_ARRAY(&arena, struct item, (size_t)count);
    q.blocks = HD_ARENA_ARRAY(&arena, Hdw__LocatedBlock *, (size_t)count);
    Hdw__DatanodeInfo *self = hd_control_self(d->control, &arena);
    if (items == NULL || q.blocks == NULL || self == NULL) {
        return -ENOMEM;
    }
    for (int i = 0; i < count; i++) {
        items[i].self = self;
        fill(&items[i], d, &bad[i]);
        q.blocks[q.n_blocks++] = &items[i].located;
    }
    return hd_control_call(d->control, "reportBadBlocks", &q.base,
                           &hdw__report_bad_blocks_response__descriptor, &arena, &m);
}
