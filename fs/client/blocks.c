/* Block lists of blocks.h. */
#include "fs/client/blocks.h"
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"

#include "client_datanode.pb-c.h"
#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum {
    VISIBLE_TIMEOUT_MS = 400,        /* of a holder that is trusted */
    VISIBLE_AGAIN_TIMEOUT_MS = 2000, /* of one that failed just now */
};

struct hd_blocks *hd_blocks_ref(struct hd_blocks *b)
{
    atomic_fetch_add(&b->refs, 1);
    return b;
}

void hd_blocks_unref(struct hd_blocks *b)
{
    if (b != NULL && atomic_fetch_sub(&b->refs, 1) == 1) {
        hd_arena_done(&b->arena);
        free(b);
    }
}

/*
 * The readable length of a block being written, from the first holder that has all its writer told
 * meta of. When every holder answers and none has it, a power cut took the end, which was flushed
 * and not synced: what the longest has. While one is silent it may have the rest.
 */
static int visible_length(struct hd_fs *fs, Hdw__LocatedBlock *lb, uint64_t *ret)
{
    int err = 0;
    size_t unknown = 0;
    size_t answers = 0;
    uint64_t longest = 0;
    uint64_t told = lb->b->num_bytes;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < lb->n_locs; i++) {
            const Hdw__DatanodeID *id = lb->locs[i]->id;
            if ((pass == 1) != hd_session_node_suspect(fs->session, id->datanode_uuid)) {
                continue;
            }
            HD_AUTO(hd_arena_done) struct hd_arena arena;
            hd_arena_init(&arena, 0);
            Hdw__GetReplicaVisibleLengthRequest request =
                HDW__GET_REPLICA_VISIBLE_LENGTH_REQUEST__INIT;
            request.block = lb->b;
            Hdw__GetReplicaVisibleLengthResponse *response;
            int e = hd_call_node(fs, id->ip_addr, (int)id->ipc_port, HD_CLIENT_DATANODE_PROTOCOL,
                                 "getReplicaVisibleLength", &request.base,
                                 &hdw__get_replica_visible_length_response__descriptor, &arena,
                                 pass == 0 ? VISIBLE_TIMEOUT_MS : VISIBLE_AGAIN_TIMEOUT_MS,
                                 (ProtobufCMessage **)(void *)&response);
            if (e == 0 && response->length >= told) {
                *ret = response->length;
                return 0;
            }
            if (e == 0) {
                longest = HD_MAX(longest, response->length);
                answers++;
                continue;
            }
            err = e;
            unknown += err == -HD_E_REPLICA_NOT_FOUND;
            if (hd_rpc_is_connection_error(err)) {
                hd_session_node_failed(fs->session, id->datanode_uuid);
            }
        }
    }
    *ret = answers + unknown == lb->n_locs && answers > 0 ? longest : told;
    /* No node has heard of the block and no flush was told: its chain is being set up. */
    return answers > 0 || (unknown == lb->n_locs && told == 0) ? 0 : err;
}

