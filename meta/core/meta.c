/*
 * The state machine's edge: start-up, the step, and the way of a call through the dispatch table.
 *
 *   hd_meta_step -> request -> [retry cache] -> decode -> handler -> reply, or parked
 *                -> what the clock asks for: nodes, leases, safe mode, repairs
 *                -> parked calls whose block is complete or whose time is up
 *                -> puts of what changed
 *
 * Files: ns, apply, inode, children, names, lease, node_admin (the namespace); keys (its view);
 * path, perm, status, op_* (calls); nodes, racks, block_map, replica_list, sweep, drain, placement,
 * repair, safe_mode (the cluster); retry_cache.
 */
#include "meta/core/meta.h"
#include "fs/wire/explain.h"
#include "meta/core/full_report.h"
#include "meta/core/mem.h"
#include "meta/core/op.h"
#include "meta/core/posix.h"
#include "meta/core/record_make.h"
#include "meta/core/session_impl.h"
#include "ha.pb-c.h"
#include "howdah.pb-c.h"

enum {
    PERIODIC_MS = 250,
    SWEEP_BLOCKS = 8192, /* a step looks at; a few ms of work */
    PARKED_MAX = 100000,
    CHANGE_MAX_BYTES = 16 << 20, /* of a request: what it asks for must fit into a record */
    USER_MAX_BYTES = 1024,       /* of a user's name, likewise */
    NAMES_PER_LIFE = 1 << 24,    /* more than one process gives out while nothing becomes durable */
};

/* ---- the dispatch table ---- */

#define PROTOCOL_CLIENT      "org.apache.hadoop.hdfs.protocol.ClientProtocol"
#define PROTOCOL_DATANODE    "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol"
#define PROTOCOL_NAMENODE    "org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol"
#define PROTOCOL_HA          "org.apache.hadoop.ha.HAServiceProtocol"
#define PROTOCOL_MAPPINGS    "org.apache.hadoop.tools.GetUserMappingsProtocol"
#define PROTOCOL_META        "howdah.MetaProtocol"
#define PROTOCOL_POSIX       "howdah.PosixProtocol"
#define PROTOCOL_RECONFIGURE "org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol"
#define PROTOCOL_CALL_QUEUE  "org.apache.hadoop.ipc.RefreshCallQueueProtocol"
#define PROTOCOL_AUTHORIZE   "org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol"
#define PROTOCOL_USERS       "org.apache.hadoop.security.RefreshUserMappingsProtocol"

const struct hd_method hd_methods[] = {
#define HD_METHOD(protocol, name, lower, handler, flags, privilege)                                \
    {PROTOCOL_##protocol,                                                                          \
     name,                                                                                         \
     &hdw__##lower##_request__descriptor,                                                          \
     &hdw__##lower##_response__descriptor,                                                         \
     hd_op_##handler,                                                                              \
     flags,                                                                                        \
     privilege},
#include "meta/core/methods.def"
};
const size_t hd_method_count = HD_ARRAY_COUNT(hd_methods);

enum { METHOD_SLOTS = sizeof(((struct hd_meta *)0)->method_slots) };

_Static_assert(HD_ARRAY_COUNT(hd_methods) < 256, "method_slots has bytes");

/* Where to look for a method: its name alone, since few are in two protocols. */
static size_t method_slot(const char *name)
{
    return hd_hash_bytes(name, strlen(name)) % METHOD_SLOTS;
}

static void index_methods(struct hd_meta *m)
{
    for (size_t i = 0; i < hd_method_count; i++) {
        size_t slot = method_slot(hd_methods[i].name);
        while (m->method_slots[slot] != 0) {
            slot = (slot + 1) % METHOD_SLOTS;
        }
        m->method_slots[slot] = (uint8_t)(i + 1);
    }
}

static const struct hd_method *find_method(const struct hd_meta *m, const char *protocol,
                                           const char *name)
{
    size_t slot = method_slot(name);
    for (; m->method_slots[slot] != 0; slot = (slot + 1) % METHOD_SLOTS) {
        const struct hd_method *method = &hd_methods[m->method_slots[slot] - 1];
        if (strcmp(method->name, name) == 0 && strcmp(method->protocol, protocol) == 0) {
            return method;
        }
    }
    return NULL;
}

