/* Blocks of files that sessions write: opened at any place, several at once, recovered, cut, grown.
 */
#include "tests/unit/meta/core/blocks.h"

/* ---- opening and closing ---- */

ATF_TC_WITHOUT_HEAD(a_file_is_written_block_by_block);
ATF_TC_BODY(a_file_is_written_block_by_block, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    Hdw__OpenBlocksResponse *o = open_blocks(&b.t, ino);
    ATF_CHECK_EQ(MIB, o->block_size);
    ATF_CHECK(!o->has_content || o->content.len == 0);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    ATF_CHECK(r->fresh);
    ATF_CHECK_EQ(0, r->block->b->num_bytes);
    ATF_CHECK_EQ(MIB, r->limit);
    ATF_CHECK_EQ(NODES, r->block->n_locs);
    set_up(&b.t, r);
    finish(&b.t, ino, r, MIB);
    (void)write_block(&b.t, ino, MIB, 100);
    ATF_CHECK_STREQ("b1048576 b100", layout_of(&b, ino));
    world_check(&b.w);
    Hdw__PosixAttr *a = close_blocks(&b.t, ino);
    ATF_CHECK_EQ(MIB + 100, a->size);
    ATF_CHECK(CALL(&b.w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_finished_block_is_overwritten);
ATF_TC_BODY(a_finished_block_is_overwritten, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB, 100}, 3);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, MIB + 5);
    ATF_CHECK(!r->fresh);
    ATF_CHECK(r->new_stamp > r->block->b->generation_stamp);
    ATF_CHECK_EQ(MIB, r->block->offset);
    ATF_CHECK_EQ(MIB, r->block->b->num_bytes);
    ATF_CHECK_EQ(MIB, r->limit);
    ATF_CHECK_EQ(NODES, r->block->n_locs);
    ATF_CHECK_STREQ("b1048576 o1048576 b100", layout_of(&b, ino));
    world_check(&b.w);
    set_up(&b.t, r);
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f");
    ATF_CHECK_EQ(2 * MIB + 100, l->file_length);
    ATF_CHECK(l->is_last_block_complete);
    ATF_CHECK_EQ(r->new_stamp, l->blocks[1]->b->generation_stamp);
    world_check(&b.w);
    finish(&b.t, ino, r, MIB);
    ATF_CHECK_EQ(2 * MIB + 100, close_blocks(&b.t, ino)->size);
    ATF_CHECK_EQ(NODES, do_locate(&b.w, "/f")->blocks[1]->n_locs);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(closing_the_file_closes_the_blocks_it_names);
ATF_TC_BODY(closing_the_file_closes_the_blocks_it_names, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB}, 2);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r[2];
    Hdw__ExtendedBlock *named[2];
    for (int i = 0; i < 2; i++) {
        r[i] = open_block(&b.t, ino, (uint64_t)i * MIB);
        set_up(&b.t, r[i]);
        named[i] = r[i]->block->b;
        named[i]->has_num_bytes = true;
        named[i]->num_bytes = MIB;
    }
    /* Parked until nodes have told of the blocks; closed once, however often it is looked at. */
    uint64_t token = SEND(&b.t, "closeBlocks", CloseBlocks, close_blocks, .session = b.t.number,
                          .ino = ino, .closing = named, .n_closing = 2);
    for (int i = 0; i < 2; i++) {
        for (size_t n = 0; n < r[i]->block->n_locs; n++) {
            node_received(&b.w, node_of(r[i]->block->locs[n]), named[i]->block_id,
                          named[i]->generation_stamp, MIB);
        }
    }
    ATF_CHECK_EQ(2 * MIB, GOT(&b.t, token, CloseBlocks, close_blocks)->attr->size);
    ATF_CHECK_STREQ("b1048576 b1048576", layout_of(&b, ino));
    world_check(&b.w);
    /* One that is not as it is said to be keeps the file open. */
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *again = open_block(&b.t, ino, 0);
    set_up(&b.t, again);
    again->block->b->has_num_bytes = true;
    again->block->b->num_bytes = MIB - 1;
    Hdw__ExtendedBlock *wrong[] = {again->block->b};
    token = SEND(&b.t, "closeBlocks", CloseBlocks, close_blocks, .session = b.t.number, .ino = ino,
                 .closing = wrong, .n_closing = 1);
    ATF_CHECK(error_of(&b.t, token) < 0);
    ATF_CHECK(!CALL(&b.w, "isFileClosed", IsFileClosed, is_file_closed, .src = S("/f"))->result);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_block_that_nobody_wrote_to_is_whole_again_at_once);
