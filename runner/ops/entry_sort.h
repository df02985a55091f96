/*
 * Sorting 16-byte entries: radix on partition, radix on the key prefix from its first byte, small
 * buckets and equal prefixes by comparison. In place, no memory but the stack's.
 */
#ifndef HD_RUNNER_OPS_ENTRY_SORT_H
#define HD_RUNNER_OPS_ENTRY_SORT_H

struct hd_entry {
    uint64_t prefix; /* hd_key_prefix of the key */
    uint32_t place;  /* where the record is, in the owner's units */
    uint32_t partition;
};

/* Orders two entries of equal partition and prefix: < 0, 0, > 0. */
typedef int (*hd_entry_compare_fn)(const void *ctx, const struct hd_entry *a,
                                   const struct hd_entry *b);

/* Sorts by partition (all below `partitions`), prefix, compare. 0 or -ENOMEM. */
int hd_entry_sort(struct hd_entry *entries, size_t count, uint32_t partitions,
                  hd_entry_compare_fn compare, const void *ctx);

#endif