/* ---- small things everybody uses ---- */

void *hd_meta_alloc(struct hd_meta *m, size_t size)
{
    void *p = hd_arena_alloc(&m->fx->arena, size > 0 ? size : 1);
    hd_assert(p != NULL);
    return p;
}

bool hd_meta_past(const struct hd_meta *m, struct hd_mono_ms since, int64_t ms)
{
    return m->now.v - since.v >= ms;
}

void hd_meta_trace(struct hd_meta *m, const char *fmt, ...)
{
    va_list ap;
    if (m->fx == NULL || m->fx->trace != NULL) {
        return;
    }
    va_start(ap, fmt);
    m->fx->trace = hd_arena_vprintf(&m->fx->arena, fmt, ap);
    va_end(ap);
}

void hd_meta_commit(struct hd_meta *m, Hdm__EditRecord *r)
{
    const struct hd_call *c = m->call;
    r->txid = m->ns.txid.v + 1;
    r->wall_ms = m->wall.v;
    if (c != NULL && (c->method->flags & HD_METHOD_ONCE) != 0 && c->event->call_id >= 0 &&
        c->event->client_id_size > 0) {
        r->has_client_id = r->has_call_id = true;
        r->client_id.data = (uint8_t *)(uintptr_t)c->event->client_id;
        r->client_id.len = c->event->client_id_size;
        r->call_id = c->event->call_id;
    }
    size_t size = hdm__edit_record__get_packed_size(r);
    uint8_t *data = hd_meta_alloc(m, size);
    hdm__edit_record__pack(r, data); /* before it is applied: it may name what then goes */
    hd_ns_apply(&m->ns, r);
    struct hd_meta_effects *e = m->fx;
    HD_MEM_GROW(e->records, e->record_count, e->record_capacity);
    e->records[e->record_count++] = (struct hd_meta_record){{r->txid}, data, size};
    if (m->call != NULL) {
        m->call->committed = true;
    }
}

int hd_call_fail(struct hd_call *c, int err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->text = hd_arena_vprintf(&c->m->fx->arena, fmt, ap);
    va_end(ap);
    return err;
}

char *hd_call_printf(struct hd_call *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = hd_arena_vprintf(&c->m->fx->arena, fmt, ap);
    va_end(ap);
    hd_assert(text != NULL);
    return text;
}

int hd_call_check_safe_mode(struct hd_call *c, const char *fmt, ...)
{
    if (!hd_safe_mode_on(c->m)) {
        return 0;
    }
    char tip[512];
    va_list ap;
    va_start(ap, fmt);
    const char *what = hd_arena_vprintf(&c->m->fx->arena, fmt, ap);
    va_end(ap);
    hd_safe_mode_tip(c->m, tip);
    return hd_call_fail(
        c, -HD_E_SAFE_MODE, "%s. Name node is in safe mode%s.\n%s NamenodeHostName:%s", what,
        c->m->safe.disk_full ? ": the metadata disk is full" : "", tip, c->m->o.host_name);
}

/* ---- effects ---- */

void hd_meta_effects_init(struct hd_meta_effects *e)
{
    *e = (struct hd_meta_effects){0};
    hd_arena_init(&e->arena, 0);
}

void hd_meta_effects_reset(struct hd_meta_effects *e)
{
    hd_arena_reset(&e->arena);
    e->record_count = e->put_count = e->reply_count = 0;
    e->deadline.v = 0;
    e->trace = e->rack_wanted = NULL;
}

void hd_meta_effects_done(struct hd_meta_effects *e)
{
    hd_arena_done(&e->arena);
    free(e->records);
    free(e->puts);
    free(e->replies);
    *e = (struct hd_meta_effects){0};
}

/* ---- start-up ---- */

