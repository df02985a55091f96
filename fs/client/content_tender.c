/* The thread of content_tender.h. */
#include "fs/client/content_tender.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <time.h>

enum { ROUND_MS = 1000 };

void hd_content_tender_init(struct hd_content_tender *t)
{
    *t = (struct hd_content_tender){.running = false};
    pthread_mutex_init(&t->lock, NULL);
    hd_clock_cond_init(&t->wake);
    hd_clock_cond_init(&t->tended);
    hd_list_init(&t->waiting);
}

static void wait_round(struct hd_content_tender *t)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ROUND_MS / 1000;
    while (!t->stopping && pthread_cond_timedwait(&t->wake, &t->lock, &until) == 0) {
    }
}

/* Everybody once: who was tended goes to the back. */
static void go_round(struct hd_content_tender *t)
{
    struct hd_list round;
    hd_list_init(&round);
    struct hd_list *node;
    while ((node = hd_list_pop_front(&t->waiting)) != NULL) {
        hd_list_push_back(&round, node);
    }
    while (!t->stopping && (node = hd_list_pop_front(&round)) != NULL) {
        struct hd_tended *what = HD_LIST_ENTRY(node, struct hd_tended, link);
        hd_list_push_back(&t->waiting, node);
        what->busy = true;
        pthread_mutex_unlock(&t->lock);
        what->tend(what);
        pthread_mutex_lock(&t->lock);
        what->busy = false;
        pthread_cond_broadcast(&t->tended);
    }
    while ((node = hd_list_pop_front(&round)) != NULL) {
        hd_list_push_back(&t->waiting, node);
    }
}

static void *tender_main(void *ctx)
{
    struct hd_content_tender *t = ctx;
    pthread_mutex_lock(&t->lock);
    while (!t->stopping) {
        if (hd_list_empty(&t->waiting)) {
            pthread_cond_wait(&t->wake, &t->lock);
            continue;
        }
        wait_round(t);
        go_round(t);
    }
    pthread_mutex_unlock(&t->lock);
    return NULL;
}

void hd_content_tender_stop(struct hd_content_tender *t)
{
    pthread_mutex_lock(&t->lock);
    t->stopping = true;
    bool running = t->running;
    pthread_cond_signal(&t->wake);
    pthread_mutex_unlock(&t->lock);
    if (running) {
        pthread_join(t->thread, NULL);
    }
    pthread_cond_destroy(&t->wake);
    pthread_cond_destroy(&t->tended);
    pthread_mutex_destroy(&t->lock);
}

int hd_content_tender_add(struct hd_content_tender *t, struct hd_tended *what)
{
    int err = 0;
    pthread_mutex_lock(&t->lock);
    if (!t->running) {
        int e = pthread_create(&t->thread, NULL, tender_main, t);
        t->running = e == 0;
        err = e != 0 ? hd_fail_errno(e, "no thread for open blocks") : 0;
    }
    if (err == 0 && !what->listed) {
        what->listed = true;
        if (hd_list_empty(&t->waiting)) {
            pthread_cond_signal(&t->wake);
        }
        hd_list_push_back(&t->waiting, &what->link);
    }
    pthread_mutex_unlock(&t->lock);
    return err;
}

void hd_content_tender_remove(struct hd_content_tender *t, struct hd_tended *what)
{
    pthread_mutex_lock(&t->lock);
    while (what->busy) {
        pthread_cond_wait(&t->tended, &t->lock);
    }
    if (what->listed) {
        what->listed = false;
        hd_list_remove(&what->link);
    }
    pthread_mutex_unlock(&t->lock);
}
