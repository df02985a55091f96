/*
 * Putting broken chains right: what HDFS's clients do (docs/protocol.md, "Writing"), with one
 * difference: a block whose bytes are all still at hand is begun anew on healthy nodes instead of
 * going on with fewer.
 */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 1000,
    TRANSFER_WAIT_MS = 1000, /* between questions whether both ends of a copy live */
    TRANSFER_MAX_MS = 120000,
    RESTARTS_MAX = 16,
};

static int new_genstamp(struct hd_writer *w, uint64_t *ret)
{
    struct hd_wchain *c = &w->chain;
    Hdw__ExtendedBlock block = c->block;
    block.has_num_bytes = true;
    block.num_bytes = c->state.acked_bytes;
    Hdw__UpdateBlockForPipelineRequest request = HDW__UPDATE_BLOCK_FOR_PIPELINE_REQUEST__INIT;
    request.block = &block;
    request.client_name = w->fs->session->client_name;
    Hdw__UpdateBlockForPipelineResponse *response;
    int err = HD_CALL(w->fs, "updateBlockForPipeline", update_block_for_pipeline, &request,
                      &c->arena, &response);
    if (err == 0) {
        *ret = response->block->b->generation_stamp;
        c->token = response->block->block_token;
    }
    return err;
}

static int update_pipeline(struct hd_writer *w, uint64_t genstamp)
{
    struct hd_wchain *c = &w->chain;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__DatanodeID **nodes = HD_ARENA_ARRAY(&arena, Hdw__DatanodeID *, c->node_count);
    char **storages = HD_ARENA_ARRAY(&arena, char *, c->node_count);
    if (nodes == NULL || storages == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->node_count; i++) {
        nodes[i] = c->nodes[i].info->id;
        storages[i] = c->nodes[i].storage_id;
    }
    Hdw__ExtendedBlock old_block = c->block;
    old_block.has_num_bytes = true;
    old_block.num_bytes = c->state.acked_bytes;
    Hdw__ExtendedBlock new_block = old_block;
    new_block.generation_stamp = genstamp;
    Hdw__UpdatePipelineRequest request = HDW__UPDATE_PIPELINE_REQUEST__INIT;
    request.client_name = w->fs->session->client_name;
    request.old_block = &old_block;
    request.new_block = &new_block;
    request.n_new_nodes = c->node_count;
    request.new_nodes = nodes;
    request.n_storage_i_ds = c->node_count;
    request.storage_i_ds = storages;
    Hdw__UpdatePipelineResponse *response;
    int err = HD_CALL(w->fs, "updatePipeline", update_pipeline, &request, &arena, &response);
    if (err == 0) {
        c->block.generation_stamp = genstamp;
    }
    return err;
}

/* Waits for the answer to a copy as long as all nodes live, its target being the last of them. */
static int await_copy(struct hd_writer *w, struct hd_stream *s)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + TRANSFER_MAX_MS;
    for (;;) {
        s->timeout_ms = TRANSFER_WAIT_MS;
        int ready = hd_stream_wait(s);
        if (ready != -ETIMEDOUT) {
            return HD_MIN(ready, 0);
        }
        if (hd_clock_mono_ms().v > deadline_ms || !hd_wchain_all_live(w)) {
            return hd_fail(-ETIMEDOUT, "no answer to a copy of a block being written");
        }
    }
}

