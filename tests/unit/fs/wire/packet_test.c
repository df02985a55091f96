/* Packet headers against reference bytes and against the .proto. */
#include "fs/wire/packet.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "data_transfer.pb-c.h"

#include <atf-c.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t hello[] = {0x00, 0x00, 0x00, 0x0d, 0x00, 0x19, 0x09, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0x00, 0x00, 0x11, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
                                0x00, 0x00, 0x18, 0x00, 0x25, 0x05, 0x00, 0x00, 0x00};
static const uint8_t last[] = {0x00, 0x00, 0x00, 0x04, 0x00, 0x19, 0x09, 0x05, 0x00, 0x00, 0x00,
                               0x00, 0x00, 0x00, 0x00, 0x11, 0x01, 0x00, 0x00, 0x00, 0x00, 0x00,
                               0x00, 0x00, 0x18, 0x01, 0x25, 0x00, 0x00, 0x00, 0x00};
static const uint8_t heartbeat[] = {0x00, 0x00, 0x00, 0x04, 0x00, 0x1b, 0x09, 0x00, 0x00,
                                    0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x11, 0xff, 0xff,
                                    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x18, 0x00, 0x25,
                                    0x00, 0x00, 0x00, 0x00, 0x28, 0x00};

static struct hd_packet decode(const uint8_t *in, size_t size)
{
    struct hd_packet p;
    uint32_t payload;
    int n = hd_packet_decode_lengths(in, &payload);
    ATF_REQUIRE_EQ((size_t)n + HD_PACKET_LENGTHS_BYTES, size);
    ATF_REQUIRE_EQ(hd_packet_decode(in + HD_PACKET_LENGTHS_BYTES, (size_t)n, payload, &p), 0);
    return p;
}

static void check_same(const struct hd_packet *a, const struct hd_packet *b)
{
    ATF_CHECK_EQ(a->offset_bytes, b->offset_bytes);
    ATF_CHECK_EQ(a->seqno, b->seqno);
    ATF_CHECK_EQ(a->data_bytes, b->data_bytes);
    ATF_CHECK_EQ(a->sums_bytes, b->sums_bytes);
    ATF_CHECK_EQ(a->last, b->last);
    ATF_CHECK_EQ(a->sync, b->sync);
}

ATF_TC_WITHOUT_HEAD(reference_packets_encode_to_their_bytes);
ATF_TC_BODY(reference_packets_encode_to_their_bytes, tc)
{
    uint8_t out[HD_PACKET_HEADER_MAX_BYTES];
    struct hd_packet p = {.data_bytes = 5, .sums_bytes = 4};
    ATF_REQUIRE_EQ(hd_packet_encode(&p, out), sizeof(hello));
    ATF_CHECK_EQ(memcmp(out, hello, sizeof(hello)), 0);
    struct hd_packet end = {.offset_bytes = 5, .seqno = 1, .last = true};
    ATF_REQUIRE_EQ(hd_packet_encode(&end, out), sizeof(last));
    ATF_CHECK_EQ(memcmp(out, last, sizeof(last)), 0);
}

ATF_TC_WITHOUT_HEAD(reference_packets_decode);
ATF_TC_BODY(reference_packets_decode, tc)
{
    struct hd_packet p = decode(hello, sizeof(hello));
    check_same(&p, &(struct hd_packet){.data_bytes = 5, .sums_bytes = 4});
    p = decode(last, sizeof(last));
    check_same(&p, &(struct hd_packet){.offset_bytes = 5, .seqno = 1, .last = true});
    p = decode(heartbeat, sizeof(heartbeat));
    check_same(&p, &(struct hd_packet){.seqno = HD_PACKET_HEARTBEAT_SEQNO});
}

ATF_TC_WITHOUT_HEAD(headers_agree_with_the_proto);
ATF_TC_BODY(headers_agree_with_the_proto, tc)
{
    struct hd_prng prng = {11};
    for (int i = 0; i < 20000; i++) {
        struct hd_packet p = {
            .offset_bytes = (int64_t)(hd_prng_next(&prng) >> (1 + hd_prng_below(&prng, 62))),
            .seqno = (int64_t)hd_prng_next(&prng),
            .data_bytes = (uint32_t)hd_prng_below(&prng, 1 << 20),
            .sums_bytes = (uint32_t)hd_prng_below(&prng, 8192),
            .last = hd_prng_below(&prng, 2) == 0,
            .sync = hd_prng_below(&prng, 2) == 0,
        };
        uint8_t out[HD_PACKET_HEADER_MAX_BYTES];
        size_t size = hd_packet_encode(&p, out);
        Hdw__PacketHeader *h = hdw__packet_header__unpack(NULL, size - HD_PACKET_LENGTHS_BYTES,
                                                          out + HD_PACKET_LENGTHS_BYTES);
        ATF_REQUIRE(h != NULL);
        ATF_CHECK_EQ(h->offset_in_block, p.offset_bytes);
        ATF_CHECK_EQ(h->seqno, p.seqno);
        ATF_CHECK_EQ(h->last_packet_in_block != 0, p.last);
        ATF_CHECK_EQ((uint32_t)h->data_len, p.data_bytes);
        ATF_CHECK_EQ(h->has_sync_block && h->sync_block, p.sync);
        uint8_t again[64];
        ATF_REQUIRE_EQ(hdw__packet_header__pack(h, again), size - HD_PACKET_LENGTHS_BYTES);
        ATF_CHECK_EQ(memcmp(again, out + HD_PACKET_LENGTHS_BYTES, size - HD_PACKET_LENGTHS_BYTES),
                     0);
        hdw__packet_header__free_unpacked(h, NULL);
        struct hd_packet back = decode(out, size);
        check_same(&back, &p);
    }
}

