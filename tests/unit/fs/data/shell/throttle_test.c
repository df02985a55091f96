/* Tests of the rate that moves of blocks keep. */
#include "fs/data/shell/throttle.h"
#include "fs/os/clock.h"

#include <atf-c.h>

static atomic_bool stopping;

static int64_t take_all(struct hd_throttle *t, int pieces, uint64_t bytes)
{
    int64_t start_ms = hd_clock_mono_ms().v;
    for (int i = 0; i < pieces; i++) {
        hd_throttle_take(t, bytes);
    }
    return hd_clock_mono_ms().v - start_ms;
}

ATF_TC_WITHOUT_HEAD(the_rate_is_kept);
ATF_TC_BODY(the_rate_is_kept, tc)
{
    struct hd_throttle t;
    hd_throttle_init(&t, 1000000, &stopping);
    int64_t took_ms = take_all(&t, 31, 10000); /* 0.3 s behind the first, a burst of 0.1 s free */
    ATF_CHECK_MSG(took_ms >= 190 && took_ms < 2000, "%lld ms", (long long)took_ms);
    hd_throttle_done(&t);
}

static void *taker(void *ctx)
{
    take_all(ctx, 10, 10000);
    return NULL;
}

ATF_TC_WITHOUT_HEAD(threads_share_it);
ATF_TC_BODY(threads_share_it, tc)
{
    struct hd_throttle t;
    pthread_t threads[3];
    hd_throttle_init(&t, 1000000, &stopping);
    int64_t start_ms = hd_clock_mono_ms().v;
    for (int i = 0; i < 3; i++) {
        ATF_REQUIRE(pthread_create(&threads[i], NULL, taker, &t) == 0);
    }
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL);
    }
    int64_t took_ms = hd_clock_mono_ms().v - start_ms;
    ATF_CHECK_MSG(took_ms >= 180, "%lld ms", (long long)took_ms);
    hd_throttle_done(&t);
}

ATF_TC_WITHOUT_HEAD(nobody_waits_at_the_end_or_without_one);
ATF_TC_BODY(nobody_waits_at_the_end_or_without_one, tc)
{
    struct hd_throttle t;
    hd_throttle_init(&t, 1, &stopping);
    atomic_store(&stopping, true);
    ATF_CHECK(take_all(&t, 10, 1000000) < 1000);
    atomic_store(&stopping, false);
    ATF_CHECK(take_all(NULL, 10, 1000000) < 1000);
    hd_throttle_done(&t);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_rate_is_kept);
    ATF_TP_ADD_TC(tp, threads_share_it);
    ATF_TP_ADD_TC(tp, nobody_waits_at_the_end_or_without_one);
    return atf_no_error();
}
