/*
 * Calls of meta that libhowdah has no words for: its admin service (howdah.MetaProtocol) and the
 * administrator's part of ClientProtocol. One connection; blocking, bounded by timeout_ms,
 * nothing repeated. One thread.
 */
#ifndef HD_TOOLS_META_CALL_H
#define HD_TOOLS_META_CALL_H

#include "fs/base/arena.h"
#include "fs/net/rpc_client.h"
#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"

struct hd_meta_call {
    struct hd_rpc_client *client; /* owned */
    struct hd_arena arena;        /* answers live here, until the next hd_meta_call_reset */
};

/*
 * address is "host:port": connects at the first call. Of several, "a:1,b:2", each is asked who it
 * is, for HD_META_ASK_MS at most, and the primary of the highest epoch taken; the first when there
 * is none.
 */
int hd_meta_call_init(struct hd_meta_call *m, const char *address, const char *user,
                      int timeout_ms);
enum { HD_META_ASK_MS = 700 };

/*
 * What one meta says of itself, within HD_META_ASK_MS. An error when it does not answer; one that
 * has nothing to tell yet answers with -HD_E_RETRIABLE.
 */
struct hd_meta_self {
    bool primary;
    bool exposed; /* sync = both is wished, and the secondary is not in step */
    bool both;    /* changes are acknowledged when both metas have them */
    uint64_t epoch;
    char cluster_id[96];
};
int hd_meta_ask_self(const char *address, const char *user, struct hd_meta_self *ret);

void hd_meta_call_done(struct hd_meta_call *m);  /* a zeroed struct is fine */
void hd_meta_call_reset(struct hd_meta_call *m); /* frees the answers so far */

/* The calls; 0 and an answer in the arena, or an error with its text. */
int hd_meta_get_cluster(struct hd_meta_call *m, Hdw__GetClusterResponse **ret);
int hd_meta_promote(struct hd_meta_call *m, bool force, Hdw__PromoteResponse **ret);
int hd_meta_checkpoint(struct hd_meta_call *m, Hdw__CheckpointResponse **ret);
int hd_meta_block_health(struct hd_meta_call *m, const char *path, Hdw__BlockHealthResponse **ret);
int hd_meta_nodes(struct hd_meta_call *m, Hdw__DatanodeReportType type,
                  Hdw__GetDatanodeReportResponse **ret);
int hd_meta_get_nodes(struct hd_meta_call *m, Hdw__GetNodesResponse **ret);
int hd_meta_set_node_state(struct hd_meta_call *m, const char *node, Hdw__NodeAdminState state,
                           uint64_t until_ms);                          /* 0: without end */
int hd_meta_set_bandwidth(struct hd_meta_call *m, int64_t bytes_per_s); /* of moves, each node */
int hd_meta_node_blocks(struct hd_meta_call *m, const char *uuid, uint64_t cursor, uint32_t count,
                        Hdw__GetNodeBlocksResponse **ret);
int hd_meta_fs_stats(struct hd_meta_call *m, Hdw__GetFsStatsResponse **ret);
int hd_meta_block_stats(struct hd_meta_call *m, Hdw__GetFsReplicatedBlockStatsResponse **ret);
int hd_meta_safe_mode(struct hd_meta_call *m, Hdw__SafeModeAction action, bool *ret_on);
int hd_meta_check_access(struct hd_meta_call *m, const char *path, Hdw__FsAction action);

/* Quotas of names and bytes; a limit of -1: none, NULL: as it is. The list's items live in the
 * arena. */
int hd_meta_set_tree_quota(struct hd_meta_call *m, const char *path, const int64_t *names,
                           const int64_t *bytes);
int hd_meta_get_tree_quota(struct hd_meta_call *m, const char *path,
                           Hdw__GetTreeQuotaResponse **ret);
int hd_meta_list_tree_quotas(struct hd_meta_call *m, Hdw__TreeQuota ***ret, size_t *ret_count);

/* path NULL: of the whole tree. cookie as the last answer gave it; NULL at first. */
int hd_meta_corrupt_files(struct hd_meta_call *m, const char *path, const char *cookie,
                          Hdw__CorruptFileBlocks **ret);

/* Agents that the runner's manager at address knows as up. */
int hd_manager_agents(const char *address, const char *user, int timeout_ms, uint32_t *ret_up);

#endif
