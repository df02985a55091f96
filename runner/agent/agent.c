/* The agent's control: registering, the parked call for work, jobs, start and stop. See agent.h. */
#include "runner/agent/agent.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/file.h"
#include "fs/os/log.h"
#include "runner/agent/sweep.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
    RETRY_MIN_MS = 20,
    RETRY_MAX_MS = 1000,
    STOP_WAIT_MS = 3000,
    SILENCE_MS = 30000, /* the manager answers a parked call at least every five seconds */
};

/* ---- jobs ---- */

struct hd_agent_job *hd_agent_job_get(struct hd_agent *a, const char *id)
{
    struct hd_agent_job *found = NULL;
    pthread_mutex_lock(&a->lock);
    HD_LIST_FOR(it, &a->jobs)
    {
        struct hd_agent_job *job = HD_LIST_ENTRY(it, struct hd_agent_job, link);
        if (strcmp(job->id, id) == 0) {
            job->refs++;
            found = job;
            break;
        }
    }
    pthread_mutex_unlock(&a->lock);
    return found;
}

void hd_agent_job_put(struct hd_agent *a, struct hd_agent_job *job)
{
    pthread_mutex_lock(&a->lock);
    bool last = --job->refs == 0 && job->forgotten;
    pthread_mutex_unlock(&a->lock);
    if (last) {
        hd_agent_job_free(job);
    }
}

/* Takes a job out of the list; it goes with its last attempt. */
static void forget_job(struct hd_agent *a, const char *id)
{
    struct hd_agent_job *job = hd_agent_job_get(a, id);
    if (job == NULL) {
        return;
    }
    pthread_mutex_lock(&a->lock);
    job->forgotten = true;
    hd_list_remove(&job->link);
    HD_LIST_FOR(it, &a->attempts)
    {
        struct hd_attempt *t = HD_LIST_ENTRY(it, struct hd_attempt, link);
        if (t->job == job) {
            hd_attempt_cancel(t);
        }
    }
    pthread_mutex_unlock(&a->lock);
    hd_agent_job_put(a, job);
}

static void kill_attempt(struct hd_agent *a, const Hdw__RunnerAttemptKey *key)
{
    char name[HD_NAME_BYTES];
    hd_attempt_name(key, name);
    pthread_mutex_lock(&a->lock);
    HD_LIST_FOR(it, &a->attempts)
    {
        struct hd_attempt *t = HD_LIST_ENTRY(it, struct hd_attempt, link);
        if (strcmp(t->job->id, key->job) == 0 && strcmp(t->name, name) == 0) {
            hd_attempt_cancel(t);
        }
    }
    pthread_mutex_unlock(&a->lock);
}

/* A manager that knows nothing of our work, or the end of the agent. */
static void drop_everything(struct hd_agent *a)
{
    pthread_mutex_lock(&a->lock);
    HD_LIST_FOR(it, &a->attempts)
    {
        hd_attempt_cancel(HD_LIST_ENTRY(it, struct hd_attempt, link));
    }
    pthread_mutex_unlock(&a->lock);
    for (;;) {
        char id[HD_JOB_ID_BYTES] = "";
        pthread_mutex_lock(&a->lock);
        if (!hd_list_empty(&a->jobs)) {
            struct hd_agent_job *job = HD_LIST_ENTRY(a->jobs.next, struct hd_agent_job, link);
            memcpy(id, job->id, sizeof(id));
        }
        pthread_mutex_unlock(&a->lock);
        if (id[0] == '\0') {
            return;
        }
        forget_job(a, id);
    }
}

/* ---- the manager ---- */

static int register_agent(struct hd_agent *a)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    char host[256] = "";
    Hdw__RegisterRequest request = HDW__REGISTER_REQUEST__INIT;
    Hdw__RegisterResponse *response;
    hd_arena_init(&arena, 0);
    gethostname(host, sizeof(host) - 1);
    request.name = (char *)(uintptr_t)a->name;
    request.incarnation = a->incarnation;
    request.address = a->address;
    request.slots = (uint32_t)a->settings.slots;
    request.data_node = a->settings.data_node;
    request.host = host;
    request.has_pid = true;
    request.pid = (uint32_t)getpid();
    int err = hd_runner_call(a->manager, "register", &request, &hdw__register_response__descriptor,
                             0, &arena, &response);
    if (err < 0) {
        return err;
    }
    if (a->id != 0) { /* the manager counts our tasks as lost */
        hd_log_warn("registered again, dropping tasks", "manager=%s", a->settings.manager_address);
        drop_everything(a);
    }
    a->id = response->agent_id;
    hd_log_info("registered", "manager=%s agent=%llu", a->settings.manager_address,
                (unsigned long long)a->id);
    return 0;
}

static int take_work(struct hd_agent *a)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__NextWorkRequest request = HDW__NEXT_WORK_REQUEST__INIT;
    Hdw__NextWorkResponse *work;
    hd_arena_init(&arena, 0);
    request.agent_id = a->id;
    int err = hd_runner_call(a->manager, "nextWork", &request, &hdw__next_work_response__descriptor,
                             -1, &arena, &work);
    if (err < 0) {
        return err;
    }
    for (size_t i = 0; i < work->n_kill; i++) {
        kill_attempt(a, work->kill[i]);
    }
    for (size_t i = 0; i < work->n_forget; i++) {
        forget_job(a, work->forget[i]);
    }
    for (size_t i = 0; i < work->n_start; i++) {
        hd_attempt_start(a, work->start[i]);
    }
    return 0;
}

