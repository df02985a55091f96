/*
 * The event loop: one thread, epoll, timers, and a mailbox for other threads.
 *
 * Everything but hd_loop_post and hd_loop_stop is called on the loop's thread (or before
 * hd_loop_run). Callbacks never block on the network or on a lock held across I/O.
 */
#ifndef HD_NET_LOOP_H
#define HD_NET_LOOP_H

#include "fs/base/list.h"
#include "fs/base/types.h"

struct hd_loop;
struct hd_loop_fd;
struct hd_loop_timer;

typedef void (*hd_loop_fn)(void *ctx);
typedef void (*hd_loop_fd_fn)(void *ctx, uint32_t epoll_events);

int hd_loop_new(struct hd_loop **ret);
void hd_loop_free(struct hd_loop *l); /* takes NULL; closes no descriptor it was lent */

/* Runs until hd_loop_stop. Returns 0 or the negative errno of epoll_wait. */
int hd_loop_run(struct hd_loop *l);
void hd_loop_stop(struct hd_loop *l); /* any thread */

/* Watches fd (borrowed) for EPOLL* events; level triggered. */
int hd_loop_fd_add(struct hd_loop *l, int fd, uint32_t events, hd_loop_fd_fn fn, void *ctx,
                   struct hd_loop_fd **ret);
int hd_loop_fd_set(struct hd_loop_fd *w, uint32_t events); /* 0 events: stay registered, silent */
void hd_loop_fd_remove(struct hd_loop_fd *w); /* takes NULL; safe inside its callback */

/* One shot, delay_ms from now. Re-arm in the callback for a period. Freed by remove only. */
int hd_loop_timer_add(struct hd_loop *l, int64_t delay_ms, hd_loop_fn fn, void *ctx,
                      struct hd_loop_timer **ret);
void hd_loop_timer_set(struct hd_loop_timer *t, int64_t delay_ms); /* (re)arms; < 0 disarms */
void hd_loop_timer_remove(struct hd_loop_timer *t);                /* takes NULL */

/* Any thread: runs fn(ctx) on the loop's thread, in the order posted. 0 or -ENOMEM. */
int hd_loop_post(struct hd_loop *l, hd_loop_fn fn, void *ctx);

/*
 * Called once at the end of every turn, before the loop sleeps: the place to hand over a batch.
 * Hooks add up (at most 8) and run in the order they were added.
 */
void hd_loop_on_turn_end(struct hd_loop *l, hd_loop_fn fn, void *ctx);

/*
 * Called at the end of every turn, behind the hooks: where servers send what the turn left to be
 * sent. The struct is the caller's and stays where it is until removed.
 */
struct hd_loop_flush {
    struct hd_list link;
    hd_loop_fn fn;
    void *ctx;
};

void hd_loop_flush_add(struct hd_loop *l, struct hd_loop_flush *f);
void hd_loop_flush_remove(struct hd_loop_flush *f);

/* Monotonic time as of the start of this turn. */
struct hd_mono_ms hd_loop_now(const struct hd_loop *l);

#endif
