/* The secondary's process: its loop, its small RPC service, its end. See secondary_impl.h. */
#include "meta/shell/roles.h"
#include "meta/shell/executor.h"
#include "meta/shell/promote.h"
#include "meta/shell/secondary_impl.h"
#include "meta/shell/threads.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include "client_namenode.pb-c.h"
#include "ha.pb-c.h"
#include "howdah.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

struct process {
    struct hd_secondary s;
    struct hd_loop *loop;
    struct hd_rpc_server *server;
    struct hd_loop_timer *watchdog;
    int64_t watchdog_ms;
    int signal_fd;

    /* a promotion under way */
    struct hd_rpc_call *promote; /* NULL: none */
    pthread_t promoter;
    bool force;
    int err;
    char text[HD_FAIL_TEXT_BYTES];
    uint64_t epoch;
    bool tail_stopped;
    bool promoted;
};

/* Breaks whatever call to the primary is under way, and waits for the threads. */
static void stop_tail(struct hd_secondary *s)
{
    pthread_mutex_lock(&s->lock);
    atomic_store(&s->stopping, true);
    pthread_cond_broadcast(&s->stop_cond);
    pthread_mutex_unlock(&s->lock);
    hd_rpc_client_disconnect(s->link.client);
    hd_rpc_client_disconnect(s->checkpoint.link.client);
    if (s->tail_runs) {
        pthread_join(s->tail, NULL);
        s->tail_runs = false;
    }
    hd_secondary_replay_stop(s);
}

/* --- calls --- */

static void get_cluster(struct process *p, struct hd_rpc_call *call)
{
    struct hd_secondary *s = &p->s;
    Hdw__GetClusterResponse r = HDW__GET_CLUSTER_RESPONSE__INIT;
    pthread_mutex_lock(&s->lock);
    struct hd_version v = s->version;
    r.written_txid = r.durable_txid = s->applied.v;
    r.checkpoint_txid = s->image_txid.v;
    pthread_mutex_unlock(&s->lock);
    if (v.cluster_id[0] == '\0' && hd_role_peek(s->conf->dir, &v) < 0) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "the secondary has not reached its primary yet");
        return;
    }
    r.cluster_id = v.cluster_id;
    r.block_pool_id = v.block_pool_id;
    r.namespace_id = v.namespace_id;
    r.creation_ms = v.creation_ms;
    r.has_epoch = true;
    r.epoch = v.epoch;
    r.role = (char *)(uintptr_t) "secondary";
    r.has_exposed = true;
    r.exposed = v.incomplete;
    hd_rpc_reply(call, &r.base, (int64_t)r.written_txid);
}

/* On the loop. */
static void promotion_over(void *ctx)
{
    struct process *p = ctx;
    pthread_join(p->promoter, NULL);
    if (p->err < 0) {
        hd_log_error("not promoted", "reason=\"%s\"", p->text);
        hd_rpc_reply_error(p->promote, p->err, p->text);
        atomic_store(&p->s.keep_store, false);
    } else {
        Hdw__PromoteResponse r = HDW__PROMOTE_RESPONSE__INIT;
        r.epoch = p->epoch;
        r.txid = p->s.store.applied.v;
        r.address = (char *)(uintptr_t)p->s.conf->own_address;
        hd_rpc_reply(p->promote, &r.base, (int64_t)r.txid);
        p->promoted = true;
    }
    p->promote = NULL;
    if (p->tail_stopped) {
        hd_loop_stop(p->loop); /* as a primary, or because nothing can be done any more */
    }
}

static void *run_promotion(void *ctx)
{
    struct process *p = ctx;
    p->err = hd_promote(&p->s, p->force, stop_tail, &p->epoch, &p->tail_stopped);
    if (p->err < 0) {
        snprintf(p->text, sizeof(p->text), "%s", hd_fail_describe(p->err));
    }
    (void)hd_loop_post(p->loop, promotion_over, p);
    return NULL;
}

static void promote(struct process *p, struct hd_rpc_call *call)
{
    const Hdw__PromoteRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__promote_request__descriptor);
    if (q == NULL) {
        return;
    }
    if (strcmp(call->user, p->s.conf->superuser) != 0) {
        hd_rpc_reply_error(call, -EACCES, "Superuser privilege is required to promote");
        return;
    }
    if (p->promote != NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "a promotion is under way");
        return;
    }
    p->force = q->has_force && q->force;
    hd_log_info("asked to become primary", "user=%s peer=%s force=%d", call->user, call->peer_ip,
                p->force);
    atomic_store(&p->s.keep_store, true);
    int err = hd_meta_thread_start(&p->promoter, "promote", run_promotion, p);
    if (err < 0) {
        atomic_store(&p->s.keep_store, false);
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, hd_fail_describe(err));
        return;
    }
    p->promote = call;
}

static void service_status(struct hd_rpc_call *call)
{
    Hdw__GetServiceStatusResponse r = HDW__GET_SERVICE_STATUS_RESPONSE__INIT;
    r.state = HDW__HASERVICE_STATE__HASTATE_STANDBY;
    r.has_ready_to_become_active = true;
    r.not_ready_reason = (char *)(uintptr_t) "it becomes active by `howdah admin promote`";
    hd_rpc_reply(call, &r.base, 0);
}

