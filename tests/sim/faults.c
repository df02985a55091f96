/*
 * Faults by chance, in rounds, and the end of all of them.
 *
 * They stay inside what is promised to be survived: bytes that were acknowledged keep a holder.
 * A replica is destroyed or spoilt only while two sound ones are elsewhere, and a power cut takes
 * loose bytes only from a node whose peers have them.
 */
#include "tests/sim/client.h"
#include "tests/sim/node.h"
#include "tests/sim/sim.h"

enum { ROUND_US = 250000, HARM_PAUSE_US = 30000000, SCAN_US = 5000000, REPORT_ROUNDS = 12 };

static int down_nodes(const struct sim *s)
{
    int down = 0;
    for (int n = 0; n < s->node_count; n++) {
        down += !s->actors[SIM_NODE + n].up;
    }
    return down;
}

/* ---- coming back ---- */

static void restart(struct sim *s, void *arg)
{
    int actor = (int)(intptr_t)arg;
    if (s->actors[actor].up) {
        return;
    }
    if (actor < SIM_NODE) {
        sim_meta_start(s, actor);
    } else if (actor < SIM_NODE + s->node_count) {
        sim_node_start(s, actor - SIM_NODE);
    } else {
        sim_client_start(s, actor - SIM_NODE - s->node_count);
    }
}

static void go_on(struct sim *s, void *arg)
{
    struct sim_actor *a = &s->actors[(int)(intptr_t)arg];
    if (a->paused && s->now_us >= a->resume_us) {
        a->paused = false;
        sim_trace(s, "%s goes on", a->name);
        if (a->index < SIM_NODE) {
            sim_ha_resumed(s, a->index, a->resume_us - a->paused_us);
        }
    }
}

static void join(struct sim *s, void *arg)
{
    int pair = (int)(intptr_t)arg;
    s->cut[pair / SIM_ACTORS_MAX][pair % SIM_ACTORS_MAX] = false;
}

static void back_in(struct sim *s, int actor, int64_t us)
{
    sim_at(s, s->now_us + us, restart, (void *)(intptr_t)actor);
}

/* ---- one fault each ---- */

static void kill_node(struct sim *s)
{
    s->harmed_us = s->now_us;
    int n = (int)sim_draw(s, (uint64_t)s->node_count);
    bool power = sim_chance(s, 400000);
    if (!s->actors[SIM_NODE + n].up || down_nodes(s) + 2 > s->node_count) {
        return;
    }
    sim_node_kill(s, n, power);
    back_in(s, SIM_NODE + n, sim_between(s, 20000, sim_chance(s, 300000) ? 25000000 : 4000000));
}

static void kill_meta(struct sim *s)
{
    s->harmed_us = s->now_us;
    int i = s->pair ? (int)sim_draw(s, SIM_METAS_MAX) : 0;
    if (s->actors[i].up) {
        sim_meta_crash(s, i);
        back_in(s, i, sim_between(s, 50000, s->pair ? 9000000 : 3000000));
    }
}

static void kill_client(struct sim *s)
{
    int actor = SIM_NODE + s->node_count + (int)sim_draw(s, (uint64_t)s->client_count);
    if (s->actors[actor].up) {
        sim_kill(s, actor);
        back_in(s, actor, sim_between(s, 1000000, 9000000)); /* what it sent has arrived */
    }
}

static void pause_actor(struct sim *s)
{
    s->harmed_us = s->now_us;
    int actor = (int)sim_draw(s, (uint64_t)sim_operator(s));
    struct sim_actor *a = &s->actors[actor];
    if (!a->up || a->paused) {
        return;
    }
    a->paused = true;
    a->paused_us = s->now_us;
    a->resume_us =
        s->now_us + sim_between(s, 10000, actor < SIM_NODE && !s->pair ? 3000000 : 12000000);
    sim_trace(s, "%s pauses for %lld us", a->name, (long long)(a->resume_us - s->now_us));
    sim_at(s, a->resume_us, go_on, (void *)(intptr_t)actor);
}

