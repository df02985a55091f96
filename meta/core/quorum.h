/*
 * Who may acknowledge what: `sync`, epochs, witnesses and promotion, as a state machine. Pure: no
 * clock, socket or file; the shell (meta/shell/ha.h) and the simulator tell it what happened and do
 * what it asks. docs/adr/0007 has the reasons.
 *
 * A change is acknowledged when its txid is at most `committed`:
 *
 *   ALONE     own disk                       sync = primary
 *   BOTH      own disk and the secondary's   sync = both
 *   EXPOSED   own disk; a majority of the witnesses (data nodes) has it on disk that it is so
 *   FENCED    nothing ever again: somebody has a higher epoch
 *
 *   BOTH --secondary lost or silent, majority accepts "exposed"--> EXPOSED
 *   EXPOSED --secondary nearly as far as we are--> BOTH, and "not exposed" to the witnesses once
 *            the secondary has everything that was acknowledged
 *
 * A secondary may become primary without loss when a majority of the witnesses accepts the next
 * epoch, which one that knows "exposed" does not. The two majorities share a witness, which accepts
 * only one of the two: that is the whole argument.
 *
 * A promotion by force takes the epoch from one that acknowledges alone, and nobody need tell it:
 * in ALONE and EXPOSED it asks the witnesses every second.
 *
 * Requests to witnesses carry a serial that only grows, so that a late one changes nothing.
 */
#ifndef HD_META_CORE_QUORUM_H
#define HD_META_CORE_QUORUM_H

#include "fs/base/types.h"
#include "fs/wire/witness.h"

enum hd_quorum_state {
    HD_QUORUM_ALONE,
    HD_QUORUM_BOTH,
    HD_QUORUM_EXPOSED,
    HD_QUORUM_FENCED,
};

/* What the witnesses are being asked. */
enum hd_quorum_round {
    HD_QUORUM_NO_ROUND,
    HD_QUORUM_EXPOSE,  /* Witness{epoch, serial, exposed = true} */
    HD_QUORUM_COVER,   /* Witness{epoch, serial, exposed = false} */
    HD_QUORUM_CONFIRM, /* Witness{epoch, ask_only}: is there a higher epoch? */
};

struct hd_quorum_options {
    bool both;          /* sync = both */
    int64_t timeout_ms; /* the secondary's silence that waiting answers bear */
    uint64_t epoch;
    uint64_t owner;  /* the number drawn when the epoch was claimed; see fs/wire/witness.h */
    uint64_t serial; /* where the serials of this life begin */
};

/* Fields are for reading; only the functions below write them. */
struct hd_quorum {
    struct hd_quorum_options o;
    enum hd_quorum_state state;
    struct hd_txid committed; /* may be acknowledged; never falls */
    bool in_step;             /* BOTH: the secondary has all that was ever acknowledged */
    bool doubt;               /* this process was not running for a while: answer nothing */
    uint64_t fenced_by;       /* FENCED: the epoch that did it; our own: hd_quorum_older */

    /* the round under way; ask the witnesses when `serial` is one that was not asked yet */
    enum hd_quorum_round round;
    uint64_t serial;
    uint32_t asked, accepted, answered;

    bool connected; /* the secondary */
    bool covered;   /* a majority has it that we are not exposed */
    struct hd_txid own, secondary;
    struct hd_txid join; /* what the secondary needs to be in step */
    uint32_t witnesses;
    int64_t waiting_ms; /* since when answers wait for the secondary, or it is away */
    int64_t retry_ms;   /* no new round before */
    int64_t confirm_ms; /* ALONE, EXPOSED: when the witnesses are asked whether it is still so */
};

/* `own`: the last txid of the log at start; with sync = both nothing of it is committed yet. */
void hd_quorum_init(struct hd_quorum *q, const struct hd_quorum_options *o, struct hd_txid own,
                    struct hd_mono_ms now);

/* --- what happened --- */

void hd_quorum_durable(struct hd_quorum *q, struct hd_txid own, struct hd_mono_ms now);
/*
 * The secondary asked for more; everything up to txid is on its disk. Less than last time: it had
 * to start over (its disk), and what it had counts for nothing any more.
 */
void hd_quorum_secondary(struct hd_quorum *q, struct hd_txid txid, struct hd_mono_ms now);
void hd_quorum_secondary_gone(struct hd_quorum *q, struct hd_mono_ms now);
/*
 * How many witnesses the secondary and we have agreed on; also when one of them is another: all are
 * told anew, since one that knows nothing (a new one, or one that lost its disks) does not count in
 * a promotion.
 */
void hd_quorum_witnesses(struct hd_quorum *q, uint32_t count);
/* One answer a witness and serial; answered false: none came. */
struct hd_quorum_answer {
    uint64_t serial; /* of the request */
    bool answered;
    bool accepted;
    uint64_t epoch; /* what the witness has */
    uint64_t owner;
    uint64_t stored_serial; /* in that epoch */
};
void hd_quorum_answer(struct hd_quorum *q, const struct hd_quorum_answer *a, struct hd_mono_ms now);
/* Somebody (a data node, the secondary) knows this epoch; one above HD_EPOCH_MAX is nonsense. */
void hd_quorum_epoch_seen(struct hd_quorum *q, uint64_t epoch);
/*
 * The secondary has records of our own epoch that we do not have. It is given only what is durable
 * here, so our directory is an older one (a backup, a disk that lied): fenced by our own epoch.
 */
void hd_quorum_older(struct hd_quorum *q);
/* Time passed without us. confirmed: the secondary has followed us since (it has our answer). */
void hd_quorum_doubt(struct hd_quorum *q, struct hd_mono_ms now);
void hd_quorum_confirmed(struct hd_quorum *q);
void hd_quorum_tick(struct hd_quorum *q, struct hd_mono_ms now);

/* --- the secondary's side --- */

enum hd_promotion_verdict {
    HD_PROMOTION_POSSIBLE,
    HD_PROMOTION_NO_MAJORITY, /* too few witnesses answered that know anything */
    HD_PROMOTION_EXPOSED,     /* the primary acknowledges without us */
    HD_PROMOTION_SUPERSEDED,  /* somebody else was promoted after what we have */
};

/*
 * A promotion: ask every witness (ask_only), look at the verdict, then claim the epoch `claim` from
 * every witness. done: a majority accepted; nobody of a lower epoch will acknowledge anything.
 */
struct hd_promotion {
    uint64_t epoch; /* of what we have */
    uint64_t owner; /* our number, drawn and durable before the first claim */
    uint64_t claim; /* the epoch to claim */
    uint32_t witnesses;
    uint32_t answered, accepted;
    uint64_t serial;
    bool exposed, superseded;
};

void hd_promotion_init(struct hd_promotion *p, uint64_t epoch, uint64_t owner, uint32_t witnesses);
void hd_promotion_answer(struct hd_promotion *p, const struct hd_witness *w);
enum hd_promotion_verdict hd_promotion_verdict(const struct hd_promotion *p);
void hd_promotion_claimed(struct hd_promotion *p, bool accepted);
bool hd_promotion_done(const struct hd_promotion *p);

#endif
