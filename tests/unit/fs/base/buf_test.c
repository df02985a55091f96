/* The byte buffer: growth, ceiling, varints cut anywhere. */
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(what_goes_in_is_there);
ATF_TC_BODY(what_goes_in_is_there, tc)
{
    struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_buf_add_u8(&b, 1), 0);
    ATF_REQUIRE_EQ(hd_buf_add_be16(&b, 0x0203), 0);
    ATF_REQUIRE_EQ(hd_buf_add_be32(&b, 0x04050607), 0);
    ATF_REQUIRE_EQ(hd_buf_add_be64(&b, 0x08090a0b0c0d0e0fu), 0);
    ATF_REQUIRE_EQ(b.size, 15u);
    for (size_t i = 0; i < b.size; i++) {
        ATF_CHECK_EQ(b.data[i], i + 1);
    }
    hd_buf_consume(&b, 14);
    ATF_CHECK_EQ(b.size, 1u);
    ATF_CHECK_EQ(b.data[0], 15);
    hd_buf_clear(&b);
    ATF_REQUIRE_EQ(hd_buf_addf(&b, "%s-%d", "a", 7), 0);
    ATF_CHECK_STREQ(hd_buf_str(&b), "a-7");
    hd_buf_done(&b);
}

ATF_TC_WITHOUT_HEAD(the_ceiling_refuses_and_keeps_the_content);
ATF_TC_BODY(the_ceiling_refuses_and_keeps_the_content, tc)
{
    struct hd_buf b;
    hd_buf_init(&b, 100);
    ATF_REQUIRE_EQ(hd_buf_add(&b, "0123456789", 10), 0);
    char big[91] = {0};
    ATF_CHECK_EQ(hd_buf_add(&b, big, sizeof(big)), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(b.size, 10u);
    ATF_CHECK_EQ(hd_buf_add(&b, big, 90), 0);
    ATF_CHECK_EQ(b.size, 100u);
    ATF_CHECK_EQ(hd_buf_add_u8(&b, 0), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(hd_buf_reserve(&b, SIZE_MAX), -HD_E_TOO_LARGE);
    hd_buf_done(&b);
}

ATF_TC_WITHOUT_HEAD(varints_survive_and_wait_for_more_bytes);
ATF_TC_BODY(varints_survive_and_wait_for_more_bytes, tc)
{
    struct hd_prng prng = {1};
    for (int i = 0; i < 10000; i++) {
        uint64_t v = hd_prng_next(&prng) >> hd_prng_below(&prng, 64);
        uint8_t bytes[10];
        size_t size = hd_varint_encode(v, bytes);
        ATF_REQUIRE_EQ(size, hd_varint_size(v));
        uint64_t got = 0;
        for (size_t cut = 0; cut < size; cut++) {
            ATF_REQUIRE_EQ(hd_varint_decode(bytes, cut, &got), 0);
        }
        ATF_REQUIRE_EQ(hd_varint_decode(bytes, size, &got), (int)size);
        ATF_REQUIRE_EQ(got, v);
    }
    uint8_t endless[11] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    uint64_t v;
    ATF_CHECK_EQ(hd_varint_decode(endless, sizeof(endless), &v), -HD_E_BAD_MESSAGE);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_goes_in_is_there);
    ATF_TP_ADD_TC(tp, the_ceiling_refuses_and_keeps_the_content);
    ATF_TP_ADD_TC(tp, varints_survive_and_wait_for_more_bytes);
    return atf_no_error();
}
