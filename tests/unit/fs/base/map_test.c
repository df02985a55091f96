/* Hash maps against a plain array: random puts and removals, every answer compared. */
#include "fs/base/map.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <stdio.h>
#include <string.h>

enum { KEYS = 997, STEPS = 200000 };

ATF_TC_WITHOUT_HEAD(number_map_agrees_with_an_array);
ATF_TC_BODY(number_map_agrees_with_an_array, tc)
{
    static char values[KEYS];
    static bool there[KEYS];
    struct hd_map m;
    struct hd_prng prng = {7};
    size_t count = 0;
    hd_map_init(&m);
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = hd_prng_below(&prng, KEYS);
        void *want = there[key] ? &values[key] : NULL;
        ATF_REQUIRE_EQ(hd_map_get(&m, key), want);
        if (hd_prng_below(&prng, 2) == 0) {
            ATF_REQUIRE_EQ(hd_map_put(&m, key, &values[key]), 0);
            count += !there[key];
            there[key] = true;
        } else {
            ATF_REQUIRE_EQ(hd_map_remove(&m, key), want);
            count -= there[key];
            there[key] = false;
        }
        ATF_REQUIRE_EQ(m.count, count);
    }
    size_t cursor = 0;
    size_t seen = 0;
    void *value;
    while (hd_map_next(&m, &cursor, NULL, &value)) {
        seen++;
    }
    ATF_CHECK_EQ(seen, count);
    hd_map_done(&m);
}

ATF_TC_WITHOUT_HEAD(string_map_agrees_with_an_array);
ATF_TC_BODY(string_map_agrees_with_an_array, tc)
{
    static char values[KEYS];
    static bool there[KEYS];
    struct hd_strmap m;
    struct hd_prng prng = {8};
    hd_strmap_init(&m);
    for (int i = 0; i < STEPS; i++) {
        uint64_t key = hd_prng_below(&prng, KEYS);
        char name[32];
        size_t size = (size_t)snprintf(name, sizeof(name), "/a/%llu", (unsigned long long)key);
        void *want = there[key] ? &values[key] : NULL;
        ATF_REQUIRE_EQ(hd_strmap_get(&m, name, size), want);
        if (hd_prng_below(&prng, 2) == 0) {
            ATF_REQUIRE_EQ(hd_strmap_put(&m, name, size, &values[key]), 0);
            there[key] = true;
        } else {
            ATF_REQUIRE_EQ(hd_strmap_remove(&m, name, size), want);
            there[key] = false;
        }
    }
    hd_strmap_done(&m);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, number_map_agrees_with_an_array);
    ATF_TP_ADD_TC(tp, string_map_agrees_with_an_array);
    return atf_no_error();
}