static void *control_main(void *arg)
{
    struct hd_agent *a = arg;
    int64_t pause_ms = RETRY_MIN_MS;
    bool registered = false;
    bool told = false;
    for (;;) {
        int err = registered ? 0 : register_agent(a);
        if (err == 0 && !registered) {
            registered = true;
            told = false;
            pause_ms = RETRY_MIN_MS;
            hd_daemon_notify("READY=1");
        }
        if (err == 0) {
            err = take_work(a);
        }
        if (err < 0) {
            registered = false;
            if (!told) {
                hd_log_warn("manager cannot be reached", "manager=%s error=\"%s\"",
                            a->settings.manager_address, hd_fail_describe(err));
                told = true;
            }
            hd_clock_sleep_ms(pause_ms);
            pause_ms = HD_MIN(pause_ms * 2, (int64_t)RETRY_MAX_MS);
        }
    }
    return NULL;
}

/* ---- start and stop ---- */

static int listen_shuffle(struct hd_agent *a)
{
    char host[256];
    char ip[HD_IP_TEXT_BYTES];
    int port;
    int err = hd_addr_split(a->settings.address, 0, host, sizeof(host), &port);
    if (err == 0) {
        err = hd_addr_listen(a->settings.address, &a->shuffle_fd, &port);
    }
    if (err < 0) {
        return err;
    }
    if (hd_addr_local(a->shuffle_fd, ip, &port) == 0 && strcmp(ip, "0.0.0.0") != 0) {
        snprintf(a->address, sizeof(a->address), "%s:%d", ip, port);
    } else { /* the manager fills in where it sees us */
        snprintf(a->address, sizeof(a->address), "0.0.0.0:%d", port);
    }
    return hd_shuffle_serve(a);
}

/* What tasks of an agent before this one left running would go on writing and computing. */
static int sweep(struct hd_agent *a)
{
    int err = hd_dir_make(a->dir, 0755);
    char *real = err == 0 ? realpath(a->dir, NULL) : NULL;
    if (real == NULL) {
        return err < 0 ? err : hd_fail_errno(errno, "%s", a->dir);
    }
    free(a->dir);
    a->dir = real;
    char jobs[HD_AGENT_PATH_BYTES];
    snprintf(jobs, sizeof(jobs), "%s/jobs", a->dir);
    int killed = hd_sweep(jobs);
    if (killed != 0) {
        hd_log_warn("left by an agent before", "processes_killed=%d", killed);
    }
    return 0;
}

static int prepare(struct hd_agent *a)
{
    char path[HD_AGENT_PATH_BYTES];
    if (asprintf(&a->dir, "%s/%s", a->settings.dir, a->name) < 0) {
        a->dir = NULL;
        return -ENOMEM;
    }
    int err = sweep(a);
    snprintf(path, sizeof(path), "%s/jobs", a->dir);
    if (err == 0) {
        err = hd_dir_remove(path);
    }
    if (err == 0) {
        err = hd_dir_make(path, 0755);
    }
    if (err == 0) {
        err = hd_runner_fs_open(&a->settings, "howdah-agent", true, &a->fs);
    }
    if (err < 0) {
        return err;
    }
    struct hd_rpc_client_options o = {.address = a->settings.manager_address,
                                      .protocol = HD_AGENT_PROTOCOL,
                                      .user = hd_runner_user(),
                                      .connect_timeout_ms = 2000};
    return hd_rpc_client_new(&o, &a->manager);
}

static void wait_for_signal(int fd)
{
    int64_t watchdog_ms = hd_daemon_watchdog_ms();
    for (;;) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        struct signalfd_siginfo info;
        int n = poll(&p, 1, watchdog_ms > 0 ? (int)watchdog_ms : -1);
        if (n == 0) {
            hd_daemon_notify("WATCHDOG=1");
        }
        if (n > 0 && read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo != SIGHUP) {
            return;
        }
    }
}

static void wait_idle(struct hd_agent *a)
{
    int64_t end = hd_clock_mono_ms().v + STOP_WAIT_MS;
    for (;;) {
        pthread_mutex_lock(&a->lock);
        bool idle = hd_list_empty(&a->attempts);
        pthread_mutex_unlock(&a->lock);
        if (idle || hd_clock_mono_ms().v >= end) {
            return;
        }
        hd_clock_sleep_ms(10);
    }
}

int hd_agent_run(struct hd_agent *a)
{
    int signals;
    pthread_t control;
    hd_list_init(&a->jobs);
    hd_list_init(&a->attempts);
    pthread_mutex_init(&a->lock, NULL);
    pthread_cond_init(&a->idle, NULL);
    hd_random_uuid(a->incarnation);
    int err = hd_daemon_signals(&signals);
    if (err == 0) {
        err = prepare(a);
    }
    if (err == 0) {
        err = listen_shuffle(a);
    }
    if (err < 0) {
        return err;
    }
    int rc = pthread_create(&control, NULL, control_main, a);
    if (rc != 0) {
        return hd_fail_errno(rc, "pthread_create");
    }
    pthread_detach(control);
    wait_for_signal(signals);
    hd_daemon_notify("STOPPING=1");
    hd_log_info("stopping", "name=%s", a->name);
    drop_everything(a);
    wait_idle(a);
    return 0;
}
