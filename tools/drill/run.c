/* The flow of one drill. See drill.h for the picture. */
#include "tools/drill/drill.h"
#include "tools/drill/guard.h"
#include "tools/drill/history.h"
#include "tools/drill/target.h"
#include "tools/drill/verdict.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    STEADY_MS = 1500,
    LOAD_STOP_MS = 120000,
    AFTER_MS = 1000, /* of load on the healed cluster */
    WHOLE_LIMIT_MS = 180000,
    VERDICT_LIMIT_MS = 600000,
    ABORT_LIMIT_MS = 60000,
};

static bool stop_asked(void *ctx)
{
    (void)ctx;
    return hd_drill_interrupted();
}

/* ---- setting up ---- */

static int parse_load(struct hd_drill_run *r, struct hd_load_options *o, char mount[HD_PATH_BYTES])
{
    static const struct {
        const char *name;
        int writers, readers, metadata;
    } mixes[] = {
        {"mixed", 3, 2, 1},    {"write", 4, 0, 0}, {"read", 1, 4, 0},
        {"metadata", 0, 0, 4}, {"small", 1, 1, 1}, {"mount", 2, 1, 1},
    };
    const char *name = r->load_name[0] == '/' ? "mixed" : r->load_name;
    for (size_t i = 0; i < HD_ARRAY_COUNT(mixes); i++) {
        if (strcmp(mixes[i].name, name) == 0) {
            o->writers = mixes[i].writers;
            o->readers = mixes[i].readers;
            o->metadata = mixes[i].metadata;
            if (strcmp(name, "mount") != 0) {
                return 0;
            }
            if (r->no_mount || r->cluster.mount[0] == '\0') {
                return hd_fail(-EINVAL, "--load mount: the cluster is not mounted");
            }
            if (snprintf(mount, HD_PATH_BYTES, "%s%s", r->cluster.mount, r->fs_dir) >=
                HD_PATH_BYTES) {
                return hd_fail(-ENAMETOOLONG, "%s", r->cluster.mount);
            }
            o->mount = mount;
            return 0;
        }
    }
    return hd_fail(-EINVAL,
                   "--load %s: mixed, write, read, metadata, small, mount or a directory of the "
                   "cluster (/path) is expected",
                   r->load_name);
}

static int start_load(struct hd_drill_run *r)
{
    char ledger[HD_PATH_BYTES + 16];
    char mount[HD_PATH_BYTES];
    snprintf(ledger, sizeof(ledger), "%s/ledger", r->dir);
    struct hd_load_options o = {
        .cluster = &r->cluster, .dir = r->fs_dir, .ledger = ledger, .seed = r->seed};
    int rc = parse_load(r, &o, mount);
    return rc < 0 ? rc : hd_load_start(&o, &r->load);
}

/* Names of this run: <time>-<drill>, so that names sort by time. */
static int make_names(struct hd_drill_run *r)
{
    time_t now = (time_t)(hd_clock_wall_ms().v / 1000);
    struct tm tm;
    char when[32];
    gmtime_r(&now, &tm);
    strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
    snprintf(r->id, sizeof(r->id), "%s-%s-%04x", when, r->drill->name,
             (unsigned)(hd_hash_u64(r->seed ^ (uint64_t)getpid()) & 0xffff));
    snprintf(r->result.id, sizeof(r->result.id), "%s", r->id);
    const char *parent = r->load_name[0] == '/' ? r->load_name : "";
    if (snprintf(r->dir, sizeof(r->dir), "%s/%s", r->base, r->id) >= (int)sizeof(r->dir) ||
        strlen(parent) > 80 || strpbrk(parent, " \t\n>") != NULL) {
        return hd_fail(-EINVAL, "%s: a shorter path without blanks is expected", parent);
    }
    while (parent[0] == '/' && parent[1] == '\0') {
        parent = "";
    }
    snprintf(r->fs_dir, sizeof(r->fs_dir), "%s/.howdah-drill-%s", parent, r->id);
    return hd_dir_make(r->dir, 0755);
}

