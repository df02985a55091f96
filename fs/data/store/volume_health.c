/*
 * How the directories feel: space, speed, and whether they answer at all. See store.h.
 *
 * A look may hang with its disk, so it notes when it began; whoever needs an answer takes what the
 * last look found, and how long the one under way has been at it.
 */
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"

#include <errno.h>

enum {
    SLOW_MS = 300,
    HANG_MS = 60000,
    STUCK_MS = 3000,
    SLOW_FACTOR = 3, /* slower than the fastest of the node by this */
};

#define PROBE_WEIGHT 0.5 /* of the newest one in the mean */

/* Under the lock. */
static int64_t looking_ms(const struct hd_volume *v)
{
    return v->looking_since_ms != 0 ? hd_clock_mono_ms().v - v->looking_since_ms : 0;
}

bool hd_volume_is_stuck(const struct hd_volume *v)
{
    return looking_ms(v) > STUCK_MS;
}

bool hd_volume_is_slow(const struct hd_store *s, const struct hd_volume *v)
{
    double limit_ms = (double)(s->options.slow_ms != 0 ? s->options.slow_ms : SLOW_MS);
    double fastest_ms = 0; /* of the others */
    for (int i = 0; i < s->volume_count; i++) {
        const struct hd_volume *o = &s->volumes[i];
        if (o != v && !o->failed && o->probe_ms > 0 && !hd_volume_is_stuck(o)) {
            fastest_ms = fastest_ms == 0 ? o->probe_ms : HD_MIN(fastest_ms, o->probe_ms);
        }
    }
    return hd_volume_is_stuck(v) ||
           (v->probe_ms > limit_ms && v->probe_ms > fastest_ms * SLOW_FACTOR);
}

bool hd_volume_room(struct hd_store *s, struct hd_volume *v, uint64_t *ret_capacity,
                    uint64_t *ret_available)
{
    pthread_mutex_lock(&s->lock);
    bool looked = v->looked;
    bool stuck = hd_volume_is_stuck(v);
    *ret_capacity = v->capacity_bytes;
    *ret_available = stuck ? 0 : v->available_bytes - HD_MIN(v->unseen_bytes, v->available_bytes);
    pthread_mutex_unlock(&s->lock);
    if (!looked && hd_volume_space(v, ret_capacity, ret_available) < 0) {
        *ret_capacity = *ret_available = 0;
        return false;
    }
    return !stuck;
}

void hd_volume_note(struct hd_store *s, struct hd_latency *l, uint64_t begin_ns)
{
    uint64_t took_ns = hd_clock_mono_ns() - begin_ns;
    pthread_mutex_lock(&s->lock);
    l->count++;
    l->total_ns += took_ns;
    pthread_mutex_unlock(&s->lock);
}

void hd_volume_note_full(struct hd_store *s, struct hd_volume *v)
{
    pthread_mutex_lock(&s->lock);
    v->available_bytes = 0;
    pthread_mutex_unlock(&s->lock);
}

void hd_volume_check_hang(struct hd_store *s, struct hd_volume *v)
{
    int64_t limit_ms = s->options.hang_ms != 0 ? s->options.hang_ms : HANG_MS;
    pthread_mutex_lock(&s->lock);
    int64_t ms = looking_ms(v);
    pthread_mutex_unlock(&s->lock);
    if (ms > limit_ms) {
        hd_volume_fail(
            s, v, hd_fail(-ETIMEDOUT, "%s has not answered for %lld ms", v->dir, (long long)ms));
    }
}

/* --- a look --- */

static double take_mean_ms(struct hd_latency *l)
{
    double mean = l->count != 0 ? (double)l->total_ns / (double)l->count / 1e6 : 0;
    *l = (struct hd_latency){0};
    return mean;
}

static void take_means(struct hd_volume *v, double took_ms)
{
    v->probe_ms =
        v->probe_ms == 0 ? took_ms : v->probe_ms * (1 - PROBE_WEIGHT) + took_ms * PROBE_WEIGHT;
    v->write_ms = take_mean_ms(&v->writes);
    v->sync_ms = take_mean_ms(&v->syncs);
}

double hd_store_look(struct hd_store *s, int volume, bool probe)
{
    struct hd_volume *v = &s->volumes[volume];
    uint64_t capacity = 0;
    uint64_t available = 0;
    double took_ms = 0;
    pthread_mutex_lock(&s->lock);
    bool skip = v->failed || v->version.storage_id[0] == '\0';
    uint64_t seen = v->unseen_bytes;
    v->looking_since_ms = skip ? 0 : hd_clock_mono_ms().v;
    pthread_mutex_unlock(&s->lock);
    if (skip) {
        return 0;
    }
    int err = hd_volume_space(v, &capacity, &available);
    if (err < 0) {
        hd_volume_fail(s, v, err);
    }
    if (err == 0 && probe) {
        uint64_t begin_ns = hd_clock_mono_ns();
        err = hd_volume_probe(s, v);
        took_ms = (double)(hd_clock_mono_ns() - begin_ns) / 1e6;
    }
    pthread_mutex_lock(&s->lock);
    v->looking_since_ms = 0;
    if (err == 0) {
        v->looked = true;
        v->capacity_bytes = capacity;
        v->available_bytes = available;
        v->unseen_bytes -= HD_MIN(seen, v->unseen_bytes);
    }
    if (err == 0 && probe) {
        take_means(v, took_ms);
    }
    pthread_mutex_unlock(&s->lock);
    return took_ms;
}

int hd_store_health(struct hd_store *s, struct hd_volume_health *out, int max)
{
    int n = 0;
    pthread_mutex_lock(&s->lock);
    for (int i = 0; i < s->volume_count && n < max; i++) {
        const struct hd_volume *v = &s->volumes[i];
        if (v->failed || !v->looked) {
            continue;
        }
        out[n++] = (struct hd_volume_health){.dir = v->dir,
                                             .probe_ms = v->probe_ms,
                                             .write_ms = v->write_ms,
                                             .sync_ms = v->sync_ms,
                                             .slow = hd_volume_is_slow(s, v),
                                             .stuck = hd_volume_is_stuck(v)};
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}
