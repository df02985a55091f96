/*
 * Wide operations: what brings records of many tasks together. On the map side a record becomes a
 * key and a value for the shuffle; on the reduce side sorted pairs become records again.
 *
 *   gather             in the order of the map tasks, and as they were written there
 *   repartition        as they come, spread by their hash
 *   count              the record, TAB, how often it is there
 *   countByKey         the key, TAB, how many records have it
 *   distinct           each record once
 *   reduceByKey F      the key, TAB, F of its values: sum count min max avg first last concat;
 *                      of min and max, numbers come before texts
 *   groupByKey         the key, and its values behind it
 *   sortByKey          by the order of the shuffle
 *   join HOW           key, left value, right value, for each pair: inner left right full
 *   cogroup            the key, then for each data set its values with commas between
 *   intersection       records that are in both, once;  subtract: those of the first only
 *   reduce             records as they were, for a command
 *
 * Values of a key arrive in the order of their bytes. One thread.
 */
#ifndef HD_RUNNER_OPS_WIDE_H
#define HD_RUNNER_OPS_WIDE_H

#include "fs/base/buf.h"
#include "runner/core/step.h"
#include "runner/ops/kv.h"

struct hd_wide;

enum { HD_WIDE_GROUP_MAX_BYTES = 512 << 20 /* values of one key that a join has to hold */ };

struct hd_wide_options {
    const struct hd_step *op; /* borrowed */
    uint32_t map;             /* index of the map task; for gather */
    bool combine;             /* give what a later reduce of the same takes, as TAB lines */
    int (*emit)(void *ctx, const uint8_t *record, size_t size); /* an error or 1 ends it */
    void *ctx;
};

/* -EINVAL with a sentence when the operation is none. */
int hd_wide_new(const struct hd_wide_options *o, struct hd_wide **ret);
void hd_wide_free(struct hd_wide *w); /* takes NULL */

/* Map side: views that live until the next call. tag: which data set of a join. */
int hd_wide_pair(struct hd_wide *w, uint32_t tag, const uint8_t *record, size_t size,
                 struct hd_kv *ret);

/* May pairs be brought together before the shuffle? */
bool hd_wide_combines(const struct hd_wide *w);

/* Reduce side: pairs in order, each `repeat` times; then finish. 0, 1 from emit, or an error. */
int hd_wide_add(struct hd_wide *w, const struct hd_kv *kv, uint64_t repeat);
int hd_wide_finish(struct hd_wide *w);

#endif
