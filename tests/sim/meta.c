/*
 * meta: the real core in a simulated shell.
 *
 *   call -> hd_meta_step -> records -> log (framed, not yet synced) -> synced -> replies, view
 *
 * The log is a string of bytes of which a prefix is durable. A crash keeps some of what was not
 * synced, or none, and may tear or spoil what it keeps; start-up reads the frames again and has to
 * find every record that was durable. Changes of the view reach the store some time after their
 * records are durable, so that a start-up replays a part of the log on an older view.
 *
 * A seed may have two of them: the second follows the first's log and can be promoted (ha.c).
 */
#include "tests/sim/meta_impl.h"
#include "meta/core/block_map.h"

enum { SYNC_MAX_US = 3000, SLOW_SYNC_MAX_US = 300000 };

static void absorb(struct sim_meta *m);

/* What is scheduled is for one life of one of the two. */
struct sim_meta *sim_meta_of(struct sim *s, const void *arg)
{
    uint64_t v = (uint64_t)(uintptr_t)arg;
    struct sim_meta *m = s->metas[v & 1];
    return m->core != NULL && v >> 1 == m->life ? m : NULL;
}

void sim_meta_later(struct sim_meta *m, int64_t us, sim_fn *fn)
{
    uint64_t v = m->life << 1 | (uint64_t)m->index;
    sim_at(m->sim, m->sim->now_us + us, fn, (void *)(uintptr_t)v);
}

/* ---- the store of the view ---- */

static void view_write(struct sim_meta *m, const struct hd_kv_batch *b)
{
    if (hd_kv_write(m->view, b, false) < 0) {
        sim_fail(m->sim, "view: %s", hd_fail_text());
    }
}

static void apply(struct sim *s, void *arg)
{
    struct sim_meta *m = sim_meta_of(s, arg);
    if (m == NULL) {
        return;
    }
    size_t n = 0;
    for (; n < m->batch_count && m->batches[n].txid <= m->durable; n++) {
        view_write(m, &m->batches[n].ops);
        m->applied = m->batches[n].txid;
        hd_kv_batch_done(&m->batches[n].ops);
    }
    m->batch_count -= n;
    memmove(m->batches, m->batches + n, m->batch_count * sizeof(m->batches[0]));
}

static void take_puts(struct sim_meta *m, struct hd_kv_batch *ops)
{
    const struct hd_meta_effects *e = &m->fx;
    for (size_t i = 0; i < e->put_count; i++) {
        const struct hd_meta_put *p = &e->puts[i];
        int err = p->value != NULL
                      ? hd_kv_batch_put(ops, p->key, p->key_size, p->value, p->value_size)
                      : hd_kv_batch_delete(ops, p->key, p->key_size);
        hd_assert(err == 0);
    }
}

/* ---- answers ---- */

void sim_meta_release(struct sim_meta *m)
{
    size_t left = 0;
    if (m->q.doubt) {
        return; /* nobody knows who is primary now */
    }
    for (size_t i = 0; i < m->parked_count; i++) {
        struct parked *p = &m->parked[i];
        if (p->after > m->q.committed.v) {
            m->parked[left++] = *p;
            continue;
        }
        sim_ha_check_answer(m, p->after);
        sim_answer(m->sim, p->rpc, p->err, p->text, p->body, p->size);
        free(p->text);
        free(p->body);
    }
    m->parked_count = left;
}

