/* What a simulated data node and meta say to each other. See node.h. */
#include "client_namenode.pb-c.h"
#include "datanode.pb-c.h"
#include "fs/base/error.h"
#include "fs/data/core/report.h"
#include "tests/sim/node_impl.h"

#include <stdlib.h>

enum { HEARTBEAT_US = 1000000, LOCATIONS_MAX = 16 };

/* Blocks of deleted files come with this length: nobody waits to hear that they are gone. */
#define NO_REPORT_BYTES ((uint64_t)INT64_MAX)

struct sim_said {
    struct sim_said *next;
    struct hd_block block;
    int volume;
    Hdw__BlockStatus status;
};

/* ---- words ---- */

struct names {
    char uuid[24];
    char storage[SIM_VOLUMES_MAX][SIM_STORAGE_BYTES];
};

static void fill_names(struct sim *s, struct names *t, int n)
{
    snprintf(t->uuid, sizeof(t->uuid), "uuid-%d", n);
    for (int v = 0; v < SIM_VOLUMES_MAX; v++) {
        sim_storage_name(s, n, v, t->storage[v]);
    }
}

static Hdw__DatanodeRegistration *registration(struct sim *s, int n, struct names **ret_names)
{
    struct hd_arena *a = sim_arena(s);
    struct names *t = HD_ARENA_NEW(a, struct names);
    Hdw__DatanodeID *id = HD_ARENA_NEW(a, Hdw__DatanodeID);
    Hdw__StorageInfo *info = HD_ARENA_NEW(a, Hdw__StorageInfo);
    Hdw__ExportedBlockKeys *keys = HD_ARENA_NEW(a, Hdw__ExportedBlockKeys);
    Hdw__BlockKey *key = HD_ARENA_NEW(a, Hdw__BlockKey);
    Hdw__DatanodeRegistration *g = HD_ARENA_NEW(a, Hdw__DatanodeRegistration);
    fill_names(s, t, n);
    hdw__datanode_id__init(id);
    hdw__storage_info__init(info);
    hdw__exported_block_keys__init(keys);
    hdw__block_key__init(key);
    hdw__datanode_registration__init(g);
    id->ip_addr = id->host_name = s->actors[SIM_NODE + n].ip;
    id->datanode_uuid = t->uuid;
    id->xfer_port = 9866;
    id->info_port = 9864;
    id->ipc_port = 9867;
    info->cluster_id = hd_arena_str(a, "CID-1");
    keys->current_key = key;
    g->datanode_id = id;
    g->storage_info = info;
    g->keys = keys;
    g->software_version = hd_arena_str(a, "3.4.2");
    *ret_names = t;
    return g;
}

static int call(struct sim *s, const char *method, const ProtobufCMessage *request,
                const ProtobufCMessageDescriptor *response, const void **ret)
{
    struct sim_call c = {SIM_DATANODE_PROTOCOL, method, request, response, -1, false};
    const char *text;
    bool lost;
    int err = sim_call_meta(s, &c, ret, &text, &lost);
    if (err < 0) {
        sim_trace(s, "%s: %s: %s", s->actors[sim_self(s)].name, method, text);
    }
    return err;
}

/* ---- reports ---- */

void sim_node_says(struct sim *s, int n, const struct sim_replica *replica, enum sim_news news)
{
    const struct hd_replica *r = &replica->r;
    static const Hdw__BlockStatus status[] = {
        [SIM_RECEIVING] = HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING,
        [SIM_RECEIVED] = HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED,
        [SIM_DELETED] = HDW__BLOCK_STATUS__BLOCK_STATUS_DELETED,
    };
    struct sim_node *node = s->nodes[n];
    struct sim_said *i = calloc(1, sizeof(*i));
    hd_assert(i != NULL);
    i->block = (struct hd_block){r->id, r->gs, r->size_bytes};
    i->volume = replica->volume;
    i->status = status[news];
    struct sim_said **at = &node->said;
    while (*at != NULL) {
        at = &(*at)->next;
    }
    *at = i;
    sim_wake(s, node->control);
}

static void drop_said(struct sim_node *node, size_t count)
{
    for (; count > 0; count--) {
        struct sim_said *i = node->said;
        node->said = i->next;
        free(i);
    }
}

