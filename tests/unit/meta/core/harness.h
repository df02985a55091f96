/*
 * A world for tests of meta's core: one state machine, a clock that tests move, data nodes that say
 * what tests tell them to say. Every step's records and puts are kept, so that a test can ask at
 * any moment whether the loaded view and the replayed log give the same state (world_check).
 */
#ifndef HD_TESTS_META_CORE_HARNESS_H
#define HD_TESTS_META_CORE_HARNESS_H

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>

#include "fs/base/error.h"
#include "meta/core/meta.h"
#include "meta/core/state.h"
#include "client_namenode.pb-c.h"
#include "datanode.pb-c.h"

#define CLIENT_PROTOCOL   "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define DATANODE_PROTOCOL "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol"

enum { WORLD_NODES_MAX = 16, WORLD_REPLIES_MAX = 64 };

struct bytes {
    uint8_t *data;
    size_t size;
};

struct row {
    struct bytes key;
    struct bytes value;
};

struct answer {
    uint64_t token;
    int err;
    char *text;
    uint64_t after;
    uint64_t as_of;
    struct bytes body; /* the response, encoded */
};

struct world {
    struct hd_meta_options options;
    struct hd_meta *m;
    struct hd_meta_effects fx;
    int64_t now_ms;
    int64_t wall_ms;
    uint64_t durable; /* UINT64_MAX: everything at once */
    uint64_t next_token;
    const char *user;
    const char *const *groups;
    bool posix;
    uint64_t session; /* of the connection that calls are made on; 0: none */
    const char *peer_ip;
    int32_t call_id; /* < 0: none */
    struct bytes *records;
    size_t record_count;
    struct row *view;
    size_t view_count;
    struct answer answers[WORLD_REPLIES_MAX]; /* a ring */
    size_t answer_count;
    char trace[256];       /* the last one */
    struct hd_arena arena; /* of decoded responses */
};

static const char *const no_groups[] = {NULL};

static inline struct bytes bytes_of(const void *data, size_t size)
{
    struct bytes b = {malloc(size + 1), size};
    if (size > 0) {
        memcpy(b.data, data, size);
    }
    b.data[size] = '\0';
    return b;
}

static inline int bytes_compare(const struct bytes *a, const struct bytes *b)
{
    return hd_name_compare((const char *)a->data, a->size, (const char *)b->data, b->size);
}

