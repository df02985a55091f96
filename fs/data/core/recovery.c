/* Rules of block recovery. See recovery.h. */
#include "fs/data/core/recovery.h"
#include "fs/base/error.h"

int hd_recovery_check(const struct hd_replica *r, struct hd_genstamp block_gs, uint64_t recovery_id)
{
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

static bool counts(const struct hd_recovery_answer *a, struct hd_genstamp block_gs)
{
    return a->reached && a->found && a->gs.v >= block_gs.v && a->size_bytes > 0 &&
           a->state <= HD_REPLICA_RWR;
}

/* The best state among the answers that count; RUR when none does. */
static enum hd_replica_state best_state(const struct hd_recovery_answer *answers, int count,
                                        struct hd_genstamp block_gs)
{
    enum hd_replica_state best = HD_REPLICA_RUR;
    for (int i = 0; i < count; i++) {
        if (counts(&answers[i], block_gs) && answers[i].state < best) {
            best = answers[i].state;
        }
    }
    return best;
}

/*
 * Finalized replicas of different lengths: an earlier recovery ended on some of them only, and has
 * decided. The stamp from which on they count; 0 when they agree.
 */
static uint64_t finalized_stamp(const struct hd_recovery_answer *answers, int count,
                                struct hd_genstamp block_gs, enum hd_replica_state best)
{
    uint64_t newest = 0;
    uint64_t size_bytes = UINT64_MAX;
    bool differ = false;
    for (int i = 0; best == HD_REPLICA_FINALIZED && i < count; i++) {
        const struct hd_recovery_answer *a = &answers[i];
        if (!counts(a, block_gs) || a->state != best) {
            continue;
        }
        differ = differ || (size_bytes != UINT64_MAX && size_bytes != a->size_bytes);
        size_bytes = a->size_bytes;
        newest = HD_MAX(newest, a->gs.v);
    }
    return differ ? newest : 0;
}

int hd_recovery_choose(struct hd_recovery_answer *answers, int count, struct hd_genstamp block_gs,
                       uint64_t truncate_bytes, struct hd_recovery_choice *ret)
{
    enum hd_replica_state best = best_state(answers, count, block_gs);
    *ret = (struct hd_recovery_choice){.size_bytes = UINT64_MAX};
    uint64_t newest = finalized_stamp(answers, count, block_gs, best);
    int reached = 0;
    for (int i = 0; i < count; i++) {
        struct hd_recovery_answer *a = &answers[i];
        reached += a->reached;
        a->takes_part = false;
        if (!counts(a, block_gs) || a->state != best || a->gs.v < newest) {
            continue;
        }
        if (best == HD_REPLICA_FINALIZED && ret->size_bytes != UINT64_MAX &&
            a->size_bytes != ret->size_bytes) {
            return hd_fail(-HD_E_IO, "finalized replicas of %llu and %llu bytes",
                           (unsigned long long)ret->size_bytes, (unsigned long long)a->size_bytes);
        }
        ret->size_bytes = HD_MIN(ret->size_bytes, a->size_bytes);
    }
    if (reached == 0) {
        return hd_fail(-HD_E_IO, "no location of the block could be reached");
    }
    if (best == HD_REPLICA_RUR && reached < count) {
        return hd_fail(-HD_E_IO,
                       "%d of %d locations have nothing of the block, the others are "
                       "silent",
                       reached, count);
    }
    if (best == HD_REPLICA_RUR) {
        ret->size_bytes = 0;
        ret->delete_block = true;
        return 0;
    }
    for (int i = 0; i < count; i++) {
        struct hd_recovery_answer *a = &answers[i];
        /* Beside finalized replicas an unfinished one of the same length is as good. */
        a->takes_part =
            counts(a, block_gs) && ((a->state == best && a->gs.v >= newest) ||
                                    (best == HD_REPLICA_FINALIZED && a->state == HD_REPLICA_RBW &&
                                     a->size_bytes == ret->size_bytes));
        ret->parts += a->takes_part;
    }
    if (truncate_bytes != UINT64_MAX) {
        if (truncate_bytes > ret->size_bytes) {
            return hd_fail(-HD_E_IO, "truncate to %llu bytes of a block that has %llu",
                           (unsigned long long)truncate_bytes, (unsigned long long)ret->size_bytes);
        }
        ret->size_bytes = truncate_bytes;
    }
    return 0;
}