void sim_node_forget(struct sim *s, int n)
{
    while (s->nodes[n]->said != NULL) {
        drop_said(s->nodes[n], 1);
    }
    s->nodes[n]->registered = false;
}

static Hdw__ReceivedDeletedBlockInfo *info_of(struct hd_arena *a, const struct sim_said *i)
{
    Hdw__Block *b = HD_ARENA_NEW(a, Hdw__Block);
    Hdw__ReceivedDeletedBlockInfo *info = HD_ARENA_NEW(a, Hdw__ReceivedDeletedBlockInfo);
    hdw__block__init(b);
    hdw__received_deleted_block_info__init(info);
    b->block_id = i->block.id.v;
    b->gen_stamp = i->block.gs.v;
    b->has_num_bytes = true;
    b->num_bytes = i->block.size_bytes;
    info->block = b;
    info->status = i->status;
    return info;
}

/* The oldest, as far as they are of one directory. */
static int send_said(struct sim *s, int n)
{
    enum { BATCH = 16 };
    struct hd_arena *a = sim_arena(s);
    struct names *t;
    Hdw__BlockReceivedAndDeletedRequest q = HDW__BLOCK_RECEIVED_AND_DELETED_REQUEST__INIT;
    Hdw__StorageReceivedDeletedBlocks g = HDW__STORAGE_RECEIVED_DELETED_BLOCKS__INIT;
    Hdw__StorageReceivedDeletedBlocks *groups[] = {&g};
    Hdw__ReceivedDeletedBlockInfo *infos[BATCH];
    const void *answer;
    int volume = s->nodes[n]->said->volume;
    for (const struct sim_said *i = s->nodes[n]->said;
         i != NULL && g.n_blocks < BATCH && i->volume == volume; i = i->next) {
        infos[g.n_blocks++] = info_of(a, i);
    }
    q.registration = registration(s, n, &t);
    g.storage_uuid = t->storage[volume];
    g.blocks = infos;
    q.block_pool_id = hd_arena_str(a, "BP-1");
    q.n_blocks = 1;
    q.blocks = groups;
    int err = call(s, "blockReceivedAndDeleted", &q.base,
                   &hdw__block_received_and_deleted_response__descriptor, &answer);
    if (err == 0) {
        drop_said(s->nodes[n], g.n_blocks);
    }
    return err;
}

/* What one directory has. */
static Hdw__StorageBlockReport *storage_report(struct sim *s, int n, int volume, char *name)
{
    struct hd_arena *a = sim_arena(s);
    struct hd_buf out = {0};
    Hdw__StorageBlockReport *r = HD_ARENA_NEW(a, Hdw__StorageBlockReport);
    Hdw__DatanodeStorage *storage = HD_ARENA_NEW(a, Hdw__DatanodeStorage);
    ProtobufCBinaryData *pieces = HD_ARENA_ARRAY(a, ProtobufCBinaryData, 2);
    hdw__storage_block_report__init(r);
    hdw__datanode_storage__init(storage);
    for (const struct sim_replica *x = s->nodes[n]->replicas; x != NULL; x = x->next) {
        if (x->r.state != HD_REPLICA_TEMPORARY && x->volume == volume) {
            int err = hd_report_add(&out, &x->r);
            hd_assert(err == 0);
            r->number_of_blocks++;
        }
    }
    uint8_t *bytes = hd_arena_copy(a, out.data, out.size);
    size_t cut = out.size > 0 ? (size_t)sim_draw(s, out.size) : 0; /* pieces end anywhere */
    pieces[0] = (ProtobufCBinaryData){cut, bytes};
    pieces[1] = (ProtobufCBinaryData){out.size - cut, bytes + cut};
    hd_buf_done(&out);
    storage->storage_uuid = name;
    r->storage = storage;
    r->has_number_of_blocks = true;
    r->n_blocks_buffers = 2;
    r->blocks_buffers = pieces;
    return r;
}

