/* howdah admin: what an administrator asks of meta. */
#include "tools/admin.h"
#include "tools/cluster_init.h"
#include "tools/fs_format.h"
#include "tools/meta_call.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

static const char usage[] =
    "usage: howdah admin [--dir DIR] COMMAND\n\n"
    "  report [--json]                capacity, blocks and data nodes (dfsadmin -report)\n"
    "  safemode enter|leave|get|wait  no changes are accepted while safe mode is on\n"
    "  checkpoint                     writes an image of the namespace now\n"
    "  scan [NODE] [--json]           verifies all replicas now, of one node or of all\n"
    "  cluster [--json]               identity and log positions of meta\n"
    "  hadoop-conf DIR                writes core-site.xml and hdfs-site.xml for Hadoop's "
    "clients\n";

enum { CALL_TIMEOUT_MS = 20000, CHECKPOINT_TIMEOUT_MS = 600000, WAIT_MS = 200 };

static void admin_done(struct hd_admin *a)
{
    hd_meta_call_done(&a->meta);
    hd_cluster_done(&a->cluster);
}

static int print_json(json_t *o)
{
    int rc = o != NULL ? json_dumpf(o, stdout, JSON_INDENT(2)) : -1;
    json_decref(o);
    putchar('\n');
    return rc == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

/* ---- report ---- */

struct report {
    bool safe_mode;
    Hdw__GetFsStatsResponse *stats;
    Hdw__GetFsReplicatedBlockStatsResponse *blocks;
    Hdw__GetDatanodeReportResponse *live;
    Hdw__GetDatanodeReportResponse *dead;
};

static int ask_report(struct hd_admin *a, struct report *r)
{
    int rc = hd_meta_fs_stats(&a->meta, &r->stats);
    if (rc == 0) {
        rc = hd_meta_safe_mode(&a->meta, HDW__SAFE_MODE_ACTION__SAFEMODE_GET, &r->safe_mode);
    }
    if (rc == 0) {
        rc = hd_meta_block_stats(&a->meta, &r->blocks);
    }
    if (rc == 0) {
        rc = hd_meta_nodes(&a->meta, HDW__DATANODE_REPORT_TYPE__REPORT_LIVE, &r->live);
    }
    return rc == 0 ? hd_meta_nodes(&a->meta, HDW__DATANODE_REPORT_TYPE__REPORT_DEAD, &r->dead) : rc;
}

static double percent(uint64_t part, uint64_t whole)
{
    return whole != 0 ? 100.0 * (double)part / (double)whole : 0.0;
}

static void print_size(const char *label, uint64_t bytes)
{
    char text[HD_SIZE_TEXT_BYTES];
    printf("%s: %" PRIu64 " (%s)\n", label, bytes, hd_format_size(bytes, "B", 2, text));
}

static const char *admin_state(const Hdw__DatanodeInfo *n)
{
    switch (n->admin_state) {
    case HDW__ADMIN_STATE__ADMIN_NORMAL:
        return "Normal";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSION_INPROGRESS:
        return "Decommission in progress";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSIONED:
        return "Decommissioned";
    case HDW__ADMIN_STATE__ADMIN_ENTERING_MAINTENANCE:
        return "Entering Maintenance";
    case HDW__ADMIN_STATE__ADMIN_IN_MAINTENANCE:
        return "In Maintenance";
    case _HDW__ADMIN_STATE_IS_INT_SIZE:
        break;
    }
    return "Unknown";
}

static void print_time(const char *label, uint64_t time_ms)
{
    char text[HD_TIME_TEXT_BYTES];
    if (time_ms == 0) {
        printf("%s: Never\n", label);
        return;
    }
    printf("%s: %s\n", label,
           hd_format_time((int64_t)time_ms, "%a %b %d %H:%M:%S %Z %Y", false, text));
}

static void print_node(const Hdw__DatanodeInfo *n)
{
    printf("Name: %s:%u (%s)\nHostname: %s\n", n->id->ip_addr, n->id->xfer_port, n->id->host_name,
           n->id->host_name);
    if (n->location != NULL && strcmp(n->location, "/default-rack") != 0) {
        printf("Rack: %s\n", n->location);
    }
    printf("Decommission Status : %s\n", admin_state(n));
    print_size("Configured Capacity", n->capacity);
    print_size("DFS Used", n->dfs_used);
    print_size("Non DFS Used", n->non_dfs_used);
    print_size("DFS Remaining", n->remaining);
    printf("DFS Used%%: %.2f%%\nDFS Remaining%%: %.2f%%\n", percent(n->dfs_used, n->capacity),
           percent(n->remaining, n->capacity));
    print_size("Configured Cache Capacity", n->cache_capacity);
    print_size("Cache Used", n->cache_used);
    print_size("Cache Remaining", n->cache_capacity - HD_MIN(n->cache_used, n->cache_capacity));
    printf("Cache Used%%: %.2f%%\nCache Remaining%%: %.2f%%\n",
           n->cache_capacity != 0 ? percent(n->cache_used, n->cache_capacity) : 100.0,
           n->cache_capacity != 0 ? percent(n->cache_capacity - n->cache_used, n->cache_capacity)
                                  : 0.0);
    printf("Xceivers: %u\n", n->xceiver_count);
    print_time("Last contact", n->last_update);
    print_time("Last Block Report", n->last_block_report_time);
    printf("Num of Blocks: %u\n\n\n", n->num_blocks);
}

static void print_report(const struct report *r)
{
    const Hdw__GetFsStatsResponse *s = r->stats;
    uint64_t present = s->used + s->remaining;
    if (r->safe_mode) {
        printf("Safe mode is ON\n");
    }
    print_size("Configured Capacity", s->capacity);
    print_size("Present Capacity", present);
    print_size("DFS Remaining", s->remaining);
    print_size("DFS Used", s->used);
    printf("DFS Used%%: %.2f%%\n", percent(s->used, present));
    printf("Replicated Blocks:\n\tUnder replicated blocks: %" PRIu64
           "\n\tBlocks with corrupt replicas: %" PRIu64 "\n\tMissing blocks: %" PRIu64
           "\n\tMissing blocks (with replication factor 1): %" PRIu64
           "\n\tLow redundancy blocks with highest priority to recover: %" PRIu64
           "\n\tPending deletion blocks: %" PRIu64 "\n",
           r->blocks->low_redundancy, r->blocks->corrupt_blocks, r->blocks->missing_blocks,
           r->blocks->missing_repl_one_blocks, r->blocks->highest_prio_low_redundancy_blocks,
           r->blocks->pending_deletion_blocks);
    printf("\n-------------------------------------------------\n");
    if (r->live->n_di > 0) {
        printf("Live datanodes (%zu):\n\n", r->live->n_di);
    }
    for (size_t i = 0; i < r->live->n_di; i++) {
        print_node(r->live->di[i]);
    }
    if (r->dead->n_di > 0) {
        printf("Dead datanodes (%zu):\n\n", r->dead->n_di);
    }
    for (size_t i = 0; i < r->dead->n_di; i++) {
        print_node(r->dead->di[i]);
    }
}

/* "decommissioned", "in_maintenance": the words scripts compare. */
static const char *admin_word(const Hdw__DatanodeInfo *n)
{
    switch (n->admin_state) {
    case HDW__ADMIN_STATE__ADMIN_NORMAL:
        return "normal";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSION_INPROGRESS:
        return "decommissioning";
    case HDW__ADMIN_STATE__ADMIN_DECOMMISSIONED:
        return "decommissioned";
    case HDW__ADMIN_STATE__ADMIN_ENTERING_MAINTENANCE:
        return "entering_maintenance";
    case HDW__ADMIN_STATE__ADMIN_IN_MAINTENANCE:
        return "in_maintenance";
    case _HDW__ADMIN_STATE_IS_INT_SIZE:
        break;
    }
    return "unknown";
}

const char *hd_admin_node_name(const struct hd_cluster *c, const char *address)
{
    for (size_t i = 0; i < c->member_count; i++) {
        if (c->members[i].role == HD_ROLE_DATA && strcmp(c->members[i].address, address) == 0) {
            return c->members[i].name;
        }
    }
    return address;
}

static json_t *node_json(const struct hd_cluster *c, const Hdw__DatanodeInfo *n, const char *state)
{
    char address[HD_TEXT_BYTES];
    snprintf(address, sizeof(address), "%s:%u", n->id->ip_addr, n->id->xfer_port);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "name",
        hd_admin_node_name(c, address), "address", address, "host", n->id->host_name, "uuid",
        n->id->datanode_uuid, "rack", n->location != NULL ? n->location : "/default-rack", "state",
        state, "admin_state", admin_word(n), "capacity", (json_int_t)n->capacity, "used",
        (json_int_t)n->dfs_used, "non_dfs_used", (json_int_t)n->non_dfs_used, "remaining",
        (json_int_t)n->remaining, "blocks", (json_int_t)n->num_blocks, "transfers",
        (json_int_t)n->xceiver_count, "last_contact_ms", (json_int_t)n->last_update);
}

