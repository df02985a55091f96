/* howdah admin: what an administrator asks of meta. */
#include "tools/admin.h"
#include "tools/admin_files.h"
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
    "  topology [--json]              the data nodes by rack\n"
    "  decommission NODE              copies the node's blocks elsewhere, so that it can go\n"
    "  recommission NODE              takes it into service again\n"
    "  maintenance NODE --for 2h      the node may be away so long: nothing is copied for it\n"
    "  safemode enter|leave|get|wait  no changes are accepted while safe mode is on\n"
    "  promote [--yes] [--force]      makes the secondary the primary (primary lost, or to swap)\n"
    "  checkpoint                     writes an image of the namespace now\n"
    "  quota set PATH --names N --bytes 30M  limits of a directory and all below it (none: no "
    "limit)\n"
    "  quota get|clear PATH, list [--json]  what they are and how much is used; no limits any "
    "more\n"
    "  scan [NODE] [--json]           verifies all replicas now, of one node or of all\n"
    "  cluster [--json]               identity and log positions of meta\n"
    "  edits dump|verify [PATH]       records of the edit log; what of it is proven good\n"
    "  edits repair DIR OTHER         writes what is damaged anew from another copy of the log\n"
    "  edits accept DIR               starts from this metadata directory, whatever others have\n"
    "  image dump|verify|stats [PATH] keys of an image; is it good; what is in it\n"
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
    int timeout_ms; /* of calls to meta; 0: makes none, or looks for its meta itself */
    int args;       /* behind the name */
    int (*run)(struct hd_admin *a, int argc, char **argv);
} subcommands[] = {
    {"report", CALL_TIMEOUT_MS, 0, hd_admin_report},
    {"topology", CALL_TIMEOUT_MS, 0, hd_admin_topology},
    {"printTopology", CALL_TIMEOUT_MS, 0, hd_admin_topology},
    {"decommission", CALL_TIMEOUT_MS, 1, hd_admin_decommission},
    {"recommission", CALL_TIMEOUT_MS, 1, hd_admin_recommission},
    {"maintenance", CALL_TIMEOUT_MS, 1, hd_admin_maintenance},
    {"safemode", CALL_TIMEOUT_MS, 1, do_safemode},
    {"checkpoint", CHECKPOINT_TIMEOUT_MS, 0, do_checkpoint},
    {"cluster", CALL_TIMEOUT_MS, 0, do_cluster},
    {"promote", 0, 0, hd_admin_promote},
    {"hadoop-conf", 0, 1, do_hadoop_conf},
    {"edits", 0, 3, hd_admin_edits},
    {"image", 0, 2, hd_admin_image},
    {"scan", CALL_TIMEOUT_MS, 1, hd_admin_scan},
    {"quota", CALL_TIMEOUT_MS, 2, hd_admin_quota},
};

static int run_subcommand(const struct subcommand *sub, struct hd_admin *a, const char *dir,
                          int argc, char **argv)
{
    if (argc - 1 > sub->args) {
        return hd_cmd_usage(a->self, "%s: unexpected argument %s", sub->name, argv[sub->args + 1]);
    }
    int rc = hd_cluster_find(dir, &a->cluster);
    bool on_files = sub->run == hd_admin_edits || sub->run == hd_admin_image;
    if (rc < 0 && on_files && argc > 2) {
        rc = 0; /* the path says everything */
    }
    if (rc == 0) {
        rc = sub->timeout_ms == 0
                 ? 0
                 : hd_meta_call_init(&a->meta, a->cluster.metas, hd_user_name(), sub->timeout_ms);
    }
    return rc < 0 ? hd_cmd_fail(a->self, rc) : sub->run(a, argc, argv);
}

static int run_admin(const struct hd_command *self, int argc, char **argv)
{
    const char *dir = NULL;
    HD_AUTO(admin_done) struct hd_admin a = {.self = self};
    const struct hd_option options[] = {{"dir", &dir, NULL},        {"json", NULL, &a.json},
                                        {"for", &a.duration, NULL}, {"yes", NULL, &a.yes},
                                        {"force", NULL, &a.force},  {"names", &a.names, NULL},
                                        {"bytes", &a.bytes, NULL},  {0}};
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
    .summary = "report, topology, decommission, recommission, maintenance, quota, scan, safemode, "
               "checkpoint, cluster, hadoop-conf",
    .usage = usage,
    .run = run_admin,
};
