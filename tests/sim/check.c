/* What has to be true some time after the last fault. See sim.h. */
#include "tests/sim/client.h"
#include "tests/sim/node.h"
#include "tests/sim/sim.h"

/* Sound, finished replicas of a block; *ret_other is another of what is there of it, or NULL. */
static uint32_t count_replicas(struct sim *s, const struct sim_block *b,
                               const struct sim_replica **ret_other, int *ret_node)
{
    uint32_t good = 0;
    *ret_other = NULL;
    for (int n = 0; n < s->node_count; n++) {
        const struct sim_replica *r = sim_replica_find(s, n, b->id);
        if (r == NULL) {
            continue;
        }
        bool sound = r->r.state == HD_REPLICA_FINALIZED && !r->rotten && r->r.gs.v == b->gs &&
                     r->r.size_bytes == b->size_bytes;
        good += sound;
        if (!sound) {
            *ret_other = r;
            *ret_node = n;
        }
    }
    return good;
}

static const char *unsettled_blocks(struct sim *s)
{
    static char text[300];
    struct sim_block b = {0};
    uint64_t known = 0;
    uint64_t there = 0;
    const struct sim_replica *last = NULL;
    int last_node = 0;
    while (sim_meta_next_block(s, b.id, &b)) {
        const struct sim_replica *other;
        int where = 0;
        uint32_t good = count_replicas(s, &b, &other, &where);
        uint32_t want = HD_MIN(b.replication, (uint32_t)s->node_count);
        known += good;
        if (!b.complete || good != want || other != NULL) {
            int size = snprintf(text, sizeof(text), "blk_%llu_%llu (%s): %u good replicas of %u",
                                (unsigned long long)b.id, (unsigned long long)b.gs,
                                b.complete ? "complete" : "not complete", good, want);
            if (other != NULL) {
                snprintf(text + size, sizeof(text) - (size_t)size,
                         ", and one in state %s, stamp %llu, %llu bytes on node %d",
                         hd_replica_state_name(other->r.state), (unsigned long long)other->r.gs.v,
                         (unsigned long long)other->r.size_bytes, where);
            }
            return text;
        }
    }
    for (int n = 0; n < s->node_count; n++) {
        for (const struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
            there++;
            uint64_t id = r->r.id.v;
            struct sim_block found;
            if (!sim_meta_next_block(s, id - 1, &found) || found.id != id) {
                last = r;
                last_node = n;
            }
        }
    }
    if (there != known) {
        snprintf(text, sizeof(text),
                 "%llu replicas of no block, one is blk_%llu_%llu (%s) on node %d",
                 (unsigned long long)(there - known),
                 last != NULL ? (unsigned long long)last->r.id.v : 0,
                 last != NULL ? (unsigned long long)last->r.gs.v : 0,
                 last != NULL ? hd_replica_state_name(last->r.state) : "none", last_node);
        return text;
    }
    return NULL;
}

const char *sim_unsettled(struct sim *s)
{
    static char text[800];
    const char *client = NULL;
    for (int i = 0; i < s->client_count && client == NULL; i++) {
        client = s->clients[i]->done ? NULL : s->actors[s->clients[i]->actor].name;
    }
    const char *meta = sim_meta_unwell(s);
    if (client == NULL) {
        return meta != NULL ? meta : unsettled_blocks(s);
    }
    const char *blocks = sim_meta_serves(sim_active(s)) ? unsettled_blocks(s) : NULL;
    snprintf(text, sizeof(text), "%s is not done%s%s%s%s", client, meta != NULL ? "; " : "",
             meta != NULL ? meta : "", blocks != NULL ? "; " : "", blocks != NULL ? blocks : "");
    return text;
}

bool sim_settled(struct sim *s)
{
    for (int i = 0; i < s->client_count; i++) {
        if (!s->clients[i]->done) {
            return false;
        }
    }
    return s->events % 64 == 0 && sim_unsettled(s) == NULL;
}

void sim_check_end(struct sim *s)
{
    for (int i = 0; i < s->client_count; i++) {
        sim_client_check(s, i);
    }
    sim_meta_check(s);
}
