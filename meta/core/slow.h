/*
 * Nodes whose disks are slow against the others' (fail-slow): they get new replicas only when there
 * is nobody else, and are read from after the others.
 *
 * Each node tells with its heartbeats how long a small durable write takes on its disks; its figure
 * is that of the fastest, since it avoids its slow ones itself. A node is slow when the figure is
 * beyond a floor and a multiple of the median of all, and until it is well below; never more than a
 * third of the nodes are, so that a cluster that is busy as a whole changes nothing.
 */
#ifndef HD_META_CORE_SLOW_H
#define HD_META_CORE_SLOW_H

#include "datanode.pb-c.h"

#include <stddef.h>

struct hd_meta;
struct hd_node;

/* Takes what a heartbeat says of disks, and judges all nodes anew once a second. */
void hd_slow_heard(struct hd_meta *m, struct hd_node *node, Hdw__SlowDiskReport *const *reports,
                   size_t count);

#endif
