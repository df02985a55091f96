/* Calls, effects and replies on the loop's thread. See executor.h. */
#include "meta/shell/executor.h"
#include "meta/shell/service.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    TICK_MAX_MS = 1000,           /* a step(TICK) at least this often */
    BACKLOG_MAX_BYTES = 64 << 20, /* of the view: beyond, nothing more goes to the log */
    BACKLOG_RETRY_MS = 5,
};

/* A reply that waits for its txid. Lives in the call's arena. */
struct parked {
    struct hd_list node;
    struct hd_rpc_call *call;
    struct hd_txid after;
    int err; /* 0: body; else text */
    const char *text;
    const uint8_t *body;
    size_t size;
    struct hd_txid as_of; /* 0: as of when it is sent */
};

/* A call that came while it was not sure that this is still the primary. In the call's arena. */
struct doubted {
    struct hd_list node;
    struct hd_rpc_call *call;
};

static const char fenced_text[] =
    "another meta has been promoted: this one is becoming its secondary";

static void send_parked(struct hd_executor *x, const struct parked *p)
{
    if (x->fenced) {
        hd_rpc_reply_error(p->call, -HD_E_STANDBY, fenced_text);
    } else if (p->err != 0) {
        hd_rpc_reply_error(p->call, p->err, p->text);
    } else {
        hd_rpc_reply_bytes(p->call, p->body, p->size,
                           (int64_t)(p->as_of.v != 0 ? p->as_of.v : x->written.v));
    }
}

static void release(struct hd_executor *x, struct hd_list *list, struct hd_txid up_to)
{
    while (!hd_list_empty(list)) {
        struct parked *p = HD_LIST_ENTRY(list->next, struct parked, node);
        if (!x->fenced && (p->after.v > up_to.v || hd_ha_in_doubt(x->ha))) {
            return;
        }
        hd_list_remove(&p->node);
        send_parked(x, p); /* p is gone with the call */
    }
}

/* The lists are in txid order; replies mostly come in that order. */
static void insert(struct hd_list *list, struct parked *p)
{
    struct hd_list *at = list->prev;
    while (at != list && HD_LIST_ENTRY(at, struct parked, node)->after.v > p->after.v) {
        at = at->prev;
    }
    hd_list_insert_between(&p->node, at, at->next);
}