static json_t *report_json(const struct hd_cluster *c, const struct report *r)
{
    json_t *nodes = json_array();
    for (size_t i = 0; i < r->live->n_di; i++) {
        json_array_append_new(nodes, node_json(c, r->live->di[i], "live"));
    }
    for (size_t i = 0; i < r->dead->n_di; i++) {
        json_array_append_new(nodes, node_json(c, r->dead->di[i], "dead"));
    }
    return json_pack("{s:b, s:I, s:I, s:I, s:{s:I, s:I, s:I, s:I}, s:o}", "safemode", r->safe_mode,
                     "capacity", (json_int_t)r->stats->capacity, "used", (json_int_t)r->stats->used,
                     "remaining", (json_int_t)r->stats->remaining, "blocks", "under_replicated",
                     (json_int_t)r->blocks->low_redundancy, "corrupt",
                     (json_int_t)r->blocks->corrupt_blocks, "missing",
                     (json_int_t)r->blocks->missing_blocks, "pending_deletion",
                     (json_int_t)r->blocks->pending_deletion_blocks, "nodes", nodes);
}

static int do_report(struct hd_admin *a, int argc, char **argv)
{
    struct report r;
    (void)argc;
    (void)argv;
    int rc = ask_report(a, &r);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (a->json) {
        return print_json(report_json(&a->cluster, &r));
    }
    print_report(&r);
    return HD_EXIT_OK;
}

