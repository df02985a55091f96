/* What the balancer moves. See balancer_plan.h. */
#include "tools/balancer_plan.h"

#include <errno.h>
#include <stdlib.h>

/* Where a node stands against the cluster. */
enum standing { UNDER, BELOW, ABOVE, OVER };

/* While pairs are made. */
struct share {
    enum standing standing;
    uint64_t bytes; /* that it is to give or to take, and nobody was found for yet */
};

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

double hd_balance_percent(const struct hd_balance_node *n)
{
    return percent(n->used_bytes, n->capacity_bytes);
}

static struct share share_of(const struct hd_balance_plan *p, const struct hd_balance_node *n,
                             uint64_t most_bytes)
{
    double difference = hd_balance_percent(n) - p->average;
    bool gives = difference > 0;
    double away = gives ? difference : -difference;
    uint64_t bytes = (uint64_t)(away / 100.0 * (double)n->capacity_bytes);
    if (!gives) {
        bytes = HD_MIN(bytes, n->remaining_bytes);
    }
    bool beyond = away > p->threshold;
    return (struct share){gives ? (beyond ? OVER : ABOVE) : (beyond ? UNDER : BELOW),
                          HD_MIN(bytes, most_bytes)};
}

static bool same_rack(const struct hd_balance_node *a, const struct hd_balance_node *b)
{
    return strcmp(a->rack, b->rack) == 0;
}

static void make_pairs(struct hd_balance_plan *p, struct share *shares, enum standing from,
                       enum standing to, bool within_rack)
{
    for (size_t s = 0; s < p->node_count; s++) {
        for (size_t t = 0; t < p->node_count && shares[s].standing == from; t++) {
            uint64_t bytes = HD_MIN(shares[s].bytes, shares[t].bytes);
            if (shares[t].standing != to || bytes == 0 ||
                (within_rack && !same_rack(&p->nodes[s], &p->nodes[t]))) {
                continue;
            }
            p->pairs[p->pair_count++] = (struct hd_balance_pair){s, t, bytes};
            shares[s].bytes -= bytes;
            shares[t].bytes -= bytes;
        }
    }
}

/* What lies beyond the threshold, on the side where there is more of it. */
static uint64_t count_left(const struct hd_balance_plan *p)
{
    double over = 0;
    double under = 0;
    for (size_t i = 0; i < p->node_count; i++) {
        const struct hd_balance_node *n = &p->nodes[i];
        double away = hd_balance_percent(n) - p->average;
        double capacity = (double)n->capacity_bytes / 100.0;
        over += away > p->threshold ? (away - p->threshold) * capacity : 0;
        under += away < -p->threshold ? (-away - p->threshold) * capacity : 0;
    }
    return (uint64_t)HD_MAX(over, under);
}

int hd_balance_plan(struct hd_balance_node *nodes, size_t count, double threshold,
                    uint64_t most_bytes, struct hd_balance_plan *ret)
{
    struct hd_balance_plan p = {.nodes = nodes, .node_count = count, .threshold = threshold};
    uint64_t used = 0;
    uint64_t capacity = 0;
    for (size_t i = 0; i < count; i++) {
        used += nodes[i].used_bytes;
        capacity += nodes[i].capacity_bytes;
    }
    p.average = percent(used, capacity);
    p.bytes_left = count_left(&p);
    struct share *shares = calloc(count + 1, sizeof(*shares));
    /* Each pair uses up a giver or a taker of its pass; there are six passes. */
    p.pairs = calloc(6 * 2 * count + 1, sizeof(*p.pairs));
    if (shares == NULL || p.pairs == NULL) {
        free(shares);
        free(p.pairs);
        return -ENOMEM;
    }
    for (size_t i = 0; i < count; i++) {
        shares[i] = share_of(&p, &nodes[i], most_bytes);
        p.over += shares[i].standing == OVER;
        p.under += shares[i].standing == UNDER;
    }
    for (int pass = 0; pass < 2; pass++) {
        make_pairs(&p, shares, OVER, UNDER, pass == 0);
        make_pairs(&p, shares, OVER, BELOW, pass == 0);
        make_pairs(&p, shares, ABOVE, UNDER, pass == 0);
    }
    free(shares);
    *ret = p;
    return 0;
}

void hd_balance_plan_done(struct hd_balance_plan *p)
{
    free(p->pairs);
    *p = (struct hd_balance_plan){0};
}

static const struct hd_balance_node *find(const struct hd_balance_plan *p, const char *uuid)
{
    for (size_t i = 0; i < p->node_count; i++) {
        if (strcmp(p->nodes[i].uuid, uuid) == 0) {
            return &p->nodes[i];
        }
    }
    return NULL;
}

/* How many of the holders are on the rack, but for one of them; SIZE_MAX: one is not known. */
static size_t count_on(const struct hd_balance_plan *p, char *const *holders, size_t count,
                       const char *rack, const char *without)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct hd_balance_node *n = find(p, holders[i]);
        if (n == NULL) {
            return SIZE_MAX;
        }
        found += strcmp(holders[i], without) != 0 && strcmp(n->rack, rack) == 0;
    }
    return found;
}

bool hd_balance_may_move(const struct hd_balance_plan *p, const struct hd_balance_pair *pair,
                         char *const *holders, size_t count, uint64_t size_bytes)
{
    const struct hd_balance_node *source = &p->nodes[pair->source];
    const struct hd_balance_node *target = &p->nodes[pair->target];
    bool held = false;
    for (size_t i = 0; i < count; i++) {
        held |= strcmp(holders[i], source->uuid) == 0;
        if (strcmp(holders[i], target->uuid) == 0) {
            return false;
        }
    }
    size_t left = count_on(p, holders, count, source->rack, source->uuid);
    size_t there = count_on(p, holders, count, target->rack, source->uuid);
    if (!held || left == SIZE_MAX || size_bytes > target->remaining_bytes) {
        return false;
    }
    bool loses_rack = left == 0 && there > 0;
    return !loses_rack && percent(target->used_bytes + size_bytes, target->capacity_bytes) <
                              hd_balance_percent(source);
}

void hd_balance_take(struct hd_balance_plan *p, struct hd_balance_pair *pair, uint64_t size_bytes)
{
    struct hd_balance_node *source = &p->nodes[pair->source];
    struct hd_balance_node *target = &p->nodes[pair->target];
    pair->bytes -= HD_MIN(pair->bytes, size_bytes);
    source->used_bytes -= HD_MIN(source->used_bytes, size_bytes);
    target->used_bytes += size_bytes;
    target->remaining_bytes -= HD_MIN(target->remaining_bytes, size_bytes);
}
