/* The files without a name of orphans.h, and the thread that gives them back. */
#include "fs/mount/orphans.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { SWEEP_MS = 500 };

struct orphan {
    int64_t until_ms; /* not before then; INT64_MAX: only when it is closed */
};

struct hd_orphans {
    struct hd_orphans_owner owner;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    struct hd_map all; /* by id */
    size_t lingering;
    bool stopping;
    bool running;
    pthread_t thread;
};

/* (lock) */
static void drop(struct hd_orphans *o, uint64_t id, struct orphan *orphan)
{
    o->lingering -= orphan->until_ms != INT64_MAX;
    (void)hd_map_remove(&o->all, id);
    free(orphan);
}

/* (lock) Those whose time is over: taken out, but for what is open. */
static size_t take_over_due(struct hd_orphans *o, uint64_t *ids, size_t max)
{
    struct due {
        uint64_t id;
        struct orphan *orphan;
    } *due = calloc(max, sizeof(*due));
    size_t cursor = 0;
    size_t found = 0;
    size_t count = 0;
    int64_t now = hd_clock_mono_ms().v;
    uint64_t id;
    void *value;
    while (due != NULL && found < max && hd_map_next(&o->all, &cursor, &id, &value)) {
        struct orphan *orphan = value;
        if (orphan->until_ms <= now) {
            due[found++] = (struct due){id, orphan};
        }
    }
    for (size_t i = 0; i < found; i++) {
        if (o->owner.is_open(o->owner.ctx, due[i].id)) {
            due[i].orphan->until_ms = INT64_MAX;
            o->lingering--;
        } else {
            drop(o, due[i].id, due[i].orphan);
            ids[count++] = due[i].id;
        }
    }
    free(due);
    return count;
}

static void *sweep(void *arg)
{
    struct hd_orphans *o = arg;
    uint64_t ids[HD_ORPHANS_AT_ONCE];
    pthread_mutex_lock(&o->lock);
    while (!o->stopping) {
        if (o->lingering == 0) {
            pthread_cond_wait(&o->wake, &o->lock);
            continue;
        }
        size_t count = take_over_due(o, ids, HD_ORPHANS_AT_ONCE);
        if (count > 0) {
            pthread_mutex_unlock(&o->lock);
            o->owner.forget(o->owner.ctx, ids, count);
            pthread_mutex_lock(&o->lock);
            continue;
        }
        int64_t until = hd_clock_mono_ms().v + SWEEP_MS;
        struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        pthread_cond_timedwait(&o->wake, &o->lock, &t);
    }
    pthread_mutex_unlock(&o->lock);
    return NULL;
}

int hd_orphans_new(const struct hd_orphans_owner *owner, struct hd_orphans **ret)
{
    struct hd_orphans *o = calloc(1, sizeof(*o));
    if (o == NULL) {
        return -ENOMEM;
    }
    o->owner = *owner;
    pthread_mutex_init(&o->lock, NULL);
    hd_clock_cond_init(&o->wake);
    hd_map_init(&o->all);
    int rc = pthread_create(&o->thread, NULL, sweep, o);
    o->running = rc == 0;
    if (rc != 0) {
        hd_orphans_free(o);
        return -rc;
    }
    *ret = o;
    return 0;
}

void hd_orphans_free(struct hd_orphans *o)
{
    if (o == NULL) {
        return;
    }
    pthread_mutex_lock(&o->lock);
    o->stopping = true;
    pthread_cond_broadcast(&o->wake);
    pthread_mutex_unlock(&o->lock);
    if (o->running) {
        pthread_join(o->thread, NULL);
    }
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&o->all, &cursor, NULL, &value)) {
        free(value);
    }
    hd_map_done(&o->all);
    pthread_cond_destroy(&o->wake);
    pthread_mutex_destroy(&o->lock);
    free(o);
}

bool hd_orphans_add(struct hd_orphans *o, uint64_t id, bool linger)
{
    bool held = true;
    pthread_mutex_lock(&o->lock);
    struct orphan *orphan = hd_map_get(&o->all, id);
    if (orphan == NULL) {
        orphan = calloc(1, sizeof(*orphan));
        held = orphan != NULL && hd_map_put(&o->all, id, orphan) == 0;
        if (!held) {
            free(orphan);
            pthread_mutex_unlock(&o->lock);
            return false;
        }
        orphan->until_ms = INT64_MAX;
    }
    if (!o->owner.is_open(o->owner.ctx, id)) { /* its close may have been just now */
        if (orphan->until_ms == INT64_MAX) {
            o->lingering++;
        }
        orphan->until_ms = hd_clock_mono_ms().v + (linger ? HD_ORPHANS_LINGER_MS : 0);
        pthread_cond_signal(&o->wake);
    }
    pthread_mutex_unlock(&o->lock);
    return held;
}

void hd_orphans_closed(struct hd_orphans *o, uint64_t id)
{
    pthread_mutex_lock(&o->lock);
    struct orphan *orphan = hd_map_get(&o->all, id);
    if (orphan != NULL) {
        drop(o, id, orphan);
    }
    pthread_mutex_unlock(&o->lock);
    if (orphan != NULL) {
        o->owner.forget(o->owner.ctx, &id, 1);
    }
}

void hd_orphans_each(struct hd_orphans *o, void (*fn)(void *ctx, uint64_t id), void *ctx)
{
    size_t cursor = 0;
    uint64_t id;
    void *value;
    pthread_mutex_lock(&o->lock);
    while (hd_map_next(&o->all, &cursor, &id, &value)) {
        fn(ctx, id);
    }
    pthread_mutex_unlock(&o->lock);
}
