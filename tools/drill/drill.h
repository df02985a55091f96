/*
 * A drill: a failure rehearsed on a cluster that runs, under a load that knows every byte it was
 * promised, healed, and judged.
 *
 *   lock ─> heal what an earlier drill left ─> preflight ─> blast radius, yes? ─> steady state
 *        ─> inverse into the journal ─> FAULT ─> hold ─> heal ─> whole again ─> verdict ─> history
 *
 *   cmd_drill.c   the verbs                     plan.c soak.c   several drills in a row
 *   run.c         the flow above                progress.c      saying and waiting
 *   guard.c       what heals a killed drill     heal.c          undoing a journal
 *   catalogue.c   the table of drills           do_*.c          how each is injected
 *   preflight.c   may it begin?                 blast.c         what it will break
 *   load*.c       the clients                   ledger.c        what they were promised
 *   timeline.c    what the cluster said         verdict.c       is everything there?
 *   result.c      numbers as JSON and text      history.c       DIR/drills
 *   report.c      HTML                          call.c          calls to daemons
 *
 * Everything a drill keeps lies in DIR/drills of the cluster's directory: `lock`, `journal` while
 * a fault may be there, <id>.json with the result, <id>/ with the ledger and saved bytes.
 */
#ifndef HD_TOOLS_DRILL_DRILL_H
#define HD_TOOLS_DRILL_DRILL_H

#include "tools/cluster.h"
#include "tools/drill/journal.h"
#include "tools/drill/load.h"
#include "tools/drill/result.h"
#include "tools/drill/timeline.h"
#include "fs/base/prng.h"

#include <sys/types.h>

enum {
    HD_DRILL_HELD = 0,
    HD_DRILL_NOT_HELD = 1,
    HD_DRILL_REFUSED = 2,
    HD_DRILL_ABORTED = 3,
    HD_DRILL_FAILED = 4, /* the tool, not the cluster */
};

enum { HD_DRILL_TARGETS = 2 };

struct hd_drill;

/* One run of one drill. Main thread only. */
struct hd_drill_run {
    const struct hd_drill *drill;
    struct hd_cluster cluster;
    const struct hd_member *targets[HD_DRILL_TARGETS]; /* of the cluster's; NULL: none, or all */
    int64_t for_ms;
    uint64_t seed;
    struct hd_prng prng;
    bool json; /* progress to stderr */
    bool yes;
    bool no_mount;            /* the mount did not run before */
    const char *load_name;    /* "mixed", "mount", "/dir", ... */
    char base[HD_PATH_BYTES]; /* DIR/drills */
    char id[64];
    char dir[HD_PATH_BYTES];           /* DIR/drills/<id> */
    char fs_dir[HD_LEDGER_PATH_BYTES]; /* of the load, in the cluster */
    int lock_fd;
    struct hd_journal journal;
    struct hd_timeline *timeline;
    struct hd_load *load;
    struct hd_sample before; /* how the cluster was before the fault */
    struct hd_drill_result result;

    char blame[400]; /* what did not hold besides the ledger; "" while all does */

    /* What a drill that touches a file remembers from its fault to its heal. */
    char path[HD_PATH_BYTES];
    uint64_t offset;
};

/* What a drill needs besides a healthy cluster. */
enum hd_drill_need {
    HD_NEED_NOTHING = 0,
    HD_NEED_SECONDARY = 1 << 0,
    HD_NEED_SPARE_NODE = 1 << 1, /* more nodes than copies */
    HD_NEED_FAULTS = 1 << 2,     /* [cluster] drills = on */
    HD_NEED_RUNNER = 1 << 3,
    HD_NEED_POWERCUT = 1 << 4,
};

/* Numbers to be proud of, in seconds; 0: none. Missing one is told, and is no failure. */
struct hd_drill_goals {
    double read_s, write_s, metadata_s, noticed_s, mended_s;
};