static void park(struct hd_executor *x, const struct parked *parked, bool strict)
{
    struct parked *p = hd_arena_copy(&parked->call->arena, parked, sizeof(*parked));
    if (p == NULL) {
        hd_rpc_reply_error(parked->call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return;
    }
    insert(strict ? &x->strict : &x->relaxed, p);
    if (strict && p->after.v > x->want.v) {
        x->want = p->after;
    }
}

static bool is_reached(const struct hd_executor *x, struct hd_txid after, bool strict)
{
    return after.v <= (strict ? x->committed.v : x->written.v) && !x->fenced;
}

/* as_of 0: the answer is as of when it is sent. */
static void reply_message(struct hd_executor *x, struct hd_rpc_call *call, struct hd_txid after,
                          bool strict, struct hd_txid as_of, const ProtobufCMessage *response)
{
    if (is_reached(x, after, strict)) {
        hd_rpc_reply(call, response, (int64_t)(as_of.v != 0 ? as_of.v : x->written.v));
        return;
    }
    struct parked p = {.call = call, .after = after, .as_of = as_of};
    p.size = protobuf_c_message_get_packed_size(response);
    uint8_t *body = hd_arena_alloc(&call->arena, p.size + 1);
    if (body == NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return;
    }
    protobuf_c_message_pack(response, body);
    p.body = body;
    park(x, &p, strict);
}

void hd_executor_reply(struct hd_executor *x, struct hd_rpc_call *call, struct hd_txid after,
                       bool strict, const ProtobufCMessage *response)
{
    reply_message(x, call, after, strict, (struct hd_txid){0}, response);
}

/* An answer that the core held, encoded then. */
static void reply_held(struct hd_executor *x, struct hd_rpc_call *call, struct hd_txid after,
                       bool strict, const struct hd_meta_reply *r)
{
    if (is_reached(x, after, strict)) {
        hd_rpc_reply_bytes(call, r->body, r->body_size, (int64_t)r->as_of.v);
        return;
    }
    struct parked p = {.call = call, .after = after, .as_of = r->as_of, .size = r->body_size};
    p.body = hd_arena_copy(&call->arena, r->body, r->body_size + 1);
    if (p.body == NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return;
    }
    park(x, &p, strict);
}

void hd_executor_reply_error(struct hd_executor *x, struct hd_rpc_call *call, int err,
                             const char *text)
{
    (void)x;
    hd_rpc_reply_error(call, err, text);
}

struct hd_exec_conn *hd_executor_conn(struct hd_executor *x, const struct hd_rpc_call *call)
{
    struct hd_exec_conn *c = hd_map_get(&x->conns, call->conn_id);
    if (c != NULL) {
        return c;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL || hd_map_put(&x->conns, call->conn_id, c) < 0) {
        free(c);
        return NULL;
    }
    c->id = call->conn_id;
    bool local = strncmp(call->peer_ip, "127.", 4) == 0 || strcmp(call->peer_ip, "::1") == 0;
    snprintf(c->peer_host, sizeof(c->peer_host), "%s", local ? "localhost" : call->peer_ip);
    return c;
}

static void conn_free(struct hd_exec_conn *c)
{
    if (c != NULL) {
        free(c->client_name);
        free(c->client_user);
        free(c);
    }
}

void hd_executor_set_session(struct hd_executor *x, const char *client_name, const char *user,
                             uint64_t session)
{
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&x->conns, &cursor, NULL, &value)) {
        struct hd_exec_conn *c = value;
        if (c->client_name != NULL && strcmp(c->client_name, client_name) == 0 &&
            strcmp(c->client_user, user) == 0) {
            c->session = session;
        }
    }
}

static bool is_superuser(struct hd_executor *x, const char *user)
{
    return strcmp(user, x->conf->superuser) == 0 ||
           hd_groups_has(hd_groups_of(&x->groups, user, hd_loop_now(x->loop)), x->conf->supergroup);
}

bool hd_executor_is_superuser(struct hd_executor *x, const struct hd_rpc_call *call)
{
    return is_superuser(x, call->user);
}

/* Who can do everything anyway may do it in another's name. */
static bool may_impersonate(void *ctx, const char *real_user, const char *user)
{
    (void)user;
    return is_superuser(ctx, real_user);
}

/* --- effects --- */

/*
 * Calls after which data nodes change replicas that are durable: were only the record lost, the
 * namespace would not know its own file's replicas any more.
 */
static bool changes_replicas(const struct hd_rpc_call *call)
{
    return strcmp(call->method, "append") == 0 || strcmp(call->method, "truncate") == 0 ||
           strcmp(call->method, "openBlock") == 0;
}

/* That there is a session is durable before it can have anything that the next process must know.
 */
static bool opens_session(const struct hd_rpc_call *call)
{
    return strcmp(call->method, "openSession") == 0;
}

static void take_reply(struct hd_executor *x, const struct hd_meta_reply *r)
{
    struct hd_rpc_call *call = (struct hd_rpc_call *)(uintptr_t)r->token;
    if (r->token == x->stepping) {
        x->stepping = 0;
    } else {
        (void)hd_map_remove(&x->held, r->token);
    }
    struct hd_exec_conn *c = hd_map_get(&x->conns, call->conn_id);
    /* Until something of this process is durable, nobody builds on it: open_life of the core. */
    bool strict = c == NULL || !c->relaxed || x->committed.v <= x->base.v ||
                  changes_replicas(call) || opens_session(call);
    struct hd_txid after = r->after;
    if (!strict && strcmp(call->method, "fsync") == 0) {
        strict = true; /* what the caller did before is to be durable, whoever recorded it */
        after = x->stepped;
    }
    if (r->err == 0 && r->response == NULL) {
        reply_held(x, call, after, strict, r);
        return;
    }
    if (r->err == 0) {
        hd_ha_node_answer(x->ha, r->response);
        if (opens_session(call)) {
            hd_service_session_opened(x->service, c, (ProtobufCMessage *)(uintptr_t)r->response);
        }
        struct hd_txid as_of = c != NULL && c->relaxed ? r->as_of : (struct hd_txid){0};
        reply_message(x, call, after, strict, as_of, r->response);
        return;
    }
    if (after.v <= (strict ? x->committed.v : x->written.v) && !x->fenced) {
        hd_rpc_reply_error(call, r->err, r->text != NULL ? r->text : "");
        return;
    }
    struct parked p = {.call = call, .after = after, .err = r->err};
    p.text = hd_arena_str(&call->arena, r->text != NULL ? r->text : "");
    park(x, &p, strict);
}

