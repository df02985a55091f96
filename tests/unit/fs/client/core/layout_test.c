/* Blocks, chunks and packets as numbers. */
#include "fs/base/prng.h"
#include "fs/client/core/layout.h"

#include <atf-c.h>

ATF_TC_WITHOUT_HEAD(an_offset_finds_its_block);
ATF_TC_BODY(an_offset_finds_its_block, tc)
{
    static const struct hd_extent e[] = {{0, 100}, {100, 50}, {150, 0}, {150, 10}};
    ATF_CHECK_EQ(hd_extent_find(e, 4, 0), 0);
    ATF_CHECK_EQ(hd_extent_find(e, 4, 99), 0);
    ATF_CHECK_EQ(hd_extent_find(e, 4, 100), 1);
    ATF_CHECK_EQ(hd_extent_find(e, 4, 149), 1);
    ATF_CHECK_EQ(hd_extent_find(e, 4, 150), 3);
    ATF_CHECK_EQ(hd_extent_find(e, 4, 160), -1);
    ATF_CHECK_EQ(hd_extent_find(e, 0, 0), -1);
}

ATF_TC_WITHOUT_HEAD(chunks_round_down_and_up);
ATF_TC_BODY(chunks_round_down_and_up, tc)
{
    ATF_CHECK_EQ(hd_chunk_floor(0, 512), 0u);
    ATF_CHECK_EQ(hd_chunk_floor(1023, 512), 512u);
    ATF_CHECK_EQ(hd_chunk_ceil(1, 512), 512u);
    ATF_CHECK_EQ(hd_chunk_ceil(1024, 512), 1024u);
}

ATF_TC_WITHOUT_HEAD(packets_keep_to_the_chunk_grid);
ATF_TC_BODY(packets_keep_to_the_chunk_grid, tc)
{
    ATF_CHECK_EQ(hd_packet_room(0, 1 << 20, 512, 65536), 65536u);
    ATF_CHECK_EQ(hd_packet_room(0, 1 << 20, 512, 65535), 65024u);
    ATF_CHECK_EQ(hd_packet_room(0, 1 << 20, 512, 100), 512u);     /* never less than a chunk */
    ATF_CHECK_EQ(hd_packet_room(1000, 1 << 20, 512, 65536), 24u); /* the rest of a chunk, alone */
    ATF_CHECK_EQ(hd_packet_room(1024, 1536, 512, 65536), 512u);
    ATF_CHECK_EQ(hd_packet_room(1000, 1010, 512, 65536), 10u); /* a block that is no multiple */
    ATF_CHECK_EQ(hd_packet_room(1536, 1536, 512, 65536), 0u);
}

ATF_TC_WITHOUT_HEAD(a_flushed_partial_chunk_is_repeated);
ATF_TC_BODY(a_flushed_partial_chunk_is_repeated, tc)
{
    ATF_CHECK_EQ(hd_packet_keep(0, 1024, 512), 0u);
    ATF_CHECK_EQ(hd_packet_keep(0, 1030, 512), 6u);
    ATF_CHECK_EQ(hd_packet_keep(1024, 1030, 512), 6u);
    ATF_CHECK_EQ(hd_packet_keep(1000, 1010, 512), 10u); /* behind an append: only what is known */
}

ATF_TC_WITHOUT_HEAD(packets_with_flushes_cover_a_block_once);
ATF_TC_BODY(packets_with_flushes_cover_a_block_once, tc)
{
    struct hd_prng prng = {11};
    for (int round = 0; round < 200; round++) {
        uint64_t block = 1 + hd_prng_below(&prng, 5000);
        uint64_t offset = hd_prng_below(&prng, block);
        uint64_t end = offset; /* an append begins anywhere */
        while (end < block) {
            size_t room = hd_packet_room(offset, block, 512, 1024);
            uint64_t kept = end - offset;
            ATF_REQUIRE(room > kept);
            uint64_t n = kept + 1 + hd_prng_below(&prng, room - kept);
            ATF_REQUIRE(offset % 512 == 0 || offset % 512 + n <= 512);
            end = offset + n;
            ATF_REQUIRE(end <= block);
            offset = n == room ? end : end - hd_packet_keep(offset, end, 512);
        }
    }
}

ATF_TC_WITHOUT_HEAD(reading_on_is_sequential);
ATF_TC_BODY(reading_on_is_sequential, tc)
{
    struct hd_sequence s = {.next = 0};
    ATF_CHECK(!hd_sequence_note(&s, 0, 4096, 1 << 20));
    ATF_CHECK(hd_sequence_note(&s, 4096, 4096, 1 << 20));
    ATF_CHECK(!hd_sequence_note(&s, 100 << 20, 4096, 1 << 20));
    ATF_CHECK(hd_sequence_note(&s, 8192, 4096, 1 << 20));
    ATF_CHECK(hd_sequence_note(&s, (100 << 20) + 4096, 4096, 1 << 20));
}

ATF_TC_WITHOUT_HEAD(threads_out_of_order_are_still_sequential);
ATF_TC_BODY(threads_out_of_order_are_still_sequential, tc)
{
    struct hd_sequence s = {.next = 0};
    (void)hd_sequence_note(&s, 0, 131072, 1 << 20);
    ATF_CHECK(hd_sequence_note(&s, 262144, 131072, 1 << 20)); /* one ahead */
    ATF_CHECK(hd_sequence_note(&s, 131072, 131072, 1 << 20)); /* the straggler */
    ATF_CHECK(hd_sequence_note(&s, 393216, 131072, 1 << 20));
    ATF_CHECK(!hd_sequence_note(&s, 3 << 20, 131072, 1 << 20)); /* a jump */
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_offset_finds_its_block);
    ATF_TP_ADD_TC(tp, chunks_round_down_and_up);
    ATF_TP_ADD_TC(tp, packets_keep_to_the_chunk_grid);
    ATF_TP_ADD_TC(tp, a_flushed_partial_chunk_is_repeated);
    ATF_TP_ADD_TC(tp, packets_with_flushes_cover_a_block_once);
    ATF_TP_ADD_TC(tp, reading_on_is_sequential);
    ATF_TP_ADD_TC(tp, threads_out_of_order_are_still_sequential);
    return atf_no_error();
}