static inline void view_put(struct row **view, size_t *count, const struct hd_meta_put *p)
{
    struct bytes key = {(uint8_t *)(uintptr_t)p->key, p->key_size};
    size_t low = 0;
    size_t high = *count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (bytes_compare(&(*view)[middle].key, &key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    bool there = low < *count && bytes_compare(&(*view)[low].key, &key) == 0;
    if (there) {
        free((*view)[low].value.data);
    }
    if (p->value == NULL) {
        if (there) {
            free((*view)[low].key.data);
            (*count)--;
            memmove(&(*view)[low], &(*view)[low + 1], sizeof(**view) * (*count - low));
        }
        return;
    }
    if (!there) {
        *view = realloc(*view, sizeof(**view) * (*count + 1));
        memmove(&(*view)[low + 1], &(*view)[low], sizeof(**view) * (*count - low));
        (*view)[low].key = bytes_of(p->key, p->key_size);
        (*count)++;
    }
    (*view)[low].value = bytes_of(p->value, p->value_size);
}

/* Takes over what a step wants done. */
static inline void world_absorb(struct world *w)
{
    struct hd_meta_effects *e = &w->fx;
    for (size_t i = 0; i < e->record_count; i++) {
        w->records = realloc(w->records, sizeof(*w->records) * (w->record_count + 1));
        w->records[w->record_count++] = bytes_of(e->records[i].data, e->records[i].size);
        ATF_REQUIRE(e->records[i].txid.v == w->record_count);
    }
    for (size_t i = 0; i < e->put_count; i++) {
        view_put(&w->view, &w->view_count, &e->puts[i]);
    }
    for (size_t i = 0; i < e->reply_count; i++) {
        struct answer *a = &w->answers[w->answer_count++ % WORLD_REPLIES_MAX];
        free(a->text);
        free(a->body.data);
        *a = (struct answer){.token = e->replies[i].token, .err = e->replies[i].err};
        a->after = e->replies[i].after.v;
        a->as_of = e->replies[i].as_of.v;
        a->text = e->replies[i].text != NULL ? strdup(e->replies[i].text) : NULL;
        if (e->replies[i].err == 0 && e->replies[i].response == NULL) {
            a->body = bytes_of(e->replies[i].body, e->replies[i].body_size);
        } else if (e->replies[i].err == 0) {
            size_t size = protobuf_c_message_get_packed_size(e->replies[i].response);
            a->body.data = malloc(size + 1);
            a->body.size = protobuf_c_message_pack(e->replies[i].response, a->body.data);
        }
    }
    if (e->trace != NULL) {
        snprintf(w->trace, sizeof(w->trace), "%s", e->trace);
    }
    hd_meta_effects_reset(e);
}

static inline struct hd_meta_options world_options(void)
{
    return (struct hd_meta_options){
        .cluster_id = "CID-1",
        .block_pool_id = "BP-1",
        .namespace_id = 7,
        .creation_ms = 1000000,
        .superuser = "root",
        .supergroup = "supergroup",
        .host_name = "metahost",
        .block_size_bytes = 1 << 20,
        .min_block_size_bytes = 1024,
        .replication = 3,
        .replication_max = 512,
        .list_limit = 1000,
        .safe_mode_threshold = 0.999,
        .heartbeat_ms = 1000,
        .stale_ms = 5000,
        .dead_ms = 15000,
        .closed_grace_ms = 3000,
        .lease_soft_ms = 60000,
        .lease_hard_ms = 1200000,
        .retry_cache_ms = 600000,
        .atime_precision_ms = 3600000,
        .complete_wait_ms = 1000,
        .repair_grace_ms = 5000,
        .repair_streams_per_node = 4,
        .seed = 1,
    };
}

static inline void world_init(struct world *w)
{
    *w = (struct world){.options = world_options(),
                        .now_ms = 1000,
                        .wall_ms = 1700000000000,
                        .durable = UINT64_MAX,
                        .user = "root",
                        .groups = no_groups,
                        .peer_ip = "10.0.0.1",
                        .call_id = -1};
    hd_meta_effects_init(&w->fx);
    hd_arena_init(&w->arena, 0);
    ATF_REQUIRE(hd_meta_new(&w->options, &w->m) == 0);
    hd_meta_format(w->m, (struct hd_wall_ms){w->wall_ms}, &w->fx);
    world_absorb(w);
    hd_meta_start(w->m, (struct hd_mono_ms){w->now_ms});
}

static inline void world_done(struct world *w)
{
    hd_meta_free(w->m);
    hd_meta_effects_done(&w->fx);
    hd_arena_done(&w->arena);
    for (size_t i = 0; i < w->record_count; i++) {
        free(w->records[i].data);
    }
    for (size_t i = 0; i < w->view_count; i++) {
        free(w->view[i].key.data);
        free(w->view[i].value.data);
    }
    for (size_t i = 0; i < WORLD_REPLIES_MAX; i++) {
        free(w->answers[i].text);
        free(w->answers[i].body.data);
    }
    free(w->records);
    free(w->view);
}

static inline void world_step(struct world *w, struct hd_meta_event *ev)
{
    ev->now.v = w->now_ms;
    ev->wall.v = w->wall_ms;
    ev->durable.v = w->durable;
    hd_meta_step(w->m, ev, &w->fx);
    world_absorb(w);
}

/* Lets time pass, with ticks of 100 ms. */
static inline void world_pass(struct world *w, int64_t ms)
{
    for (int64_t end = w->now_ms + ms; w->now_ms < end;) {
        w->now_ms += 100;
        w->wall_ms += 100;
        world_step(w, &(struct hd_meta_event){.type = HD_META_TICK});
    }
}

/* Sends a call; its token. */
static inline uint64_t world_send(struct world *w, const char *protocol, const char *method,
                                  const void *request, uint64_t conn_id)
{
    const ProtobufCMessage *q = request;
    size_t size = protobuf_c_message_get_packed_size(q);
    uint8_t *body = malloc(size + 1);
    protobuf_c_message_pack(q, body);
    struct hd_meta_event ev = {
        .type = HD_META_REQUEST,
        .conn_id = conn_id,
        .token = ++w->next_token,
        .protocol = protocol,
        .method = method,
        .body = body,
        .body_size = size,
        .user = w->user,
        .groups = w->groups,
        .posix = w->posix,
        .session = w->session,
        .peer_ip = w->peer_ip,
        .peer_host = w->peer_ip,
        .client_id = (const uint8_t *)"0123456789abcdef",
        .client_id_size = w->call_id >= 0 ? 16 : 0,
        .call_id = w->call_id,
    };
    world_step(w, &ev);
    free(body);
    return ev.token;
}

/* The answer to a token; NULL: none yet. */
static inline struct answer *world_answer(struct world *w, uint64_t token)
{
    for (size_t i = 0; i < WORLD_REPLIES_MAX; i++) {
        if (w->answers[i].token == token) {
            return &w->answers[i];
        }
    }
    return NULL;
}

static inline void *world_decode(struct world *w, const struct answer *a,
                                 const ProtobufCMessageDescriptor *type)
{
    ProtobufCAllocator allocator = hd_arena_allocator(&w->arena);
    void *r = protobuf_c_message_unpack(type, &allocator, a->body.size, a->body.data);
    ATF_REQUIRE(r != NULL);
    return r;
}

/* A call that must be answered at once. */
static inline struct answer *world_call(struct world *w, const char *method, const void *request)
{
    struct answer *a = world_answer(w, world_send(w, CLIENT_PROTOCOL, method, request, 1));
    ATF_REQUIRE_MSG(a != NULL, "%s was not answered", method);
    return a;
}

/* CALL(w, "create", create, .src = ...) -> the decoded response; the call must succeed. */
#define CALL_ANSWER(w, name, Type, lower, ...)                                                     \
    ({                                                                                             \
        Hdw__##Type##Request q_ = {PROTOBUF_C_MESSAGE_INIT(&hdw__##lower##_request__descriptor),   \
                                   __VA_ARGS__};                                                   \
        world_call((w), (name), &q_);                                                              \
    })

#define CALL(w, name, Type, lower, ...)                                                            \
    ({                                                                                             \
        struct answer *a_ = CALL_ANSWER(w, name, Type, lower, __VA_ARGS__);                        \
        ATF_REQUIRE_MSG(a_->err == 0, "%s: %s: %s", (name), hd_error_name(a_->err),                \
                        a_->text != NULL ? a_->text : "");                                         \
        (Hdw__##Type##Response *)world_decode((w), a_, &hdw__##lower##_response__descriptor);      \
    })

/* The call must fail with this code and, when given, this text. */
#define CALL_FAILS(w, code, words, name, Type, lower, ...)                                         \
    do {                                                                                           \
        struct answer *a_ = CALL_ANSWER(w, name, Type, lower, __VA_ARGS__);                        \
        const char *words_ = (words);                                                              \
        ATF_CHECK_MSG(a_->err == (code), "%s: %s: %s", (name),                                     \
                      a_->err != 0 ? hd_error_name(a_->err) : "success",                           \
                      a_->text != NULL ? a_->text : "");                                           \
        if (words_ != NULL && a_->text != NULL) {                                                  \
            ATF_CHECK_STREQ(words_, a_->text);                                                     \
        }                                                                                          \
    } while (0)

#define S(text) ((char *)(uintptr_t)(text))

/* ---- short calls ---- */

static inline bool do_mkdirs(struct world *w, const char *path, uint32_t mode)
{
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    p.perm = mode;
    return CALL(w, "mkdirs", Mkdirs, mkdirs, .src = S(path), .masked = &p, .create_parent = true)
        ->result;
}

static inline Hdw__HdfsFileStatus *do_stat(struct world *w, const char *path)
{
    return CALL(w, "getFileLinkInfo", GetFileLinkInfo, get_file_link_info, .src = S(path))->fs;
}

static inline struct answer *try_create(struct world *w, const char *path, const char *holder,
                                        uint32_t flag, uint32_t replication)
{
    Hdw__FsPermission p = HDW__FS_PERMISSION__INIT;
    p.perm = 0644;
    return CALL_ANSWER(w, "create", Create, create, .src = S(path), .masked = &p,
                       .client_name = S(holder), .create_flag = flag, .create_parent = true,
                       .replication = replication, .block_size = 1 << 20);
}

static inline Hdw__HdfsFileStatus *do_create(struct world *w, const char *path, const char *holder)
{
    struct answer *a = try_create(w, path, holder, 1, 3);
    ATF_REQUIRE_MSG(a->err == 0, "create %s: %s", path, a->text);
    Hdw__CreateResponse *r = world_decode(w, a, &hdw__create_response__descriptor);
    return r->fs;
}

static inline Hdw__LocatedBlock *do_add_block(struct world *w, const char *path, const char *holder,
                                              Hdw__ExtendedBlock *previous)
{
    return CALL(w, "addBlock", AddBlock, add_block, .src = S(path), .client_name = S(holder),
                .previous = previous)
        ->block;
}

static inline bool do_complete(struct world *w, const char *path, const char *holder,
                               Hdw__ExtendedBlock *last)
{
    return CALL(w, "complete", Complete, complete, .src = S(path), .client_name = S(holder),
                .last = last)
        ->result;
}

static inline bool do_delete(struct world *w, const char *path, bool recursive)
{
    return CALL(w, "delete", Delete, delete, .src = S(path), .recursive = recursive)->result;
}

/* ---- data nodes ---- */

struct node_texts {
    char uuid[40], storage[40], ip[24];
};

static inline struct node_texts node_texts(int n)
{
    struct node_texts t;
    snprintf(t.uuid, sizeof(t.uuid), "uuid-%d", n);
    snprintf(t.storage, sizeof(t.storage), "DS-%d", n);
    snprintf(t.ip, sizeof(t.ip), "10.0.0.%d", n);
    return t;
}

struct registration {
    struct node_texts t;
    Hdw__DatanodeID id;
    Hdw__StorageInfo info;
    Hdw__ExportedBlockKeys keys;
    Hdw__BlockKey key;
    Hdw__DatanodeRegistration g;
};

static inline void registration_init(struct registration *r, int n)
{
    r->t = node_texts(n);
    hdw__datanode_id__init(&r->id);
    hdw__storage_info__init(&r->info);
    hdw__exported_block_keys__init(&r->keys);
    hdw__block_key__init(&r->key);
    hdw__datanode_registration__init(&r->g);
    r->id.ip_addr = r->t.ip;
    r->id.host_name = r->t.ip;
    r->id.datanode_uuid = r->t.uuid;
    r->id.xfer_port = 9866;
    r->id.info_port = 9864;
    r->id.ipc_port = 9867;
    r->info.cluster_id = S("CID-1");
    r->keys.current_key = &r->key;
    r->g.datanode_id = &r->id;
    r->g.storage_info = &r->info;
    r->g.keys = &r->keys;
    r->g.software_version = S("3.4.2");
}

static inline uint64_t node_conn(int n)
{
    return 100 + (uint64_t)n;
}

static inline struct answer *node_send(struct world *w, int n, const char *method, const void *q)
{
    struct node_texts t = node_texts(n);
    const char *peer = w->peer_ip;
    w->peer_ip = t.ip;
    struct answer *a = world_answer(w, world_send(w, DATANODE_PROTOCOL, method, q, node_conn(n)));
    w->peer_ip = peer;
    ATF_REQUIRE_MSG(a != NULL && a->err == 0, "%s of node %d: %s", method, n,
                    a != NULL ? a->text : "not answered");
    return a;
}

static inline Hdw__SendHeartbeatResponse *node_beat(struct world *w, int n)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__StorageReport s = HDW__STORAGE_REPORT__INIT;
    Hdw__StorageReport *all[] = {&s};
    s.storage_uuid = r.t.storage;
    s.has_capacity = s.has_remaining = true;
    s.capacity = s.remaining = (uint64_t)1 << 40;
    Hdw__SendHeartbeatRequest q = HDW__SEND_HEARTBEAT_REQUEST__INIT;
    q.registration = &r.g;
    q.n_reports = 1;
    q.reports = all;
    return world_decode(w, node_send(w, n, "sendHeartbeat", &q),
                        &hdw__send_heartbeat_response__descriptor);
}

/* A full report of replicas {id, size, gs} that are all in one state. */
static inline void node_report_as(struct world *w, int n, Hdw__ReplicaState state,
                                  const uint64_t (*replicas)[3], size_t count)
{
    struct registration r;
    registration_init(&r, n);
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    for (size_t i = 0; i < count; i++) {
        hd_buf_add_varint(&b, replicas[i][0] << 1);
        hd_buf_add_varint(&b, replicas[i][1]);
        hd_buf_add_varint(&b, replicas[i][2]);
        hd_buf_add_varint(&b, (uint64_t)state);
    }
    ProtobufCBinaryData chunks[2] = {{b.size / 2, b.data}, {b.size - b.size / 2, NULL}};
    chunks[1].data = b.data + b.size / 2;
    Hdw__DatanodeStorage storage = HDW__DATANODE_STORAGE__INIT;
    storage.storage_uuid = r.t.storage;
    Hdw__StorageBlockReport s = HDW__STORAGE_BLOCK_REPORT__INIT;
    Hdw__StorageBlockReport *all[] = {&s};
    s.storage = &storage;
    s.has_number_of_blocks = true;
    s.number_of_blocks = count;
    s.n_blocks_buffers = 2;
    s.blocks_buffers = chunks;
    Hdw__BlockReportRequest q = HDW__BLOCK_REPORT_REQUEST__INIT;
    q.registration = &r.g;
    q.block_pool_id = S("BP-1");
    q.n_reports = 1;
    q.reports = all;
    node_send(w, n, "blockReport", &q);
}

/* A full report of finalized replicas {id, size, gs}. */
static inline void node_report(struct world *w, int n, const uint64_t (*replicas)[3], size_t count)
{
    node_report_as(w, n, HDW__REPLICA_STATE__REPLICA_FINALIZED, replicas, count);
}

static inline void node_register(struct world *w, int n)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__RegisterDatanodeRequest q = HDW__REGISTER_DATANODE_REQUEST__INIT;
    q.registration = &r.g;
    node_send(w, n, "registerDatanode", &q);
}

