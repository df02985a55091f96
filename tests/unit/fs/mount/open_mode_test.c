/* The kernel's rules of passthrough as a table, and a random walk that never breaks them. */
#include "fs/mount/open_mode.h"
#include "fs/base/prng.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(modes_follow_the_table);
ATF_TC_BODY(modes_follow_the_table, tc)
{
    static const struct {
        struct hd_open_state state;
        struct hd_open_wish wish;
        enum hd_open_mode mode;
    } rows[] = {
        {{0}, {.has_local = true, .local = {8, 9}}, HD_OPEN_PASSTHROUGH},
        {{0}, {0}, HD_OPEN_CACHED},
        {{0}, {.writable = true, .direct = true}, HD_OPEN_DIRECT},
        {{0}, {.writable = true}, HD_OPEN_CACHED},
        {{.direct = 1}, {.writable = true}, HD_OPEN_CACHED},
        {{.cached = 1}, {.has_local = true, .local = {8, 9}}, HD_OPEN_CACHED},
        {{.direct = 1}, {.has_local = true, .local = {8, 9}}, HD_OPEN_PASSTHROUGH},
        {{.passed = 1, .backing = {8, 9}},
         {.has_local = true, .local = {8, 9}},
         HD_OPEN_PASSTHROUGH},
        {{.passed = 1, .backing = {8, 9}},
         {.has_local = true, .local = {8, 10}},
         HD_OPEN_PASSTHROUGH_DIRECT},
        {{.passed = 1, .backing = {8, 9}},
         {.has_local = true, .local = {7, 9}},
         HD_OPEN_PASSTHROUGH_DIRECT},
        {{.passed = 1, .backing = {8, 9}}, {0}, HD_OPEN_PASSTHROUGH_DIRECT},
        {{.passed = 1, .backing = {8, 9}}, {.writable = true}, HD_OPEN_PASSTHROUGH_DIRECT},
        {{.passed = 1, .backing = {8, 9}, .backing_stale = true},
         {.has_local = true, .local = {8, 9}},
         HD_OPEN_PASSTHROUGH_DIRECT},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        ATF_CHECK_EQ_MSG(hd_open_choose(&rows[i].state, &rows[i].wish), rows[i].mode, "row %zu", i);
    }
}

ATF_TC_WITHOUT_HEAD(cached_and_passed_opens_never_meet);
ATF_TC_BODY(cached_and_passed_opens_never_meet, tc)
{
    struct hd_open_state s = {0};
    struct hd_prng prng = {3};
    enum hd_open_mode open[64];
    size_t count = 0;
    size_t passed = 0;
    for (int i = 0; i < 100000; i++) {
        if (count < HD_ARRAY_COUNT(open) && hd_prng_below(&prng, 2) == 0) {
            struct hd_open_wish wish = {.writable = hd_prng_below(&prng, 4) == 0,
                                        .direct = hd_prng_below(&prng, 4) == 0,
                                        .has_local = hd_prng_below(&prng, 2) == 0,
                                        .local = {1, hd_prng_below(&prng, 3)}};
            bool first = s.passed == 0;
            enum hd_open_mode mode = hd_open_choose(&s, &wish);
            if (mode == HD_OPEN_PASSTHROUGH && first) {
                ATF_REQUIRE(wish.has_local);
                s.backing = wish.local;
                s.backing_stale = false;
            }
            ATF_REQUIRE(mode != HD_OPEN_PASSTHROUGH || s.backing.inode == wish.local.inode);
            hd_open_count(&s, mode, 1);
            s.backing_stale = s.backing_stale || wish.writable;
            open[count++] = mode;
            passed += hd_open_is_passed(mode);
        } else if (count > 0) {
            size_t at = (size_t)hd_prng_below(&prng, count);
            hd_open_count(&s, open[at], -1);
            passed -= hd_open_is_passed(open[at]);
            open[at] = open[--count];
        }
        ATF_REQUIRE(s.cached == 0 || s.passed == 0);
        ATF_REQUIRE_EQ(s.passed, passed);
        ATF_REQUIRE_EQ(s.cached + s.direct + s.passed, count);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, modes_follow_the_table);
    ATF_TP_ADD_TC(tp, cached_and_passed_opens_never_meet);
    return atf_no_error();
}