ATF_TC_BODY(a_block_that_nobody_wrote_to_is_whole_again_at_once, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    (void)GOT(&b.t, close_block_send(&b.t, ino, r->block->b, MIB), CloseBlock, close_block);
    ATF_CHECK_EQ(MIB, close_blocks(&b.t, ino)->size);
    ATF_CHECK_EQ(NODES, do_locate(&b.w, "/f")->blocks[0]->n_locs);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_replica_that_was_left_out_does_not_count);
ATF_TC_BODY(a_replica_that_was_left_out_does_not_count, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    ATF_REQUIRE(update_pipeline(&b.t, r->block, r->new_stamp, MIB, 1)->err == 0);
    world_check(&b.w);
    for (size_t n = 1; n < NODES; n++) {
        node_received(&b.w, node_of(r->block->locs[n]), r->block->b->block_id, r->new_stamp, MIB);
    }
    r->block->b->generation_stamp = r->new_stamp;
    (void)GOT(&b.t, close_block_send(&b.t, ino, r->block->b, MIB), CloseBlock, close_block);
    (void)close_blocks(&b.t, ino);
    Hdw__LocatedBlock *l = do_locate(&b.w, "/f")->blocks[0];
    ATF_CHECK_EQ(NODES - 1, l->n_locs);
    for (size_t n = 0; n < l->n_locs; n++) {
        ATF_CHECK(node_of(l->locs[n]) != node_of(r->block->locs[0]));
    }
    struct hd_blk *k = hd_file_block(inode_of(&b, ino), 0);
    ATF_CHECK(k->has_corrupt); /* its node will be told to delete it */
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(an_open_block_is_opened_again_with_another_stamp);
ATF_TC_BODY(an_open_block_is_opened_again_with_another_stamp, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *first = open_block(&b.t, ino, 0);
    Hdw__OpenBlockResponse *second = open_block(&b.t, ino, 10);
    ATF_CHECK_EQ(first->block->b->block_id, second->block->b->block_id);
    ATF_CHECK(second->new_stamp > first->new_stamp);
    ATF_CHECK(!second->fresh);
    set_up(&b.t, second);
    ATF_CHECK(update_pipeline(&b.t, first->block, first->new_stamp, MIB, 0)->err != 0);
    finish(&b.t, ino, second, MIB);
    (void)close_blocks(&b.t, ino);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_fresh_block_whose_answer_was_lost_is_answered_again);
ATF_TC_BODY(a_fresh_block_whose_answer_was_lost_is_answered_again, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *first = open_block(&b.t, ino, 0);
    Hdw__OpenBlockResponse *second = open_block(&b.t, ino, 0);
    ATF_CHECK(second->fresh);
    ATF_CHECK_EQ(first->block->b->block_id, second->block->b->block_id);
    ATF_CHECK_EQ(NODES, second->block->n_locs);
    ATF_CHECK_STREQ("o0", layout_of(&b, ino));
    world_restart(&b.w);
    b.w.m->o.inline_bytes = 4096;
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_fresh_block_is_abandoned_but_none_that_has_data);
ATF_TC_BODY(a_fresh_block_is_abandoned_but_none_that_has_data, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *old = open_block(&b.t, ino, 0);
    Hdw__OpenBlockResponse *fresh = open_block(&b.t, ino, MIB);
    ATF_CHECK_STREQ("o1048576 o0", layout_of(&b, ino));
    Hdw__ExtendedBlock *both[] = {old->block->b, fresh->block->b};
    for (int n = 0; n < 2; n++) {
        ATF_CHECK_EQ(0, abandon_block(&b.t, both[n], "/f"));
    }
    ATF_CHECK_STREQ("o1048576", layout_of(&b, ino));
    ATF_CHECK_EQ(-EBUSY, error_of(&b.t, close_blocks_send(&b.t, ino)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_block_in_the_middle_keeps_its_size);
ATF_TC_BODY(a_block_in_the_middle_keeps_its_size, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){500, 100}, 2);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    ATF_CHECK_EQ(500, r->limit);
    set_up(&b.t, r);
    ATF_CHECK(error_of(&b.t, close_block_send(&b.t, ino, r->block->b, 501)) != 0);
    ATF_CHECK(error_of(&b.t, close_block_send(&b.t, ino, r->block->b, 499)) != 0);
    ATF_CHECK_EQ(-EINVAL, error_of(&b.t, open_block_send(&b.t, ino, 601)));
    ATF_CHECK_STREQ("o500 b100", layout_of(&b, ino));
    finish(&b.t, ino, r, 500);
    r = open_block(&b.t, ino, 599);
    ATF_CHECK_EQ(500, r->block->offset);
    ATF_CHECK_EQ(MIB, r->limit);
    set_up(&b.t, r);
    finish(&b.t, ino, r, 300);
    ATF_CHECK_EQ(800, close_blocks(&b.t, ino)->size);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(who_has_no_write_capability_opens_nothing);
ATF_TC_BODY(who_has_no_write_capability_opens_nothing, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){500}, 1);
    struct mount other = mount_start(&b.w, 1);
    ATF_CHECK_EQ(-HD_E_LEASE_EXPIRED,
                 error_of(&other, SEND(&other, "openBlocks", OpenBlocks, open_blocks,
                                       .session = other.number, .ino = ino)));
    ATF_CHECK_EQ(-HD_E_LEASE_EXPIRED, error_of(&other, write_content_send(&other, ino, "x", 1)));
    ATF_CHECK_EQ(-HD_E_LEASE_EXPIRED, error_of(&other, open_block_send(&other, ino, 0)));
    ATF_CHECK(!open_block(&b.t, ino, 0)->fresh); /* opens the file too */
    bench_done(&b);
}

