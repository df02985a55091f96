/* The queue and the threads of notifier.h. */
#include "fs/mount/notifier.h"
#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DRAIN_LOOK_MS = 10 };

struct item {
    struct hd_list link;     /* in ready, telling, or its directory's deferred */
    struct hd_notice notice; /* ticket 0 once it counts as done */
    int64_t since_ms;
    char name[];
};

/* A directory that is being changed by us. */
struct changing {
    size_t changes;
    struct hd_list deferred;
};

struct hd_notifier {
    struct hd_notifier_owner owner;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    pthread_cond_t quiet;   /* nothing is ready or being told */
    struct hd_map changing; /* by directory */
    struct hd_list ready;
    struct hd_list telling;
    uint64_t told; /* so far */
    bool stopping;
    pthread_t threads[HD_NOTIFIER_THREADS + 1]; /* the last one watches */
    size_t thread_count;
};

/* (lock) */
static void count_as_done(struct hd_notifier *n, struct item *i)
{
    if (i->notice.ticket != 0) {
        n->owner.done(n->owner.ctx, i->notice.ticket);
        i->notice.ticket = 0;
    }
}

/* (lock) */
static void tell_one(struct hd_notifier *n)
{
    struct item *i = HD_LIST_ENTRY(hd_list_pop_front(&n->ready), struct item, link);
    struct hd_notice notice = i->notice;
    hd_list_push_back(&n->telling, &i->link);
    pthread_mutex_unlock(&n->lock);
    n->owner.tell(n->owner.ctx, &notice);
    pthread_mutex_lock(&n->lock);
    n->told++;
    count_as_done(n, i);
    hd_list_remove(&i->link);
    free(i);
    if (hd_list_empty(&n->ready) && hd_list_empty(&n->telling)) {
        pthread_cond_broadcast(&n->quiet);
    }
}

static void *tell_main(void *arg)
{
    struct hd_notifier *n = arg;
    pthread_mutex_lock(&n->lock);
    while (!n->stopping) {
        if (hd_list_empty(&n->ready)) {
            pthread_cond_wait(&n->wake, &n->lock);
        } else {
            tell_one(n);
        }
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

/* (lock) */
static void lose_patience(struct hd_notifier *n, struct hd_list *list, int64_t now_ms)
{
    HD_LIST_FOR(it, list)
    {
        struct item *i = HD_LIST_ENTRY(it, struct item, link);
        if (now_ms - i->since_ms >= HD_NOTIFIER_PATIENCE_MS) {
            count_as_done(n, i);
        }
    }
}

static void *watch_main(void *arg)
{
    struct hd_notifier *n = arg;
    pthread_mutex_lock(&n->lock);
    while (!n->stopping) {
        int64_t now = hd_clock_mono_ms().v;
        int64_t until = now + HD_NOTIFIER_PATIENCE_MS / 4;
        struct timespec t = {.tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000};
        if (hd_list_empty(&n->ready) && hd_list_empty(&n->telling)) {
            pthread_cond_wait(&n->wake, &n->lock);
            continue;
        }
        lose_patience(n, &n->ready, now);
        lose_patience(n, &n->telling, now);
        pthread_cond_timedwait(&n->quiet, &n->lock, &t);
    }
    pthread_mutex_unlock(&n->lock);
    return NULL;
}

int hd_notifier_new(const struct hd_notifier_owner *owner, struct hd_notifier **ret)
{
    struct hd_notifier *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return -ENOMEM;
    }
    n->owner = *owner;
    pthread_mutex_init(&n->lock, NULL);
    hd_clock_cond_init(&n->wake);
    hd_clock_cond_init(&n->quiet);
    hd_map_init(&n->changing);
    hd_list_init(&n->ready);
    hd_list_init(&n->telling);
    for (size_t i = 0; i <= HD_NOTIFIER_THREADS; i++) {
        int rc = pthread_create(&n->threads[i], NULL,
                                i < HD_NOTIFIER_THREADS ? tell_main : watch_main, n);
        if (rc != 0) {
            hd_notifier_free(n);
            return -rc;
        }
        n->thread_count++;
    }
    *ret = n;
    return 0;
}

static void free_items(struct hd_list *list)
{
    struct hd_list *node;
    while ((node = hd_list_pop_front(list)) != NULL) {
        free(HD_LIST_ENTRY(node, struct item, link));
    }
}

void hd_notifier_free(struct hd_notifier *n)
{
    if (n == NULL) {
        return;
    }
    pthread_mutex_lock(&n->lock);
    n->stopping = true;
    pthread_cond_broadcast(&n->wake);
    pthread_cond_broadcast(&n->quiet);
    pthread_mutex_unlock(&n->lock);
    for (size_t i = 0; i < n->thread_count; i++) {
        pthread_join(n->threads[i], NULL);
    }
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&n->changing, &cursor, NULL, &value)) {
        struct changing *c = value;
        free_items(&c->deferred);
        free(c);
    }
    free_items(&n->ready);
    hd_map_done(&n->changing);
    pthread_cond_destroy(&n->wake);
    pthread_cond_destroy(&n->quiet);
    pthread_mutex_destroy(&n->lock);
    free(n);
}

