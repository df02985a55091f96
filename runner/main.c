/*
 * howdah-runner: the daemon beside the data.
 *
 *   --role manager   takes jobs from `runner`, plans and places their tasks   (runner/manager)
 *   --role agent     runs tasks beside a data node                            (runner/agent)
 *
 * runner/core decides (plan, scheduler), runner/ops moves records (line rule, sort, merge, runs),
 * runner/lib is shared with the command, runner/cli is the command `runner`.
 */
#include "fs/base/error.h"
#include "fs/net/fault_service.h"
#include "fs/os/log.h"
#include "runner/agent/agent.h"
#include "runner/manager/manager.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>

enum { EXIT_USAGE = 64 };

static const char help[] =
    "Usage: howdah-runner --conf FILE --role manager|agent [--name NAME] [--log-level LEVEL]\n"
    "\n"
    "Runs jobs beside the data. One manager a cluster, an agent beside every data node.\n"
    "\n"
    "  --conf FILE        howdah.conf\n"
    "  --role ROLE        manager or agent\n"
    "  --name NAME        instance of the configuration: manager, agent-1, ... (default: the "
    "role)\n"
    "  --log-level LEVEL  error, warn, info (default), debug\n"
    "  --help, --version\n";

struct options {
    const char *conf;
    const char *role;
    const char *name;
};

static int usage(const char *why)
{
    fprintf(stderr, "howdah-runner: %s\nTry 'howdah-runner --help'.\n", why);
    return EXIT_USAGE;
}

static int parse(int argc, char **argv, struct options *o)
{
    static const struct option longs[] = {
        {"conf", required_argument, NULL, 'c'},
        {"role", required_argument, NULL, 'r'},
        {"name", required_argument, NULL, 'n'},
        {"log-level", required_argument, NULL, 'l'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},
        {NULL, 0, NULL, 0},
    };
    enum hd_log_level level = HD_LOG_INFO;
    int c;
    while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
        switch (c) {
        case 'c':
            o->conf = optarg;
            break;
        case 'r':
            o->role = optarg;
            break;
        case 'n':
            o->name = optarg;
            break;
        case 'l':
            if (hd_log_level_parse(optarg, &level) < 0) {
                return usage("--log-level takes error, warn, info or debug");
            }
            break;
        case 'h':
            fputs(help, stdout);
            exit(0);
        case 'v':
            puts("howdah-runner 0.1.0");
            exit(0);
        default:
            return EXIT_USAGE;
        }
    }
    if (optind < argc || o->conf == NULL || o->role == NULL) {
        return usage("--conf and --role are needed, and nothing else");
    }
    o->name = o->name != NULL ? o->name : o->role;
    hd_log_init("howdah-runner", level);
    return 0;
}

static int run_manager(const struct options *o)
{
    static struct hd_manager m;
    int err = hd_runner_settings_load(o->conf, o->name, &m.settings);
    if (err == 0) {
        err = hd_fault_service_init(m.settings.config);
    }
    return err == 0 ? hd_manager_run(&m) : err;
}

static int run_agent(const struct options *o)
{
    static struct hd_agent a;
    a.name = o->name;
    int err = hd_runner_settings_load(o->conf, o->name, &a.settings);
    return err == 0 ? hd_agent_run(&a) : err;
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--chain") == 0) { /* what an agent starts */
        return hd_chain_process(argv[2]);
    }
    struct options o = {0};
    int rc = parse(argc, argv, &o);
    if (rc != 0) {
        return rc;
    }
    if (strcmp(o.role, "manager") != 0 && strcmp(o.role, "agent") != 0) {
        return usage("--role takes manager or agent");
    }
    int err = strcmp(o.role, "manager") == 0 ? run_manager(&o) : run_agent(&o);
    if (err < 0) {
        hd_log_error("stopped", "error=\"%s\"", hd_fail_describe(err));
        return 1;
    }
    return 0;
}