/* ---- safemode ---- */

static int wait_safe_mode(struct hd_admin *a)
{
    bool on = true;
    int rc;
    while ((rc = hd_meta_safe_mode(&a->meta, HDW__SAFE_MODE_ACTION__SAFEMODE_GET, &on)) == 0 &&
           on) {
        hd_clock_sleep_ms(WAIT_MS);
        hd_meta_call_reset(&a->meta);
    }
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    printf("Safe mode is OFF\n");
    return HD_EXIT_OK;
}

static int do_safemode(struct hd_admin *a, int argc, char **argv)
{
    static const struct {
        const char *name;
        Hdw__SafeModeAction action;
    } actions[] = {
        {"enter", HDW__SAFE_MODE_ACTION__SAFEMODE_ENTER},
        {"leave", HDW__SAFE_MODE_ACTION__SAFEMODE_LEAVE},
        {"get", HDW__SAFE_MODE_ACTION__SAFEMODE_GET},
        {"forceExit", HDW__SAFE_MODE_ACTION__SAFEMODE_FORCE_EXIT},
    };
    if (argc == 2 && strcmp(argv[1], "wait") == 0) {
        return wait_safe_mode(a);
    }
    for (size_t i = 0; argc == 2 && i < HD_ARRAY_COUNT(actions); i++) {
        if (strcmp(argv[1], actions[i].name) == 0) {
            bool on;
            int rc = hd_meta_safe_mode(&a->meta, actions[i].action, &on);
            if (rc < 0) {
                return hd_cmd_fail(a->self, rc);
            }
            printf("Safe mode is %s\n", on ? "ON" : "OFF");
            return HD_EXIT_OK;
        }
    }
    return hd_cmd_usage(a->self, "safemode: enter, leave, get or wait is expected");
}

/* ---- checkpoint, cluster, hadoop-conf ---- */

static int do_checkpoint(struct hd_admin *a, int argc, char **argv)
{
    Hdw__CheckpointResponse *r;
    (void)argc;
    (void)argv;
    int rc = hd_meta_checkpoint(&a->meta, &r);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (a->json) {
        return print_json(json_pack("{s:I, s:s}", "txid", (json_int_t)r->txid, "path", r->path));
    }
    printf("checkpoint of txid %" PRIu64 ": %s\n", r->txid, r->path);
    return HD_EXIT_OK;
}

static json_t *cluster_json(const Hdw__GetClusterResponse *r)
{
    return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:b, s:I, s:I, s:I, s:I}", "cluster_id",
                     r->cluster_id, "block_pool_id", r->block_pool_id, "namespace_id",
                     (json_int_t)r->namespace_id, "creation_ms", (json_int_t)r->creation_ms,
                     "written_txid", (json_int_t)r->written_txid, "durable_txid",
                     (json_int_t)r->durable_txid, "checkpoint_txid", (json_int_t)r->checkpoint_txid,
                     "safemode", r->safe_mode, "files", (json_int_t)r->files_total, "blocks",
                     (json_int_t)r->blocks_total, "nodes_live", (json_int_t)r->nodes_live,
                     "nodes_dead", (json_int_t)r->nodes_dead);
}

