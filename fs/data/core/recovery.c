/* Rules of block recovery. See recovery.h. */
#include "fs/data/core/recovery.h"
#include "fs/base/error.h"

static bool is_unfinished(const struct hd_replica *r)
{
    return r->state == HD_REPLICA_RWR ||
           (r->state == HD_REPLICA_RUR && r->before_recovery == HD_REPLICA_RWR &&
            r->recovery_id == r->gs.v); /* an earlier order to finish it failed */
}

int hd_recovery_check(const struct hd_replica *r, struct hd_genstamp block_gs, uint64_t recovery_id)
{
    if (r != NULL && is_unfinished(r) && r->gs.v == recovery_id && block_gs.v == recovery_id) {
        return 1; /* an order to finish it as it is */
    }
    if (r == NULL || r->state == HD_REPLICA_TEMPORARY || r->gs.v < block_gs.v) {
        return 0;
    }
    if (r->state == HD_REPLICA_RUR && r->recovery_id >= recovery_id) {
        return hd_fail(-HD_E_RECOVERY,
                       "recovery %llu of the replica is under way, not older than %llu",
                       (unsigned long long)r->recovery_id, (unsigned long long)recovery_id);
    }
    if (r->gs.v >= recovery_id) {
        return hd_fail(-HD_E_IO, "replica has generation stamp %llu, the recovery only %llu",
                       (unsigned long long)r->gs.v, (unsigned long long)recovery_id);
    }
    return 1;
}

void hd_recovery_answer_done(struct hd_recovery_answer *a)
{
    hd_dirty_done(&a->dirty);
}

void hd_recovery_choice_done(struct hd_recovery_choice *c)
{
    hd_dirty_done(&c->dirty);
}

static bool counts(const struct hd_recovery_answer *a, struct hd_genstamp block_gs)
{
    return a->reached && a->found && a->gs.v >= block_gs.v && a->size_bytes > 0 &&
           a->state <= HD_REPLICA_RWR;
}

/*
 * What one stamp wrote is a prefix of one stream of bytes, so replicas of a block differ in length
 * only. Whose length is right:
 *
 *   a truncate   the one it asks for; who has less takes no part
 *   FINALIZED    the writer had ended: the longest. A shorter one lost its end in a power cut, as
 *                did one that is shorter than an unfinished replica of its stamp.
 *   RBW          each has all that was acknowledged: the shortest, so that all can stay
 *   RWR only     all nodes stopped, perhaps without power: the longest, when nobody is silent
 *
 * What meta was told before (known_bytes) is not undercut while a replica has it.
 */
struct choice {
    const struct hd_recovery_answer *answers;
    int count;
    struct hd_genstamp block_gs;
    uint64_t at_least_bytes;
};

static bool is_shortened(const struct choice *c, const struct hd_recovery_answer *a)
{
    if (a->size_bytes < c->at_least_bytes) {
        return true;
    }
    for (int i = 0; a->state == HD_REPLICA_FINALIZED && i < c->count; i++) {
        const struct hd_recovery_answer *o = &c->answers[i];
        if (counts(o, c->block_gs) && o->gs.v == a->gs.v && o->size_bytes > a->size_bytes) {
            return true;
        }
    }
    return false;
}

/* The best state among the answers that count and are whole; RUR when none does. */
static enum hd_replica_state best_state(const struct choice *c)
{
    enum hd_replica_state best = HD_REPLICA_RUR;
    for (int i = 0; i < c->count; i++) {
        const struct hd_recovery_answer *a = &c->answers[i];
        if (counts(a, c->block_gs) && !is_shortened(c, a) && a->state < best) {
            best = a->state;
        }
    }
    return best;
}

/* The length all shall have; 0: no replica is good enough. */
static uint64_t choose_length(const struct choice *c)
{
    enum hd_replica_state best = best_state(c);
    uint64_t shortest = UINT64_MAX;
    uint64_t longest = 0;
    for (int i = 0; i < c->count; i++) {
        const struct hd_recovery_answer *a = &c->answers[i];
        if (counts(a, c->block_gs) && a->state == best && !is_shortened(c, a)) {
            shortest = HD_MIN(shortest, a->size_bytes);
            longest = HD_MAX(longest, a->size_bytes);
        }
    }
    return best == HD_REPLICA_RBW ? shortest : longest;
}

static int count_reached(const struct hd_recovery_answer *answers, int count)
{
    int reached = 0;
    for (int i = 0; i < count; i++) {
        reached += answers[i].reached;
    }
    return reached;
}

static int nobody_has_it(const struct choice *c, struct hd_recovery_choice *ret)
{
    int reached = count_reached(c->answers, c->count);
    if (reached < c->count) {
        return hd_fail(-HD_E_IO,
                       "%d of %d locations have nothing of the block, the others are silent",
                       reached, c->count);
    }
    ret->size_bytes = 0;
    ret->delete_block = true;
    return 0;
}

/* --- replicas that were overwritten --- */

/* Also one without a byte. */
static bool is_part(const struct hd_recovery_answer *a, struct hd_genstamp block_gs)
{
    return a->reached && a->found && a->gs.v >= block_gs.v && a->state <= HD_REPLICA_RWR;
}

static bool any_overwritten(const struct choice *c)
{
    for (int i = 0; i < c->count; i++) {
        if (is_part(&c->answers[i], c->block_gs) && c->answers[i].overwritten) {
            return true;
        }
    }
    return false;
}