/* What an earlier drill left behind is healed before anything else. */
static int heal_leftover(struct hd_drill_run *r)
{
    char path[HD_PATH_BYTES];
    HD_AUTO(hd_journal_done) struct hd_journal old = {.fd = -1};
    int rc = hd_drill_journal_path(r->base, path);
    rc = rc == 0 ? hd_journal_load(path, &old) : rc;
    if (rc < 0 || (old.count == 0 && access(path, F_OK) != 0)) {
        return rc;
    }
    hd_drill_say(r, "heal", "an earlier drill did not end; undoing what it did (%zu steps)",
                 old.count);
    rc = hd_drill_heal(&r->cluster, &old, false);
    return rc == 0 ? hd_journal_clear(&old) : rc;
}

/* ---- asking ---- */

static void name_targets(struct hd_drill_run *r)
{
    char *out = r->result.target;
    size_t size = sizeof(r->result.target);
    snprintf(out, size, "%s", r->targets[0] != NULL ? r->targets[0]->name : "the whole cluster");
    if (r->targets[1] != NULL) {
        snprintf(out, size, "%s, %s", r->targets[0]->name, r->targets[1]->name);
    }
}

static int say_radius(struct hd_drill_run *r)
{
    FILE *out = r->json ? stderr : stdout;
    struct hd_blast b = {0};
    fprintf(out, "Drill         %s on %s  (seed %" PRIu64 ")\n", r->drill->name, r->result.target,
            r->seed);
    fprintf(out, "What is done  %s\n", r->drill->how);
    fprintf(out, "Must hold     %s\n", r->drill->must);
    int rc = r->drill->takes_copies && r->targets[0] != NULL ? hd_drill_blast(r, &b) : 0;
    if (rc < 0) {
        fprintf(out, "Blast radius  %s; its blocks cannot be counted: %s\n", r->result.target,
                hd_fail_describe(rc));
    } else if (r->drill->takes_copies && r->targets[0] != NULL) {
        fprintf(out,
                "Blast radius  %s of %d data nodes; %" PRIu64
                "%s blocks have a copy there: %" PRIu64 " fall to 2 copies, %" PRIu64
                " to 1, %" PRIu64 " to none\n",
                r->result.target, r->cluster.nodes, b.blocks, b.complete ? "" : " or more",
                b.to_two, b.to_one, b.to_none);
    } else {
        fprintf(out, "Blast radius  %s; no copy of a block is taken away for good\n",
                r->result.target);
    }
    fflush(out);
    if (b.to_none > 0) {
        return hd_fail(-EBUSY,
                       "%" PRIu64 " blocks have no copy but those on %s; nobody could read them "
                       "while the drill lasts. Choose another node, or raise their replication.",
                       b.to_none, r->result.target);
    }
    return 0;
}

static int ask_yes(const struct hd_drill_run *r)
{
    char answer[16] = "";
    if (r->yes) {
        return 0;
    }
    if (!isatty(STDIN_FILENO) || r->json) {
        return hd_fail(-EPERM, "nobody is there to be asked; --yes says yes beforehand");
    }
    printf("Break it now? [y/N] ");
    fflush(stdout);
    if (fgets(answer, sizeof(answer), stdin) == NULL || (answer[0] != 'y' && answer[0] != 'Y')) {
        return hd_fail(-EPERM, "not confirmed; nothing was done");
    }
    return 0;
}

/* ---- the fault, and after ---- */

static int inject_and_hold(struct hd_drill_run *r)
{
    int rc = hd_drill_wait(r, HD_MIN(STEADY_MS, r->for_ms));
    if (rc < 0) {
        return rc;
    }
    hd_drill_say(r, "steady", "%" PRIu64 " operations acknowledged", hd_load_acked(r->load));
    hd_load_phase(r->load, HD_PHASE_DURING);
    rc = r->drill->inject(r);
    if (rc == 0) {
        rc = r->drill->hold != NULL ? r->drill->hold(r) : hd_drill_wait(r, r->for_ms);
    }
    return rc;
}

static int heal(struct hd_drill_run *r, bool aborted)
{
    r->result.heal_at_s = (double)hd_timeline_now_ms(r->timeline) / 1e3;
    hd_drill_say(r, "heal", "undoing the fault");
    int rc = r->drill->heal != NULL && !aborted ? r->drill->heal(r) : 0;
    int undone = hd_drill_heal(&r->cluster, &r->journal, r->no_mount);
    if (undone == 0) {
        undone = hd_journal_clear(&r->journal);
    }
    hd_load_phase(r->load, HD_PHASE_AFTER);
    if (undone == 0) {
        hd_drill_say(r, "healed", "every daemon runs, no fault is left");
    }
    return undone < 0 ? undone : rc;
}

