/*
 * A reduce attempt: its partition of every map's output, merged, through the reducer into the part
 * file. Outputs of this agent's own maps are read where they lie, others are fetched to a file
 * first.
 */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "runner/agent/agent.h"
#include "runner/core/command.h"
#include "runner/ops/aggregate.h"
#include "runner/ops/merge.h"
#include "runner/ops/run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILL_BYTES = 256 * 1024, DEFAULT_FACTOR = 128, INDEX_MAX_BYTES = 16 << 20 };

struct reduce_task {
    struct hd_attempt *t;
    struct hd_output output;
    struct hd_source **sources; /* heap; each owned until merged */
    size_t count;
    struct hd_source *merged;
    struct hd_buf fill;
    struct hd_record rest; /* not yet written repeats; repeat 0: none */
    bool offset_keys;
    uint32_t factor; /* sources merged at once */
};

/* ---- gathering ---- */

static int open_own(struct reduce_task *r, const Hdw__RunnerMapOutput *from,
                    struct hd_run_part *part, int *ret_fd)
{
    char path[HD_AGENT_PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf bytes = {0};
    struct hd_run_index index;
    uint32_t partition = r->t->work->key->index;
    hd_map_output_path(r->t->job, from->index, from->number, ".index", path, sizeof(path));
    int err = hd_file_read(path, INDEX_MAX_BYTES, &bytes);
    if (err == 0) {
        err = hd_run_index_decode(bytes.data, bytes.size, &index);
    }
    if (err < 0) {
        return err;
    }
    if (partition >= index.count) {
        hd_run_index_done(&index);
        return hd_fail(-HD_E_CORRUPT, "%s: has no partition %u", path, partition);
    }
    *part = index.parts[partition];
    hd_run_index_done(&index);
    hd_map_output_path(r->t->job, from->index, from->number, ".data", path, sizeof(path));
    *ret_fd = open(path, O_RDONLY | O_CLOEXEC);
    return *ret_fd >= 0 ? 0 : hd_fail_errno(errno, "%s", path);
}

static int open_fetched(struct reduce_task *r, const Hdw__RunnerMapOutput *from,
                        struct hd_run_part *part, int *ret_fd)
{
    char dir[HD_AGENT_PATH_BYTES];
    snprintf(dir, sizeof(dir), "%s/out", r->t->job->dir);
    int fd = open(dir, O_RDWR | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s: temporary file", dir);
    }
    int err = hd_shuffle_fetch(r->t, from, r->t->work->key->index, fd, part);
    if (err < 0) {
        hd_fd_done(&fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static int open_source(struct reduce_task *r, const Hdw__RunnerMapOutput *from)
{
    struct hd_run_part part;
    int fd = -1;
    int err = from->agent_id == r->t->agent->id ? open_own(r, from, &part, &fd)
                                                : open_fetched(r, from, &part, &fd);
    if (err < 0) {
        r->t->fetch_failed = err != -ECANCELED;
        r->t->fetch_index = from->index;
        r->t->fetch_number = from->number;
        return hd_fail(err, "output of m_%06u attempt %u at %s: %s", from->index, from->number,
                       from->address, hd_fail_describe(err));
    }
    r->t->bytes_shuffled += part.size_bytes;
    if (part.size_bytes == 0) {
        hd_fd_done(&fd);
        return 0;
    }
    err = hd_run_reader_new_owned(fd, &part, &r->sources[r->count]);
    r->count += err == 0;
    return err;
}

/* Merges all sources so far into one run, so that never more are open at the end. */
static int premerge(struct reduce_task *r)
{
    char path[HD_AGENT_PATH_BYTES];
    struct hd_run_writer *w;
    struct hd_source *merged;
    struct hd_run_index index;
    struct hd_record record;
    snprintf(path, sizeof(path), "%s/out/%s.%zu.merge", r->t->job->dir, r->t->name, r->count);
    int err = hd_merge_new(r->sources, r->count, &merged);
    r->count = 0;
    if (err < 0) {
        return err;
    }
    err = hd_run_writer_new(path, 1, &w);
    if (err < 0) {
        merged->close(merged);
        return err;
    }
    while ((err = merged->next(merged, &record)) == 1) {
        err = hd_run_writer_add(w, 0, &record);
        if (err < 0) {
            break;
        }
    }
    merged->close(merged);
    if (err < 0) {
        hd_run_writer_abort(w);
        return err;
    }
    err = hd_run_writer_finish(w, &index);
    if (err < 0) {
        return err;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    unlink(path);
    err = fd >= 0 ? hd_run_reader_new_owned(fd, &index.parts[0], &r->sources[0])
                  : hd_fail_errno(errno, "%s", path);
    r->count = err == 0;
    hd_run_index_done(&index);
    return err;
}

static int gather(struct reduce_task *r)
{
    r->sources = calloc((size_t)r->factor + 1, sizeof(struct hd_source *));
    int err = r->sources != NULL ? 0 : -ENOMEM;
    for (size_t i = 0; err == 0 && i < r->t->work->n_output; i++) {
        err = open_source(r, r->t->work->output[i]);
        if (err == 0 && r->count > r->factor) {
            err = premerge(r);
        }
        hd_attempt_tick(r->t);
    }
    if (err == 0) {
        err = hd_merge_new(r->sources, r->count, &r->merged);
        r->count = 0;
    }
    return err;
}

/* ---- feeding ---- */

/* Key and value as the mapper wrote them. */
static struct hd_kv unpack(const struct reduce_task *r, const struct hd_record *x)
{
    struct hd_kv kv = {x->key, x->key_size, x->value, x->value_size};
    if (r->t->job->io.sort_fields) {
        hd_key_fields_decode(x->key, x->key_size, &kv.key, &kv.key_size);
    } else if (r->offset_keys && x->key_size > 0) { /* the digit count of task_map.c */
        kv.key++;
        kv.key_size--;
    }
    return kv;
}

/* The record as a line of the reducer's stdin. */
static int join(struct reduce_task *r)
{
    struct hd_kv kv = unpack(r, &r->rest);
    return hd_kv_join(&r->t->job->io.reduce_input, &kv, &r->fill);
}

/* Repeats: the line is written once, then copied, twice as much each time. */
static int join_repeats(struct reduce_task *r)
{
    size_t start = r->fill.size;
    int err = join(r);
    if (err < 0) {
        return err;
    }
    size_t line = r->fill.size - start;
    uint64_t room = r->fill.size < FILL_BYTES ? (FILL_BYTES - r->fill.size) / line : 0;
    uint64_t more = HD_MIN(r->rest.repeat - 1, room);
    err = hd_buf_reserve(&r->fill, (size_t)more * line);
    if (err < 0) {
        return err;
    }
    uint64_t have = 1;
    uint64_t want = more + 1;
    while (have < want) {
        uint64_t n = HD_MIN(have, want - have);
        memcpy(r->fill.data + r->fill.size, r->fill.data + start, (size_t)n * line);
        r->fill.size += (size_t)n * line;
        have += n;
    }
    r->rest.repeat -= want;
    r->t->records_in += want;
    return 0;
}

static int reduce_fill(void *ctx, const uint8_t **ret_data, size_t *ret_size)
{
    struct reduce_task *r = ctx;
    int got = 1;
    hd_buf_clear(&r->fill);
    while (got == 1 && r->fill.size < FILL_BYTES) {
        if (r->rest.repeat == 0) {
            got = r->merged->next(r->merged, &r->rest);
        }
        if (got == 1) {
            int err = join_repeats(r);
            got = err < 0 ? err : 1;
        }
    }
    *ret_data = r->fill.data;
    *ret_size = r->fill.size;
    r->t->bytes_in += r->fill.size;
    return got < 0 ? got : r->fill.size > 0;
}

static int reduce_identity(struct reduce_task *r)
{
    struct hd_record x;
    int got;
    while ((got = r->merged->next(r->merged, &x)) == 1) {
        struct hd_kv kv = unpack(r, &x);
        r->t->records_in += x.repeat;
        for (uint64_t i = 0; i < x.repeat; i++) {
            int err = hd_output_kv(&r->output, &kv);
            if (err < 0) {
                return err;
            }
        }
    }
    return got;
}

static int aggregate_emit(void *ctx, const struct hd_kv *kv)
{
    return hd_output_kv(ctx, kv);
}

static int reduce_aggregate(struct reduce_task *r)
{
    struct hd_aggregate *a;
    struct hd_record x;
    struct hd_aggregate_options o = {
        .max_unique = r->t->job->io.max_unique, .emit = aggregate_emit, .ctx = &r->output};
    int got = 0;
    int err = hd_aggregate_new(&o, &a);
    if (err < 0) {
        return err;
    }
    while (err == 0 && (got = r->merged->next(r->merged, &x)) == 1) {
        struct hd_kv kv = unpack(r, &x);
        r->t->records_in += x.repeat;
        err = hd_aggregate_add(a, &kv, x.repeat);
    }
    err = err == 0 ? got : err;
    err = err == 0 ? hd_aggregate_finish(a) : err;
    hd_aggregate_free(a);
    return err;
}

/* A reducer without input runs, for what it does beside; what it writes is dropped, as in Hadoop.
 */
static int reduce_command(struct reduce_task *r)
{
    bool any = false;
    int got = r->merged->next(r->merged, &r->rest);
    any = got == 1;
    if (!any) {
        r->rest.repeat = 0;
        r->output.discard = true;
    }
    if (got < 0) {
        return got;
    }
    struct hd_process p = {.command = r->t->job->setup->spec->reducer,
                           .fill = reduce_fill,
                           .fill_ctx = r,
                           .on_line = hd_output_line,
                           .line_ctx = &r->output};
    return hd_process_run(r->t, &p);
}

int hd_task_reduce(struct hd_attempt *t)
{
    const Hdw__RunnerJobSpec *spec = t->job->setup->spec;
    struct reduce_task r = {.t = t};
    char builtin = spec->reducer != NULL ? hd_command_builtin(spec->reducer) : 'I';
    struct hd_kv_rule whole;
    hd_kv_rule_init(&whole); /* the aggregators give key and value, whatever -io says */
    const struct hd_kv_rule *rule = builtin == 'A'   ? &whole
                                    : builtin == 'I' ? &t->job->io.map_output
                                                     : &t->job->io.reduce_output;
    bool stage = spec->wide != NULL;
    r.offset_keys = !stage && (spec->mapper == NULL || hd_command_builtin(spec->mapper) == 'I');
    r.factor = t->job->io.sort_factor != 0 ? t->job->io.sort_factor : DEFAULT_FACTOR;
    int err = gather(&r);
    if (err == 0) {
        err = hd_output_open(&r.output, t, rule);
    }
    if (err == 0) {
        err = stage            ? hd_stage_reduce(t, r.merged, &r.output)
              : builtin == 'A' ? reduce_aggregate(&r)
              : builtin == 'I' ? reduce_identity(&r)
                               : reduce_command(&r);
    }
    if (err == 0) {
        err = hd_output_commit(&r.output);
    }
    t->bytes_out = r.output.bytes;
    t->records_out = r.output.records;
    char sentence[HD_FAIL_TEXT_BYTES];
    snprintf(sentence, sizeof(sentence), "%s", hd_fail_text());
    if (err < 0) {
        hd_output_abort(&r.output);
    }
    for (size_t i = 0; i < r.count; i++) {
        r.sources[i]->close(r.sources[i]);
    }
    if (r.merged != NULL) {
        r.merged->close(r.merged);
    }
    free(r.sources);
    hd_buf_done(&r.fill);
    return err < 0 ? hd_fail(err, "%s", sentence) : 0;
}
