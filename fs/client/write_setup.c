/*
 * Setting up chains: a block from meta, op 80 and its answer. A chain that is silent meanwhile is
 * not left to the nodes' own timeouts: every node is asked on its RPC port (write_nodes.c), and
 * those that do not answer are dropped.
 */
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum {
    CONNECT_TIMEOUT_MS = 1000,
    SETUP_MAX_MS = 60000,
    QUICK_TRIES = 4, /* other nodes at once; then with pauses, until the retry time is used up */
    FULL_WAIT_MS = 8000, /* what was deleted a moment ago may still be going */
};

/* ---- op 80 ---- */

/* Everything in the queue is to be sent (again), under new numbers. */
void hd_wchain_rewind(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    HD_LIST_FOR(it, &c->queue)
    {
        struct hd_wpacket *p = HD_LIST_ENTRY(it, struct hd_wpacket, link);
        hd_wpacket_seal(w, p, c->next_seqno++);
    }
    c->unsent = c->queue.next;
    c->unsent_bytes = c->queue_bytes;
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
    if (w->overwrite) { /* that is made the length; the queue is sent behind it */
        request.has_overwrite = true;
        request.overwrite = true;
        request.min_bytes_rcvd = c->sure_bytes;
        request.max_bytes_rcvd = c->state.acked_bytes;
    }
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
    int64_t deadline_ms = hd_clock_mono_ms().v + SETUP_MAX_MS;
    int silence_ms = HD_CHAIN_SILENCE_MS;
    for (;;) {
        c->conn->stream.timeout_ms = silence_ms;
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
        silence_ms = hd_chain_silence_next_ms(silence_ms);
        if (*ret_bad >= 0 || hd_clock_mono_ms().v > deadline_ms) {
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
    hd_wchain_hang_up(w);
    *ret_bad = 0;
    int err = hd_conn_open(cache, c->nodes[0].info, CONNECT_TIMEOUT_MS, &c->conn);
    if (err < 0) {
        return err;
    }
    c->conn->stream.timeout_ms = HD_CHAIN_SILENCE_MAX_MS;
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
        hd_wchain_rewind(w);
        err = set_up_through(w, NULL, stage, new_genstamp, ret_bad);
    }
    if (err < 0) {
        hd_wchain_hang_up(w);
        return err;
    }
    c->sure_bytes = c->state.acked_bytes;
    c->spoke_ms = c->heard_ms = hd_clock_mono_ms().v;
    c->silent_since_ms = 0;
    c->silence_ms = HD_CHAIN_SILENCE_MS;
    return 0;
}

/* ---- beginning a block ---- */

static int call_add_block(struct hd_writer *w, Hdw__LocatedBlock **ret)
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
    return err;
}

static int ask_for_block(struct hd_writer *w, Hdw__LocatedBlock **ret)
{
    int err = w->source != NULL ? w->source->ask(w, ret) : call_add_block(w, ret);
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

int hd_wchain_set_block(struct hd_writer *w, const Hdw__LocatedBlock *from)
{
    struct hd_wchain *c = &w->chain;
    c->block = *from->b;
    c->token = from->block_token;
    c->sure_bytes = 0;
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

int hd_wchain_abandon(struct hd_writer *w)
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
    int err = HD_CALL(w->fs, "abandonBlock", abandon_block, &request, &arena, &response);
    w->chain.open = false;
    return hd_rpc_is_connection_error(err) ? err : 0; /* a refusal: it is gone already */
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
            hd_writer_exclude(w, c->nodes[i].info);
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
            err = hd_wchain_set_block(w, block);
        }
        if (err < 0) {
            return err;
        }
        c->open = true;
        if (tries == 1 && w->base_bytes == 0 && exclude_suspects(w)) {
            err = hd_wchain_abandon(w);
            if (err < 0) {
                return err;
            }
            continue;
        }
        int bad;
        c->next_seqno = 0;
        c->end = HD_MAX(c->end, w->base_bytes);
        c->state.acked_bytes = w->base_bytes;
        hd_wchain_rewind(w);
        err = hd_wchain_connect(w, HDW__BLOCK_CONSTRUCTION_STAGE__PIPELINE_SETUP_CREATE, 0, &bad);
        if (err == 0) {
            c->state.stage = HD_CHAIN_STREAM;
            c->state.fresh = true;
            c->state.replication = w->replication;
            return 0;
        }
        int abandoned = hd_wchain_abandon(w);
        if (abandoned < 0) {
            return abandoned;
        }
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