static const char *own(const char *text)
{
    return hd_mem_str(text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

int hd_meta_new(const struct hd_meta_options *o, struct hd_meta **ret)
{
    struct hd_meta *m = HD_MEM_NEW(struct hd_meta);
    m->o = *o;
    m->o.cluster_id = own(o->cluster_id);
    m->o.block_pool_id = own(o->block_pool_id);
    m->o.superuser = own(o->superuser);
    m->o.supergroup = own(o->supergroup);
    m->o.host_name = own(o->host_name);
    m->o.xattrs_max_bytes = o->xattrs_max_bytes > 0 ? o->xattrs_max_bytes : HD_XATTRS_MAX_BYTES;
    m->o.maintenance_replicas_min = HD_MAX(o->maintenance_replicas_min, 1u);
    hd_ns_init(&m->ns);
    m->ns.on_block_gone = hd_block_map_gone;
    m->ns.ctx = m;
    hd_nodes_init(&m->nodes);
    hd_racks_init(&m->racks);
    hd_map_init(&m->bad);
    hd_map_init(&m->dirty);
    hd_repairs_init(&m->repairs);
    hd_retry_cache_init(&m->retry);
    hd_list_init(&m->parked);
    hd_list_init(&m->reports);
    m->locks = hd_locks_new(m);
    hd_view_load_init(&m->load);
    m->prng.state = o->seed;
    m->sessions = hd_sessions_new();
    index_methods(m);
    *ret = m;
    return 0;
}

static void parked_free(struct hd_meta *m, struct hd_parked *p)
{
    hd_list_remove(&p->link);
    m->parked_count -= p->ino == 0;
    hd_arena_done(&p->arena);
    free(p);
}

void hd_meta_free(struct hd_meta *m)
{
    if (m == NULL) {
        return;
    }
    HD_LIST_FOR_SAFE(it, &m->parked)
    {
        parked_free(m, HD_LIST_ENTRY(it, struct hd_parked, link));
    }
    hd_sessions_free(m);
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (hd_map_next(&m->bad, &cursor, &id, &value)) {
        free(((struct hd_bad_replicas *)value)->items);
        free(value);
    }
    hd_map_done(&m->bad);
    hd_map_done(&m->dirty);
    hd_full_reports_done(m);
    hd_locks_free(m->locks);
    hd_repairs_done(&m->repairs);
    free(m->check.ids);
    hd_retry_cache_done(&m->retry);
    hd_ns_done(&m->ns);
    hd_nodes_done(&m->nodes);
    hd_racks_done(&m->racks);
    hd_view_load_done(&m->load);
    free(hd_unconst(m->o.cluster_id));
    free(hd_unconst(m->o.block_pool_id));
    free(hd_unconst(m->o.superuser));
    free(hd_unconst(m->o.supergroup));
    free(hd_unconst(m->o.host_name));
    free(m);
}

void hd_meta_format(struct hd_meta *m, struct hd_wall_ms wall, struct hd_meta_effects *e)
{
    (void)wall; /* the root is as old as the store, so that a replay from nothing gives the same */
    hd_ns_format(&m->ns, m->o.superuser, m->o.supergroup, (int64_t)m->o.creation_ms);
    hd_view_emit_all(&m->ns, e);
    m->ns.view.on = true;
}

int hd_meta_load(struct hd_meta *m, const void *key, size_t key_size, const void *value,
                 size_t value_size)
{
    return hd_view_load_key(&m->ns, &m->load, key, key_size, value, value_size);
}

int hd_meta_load_done(struct hd_meta *m, struct hd_txid applied)
{
    int err = hd_view_load_link(&m->ns, &m->load);
    hd_view_load_done(&m->load);
    hd_view_load_init(&m->load);
    m->ns.txid = applied;
    m->ns.view.on = true;
    return err;
}

/* The call that made the record may be asked again: remember what it was about. */
static void remember_call(struct hd_meta *m, const Hdm__EditRecord *r)
{
    if (!r->has_client_id || !r->has_call_id) {
        return;
    }
    struct hd_retry *e =
        hd_retry_cache_add(&m->retry, r->client_id.data, r->client_id.len, r->call_id, m->now);
    if (e == NULL) {
        return;
    }
    e->txid.v = r->txid;
    e->ino.v = hd_posix_record_ino(r);
}

int hd_meta_replay(struct hd_meta *m, const void *record, size_t size, struct hd_meta_effects *e)
{
    ProtobufCAllocator allocator = hd_arena_allocator(&e->arena);
    Hdm__EditRecord *r = hdm__edit_record__unpack(&allocator, size, record);
    if (r == NULL || r->op_case == HDM__EDIT_RECORD__OP__NOT_SET) {
        return hd_fail(-HD_E_CORRUPT, "edit log: the record behind txid %llu does not decode",
                       (unsigned long long)m->ns.txid.v);
    }
    remember_call(m, r);
    if (r->txid <= m->ns.txid.v) {
        return 0;
    }
    if (r->txid != m->ns.txid.v + 1) {
        return hd_fail(-HD_E_CORRUPT, "edit log: txid %llu follows %llu",
                       (unsigned long long)r->txid, (unsigned long long)m->ns.txid.v);
    }
    hd_ns_apply(&m->ns, r);
    hd_view_emit(&m->ns, e);
    return 0;
}

void hd_meta_start(struct hd_meta *m, struct hd_mono_ms now)
{
    m->now = m->ns.now = m->started = now;
    m->opened = m->ns.txid.v == 0; /* nothing was given out before */
    m->next_periodic.v = now.v + PERIODIC_MS;
    HD_LIST_FOR(it, &m->ns.leases.all)
    {
        HD_LIST_ENTRY(it, struct hd_lease, in_leases)->renewed = now;
    }
    HD_LIST_FOR(it, &m->retry.all)
    {
        HD_LIST_ENTRY(it, struct hd_retry, link)->at = now;
    }
    hd_safe_mode_start(m, now);
    hd_nodes_count_absent(m);
    hd_sessions_start(m);
}

struct hd_txid hd_meta_txid(const struct hd_meta *m)
{
    return m->ns.txid;
}

/* ---- a call ---- */

static struct hd_meta_reply *add_reply(struct hd_meta *m, const struct hd_meta_event *event)
{
    struct hd_meta_effects *e = m->fx;
    HD_MEM_GROW(e->replies, e->reply_count, e->reply_capacity);
    struct hd_meta_reply *r = &e->replies[e->reply_count++];
    *r = (struct hd_meta_reply){.token = event->token, .as_of = m->ns.txid};
    return r;
}

static void reply_error(struct hd_meta *m, const struct hd_meta_event *event, int err,
                        const char *text)
{
    struct hd_meta_reply *r = add_reply(m, event);
    r->err = err;
    r->text = text != NULL ? text : hd_error_name(err);
}

void hd_meta_answer_later(struct hd_meta *m, uint64_t token, int err, const char *text,
                          const ProtobufCMessage *response)
{
    const struct hd_meta_event event = {.token = token};
    if (err < 0) {
        reply_error(m, &event, err, text);
    } else {
        add_reply(m, &event)->response = response;
    }
}

static bool is_superuser(const struct hd_call *c)
{
    return strcmp(c->event->user, c->m->o.superuser) == 0 ||
           hd_user_in_group(c, c->m->o.supergroup);
}

/* The answer of a call that a replayed record remembers: what it can only have been. */
static bool answer_from_record(struct hd_call *c, const struct hd_retry *e)
{
    const char *name = c->method->name;
    struct hd_inode *i = e->ino.v != 0 ? hd_ns_inode(c->ns, e->ino.v) : NULL;
    if (strcmp(c->method->protocol, PROTOCOL_POSIX) == 0 && hd_posix_answer_again(c, e->ino.v)) {
        return true;
    }
    if (strcmp(name, "create") == 0 && i != NULL) {
        Hdw__CreateResponse *r = HD_MSG(c->m, Hdw__CreateResponse, hdw__create_response);
        r->fs = hd_status(c, i, false, false);
        c->response = &r->base;
    } else if (strcmp(name, "append") == 0 && i != NULL && hd_inode_is_open(i)) {
        Hdw__AppendResponse *r = HD_MSG(c->m, Hdw__AppendResponse, hdw__append_response);
        struct hd_blk *last = hd_file_last_block(i);
        r->stat = hd_status(c, i, false, false);
        if (last != NULL && last->state == HD_BLOCK_OPEN) {
            r->block = hd_block_locations(c, last, hd_file_size(i) - last->size_bytes);
        }
        c->response = &r->base;
    } else if (strcmp(name, "delete") == 0) {
        Hdw__DeleteResponse *r = HD_MSG(c->m, Hdw__DeleteResponse, hdw__delete_response);
        r->result = true;
        c->response = &r->base;
    } else if (strcmp(name, "rename") == 0) {
        Hdw__RenameResponse *r = HD_MSG(c->m, Hdw__RenameResponse, hdw__rename_response);
        r->result = true;
        c->response = &r->base;
    } else if (strcmp(name, "mkdirs") == 0) {
        Hdw__MkdirsResponse *r = HD_MSG(c->m, Hdw__MkdirsResponse, hdw__mkdirs_response);
        if (((const Hdw__MkdirsRequest *)c->request)->create_parent) {
            return false; /* several records: perhaps not all are there */
        }
        r->result = true;
        c->response = &r->base;
    } else if (strcmp(name, "create") == 0 || strcmp(name, "append") == 0) {
        return false; /* the file is gone since */
    } else {
        ProtobufCMessage *r = hd_meta_alloc(c->m, c->method->response->sizeof_message);
        protobuf_c_message_init(c->method->response, r);
        c->response = r;
    }
    return true;
}

static bool answer_again(struct hd_call *c)
{
    struct hd_meta *m = c->m;
    const struct hd_meta_event *event = c->event;
    const struct hd_retry *e =
        hd_retry_cache_find(&m->retry, event->client_id, event->client_id_size, event->call_id,
                            m->now, m->o.retry_cache_ms);
    if (e == NULL || (e->method != NULL && strcmp(e->method, c->method->name) != 0)) {
        return false;
    }
    if (hd_hold_join(m->sessions, event)) {
        return true;
    }
    if (e->method == NULL) {
        if (!answer_from_record(c, e)) {
            return false;
        }
    } else {
        ProtobufCAllocator allocator = hd_arena_allocator(&m->fx->arena);
        c->response = protobuf_c_message_unpack(c->method->response, &allocator, e->response_size,
                                                e->response);
        hd_assert(c->response != NULL);
    }
    struct hd_meta_reply *r = add_reply(m, event);
    r->response = c->response;
    r->after = e->txid;
    return true;
}

static void remember_answer(struct hd_call *c, struct hd_txid txid)
{
    const struct hd_meta_event *event = c->event;
    struct hd_retry *e = hd_retry_cache_add(&c->m->retry, event->client_id, event->client_id_size,
                                            event->call_id, c->m->now);
    if (e == NULL) {
        return;
    }
    e->method = c->method->name;
    e->txid = txid;
    e->response_size = protobuf_c_message_get_packed_size(c->response);
    e->response = hd_mem_new(e->response_size + 1);
    protobuf_c_message_pack(c->response, e->response);
}

/* Copies what the handler needs to run again later. */
static void park(struct hd_meta *m, const struct hd_call *c)
{
    const struct hd_meta_event *event = c->event;
    struct hd_parked *p = HD_MEM_NEW(struct hd_parked);
    hd_arena_init(&p->arena, 0);
    struct hd_arena *a = &p->arena;
    p->event = *event;
    p->event.protocol = hd_arena_str(a, event->protocol);
    p->event.method = hd_arena_str(a, event->method);
    p->event.body = hd_arena_copy(a, event->body, event->body_size);
    p->event.user = hd_arena_str(a, event->user);
    p->event.peer_ip = hd_arena_str(a, event->peer_ip);
    p->event.peer_host = hd_arena_str(a, event->peer_host);
    p->event.client_id = hd_arena_copy(a, event->client_id, event->client_id_size);
    size_t groups = 0;
    while (event->groups != NULL && event->groups[groups] != NULL) {
        groups++;
    }
    const char **copy = HD_ARENA_ARRAY(a, const char *, groups + 1);
    hd_assert(copy != NULL);
    for (size_t i = 0; i < groups; i++) {
        copy[i] = hd_arena_str(a, event->groups[i]);
    }
    p->event.groups = copy;
    if (c->wait_ino != 0) {
        hd_caps_park(m, c, p);
        return;
    }
    p->deadline.v = m->now.v + m->o.complete_wait_ms;
    p->block = c->wait_block;
    hd_ns_block(&m->ns, c->wait_block)->awaited = true;
    hd_list_push_back(&m->parked, &p->link); /* the wait is the same for all: oldest first */
    m->parked_count++;
}

/*
 * What the call changed is told to who knows it, and its answer waits for them; but a data node is
 * not kept waiting for mounts. The view is told call by call, so that each has its own changes.
 */
static void end_call(struct hd_meta *m, const struct hd_call *c, struct hd_meta_reply *reply)
{
    bool waits = strcmp(c->method->protocol, PROTOCOL_DATANODE) != 0;
    hd_caps_changes(m, c->event, waits ? reply : NULL);
    hd_view_emit(&m->ns, m->fx);
}

/* A session that has ended is told so with its next call, whatever that is. */
static bool has_lost_session(const struct hd_call *c)
{
    return c->event->session != 0 && strcmp(c->method->protocol, PROTOCOL_POSIX) == 0 &&
           c->method->handler != hd_op_open_session && hd_call_session(c) == NULL;
}

static void run_call(struct hd_meta *m, const struct hd_method *method,
                     const struct hd_meta_event *event, bool time_is_up)
{
    struct hd_call c = {.m = m,
                        .ns = &m->ns,
                        .event = event,
                        .method = method,
                        .time_is_up = time_is_up || m->parked_count >= PARKED_MAX};
    c.superuser = is_superuser(&c);
    bool once = (method->flags & HD_METHOD_ONCE) != 0;
    if (has_lost_session(&c)) {
        reply_error(m, event, -HD_E_NO_SESSION, "The session has ended");
        return;
    }
    bool changes = (method->flags & HD_METHOD_CHANGES) != 0;
    if ((changes && event->body_size > CHANGE_MAX_BYTES) ||
        strnlen(event->user, USER_MAX_BYTES + 1) > USER_MAX_BYTES) {
        reply_error(m, event, -HD_E_ILLEGAL_ARGUMENT,
                    "The request, or its user's name, is too long");
        return;
    }
    ProtobufCAllocator allocator = hd_arena_allocator(&m->fx->arena);
    c.request =
        protobuf_c_message_unpack(method->request, &allocator, event->body_size, event->body);
    if (c.request == NULL) {
        char *text = hd_meta_alloc(m, HD_EXPLAIN_TEXT_BYTES);
        hd_explain_undecodable(method->request, (struct hd_slice){event->body, event->body_size},
                               text, HD_EXPLAIN_TEXT_BYTES);
        reply_error(m, event, -HD_E_BAD_MESSAGE, text);
        return;
    }
    if (once && answer_again(&c)) {
        return;
    }
    m->call = &c;
    int err = 0;
    if ((method->flags & HD_METHOD_SUPERUSER) != 0) {
        err = hd_check_superuser(&c, method->privilege != NULL ? method->privilege : method->name);
    }
    if (err == 0) {
        err = method->handler(&c);
    }
    m->call = NULL;
    if (err == HD_PARK || err == HD_LATER) {
        if (err == HD_PARK) {
            park(m, &c);
        }
        end_call(m, &c, NULL);
        return;
    }
    /*
     * Also of a repeated call that found its work done; and of who only looks. What a client of
     * HDFS has seen is not taken back by a power cut or a promotion; what a mount has seen, not by
     * the end of a process: its answers wait for the write.
     */
    bool looks =
        event->session != 0 || (!event->posix && strcmp(method->protocol, PROTOCOL_CLIENT) == 0);
    struct hd_txid after = {0};
    if (c.committed || looks || (method->flags & HD_METHOD_CHANGES) != 0) {
        after = m->ns.txid;
    }
    if (err < 0) {
        reply_error(m, event, err, c.text);
    } else {
        hd_assert(c.response != NULL);
        add_reply(m, event)->response = c.response;
        if (once && c.committed) {
            remember_answer(&c, after);
        }
    }
    struct hd_meta_reply *reply = &m->fx->replies[m->fx->reply_count - 1];
    reply->after = after;
    end_call(m, &c, reply);
}

static void request(struct hd_meta *m, const struct hd_meta_event *event)
{
    const struct hd_method *method = find_method(m, event->protocol, event->method);
    if (method != NULL) {
        run_call(m, method, event, false);
        return;
    }
    char *text = hd_arena_printf(&m->fx->arena, "Unknown method %s called on %s protocol.",
                                 event->method, event->protocol);
    reply_error(m, event, -HD_E_NO_SUCH_METHOD, text);
}

/* ---- the step ---- */

static void run_again(struct hd_meta *m, struct hd_parked *p, bool late)
{
    run_call(m, find_method(m, p->event.protocol, p->event.method), &p->event, late);
    parked_free(m, p);
}

static void run_parked(struct hd_meta *m)
{
    HD_LIST_FOR_SAFE(it, &m->parked)
    {
        struct hd_parked *p = HD_LIST_ENTRY(it, struct hd_parked, link);
        bool late = m->now.v >= p->deadline.v;
        if (!p->ready && !late) {
            continue;
        }
        hd_list_remove(&p->link);
        run_again(m, p, late);
    }
}

static void periodic(struct hd_meta *m)
{
    if (m->now.v < m->next_periodic.v) {
        return;
    }
    m->next_periodic.v = m->now.v + PERIODIC_MS;
    hd_nodes_check(m);
    hd_safe_mode_check(m);
    hd_leases_check(m);
    hd_repair_work(m);
    hd_sessions_check(m);
    hd_caps_check_waits(m);
}

static void set_deadline(struct hd_meta *m, bool at_once)
{
    struct hd_mono_ms at = m->next_periodic;
    if (!hd_list_empty(&m->parked)) {
        const struct hd_parked *first = HD_LIST_ENTRY(m->parked.next, struct hd_parked, link);
        at.v = HD_MIN(at.v, first->deadline.v);
    }
    m->fx->deadline = at_once ? m->now : at;
}

/*
 * The records of the last moment before a power cut may be lost, and with them the knowledge which
 * inodes, block ids and stamps were given out. Replicas that bear them are on the nodes' disks,
 * whole and with good sums: given out again, a name would find another file's bytes. So each
 * process begins behind all that its forerunner can have used. The first record it writes says so,
 * and no reply leaves before some record of this process is durable (executor.c).
 */
static void open_life(struct hd_meta *m)
{
    Hdm__TakeStamp op = HDM__TAKE_STAMP__INIT;
    m->opened = true;
    op.gs = m->ns.next_gs + NAMES_PER_LIFE;
    op.has_next_block = op.has_next_ino = true;
    op.next_block = m->ns.next_block + NAMES_PER_LIFE;
    op.next_ino = m->ns.next_ino + NAMES_PER_LIFE;
    HD_COMMIT(m, take_stamp, TAKE_STAMP, &op);
}

void hd_meta_step(struct hd_meta *m, const struct hd_meta_event *event, struct hd_meta_effects *e)
{
    m->now = m->ns.now = event->now;
    m->wall = event->wall;
    m->durable = event->durable;
    m->fx = e;
    m->turn++;
    if (!m->opened) {
        open_life(m);
    }
    switch (event->type) {
    case HD_META_REQUEST:
        request(m, event);
        break;
    case HD_META_CONN_CLOSED:
        hd_nodes_closed(m, event->conn_id);
        hd_sessions_closed(m, event->conn_id);
        break;
    case HD_META_RACKS:
        hd_racks_take(m, event);
        break;
    case HD_META_TICK:
        break;
    }
    periodic(m);
    bool more = hd_full_report_work(m, SWEEP_BLOCKS);
    more |= hd_repair_check_more(m, SWEEP_BLOCKS);
    hd_block_map_sweep(m, SWEEP_BLOCKS);
    more |= hd_drain_work(m, SWEEP_BLOCKS) || m->sweep.on;
    hd_caps_changes(m, NULL, NULL);
    hd_view_emit(&m->ns, e);
    run_parked(m);
    hd_caps_run_waits(m, run_again);
    hd_sessions_step_end(m);
    set_deadline(m, more);
    m->fx = NULL;
}

void hd_meta_stats(const struct hd_meta *m, struct hd_meta_stats *ret)
{
    *ret = (struct hd_meta_stats){
        .files = m->ns.file_count,
        .directories = m->ns.directory_count,
        .blocks = m->ns.blocks.count,
        .blocks_missing = m->repairs.counts[HD_REPAIR_MISSING],
        .blocks_under_replicated = m->repairs.low,
        .blocks_corrupt = m->bad.count,
        .safe_mode = hd_safe_mode_on(m),
    };
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        const struct hd_node *node = m->nodes.all[i];
        ret->nodes_live += node->state == HD_NODE_LIVE;
        ret->nodes_stale += node->state == HD_NODE_STALE;
        ret->nodes_dead += node->state == HD_NODE_DEAD;
    }
    if (ret->safe_mode) {
        hd_safe_mode_tip(m, ret->safe_mode_text);
    }
}
