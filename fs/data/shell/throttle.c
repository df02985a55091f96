/* A rate that several threads keep together. See throttle.h. */
#include "fs/data/shell/throttle.h"
#include "fs/os/clock.h"

enum { NS_PER_MS = 1000000, BURST_NS = 100 * NS_PER_MS, NAP_MS = 100 };

void hd_throttle_init(struct hd_throttle *t, uint64_t bytes_per_s, const atomic_bool *stopping)
{
    atomic_init(&t->bytes_per_s, bytes_per_s);
    pthread_mutex_init(&t->lock, NULL);
    t->next_ns = 0;
    t->stopping = stopping;
}

void hd_throttle_done(struct hd_throttle *t)
{
    pthread_mutex_destroy(&t->lock);
}

/* When these bytes may go. */
static int64_t grant(struct hd_throttle *t, uint64_t bytes)
{
    uint64_t rate = HD_MAX(atomic_load(&t->bytes_per_s), (uint64_t)1);
    int64_t now = (int64_t)hd_clock_mono_ns();
    pthread_mutex_lock(&t->lock);
    int64_t at = HD_MAX(t->next_ns, now - BURST_NS);
    t->next_ns = at + (int64_t)((double)bytes * 1e9 / (double)rate);
    pthread_mutex_unlock(&t->lock);
    return at;
}

void hd_throttle_take(struct hd_throttle *t, uint64_t bytes)
{
    if (t == NULL) {
        return;
    }
    int64_t at = grant(t, bytes);
    int64_t left_ns;
    while ((left_ns = at - (int64_t)hd_clock_mono_ns()) > 0 && !atomic_load(t->stopping)) {
        hd_clock_sleep_ms(HD_MIN(left_ns / NS_PER_MS + 1, (int64_t)NAP_MS));
    }
}
