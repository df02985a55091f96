/* Checksums against the check values of the protocol (docs/protocol.md) and against themselves. */
#include "fs/base/crc.h"
#include "fs/base/prng.h"

#include <atf-c.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(check_values);
ATF_TC_BODY(check_values, tc)
{
    ATF_CHECK_EQ(hd_crc32(0, "123456789", 9), 0xcbf43926u);
    ATF_CHECK_EQ(hd_crc32c(0, "123456789", 9), 0xe3069283u);
    ATF_CHECK_EQ(hd_crc32c(0, "hello", 5), 0x9a71bb4cu);
    ATF_CHECK_EQ(hd_crc32(0, "hello", 5), 0x3610a686u);
    ATF_CHECK_EQ(hd_crc32c(0, "hello world", 11), 0xc99465aau);
    ATF_CHECK_EQ(hd_crc32c(hd_crc32c(0, "hello ", 6), "world", 5), 0xc99465aau);
}

ATF_TC_WITHOUT_HEAD(combining_equals_the_whole);
ATF_TC_BODY(combining_equals_the_whole, tc)
{
    uint8_t data[3000];
    struct hd_prng prng = {3};
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)hd_prng_next(&prng);
    }
    for (int type = HD_CHECKSUM_CRC32; type <= HD_CHECKSUM_CRC32C; type++) {
        for (int i = 0; i < 200; i++) {
            size_t cut = hd_prng_below(&prng, sizeof(data) + 1);
            uint32_t a = hd_checksum((enum hd_checksum_type)type, data, cut);
            uint32_t b = hd_checksum((enum hd_checksum_type)type, data + cut, sizeof(data) - cut);
            ATF_CHECK_EQ(hd_checksum_combine((enum hd_checksum_type)type, a, b, sizeof(data) - cut),
                         hd_checksum((enum hd_checksum_type)type, data, sizeof(data)));
        }
    }
}

ATF_TC_WITHOUT_HEAD(a_flipped_bit_is_found_in_its_chunk);
ATF_TC_BODY(a_flipped_bit_is_found_in_its_chunk, tc)
{
    uint8_t data[1300] = {1, 2, 3};
    uint8_t sums[12];
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data, sizeof(data), sums);
    ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, data, sizeof(data), sums), -1);
    for (size_t at = 0; at < sizeof(data); at += 111) {
        data[at] ^= 0x10;
        ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, data, sizeof(data), sums),
                     (int64_t)(at / 512));
        data[at] ^= 0x10;
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, check_values);
    ATF_TP_ADD_TC(tp, combining_equals_the_whole);
    ATF_TP_ADD_TC(tp, a_flipped_bit_is_found_in_its_chunk);
    return atf_no_error();
}
