/*
 * meta: the real core in a simulated shell.
 *
 *   call -> hd_meta_step -> records -> log (framed, not yet synced) -> synced -> replies, view
 *
 * The log is a string of bytes of which a prefix is durable. A crash keeps some of what was not
 * synced, or none, and may tear or spoil what it keeps; start-up reads the frames again and has to
 * find every record that was durable. Changes of the view reach the store some time after their
 * records are durable, so that a start-up replays a part of the log on an older view.
 */
#include "tests/sim/sim.h"
#include "fs/base/error.h"
#include "meta/core/state.h"
#include "meta/kv/kv.h"
#include "meta/log/record.h"

#include <stdlib.h>

enum { BATCHES_MAX = 4096, PARKED_MAX = 1024, SYNC_MAX_US = 3000, SLOW_SYNC_MAX_US = 300000 };

struct batch { /* changes of the view that wait for their records */
    uint64_t txid;
    struct hd_kv_batch ops;
};

struct parked { /* an answer that waits for its record */
    uint64_t rpc;
    uint64_t after;
    int err;
    char *text;
    uint8_t *body;
    size_t size;
};

struct sim_meta {
    struct hd_meta_options options;
    struct hd_meta *core; /* NULL: down */
    struct hd_meta_effects fx;
    struct hd_buf log;
    size_t *ends; /* ends[txid]: where its frame ends */
    size_t ends_capacity;
    uint64_t written, durable;
    uint64_t promised; /* the highest txid that was ever durable */
    bool syncing;
    uint64_t sync_target;
    struct hd_kv *view;
    uint64_t applied;
    struct batch batches[BATCHES_MAX];
    size_t batch_count;
    struct parked parked[PARKED_MAX];
    size_t parked_count;
    uint32_t life; /* of what is scheduled */
    int64_t tick_us;
};

static void absorb(struct sim *s);

static uint64_t life_arg(const struct sim_meta *m)
{
    return m->life;
}

static bool same_life(const struct sim_meta *m, const void *arg)
{
    return m->core != NULL && (uint64_t)(uintptr_t)arg == m->life;
}

static void later(struct sim *s, int64_t us, sim_fn *fn)
{
    sim_at(s, s->now_us + us, fn, (void *)(uintptr_t)life_arg(s->meta));
}

/* ---- the store of the view ---- */

static void view_write(struct sim *s, const struct hd_kv_batch *b)
{
    if (hd_kv_write(s->meta->view, b, false) < 0) {
        sim_fail(s, "view: %s", hd_fail_text());
    }
}

static void apply(struct sim *s, void *arg)
{
    struct sim_meta *m = s->meta;
    if (!same_life(m, arg)) {
        return;
    }
    size_t n = 0;
    for (; n < m->batch_count && m->batches[n].txid <= m->durable; n++) {
        view_write(s, &m->batches[n].ops);
        m->applied = m->batches[n].txid;
        hd_kv_batch_done(&m->batches[n].ops);
    }
    m->batch_count -= n;
    memmove(m->batches, m->batches + n, m->batch_count * sizeof(m->batches[0]));
}

static void take_puts(struct sim *s, struct hd_kv_batch *ops)
{
    const struct hd_meta_effects *e = &s->meta->fx;
    for (size_t i = 0; i < e->put_count; i++) {
        const struct hd_meta_put *p = &e->puts[i];
        int err = p->value != NULL
                      ? hd_kv_batch_put(ops, p->key, p->key_size, p->value, p->value_size)
                      : hd_kv_batch_delete(ops, p->key, p->key_size);
        hd_assert(err == 0);
    }
}

/* ---- answers ---- */

static void release_answers(struct sim *s)
{
    struct sim_meta *m = s->meta;
    size_t left = 0;
    for (size_t i = 0; i < m->parked_count; i++) {
        struct parked *p = &m->parked[i];
        if (p->after > m->durable) {
            m->parked[left++] = *p;
            continue;
        }
        sim_answer(s, p->rpc, p->err, p->text, p->body, p->size);
        free(p->text);
        free(p->body);
    }
    m->parked_count = left;
}

