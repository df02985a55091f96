/* Packets of a writer: filled in any pieces they carry the right sums. */
#include "fs/base/prng.h"
#include "fs/client/writer.h"

#include <atf-c.h>
#include <stdlib.h>

static void writer_init(struct hd_writer *w)
{
    *w = (struct hd_writer){.chunk_bytes = 512, .type = HD_CHECKSUM_CRC32C};
    hd_list_init(&w->spare);
}

static void writer_done(struct hd_writer *w)
{
    struct hd_list *node;
    while ((node = hd_list_pop_front(&w->spare)) != NULL) {
        hd_wpacket_free(HD_LIST_ENTRY(node, struct hd_wpacket, link));
    }
}

ATF_TC_WITHOUT_HEAD(sums_do_not_depend_on_the_pieces);
ATF_TC_BODY(sums_do_not_depend_on_the_pieces, tc)
{
    static uint8_t data[200000];
    static uint8_t sums[sizeof(data) / 512 * 4 + 4];
    struct hd_prng prng = {5};
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)hd_prng_next(&prng);
    }
    struct hd_writer w;
    writer_init(&w);
    for (int round = 0; round < 50; round++) {
        size_t size = 1 + (size_t)hd_prng_below(&prng, sizeof(data));
        struct hd_wpacket *p = hd_wpacket_get(&w, 0);
        size_t at = 0;
        while (at < size) {
            size_t n = 1 + (size_t)hd_prng_below(&prng, size - at);
            int64_t taken = hd_wpacket_fill(&w, p, data + at, n, size);
            ATF_REQUIRE_EQ(taken, (int64_t)n);
            at += n;
        }
        ATF_REQUIRE_EQ(hd_wpacket_fill(&w, p, data, 10, size), 0); /* full */
        hd_wpacket_seal(&w, p, round);
        hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data, size, sums);
        ATF_REQUIRE(memcmp(p->sums, sums, (size + 511) / 512 * 4) == 0);
        ATF_REQUIRE(memcmp(p->data, data, size) == 0);
        hd_wpacket_put(&w, p);
    }
    ATF_CHECK_EQ(w.spare_count, 1u);
    writer_done(&w);
}

ATF_TC_WITHOUT_HEAD(the_header_tells_what_is_inside);
ATF_TC_BODY(the_header_tells_what_is_inside, tc)
{
    struct hd_writer w;
    writer_init(&w);
    struct hd_wpacket *p = hd_wpacket_get(&w, 1024);
    ATF_REQUIRE_EQ(hd_wpacket_fill(&w, p, "hello", 5, 512), 5);
    p->sync = true;
    hd_wpacket_seal(&w, p, 9);
    uint32_t payload;
    int header = hd_packet_decode_lengths(p->header, &payload);
    struct hd_packet got;
    ATF_REQUIRE(header > 0);
    ATF_REQUIRE_EQ(
        hd_packet_decode(p->header + HD_PACKET_LENGTHS_BYTES, (size_t)header, payload, &got), 0);
    ATF_CHECK_EQ(got.offset_bytes, 1024);
    ATF_CHECK_EQ(got.seqno, 9);
    ATF_CHECK_EQ(got.data_bytes, 5u);
    ATF_CHECK_EQ(got.sums_bytes, 4u);
    ATF_CHECK(got.sync && !got.last);
    hd_wpacket_free(p);
    writer_done(&w);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, sums_do_not_depend_on_the_pieces);
    ATF_TP_ADD_TC(tp, the_header_tells_what_is_inside);
    return atf_no_error();
}