static void arm_tick(struct hd_executor *x, struct hd_mono_ms deadline)
{
    int64_t now = hd_loop_now(x->loop).v;
    int64_t at = deadline.v > 0 ? HD_MIN(deadline.v, now + TICK_MAX_MS) : now + TICK_MAX_MS;
    if (x->tick_at_ms > now && x->tick_at_ms <= at) {
        return; /* it comes early enough; the step then says what is next */
    }
    x->tick_at_ms = HD_MAX(at, now + 1);
    hd_loop_timer_set(x->tick, x->tick_at_ms - now);
}

static void carry_out(struct hd_executor *x)
{
    struct hd_meta_effects *e = &x->effects;
    for (size_t i = 0; i < e->record_count; i++) {
        const struct hd_meta_record *r = &e->records[i];
        const struct hd_record frame = {r->txid, x->durable, r->data, r->size};
        hd_assert(r->txid.v == x->stepped.v + 1);
        if (hd_record_encode(&x->frames, &frame) < 0) {
            hd_log_error("no memory for a record of the edit log", "txid=%" PRIu64, r->txid.v);
            abort(); /* the core has changed already */
        }
        x->stepped = r->txid;
    }
    if (hd_view_batch_puts(&x->puts, e) < 0) {
        hd_log_error("no memory for changes of the view", "txid=%" PRIu64, x->stepped.v);
        abort();
    }
    for (size_t i = 0; i < e->reply_count; i++) {
        take_reply(x, &e->replies[i]);
    }
    if (e->trace != NULL) {
        hd_log_info("core", "%s", e->trace);
    }
    if (e->rack_wanted != NULL) {
        hd_rack_map_want(x->racks, e->rack_wanted);
    }
    arm_tick(x, e->deadline);
}

static void step(struct hd_executor *x, struct hd_meta_event *event)
{
    event->now = hd_loop_now(x->loop);
    event->wall = hd_clock_wall_ms();
    event->durable = x->committed; /* what a crash or a promotion takes must not cost a replica */
    hd_meta_effects_reset(&x->effects);
    hd_meta_step(x->store->meta, event, &x->effects);
    carry_out(x);
}

static void on_tick(void *ctx)
{
    struct hd_executor *x = ctx;
    struct hd_meta_event event = {.type = HD_META_TICK};
    if (x->stopping) {
        return;
    }
    x->tick_at_ms = 0;
    step(x, &event);
}