static int end_load(struct hd_drill_run *r)
{
    int rc = hd_load_stop(r->load, LOAD_STOP_MS);
    hd_load_result(r->load, &r->result.load);
    if (rc == 0 && r->result.load.broken < 0) {
        rc = hd_fail(r->result.load.broken, "the ledger could not be written");
    }
    return rc;
}

static int find_verdict(struct hd_drill_run *r)
{
    char ledger[HD_PATH_BYTES + 16];
    snprintf(ledger, sizeof(ledger), "%s/ledger", r->dir);
    struct hd_verdict_options o = {.cluster = &r->cluster,
                                   .ledger = ledger,
                                   .timeout_ms = VERDICT_LIMIT_MS,
                                   .stop = stop_asked};
    hd_drill_say(r, "checking", "%" PRIu64 " acknowledged operations, every copy",
                 r->result.load.acked);
    const char *hook = getenv("HOWDAH_DRILL_BEFORE_VERDICT"); /* tests: proves that loss is seen */
    if (hook != NULL && hook[0] != '\0' && setenv("HOWDAH_DRILL_FS_DIR", r->fs_dir, 1) == 0 &&
        system(hook) != 0) {
        return hd_fail(-EINVAL, "HOWDAH_DRILL_BEFORE_VERDICT: %s failed", hook);
    }
    int rc = hd_verdict_find(&o, &r->result.verdict);
    r->result.judged = rc == 0;
    return rc;
}

/*
 * The load's files, the ledger and saved bytes are of no more use. Best effort: a drill that held
 * leaves nothing behind but its result.
 */
static void remove_load(struct hd_drill_run *r)
{
    struct hd_fs *fs;
    hd_dir_remove(r->dir);
    if (hd_cluster_open_fs(&r->cluster, NULL, &fs) == 0) {
        hd_fs_delete(fs, r->fs_dir, true);
        hd_fs_close(fs);
    }
}

/* ---- the numbers ---- */

static void miss(struct hd_drill_result *res, const char *what, double got_s, double goal_s)
{
    size_t used = strlen(res->goals);
    if (goal_s > 0 && got_s > goal_s && used < sizeof(res->goals)) {
        snprintf(res->goals + used, sizeof(res->goals) - used, "%s%s %.1f s (goal %.1f)",
                 used > 0 ? ", " : "", what, got_s, goal_s);
    }
}

static void add_numbers(struct hd_drill_run *r)
{
    struct hd_drill_result *res = &r->result;
    const struct hd_drill_goals *goals = &r->drill->goals;
    int64_t fault_ms = (int64_t)(res->fault_at_s * 1e3);
    hd_timeline_samples(r->timeline, &res->samples, &res->sample_count);
    hd_timeline_marks(r->timeline, &res->marks, &res->mark_count);
    int64_t noticed_ms =
        hd_samples_noticed_ms(res->samples, res->sample_count, fault_ms, &r->before);
    int64_t mended_ms = hd_samples_mended_ms(res->samples, res->sample_count, fault_ms);
    res->noticed_s = noticed_ms < 0 ? -1 : (double)(noticed_ms - fault_ms) / 1e3;
    res->mended_s = res->healthy_s < 0 ? -1 : (double)(mended_ms - fault_ms) / 1e3;
    miss(res, "read wait", res->load.longest_stall_s[HD_CLASS_READ], goals->read_s);
    miss(res, "write wait", res->load.longest_stall_s[HD_CLASS_WRITE], goals->write_s);
    miss(res, "metadata wait", res->load.longest_stall_s[HD_CLASS_METADATA], goals->metadata_s);
    miss(res, "noticed after", res->noticed_s, goals->noticed_s);
    miss(res, "all copies after", res->mended_s, goals->mended_s);
}

static int finish(struct hd_drill_run *r, int code, const char *outcome, const char *reason)
{
    struct hd_drill_result *res = &r->result;
    snprintf(res->outcome, sizeof(res->outcome), "%s", outcome);
    if (reason != NULL) {
        snprintf(res->reason, sizeof(res->reason), "%s", reason);
    }
    add_numbers(r);
    int rc = hd_drill_history_add(r->base, res);
    if (rc < 0) {
        fprintf(stderr, "howdah drill: not kept in the history: %s\n", hd_fail_describe(rc));
    }
    return code;
}

