/*
 * howdah-runner --role agent: runs attempts beside a data node.
 *
 *   control thread   one parked nextWork call; starts a thread per attempt, kills, forgets jobs
 *   attempt threads  prepare, read the split, run the process, sort or write, report
 *   shuffle threads  one per connection of another agent; ranges of map outputs by sendfile
 *
 * Folders under DIR/runner/agent-N: jobs/<job>/{files,out,work/<attempt>}. All of it is scratch: an
 * agent that starts removes what it finds.
 */
#ifndef HD_RUNNER_AGENT_AGENT_H
#define HD_RUNNER_AGENT_AGENT_H

#include "fs/base/list.h"
#include "fs/base/types.h"
#include "fs/net/rpc_client.h"
#include "runner.pb-c.h"
#include "runner/agent/reporter.h"
#include "runner/agent/spawn.h"
#include "runner/core/props.h"
#include "runner/lib/io_props.h"
#include "runner/lib/names.h"
#include "runner/lib/settings.h"
#include "runner/ops/record.h"

#include <pthread.h>

enum { HD_AGENT_PATH_BYTES = 4096, HD_ATTEMPT_PIDS = 4 };

struct hd_agent {
    const char *name;
    struct hd_runner_settings settings;
    char *dir; /* DIR/runner/agent-N */
    struct hd_fs *fs;
    struct hd_rpc_client *manager;
    char incarnation[HD_UUID_TEXT_BYTES];
    uint64_t id;       /* given by the manager */
    int shuffle_fd;    /* listening */
    char address[300]; /* of the shuffle server, as told to the manager */
    pthread_mutex_t lock;
    pthread_cond_t idle;          /* an attempt ended */
    struct hd_list jobs;          /* struct hd_agent_job; under lock */
    struct hd_list attempts;      /* struct hd_attempt; under lock */
    uint32_t shuffle_connections; /* under lock */
    uint64_t jobs_seen;           /* under lock */
};

/* A job as an agent knows it. */
struct hd_agent_job {
    struct hd_list link;
    char id[HD_JOB_ID_BYTES];
    char *dir;
    struct hd_arena arena;
    Hdw__RunnerJobSetup *setup;
    struct hd_props props;
    struct hd_io_props io;
    struct hd_identity identity;
    struct hd_fs *fs; /* as the job's user; borrowed from the agent's */
    int ready;        /* 0, or why the job cannot run here */
    char *ready_text;
    uint32_t refs;              /* attempts and shuffle connections; under the agent's lock */
    bool forgotten;             /* freed with the last reference; under the agent's lock */
    pthread_mutex_t files_lock; /* held while files are fetched */
    bool files_done;
};

struct hd_attempt {
    struct hd_list link;
    struct hd_agent *agent;
    struct hd_agent_job *job;
    struct hd_arena arena; /* of the attempt's thread */
    Hdw__RunnerAssignment *work;
    char name[HD_NAME_BYTES];
    char *work_dir;
    int work_fd;
    int cancel_fd; /* eventfd: readable when the attempt is to end */
    pthread_mutex_t lock;
    pid_t
        pids[HD_ATTEMPT_PIDS]; /* running process groups: the task's, its combiner's; under lock */
    int pid_count;             /* under lock */
    bool cancelled;            /* under lock */
    struct hd_reporter reporter;
    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t bytes_shuffled;
    uint64_t records_in;
    uint64_t records_out;
    int64_t reported_ms;
    bool fetch_failed; /* of map fetch_index, attempt fetch_number */
    uint32_t fetch_index;
    uint32_t fetch_number;
    char error[1024]; /* what went wrong, one line */
};

/* ---- agent.c ---- */
int hd_agent_run(struct hd_agent *a); /* until SIGTERM */

/* Drops a reference; removes a forgotten job with its last. */
void hd_agent_job_put(struct hd_agent *a, struct hd_agent_job *job);
/* The job with a reference, or NULL. */
struct hd_agent_job *hd_agent_job_get(struct hd_agent *a, const char *id);

/* ---- job_files.c ---- */
int hd_agent_job_new(struct hd_agent *a, const Hdw__RunnerAssignment *work,
                     struct hd_agent_job **ret);
void hd_agent_job_free(struct hd_agent_job *job);
/* Brings the job's files here, once. Blocks. */
int hd_agent_job_fetch_files(struct hd_agent *a, struct hd_agent_job *job);
/* Makes the attempt's working directory with the job's files in it. */
int hd_attempt_enter(struct hd_attempt *t);

