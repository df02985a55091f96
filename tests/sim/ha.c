/*
 * Two metas: the secondary that follows, the witnesses, promotion and fencing; meta/core/quorum.h
 * and fs/wire/witness.h in a small shell, as meta/shell/{ha,promote,secondary_tail}.c are the large
 * one. The list of witnesses is agreed on from the beginning: all nodes.
 *
 *   follow      the secondary's fiber: fetches what is durable on the primary, makes it durable
 *   settle      after each event of the quorum: answers leave, witnesses are asked, or it is fenced
 *   promote     on the secondary: asks the witnesses, claims the epoch, serves
 *
 * Checked with every answer: nobody acknowledges a record that the newer primary does not have.
 */
#include "fs/wire/witness.h"
#include "tests/sim/meta_impl.h"

enum {
    TICK_US = 100000,
    DOUBT_US = 600000,
    POLL_US = 100000,
    TRY_AGAIN_US = 200000,
    WITNESS_REACH_US = 400000,
    SECONDARY_TIMEOUT_MS = 2000,
};

static struct sim_meta *other_of(const struct sim_meta *m)
{
    return m->sim->metas[!m->index];
}

struct sim_meta *sim_active(struct sim *s)
{
    struct sim_meta *a = s->metas[0];
    struct sim_meta *b = s->metas[1];
    if (b == NULL || !b->primary) {
        return a;
    }
    return !a->primary || b->epoch > a->epoch ? b : a;
}

/* ---- witnesses ---- */

struct ask {
    struct sim_meta *m;
    uint64_t life;
    int node;
    struct hd_witness_request q;
    struct promotion *promotion; /* NULL: a round of the primary */
};

struct promotion {
    struct sim_meta *m;
    struct hd_promotion p;
    int pending;
    uint64_t fiber;
    bool claims;
    bool force;
};

static void end_ask(struct ask *a, bool answered, bool accepted, const struct hd_witness *w)
{
    struct sim_meta *m = a->m;
    if (a->promotion != NULL) {
        if (a->promotion->claims) {
            hd_promotion_claimed(&a->promotion->p, answered && accepted);
        } else if (answered) {
            hd_promotion_answer(&a->promotion->p, w);
        }
        a->promotion->pending--;
        sim_wake(m->sim, a->promotion->fiber);
        return;
    }
    if (m->core == NULL || m->life != a->life) {
        return;
    }
    const struct hd_quorum_answer answer = {.serial = a->q.serial,
                                            .answered = answered,
                                            .accepted = accepted,
                                            .epoch = w->epoch,
                                            .owner = w->owner,
                                            .stored_serial = w->serial};
    hd_quorum_answer(&m->q, &answer, sim_meta_now(m));
    sim_ha_settle(m);
}

static void ask_one(struct sim *s, void *arg)
{
    struct ask *a = arg;
    struct hd_witness w = {0};
    bool accepted = false;
    bool answered = sim_reach_within(s, a->m->index, SIM_NODE + a->node, WITNESS_REACH_US) == 0;
    if (answered) {
        accepted = hd_witness_ask(sim_node_witness(s, a->node), &a->q);
        w = *sim_node_witness(s, a->node);
        sim_sleep(s, sim_between(s, 100, 3000)); /* on its disk */
        answered = sim_reach_within(s, SIM_NODE + a->node, a->m->index, WITNESS_REACH_US) == 0;
    }
    end_ask(a, answered, accepted, &w);
}

static void ask_all(struct sim_meta *m, const struct hd_witness_request *q,
                    struct promotion *promotion)
{
    for (int n = 0; n < m->sim->node_count; n++) {
        struct ask *a = sim_keep(m->sim, sizeof(*a));
        *a = (struct ask){m, m->life, n, *q, promotion};
        sim_spawn(m->sim, m->index, ask_one, a);
    }
}

/* ---- the primary ---- */

