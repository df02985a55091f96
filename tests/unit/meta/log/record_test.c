/* Frames of records and headers of segments: what decodes, and what must not. */
#include "meta/log/record.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

#include <atf-c.h>

static void make(struct hd_buf *b, uint64_t txid, uint64_t durable, const char *payload)
{
    const struct hd_record r = {{txid}, {durable}, (const uint8_t *)payload, strlen(payload)};
    ATF_REQUIRE_EQ(hd_record_encode(b, &r), 0);
}

ATF_TC_WITHOUT_HEAD(record_comes_back);
ATF_TC_BODY(record_comes_back, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    struct hd_record r;
    size_t bytes;
    make(&b, 7, 3, "payload");
    ATF_REQUIRE_EQ(hd_record_decode(b.data, b.size, &r, &bytes), HD_RECORD_GOOD);
    ATF_CHECK_EQ(bytes, b.size);
    ATF_CHECK_EQ(r.txid.v, 7);
    ATF_CHECK_EQ(r.durable.v, 3);
    ATF_CHECK_EQ(r.size, 7);
    ATF_CHECK_EQ(memcmp(r.data, "payload", 7), 0);
}

ATF_TC_WITHOUT_HEAD(layout_is_the_documented_one);
ATF_TC_BODY(layout_is_the_documented_one, tc)
{
    static const uint8_t want[] = {
        3,    0,    0,    0,                /* size */
        2,    1,    0,    0,    0, 0, 0, 0, /* txid 0x102 */
        1,    1,    0,    0,    0, 0, 0, 0, /* durable 0x101 */
        0x1a, 0x8f, 0x44, 0x42,             /* header sum */
        0xa0, 0xf6, 0x11, 0xed,             /* sum */
        'a',  'b',  'c',  0xed,
    };
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    make(&b, 0x102, 0x101, "abc");
    ATF_REQUIRE_EQ(b.size, sizeof(want));
    for (size_t i = 0; i < sizeof(want); i++) {
        ATF_CHECK_EQ_MSG(b.data[i], want[i], "byte %zu is %02x", i, b.data[i]);
    }
}

ATF_TC_WITHOUT_HEAD(every_flipped_bit_is_seen);
ATF_TC_BODY(every_flipped_bit_is_seen, tc)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    make(&b, 9, 8, "some payload of a record");
    for (size_t bit = 0; bit < b.size * 8; bit++) {
        struct hd_record r;
        size_t bytes;
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ATF_CHECK(hd_record_decode(b.data, b.size, &r, &bytes) != HD_RECORD_GOOD);
        b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

ATF_TC_WITHOUT_HEAD(every_prefix_is_short_and_zeros_are_nothing);
ATF_TC_BODY(every_prefix_is_short_and_zeros_are_nothing, tc)
{
    static const uint8_t zeros[100];
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    struct hd_record r;
    size_t bytes;
    make(&b, 9, 8, "some payload of a record");
    for (size_t n = 1; n < b.size; n++) {
        ATF_CHECK_EQ(hd_record_decode(b.data, n, &r, &bytes), HD_RECORD_SHORT);
        ATF_CHECK_EQ(bytes, n < HD_RECORD_HEADER_BYTES ? 0 : b.size);
    }
    ATF_CHECK_EQ(hd_record_decode(zeros, sizeof(zeros), &r, &bytes), HD_RECORD_ZERO);
    ATF_CHECK_EQ(hd_record_decode(zeros, 3, &r, &bytes), HD_RECORD_ZERO);
}

ATF_TC_WITHOUT_HEAD(segment_header_names_version_cluster_and_txid);
ATF_TC_BODY(segment_header_names_version_cluster_and_txid, tc)
{
    uint8_t h[HD_SEGMENT_HEADER_BYTES];
    hd_segment_header_encode(h, "CID-1", (struct hd_txid){42});
    ATF_CHECK_EQ(hd_segment_header_check(h, "CID-1", (struct hd_txid){42}), 0);
    ATF_CHECK_EQ(hd_segment_header_check(h, "CID-2", (struct hd_txid){42}),
                 -HD_E_INCORRECT_VERSION);
    ATF_CHECK_EQ(hd_segment_header_check(h, "CID-1", (struct hd_txid){43}), -HD_E_CORRUPT);
    for (size_t bit = 0; bit < sizeof(h) * 8; bit++) {
        h[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ATF_CHECK_EQ(hd_segment_header_check(h, "CID-1", (struct hd_txid){42}), -HD_E_CORRUPT);
        h[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, record_comes_back);
    ATF_TP_ADD_TC(tp, layout_is_the_documented_one);
    ATF_TP_ADD_TC(tp, every_flipped_bit_is_seen);
    ATF_TP_ADD_TC(tp, every_prefix_is_short_and_zeros_are_nothing);
    ATF_TP_ADD_TC(tp, segment_header_names_version_cluster_and_txid);
    return atf_no_error();
}
