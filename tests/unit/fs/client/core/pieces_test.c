/* Layouts with holes. */
#include "fs/client/core/pieces.h"

#include <atf-c.h>
#include <errno.h>

static struct hd_pieces layout(void)
{
    struct hd_pieces p = {.items = NULL};
    ATF_REQUIRE(hd_pieces_append(&p, HD_PIECE_BLOCK, 100) != NULL);
    ATF_REQUIRE(hd_pieces_append(&p, HD_PIECE_HOLE, 1000) != NULL);
    ATF_REQUIRE(hd_pieces_append(&p, HD_PIECE_BLOCK, 7) != NULL);
    return p;
}

ATF_TC_WITHOUT_HEAD(an_offset_finds_its_piece);
ATF_TC_BODY(an_offset_finds_its_piece, tc)
{
    struct hd_pieces p = layout();
    ATF_CHECK_EQ(hd_pieces_end(&p), 1107u);
    ATF_CHECK_EQ(hd_pieces_find(&p, 0), &p.items[0]);
    ATF_CHECK_EQ(hd_pieces_find(&p, 99), &p.items[0]);
    ATF_CHECK_EQ(hd_pieces_find(&p, 100), &p.items[1]);
    ATF_CHECK_EQ(hd_pieces_find(&p, 1106), &p.items[2]);
    ATF_CHECK_EQ(hd_pieces_find(&p, 1107), NULL);
    hd_pieces_done(&p);
    ATF_CHECK_EQ(hd_pieces_find(&p, 0), NULL);
    ATF_CHECK_EQ(hd_pieces_end(&p), 0u);
}

static void check_whole(const struct hd_pieces *p, uint64_t end)
{
    uint64_t at = 0;
    for (size_t i = 0; i < p->count; i++) {
        ATF_CHECK_EQ(p->items[i].offset, at);
        ATF_CHECK(p->items[i].size > 0);
        at += p->items[i].size;
    }
    ATF_CHECK_EQ(at, end);
}

ATF_TC_WITHOUT_HEAD(a_piece_of_a_hole_leaves_holes_around_it);
ATF_TC_BODY(a_piece_of_a_hole_leaves_holes_around_it, tc)
{
    static const struct {
        uint64_t offset, size;
        size_t count; /* of pieces then */
    } cases[] = {{100, 1000, 3}, {100, 10, 4}, {1090, 10, 4}, {500, 1, 5}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct hd_pieces p = layout();
        struct hd_piece *at = hd_pieces_carve(&p, cases[i].offset, cases[i].size);
        ATF_REQUIRE(at != NULL);
        ATF_CHECK_EQ(at->offset, cases[i].offset);
        ATF_CHECK_EQ(at->size, cases[i].size);
        ATF_CHECK_EQ(p.count, cases[i].count);
        check_whole(&p, 1107);
        hd_pieces_done(&p);
    }
}

ATF_TC_WITHOUT_HEAD(only_holes_are_carved_and_only_within);
ATF_TC_BODY(only_holes_are_carved_and_only_within, tc)
{
    struct hd_pieces p = layout();
    ATF_CHECK_EQ(hd_pieces_carve(&p, 0, 10), NULL);
    ATF_CHECK_EQ(hd_pieces_carve(&p, 1099, 2), NULL);
    ATF_CHECK_EQ(hd_pieces_carve(&p, 200, 0), NULL);
    ATF_CHECK_EQ(hd_pieces_carve(&p, 2000, 1), NULL);
    ATF_CHECK_EQ(p.count, 3u);
    hd_pieces_done(&p);
}

ATF_TC_WITHOUT_HEAD(a_short_block_grows_into_the_hole_behind_it);
ATF_TC_BODY(a_short_block_grows_into_the_hole_behind_it, tc)
{
    struct hd_pieces p = layout();
    hd_pieces_widen(&p, &p.items[0], 50);
    check_whole(&p, 1107);
    ATF_CHECK_EQ(p.items[0].size, 100u);
    hd_pieces_widen(&p, &p.items[0], 300);
    check_whole(&p, 1107);
    ATF_CHECK_EQ(p.items[0].size, 300u);
    ATF_CHECK_EQ(p.count, 3u);
    hd_pieces_widen(&p, &p.items[0], 1100); /* all of it, and nothing of the block behind it */
    check_whole(&p, 1107);
    ATF_CHECK_EQ(p.count, 2u);
    hd_pieces_widen(&p, &p.items[0], 1101);
    check_whole(&p, 1107);
    hd_pieces_widen(&p, &p.items[1], 100);
    check_whole(&p, 1200);
    hd_pieces_done(&p);
}

ATF_TC_WITHOUT_HEAD(data_and_holes_are_found);
ATF_TC_BODY(data_and_holes_are_found, tc)
{
    struct hd_pieces p = layout();
    uint64_t at = 0;
    ATF_CHECK_EQ(hd_pieces_next(&p, 5, true, &at), 0);
    ATF_CHECK_EQ(at, 5u);
    ATF_CHECK_EQ(hd_pieces_next(&p, 5, false, &at), 0);
    ATF_CHECK_EQ(at, 100u);
    ATF_CHECK_EQ(hd_pieces_next(&p, 300, false, &at), 0);
    ATF_CHECK_EQ(at, 300u);
    ATF_CHECK_EQ(hd_pieces_next(&p, 300, true, &at), 0);
    ATF_CHECK_EQ(at, 1100u);
    ATF_CHECK_EQ(hd_pieces_next(&p, 1100, false, &at), 0); /* the end is a hole */
    ATF_CHECK_EQ(at, 1107u);
    ATF_CHECK_EQ(hd_pieces_next(&p, 1107, false, &at), -ENXIO);
    ATF_CHECK_EQ(hd_pieces_next(&p, 1107, true, &at), -ENXIO);
    p.count = 2; /* a hole at the end */
    ATF_CHECK_EQ(hd_pieces_next(&p, 300, true, &at), -ENXIO);
    hd_pieces_done(&p);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_offset_finds_its_piece);
    ATF_TP_ADD_TC(tp, a_piece_of_a_hole_leaves_holes_around_it);
    ATF_TP_ADD_TC(tp, only_holes_are_carved_and_only_within);
    ATF_TP_ADD_TC(tp, a_short_block_grows_into_the_hole_behind_it);
    ATF_TP_ADD_TC(tp, data_and_holes_are_found);
    return atf_no_error();
}
