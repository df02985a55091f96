/*
 * Hadoop's aggregate package: records whose keys are TYPE:ID, each key brought to one value.
 *
 *     LongValueSum LongValueMax LongValueMin DoubleValueSum   numbers; sums wrap as Java's do
 *     StringValueMax StringValueMin                           by UTF-16 units, as Java compares
 *     UniqValueCount                                          how many values are different
 *     ValueHistogram      values, or VALUE TAB COUNT: how many are different, and the least,
 * median, largest, average and standard deviation of their counts, TAB between them
 *
 * As a combiner it gives TYPE:ID and what a later aggregation takes for the same; as a reducer, ID
 * and the result. Type names are taken in any case, numbers are written as Java writes them.
 */
#ifndef HD_RUNNER_OPS_AGGREGATE_H
#define HD_RUNNER_OPS_AGGREGATE_H

#include "runner/ops/kv.h"

struct hd_aggregate;

struct hd_aggregate_options {
    bool combine;       /* else reduce */
    int64_t max_unique; /* UniqValueCount counts no further; INT64_MAX: no limit */
    int (*emit)(void *ctx, const struct hd_kv *kv); /* views until it returns; an error ends it */
    void *ctx;
};

int hd_aggregate_new(const struct hd_aggregate_options *o, struct hd_aggregate **ret);
void hd_aggregate_free(struct hd_aggregate *a); /* takes NULL */

/*
 * A record, `repeat` times. Those of a key follow each other, its values in byte order. -EINVAL
 * with a sentence for a key or value that is none, -HD_E_TOO_LARGE for a histogram of too many.
 */
int hd_aggregate_add(struct hd_aggregate *a, const struct hd_kv *kv, uint64_t repeat);

/* Gives the last key's. */
int hd_aggregate_finish(struct hd_aggregate *a);

/* Double.toString: the fewest digits that are this number. room >= 32. */
void hd_java_double(double v, char *out, size_t room);

#endif