/* ---- recovery ---- */

ATF_TC_WITHOUT_HEAD(every_open_block_of_a_dead_mount_is_recovered);
ATF_TC_BODY(every_open_block_of_a_dead_mount_is_recovered, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB, 100}, 3);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *first = open_block(&b.t, ino, 0);
    Hdw__OpenBlockResponse *last = open_block(&b.t, ino, 2 * MIB);
    set_up(&b.t, first);
    set_up(&b.t, last);
    kill_mount(&b);
    world_check(&b.w);
    Hdw__RecoveringBlock *r1 = await_recovery(&b, first->block->b->block_id);
    ATF_REQUIRE(r1 != NULL);
    ATF_CHECK(r1->has_overwrite && r1->overwrite);
    ATF_REQUIRE(r1->truncate_block != NULL); /* others are behind it */
    ATF_CHECK_EQ(MIB, r1->truncate_block->num_bytes);
    ATF_CHECK(synchronized(&b, r1, MIB - 1, false)->err != 0);
    ATF_CHECK_EQ(0, synchronized(&b, r1, MIB, false)->err);
    ATF_CHECK(hd_inode_is_open(inode_of(&b, ino)));
    Hdw__RecoveringBlock *r2 = await_recovery(&b, last->block->b->block_id);
    ATF_REQUIRE(r2 != NULL);
    ATF_CHECK(r2->truncate_block == NULL);
    ATF_CHECK(r2->overwrite);
    ATF_CHECK_EQ(0, synchronized(&b, r2, 160, false)->err);
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    ATF_CHECK_STREQ("b1048576 b1048576 b160", layout_of(&b, ino));
    ATF_CHECK_EQ(r2->new_gen_stamp, do_locate(&b.w, "/f")->blocks[2]->b->generation_stamp);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(recovery_goes_on_after_a_restart);