ATF_TC_WITHOUT_HEAD(fields_may_come_in_any_order_and_unknown_ones_are_skipped);
ATF_TC_BODY(fields_may_come_in_any_order_and_unknown_ones_are_skipped, tc)
{
    static const uint8_t header[] = {
        0x25, 7,    0,    0,    0,             /* data_bytes */
        0x7a, 2,    0xaa, 0xbb,                /* field 15, bytes */
        0x18, 0,                               /* last */
        0x70, 0x96, 0x01,                      /* field 14, varint */
        0x11, 3,    0,    0,    0, 0, 0, 0, 0, /* seqno */
        0x09, 9,    0,    0,    0, 0, 0, 0, 0, /* offset */
        0x18, 1,    0x18, 0,                   /* last again: the last one counts */
    };
    struct hd_packet p;
    ATF_REQUIRE_EQ(hd_packet_decode(header, sizeof(header), 11, &p), 0);
    check_same(
        &p, &(struct hd_packet){.offset_bytes = 9, .seqno = 3, .data_bytes = 7, .sums_bytes = 4});
}

ATF_TC_WITHOUT_HEAD(what_does_not_fit_is_refused);
ATF_TC_BODY(what_does_not_fit_is_refused, tc)
{
    struct hd_packet p;
    uint32_t payload;
    const uint8_t *h = hello + HD_PACKET_LENGTHS_BYTES;
    ATF_CHECK_EQ(hd_packet_decode(h, 25, 4, &p), -HD_E_BAD_MESSAGE); /* more data than payload */
    for (size_t size = 0; size < 25; size++) { /* cut anywhere: required fields are missing */
        ATF_CHECK_EQ(hd_packet_decode(h, size, 9, &p), -HD_E_BAD_MESSAGE);
    }
    uint8_t lengths[HD_PACKET_LENGTHS_BYTES] = {0x01, 0x00, 0x00, 0x01, 0x00, 0x19};
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), -HD_E_TOO_LARGE);
    lengths[0] = 0xff;
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), -HD_E_TOO_LARGE);
    memcpy(lengths, "\0\0\0\3\0\x19", 6);
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), -HD_E_BAD_MESSAGE);
    memcpy(lengths, "\0\0\0\4\0\0", 6);
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), -HD_E_BAD_MESSAGE);
    memcpy(lengths, "\0\0\0\4\1\1", 6);
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), -HD_E_BAD_MESSAGE);
    memcpy(lengths, "\1\0\0\0\0\x19", 6);
    ATF_CHECK_EQ(hd_packet_decode_lengths(lengths, &payload), 25);
    ATF_CHECK_EQ(payload, 16777212u);
}

ATF_TC_WITHOUT_HEAD(of_a_field_sent_twice_the_last_counts);
ATF_TC_BODY(of_a_field_sent_twice_the_last_counts, tc)
{
    uint8_t header[9 + 25] = {0x09, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}; /* offset -1 */
    uint8_t good[HD_PACKET_HEADER_MAX_BYTES];
    struct hd_packet p = {.offset_bytes = 512, .seqno = 3, .data_bytes = 5, .sums_bytes = 4};
    struct hd_packet got;
    ATF_REQUIRE_EQ(hd_packet_encode(&p, good), HD_PACKET_LENGTHS_BYTES + 25u);
    memcpy(header + 9, good + HD_PACKET_LENGTHS_BYTES, 25);
    ATF_REQUIRE_EQ(hd_packet_decode(header, sizeof(header), 9, &got), 0);
    ATF_CHECK_EQ(got.offset_bytes, 512);
    ATF_CHECK(hd_packet_decode(header, 9, 9, &got) < 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, of_a_field_sent_twice_the_last_counts);
    ATF_TP_ADD_TC(tp, reference_packets_encode_to_their_bytes);
    ATF_TP_ADD_TC(tp, reference_packets_decode);
    ATF_TP_ADD_TC(tp, headers_agree_with_the_proto);
    ATF_TP_ADD_TC(tp, fields_may_come_in_any_order_and_unknown_ones_are_skipped);
    ATF_TP_ADD_TC(tp, what_does_not_fit_is_refused);
    return atf_no_error();
}
