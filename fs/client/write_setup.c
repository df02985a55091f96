/*
 * Setting up chains, and putting broken ones right: what HDFS's clients do (docs/protocol.md,
 * "Writing"), with two differences. A block whose bytes are all still at hand is begun anew on
 * healthy nodes instead of going on with fewer. And a silent chain is not left to the nodes' own
 * timeouts: every node is asked on its RPC port, the one that does not answer is dropped.
 */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_datanode.pb-c.h"
#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 2000,
    SETUP_SILENCE_MS = 3000, /* without an answer to op 80: ask the nodes whether they live */
    SETUP_PROBES = 20,
    QUICK_TRIES = 4, /* other nodes at once; then with pauses, until the retry time is used up */
    PROBE_TIMEOUT_MS = 1500,
    TRANSFER_TIMEOUT_MS = 120000,
    FULL_WAIT_MS = 8000, /* what was deleted a moment ago may still be going */
    RESTARTS_MAX = 16,
};

/* ---- nodes ---- */

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

static void exclude(struct hd_writer *w, const Hdw__DatanodeInfo *info)
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
    exclude(w, c->nodes[index].info);
    c->node_count--;
    memmove(&c->nodes[index], &c->nodes[index + 1],
            (c->node_count - (size_t)index) * sizeof(c->nodes[0]));
}

static bool answers(struct hd_writer *w, const Hdw__DatanodeID *id)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetReplicaVisibleLengthRequest request = HDW__GET_REPLICA_VISIBLE_LENGTH_REQUEST__INIT;
    request.block = &w->chain.block;
    ProtobufCMessage *response;
    int err = hd_call_node(w->fs, id->ip_addr, (int)id->ipc_port, HD_CLIENT_DATANODE_PROTOCOL,
                           "getReplicaVisibleLength", &request.base,
                           &hdw__get_replica_visible_length_response__descriptor, &arena,
                           PROBE_TIMEOUT_MS, &response);
    return err == 0 || !hd_rpc_is_connection_error(err); /* a refusal is an answer, too */
}

int hd_wchain_probe(struct hd_writer *w)
{
    for (size_t i = 0; i < w->chain.node_count; i++) {
        if (!answers(w, w->chain.nodes[i].info->id)) {
            return (int)i;
        }
    }
    return -1;
}

/* ---- op 80 ---- */

/* Everything in the queue is to be sent (again), under new numbers. */
static void rewind_queue(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    HD_LIST_FOR(it, &c->queue)
    {
        struct hd_wpacket *p = HD_LIST_ENTRY(it, struct hd_wpacket, link);
        hd_wpacket_seal(w, p, c->next_seqno++);
    }
}

/* Nodes of ours take a small block with the request; others were never asked to. */
static bool goes_in_one(const struct hd_writer *w)
{
    return atomic_load(&w->fs->session->server_kind) == HD_SERVER_HOWDAH &&
           !hd_list_empty(&w->chain.queue) && w->chain.queue_bytes <= HD_WRITER_ONE_GO_BYTES;
}