ATF_TC_BODY(recovery_goes_on_after_a_restart, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, 100}, 2);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *first = open_block(&b.t, ino, 0);
    set_up(&b.t, first);
    kill_mount(&b);
    ATF_REQUIRE(await_recovery(&b, first->block->b->block_id) != NULL);
    uint64_t last_id = do_locate(&b.w, "/f")->blocks[1]->b->block_id;
    uint64_t last_gs = do_locate(&b.w, "/f")->blocks[1]->b->generation_stamp;
    world_restart(&b.w);
    for (int n = 1; n <= NODES; n++) {
        node_register(&b.w, n);
        node_beat(&b.w, n);
        node_report(&b.w, n, (const uint64_t[][3]){{last_id, 100, last_gs}}, 1);
        node_says(&b.w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, first->block->b->block_id,
                  first->block->b->generation_stamp, MIB);
    }
    Hdw__RecoveringBlock *r = await_recovery(&b, first->block->b->block_id);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK(r->overwrite);
    ATF_CHECK_EQ(0, synchronized(&b, r, MIB, false)->err);
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_block_with_data_that_no_node_has_stays_and_is_missing);
ATF_TC_BODY(a_block_with_data_that_no_node_has_stays_and_is_missing, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, 100}, 2);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *first = open_block(&b.t, ino, 0);
    set_up(&b.t, first);
    kill_mount(&b);
    Hdw__RecoveringBlock *r = await_recovery(&b, first->block->b->block_id);
    ATF_REQUIRE(r != NULL);
    for (int n = 1; n <= NODES; n++) { /* all have told what they have */
        node_report(&b.w, n, NULL, 0);
    }
    ATF_CHECK_EQ(0, synchronized(&b, r, 0, true)->err);
    ATF_CHECK_STREQ("b1048576 b100", layout_of(&b, ino));
    Hdw__LocatedBlock *l = do_locate(&b.w, "/f")->blocks[0];
    ATF_CHECK(l->n_locs == 0 || l->corrupt);
    bench_done(&b);
}

/* ---- holes ---- */