static void take_replies(struct sim_meta *m)
{
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
    sim_meta_release(m);
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

static void start_sync(struct sim_meta *m)
{
    if (m->syncing || m->written == m->durable) {
        return;
    }
    struct sim *s = m->sim;
    m->syncing = true;
    m->sync_target = m->written;
    bool slow = sim_chance(s, s->slow_ppm);
    sim_meta_later(m, sim_between(s, 200, slow ? SLOW_SYNC_MAX_US : SYNC_MAX_US), synced);
}

static void synced(struct sim *s, void *arg)
{
    struct sim_meta *m = sim_meta_of(s, arg);
    if (m == NULL) {
        return;
    }
    m->syncing = false;
    m->durable = m->sync_target;
    m->promised = HD_MAX(m->promised, m->durable);
    hd_quorum_durable(&m->q, (struct hd_txid){m->durable}, sim_meta_now(m));
    sim_ha_settle(m);
    if (m->core == NULL) {
        return;
    }
    sim_meta_later(m, sim_between(s, 100, 400000), apply);
    start_sync(m);
}

static void take_records(struct sim_meta *m)
{
    for (size_t i = 0; i < m->fx.record_count; i++) {
        const struct hd_meta_record *r = &m->fx.records[i];
        struct hd_record framed = {r->txid, {m->durable}, r->data, r->size};
        if (r->txid.v != m->written + 1) {
            sim_fail(m->sim, "record %llu follows %llu", (unsigned long long)r->txid.v,
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

static void step(struct sim_meta *m, struct hd_meta_event *ev)
{
    ev->now = sim_meta_now(m);
    ev->wall.v = sim_now_ms(m->sim) + 1700000000000 + m->sim->wall_jump_ms;
    ev->durable = m->q.committed;
    hd_meta_step(m->core, ev, &m->fx);
    absorb(m);
}

static void absorb(struct sim_meta *m)
{
    take_records(m);
    if (m->fx.put_count > 0) {
        hd_assert(m->batch_count < BATCHES_MAX);
        struct batch *b = &m->batches[m->batch_count++];
        *b = (struct batch){.txid = m->written};
        take_puts(m, &b->ops);
    }
    take_replies(m);
    if (m->fx.trace != NULL) {
        sim_trace(m->sim, "%s: %s", m->sim->actors[m->index].name, m->fx.trace);
    }
    struct sim *s = m->sim;
    int64_t at_us = (m->fx.deadline.v - 1000000) * 1000;
    if (m->tick_us <= s->now_us || at_us < m->tick_us) {
        m->tick_us = HD_MAX(at_us, s->now_us + 1000);
        sim_meta_later(m, m->tick_us - s->now_us, tick);
    }
    hd_meta_effects_reset(&m->fx);
    start_sync(m);
}

static void tick(struct sim *s, void *arg)
{
    struct sim_meta *m = sim_meta_of(s, arg);
    if (m == NULL || s->now_us < m->tick_us) {
        return;
    }
    if (s->actors[m->index].paused) {
        m->tick_us = s->actors[m->index].resume_us;
        sim_meta_later(m, m->tick_us - s->now_us, tick);
        return;
    }
    step(m, &(struct hd_meta_event){.type = HD_META_TICK});
}

void sim_meta_request(struct sim *s, struct sim_rpc *r)
{
    static const char *const groups[] = {"supergroup", NULL};
    struct sim_meta *m = s->metas[r->to];
    const struct sim_actor *a = &s->actors[r->from];
    if (m->core != NULL && sim_is_node(s, r->from)) {
        hd_quorum_epoch_seen(&m->q, r->epoch);
        sim_ha_settle(m);
    }
    if (m->core == NULL) {
        sim_answer(s, r->id, -HD_E_STANDBY, "not the primary", NULL, 0);
        return;
    }
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
    step(m, &ev);
}

struct closed {
    int meta;
    uint64_t conn;
};

static void closed(struct sim *s, void *arg)
{
    struct closed *c = arg;
    struct sim_meta *m = s->metas[c->meta];
    if (s->actors[c->meta].up && s->actors[c->meta].paused) {
        sim_at(s, s->actors[c->meta].resume_us, closed, arg);
        return;
    }
    if (m->core != NULL) {
        step(m, &(struct hd_meta_event){.type = HD_META_CONN_CLOSED, .conn_id = c->conn});
    }
    free(c);
}

void sim_meta_closed(struct sim *s, int meta, uint64_t conn)
{
    struct closed *c = malloc(sizeof(*c));
    hd_assert(c != NULL);
    *c = (struct closed){meta, conn};
    sim_at(s, s->now_us + sim_delay(s), closed, c);
}

/* ---- life and death ---- */

struct sim_meta *sim_meta_new(struct sim *s, int index, bool primary)
{
    struct sim_meta *m = calloc(1, sizeof(*m));
    hd_assert(m != NULL);
    m->sim = s;
    m->index = index;
    m->primary = primary;
    m->incomplete = !primary;
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
        .safe_mode_patience_ms = 5000,
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

void sim_meta_drop_waiting(struct sim_meta *m)
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

uint64_t sim_meta_epoch(const struct sim_meta *m)
{
    return m->epoch;
}

bool sim_meta_serves(const struct sim_meta *m)
{
    return m != NULL && m->core != NULL;
}

static void empty_view(struct sim_meta *m)
{
    hd_kv_close(m->view);
    int err = hd_kv_open_memory(&m->view);
    hd_assert(err == 0);
    m->applied = 0;
}

void sim_meta_free(struct sim_meta *m)
{
    if (m == NULL) {
        return;
    }
    sim_meta_drop_waiting(m);
    hd_meta_free(m->core);
    hd_meta_effects_done(&m->fx);
    hd_kv_close(m->view);
    hd_buf_done(&m->log);
    free(m->ends);
    free(m);
}

static void load_view(struct sim_meta *m, struct hd_meta *core)
{
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
        sim_fail(m->sim, "the view of txid %llu does not load: %s", (unsigned long long)m->applied,
                 hd_fail_describe(err));
    }
}

/* Every record in the log to core, as a start-up does; *ret_last is the last good one. */
static void replay_log(struct sim_meta *m, struct hd_meta *core, struct hd_kv_batch *puts,
                       uint64_t *ret_last)
{
    struct hd_record r;
    size_t size;
    size_t at = 0;
    *ret_last = 0;
    while (hd_record_decode(m->log.data + at, m->log.size - at, &r, &size) == HD_RECORD_GOOD &&
           r.txid.v == *ret_last + 1) {
        hd_meta_effects_reset(&m->fx);
        int err = hd_meta_replay(core, r.data, r.size, &m->fx);
        if (err < 0) {
            sim_fail(m->sim, "replay of txid %llu: %s", (unsigned long long)r.txid.v,
                     hd_fail_describe(err));
        }
        if (puts != NULL) {
            take_puts(m, puts);
        }
        *ret_last = r.txid.v;
        at += size;
    }
    hd_meta_effects_reset(&m->fx);
    if (puts != NULL) {
        m->log.size = at; /* what follows was never acknowledged */
    }
}

static struct hd_meta *new_core(struct sim_meta *m)
{
    struct hd_meta *core;
    int err = hd_meta_new(&m->options, &core);
    hd_assert(err == 0);
    return core;
}

static void format(struct sim_meta *m)
{
    HD_AUTO(hd_kv_batch_done) struct hd_kv_batch puts = {0};
    m->core = new_core(m);
    hd_meta_format(m->core, (struct hd_wall_ms){0}, &m->fx);
    take_puts(m, &puts);
    hd_meta_effects_reset(&m->fx);
    view_write(m, &puts);
}

/* From the view and the log, or, of a secondary that is promoted, from the log alone. */
static void load(struct sim_meta *m)
{
    HD_AUTO(hd_kv_batch_done) struct hd_kv_batch puts = {0};
    uint64_t last = 0;
    struct hd_meta *core = new_core(m);
    if (m->has_view) {
        load_view(m, core);
    } else {
        empty_view(m);
        hd_meta_format(core, (struct hd_wall_ms){0}, &m->fx);
        take_puts(m, &puts);
        hd_meta_effects_reset(&m->fx);
    }
    replay_log(m, core, &puts, &last);
    if (last < m->promised) {
        sim_fail(m->sim, "txid %llu was durable, the log ends with %llu",
                 (unsigned long long)m->promised, (unsigned long long)last);
    }
    view_write(m, &puts);
    m->core = core;
    m->written = m->durable = m->applied = last;
}

void sim_meta_serve(struct sim_meta *m)
{
    struct sim *s = m->sim;
    m->life++;
    m->options.seed = hd_prng_next(&s->prng);
    if (m->epoch == 0) {
        m->epoch = m->owner = 1;
        format(m);
    } else {
        load(m);
    }
    m->has_view = true;
    m->promised = HD_MAX(m->promised, m->durable);
    m->syncing = false;
    m->tick_us = 0;
    hd_meta_start(m->core, sim_meta_now(m));
    sim_trace(s, "%s serves from txid %llu in epoch %llu", s->actors[m->index].name,
              (unsigned long long)m->written, (unsigned long long)m->epoch);
    sim_ha_begin(m);
    step(m, &(struct hd_meta_event){.type = HD_META_TICK});
}

void sim_meta_start(struct sim *s, int index)
{
    struct sim_meta *m = s->metas[index];
    sim_start(s, index);
    if (m->primary) {
        sim_meta_serve(m);
    } else {
        uint64_t last = 0;
        struct hd_record r;
        size_t size;
        size_t at = 0;
        while (hd_record_decode(m->log.data + at, m->log.size - at, &r, &size) == HD_RECORD_GOOD &&
               r.txid.v == last + 1) {
            last = r.txid.v;
            at += size;
        }
        m->log.size = at;
        if (last < m->promised) {
            sim_fail(s, "txid %llu was durable on the secondary, its log ends with %llu",
                     (unsigned long long)m->promised, (unsigned long long)last);
        }
        m->written = m->durable = last;
        sim_ha_follow(m);
    }
}

/* The process ends; what is on its disk is for sim_meta_crash. */
void sim_meta_stop(struct sim_meta *m)
{
    hd_meta_free(m->core);
    m->core = NULL;
    m->life++;
    sim_meta_drop_waiting(m);
}

void sim_meta_crash(struct sim *s, int index)
{
    struct sim_meta *m = s->metas[index];
    sim_kill(s, index);
    sim_meta_stop(m);
    size_t safe = m->durable > 0 ? m->ends[m->durable] : 0;
    size_t loose = m->log.size - safe;
    size_t kept = sim_chance(s, 300000) ? loose : (size_t)sim_draw(s, loose + 1);
    m->log.size = safe + kept;
    if (kept > 0 && sim_chance(s, 400000)) { /* torn: a piece in it was not written */
        size_t from = safe + (size_t)sim_draw(s, kept);
        size_t size = 1 + (size_t)sim_draw(s, HD_MIN(m->log.size - from, (size_t)512));
        memset(m->log.data + from, sim_chance(s, 500000) ? 0 : (int)sim_draw(s, 256), size);
    }
    sim_trace(s, "%s is down: %zu of %zu loose bytes stay", s->actors[index].name, kept, loose);
    sim_break_all(s, index);
    sim_ha_gone(m);
}

/* Records of the other one, as they are on its disk. */
void sim_meta_append(struct sim_meta *m, const uint8_t *data, size_t size)
{
    struct hd_record r;
    size_t used;
    for (size_t at = 0; at < size; at += used) {
        bool good = hd_record_decode(data + at, size - at, &r, &used) == HD_RECORD_GOOD;
        hd_assert(good && r.txid.v == m->written + 1);
        int err = hd_buf_add(&m->log, data + at, used);
        hd_assert(err == 0);
        note_end(m, ++m->written);
    }
}

/* ---- what checks ask ---- */

static void compare(struct sim *s, struct hd_meta *other, const char *what)
{
    struct hd_meta_effects a;
    struct hd_meta_effects b;
    hd_meta_effects_init(&a);
    hd_meta_effects_init(&b);
    hd_view_emit_all(&sim_active(s)->core->ns, &a);
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
    struct sim_meta *m = sim_active(s);
    uint64_t last;
    const struct sim_meta *other = s->metas[!m->index];
    if (other != NULL && (other->log.size != m->log.size ||
                          memcmp(other->log.data, m->log.data, m->log.size) != 0)) {
        sim_fail(s, "the secondary's log differs: %zu bytes, the primary's has %zu",
                 other->log.size, m->log.size);
    }
    m->durable = m->written;
    apply(s, (void *)(uintptr_t)(m->life << 1 | (uint64_t)m->index));
    m->applied = m->written;
    struct hd_meta *loaded = new_core(m);
    load_view(m, loaded);
    compare(s, loaded, "the view");
    hd_meta_free(loaded);
    struct hd_meta *replayed = new_core(m);
    hd_meta_format(replayed, (struct hd_wall_ms){0}, &m->fx);
    replay_log(m, replayed, NULL, &last);
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
    while (hd_map_next(&sim_active(s)->core->ns.blocks, &cursor, &id, &value)) {
        if (id > after && (best == NULL || id < best->id.v)) {
            best = value;
        }
    }
    if (best != NULL) {
        fill_block(best, ret);
    }
    return best != NULL;
}

const char *sim_meta_replicas(struct sim *s, uint64_t id)
{
    static char text[400];
    struct hd_meta *core = sim_active(s)->core;
    struct hd_blk *b = core != NULL ? hd_ns_block(&core->ns, (struct hd_block_id){id}) : NULL;
    size_t at = 0;
    text[0] = '\0';
    for (uint16_t i = 0; b != NULL && i < b->replica_count && at < sizeof(text); i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        at += (size_t)snprintf(text + at, sizeof(text) - at, " %s:%u",
                               hd_nodes_storage(&core->nodes, r->storage)->uuid, r->state);
    }
    return text;
}

uint32_t sim_meta_elsewhere(struct sim *s, uint64_t id, int n, uint32_t *ret_wanted)
{
    struct hd_meta *core = sim_active(s)->core;
    struct hd_blk *b = hd_ns_block(&core->ns, (struct hd_block_id){id});
    uint32_t count = 0;
    *ret_wanted = HD_MIN((uint32_t)b->file->replication, hd_nodes_in_service(core));
    for (uint16_t i = 0; i < b->replica_count; i++) {
        const struct hd_replica *r = &hd_blk_replicas(b)[i];
        const struct hd_node *node = hd_nodes_of_storage(&core->nodes, r->storage);
        count += r->state == HD_REPLICA_FINALIZED && atoi(node->uuid + 5) != n;
    }
    return count;
}

bool sim_meta_file_block(struct sim *s, const char *path, uint32_t i, struct sim_block *ret)
{
    struct hd_ns *ns = &sim_active(s)->core->ns;
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
    const struct sim_meta *m = sim_active(s);
    if (m->core == NULL) {
        return "meta is down";
    }
    const char *why = sim_ha_unwell(s);
    if (why != NULL) {
        return why;
    }
    hd_meta_stats(m->core, &st);
    bool well = !st.safe_mode && st.blocks_under_replicated == 0 && st.blocks_corrupt == 0 &&
                st.blocks_missing == 0 && st.nodes_live == (uint32_t)s->node_count &&
                m->written == m->q.committed.v;
    snprintf(text, sizeof(text), "safe mode %d, %llu low, %llu corrupt, %llu missing, %u live",
             st.safe_mode, (unsigned long long)st.blocks_under_replicated,
             (unsigned long long)st.blocks_corrupt, (unsigned long long)st.blocks_missing,
             st.nodes_live);
    return well ? NULL : text;
}
