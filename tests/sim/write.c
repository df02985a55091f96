/*
 * Writing a file: fs/client's chain in small, one packet under way at a time, with the decisions of
 * fs/client/core/chain.h.
 */
#include "client_namenode.pb-c.h"
#include "fs/base/error.h"
#include "fs/client/core/chain.h"
#include "tests/sim/client.h"
#include "tests/sim/node.h"

#include <stdlib.h>

enum { RESTARTS_MAX = 12, POLL_US = 200000, EXCLUDED_MAX = 16 };

struct chain {
    bool open;
    uint64_t id, gs;
    uint64_t start; /* of the block in the file */
    int nodes[SIM_NODES_MAX];
    char storages[SIM_NODES_MAX][SIM_STORAGE_BYTES]; /* as meta named them */
    int count;
    uint64_t writer;
    struct hd_chain_state state; /* acked_bytes: of the block */
};

struct writer {
    struct sim_client *c;
    struct sim *s;
    const struct write_job *job;
    uint64_t ino;
    struct chain chain;
    bool has_last; /* the block before the chain's */
    uint64_t last_id, last_gs, last_bytes;
    bool excluded[SIM_NODES_MAX];
    uint32_t restarts;
};

static char *text_of(const char *text)
{
    return (char *)(uintptr_t)text;
}

static Hdw__ExtendedBlock *block_message(struct writer *w, uint64_t id, uint64_t gs, uint64_t size)
{
    Hdw__ExtendedBlock *b = HD_ARENA_NEW(sim_arena(w->s), Hdw__ExtendedBlock);
    hdw__extended_block__init(b);
    b->pool_id = text_of("BP-1");
    b->block_id = id;
    b->generation_stamp = gs;
    b->has_num_bytes = true;
    b->num_bytes = size;
    return b;
}

static Hdw__DatanodeInfo *node_message(struct writer *w, int n)
{
    struct hd_arena *a = sim_arena(w->s);
    Hdw__DatanodeInfo *info = HD_ARENA_NEW(a, Hdw__DatanodeInfo);
    Hdw__DatanodeID *id = HD_ARENA_NEW(a, Hdw__DatanodeID);
    hdw__datanode_info__init(info);
    hdw__datanode_id__init(id);
    id->ip_addr = id->host_name = w->s->actors[SIM_NODE + n].ip;
    id->datanode_uuid = hd_arena_printf(a, "uuid-%d", n);
    id->xfer_port = 9866;
    info->id = id;
    return info;
}

static void take_storage(struct chain *ch, int at, const Hdw__LocatedBlock *l, size_t i)
{
    snprintf(ch->storages[at], SIM_STORAGE_BYTES, "%s",
             i < l->n_storage_i_ds ? l->storage_i_ds[i] : "");
}

static void take_nodes(struct chain *ch, const Hdw__LocatedBlock *l)
{
    ch->count = 0;
    for (size_t i = 0; i < l->n_locs && ch->count < SIM_NODES_MAX; i++) {
        take_storage(ch, ch->count, l, i);
        ch->nodes[ch->count++] = atoi(l->locs[i]->id->datanode_uuid + 5);
    }
}

static void drop_node(struct writer *w, int bad)
{
    struct chain *ch = &w->chain;
    if (bad < 0 || bad >= ch->count) {
        return;
    }
    w->excluded[ch->nodes[bad]] = true;
    ch->count--;
    for (int i = bad; i < ch->count; i++) {
        ch->nodes[i] = ch->nodes[i + 1];
        memcpy(ch->storages[i], ch->storages[i + 1], SIM_STORAGE_BYTES);
    }
    ch->state.node_count = (uint32_t)ch->count;
}

/* ---- along the chain ---- */

static int actor_at(const struct writer *w, int i)
{
    return i < 0 ? w->c->actor : SIM_NODE + w->chain.nodes[i];
}

/* The way back of an answer from node i; 0 or -HD_E_CLOSED. */
static int answer_from(struct writer *w, int i)
{
    return sim_reach(w->s, actor_at(w, i), actor_at(w, i - 1));
}