static int send_report(struct sim *s, int n)
{
    struct names *t;
    const void *answer;
    Hdw__StorageBlockReport *all[SIM_VOLUMES_MAX];
    Hdw__BlockReportRequest q = HDW__BLOCK_REPORT_REQUEST__INIT;
    q.registration = registration(s, n, &t);
    for (int v = 0; v < s->nodes[n]->volumes; v++) {
        if (!s->nodes[n]->failed[v]) {
            all[q.n_reports++] = storage_report(s, n, v, t->storage[v]);
        }
    }
    q.block_pool_id = hd_arena_str(sim_arena(s), "BP-1");
    q.reports = all;
    return call(s, "blockReport", &q.base, &hdw__block_report_response__descriptor, &answer);
}

static void report_bad(struct sim *s, int n, uint64_t id, uint64_t gs, uint64_t size)
{
    struct names *t;
    Hdw__ExtendedBlock b = HDW__EXTENDED_BLOCK__INIT;
    Hdw__Token token = HDW__TOKEN__INIT;
    Hdw__LocatedBlock l = HDW__LOCATED_BLOCK__INIT;
    Hdw__LocatedBlock *all[] = {&l};
    Hdw__DatanodeInfo info = HDW__DATANODE_INFO__INIT;
    Hdw__DatanodeInfo *infos[] = {&info};
    Hdw__ReportBadBlocksRequest q = HDW__REPORT_BAD_BLOCKS_REQUEST__INIT;
    const void *answer;
    char empty[] = "";
    char pool[] = "BP-1";
    b.pool_id = pool;
    b.block_id = id;
    b.generation_stamp = gs;
    b.has_num_bytes = true;
    b.num_bytes = size;
    token.kind = token.service = empty;
    info.id = registration(s, n, &t)->datanode_id;
    l.b = &b;
    l.block_token = &token;
    l.n_locs = 1;
    l.locs = infos;
    q.n_blocks = 1;
    q.blocks = all;
    call(s, "reportBadBlocks", &q.base, &hdw__report_bad_blocks_response__descriptor, &answer);
}

static void scan(struct sim *s, void *arg)
{
    int n = (int)(intptr_t)arg;
    uint64_t last = 0;
    for (;;) {
        const struct sim_replica *r = s->nodes[n]->replicas;
        while (r != NULL && (r->r.id.v <= last || !r->rotten)) {
            r = r->next;
        }
        if (r == NULL) {
            break;
        }
        last = r->r.id.v;
        if (r->r.state == HD_REPLICA_FINALIZED) {
            report_bad(s, n, r->r.id.v, r->r.gs.v, r->r.size_bytes);
        }
    }
    if (s->nodes[n]->missing) { /* what is named in its list and not there any more */
        s->nodes[n]->missing = false;
        s->nodes[n]->registered = false;
    }
}

void sim_node_scan(struct sim *s, int n)
{
    if (s->actors[SIM_NODE + n].up) {
        sim_spawn(s, SIM_NODE + n, scan, (void *)(intptr_t)n);
    }
}

/* ---- commands ---- */

struct order { /* a copy or a recovery, in its own memory */
    int n;
    size_t size;
    uint8_t bytes[];
};

static struct order *order_new(int n, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    struct order *o = malloc(sizeof(*o) + size);
    hd_assert(o != NULL);
    o->n = n;
    o->size = protobuf_c_message_pack(m, o->bytes);
    return o;
}

static void *order_take(struct sim *s, struct order *o, const ProtobufCMessageDescriptor *type)
{
    ProtobufCAllocator allocator = hd_arena_allocator(sim_arena(s));
    void *m = protobuf_c_message_unpack(type, &allocator, o->size, o->bytes);
    free(o);
    hd_assert(m != NULL);
    return m;
}

static int node_of(const Hdw__DatanodeInfo *info)
{
    return atoi(info->id->datanode_uuid + 5);
}

