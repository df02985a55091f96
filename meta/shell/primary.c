/* The primary: loads the namespace, serves it, and ends in order at SIGTERM. See roles.h. */
#include "meta/shell/roles.h"
#include "meta/shell/executor.h"
#include "meta/shell/space.h"
#include "fs/base/error.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct primary {
    struct hd_loop *loop;
    struct hd_executor *executor;
    int signal_fd;
    struct hd_loop_timer *watchdog;
    int64_t watchdog_ms;
    bool fenced;
};

static void on_signal(void *ctx, uint32_t events)
{
    struct primary *p = ctx;
    struct signalfd_siginfo info;
    (void)events;
    while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo == SIGHUP) {
            hd_groups_clear(&p->executor->groups);
            hd_rack_map_reload(p->executor->racks);
            hd_log_info("groups of users forgotten, racks read again", "signal=SIGHUP");
            continue;
        }
        hd_log_info("stopping", "signal=%u", info.ssi_signo);
        hd_daemon_notify("STOPPING=1");
        hd_loop_stop(p->loop);
    }
}

static void on_watchdog(void *ctx)
{
    struct primary *p = ctx;
    hd_daemon_notify("WATCHDOG=1");
    hd_loop_timer_set(p->watchdog, p->watchdog_ms);
}

static int serve(struct primary *p, const struct hd_meta_conf *conf, struct hd_store *store)
{
    struct hd_loop_fd *watch = NULL;
    struct hd_space *space = NULL;
    const struct hd_space_options so = {.loop = p->loop,
                                        .log = store->log,
                                        .meta = store->meta,
                                        .reserved_bytes = conf->reserved_bytes};
    int err = hd_executor_new(conf, store, p->loop, &p->executor);
    if (err == 0) {
        err = hd_space_start(&so, &space);
    }
    if (err == 0) {
        err = hd_loop_fd_add(p->loop, p->signal_fd, EPOLLIN, on_signal, p, &watch);
    }
    if (err == 0 && p->watchdog_ms > 0) {
        err = hd_loop_timer_add(p->loop, p->watchdog_ms, on_watchdog, p, &p->watchdog);
    }
    if (err == 0) {
        err = hd_executor_listen(p->executor);
    }
    if (err == 0) {
        hd_log_info("serving", "address=%s port=%d dir=%s txid=%" PRIu64, conf->rpc_address,
                    hd_rpc_server_port(p->executor->server), store->dir, p->executor->stepped.v);
        hd_daemon_notify("READY=1");
        err = hd_loop_run(p->loop);
        p->fenced = p->executor->fenced;
    }
    hd_space_stop(space);
    hd_executor_free(p->executor);
    hd_loop_fd_remove(watch);
    if (p->watchdog != NULL) {
        hd_loop_timer_remove(p->watchdog);
    }
    return err;
}

/* Fenced: the directory is not a primary's any more, whatever the configuration says. */
static int step_down(struct hd_store *store)
{
    store->version.role_known = store->version.was_secondary = true;
    return hd_store_write_version(store);
}

static int open_store(const struct hd_meta_conf *conf, struct hd_store *store)
{
    char ip[256];
    const char *colon = strrchr(conf->rpc_address, ':');
    snprintf(ip, sizeof(ip), "%.*s", colon != NULL ? (int)(colon - conf->rpc_address) : 0,
             conf->rpc_address);
    const struct hd_store_options o = {.dir = conf->dir, .core = &conf->core, .ip = ip};
    int err = hd_store_open(&o, store);
    if (err == 0 && !store->version.role_known) {
        store->version.role_known = true;
        err = hd_store_write_version(store);
    }
    return err;
}

int hd_primary_run(const struct hd_meta_conf *conf, int signal_fd, struct hd_store *store,
                   enum hd_meta_role *ret_next)
{
    struct primary p = {.signal_fd = signal_fd, .watchdog_ms = hd_daemon_watchdog_ms()};
    int err = store->lock_fd < 0 ? open_store(conf, store) : 0;
    *ret_next = HD_META_END;
    if (err == 0) {
        err = hd_loop_new(&p.loop);
    }
    if (err == 0) {
        err = serve(&p, conf, store);
    }
    if (err == 0 && p.fenced) {
        *ret_next = HD_META_SECONDARY;
        err = step_down(store);
    }
    hd_loop_free(p.loop);
    hd_store_close(store);
    return err;
}
