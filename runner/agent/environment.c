/*
 * The environment of a task: the agent's own, every property of the job (names made fit), the
 * properties of this attempt under new and old names, -cmdenv. See runner(1), ENVIRONMENT.
 */
#include "runner/agent/agent.h"
#include "fs/base/map.h"
#include "runner/agent/sweep.h"

#include <stdlib.h>
#include <unistd.h>

enum { ENTRIES_MAX = 16384 };

struct env {
    struct hd_arena *arena;
    char **entries;
    size_t count;
    int64_t truncate; /* stream.jobconf.truncate.limit; -1: none */
    bool failed;
};

/* NAME=value; replaces an entry of the same name. */
static void put(struct env *e, const char *name, const char *value)
{
    size_t name_size = strlen(name);
    char *entry = hd_arena_printf(e->arena, "%s=%s", name, value);
    if (entry == NULL || e->count + 1 >= ENTRIES_MAX) {
        e->failed = true;
        return;
    }
    for (size_t i = 0; i < e->count; i++) {
        if (strncmp(e->entries[i], entry, name_size + 1) == 0) {
            e->entries[i] = entry;
            return;
        }
    }
    e->entries[e->count++] = entry;
}

static void put_property(struct env *e, const char *name, const char *value)
{
    char *fit = hd_arena_str(e->arena, name);
    if (fit == NULL) {
        e->failed = true;
        return;
    }
    hd_props_env_name(fit);
    if (e->truncate >= 0 && (int64_t)strlen(value) > e->truncate) {
        char *cut = hd_arena_strn(e->arena, value, (size_t)e->truncate);
        value = cut != NULL ? cut : "";
    }
    put(e, fit, value);
    const char *old = hd_props_old_name(name);
    if (old != NULL) {
        put_property(e, old, value);
    }
}

HD_PRINTF(3, 4)
static void put_f(struct env *e, const char *name, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *value = hd_arena_vprintf(e->arena, fmt, ap);
    va_end(ap);
    if (value == NULL) {
        e->failed = true;
        return;
    }
    put_property(e, name, value);
}

static void put_own(struct env *e)
{
    for (char **p = environ; *p != NULL; p++) {
        if (strncmp(*p, "NOTIFY_SOCKET=", 14) != 0 && strncmp(*p, "WATCHDOG_", 9) != 0 &&
            e->count + 1 < ENTRIES_MAX) {
            e->entries[e->count++] = *p;
        }
    }
}

static void put_job(struct env *e, const struct hd_attempt *t)
{
    const struct hd_agent_job *job = t->job;
    const Hdw__RunnerJobSpec *spec = job->setup->spec;
    for (size_t i = 0; i < job->props.count; i++) {
        put_property(e, job->props.items[i].name, job->props.items[i].value);
    }
    const char *number = job->id + 9;
    put_f(e, "mapreduce.job.id", "job_%.8s_%s", job->id, number);
    put_f(e, "mapreduce.job.name", "%s", spec->name);
    put_f(e, "mapreduce.job.user.name", "%s", job->setup->user);
    put_f(e, "mapreduce.job.reduces", "%u", spec->reduces);
    put_f(e, "mapreduce.job.maps", "%u", job->setup->maps);
    put_f(e, "mapreduce.job.local.dir", "%s", t->work_dir);
    put_f(e, "mapreduce.output.fileoutputformat.outputdir", "%s%s", hd_fs_uri(t->agent->fs),
          spec->output);
}

static void put_attempt(struct env *e, const struct hd_attempt *t)
{
    const Hdw__RunnerAttemptKey *key = t->work->key;
    const struct hd_agent_job *job = t->job;
    const char *number = job->id + 9;
    bool map = key->kind == HDW__RUNNER_TASK_KIND__TASK_MAP;
    char kind = map ? 'm' : 'r';
    put_f(e, "mapreduce.task.id", "task_%.8s_%s_%c_%06u", job->id, number, kind, key->index);
    put_f(e, "mapreduce.task.attempt.id", "attempt_%.8s_%s_%c_%06u_%u", job->id, number, kind,
          key->index, key->number - 1);
    put_f(e, "mapreduce.task.partition", "%u", key->index);
    put_f(e, "mapreduce.task.ismap", "%s", map ? "true" : "false");
    put_f(e, "mapreduce.task.output.dir", "%s%s", hd_fs_uri(t->agent->fs), job->setup->staging);
    put_f(e, "mapreduce.cluster.local.dir", "%s", t->work_dir);
}

char **hd_attempt_environment(struct hd_attempt *t, struct hd_arena *arena,
                              const Hdw__RunnerSplit *split)
{
    const Hdw__RunnerJobSpec *spec = t->job->setup->spec;
    struct env e = {.arena = arena, .entries = HD_ARENA_ARRAY(arena, char *, ENTRIES_MAX)};
    if (e.entries == NULL) {
        return NULL;
    }
    e.truncate = hd_props_int(&t->job->props, "stream.jobconf.truncate.limit", -1);
    put_own(&e);
    put_job(&e, t);
    put_attempt(&e, t);
    if (split != NULL) {
        put_f(&e, "mapreduce.map.input.file", "%s%s", hd_fs_uri(t->agent->fs), split->path);
        put_f(&e, "mapreduce.map.input.start", "%llu", (unsigned long long)split->start);
        put_f(&e, "mapreduce.map.input.length", "%llu", (unsigned long long)split->length);
    }
    char *tmp = hd_arena_printf(arena, "%s/tmp", t->work_dir);
    put(&e, "TMPDIR", tmp != NULL ? tmp : "/tmp");
    put(&e, "USER", t->job->setup->user);
    put(&e, "LOGNAME", t->job->setup->user);
    put(&e, "HOME", t->job->identity.home);
    put(&e, "PWD", t->work_dir);
    put(&e, HD_SWEEP_VARIABLE, t->work_dir);
    for (size_t i = 0; i < spec->n_env; i++) {
        put(&e, spec->env[i]->name, spec->env[i]->value);
    }
    return e.failed ? NULL : e.entries;
}
