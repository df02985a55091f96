/*
 * The map side of a shuffle: takes records in any order within a memory budget, gives one run.
 *
 * One mapping of budget bytes holds everything: records grow from its start, their 16-byte entries
 * (8-byte key prefix, place, partition) from its end; when they meet, the entries are sorted (radix
 * on partition and prefix, then comparison) and written as a spill, through the combiner if there
 * is one. A small table of recent records finds repeats, which then cost a counter instead of
 * memory. At the end the spills are merged, never more than `factor` at a time.
 *
 * Not thread safe. Blocks on the local disk, never on a network.
 */
#ifndef HD_RUNNER_OPS_SORTER_H
#define HD_RUNNER_OPS_SORTER_H

#include "runner/ops/run.h"

struct hd_sorter;

/*
 * A combiner: reads the records of one partition, in order, and adds what it makes of them to out,
 * whose partition is fixed. 0 or an error.
 */
typedef int (*hd_combine_fn)(void *ctx, struct hd_source *in, struct hd_sorter *out);

enum { HD_SORTER_MIN_BUDGET_BYTES = 1 << 20 };

struct hd_sorter_options {
    const char *dir;     /* for spills; they are removed when done with */
    const char *name;    /* names spills; unique in dir */
    uint32_t partitions; /* at least 1 */
    size_t budget_bytes; /* raised to HD_SORTER_MIN_BUDGET_BYTES, at most 8 GiB */
    uint32_t factor;     /* runs merged at once, 0: 64 */
    uint32_t (*partition)(const void *ctx, const uint8_t *key, size_t size, uint32_t partitions);
    const void *partition_ctx;
    hd_combine_fn combine; /* NULL: none */
    void *combine_ctx;
};

struct hd_sorter_stats {
    uint64_t records; /* added */
    uint64_t bytes;   /* of their keys and values */
    uint64_t repeats; /* found by the table */
    uint32_t spills;
};

int hd_sorter_new(const struct hd_sorter_options *o, struct hd_sorter **ret);
void hd_sorter_free(struct hd_sorter *s); /* takes NULL; removes spills */

/* -HD_E_TOO_LARGE for a record that does not fit the budget. */
int hd_sorter_add(struct hd_sorter *s, const uint8_t *key, size_t key_size, const uint8_t *value,
                  size_t value_size, uint64_t repeat);

/* Writes everything added as one run at path. The sorter takes nothing more. */
int hd_sorter_finish(struct hd_sorter *s, const char *path, struct hd_run_index *ret);

void hd_sorter_stats(const struct hd_sorter *s, struct hd_sorter_stats *ret);

#endif