/* Registers, beats and reports no blocks. */
static inline void node_start(struct world *w, int n)
{
    node_register(w, n);
    node_beat(w, n);
    node_report(w, n, NULL, 0);
}

static inline void node_says_on(struct world *w, int n, const char *storage,
                                Hdw__BlockStatus status, uint64_t id, uint64_t gs, uint64_t size)
{
    struct registration r;
    registration_init(&r, n);
    Hdw__Block block = HDW__BLOCK__INIT;
    block.block_id = id;
    block.gen_stamp = gs;
    block.has_num_bytes = true;
    block.num_bytes = size;
    Hdw__ReceivedDeletedBlockInfo i = HDW__RECEIVED_DELETED_BLOCK_INFO__INIT;
    Hdw__ReceivedDeletedBlockInfo *infos[] = {&i};
    i.block = &block;
    i.status = status;
    Hdw__StorageReceivedDeletedBlocks s = HDW__STORAGE_RECEIVED_DELETED_BLOCKS__INIT;
    Hdw__StorageReceivedDeletedBlocks *all[] = {&s};
    s.storage_uuid = S(storage);
    s.n_blocks = 1;
    s.blocks = infos;
    Hdw__BlockReceivedAndDeletedRequest q = HDW__BLOCK_RECEIVED_AND_DELETED_REQUEST__INIT;
    q.registration = &r.g;
    q.block_pool_id = S("BP-1");
    q.n_blocks = 1;
    q.blocks = all;
    node_send(w, n, "blockReceivedAndDeleted", &q);
}

