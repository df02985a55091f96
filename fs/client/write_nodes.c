/*
 * The nodes of a chain: taken from meta's offers, dropped when they fail, asked whether they live.
 */
#include "fs/base/error.h"
#include "fs/client/crowd.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_datanode.pb-c.h"
#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PROBE_TIMEOUT_MS = 1000,
    PROBE_SUSPECT_MS = 150, /* of a node that failed somebody else just now */
};

int hd_wchain_add_node(struct hd_writer *w, const Hdw__LocatedBlock *from, size_t index)
{
    struct hd_wchain *c = &w->chain;
    if (c->node_count == c->node_capacity) {
        size_t capacity = HD_MAX(c->node_capacity * 2, (size_t)8);
        struct hd_wnode *nodes = HD_ARENA_ARRAY(&c->arena, struct hd_wnode, capacity);
        if (nodes == NULL || capacity > HD_CHAIN_NODES_MAX * 2) {
            return -ENOMEM;
        }
        if (c->node_count > 0) {
            memcpy(nodes, c->nodes, c->node_count * sizeof(nodes[0]));
        }
        c->nodes = nodes;
        c->node_capacity = capacity;
    }
    struct hd_wnode *n = &c->nodes[c->node_count++];
    *n = (struct hd_wnode){
        .info = from->locs[index], /* lives in the arena of the answer, which is the chain's */
        .storage_id = index < from->n_storage_i_ds ? from->storage_i_ds[index] : (char *)"",
        .storage_type = index < from->n_storage_types ? from->storage_types[index]
                                                      : HDW__STORAGE_TYPE__STORAGE_TYPE_DISK,
    };
    hd_node_address(n->info, n->address);
    return 0;
}

/* A copy on the heap: servers compare the whole identity of excluded nodes. */
static Hdw__DatanodeInfo *copy_info(const Hdw__DatanodeInfo *info)
{
    size_t size = hdw__datanode_info__get_packed_size(info);
    uint8_t *bytes = malloc(size);
    if (bytes == NULL) {
        return NULL;
    }
    hdw__datanode_info__pack(info, bytes);
    Hdw__DatanodeInfo *copy = hdw__datanode_info__unpack(NULL, size, bytes);
    free(bytes);
    return copy;
}

void hd_writer_exclude(struct hd_writer *w, const Hdw__DatanodeInfo *info)
{
    const char *uuid = info->id->datanode_uuid;
    hd_session_node_failed(w->fs->session, uuid);
    for (size_t i = 0; i < w->excluded_count; i++) {
        if (strcmp(w->excluded[i]->id->datanode_uuid, uuid) == 0) {
            return;
        }
    }
    Hdw__DatanodeInfo *copy = w->excluded_count < HD_WRITER_EXCLUDED_MAX ? copy_info(info) : NULL;
    if (copy != NULL) {
        w->excluded[w->excluded_count++] = copy;
    }
}

void hd_writer_forgive(struct hd_writer *w)
{
    while (w->excluded_count > 0) {
        hdw__datanode_info__free_unpacked(w->excluded[--w->excluded_count], NULL);
    }
}

void hd_wchain_drop_node(struct hd_writer *w, int index)
{
    struct hd_wchain *c = &w->chain;
    if (index < 0 || (size_t)index >= c->node_count) {
        return;
    }
    hd_writer_exclude(w, c->nodes[index].info);
    c->node_count--;
    memmove(&c->nodes[index], &c->nodes[index + 1],
            (c->node_count - (size_t)index) * sizeof(c->nodes[0]));
}

/* ---- who lives ---- */

struct probe {
    char user[HD_STAT_USER_BYTES];
    char pool[256];
    uint64_t block_id;
    uint64_t genstamp;
    struct {
        char ip[HD_IP_TEXT_BYTES];
        int ipc_port;
    } nodes[HD_CROWD_MAX];
};