static int connect_chain(struct writer *w, enum hd_write_stage stage, uint64_t new_gs, int *ret_bad)
{
    struct chain *ch = &w->chain;
    ch->writer = ++w->s->next_id;
    struct hd_write_setup setup = {
        .stage = stage,
        .id = {ch->id},
        .gs = {ch->gs},
        .new_gs = {new_gs},
        .min_bytes = ch->state.acked_bytes,
        .max_bytes = HD_MIN(w->job->size - ch->start, (uint64_t)SIM_BLOCK_BYTES),
    };
    for (int i = 0; i < ch->count; i++) {
        *ret_bad = i;
        int err = sim_reach(w->s, actor_at(w, i - 1), actor_at(w, i));
        if (err == 0) {
            err = sim_node_setup(w->s, ch->nodes[i], &setup, ch->writer);
        }
        if (err < 0) {
            sim_trace(w->s, "chain of blk_%llu: node %d: %s", (unsigned long long)ch->id,
                      ch->nodes[i], hd_fail_text());
            return err;
        }
    }
    for (int i = ch->count - 1; i >= 0; i--) {
        *ret_bad = i;
        if (answer_from(w, i) < 0) {
            return -HD_E_CLOSED;
        }
    }
    return ch->count > 0 ? 0 : -HD_E_NO_NODES;
}

/* One packet; on failure *ret_bad is to blame, and nodes may have any part of it. */
static int send_packet(struct writer *w, const uint8_t *data, size_t size, bool sync, int *ret_bad)
{
    struct chain *ch = &w->chain;
    uint64_t at = ch->state.acked_bytes;
    for (int i = 0; i < ch->count; i++) {
        *ret_bad = i;
        int err = sim_reach(w->s, actor_at(w, i - 1), actor_at(w, i));
        if (err == 0) {
            err = sim_node_write(w->s, ch->nodes[i], ch->id, ch->writer, at, data, size);
        } else if (w->s->actors[actor_at(w, i)].up && size > 1) { /* the line broke in it */
            sim_node_write(w->s, ch->nodes[i], ch->id, ch->writer, at, data,
                           1 + (size_t)sim_draw(w->s, size - 1));
        }
        if (err < 0) {
            return err;
        }
    }
    for (int i = ch->count - 1; i >= 0; i--) {
        *ret_bad = i;
        int err = sim_node_ack(w->s, ch->nodes[i], ch->id, ch->writer, at + size, sync);
        if (err == 0) {
            err = answer_from(w, i);
        }
        if (err < 0) {
            return err;
        }
    }
    ch->state.acked_bytes = at + size;
    ch->state.recoveries = 0;
    return 0;
}

