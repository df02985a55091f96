/* Threads that do jobs side by side. See fs_workers.h. */
#include "tools/fs_workers.h"
#include "fs/base/error.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

enum { QUEUE_JOBS = 256, THREADS_MAX = 64 };

struct hd_workers {
    void (*fn)(void *job);
    pthread_mutex_t lock;
    pthread_cond_t filled;  /* a job is there, or the end */
    pthread_cond_t drained; /* there is room */
    void *jobs[QUEUE_JOBS]; /* a ring; under lock */
    size_t first, count;    /* under lock */
    bool ended;             /* under lock */
    pthread_t threads[THREADS_MAX];
    int thread_count;
};

/* The next job, NULL at the end. */
static void *take(struct hd_workers *w)
{
    void *job = NULL;
    pthread_mutex_lock(&w->lock);
    while (w->count == 0 && !w->ended) {
        pthread_cond_wait(&w->filled, &w->lock);
    }
    if (w->count > 0) {
        job = w->jobs[w->first];
        w->first = (w->first + 1) % QUEUE_JOBS;
        w->count--;
        pthread_cond_signal(&w->drained);
    }
    pthread_mutex_unlock(&w->lock);
    return job;
}

static void *work(void *ctx)
{
    struct hd_workers *w = ctx;
    void *job;
    while ((job = take(w)) != NULL) {
        w->fn(job);
    }
    return NULL;
}

int hd_workers_new(int threads, void (*fn)(void *job), struct hd_workers **ret)
{
    struct hd_workers *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->fn = fn;
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->filled, NULL);
    pthread_cond_init(&w->drained, NULL);
    int e = 0;
    while (e == 0 && w->thread_count < HD_MIN(threads, THREADS_MAX)) {
        e = pthread_create(&w->threads[w->thread_count], NULL, work, w);
        w->thread_count += e == 0;
    }
    if (w->thread_count == 0) {
        hd_workers_finish(w);
        return hd_fail_errno(e != 0 ? e : EINVAL, "starting threads");
    }
    *ret = w;
    return 0;
}

void hd_workers_put(struct hd_workers *w, void *job)
{
    pthread_mutex_lock(&w->lock);
    while (w->count == QUEUE_JOBS) {
        pthread_cond_wait(&w->drained, &w->lock);
    }
    w->jobs[(w->first + w->count) % QUEUE_JOBS] = job;
    w->count++;
    pthread_cond_signal(&w->filled);
    pthread_mutex_unlock(&w->lock);
}

void hd_workers_finish(struct hd_workers *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->ended = true;
    pthread_cond_broadcast(&w->filled);
    pthread_mutex_unlock(&w->lock);
    for (int i = 0; i < w->thread_count; i++) {
        pthread_join(w->threads[i], NULL);
    }
    pthread_cond_destroy(&w->drained);
    pthread_cond_destroy(&w->filled);
    pthread_mutex_destroy(&w->lock);
    free(w);
}