/* False: the call is not to be stepped (now). */
static bool may_answer(struct hd_executor *x, struct hd_rpc_call *call)
{
    hd_ha_look_at_clock(x->ha);
    if (!x->fenced && !hd_ha_node_call(x->ha, call)) {
        return false; /* it does not decode */
    }
    if (x->fenced) {
        hd_rpc_reply_error(call, -HD_E_STANDBY, fenced_text);
        return false;
    }
    if (x->stopping) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "howdah-meta is stopping");
        return false;
    }
    if (hd_ha_in_doubt(x->ha) && strcmp(call->method, "fetchEdits") != 0) {
        struct doubted *d = hd_arena_alloc(&call->arena, sizeof(*d));
        if (d == NULL) {
            hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
            return false;
        }
        d->call = call;
        hd_list_push_back(&x->doubted, &d->node);
        return false;
    }
    return true;
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct hd_executor *x = ctx;
    if (!may_answer(x, call)) {
        return;
    }
    struct hd_exec_conn *c = hd_executor_conn(x, call);
    if (c == NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this connection");
        return;
    }
    if (hd_service_call(x->service, call)) {
        return;
    }
    struct hd_meta_event event = {
        .type = HD_META_REQUEST,
        .conn_id = call->conn_id,
        .token = (uint64_t)(uintptr_t)call,
        .protocol = call->protocol,
        .method = call->method,
        .body = call->body,
        .body_size = call->body_size,
        .user = call->user,
        .groups = hd_groups_of(&x->groups, call->user, hd_loop_now(x->loop)),
        .posix = c->relaxed,
        .session = c->session,
        .peer_ip = call->peer_ip,
        .peer_host = c->peer_host,
        .client_id = call->client_id,
        .client_id_size = call->client_id_size,
        .call_id = call->call_id,
    };
    x->stepping = event.token;
    step(x, &event);
    if (x->stepping != 0) { /* answered by a later step */
        x->stepping = 0;
        (void)hd_map_put(&x->held, event.token, call);
    }
}

static void on_close(void *ctx, uint64_t conn_id)
{
    struct hd_executor *x = ctx;
    struct hd_meta_event event = {.type = HD_META_CONN_CLOSED, .conn_id = conn_id};
    conn_free(hd_map_remove(&x->conns, conn_id));
    if (x->stopping || x->fenced) {
        return;
    }
    hd_service_conn_closed(x->service, conn_id);
    step(x, &event);
}

/* --- the log --- */

/* Turns whose records are durable go into the view. */
static void apply_durable(struct hd_executor *x)
{
    while (!hd_list_empty(&x->turns)) {
        struct hd_exec_turn *t = HD_LIST_ENTRY(x->turns.next, struct hd_exec_turn, node);
        if (t->last.v > x->durable.v || hd_apply_thread_submit(x->apply, &t->puts, t->last) < 0) {
            return; /* no memory: again at the next progress */
        }
        hd_list_remove(&t->node);
        free(t);
    }
}

static void on_progress(void *ctx, struct hd_txid written, struct hd_txid durable)
{
    struct hd_executor *x = ctx;
    x->written.v = HD_MAX(x->written.v, written.v); /* some is written here: hand_over */
    x->durable = durable;
    hd_ha_look_at_clock(x->ha);
    apply_durable(x);
    release(x, &x->relaxed, written);
    hd_ha_durable(x->ha, durable);
    hd_service_durable(x->service);
}

void hd_executor_committed(struct hd_executor *x)
{
    if (x->fenced || x->log == NULL) {
        return;
    }
    x->committed = hd_ha_committed(x->ha);
    if (hd_ha_in_doubt(x->ha)) {
        return;
    }
    release(x, &x->relaxed, x->written);
    release(x, &x->strict, x->committed);
    for (struct hd_list *node;
         !hd_ha_in_doubt(x->ha) && !x->fenced && (node = hd_list_pop_front(&x->doubted)) != NULL;) {
        on_call(x, HD_LIST_ENTRY(node, struct doubted, node)->call);
    }
}

/* Nothing is acknowledged from here on; the loop ends, and with it this role. */
void hd_executor_fence(struct hd_executor *x)
{
    x->fenced = true;
    release(x, &x->relaxed, x->written);
    release(x, &x->strict, x->committed);
    for (struct hd_list *node; (node = hd_list_pop_front(&x->doubted)) != NULL;) {
        hd_rpc_reply_error(HD_LIST_ENTRY(node, struct doubted, node)->call, -HD_E_STANDBY,
                           fenced_text);
    }
    hd_loop_stop(x->loop);
}

