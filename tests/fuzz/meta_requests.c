/*
 * Calls of any content to meta's core: each is answered or refused, and its log replays.
 *
 * The input is read as decisions: which method of the table, which user, and for each field of the
 * request's message whether it is there and what is in it (paths, names and numbers mostly from
 * small sets, so that calls meet what others made; else raw bytes). The last quarter of the
 * methods' byte sends the rest of the input as a body as it is. Each of three connections is a
 * mount's; what one waits for from another ends with time, and then every call has one answer.
 */
#include "fs/base/arena.h"
#include "fs/base/assert.h"
#include "fs/wire/methods.h"
#include "meta/core/meta.h"
#include "howdah.pb-c.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { CALLS_MAX = 40, DEPTH_MAX = 4, REPEATED_MAX = 4, MOUNTS = 3, TOKENS = 64 };

struct input {
    const uint8_t *p;
    size_t left;
};

static uint8_t take(struct input *in)
{
    if (in->left == 0) {
        return 0;
    }
    in->left--;
    return *in->p++;
}

static uint64_t take_number(struct input *in)
{
    static const uint64_t some[] = {
        0,     1,       2,         3,          1000,       1001,      1002,      16385,     16386,
        16387, 1 << 20, 134217728, 1073741825, 1073741826, INT32_MAX, INT64_MAX, UINT64_MAX};
    uint8_t kind = take(in);
    if (kind < 200) {
        return some[kind % HD_ARRAY_COUNT(some)];
    }
    uint64_t v = 0;
    for (int i = 0; i < kind % 9; i++) {
        v = v << 8 | take(in);
    }
    return v;
}

static char *take_text(struct input *in, struct hd_arena *a)
{
    static const char *const some[] = {"/",
                                       "/a",
                                       "/a/b",
                                       "/a/b/c",
                                       "/d",
                                       "/a/f",
                                       "/d/g",
                                       "",
                                       "a",
                                       "..",
                                       "/a/..",
                                       "/.reserved",
                                       "/.reserved/.inodes/16385",
                                       "/.reserved/.inodes/16386/x",
                                       "/.snapshot",
                                       "alice",
                                       "root",
                                       "supergroup",
                                       "DFSClient_1",
                                       "DFSClient_2",
                                       "BP-1-127.0.0.1-1",
                                       "uuid-1",
                                       "DS-1",
                                       "DS-2",
                                       "127.0.0.1",
                                       "user.x",
                                       "CID-1",
                                       "/a//b/",
                                       "libhowdah",
                                       "default",
                                       "dn-1",
                                       "/r1"};
    uint8_t kind = take(in);
    if (kind < 224) {
        return hd_arena_strn(a, some[kind % HD_ARRAY_COUNT(some)],
                             strlen(some[kind % HD_ARRAY_COUNT(some)]));
    }
    size_t n = (size_t)take(in) * (kind == 255 ? 64 : 1);
    n = HD_MIN(n, in->left);
    char *s = hd_arena_strn(a, (const char *)in->p, n);
    in->p += n;
    in->left -= n;
    return s;
}

static ProtobufCMessage *take_message(struct input *in, struct hd_arena *a,
                                      const ProtobufCMessageDescriptor *type, int depth);

/* One value of the field's type at `at`. */
static void take_value(struct input *in, struct hd_arena *a, const ProtobufCFieldDescriptor *f,
                       void *at, int depth)
{
    const ProtobufCEnumDescriptor *e = f->descriptor;
    ProtobufCBinaryData *bytes = at;
    switch (f->type) {
    case PROTOBUF_C_TYPE_ENUM:
        *(int *)at = e->values[take(in) % e->n_values].value;
        return;
    case PROTOBUF_C_TYPE_BOOL:
        *(protobuf_c_boolean *)at = take(in) & 1;
        return;
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        *(uint32_t *)at = (uint32_t)take_number(in);
        return;
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        *(uint64_t *)at = take_number(in);
        return;
    case PROTOBUF_C_TYPE_STRING:
        *(char **)at = take_text(in, a);
        return;
    case PROTOBUF_C_TYPE_BYTES:
        bytes->data = (uint8_t *)take_text(in, a);
        bytes->len = strlen((char *)bytes->data);
        return;
    case PROTOBUF_C_TYPE_MESSAGE:
        *(ProtobufCMessage **)at = take_message(in, a, f->descriptor, depth + 1);
        return;
    }
}

static size_t value_bytes(const ProtobufCFieldDescriptor *f)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE:
        return sizeof(void *);
    case PROTOBUF_C_TYPE_BYTES:
        return sizeof(ProtobufCBinaryData);
    case PROTOBUF_C_TYPE_BOOL:
        return sizeof(protobuf_c_boolean);
    case PROTOBUF_C_TYPE_ENUM:
    case PROTOBUF_C_TYPE_INT32:
    case PROTOBUF_C_TYPE_SINT32:
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_UINT32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return sizeof(uint32_t);
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_SINT64:
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return sizeof(uint64_t);
    }
    return sizeof(uint64_t);
}