ATF_TC_WITHOUT_HEAD(a_file_grows_by_a_hole);
ATF_TC_BODY(a_file_grows_by_a_hole, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    Hdw__ResizeResponse *r = resize(&b.t, ino, 10 * MIB);
    ATF_CHECK_EQ(10 * MIB, r->attr->size);
    ATF_CHECK_EQ(MIB, r->attr->allocated);
    ATF_CHECK(!r->cut);
    ATF_CHECK_STREQ("b1048576 h9437184", layout_of(&b, ino));
    (void)resize(&b.t, ino, 12 * MIB);
    ATF_CHECK_STREQ("b1048576 h11534336", layout_of(&b, ino));
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f");
    ATF_REQUIRE_EQ(2, l->n_blocks);
    ATF_CHECK_EQ(12 * MIB, l->file_length);
    ATF_CHECK(hd_reserved_is_hole(l->blocks[1]->b->block_id));
    ATF_CHECK_EQ(11 * MIB, hd_reserved_size(l->blocks[1]->b->block_id));
    ATF_CHECK_EQ(11 * MIB, l->blocks[1]->b->num_bytes);
    ATF_CHECK_EQ(MIB, l->blocks[1]->offset);
    ATF_CHECK_EQ(NODES, l->blocks[1]->n_locs);
    (void)resize(&b.t, ino, 5 * MIB);
    ATF_CHECK_STREQ("b1048576 h4194304", layout_of(&b, ino));
    (void)resize(&b.t, ino, MIB);
    ATF_CHECK_STREQ("b1048576", layout_of(&b, ino));
    ATF_CHECK_EQ(-EFBIG, error_of(&b.t, SEND(&b.t, "resize", Resize, resize, .session = b.t.number,
                                             .ino = ino, .size = HD_FILE_MAX_BYTES + 1)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_hole_is_filled_by_whole_blocks);
ATF_TC_BODY(a_hole_is_filled_by_whole_blocks, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    (void)resize(&b.t, ino, 10 * MIB + 100);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 3 * MIB + 77);
    ATF_CHECK(r->fresh);
    ATF_CHECK_EQ(3 * MIB, r->block->offset);
    ATF_CHECK_EQ(MIB, r->block->b->num_bytes);
    ATF_CHECK_STREQ("h3145728 o1048576 h6291556", layout_of(&b, ino));
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f"); /* no node has it yet */
    ATF_CHECK(hd_reserved_is_hole(l->blocks[1]->b->block_id));
    world_check(&b.w);
    set_up(&b.t, r);
    l = do_locate(&b.w, "/f");
    ATF_CHECK_EQ(r->block->b->block_id, l->blocks[1]->b->block_id);
    ATF_CHECK(error_of(&b.t, close_block_send(&b.t, ino, r->block->b, MIB - 1)) != 0);
    finish(&b.t, ino, r, MIB);
    r = open_block(&b.t, ino, 10 * MIB + 5); /* the end of the hole is that of the file */
    ATF_CHECK_EQ(10 * MIB, r->block->offset);
    ATF_CHECK_EQ(100, r->block->b->num_bytes);
    ATF_CHECK_EQ(MIB, r->limit);
    set_up(&b.t, r);
    finish(&b.t, ino, r, 200);
    (void)write_block(&b.t, ino, 0, MIB);
    ATF_CHECK_STREQ("b1048576 h2097152 b1048576 h6291456 b200", layout_of(&b, ino));
    ATF_CHECK_EQ(10 * MIB + 200, close_blocks(&b.t, ino)->size);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_block_that_is_abandoned_leaves_the_hole);
ATF_TC_BODY(a_block_that_is_abandoned_leaves_the_hole, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    (void)resize(&b.t, ino, 10 * MIB);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 3 * MIB);
    ATF_CHECK_EQ(0, abandon_block(&b.t, r->block->b, "/f"));
    ATF_CHECK_STREQ("h10485760", layout_of(&b, ino));
    r = open_block(&b.t, ino, 9 * MIB);
    kill_mount(&b);
    Hdw__RecoveringBlock *y = await_recovery(&b, r->block->b->block_id);
    ATF_REQUIRE(y != NULL);
    for (int n = 1; n <= NODES; n++) {
        node_report(&b.w, n, NULL, 0);
    }
    ATF_CHECK_EQ(0, synchronized(&b, y, 0, true)->err);
    ATF_CHECK_STREQ("h10485760", layout_of(&b, ino));
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_short_block_grows_into_the_hole_behind_it);
ATF_TC_BODY(a_short_block_grows_into_the_hole_behind_it, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, 100}, 2);
    (void)resize(&b.t, ino, 5 * MIB);
    ATF_CHECK_STREQ("b1048576 b100 h4194204", layout_of(&b, ino));
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, MIB + 5000);
    ATF_CHECK(!r->fresh);
    ATF_CHECK_EQ(MIB, r->block->offset);
    ATF_CHECK_EQ(MIB, r->block->b->num_bytes);
    ATF_CHECK_STREQ("b1048576 o100 h4194204", layout_of(&b, ino)); /* not before the set-up */
    world_check(&b.w);
    set_up(&b.t, r);
    ATF_CHECK_STREQ("b1048576 o1048576 h3145728", layout_of(&b, ino));
    finish(&b.t, ino, r, MIB);
    ATF_CHECK_EQ(5 * MIB, close_blocks(&b.t, ino)->size);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(punched_blocks_are_one_hole);
ATF_TC_BODY(punched_blocks_are_one_hole, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB, MIB, MIB, 100}, 5);
    Hdw__PunchResponse *r = ASK(&b.t, "punch", Punch, punch, .session = b.t.number, .ino = ino,
                                .offset = MIB - 1, .length = 2 * MIB + 1);
    ATF_CHECK_STREQ("b1048576 h2097152 b1048576 b100", layout_of(&b, ino));
    ATF_CHECK_EQ(4 * MIB + 100, r->attr->size);
    ATF_CHECK_EQ(2 * MIB + 100, r->attr->allocated);
    world_check(&b.w);
    (void)ASK(&b.t, "punch", Punch, punch, .session = b.t.number, .ino = ino, .offset = 0,
              .length = UINT64_MAX);
    ATF_CHECK_STREQ("h4194404", layout_of(&b, ino));
    ATF_CHECK_EQ(0, b.w.m->ns.blocks.count);
    bench_done(&b);
}

