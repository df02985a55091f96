/*
 * howdah-meta: the namespace of a cluster, and its secondary.
 *
 *   meta/core    the state machine: namespace, leases, blocks, nodes (pure)
 *   meta/log     edit log segments, images
 *   meta/kv      the view's store
 *   meta/shell   threads, recovery, RPC services, the two roles
 *   meta/README.md tells how they fit together
 *
 * This file reads the command line.
 */
#include "fs/base/error.h"
#include "fs/net/fault_service.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"
#include "meta/shell/roles.h"
#include "meta/shell/upgrade_dirs.h"

#include <getopt.h>
#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

#ifndef HD_VERSION
#define HD_VERSION "0.1.0"
#endif

enum { EXIT_USAGE = 64, ARENAS_MAX = 2 };

static const char usage[] =
    "usage: howdah-meta --conf FILE [--role primary|secondary] [--name NAME]\n"
    "                   [--log-level error|warn|info|debug] [--upgrade|--rollback|--finalize]\n"
    "\n"
    "Serves the metadata of a Howdah cluster (role primary, the default), or follows the primary\n"
    "and makes checkpoints for it (role secondary). Stays in the foreground, logs to stderr, ends\n"
    "in order at SIGTERM.\n"
    "\n"
    "  --conf FILE        howdah.conf(5); required\n"
    "  --role ROLE        primary or secondary\n"
    "  --name NAME        section of FILE that is looked at first (default: meta, secondary)\n"
    "  --log-level LEVEL  least urgent lines that are written (default: info)\n"
    "  --upgrade          keeps a way back (previous/ in the metadata directories), then starts\n"
    "  --rollback         returns to previous/, and ends\n"
    "  --finalize         gives the way back up, and ends\n"
    "  --help, --version\n";

struct args {
    const char *conf;
    const char *name;
    bool secondary;
    enum hd_upgrade_action upgrade;
    enum hd_log_level level;
};

static int bad_usage(const char *what, const char *value)
{
    fprintf(stderr, "howdah-meta: %s%s\n%s", what, value, usage);
    return EXIT_USAGE;
}

/* -1: go on; else the exit code. */
static int parse(int argc, char **argv, struct args *a)
{
    static const struct option options[] = {
        {"conf", required_argument, NULL, 'c'}, {"role", required_argument, NULL, 'r'},
        {"name", required_argument, NULL, 'n'}, {"log-level", required_argument, NULL, 'l'},
        {"upgrade", no_argument, NULL, 'U'},    {"rollback", no_argument, NULL, 'R'},
        {"finalize", no_argument, NULL, 'F'},   {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},    {NULL, 0, NULL, 0},
    };
    for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        switch (c) {
        case 'c':
            a->conf = optarg;
            break;
        case 'n':
            a->name = optarg;
            break;
        case 'r':
            a->secondary = strcmp(optarg, "secondary") == 0;
            if (!a->secondary && strcmp(optarg, "primary") != 0) {
                return bad_usage("no such role: ", optarg);
            }
            break;
        case 'l':
            if (hd_log_level_parse(optarg, &a->level) < 0) {
                return bad_usage("no such log level: ", optarg);
            }
            break;
        case 'U':
            a->upgrade = HD_UPGRADE_BEGIN;
            break;
        case 'R':
            a->upgrade = HD_UPGRADE_ROLLBACK;
            break;
        case 'F':
            a->upgrade = HD_UPGRADE_FINALIZE;
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        case 'v':
            puts("howdah-meta " HD_VERSION);
            return 0;
        default:
            fputs(usage, stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc) {
        return bad_usage("unexpected argument: ", argv[optind]);
    }
    return a->conf == NULL ? bad_usage("--conf is required", "") : -1;
}

static int run(const struct hd_meta_conf *conf, int signal_fd)
{
    struct hd_store store = {.lock_fd = -1};
    enum hd_meta_role role;
    int err = hd_role_decide(conf, &role);
    while (err == 0 && role != HD_META_END) {
        err = role == HD_META_PRIMARY ? hd_primary_run(conf, signal_fd, &store, &role)
                                      : hd_secondary_run(conf, signal_fd, &store, &role);
    }
    return err;
}

int main(int argc, char **argv)
{
    static struct hd_meta_conf conf;
    struct args a = {.level = HD_LOG_INFO};
    int exit_code = parse(argc, argv, &a);
    if (exit_code >= 0) {
        return exit_code;
    }
    hd_log_init(a.secondary ? "howdah-secondary" : "howdah-meta", a.level);
    mallopt(M_ARENA_MAX, ARENAS_MAX);
    HD_AUTO(hd_config_freep) struct hd_config *config = NULL;
    int signal_fd = -1;
    int err = hd_config_load(a.conf, &config);
    if (err == 0) {
        const char *name = a.name != NULL ? a.name : a.secondary ? "secondary" : "meta";
        err = hd_meta_conf_load(config, name, a.secondary, &conf);
    }
    if (err == 0 && a.upgrade != HD_UPGRADE_NONE) {
        err = hd_upgrade_dirs(conf.dir, a.upgrade);
        if (err == 0 && a.upgrade != HD_UPGRADE_BEGIN) {
            return EXIT_SUCCESS;
        }
    }
    if (err == 0) {
        err = hd_fault_service_init(config);
    }
    if (err == 0) {
        err = hd_daemon_signals(&signal_fd);
    }
    if (err == 0) {
        err = run(&conf, signal_fd);
    }
    if (err < 0) {
        hd_log_error("cannot go on", "reason=\"%s\"", hd_fail_describe(err));
    }
    return err < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
