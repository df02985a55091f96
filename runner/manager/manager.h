/*
 * howdah-runner --role manager: takes jobs, plans, places, commits.
 *
 *   loop thread     RPC server, the scheduler (runner/core/sched.h), all state below
 *   worker threads  calls to the cluster and the disk: planning, committing, logs
 *
 *   submit -> PLANNING -(worker: inputs, blocks, staging, record)-> RUNNING -> COMMITTING
 *   -(worker: one rename)-> SUCCEEDED;  from RUNNING also -(worker: staging removed)-> FAILED,
 * KILLED
 *
 * A job that was answered has a durable record on the manager's disk until its end is written down.
 * The next manager plans it again under the same id and runs it from its first task; what attempts
 * of the former life still write is in a staging directory of another name.
 *
 * Nothing is polled: agents and clients have a parked call each (nextWork, watch), answered when
 * there is something to say.
 */
#ifndef HD_RUNNER_MANAGER_MANAGER_H
#define HD_RUNNER_MANAGER_MANAGER_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/http/http_server.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "runner.pb-c.h"
#include "runner/core/props.h"
#include "runner/core/sched.h"
#include "runner/lib/names.h"
#include "runner/lib/settings.h"

#include <pthread.h>

enum {
    HD_MANAGER_WORKERS = 4,
    HD_MANAGER_JOBS_KEPT = 200,     /* finished jobs kept in memory */
    HD_MANAGER_JOBS_RUNNING = 1000, /* beyond, submit is refused */
    HD_MANAGER_KEY_BYTES = 32,
    HD_MANAGER_PATH_BYTES = 4096,
};

#define HD_REDUCES_AUTO UINT32_MAX /* the manager chooses */

struct hd_manager;

/* ---- workers.c: fn on a worker thread, then done on the loop ---- */

struct hd_work {
    struct hd_list link;
    void (*fn)(struct hd_work *w);
    void (*done)(struct hd_work *w); /* owns w; NULL: w is freed */
    struct hd_manager *manager;
};

int hd_workers_start(struct hd_manager *m);
void hd_work_submit(struct hd_manager *m, struct hd_work *w);

/* ---- state ---- */

struct hd_mattempt {
    uint32_t number;
    char agent[64];
    const char *state; /* static */
    int64_t start_ms;  /* since submission */
    int64_t end_ms;    /* -1: running */
    enum hd_locality locality;
    char *error; /* heap, owned; or NULL */
};

struct hd_mtask {
    Hdw__RunnerSplit **splits; /* in the job's arena */
    uint32_t split_count;
    uint64_t bytes; /* of its splits */
    uint32_t nodes[HD_PLAN_NODES];
    uint32_t node_count;
    uint64_t bytes_in;            /* read by the newest attempt so far */
    struct hd_mattempt *attempts; /* heap, owned */
    uint32_t attempt_count;
    char *status; /* heap, owned */
};

struct hd_mcounter {
    char *group;
    char *name;
    int64_t value;
};

struct hd_mjob {
    struct hd_list link;
    struct hd_manager *manager;
    char id[HD_JOB_ID_BYTES];
    struct hd_arena arena;
    Hdw__RunnerJobSpec *spec;
    char *user;
    char *staging;
    uint32_t lives;       /* managers that have begun it, this one included */
    uint64_t staging_ino; /* the directory that becomes the output */
    char *replaced;       /* where what it replaces is set aside; NULL: it replaces nothing */
    char *stale_staging;  /* of the life before; NULL: none */
    uint64_t stale_ino;   /* if the output is this, the life before had committed */
    bool committed;       /* found so while planning */
    struct hd_props props;
    Hdw__RunnerJobState state;
    Hdw__RunnerJobState end_state; /* while ending: what it will be */
    uint64_t version;
    int64_t submitted_wall_ms;
    int64_t submitted_ms;
    int64_t elapsed_ms; /* when final */
    uint8_t key[HD_MANAGER_KEY_BYTES];
    uint64_t *file_sizes;
    uint32_t *file_modes;
    struct hd_sched_job *sched; /* NULL before planning and after the end */
    struct hd_mtask *tasks[2];
    uint32_t count[2];
    uint32_t done[2]; /* copied from the scheduler at the end */
    uint32_t locality[3];
    uint32_t failed_attempts;
    uint64_t bytes_total;
    uint64_t bytes_in;
    uint64_t bytes_shuffled;
    uint64_t bytes_out;
    struct hd_mcounter *counters; /* heap, owned */
    uint32_t counter_count;
    char *failure;
    uint64_t *agents_told; /* ids of agents that have the setup */
    uint32_t agents_told_count;
    struct hd_list watchers;          /* struct watcher */
    struct hd_loop_timer *push_timer; /* progress is told at most so often */
    int64_t pushed_ms;
    Hdw__RunnerJobStatus *old; /* of an earlier manager's job: all there is */
    Hdw__RunnerTask **old_tasks;
    size_t old_task_count;
};

