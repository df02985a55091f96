/* A few threads for what blocks. See manager.h. */
#include "fs/base/error.h"
#include "runner/manager/manager.h"

#include <stdlib.h>

static void on_loop(void *arg)
{
    struct hd_work *w = arg;
    if (w->done != NULL) {
        w->done(w);
    } else {
        free(w);
    }
}

static void *worker_main(void *arg)
{
    struct hd_manager *m = arg;
    for (;;) {
        pthread_mutex_lock(&m->work_lock);
        while (hd_list_empty(&m->work)) {
            pthread_cond_wait(&m->work_cond, &m->work_lock);
        }
        struct hd_work *w = HD_LIST_ENTRY(hd_list_pop_front(&m->work), struct hd_work, link);
        pthread_mutex_unlock(&m->work_lock);
        hd_fail_clear();
        w->fn(w);
        (void)hd_loop_post(m->loop, on_loop, w);
    }
    return NULL;
}

int hd_workers_start(struct hd_manager *m)
{
    for (int i = 0; i < HD_MANAGER_WORKERS; i++) {
        pthread_t thread;
        int rc = pthread_create(&thread, NULL, worker_main, m);
        if (rc != 0) {
            return hd_fail_errno(rc, "pthread_create");
        }
        pthread_detach(thread);
    }
    return 0;
}

void hd_work_submit(struct hd_manager *m, struct hd_work *w)
{
    w->manager = m;
    pthread_mutex_lock(&m->work_lock);
    hd_list_push_back(&m->work, &w->link);
    pthread_cond_signal(&m->work_cond);
    pthread_mutex_unlock(&m->work_lock);
}
