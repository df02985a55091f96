/*
 * A map attempt: split -> line rule -> mapper -> key and value -> sorter and one run (or, without
 * reduces, the part file). Each split of a shared task gets a process of its own, so that
 * mapreduce_map_input_file is always right.
 */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/agent/split_reader.h"
#include "runner/core/command.h"
#include "runner/ops/aggregate.h"
#include "runner/ops/partition.h"
#include "runner/ops/sorter.h"

#include <errno.h>
#include <stdlib.h>

enum { COMBINE_BYTES = 256 * 1024 };

struct map_task {
    struct hd_attempt *t;
    struct hd_sorter *sorter; /* NULL without reduces */
    struct hd_output output;
    bool has_output;
    bool offset_keys;  /* no mapper: the key is the line's offset */
    struct hd_buf key; /* as it is stored */
};

/* ---- what a mapper writes ---- */

/* A record into a sorter, its key as the job's order wants it stored. */
int hd_sort_kv(const struct hd_io_props *io, struct hd_sorter *sorter, const struct hd_kv *kv,
               struct hd_buf *key)
{
    if (!io->sort_fields) {
        return hd_sorter_add(sorter, kv->key, kv->key_size, kv->value, kv->value_size, 1);
    }
    int err = hd_key_fields_encode(&io->sort, kv->key, kv->key_size, key);
    return err == 0 ? hd_sorter_add(sorter, key->data, key->size, kv->value, kv->value_size, 1)
                    : err;
}

static int sort_line(void *ctx, const uint8_t *line, size_t size)
{
    struct map_task *m = ctx;
    struct hd_kv kv;
    hd_kv_split(&m->t->job->io.map_output, line, size, &kv);
    return hd_sort_kv(&m->t->job->io, m->sorter, &kv, &m->key);
}

/* ---- no mapper: offset TAB line ---- */

struct identity {
    struct map_task *m;
    uint64_t offset;
    struct hd_buf line;
};

/*
 * Offsets are ordered as numbers: the key on its way to a reduce is one byte with the count of
 * digits and the digits; the reduce takes the byte off (hd_task_reduce).
 */
static int identity_line(struct identity *id, const uint8_t *line, size_t size)
{
    char key[24];
    int n = snprintf(key + 1, sizeof(key) - 1, "%llu", (unsigned long long)id->offset);
    key[0] = (char)n;
    struct hd_kv kv = {
        .key = (uint8_t *)key + 1, .key_size = (size_t)n, .value = line, .value_size = size};
    if (id->m->sorter != NULL) {
        return hd_sorter_add(id->m->sorter, (uint8_t *)key, (size_t)n + 1, line, size, 1);
    }
    return hd_output_kv(&id->m->output, &kv);
}

/* The file offsets of lines are those of the bytes given out as long as no CR or mark is dropped.
 */
static int map_identity(struct map_task *m, const Hdw__RunnerSplit *split)
{
    struct hd_split_reader r;
    struct identity id = {.m = m};
    const uint8_t *data;
    size_t size;
    int got = hd_split_reader_open(&r, m->t, split);
    bool placed = false;
    while (got == 0 && (got = hd_split_reader_fill(&r, &data, &size)) == 1) {
        if (!placed) { /* where the first line of the split begins */
            id.offset = r.lines.pos - size;
            placed = true;
        }
        got = hd_buf_add(&id.line, data, size);
        size_t at = 0;
        const uint8_t *lf;
        while (got == 0 && (lf = memchr(id.line.data + at, '\n', id.line.size - at)) != NULL) {
            size_t n = (size_t)(lf - id.line.data) - at;
            got = identity_line(&id, id.line.data + at, n);
            id.offset += n + 1;
            at += n + 1;
        }
        hd_buf_consume(&id.line, at);
    }
    if (got == 0 && id.line.size > 0) {
        got = identity_line(&id, id.line.data, id.line.size);
    }
    hd_buf_done(&id.line);
    hd_split_reader_close(&r);
    return got;
}

/* ---- which reduce ---- */

static uint32_t partition_offset(const void *ctx, const uint8_t *key, size_t size,
                                 uint32_t partitions)
{
    (void)ctx;
    char text[24] = {0};
    memcpy(text, key + 1, HD_MIN(size - 1, sizeof(text) - 1));
    return hd_partition_long(strtoll(text, NULL, 10), partitions);
}

static uint32_t partition_key(const void *ctx, const uint8_t *key, size_t size, uint32_t partitions)
{
    const struct hd_io_props *io = ctx;
    if (io->sort_fields) {
        hd_key_fields_decode(key, size, &key, &size);
    }
    return io->partition_fields ? hd_key_fields_partition(&io->partition, key, size, partitions)
                                : hd_partition_hash(key, size, partitions);
}

