/*
 * The map side of a pipeline's stage: every split through the chain of its input, what comes out
 * into the shuffle or into the part file. See agent.h, runner/ops/chain.h, runner/ops/wide.h.
 */
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/base/prng.h"
#include "runner/agent/split_reader.h"
#include "runner/core/step.h"
#include "runner/ops/chain.h"
#include "runner/ops/record.h"
#include "runner/ops/sorter.h"
#include "runner/ops/wide.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct stage_map {
    struct hd_attempt *t;
    struct hd_sorter *sorter; /* NULL: a stage without a wide operation */
    struct hd_output *output;
    struct hd_step op;
    struct hd_wide *wide;
    uint32_t tag;
    struct hd_buf key;
    struct hd_buf rest; /* a line that is not whole yet */
};

static int take_record(void *ctx, const uint8_t *record, size_t size)
{
    struct stage_map *m = ctx;
    struct hd_kv kv;
    if (m->sorter == NULL) {
        return hd_output_raw(m->output, record, size);
    }
    int err = hd_wide_pair(m->wide, m->tag, record, size, &kv);
    return err == 0 ? hd_sort_kv(&m->t->job->io, m->sorter, &kv, &m->key) : err;
}

/* Pushes the whole lines of data; 1 when nobody wants more. */
static int push_lines(struct stage_map *m, struct hd_chain *c, const uint8_t *data, size_t size)
{
    size_t at = 0;
    int got = 0;
    while (got == 0 && at < size) {
        const uint8_t *lf = memchr(data + at, '\n', size - at);
        size_t n = lf != NULL ? (size_t)(lf - data) - at : size - at;
        if (lf == NULL || m->rest.size > 0) {
            got = hd_buf_add(&m->rest, data + at, n);
            if (got == -HD_E_TOO_LARGE) {
                return hd_fail(got, "a line of input is longer than %d bytes", HD_RECORD_MAX_BYTES);
            }
            if (got == 0 && lf != NULL) {
                got = hd_chain_push(c, m->rest.data, m->rest.size);
                hd_buf_clear(&m->rest);
            }
        } else {
            got = hd_chain_push(c, data + at, n);
        }
        at += n + (lf != NULL);
    }
    return got;
}

static int run_chain(struct stage_map *m, struct hd_split_reader *r, const struct hd_steps *steps)
{
    struct hd_chain *c;
    const uint8_t *data;
    size_t size;
    int got = hd_chain_new(steps->items, steps->count, take_record, m, &c);
    if (got < 0) {
        return got;
    }
    int more = 1;
    while (got == 0 && (more = hd_split_reader_fill(r, &data, &size)) == 1) {
        got = push_lines(m, c, data, size);
        hd_attempt_tick(m->t);
        pthread_mutex_lock(&m->t->lock);
        bool cancelled = m->t->cancelled;
        pthread_mutex_unlock(&m->t->lock);
        if (cancelled) {
            got = -ECANCELED;
        }
    }
    got = more < 0 ? more : got;
    if (got == 0 && m->rest.size > 0) {
        got = hd_chain_push(c, m->rest.data, m->rest.size);
    }
    hd_buf_clear(&m->rest);
    if (got >= 0) {
        got = hd_chain_finish(c);
    }
    hd_chain_free(c);
    return got;
}

/*
 * sample draws for each split anew, and otherwise: by its place in what the input names, so that
 * the same pipeline over the same files gives the same, wherever its folders are.
 */
static int seed_samples(struct stage_map *m, const Hdw__RunnerSplit *split, struct hd_steps *steps)
{
    const char *input = m->t->job->setup->spec->input[split->input];
    size_t size = strlen(input);
    const char *place = strncmp(split->path, input, size) == 0 ? split->path + size : split->path;
    uint64_t mix = hd_hash_bytes(place, strlen(place)) + split->start * 31 + split->input;
    for (size_t i = 0; i < steps->count; i++) {
        struct hd_step *s = &steps->items[i];
        if (strcmp(s->op, "sample") != 0 || s->arg_count != 2) {
            continue;
        }
        char **args = HD_ARENA_ARRAY(&m->t->arena, char *, 2);
        struct hd_prng prng = {strtoull(s->args[1], NULL, 10) ^ mix};
        char *seed = hd_arena_printf(&m->t->arena, "%" PRIu64, hd_prng_next(&prng));
        if (args == NULL || seed == NULL) {
            return -ENOMEM;
        }
        args[0] = s->args[0];
        args[1] = seed;
        s->args = args;
    }
    return 0;
}

