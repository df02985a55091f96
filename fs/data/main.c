/*
 * howdah-data: keeps replicas of blocks on local disks and streams them.
 *
 *   core/    what may happen to a replica, a pipeline, a recovery: pure rules
 *   store/   directories, the replica map, block and checksum files
 *   shell/   sockets and threads: transfer connections (op*, receive, send), meta (control,
 * reporter, commands, recover, transfer), the node's own RPC server (rpc)
 */
#include "fs/base/error.h"
#include "fs/data/shell/data.h"
#include "fs/net/fault_service.h"
#include "fs/net/loop.h"
#include "fs/os/config.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include <getopt.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { EXIT_USAGE = 64 };

struct daemon {
    struct hd_data data;
    struct hd_loop *loop;
    int signal_fd;
    struct hd_loop_fd *signal_watch;
    struct hd_loop_timer *watchdog;
    int exit_status;
};

static void on_signal(void *ctx, uint32_t events)
{
    (void)events;
    struct daemon *m = ctx;
    struct signalfd_siginfo info;
    if (read(m->signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info)) {
        return;
    }
    if (info.ssi_signo == SIGHUP) {
        return;
    }
    hd_log_info("stopping", "signal=%u", info.ssi_signo);
    hd_daemon_notify("STOPPING=1");
    hd_loop_stop(m->loop);
}

static void on_watchdog(void *ctx)
{
    struct daemon *m = ctx;
    hd_daemon_notify("WATCHDOG=1");
    hd_loop_timer_set(m->watchdog, hd_daemon_watchdog_ms());
}

static void on_fatal(void *ctx)
{
    struct daemon *m = ctx;
    m->exit_status = EXIT_FAILURE;
    hd_loop_stop(m->loop);
}

static int start(struct daemon *m, struct hd_data_options *options)
{
    int err = hd_daemon_signals(&m->signal_fd);
    if (err == 0) {
        err = hd_loop_new(&m->loop);
    }
    if (err == 0) {
        err = hd_loop_fd_add(m->loop, m->signal_fd, EPOLLIN, on_signal, m, &m->signal_watch);
    }
    if (err == 0 && hd_daemon_watchdog_ms() > 0) {
        err = hd_loop_timer_add(m->loop, hd_daemon_watchdog_ms(), on_watchdog, m, &m->watchdog);
    }
    if (err < 0) {
        return err;
    }
    m->data.on_fatal = on_fatal;
    m->data.on_fatal_ctx = m;
    return hd_data_start(&m->data, m->loop, options);
}

static int run(const char *conf, const char *name)
{
    static struct daemon m;
    struct hd_config *config = NULL;
    struct hd_data_options options = {0};
    int err = hd_config_load(conf, &config);
    if (err == 0) {
        err = hd_data_options_load(config, name, &options);
        if (err == 0) {
            err = hd_fault_service_init(config);
        }
        hd_config_free(config);
    }
    if (err == 0) {
        err = start(&m, &options);
    }
    if (err < 0) {
        hd_log_error("cannot start", "error=\"%s\"", hd_fail_describe(err));
        return EXIT_FAILURE;
    }
    hd_daemon_notify("READY=1");
    err = hd_loop_run(m.loop);
    hd_data_stop(&m.data);
    return err < 0 ? EXIT_FAILURE : m.exit_status;
}

static int usage(FILE *out, int status)
{
    fputs(
        "usage: howdah-data --conf FILE [--name NAME] [--log-level error|warn|info|debug]\n"
        "Keeps replicas of blocks on local disks. NAME is a section of FILE, for instance data-1;\n"
        "keys not found there are looked for in [data]. Stays in the foreground; SIGTERM stops "
        "it.\n",
        out);
    return status;
}

int main(int argc, char **argv)
{
    static const struct option long_options[] = {
        {"conf", required_argument, NULL, 'c'},      {"name", required_argument, NULL, 'n'},
        {"log-level", required_argument, NULL, 'l'}, {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},         {0}};
    const char *conf = NULL;
    const char *name = "data";
    enum hd_log_level level = HD_LOG_INFO;
    int opt;
    while ((opt = getopt_long(argc, argv, "h", long_options, NULL)) != -1) {
        switch (opt) {
        case 'c':
            conf = optarg;
            break;
        case 'n':
            name = optarg;
            break;
        case 'l':
            if (hd_log_level_parse(optarg, &level) < 0) {
                return usage(stderr, EXIT_USAGE);
            }
            break;
        case 'h':
            return usage(stdout, EXIT_SUCCESS);
        case 'v':
            puts("howdah-data 0.1.0");
            return EXIT_SUCCESS;
        default:
            return usage(stderr, EXIT_USAGE);
        }
    }
    if (conf == NULL || optind != argc) {
        return usage(stderr, EXIT_USAGE);
    }
    hd_log_init("howdah-data", level);
    return run(conf, name);
}
