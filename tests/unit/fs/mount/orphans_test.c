/* Files without a name: held while they are open, or for a moment. */
#include "fs/mount/orphans.h"
#include "fs/os/clock.h"

#include <atf-c.h>
#include <stdatomic.h>

struct world {
    atomic_uint open;      /* bits: ids */
    atomic_uint forgotten; /* the same */
    atomic_uint times;
};

static bool is_open(void *ctx, uint64_t id)
{
    struct world *w = ctx;
    return (w->open & 1u << id) != 0;
}

static void forget(void *ctx, const uint64_t *ids, size_t count)
{
    struct world *w = ctx;
    for (size_t i = 0; i < count; i++) {
        w->forgotten |= 1u << ids[i];
    }
    w->times++;
}

static struct hd_orphans *start(struct world *w)
{
    struct hd_orphans *o;
    const struct hd_orphans_owner owner = {.ctx = w, .is_open = is_open, .forget = forget};
    ATF_REQUIRE_EQ(hd_orphans_new(&owner, &o), 0);
    return o;
}

#define EVENTUALLY(condition)                                                                      \
    do {                                                                                           \
        int64_t until_ = hd_clock_mono_ms().v + 10000;                                             \
        while (!(condition) && hd_clock_mono_ms().v < until_) {                                    \
            hd_clock_sleep_ms(1);                                                                  \
        }                                                                                          \
        ATF_CHECK_MSG((condition), #condition);                                                    \
    } while (0)

static void count(void *ctx, uint64_t id)
{
    *(uint32_t *)ctx |= 1u << id;
}

ATF_TC_WITHOUT_HEAD(what_is_open_is_given_back_at_the_last_close);
ATF_TC_BODY(what_is_open_is_given_back_at_the_last_close, tc)
{
    struct world w = {.open = 1u << 3};
    struct hd_orphans *o = start(&w);
    uint32_t seen = 0;
    ATF_CHECK(hd_orphans_add(o, 3, false));
    hd_orphans_each(o, count, &seen);
    ATF_CHECK_EQ(seen, 1u << 3);
    hd_orphans_closed(o, 4); /* has a name */
    ATF_CHECK_EQ(w.times, 0);
    w.open = 0;
    hd_orphans_closed(o, 3);
    ATF_CHECK_EQ(w.forgotten, 1u << 3);
    hd_orphans_closed(o, 3);
    ATF_CHECK_EQ(w.times, 1);
    hd_orphans_free(o);
}

ATF_TC_WITHOUT_HEAD(what_is_not_open_lingers_and_goes);
ATF_TC_BODY(what_is_not_open_lingers_and_goes, tc)
{
    struct world w = {0};
    struct hd_orphans *o = start(&w);
    int64_t began = hd_clock_mono_ms().v;
    ATF_CHECK(hd_orphans_add(o, 3, true));
    ATF_CHECK(hd_orphans_add(o, 4, true));
    EVENTUALLY(w.forgotten == (1u << 3 | 1u << 4));
    ATF_CHECK(hd_clock_mono_ms().v - began >= HD_ORPHANS_LINGER_MS);
    hd_orphans_free(o);
}

ATF_TC_WITHOUT_HEAD(what_is_opened_while_it_lingers_stays);
ATF_TC_BODY(what_is_opened_while_it_lingers_stays, tc)
{
    struct world w = {0};
    struct hd_orphans *o = start(&w);
    ATF_CHECK(hd_orphans_add(o, 3, true));
    ATF_CHECK(hd_orphans_add(o, 4, true));
    w.open = 1u << 3;
    EVENTUALLY(w.forgotten == 1u << 4);
    w.open = 0;
    hd_orphans_closed(o, 3);
    ATF_CHECK_EQ(w.forgotten, 1u << 3 | 1u << 4);
    hd_orphans_free(o);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_is_open_is_given_back_at_the_last_close);
    ATF_TP_ADD_TC(tp, what_is_not_open_lingers_and_goes);
    ATF_TP_ADD_TC(tp, what_is_opened_while_it_lingers_stays);
    return atf_no_error();
}