/* Everything was healed in time and nothing hangs: what does the ledger say? */
static int judge(struct hd_drill_run *r)
{
    char text[600];
    const struct hd_verdict *v = &r->result.verdict;
    int rc = find_verdict(r);
    if (rc == -ECANCELED) {
        return finish(r, HD_DRILL_ABORTED, "aborted", "interrupted while checking; all is healed");
    }
    if (rc < 0) {
        snprintf(text, sizeof(text), "no verdict: %s", hd_fail_describe(rc));
        return finish(r, HD_DRILL_FAILED, "failed", text);
    }
    if (v->lost + v->wrong + r->result.load.wrong > 0) {
        snprintf(text, sizeof(text), "%s is in the cluster, the ledger in %.200s", r->fs_dir,
                 r->dir);
        return finish(r, HD_DRILL_NOT_HELD, "not held", text);
    }
    if (r->blame[0] != '\0') {
        return finish(r, HD_DRILL_NOT_HELD, "not held", r->blame);
    }
    if (v->unknown > 0) {
        r->result.judged = false;
        snprintf(text, sizeof(text), "no verdict: %" PRIu64 " operations could not be looked at",
                 v->unknown);
        return finish(r, HD_DRILL_FAILED, "failed", text);
    }
    remove_load(r);
    return finish(r, HD_DRILL_HELD, "held", NULL);
}

static int finish_aborted(struct hd_drill_run *r)
{
    hd_drill_go_on(); /* healing is not interrupted */
    int64_t fault_ms = (int64_t)(r->result.fault_at_s * 1e3);
    int rc = hd_drill_wait_whole(r, ABORT_LIMIT_MS);
    if (rc == 0 && r->result.fault_at_s > 0) {
        r->result.healthy_s = (double)(hd_timeline_now_ms(r->timeline) - fault_ms) / 1e3;
    }
    remove_load(r);
    return finish(r, HD_DRILL_ABORTED, "aborted",
                  rc == 0 ? "interrupted; everything is undone and the cluster is whole"
                          : "interrupted; everything is undone, copies are still being made");
}

/* From the load's start to the verdict; every way out heals. */
static int drill_under_load(struct hd_drill_run *r)
{
    char why[600];
    int rc = inject_and_hold(r);
    bool aborted = rc == -ECANCELED;
    snprintf(why, sizeof(why), "%s", rc < 0 ? hd_fail_describe(rc) : "");
    if (aborted) {
        hd_drill_go_on(); /* healing is not interrupted */
    }
    int healed = heal(r, rc < 0);
    if (rc == 0 && healed == 0) {
        aborted = hd_drill_wait(r, AFTER_MS) < 0;
    }
    int ended = end_load(r);
    if (ended == -ETIMEDOUT) {
        r->load = NULL; /* its threads hang and use it: it stays until the process ends */
        return finish(r, HD_DRILL_NOT_HELD, "not held", hd_fail_describe(ended));
    }
    if (healed < 0) {
        snprintf(why, sizeof(why), "healing: %s", hd_fail_describe(healed));
        return finish(r, HD_DRILL_FAILED, "failed", why);
    }
    if (aborted) {
        return finish_aborted(r);
    }
    if (rc < 0 || ended < 0) {
        return finish(r, HD_DRILL_FAILED, "failed", rc < 0 ? why : hd_fail_describe(ended));
    }
    rc = hd_drill_wait_whole(r, WHOLE_LIMIT_MS);
    if (rc == -ECANCELED) {
        return finish_aborted(r);
    }
    if (rc < 0) {
        snprintf(why, sizeof(why), "%s", hd_fail_describe(rc));
        find_verdict(r);
        return finish(r, HD_DRILL_NOT_HELD, "not held", why);
    }
    r->result.healthy_s = (double)hd_timeline_now_ms(r->timeline) / 1e3 - r->result.fault_at_s;
    hd_drill_say(r, "whole", "every block has all its copies, every daemon is back");
    return judge(r);
}

/* ---- all ---- */

static void run_done(struct hd_drill_run *r)
{
    hd_load_free(r->load);
    hd_timeline_free(r->timeline);
    hd_journal_done(&r->journal);
    hd_drill_result_done(&r->result);
    hd_cluster_done(&r->cluster);
    hd_fd_done(&r->lock_fd);
}