static int map_split(struct stage_map *m, const Hdw__RunnerSplit *split)
{
    const Hdw__RunnerJobSpec *spec = m->t->job->setup->spec;
    struct hd_split_reader r;
    struct hd_steps steps;
    if (split->input >= spec->n_input_chain || split->input >= spec->n_input) {
        return hd_fail(-EINVAL, "the job has no input %u", split->input);
    }
    const Hdw__RunnerChain *chain = spec->input_chain[split->input];
    m->tag = chain->tag;
    int err = hd_chain_steps(chain, &m->t->arena, &steps);
    err = err == 0 ? seed_samples(m, split, &steps) : err;
    if (err < 0) {
        return err;
    }
    err = hd_split_reader_open(&r, m->t, split);
    if (err == 0 && hd_steps_have_process(&steps)) {
        struct hd_process p = {.command = hd_chain_command(&steps, &m->t->arena),
                               .shown = hd_chain_text(&steps, &m->t->arena),
                               .fill = hd_split_reader_fill,
                               .fill_ctx = &r,
                               .on_line = take_record,
                               .line_ctx = m,
                               .split = split};
        err = p.command != NULL ? hd_process_run(m->t, &p) : -ENOMEM;
    } else if (err == 0) {
        err = run_chain(m, &r, &steps);
    }
    hd_split_reader_close(&r);
    return err;
}

static struct hd_step step_of(const Hdw__RunnerStep *s)
{
    return (struct hd_step){.op = s->op, .args = s->arg, .arg_count = s->n_arg};
}

int hd_stage_map(struct hd_attempt *t, struct hd_sorter *sorter, struct hd_output *output)
{
    const Hdw__RunnerJobSpec *spec = t->job->setup->spec;
    struct stage_map m = {.t = t, .sorter = sorter, .output = output};
    int err = 0;
    hd_buf_init(&m.rest, HD_RECORD_MAX_BYTES);
    if (sorter != NULL) {
        m.op = step_of(spec->wide);
        const struct hd_wide_options o = {.op = &m.op, .map = t->work->key->index};
        err = hd_wide_new(&o, &m.wide);
    }
    for (size_t i = 0; err == 0 && i < t->work->n_split; i++) {
        err = map_split(&m, t->work->split[i]);
    }
    hd_wide_free(m.wide);
    hd_buf_done(&m.key);
    hd_buf_done(&m.rest);
    return err;
}

/* ---- before the shuffle ---- */

struct combine {
    struct hd_attempt *t;
    struct hd_sorter *out;
    struct hd_wide *pairs; /* cuts what the combining operation gives */
    struct hd_buf key;
};

static int combined(void *ctx, const uint8_t *record, size_t size)
{
    struct combine *c = ctx;
    struct hd_kv kv;
    int err = hd_wide_pair(c->pairs, 0, record, size, &kv);
    return err == 0 ? hd_sort_kv(&c->t->job->io, c->out, &kv, &c->key) : err;
}

static int combine(void *ctx, struct hd_source *in, struct hd_sorter *out)
{
    struct hd_attempt *t = ctx;
    struct hd_step op = step_of(t->job->setup->spec->wide);
    struct combine c = {.t = t, .out = out};
    struct hd_wide *wide = NULL;
    struct hd_record r;
    const struct hd_wide_options o = {.op = &op, .combine = true, .emit = combined, .ctx = &c};
    int err = hd_wide_new(&o, &wide);
    if (err == 0) {
        err = hd_wide_new(&o, &c.pairs);
    }
    int got = 0;
    while (err == 0 && (got = in->next(in, &r)) == 1) {
        struct hd_kv kv = {r.key, r.key_size, r.value, r.value_size};
        err = hd_wide_add(wide, &kv, r.repeat);
    }
    err = err == 0 ? got : err;
    err = err == 0 ? hd_wide_finish(wide) : err;
    hd_wide_free(wide);
    hd_wide_free(c.pairs);
    hd_buf_done(&c.key);
    return err;
}

hd_combine_fn hd_stage_combiner(const struct hd_attempt *t)
{
    struct hd_step op = step_of(t->job->setup->spec->wide);
    const struct hd_wide_options o = {.op = &op};
    struct hd_wide *w;
    if (hd_wide_new(&o, &w) < 0) {
        return NULL;
    }
    bool combines = hd_wide_combines(w);
    hd_wide_free(w);
    return combines ? combine : NULL;
}
