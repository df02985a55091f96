/* The event loop: timers in order, posts from threads in order, removal from inside callbacks. */
#include "fs/net/loop.h"
#include "fs/base/prng.h"
#include "fs/os/clock.h"

#include <atf-c.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMERS = 500, POSTS = 20000, THREADS = 4 };

static struct hd_loop *new_loop(void)
{
    struct hd_loop *l;
    ATF_REQUIRE_EQ(hd_loop_new(&l), 0);
    return l;
}

static void stop(void *ctx)
{
    hd_loop_stop(ctx);
}

struct fired {
    struct hd_loop *loop;
    struct hd_loop_timer *timers[TIMERS];
    int64_t delays[TIMERS];
    int64_t last_delay;
    int count;
    int disarmed;
};

struct one_timer {
    struct fired *all;
    int index;
};

static void on_timer(void *ctx)
{
    struct one_timer *t = ctx;
    int64_t delay = t->all->delays[t->index];
    ATF_CHECK(delay >= t->all->last_delay);
    ATF_CHECK(delay >= 0);
    t->all->last_delay = delay;
    t->all->count++;
}

ATF_TC_WITHOUT_HEAD(timers_fire_in_the_order_of_their_time);
ATF_TC_BODY(timers_fire_in_the_order_of_their_time, tc)
{
    static struct fired f;
    static struct one_timer each[TIMERS];
    struct hd_prng prng = {3};
    f.loop = new_loop();
    for (int i = 0; i < TIMERS; i++) {
        each[i] = (struct one_timer){&f, i};
        f.delays[i] = 5 * (int64_t)hd_prng_below(&prng, 20);
        ATF_REQUIRE_EQ(hd_loop_timer_add(f.loop, -1, on_timer, &each[i], &f.timers[i]), 0);
    }
    for (int i = 0; i < TIMERS; i++) {
        hd_loop_timer_set(f.timers[i], f.delays[i]);
    }
    for (int i = 0; i < TIMERS; i += 3) { /* some are disarmed, some removed */
        if (i % 2 == 0) {
            hd_loop_timer_set(f.timers[i], -1);
        } else {
            hd_loop_timer_remove(f.timers[i]);
            f.timers[i] = NULL;
        }
        f.delays[i] = -1;
        f.disarmed++;
    }
    struct hd_loop_timer *end;
    ATF_REQUIRE_EQ(hd_loop_timer_add(f.loop, 110, stop, f.loop, &end), 0);
    ATF_REQUIRE_EQ(hd_loop_run(f.loop), 0);
    ATF_CHECK_EQ(f.count, TIMERS - f.disarmed);
    for (int i = 0; i < TIMERS; i++) {
        hd_loop_timer_remove(f.timers[i]);
    }
    hd_loop_timer_remove(end);
    hd_loop_free(f.loop);
}

struct rearm {
    struct hd_loop *loop;
    struct hd_loop_timer *timer;
    int left;
    int turns;
};

static void rearm(void *ctx)
{
    struct rearm *r = ctx;
    if (--r->left == 0) {
        hd_loop_stop(r->loop);
        return;
    }
    hd_loop_timer_set(r->timer, 0);
}

static void count_turn(void *ctx)
{
    ((struct rearm *)ctx)->turns++;
}

ATF_TC_WITHOUT_HEAD(timer_rearmed_with_zero_waits_for_the_next_turn);
ATF_TC_BODY(timer_rearmed_with_zero_waits_for_the_next_turn, tc)
{
    struct rearm r = {.loop = new_loop(), .left = 10};
    hd_loop_on_turn_end(r.loop, count_turn, &r);
    ATF_REQUIRE_EQ(hd_loop_timer_add(r.loop, 0, rearm, &r, &r.timer), 0);
    ATF_REQUIRE_EQ(hd_loop_run(r.loop), 0);
    ATF_CHECK_EQ(r.left, 0);
    ATF_CHECK(r.turns >= 10);
    hd_loop_timer_remove(r.timer);
    hd_loop_free(r.loop);
}

struct mail {
    struct poster *from;
    int number;
};

struct poster {
    struct hd_loop *loop;
    pthread_t thread;
    struct mail mails[POSTS];
    int next;
    int *left;
};

static void on_mail(void *ctx)
{
    struct mail *m = ctx;
    ATF_CHECK_EQ(m->number, m->from->next);
    m->from->next++;
    if (--*m->from->left == 0) {
        hd_loop_stop(m->from->loop);
    }
}

