/*
 * Stages as jobs, one after the other. What they hand on and what is collected lies in a folder of
 * the run, /user/NAME/.runner/<id>, which goes at the end however that comes.
 */
#include "fs/base/error.h"
#include "fs/client/howdah.h"
#include "fs/os/clock.h"
#include "runner/cli/cli.h"
#include "runner/core/stages.h"
#include "runner/lib/call.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

enum { SUBMIT_MS = 600000, COPY_BYTES = 1 << 20, PATH_BYTES = 4096 };

struct run {
    struct hd_cli *cli;
    const struct hd_stages *stages;
    const struct hd_stage_run *o;
    struct hd_fs *fs;
    char folder[PATH_BYTES];
};

static struct run *under_way; /* under the lock; NULL: nothing is left to remove */
static pthread_mutex_t under_way_lock = PTHREAD_MUTEX_INITIALIZER;

/* At the end of the run, or from the thread that ends the program. */
static void remove_folder(void)
{
    pthread_mutex_lock(&under_way_lock);
    if (under_way != NULL) {
        (void)hd_fs_delete(under_way->fs, under_way->folder, true);
    }
    under_way = NULL;
    pthread_mutex_unlock(&under_way_lock);
}

static void begin(struct run *r)
{
    pthread_mutex_lock(&under_way_lock);
    under_way = r;
    pthread_mutex_unlock(&under_way_lock);
}

static char *stage_path(const struct run *r, uint32_t stage, struct hd_arena *arena)
{
    return hd_arena_printf(arena, "%s/stage-%u", r->folder, stage + 1);
}

/* ---- the job of a stage ---- */

static Hdw__RunnerStep *step_message(const struct hd_step *s, struct hd_arena *arena)
{
    Hdw__RunnerStep *m = HD_ARENA_NEW(arena, Hdw__RunnerStep);
    if (m != NULL) {
        hdw__runner_step__init(m);
        m->op = (char *)(uintptr_t)s->op;
        m->arg = s->args;
        m->n_arg = s->arg_count;
    }
    return m;
}

static Hdw__RunnerChain *chain_message(const struct hd_steps *steps, uint32_t tag,
                                       struct hd_arena *arena)
{
    Hdw__RunnerChain *c = HD_ARENA_NEW(arena, Hdw__RunnerChain);
    if (c == NULL) {
        return NULL;
    }
    hdw__runner_chain__init(c);
    c->has_tag = true;
    c->tag = tag;
    c->step = HD_ARENA_ARRAY(arena, Hdw__RunnerStep *, steps->count + 1);
    for (size_t i = 0; c->step != NULL && i < steps->count; i++) {
        c->step[c->n_step] = step_message(&steps->items[i], arena);
        if (c->step[c->n_step++] == NULL) {
            return NULL;
        }
    }
    return c->step != NULL ? c : NULL;
}

static int add_input(Hdw__RunnerJobSpec *spec, char *path, const struct hd_flow *f,
                     struct hd_arena *arena)
{
    spec->input[spec->n_input++] = path;
    spec->input_chain[spec->n_input_chain] = chain_message(&f->steps, f->tag, arena);
    return path != NULL && spec->input_chain[spec->n_input_chain++] != NULL ? 0 : HD_EXIT_FAILED;
}

