/* Slow nodes. See slow.h. */
#include "meta/core/slow.h"
#include "meta/core/state.h"

#include <stdlib.h>

enum {
    FLOOR_US = 30000,
    SLOW_FACTOR = 4,
    WELL_FACTOR = 2,
    NODES_MIN = 3, /* fewer have no median to speak of */
    JUDGE_MS = 1000,
};

/* Whole microseconds: sums of floats are no business of a state that has to be the same twice. */
static uint32_t figure_of(Hdw__SlowDiskReport *const *reports, size_t count)
{
    uint32_t least = UINT32_MAX;
    for (size_t i = 0; i < count; i++) {
        double ms = reports[i]->mean_metadata_op_latency;
        uint32_t us = ms > 0 && ms < 4e6 ? (uint32_t)(ms * 1000) : 0;
        least = us > 0 ? HD_MIN(least, us) : least;
    }
    return least != UINT32_MAX ? least : 0;
}

static int compare(const void *a, const void *b)
{
    const struct hd_node *x = *(struct hd_node *const *)a;
    const struct hd_node *y = *(struct hd_node *const *)b;
    return x->disk_us != y->disk_us ? (x->disk_us < y->disk_us ? -1 : 1)
           : x->index < y->index    ? -1
                                    : 1;
}

static void set_slow(struct hd_meta *m, struct hd_node *node, bool slow, uint32_t median_us)
{
    if (node->slow != slow) {
        hd_meta_trace(m, "node %s:%u is %s: %u us for a small write, the others %u", node->ip,
                      node->xfer_port, slow ? "slow" : "no longer slow", node->disk_us, median_us);
    }
    node->slow = slow;
}

static void judge(struct hd_meta *m)
{
    struct hd_node **told = HD_TURN_ARRAY(m, struct hd_node *, m->nodes.count);
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->nodes.count; i++) {
        struct hd_node *node = m->nodes.all[i];
        if (node->state == HD_NODE_LIVE && node->registered && node->disk_us > 0) {
            told[count++] = node;
        } else {
            node->slow = false;
        }
    }
    if (count > 0) {
        qsort(told, count, sizeof(struct hd_node *), compare);
    }
    uint32_t median_us = count > 0 ? told[(count - 1) / 2]->disk_us : 0;
    uint32_t most = count >= NODES_MIN ? count / 3 : 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t factor = told[i]->slow ? WELL_FACTOR : SLOW_FACTOR;
        bool slow = told[i]->disk_us > FLOOR_US && told[i]->disk_us > factor * median_us;
        set_slow(m, told[i], slow && i + most >= count, median_us);
    }
}

void hd_slow_heard(struct hd_meta *m, struct hd_node *node, Hdw__SlowDiskReport *const *reports,
                   size_t count)
{
    node->disk_us = figure_of(reports, count);
    if (hd_meta_past(m, m->nodes.judged, JUDGE_MS)) {
        m->nodes.judged = m->now;
        judge(m);
    }
}
