/* Dirty regions as a set, and the bytes of their file. */
#include "fs/data/core/dirty.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <atf-c.h>

#define MIB ((uint64_t)HD_DIRTY_REGION_BYTES)

static const struct hd_block_id id = {1073741825};

ATF_TC_WITHOUT_HEAD(bytes_set_the_regions_they_touch);
ATF_TC_BODY(bytes_set_the_regions_they_touch, tc)
{
    struct hd_dirty d = {0};
    ATF_CHECK(hd_dirty_has(&d, 5, 5));
    ATF_CHECK(!hd_dirty_has(&d, 5, 6));
    ATF_CHECK_EQ(hd_dirty_add(&d, MIB - 1, MIB + 1), 1);
    ATF_CHECK_EQ(hd_dirty_add(&d, 0, 2 * MIB), 0);
    ATF_CHECK_EQ(d.count, 2);
    ATF_CHECK(!hd_dirty_has(&d, 2 * MIB - 1, 2 * MIB + 1));
    ATF_CHECK_EQ(hd_dirty_add(&d, 9 * MIB, 9 * MIB + 1), 1);
    ATF_CHECK(!hd_dirty_has(&d, 8 * MIB, 9 * MIB));
    ATF_CHECK(hd_dirty_has(&d, 9 * MIB, 10 * MIB));
    ATF_CHECK_EQ(hd_dirty_add(&d, 0, (HD_DIRTY_REGIONS_MAX + 1) * MIB), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(d.count, 10);
    hd_dirty_done(&d);
}

/* Runs against a plain array of flags. */
ATF_TC_WITHOUT_HEAD(runs_are_those_of_a_list_of_flags);
ATF_TC_BODY(runs_are_those_of_a_list_of_flags, tc)
{
    enum { REGIONS = 40 };
    struct hd_prng r = {1};
    for (int round = 0; round < 200; round++) {
        struct hd_dirty d = {0};
        bool want[REGIONS] = {false};
        bool got[REGIONS] = {false};
        for (uint64_t n = hd_prng_below(&r, 12); n > 0; n--) {
            uint64_t at = hd_prng_below(&r, REGIONS);
            want[at] = true;
            ATF_REQUIRE(hd_dirty_add(&d, at * MIB, at * MIB + 1) >= 0);
        }
        uint64_t size = hd_prng_below(&r, REGIONS * MIB) + 1;
        uint64_t from = 0;
        uint64_t to = 0;
        while (hd_dirty_next(&d, to, size, &from, &to)) {
            ATF_REQUIRE(from % MIB == 0 && (to % MIB == 0 || to == size) && to <= size);
            for (uint64_t at = from; at < to; at += MIB) {
                ATF_CHECK(!got[at / MIB]);
                got[at / MIB] = true;
            }
        }
        for (uint64_t i = 0; i < REGIONS; i++) {
            ATF_CHECK_EQ(got[i], want[i] && i * MIB < size);
        }
        hd_dirty_done(&d);
    }
}

ATF_TC_WITHOUT_HEAD(a_union_has_the_bits_of_both);
ATF_TC_BODY(a_union_has_the_bits_of_both, tc)
{
    struct hd_dirty a = {0};
    struct hd_dirty b = {0};
    ATF_REQUIRE_EQ(hd_dirty_add(&a, 0, 1), 1);
    ATF_REQUIRE_EQ(hd_dirty_add(&b, 20 * MIB, 21 * MIB), 1);
    ATF_REQUIRE_EQ(hd_dirty_add_bits(&a, b.bits, b.count), 0);
    ATF_CHECK(hd_dirty_has(&a, 0, 1) && hd_dirty_has(&a, 20 * MIB, 21 * MIB));
    ATF_CHECK(!hd_dirty_has(&a, MIB, MIB + 1));
    ATF_CHECK_EQ(hd_dirty_add_bits(&a, NULL, 0), 0);
    hd_dirty_done(&a);
    hd_dirty_done(&b);
}

static void encode(struct hd_buf *out, uint64_t last_region)
{
    struct hd_dirty_header h = {.id = id,
                                .since = {1234},
                                .sum_type = HD_CHECKSUM_CRC32C,
                                .bytes_per_checksum = 512,
                                .boot_id = {1, 2, 3}};
    struct hd_dirty d = {0};
    ATF_REQUIRE(hd_dirty_add(&d, last_region * MIB, last_region * MIB + 1) > 0);
    ATF_REQUIRE_EQ(hd_dirty_encode(&h, &d, out), 0);
    hd_dirty_done(&d);
}

ATF_TC_WITHOUT_HEAD(the_file_is_as_documented);
ATF_TC_BODY(the_file_is_as_documented, tc)
{
    struct hd_buf b = {0};
    struct hd_dirty_header h;
    struct hd_dirty d;
    encode(&b, 9);
    ATF_REQUIRE_EQ(b.size, 56 + 2 + 4);
    ATF_CHECK_EQ(memcmp(b.data, "HDdirty\n\0\1\2\0\0\0\2\0\1\2\3\0", 20), 0);
    ATF_CHECK_EQ(hd_get_be64(b.data + 32), id.v);
    ATF_CHECK_EQ(hd_get_be64(b.data + 40), 1234);
    ATF_CHECK_EQ(hd_get_be32(b.data + 48), 1048576);
    ATF_CHECK_EQ(hd_get_be32(b.data + 52), 10);
    ATF_CHECK(b.data[56] == 0 && b.data[57] == 2);
    ATF_REQUIRE_EQ(hd_dirty_decode(b.data, b.size, id, &h, &d), 0);
    ATF_CHECK(h.since.v == 1234 && h.sum_type == 2 && h.bytes_per_checksum == 512);
    ATF_CHECK(hd_dirty_has(&d, 9 * MIB, 10 * MIB) && !hd_dirty_has(&d, 0, MIB));
    hd_dirty_done(&d);
    hd_buf_done(&b);
}

ATF_TC_WITHOUT_HEAD(every_flipped_bit_and_every_length_is_noticed);
ATF_TC_BODY(every_flipped_bit_and_every_length_is_noticed, tc)
{
    struct hd_buf b = {0};
    struct hd_dirty_header h;
    struct hd_dirty d = {0};
    encode(&b, 9);
    for (size_t bit = 0; bit < b.size * 8; bit++) {
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ATF_CHECK_EQ(hd_dirty_decode(b.data, b.size, id, &h, &d), -HD_E_CORRUPT);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (size_t size = 0; size < b.size; size++) {
        ATF_CHECK_EQ(hd_dirty_decode(b.data, size, id, &h, &d), -HD_E_CORRUPT);
    }
    ATF_REQUIRE_EQ(hd_buf_add_u8(&b, 0), 0);
    ATF_CHECK_EQ(hd_dirty_decode(b.data, b.size, id, &h, &d), -HD_E_CORRUPT);
    ATF_CHECK_EQ(hd_dirty_decode(b.data, b.size - 1, (struct hd_block_id){7}, &h, &d),
                 -HD_E_CORRUPT);
    hd_buf_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, bytes_set_the_regions_they_touch);
    ATF_TP_ADD_TC(tp, runs_are_those_of_a_list_of_flags);
    ATF_TP_ADD_TC(tp, a_union_has_the_bits_of_both);
    ATF_TP_ADD_TC(tp, the_file_is_as_documented);
    ATF_TP_ADD_TC(tp, every_flipped_bit_and_every_length_is_noticed);
    return atf_no_error();
}