static int do_cluster(struct hd_admin *a, int argc, char **argv)
{
    Hdw__GetClusterResponse *r;
    char text[HD_TIME_TEXT_BYTES];
    (void)argc;
    (void)argv;
    int rc = hd_meta_get_cluster(&a->meta, &r);
    if (rc < 0) {
        return hd_cmd_fail(a->self, rc);
    }
    if (a->json) {
        return print_json(cluster_json(r));
    }
    printf("Cluster ID: %s\nBlock pool ID: %s\nNamespace ID: %u\nCreated: %s\n", r->cluster_id,
           r->block_pool_id, r->namespace_id,
           hd_format_time((int64_t)r->creation_ms, "%Y-%m-%d %H:%M:%S", false, text));
    printf("Txid written: %" PRIu64 "\nTxid durable: %" PRIu64
           "\nTxid of the newest image: %" PRIu64 "\n",
           r->written_txid, r->durable_txid, r->checkpoint_txid);
    if (r->secondary_seen_ms != 0) {
        printf("Txid of the secondary: %" PRIu64 " (last seen %s)\n", r->secondary_txid,
               hd_format_time((int64_t)r->secondary_seen_ms, "%Y-%m-%d %H:%M:%S", false, text));
    } else {
        printf("Txid of the secondary: never seen\n");
    }
    printf("Files and directories: %" PRIu64 "\nBlocks: %" PRIu64
           "\nData nodes: %u live, %u dead\n",
           r->files_total, r->blocks_total, r->nodes_live, r->nodes_dead);
    printf("Safe mode is %s%s%s\n", r->safe_mode ? "ON" : "OFF",
           r->safe_mode_text != NULL ? ": " : "",
           r->safe_mode_text != NULL ? r->safe_mode_text : "");
    return HD_EXIT_OK;
}

static int do_hadoop_conf(struct hd_admin *a, int argc, char **argv)
{
    if (argc != 2) {
        return hd_cmd_usage(a->self, "hadoop-conf: the folder to write to is expected");
    }
    int rc = hd_cluster_write_hadoop_conf(&a->cluster, argv[1]);
    return rc < 0 ? hd_cmd_fail(a->self, rc) : HD_EXIT_OK;
}

static const struct subcommand {
    const char *name;
    int timeout_ms;
    int args; /* behind the name */
    int (*run)(struct hd_admin *a, int argc, char **argv);
} subcommands[] = {
    {"report", CALL_TIMEOUT_MS, 0, do_report},
    {"safemode", CALL_TIMEOUT_MS, 1, do_safemode},
    {"checkpoint", CHECKPOINT_TIMEOUT_MS, 0, do_checkpoint},
    {"cluster", CALL_TIMEOUT_MS, 0, do_cluster},
    {"hadoop-conf", CALL_TIMEOUT_MS, 1, do_hadoop_conf},
    {"scan", CALL_TIMEOUT_MS, 1, hd_admin_scan},
};

static int run_subcommand(const struct subcommand *sub, struct hd_admin *a, const char *dir,
                          int argc, char **argv)
{
    if (argc - 1 > sub->args) {
        return hd_cmd_usage(a->self, "%s: unexpected argument %s", sub->name, argv[sub->args + 1]);
    }
    int rc = hd_cluster_find(dir, &a->cluster);
    if (rc == 0) {
        rc = hd_meta_call_init(&a->meta, a->cluster.meta_address, hd_user_name(), sub->timeout_ms);
    }
    return rc < 0 ? hd_cmd_fail(a->self, rc) : sub->run(a, argc, argv);
}

static int run_admin(const struct hd_command *self, int argc, char **argv)
{
    const char *dir = NULL;
    HD_AUTO(admin_done) struct hd_admin a = {.self = self};
    const struct hd_option options[] = {{"dir", &dir, NULL}, {"json", NULL, &a.json}, {0}};
    int rc = hd_cmd_options(self, options, &argc, argv);
    if (rc != 0) {
        return rc < 0 ? HD_EXIT_OK : rc;
    }
    if (argc < 2) {
        return hd_cmd_usage(self, "a command is expected");
    }
    const char *name = argv[1] + (argv[1][0] == '-'); /* as dfsadmin has them */
    for (size_t i = 0; i < HD_ARRAY_COUNT(subcommands); i++) {
        if (strcmp(name, subcommands[i].name) == 0) {
            return run_subcommand(&subcommands[i], &a, dir, argc - 1, argv + 1);
        }
    }
    return hd_cmd_usage(self, "%s: no such command", argv[1]);
}

const struct hd_command hd_cmd_admin = {
    .name = "admin",
    .summary = "report, scan, safemode, checkpoint, cluster, hadoop-conf",
    .usage = usage,
    .run = run_admin,
};