static int add_inputs(const struct run *r, const struct hd_stage *s, Hdw__RunnerJobSpec *spec,
                      struct hd_arena *arena)
{
    size_t count = 0;
    for (size_t i = 0; i < s->flow_count; i++) {
        count += s->flows[i].path_count + 1;
    }
    spec->input = HD_ARENA_ARRAY(arena, char *, count);
    spec->input_chain = HD_ARENA_ARRAY(arena, Hdw__RunnerChain *, count);
    if (spec->input == NULL || spec->input_chain == NULL) {
        return HD_EXIT_FAILED;
    }
    for (size_t i = 0; i < s->flow_count; i++) {
        const struct hd_flow *f = &s->flows[i];
        int rc = 0;
        if (f->stage != HD_STAGE_NONE) {
            rc = add_input(spec, stage_path(r, f->stage, arena), f, arena);
        }
        for (size_t k = 0; rc == 0 && k < f->path_count; k++) {
            char *path = hd_cli_path(r->cli, f->paths[k], arena);
            rc = path != NULL ? add_input(spec, path, f, arena) : HD_EXIT_IO;
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static int add_property(Hdw__RunnerJobSpec *spec, const char *name, const char *value,
                        struct hd_arena *arena)
{
    Hdw__RunnerProperty *p = HD_ARENA_NEW(arena, Hdw__RunnerProperty);
    if (p == NULL) {
        return HD_EXIT_FAILED;
    }
    hdw__runner_property__init(p);
    p->name = (char *)(uintptr_t)name;
    p->value = (char *)(uintptr_t)value;
    spec->property[spec->n_property++] = p;
    return 0;
}

/* The order of sortByKey is the shuffle's. */
static int add_order(const struct hd_step *wide, Hdw__RunnerJobSpec *spec, struct hd_arena *arena)
{
    bool numeric = false;
    bool descending = false;
    for (size_t i = 0; i < wide->arg_count; i++) {
        numeric = numeric || wide->args[i][0] == 'n' || wide->args[i][0] == 'N';
        descending = descending || wide->args[i][0] == 'd' || wide->args[i][0] == 'D';
    }
    if (!numeric && !descending) {
        return 0;
    }
    char *options = hd_arena_printf(arena, "-k1,1%s%s", numeric ? "n" : "", descending ? "r" : "");
    int rc =
        add_property(spec, "mapreduce.job.output.key.comparator.class",
                     "org.apache.hadoop.mapreduce.lib.partition.KeyFieldBasedComparator", arena);
    return rc == 0 && options != NULL
               ? add_property(spec, "mapreduce.partition.keycomparator.options", options, arena)
               : HD_EXIT_FAILED;
}

static int build_spec(const struct run *r, uint32_t index, Hdw__RunnerJobSpec *spec,
                      struct hd_arena *arena)
{
    enum { PROPERTIES = 4 };
    const struct hd_stage *s = &r->stages->items[index];
    bool kept = s->end != HD_STAGE_SAVE;
    spec->name = r->stages->count > 1
                     ? hd_arena_printf(arena, "%s %u/%zu", r->o->name, index + 1, r->stages->count)
                     : hd_arena_str(arena, r->o->name);
    spec->output = kept ? stage_path(r, index, arena) : hd_cli_path(r->cli, s->path, arena);
    spec->property = HD_ARENA_ARRAY(arena, Hdw__RunnerProperty *, PROPERTIES);
    if (spec->name == NULL || spec->output == NULL || spec->property == NULL) {
        return HD_EXIT_FAILED;
    }
    int rc = add_inputs(r, s, spec, arena);
    if (rc == 0 && s->wide.op != NULL) {
        spec->wide = step_message(&s->wide, arena);
        spec->output_chain = chain_message(&s->after, 0, arena);
        spec->reduces = s->reduces;
        rc = spec->wide != NULL && spec->output_chain != NULL ? 0 : HD_EXIT_FAILED;
    }
    if (rc == 0 && s->end == HD_STAGE_SAVE && s->replace) {
        rc = add_property(spec, "howdah.output.replace", "true", arena);
    }
    if (rc == 0 && s->wide.op != NULL && strcmp(s->wide.op, "sortByKey") == 0) {
        rc = add_order(&s->wide, spec, arena);
    }
    return rc;
}

static int run_stage(const struct run *r, uint32_t index)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    Hdw__RunnerJobSpec spec = HDW__RUNNER_JOB_SPEC__INIT;
    Hdw__SubmitRequest request = HDW__SUBMIT_REQUEST__INIT;
    Hdw__SubmitResponse *response;
    hd_arena_init(&arena, 0);
    int rc = build_spec(r, index, &spec, &arena);
    if (rc != 0) {
        return rc;
    }
    request.spec = &spec;
    hd_interrupt_submitting(true);
    int err = hd_runner_call(r->cli->manager, "submit", &request, &hdw__submit_response__descriptor,
                             SUBMIT_MS, &arena, &response);
    if (err < 0 || response->status == NULL) {
        hd_interrupt_submitting(false);
    }
    if (err < 0) {
        hd_cli_say("manager at %s: %s", r->cli->settings.manager_address, hd_fail_describe(err));
        return hd_cli_exit_code(err);
    }
    if (response->exit_code != 0 || response->status == NULL) {
        hd_cli_say("%s", response->message != NULL ? response->message : "refused");
        return response->exit_code != 0 ? response->exit_code : HD_EXIT_FAILED;
    }
    char *id = hd_arena_str(&arena, response->status->id);
    bool quiet = r->o->quiet || !isatty(STDERR_FILENO);
    struct hd_follow follow = {.kill_on_interrupt = true, .quiet = quiet};
    return id != NULL ? hd_follow_job(r->cli, id, &follow) : HD_EXIT_FAILED;
}

/* ---- what is collected ---- */

static int print_file(const struct run *r, const char *path, uint8_t *buf)
{
    struct hd_file *f;
    int err = hd_file_open(r->fs, path, &f);
    if (err < 0) {
        return err;
    }
    int64_t n = 0;
    uint64_t at = 0;
    while (err == 0 && (n = hd_file_pread(f, buf, COPY_BYTES, at)) > 0) {
        at += (uint64_t)n;
        err = fwrite(buf, 1, (size_t)n, stdout) == (size_t)n
                  ? 0
                  : hd_fail_errno(errno, "standard output");
    }
    (void)hd_file_close(f);
    return n < 0 ? (int)n : err;
}

static int print_stage(const struct run *r, uint32_t index)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    struct hd_dir *dir;
    struct hd_stat st = {0};
    hd_arena_init(&arena, 0);
    const char *folder = stage_path(r, index, &arena);
    uint8_t *buf = hd_arena_alloc(&arena, COPY_BYTES);
    int err = folder != NULL && buf != NULL ? hd_dir_open(r->fs, folder, "", &dir) : -ENOMEM;
    if (err < 0) {
        return err;
    }
    int got = 0;
    while (err == 0 && (got = hd_dir_next(dir, &st)) == 1) { /* in the order of the parts */
        if (st.name[0] != '_' && st.name[0] != '.' && st.size_bytes > 0) {
            const char *path = hd_arena_printf(&arena, "%s/%s", folder, st.name);
            err = path != NULL ? print_file(r, path, buf) : -ENOMEM;
        }
        hd_stat_done(&st);
    }
    hd_dir_close(dir);
    return err < 0 ? err : HD_MIN(got, 0);
}

/* An output that stands in the way is told before anything is begun. */
static int check_outputs(const struct run *r)
{
    for (size_t i = 0; i < r->stages->count; i++) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        const struct hd_stage *s = &r->stages->items[i];
        struct hd_stat st;
        hd_arena_init(&arena, 0);
        if (s->end != HD_STAGE_SAVE || s->replace) {
            continue;
        }
        const char *path = hd_cli_path(r->cli, s->path, &arena);
        if (path == NULL) {
            return HD_EXIT_IO;
        }
        if (hd_fs_stat(r->fs, path, &st) == 0) { /* errors are the manager's to tell */
            hd_stat_done(&st);
            hd_cli_say("Output directory %s%s already exists", hd_fs_uri(r->fs), path);
            return HD_EXIT_OUTPUT_EXISTS;
        }
    }
    return 0;
}