static inline void node_says(struct world *w, int n, Hdw__BlockStatus status, uint64_t id,
                             uint64_t gs, uint64_t size)
{
    struct node_texts t = node_texts(n);
    node_says_on(w, n, t.storage, status, id, gs, size);
}

static inline void node_received(struct world *w, int n, uint64_t id, uint64_t gs, uint64_t size)
{
    node_says(w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED, id, gs, size);
}

/* Keeps nodes first..last alive for a while. */
static inline void nodes_pass(struct world *w, int first, int last, int64_t ms)
{
    for (; ms > 0; ms -= 1000) {
        world_pass(w, ms < 1000 ? ms : 1000);
        for (int n = first; n <= last; n++) {
            node_beat(w, n);
        }
    }
}

/* The number of the node of a location, from its uuid. */
static inline int node_of(const Hdw__DatanodeInfo *info)
{
    return atoi(info->id->datanode_uuid + 5);
}

/* Writes a closed file of one block of `size` bytes, reported by its whole chain. */
static inline Hdw__ExtendedBlock *do_write(struct world *w, const char *path, uint64_t size)
{
    do_create(w, path, "writer");
    Hdw__LocatedBlock *l = do_add_block(w, path, "writer", NULL);
    l->b->num_bytes = size;
    for (size_t i = 0; i < l->n_locs; i++) {
        node_received(w, node_of(l->locs[i]), l->b->block_id, l->b->generation_stamp, size);
    }
    ATF_REQUIRE(do_complete(w, path, "writer", l->b));
    return l->b;
}

