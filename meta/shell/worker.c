/* See worker.h. */
#include "meta/shell/worker.h"
#include "meta/shell/threads.h"
#include "fs/net/loop.h"

#include <errno.h>
#include <stdlib.h>

struct hd_worker {
    struct hd_loop *loop;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t more;
    struct hd_list jobs;
    bool stopping;
};

static void run_done(void *ctx)
{
    struct hd_job *job = ctx;
    job->done(job);
}

static void *run(void *ctx)
{
    struct hd_worker *w = ctx;
    pthread_mutex_lock(&w->lock);
    while (!w->stopping) {
        struct hd_list *node = hd_list_pop_front(&w->jobs);
        if (node == NULL) {
            pthread_cond_wait(&w->more, &w->lock);
            continue;
        }
        pthread_mutex_unlock(&w->lock);
        struct hd_job *job = HD_LIST_ENTRY(node, struct hd_job, node);
        job->run(job);
        (void)hd_loop_post(w->loop, run_done, job);
        pthread_mutex_lock(&w->lock);
    }
    pthread_mutex_unlock(&w->lock);
    return NULL;
}

int hd_worker_start(const char *name, struct hd_loop *loop, struct hd_worker **ret)
{
    struct hd_worker *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->loop = loop;
    hd_list_init(&w->jobs);
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->more, NULL);
    int err = hd_meta_thread_start(&w->thread, name, run, w);
    if (err < 0) {
        free(w);
        return err;
    }
    *ret = w;
    return 0;
}

void hd_worker_add(struct hd_worker *w, struct hd_job *job)
{
    pthread_mutex_lock(&w->lock);
    hd_list_push_back(&w->jobs, &job->node);
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
}

void hd_worker_stop(struct hd_worker *w)
{
    if (w == NULL) {
        return;
    }
    pthread_mutex_lock(&w->lock);
    w->stopping = true;
    pthread_cond_signal(&w->more);
    pthread_mutex_unlock(&w->lock);
    pthread_join(w->thread, NULL);
    for (struct hd_list *node; (node = hd_list_pop_front(&w->jobs)) != NULL;) {
        struct hd_job *job = HD_LIST_ENTRY(node, struct hd_job, node);
        job->cancelled = true;
        job->done(job);
    }
    pthread_mutex_destroy(&w->lock);
    pthread_cond_destroy(&w->more);
    free(w);
}
