/* Threads that outlive their asker: see crowd.h. */
#include "fs/client/crowd.h"
#include "fs/base/assert.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

struct hd_crowd {
    pthread_mutex_t lock;
    pthread_cond_t one_ended;
    int (*work)(void *ctx, size_t i);
    void *ctx;
    size_t count;
    size_t refs; /* the asker and every thread */
    size_t next; /* the next thread's index */
    size_t ended;
    size_t ended_seen; /* by hd_crowd_wait */
    bool done[HD_CROWD_MAX];
    int err[HD_CROWD_MAX];
};

/* With the lock, which it gives back. */
static void unref(struct hd_crowd *c)
{
    bool last = --c->refs == 0;
    pthread_mutex_unlock(&c->lock);
    if (last) {
        pthread_cond_destroy(&c->one_ended);
        pthread_mutex_destroy(&c->lock);
        free(c->ctx);
        free(c);
    }
}

static void end(struct hd_crowd *c, size_t i, int err)
{
    c->done[i] = true;
    c->err[i] = err;
    c->ended++;
    pthread_cond_signal(&c->one_ended);
}

static void *run(void *arg)
{
    struct hd_crowd *c = arg;
    pthread_mutex_lock(&c->lock);
    size_t i = c->next++;
    pthread_mutex_unlock(&c->lock);
    int err = c->work(c->ctx, i);
    pthread_mutex_lock(&c->lock);
    end(c, i, err);
    unref(c);
    return NULL;
}

int hd_crowd_start(void *ctx, size_t count, int (*work)(void *ctx, size_t i), struct hd_crowd **ret)
{
    hd_assert(count <= HD_CROWD_MAX);
    struct hd_crowd *c = calloc(1, sizeof(*c));
    if (c == NULL || ctx == NULL) {
        free(c);
        free(ctx);
        return -ENOMEM;
    }
    pthread_mutex_init(&c->lock, NULL);
    hd_clock_cond_init(&c->one_ended);
    c->work = work;
    c->ctx = ctx;
    c->count = count;
    c->refs = 1;
    pthread_attr_t detached;
    pthread_attr_init(&detached);
    pthread_attr_setdetachstate(&detached, PTHREAD_CREATE_DETACHED);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < count; i++) {
        pthread_t thread;
        c->refs++;
        if (pthread_create(&thread, &detached, run, c) != 0) { /* then nor do those behind it */
            c->refs--;
            for (; i < count; i++) {
                end(c, i, -EAGAIN);
            }
        }
    }
    pthread_mutex_unlock(&c->lock);
    pthread_attr_destroy(&detached);
    *ret = c;
    return 0;
}

bool hd_crowd_wait(struct hd_crowd *c, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_mutex_lock(&c->lock);
    int rc = 0;
    while (c->ended == c->ended_seen && c->ended < c->count && rc == 0) {
        rc = pthread_cond_timedwait(&c->one_ended, &c->lock, &until);
    }
    bool more = c->ended > c->ended_seen;
    c->ended_seen = c->ended;
    pthread_mutex_unlock(&c->lock);
    return more;
}

bool hd_crowd_ended(struct hd_crowd *c, size_t i, int *ret_err)
{
    pthread_mutex_lock(&c->lock);
    bool done = c->done[i];
    *ret_err = c->err[i];
    pthread_mutex_unlock(&c->lock);
    return done;
}

void hd_crowd_leave(struct hd_crowd *c)
{
    if (c != NULL) {
        pthread_mutex_lock(&c->lock);
        unref(c);
    }
}