struct hd_command_out { /* waiting for an agent's nextWork */
    struct hd_list link;
    enum { HD_OUT_START, HD_OUT_FORGET } what;
    char job[HD_JOB_ID_BYTES];
    enum hd_task_kind kind;
    uint32_t index;
    uint32_t number;
};

struct hd_magent {
    struct hd_list link;
    uint64_t id;
    char name[64];
    char incarnation[64];
    char address[300];
    char data_node[300];
    uint32_t slots;
    uint32_t pid;
    uint64_t conn_id; /* of its newest call; 0: closed */
    int64_t seen_ms;
    int64_t closed_ms;          /* since when it has no connection; -1: it has one */
    struct hd_rpc_call *parked; /* nextWork */
    struct hd_list out;         /* struct hd_command_out */
    bool lost;
};

struct hd_node_name {
    char *address; /* "ip:port" of a data node */
    char *rack;
};

struct hd_manager {
    struct hd_runner_settings settings;
    char *dir; /* DIR/runner/manager */
    char incarnation[HD_UUID_TEXT_BYTES];
    struct hd_loop *loop;
    struct hd_rpc_server *server;
    struct hd_http_server *http; /* NULL: no http_address */
    struct hd_fs *fs;            /* relaxed: staging and attempts */
    struct hd_fs *fs_strict;     /* the commit */
    struct hd_sched *sched;
    struct hd_list jobs;   /* struct hd_mjob, newest first */
    struct hd_list agents; /* struct hd_magent */
    uint64_t next_agent;
    uint64_t next_job; /* for the scheduler's ids */
    char today[9];
    uint32_t today_number;
    uint32_t jobs_running;
    uint64_t jobs_ended[HDW__RUNNER_JOB_STATE__JOB_KILLED + 1]; /* by state */
    uint32_t jobs_kept;
    struct hd_loop_timer *place_timer;
    struct hd_loop_timer *care_timer;
    struct hd_loop_timer *watchdog_timer;
    bool place_wanted;
    int signal_fd;
    struct hd_loop_fd *signal_watch;

    pthread_mutex_t work_lock;
    pthread_cond_t work_cond;
    struct hd_list work; /* under work_lock */

    pthread_mutex_t nodes_lock;
    struct hd_strmap node_ids; /* address -> id + 1; under nodes_lock */
    struct hd_node_name *nodes;
    uint32_t node_count;
};

/* ---- manager.c ---- */
int hd_manager_run(struct hd_manager *m); /* until SIGTERM */
uint32_t hd_manager_node(struct hd_manager *m, const char *address,
                         const char *rack); /* any thread */

/* ---- rpc.c ---- */
void hd_manager_on_call(void *manager, struct hd_rpc_call *call);
void hd_manager_on_close(void *manager, uint64_t conn_id);

/* ---- agents.c ---- */
void hd_magent_register(struct hd_manager *m, struct hd_rpc_call *call);
void hd_magent_next_work(struct hd_manager *m, struct hd_rpc_call *call);
void hd_magent_closed(struct hd_manager *m, uint64_t conn_id);
void hd_magent_care(struct hd_manager *m); /* pings and silences; every second */
struct hd_magent *hd_magent_find(struct hd_manager *m, uint64_t id);
/* Places what can be placed and answers parked calls; soon, once a turn. */
void hd_manager_place_soon(struct hd_manager *m);
void hd_manager_place(struct hd_manager *m);
/* Every agent drops the job. */
void hd_magents_forget(struct hd_manager *m, const char *job);

