/* Starting and stopping the parts of a data node. See data.h. */
#include "fs/data/shell/data.h"
#include "fs/base/error.h"
#include "fs/data/shell/control.h"
#include "fs/data/shell/disk_watch.h"
#include "fs/data/shell/op.h"
#include "fs/data/shell/reporter.h"
#include "fs/data/shell/rpc.h"
#include "fs/data/shell/scanner.h"
#include "fs/data/shell/workers.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    ACCEPTS_PER_TURN = 64,
    DISK_THREADS = 2,
    COPY_THREADS = 8,
    RECOVERY_THREADS = 4,
    RPC_THREADS = 8,
    WAITING_MAX = 10000,
};

int hd_data_thread(pthread_t *ret, bool detached, void *(*fn)(void *), void *ctx)
{
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, HD_DATA_STACK_BYTES);
    pthread_attr_setdetachstate(&attr,
                                detached ? PTHREAD_CREATE_DETACHED : PTHREAD_CREATE_JOINABLE);
    int e = pthread_create(ret, &attr, fn, ctx);
    pthread_attr_destroy(&attr);
    return e == 0 ? 0 : hd_fail_errno(e, "thread");
}

static void accept_some(struct hd_data *d, int listen_fd, bool is_unix)
{
    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (fd >= 0) {
            hd_conn_start(d, fd, is_unix);
        } else if (errno == EMFILE || errno == ENFILE) {
            hd_log_error("no descriptor left for a transfer", "connections=%d", d->conns.count);
            hd_clock_sleep_ms(10); /* the listener stays readable: no busy loop */
            return;
        } else if (errno != EINTR && errno != ECONNABORTED) {
            return;
        }
    }
}

static void on_tcp(void *ctx, uint32_t events)
{
    (void)events;
    struct hd_data *d = ctx;
    accept_some(d, d->listen_fd, false);
}

static void on_unix(void *ctx, uint32_t events)
{
    (void)events;
    struct hd_data *d = ctx;
    accept_some(d, d->unix_fd, true);
}

/* "..._PORT..." becomes "..._<port>...", as Hadoop's clients expand it. */
static void expand_port(char *path, size_t size, int port)
{
    char *at = strstr(path, "_PORT");
    if (at != NULL) {
        char rest[108];
        snprintf(rest, sizeof(rest), "%s", at + 5);
        snprintf(at, size - (size_t)(at - path), "_%d%s", port, rest);
    }
}

static int listen_unix(struct hd_data *d)
{
    char *path = d->options.socket_path;
    if (path[0] == '\0') {
        return 0;
    }
    expand_port(path, sizeof(d->options.socket_path), d->transfer_port);
    char dir[sizeof(d->options.socket_path)];
    snprintf(dir, sizeof(dir), "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash != NULL && slash != dir) {
        *slash = '\0';
        int err = hd_dir_make(dir, 0755);
        if (err < 0) {
            return err;
        }
    }
    int err = hd_addr_listen_unix(path, &d->unix_fd);
    if (err == 0) {
        chmod(path, 0666); /* whoever may connect over TCP may connect here */
        err = hd_loop_fd_add(d->loop, d->unix_fd, EPOLLIN, on_unix, d, &d->unix_watch);
    }
    return err;
}

static int listen_all(struct hd_data *d)
{
    char host[256];
    int err = hd_addr_listen(d->options.address, &d->listen_fd, &d->transfer_port);
    if (err == 0) {
        err = hd_loop_fd_add(d->loop, d->listen_fd, EPOLLIN, on_tcp, d, &d->listen_watch);
    }
    if (err == 0) {
        err = listen_unix(d);
    }
    if (err == 0) {
        err = hd_data_rpc_start(d);
    }
    if (err == 0 &&
        hd_addr_split(d->options.http_address, 0, host, sizeof(host), &d->http_port) < 0) {
        d->http_port = 0;
    }
    return err;
}