/* May it lack bytes that were acknowledged? Without a log nobody can tell why its node stopped. */
static bool is_doubtful(const struct hd_recovery_answer *a)
{
    return a->doubtful || (a->state == HD_REPLICA_RWR && !a->overwritten);
}

static bool is_better(const struct hd_recovery_answer *a, const struct hd_recovery_answer *than)
{
    if (is_doubtful(a) != is_doubtful(than)) {
        return is_doubtful(than);
    }
    if (a->size_bytes != than->size_bytes) {
        return a->size_bytes > than->size_bytes;
    }
    return a->gs.v != than->gs.v ? a->gs.v > than->gs.v : a->state < than->state;
}

/*
 * Whose bytes count. Everything that was acknowledged was stored by every replica of the chain, so
 * each has it that did not lose power; all of the others have what was fsynced. The longest: it
 * has more that was not acknowledged, or the others were just being cut.
 */
static int best_source(const struct choice *c)
{
    int best = -1;
    for (int i = 0; i < c->count; i++) {
        if (is_part(&c->answers[i], c->block_gs) &&
            (best < 0 || is_better(&c->answers[i], &c->answers[best]))) {
            best = i;
        }
    }
    return best;
}

/*
 * A log has all that was changed since it was begun. It may leave something out against a replica
 * that has an older stamp than that: then the one was cleaned when the other was not there.
 */
static int collect_dirty(struct hd_recovery_answer *answers, int count,
                         struct hd_recovery_choice *ret)
{
    uint64_t oldest = UINT64_MAX;
    int err = 0;
    for (int i = 0; i < count; i++) {
        oldest = answers[i].takes_part ? HD_MIN(oldest, answers[i].gs.v) : oldest;
    }
    for (int i = 0; i < count && err == 0; i++) {
        const struct hd_recovery_answer *a = &answers[i];
        if (!a->takes_part) {
            continue;
        }
        ret->whole = ret->whole || !a->overwritten || a->since.v > oldest;
        err = hd_dirty_add_bits(&ret->dirty, a->dirty.bits, a->dirty.count);
    }
    return err;
}

static int choose_resync(const struct choice *c, struct hd_recovery_answer *answers,
                         const struct hd_recovery_order *order, struct hd_recovery_choice *ret)
{
    int source = best_source(c);
    int silent = c->count - count_reached(answers, c->count);
    bool truncate = order->truncate_bytes != UINT64_MAX;
    if (source < 0) {
        return nobody_has_it(c, ret);
    }
    const struct hd_recovery_answer *best = &answers[source];
    uint64_t longest =
        order->overwrite ? HD_MAX(best->size_bytes, order->known_bytes) : best->size_bytes;
    if (is_doubtful(best) && silent > 0) {
        return hd_fail(-HD_E_IO,
                       "all replicas that answer lost power or were stopped, and %d locations are "
                       "silent",
                       silent);
    }
    if (truncate && best->size_bytes < order->truncate_bytes && !order->overwrite) {
        return hd_fail(-HD_E_IO, "truncate to %llu bytes: no location has as many",
                       (unsigned long long)order->truncate_bytes);
    }
    ret->resync = true;
    ret->source = source;
    ret->size_bytes = truncate ? order->truncate_bytes : longest;
    if (ret->size_bytes == 0) {
        ret->resync = false;
        return nobody_has_it(c, ret);
    }
    for (int i = 0; i < c->count; i++) {
        answers[i].takes_part = is_part(&answers[i], c->block_gs);
        ret->parts += answers[i].takes_part;
    }
    return collect_dirty(answers, c->count, ret);
}

int hd_recovery_choose(struct hd_recovery_answer *answers, int count,
                       const struct hd_recovery_order *order, struct hd_recovery_choice *ret)
{
    struct choice c = {answers, count, order->block_gs, order->known_bytes};
    bool truncate = order->truncate_bytes != UINT64_MAX;
    *ret = (struct hd_recovery_choice){0};
    for (int i = 0; i < count; i++) {
        answers[i].takes_part = false;
    }
    if (count_reached(answers, count) == 0) {
        return hd_fail(-HD_E_IO, "no location of the block could be reached");
    }
    if (order->overwrite || any_overwritten(&c)) {
        return choose_resync(&c, answers, order, ret);
    }
    if (!truncate && best_state(&c) == HD_REPLICA_RWR && count_reached(answers, count) < count) {
        return hd_fail(-HD_E_IO,
                       "all replicas that answer were stopped, and %d locations are silent",
                       count - count_reached(answers, count));
    }
    ret->size_bytes = truncate ? order->truncate_bytes : choose_length(&c);
    if (ret->size_bytes == 0 && !truncate && count_reached(answers, count) == count) {
        c.at_least_bytes = 0; /* nobody has what was told: the most there is */
        ret->size_bytes = choose_length(&c);
    }
    if (ret->size_bytes == 0 && !truncate) {
        return nobody_has_it(&c, ret);
    }
    for (int i = 0; i < count; i++) {
        struct hd_recovery_answer *a = &answers[i];
        a->takes_part = counts(a, order->block_gs) && a->size_bytes >= ret->size_bytes;
        ret->parts += a->takes_part;
    }
    return ret->parts > 0 ? 0
                          : hd_fail(-HD_E_IO, "truncate to %llu bytes: no location has as many",
                                    (unsigned long long)ret->size_bytes);
}