static void take_replies(struct sim *s)
{
    struct sim_meta *m = s->meta;
    for (size_t i = 0; i < m->fx.reply_count; i++) {
        const struct hd_meta_reply *r = &m->fx.replies[i];
        hd_assert(m->parked_count < PARKED_MAX);
        struct parked *p = &m->parked[m->parked_count++];
        *p = (struct parked){.rpc = r->token, .after = r->after.v, .err = r->err};
        p->text = r->text != NULL ? strdup(r->text) : NULL;
        if (r->err == 0) {
            p->size = protobuf_c_message_get_packed_size(r->response);
            p->body = malloc(p->size + 1);
            hd_assert(p->body != NULL);
            protobuf_c_message_pack(r->response, p->body);
        }
    }
    release_answers(s);
}

/* ---- the log ---- */

static void note_end(struct sim_meta *m, uint64_t txid)
{
    if (txid >= m->ends_capacity) {
        m->ends_capacity = txid * 2 + 64;
        m->ends = realloc(m->ends, m->ends_capacity * sizeof(*m->ends));
        hd_assert(m->ends != NULL);
    }
    m->ends[0] = 0;
    m->ends[txid] = m->log.size;
}

static void synced(struct sim *s, void *arg);

static void start_sync(struct sim *s)
{
    struct sim_meta *m = s->meta;
    if (m->syncing || m->written == m->durable) {
        return;
    }
    m->syncing = true;
    m->sync_target = m->written;
    bool slow = sim_chance(s, s->slow_ppm);
    later(s, sim_between(s, 200, slow ? SLOW_SYNC_MAX_US : SYNC_MAX_US), synced);
}

static void synced(struct sim *s, void *arg)
{
    struct sim_meta *m = s->meta;
    if (!same_life(m, arg)) {
        return;
    }
    m->syncing = false;
    m->durable = m->sync_target;
    m->promised = HD_MAX(m->promised, m->durable);
    release_answers(s);
    later(s, sim_between(s, 100, 400000), apply);
    start_sync(s);
}

static void take_records(struct sim *s)
{
    struct sim_meta *m = s->meta;
    for (size_t i = 0; i < m->fx.record_count; i++) {
        const struct hd_meta_record *r = &m->fx.records[i];
        struct hd_record framed = {r->txid, {m->durable}, r->data, r->size};
        if (r->txid.v != m->written + 1) {
            sim_fail(s, "record %llu follows %llu", (unsigned long long)r->txid.v,
                     (unsigned long long)m->written);
        }
        int err = hd_record_encode(&m->log, &framed);
        hd_assert(err == 0);
        m->written = r->txid.v;
        note_end(m, m->written);
    }
}

/* ---- steps ---- */

static void tick(struct sim *s, void *arg);

static void step(struct sim *s, struct hd_meta_event *ev)
{
    struct sim_meta *m = s->meta;
    ev->now.v = sim_now_ms(s) + 1000000;
    ev->wall.v = sim_now_ms(s) + 1700000000000 + s->wall_jump_ms;
    ev->durable.v = m->durable;
    hd_meta_step(m->core, ev, &m->fx);
    absorb(s);
}

static void absorb(struct sim *s)
{
    struct sim_meta *m = s->meta;
    take_records(s);
    if (m->fx.put_count > 0) {
        hd_assert(m->batch_count < BATCHES_MAX);
        struct batch *b = &m->batches[m->batch_count++];
        *b = (struct batch){.txid = m->written};
        take_puts(s, &b->ops);
    }
    take_replies(s);
    if (m->fx.trace != NULL) {
        sim_trace(s, "meta: %s", m->fx.trace);
    }
    int64_t at_us = (m->fx.deadline.v - 1000000) * 1000;
    if (m->tick_us <= s->now_us || at_us < m->tick_us) {
        m->tick_us = HD_MAX(at_us, s->now_us + 1000);
        later(s, m->tick_us - s->now_us, tick);
    }
    hd_meta_effects_reset(&m->fx);
    start_sync(s);
}

static void tick(struct sim *s, void *arg)
{
    struct sim_meta *m = s->meta;
    if (!same_life(m, arg) || s->now_us < m->tick_us) {
        return;
    }
    if (s->actors[SIM_META].paused) {
        m->tick_us = s->actors[SIM_META].resume_us;
        later(s, m->tick_us - s->now_us, tick);
        return;
    }
    step(s, &(struct hd_meta_event){.type = HD_META_TICK});
}

