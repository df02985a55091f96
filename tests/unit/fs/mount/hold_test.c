/* The hold against a plain array of bytes: random writes, cuts and giving away. */
#include "fs/mount/hold.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <errno.h>
#include <string.h>

enum { FILE_BYTES = 4096, STEPS = 20000 };

ATF_TC_WITHOUT_HEAD(hold_agrees_with_an_array);
ATF_TC_BODY(hold_agrees_with_an_array, tc)
{
    static uint8_t model[FILE_BYTES];
    struct hd_prng prng = {11};
    struct hd_hold h;
    uint64_t end = 100;
    uint64_t given = 100;
    hd_hold_init(&h, 100);
    for (int i = 0; i < STEPS; i++) {
        uint8_t data[64];
        uint8_t got[64];
        size_t size = (size_t)hd_prng_below(&prng, sizeof(data)) + 1;
        uint64_t at = hd_prng_below(&prng, end + 2);
        size_t done = 0;
        memset(data, (int)hd_prng_below(&prng, 256), sizeof(data));
        switch (hd_prng_below(&prng, 8)) {
        case 0:
            hd_hold_given(&h);
            given = end;
            break;
        case 1:
            if (hd_hold_cut(&h, at)) {
                ATF_REQUIRE(at >= given && at <= end);
                end = at;
            } else {
                ATF_REQUIRE(at < given || at > end);
            }
            break;
        case 2:
        case 3:
            if (end + size <= FILE_BYTES) {
                ATF_REQUIRE_EQ(hd_hold_append(&h, data, size), 0);
                memcpy(model + end, data, size);
                end += size;
            } else {
                hd_hold_done(&h);
                hd_hold_init(&h, 100);
                end = given = 100;
            }
            break;
        case 4:
        case 5:
            if (at < given) {
                ATF_REQUIRE_EQ(hd_hold_patch(&h, data, size, at, &done), -EOPNOTSUPP);
                ATF_REQUIRE_EQ(done, 0);
            } else {
                ATF_REQUIRE_EQ(hd_hold_patch(&h, data, size, at, &done), 0);
                ATF_REQUIRE_EQ(done, at < end ? HD_MIN(size, (size_t)(end - at)) : 0);
                memcpy(model + at, data, done);
            }
            break;
        default:
            done = hd_hold_read(&h, got, size, at);
            ATF_REQUIRE_EQ(done, at >= given && at < end ? HD_MIN(size, (size_t)(end - at)) : 0);
            ATF_REQUIRE_EQ(memcmp(got, model + at, done), 0);
            break;
        }
        ATF_REQUIRE_EQ(hd_hold_end(&h), end);
        ATF_REQUIRE_EQ(h.offset, given);
    }
    hd_hold_done(&h);
}

ATF_TC_WITHOUT_HEAD(appending_nothing_but_zeros_grows_with_zeros);
ATF_TC_BODY(appending_nothing_but_zeros_grows_with_zeros, tc)
{
    struct hd_hold h;
    uint8_t got[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    hd_hold_init(&h, 0);
    ATF_REQUIRE_EQ(hd_hold_append(&h, NULL, 0), 0);
    ATF_REQUIRE_EQ(hd_hold_append(&h, NULL, 5), 0);
    ATF_REQUIRE_EQ(hd_hold_read(&h, got, 8, 0), 5);
    ATF_CHECK_EQ(memcmp(got, "\0\0\0\0\0\1\1\1", 8), 0);
    hd_hold_done(&h);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, hold_agrees_with_an_array);
    ATF_TP_ADD_TC(tp, appending_nothing_but_zeros_grows_with_zeros);
    return atf_no_error();
}
