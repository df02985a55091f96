/* The arena: alignment, zeroed memory, ceiling, reuse after a reset. */
#include "fs/base/arena.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(memory_is_aligned_zeroed_and_apart);
ATF_TC_BODY(memory_is_aligned_zeroed_and_apart, tc)
{
    struct hd_arena a;
    hd_arena_init(&a, 0);
    for (int round = 0; round < 3; round++) {
        uint8_t *last = NULL;
        for (size_t size = 1; size < 40000; size = size * 2 + 1) {
            uint8_t *p = hd_arena_alloc(&a, size);
            ATF_REQUIRE(p != NULL && (uintptr_t)p % 16 == 0);
            for (size_t i = 0; i < size; i++) {
                ATF_REQUIRE_EQ(p[i], 0);
            }
            memset(p, 0xee, size);
            ATF_REQUIRE(last == NULL || last[0] == 0xee);
            last = p;
        }
        hd_arena_reset(&a);
    }
    ATF_CHECK_STREQ(hd_arena_printf(&a, "%d-%s", 3, "x"), "3-x");
    ATF_CHECK_STREQ(hd_arena_strn(&a, "abcdef", 3), "abc");
    hd_arena_done(&a);
}

ATF_TC_WITHOUT_HEAD(the_ceiling_gives_null);
ATF_TC_BODY(the_ceiling_gives_null, tc)
{
    struct hd_arena a;
    hd_arena_init(&a, 1000);
    ATF_CHECK(hd_arena_alloc(&a, 1001) == NULL);
    ATF_CHECK(hd_arena_alloc(&a, SIZE_MAX) == NULL);
    ATF_CHECK(hd_arena_alloc(&a, 900) != NULL);
    ATF_CHECK(hd_arena_alloc(&a, 200) == NULL);
    hd_arena_reset(&a);
    ATF_CHECK(hd_arena_alloc(&a, 900) != NULL);
    hd_arena_done(&a);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, memory_is_aligned_zeroed_and_apart);
    ATF_TP_ADD_TC(tp, the_ceiling_gives_null);
    return atf_no_error();
}