int hd_stages_run(struct hd_cli *c, const struct hd_stages *stages, const struct hd_stage_run *o)
{
    struct run r = {.cli = c, .stages = stages, .o = o};
    char id[HD_UUID_TEXT_BYTES];
    signal(SIGPIPE, SIG_IGN); /* whoever reads our output may go, not without our tidying up */
    hd_catch_interrupts(c, remove_folder);
    int err = hd_runner_fs_open(&c->settings, "runner", true, &r.fs);
    struct hd_fs *fs = r.fs;
    if (err == 0) {
        err = hd_fs_as(fs, c->user, &r.fs);
    }
    if (err < 0) {
        hd_cli_say("%s", hd_fail_describe(err));
        hd_fs_close(fs);
        return hd_cli_exit_code(err);
    }
    hd_random_uuid(id);
    snprintf(r.folder, sizeof(r.folder), "/user/%.200s/.runner/%s", c->user, id);
    int rc = check_outputs(&r);
    begin(&r);
    for (uint32_t i = 0; rc == 0 && i < stages->count; i++) {
        rc = run_stage(&r, i);
        err = rc == 0 && stages->items[i].end == HD_STAGE_COLLECT ? print_stage(&r, i) : 0;
        if (err < 0 && err != -EPIPE) {
            hd_cli_say("%s", hd_fail_describe(err));
            rc = hd_cli_exit_code(err);
        }
    }
    if (fflush(stdout) != 0 && rc == 0 && errno != EPIPE) {
        hd_cli_say("standard output: %s", strerror(errno));
        rc = HD_EXIT_IO;
    }
    remove_folder();
    hd_fs_close(fs);
    return rc;
}
