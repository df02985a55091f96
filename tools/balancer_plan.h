/*
 * What the balancer moves: which nodes are fuller or emptier than the cluster, how much goes from
 * which to which, and whether a block may go there. Pure arithmetic.
 *
 * HDFS's rule: a node is balanced when its share of used space differs from the cluster's by no
 * more than the threshold. From those above to those below first, then to those a little below,
 * then from those a little above; within a rack before across racks.
 */
#ifndef HD_TOOLS_BALANCER_PLAN_H
#define HD_TOOLS_BALANCER_PLAN_H

struct hd_balance_node {
    const char *uuid; /* borrowed, as all texts */
    const char *name;
    const char *rack;
    uint64_t capacity_bytes, used_bytes, remaining_bytes;
};

/* So many bytes are to go from one node to another; indices of nodes. */
struct hd_balance_pair {
    size_t source, target;
    uint64_t bytes;
};

struct hd_balance_plan {
    struct hd_balance_node *nodes; /* borrowed; used_bytes changes with every move that is taken */
    size_t node_count;
    double threshold;              /* percent */
    double average;                /* percent of all space that is used */
    size_t over, under;            /* nodes beyond the threshold */
    uint64_t bytes_left;           /* to be moved until no node is beyond it */
    struct hd_balance_pair *pairs; /* heap, owned */
    size_t pair_count;
};

/* most_bytes: of one node in one round. 0 or -ENOMEM. */
int hd_balance_plan(struct hd_balance_node *nodes, size_t count, double threshold,
                    uint64_t most_bytes, struct hd_balance_plan *ret);
void hd_balance_plan_done(struct hd_balance_plan *p);

double hd_balance_percent(const struct hd_balance_node *n);

/*
 * May a block that is on `holders` (uuids) go from the pair's source to its target? Not where it is
 * already, not when it would be on fewer racks, and only when the fuller of the two gets less full.
 */
bool hd_balance_may_move(const struct hd_balance_plan *p, const struct hd_balance_pair *pair,
                         char *const *holders, size_t count, uint64_t size_bytes);

/* The move is made: the pair's bytes, and what its nodes have. */
void hd_balance_take(struct hd_balance_plan *p, struct hd_balance_pair *pair, uint64_t size_bytes);

#endif
