/*
 * How the daemons of a cluster are: asks meta, looks at processes, knocks at ports. Never waits
 * longer than a couple of seconds, whatever hangs.
 */
#ifndef HD_TOOLS_PROBE_H
#define HD_TOOLS_PROBE_H

#include "tools/cluster.h"

#include <sys/types.h>

enum hd_state {
    HD_STATE_UP,      /* alive and answering */
    HD_STATE_STALE,   /* alive, but not heard of for a while, or not answering */
    HD_STATE_DEAD,    /* given up by meta */
    HD_STATE_STOPPED, /* no process */
};

struct hd_member_health {
    enum hd_state state;
    pid_t pid;   /* 0: none */
    bool active; /* a meta that is the primary */
    bool http;   /* something answers at its http address */
};

/* A data node that meta knows and the configuration of this machine does not. */
struct hd_foreign_node {
    char address[HD_TEXT_BYTES];
    enum hd_state state;
};

struct hd_health {
    bool meta_answers;
    char error[512]; /* why not; "" when it does */
    bool safe_mode;
    uint64_t blocks_total, blocks_missing, blocks_under_replicated, blocks_corrupt;
    uint32_t nodes_live;
    const char *sync; /* "both", "primary", or "exposed": both is wished, and one has the changes */
    uint64_t epoch;
    char failed_dirs[HD_PATH_BYTES];  /* metadata directories that are not written; with commas */
    struct hd_member_health *members; /* heap, owned; parallel to the cluster's */
    struct hd_foreign_node *foreign;  /* heap, owned */
    size_t foreign_count;
};

/* 0 or -ENOMEM. That a daemon does not answer is no error but an answer. */
int hd_probe(const struct hd_cluster *c, struct hd_health *ret);
void hd_health_done(struct hd_health *h);

const char *hd_state_name(enum hd_state state);

/* True when something is mounted on path (absolute, as the kernel shows it). Does not touch it. */
bool hd_probe_mounted(const char *path);

/*
 * Every FUSE mount of this machine whose source is uri: calls fn with its path. At most max.
 */
size_t hd_probe_mounts_of(const char *uri, char (*paths)[HD_PATH_BYTES], size_t max);

/* True when something accepts TCP connections at "host:port" within timeout_ms. */
bool hd_probe_port(const char *address, int timeout_ms);

#endif
