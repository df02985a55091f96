/*
 * The operator: takes nodes out of service and puts them back. A node that meta
 * calls drained may be emptied, one in maintenance is switched off for a while;
 * no block may need it then.
 */
#include "fs/base/error.h"
#include "howdah.pb-c.h"
#include "tests/sim/node.h"

#include <stdlib.h>

#define META_PROTOCOL "howdah.MetaProtocol"

enum {
    POLL_US = 500000,
    POLLS_MAX = 40,
    QUIET_US = 8000000, /* so long after a fault meta may not know yet */
    EMPTY_US = 3000000,
};

static int call(struct sim *s, const char *method, const ProtobufCMessage *q,
                const ProtobufCMessageDescriptor *type, const void **ret)
{
    struct sim_call c = {META_PROTOCOL, method, q, type, -1, false};
    const char *text;
    bool lost;
    int err = sim_call_meta(s, &c, ret, &text, &lost);
    if (err < 0) {
        sim_trace(s, "operator: %s: %s", method, text);
    }
    return err;
}

/* Until it is answered. */
static void set_state(struct sim *s, int n, Hdw__NodeAdminState state)
{
    Hdw__SetNodeStateRequest q = HDW__SET_NODE_STATE_REQUEST__INIT;
    const void *answer;
    char uuid[24];
    snprintf(uuid, sizeof(uuid), "uuid-%d", n);
    q.node = uuid;
    q.state = state;
    sim_trace(s, "operator: node %d is to be in state %d", n, state);
    while (call(s, "setNodeState", &q.base, &hdw__set_node_state_response__descriptor, &answer) <
           0) {
        sim_sleep(s, POLL_US);
    }
}

/* -1: not known at the moment. */
static int state_of(struct sim *s, int n)
{
    Hdw__GetNodesRequest q = HDW__GET_NODES_REQUEST__INIT;
    const void *answer;
    char uuid[24];
    snprintf(uuid, sizeof(uuid), "uuid-%d", n);
    if (call(s, "getNodes", &q.base, &hdw__get_nodes_response__descriptor, &answer) < 0) {
        return -1;
    }
    const Hdw__GetNodesResponse *r = answer;
    for (size_t i = 0; i < r->n_nodes; i++) {
        if (strcmp(r->nodes[i]->uuid, uuid) == 0) {
            return (int)r->nodes[i]->admin_state;
        }
    }
    return -1;
}

/* Finished replicas of it elsewhere, also on nodes that are down; rotten ones, as nobody knows. */
static int others(struct sim *s, int n, const struct sim_replica *r)
{
    int count = 0;
    for (int i = 0; i < s->node_count; i++) {
        const struct sim_replica *o = sim_replica_find(s, i, r->r.id.v);
        count += i != n && o != NULL && o->r.state == HD_REPLICA_FINALIZED &&
                 o->r.gs.v == r->r.gs.v && o->r.size_bytes == r->r.size_bytes;
    }
    return count;
}

/* Is every block of the node that was closed before `since` somewhere else, too? */
static void check_drained(struct sim *s, int n, int64_t since)
{
    bool quiet = s->harmed_us + QUIET_US < s->now_us;
    for (const struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
        struct sim_block b;
        bool closed = !r->rotten && r->finalized_us < since &&
                      sim_meta_next_block(s, r->r.id.v - 1, &b) && b.id == r->r.id.v &&
                      b.complete && b.gs == r->r.gs.v && r->r.state == HD_REPLICA_FINALIZED;
        uint32_t want = 0;
        uint32_t counted = closed ? sim_meta_elsewhere(s, b.id, n, &want) : 0;
        if (closed && (others(s, n, r) == 0 || (quiet && counted < want))) {
            sim_fail(
                s,
                "node %d is decommissioned, and blk_%llu has %u of %u replicas elsewhere; meta "
                "knows%s",
                n, (unsigned long long)b.id, counted, want, sim_meta_replicas(s, b.id));
        }
    }
}

/* Everything that it has is elsewhere, on nodes that nothing else happens to
 * for a while. */
static bool may_be_emptied(struct sim *s, int n)
{
    for (const struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
        if (sim_replica_peers(s, n, r) == 0) {
            return false;
        }
    }
    for (const struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
        for (int i = 0; i < s->node_count; i++) {
            struct sim_replica *o = sim_replica_find(s, i, r->r.id.v);
            if (i != n && o != NULL) {
                o->harmed_us = s->now_us;
            }
        }
    }
    return true;
}

static void switch_off(struct sim *s, int n, bool empty)
{
    if (s->actors[SIM_NODE + n].up) {
        sim_node_kill(s, n, false);
        s->harmed_us = s->now_us;
    }
    if (empty && may_be_emptied(s, n)) {
        sim_node_empty(s, n);
    }
    sim_sleep(s, EMPTY_US);
    if (!s->actors[SIM_NODE + n].up) {
        sim_node_start(s, n);
    }
}

static void take_out(struct sim *s, int n, bool decommission)
{
    int64_t since = s->now_us;
    int wanted = decommission ? HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED
                              : HDW__NODE_ADMIN_STATE__NODE_IN_MAINTENANCE;
    set_state(s, n,
              decommission ? HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING
                           : HDW__NODE_ADMIN_STATE__NODE_ENTERING_MAINTENANCE);
    for (int i = 0; i < POLLS_MAX && s->faults_on; i++) {
        sim_sleep(s, POLL_US);
        if (state_of(s, n) != wanted) {
            continue;
        }
        sim_trace(s, "operator: node %d is out of service", n);
        if (decommission && sim_meta_serves(sim_active(s))) {
            check_drained(s, n, since);
        }
        if (sim_chance(s, 500000)) {
            switch_off(s, n, decommission);
        }
        break;
    }
    set_state(s, n, HDW__NODE_ADMIN_STATE__NODE_IN_SERVICE);
}

static void work(struct sim *s, void *arg)
{
    (void)arg;
    while (s->faults_on) {
        hd_arena_reset(sim_arena(s));
        sim_sleep(s, sim_between(s, 500000, 8000000));
        if (s->faults_on && s->node_count > 3 && sim_chance(s, s->duty_ppm)) {
            take_out(s, (int)sim_draw(s, (uint64_t)s->node_count), sim_chance(s, 600000));
        }
    }
}

void sim_operator_start(struct sim *s)
{
    sim_spawn(s, sim_operator(s), work, NULL);
}
