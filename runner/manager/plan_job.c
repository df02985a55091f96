/*
 * Planning, on a worker thread: checks the output, finds the input files (globs, folders), asks
 * where their blocks are, cuts tasks, makes the staging directory.
 */
#include "fs/base/error.h"
#include "runner/manager/manager.h"
#include "runner/ops/codec.h"
#include "runner/ops/record_filter.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>

enum {
    EXIT_OUTPUT_EXISTS = 4,
    EXIT_IO = 5,
    FILES_MAX = 1000000,
    LINKS_MAX = 8,
    REDUCE_BYTES = 128 << 20, /* of input for one reduce, when their number is left open */
    TINY_BYTES = 4 << 20,
    GROUP_BYTES = 32 << 20,
    GROUP_FILES = 1000,
    GROUP_TASKS = 16, /* tiny files are spread over at least so many tasks, bytes permitting */
};

struct input {
    char *path;
    uint64_t size;
    uint32_t index; /* of the job's inputs */
};

struct planner {
    struct hd_mjob *job;
    struct hd_fs *fs;
    struct hd_plan_result *result;
    struct hd_arena arena; /* of the planning only */
    struct input *inputs;
    size_t count;
    size_t capacity;
    uint32_t input; /* the job's input that is looked at */
    bool recursive;
};

HD_PRINTF(3, 4)
static int refuse(struct planner *p, int exit_code, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(p->result->message, sizeof(p->result->message), fmt, ap);
    va_end(ap);
    p->result->exit_code = exit_code;
    return -1;
}

static int refuse_error(struct planner *p, int err, const char *path)
{
    const char *why = hd_fail_describe(err);
    return strstr(why, path) != NULL ? refuse(p, EXIT_IO, "%s", why)
                                     : refuse(p, EXIT_IO, "%s: %s", path, why);
}

/* ---- files ---- */

static int add_file(struct planner *p, const char *path, uint64_t size)
{
    if (hd_codec_of_name(path) == HD_CODEC_UNKNOWN) {
        return refuse(p, EXIT_IO,
                      "%s: input compressed as %s cannot be read; .gz, .deflate, .bz2 and .zst can",
                      path, strrchr(path, '.'));
    }
    if (p->count == FILES_MAX) {
        return refuse(p, EXIT_IO, "more than %d input files", FILES_MAX);
    }
    if (p->count == p->capacity) {
        size_t capacity = HD_MAX(2 * p->capacity, (size_t)64);
        struct input *more = realloc(p->inputs, capacity * sizeof(*more));
        if (more == NULL) {
            return refuse(p, EXIT_IO, "no memory for the input files");
        }
        p->inputs = more;
        p->capacity = capacity;
    }
    char *copy = hd_arena_str(&p->arena, path);
    if (copy == NULL) {
        return refuse(p, EXIT_IO, "no memory for the input files");
    }
    p->inputs[p->count++] = (struct input){.path = copy, .size = size, .index = p->input};
    return 0;
}

static bool hidden(const char *name)
{
    return name[0] == '_' || name[0] == '.';
}