/* ---- cutting ---- */

ATF_TC_WITHOUT_HEAD(a_file_is_cut_between_blocks_by_the_record);
ATF_TC_BODY(a_file_is_cut_between_blocks_by_the_record, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB, 100}, 3);
    Hdw__ResizeResponse *r = resize(&b.t, ino, MIB);
    ATF_CHECK(!r->cut);
    ATF_CHECK_STREQ("b1048576", layout_of(&b, ino));
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    (void)resize(&b.t, ino, 0);
    ATF_CHECK_STREQ("", layout_of(&b, ino));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_writer_cuts_the_replicas_of_a_block);
ATF_TC_BODY(a_writer_cuts_the_replicas_of_a_block, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB, 100}, 3);
    Hdw__ResizeResponse *s = resize(&b.t, ino, MIB + 300);
    ATF_CHECK(s->cut);
    ATF_CHECK_EQ(MIB + 300, s->attr->size);
    ATF_CHECK_STREQ("b1048576 o300", layout_of(&b, ino));
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f");
    ATF_CHECK_EQ(MIB + 300, l->file_length);
    ATF_CHECK_EQ(300, l->blocks[1]->b->num_bytes);
    ATF_CHECK(l->is_last_block_complete); /* nobody asks a node how long it is */
    ATF_CHECK_EQ(NODES, l->blocks[1]->n_locs);
    world_check(&b.w);
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, MIB);
    ATF_CHECK_EQ(300, r->block->b->num_bytes);
    ATF_CHECK_EQ(-EINVAL, error_of(&b.t, close_block_send(&b.t, ino, r->block->b, 300)));
    ATF_CHECK(update_pipeline(&b.t, r->block, r->new_stamp, 301, 0)->err != 0);
    set_up(&b.t, r);
    finish(&b.t, ino, r, 450);
    ATF_CHECK_STREQ("b1048576 b450", layout_of(&b, ino));
    ATF_CHECK_EQ(MIB + 450, close_blocks(&b.t, ino)->size);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(meta_cuts_what_its_writer_did_not);
ATF_TC_BODY(meta_cuts_what_its_writer_did_not, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, MIB}, 2);
    uint64_t id = do_locate(&b.w, "/f")->blocks[1]->b->block_id;
    (void)resize(&b.t, ino, MIB + 300);
    (void)resize(&b.t, ino, 3 * MIB); /* what was behind is zeros now */
    ATF_CHECK_STREQ("b1048576 o300 h2096852", layout_of(&b, ino));
    ATF_CHECK_EQ(3 * MIB, close_blocks(&b.t, ino)->size);
    Hdw__RecoveringBlock *r = await_recovery(&b, id);
    ATF_REQUIRE(r != NULL);
    ATF_REQUIRE(r->truncate_block != NULL);
    ATF_CHECK_EQ(300, r->truncate_block->num_bytes);
    world_check(&b.w);
    uint64_t parked =
        SEND(&b.t, "openBlocks", OpenBlocks, open_blocks, .session = b.t.number, .ino = ino);
    ATF_CHECK(!is_answered(&b.t, parked));
    ATF_CHECK_EQ(0, synchronized(&b, r, 300, false)->err);
    ATF_CHECK_EQ(0, error_of(&b.t, parked));
    ATF_CHECK_STREQ("b1048576 b300 h2096852", layout_of(&b, ino));
    (void)close_blocks(&b.t, ino);
    bench_done(&b);
}

/* ---- replicas that lost writes ---- */

static void report_dirty(struct bench *b, int n, const Hdw__ExtendedBlock *k, uint64_t size)
{
    node_register(&b->w, n);
    node_beat(&b->w, n);
    node_report_as(&b->w, n, HDW__REPLICA_STATE__REPLICA_DIRTY,
                   (const uint64_t[][3]){{k->block_id, size, k->generation_stamp}}, 1);
}