static int send_setup(struct hd_writer *w, Hdw__BlockConstructionStage stage, uint64_t new_genstamp)
{
    struct hd_wchain *c = &w->chain;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    size_t rest = c->node_count - 1;
    Hdw__DatanodeInfo **targets = HD_ARENA_ARRAY(&arena, Hdw__DatanodeInfo *, rest + 1);
    Hdw__StorageType *types = HD_ARENA_ARRAY(&arena, Hdw__StorageType, rest + 1);
    char **ids = HD_ARENA_ARRAY(&arena, char *, rest + 1);
    if (targets == NULL || types == NULL || ids == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < rest; i++) {
        targets[i] = c->nodes[i + 1].info;
        types[i] = c->nodes[i + 1].storage_type;
        ids[i] = c->nodes[i + 1].storage_id;
    }
    struct hd_block_header header;
    Hdw__ExtendedBlock block = c->block;
    block.has_num_bytes = true;
    block.num_bytes = w->block_bytes;
    hd_block_header_init(&header, &block, c->token, w->fs->session->client_name);
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    checksum.type = (Hdw__ChecksumType)w->type;
    checksum.bytes_per_checksum = w->chunk_bytes;
    Hdw__CachingStrategy caching = HDW__CACHING_STRATEGY__INIT;
    bool fresh = stage == HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE;
    Hdw__OpWriteBlock request = HDW__OP_WRITE_BLOCK__INIT;
    request.header = &header.client;
    request.n_targets = rest;
    request.targets = targets;
    request.stage = stage;
    request.pipeline_size = (uint32_t)c->node_count;
    request.min_bytes_rcvd = fresh ? 0 : c->state.acked_bytes;
    request.max_bytes_rcvd = fresh ? 0 : HD_MAX(c->end, c->state.acked_bytes);
    request.latest_generation_stamp = new_genstamp;
    request.requested_checksum = &checksum;
    request.caching_strategy = &caching;
    request.has_storage_type = true;
    request.storage_type = c->nodes[0].storage_type;
    request.n_target_storage_types = rest;
    request.target_storage_types = types;
    request.storage_id = c->nodes[0].storage_id;
    request.n_target_storage_ids = rest;
    request.target_storage_ids = ids;
    HD_AUTO(hd_buf_done) struct hd_buf head = {0};
    int err = hd_transfer_request_add(&head, HD_OP_WRITE_BLOCK, &request.base);
    if (err < 0) {
        return err;
    }
    return fresh && goes_in_one(w) ? hd_wchain_send_all(w, &head)
                                   : hd_stream_write(&c->conn->stream, head.data, head.size);
}

static int bad_link(const struct hd_wchain *c, const char *name)
{
    for (size_t i = 0; name != NULL && i < c->node_count; i++) {
        if (strcmp(c->nodes[i].address, name) == 0) {
            return (int)i;
        }
    }
    return 0;
}