void sim_meta_request(struct sim *s, struct sim_rpc *r)
{
    static const char *const groups[] = {"supergroup", NULL};
    const struct sim_actor *a = &s->actors[r->from];
    struct hd_meta_event ev = {
        .type = HD_META_REQUEST,
        .conn_id = r->conn,
        .token = r->id,
        .protocol = r->protocol,
        .method = r->method,
        .body = r->body,
        .body_size = r->body_size,
        .user = "root",
        .groups = groups,
        .peer_ip = a->ip,
        .peer_host = a->ip,
        .client_id = r->client_id,
        .client_id_size = r->call_id >= 0 ? sizeof(r->client_id) : 0,
        .call_id = r->call_id,
    };
    step(s, &ev);
}

static void closed(struct sim *s, void *arg)
{
    uint64_t conn = (uint64_t)(uintptr_t)arg;
    if (s->actors[SIM_META].paused) {
        sim_at(s, s->actors[SIM_META].resume_us, closed, arg);
    } else if (s->meta->core != NULL) {
        step(s, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = conn});
    }
}

void sim_meta_closed(struct sim *s, uint64_t conn)
{
    sim_at(s, s->now_us + sim_delay(s), closed, (void *)(uintptr_t)conn);
}

/* ---- life and death ---- */

struct sim_meta *sim_meta_new(struct sim *s)
{
    struct sim_meta *m = calloc(1, sizeof(*m));
    hd_assert(m != NULL);
    m->options = (struct hd_meta_options){
        .cluster_id = "CID-1",
        .block_pool_id = "BP-1",
        .namespace_id = 7,
        .creation_ms = 1000000,
        .superuser = "root",
        .supergroup = "supergroup",
        .host_name = "metahost",
        .block_size_bytes = SIM_BLOCK_BYTES,
        .min_block_size_bytes = 512,
        .replication = 3,
        .replication_max = 512,
        .list_limit = 7, /* several answers to a listing */
        .safe_mode_threshold = 0.999,
        .safe_mode_extension_ms = (int64_t)sim_draw(s, 2) * 2000,
        .heartbeat_ms = 1000,
        .stale_ms = 5000,
        .dead_ms = 15000,
        .closed_grace_ms = 3000,
        .lease_soft_ms = 6000,
        .lease_hard_ms = 25000,
        .retry_cache_ms = 600000,
        .atime_precision_ms = 3600000,
        .complete_wait_ms = 1000,
        .repair_grace_ms = 2000,
        .repair_streams_per_node = 4,
        .seed = hd_prng_next(&s->prng),
    };
    hd_buf_init(&m->log, 0);
    hd_meta_effects_init(&m->fx);
    int err = hd_kv_open_memory(&m->view);
    hd_assert(err == 0);
    return m;
}

static void drop_waiting(struct sim_meta *m)
{
    for (size_t i = 0; i < m->parked_count; i++) {
        free(m->parked[i].text);
        free(m->parked[i].body);
    }
    for (size_t i = 0; i < m->batch_count; i++) {
        hd_kv_batch_done(&m->batches[i].ops);
    }
    m->parked_count = m->batch_count = 0;
}

void sim_meta_free(struct sim_meta *m)
{
    drop_waiting(m);
    hd_meta_free(m->core);
    hd_meta_effects_done(&m->fx);
    hd_kv_close(m->view);
    hd_buf_done(&m->log);
    free(m->ends);
    free(m);
}

static void load_view(struct sim *s, struct hd_meta *core)
{
    struct sim_meta *m = s->meta;
    struct hd_kv_iter *it;
    struct hd_kv_op op;
    int err = hd_kv_iter_new(m->view, NULL, &it);
    hd_assert(err == 0);
    while (err == 0 && hd_kv_iter_next(it, &op) == 1) {
        err = hd_meta_load(core, op.key, op.key_size, op.value, op.value_size);
    }
    hd_kv_iter_free(it);
    if (err == 0) {
        err = hd_meta_load_done(core, (struct hd_txid){m->applied});
    }
    if (err < 0) {
        sim_fail(s, "the view of txid %llu does not load: %s", (unsigned long long)m->applied,
                 hd_fail_describe(err));
    }
}