struct hd_drill {
    const char *name;
    const char *summary; /* what it rehearses, some words */
    const char *how;     /* sentences: what is done */
    const char *must;    /* sentences: what must hold */
    int target_role;     /* enum hd_role, -1: the whole cluster */
    int targets;         /* how many members: 0 to HD_DRILL_TARGETS */
    unsigned needs;      /* of enum hd_drill_need */
    bool takes_copies;   /* while it lasts the targets' copies cannot be read */
    struct hd_drill_goals goals;
    int value;                              /* for functions that serve several drills */
    int (*prepare)(struct hd_drill_run *r); /* before the load; may be NULL */
    int (*inject)(struct hd_drill_run *r);  /* notes each inverse first; may last */
    int (*hold)(struct hd_drill_run *r);    /* instead of waiting for_ms; may be NULL */
    int (*heal)(struct hd_drill_run *r);    /* before the journal is undone; may be NULL */
};

extern const struct hd_drill hd_drills[];
extern const size_t hd_drill_count;
const struct hd_drill *hd_drill_find(const char *name); /* NULL: no such */

/* ---- run.c ---- */

struct hd_drill_options {
    const char *dir;    /* --dir; NULL: as every command finds the cluster */
    const char *name;   /* of the drill */
    const char *target; /* NULL: the drill's choice */
    const char *load;   /* NULL: mixed */
    int64_t for_ms;
    uint64_t seed; /* 0: a random one */
    bool yes;
    bool json;
};

/*
 * Runs one drill. One of the exit codes above; *ret (may be NULL) is filled unless it was refused
 * before it had begun, and says so by its "outcome".
 */
int hd_drill_run(const struct hd_drill_options *options, struct hd_drill_result *ret);

/* ---- progress.c ---- */

/* One line with the time since the beginning: to stdout, or stderr with --json. */
void hd_drill_say(struct hd_drill_run *r, const char *kind, const char *fmt, ...) HD_PRINTF(3, 4);

/* Something did not hold: the drill goes on to its end, and says so there. */
void hd_drill_blame(struct hd_drill_run *r, const char *fmt, ...) HD_PRINTF(2, 3);

/* Waits; -ECANCELED as soon as a signal asks to stop. */
int hd_drill_wait(struct hd_drill_run *r, int64_t ms);
bool hd_drill_interrupted(void);
void hd_drill_go_on(void);         /* the signal was seen to */
void hd_drill_catch_signals(void); /* SIGINT, SIGTERM, SIGHUP ask to stop from now on */

/* Waits until the cluster is as it was before the fault. -ETIMEDOUT with what is not. */
int hd_drill_wait_whole(struct hd_drill_run *r, int64_t limit_ms);

/* Notes an inverse in the journal: hd_drill_undo(r, HD_UNDO_MOVE, from, to). */
#define hd_drill_undo(r, kind, ...)                                                                \
    hd_journal_add(&(r)->journal, (kind), (const char *const[]){NULL, ##__VA_ARGS__} + 1,          \
                   HD_ARRAY_COUNT(((const char *const[]){NULL, ##__VA_ARGS__})) - 1)

/* ---- heal.c ---- */

/* Undoes what a journal says, from its end. The first error, after all was tried. */
int hd_drill_heal(const struct hd_cluster *c, const struct hd_journal *journal, bool no_mount);

/* Starts what does not run, as `howdah up` does, and waits until the cluster can be used. */
int hd_drill_start_cluster(const struct hd_cluster *c, bool no_mount);

/* ---- preflight.c, blast.c ---- */

/* 0, or an error whose text says what is not well and what to do. */
int hd_drill_preflight(struct hd_drill_run *r);

struct hd_blast {
    uint64_t blocks;                           /* with a copy on a target */
    uint64_t to_two, to_one, to_none, to_more; /* copies they fall to */
    bool complete;                             /* all blocks were looked at */
};
int hd_drill_blast(struct hd_drill_run *r, struct hd_blast *ret);

/* ---- lock, folders (history.c) ---- */

/* Takes DIR/drills/lock. -EBUSY with the process that has it. */
int hd_drill_lock(const char *base, int *ret_fd);
pid_t hd_drill_lock_holder(const char *base); /* 0: nobody */

/* DIR/drills and the journal in it. */
int hd_drill_base(const struct hd_cluster *c, char out[HD_PATH_BYTES]);
int hd_drill_journal_path(const char *base, char out[HD_PATH_BYTES]);

#endif