bool hd_notifier_add(struct hd_notifier *n, const struct hd_notice *notice)
{
    size_t size = strlen(notice->name) + 1;
    struct item *i = malloc(sizeof(*i) + size);
    if (i == NULL) {
        n->owner.tell(n->owner.ctx, notice);
        return true;
    }
    memcpy(i->name, notice->name, size);
    i->notice = *notice;
    i->notice.name = i->name;
    i->since_ms = hd_clock_mono_ms().v;
    hd_list_init(&i->link);
    pthread_mutex_lock(&n->lock);
    struct changing *c = hd_map_get(&n->changing, notice->dir);
    bool done = c != NULL || notice->ticket == 0;
    if (c != NULL) {
        i->notice.ticket = 0;
        hd_list_push_back(&c->deferred, &i->link);
    } else {
        hd_list_push_back(&n->ready, &i->link);
        pthread_cond_broadcast(&n->wake);
    }
    pthread_mutex_unlock(&n->lock);
    return done;
}

/* (lock) Pushes of the directory are not waited for any more. */
static void give_way(struct hd_notifier *n, struct hd_list *list, uint64_t dir)
{
    HD_LIST_FOR(it, list)
    {
        struct item *i = HD_LIST_ENTRY(it, struct item, link);
        if (i->notice.dir == dir) {
            count_as_done(n, i);
        }
    }
}

void hd_notifier_change_begin(struct hd_notifier *n, uint64_t dir)
{
    pthread_mutex_lock(&n->lock);
    struct changing *c = hd_map_get(&n->changing, dir);
    if (c == NULL) {
        c = calloc(1, sizeof(*c));
        if (c != NULL) {
            hd_list_init(&c->deferred);
            if (hd_map_put(&n->changing, dir, c) < 0) {
                free(HD_TAKE_PTR(c));
            }
        }
    }
    if (c != NULL) { /* else patience will do */
        c->changes++;
    }
    give_way(n, &n->ready, dir);
    give_way(n, &n->telling, dir);
    pthread_mutex_unlock(&n->lock);
}

/* Also when another change has begun meanwhile: the kernel lines up its changes, and us with them.
 */
void hd_notifier_change_end(struct hd_notifier *n, uint64_t dir)
{
    pthread_mutex_lock(&n->lock);
    struct changing *c = hd_map_get(&n->changing, dir);
    if (c != NULL) {
        struct hd_list *node;
        if (!hd_list_empty(&c->deferred)) {
            pthread_cond_broadcast(&n->wake);
        }
        while ((node = hd_list_pop_front(&c->deferred)) != NULL) {
            hd_list_push_back(&n->ready, node);
        }
        if (--c->changes == 0) {
            (void)hd_map_remove(&n->changing, dir);
            free(c);
        }
    }
    pthread_mutex_unlock(&n->lock);
}

void hd_notifier_drain(struct hd_notifier *n, int stuck_ms)
{
    pthread_mutex_lock(&n->lock);
    uint64_t told = n->told;
    int64_t stuck_at = hd_clock_mono_ms().v + stuck_ms;
    while (!n->stopping && (!hd_list_empty(&n->ready) || !hd_list_empty(&n->telling))) {
        int64_t now = hd_clock_mono_ms().v;
        struct timespec t = {.tv_sec = (now + DRAIN_LOOK_MS) / 1000,
                             .tv_nsec = (now + DRAIN_LOOK_MS) % 1000 * 1000000};
        if (n->told != told) {
            told = n->told;
            stuck_at = now + stuck_ms;
        } else if (now >= stuck_at) {
            break;
        }
        pthread_cond_timedwait(&n->quiet, &n->lock, &t);
    }
    pthread_mutex_unlock(&n->lock);
}