static int send_last(struct writer *w, int *ret_bad)
{
    struct chain *ch = &w->chain;
    for (int i = 0; i < ch->count; i++) {
        *ret_bad = i;
        int err = sim_reach(w->s, actor_at(w, i - 1), actor_at(w, i));
        if (err < 0) {
            return err;
        }
    }
    for (int i = ch->count - 1; i >= 0; i--) {
        *ret_bad = i;
        int err = sim_node_finish(w->s, ch->nodes[i], ch->id, ch->writer);
        if (err == 0) {
            err = answer_from(w, i);
        }
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* ---- blocks ---- */

static int abandon(struct writer *w)
{
    Hdw__AbandonBlockRequest q = HDW__ABANDON_BLOCK_REQUEST__INIT;
    const Hdw__AbandonBlockResponse *r;
    q.b = block_message(w, w->chain.id, w->chain.gs, 0);
    q.src = text_of(w->job->path);
    q.holder = w->c->name;
    q.has_file_id = true;
    q.file_id = w->ino;
    return CLIENT_CALL(w->c, "abandonBlock", abandon_block, &q, &r);
}

static int add_block(struct writer *w, const Hdw__AddBlockResponse **ret)
{
    for (;;) {
        Hdw__AddBlockRequest q = HDW__ADD_BLOCK_REQUEST__INIT;
        Hdw__DatanodeInfo *out[SIM_NODES_MAX];
        q.src = text_of(w->job->path);
        q.client_name = w->c->name;
        q.previous = w->has_last ? block_message(w, w->last_id, w->last_gs, w->last_bytes) : NULL;
        q.has_file_id = true;
        q.file_id = w->ino;
        q.exclude_nodes = out;
        for (int n = 0; n < w->s->node_count; n++) {
            if (w->excluded[n]) {
                out[q.n_exclude_nodes++] = node_message(w, n);
            }
        }
        int err = CLIENT_CALL(w->c, "addBlock", add_block, &q, ret);
        if (err != -HD_E_NOT_REPLICATED_YET && err != -HD_E_NO_NODES) {
            return err;
        }
        memset(w->excluded, 0, sizeof(w->excluded));
        sim_sleep(w->s, POLL_US);
    }
}

static int begin_block(struct writer *w, uint64_t start)
{
    struct chain *ch = &w->chain;
    for (;;) {
        const Hdw__AddBlockResponse *r;
        int bad = -1; /* no node was offered */
        int err = add_block(w, &r);
        if (err < 0) {
            return err;
        }
        *ch = (struct chain){.open = true,
                             .id = r->block->b->block_id,
                             .gs = r->block->b->generation_stamp,
                             .start = start};
        take_nodes(ch, r->block);
        ch->state = (struct hd_chain_state){.stage = HD_CHAIN_STREAM,
                                            .node_count = (uint32_t)ch->count,
                                            .replication = w->job->replication,
                                            .fresh = sim_chance(w->s, 600000)};
        if (ch->count > 0 && connect_chain(w, HD_STAGE_CREATE, 0, &bad) == 0) {
            return 0;
        }
        drop_node(w, bad);
        if (++w->restarts > RESTARTS_MAX) {
            return hd_fail(-HD_E_NO_NODES, "no chain can be built");
        }
        err = abandon(w);
        if (err < 0) {
            return err;
        }
        sim_sleep(w->s, sim_between(w->s, 1000, POLL_US));
    }
}

/* ---- a broken chain ---- */

static int new_genstamp(struct writer *w, uint64_t *ret)
{
    Hdw__UpdateBlockForPipelineRequest q = HDW__UPDATE_BLOCK_FOR_PIPELINE_REQUEST__INIT;
    const Hdw__UpdateBlockForPipelineResponse *r;
    q.block = block_message(w, w->chain.id, w->chain.gs, w->chain.state.acked_bytes);
    q.client_name = w->c->name;
    int err = CLIENT_CALL(w->c, "updateBlockForPipeline", update_block_for_pipeline, &q, &r);
    if (err == 0) {
        *ret = r->block->b->generation_stamp;
    }
    return err;
}

static int update_pipeline(struct writer *w, uint64_t gs)
{
    struct chain *ch = &w->chain;
    Hdw__UpdatePipelineRequest q = HDW__UPDATE_PIPELINE_REQUEST__INIT;
    const Hdw__UpdatePipelineResponse *r;
    Hdw__DatanodeID *ids[SIM_NODES_MAX];
    char *storages[SIM_NODES_MAX];
    for (int i = 0; i < ch->count; i++) {
        ids[i] = node_message(w, ch->nodes[i])->id;
        storages[i] = ch->storages[i];
    }
    q.client_name = w->c->name;
    q.old_block = block_message(w, ch->id, ch->gs, ch->state.acked_bytes);
    q.new_block = block_message(w, ch->id, gs, ch->state.acked_bytes);
    q.n_new_nodes = q.n_storage_i_ds = (size_t)ch->count;
    q.new_nodes = ids;
    q.storage_i_ds = storages;
    int err = CLIENT_CALL(w->c, "updatePipeline", update_pipeline, &q, &r);
    if (err == 0) {
        ch->gs = gs;
    }
    return err;
}

/* One more node with what is acknowledged so far. Failing is no reason to fail the write. */
static void replace_node(struct writer *w)
{
    struct chain *ch = &w->chain;
    Hdw__GetAdditionalDatanodeRequest q = HDW__GET_ADDITIONAL_DATANODE_REQUEST__INIT;
    const Hdw__GetAdditionalDatanodeResponse *r;
    Hdw__DatanodeInfo *there[SIM_NODES_MAX];
    Hdw__DatanodeInfo *out[SIM_NODES_MAX];
    for (int i = 0; i < ch->count; i++) {
        there[q.n_existings++] = node_message(w, ch->nodes[i]);
    }
    for (int n = 0; n < w->s->node_count; n++) {
        if (w->excluded[n]) {
            out[q.n_excludes++] = node_message(w, n);
        }
    }
    q.src = text_of(w->job->path);
    q.blk = block_message(w, ch->id, ch->gs, ch->state.acked_bytes);
    q.existings = there;
    q.excludes = out;
    q.num_additional_nodes = 1;
    q.client_name = w->c->name;
    q.has_file_id = true;
    q.file_id = w->ino;
    if (CLIENT_CALL(w->c, "getAdditionalDatanode", get_additional_datanode, &q, &r) < 0) {
        return;
    }
    for (size_t i = 0; i < r->block->n_locs && ch->count < SIM_NODES_MAX; i++) {
        int n = atoi(r->block->locs[i]->id->datanode_uuid + 5);
        bool known = false;
        for (int k = 0; k < ch->count; k++) {
            known = known || ch->nodes[k] == n;
        }
        if (known) {
            continue;
        }
        int err =
            sim_node_transfer_rbw(w->s, ch->nodes[0], n, ch->id, ch->gs, ch->state.acked_bytes);
        if (err < 0) {
            w->excluded[n] = true;
        } else {
            take_storage(ch, ch->count, r->block, i);
            ch->nodes[ch->count++] = n;
            ch->state.node_count = (uint32_t)ch->count;
        }
        return;
    }
}

static enum hd_write_stage recovery_stage(enum hd_chain_stage stage)
{
    switch (stage) {
    case HD_CHAIN_APPEND:
        return HD_STAGE_APPEND_RECOVERY;
    case HD_CHAIN_CLOSE:
        return HD_STAGE_CLOSE_RECOVERY;
    case HD_CHAIN_CREATE:
    case HD_CHAIN_STREAM:
        return HD_STAGE_STREAMING_RECOVERY;
    }
    hd_unreachable();
}

static int set_up_again(struct writer *w)
{
    struct chain *ch = &w->chain;
    int err = -HD_E_NO_NODES;
    if (hd_chain_wants_node(&ch->state)) {
        replace_node(w);
    }
    while (ch->count > 0) {
        uint64_t gs;
        int bad;
        err = new_genstamp(w, &gs);
        if (err < 0) {
            return err;
        }
        err = connect_chain(w, recovery_stage(ch->state.stage), gs, &bad);
        if (err == 0) {
            return update_pipeline(w, gs);
        }
        drop_node(w, bad);
    }
    return err;
}

static int recover(struct writer *w, int bad)
{
    struct chain *ch = &w->chain;
    drop_node(w, bad);
    ch->state.recoveries++;
    enum hd_chain_plan plan = hd_chain_plan_of(&ch->state);
    sim_trace(w->s, "%s: the chain of blk_%llu breaks, %d nodes left, plan %d", w->c->name,
              (unsigned long long)ch->id, ch->count, plan);
    switch (plan) {
    case HD_CHAIN_RESTART: {
        if (++w->restarts > RESTARTS_MAX) {
            return hd_fail(-HD_E_NO_NODES, "too many restarts");
        }
        int err = abandon(w);
        return err < 0 ? err : begin_block(w, ch->start);
    }
    case HD_CHAIN_RECOVER:
    case HD_CHAIN_FINISH: {
        int err = set_up_again(w);
        if (err == 0) {
            ch->open = plan != HD_CHAIN_FINISH;
            ch->state.stage = HD_CHAIN_STREAM;
        }
        return err;
    }
    case HD_CHAIN_GIVE_UP:
        return hd_fail(-HD_E_IO, "the chain cannot be repaired");
    }
    hd_unreachable();
}

/* ---- the file ---- */

static int tell_length(struct writer *w)
{
    Hdw__FsyncRequest q = HDW__FSYNC_REQUEST__INIT;
    const Hdw__FsyncResponse *r;
    q.src = text_of(w->job->path);
    q.client = w->c->name;
    q.has_last_block_length = q.has_file_id = true;
    q.last_block_length = (int64_t)w->chain.state.acked_bytes;
    q.file_id = w->ino;
    return CLIENT_CALL(w->c, "fsync", fsync, &q, &r);
}

/* The block's part of the file up to `end` of the block, acknowledged, with flushes on the way. */
static int write_block(struct writer *w, uint64_t end)
{
    struct chain *ch = &w->chain;
    struct pending *p = &w->c->pending;
    int err = 0;
    while (err == 0 && ch->state.acked_bytes < end) {
        uint64_t from = ch->state.acked_bytes;
        size_t size = (size_t)sim_between(w->s, 1, HD_MIN((int64_t)(end - from), 1500));
        bool sync = sim_chance(w->s, 300000);
        bool flush = sync || sim_chance(w->s, 300000);
        int bad;
        err = send_packet(w, p->data + ch->start + from, size, sync, &bad);
        if (err < 0) {
            err = recover(w, bad);
            continue;
        }
        if (flush) {
            if (sync || !ch->state.flushed) {
                err = tell_length(w);
            }
            if (err == 0) {
                ch->state.flushed = true;
                p->flushed = HD_MAX(p->flushed, (uint32_t)(ch->start + ch->state.acked_bytes));
                w->s->operations++;
            }
        }
        sim_sleep(w->s, sim_between(w->s, 0, 30000));
    }
    return err;
}

static int finish_block(struct writer *w, uint64_t end)
{
    struct chain *ch = &w->chain;
    int err = write_block(w, end);
    while (err == 0 && ch->open) {
        int bad;
        ch->state.stage = HD_CHAIN_CLOSE;
        err = send_last(w, &bad);
        if (err == 0) {
            break;
        }
        err = recover(w, bad);
        if (err == 0 && ch->open) {
            err = write_block(w, end); /* begun anew */
        }
    }
    if (err == 0) {
        w->has_last = true;
        w->last_id = ch->id;
        w->last_gs = ch->gs;
        w->last_bytes = end;
        ch->open = false;
    }
    return err;
}

static int complete(struct writer *w)
{
    for (;;) {
        Hdw__CompleteRequest q = HDW__COMPLETE_REQUEST__INIT;
        const Hdw__CompleteResponse *r;
        q.src = text_of(w->job->path);
        q.client_name = w->c->name;
        q.last = w->has_last ? block_message(w, w->last_id, w->last_gs, w->last_bytes) : NULL;
        q.has_file_id = true;
        q.file_id = w->ino;
        int err = CLIENT_CALL(w->c, "complete", complete, &q, &r);
        if (err < 0 || r->result) {
            return err;
        }
        sim_sleep(w->s, POLL_US);
    }
}

static int begin_create(struct writer *w)
{
    Hdw__CreateRequest q = HDW__CREATE_REQUEST__INIT;
    Hdw__FsPermission perm = HDW__FS_PERMISSION__INIT;
    const Hdw__CreateResponse *r;
    perm.perm = 0644;
    q.src = text_of(w->job->path);
    q.masked = &perm;
    q.client_name = w->c->name;
    q.create_flag = w->job->flag;
    q.replication = w->job->replication;
    q.block_size = SIM_BLOCK_BYTES;
    int err = CLIENT_CALL(w->c, "create", create, &q, &r);
    if (err == 0) {
        w->ino = r->fs->file_id;
    }
    return err;
}

static int connect_append(struct writer *w, const Hdw__LocatedBlock *l)
{
    struct chain *ch = &w->chain;
    uint64_t gs;
    int bad;
    *ch = (struct chain){.open = true,
                         .id = l->b->block_id,
                         .gs = l->b->generation_stamp,
                         .start = w->job->from - l->b->num_bytes};
    take_nodes(ch, l);
    ch->state = (struct hd_chain_state){.stage = HD_CHAIN_APPEND,
                                        .acked_bytes = l->b->num_bytes,
                                        .node_count = (uint32_t)ch->count,
                                        .replication = w->job->replication,
                                        .appended = true};
    int err = new_genstamp(w, &gs);
    if (err < 0) {
        return err;
    }
    err = connect_chain(w, HD_STAGE_APPEND, gs, &bad);
    if (err == 0) {
        err = update_pipeline(w, gs);
    } else {
        drop_node(w, bad);
        err = set_up_again(w);
    }
    ch->state.stage = HD_CHAIN_STREAM;
    return err;
}

static int begin_append(struct writer *w, const Hdw__LocatedBlock **ret_block)
{
    for (;;) {
        Hdw__AppendRequest q = HDW__APPEND_REQUEST__INIT;
        const Hdw__AppendResponse *r;
        q.src = text_of(w->job->path);
        q.client_name = w->c->name;
        int err = CLIENT_CALL(w->c, "append", append, &q, &r);
        if (err == -HD_E_IO) { /* no replica of the last block is known at the moment */
            sim_sleep(w->s, POLL_US);
            continue;
        }
        if (err == 0) {
            w->ino = r->stat->file_id;
            *ret_block = r->block;
        }
        return err;
    }
}

static int write_all(struct writer *w, const Hdw__LocatedBlock *begun)
{
    uint64_t at = w->job->from;
    int err = 0;
    if (begun != NULL) {
        uint64_t end = HD_MIN((uint64_t)w->job->size, at - begun->b->num_bytes + SIM_BLOCK_BYTES);
        err = connect_append(w, begun);
        if (err == 0) {
            err = finish_block(w, end - w->chain.start);
        }
        at = end;
    }
    for (; err == 0 && at < w->job->size; at += SIM_BLOCK_BYTES) {
        err = begin_block(w, at);
        if (err == 0) {
            err = finish_block(w, HD_MIN(w->job->size - at, (uint64_t)SIM_BLOCK_BYTES));
        }
    }
    return err == 0 ? complete(w) : err;
}

int client_write(struct sim_client *c, const struct write_job *job)
{
    struct writer w = {.c = c, .s = c->sim, .job = job};
    const Hdw__LocatedBlock *begun = NULL;
    int err = job->append ? begin_append(&w, &begun) : begin_create(&w);
    if (err < 0) {
        return err;
    }
    c->pending.old_may_stay = job->append;
    err = write_all(&w, begun);
    if (err < 0) {
        sim_trace(c->sim, "%s loses %s: %s %s", c->name, job->path, hd_error_name(err),
                  hd_fail_text());
        return 1;
    }
    return 0;
}