static int map_command(struct map_task *m, const Hdw__RunnerSplit *split)
{
    struct hd_split_reader r;
    int err = hd_split_reader_open(&r, m->t, split);
    if (err == 0) {
        struct hd_process p = {.command = m->t->job->setup->spec->mapper,
                               .fill = hd_split_reader_fill,
                               .fill_ctx = &r,
                               .on_line = m->sorter != NULL ? sort_line : hd_output_line,
                               .line_ctx = m->sorter != NULL ? (void *)m : (void *)&m->output,
                               .split = split};
        err = hd_process_run(m->t, &p);
        if (err < 0 && r.offset > split->start) {
            err = hd_fail(err, "%s; after record %llu of %s:%llu+%llu", hd_fail_text(),
                          (unsigned long long)m->t->records_in, split->path,
                          (unsigned long long)split->start, (unsigned long long)split->length);
        }
    }
    hd_split_reader_close(&r);
    return err;
}

/* ---- the combiner ---- */

struct combine {
    struct hd_attempt *t;
    struct hd_source *in;
    struct hd_sorter *out;
    struct hd_buf buf;
    struct hd_buf key;
};

/* Key and value as the mapper wrote them. */
static struct hd_kv combine_kv(const struct hd_attempt *t, const struct hd_record *r)
{
    struct hd_kv kv = {r->key, r->key_size, r->value, r->value_size};
    if (t->job->io.sort_fields) {
        hd_key_fields_decode(r->key, r->key_size, &kv.key, &kv.key_size);
    }
    return kv;
}

static int combine_fill(void *ctx, const uint8_t **ret_data, size_t *ret_size)
{
    struct combine *c = ctx;
    struct hd_record r;
    int got = 1;
    hd_buf_clear(&c->buf);
    while (c->buf.size < COMBINE_BYTES && (got = c->in->next(c->in, &r)) == 1) {
        struct hd_kv kv = combine_kv(c->t, &r);
        for (uint64_t i = 0; i < r.repeat; i++) {
            int err = hd_kv_join(&c->t->job->io.reduce_input, &kv, &c->buf);
            if (err < 0) {
                return err;
            }
        }
    }
    *ret_data = c->buf.data;
    *ret_size = c->buf.size;
    return got < 0 ? got : c->buf.size > 0;
}

static int combine_line(void *ctx, const uint8_t *line, size_t size)
{
    struct combine *c = ctx;
    struct hd_kv kv;
    hd_kv_split(&c->t->job->io.reduce_output, line, size, &kv);
    return hd_sort_kv(&c->t->job->io, c->out, &kv, &c->key);
}

static int combine_emit(void *ctx, const struct hd_kv *kv)
{
    struct combine *c = ctx;
    return hd_sort_kv(&c->t->job->io, c->out, kv, &c->key);
}

/* -reducer aggregate: its combiner needs no process. */
static int combine_aggregate(void *ctx, struct hd_source *in, struct hd_sorter *out)
{
    struct hd_attempt *t = ctx;
    struct combine c = {.t = t, .in = in, .out = out};
    struct hd_aggregate *a;
    struct hd_record r;
    struct hd_aggregate_options o = {
        .combine = true, .max_unique = t->job->io.max_unique, .emit = combine_emit, .ctx = &c};
    int got = 0;
    int err = hd_aggregate_new(&o, &a);
    if (err < 0) {
        return err;
    }
    while (err == 0 && (got = in->next(in, &r)) == 1) {
        struct hd_kv kv = combine_kv(t, &r);
        err = hd_aggregate_add(a, &kv, r.repeat);
    }
    err = err == 0 ? got : err;
    err = err == 0 ? hd_aggregate_finish(a) : err;
    hd_aggregate_free(a);
    hd_buf_done(&c.key);
    return err;
}

static int combine(void *ctx, struct hd_source *in, struct hd_sorter *out)
{
    struct hd_attempt *t = ctx;
    struct combine c = {.t = t, .in = in, .out = out};
    struct hd_process p = {.command = t->job->setup->spec->combiner,
                           .fill = combine_fill,
                           .fill_ctx = &c,
                           .on_line = combine_line,
                           .line_ctx = &c};
    int err = hd_process_run(t, &p);
    hd_buf_done(&c.buf);
    hd_buf_done(&c.key);
    return err;
}

/* ---- the task ---- */

