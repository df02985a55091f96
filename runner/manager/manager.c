/* The manager's start, loop and stop. See manager.h. */
#include "runner/manager/manager.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <stdlib.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { CARE_MS = 250, NODES_MAX = 100000 };

uint32_t hd_manager_node(struct hd_manager *m, const char *address, const char *rack)
{
    pthread_mutex_lock(&m->nodes_lock);
    size_t size = strlen(address);
    uintptr_t known = (uintptr_t)hd_strmap_get(&m->node_ids, address, size);
    uint32_t id = (uint32_t)known - 1;
    if (known == 0 && m->node_count < NODES_MAX) {
        id = HD_SCHED_NO_NODE;
        struct hd_node_name *more = realloc(m->nodes, (m->node_count + 1) * sizeof(*more));
        if (more != NULL) {
            m->nodes = more;
            more[m->node_count] = (struct hd_node_name){strdup(address), strdup("")};
            if (more[m->node_count].address != NULL && more[m->node_count].rack != NULL &&
                hd_strmap_put(&m->node_ids, address, size,
                              (void *)(uintptr_t)(m->node_count + 1)) == 0) {
                id = m->node_count++;
            }
        }
    }
    if (id != HD_SCHED_NO_NODE && rack[0] != '\0' && strcmp(m->nodes[id].rack, rack) != 0) {
        char *copy = strdup(rack);
        if (copy != NULL) {
            free(m->nodes[id].rack);
            m->nodes[id].rack = copy;
        }
    }
    pthread_mutex_unlock(&m->nodes_lock);
    return id;
}

static void on_place_timer(void *manager)
{
    hd_manager_place(manager);
}

static void on_care(void *manager)
{
    struct hd_manager *m = manager;
    hd_magent_care(m);
    hd_loop_timer_set(m->care_timer, CARE_MS);
}

static void on_watchdog(void *manager)
{
    struct hd_manager *m = manager;
    hd_daemon_notify("WATCHDOG=1");
    hd_loop_timer_set(m->watchdog_timer, hd_daemon_watchdog_ms());
}

static void on_turn_end(void *manager)
{
    struct hd_manager *m = manager;
    if (m->place_wanted) {
        m->place_wanted = false;
        hd_manager_place(m);
    }
}

static void on_signal(void *manager, uint32_t events)
{
    struct hd_manager *m = manager;
    struct signalfd_siginfo info;
    (void)events;
    if (read(m->signal_fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGHUP) {
        hd_daemon_notify("STOPPING=1");
        hd_log_info("stopping", "signal=%u", info.ssi_signo);
        hd_loop_stop(m->loop);
    }
}

static int prepare_dirs(struct hd_manager *m)
{
    char path[HD_MANAGER_PATH_BYTES];
    if (asprintf(&m->dir, "%s/manager", m->settings.dir) < 0) {
        m->dir = NULL;
        return -ENOMEM;
    }
    snprintf(path, sizeof(path), "%s/uploads", m->dir);
    int err = hd_dir_remove(path); /* of clients of a manager that is gone */
    return err == 0 ? hd_dir_make(path, 0755) : err;
}

static int serve(struct hd_manager *m)
{
    static const char *const protocols[] = {HD_RUNNER_PROTOCOL, HD_AGENT_PROTOCOL, NULL};
    struct hd_rpc_server_options o = {.protocols = protocols,
                                      .on_call = hd_manager_on_call,
                                      .on_close = hd_manager_on_close,
                                      .ctx = m};
    int err = hd_rpc_server_new(m->loop, m->settings.manager_address, &o, &m->server);
    return err == 0 && m->settings.http_address != NULL
               ? hd_http_server_new(m->loop, m->settings.http_address, hd_page, m, &m->http)
               : err;
}

static int start(struct hd_manager *m)
{
    int err = prepare_dirs(m);
    if (err == 0) {
        err = hd_runner_fs_open(&m->settings, "howdah-manager", true, &m->fs);
    }
    if (err == 0) {
        err = hd_runner_fs_open(&m->settings, "howdah-manager", false, &m->fs_strict);
    }
    if (err == 0) {
        err = hd_loop_new(&m->loop);
    }
    if (err == 0) {
        err = hd_loop_fd_add(m->loop, m->signal_fd, EPOLLIN, on_signal, m, &m->signal_watch);
    }
    if (err == 0) {
        err = hd_loop_timer_add(m->loop, -1, on_place_timer, m, &m->place_timer);
    }
    if (err == 0) {
        err = hd_loop_timer_add(m->loop, CARE_MS, on_care, m, &m->care_timer);
    }
    if (err == 0 && hd_daemon_watchdog_ms() > 0) {
        err =
            hd_loop_timer_add(m->loop, hd_daemon_watchdog_ms(), on_watchdog, m, &m->watchdog_timer);
    }
    if (err == 0) {
        hd_loop_on_turn_end(m->loop, on_turn_end, m);
        err = hd_history_load(m);
    }
    if (err == 0) {
        err = hd_workers_start(m);
    }
    return err == 0 ? serve(m) : err;
}

int hd_manager_run(struct hd_manager *m)
{
    hd_list_init(&m->jobs);
    hd_list_init(&m->agents);
    hd_list_init(&m->work);
    hd_strmap_init(&m->node_ids);
    pthread_mutex_init(&m->work_lock, NULL);
    pthread_cond_init(&m->work_cond, NULL);
    pthread_mutex_init(&m->nodes_lock, NULL);
    hd_random_uuid(m->incarnation);
    m->sched = hd_sched_new();
    int err = m->sched != NULL ? hd_daemon_signals(&m->signal_fd) : -ENOMEM;
    if (err == 0) {
        err = start(m);
    }
    if (err < 0) {
        return err;
    }
    hd_log_info("serving", "address=%s dir=%s fs=%s", m->settings.manager_address, m->dir,
                m->settings.uri);
    hd_daemon_notify("READY=1");
    return hd_loop_run(m->loop);
}
