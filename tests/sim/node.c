/* The store of a simulated data node. See node.h. */
#include "tests/sim/node.h"
#include "fs/base/error.h"
#include "tests/sim/node_impl.h"

#include <errno.h>
#include <stdlib.h>

enum {
    TORSO_US = 4000000,      /* a copy has ended by then, or never will */
    WRITEBACK_US = 30000000, /* what was finished is on disk by then without being asked */
};

void sim_storage_name(struct sim *s, int n, int volume, char out[SIM_STORAGE_BYTES])
{
    snprintf(out, SIM_STORAGE_BYTES, "DS-%d-%d-%u", n, volume, s->nodes[n]->replaced[volume]);
}

/* A directory for a new replica; -1: all have failed. */
static int choose_volume(struct sim *s, int n)
{
    const struct sim_node *node = s->nodes[n];
    int first = (int)sim_draw(s, (uint64_t)node->volumes);
    for (int i = 0; i < node->volumes; i++) {
        int v = (first + i) % node->volumes;
        if (!node->failed[v]) {
            return v;
        }
    }
    return -1;
}

struct sim_replica *sim_replica_find(struct sim *s, int n, uint64_t id)
{
    struct sim_replica *r = s->nodes[n]->replicas;
    while (r != NULL && r->r.id.v != id) {
        r = r->next;
    }
    return r;
}

struct hd_witness *sim_node_witness(struct sim *s, int n)
{
    return &s->nodes[n]->witness;
}

static struct sim_replica *replica_new(struct sim *s, int n, uint64_t id, uint64_t gs,
                                       enum hd_replica_state state)
{
    struct sim_replica *r = calloc(1, sizeof(*r));
    hd_assert(r != NULL);
    r->r.id.v = id;
    r->r.gs.v = gs;
    r->r.state = state;
    r->volume = choose_volume(s, n);
    struct sim_replica **at = &s->nodes[n]->replicas;
    while (*at != NULL && (*at)->r.id.v < id) {
        at = &(*at)->next;
    }
    r->next = *at;
    *at = r;
    return r;
}

void sim_replica_remove(struct sim *s, int n, struct sim_replica *r)
{
    struct sim_replica **at = &s->nodes[n]->replicas;
    while (*at != r) {
        at = &(*at)->next;
    }
    *at = r->next;
    free(r);
}

void sim_replica_lose(struct sim *s, int n, struct sim_replica *r)
{
    sim_trace(s, "%s loses blk_%llu_%llu", s->actors[SIM_NODE + n].name,
              (unsigned long long)r->r.id.v, (unsigned long long)r->r.gs.v);
    sim_replica_remove(s, n, r);
    s->nodes[n]->missing = true;
}

int sim_replica_peers(struct sim *s, int n, const struct sim_replica *r)
{
    int peers = 0;
    for (int i = 0; i < s->node_count; i++) {
        const struct sim_replica *o = sim_replica_find(s, i, r->r.id.v);
        peers += i != n && s->actors[SIM_NODE + i].up && o != NULL && !o->rotten &&
                 o->r.state == HD_REPLICA_FINALIZED && o->r.gs.v == r->r.gs.v &&
                 o->r.size_bytes == r->r.size_bytes &&
                 (o->harmed_us == 0 || o->harmed_us + 30000000 < s->now_us);
    }
    return peers;
}

static void cut_to(struct sim_replica *r, uint64_t size_bytes)
{
    r->r.size_bytes = size_bytes;
    r->synced_bytes = HD_MIN(r->synced_bytes, size_bytes);
    r->r.acked_bytes = HD_MIN(r->r.acked_bytes, size_bytes);
}

static void finalize(struct sim *s, int n, struct sim_replica *r)
{
    hd_replica_move(&r->r, HD_REPLICA_FINALIZED);
    r->writer = 0;
    r->finalized_us = s->now_us;
    if (r->named) {
        r->synced_bytes = r->r.size_bytes;
    }
    sim_node_says(s, n, r, SIM_RECEIVED);
}

/* ---- writing ---- */