static void run_transfer(struct sim *s, void *arg)
{
    int n = ((struct order *)arg)->n;
    const Hdw__BlockCommand *cmd = order_take(s, arg, &hdw__block_command__descriptor);
    const Hdw__Block *b = cmd->blocks[0];
    const struct sim_replica *r = sim_replica_find(s, n, b->block_id);
    if (r == NULL || r->r.state != HD_REPLICA_FINALIZED || r->r.gs.v < b->gen_stamp) {
        sim_trace(s, "%s has no blk_%llu_%llu to copy", s->actors[SIM_NODE + n].name,
                  (unsigned long long)b->block_id, (unsigned long long)b->gen_stamp);
        return;
    }
    if (r->rotten) {
        report_bad(s, n, b->block_id, r->r.gs.v, r->r.size_bytes);
        return;
    }
    int to = node_of(cmd->targets[0]->datanodes[0]);
    struct hd_write_setup setup = {
        .stage = HD_STAGE_CREATE, .from_node = true, .id = r->r.id, .gs = r->r.gs};
    int err = sim_node_copy(s, n, to, &setup, r->r.size_bytes);
    sim_trace(s, "copy of blk_%llu_%llu from %d to %d: %s", (unsigned long long)b->block_id,
              (unsigned long long)b->gen_stamp, n, to, err < 0 ? hd_fail_text() : "done");
}

static void run_invalidate(struct sim *s, int n, const Hdw__BlockCommand *cmd)
{
    for (size_t i = 0; i < cmd->n_blocks; i++) {
        const Hdw__Block *b = cmd->blocks[i];
        struct sim_replica *r = sim_replica_find(s, n, b->block_id);
        if (r == NULL || r->r.gs.v != b->gen_stamp) {
            continue;
        }
        sim_trace(s, "%s deletes blk_%llu_%llu", s->actors[SIM_NODE + n].name,
                  (unsigned long long)b->block_id, (unsigned long long)b->gen_stamp);
        if (b->num_bytes != NO_REPORT_BYTES) {
            sim_node_says(s, n, r, SIM_DELETED);
        }
        sim_replica_remove(s, n, r);
    }
}

/* ---- block recovery: fs/data/shell/recover.c in small ---- */

static int ask_all(struct sim *s, int n, const Hdw__RecoveringBlock *o,
                   struct hd_recovery_answer *answers)
{
    const Hdw__ExtendedBlock *b = o->block->b;
    for (size_t i = 0; i < o->block->n_locs && i < LOCATIONS_MAX; i++) {
        int to = node_of(o->block->locs[i]);
        answers[i] = (struct hd_recovery_answer){0};
        if (to != n && sim_reach(s, SIM_NODE + n, SIM_NODE + to) < 0) {
            continue;
        }
        struct hd_recovery_answer a = {0};
        int err =
            sim_node_recovery_init(s, to, b->block_id, b->generation_stamp, o->new_gen_stamp, &a);
        if (to != n && sim_reach(s, SIM_NODE + to, SIM_NODE + n) < 0) {
            continue;
        }
        if (err == -HD_E_RECOVERY) {
            return err;
        }
        if (err == 0) {
            answers[i] = a;
        }
    }
    return 0;
}

static char *replica_storage(struct sim *s, const Hdw__RecoveringBlock *o, size_t i)
{
    int n = node_of(o->block->locs[i]);
    const struct sim_replica *r = sim_replica_find(s, n, o->block->b->block_id);
    char *name = hd_arena_alloc(sim_arena(s), SIM_STORAGE_BYTES);
    sim_storage_name(s, n, r != NULL ? r->volume : 0, name);
    return name;
}

static int commit_recovery(struct sim *s, const Hdw__RecoveringBlock *o, const bool *updated,
                           const struct hd_recovery_choice *choice)
{
    Hdw__CommitBlockSynchronizationRequest q = HDW__COMMIT_BLOCK_SYNCHRONIZATION_REQUEST__INIT;
    Hdw__DatanodeID *targets[LOCATIONS_MAX];
    char *storages[LOCATIONS_MAX];
    const void *answer;
    for (size_t i = 0; i < o->block->n_locs && i < LOCATIONS_MAX; i++) {
        if (updated[i]) {
            targets[q.n_new_taragets++] = o->block->locs[i]->id;
            storages[q.n_new_target_storages++] = replica_storage(s, o, i);
        }
    }
    q.block = o->block->b;
    q.new_gen_stamp = o->new_gen_stamp;
    q.new_length = choice->size_bytes;
    q.close_file = true;
    q.delete_block = choice->delete_block;
    q.new_taragets = targets;
    q.new_target_storages = storages;
    return call(s, "commitBlockSynchronization", &q.base,
                &hdw__commit_block_synchronization_response__descriptor, &answer);
}

