/* Packets in flight, and acknowledgements byte by byte. */
#include "fs/data/core/pipeline.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(packets_leave_in_the_order_they_came);
ATF_TC_BODY(packets_leave_in_the_order_they_came, tc)
{
    static struct hd_pipeline p;
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < HD_PIPELINE_PACKETS_MAX; i++) {
            ATF_REQUIRE(!hd_pipeline_full(&p));
            hd_pipeline_push(&p, &(struct hd_pipeline_packet){.seqno = i, .last = i == 7});
        }
        ATF_REQUIRE(hd_pipeline_full(&p));
        for (int i = 0; i < HD_PIPELINE_PACKETS_MAX; i++) {
            ATF_REQUIRE(!hd_pipeline_first(&p)->written);
            hd_pipeline_mark_written(&p);
            ATF_REQUIRE(hd_pipeline_first(&p)->written);
            ATF_REQUIRE_EQ(hd_pipeline_first(&p)->seqno, i);
            hd_pipeline_pop(&p);
        }
        ATF_REQUIRE(hd_pipeline_empty(&p));
    }
}

/* docs/protocol.md has this acknowledgement without the time; Hadoop's nodes always write it. */
ATF_TC_WITHOUT_HEAD(the_acknowledgement_of_two_nodes_has_hadoops_bytes);
ATF_TC_BODY(the_acknowledgement_of_two_nodes_has_hadoops_bytes, tc)
{
    static const uint8_t want[] = {0x0c, 0x08, 0x00, 0x10, 0x00, 0x10, 0x00,
                                   0x18, 0x00, 0x22, 0x02, 0x00, 0x00};
    struct hd_ack below = {.count = 1};
    struct hd_ack a;
    uint8_t out[HD_ACK_BYTES_MAX];
    hd_ack_join(0, HD_ACK_SUCCESS, &below, 0, &a);
    ATF_REQUIRE_EQ(hd_ack_encode(&a, out), sizeof(want));
    ATF_CHECK_EQ(memcmp(out, want, sizeof(want)), 0);
    ATF_CHECK(hd_ack_all_well(&a));
}

ATF_TC_WITHOUT_HEAD(a_broken_mirror_is_two_replies_without_a_packet);
ATF_TC_BODY(a_broken_mirror_is_two_replies_without_a_packet, tc)
{
    static const uint8_t want[] = {0x0c, 0x08, 0x03, 0x10, 0x00, 0x10, 0x01,
                                   0x18, 0x00, 0x22, 0x02, 0x00, 0x01};
    struct hd_ack a;
    uint8_t out[HD_ACK_BYTES_MAX];
    hd_ack_mirror_broken(&a);
    ATF_REQUIRE_EQ(hd_ack_encode(&a, out), sizeof(want));
    ATF_CHECK_EQ(memcmp(out, want, sizeof(want)), 0);
    ATF_CHECK(!hd_ack_all_well(&a));
}

ATF_TC_WITHOUT_HEAD(what_is_encoded_decodes_again);
ATF_TC_BODY(what_is_encoded_decodes_again, tc)
{
    struct hd_prng prng = {11};
    for (int round = 0; round < 2000; round++) {
        struct hd_ack a = {.seqno = (int64_t)hd_prng_next(&prng) >> (round % 64),
                           .downstream_ns = hd_prng_next(&prng) >> (round % 64),
                           .count = 1 + (int)hd_prng_below(&prng, HD_PIPELINE_NODES_MAX)};
        for (int i = 0; i < a.count; i++) {
            a.reply[i] = (uint8_t)hd_prng_below(&prng, 14);
            a.flag[i] = (uint32_t)hd_prng_below(&prng, 512);
        }
        uint8_t out[HD_ACK_BYTES_MAX];
        struct hd_ack b;
        size_t n = hd_ack_encode(&a, out);
        uint64_t size;
        int head = hd_varint_decode(out, n, &size);
        ATF_REQUIRE_EQ((size_t)head + size, n);
        ATF_REQUIRE_EQ(hd_ack_decode(out + head, (size_t)size, &b), 0);
        ATF_REQUIRE(b.seqno == a.seqno && b.count == a.count && b.downstream_ns == a.downstream_ns);
        ATF_REQUIRE_EQ(memcmp(a.reply, b.reply, (size_t)a.count), 0);
        ATF_REQUIRE_EQ(memcmp(a.flag, b.flag, (size_t)a.count * sizeof(a.flag[0])), 0);
        for (size_t cut = 0; cut < size;
             cut++) { /* cut anywhere: an answer or an error, no crash */
            hd_ack_decode(out + head, cut, &b);
        }
    }
}

ATF_TC_WITHOUT_HEAD(flags_are_made_from_replies_when_there_are_none);
ATF_TC_BODY(flags_are_made_from_replies_when_there_are_none, tc)
{
    static const uint8_t in[] = {0x08, 0x02, 0x10, 0x00, 0x10, 0x01};
    static const uint8_t packed[] = {0x08, 0x02, 0x12, 0x02, 0x00, 0x01, 0x7a, 0x01, 0xff};
    static const uint8_t no_seqno[] = {0x10, 0x00};
    struct hd_ack a;
    ATF_REQUIRE_EQ(hd_ack_decode(in, sizeof(in), &a), 0);
    ATF_CHECK(a.seqno == 1 && a.count == 2 && a.reply[1] == HD_ACK_ERROR && a.flag[1] == 1);
    ATF_REQUIRE_EQ(hd_ack_decode(packed, sizeof(packed), &a), 0);
    ATF_CHECK(a.count == 2 && a.reply[1] == HD_ACK_ERROR);
    ATF_CHECK_EQ(hd_ack_decode(no_seqno, sizeof(no_seqno), &a), -HD_E_BAD_MESSAGE);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, packets_leave_in_the_order_they_came);
    ATF_TP_ADD_TC(tp, the_acknowledgement_of_two_nodes_has_hadoops_bytes);
    ATF_TP_ADD_TC(tp, a_broken_mirror_is_two_replies_without_a_packet);
    ATF_TP_ADD_TC(tp, what_is_encoded_decodes_again);
    ATF_TP_ADD_TC(tp, flags_are_made_from_replies_when_there_are_none);
    return atf_no_error();
}
