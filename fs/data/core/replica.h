/*
 * The life of a replica: its states, and what each request may do to it.
 *
 *              create (6)                              last packet, close (5), recovery done
 *   (nothing) ───────────▶ RBW ──────────────────────────────────────────▶ FINALIZED
 *       │                 ▲ │ ▲                                              │  ▲
 *       │     streaming   │ │ └───────────────── append (0, 1) ──────────────┘  │
 *       │    recovery (3) └─┤                                                   │
 *       │                   │ node restarts                                     │
 *       │                   ▼                                                   │
 *       │                  RWR ──── initReplicaRecovery (also from RBW, ────▶ RUR
 *       │                                FINALIZED)                             ▲ │ newer recovery
 *       │ copy from a node, stages 7, 8                                         └─┘
 *       └───────────────────────▶ TEMPORARY ──── last packet ──▶ FINALIZED (stage 7: RBW)
 *
 * Pure: the store (fs/data/store) keeps the replicas and touches the files. Rules:
 * docs/protocol.md, "Writing a block" and "Block recovery".
 */
#ifndef HD_DATA_CORE_REPLICA_H
#define HD_DATA_CORE_REPLICA_H

#include "fs/base/types.h"

/* The numbers travel in block reports and recovery answers. */
enum hd_replica_state {
    HD_REPLICA_FINALIZED = 0,
    HD_REPLICA_RBW = 1,       /* being written */
    HD_REPLICA_RWR = 2,       /* was being written when the node stopped */
    HD_REPLICA_RUR = 3,       /* under block recovery */
    HD_REPLICA_TEMPORARY = 4, /* a copy on its way; gone after a restart */
    /* 5 in reports alone, HD_REPORT_DIRTY: a doubtful one */
};

struct hd_replica {
    struct hd_block_id id;
    struct hd_genstamp gs;
    enum hd_replica_state state;
    enum hd_replica_state before_recovery; /* the state under RUR */
    uint64_t recovery_id;                  /* RUR: the generation stamp to be */
    uint64_t size_bytes;                   /* on disk */
    uint64_t acked_bytes; /* acknowledged up the pipeline: what readers may see; <= size_bytes */
    bool doubtful;        /* RWR, RUR: the machine lost power, bytes may be those of before */
};

const char *hd_replica_state_name(enum hd_replica_state state); /* "FINALIZED"... as HDFS says it */

/* Moves to `to`; asserts that the drawing above has the arrow. RUR keeps the state it came from. */
void hd_replica_move(struct hd_replica *r, enum hd_replica_state to);

/* Bytes a reader may ask for. */
uint64_t hd_replica_visible_bytes(const struct hd_replica *r);

/* Set-up stages of WRITE_BLOCK, with their wire numbers; 2 and 4 are never a set-up. */
enum hd_write_stage {
    HD_STAGE_APPEND = 0,
    HD_STAGE_APPEND_RECOVERY = 1,
    HD_STAGE_STREAMING_RECOVERY = 3,
    HD_STAGE_CLOSE_RECOVERY = 5,
    HD_STAGE_CREATE = 6,
    HD_STAGE_TRANSFER_RBW = 7,
    HD_STAGE_TRANSFER_FINALIZED = 8,
};

struct hd_write_setup {
    enum hd_write_stage stage;
    bool from_node; /* client name empty: a copy ordered by meta, received as TEMPORARY */
    struct hd_block_id id;
    struct hd_genstamp gs;     /* the client's idea of the replica's stamp */
    struct hd_genstamp new_gs; /* the stamp to write under; 0: gs */
    uint64_t min_bytes;        /* acknowledged at the client */
    uint64_t max_bytes;        /* sent by the client */
    uint64_t reserve_bytes;    /* how large the block may become; 0: unknown */
    bool overwrite;            /* any bytes are replaced; the replica becomes max_bytes long */
    bool resync;               /* so, too, but by the recovery new_gs that it is under (RUR) */
};

/* What the store has to do for a set-up. */
struct hd_write_plan {
    bool create; /* new files in rbw/ (or tmp/ when temporary) */
    bool temporary;
    bool discard;        /* first throw away what is there (a stale, unfinished copy) */
    bool reopen;         /* a finalized replica goes back to rbw/ */
    bool finalize;       /* close recovery: finalized at once, no packets follow */
    bool resync;         /* files and state stay as they are */
    uint64_t keep_bytes; /* cut to this length first (<= size); overwriting: or grown to it */
    struct hd_genstamp gs;
};

/* True when an earlier writer of the replica has to be stopped before the plan is made. */
bool hd_write_stage_stops_writer(enum hd_write_stage stage);

/*
 * Decides. r is NULL when there is no such replica. 0, -HD_E_REPLICA_EXISTS,
 * -HD_E_REPLICA_NOT_FOUND, -HD_E_ILLEGAL_ARGUMENT (stamp or length do not fit) with a failure text.
 */
int hd_write_plan(const struct hd_replica *r, const struct hd_write_setup *s,
                  struct hd_write_plan *ret);

#endif