static void fence(struct sim_meta *m)
{
    struct sim *s = m->sim;
    sim_trace(s, "%s is fenced: epoch %llu, it had %llu", s->actors[m->index].name,
              (unsigned long long)m->q.fenced_by, (unsigned long long)m->epoch);
    m->primary = false;
    m->incomplete = true;
    sim_meta_stop(m);
    sim_break_all(s, m->index);
    sim_ha_follow(m);
}

void sim_ha_settle(struct sim_meta *m)
{
    if (m->core == NULL) {
        return;
    }
    if (m->q.state == HD_QUORUM_FENCED) {
        fence(m);
        return;
    }
    if (m->q.round != HD_QUORUM_NO_ROUND && m->q.serial != m->asked) {
        const struct hd_witness_request q = {.epoch = m->epoch,
                                             .owner = m->owner,
                                             .serial = m->q.serial,
                                             .exposed = m->q.round == HD_QUORUM_EXPOSE,
                                             .ask_only = m->q.round == HD_QUORUM_CONFIRM};
        m->asked = m->q.serial;
        sim_trace(m->sim, "%s asks the witnesses: round %d, serial %llu",
                  m->sim->actors[m->index].name, m->q.round, (unsigned long long)m->q.serial);
        ask_all(m, &q, NULL);
    }
    struct sim_meta *other = other_of(m);
    if (other != NULL) {
        sim_wake(m->sim, other->follower);
    }
    sim_meta_release(m);
}

static void tick(struct sim *s, void *arg)
{
    struct sim_meta *m = sim_meta_of(s, arg);
    if (m == NULL) {
        return;
    }
    if (s->actors[m->index].paused) {
        sim_meta_later(m, s->actors[m->index].resume_us - s->now_us + 1, tick);
        return;
    }
    hd_quorum_tick(&m->q, sim_meta_now(m));
    sim_meta_later(m, TICK_US, tick);
    sim_ha_settle(m);
}

void sim_ha_begin(struct sim_meta *m)
{
    struct sim *s = m->sim;
    int64_t wall_ms = sim_now_ms(s) + 1700000000000 + s->wall_jump_ms;
    const struct hd_quorum_options o = {.both = s->pair,
                                        .timeout_ms = SECONDARY_TIMEOUT_MS,
                                        .epoch = m->epoch,
                                        .owner = m->owner,
                                        .serial = (uint64_t)wall_ms};
    hd_quorum_init(&m->q, &o, (struct hd_txid){m->durable}, sim_meta_now(m));
    hd_quorum_witnesses(&m->q, s->pair ? (uint32_t)s->node_count : 0);
    m->asked = m->q.serial;
    m->followed = 0;
    if (s->pair) {
        if (m->life > 1) { /* somebody may have been promoted meanwhile */
            hd_quorum_doubt(&m->q, sim_meta_now(m));
        }
        sim_meta_later(m, TICK_US, tick);
        sim_ha_settle(m);
    }
}

void sim_ha_resumed(struct sim *s, int index, int64_t paused_us)
{
    struct sim_meta *m = s->metas[index];
    if (s->pair && m->core != NULL && paused_us > DOUBT_US) {
        m->followed = 0;
        hd_quorum_doubt(&m->q, sim_meta_now(m));
        sim_ha_settle(m);
    }
}

/* The connection has ended: heard at once, or when the line is there again. */
static void secondary_gone(struct sim *s, void *arg)
{
    struct sim_meta *m = s->metas[(intptr_t)arg];
    if (s->actors[m->index].paused || s->cut[!m->index][m->index]) {
        sim_at(s, s->now_us + TICK_US, secondary_gone, arg);
    } else if (m->core != NULL) {
        hd_quorum_secondary_gone(&m->q, sim_meta_now(m));
        sim_ha_settle(m);
    }
}

void sim_ha_gone(struct sim_meta *m)
{
    struct sim *s = m->sim;
    if (s->pair) { /* its connection closes, if it was the secondary */
        sim_at(s, s->now_us + sim_delay(s), secondary_gone, (void *)(intptr_t)!m->index);
    }
}