static char *join(struct planner *p, const char *dir, const char *name)
{
    return hd_arena_printf(&p->arena, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

/* stat that follows symlinks; *path becomes the target. */
static int stat_through(struct planner *p, const char **path, struct hd_stat *st)
{
    for (int i = 0; i < LINKS_MAX; i++) {
        int err = hd_fs_stat(p->fs, *path, st);
        if (err < 0 || st->type != HD_TYPE_SYMLINK || st->link == NULL) {
            return err;
        }
        const char *slash = strrchr(*path, '/');
        *path = st->link[0] == '/'
                    ? hd_arena_str(&p->arena, st->link)
                    : hd_arena_printf(&p->arena, "%.*s/%s", (int)(slash - *path), *path, st->link);
        hd_stat_done(st);
        if (*path == NULL) {
            return -ENOMEM;
        }
    }
    return hd_fail(-ELOOP, "%s: too many symbolic links", *path);
}

static int add_path(struct planner *p, const char *path, const struct hd_stat *st, int depth);

static int add_folder(struct planner *p, const char *path, int depth)
{
    struct hd_dir *dir;
    struct hd_stat entry = {0};
    int err = hd_dir_open(p->fs, path, "", &dir);
    if (err < 0) {
        return refuse_error(p, err, path);
    }
    int got;
    int rc = 0;
    while (rc == 0 && (got = hd_dir_next(dir, &entry)) == 1) {
        const char *child = join(p, path, entry.name);
        if (hidden(entry.name) || entry.type == HD_TYPE_SYMLINK) { /* links as in grep -r */
            hd_stat_done(&entry);
            continue;
        }
        if (child == NULL) {
            rc = refuse(p, EXIT_IO, "no memory for the input files");
        } else if (entry.type == HD_TYPE_DIR && !p->recursive) {
            rc = refuse(p, EXIT_IO, "Not a file: %s%s", hd_fs_uri(p->fs), child);
        } else {
            rc = add_path(p, child, &entry, depth + 1);
        }
        hd_stat_done(&entry);
    }
    hd_dir_close(dir);
    return rc == 0 && got < 0 ? refuse_error(p, got, path) : rc;
}

static int add_path(struct planner *p, const char *path, const struct hd_stat *st, int depth)
{
    if (st->type == HD_TYPE_FILE) {
        return add_file(p, path, st->size_bytes);
    }
    if (depth > HD_PATH_MAX_DEPTH) {
        return refuse(p, EXIT_IO, "%s: folders are nested too deep", path);
    }
    return add_folder(p, path, depth);
}

/* ---- globs ---- */

static bool is_pattern(const char *text)
{
    return strpbrk(text, "*?[{\\") != NULL;
}

static int expand_components(struct planner *p, const char *base, const char *rest, size_t *found);

static int take_match(struct planner *p, const char *path, const char *rest, size_t *found)
{
    struct hd_stat st;
    const char *at = path;
    if (*rest != '\0') {
        return expand_components(p, path, rest, found);
    }
    int err = stat_through(p, &at, &st);
    if (err == -ENOENT) {
        return 0;
    }
    if (err < 0) {
        return refuse_error(p, err, path);
    }
    (*found)++;
    err = add_path(p, at, &st, 0);
    hd_stat_done(&st);
    return err;
}

/* Matches the first component of rest in the folder base, and goes on with the others. */
static int expand_components(struct planner *p, const char *base, const char *rest, size_t *found)
{
    while (*rest == '/') {
        rest++;
    }
    size_t size = strcspn(rest, "/");
    char *pattern = hd_arena_strn(&p->arena, rest, size);
    const char *after = rest + size;
    while (*after == '/') {
        after++;
    }
    if (pattern == NULL) {
        return refuse(p, EXIT_IO, "no memory for the input files");
    }
    if (size == 0) {
        return take_match(p, base, "", found);
    }
    if (!is_pattern(pattern)) {
        const char *path = join(p, base, pattern);
        return path != NULL ? take_match(p, path, after, found)
                            : refuse(p, EXIT_IO, "no memory for the input files");
    }
    struct hd_dir *dir;
    struct hd_stat entry = {0};
    int err = hd_dir_open(p->fs, base, "", &dir);
    if (err == -ENOENT || err == -ENOTDIR) {
        return 0;
    }
    if (err < 0) {
        return refuse_error(p, err, base);
    }
    int got;
    int rc = 0;
    while (rc == 0 && (got = hd_dir_next(dir, &entry)) == 1) {
        if (!hidden(entry.name) && fnmatch(pattern, entry.name, 0) == 0) {
            const char *path = join(p, base, entry.name);
            rc = path != NULL ? take_match(p, path, after, found) : -1;
        }
        hd_stat_done(&entry);
    }
    hd_dir_close(dir);
    return rc == 0 && got < 0 ? refuse_error(p, got, base) : rc;
}

/* Braces become one pattern each: /a/{b,c}/d is /a/b/d and /a/c/d. Innermost of the first group. */
static int expand_braces(struct planner *p, const char *pattern, size_t *found, int depth)
{
    const char *close = strchr(pattern, '}');
    const char *open = NULL;
    for (const char *c = pattern; close != NULL && c < close; c++) {
        open = *c == '{' ? c : open;
    }
    if (open == NULL || depth > 32) {
        return expand_components(p, "/", pattern, found);
    }
    for (const char *item = open + 1; item <= close;) {
        size_t size = strcspn(item, ",}");
        char *one = hd_arena_printf(&p->arena, "%.*s%.*s%s", (int)(open - pattern), pattern,
                                    (int)size, item, close + 1);
        int err = one != NULL ? expand_braces(p, one, found, depth + 1) : -1;
        if (err < 0) {
            return err;
        }
        item += size + 1;
    }
    return 0;
}

static int add_input(struct planner *p, const char *input)
{
    size_t found = 0;
    int err = expand_braces(p, input, &found, 0);
    if (err == 0 && found == 0) {
        return is_pattern(input)
                   ? refuse(p, EXIT_IO, "Input Pattern %s%s matches 0 files", hd_fs_uri(p->fs),
                            input)
                   : refuse(p, EXIT_IO, "Input path does not exist: %s%s", hd_fs_uri(p->fs), input);
    }
    return err;
}

/* ---- blocks and tasks ---- */

static int fill_blocks(struct planner *p, const struct input *in, struct hd_plan_file *file)
{
    struct hd_located_file located;
    if (in->size == 0) {
        return 0;
    }
    int err = hd_fs_locate(p->fs, in->path, 0, UINT64_MAX >> 1, &located);
    if (err < 0) {
        return refuse_error(p, err, in->path);
    }
    file->blocks = HD_ARENA_ARRAY(&p->arena, struct hd_plan_block, located.block_count + 1);
    file->block_count = file->blocks != NULL ? located.block_count : 0;
    for (uint32_t i = 0; i < file->block_count; i++) {
        const struct hd_located_block *b = &located.blocks[i];
        struct hd_plan_block *out = &file->blocks[i];
        out->offset = b->offset_bytes;
        out->size = b->size_bytes;
        for (uint32_t l = 0; l < b->location_count && out->node_count < HD_PLAN_NODES; l++) {
            char address[HD_ADDR_TEXT_BYTES];
            snprintf(address, sizeof(address), "%.45s:%d", b->locations[l].ip,
                     b->locations[l].data_port);
            out->nodes[out->node_count++] =
                hd_manager_node(p->job->manager, address, b->locations[l].rack);
        }
    }
    hd_located_file_done(&located);
    return 0;
}

static Hdw__RunnerSplit *new_split(struct planner *p, const struct hd_plan_file *file,
                                   const struct hd_plan_split *s)
{
    Hdw__RunnerSplit *out = HD_ARENA_NEW(&p->job->arena, Hdw__RunnerSplit);
    if (out == NULL) {
        return NULL;
    }
    hdw__runner_split__init(out);
    out->path = hd_arena_str(&p->job->arena, file->path);
    out->start = s->start;
    out->length = s->length;
    out->file_size = file->size;
    out->has_input = true;
    out->input = p->inputs[s->file].index;
    return out->path != NULL ? out : NULL;
}

/* As many reduces as the input is worth, when the job leaves it open. */
static void choose_reduces(struct hd_mjob *job, const struct hd_plan *plan)
{
    uint64_t total = 0;
    for (uint32_t i = 0; i < plan->count; i++) {
        total += plan->tasks[i].bytes;
    }
    if (job->spec->reduces == HD_REDUCES_AUTO) {
        job->spec->reduces =
            (uint32_t)HD_MIN(total / REDUCE_BYTES + 1, (uint64_t)HD_MAX(plan->count, 1u));
    }
}

static int build_tasks(struct planner *p, const struct hd_plan_file *files,
                       const struct hd_plan *plan)
{
    struct hd_mjob *job = p->job;
    choose_reduces(job, plan);
    job->tasks[HD_TASK_MAP] = calloc(plan->count + 1, sizeof(struct hd_mtask));
    job->tasks[HD_TASK_REDUCE] = calloc((size_t)job->spec->reduces + 1, sizeof(struct hd_mtask));
    job->sched = NULL;
    if (job->tasks[HD_TASK_MAP] == NULL || job->tasks[HD_TASK_REDUCE] == NULL) {
        return refuse(p, EXIT_IO, "no memory for %u tasks", plan->count);
    }
    job->count[HD_TASK_MAP] = plan->count;
    job->count[HD_TASK_REDUCE] = job->spec->reduces;
    for (uint32_t i = 0; i < plan->count; i++) {
        const struct hd_plan_task *t = &plan->tasks[i];
        struct hd_mtask *out = &job->tasks[HD_TASK_MAP][i];
        out->splits = HD_ARENA_ARRAY(&job->arena, Hdw__RunnerSplit *, t->split_count);
        out->bytes = t->bytes;
        job->bytes_total += t->bytes;
        for (uint32_t s = 0; out->splits != NULL && s < t->split_count; s++) {
            out->splits[s] = new_split(p, &files[t->splits[s].file], &t->splits[s]);
            if (out->splits[s] == NULL) {
                return refuse(p, EXIT_IO, "no memory for %u tasks", plan->count);
            }
            out->split_count++;
        }
        memcpy(out->nodes, t->nodes, sizeof(out->nodes));
        out->node_count = t->node_count;
    }
    return 0;
}

static int cut(struct planner *p)
{
    const struct hd_props *props = &p->job->props;
    struct hd_plan_file *files = HD_ARENA_ARRAY(&p->arena, struct hd_plan_file, p->count + 1);
    uint64_t total = 0;
    struct hd_plan plan;
    bool uncuttable =
        hd_delimiter_overlaps_itself(hd_props_get(props, "textinputformat.record.delimiter", ""));
    if (files == NULL) {
        return refuse(p, EXIT_IO, "no memory for the input files");
    }
    for (size_t i = 0; i < p->count; i++) {
        const char *path = p->inputs[i].path;
        files[i] =
            (struct hd_plan_file){.path = path,
                                  .size = p->inputs[i].size,
                                  .whole = uncuttable || hd_codec_of_name(path) != HD_CODEC_PLAIN};
        total += files[i].size;
        int err = fill_blocks(p, &p->inputs[i], &files[i]);
        if (err < 0) {
            return err;
        }
    }
    struct hd_plan_options o = {
        .min_split =
            (uint64_t)hd_props_int(props, "mapreduce.input.fileinputformat.split.minsize", 1),
        .max_split =
            (uint64_t)hd_props_int(props, "mapreduce.input.fileinputformat.split.maxsize", 0),
        .combine = hd_props_bool(props, "howdah.combine.small", true),
        .tiny_bytes = TINY_BYTES,
        .group_bytes =
            HD_MIN(HD_MAX(total / GROUP_TASKS, (uint64_t)1 << 20), (uint64_t)GROUP_BYTES),
        .group_files = GROUP_FILES};
    int64_t maps = hd_props_int(props, "mapreduce.job.maps", 0);
    if (maps > 0) { /* asked for: Hadoop's goal size, and no sharing */
        uint64_t goal = HD_MAX(total / (uint64_t)maps, (uint64_t)1);
        o.max_split = o.max_split != 0 ? HD_MIN(o.max_split, goal) : goal;
        o.combine = false;
    }
    int err = hd_plan_make(files, (uint32_t)p->count, &o, &p->arena, &plan);
    if (err < 0) {
        return refuse(p, EXIT_IO, "planning: %s", hd_error_name(err));
    }
    return build_tasks(p, files, &plan);
}

static int check_output(struct planner *p)
{
    struct hd_stat st;
    const char *output = p->job->spec->output;
    int err = hd_fs_stat(p->fs, output, &st);
    if (err == 0) {
        hd_stat_done(&st);
        if (p->job->replaced != NULL) {
            return 0;
        }
        return refuse(p, EXIT_OUTPUT_EXISTS, "Output directory %s%s already exists",
                      hd_fs_uri(p->fs), output);
    }
    return err == -ENOENT ? 0 : refuse_error(p, err, output);
}

static int make_staging(struct planner *p)
{
    struct hd_mjob *job = p->job;
    struct hd_stat st;
    int err = hd_fs_mkdir(p->fs, job->staging, 0755, true);
    if (err == 0) {
        err = hd_fs_stat(p->fs, job->staging, &st);
    }
    if (err < 0) {
        return refuse_error(p, err, job->spec->output);
    }
    job->staging_ino = st.ino;
    hd_stat_done(&st);
    return 0;
}

/*
 * What the life before has left: its staging directory became the output, or goes. The output of
 * somebody else who was faster is found by check_output.
 */
static int clear_former_life(struct planner *p)
{
    struct hd_mjob *job = p->job;
    struct hd_stat st;
    int err = hd_fs_stat(p->fs, job->spec->output, &st);
    if (err == 0) {
        job->committed = st.ino == job->stale_ino;
        hd_stat_done(&st);
    }
    if (err < 0 && err != -ENOENT) {
        return refuse_error(p, err, job->spec->output);
    }
    hd_commit_tidy(job, p->fs);
    err = job->committed ? 0 : hd_fs_delete(p->fs, job->stale_staging, true);
    return err < 0 ? refuse_error(p, err, job->stale_staging) : 0;
}

void hd_plan_job(struct hd_mjob *job, struct hd_plan_result *ret)
{
    struct planner p = {.job = job, .result = ret};
    *ret = (struct hd_plan_result){0};
    hd_arena_init(&p.arena, 0);
    p.recursive =
        hd_props_bool(&job->props, "mapreduce.input.fileinputformat.input.dir.recursive", false);
    int err = hd_fs_as(job->manager->fs, job->user, &p.fs);
    if (err < 0) {
        refuse_error(&p, err, job->user);
    }
    if (err == 0 && job->stale_staging != NULL) {
        err = clear_former_life(&p);
    }
    if (err == 0 && job->committed) {
        hd_arena_done(&p.arena);
        return;
    }
    if (err == 0) {
        err = check_output(&p);
    }
    for (size_t i = 0; err == 0 && i < job->spec->n_input; i++) {
        p.input = (uint32_t)i;
        err = add_input(&p, job->spec->input[i]);
    }
    if (err == 0) {
        err = cut(&p);
    }
    if (err == 0) {
        err = make_staging(&p);
    }
    free(p.inputs);
    hd_arena_done(&p.arena);
}
