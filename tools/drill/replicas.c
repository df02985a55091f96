/* Reading each copy of a file's blocks. See replicas.h. */
#include "tools/drill/replicas.h"
#include "fs/base/arena.h"
#include "fs/base/error.h"
#include "fs/client/block_stream.h"
#include "fs/net/rpc_client.h"
#include "client_namenode.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { TIMEOUT_MS = 10000 };

static int locate(const char *meta_address, const char *path, struct hd_arena *arena,
                  Hdw__GetBlockLocationsResponse **ret)
{
    struct hd_rpc_client_options options = {
        .address = meta_address,
        .protocol = "org.apache.hadoop.hdfs.protocol.ClientProtocol",
        .user = hd_user_name(),
        .connect_timeout_ms = TIMEOUT_MS,
        .call_timeout_ms = TIMEOUT_MS,
    };
    Hdw__GetBlockLocationsRequest request = HDW__GET_BLOCK_LOCATIONS_REQUEST__INIT;
    request.src = (char *)(uintptr_t)path;
    request.length = INT64_MAX;
    struct hd_rpc_args args = {.method = "getBlockLocations",
                               .request = &request.base,
                               .response_type = &hdw__get_block_locations_response__descriptor,
                               .arena = arena,
                               .call_id = -1};
    struct hd_rpc_client *client;
    ProtobufCMessage *response;
    int rc = hd_rpc_client_new(&options, &client);
    if (rc < 0) {
        return rc;
    }
    rc = hd_rpc_call(client, &args, &response, NULL);
    hd_rpc_client_free(client);
    if (rc == 0) {
        *ret = (Hdw__GetBlockLocationsResponse *)response;
    }
    return rc;
}

static void note_wrong(struct hd_replica_check *check, const char *path,
                       const Hdw__LocatedBlock *block, const Hdw__DatanodeInfo *node,
                       const char *what)
{
    if (check->wrong++ == 0) {
        snprintf(check->first, sizeof(check->first), "%.120s: blk_%" PRIu64 " on %s:%u %s", path,
                 block->b->block_id, node->id->ip_addr, node->id->xfer_port, what);
    }
}

/* One copy against the bytes it should have. */
static int check_copy(const char *path, const Hdw__LocatedBlock *block,
                      const Hdw__DatanodeInfo *node, const uint8_t *data,
                      struct hd_replica_check *check)
{
    struct hd_conn_cache cache; /* of its own: each copy is asked for anew */
    struct hd_block_stream s;
    size_t size = (size_t)block->b->num_bytes;
    size_t done = 0;
    uint8_t *got = malloc(size + 1);
    if (got == NULL) {
        return -ENOMEM;
    }
    hd_conn_cache_init(&cache);
    int rc = hd_block_stream_open(&s, &cache, block, node, "howdah-drill", 0, size, TIMEOUT_MS);
    if (rc == 0) {
        rc = hd_block_stream_read(&s, got, size, &done);
        hd_block_stream_close(&s, &cache);
    }
    hd_conn_cache_done(&cache);
    check->read += rc == 0;
    if (rc == -HD_E_CHECKSUM) {
        note_wrong(check, path, block, node, "does not match its own checksums");
        rc = 0;
    } else if (rc == 0 && memcmp(got, data, size) != 0) {
        note_wrong(check, path, block, node, "has other bytes than the file");
    }
    free(got);
    return rc;
}

int hd_replicas_check(const char *meta_address, const char *path, const uint8_t *data, size_t size,
                      struct hd_replica_check *check)
{
    struct hd_arena arena;
    Hdw__GetBlockLocationsResponse *r;
    hd_arena_init(&arena, 0);
    int rc = locate(meta_address, path, &arena, &r);
    Hdw__LocatedBlocks *blocks = rc == 0 ? r->locations : NULL;
    for (size_t b = 0; rc == 0 && blocks != NULL && b < blocks->n_blocks; b++) {
        const Hdw__LocatedBlock *block = blocks->blocks[b];
        bool inside = block->offset + block->b->num_bytes <= size;
        for (size_t n = 0; rc == 0 && inside && block->b->num_bytes > 0 && n < block->n_locs; n++) {
            rc = check_copy(path, block, block->locs[n], data + block->offset, check);
        }
    }
    hd_arena_done(&arena);
    return rc;
}