/* The end of a turn of the loop: one batch to the log thread. */
static void hand_over(void *ctx)
{
    struct hd_executor *x = ctx;
    if (x->stopping) {
        return;
    }
    if (x->frames.size > 0 && hd_apply_thread_backlog(x->apply) > BACKLOG_MAX_BYTES) {
        x->tick_at_ms = hd_loop_now(x->loop).v + BACKLOG_RETRY_MS; /* the view is behind: wait */
        hd_loop_timer_set(x->tick, BACKLOG_RETRY_MS);
        return;
    }
    if (x->frames.size == 0) {
        if (x->want.v > x->durable.v && x->want.v > x->want_handed.v) {
            x->want_handed = x->want;
            hd_log_thread_submit(x->log, &x->frames, x->handed, x->want);
        }
        return;
    }
    struct hd_exec_turn *t = calloc(1, sizeof(*t));
    if (t == NULL) {
        return; /* at the end of the next turn, then */
    }
    hd_service_recent_add(x->service, (struct hd_txid){x->handed.v + 1}, x->stepped, x->frames.data,
                          x->frames.size);
    t->puts = x->puts;
    t->last = x->stepped;
    x->puts = (struct hd_kv_batch){0};
    hd_list_push_back(&x->turns, &t->node);
    x->handed = x->stepped;
    x->want_handed = x->want;
    if (hd_log_thread_write_now(x->log, &x->frames, x->stepped, x->want)) {
        x->written = x->stepped;
        release(x, &x->relaxed, x->written);
    } else {
        hd_log_thread_submit(x->log, &x->frames, x->stepped, x->want);
    }
}

void hd_executor_flush(struct hd_executor *x)
{
    hand_over(x);
}

static void on_racks(void *ctx, const struct hd_meta_rack *racks, size_t count, bool replace)
{
    struct hd_executor *x = ctx;
    struct hd_meta_event event = {
        .type = HD_META_RACKS, .racks = racks, .rack_count = count, .racks_replace = replace};
    if (!x->stopping && !x->fenced) {
        step(x, &event);
    }
}

int hd_executor_new(const struct hd_meta_conf *conf, struct hd_store *store, struct hd_loop *loop,
                    struct hd_executor **ret)
{
    struct hd_executor *x = calloc(1, sizeof(*x));
    if (x == NULL) {
        return -ENOMEM;
    }
    x->conf = conf;
    x->store = store;
    x->loop = loop;
    hd_groups_init(&x->groups);
    hd_map_init(&x->conns);
    hd_map_init(&x->held);
    hd_list_init(&x->turns);
    hd_list_init(&x->strict);
    hd_list_init(&x->relaxed);
    hd_list_init(&x->doubted);
    hd_meta_effects_init(&x->effects);
    hd_random_bytes(&x->incarnation, sizeof(x->incarnation));
    x->base = x->stepped = x->handed = x->written = x->durable = hd_meta_txid(store->meta);
    const struct hd_log_thread_options lo = {.log = store->log,
                                             .loop = loop,
                                             .flush_ms = conf->flush_ms,
                                             .on_progress = on_progress,
                                             .ctx = x};
    int err = hd_ha_new(x, &x->ha);
    if (err == 0) {
        x->committed = hd_ha_committed(x->ha);
        err = hd_edit_log_is_writing(store->log)
                  ? 0 /* of a secondary that was promoted */
                  : hd_edit_log_start(store->log, (struct hd_txid){x->stepped.v + 1});
    }
    if (err == 0) {
        err = hd_log_thread_start(&lo, &x->log);
    }
    if (err == 0) {
        err = hd_apply_thread_start(store->view, store->applied, &x->apply);
    }
    if (err == 0) {
        err = hd_service_new(x, &x->service);
    }
    if (err == 0) {
        err = hd_rack_map_start(&(struct hd_rack_map_options){.loop = loop,
                                                              .table = conf->rack_table,
                                                              .script = conf->rack_script,
                                                              .on_racks = on_racks,
                                                              .ctx = x},
                                &x->racks);
    }
    if (err == 0) {
        err = hd_loop_timer_add(loop, 1, on_tick, x, &x->tick);
    }
    if (err < 0) {
        hd_executor_free(x);
        return err;
    }
    hd_meta_start(store->meta, hd_clock_mono_ms());
    hd_loop_on_turn_end(loop, hand_over, x);
    *ret = x;
    return 0;
}