static void take_field(struct input *in, struct hd_arena *a, const ProtobufCFieldDescriptor *f,
                       uint8_t *m, int depth)
{
    bool message = f->type == PROTOBUF_C_TYPE_MESSAGE;
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        size_t n = message && depth >= DEPTH_MAX ? 0 : take(in) % (REPEATED_MAX + 1);
        uint8_t *list = hd_arena_alloc(a, (n + 1) * value_bytes(f));
        for (size_t i = 0; i < n; i++) {
            take_value(in, a, f, list + i * value_bytes(f), depth);
        }
        *(size_t *)(void *)(m + f->quantifier_offset) = n;
        *(void **)(void *)(m + f->offset) = list;
        return;
    }
    if (f->label != PROTOBUF_C_LABEL_REQUIRED) {
        if ((take(in) & 1) == 0 || (message && depth >= DEPTH_MAX)) {
            return;
        }
        if (f->quantifier_offset != 0 && !message && f->type != PROTOBUF_C_TYPE_STRING) {
            *(protobuf_c_boolean *)(m + f->quantifier_offset) = 1;
        }
    }
    take_value(in, a, f, m + f->offset, depth);
}

static ProtobufCMessage *take_message(struct input *in, struct hd_arena *a,
                                      const ProtobufCMessageDescriptor *type, int depth)
{
    ProtobufCMessage *m = hd_arena_alloc(a, type->sizeof_message);
    protobuf_c_message_init(type, m);
    for (unsigned i = 0; i < type->n_fields; i++) {
        take_field(in, a, &type->fields[i], (uint8_t *)m, depth);
    }
    return m;
}

/* --- the world --- */

struct world {
    struct hd_meta *m;
    struct hd_meta_effects fx;
    struct hd_buf records; /* each behind its size */
    uint64_t token;
    int64_t now_ms;
    uint64_t sessions[MOUNTS];
    bool answered[TOKENS];
};

static struct hd_meta *new_meta(struct hd_meta_effects *fx)
{
    const struct hd_meta_options o = {.cluster_id = "CID-1",
                                      .block_pool_id = "BP-1-127.0.0.1-1",
                                      .namespace_id = 7,
                                      .creation_ms = 1,
                                      .superuser = "root",
                                      .supergroup = "supergroup",
                                      .host_name = "localhost",
                                      .block_size_bytes = 1 << 20,
                                      .min_block_size_bytes = 512,
                                      .replication = 1,
                                      .replication_max = 10,
                                      .list_limit = 10,
                                      .safe_mode_threshold = 0.9,
                                      .heartbeat_ms = 1000,
                                      .stale_ms = 5000,
                                      .dead_ms = 15000,
                                      .closed_grace_ms = 100,
                                      .lease_soft_ms = 1000,
                                      .lease_hard_ms = 10000,
                                      .retry_cache_ms = 60000,
                                      .complete_wait_ms = 100,
                                      .repair_grace_ms = 100,
                                      .repair_streams_per_node = 2,
                                      .seed = 1};
    struct hd_meta *m;
    int err = hd_meta_new(&o, &m);
    hd_assert(err == 0);
    hd_meta_format(m, (struct hd_wall_ms){1}, fx);
    return m;
}

/* Keeps the records, and looks at every answer as a connection would. */
static void absorb(struct world *w)
{
    static uint8_t out[1 << 16];
    for (size_t i = 0; i < w->fx.record_count; i++) {
        uint64_t n = w->fx.records[i].size;
        (void)hd_buf_add(&w->records, &n, sizeof(n));
        (void)hd_buf_add(&w->records, w->fx.records[i].data, n);
    }
    for (size_t i = 0; i < w->fx.reply_count; i++) {
        const struct hd_meta_reply *r = &w->fx.replies[i];
        hd_assert(r->token > 0 && r->token <= w->token);
        hd_assert(r->err != 0 || r->response != NULL || r->body != NULL);
        hd_assert(!w->answered[r->token]);
        w->answered[r->token] = true;
        if (r->err == 0 && r->response != NULL &&
            protobuf_c_message_get_packed_size(r->response) <= sizeof(out)) {
            protobuf_c_message_pack(r->response, out);
        }
    }
    hd_meta_effects_reset(&w->fx);
}

static void call(struct world *w, const struct hd_method *method, const char *user,
                 const uint8_t *body, size_t size)
{
    static const char *const groups[] = {"users", NULL};
    uint64_t mount = w->token % MOUNTS;
    struct hd_meta_event e = {.type = HD_META_REQUEST,
                              .now = {w->now_ms},
                              .wall = {1700000000000 + w->now_ms},
                              .durable = {UINT64_MAX},
                              .conn_id = 1 + mount,
                              .posix = true,
                              .session = w->sessions[mount],
                              .token = ++w->token,
                              .protocol = method->protocol,
                              .method = method->name,
                              .body = body,
                              .body_size = size,
                              .user = user,
                              .groups = groups,
                              .peer_ip = "127.0.0.1",
                              .peer_host = "localhost",
                              .client_id = (const uint8_t *)"0123456789abcdef",
                              .client_id_size = 16,
                              .call_id = (int32_t)w->token};
    hd_meta_step(w->m, &e, &w->fx);
    absorb(w);
}