static inline Hdw__LocatedBlocks *do_locate(struct world *w, const char *path)
{
    return CALL(w, "getBlockLocations", GetBlockLocations, get_block_locations, .src = S(path),
                .offset = 0, .length = INT64_MAX)
        ->locations;
}

/* ---- the same state three ways ---- */

static inline void check_same(struct hd_meta *live, struct hd_meta *other, const char *what)
{
    struct hd_meta_effects a;
    struct hd_meta_effects b;
    hd_meta_effects_init(&a);
    hd_meta_effects_init(&b);
    hd_view_emit_all(&live->ns, &a);
    hd_view_emit_all(&other->ns, &b);
    ATF_REQUIRE_MSG(a.put_count == b.put_count, "%s: %zu keys, live has %zu", what, b.put_count,
                    a.put_count);
    for (size_t i = 0; i < a.put_count; i++) {
        bool same = a.puts[i].key_size == b.puts[i].key_size &&
                    a.puts[i].value_size == b.puts[i].value_size &&
                    memcmp(a.puts[i].key, b.puts[i].key, a.puts[i].key_size) == 0 &&
                    memcmp(a.puts[i].value, b.puts[i].value, a.puts[i].value_size) == 0;
        ATF_REQUIRE_MSG(same, "%s: key %zu (%c) differs", what, i, a.puts[i].key[0]);
    }
    ATF_REQUIRE(live->ns.file_count == other->ns.file_count);
    ATF_REQUIRE(live->ns.directory_count == other->ns.directory_count);
    ATF_REQUIRE(live->ns.blocks.count == other->ns.blocks.count);
    hd_meta_effects_done(&a);
    hd_meta_effects_done(&b);
}

