/* Threads that may outlive who started them. */
#include "fs/client/crowd.h"
#include "fs/os/clock.h"

#include <atf-c.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

enum { COUNT = 3 };

static atomic_bool let_go;
static atomic_int ended;

struct work {
    int results[COUNT];
};

/* The last one waits until it is let go. */
static int work(void *ctx, size_t i)
{
    struct work *w = ctx;
    while (i == COUNT - 1 && !let_go) {
        hd_clock_sleep_ms(1);
    }
    w->results[i] = (int)i * 10;
    ended++;
    return i == 1 ? -ENOENT : 0;
}

ATF_TC_WITHOUT_HEAD(the_slowest_holds_nobody_up);
ATF_TC_BODY(the_slowest_holds_nobody_up, tc)
{
    struct hd_crowd *c;
    struct work *w = calloc(1, sizeof(*w));
    int err;
    ATF_REQUIRE_EQ(hd_crowd_start(w, COUNT, work, &c), 0);
    int64_t until = hd_clock_mono_ms().v + 5000;
    while (!hd_crowd_ended(c, 0, &err) || !hd_crowd_ended(c, 1, &err)) {
        ATF_REQUIRE(hd_crowd_wait(c, until));
    }
    ATF_CHECK_EQ(err, -ENOENT);
    ATF_CHECK_EQ(w->results[1], 10);
    while (hd_crowd_wait(c, hd_clock_mono_ms().v + 10)) { /* for the two that have ended */
    }
    ATF_CHECK(!hd_crowd_ended(c, 2, &err));
    hd_crowd_leave(c); /* w lives on with the last thread */
    let_go = true;
    while (ended < COUNT) {
        hd_clock_sleep_ms(1);
    }
}

ATF_TC_WITHOUT_HEAD(waiting_ends_when_all_have_ended);
ATF_TC_BODY(waiting_ends_when_all_have_ended, tc)
{
    struct hd_crowd *c;
    int err;
    let_go = true;
    ATF_REQUIRE_EQ(hd_crowd_start(calloc(1, sizeof(struct work)), COUNT, work, &c), 0);
    int64_t began = hd_clock_mono_ms().v;
    while (hd_crowd_wait(c, began + 5000)) {
    }
    ATF_CHECK(hd_clock_mono_ms().v - began < 2500);
    for (size_t i = 0; i < COUNT; i++) {
        ATF_CHECK(hd_crowd_ended(c, i, &err));
    }
    hd_crowd_leave(c);
    hd_crowd_leave(NULL);
}

ATF_TC_WITHOUT_HEAD(without_memory_there_is_no_crowd);
ATF_TC_BODY(without_memory_there_is_no_crowd, tc)
{
    struct hd_crowd *c;
    ATF_CHECK_EQ(hd_crowd_start(NULL, COUNT, work, &c), -ENOMEM);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_slowest_holds_nobody_up);
    ATF_TP_ADD_TC(tp, waiting_ends_when_all_have_ended);
    ATF_TP_ADD_TC(tp, without_memory_there_is_no_crowd);
    return atf_no_error();
}
