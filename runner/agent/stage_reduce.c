/*
 * The reduce side of a pipeline's stage: sorted pairs through the wide operation, what it gives
 * through the chain behind it, into the part file. See agent.h.
 */
#include "fs/base/error.h"
#include "runner/agent/agent.h"
#include "runner/core/step.h"
#include "runner/ops/chain.h"
#include "runner/ops/wide.h"

#include <errno.h>

enum { FILL_BYTES = 256 * 1024, TICK_RECORDS = 65536 };

struct stage_reduce {
    struct hd_attempt *t;
    struct hd_source *merged;
    struct hd_output *output;
    struct hd_step op;
    struct hd_wide *wide;
    struct hd_chain *chain; /* NULL: the steps are in a process */
    struct hd_buf fill;     /* then: its next lines */
    struct hd_record rest;  /* repeats that did not go in yet; repeat 0: none */
    bool primed;            /* fill has bytes that were not given out */
    bool ended;
    uint64_t ticks;
};

static int to_chain(void *ctx, const uint8_t *record, size_t size)
{
    struct stage_reduce *r = ctx;
    return hd_chain_push(r->chain, record, size);
}

static int to_fill(void *ctx, const uint8_t *record, size_t size)
{
    struct stage_reduce *r = ctx;
    int err = hd_buf_add(&r->fill, record, size);
    return err == 0 ? hd_buf_add_u8(&r->fill, '\n') : err;
}

/*
 * One record of the shuffle into the operation; of its repeats at most so many as are about
 * FILL_BYTES. 1: went in; 0: there was none; 2: enough.
 */
static int take_one(struct stage_reduce *r)
{
    struct hd_record *x = &r->rest;
    if (x->repeat == 0) {
        int got = r->merged->next(r->merged, x);
        if (got != 1) {
            x->repeat = 0;
            return got;
        }
    }
    struct hd_kv kv = {x->key, x->key_size, x->value, x->value_size};
    if (r->t->job->io.sort_fields) {
        hd_key_fields_decode(x->key, x->key_size, &kv.key, &kv.key_size);
    }
    uint64_t slice =
        HD_MIN(x->repeat, FILL_BYTES / ((uint64_t)x->key_size + x->value_size + 1) + 1);
    x->repeat -= slice;
    r->t->records_in += slice;
    if (++r->ticks % TICK_RECORDS == 0) {
        hd_attempt_tick(r->t);
        pthread_mutex_lock(&r->t->lock);
        bool cancelled = r->t->cancelled;
        pthread_mutex_unlock(&r->t->lock);
        if (cancelled) {
            return -ECANCELED;
        }
    }
    int err = hd_wide_add(r->wide, &kv, slice);
    return err < 0 ? err : 1 + err;
}

static int fill(void *ctx, const uint8_t **ret_data, size_t *ret_size)
{
    struct stage_reduce *r = ctx;
    int got = 1;
    if (!r->primed) {
        hd_buf_clear(&r->fill);
    }
    r->primed = false;
    while (!r->ended && r->fill.size < FILL_BYTES && (got = take_one(r)) == 1) {
    }
    if (got == 0) {
        r->ended = true;
        got = hd_wide_finish(r->wide);
    }
    *ret_data = r->fill.data;
    *ret_size = r->fill.size;
    return got < 0 ? got : r->fill.size > 0;
}

static int reduce_in_process(struct stage_reduce *r, const struct hd_steps *steps)
{
    const uint8_t *data;
    size_t size;
    struct hd_process p = {.command = hd_chain_command(steps, &r->t->arena),
                           .shown = hd_chain_text(steps, &r->t->arena),
                           .fill = fill,
                           .fill_ctx = r,
                           .on_line = hd_output_raw,
                           .line_ctx = r->output};
    if (p.command == NULL) {
        return -ENOMEM;
    }
    /* A reduce that nothing came to starts no command: it would say something of nothing. */
    int got = fill(r, &data, &size);
    r->primed = true;
    if (got <= 0) {
        return got;
    }
    return hd_process_run(r->t, &p);
}

static int reduce_here(struct stage_reduce *r, const struct hd_steps *steps)
{
    int got = hd_chain_new(steps->items, steps->count, hd_output_raw, r->output, &r->chain);
    if (got < 0) {
        return got;
    }
    while ((got = take_one(r)) == 1) {
    }
    if (got == 0) {
        got = hd_wide_finish(r->wide);
    }
    if (got >= 0) {
        got = hd_chain_finish(r->chain);
    }
    hd_chain_free(r->chain);
    return got;
}

/* Steps behind the operation; the command of `reduce` is the first of them. */
static int gather_steps(struct stage_reduce *r, struct hd_steps *ret)
{
    struct hd_steps after;
    int err = hd_chain_steps(r->t->job->setup->spec->output_chain, &r->t->arena, &after);
    if (err < 0 || strcmp(r->op.op, "reduce") != 0) {
        *ret = after;
        return err;
    }
    *ret = (struct hd_steps){.count = after.count + 1, .capacity = after.count + 1};
    ret->items = HD_ARENA_ARRAY(&r->t->arena, struct hd_step, ret->count);
    if (ret->items == NULL) {
        return -ENOMEM;
    }
    ret->items[0] = r->op;
    ret->items[0].op = "exec";
    memcpy(ret->items + 1, after.items, after.count * sizeof(*after.items));
    return 0;
}

int hd_stage_reduce(struct hd_attempt *t, struct hd_source *merged, struct hd_output *output)
{
    const Hdw__RunnerStep *wide = t->job->setup->spec->wide;
    struct stage_reduce r = {.t = t, .merged = merged, .output = output};
    struct hd_steps steps;
    r.op = (struct hd_step){.op = wide->op, .args = wide->arg, .arg_count = wide->n_arg};
    int err = gather_steps(&r, &steps);
    bool process = err == 0 && hd_steps_have_process(&steps);
    const struct hd_wide_options o = {.op = &r.op, .emit = process ? to_fill : to_chain, .ctx = &r};
    err = err == 0 ? hd_wide_new(&o, &r.wide) : err;
    if (err == 0) {
        err = process ? reduce_in_process(&r, &steps) : reduce_here(&r, &steps);
    }
    hd_wide_free(r.wide);
    hd_buf_done(&r.fill);
    return err;
}
