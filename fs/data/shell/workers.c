/* The pool of threads of workers.h. */
#include "fs/data/shell/workers.h"
#include "fs/base/list.h"
#include "fs/data/shell/data.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { IDLE_S = 10 };

struct work {
    struct hd_list link;
    void (*fn)(void *ctx);
    void *ctx;
};

struct hd_workers {
    pthread_mutex_t lock; /* guards all */
    pthread_cond_t changed;
    struct hd_list waiting;
    int waiting_count;
    int waiting_max;
    int threads;
    int threads_max;
    int idle;
    bool stopping;
};

int hd_workers_new(int threads_max, int waiting_max, struct hd_workers **ret)
{
    struct hd_workers *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    hd_clock_cond_init(&w->changed);
    hd_list_init(&w->waiting);
    w->threads_max = threads_max;
    w->waiting_max = waiting_max;
    *ret = w;
    return 0;
}

static struct work *take(struct hd_workers *w)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += IDLE_S;
    int err = 0;
    w->idle++;
    while (hd_list_empty(&w->waiting) && !w->stopping && err == 0) {
        err = pthread_cond_timedwait(&w->changed, &w->lock, &until);
    }
    w->idle--;
    struct hd_list *link = hd_list_pop_front(&w->waiting);
    if (link == NULL) {
        return NULL;
    }
    w->waiting_count--;
    return HD_LIST_ENTRY(link, struct work, link);
}

static void *worker_main(void *arg)
{
    struct hd_workers *w = arg;
    pthread_mutex_lock(&w->lock);
    for (struct work *job = take(w); job != NULL; job = take(w)) {
        pthread_mutex_unlock(&w->lock);
        job->fn(job->ctx);
        free(job);
        pthread_mutex_lock(&w->lock);
    }
    w->threads--;
    pthread_cond_broadcast(&w->changed);
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int hd_workers_run(struct hd_workers *w, void (*fn)(void *ctx), void *ctx)
{
    struct work *job = malloc(sizeof(*job));
    if (job == NULL) {
        return -ENOMEM;
    }
    *job = (struct work){.fn = fn, .ctx = ctx};
    int err = 0;
    pthread_mutex_lock(&w->lock);
    if (w->stopping || w->waiting_count >= w->waiting_max) {
        err = -EAGAIN;
    } else if (w->idle <= w->waiting_count && w->threads < w->threads_max) {
        pthread_t thread;
        err = hd_data_thread(&thread, true, worker_main, w);
        w->threads += err == 0;
        err = w->threads > 0 ? 0 : err; /* the others will get to it */
    }
    if (err == 0) {
        hd_list_push_back(&w->waiting, &job->link);
        w->waiting_count++;
        pthread_cond_broadcast(&w->changed);
    }
    pthread_mutex_unlock(&w->lock);
    if (err < 0) {
        free(job);
    }
    return err;
}

void hd_workers_free(struct hd_workers *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_broadcast(&w->changed);
    while (w->threads > 0) {
        pthread_cond_wait(&w->changed, &w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    pthread_cond_destroy(&w->changed);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