void sim_ha_check_answer(struct sim_meta *m, uint64_t after)
{
    struct sim *s = m->sim;
    if (s->won_epoch > m->epoch && after > s->won_txid) {
        sim_fail(s, "%s acknowledges txid %llu in epoch %llu; epoch %llu began with txid %llu",
                 s->actors[m->index].name, (unsigned long long)after, (unsigned long long)m->epoch,
                 (unsigned long long)s->won_epoch, (unsigned long long)s->won_txid);
    }
}

/* ---- the secondary ---- */

static void forget_copy(struct sim_meta *m, uint64_t epoch)
{
    m->log.size = 0;
    m->written = m->durable = m->promised = m->applied = 0;
    m->epoch = epoch;
    m->incomplete = true;
    m->has_view = false;
}

/* What the primary has behind our last record, in the fiber's arena. NULL: it does not serve us. */
struct fetched {
    uint8_t *data;
    size_t size;
    bool exposed;
};

static const struct fetched *fetch(struct sim_meta *m)
{
    struct sim *s = m->sim;
    struct sim_meta *p = other_of(m);
    if (sim_reach(s, m->index, p->index) < 0 || p->core == NULL) {
        return NULL;
    }
    hd_quorum_epoch_seen(&p->q, m->epoch);
    if (p->q.state != HD_QUORUM_FENCED) {
        if (m->epoch != p->epoch) {
            forget_copy(m, p->epoch); /* what is here may be another past */
        }
        if (p->q.doubt && p->followed > 0) {
            hd_quorum_confirmed(&p->q);
        }
        hd_quorum_secondary(&p->q, (struct hd_txid){m->durable}, sim_meta_now(p));
    }
    sim_ha_settle(p);
    m->follower = sim_fiber_id(s);
    if (p->core != NULL && p->durable == m->written && m->incomplete == !p->q.in_step &&
        !p->q.doubt) {
        sim_wait(s, POLL_US);
    }
    if (p->core == NULL || p->epoch != m->epoch || p->durable < m->written) {
        return NULL;
    }
    struct fetched *f = HD_ARENA_NEW(sim_arena(s), struct fetched);
    size_t from = m->written > 0 ? p->ends[m->written] : 0;
    f->size = (p->durable > 0 ? p->ends[p->durable] : 0) - from;
    f->data = hd_arena_copy(sim_arena(s), p->log.data + from, f->size);
    f->exposed = !p->q.in_step;
    p->followed++;
    return sim_reach(s, p->index, m->index) == 0 ? f : NULL;
}

static void follow(struct sim *s, void *arg)
{
    struct sim_meta *m = arg;
    uint64_t life = m->life;
    while (!m->tail_stopped && m->life == life) {
        hd_arena_reset(sim_arena(s));
        const struct fetched *f = fetch(m);
        if (m->tail_stopped || m->life != life) {
            return;
        }
        if (f == NULL) {
            sim_sleep(s, sim_between(s, 50000, 300000));
            continue;
        }
        sim_meta_append(m, f->data, f->size);
        uint64_t target = m->written;
        if (target > m->durable || m->incomplete != f->exposed) {
            sim_sleep(s, sim_between(s, 200, 3000));
        }
        if (m->tail_stopped || m->life != life) {
            return;
        }
        m->durable = m->promised = target;
        m->incomplete = f->exposed;
    }
}

void sim_ha_follow(struct sim_meta *m)
{
    m->tail_stopped = m->promoting = false;
    sim_spawn(m->sim, m->index, follow, m);
}

/* ---- promotion ---- */

static void take_over(struct sim_meta *m, uint64_t epoch)
{
    struct sim *s = m->sim;
    m->tail_stopped = true;
    m->durable = m->written;
    m->epoch = epoch;
    m->owner = m->claim;
    m->claim = 0;
    m->primary = true;
    m->incomplete = m->promoting = false;
    m->has_view = false;
    s->won_epoch = epoch;
    s->won_txid = m->durable;
    s->promotion_wanted = false;
    s->promotions++;
    sim_ha_gone(m); /* it asks for no more edits */
    sim_meta_serve(m);
}

