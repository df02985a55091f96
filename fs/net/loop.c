/*
 * The event loop of loop.h.
 *
 * A watch or timer that is removed while its own (or another) callback of the same turn runs is
 * put aside and freed at the end of the turn, so events fetched together never meet freed memory.
 */
#include "fs/net/loop.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum {
    EVENTS_PER_TURN = 256,
    HEAP_FIRST_SLOTS = 64,
    NOT_ARMED = -1,
    HOOKS_MAX = 8,
    POSTS_MAX = 1 << 22,
};

struct hd_loop_fd {
    struct hd_loop *loop;
    int fd;
    uint32_t events;  /* 0: not in the epoll set, since HUP and ERR cannot be silenced there */
    hd_loop_fd_fn fn; /* NULL: removed, waits for the end of the turn */
    void *ctx;
    struct hd_loop_fd *next_dead;
};

struct hd_loop_timer {
    struct hd_loop *loop;
    int64_t due_ms;
    uint64_t order; /* of arming: equal times fire in that order */
    int slot;       /* in the heap, or NOT_ARMED */
    hd_loop_fn fn;
    void *ctx;
};

struct post {
    hd_loop_fn fn;
    void *ctx;
};

struct posts {
    struct post *items; /* heap, owned */
    size_t count;
    size_t capacity;
};

struct hd_loop {
    int epoll_fd;
    int wake_fd;
    int64_t now_ms;
    struct hd_loop_timer **heap; /* a binary heap by (due_ms, order) */
    int heap_count;
    int heap_capacity;
    int timer_count; /* that exist, armed or not */
    uint64_t arm_count;
    struct hd_loop_fd *dead;
    struct post hooks[HOOKS_MAX]; /* of the turn's end */
    int hook_count;
    struct hd_list flushes;
    atomic_bool stop;
    pthread_mutex_t lock; /* guards inbox and awake */
    struct posts inbox;
    bool awake;         /* the wake descriptor was written and not yet read */
    struct posts batch; /* the loop's own: what it runs now */
};

int hd_loop_new(struct hd_loop **ret)
{
    struct hd_loop *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&l->lock, NULL);
    hd_list_init(&l->flushes);
    l->wake_fd = -1;
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd >= 0) {
        l->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    }
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = NULL};
    if (l->wake_fd < 0 || epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, l->wake_fd, &ev) < 0) {
        int err = hd_fail_errno(errno, "event loop");
        hd_loop_free(l);
        return err;
    }
    l->now_ms = hd_clock_mono_ms().v;
    *ret = l;
    return 0;
}

static void free_dead(struct hd_loop *l)
{
    while (l->dead != NULL) {
        struct hd_loop_fd *w = l->dead;
        l->dead = w->next_dead;
        free(w);
    }
}

void hd_loop_free(struct hd_loop *l)
{
    if (l == NULL) {
        return;
    }
    free_dead(l);
    if (l->wake_fd >= 0) {
        close(l->wake_fd);
    }
    if (l->epoll_fd >= 0) {
        close(l->epoll_fd);
    }
    pthread_mutex_destroy(&l->lock);
    free(l->heap);
    free(l->inbox.items);
    free(l->batch.items);
    free(l);
}

struct hd_mono_ms hd_loop_now(const struct hd_loop *l)
{
    return (struct hd_mono_ms){l->now_ms};
}

void hd_loop_on_turn_end(struct hd_loop *l, hd_loop_fn fn, void *ctx)
{
    hd_assert(l->hook_count < HOOKS_MAX);
    l->hooks[l->hook_count++] = (struct post){fn, ctx};
}

void hd_loop_flush_add(struct hd_loop *l, struct hd_loop_flush *f)
{
    hd_list_push_back(&l->flushes, &f->link);
}

void hd_loop_flush_remove(struct hd_loop_flush *f)
{
    hd_list_remove(&f->link);
}

/* --- descriptors --- */

static int watch(struct hd_loop_fd *w, uint32_t events)
{
    if (events == w->events) {
        return 0;
    }
    int op = w->events == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;
    struct epoll_event ev = {.events = events, .data.ptr = w};
    if (epoll_ctl(w->loop->epoll_fd, op, w->fd, &ev) < 0) {
        return hd_fail_errno(errno, "watch descriptor %d", w->fd);
    }
    w->events = events;
    return 0;
}

