/*
 * Narrow steps (runner/core/step.h, all but exec) over records that are pushed through: a record is
 * a line without its end. What the last step gives goes to emit.
 *
 * One thread. Memory: a copy of the longest record a step changes, and what top and ordered keep.
 */
#ifndef HD_RUNNER_OPS_CHAIN_H
#define HD_RUNNER_OPS_CHAIN_H

#include "runner/core/step.h"

#include <stddef.h>

struct hd_chain;

typedef int (*hd_chain_emit_fn)(void *ctx, const uint8_t *record, size_t size);

enum { HD_CHAIN_KEEP_MAX_BYTES = 512 << 20 /* of the records that top and ordered keep */ };

/* Steps are borrowed. -EINVAL with a sentence for a step that is none; exec is not one here. */
int hd_chain_new(const struct hd_step *steps, size_t count, hd_chain_emit_fn emit, void *ctx,
                 struct hd_chain **ret);
void hd_chain_free(struct hd_chain *c); /* takes NULL */

/* 0; 1: no step wants more records; or an error (emit's too). */
int hd_chain_push(struct hd_chain *c, const uint8_t *record, size_t size);

/* Gives what steps have kept for the end. 0 or an error. */
int hd_chain_finish(struct hd_chain *c);

/* A number as text: whole when it is, else the fewest digits that read back the same. room >= 32.
 */
struct hd_number {
    bool whole;
    int64_t i;
    double d;
};
/* The number a text is (spaces around it allowed); false: it is none. */
bool hd_number_parse(const uint8_t *text, size_t size, struct hd_number *ret);
void hd_number_add(struct hd_number *sum, const struct hd_number *x);
int hd_number_compare(const struct hd_number *a, const struct hd_number *b);
size_t hd_number_format(const struct hd_number *n, char *out, size_t room);

#endif
