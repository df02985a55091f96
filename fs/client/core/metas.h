/*
 * Which meta a session talks to: the addresses it knows, the highest epoch it has seen, and who is
 * the right one after all were asked. Pure, not thread safe.
 *
 *                 refused, standby,           another is primary,
 *                 silent for a second         of a higher epoch
 *   TALKING ────────────────────────▶ ASKING ─────────────────────▶ TALKING to that one
 *      ▲                                 │ none
 *      └─────────────────────────────────┘
 *
 * A session never follows a meta whose epoch is lower than one it has seen. Of foreign servers
 * (HDFS with a standby) there is no epoch to know: one that refuses is left for the next in turn.
 */
#ifndef HD_CLIENT_CORE_METAS_H
#define HD_CLIENT_CORE_METAS_H

enum { HD_METAS_MAX = 8, HD_META_ADDRESS_BYTES = 300 };

struct hd_metas {
    char address[HD_METAS_MAX][HD_META_ADDRESS_BYTES]; /* "host:port" */
    size_t count;
    size_t current;
    uint64_t epoch; /* the highest seen; 0: none */
};

/* What a meta said when it was asked (howdah.MetaProtocol.getCluster). */
enum hd_meta_role {
    HD_META_SILENT,  /* nothing, or it cannot be reached */
    HD_META_PRIMARY, /* it serves; epoch is its own */
    HD_META_STANDBY, /* a secondary, or a primary that was fenced */
    HD_META_FOREIGN, /* an HDFS: it lives, and knows no epochs */
};

struct hd_meta_answer {
    enum hd_meta_role role;
    uint64_t epoch;
};

/* Adds an address unless it is known. False when there is no room, or it is too long. */
bool hd_metas_add(struct hd_metas *m, const char *address);

/* The role by the text of getCluster's answer; one that does not say (NULL) is as good as silent.
 */
enum hd_meta_role hd_meta_role_of(const char *role);

/*
 * The index of the meta to talk to, answers[i] being that of address i. `refused`: the current one
 * does not serve (else it is only slow, and left for a higher epoch alone). The current index when
 * no other is better.
 */
size_t hd_metas_choose(const struct hd_metas *m, const struct hd_meta_answer *answers,
                       bool refused);

/* True when nothing that is still to come from metas not heard yet could change the choice. */
bool hd_metas_is_settled(const struct hd_metas *m, const struct hd_meta_answer *answers,
                         const bool *heard);

/* Whether a meta of this epoch may be talked to; notes it when it is higher. 0: it has none. */
bool hd_metas_admit(struct hd_metas *m, uint64_t epoch);

/*
 * What a session was answered by a relaxed meta and may not find again after a failover or a
 * restart. state_id is the highest txid it saw answered, synced_id the highest known durable.
 */
struct hd_life {
    uint64_t incarnation; /* 0: not told */
    uint64_t epoch;
    int64_t state_id;
    int64_t synced_id;
};

/* What a meta says of itself when a session is opened. */
struct hd_life_news {
    uint64_t incarnation; /* 0: it does not say */
    uint64_t first_txid;  /* with incarnation */
    uint64_t epoch;
    uint64_t txid; /* written so far */
};

/*
 * Whether changes that were answered and not synced are lost in the life that now answers. Without
 * an incarnation: when its log is shorter than what was seen, or the epoch is a higher one and
 * something was not synced (which may be a false alarm, never a false promise).
 */
bool hd_life_lost(const struct hd_life *seen, const struct hd_life_news *now);

#endif
