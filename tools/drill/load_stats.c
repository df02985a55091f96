/* Counting for the workload. See load_stats.h. */
#include "tools/drill/load_stats.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

void hd_load_counts_init(struct hd_load_counts *c)
{
    *c = (struct hd_load_counts){0};
    pthread_mutex_init(&c->lock, NULL);
}

void hd_load_counts_done(struct hd_load_counts *c)
{
    pthread_mutex_destroy(&c->lock);
}

size_t hd_latency_bucket(uint64_t us)
{
    size_t bucket = 0;
    for (double bound = 1; bound < (double)us && bucket < HD_LATENCY_BUCKETS - 1; bound *= 1.25) {
        bucket++;
    }
    return bucket;
}

double hd_latency_bound_ms(size_t bucket)
{
    double bound = 0.001;
    while (bucket-- > 0) {
        bound *= 1.25;
    }
    return bound;
}

void hd_load_begin(struct hd_load_waiting *w, enum hd_op_class kind)
{
    if (w->since_ns[kind] == 0) {
        w->since_ns[kind] = hd_clock_mono_ns();
    }
}

/* Under the lock. */
static void count_error(struct hd_load_counts *c, int rc)
{
    const char *name = hd_error_name(rc);
    struct hd_load_result *r = &c->result;
    for (size_t i = 0; i < r->error_count; i++) {
        if (strcmp(r->errors[i].name, name) == 0) {
            r->errors[i].count++;
            return;
        }
    }
    if (r->error_count < HD_LOAD_ERRORS_MAX) {
        struct hd_load_error *e = &r->errors[r->error_count++];
        *e = (struct hd_load_error){.count = 1};
        snprintf(e->name, sizeof(e->name), "%s", name);
        snprintf(e->text, sizeof(e->text), "%s", hd_fail_describe(rc));
    }
}

static void count_time(struct hd_load_counts *c, enum hd_op_class kind, uint64_t ns)
{
    double s = (double)ns / 1e9;
    struct hd_load_stats *stats = &c->result.stats[kind][c->phase];
    if (c->phase != HD_PHASE_BEFORE) { /* what was slow before the fault is not its doing */
        c->result.longest_stall_s[kind] = HD_MAX(c->result.longest_stall_s[kind], s);
    }
    stats->max_ms = HD_MAX(stats->max_ms, s * 1e3);
    stats->count++;
    c->buckets[kind][c->phase][hd_latency_bucket(ns / 1000)]++;
}

void hd_load_end(struct hd_load_counts *c, struct hd_load_waiting *w, enum hd_op_class kind, int rc)
{
    uint64_t ns = hd_clock_mono_ns() - w->since_ns[kind];
    pthread_mutex_lock(&c->lock);
    if (rc < 0) {
        count_error(c, rc);
    } else {
        count_time(c, kind, ns);
        w->since_ns[kind] = 0;
    }
    pthread_mutex_unlock(&c->lock);
}

void hd_load_give_up(struct hd_load_counts *c, struct hd_load_waiting *w)
{
    for (int k = 0; k < HD_CLASSES; k++) {
        if (w->since_ns[k] != 0) {
            hd_load_end(c, w, (enum hd_op_class)k, 0);
        }
    }
}

/* The bound below which a share of the operations lies. */
static double percentile(const uint32_t *buckets, uint64_t count, double share)
{
    uint64_t seen = 0;
    for (size_t b = 0; b < HD_LATENCY_BUCKETS; b++) {
        seen += buckets[b];
        if (count > 0 && (double)seen >= share * (double)count) {
            return hd_latency_bound_ms(b);
        }
    }
    return 0;
}

void hd_load_counts_result(struct hd_load_counts *c, struct hd_load_result *ret)
{
    pthread_mutex_lock(&c->lock);
    *ret = c->result;
    for (int k = 0; k < HD_CLASSES; k++) {
        for (int p = 0; p < HD_PHASES; p++) {
            struct hd_load_stats *s = &ret->stats[k][p];
            s->p50_ms = HD_MIN(percentile(c->buckets[k][p], s->count, 0.5), s->max_ms);
            s->p99_ms = HD_MIN(percentile(c->buckets[k][p], s->count, 0.99), s->max_ms);
        }
    }
    pthread_mutex_unlock(&c->lock);
}
