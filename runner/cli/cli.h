/*
 * `runner`: jobs from the command line.
 *
 *   main.c       the table of verbs
 *   streaming.c  runner streaming: options -> job -> progress -> exit code
 *   options.c    Hadoop Streaming's options (pure)
 *   paths.c      cluster paths, hdfs:// URIs, mounted paths
 *   ship.c       local files to the manager
 *   follow.c     a job's progress until its end
 *   look.c       ps, show, logs, kill, wait
 *   why.c        where a job's time went
 *   pipe.c       pipelines and job files: check, explain, run
 *   stage_run.c  their stages as jobs, one after the other
 */
#ifndef HD_RUNNER_CLI_CLI_H
#define HD_RUNNER_CLI_CLI_H

#include "fs/base/arena.h"
#include "fs/net/rpc_client.h"
#include "runner.pb-c.h"
#include "runner/lib/settings.h"

/* Hadoop Streaming's exit codes (runner(1), EXIT STATUS), and ours. */
enum {
    HD_EXIT_OK = 0,
    HD_EXIT_FAILED = 1, /* usage of streaming, or a failed job */
    HD_EXIT_NO_FILE = 2,
    HD_EXIT_BAD_CONF = 3,
    HD_EXIT_OUTPUT_EXISTS = 4,
    HD_EXIT_IO = 5,
    HD_EXIT_INTERRUPTED = 6,
    HD_EXIT_DENIED = 7,
    HD_EXIT_TIMED_OUT = 8,
    HD_EXIT_USAGE = 64,
};

/* A connection to the manager of a configuration. */
struct hd_cli {
    struct hd_runner_settings settings;
    struct hd_rpc_client *manager;
    const char *user;
};

/* conf or dir may be NULL. Prints why it fails; 0 or an exit code. */
int hd_cli_open(struct hd_cli *c, const char *conf, const char *dir);
void hd_cli_close(struct hd_cli *c);

/* "runner: ..." on stderr. */
void hd_cli_say(const char *fmt, ...) HD_PRINTF(1, 2);

/* Exit code for an error of a call. */
int hd_cli_exit_code(int err);

int hd_cmd_streaming(int argc, char **argv);
int hd_cmd_ps(int argc, char **argv);
int hd_cmd_history(int argc, char **argv);
int hd_cmd_show(int argc, char **argv);
int hd_cmd_logs(int argc, char **argv);
int hd_cmd_kill(int argc, char **argv);
int hd_cmd_wait(int argc, char **argv);
int hd_cmd_why(int argc, char **argv);
int hd_cmd_pipe(int argc, char **argv);
int hd_cmd_run(int argc, char **argv);
int hd_cmd_check(int argc, char **argv);
int hd_cmd_explain(int argc, char **argv);
int hd_cmd_operation(int argc, char **argv); /* map, filter, sort ...: one operation over paths */

/* ---- follow.c ---- */
struct hd_follow {
    bool quiet; /* no progress, and of the end only a failure */
    bool kill_on_interrupt;
};
/* Shows the job's progress until it ends. The exit code. */
int hd_follow_job(struct hd_cli *c, const char *job, const struct hd_follow *o);
/*
 * From now on INT and TERM, and HUP when there is a `then`, kill the job that is followed, wait a
 * little for its end, call then (or NULL) on a thread of its own, and exit. Once a program, before
 * it has threads. Calls behind the first change nothing.
 */
void hd_catch_interrupts(struct hd_cli *c, void (*then)(void));
/* An interrupt that comes while a job is handed in waits for its id. */
void hd_interrupt_submitting(bool now);
/* "4.2 GB". */
const char *hd_size_text(uint64_t bytes, char out[32]);
/* The line under "job <id> <name>": maps, local/rack/any, reduces. */
void hd_print_plan(const Hdw__RunnerJobStatus *s);
void hd_print_end(const Hdw__RunnerJobStatus *s);

/* ---- paths.c ---- */
/* A path of the command line as a path of the cluster, in the arena. NULL after saying why. */
char *hd_cli_path(const struct hd_cli *c, const char *text, struct hd_arena *arena);

/* ---- stage_run.c ---- */
struct hd_stages;
struct hd_stage_run {
    const char *name; /* of the jobs */
    bool quiet;       /* no progress */
};
/* Runs the stages; what is collected goes to stdout. An exit code. */
int hd_stages_run(struct hd_cli *c, const struct hd_stages *stages, const struct hd_stage_run *o);

/* ---- ship.c ---- */
struct hd_streaming_options;
/* Puts local files to the manager and fills spec->file. 0 or an exit code. */
int hd_ship_files(struct hd_cli *c, const struct hd_streaming_options *o, Hdw__RunnerJobSpec *spec,
                  struct hd_arena *arena);

#endif