/* Every record in the log to core, as a start-up does; *ret_last is the last good one. */
static void replay_log(struct sim *s, struct hd_meta *core, struct hd_kv_batch *puts,
                       uint64_t *ret_last)
{
    struct sim_meta *m = s->meta;
    struct hd_record r;
    size_t size;
    size_t at = 0;
    *ret_last = 0;
    while (hd_record_decode(m->log.data + at, m->log.size - at, &r, &size) == HD_RECORD_GOOD &&
           r.txid.v == *ret_last + 1) {
        hd_meta_effects_reset(&m->fx);
        int err = hd_meta_replay(core, r.data, r.size, &m->fx);
        if (err < 0) {
            sim_fail(s, "replay of txid %llu: %s", (unsigned long long)r.txid.v,
                     hd_fail_describe(err));
        }
        if (puts != NULL) {
            take_puts(s, puts);
        }
        *ret_last = r.txid.v;
        at += size;
    }
    hd_meta_effects_reset(&m->fx);
    if (puts != NULL) {
        m->log.size = at; /* what follows was never acknowledged */
    }
}

static struct hd_meta *new_core(struct sim *s)
{
    struct hd_meta *core;
    int err = hd_meta_new(&s->meta->options, &core);
    hd_assert(err == 0);
    return core;
}

static void format(struct sim *s)
{
    struct sim_meta *m = s->meta;
    HD_AUTO(hd_kv_batch_done) struct hd_kv_batch puts = {0};
    m->core = new_core(s);
    hd_meta_format(m->core, (struct hd_wall_ms){0}, &m->fx);
    take_puts(s, &puts);
    hd_meta_effects_reset(&m->fx);
    view_write(s, &puts);
}

void sim_meta_start(struct sim *s)
{
    struct sim_meta *m = s->meta;
    HD_AUTO(hd_kv_batch_done) struct hd_kv_batch puts = {0};
    uint64_t last = 0;
    sim_start(s, SIM_META);
    m->life = s->actors[SIM_META].life;
    m->options.seed = hd_prng_next(&s->prng);
    if (m->life == 1) {
        format(s);
    } else {
        struct hd_meta *core = new_core(s);
        load_view(s, core);
        replay_log(s, core, &puts, &last);
        if (last < m->promised) {
            sim_fail(s, "txid %llu was durable, the log ends with %llu",
                     (unsigned long long)m->promised, (unsigned long long)last);
        }
        view_write(s, &puts);
        m->core = core;
        m->written = m->durable = m->applied = last;
    }
    m->promised = HD_MAX(m->promised, m->durable);
    m->syncing = false;
    m->tick_us = 0;
    hd_meta_start(m->core, (struct hd_mono_ms){sim_now_ms(s) + 1000000});
    sim_trace(s, "meta serves from txid %llu", (unsigned long long)m->written);
    step(s, &(struct hd_meta_event){.type = HD_META_TICK});
}

void sim_meta_crash(struct sim *s)
{
    struct sim_meta *m = s->meta;
    sim_kill(s, SIM_META);
    hd_meta_free(m->core);
    m->core = NULL;
    drop_waiting(m);
    size_t safe = m->durable > 0 ? m->ends[m->durable] : 0;
    size_t loose = m->log.size - safe;
    size_t kept = sim_chance(s, 300000) ? loose : (size_t)sim_draw(s, loose + 1);
    m->log.size = safe + kept;
    if (kept > 0 && sim_chance(s, 400000)) { /* torn: a piece in it was not written */
        size_t from = safe + (size_t)sim_draw(s, kept);
        size_t size = 1 + (size_t)sim_draw(s, HD_MIN(m->log.size - from, (size_t)512));
        memset(m->log.data + from, sim_chance(s, 500000) ? 0 : (int)sim_draw(s, 256), size);
    }
    sim_trace(s, "meta is down: %zu of %zu loose bytes stay", kept, loose);
    sim_break_all(s);
}

/* ---- what checks ask ---- */