static void *post_all(void *ctx)
{
    struct poster *p = ctx;
    for (int i = 0; i < POSTS; i++) {
        p->mails[i] = (struct mail){p, i};
        if (hd_loop_post(p->loop, on_mail, &p->mails[i]) < 0) {
            abort();
        }
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(posts_of_a_thread_arrive_in_order);
ATF_TC_BODY(posts_of_a_thread_arrive_in_order, tc)
{
    struct hd_loop *l = new_loop();
    struct poster *posters = calloc(THREADS, sizeof(*posters));
    int left = THREADS * POSTS;
    for (int i = 0; i < THREADS; i++) {
        posters[i].loop = l;
        posters[i].left = &left;
        pthread_create(&posters[i].thread, NULL, post_all, &posters[i]);
    }
    ATF_REQUIRE_EQ(hd_loop_run(l), 0);
    for (int i = 0; i < THREADS; i++) {
        pthread_join(posters[i].thread, NULL);
        ATF_CHECK_EQ(posters[i].next, POSTS);
    }
    free(posters);
    hd_loop_free(l);
}

struct pair {
    struct hd_loop *loop;
    int fds[2][2];
    struct hd_loop_fd *watch[2];
    int called;
};

static void remove_both(void *ctx, uint32_t events HD_UNUSED)
{
    struct pair *p = ctx;
    p->called++;
    for (int i = 0; i < 2; i++) {
        hd_loop_fd_remove(p->watch[i]);
        close(p->fds[i][0]);
    }
    hd_loop_stop(p->loop);
}

ATF_TC_WITHOUT_HEAD(watch_removed_in_a_callback_is_silent_in_the_same_turn);
ATF_TC_BODY(watch_removed_in_a_callback_is_silent_in_the_same_turn, tc)
{
    struct pair p = {.loop = new_loop()};
    for (int i = 0; i < 2; i++) {
        ATF_REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, p.fds[i]), 0);
        ATF_REQUIRE_EQ(hd_loop_fd_add(p.loop, p.fds[i][0], EPOLLIN, remove_both, &p, &p.watch[i]),
                       0);
        ATF_REQUIRE_EQ(write(p.fds[i][1], "x", 1), 1);
    }
    ATF_REQUIRE_EQ(hd_loop_run(p.loop), 0);
    ATF_CHECK_EQ(p.called, 1);
    hd_loop_free(p.loop);
}

static void count_call(void *ctx, uint32_t events HD_UNUSED)
{
    ++*(int *)ctx;
}

ATF_TC_WITHOUT_HEAD(silent_watch_does_not_even_hear_a_hang_up);
ATF_TC_BODY(silent_watch_does_not_even_hear_a_hang_up, tc)
{
    struct hd_loop *l = new_loop();
    int fds[2];
    int calls = 0;
    struct hd_loop_fd *w;
    struct hd_loop_timer *end;
    ATF_REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    ATF_REQUIRE_EQ(hd_loop_fd_add(l, fds[0], EPOLLIN, count_call, &calls, &w), 0);
    ATF_REQUIRE_EQ(hd_loop_fd_set(w, 0), 0);
    close(fds[1]);
    ATF_REQUIRE_EQ(hd_loop_timer_add(l, 5, stop, l, &end), 0);
    ATF_REQUIRE_EQ(hd_loop_run(l), 0);
    ATF_CHECK_EQ(calls, 0);
    ATF_REQUIRE_EQ(hd_loop_fd_set(w, EPOLLIN), 0);
    hd_loop_timer_set(end, 0);
    ATF_REQUIRE_EQ(hd_loop_run(l), 0);
    ATF_CHECK(calls > 0);
    hd_loop_fd_remove(w);
    hd_loop_timer_remove(end);
    hd_loop_free(l);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, timers_fire_in_the_order_of_their_time);
    ATF_TP_ADD_TC(tp, timer_rearmed_with_zero_waits_for_the_next_turn);
    ATF_TP_ADD_TC(tp, posts_of_a_thread_arrive_in_order);
    ATF_TP_ADD_TC(tp, watch_removed_in_a_callback_is_silent_in_the_same_turn);
    ATF_TP_ADD_TC(tp, silent_watch_does_not_even_hear_a_hang_up);
    return atf_no_error();
}
