/* Files that are kept in the metadata: as sessions write them, and as clients of HDFS see them. */
#include "tests/unit/meta/core/blocks.h"

static struct answer *read_content(struct bench *b, uint64_t ino)
{
    Hdw__ReadContentRequest q = HDW__READ_CONTENT_REQUEST__INIT;
    q.ino = ino;
    struct answer *a = world_answer(&b->w, world_send(&b->w, POSIX_PROTOCOL, "readContent", &q, 1));
    ATF_REQUIRE(a != NULL);
    return a;
}

static void check_content(struct bench *b, uint64_t ino, const char *text)
{
    struct answer *a = read_content(b, ino);
    ATF_REQUIRE_EQ(0, a->err);
    Hdw__ReadContentResponse *r = world_decode(&b->w, a, &hdw__read_content_response__descriptor);
    ATF_CHECK_EQ(strlen(text), r->content.len);
    ATF_CHECK(memcmp(text, r->content.data, HD_MIN(strlen(text), r->content.len)) == 0);
}

/* A closed file "/f" with this content, of which the mount has WRITE. */
static uint64_t make_small(struct bench *b, const char *text)
{
    uint64_t ino = make_file(&b->t, "f");
    (void)write_content(&b->t, ino, text);
    return ino;
}

/* ---- as sessions write them ---- */