ATF_TC_WITHOUT_HEAD(a_replica_that_lost_writes_is_bad_beside_a_whole_one);
ATF_TC_BODY(a_replica_that_lost_writes_is_bad_beside_a_whole_one, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    Hdw__ExtendedBlock *k = do_locate(&b.w, "/f")->blocks[0]->b;
    report_dirty(&b, 2, k, MIB);
    Hdw__LocatedBlock *l = do_locate(&b.w, "/f")->blocks[0];
    ATF_CHECK_EQ(NODES - 1, l->n_locs);
    ATF_CHECK(!l->corrupt);
    ATF_CHECK(hd_file_block(inode_of(&b, ino), 0)->has_corrupt);
    bench_pass(&b, 10000);
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino))); /* nothing to recover */
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_block_of_which_all_lost_writes_is_recovered);
ATF_TC_BODY(a_block_of_which_all_lost_writes_is_recovered, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, 100}, 2);
    Hdw__ExtendedBlock *k = do_locate(&b.w, "/f")->blocks[0]->b;
    Hdw__ExtendedBlock *last = do_locate(&b.w, "/f")->blocks[1]->b;
    world_restart(&b.w);
    b.t = mount_start(&b.w, 0);
    for (int n = 1; n <= NODES; n++) {
        ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino))); /* the others may have it whole */
        report_dirty(&b, n, k, MIB);
        node_received(&b.w, n, last->block_id, last->generation_stamp, 100);
        world_pass(&b.w, 4000);
    }
    Hdw__RecoveringBlock *r = await_recovery(&b, k->block_id);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK(r->overwrite);
    ATF_CHECK_EQ(NODES, r->block->n_locs);
    ATF_REQUIRE(r->truncate_block != NULL);
    ATF_CHECK_EQ(MIB, r->truncate_block->num_bytes);
    world_check(&b.w);
    ATF_CHECK_EQ(0, synchronized(&b, r, MIB, false)->err);
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    Hdw__LocatedBlock *l = do_locate(&b.w, "/f")->blocks[0];
    ATF_CHECK_EQ(NODES, l->n_locs);
    ATF_CHECK_EQ(r->new_gen_stamp, l->b->generation_stamp);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(one_whole_replica_that_comes_late_ends_the_waiting);
ATF_TC_BODY(one_whole_replica_that_comes_late_ends_the_waiting, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB}, 1);
    Hdw__ExtendedBlock *k = do_locate(&b.w, "/f")->blocks[0]->b;
    world_restart(&b.w);
    report_dirty(&b, 1, k, MIB);
    report_dirty(&b, 2, k, MIB);
    node_register(&b.w, 3);
    node_beat(&b.w, 3);
    node_report(&b.w, 3, (const uint64_t[][3]){{k->block_id, MIB, k->generation_stamp}}, 1);
    world_pass(&b.w, 5000);
    Hdw__LocatedBlock *l = do_locate(&b.w, "/f")->blocks[0];
    ATF_CHECK_EQ(1, l->n_locs);
    ATF_CHECK_EQ(3, node_of(l->locs[0]));
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    ATF_CHECK_EQ(0, b.w.m->dirty.count);
    bench_done(&b);
}

/* The records of the last moment went with meta's power, the nodes' replicas stayed. */
ATF_TC_WITHOUT_HEAD(a_block_that_is_newer_on_all_its_nodes_is_recovered);
ATF_TC_BODY(a_block_that_is_newer_on_all_its_nodes_is_recovered, tc)
{
    static const Hdw__ReplicaState states[] = {
        HDW__REPLICA_STATE__REPLICA_DIRTY, HDW__REPLICA_STATE__REPLICA_RWR,
        HDW__REPLICA_STATE__REPLICA_FINALIZED, HDW__REPLICA_STATE__REPLICA_RBW};
    for (size_t k = 0; k < HD_ARRAY_COUNT(states); k++) {
        struct bench b;
        bench_init(&b);
        uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){100}, 1);
        Hdw__ExtendedBlock *block = do_locate(&b.w, "/f")->blocks[0]->b;
        world_restart(&b.w);
        for (int n = 1; n <= NODES; n++) {
            node_register(&b.w, n);
            node_beat(&b.w, n);
            node_report_as(
                &b.w, n, states[k],
                (const uint64_t[][3]){{block->block_id, 170, block->generation_stamp + 1}}, 1);
            world_pass(&b.w, 3000);
        }
        Hdw__RecoveringBlock *r = await_recovery(&b, block->block_id);
        ATF_REQUIRE_MSG(r != NULL, "state %d", (int)states[k]);
        ATF_CHECK_EQ(NODES, r->block->n_locs);
        ATF_CHECK(r->new_gen_stamp > block->generation_stamp + 1);
        ATF_CHECK_EQ(0, synchronized(&b, r, 170, false)->err);
        ATF_CHECK_STREQ("b170", layout_of(&b, ino));
        ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
        bench_done(&b);
    }
}