/* ---- job.c ---- */
struct hd_mjob *hd_mjob_find(struct hd_manager *m, const char *id);
void hd_mjob_submit(struct hd_manager *m, struct hd_rpc_call *call);
void hd_mjob_planned(struct hd_mjob *job); /* on the loop: tasks are there, start */
void hd_mjob_fail(struct hd_mjob *job, Hdw__RunnerJobState end, const char *why);
void hd_mjob_commit(struct hd_mjob *job); /* every task is done */
void hd_mjob_changed(struct hd_mjob *job, bool at_once);
void hd_mjob_watch(struct hd_manager *m, struct hd_rpc_call *call);
void hd_mjob_free(struct hd_mjob *job);
/* A job of which the manager before this one had only begun, from its record: planned anew. */
int hd_mjob_resume(struct hd_manager *m, const char *id, const Hdw__RunnerJobRecord *record);

/* ---- report.c ---- */
void hd_mjob_report(struct hd_manager *m, struct hd_rpc_call *call);
void hd_mjob_lost(void *manager, struct hd_sched_job *sched, enum hd_task_kind kind, uint32_t index,
                  bool was_running);
/* The attempt record that was placed now. */
void hd_mjob_placed(struct hd_mjob *job, const struct hd_placement *p, const char *agent);

/* ---- view.c: answers ---- */
Hdw__RunnerJobStatus *hd_mjob_status(const struct hd_mjob *job, struct hd_arena *arena);
Hdw__RunnerTask *hd_mtask_view(const struct hd_mjob *job, enum hd_task_kind kind, uint32_t index,
                               struct hd_arena *arena);
void hd_view_list(struct hd_manager *m, struct hd_rpc_call *call);
void hd_view_show(struct hd_manager *m, struct hd_rpc_call *call);
void hd_view_status(struct hd_manager *m, struct hd_rpc_call *call);

/* ---- page.c ---- */
void hd_page(void *manager, const char *path, struct hd_http_answer *ret);

/* ---- plan_job.c: on a worker ---- */
struct hd_plan_result {
    int exit_code; /* 0, or the client's */
    char message[2048];
};
void hd_plan_job(struct hd_mjob *job, struct hd_plan_result *ret);

/* ---- commit.c: on a worker ---- */
int hd_commit_job(struct hd_mjob *job);
void hd_abort_job(struct hd_mjob *job);
/* The life before may have ended while it replaced the output: that is put back, or goes. */
void hd_commit_tidy(struct hd_mjob *job, struct hd_fs *fs);

/* ---- uploads.c ---- */
void hd_upload_put(struct hd_manager *m, struct hd_rpc_call *call);
void hd_upload_fetch(struct hd_manager *m, struct hd_rpc_call *call);
/* Makes the uploads the job names its own (jobs/<job>/files), and looks at them. 0 or an error. */
int hd_upload_claim(struct hd_mjob *job);
int hd_upload_look(struct hd_mjob *job); /* those that it has claimed before */
int hd_upload_sync(struct hd_mjob *job); /* makes them durable; on a worker */
void hd_upload_drop(const struct hd_manager *m, const char *job); /* its end is on disk */

/* ---- record.c: jobs/<job>/job.record, there as long as the job is not at its end ---- */
int hd_record_write(struct hd_mjob *job); /* durable; on a worker, when the job is planned */
int hd_record_end(struct hd_mjob *job);   /* the same, when it failed or was killed */
void hd_record_path(const struct hd_manager *m, const char *job, char out[HD_MANAGER_PATH_BYTES]);
/* Nothing is left of a job that was refused. */
void hd_record_forget(struct hd_mjob *job);
/* Goes on with the job if it has one: 1; 0: it has none; or an error. */
int hd_record_resume(struct hd_manager *m, const char *id);

/* ---- history.c ---- */
int hd_history_load(struct hd_manager *m);
void hd_history_save(struct hd_mjob *job);
void hd_history_log(struct hd_mjob *job, const char *attempt, const uint8_t *data, size_t size);
void hd_history_logs(struct hd_manager *m, struct hd_rpc_call *call);

#endif
