/* What has to be true some time after the last fault. See sim.h. */
#include "tests/sim/client.h"
#include "tests/sim/node.h"
#include "tests/sim/sim.h"

/* Sound, finished replicas of a block; *ret_other counts the rest of what is there of it. */
static uint32_t count_replicas(struct sim *s, const struct sim_block *b, uint32_t *ret_other)
{
    uint32_t good = 0;
    *ret_other = 0;
    for (int n = 0; n < s->node_count; n++) {
        const struct sim_replica *r = sim_replica_find(s, n, b->id);
        if (r == NULL) {
            continue;
        }
        bool sound = r->r.state == HD_REPLICA_FINALIZED && !r->rotten && r->r.gs.v == b->gs &&
                     r->r.size_bytes == b->size_bytes;
        good += sound;
        *ret_other += !sound;
    }
    return good;
}

static const char *unsettled_blocks(struct sim *s)
{
    static char text[160];
    struct sim_block b = {0};
    uint64_t known = 0;
    uint64_t there = 0;
    while (sim_meta_next_block(s, b.id, &b)) {
        uint32_t other;
        uint32_t good = count_replicas(s, &b, &other);
        uint32_t want = HD_MIN(b.replication, (uint32_t)s->node_count);
        known += good;
        if (!b.complete || good != want || other != 0) {
            snprintf(text, sizeof(text), "blk_%llu_%llu: %u good replicas of %u, %u others, %s",
                     (unsigned long long)b.id, (unsigned long long)b.gs, good, want, other,
                     b.complete ? "complete" : "not complete");
            return text;
        }
    }
    for (int n = 0; n < s->node_count; n++) {
        for (const struct sim_replica *r = s->nodes[n]->replicas; r != NULL; r = r->next) {
            there++;
        }
    }
    if (there != known) {
        snprintf(text, sizeof(text), "%llu replicas of no block",
                 (unsigned long long)(there - known));
        return text;
    }
    return NULL;
}

const char *sim_unsettled(struct sim *s)
{
    for (int i = 0; i < s->client_count; i++) {
        if (!s->clients[i]->done) {
            return "a client is not done";
        }
    }
    const char *why = sim_meta_unwell(s);
    return why != NULL ? why : unsettled_blocks(s);
}

bool sim_settled(struct sim *s)
{
    return s->events % 64 == 0 && sim_unsettled(s) == NULL;
}

void sim_check_end(struct sim *s)
{
    for (int i = 0; i < s->client_count; i++) {
        sim_client_check(s, i);
    }
    sim_meta_check(s);
}
