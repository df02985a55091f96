/*
 * Which task runs where, and what a job's end is: the pure heart of the manager.
 *
 *               place                    done
 *     WAITING ---------> RUNNING -------------------> DONE
 *        ^                  |  failed, killed, lost     |
 *        +------------------+---------------------------+  its output was lost
 *
 * Agents have slots and stand beside a data node. A map goes to an agent whose node holds its
 * bytes; when none of those has a free slot it waits for one, for at most a tenth of the usual map
 * time and never above three seconds, then goes anywhere. Jobs share slots fairly: the one with
 * fewest running tasks comes first. Reduces start when every map is done. A failed attempt is
 * repeated, on another agent when there is one, until a task has failed max_attempts times.
 *
 * Time comes in as now_ms. No effect depends on the order of a hash table.
 */
#ifndef HD_RUNNER_CORE_SCHED_H
#define HD_RUNNER_CORE_SCHED_H

#include "fs/base/list.h"
#include "runner/core/plan.h"

enum hd_task_kind { HD_TASK_MAP, HD_TASK_REDUCE };
enum hd_task_state { HD_TASK_WAITING, HD_TASK_RUNNING, HD_TASK_DONE };
enum hd_locality { HD_LOCALITY_LOCAL, HD_LOCALITY_RACK, HD_LOCALITY_ANY };

enum {
    HD_SCHED_NO_NODE = UINT32_MAX,
    HD_SCHED_BAD_AGENTS = 4, /* agents remembered per task as having failed it */
    HD_SCHED_WAIT_MAX_MS = 3000,
    HD_SCHED_AGENTS_MAX = 10000,
};

struct hd_sched_task {
    enum hd_task_state state;
    enum hd_locality locality; /* of the newest attempt */
    uint32_t number;           /* of the newest attempt, from 1; 0: never placed */
    uint32_t failures;
    uint64_t agent; /* that runs it, or ran it when done */
    int64_t placed_ms;
    bool granted;    /* the attempt may commit its output */
    bool placed_map; /* counted in the job's locality figures */
    uint32_t bad_count;
    uint64_t bad[HD_SCHED_BAD_AGENTS];
    uint32_t nodes[HD_PLAN_NODES];
    uint32_t node_count;
};

struct hd_sched_job {
    struct hd_list link;
    uint64_t id;
    struct hd_sched_task *tasks[2]; /* by kind; heap, owned by the scheduler */
    uint32_t count[2];
    uint32_t done[2];
    uint32_t running[2];
    uint32_t max_attempts[2];
    uint32_t locality[3]; /* placed maps by locality of their newest attempt */
    uint32_t failed_attempts;
    uint32_t first_waiting[2]; /* no task below is waiting */
    int64_t local_wait_ms;     /* since when a map waits for a local slot; -1: none does */
    uint64_t map_ms_sum;       /* of finished maps */
    bool closed;               /* nothing more is placed: failed, killed or committing */
    void *owner;               /* the shell's */
};

struct hd_sched_agent {
    struct hd_list link;
    uint64_t id;
    uint32_t node; /* id of the data node beside it, or HD_SCHED_NO_NODE */
    uint32_t slots;
    uint32_t used;
    uint64_t last_placed; /* sequence, for turns between equals */
};

struct hd_sched {
    struct hd_list jobs; /* in order of arrival */
    struct hd_list agents;
    uint64_t sequence;
    uint32_t *racks; /* by node id */
    uint32_t rack_capacity;
};

struct hd_sched *hd_sched_new(void); /* NULL: no memory */
void hd_sched_free(struct hd_sched *s);

/* Says which rack a node is in; ids are the caller's, small and dense. 0 or -ENOMEM. */
int hd_sched_set_rack(struct hd_sched *s, uint32_t node, uint32_t rack);

struct hd_sched_agent *hd_sched_agent_add(struct hd_sched *s, uint64_t id, uint32_t node,
                                          uint32_t slots);
struct hd_sched_agent *hd_sched_agent(const struct hd_sched *s, uint64_t id);

/*
 * An agent is gone: its running attempts wait again, as do its finished maps of jobs that still
 * need their output. on_lost is told of each attempt that was running (may be NULL).
 */
typedef void (*hd_sched_lost_fn)(void *ctx, struct hd_sched_job *job, enum hd_task_kind kind,
                                 uint32_t index, bool was_running);
void hd_sched_agent_remove(struct hd_sched *s, uint64_t id, hd_sched_lost_fn on_lost, void *ctx);

struct hd_sched_job *hd_sched_job_add(struct hd_sched *s, uint64_t id, uint32_t maps,
                                      uint32_t reduces, uint32_t map_attempts,
                                      uint32_t reduce_attempts);
void hd_sched_job_remove(struct hd_sched *s, struct hd_sched_job *job);

/* Closes a job: what waits stays so. Running tasks are the caller's to kill, and to report. */
void hd_sched_job_close(struct hd_sched_job *job);

struct hd_placement {
    struct hd_sched_job *job;
    struct hd_sched_agent *agent;
    enum hd_task_kind kind;
    uint32_t index;
    uint32_t number;
    enum hd_locality locality;
};

/* Places one task; false when nothing can be placed now. */
bool hd_sched_place(struct hd_sched *s, int64_t now_ms, struct hd_placement *ret);

/* When a map that waits for a local slot may go anywhere: milliseconds from now, -1: none waits. */
int64_t hd_sched_wait_ms(const struct hd_sched *s, int64_t now_ms);

enum hd_outcome {
    HD_OUTCOME_DONE,
    HD_OUTCOME_FAILED, /* counts against max_attempts */
    HD_OUTCOME_KILLED, /* does not */
};

enum hd_verdict {
    HD_VERDICT_STALE, /* not the newest attempt, or not on this agent: ignore it */
    HD_VERDICT_GO_ON,
    HD_VERDICT_JOB_DONE, /* every task of the job is done */
    HD_VERDICT_JOB_FAILED,
};

/* An attempt has ended; its slot is free again. */
enum hd_verdict hd_sched_ended(struct hd_sched *s, struct hd_sched_job *job, enum hd_task_kind kind,
                               uint32_t index, uint32_t number, uint64_t agent,
                               enum hd_outcome outcome, int64_t now_ms);

/* A reduce could not read the output of this attempt of a map: it is made again. */
void hd_sched_output_lost(struct hd_sched_job *job, uint32_t map, uint32_t number);

/* May this attempt commit? Only the newest one of a running task. */
bool hd_sched_grant(struct hd_sched_job *job, enum hd_task_kind kind, uint32_t index,
                    uint32_t number, uint64_t agent);

#endif