/* Numbers of sessions are 1, 2, 3, as those that requests name. */
static void open_sessions(struct world *w)
{
    static const struct hd_method open = {.protocol = HD_PROTOCOL_POSIX, .name = "openSession"};
    for (int n = 0; n < MOUNTS; n++) {
        char name[] = "mount-1";
        name[6] = (char)('1' + n);
        Hdw__OpenSessionRequest q = HDW__OPEN_SESSION_REQUEST__INIT;
        q.client_name = name;
        q.has_pushes = q.pushes = true;
        uint8_t body[64];
        size_t size = hdw__open_session_request__pack(&q, body);
        call(w, &open, "root", body, size);
        w->sessions[n] = hd_meta_txid(w->m).v;
    }
}

static void pass_time(struct world *w, int64_t ms)
{
    w->now_ms += ms;
    struct hd_meta_event e = {.type = HD_META_TICK,
                              .now = {w->now_ms},
                              .wall = {1700000000000 + w->now_ms},
                              .durable = {UINT64_MAX}};
    hd_meta_step(w->m, &e, &w->fx);
    absorb(w);
}

/* What was recorded makes the same namespace again. */
static void replay(struct world *w)
{
    struct hd_meta_effects fx;
    hd_meta_effects_init(&fx);
    struct hd_meta *again = new_meta(&fx);
    for (size_t at = 0; at < w->records.size;) {
        uint64_t n;
        memcpy(&n, w->records.data + at, sizeof(n));
        hd_meta_effects_reset(&fx);
        int err = hd_meta_replay(again, w->records.data + at + sizeof(n), (size_t)n, &fx);
        hd_assert(err == 0);
        at += sizeof(n) + (size_t)n;
    }
    struct hd_meta_stats a = {0};
    struct hd_meta_stats b = {0};
    hd_meta_stats(w->m, &a);
    hd_meta_stats(again, &b);
    hd_assert(a.files == b.files && a.directories == b.directories && a.blocks == b.blocks);
    hd_assert(hd_meta_txid(w->m).v == hd_meta_txid(again).v);
    hd_meta_effects_done(&fx);
    hd_meta_free(again);
}

static bool is_the_cores(const char *protocol)
{
    return strcmp(protocol, HD_PROTOCOL_CLIENT) == 0 ||
           strcmp(protocol, HD_PROTOCOL_DATANODE) == 0 || strcmp(protocol, HD_PROTOCOL_META) == 0 ||
           strcmp(protocol, HD_PROTOCOL_POSIX) == 0;
}

static const struct hd_method *pick(uint8_t first, uint8_t second)
{
    static const struct hd_method *own[512];
    static size_t count;
    size_t n = 0;
    const struct hd_method *all = count == 0 ? hd_method_table(&n) : NULL;
    for (size_t i = 0; i < n && count < HD_ARRAY_COUNT(own); i++) {
        if (is_the_cores(all[i].protocol)) {
            own[count++] = &all[i];
        }
    }
    return own[((size_t)first << 8 | second) % count];
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const users[] = {"root", "root", "alice", "bob"};
    static uint8_t body[1 << 16];
    struct input in = {data, size};
    struct world w = {.now_ms = 1000};
    hd_meta_effects_init(&w.fx);
    w.records.max = 64 << 20;
    w.m = new_meta(&w.fx);
    hd_meta_effects_reset(&w.fx);
    hd_meta_start(w.m, (struct hd_mono_ms){w.now_ms});
    open_sessions(&w);
    for (int i = 0; i < CALLS_MAX && in.left > 0; i++) {
        uint8_t kind = take(&in);
        const struct hd_method *method = pick(take(&in), take(&in));
        if (kind >= 240) {
            pass_time(&w, (int64_t)(kind - 239) * 700);
        }
        struct hd_arena a;
        hd_arena_init(&a, 0);
        size_t n = 0;
        if (kind < 230) {
            const ProtobufCMessage *m = take_message(&in, &a, method->request, 0);
            n = protobuf_c_message_get_packed_size(m);
            n = n <= sizeof(body) ? protobuf_c_message_pack(m, body) : 0;
        } else {
            n = take(&in);
            n = HD_MIN(n, in.left);
            memcpy(body, in.p, n);
            in.p += n;
            in.left -= n;
        }
        call(&w, method, users[kind % HD_ARRAY_COUNT(users)], body, n);
        hd_arena_done(&a);
    }
    for (int i = 0; i < 20; i++) { /* sessions that did not poll end, and what they held up */
        pass_time(&w, 1000);
    }
    for (uint64_t token = 1; token <= w.token; token++) {
        hd_assert(w.answered[token]);
    }
    replay(&w);
    hd_meta_free(w.m);
    hd_meta_effects_done(&w.fx);
    hd_buf_done(&w.records);
    return 0;
}
