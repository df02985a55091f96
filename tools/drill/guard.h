/*
 * The guard of a drill: a process of its own that undoes the journal when the drill's process ends
 * without having done so, killed or crashed. It holds the drill's lock until it is done.
 */
#ifndef HD_TOOLS_DRILL_GUARD_H
#define HD_TOOLS_DRILL_GUARD_H

#include "tools/cluster.h"

#include <sys/types.h>

struct hd_guard {
    int fd; /* its sign of life: the guard acts when this end is closed; -1: no guard */
    pid_t pid;
};

int hd_guard_start(const struct hd_cluster *c, const char *journal, bool no_mount,
                   struct hd_guard *ret);

/* The drill has healed by itself (or wants the guard to): waits for the guard's end. */
void hd_guard_end(struct hd_guard *g);

#endif