static int update_all(struct sim *s, int n, const Hdw__RecoveringBlock *o,
                      const struct hd_recovery_answer *answers, uint64_t size, bool *updated)
{
    int count = 0;
    for (size_t i = 0; i < o->block->n_locs && i < LOCATIONS_MAX; i++) {
        int to = node_of(o->block->locs[i]);
        if (!answers[i].takes_part || (to != n && sim_reach(s, SIM_NODE + n, SIM_NODE + to) < 0)) {
            continue;
        }
        int err = sim_node_recovery_update(s, to, o->block->b->block_id, o->new_gen_stamp, size);
        updated[i] = err == 0 && (to == n || sim_reach(s, SIM_NODE + to, SIM_NODE + n) == 0);
        count += updated[i];
    }
    return count > 0 ? 0 : hd_fail(-HD_E_IO, "no replica could be updated");
}

/* The block is closed: what the node has of it becomes a finished replica. */
static void finish_replica(struct sim *s, int n, const Hdw__RecoveringBlock *o)
{
    const Hdw__ExtendedBlock *b = o->block->b;
    const struct sim_replica *r = sim_replica_find(s, n, b->block_id);
    struct hd_recovery_answer answer = {0};
    if (r != NULL && r->r.state == HD_REPLICA_FINALIZED) {
        s->nodes[n]->registered = false; /* reports in full */
        return;
    }
    int err =
        sim_node_recovery_init(s, n, b->block_id, b->generation_stamp, o->new_gen_stamp, &answer);
    if (err == 0 && answer.found) {
        err = sim_node_recovery_update(s, n, b->block_id, o->new_gen_stamp,
                                       o->truncate_block->num_bytes);
    }
    if (err < 0) {
        s->nodes[n]->registered = false; /* reports in full what there is of it */
    }
    sim_trace(s, "blk_%llu is finished by %d: %s", (unsigned long long)b->block_id, n,
              err < 0        ? hd_fail_text()
              : answer.found ? "done"
                             : "not there");
}

static void run_recovery(struct sim *s, void *arg)
{
    int n = ((struct order *)arg)->n;
    const Hdw__RecoveringBlock *o = order_take(s, arg, &hdw__recovering_block__descriptor);
    if (o->truncate_block != NULL && o->new_gen_stamp == o->block->b->generation_stamp) {
        finish_replica(s, n, o);
        return;
    }
    struct hd_recovery_answer answers[LOCATIONS_MAX];
    struct hd_recovery_choice choice;
    bool updated[LOCATIONS_MAX] = {false};
    struct hd_recovery_order order = {
        .block_gs = {o->block->b->generation_stamp},
        .known_bytes = o->block->b->num_bytes,
        .truncate_bytes = o->truncate_block != NULL ? o->truncate_block->num_bytes : UINT64_MAX,
    };
    int count = (int)HD_MIN(o->block->n_locs, (size_t)LOCATIONS_MAX);
    int err = ask_all(s, n, o, answers);
    if (err == 0) {
        err = hd_recovery_choose(answers, count, &order, &choice);
    }
    if (err == 0 && !choice.delete_block) {
        err = update_all(s, n, o, answers, choice.size_bytes, updated);
    }
    if (err == 0) {
        err = commit_recovery(s, o, updated, &choice);
    }
    sim_trace(s, "recovery of blk_%llu to %llu by %d: %s",
              (unsigned long long)o->block->b->block_id, (unsigned long long)o->new_gen_stamp, n,
              err < 0 ? hd_fail_text() : "done");
}

static void run_block_command(struct sim *s, int n, const Hdw__BlockCommand *cmd)
{
    if (cmd->action == HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE) {
        run_invalidate(s, n, cmd);
        return;
    }
    for (size_t i = 0; i < cmd->n_blocks && i < cmd->n_targets; i++) {
        Hdw__BlockCommand one = *cmd;
        one.n_blocks = one.n_targets = 1;
        one.blocks = &cmd->blocks[i];
        one.targets = &cmd->targets[i];
        one.n_target_storage_types = one.n_target_storage_uuids = 0;
        sim_spawn(s, SIM_NODE + n, run_transfer, order_new(n, &one.base));
    }
}

