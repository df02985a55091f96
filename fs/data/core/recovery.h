/*
 * Block recovery: what a node answers about its replica, and how the primary chooses the length all
 * shall have (docs/protocol.md, "Block recovery"). Pure.
 */
#ifndef HD_DATA_CORE_RECOVERY_H
#define HD_DATA_CORE_RECOVERY_H

#include "fs/data/core/dirty.h"
#include "fs/data/core/replica.h"

/*
 * Beside recoveries under a newer stamp there is the order to finish a replica: its recovery id is
 * the block's own stamp, and a truncate length is given. Only a replica whose node stopped before
 * it was finished (RWR) is cut and finalized by it.
 *
 * May a recovery with this id begin on r (NULL: no replica)? 1: yes, 0: nothing here to recover,
 * -HD_E_RECOVERY: a newer one is under way, -HD_E_IO: the replica is already newer; failure text.
 */
int hd_recovery_check(const struct hd_replica *r, struct hd_genstamp block_gs,
                      uint64_t recovery_id);

/* One location's answer to initReplicaRecovery. */
struct hd_recovery_answer {
    bool reached; /* it answered at all */
    bool found;
    enum hd_replica_state state; /* before the recovery */
    struct hd_genstamp gs;
    uint64_t size_bytes;
    bool takes_part; /* set by hd_recovery_choose */

    /* Of a replica with a dirty log (fs/data/core/dirty.h). */
    bool overwritten;
    bool doubtful;            /* its machine lost power since: bytes may be those of before */
    struct hd_genstamp since; /* the log has all changes under this stamp and later ones */
    struct hd_dirty dirty;    /* owned */
};

void hd_recovery_answer_done(struct hd_recovery_answer *a);

/* What meta orders. */
struct hd_recovery_order {
    struct hd_genstamp block_gs; /* older replicas do not count */
    uint64_t known_bytes;        /* so many were told to meta before: they are promised */
    uint64_t truncate_bytes;     /* the wanted length of a truncate, or UINT64_MAX */

    /*
     * The block was written at any offset: replicas may differ anywhere, and may be shorter than
     * truncate_bytes, or else known_bytes. What they lack is zeros.
     */
    bool overwrite;
};

struct hd_recovery_choice {
    uint64_t size_bytes; /* for every replica that takes part; none has fewer */
    int parts;           /* how many do */
    bool delete_block;   /* nobody holds a byte of it: the block goes */

    /*
     * Replicas that were overwritten may differ in any dirty region: the others get the bytes of
     * one of them there, and all bytes that they do not have.
     */
    bool resync;
    int source;            /* index of the answer whose bytes count */
    bool whole;            /* the logs do not tell all: every byte is fetched */
    struct hd_dirty dirty; /* owned: regions of all of them */
};

void hd_recovery_choice_done(struct hd_recovery_choice *c);

/*
 * Chooses, and sets takes_part. 0, or -HD_E_IO with a failure text when nobody could be reached, or
 * nobody who could has what is asked for while others are silent: what they hold may be
 * acknowledged.
 */
int hd_recovery_choose(struct hd_recovery_answer *answers, int count,
                       const struct hd_recovery_order *order, struct hd_recovery_choice *ret);

#endif