int sim_node_setup(struct sim *s, int n, const struct hd_write_setup *setup, uint64_t writer)
{
    struct sim_replica *r = sim_replica_find(s, n, setup->id.v);
    struct hd_write_plan plan;
    if (r != NULL && r->rotten && setup->stage != HD_STAGE_CREATE) {
        return hd_fail(-HD_E_CHECKSUM, "the replica is rotten"); /* see docs/testing.md */
    }
    if (s->now_us < s->nodes[n]->full_until_us || choose_volume(s, n) < 0) {
        return hd_fail(-ENOSPC, "no directory has room");
    }
    if (r != NULL && hd_write_stage_stops_writer(setup->stage)) {
        r->writer = 0;
    }
    int err = hd_write_plan(r != NULL ? &r->r : NULL, setup, &plan);
    if (err < 0) {
        return err;
    }
    if (plan.discard) {
        sim_replica_remove(s, n, r);
    }
    if (plan.create) {
        r = replica_new(s, n, setup->id.v, plan.gs.v,
                        plan.temporary ? HD_REPLICA_TEMPORARY : HD_REPLICA_RBW);
        r->writer = writer;
        r->named = setup->from_node; /* the source may be deleted once this is there */
        if (!plan.temporary) {
            sim_node_says(s, n, r, SIM_RECEIVING);
        }
        return 0;
    }
    cut_to(r, plan.keep_bytes);
    r->r.gs = plan.gs;
    r->writer = writer;
    if (r->r.state != HD_REPLICA_RBW || plan.reopen) {
        r->r.acked_bytes = r->r.size_bytes;
        hd_replica_move(&r->r, HD_REPLICA_RBW);
    }
    if (plan.finalize) {
        finalize(s, n, r);
    }
    return 0;
}

static int writers(struct sim *s, int n, uint64_t id, uint64_t writer, struct sim_replica **ret)
{
    *ret = sim_replica_find(s, n, id);
    bool his = *ret != NULL && (*ret)->writer == writer &&
               ((*ret)->r.state == HD_REPLICA_RBW || (*ret)->r.state == HD_REPLICA_TEMPORARY);
    return his ? 0
               : hd_fail(-HD_E_CLOSED, "the writer of blk_%llu was stopped",
                         (unsigned long long)id);
}

int sim_node_write(struct sim *s, int n, uint64_t id, uint64_t writer, uint64_t offset,
                   const uint8_t *data, size_t size)
{
    struct sim_replica *r;
    int err = writers(s, n, id, writer, &r);
    if (err < 0) {
        return err;
    }
    if (offset > r->r.size_bytes || offset + size > SIM_BLOCK_BYTES) {
        return hd_fail(-HD_E_BAD_MESSAGE, "a hole before %llu in blk_%llu",
                       (unsigned long long)offset, (unsigned long long)id);
    }
    if (offset + size > r->r.size_bytes) {
        size_t skip = (size_t)(r->r.size_bytes - offset);
        memcpy(r->data + r->r.size_bytes, data + skip, size - skip);
        r->r.size_bytes = offset + size;
    }
    return 0;
}

int sim_node_ack(struct sim *s, int n, uint64_t id, uint64_t writer, uint64_t end, bool sync)
{
    struct sim_replica *r;
    int err = writers(s, n, id, writer, &r);
    if (err < 0) {
        return err;
    }
    r->r.acked_bytes = HD_MAX(r->r.acked_bytes, end);
    if (sync) {
        r->synced_bytes = r->r.size_bytes;
        r->named = true;
    }
    return 0;
}

int sim_node_finish(struct sim *s, int n, uint64_t id, uint64_t writer)
{
    struct sim_replica *r;
    int err = writers(s, n, id, writer, &r);
    if (err == 0) {
        finalize(s, n, r);
    }
    return err;
}

int sim_node_read(struct sim *s, int n, uint64_t id, uint64_t gs, uint64_t size, uint8_t *out)
{
    const struct sim_replica *r = sim_replica_find(s, n, id);
    if (r == NULL || r->r.gs.v < gs || hd_replica_visible_bytes(&r->r) < size) {
        return hd_fail(-HD_E_REPLICA_NOT_FOUND, "no such replica");
    }
    memcpy(out, r->data, size);
    return r->rotten ? -HD_E_CHECKSUM : 0;
}

/* ---- copies ---- */

/* The target's side when all has arrived; the stage says what becomes of it. */
static int receive_copy(struct sim *s, int n, const struct hd_write_setup *setup,
                        const uint8_t *data, uint64_t size, uint64_t writer)
{
    int err = sim_node_write(s, n, setup->id.v, writer, 0, data, size);
    struct sim_replica *r = sim_replica_find(s, n, setup->id.v);
    if (err < 0) {
        return err;
    }
    if (setup->stage == HD_STAGE_TRANSFER_RBW) {
        r->r.acked_bytes = size;
        hd_replica_move(&r->r, HD_REPLICA_RBW);
    } else {
        finalize(s, n, r);
    }
    return 0;
}