/* Waits for the answer to op 80 as long as all nodes live. */
static int await_setup(struct hd_writer *w, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    for (int tries = 0;; tries++) {
        int ready = hd_stream_wait(&c->conn->stream);
        if (ready > 0) {
            break;
        }
        *ret_bad = 0;
        if (ready == 0) {
            return hd_fail(-HD_E_CLOSED, "%s: refused the block without a word", c->conn->address);
        }
        if (ready != -ETIMEDOUT) {
            return ready;
        }
        *ret_bad = hd_wchain_probe(w);
        if (*ret_bad >= 0 || tries == SETUP_PROBES) {
            *ret_bad = HD_MAX(*ret_bad, 0);
            return hd_fail(-ETIMEDOUT, "%s: no answer to a new block", c->nodes[*ret_bad].address);
        }
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__BlockOpResponse *response;
    *ret_bad = 0;
    int err = hd_transfer_response(&c->conn->stream, &arena, &response);
    if (err < 0) {
        return err;
    }
    if (response->status == HDW__STATUS__STATUS_SUCCESS) {
        *ret_bad = -1;
        return 0;
    }
    *ret_bad = bad_link(c, response->first_bad_link);
    return hd_transfer_error(response, c->nodes[*ret_bad].address, "write");
}

/* Set-up through a connection of the cache (when it has one) or a new one. */
static int set_up_through(struct hd_writer *w, struct hd_conn_cache *cache,
                          Hdw__BlockConstructionStage stage, uint64_t new_genstamp, int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    hd_conn_close(c->conn);
    c->conn = NULL;
    *ret_bad = 0;
    int err = hd_conn_open(cache, c->nodes[0].info, CONNECT_TIMEOUT_MS, &c->conn);
    if (err < 0) {
        return err;
    }
    c->conn->stream.timeout_ms = SETUP_SILENCE_MS;
    err = send_setup(w, stage, new_genstamp);
    return err < 0 ? err : await_setup(w, ret_bad);
}

int hd_wchain_connect(struct hd_writer *w, Hdw__BlockConstructionStage stage, uint64_t new_genstamp,
                      int *ret_bad)
{
    struct hd_wchain *c = &w->chain;
    if (c->node_count == 0) {
        *ret_bad = -1;
        return hd_fail(-HD_E_NO_NODES, "%s: no node is left for the block", w->path);
    }
    bool fresh = stage == HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE;
    int err =
        set_up_through(w, fresh ? &w->fs->session->conns : NULL, stage, new_genstamp, ret_bad);
    if (err == -HD_E_CLOSED && c->conn != NULL && c->conn->reused) {
        /* It was closed while it was idle: that says nothing about the node. */
        rewind_queue(w);
        err = set_up_through(w, NULL, stage, new_genstamp, ret_bad);
    }
    if (err < 0) {
        hd_conn_close(c->conn);
        c->conn = NULL;
        return err;
    }
    c->spoke_ms = c->heard_ms = hd_clock_mono_ms().v;
    c->silent_since_ms = 0;
    return 0;
}

/* ---- beginning a block ---- */

static int ask_for_block(struct hd_writer *w, Hdw__LocatedBlock **ret)
{
    struct hd_wchain *c = &w->chain;
    Hdw__AddBlockRequest request = HDW__ADD_BLOCK_REQUEST__INIT;
    request.src = w->path;
    request.client_name = w->fs->session->client_name;
    request.previous = w->has_previous ? &w->previous : NULL;
    request.n_exclude_nodes = w->excluded_count;
    request.exclude_nodes = w->excluded;
    request.has_file_id = true;
    request.file_id = w->ino;
    Hdw__AddBlockResponse *response;
    int err = HD_CALL(w->fs, "addBlock", add_block, &request, &c->arena, &response);
    if (err == 0) {
        *ret = response->block;
    }
    /* HDFS has no class of its own for this, only a text. */
    if (err == -HD_E_IO && strstr(hd_fail_text(), "could only be written to 0 of") != NULL) {
        char text[512];
        snprintf(text, sizeof(text), "%s", hd_fail_text());
        return hd_fail(-HD_E_NO_NODES, "%s", text);
    }
    return err;
}

/* Nodes run, none is left out, and still none takes a block: they are full. */
static bool is_full(int err)
{
    return err == -HD_E_NO_NODES && strstr(hd_fail_text(), "There are 0 datanode") == NULL &&
           strstr(hd_fail_text(), " no node(s) are excluded") != NULL;
}

static bool is_worth_another_try(int err)
{
    return err == -HD_E_NOT_REPLICATED_YET || err == -HD_E_IO || err == -HD_E_NO_NODES;
}

/* addBlock until it gives one. With no node left, the excluded ones are taken back: all may return.
 * Full disks are waited for only a while. */
static int get_block(struct hd_writer *w, struct hd_retry *retry, Hdw__LocatedBlock **ret)
{
    int64_t full_ms = 0;
    for (;;) {
        int err = ask_for_block(w, ret);
        if (err == 0 || !is_worth_another_try(err)) {
            return err;
        }
        bool full = is_full(err);
        int64_t now_ms = hd_clock_mono_ms().v;
        full_ms = !full ? 0 : full_ms != 0 ? full_ms : now_ms;
        if (full && now_ms - full_ms >= FULL_WAIT_MS) {
            return err;
        }
        if (err != -HD_E_NOT_REPLICATED_YET) {
            hd_writer_forgive(w);
        }
        int64_t pause = hd_retry_next(retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        hd_clock_sleep_ms(pause);
    }
}

static int set_block(struct hd_writer *w, const Hdw__LocatedBlock *from)
{
    struct hd_wchain *c = &w->chain;
    c->block = *from->b;
    c->token = from->block_token;
    c->node_count = 0;
    if (strlen(from->b->pool_id) >= sizeof(w->pool)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "a block pool name of %zu bytes",
                       strlen(from->b->pool_id));
    }
    int err = 0;
    for (size_t i = 0; i < from->n_locs && err == 0; i++) {
        err = hd_wchain_add_node(w, from, i);
    }
    return err;
}

static void abandon_block(struct hd_writer *w)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__AbandonBlockRequest request = HDW__ABANDON_BLOCK_REQUEST__INIT;
    request.b = &w->chain.block;
    request.src = w->path;
    request.holder = w->fs->session->client_name;
    request.has_file_id = true;
    request.file_id = w->ino;
    Hdw__AbandonBlockResponse *response;
    (void)HD_CALL(w->fs, "abandonBlock", abandon_block, &request, &arena, &response);
}

