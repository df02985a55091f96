/*
 * Records and where they come from. A record is a key, a value, and how often this very pair
 * occurs: pairs that are equal byte by byte are kept once with a count, all the way from the map's
 * buffer through spills and the shuffle to the reduce, which sees them as often as they were
 * written.
 *
 * Order everywhere: partition, then key as unsigned bytes, then value as unsigned bytes. Ordering
 * the values too makes a job's output the same however often and wherever its parts were run.
 */
#ifndef HD_RUNNER_OPS_RECORD_H
#define HD_RUNNER_OPS_RECORD_H

struct hd_record {
    const uint8_t *key; /* borrowed from the source, until its next step or close */
    const uint8_t *value;
    uint32_t key_size;
    uint32_t value_size;
    uint64_t repeat; /* at least 1 */
};

/* A stream of records in order. next: 1 and a record, 0 at the end, or an error. */
struct hd_source {
    int (*next)(struct hd_source *s, struct hd_record *ret);
    void (*close)(struct hd_source *s); /* frees the source */
};

enum { HD_RECORD_MAX_BYTES = 1 << 30 };

int hd_record_compare(const struct hd_record *a, const struct hd_record *b);

/* A hash of key and value; the sum over all records of a run is its fingerprint. */
uint64_t hd_record_hash(const struct hd_record *r);

/* The first eight bytes of a key as a number that orders like them (zeros behind a short key). */
uint64_t hd_key_prefix(const uint8_t *key, size_t size);

#endif