/* The receiver sees its connection end, whatever became of the sender. */
struct torso {
    int node;
    uint64_t id, writer;
};

static void drop_torso(struct sim *s, void *arg)
{
    struct torso *t = arg;
    struct sim_replica *r = sim_replica_find(s, t->node, t->id);
    if (r != NULL && r->writer == t->writer && r->r.state == HD_REPLICA_TEMPORARY) {
        sim_replica_remove(s, t->node, r);
    }
    free(t);
}

int sim_node_copy(struct sim *s, int from, int to, struct hd_write_setup *setup, uint64_t bytes)
{
    const struct sim_replica *r = sim_replica_find(s, from, setup->id.v);
    uint64_t writer = ++s->next_id;
    uint8_t *data = hd_arena_copy(sim_arena(s), r->data, SIM_BLOCK_BYTES);
    int err = sim_reach(s, SIM_NODE + from, SIM_NODE + to);
    if (err == 0) {
        err = sim_node_setup(s, to, setup, writer);
    }
    if (err == 0) {
        struct torso *t = malloc(sizeof(*t));
        hd_assert(t != NULL);
        *t = (struct torso){to, setup->id.v, writer};
        sim_at(s, s->now_us + TORSO_US, drop_torso, t);
        sim_sleep(s, sim_between(s, 100, 20000));
        err = sim_reach(s, SIM_NODE + from, SIM_NODE + to);
    }
    if (err == 0) {
        return receive_copy(s, to, setup, data, bytes, writer);
    }
    return err;
}

int sim_node_transfer_rbw(struct sim *s, int from, int to, uint64_t id, uint64_t gs, uint64_t acked)
{
    int err = sim_reach(s, sim_self(s), SIM_NODE + from);
    if (err < 0) {
        return err;
    }
    const struct sim_replica *r = sim_replica_find(s, from, id);
    if (r == NULL || r->r.gs.v < gs || r->rotten || hd_replica_visible_bytes(&r->r) < acked) {
        return hd_fail(-HD_E_REPLICA_NOT_FOUND, "the source has nothing to copy");
    }
    struct hd_write_setup setup = {
        .stage = r->r.state == HD_REPLICA_FINALIZED ? HD_STAGE_TRANSFER_FINALIZED
                                                    : HD_STAGE_TRANSFER_RBW,
        .id = r->r.id,
        .gs = r->r.gs,
    };
    err = sim_node_copy(s, from, to, &setup, hd_replica_visible_bytes(&r->r));
    return err < 0 ? err : sim_reach(s, SIM_NODE + from, sim_self(s));
}

/* ---- block recovery ---- */

static bool was_stopped(const struct hd_replica *r)
{
    return r->state == HD_REPLICA_RWR ||
           (r->state == HD_REPLICA_RUR && r->before_recovery == HD_REPLICA_RWR);
}

/* Of an unfinished replica only what its sums vouch for counts. */
static void cut_to_verified(struct sim_replica *r)
{
    if (r->rotten) {
        cut_to(r, HD_MIN(r->rot_at, r->r.size_bytes));
        r->rotten = false;
    }
}

int sim_node_recovery_init(struct sim *s, int n, uint64_t id, uint64_t gs, uint64_t recovery_id,
                           struct hd_recovery_answer *ret)
{
    struct sim_replica *r = sim_replica_find(s, n, id);
    *ret = (struct hd_recovery_answer){0};
    if (r != NULL && r->rotten && was_stopped(&r->r)) {
        cut_to_verified(r);
    }
    if (r != NULL && r->rotten) {
        return hd_fail(-HD_E_CHECKSUM, "the replica is rotten");
    }
    int err = hd_recovery_check(r != NULL ? &r->r : NULL, (struct hd_genstamp){gs}, recovery_id);
    ret->reached = err >= 0;
    if (err <= 0) {
        return err;
    }
    r->writer = 0;
    hd_replica_move(&r->r, HD_REPLICA_RUR);
    r->r.recovery_id = recovery_id;
    ret->found = true;
    ret->state = r->r.before_recovery;
    ret->gs = r->r.gs;
    ret->size_bytes = r->r.size_bytes;
    return 0;
}

