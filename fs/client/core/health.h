/*
 * What a client remembers about data nodes for some seconds, and the order in which replicas are
 * tried. Pure: time comes in. Not thread safe.
 */
#ifndef HD_CLIENT_CORE_HEALTH_H
#define HD_CLIENT_CORE_HEALTH_H

enum { HD_HEALTH_KEY_BYTES = 64, HD_HEALTH_NODES_MAX = 64 };

struct hd_health_node {
    char key[HD_HEALTH_KEY_BYTES]; /* "" free */
    int64_t until_ms;
    int64_t penalty_ms; /* of the last failure; doubles when the next comes soon */
};

struct hd_health {
    struct hd_health_node nodes[HD_HEALTH_NODES_MAX];
};

/* The node failed: it is suspect for 2 s, doubling to 30 s while it goes on failing. */
void hd_health_failed(struct hd_health *h, const char *key, int64_t now_ms);

/* The node served: forgets what was held against it. */
void hd_health_served(struct hd_health *h, const char *key);

bool hd_health_suspect(const struct hd_health *h, const char *key, int64_t now_ms);

/* One replica, in the order meta gave (nearest first). */
struct hd_candidate {
    bool local;
    bool suspect;
    bool failed; /* tried in this round already */
};

/*
 * The index of the replica to try next: those not tried yet before others, trusted before suspect,
 * local before remote, then meta's order. -1 when all were tried.
 */
int hd_candidate_choose(const struct hd_candidate *c, size_t count);

#endif
