/*
 * Bringing the daemons of a cluster up, side by side, until the cluster can be used.
 */
#ifndef HD_TOOLS_START_H
#define HD_TOOLS_START_H

#include "tools/cluster.h"

#include <sys/types.h>

struct hd_start_options {
    bool no_mount;      /* leave the mount alone */
    int64_t timeout_ms; /* for everything */
};

/*
 * Starts every member that does not run: meta first, the others side by side. Waits until each has
 * said READY, meta has left safe mode and knows all data nodes, and the mount is there. Ends early
 * when a daemon dies. On failure the text names the daemon and shows the end of its log; what was
 * started goes on running. *ret_started (may be NULL) is how many were started.
 */
int hd_start(const struct hd_cluster *c, const struct hd_start_options *options, int *ret_started);

/* Unmounts path: in order if it can, else lazily. 0 also when nothing is mounted. */
int hd_unmount(const char *path);

/* Unmounts, then stops all daemons in the opposite order, at most grace_ms for each step. */
int hd_stop(const struct hd_cluster *c, int grace_ms);

#endif