static int start_workers(struct hd_data *d)
{
    int err = hd_workers_new(DISK_THREADS, WAITING_MAX, &d->disk_workers);
    if (err == 0) {
        err = hd_workers_new(COPY_THREADS, WAITING_MAX, &d->copy_workers);
    }
    if (err == 0) {
        err = hd_workers_new(RECOVERY_THREADS, WAITING_MAX, &d->recovery_workers);
    }
    if (err == 0) {
        err = hd_workers_new(RPC_THREADS, WAITING_MAX, &d->rpc_workers);
    }
    return err;
}

/* Meta is told of it, and which replicas are left. */
static void on_disk_failure(void *ctx)
{
    struct hd_data *d = ctx;
    if (atomic_load(&d->started)) { /* else all is reported in a moment */
        hd_control_wake(d->control, true);
    }
}

int hd_data_start(struct hd_data *d, struct hd_loop *loop, struct hd_data_options *options)
{
    d->options = *options;
    *options = (struct hd_data_options){0};
    d->loop = loop;
    d->listen_fd = d->unix_fd = -1;
    d->start_ms = hd_clock_mono_ms().v;
    pthread_mutex_init(&d->conns.lock, NULL);
    pthread_cond_init(&d->conns.empty, NULL);
    hd_list_init(&d->conns.list);
    hd_peers_init(&d->peers);
    hd_throttle_init(&d->move_throttle, d->options.balance_bandwidth_bytes, &d->stopping);
    struct hd_store_options store = {.dirs = d->options.dirs,
                                     .reserved_bytes = d->options.reserved_bytes,
                                     .failed_volumes_tolerated =
                                         (int)d->options.failed_volumes_tolerated,
                                     .slow_ms = d->options.slow_disk_ms,
                                     .hang_ms = d->options.disk_timeout_ms,
                                     .on_failure = on_disk_failure,
                                     .on_failure_ctx = d};
    int err = hd_store_new(&store, &d->store);
    if (err == 0) {
        err = start_workers(d);
    }
    if (err == 0) {
        err = listen_all(d);
    }
    if (err == 0) {
        err = hd_reporter_start(d, &d->reporter);
    }
    if (err == 0) {
        err = hd_scanner_new(d, &d->scanner);
    }
    if (err == 0) {
        err = hd_disk_watch_start(d, &d->disk_watch);
    }
    if (err == 0) {
        err = hd_control_start(d, &d->control);
    }
    if (err == 0) {
        err = hd_scanner_start(d->scanner);
    }
    if (err < 0) {
        hd_data_stop(d);
        return err;
    }
    atomic_store(&d->started, true);
    hd_log_info("serving", "transfer_port=%d ipc_port=%d socket=%s dirs=%s meta=%s",
                d->transfer_port, d->ipc_port, d->options.socket_path, d->options.dirs,
                d->options.meta_address);
    return 0;
}

void hd_data_stop(struct hd_data *d)
{
    atomic_store(&d->stopping, true);
    hd_loop_fd_remove(d->listen_watch);
    hd_loop_fd_remove(d->unix_watch);
    hd_conns_stop(d);
    hd_scanner_quit(d->scanner);
    hd_control_quit(d->control); /* nobody waits for meta any more */
    hd_workers_free(d->copy_workers);
    hd_workers_free(d->recovery_workers);
    hd_workers_free(d->disk_workers);
    hd_workers_free(d->rpc_workers);
    hd_scanner_stop(d->scanner);
    hd_reporter_stop(d->reporter); /* it sends through control's connection */
    hd_control_stop(d->control);
    hd_rpc_server_free(d->rpc);
    hd_fd_done(&d->listen_fd);
    if (d->unix_fd >= 0) {
        unlink(d->options.socket_path);
    }
    hd_fd_done(&d->unix_fd);
    bool idle = hd_disk_watch_stop(d->disk_watch) && d->conns.count == 0;
    if (idle) {
        hd_throttle_done(&d->move_throttle);
        hd_peers_done(&d->peers);
        hd_store_free(d->store);
    }
    hd_data_options_done(&d->options);
}