static int refuse(struct hd_drill_run *r, int rc)
{
    if (hd_drill_interrupted()) {
        return HD_DRILL_ABORTED;
    }
    fprintf(stderr, "Refused: %s\n", hd_fail_describe(rc));
    snprintf(r->result.outcome, sizeof(r->result.outcome), "refused");
    snprintf(r->result.reason, sizeof(r->result.reason), "%s", hd_fail_describe(rc));
    return HD_DRILL_REFUSED;
}

static int fail(struct hd_drill_run *r, int rc)
{
    fprintf(stderr, "howdah drill: %s\n", hd_fail_describe(rc));
    snprintf(r->result.outcome, sizeof(r->result.outcome), "failed");
    snprintf(r->result.reason, sizeof(r->result.reason), "%s", hd_fail_describe(rc));
    return HD_DRILL_FAILED;
}

/* Locked, healed, looked at, and confirmed. 0, or an exit code. */
static int begin(struct hd_drill_run *r, const struct hd_drill_options *o)
{
    int rc = hd_cluster_find(o->dir, &r->cluster);
    rc = rc == 0 ? hd_drill_base(&r->cluster, r->base) : rc;
    if (rc < 0) {
        return fail(r, rc);
    }
    rc = hd_drill_lock(r->base, &r->lock_fd);
    if (rc < 0) {
        return rc == -EBUSY ? refuse(r, rc) : fail(r, rc);
    }
    rc = heal_leftover(r);
    if (rc < 0) {
        return fail(r, rc);
    }
    rc = hd_timeline_start(&r->cluster, &r->timeline);
    if (rc < 0) {
        return fail(r, rc);
    }
    rc = hd_drill_preflight(r);
    rc = rc == 0 ? hd_drill_target(r, o->target) : rc;
    if (rc < 0) {
        return refuse(r, rc);
    }
    name_targets(r);
    rc = say_radius(r);
    rc = rc == 0 ? ask_yes(r) : rc;
    return rc < 0 ? refuse(r, rc) : 0;
}

/* From here on there may be something to undo. */
static int go(struct hd_drill_run *r)
{
    char path[HD_PATH_BYTES];
    struct hd_guard guard = {.fd = -1};
    int rc = make_names(r);
    rc = rc == 0 ? hd_drill_journal_path(r->base, path) : rc;
    rc = rc == 0 ? hd_journal_open(path, &r->journal) : rc;
    rc = rc == 0 ? hd_guard_start(&r->cluster, path, r->no_mount, &guard) : rc;
    rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_START) : rc;
    if (rc == 0 && r->drill->prepare != NULL) {
        rc = r->drill->prepare(r);
    }
    rc = rc == 0 ? start_load(r) : rc;
    if (rc < 0) {
        int code = rc == -EINVAL ? refuse(r, rc) : fail(r, rc);
        hd_drill_heal(&r->cluster, &r->journal, r->no_mount);
        hd_journal_clear(&r->journal);
        hd_guard_end(&guard);
        return code;
    }
    int code = drill_under_load(r);
    hd_guard_end(&guard);
    return code;
}

int hd_drill_run(const struct hd_drill_options *o, struct hd_drill_result *ret)
{
    HD_AUTO(run_done)
    struct hd_drill_run r = {
        .drill = hd_drill_find(o->name),
        .for_ms = o->for_ms,
        .seed = o->seed,
        .yes = o->yes,
        .json = o->json,
        .load_name = o->load != NULL ? o->load : "mixed",
        .lock_fd = -1,
        .journal = {.fd = -1},
        .result = {.noticed_s = -1, .mended_s = -1, .healthy_s = -1},
    };
    if (r.seed == 0) {
        hd_random_bytes(&r.seed, sizeof(r.seed));
        r.seed &= INT32_MAX;
    }
    r.prng.state = r.seed;
    snprintf(r.result.drill, sizeof(r.result.drill), "%s", r.drill->name);
    r.result.seed = r.seed;
    r.result.for_s = (double)r.for_ms / 1e3;
    r.result.began_ms = hd_clock_wall_ms().v;
    hd_drill_catch_signals();
    int code = begin(&r, o);
    code = code == 0 ? go(&r) : code;
    if (ret != NULL) {
        *ret = r.result;
        r.result = (struct hd_drill_result){0};
    }
    return code;
}
