/*
 * Bringing the daemons of a cluster up, side by side, until the cluster can be used.
 */
#ifndef HD_TOOLS_START_H
#define HD_TOOLS_START_H

#include "tools/cluster.h"
#include "fs/base/buf.h"

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

/*
 * Unmounts path: in order if it can, else lazily; a few seconds at most, whoever serves it. 0 also
 * when nothing is mounted; *ret_lazy (may be NULL): it went lazily.
 */
int hd_unmount(const char *path, bool *ret_lazy);

/*
 * Unmounts, then stops all daemons in the opposite order, in limit_ms whatever hangs (a little more
 * where SIGKILL takes its time): what does not end by itself in its share of that is unmounted
 * lazily or killed. given_up (may be NULL) takes a line for each such.
 */
int hd_stop(const struct hd_cluster *c, int limit_ms, struct hd_buf *given_up);

#endif