static void run_command(struct sim *s, int n, const Hdw__DatanodeCommand *c)
{
    switch ((int)c->cmd_type) {
    case HDW__DATANODE_COMMAND_TYPE__CMD_RegisterCommand:
        s->nodes[n]->registered = false;
        return;
    case HDW__DATANODE_COMMAND_TYPE__CMD_BlockCommand:
        run_block_command(s, n, c->blk_cmd);
        return;
    case HDW__DATANODE_COMMAND_TYPE__CMD_BlockRecoveryCommand:
        for (size_t i = 0; i < c->recovery_cmd->n_blocks; i++) {
            sim_spawn(s, SIM_NODE + n, run_recovery,
                      order_new(n, &c->recovery_cmd->blocks[i]->base));
        }
        return;
    default:
        return;
    }
}

/* ---- the control fiber ---- */

static int send_heartbeat(struct sim *s, int n)
{
    struct names *t;
    Hdw__StorageReport r[SIM_VOLUMES_MAX];
    Hdw__StorageReport *all[SIM_VOLUMES_MAX];
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    const void *answer;
    bool full = s->now_us < s->nodes[n]->full_until_us;
    q.registration = registration(s, n, &t);
    for (int v = 0; v < s->nodes[n]->volumes; v++) {
        if (s->nodes[n]->failed[v]) {
            continue;
        }
        all[q.n_reports++] = &r[v];
        hdw__storage_report__init(&r[v]);
        r[v].storage_uuid = t->storage[v];
        r[v].has_capacity = r[v].has_remaining = true;
        r[v].capacity = (uint64_t)1 << 40;
        r[v].remaining = full ? 0 : (uint64_t)1 << 40;
    }
    q.reports = all;
    int err = call(s, "sendHeartbeat", &q.base, &hdw__send_heartbeat_response__descriptor, &answer);
    if (err < 0) {
        return err;
    }
    const Hdw__SendHeartbeatResponse *p = answer;
    for (size_t i = 0; i < p->n_cmds; i++) {
        run_command(s, n, p->cmds[i]);
    }
    return 0;
}

static int send_registration(struct sim *s, int n)
{
    struct names *t;
    Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
    const void *answer;
    q.registration = registration(s, n, &t);
    int err =
        call(s, "registerDatanode", &q.base, &hdw__register_datanode_response__descriptor, &answer);
    if (err == 0) {
        err = send_heartbeat(s, n);
    }
    if (err == 0) {
        err = send_report(s, n);
    }
    return err;
}

static void control(struct sim *s, void *arg)
{
    int n = (int)(intptr_t)arg;
    struct sim_node *node = s->nodes[n];
    const struct sim_actor *a = &s->actors[SIM_NODE + n];
    int64_t beat_us = 0;
    for (;;) {
        hd_arena_reset(sim_arena(s));
        int err = 0;
        if (!node->registered || a->conn == 0) { /* a new connection: meta may have forgotten */
            err = send_registration(s, n);
            node->registered = err == 0;
            beat_us = s->now_us + HEARTBEAT_US;
        } else if (node->said != NULL) {
            err = send_said(s, n);
        } else if (s->now_us >= beat_us) {
            beat_us = s->now_us + HEARTBEAT_US;
            err = send_heartbeat(s, n);
        }
        if (err < 0) {
            node->registered = node->registered && a->conn != 0;
            sim_sleep(s, sim_between(s, 100000, 500000));
        } else if (node->registered && node->said == NULL && s->now_us < beat_us) {
            sim_wait(s, beat_us - s->now_us);
        }
    }
}

void sim_node_start(struct sim *s, int n)
{
    struct sim_node *node = s->nodes[n];
    sim_start(s, SIM_NODE + n);
    for (int v = 0; v < node->volumes; v++) { /* broken disks have been replaced */
        node->replaced[v] += node->failed[v];
        node->failed[v] = false;
    }
    s->nodes[n]->control = sim_spawn(s, SIM_NODE + n, control, (void *)(intptr_t)n);
}