/*
 * Excludes nodes of an offer that failed somebody else just now, so that a node that hangs costs
 * its seconds once and not in every file. False when none did, or nothing would be left.
 */
static bool exclude_suspects(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    bool suspect[HD_CHAIN_NODES_MAX] = {false};
    size_t count = HD_MIN(c->node_count, (size_t)HD_CHAIN_NODES_MAX);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        suspect[i] = hd_session_node_suspect(w->fs->session, c->nodes[i].info->id->datanode_uuid);
        found += suspect[i];
    }
    if (found == 0 || found == count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (suspect[i]) {
            exclude(w, c->nodes[i].info);
        }
    }
    return true;
}

int hd_wchain_begin(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, w->fs->session->retry_ms, (uint64_t)now);
    for (int tries = 1;; tries++) {
        Hdw__LocatedBlock *block = NULL;
        int err = get_block(w, &retry, &block);
        if (err == 0) {
            err = set_block(w, block);
        }
        if (err < 0) {
            return err;
        }
        c->open = true;
        if (tries == 1 && exclude_suspects(w)) {
            abandon_block(w);
            c->open = false;
            continue;
        }
        int bad;
        c->next_seqno = 0;
        rewind_queue(w);
        err = hd_wchain_connect(w, HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE, 0, &bad);
        if (err == 0) {
            c->state.stage = HD_CHAIN_STREAM;
            c->state.fresh = true;
            c->state.acked_bytes = 0;
            c->state.replication = w->replication;
            return 0;
        }
        abandon_block(w);
        c->open = false;
        hd_wchain_drop_node(w, bad);
        if (tries < QUICK_TRIES) {
            continue;
        }
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return err;
        }
        hd_clock_sleep_ms(pause);
    }
}

/* ---- recovery ---- */

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
    conn->stream.timeout_ms = TRANSFER_TIMEOUT_MS;
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
            exclude(w, offer->locs[i]);
        }
        return;
    }
}

static Hdw__BlockConstructionStage recovery_stage(enum hd_chain_stage stage)
{
    switch (stage) {
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
        err = hd_wchain_connect(w, recovery_stage(c->state.stage), genstamp, &bad);
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
    if (c->open) {
        abandon_block(w);
        c->open = false;
    }
    while (!hd_list_empty(&c->held)) { /* the newest first, to the front */
        struct hd_wpacket *p = HD_LIST_ENTRY(c->held.prev, struct hd_wpacket, link);
        hd_list_remove(&p->link);
        hd_list_push_front(&c->queue, &p->link);
        c->queue_bytes += p->size;
    }
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
    c->queue_bytes = 0;
    hd_conn_close(c->conn);
    c->conn = NULL;
}

int hd_wchain_recover(struct hd_writer *w, int bad)
{
    struct hd_wchain *c = &w->chain;
    hd_conn_close(c->conn);
    c->conn = NULL;
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
            rewind_queue(w);
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
    return err;
}

int hd_wchain_append(struct hd_writer *w, const Hdw__LocatedBlock *from)
{
    struct hd_wchain *c = &w->chain;
    int err = set_block(w, from);
    if (err < 0) {
        return err;
    }
    c->open = true;
    c->end = from->b->num_bytes;
    c->state = (struct hd_chain_state){
        .stage = HD_CHAIN_APPEND,
        .acked_bytes = from->b->num_bytes,
        .node_count = (uint32_t)c->node_count,
        .replication = w->replication,
        .appended = true,
    };
    uint64_t genstamp;
    err = new_genstamp(w, &genstamp);
    if (err < 0) {
        return err;
    }
    int bad;
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