/* -reducer aggregate brings its own combiner, as in Hadoop. */
static hd_combine_fn combiner_of(const struct hd_attempt *t)
{
    const Hdw__RunnerJobSpec *spec = t->job->setup->spec;
    if (spec->wide != NULL) {
        return hd_stage_combiner(t);
    }
    if ((spec->reducer != NULL && hd_command_builtin(spec->reducer) == 'A') ||
        (spec->combiner != NULL && hd_command_builtin(spec->combiner) == 'A')) {
        return combine_aggregate;
    }
    bool identity = spec->combiner == NULL || hd_command_builtin(spec->combiner) == 'I';
    return identity ? NULL : combine;
}

static int open_sorter(struct map_task *m)
{
    const struct hd_agent_job *job = m->t->job;
    const Hdw__RunnerJobSpec *spec = job->setup->spec;
    char dir[HD_AGENT_PATH_BYTES];
    snprintf(dir, sizeof(dir), "%s/out", job->dir);
    int64_t mb = hd_props_int(&job->props, "mapreduce.task.io.sort.mb", 100);
    struct hd_sorter_options o = {.dir = dir,
                                  .name = m->t->name,
                                  .partitions = spec->reduces,
                                  .budget_bytes = (size_t)HD_MAX(mb, (int64_t)1) << 20,
                                  .factor = job->io.sort_factor,
                                  .partition = m->offset_keys ? partition_offset : partition_key,
                                  .partition_ctx = &job->io,
                                  .combine = combiner_of(m->t),
                                  .combine_ctx = m->t};
    return hd_sorter_new(&o, &m->sorter);
}

int hd_map_output_path(const struct hd_agent_job *job, uint32_t index, uint32_t number,
                       const char *suffix, char *out, size_t size)
{
    int n = snprintf(out, size, "%s/out/m_%06u_%u%s", job->dir, index, number, suffix);
    return n < (int)size ? 0 : -ENAMETOOLONG;
}

static int finish_sorter(struct map_task *m)
{
    const Hdw__RunnerAttemptKey *key = m->t->work->key;
    char path[HD_AGENT_PATH_BYTES];
    struct hd_run_index index;
    struct hd_sorter_stats stats;
    HD_AUTO(hd_buf_done) struct hd_buf bytes = {0};
    hd_map_output_path(m->t->job, key->index, key->number, ".data", path, sizeof(path));
    int err = hd_sorter_finish(m->sorter, path, &index);
    if (err < 0) {
        return err;
    }
    hd_sorter_stats(m->sorter, &stats);
    m->t->records_out = stats.records;
    m->t->bytes_out = hd_run_index_size_bytes(&index);
    err = hd_run_index_encode(&index, &bytes);
    hd_run_index_done(&index);
    if (err < 0) {
        return err;
    }
    hd_map_output_path(m->t->job, key->index, key->number, ".index", path, sizeof(path));
    FILE *f = fopen(path, "we"); /* scratch: no need to outlive a power cut */
    if (f == NULL || fwrite(bytes.data, 1, bytes.size, f) != bytes.size || fclose(f) != 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    return 0;
}

static int finish_output(struct map_task *m)
{
    int err = hd_output_commit(&m->output);
    m->t->bytes_out = m->output.bytes;
    m->t->records_out = m->output.records;
    return err;
}

int hd_task_map(struct hd_attempt *t)
{
    const Hdw__RunnerJobSpec *spec = t->job->setup->spec;
    struct map_task m = {.t = t};
    bool stage = spec->n_input_chain > 0;
    m.offset_keys = !stage && (spec->mapper == NULL || hd_command_builtin(spec->mapper) == 'I');
    int err =
        spec->reduces > 0 ? open_sorter(&m) : hd_output_open(&m.output, t, &t->job->io.map_output);
    m.has_output = spec->reduces == 0;
    if (err == 0 && stage) {
        err = hd_stage_map(t, m.sorter, &m.output);
    }
    for (size_t i = 0; err == 0 && !stage && i < t->work->n_split; i++) {
        err = m.offset_keys ? map_identity(&m, t->work->split[i])
                            : map_command(&m, t->work->split[i]);
    }
    if (err == 0) {
        err = m.has_output ? finish_output(&m) : finish_sorter(&m);
    }
    char sentence[HD_FAIL_TEXT_BYTES];
    snprintf(sentence, sizeof(sentence), "%s", hd_fail_text());
    if (err < 0 && m.has_output) {
        hd_output_abort(&m.output);
    }
    hd_sorter_free(m.sorter);
    hd_buf_done(&m.key);
    return err < 0 ? hd_fail(err, "%s", sentence) : 0;
}