ATF_TC_WITHOUT_HEAD(a_small_file_is_one_record);
ATF_TC_BODY(a_small_file_is_one_record, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    size_t records = b.w.record_count;
    ATF_CHECK_EQ(5, write_content(&b.t, ino, "hello")->size);
    ATF_CHECK_EQ(records + 1, b.w.record_count);
    ATF_CHECK_STREQ("c5", layout_of(&b, ino));
    check_content(&b, ino, "hello");
    world_check(&b.w);
    world_restart(&b.w);
    for (int n = 1; n <= NODES; n++) {
        node_start(&b.w, n);
    }
    check_content(&b, ino, "hello");
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(attributes_go_with_the_content);
ATF_TC_BODY(attributes_go_with_the_content, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    size_t records = b.w.record_count;
    Hdw__PosixAttrChange change = HDW__POSIX_ATTR_CHANGE__INIT;
    change.has_mode = change.has_mtime_ns = true;
    change.mode = 0600;
    change.mtime_ns = 1234567890123456789;
    Hdw__WriteContentResponse *r =
        ASK(&b.t, "writeContent", WriteContent, write_content, .session = b.t.number, .ino = ino,
            .content = bytes_named("x"), .change = &change, .has_keep = true,
            .keep = HDW__CAP_KIND__CAP_READ);
    ATF_CHECK_EQ(records + 1, b.w.record_count);
    ATF_CHECK_EQ(0100600, r->attr->mode);
    ATF_CHECK_EQ(1234567890123456789, r->attr->mtime_ns);
    ATF_CHECK_EQ(-HD_E_LEASE_EXPIRED, error_of(&b.t, write_content_send(&b.t, ino, "y", 1)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(content_replaces_blocks_and_ends_the_lease);
ATF_TC_BODY(content_replaces_blocks_and_ends_the_lease, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){MIB, 100}, 2);
    (void)open_blocks(&b.t, ino);
    set_up(&b.t, open_block(&b.t, ino, 0));
    (void)write_content(&b.t, ino, "small");
    ATF_CHECK_STREQ("c5", layout_of(&b, ino));
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    ATF_CHECK_EQ(0, b.w.m->ns.blocks.count);
    (void)write_content(&b.t, ino, "");
    ATF_CHECK_STREQ("", layout_of(&b, ino));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(more_than_is_kept_is_refused);
ATF_TC_BODY(more_than_is_kept_is_refused, tc)
{
    struct bench b;
    static const char zeros[4097];
    bench_init(&b);
    uint64_t ino = make_file(&b.t, "f");
    ATF_CHECK_EQ(0, error_of(&b.t, write_content_send(&b.t, ino, zeros, 4096)));
    ATF_CHECK_EQ(-EFBIG, error_of(&b.t, write_content_send(&b.t, ino, zeros, 4097)));
    ATF_CHECK_STREQ("c4096", layout_of(&b, ino));
    bench_done(&b);
}

/* ---- from content to blocks ---- */

ATF_TC_WITHOUT_HEAD(content_stays_until_its_block_is_told_to_have_it);
ATF_TC_BODY(content_stays_until_its_block_is_told_to_have_it, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    Hdw__OpenBlocksResponse *o = open_blocks(&b.t, ino);
    ATF_CHECK_EQ(5, o->content.len);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 5); /* right behind it: the same block */
    ATF_CHECK(r->fresh);
    ATF_CHECK_EQ(0, r->block->offset);
    ATF_CHECK_EQ(0, r->block->b->num_bytes);
    ATF_CHECK_EQ(MIB, r->limit);
    set_up(&b.t, r);
    ATF_CHECK_STREQ("c5 o0", layout_of(&b, ino));
    ATF_CHECK_EQ(5, do_locate(&b.w, "/f")->file_length);
    ATF_CHECK_EQ(1, do_locate(&b.w, "/f")->n_blocks);
    world_check(&b.w);
    ATF_CHECK_EQ(0, tell_length(&b.t, ino, 0, 4));
    ATF_CHECK_STREQ("c5 o0", layout_of(&b, ino));
    ATF_CHECK_EQ(-EINVAL, error_of(&b.t, close_block_send(&b.t, ino, r->block->b, 4)));
    ATF_CHECK_EQ(0, tell_length(&b.t, ino, r->block->b->block_id, 7));
    ATF_CHECK_STREQ("o7", layout_of(&b, ino));
    world_check(&b.w);
    finish(&b.t, ino, r, 9);
    ATF_CHECK_EQ(9, close_blocks(&b.t, ino)->size);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_writer_that_dies_early_leaves_the_content);
ATF_TC_BODY(a_writer_that_dies_early_leaves_the_content, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    set_up(&b.t, r);
    kill_mount(&b);
    world_restart(&b.w);
    for (int n = 1; n <= NODES; n++) {
        node_start(&b.w, n);
        node_says(&b.w, n, HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVING, r->block->b->block_id,
                  r->block->b->generation_stamp, 3);
    }
    bench_pass(&b, 20000); /* the session may come back until then */
    Hdw__RecoveringBlock *y = await_recovery(&b, r->block->b->block_id);
    ATF_REQUIRE(y != NULL);
    ATF_CHECK_EQ(0, synchronized(&b, y, 3, false)->err);
    ATF_CHECK_STREQ("c5", layout_of(&b, ino));
    check_content(&b, ino, "hello");
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(a_writer_that_dies_late_leaves_the_block);
ATF_TC_BODY(a_writer_that_dies_late_leaves_the_block, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, 0);
    set_up(&b.t, r);
    kill_mount(&b);
    Hdw__RecoveringBlock *y = await_recovery(&b, r->block->b->block_id);
    ATF_REQUIRE(y != NULL);
    ATF_CHECK(y->truncate_block == NULL);
    ATF_CHECK_EQ(0, synchronized(&b, y, 5, false)->err);
    ATF_CHECK_STREQ("b5", layout_of(&b, ino));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(content_is_cut_and_grows_by_a_hole);
ATF_TC_BODY(content_is_cut_and_grows_by_a_hole, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    Hdw__ResizeResponse *s = resize(&b.t, ino, 2);
    ATF_CHECK(!s->cut);
    ATF_CHECK_EQ(2, s->content.len);
    check_content(&b, ino, "he");
    (void)resize(&b.t, ino, 3 * MIB);
    ATF_CHECK_STREQ("c2 h3145726", layout_of(&b, ino));
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f");
    ATF_CHECK_EQ(2, l->n_blocks);
    ATF_CHECK_EQ(3 * MIB, l->file_length);
    ATF_CHECK(hd_reserved_is_content(l->blocks[0]->b->block_id));
    ATF_CHECK(hd_reserved_is_hole(l->blocks[1]->b->block_id));
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *r = open_block(&b.t, ino, MIB - 1); /* of the first whole block */
    ATF_CHECK_EQ(0, r->block->offset);
    set_up(&b.t, r);
    ATF_CHECK_EQ(0, error_of(&b.t, close_block_send(&b.t, ino, r->block->b, MIB)));
    ATF_CHECK_STREQ("b1048576 h2097152", layout_of(&b, ino));
    world_check(&b.w);
    (void)resize(&b.t, ino, 0);
    ATF_CHECK_STREQ("", layout_of(&b, ino));
    bench_done(&b);
}

/* ---- as clients of HDFS see them ---- */

ATF_TC_WITHOUT_HEAD(content_is_one_block_with_a_reserved_id);
ATF_TC_BODY(content_is_one_block_with_a_reserved_id, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    Hdw__LocatedBlocks *l = do_locate(&b.w, "/f");
    ATF_REQUIRE_EQ(1, l->n_blocks);
    ATF_CHECK_EQ(5, l->file_length);
    ATF_CHECK(!l->under_construction);
    ATF_CHECK(l->is_last_block_complete);
    ATF_CHECK_EQ(hd_reserved_content((struct hd_ino){ino}), l->blocks[0]->b->block_id);
    ATF_CHECK_EQ(5, l->blocks[0]->b->num_bytes);
    ATF_CHECK_EQ(NODES, l->blocks[0]->n_locs);
    ATF_CHECK_EQ(NODES, l->blocks[0]->n_storage_i_ds);
    Hdw__HdfsFileStatus *s = do_stat(&b.w, "/f");
    ATF_CHECK_EQ(5, s->length);
    Hdw__ContentSummary *sum =
        CALL(&b.w, "getContentSummary", GetContentSummary, get_content_summary, .path = S("/"))
            ->summary;
    ATF_CHECK_EQ(5, sum->length);
    ATF_CHECK_EQ(15, sum->space_consumed);
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(fsck_finds_content_and_holes_healthy);
ATF_TC_BODY(fsck_finds_content_and_holes_healthy, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    (void)resize(&b.t, ino, MIB);
    Hdw__BlockHealthRequest q = HDW__BLOCK_HEALTH_REQUEST__INIT;
    q.path = S("/f");
    struct answer *a = world_answer(&b.w, world_send(&b.w, META_PROTOCOL, "blockHealth", &q, 1));
    ATF_REQUIRE(a != NULL && a->err == 0);
    Hdw__BlockHealthResponse *r = world_decode(&b.w, a, &hdw__block_health_response__descriptor);
    ATF_REQUIRE_EQ(2, r->n_blocks);
    for (size_t n = 0; n < 2; n++) {
        ATF_CHECK(hd_reserved_is(r->blocks[n]->block_id));
        ATF_CHECK_EQ(r->blocks[n]->expected, r->blocks[n]->live);
        ATF_CHECK_EQ(0, r->blocks[n]->corrupt);
    }
    bench_done(&b);
}

/* The mount gives back what it is asked for, until the call is answered. */
static struct answer *with_recall(struct bench *b, uint64_t token)
{
    for (int n = 0; n < 4 && world_answer(&b->w, token) == NULL; n++) {
        Hdw__PollResponse *r = mount_pushes(&b->t);
        if (r == NULL || r->n_pushes == 0) {
            mount_poll(&b->t, 3000);
            continue;
        }
        mount_answer_all(&b->t, false);
    }
    struct answer *a = world_answer(&b->w, token);
    ATF_REQUIRE(a != NULL);
    return a;
}

ATF_TC_WITHOUT_HEAD(an_append_goes_behind_the_content);
ATF_TC_BODY(an_append_goes_behind_the_content, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    Hdw__AppendRequest q = HDW__APPEND_REQUEST__INIT;
    q.src = S("/f");
    q.client_name = S("hdfs");
    uint64_t token = world_send(&b.w, CLIENT_PROTOCOL, "append", &q, 1);
    ATF_CHECK(world_answer(&b.w, token) == NULL); /* the mount may have more of it */
    struct answer *a = with_recall(&b, token);
    ATF_REQUIRE_EQ(0, a->err);
    Hdw__AppendResponse *r = world_decode(&b.w, a, &hdw__append_response__descriptor);
    ATF_CHECK(r->block == NULL);
    ATF_CHECK_EQ(5, r->stat->length);
    Hdw__LocatedBlock *l = do_add_block(&b.w, "/f", "hdfs", NULL);
    ATF_CHECK_EQ(5, l->offset);
    for (size_t n = 0; n < l->n_locs; n++) {
        node_received(&b.w, node_of(l->locs[n]), l->b->block_id, l->b->generation_stamp, 100);
    }
    l->b->num_bytes = 100;
    ATF_CHECK(do_complete(&b.w, "/f", "hdfs", l->b));
    ATF_CHECK_STREQ("c5 b100", layout_of(&b, ino));
    Hdw__LocatedBlocks *all = do_locate(&b.w, "/f");
    ATF_CHECK_EQ(105, all->file_length);
    ATF_CHECK_EQ(5, all->blocks[1]->offset);
    world_check(&b.w);
    take_write(&b.t, ino); /* a session overwrites the content: a block of just its length */
    (void)open_blocks(&b.t, ino);
    Hdw__OpenBlockResponse *o = open_block(&b.t, ino, 1);
    ATF_CHECK(o->fresh);
    set_up(&b.t, o);
    ATF_CHECK(error_of(&b.t, close_block_send(&b.t, ino, o->block->b, 6)) != 0);
    finish(&b.t, ino, o, 5);
    ATF_CHECK_STREQ("b5 b100", layout_of(&b, ino));
    (void)close_blocks(&b.t, ino);
    bench_done(&b);
}

static bool do_truncate(struct bench *b, uint64_t size)
{
    Hdw__TruncateRequest q = HDW__TRUNCATE_REQUEST__INIT;
    q.src = S("/f");
    q.new_length = size;
    q.client_name = S("hdfs");
    struct answer *a = with_recall(b, world_send(&b->w, CLIENT_PROTOCOL, "truncate", &q, 1));
    ATF_REQUIRE_MSG(a->err == 0, "%s", a->text);
    Hdw__TruncateResponse *r = world_decode(&b->w, a, &hdw__truncate_response__descriptor);
    return r->result;
}

ATF_TC_WITHOUT_HEAD(truncate_cuts_holes_and_content_at_once);
ATF_TC_BODY(truncate_cuts_holes_and_content_at_once, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_small(&b, "hello");
    (void)resize(&b.t, ino, 3 * MIB);
    ATF_CHECK(do_truncate(&b, 2 * MIB));
    ATF_CHECK_STREQ("c5 h2097147", layout_of(&b, ino));
    ATF_CHECK(do_truncate(&b, 5));
    ATF_CHECK_STREQ("c5", layout_of(&b, ino));
    ATF_CHECK(do_truncate(&b, 1));
    check_content(&b, ino, "h");
    ATF_CHECK(do_truncate(&b, 0));
    ATF_CHECK_STREQ("", layout_of(&b, ino));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(truncate_inside_a_short_block_in_the_middle);
ATF_TC_BODY(truncate_inside_a_short_block_in_the_middle, tc)
{
    struct bench b;
    bench_init(&b);
    uint64_t ino = make_of_blocks(&b.t, "f", (uint64_t[]){300, 500, MIB}, 3);
    uint64_t id = do_locate(&b.w, "/f")->blocks[1]->b->block_id;
    ATF_CHECK(!do_truncate(&b, 400));
    Hdw__RecoveringBlock *r = await_recovery(&b, id);
    ATF_REQUIRE(r != NULL);
    ATF_CHECK_EQ(100, r->truncate_block->num_bytes);
    ATF_CHECK_EQ(0, synchronized(&b, r, 100, false)->err);
    ATF_CHECK_STREQ("b300 b100", layout_of(&b, ino));
    ATF_CHECK(!hd_inode_is_open(inode_of(&b, ino)));
    bench_done(&b);
}

ATF_TC_WITHOUT_HEAD(concat_takes_no_content_in);
ATF_TC_BODY(concat_takes_no_content_in, tc)
{
    struct bench b;
    bench_init(&b);
    (void)do_write(&b.w, "/g", 100); /* before the mount knows the directory */
    (void)do_write(&b.w, "/h", 100);
    (void)make_small(&b, "hello");
    char *sources[] = {S("/f")};
    Hdw__ConcatRequest q = HDW__CONCAT_REQUEST__INIT;
    q.trg = S("/g");
    q.n_srcs = 1;
    q.srcs = sources;
    ATF_CHECK(with_recall(&b, world_send(&b.w, CLIENT_PROTOCOL, "concat", &q, 1))->err != 0);
    sources[0] = S("/h");
    q.trg = S("/f"); /* but it may stand in front */
    struct answer *a = with_recall(&b, world_send(&b.w, CLIENT_PROTOCOL, "concat", &q, 1));
    ATF_CHECK_MSG(a->err == 0, "%s", a->text);
    ATF_CHECK_EQ(105, do_locate(&b.w, "/f")->file_length);
    bench_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_small_file_is_one_record);
    ATF_TP_ADD_TC(tp, attributes_go_with_the_content);
    ATF_TP_ADD_TC(tp, content_replaces_blocks_and_ends_the_lease);
    ATF_TP_ADD_TC(tp, more_than_is_kept_is_refused);
    ATF_TP_ADD_TC(tp, content_stays_until_its_block_is_told_to_have_it);
    ATF_TP_ADD_TC(tp, a_writer_that_dies_early_leaves_the_content);
    ATF_TP_ADD_TC(tp, a_writer_that_dies_late_leaves_the_block);
    ATF_TP_ADD_TC(tp, content_is_cut_and_grows_by_a_hole);
    ATF_TP_ADD_TC(tp, content_is_one_block_with_a_reserved_id);
    ATF_TP_ADD_TC(tp, fsck_finds_content_and_holes_healthy);
    ATF_TP_ADD_TC(tp, an_append_goes_behind_the_content);
    ATF_TP_ADD_TC(tp, truncate_cuts_holes_and_content_at_once);
    ATF_TP_ADD_TC(tp, truncate_inside_a_short_block_in_the_middle);
    ATF_TP_ADD_TC(tp, concat_takes_no_content_in);
    return atf_no_error();
}