/* Copies what is acknowledged from a healthy node to the last one of the chain. */
static int transfer(struct hd_writer *w, const struct hd_wnode *from, const struct hd_wnode *to)
{
    struct hd_wchain *c = &w->chain;
    struct hd_conn *conn;
    int err = hd_conn_open(NULL, from->info, CONNECT_TIMEOUT_MS, &conn);
    if (err < 0) {
        return err;
    }
    Hdw__ExtendedBlock block = c->block;
    block.has_num_bytes = true;
    block.num_bytes = c->state.acked_bytes;
    struct hd_block_header header;
    hd_block_header_init(&header, &block, c->token, w->fs->session->client_name);
    Hdw__DatanodeInfo *targets[] = {to->info};
    Hdw__StorageType types[] = {to->storage_type};
    char *ids[] = {to->storage_id};
    Hdw__OpTransferBlock request = HDW__OP_TRANSFER_BLOCK__INIT;
    request.header = &header.client;
    request.n_targets = 1;
    request.targets = targets;
    request.n_target_storage_types = 1;
    request.target_storage_types = types;
    request.n_target_storage_ids = 1;
    request.target_storage_ids = ids;
    err = hd_transfer_request(&conn->stream, HD_OP_TRANSFER_BLOCK, &request.base);
    if (err == 0) {
        err = await_copy(w, &conn->stream);
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__BlockOpResponse *response;
    if (err == 0) {
        err = hd_transfer_response(&conn->stream, &arena, &response);
    }
    if (err == 0) {
        err = hd_transfer_error(response, conn->address, "copy of a block being written");
    }
    hd_conn_close(conn);
    return err;
}

static bool has_node(const struct hd_wchain *c, const char *uuid)
{
    for (size_t i = 0; i < c->node_count; i++) {
        if (strcmp(c->nodes[i].info->id->datanode_uuid, uuid) == 0) {
            return true;
        }
    }
    return false;
}

static int ask_for_node(struct hd_writer *w, Hdw__LocatedBlock **ret)
{
    struct hd_wchain *c = &w->chain;
    Hdw__DatanodeInfo **existing = HD_ARENA_ARRAY(&c->arena, Hdw__DatanodeInfo *, c->node_count);
    char **storages = HD_ARENA_ARRAY(&c->arena, char *, c->node_count);
    if (existing == NULL || storages == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < c->node_count; i++) {
        existing[i] = c->nodes[i].info;
        storages[i] = c->nodes[i].storage_id;
    }
    Hdw__GetAdditionalDatanodeRequest request = HDW__GET_ADDITIONAL_DATANODE_REQUEST__INIT;
    request.src = w->path;
    request.blk = &c->block;
    request.n_existings = c->node_count;
    request.existings = existing;
    request.n_excludes = w->excluded_count;
    request.excludes = w->excluded;
    request.num_additional_nodes = 1;
    request.client_name = w->fs->session->client_name;
    request.n_existing_storage_uuids = c->node_count;
    request.existing_storage_uuids = storages;
    request.has_file_id = true;
    request.file_id = w->ino;
    Hdw__GetAdditionalDatanodeResponse *response;
    int err = HD_CALL(w->fs, "getAdditionalDatanode", get_additional_datanode, &request, &c->arena,
                      &response);
    if (err == 0) {
        *ret = response->block;
    }
    return err;
}

/* One more node with what is acknowledged so far. Failing is no reason to fail the write. */
static void replace_node(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    Hdw__LocatedBlock *offer = NULL;
    if (ask_for_node(w, &offer) < 0) {
        return;
    }
    for (size_t i = 0; i < offer->n_locs; i++) {
        const char *uuid = offer->locs[i]->id->datanode_uuid;
        if (has_node(c, uuid)) {
            continue;
        }
        if (hd_wchain_add_node(w, offer, i) < 0) {
            return;
        }
        if (transfer(w, &c->nodes[0], &c->nodes[c->node_count - 1]) < 0) {
            c->node_count--;
            hd_writer_exclude(w, offer->locs[i]);
        }
        return;
    }
}

static Hdw__BlockConstructionStage recovery_stage(const struct hd_writer *w)
{
    if (w->overwrite) { /* whether the replicas are finished or not */
        return HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_APPEND_RECOVERY;
    }
    switch (w->chain.state.stage) {
    case HD_CHAIN_APPEND:
        return HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_APPEND_RECOVERY;
    case HD_CHAIN_CLOSE:
        return HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_CLOSE_RECOVERY;
    case HD_CHAIN_CREATE:
    case HD_CHAIN_STREAM:
        return HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_STREAMING_RECOVERY;
    }
    hd_unreachable();
}

/* A new generation of the block on the nodes that are left. */
static int set_up_again(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    if (hd_chain_wants_node(&c->state)) {
        replace_node(w);
    }
    int err;
    do {
        uint64_t genstamp;
        err = new_genstamp(w, &genstamp);
        if (err < 0) {
            return err;
        }
        int bad;
        err = hd_wchain_connect(w, recovery_stage(w), genstamp, &bad);
        if (err == 0) {
            err = update_pipeline(w, genstamp);
            return err;
        }
        hd_wchain_drop_node(w, bad);
    } while (c->node_count > 0);
    return err;
}

static int begin_anew(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    int err = c->open ? hd_wchain_abandon(w) : 0;
    if (err < 0) {
        return err;
    }
    while (!hd_list_empty(&c->held)) { /* the newest first, to the front */
        struct hd_wpacket *p = HD_LIST_ENTRY(c->held.prev, struct hd_wpacket, link);
        hd_list_remove(&p->link);
        hd_list_push_front(&c->queue, &p->link);
        c->queue_bytes += p->size;
        c->acked_serial = p->serial - 1; /* who waits for it has to wait again */
    }
    c->held_bytes = 0;
    return hd_wchain_begin(w);
}

/* After close recovery the nodes have finalized: the last packet is not sent again. */
static void finish(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    struct hd_list *node;
    while ((node = hd_list_pop_front(&c->queue)) != NULL) {
        hd_wpacket_put(w, HD_LIST_ENTRY(node, struct hd_wpacket, link));
    }
    c->queue_bytes = c->unsent_bytes = 0;
    c->unsent = &c->queue;
    hd_wchain_hang_up(w);
}

int hd_wchain_recover(struct hd_writer *w, int bad)
{
    struct hd_wchain *c = &w->chain;
    hd_wchain_hang_up(w);
    hd_wchain_drop_node(w, bad);
    c->state.recoveries++;
    c->state.node_count = (uint32_t)c->node_count;
    int err = -HD_E_IO;
    switch (hd_chain_plan_of(&c->state)) {
    case HD_CHAIN_RESTART:
        err = c->state.recoveries > RESTARTS_MAX ? -HD_E_NO_NODES : begin_anew(w);
        break;
    case HD_CHAIN_RECOVER:
        err = set_up_again(w);
        if (err == 0) {
            c->state.stage = HD_CHAIN_STREAM;
            hd_wchain_rewind(w);
        }
        break;
    case HD_CHAIN_FINISH:
        err = set_up_again(w);
        if (err == 0) {
            finish(w);
        }
        break;
    case HD_CHAIN_GIVE_UP:
        err = hd_fail(-HD_E_IO, "%s: the chain of blk_%llu broke and cannot be repaired: %s",
                      w->path, (unsigned long long)c->block.block_id, hd_fail_text());
        break;
    }
    if (err < 0 && w->source != NULL && c->open && (c->node_count == 0 || !c->state.fresh)) {
        err = w->source->reopen(w);
        c->state.recoveries = 0;
    }
    return err;
}

int hd_wchain_append(struct hd_writer *w, const Hdw__LocatedBlock *from)
{
    return hd_wchain_open(w, from, 0);
}

int hd_wchain_open(struct hd_writer *w, const Hdw__LocatedBlock *from, uint64_t new_stamp)
{
    struct hd_wchain *c = &w->chain;
    int err = hd_wchain_set_block(w, from);
    if (err < 0) {
        return err;
    }
    c->open = true;
    hd_wchain_drop_silent(w);
    c->end = HD_MAX(c->end, from->b->num_bytes);
    c->state = (struct hd_chain_state){
        .stage = HD_CHAIN_APPEND,
        .acked_bytes = from->b->num_bytes,
        .node_count = (uint32_t)c->node_count,
        .replication = w->replication,
        .appended = true,
    };
    uint64_t genstamp = new_stamp;
    err = genstamp == 0 ? new_genstamp(w, &genstamp) : 0;
    if (err < 0) {
        return err;
    }
    int bad;
    hd_wchain_rewind(w);
    err =
        hd_wchain_connect(w, HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_APPEND, genstamp, &bad);
    if (err == 0) {
        err = update_pipeline(w, genstamp);
    } else {
        hd_wchain_drop_node(w, bad);
        c->state.node_count = (uint32_t)c->node_count;
        err = c->node_count > 0 ? set_up_again(w) : err;
    }
    if (err == 0) {
        c->state.stage = HD_CHAIN_STREAM;
    }
    return err;
}