static bool wait_for_all(struct sim *s, struct promotion *p)
{
    p->fiber = sim_fiber_id(s);
    while (p->pending > 0) {
        sim_wait(s, 1000000);
    }
    return true;
}

static void promote(struct sim *s, void *arg)
{
    struct promotion *p = arg;
    struct sim_meta *m = p->m;
    uint64_t life = m->life;
    if (m->claim == 0) {
        m->claim = hd_prng_next(&s->prng) | 1;
    }
    hd_promotion_init(&p->p, m->epoch, m->claim, (uint32_t)s->node_count);
    p->pending = s->node_count;
    ask_all(m, &(struct hd_witness_request){.epoch = m->epoch, .owner = m->owner, .ask_only = true},
            p);
    wait_for_all(s, p);
    enum hd_promotion_verdict verdict = hd_promotion_verdict(&p->p);
    bool goes_on = p->force || verdict == HD_PROMOTION_POSSIBLE;
    if (goes_on && m->life == life) {
        const struct hd_witness_request q = {
            .epoch = p->p.claim, .owner = m->claim, .force = p->force};
        p->claims = true;
        p->pending = s->node_count;
        s->promotion_wanted = true; /* from here on it has to be tried until it succeeds */
        ask_all(m, &q, p);
        wait_for_all(s, p);
    }
    bool won = goes_on && hd_promotion_done(&p->p) && m->life == life && m->core == NULL;
    sim_trace(s, "%s is %spromoted to epoch %llu: verdict %d, %u of %u", s->actors[m->index].name,
              won ? "" : "not ", (unsigned long long)p->p.claim, verdict, p->p.accepted,
              p->p.witnesses);
    m->promoting = false;
    if (won) {
        take_over(m, p->p.claim);
    }
}

/* Who is to be promoted: the secondary; of two that were fenced, who has most. */
static struct sim_meta *candidate(struct sim *s)
{
    struct sim_meta *a = s->metas[0];
    struct sim_meta *b = s->metas[1];
    if (a->primary != b->primary) {
        return a->primary ? b : a;
    }
    bool first = a->epoch != b->epoch ? a->epoch > b->epoch : a->durable >= b->durable;
    return first ? a : b;
}

void sim_promote(struct sim *s, bool force)
{
    struct sim_meta *m = candidate(s);
    const struct sim_actor *a = &s->actors[m->index];
    if (m->core != NULL || m->primary || !a->up || a->paused || (m->incomplete && !force) ||
        m->promoting || m->epoch == 0) {
        return;
    }
    struct promotion *p = sim_keep(s, sizeof(*p));
    *p = (struct promotion){.m = m, .force = force};
    m->promoting = true;
    sim_trace(s, "%s is to be promoted%s", a->name, force ? " by force" : "");
    sim_spawn(s, m->index, promote, p);
}

const char *sim_ha_unwell(struct sim *s)
{
    static char text[200];
    if (!s->pair) {
        return NULL;
    }
    const struct sim_meta *m = sim_active(s);
    const struct sim_meta *other = s->metas[!m->index];
    bool well = m->core != NULL && m->q.state == HD_QUORUM_BOTH && m->q.in_step && !m->q.doubt &&
                other->core == NULL && !other->primary && !other->incomplete &&
                other->durable == m->written;
    snprintf(
        text, sizeof(text),
        "meta %d serves %d in state %d, in step %d; the other is primary %d, incomplete %d, has "
        "%llu of %llu",
        m->index, m->core != NULL, m->q.state, m->q.in_step, other->primary, other->incomplete,
        (unsigned long long)other->durable, (unsigned long long)m->written);
    return well ? NULL : text;
}