const char *const hd_executor_protocols[] = {
    "org.apache.hadoop.hdfs.protocol.ClientProtocol",
    "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol",
    "org.apache.hadoop.hdfs.server.protocol.NamenodeProtocol",
    "org.apache.hadoop.ha.HAServiceProtocol",
    "org.apache.hadoop.tools.GetUserMappingsProtocol",
    "org.apache.hadoop.security.RefreshUserMappingsProtocol",
    "org.apache.hadoop.security.authorize.RefreshAuthorizationPolicyProtocol",
    "org.apache.hadoop.ipc.RefreshCallQueueProtocol",
    "org.apache.hadoop.hdfs.protocol.ReconfigurationProtocol",
    "howdah.PosixProtocol",
    "howdah.MetaProtocol",
    NULL,
};

int hd_executor_listen(struct hd_executor *x)
{
    const struct hd_rpc_server_options o = {.protocols = hd_executor_protocols,
                                            .on_call = on_call,
                                            .may_impersonate = may_impersonate,
                                            .on_close = on_close,
                                            .ctx = x};
    return hd_rpc_server_new(x->loop, x->conf->rpc_address, &o, &x->server);
}

static void stop_loop(void *ctx)
{
    struct hd_executor *x = ctx;
    hd_loop_stop(x->loop);
}

/* What the secondary does not have. A client that repeats the call gets its answer. */
static void refuse(struct hd_list *list)
{
    for (struct hd_list *node; (node = hd_list_pop_front(list)) != NULL;) {
        hd_rpc_reply_error(HD_LIST_ENTRY(node, struct parked, node)->call, -HD_E_RETRIABLE,
                           "howdah-meta is stopping");
    }
}

/*
 * Everything that was stepped becomes durable, is applied, and is answered. The threads end one
 * after the other, each when nobody can give it work any more; what they had posted runs last.
 */
static void stop_threads(struct hd_executor *x)
{
    if (x->log != NULL) {
        hand_over(x);
    }
    x->stopping = true;
    hd_log_thread_stop(x->log);
    x->log = NULL;
    x->written = x->durable = x->handed;
    if (x->ha != NULL) {
        hd_ha_durable(x->ha, x->durable);
        x->committed = hd_ha_committed(x->ha);
        hd_ha_stop(x->ha);
    }
    if (x->apply != NULL) {
        apply_durable(x);
    }
    hd_apply_thread_stop(x->apply);
    x->apply = NULL;
    hd_service_stop(x->service);
    release(x, &x->relaxed, x->written);
    release(x, &x->strict, x->committed);
    refuse(&x->strict);
    if (hd_loop_post(x->loop, stop_loop, x) == 0) {
        (void)hd_loop_run(x->loop);
    }
}

static void free_tables(struct hd_executor *x)
{
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&x->held, &cursor, NULL, &value)) {
        hd_rpc_reply_error(value, -HD_E_RETRIABLE, "howdah-meta is stopping");
    }
    cursor = 0;
    hd_map_done(&x->held);
    hd_service_free(x->service);
    hd_rpc_server_free(x->server);
    while (hd_map_next(&x->conns, &cursor, NULL, &value)) {
        conn_free(value);
    }
    hd_map_done(&x->conns);
}

void hd_executor_free(struct hd_executor *x)
{
    if (x == NULL) {
        return;
    }
    hd_rack_map_stop(x->racks);
    stop_threads(x);
    free_tables(x);
    if (x->tick != NULL) {
        hd_loop_timer_remove(x->tick);
    }
    int err = hd_edit_log_stop(x->store->log);
    if (err < 0) {
        hd_log_error("edit log not finished", "reason=\"%s\"", hd_fail_describe(err));
    }
    hd_ha_free(x->ha);
    hd_groups_done(&x->groups);
    hd_meta_effects_done(&x->effects);
    hd_buf_done(&x->frames);
    hd_kv_batch_done(&x->puts);
    free(x);
}