/* Two actors do not hear each other, or only one the other. */
static void cut_line(struct sim *s)
{
    s->harmed_us = s->now_us;
    int all = sim_operator(s);
    int a = (int)sim_draw(s, (uint64_t)all);
    int b = (int)sim_draw(s, (uint64_t)all);
    int64_t us = sim_between(s, 10000, 10000000);
    if (a == b) {
        return;
    }
    sim_trace(s, "%s and %s are cut off for %lld us", s->actors[a].name, s->actors[b].name,
              (long long)us);
    s->cut[a][b] = true;
    sim_at(s, s->now_us + us, join, (void *)(intptr_t)(a * SIM_ACTORS_MAX + b));
    if (sim_chance(s, 600000)) {
        s->cut[b][a] = true;
        sim_at(s, s->now_us + us, join, (void *)(intptr_t)(b * SIM_ACTORS_MAX + a));
    }
}

/* Loses or spoils a replica that has two sound peers. */
static void harm_replica(struct sim *s)
{
    s->harmed_us = s->now_us;
    int n = (int)sim_draw(s, (uint64_t)s->node_count);
    struct sim_replica *pick = NULL;
    uint64_t seen = 0;
    for (struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
        if (r->r.state == HD_REPLICA_FINALIZED && !r->rotten && sim_replica_peers(s, n, r) >= 2 &&
            sim_draw(s, ++seen) == 0) {
            pick = r;
        }
    }
    if (pick == NULL) {
        return;
    }
    for (int i = 0; i < s->node_count; i++) { /* the peers are left in peace for a while */
        struct sim_replica *o = sim_replica_find(s, i, pick->r.id.v);
        if (o != NULL && o->harmed_us + HARM_PAUSE_US > s->now_us && o->harmed_us > 0) {
            return;
        }
    }
    for (int i = 0; i < s->node_count; i++) {
        struct sim_replica *o = sim_replica_find(s, i, pick->r.id.v);
        if (o != NULL && o != pick) {
            o->harmed_us = s->now_us;
        }
    }
    if (sim_chance(s, 500000) || pick->r.size_bytes == 0) {
        sim_replica_lose(s, n, pick);
        return;
    }
    sim_trace(s, "blk_%llu rots on node %d", (unsigned long long)pick->r.id.v, n);
    pick->rotten = true;
    pick->rot_at = sim_draw(s, pick->r.size_bytes);
    pick->data[pick->rot_at] ^= (uint8_t)(1 + sim_draw(s, 255));
}

/* A disk dies whose replicas all have two sound peers. */
static void fail_volume(struct sim *s)
{
    s->harmed_us = s->now_us;
    int n = (int)sim_draw(s, (uint64_t)s->node_count);
    struct sim_node *node = s->nodes[n];
    int v = (int)sim_draw(s, (uint64_t)node->volumes);
    int left = 0;
    for (int i = 0; i < node->volumes; i++) {
        left += !node->failed[i];
    }
    if (node->failed[v] || left < 2 || !s->actors[SIM_NODE + n].up) {
        return;
    }
    for (struct sim_replica *r = node->replicas; r != NULL; r = r->next) {
        if (r->volume == v &&
            (r->r.state != HD_REPLICA_FINALIZED || sim_replica_peers(s, n, r) < 2)) {
            return;
        }
    }
    for (struct sim_replica *r = node->replicas; r != NULL; r = r->next) {
        for (int i = 0; r->volume == v && i < s->node_count; i++) {
            struct sim_replica *o = sim_replica_find(s, i, r->r.id.v);
            if (i != n && o != NULL) {
                o->harmed_us = s->now_us;
            }
        }
    }
    sim_volume_fail(s, n, v);
}

static void fill_disks(struct sim *s)
{
    int n = (int)sim_draw(s, (uint64_t)s->node_count);
    s->nodes[n]->full_until_us = s->now_us + sim_between(s, 100000, 5000000);
    sim_trace(s, "%s has no room for %lld us", s->actors[SIM_NODE + n].name,
              (long long)(s->nodes[n]->full_until_us - s->now_us));
}