static inline struct hd_meta *world_load(struct world *w)
{
    struct hd_meta *m;
    ATF_REQUIRE(hd_meta_new(&w->options, &m) == 0);
    for (size_t i = 0; i < w->view_count; i++) {
        const struct row *r = &w->view[i];
        int err = hd_meta_load(m, r->key.data, r->key.size, r->value.data, r->value.size);
        ATF_REQUIRE_MSG(err == 0, "load: %s", hd_fail_text());
    }
    int err = hd_meta_load_done(m, (struct hd_txid){w->record_count});
    ATF_REQUIRE_MSG(err == 0, "load: %s", hd_fail_text());
    return m;
}

static inline struct hd_meta *world_replay(struct world *w)
{
    struct hd_meta *m;
    struct hd_meta_effects e;
    hd_meta_effects_init(&e);
    ATF_REQUIRE(hd_meta_new(&w->options, &m) == 0);
    hd_meta_format(m, (struct hd_wall_ms){0}, &e);
    for (size_t i = 0; i < w->record_count; i++) {
        hd_meta_effects_reset(&e);
        int err = hd_meta_replay(m, w->records[i].data, w->records[i].size, &e);
        ATF_REQUIRE_MSG(err == 0, "replay: %s", hd_fail_text());
    }
    hd_meta_effects_done(&e);
    return m;
}

/* The view that was put together from puts, and the log, both give what is in memory. */
static inline void world_check(struct world *w)
{
    struct hd_meta *loaded = world_load(w);
    struct hd_meta *replayed = world_replay(w);
    check_same(w->m, loaded, "loaded");
    check_same(w->m, replayed, "replayed");
    hd_meta_free(loaded);
    hd_meta_free(replayed);
}

/* kill -9 and a new start: from the view, with the whole log seen again. */
static inline void world_restart(struct world *w)
{
    struct hd_meta *m = world_load(w);
    struct hd_meta_effects e;
    hd_meta_effects_init(&e);
    for (size_t i = 0; i < w->record_count; i++) {
        ATF_REQUIRE(hd_meta_replay(m, w->records[i].data, w->records[i].size, &e) == 0);
    }
    hd_meta_effects_done(&e);
    hd_meta_free(w->m);
    w->m = m;
    hd_meta_start(m, (struct hd_mono_ms){w->now_ms});
}

#endif