static void compare(struct sim *s, struct hd_meta *other, const char *what)
{
    struct hd_meta_effects a;
    struct hd_meta_effects b;
    hd_meta_effects_init(&a);
    hd_meta_effects_init(&b);
    hd_view_emit_all(&s->meta->core->ns, &a);
    hd_view_emit_all(&other->ns, &b);
    if (a.put_count != b.put_count) {
        sim_fail(s, "%s has %zu keys, memory %zu", what, b.put_count, a.put_count);
    }
    for (size_t i = 0; i < a.put_count; i++) {
        bool same = a.puts[i].key_size == b.puts[i].key_size &&
                    a.puts[i].value_size == b.puts[i].value_size &&
                    memcmp(a.puts[i].key, b.puts[i].key, a.puts[i].key_size) == 0 &&
                    memcmp(a.puts[i].value, b.puts[i].value, a.puts[i].value_size) == 0;
        if (!same) {
            sim_fail(s, "%s differs from memory at key %zu (%c)", what, i, a.puts[i].key[0]);
        }
    }
    hd_meta_effects_done(&a);
    hd_meta_effects_done(&b);
}

void sim_meta_check(struct sim *s)
{
    struct sim_meta *m = s->meta;
    uint64_t last;
    m->durable = m->written;
    apply(s, (void *)(uintptr_t)m->life);
    m->applied = m->written;
    struct hd_meta *loaded = new_core(s);
    load_view(s, loaded);
    compare(s, loaded, "the view");
    hd_meta_free(loaded);
    struct hd_meta *replayed = new_core(s);
    hd_meta_format(replayed, (struct hd_wall_ms){0}, &m->fx);
    replay_log(s, replayed, NULL, &last);
    if (last != m->written) {
        sim_fail(s, "the log reads to %llu of %llu", (unsigned long long)last,
                 (unsigned long long)m->written);
    }
    compare(s, replayed, "the replayed log");
    hd_meta_free(replayed);
}

static void fill_block(const struct hd_blk *b, struct sim_block *ret)
{
    *ret = (struct sim_block){
        .id = b->id.v,
        .gs = b->gs.v,
        .size_bytes = b->size_bytes,
        .replication = b->file->replication,
        .complete = b->state == HD_BLOCK_COMPLETE,
    };
}

bool sim_meta_next_block(struct sim *s, uint64_t after, struct sim_block *ret)
{
    const struct hd_blk *best = NULL;
    size_t cursor = 0;
    uint64_t id;
    void *value;
    while (hd_map_next(&s->meta->core->ns.blocks, &cursor, &id, &value)) {
        if (id > after && (best == NULL || id < best->id.v)) {
            best = value;
        }
    }
    if (best != NULL) {
        fill_block(best, ret);
    }
    return best != NULL;
}

bool sim_meta_file_block(struct sim *s, const char *path, uint32_t i, struct sim_block *ret)
{
    struct hd_ns *ns = &s->meta->core->ns;
    struct hd_inode *inode = hd_ns_inode(ns, HD_ROOT_INO);
    while (inode != NULL && path[0] == '/') {
        size_t size = strcspn(path + 1, "/");
        inode =
            hd_inode_is_dir(inode) ? hd_children_find(&inode->u.children, path + 1, size) : NULL;
        path += 1 + size;
    }
    if (inode == NULL || !hd_inode_is_file(inode) || i >= inode->u.file.block_count) {
        return false;
    }
    fill_block(hd_file_block(inode, i), ret);
    return true;
}

const char *sim_meta_unwell(struct sim *s)
{
    static char text[200];
    struct hd_meta_stats st;
    if (s->meta->core == NULL) {
        return "meta is down";
    }
    hd_meta_stats(s->meta->core, &st);
    bool well = !st.safe_mode && st.blocks_under_replicated == 0 && st.blocks_corrupt == 0 &&
                st.blocks_missing == 0 && st.nodes_live == (uint32_t)s->node_count &&
                s->meta->written == s->meta->durable;
    snprintf(text, sizeof(text), "safe mode %d, %llu low, %llu corrupt, %llu missing, %u live",
             st.safe_mode, (unsigned long long)st.blocks_under_replicated,
             (unsigned long long)st.blocks_corrupt, (unsigned long long)st.blocks_missing,
             st.nodes_live);
    return well ? NULL : text;
}
