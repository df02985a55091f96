/* Reading each copy of a file's blocks from the node that has it, without any choice in between. */
#ifndef HD_TOOLS_DRILL_REPLICAS_H
#define HD_TOOLS_DRILL_REPLICAS_H

#include "tools/cluster.h"

struct hd_replica_check {
    uint64_t read;   /* copies */
    uint64_t wrong;  /* copies whose bytes differ from data, or that the node itself finds bad */
    char first[300]; /* a sentence on the first wrong one */
};

/*
 * Compares every copy of the file's blocks with data, the whole file. Adds to check. A node that
 * does not answer is an error.
 */
int hd_replicas_check(const char *meta_address, const char *path, const uint8_t *data, size_t size,
                      struct hd_replica_check *check);

#endif