static void round_of_faults(struct sim *s, void *arg)
{
    (void)arg;
    if (!s->faults_on) {
        return;
    }
    if (sim_chance(s, s->kill_node_ppm)) {
        kill_node(s);
    }
    if (sim_chance(s, s->kill_meta_ppm)) {
        kill_meta(s);
    }
    if (sim_chance(s, s->kill_client_ppm)) {
        kill_client(s);
    }
    if (sim_chance(s, s->pause_ppm)) {
        pause_actor(s);
    }
    if (sim_chance(s, s->cut_ppm)) {
        cut_line(s);
    }
    if (sim_chance(s, s->rot_ppm)) {
        harm_replica(s);
    }
    if (sim_chance(s, s->volume_ppm)) {
        sim_chance(s, 500000) ? fail_volume(s) : fill_disks(s);
    }
    if (s->pair && sim_chance(s, s->promote_ppm)) {
        sim_promote(s, false);
    }
    if (sim_chance(s, s->jump_ppm)) {
        s->wall_jump_ms += sim_between(s, -86400000, 86400000);
        sim_trace(s, "the wall clock jumps to %lld ms off", (long long)s->wall_jump_ms);
    }
    sim_at(s, s->now_us + ROUND_US, round_of_faults, NULL);
}

/*
 * The operator ends a promotion that was begun, and sees to it that somebody is
 * primary. When a claim without a majority has fenced a primary that
 * acknowledged alone, only force helps, used on the one that has most, and when
 * all is quiet: so nothing is lost.
 */
static void look_after_metas(struct sim *s, void *arg)
{
    enum { PATIENCE = 10 };
    intptr_t without = (intptr_t)arg;
    bool nobody = !sim_meta_serves(s->metas[0]) && !sim_meta_serves(s->metas[1]);
    without = nobody && !s->faults_on ? without + 1 : 0;
    if (s->promotion_wanted || without > 0) {
        sim_promote(s, without > PATIENCE);
    }
    sim_at(s, s->now_us + 1000000, look_after_metas, (void *)without);
}

/* A seed has some kinds of faults, often or seldom. */
static uint32_t odds(struct sim *s, uint32_t most_ppm)
{
    return sim_chance(s, 600000) ? (uint32_t)sim_draw(s, most_ppm) : 0;
}

void sim_faults_start(struct sim *s)
{
    s->faults_on = true;
    s->lose_ppm = odds(s, 40000);
    s->slow_ppm = odds(s, 60000);
    s->kill_node_ppm = odds(s, 40000);
    s->kill_meta_ppm = odds(s, 20000);
    s->kill_client_ppm = odds(s, 20000);
    s->pause_ppm = odds(s, 40000);
    s->cut_ppm = odds(s, 60000);
    s->rot_ppm = odds(s, 60000);
    s->jump_ppm = odds(s, 20000);
    s->promote_ppm = odds(s, 40000);
    s->volume_ppm = odds(s, 40000);
    s->duty_ppm = sim_chance(s, 400000) ? 800000 : 0;
    sim_operator_start(s);
    round_of_faults(s, NULL);
    if (s->pair) {
        look_after_metas(s, NULL);
    }
}

/* Scanners at work; after a minute also the full reports that nodes send from time to time. */
static void scan_all(struct sim *s, void *arg)
{
    intptr_t round = (intptr_t)arg;
    for (int n = 0; n < s->node_count; n++) {
        sim_node_scan(s, n);
        if (round % REPORT_ROUNDS == REPORT_ROUNDS - 1) {
            s->nodes[n]->registered = false;
        }
    }
    sim_at(s, s->now_us + SCAN_US, scan_all, (void *)(round + 1));
}

void sim_faults_heal(struct sim *s)
{
    s->faults_on = false;
    s->lose_ppm = s->slow_ppm = 0;
    memset(s->cut, 0, sizeof(s->cut));
    for (int n = 0; n < s->node_count; n++) {
        s->nodes[n]->full_until_us = 0;
    }
    for (int i = 0; i < sim_operator(s); i++) {
        struct sim_actor *a = &s->actors[i];
        bool was_paused = a->paused;
        a->paused = false;
        if (i >= SIM_NODE || s->metas[i] != NULL) {
            restart(s, (void *)(intptr_t)i);
        }
        if (was_paused && i < SIM_NODE) {
            sim_ha_resumed(s, i, s->now_us - a->paused_us);
        }
    }
    sim_trace(s, "all faults have ended");
    scan_all(s, NULL);
}
