/*
 * The calls a drill makes that tools/meta_call.h has not: to any daemon, one connection a call,
 * bounded by a timeout. Errors with their sentence.
 */
#ifndef HD_TOOLS_DRILL_CALL_H
#define HD_TOOLS_DRILL_CALL_H

#include "tools/cluster.h"
#include "fs/base/arena.h"
#include "howdah.pb-c.h"

/* One fault of a daemon's table (howdah.FaultProtocol). */
struct hd_drill_fault {
    const char *point;  /* "disk.delay" */
    const char *target; /* NULL: all */
    int64_t value;
};

/* Replaces the fault table of the daemon at address ("host:port" of its RPC port); none heals. */
int hd_drill_set_faults(const char *address, const struct hd_drill_fault *faults, size_t count,
                        uint64_t for_ms);

/* Where a member answers RPCs: a data node's ipc address, the others' address. */
const char *hd_drill_rpc_address(const struct hd_cluster *c, const struct hd_member *m);

/* Verifies all replicas of a data node now. Answered when it has begun. */
int hd_drill_scan(const char *ipc_address);

/* howdah.MetaProtocol at address. The answers live in arena. */
int hd_drill_set_node_state(const char *address, const char *node, Hdw__NodeAdminState state);
int hd_drill_get_nodes(const char *address, struct hd_arena *arena, Hdw__GetNodesResponse **ret);
int hd_drill_node_blocks(const char *address, const char *uuid, uint64_t cursor, uint32_t count,
                         struct hd_arena *arena, Hdw__GetNodeBlocksResponse **ret);
int hd_drill_promote(const char *address, Hdw__PromoteResponse **ret, struct hd_arena *arena);
int hd_drill_get_cluster(const char *address, int timeout_ms, struct hd_arena *arena,
                         Hdw__GetClusterResponse **ret);

/*
 * The address of the meta that serves now: of those the configuration names the one that says it
 * is primary (one that does not know of roles is). -ECONNREFUSED or another error when none does.
 */
int hd_drill_active_meta(const struct hd_cluster *c, int timeout_ms, char out[HD_TEXT_BYTES]);

/*
 * A file system object of a client's own: it shares no connection and no cache with another, knows
 * both metas, and reads from data nodes over the network only.
 */
int hd_drill_open_fs(const struct hd_cluster *c, const char *name, int retry_ms,
                     struct hd_fs **ret);

#endif
