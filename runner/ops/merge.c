/*
 * See merge.h. Leaves are the sources; an inner node keeps the loser of the match played there, and
 * node 0 the winner of all:
 *
 *                0: winner
 *                1
 *             2     3
 *            4 5   6 7          inner nodes 1..n-1, leaf i is node n + i
 *
 * After the winner's source steps on, only the matches between its leaf and the root are replayed.
 */
#include "runner/ops/merge.h"

#include <errno.h>
#include <stdlib.h>

struct leaf {
    struct hd_source *source;
    struct hd_record record;
    uint64_t prefix;
    bool ended;
};

struct merge {
    struct hd_source source;
    size_t count;
    struct leaf *leaves;
    uint32_t *losers; /* [0] is the winner */
    bool started;
};

/* True when leaf a comes before leaf b; ended leaves come last, ties go to the lower index. */
static bool before(const struct merge *m, uint32_t a, uint32_t b)
{
    const struct leaf *x = &m->leaves[a];
    const struct leaf *y = &m->leaves[b];
    if (x->ended || y->ended) {
        return x->ended == y->ended ? a < b : y->ended;
    }
    if (x->prefix != y->prefix) {
        return x->prefix < y->prefix;
    }
    int c = hd_record_compare(&x->record, &y->record);
    return c != 0 ? c < 0 : a < b;
}

static int step(struct leaf *l)
{
    int got = l->source->next(l->source, &l->record);
    if (got < 0) {
        return got;
    }
    l->ended = got == 0;
    if (got == 1) {
        l->prefix = hd_key_prefix(l->record.key, l->record.key_size);
    }
    return 0;
}

static void replay(struct merge *m, uint32_t winner)
{
    for (size_t node = (m->count + winner) / 2; node > 0; node /= 2) {
        if (before(m, m->losers[node], winner)) {
            uint32_t loser = winner;
            winner = m->losers[node];
            m->losers[node] = loser;
        }
    }
    m->losers[0] = winner;
}

/* Plays every match of the subtree at `node`, and returns its winner. */
static uint32_t play(struct merge *m, size_t node)
{
    if (node >= m->count) {
        return (uint32_t)(node - m->count);
    }
    uint32_t left = play(m, 2 * node);
    uint32_t right = play(m, 2 * node + 1);
    bool left_wins = before(m, left, right);
    m->losers[node] = left_wins ? right : left;
    return left_wins ? left : right;
}

static int merge_next(struct hd_source *source, struct hd_record *ret)
{
    struct merge *m = HD_CONTAINER(source, struct merge, source);
    int err;
    if (m->count == 0) {
        return 0;
    }
    if (!m->started) {
        for (size_t i = 0; i < m->count; i++) {
            err = step(&m->leaves[i]);
            if (err < 0) {
                return err;
            }
        }
        m->losers[0] = play(m, 1);
        m->started = true;
    } else {
        uint32_t winner = m->losers[0];
        if (!m->leaves[winner].ended) {
            err = step(&m->leaves[winner]);
            if (err < 0) {
                return err;
            }
            replay(m, winner);
        }
    }
    const struct leaf *l = &m->leaves[m->losers[0]];
    if (l->ended) {
        return 0;
    }
    *ret = l->record;
    return 1;
}

static void merge_close(struct hd_source *source)
{
    struct merge *m = HD_CONTAINER(source, struct merge, source);
    for (size_t i = 0; i < m->count; i++) {
        m->leaves[i].source->close(m->leaves[i].source);
    }
    free(m->leaves);
    free(m->losers);
    free(m);
}

int hd_merge_new(struct hd_source **sources, size_t count, struct hd_source **ret)
{
    struct merge *m = calloc(1, sizeof(*m));
    struct leaf *leaves = calloc(count + 1, sizeof(*leaves));
    uint32_t *losers = calloc(count + 1, sizeof(*losers));
    if (m == NULL || leaves == NULL || losers == NULL) {
        for (size_t i = 0; i < count; i++) {
            sources[i]->close(sources[i]);
        }
        free(m);
        free(leaves);
        free(losers);
        return -ENOMEM;
    }
    m->source = (struct hd_source){.next = merge_next, .close = merge_close};
    m->count = count;
    m->leaves = leaves;
    m->losers = losers;
    for (size_t i = 0; i < count; i++) {
        leaves[i].source = sources[i];
    }
    *ret = &m->source;
    return 0;
}