static int by_offset(const void *a, const void *b)
{
    const Hdw__LocatedBlock *x = *(Hdw__LocatedBlock *const *)a;
    const Hdw__LocatedBlock *y = *(Hdw__LocatedBlock *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int check_blocks(const char *path, const Hdw__LocatedBlocks *l)
{
    for (size_t i = 0; i < l->n_blocks; i++) {
        const Hdw__LocatedBlock *b = l->blocks[i];
        if (b->offset > INT64_MAX || b->b->num_bytes > INT64_MAX - b->offset) {
            return hd_fail(-HD_E_BAD_MESSAGE, "%s: blocks make no sense", path);
        }
        if (b->has_block_indices) {
            return hd_fail(-EOPNOTSUPP, "%s: erasure coded files cannot be read", path);
        }
    }
    return 0;
}

/* Arrays and sizes from the answer. */
static int digest(struct hd_blocks *b, Hdw__LocatedBlocks *l)
{
    b->count = l->n_blocks;
    b->blocks = l->blocks;
    b->extents = HD_ARENA_ARRAY(&b->arena, struct hd_extent, HD_MAX(b->count, (size_t)1));
    if (b->extents == NULL) {
        return -ENOMEM;
    }
    if (b->count > 1) {
        qsort(b->blocks, b->count, sizeof(b->blocks[0]), by_offset);
    }
    b->size_bytes = l->file_length;
    b->open_for_write = l->under_construction;
    for (size_t i = 0; i < b->count; i++) {
        b->extents[i] = (struct hd_extent){b->blocks[i]->offset, b->blocks[i]->b->num_bytes};
    }
    return 0;
}

static bool is_same_block(const Hdw__LocatedBlock *a, const Hdw__LocatedBlock *b)
{
    return a->b->block_id == b->b->block_id;
}

/* Puts the readable length of the last block, which is being written, into the list. */
static int add_last(struct hd_fs *fs, struct hd_blocks *b, Hdw__LocatedBlocks *l, bool ask_nodes)
{
    Hdw__LocatedBlock *last = l->last_block;
    if (last == NULL || l->is_last_block_complete || !l->under_construction) {
        return 0;
    }
    b->last_incomplete = true;
    uint64_t length = last->b->num_bytes;
    int err = 0;
    if (ask_nodes && last->n_locs > 0) {
        err = visible_length(fs, last, &length);
    }
    b->size_bytes = HD_MAX(b->size_bytes, last->offset + length);
    if (b->count > 0 && is_same_block(b->blocks[b->count - 1], last)) {
        b->extents[b->count - 1].size_bytes = length;
    }
    return err;
}

static struct hd_blocks *blocks_new(void)
{
    struct hd_blocks *b = calloc(1, sizeof(*b));
    if (b != NULL) {
        atomic_store(&b->refs, 1);
        hd_arena_init(&b->arena, 0);
    }
    return b;
}

/* Makes the list of a message that lives in its arena. */
static int make_blocks(struct hd_fs *fs, const char *path, struct hd_blocks *b,
                       Hdw__LocatedBlocks *l, bool ask_nodes)
{
    int err = check_blocks(path, l);
    if (err == 0) {
        err = digest(b, l);
    }
    return err < 0 ? err : add_last(fs, b, l, ask_nodes);
}

int hd_blocks_copy(struct hd_fs *fs, const char *path, const Hdw__LocatedBlocks *l, bool ask_nodes,
                   struct hd_blocks **ret)
{
    size_t size = hdw__located_blocks__get_packed_size(l);
    uint8_t *bytes = malloc(size);
    struct hd_blocks *b = blocks_new();
    int err = bytes == NULL || b == NULL ? -ENOMEM : 0;
    if (err == 0) {
        ProtobufCAllocator allocator = hd_arena_allocator(&b->arena);
        hdw__located_blocks__pack(l, bytes);
        Hdw__LocatedBlocks *copy = hdw__located_blocks__unpack(&allocator, size, bytes);
        err = copy == NULL ? -ENOMEM : make_blocks(fs, path, b, copy, ask_nodes);
    }
    free(bytes);
    if (err < 0) {
        hd_blocks_unref(b);
        return err;
    }
    *ret = b;
    return 0;
}

static int fetch_once(struct hd_fs *fs, const char *path, uint64_t offset, uint64_t size,
                      bool ask_nodes, struct hd_blocks **ret)
{
    struct hd_blocks *b = blocks_new();
    if (b == NULL) {
        return -ENOMEM;
    }
    Hdw__GetBlockLocationsRequest request = HDW__GET_BLOCK_LOCATIONS_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    request.offset = offset;
    request.length = HD_MIN(size, (uint64_t)INT64_MAX - offset);
    Hdw__GetBlockLocationsResponse *response;
    int err = HD_CALL(fs, "getBlockLocations", get_block_locations, &request, &b->arena, &response);
    if (err == 0 && response->locations == NULL) {
        err = hd_fail(-ENOENT, "%s: no such file", path);
    }
    if (err == 0) {
        err = make_blocks(fs, path, b, response->locations, ask_nodes);
    }
    if (err < 0) {
        hd_blocks_unref(b);
        return err;
    }
    *ret = b;
    return 0;
}

/* A holder that does not know the block under construction: the chain is being rebuilt just now. */
static bool is_moving(int err)
{
    return err == -HD_E_REPLICA_NOT_FOUND || err == -HD_E_IO || hd_rpc_is_connection_error(err);
}

int hd_blocks_fetch(struct hd_fs *fs, const char *path, uint64_t offset, uint64_t size,
                    bool ask_nodes, struct hd_blocks **ret)
{
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, HD_MIN(fs->session->retry_ms, 12000), (uint64_t)now);
    for (;;) {
        int err = fetch_once(fs, path, offset, size, ask_nodes, ret);
        if (err == 0 || !ask_nodes || !is_moving(err)) {
            return err;
        }
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        hd_clock_sleep_ms(pause);
    }
}