int hd_loop_fd_add(struct hd_loop *l, int fd, uint32_t events, hd_loop_fd_fn fn, void *ctx,
                   struct hd_loop_fd **ret)
{
    struct hd_loop_fd *w = malloc(sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    *w = (struct hd_loop_fd){.loop = l, .fd = fd, .fn = fn, .ctx = ctx};
    int err = watch(w, events);
    if (err < 0) {
        free(w);
        return err;
    }
    *ret = w;
    return 0;
}

int hd_loop_fd_set(struct hd_loop_fd *w, uint32_t events)
{
    return watch(w, events);
}

void hd_loop_fd_remove(struct hd_loop_fd *w)
{
    if (w == NULL || w->fn == NULL) {
        return;
    }
    watch(w, 0);
    w->fn = NULL;
    w->next_dead = w->loop->dead;
    w->loop->dead = w;
}

/* --- timers --- */

static bool fires_before(const struct hd_loop_timer *a, const struct hd_loop_timer *b)
{
    return a->due_ms != b->due_ms ? a->due_ms < b->due_ms : a->order < b->order;
}

static void heap_place(struct hd_loop *l, int slot, struct hd_loop_timer *t)
{
    l->heap[slot] = t;
    t->slot = slot;
}

static void heap_up(struct hd_loop *l, int slot, struct hd_loop_timer *t)
{
    while (slot > 0 && fires_before(t, l->heap[(slot - 1) / 2])) {
        heap_place(l, slot, l->heap[(slot - 1) / 2]);
        slot = (slot - 1) / 2;
    }
    heap_place(l, slot, t);
}

static void heap_down(struct hd_loop *l, int slot, struct hd_loop_timer *t)
{
    for (;;) {
        int child = 2 * slot + 1;
        if (child >= l->heap_count) {
            break;
        }
        if (child + 1 < l->heap_count && fires_before(l->heap[child + 1], l->heap[child])) {
            child++;
        }
        if (!fires_before(l->heap[child], t)) {
            break;
        }
        heap_place(l, slot, l->heap[child]);
        slot = child;
    }
    heap_place(l, slot, t);
}

static void disarm(struct hd_loop_timer *t)
{
    if (t->slot == NOT_ARMED) {
        return;
    }
    struct hd_loop *l = t->loop;
    int slot = t->slot;
    struct hd_loop_timer *moved = l->heap[--l->heap_count];
    t->slot = NOT_ARMED;
    if (moved == t) {
        return;
    }
    if (slot > 0 && fires_before(moved, l->heap[(slot - 1) / 2])) {
        heap_up(l, slot, moved);
    } else {
        heap_down(l, slot, moved);
    }
}

void hd_loop_timer_set(struct hd_loop_timer *t, int64_t delay_ms)
{
    disarm(t);
    if (delay_ms < 0) {
        return;
    }
    struct hd_loop *l = t->loop;
    t->due_ms = hd_clock_mono_ms().v + delay_ms;
    t->order = l->arm_count++;
    heap_up(l, l->heap_count++, t); /* the slot was reserved when the timer was made */
}

/* Every timer that exists has a slot, so arming one never fails. */
static int reserve_slot(struct hd_loop *l, int timers)
{
    if (timers <= l->heap_capacity) {
        return 0;
    }
    int capacity = HD_MAX(l->heap_capacity * 2, (int)HEAP_FIRST_SLOTS);
    struct hd_loop_timer **heap =
        realloc(l->heap, (size_t)capacity * sizeof(struct hd_loop_timer *));
    if (heap == NULL) {
        return -ENOMEM;
    }
    l->heap = heap;
    l->heap_capacity = capacity;
    return 0;
}

int hd_loop_timer_add(struct hd_loop *l, int64_t delay_ms, hd_loop_fn fn, void *ctx,
                      struct hd_loop_timer **ret)
{
    struct hd_loop_timer *t = malloc(sizeof(*t));
    if (t == NULL || reserve_slot(l, l->timer_count + 1) < 0) {
        free(t);
        return -ENOMEM;
    }
    l->timer_count++;
    *t = (struct hd_loop_timer){.loop = l, .slot = NOT_ARMED, .fn = fn, .ctx = ctx};
    hd_loop_timer_set(t, delay_ms);
    *ret = t;
    return 0;
}

void hd_loop_timer_remove(struct hd_loop_timer *t)
{
    if (t == NULL) {
        return;
    }
    disarm(t);
    t->loop->timer_count--;
    free(t);
}

/* Only timers armed before this moment: one that re-arms itself with 0 waits for the next turn. */
static void run_timers(struct hd_loop *l)
{
    uint64_t armed_before = l->arm_count;
    while (l->heap_count > 0) {
        struct hd_loop_timer *t = l->heap[0];
        if (t->due_ms > l->now_ms || t->order >= armed_before) {
            break;
        }
        disarm(t);
        t->fn(t->ctx);
    }
}

/* --- the mailbox --- */

int hd_loop_post(struct hd_loop *l, hd_loop_fn fn, void *ctx)
{
    pthread_mutex_lock(&l->lock);
    struct posts *q = &l->inbox;
    if (q->count == POSTS_MAX) {
        pthread_mutex_unlock(&l->lock);
        return -ENOMEM;
    }
    if (q->count == q->capacity) {
        size_t capacity = q->capacity != 0 ? 2 * q->capacity : 64;
        struct post *items = realloc(q->items, capacity * sizeof(*items));
        if (items == NULL) {
            pthread_mutex_unlock(&l->lock);
            return -ENOMEM;
        }
        q->items = items;
        q->capacity = capacity;
    }
    q->items[q->count++] = (struct post){fn, ctx};
    bool wake = !l->awake;
    l->awake = true;
    pthread_mutex_unlock(&l->lock);
    if (wake) {
        eventfd_write(l->wake_fd, 1);
    }
    return 0;
}

void hd_loop_stop(struct hd_loop *l)
{
    atomic_store(&l->stop, true);
    eventfd_write(l->wake_fd, 1);
}

static void run_posts(struct hd_loop *l)
{
    eventfd_t ignored;
    eventfd_read(l->wake_fd, &ignored);
    pthread_mutex_lock(&l->lock);
    struct posts full = l->inbox;
    l->inbox = l->batch;
    l->inbox.count = 0;
    l->awake = false;
    pthread_mutex_unlock(&l->lock);
    l->batch = full;
    for (size_t i = 0; i < full.count; i++) {
        full.items[i].fn(full.items[i].ctx);
    }
}

/* --- turns --- */

static int wait_ms(const struct hd_loop *l)
{
    if (l->heap_count == 0) {
        return -1;
    }
    int64_t left_ms = l->heap[0]->due_ms - hd_clock_mono_ms().v;
    return (int)HD_MAX((int64_t)0, HD_MIN(left_ms, (int64_t)INT32_MAX));
}

static void end_turn(struct hd_loop *l)
{
    for (int i = 0; i < l->hook_count; i++) {
        l->hooks[i].fn(l->hooks[i].ctx);
    }
    HD_LIST_FOR(it, &l->flushes)
    {
        struct hd_loop_flush *f = HD_LIST_ENTRY(it, struct hd_loop_flush, link);
        f->fn(f->ctx);
    }
    free_dead(l);
}

int hd_loop_run(struct hd_loop *l)
{
    struct epoll_event events[EVENTS_PER_TURN];
    int err = 0;
    while (!atomic_load(&l->stop)) {
        int n = epoll_wait(l->epoll_fd, events, EVENTS_PER_TURN, wait_ms(l));
        if (n < 0 && errno != EINTR) {
            err = hd_fail_errno(errno, "epoll_wait");
            break;
        }
        l->now_ms = hd_clock_mono_ms().v;
        bool mail = false;
        for (int i = 0; i < n; i++) {
            struct hd_loop_fd *w = events[i].data.ptr;
            if (w == NULL) {
                mail = true;
            } else if (w->fn != NULL) {
                w->fn(w->ctx, events[i].events);
            }
        }
        if (mail) {
            run_posts(l);
        }
        run_timers(l);
        end_turn(l);
    }
    atomic_store(&l->stop, false);
    return err;
}