/* Its chain may not be there yet: it is set up with the new length, under the same stamp. */
ATF_TC_WITHOUT_HEAD(a_fresh_block_in_a_hole_is_cut_before_it_is_set_up);
ATF_TC_BODY(a_fresh_block_in_a_hole_is_cut_before_it_is_set_up, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    (void)resize(&b.t, ino, 3 * MIB);
    (void)open_blocks(&b.t, ino);
    (void)open_block(&b.t, ino, MIB + 5);
    (void)resize(&b.t, ino, MIB + 1000);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, MIB + 5);
    ATF_CHECK_EQ(1000, r->block->b->num_bytes);
    set_up(&b.t, r);
    finish(&b.t, ino, r, 1000);
    ATF_CHECK_EQ(MIB + 1000, close_blocks(&b.t, ino)->size);
    world_check(&b.w);
    bench_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_block_that_is_newer_on_all_its_nodes_is_recovered);
    ATF_TP_ADD_TC(tp, a_file_is_written_block_by_block);
    ATF_TP_ADD_TC(tp, a_finished_block_is_overwritten);
    ATF_TP_ADD_TC(tp, closing_the_file_closes_the_blocks_it_names);
    ATF_TP_ADD_TC(tp, a_block_that_nobody_wrote_to_is_whole_again_at_once);
    ATF_TP_ADD_TC(tp, a_replica_that_was_left_out_does_not_count);
    ATF_TP_ADD_TC(tp, an_open_block_is_opened_again_with_another_stamp);
    ATF_TP_ADD_TC(tp, a_fresh_block_whose_answer_was_lost_is_answered_again);
    ATF_TP_ADD_TC(tp, a_fresh_block_is_abandoned_but_none_that_has_data);
    ATF_TP_ADD_TC(tp, a_block_in_the_middle_keeps_its_size);
    ATF_TP_ADD_TC(tp, who_has_no_write_capability_opens_nothing);
    ATF_TP_ADD_TC(tp, every_open_block_of_a_dead_mount_is_recovered);
    ATF_TP_ADD_TC(tp, recovery_goes_on_after_a_restart);
    ATF_TP_ADD_TC(tp, a_block_with_data_that_no_node_has_stays_and_is_missing);
    ATF_TP_ADD_TC(tp, a_file_grows_by_a_hole);
    ATF_TP_ADD_TC(tp, a_hole_is_filled_by_whole_blocks);
    ATF_TP_ADD_TC(tp, a_block_that_is_abandoned_leaves_the_hole);
    ATF_TP_ADD_TC(tp, a_short_block_grows_into_the_hole_behind_it);
    ATF_TP_ADD_TC(tp, punched_blocks_are_one_hole);
    ATF_TP_ADD_TC(tp, a_file_is_cut_between_blocks_by_the_record);
    ATF_TP_ADD_TC(tp, a_writer_cuts_the_replicas_of_a_block);
    ATF_TP_ADD_TC(tp, meta_cuts_what_its_writer_did_not);
    ATF_TP_ADD_TC(tp, a_replica_that_lost_writes_is_bad_beside_a_whole_one);
    ATF_TP_ADD_TC(tp, a_block_of_which_all_lost_writes_is_recovered);
    ATF_TP_ADD_TC(tp, one_whole_replica_that_comes_late_ends_the_waiting);
    ATF_TP_ADD_TC(tp, a_fresh_block_in_a_hole_is_cut_before_it_is_set_up);
    return atf_no_error();
}
