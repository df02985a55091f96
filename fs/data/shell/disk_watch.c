/* The threads that look at disks. See disk_watch.h. */
#include "fs/data/shell/disk_watch.h"
#include "fs/data/store/check.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum {
    LOOK_MS = 1000,
    PROBE_MS = 5000,
    DOUBT_MS = 100,
    STOP_WAIT_MS = 3000,
    CLEAN_MS = 2000,
    CLEAN_AGE_MS = 10000, /* who overwrites often finds the log where it was */
};

struct disk {
    struct hd_disk_watch *watch;
    int volume;
    bool slow_told;
};

struct hd_disk_watch {
    struct hd_data *data;
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    bool stopping;
    int threads;
    int count;
    bool slow_node; /* by meta's judgement; the control thread's own */
    struct disk disks[HD_STORE_VOLUMES_MAX];
};

static bool wait_ms(struct hd_disk_watch *w, int64_t ms)
{
    int64_t until_ms = hd_clock_mono_ms().v + ms;
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&w->lock);
    int err = 0;
    while (!w->stopping && err == 0) {
        err = pthread_cond_timedwait(&w->changed, &w->lock, &at);
    }
    bool on = !w->stopping;
    pthread_mutex_unlock(&w->lock);
    return on;
}

static void leave(struct hd_disk_watch *w)
{
    pthread_mutex_lock(&w->lock);
    w->threads--;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
}

static void tell_slow(struct disk *k)
{
    struct hd_volume_health all[HD_STORE_VOLUMES_MAX];
    const char *dir;
    const char *storage_id;
    struct hd_store *store = k->watch->data->store;
    if (!hd_store_volume_at(store, k->volume, &dir, &storage_id)) {
        return;
    }
    int n = hd_store_health(store, all, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n; i++) {
        if (all[i].dir == dir && all[i].slow != k->slow_told) {
            k->slow_told = all[i].slow;
            hd_log(all[i].slow ? HD_LOG_WARN : HD_LOG_INFO,
                   all[i].slow ? "data directory is slow; others are preferred"
                               : "data directory is as fast as the others again",
                   "dir=%s small_write_ms=%.0f", dir, all[i].probe_ms);
        }
    }
}

static void *disk_main(void *arg)
{
    struct disk *k = arg;
    struct hd_disk_watch *w = k->watch;
    int64_t probe_at_ms = 0;
    do {
        bool probe = hd_clock_mono_ms().v >= probe_at_ms;
        double took_ms = hd_store_look(w->data->store, k->volume, probe);
        if (probe) {
            /* In doubt it is asked again soon. */
            probe_at_ms = hd_clock_mono_ms().v + (took_ms > DOUBT_MS ? LOOK_MS : PROBE_MS);
            tell_slow(k);
        }
    } while (wait_ms(w, LOOK_MS));
    leave(w);
    return NULL;
}

/* Replicas that were changed in place, and were left alone for a while. */
static void *cleaner_main(void *arg)
{
    struct hd_disk_watch *w = arg;
    while (wait_ms(w, CLEAN_MS)) {
        hd_store_clean(w->data->store, CLEAN_AGE_MS);
    }
    leave(w);
    return NULL;
}

static int start_thread(struct hd_disk_watch *w, void *(*fn)(void *), void *arg)
{
    pthread_t thread;
    pthread_mutex_lock(&w->lock);
    w->threads++;
    pthread_mutex_unlock(&w->lock);
    int err = hd_data_thread(&thread, true, fn, arg);
    if (err < 0) {
        leave(w);
    }
    return err;
}

int hd_disk_watch_start(struct hd_data *d, struct hd_disk_watch **ret)
{
    struct hd_disk_watch *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    hd_clock_cond_init(&w->changed);
    w->data = d;
    w->count = hd_store_volume_count(d->store);
    int err = 0;
    for (int i = 0; i < w->count && err == 0; i++) {
        w->disks[i] = (struct disk){.watch = w, .volume = i};
        err = start_thread(w, disk_main, &w->disks[i]);
    }
    if (err == 0) {
        err = start_thread(w, cleaner_main, w);
    }
    if (err < 0) {
        hd_disk_watch_stop(w);
        return err;
    }
    *ret = w;
    return 0;
}

bool hd_disk_watch_stop(struct hd_disk_watch *w)
{
    if (w == NULL) {
        return true;
    }
    int64_t until_ms = hd_clock_mono_ms().v + STOP_WAIT_MS;
    struct timespec at = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    int err = 0;
    while (w->threads > 0 && err == 0) {
        err = pthread_cond_timedwait(&w->changed, &w->lock, &at);
    }
    int left = w->threads;
    pthread_mutex_unlock(&w->lock);
    if (left > 0) {
        hd_log_warn("a disk does not answer; its thread is left behind", "count=%d", left);
        return false;
    }
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
    return true;
}

void hd_disk_watch_report(struct hd_data *d, struct hd_arena *arena, Hdw__SendHeartbeatRequest *q)
{
    struct hd_volume_health all[HD_STORE_VOLUMES_MAX];
    int n = hd_store_health(d->store, all, HD_STORE_VOLUMES_MAX);
    q->slow_disks = HD_ARENA_ARRAY(arena, Hdw__SlowDiskReport *, HD_STORE_VOLUMES_MAX);
    for (int i = 0; i < n && q->slow_disks != NULL; i++) {
        Hdw__SlowDiskReport *r =
            all[i].probe_ms > 0 ? HD_ARENA_NEW(arena, Hdw__SlowDiskReport) : NULL;
        if (r == NULL) {
            continue;
        }
        *r = (Hdw__SlowDiskReport)HDW__SLOW_DISK_REPORT__INIT;
        r->base_path = (char *)(uintptr_t)all[i].dir;
        r->has_mean_metadata_op_latency = r->has_mean_write_io_latency = true;
        r->mean_metadata_op_latency = all[i].probe_ms;
        r->mean_write_io_latency = HD_MAX(all[i].write_ms, all[i].sync_ms);
        q->slow_disks[q->n_slow_disks++] = r;
    }
}

void hd_disk_watch_judged(struct hd_data *d, bool slow)
{
    struct hd_disk_watch *w = d->disk_watch;
    if (w == NULL || w->slow_node == slow) {
        return;
    }
    w->slow_node = slow;
    hd_log(slow ? HD_LOG_WARN : HD_LOG_INFO,
           slow ? "this node is slow against the others; meta prefers those"
                : "this node is as fast as the others again",
           "disks=%d", w->count);
}