static void ha_state(struct hd_rpc_call *call)
{
    Hdw__GetHAServiceStateResponse r = HDW__GET_HASERVICE_STATE_RESPONSE__INIT;
    r.state = HDW__HASERVICE_STATE__HASTATE_STANDBY;
    hd_rpc_reply(call, &r.base, 0);
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct process *p = ctx;
    if (strcmp(call->method, "getCluster") == 0) {
        get_cluster(p, call);
    } else if (strcmp(call->method, "promote") == 0) {
        promote(p, call);
    } else if (strcmp(call->method, "getServiceStatus") == 0) {
        service_status(call);
    } else if (strcmp(call->method, "getHAServiceState") == 0) {
        ha_state(call);
    } else {
        char text[HD_CONF_TEXT_BYTES + 512];
        snprintf(text, sizeof(text),
                 "%.200s is answered by the primary at %s, not by its secondary", call->method,
                 p->s.conf->peer_address);
        hd_rpc_reply_error(call, -HD_E_STANDBY, text);
    }
}

/* --- the process --- */

static void on_signal(void *ctx, uint32_t events)
{
    struct process *p = ctx;
    struct signalfd_siginfo info;
    (void)events;
    while (read(p->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
        if (info.ssi_signo != SIGHUP) {
            hd_log_info("stopping", "signal=%u", info.ssi_signo);
            hd_daemon_notify("STOPPING=1");
            hd_loop_stop(p->loop);
        }
    }
}

static void on_watchdog(void *ctx)
{
    struct process *p = ctx;
    hd_daemon_notify("WATCHDOG=1");
    hd_loop_timer_set(p->watchdog, p->watchdog_ms);
}

static int listen_and_run(struct process *p)
{
    const struct hd_rpc_server_options o = {
        .protocols = hd_executor_protocols, .on_call = on_call, .ctx = p};
    struct hd_loop_fd *watch = NULL;
    int err = hd_loop_fd_add(p->loop, p->signal_fd, EPOLLIN, on_signal, p, &watch);
    if (err == 0 && p->watchdog_ms > 0) {
        err = hd_loop_timer_add(p->loop, p->watchdog_ms, on_watchdog, p, &p->watchdog);
    }
    if (err == 0) {
        err = hd_rpc_server_new(p->loop, p->s.conf->rpc_address, &o, &p->server);
    }
    if (err == 0) {
        hd_log_info("following", "primary=%s address=%s dir=%s", p->s.conf->peer_address,
                    p->s.conf->rpc_address, p->s.conf->dir);
        hd_daemon_notify("READY=1");
        err = hd_loop_run(p->loop);
    }
    hd_rpc_server_free(p->server);
    hd_loop_fd_remove(watch);
    if (p->watchdog != NULL) {
        hd_loop_timer_remove(p->watchdog);
    }
    return err;
}

/* Ends a promotion that SIGTERM came into: it is finished, or it never was. */
static void finish_promotion(struct process *p)
{
    if (p->promote != NULL) {
        pthread_join(p->promoter, NULL);
        p->promote = NULL;
        p->promoted = false;
    }
}

int hd_secondary_run(const struct hd_meta_conf *conf, int signal_fd, struct hd_store *store,
                     enum hd_meta_role *ret_next)
{
    static struct process p;
    p = (struct process){.signal_fd = signal_fd, .watchdog_ms = hd_daemon_watchdog_ms()};
    p.s.conf = conf;
    p.s.store.lock_fd = -1;
    *ret_next = HD_META_END;
    pthread_mutex_init(&p.s.lock, NULL);
    hd_clock_cond_init(&p.s.stop_cond);
    int err = hd_primary_link_open(&p.s.link, conf);
    if (err == 0) {
        err = hd_primary_link_open(&p.s.checkpoint.link, conf);
    }
    if (err == 0) {
        err = hd_loop_new(&p.loop);
    }
    if (err == 0) {
        err = hd_secondary_replay_start(&p.s);
    }
    if (err == 0) {
        err = hd_meta_thread_start(&p.s.tail, "tail", hd_secondary_tail, &p.s);
        p.s.tail_runs = err == 0;
    }
    if (err == 0) {
        err = listen_and_run(&p);
        finish_promotion(&p);
        stop_tail(&p.s);
    }
    if (err == 0 && p.promoted) {
        *store = p.s.store;
        *ret_next = HD_META_PRIMARY;
    } else if (p.s.store_open && p.s.store.lock_fd >= 0) {
        (void)hd_edit_log_stop(p.s.store.log);
        hd_store_close(&p.s.store);
    }
    if (err == 0 && p.tail_stopped && !p.promoted) {
        err = hd_fail(-HD_E_IO, "the promotion failed half-way: %s", p.text);
    }
    hd_witness_list_done(&p.s.witnesses);
    hd_loop_free(p.loop);
    hd_primary_link_close(&p.s.link);
    hd_primary_link_close(&p.s.checkpoint.link);
    return err;
}
