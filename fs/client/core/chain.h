/*
 * Decisions about a write chain (the nodes that hold one block being written): which node an ack
 * blames, how a broken chain goes on, when a replacement is worth it. Pure.
 *
 *              addBlock           packets             last packet
 *   CREATE ───────────────▶ STREAM ──────────▶ CLOSE ─────────────▶ done
 *     │ fails                 │ fails             │ fails
 *     ▼                       ▼                   ▼
 *   abandonBlock,          nothing acknowledged and all bytes at hand: as CREATE
 *   another addBlock       else: new generation stamp, stage|1 to the nodes that are left
 */
#ifndef HD_CLIENT_CORE_CHAIN_H
#define HD_CLIENT_CORE_CHAIN_H

enum {
    HD_CHAIN_NODES_MAX = 512,
    HD_CHAIN_RECOVERIES_MAX = 5, /* without a byte of progress between */
    HD_CHAIN_SILENCE_MS = 600,   /* without a word: the nodes are asked whether they live */
    HD_CHAIN_SILENCE_MAX_MS = 3000,
};

/* Status numbers of an ack that matter here (data_transfer.proto). */
enum { HD_ACK_SUCCESS = 0, HD_ACK_ERROR_CHECKSUM = 2, HD_ACK_OOB_RESTART = 8 };

struct hd_ack {
    int64_t seqno;
    const uint32_t *flags; /* bits 0-3: status; preferred when there are as many as replies */
    size_t flag_count;
    const int32_t *replies;
    size_t reply_count;
};

/* The status of node i in an ack. */
uint32_t hd_ack_status(const struct hd_ack *a, size_t i);

/* The first node that did not succeed, or -1. Nodes that the ack does not speak of are not blamed.
 */
int hd_ack_bad_node(const struct hd_ack *a, size_t node_count);

enum hd_chain_stage { HD_CHAIN_CREATE, HD_CHAIN_APPEND, HD_CHAIN_STREAM, HD_CHAIN_CLOSE };

struct hd_chain_state {
    enum hd_chain_stage stage;
    uint64_t acked_bytes; /* of the block; the length at append before the first ack */
    uint32_t node_count;  /* that are left */
    uint32_t replication; /* wanted */
    uint32_t recoveries;  /* since the last byte acknowledged */
    bool fresh;           /* begun by this writer, and every byte of it is still at hand */
    bool appended;
    bool flushed; /* somebody was promised that bytes are readable */
};

enum hd_chain_plan {
    HD_CHAIN_RESTART, /* abandon the block, begin another with the same bytes */
    HD_CHAIN_RECOVER, /* streaming recovery, then resend what is not acknowledged */
    HD_CHAIN_FINISH,  /* close recovery: everything is acknowledged but the last packet */
    HD_CHAIN_GIVE_UP,
};

enum hd_chain_plan hd_chain_plan_of(const struct hd_chain_state *s);

/* How long silence is borne after one of silence_ms in which all nodes proved to live: they are
 * busy, and asked ever less often. */
int hd_chain_silence_next_ms(int silence_ms);

/* HDFS's DEFAULT policy for replacing failed nodes. */
bool hd_chain_wants_node(const struct hd_chain_state *s);

#endif