static int probe_node(void *ctx, size_t i)
{
    struct probe *p = ctx;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ExtendedBlock block = HDW__EXTENDED_BLOCK__INIT;
    block.pool_id = p->pool;
    block.block_id = p->block_id;
    block.generation_stamp = p->genstamp;
    Hdw__GetReplicaVisibleLengthRequest request = HDW__GET_REPLICA_VISIBLE_LENGTH_REQUEST__INIT;
    request.block = &block;
    ProtobufCMessage *response;
    int err = hd_call_node_as(p->user, p->nodes[i].ip, p->nodes[i].ipc_port,
                              HD_CLIENT_DATANODE_PROTOCOL, "getReplicaVisibleLength", &request.base,
                              &hdw__get_replica_visible_length_response__descriptor, &arena,
                              PROBE_TIMEOUT_MS, &response);
    return hd_rpc_is_connection_error(err) ? err : 0; /* a refusal is an answer, too */
}

static struct probe *probe_new(const struct hd_writer *w, size_t count)
{
    struct probe *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        return NULL;
    }
    snprintf(p->user, sizeof(p->user), "%s", w->fs->user);
    snprintf(p->pool, sizeof(p->pool), "%s", w->chain.block.pool_id);
    p->block_id = w->chain.block.block_id;
    p->genstamp = w->chain.block.generation_stamp;
    for (size_t i = 0; i < count; i++) {
        const Hdw__DatanodeID *id = w->chain.nodes[i].info->id;
        snprintf(p->nodes[i].ip, sizeof(p->nodes[i].ip), "%s", id->ip_addr);
        p->nodes[i].ipc_port = (int)id->ipc_port;
    }
    return p;
}

/* Is nobody left to be waited for but nodes that failed just now? */
static bool only_suspects_are_silent(struct hd_writer *w, struct hd_crowd *crowd, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int err;
        if (!hd_crowd_ended(crowd, i, &err) &&
            !hd_session_node_suspect(w->fs->session, w->chain.nodes[i].info->id->datanode_uuid)) {
            return false;
        }
    }
    return true;
}

/* A node that hangs costs its second once, and not in every block that is written. */
static void wait_for_answers(struct hd_writer *w, struct hd_crowd *crowd, size_t count)
{
    int64_t began_ms = hd_clock_mono_ms().v;
    while (hd_crowd_wait(crowd, began_ms + PROBE_SUSPECT_MS)) {
    }
    if (only_suspects_are_silent(w, crowd, count)) {
        return;
    }
    while (hd_crowd_wait(crowd, began_ms + PROBE_TIMEOUT_MS)) {
    }
}

/* The indexes of nodes that do not answer; returns how many. */
static size_t find_dead(struct hd_writer *w, size_t count, size_t dead[HD_CROWD_MAX])
{
    struct hd_crowd *crowd;
    size_t dead_count = 0;
    if (hd_crowd_start(probe_new(w, count), count, probe_node, &crowd) < 0) {
        return 0;
    }
    wait_for_answers(w, crowd, count);
    for (size_t i = 0; i < count; i++) {
        int err;
        if (!hd_crowd_ended(crowd, i, &err) || (err < 0 && err != -EAGAIN)) {
            dead[dead_count++] = i;
        }
    }
    hd_crowd_leave(crowd);
    return dead_count;
}

bool hd_wchain_all_live(struct hd_writer *w)
{
    size_t dead[HD_CROWD_MAX];
    return find_dead(w, HD_MIN(w->chain.node_count, (size_t)HD_CROWD_MAX), dead) == 0;
}

void hd_wchain_drop_silent(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    size_t suspects = 0;
    for (size_t i = 0; i < c->node_count; i++) {
        suspects += hd_session_node_suspect(w->fs->session, c->nodes[i].info->id->datanode_uuid);
    }
    if (suspects > 0 && suspects < c->node_count) {
        hd_wchain_drop_node(w, hd_wchain_probe(w));
    }
}

int hd_wchain_probe(struct hd_writer *w)
{
    size_t dead[HD_CROWD_MAX];
    size_t count = HD_MIN(w->chain.node_count, (size_t)HD_CROWD_MAX);
    size_t dead_count = find_dead(w, count, dead);
    if (dead_count == 0) {
        return -1;
    }
    if (dead_count < count) { /* else it may be our own network */
        while (dead_count > 1) {
            hd_wchain_drop_node(w, (int)dead[--dead_count]);
        }
    }
    return (int)dead[0];
}