/* ---- attempt.c ---- */
void hd_attempt_start(struct hd_agent *a, const Hdw__RunnerAssignment *work);
/* Kills the process group and makes the attempt end. Any thread. */
void hd_attempt_cancel(struct hd_attempt *t);
/* Tells the manager how it goes, at most every half second; ends the attempt when it says so. */
void hd_attempt_tick(void *attempt);

/* ---- environment.c ---- */
/* The environment of the attempt's processes; split may be NULL. In the arena. NULL: no memory. */
char **hd_attempt_environment(struct hd_attempt *t, struct hd_arena *arena,
                              const Hdw__RunnerSplit *split);

/* ---- process.c ---- */
struct hd_lines;
struct hd_process {
    const char *command;
    const char *shown; /* in messages; NULL: the command */
    int (*fill)(void *ctx, const uint8_t **ret_data, size_t *ret_size);
    void *fill_ctx;
    int (*on_line)(void *ctx, const uint8_t *line, size_t size);
    void *line_ctx;
    const Hdw__RunnerSplit *split; /* for the environment; may be NULL */
    uint64_t bytes_in;             /* out */
};
/* Runs a command to its end; a bad end is an error with a sentence. */
int hd_process_run(struct hd_attempt *t, struct hd_process *p);

/* ---- chain_process.c ---- */
struct hd_steps;
/* Steps of a message, in the arena; NULL chain: none. */
int hd_chain_steps(const Hdw__RunnerChain *chain, struct hd_arena *arena, struct hd_steps *ret);
bool hd_steps_have_process(const struct hd_steps *steps);
/* The command line that runs steps as a pipeline of processes, in the arena. NULL: no memory. */
char *hd_chain_command(const struct hd_steps *steps, struct hd_arena *arena);
/* Steps as a person would write them, in the arena; NULL: no memory. */
char *hd_chain_text(const struct hd_steps *steps, struct hd_arena *arena);
/* howdah-runner --chain TEXT: runs them between stdin and stdout. The exit code. */
int hd_chain_process(const char *text);

/* ---- output.c: the part file of an attempt ---- */
struct hd_output {
    struct hd_attempt *attempt;
    struct hd_file *file;
    struct hd_buf buf;
    struct hd_kv_rule in;   /* how a line is cut */
    struct hd_kv_rule text; /* how it is written */
    bool discard;           /* count nothing, write nothing */
    bool lazy;              /* the file is made with its first bytes (-lazyOutput) */
    uint64_t bytes;
    uint64_t records;
    char path[HD_AGENT_PATH_BYTES];
};
int hd_output_open(struct hd_output *o, struct hd_attempt *t, const struct hd_kv_rule *in);
int hd_output_line(void *output, const uint8_t *line, size_t size); /* an hd_line_fn */
int hd_output_kv(struct hd_output *o, const struct hd_kv *kv);
int hd_output_raw(void *output, const uint8_t *line, size_t size); /* the line as it is */
/* Closes the file, asks the manager, and makes it the task's part. */
int hd_output_commit(struct hd_output *o);
void hd_output_abort(struct hd_output *o);

/* ---- task_map.c, task_reduce.c ---- */
int hd_task_map(struct hd_attempt *t);
int hd_task_reduce(struct hd_attempt *t);

/* ---- stage_map.c, stage_reduce.c: the same for stages of pipelines ---- */
struct hd_sorter;
/* Records of all splits through their chains: into the sorter, or the output when there is none. */
int hd_stage_map(struct hd_attempt *t, struct hd_sorter *sorter, struct hd_output *output);
/* Brings pairs together before the shuffle; NULL: the operation has none. */
int (*hd_stage_combiner(const struct hd_attempt *t))(void *ctx, struct hd_source *in,
                                                     struct hd_sorter *out);
int hd_stage_reduce(struct hd_attempt *t, struct hd_source *merged, struct hd_output *output);
/* A pair into a sorter, its key as the job's order wants it stored; scratch for the key. */
int hd_sort_kv(const struct hd_io_props *io, struct hd_sorter *sorter, const struct hd_kv *kv,
               struct hd_buf *scratch);

/* ---- shuffle ---- */
/* Where a map attempt's output lies: path of data (".data") or index (".index"). */
int hd_map_output_path(const struct hd_agent_job *job, uint32_t index, uint32_t number,
                       const char *suffix, char *out, size_t size);
int hd_shuffle_serve(struct hd_agent *a); /* starts the accepting thread */
struct hd_run_part;
/* Copies one partition of a map's output from another agent into fd, at offset 0. */
int hd_shuffle_fetch(struct hd_attempt *t, const Hdw__RunnerMapOutput *from, uint32_t partition,
                     int fd, struct hd_run_part *ret);

#endif