int sim_node_recovery_update(struct sim *s, int n, uint64_t id, uint64_t recovery_id, uint64_t size)
{
    struct sim_replica *r = sim_replica_find(s, n, id);
    if (r == NULL || r->r.state != HD_REPLICA_RUR || r->r.recovery_id != recovery_id ||
        size > r->r.size_bytes) {
        return hd_fail(-HD_E_IO, "the recovery does not fit the replica");
    }
    cut_to(r, size);
    r->synced_bytes = size;
    r->named = true;
    r->r.gs.v = recovery_id;
    finalize(s, n, r);
    return 0;
}

/* ---- life ---- */

/* Another running node has a sound, finished replica of the same bytes. */
static bool has_peer(struct sim *s, int n, const struct sim_replica *r)
{
    return sim_replica_peers(s, n, r) >= 1;
}

/*
 * A finished replica that nobody synced: the power cut takes its new name, so
 * that it is found as one being written, and what was not written back, if
 * somebody else has it.
 */
static void forget_finish(struct sim *s, int n, struct sim_replica *r)
{
    if (r->r.state != HD_REPLICA_FINALIZED || r->named ||
        s->now_us - r->finalized_us > WRITEBACK_US || sim_chance(s, 400000)) {
        return;
    }
    bool spared = has_peer(s, n, r);
    if (sim_chance(s, 700000)) {
        r->r.state = HD_REPLICA_RBW;
    }
    if (spared && sim_chance(s, 400000)) {
        cut_to(r, (uint64_t)sim_between(s, (int64_t)r->synced_bytes, (int64_t)r->r.size_bytes));
        r->harmed_us = s->now_us;
    }
    sim_trace(s, "%s forgets that blk_%llu was finished: %llu bytes", s->actors[SIM_NODE + n].name,
              (unsigned long long)r->r.id.v, (unsigned long long)r->r.size_bytes);
}

/* What a start finds on disk. */
static void reread(struct sim *s, int n, bool power)
{
    for (struct sim_replica *r = s->nodes[n]->replicas; r != NULL;) {
        struct sim_replica *next = r->next;
        bool loose = power && r->synced_bytes < r->r.size_bytes &&
                     r->r.state != HD_REPLICA_FINALIZED; /* those were written back */
        if (r->r.state == HD_REPLICA_RUR) {
            r->r.state = r->r.before_recovery;
            r->r.recovery_id = 0;
        }
        if (power) {
            forget_finish(s, n, r);
        }
        if (r->r.state == HD_REPLICA_RBW) {
            r->r.state = HD_REPLICA_RWR;
        }
        if (r->r.state == HD_REPLICA_RWR) {
            cut_to_verified(r);
        }
        if (loose && sim_node_spared(s, n, r)) {
            cut_to(r, (uint64_t)sim_between(s, (int64_t)r->synced_bytes, (int64_t)r->r.size_bytes));
            r->harmed_us = s->now_us;
        }
        r->r.acked_bytes = r->r.size_bytes;
        r->writer = 0;
        if (r->r.state == HD_REPLICA_TEMPORARY) {
            sim_replica_remove(s, n, r);
        }
        r = next;
    }
}

/* May an unfinished replica lose its loose end: another running node holds as much of it? */
bool sim_node_spared(struct sim *s, int n, const struct sim_replica *r)
{
    for (int i = 0; i < s->node_count; i++) {
        const struct sim_replica *o = sim_replica_find(s, i, r->r.id.v);
        if (i != n && s->actors[SIM_NODE + i].up && o != NULL && o->harmed_us == 0 && !o->rotten &&
            o->r.gs.v >= r->r.gs.v && o->r.size_bytes >= r->r.acked_bytes &&
            o->r.state == HD_REPLICA_RBW) {
            return true;
        }
    }
    return false;
}

void sim_volume_fail(struct sim *s, int n, int volume)
{
    sim_trace(s, "%s loses disk %d", s->actors[SIM_NODE + n].name, volume);
    s->nodes[n]->failed[volume] = true;
    for (struct sim_replica *r = s->nodes[n]->replicas; r != NULL;) {
        struct sim_replica *next = r->next;
        if (r->volume == volume) {
            sim_replica_remove(s, n, r);
        }
        r = next;
    }
}

void sim_node_empty(struct sim *s, int n)
{
    for (int v = 0; v < s->nodes[n]->volumes; v++) {
        sim_volume_fail(s, n, v);
    }
}

void sim_node_kill(struct sim *s, int n, bool power)
{
    sim_kill(s, SIM_NODE + n);
    sim_node_forget(s, n);
    reread(s, n, power);
}
