/* Counting for the workload: latencies by kind and phase, stalls, errors by name. Thread safe. */
#ifndef HD_TOOLS_DRILL_LOAD_STATS_H
#define HD_TOOLS_DRILL_LOAD_STATS_H

#include "tools/drill/load.h"

#include <pthread.h>

/* Latencies in buckets that grow by a quarter: 1 us to 17 minutes. */
enum { HD_LATENCY_BUCKETS = 96 };

struct hd_load_counts {
    pthread_mutex_t lock;
    enum hd_phase phase;
    uint32_t buckets[HD_CLASSES][HD_PHASES][HD_LATENCY_BUCKETS];
    struct hd_load_result result; /* but for the percentiles */
};

/* What one thread waits for, for each kind: since when, 0 when its last operation succeeded. */
struct hd_load_waiting {
    uint64_t since_ns[HD_CLASSES];
};

void hd_load_counts_init(struct hd_load_counts *c);
void hd_load_counts_done(struct hd_load_counts *c);

/* An operation begins; and ends: rc < 0 is counted as an error, and the wait goes on. */
void hd_load_begin(struct hd_load_waiting *w, enum hd_op_class kind);
void hd_load_end(struct hd_load_counts *c, struct hd_load_waiting *w, enum hd_op_class kind,
                 int rc);

/* The thread ends: what it still waits for is a stall. */
void hd_load_give_up(struct hd_load_counts *c, struct hd_load_waiting *w);

/* Which bucket a time falls into, and the upper bound of a bucket. */
size_t hd_latency_bucket(uint64_t us);
double hd_latency_bound_ms(size_t bucket);

void hd_load_counts_result(struct hd_load_counts *c, struct hd_load_result *ret);

#endif
