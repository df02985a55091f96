/* The way back is written down before the first step. */
#include "tools/drill/drill.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ATF_REQUIRE(f != NULL);
    fputs(text, f);
    fclose(f);
}

static void check_file(const char *path, const char *want)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    ATF_REQUIRE_EQ_MSG(hd_file_read(path, 4096, &text), 0, "%s", path);
    ATF_CHECK_STREQ_MSG(hd_buf_str(&text), want, "%s", path);
}

#define ADD(j, kind, ...)                                                                          \
    hd_journal_add((j), (kind), (const char *const[]){__VA_ARGS__},                                \
                   HD_ARRAY_COUNT(((const char *const[]){__VA_ARGS__})))

ATF_TC_WITHOUT_HEAD(what_was_noted_is_read_again);
ATF_TC_BODY(what_was_noted_is_read_again, tc)
{
    struct hd_journal j;
    struct hd_journal again;
    ATF_REQUIRE_EQ(hd_journal_open("journal", &j), 0);
    ATF_REQUIRE_EQ(hd_journal_add(&j, HD_UNDO_START, NULL, 0), 0);
    ATF_REQUIRE_EQ(ADD(&j, HD_UNDO_BYTES, "/a b", "17", "/good", "/bad"), 0);
    ATF_CHECK_EQ(ADD(&j, HD_UNDO_MOVE, "one"), -EINVAL);
    ATF_CHECK_EQ(ADD(&j, HD_UNDO_FAULTS, "tab\there"), -EINVAL);
    hd_journal_done(&j); /* as a killed drill would leave it */
    ATF_REQUIRE_EQ(hd_journal_load("journal", &again), 0);
    ATF_REQUIRE_EQ(again.count, 2);
    ATF_CHECK_EQ(again.list[0].kind, HD_UNDO_START);
    ATF_CHECK_EQ(again.list[1].kind, HD_UNDO_BYTES);
    ATF_CHECK_STREQ(again.list[1].args[0], "/a b");
    ATF_CHECK_STREQ(again.list[1].args[3], "/bad");
    ATF_CHECK_EQ(hd_journal_open("journal", &j), -EEXIST);
    ATF_REQUIRE_EQ(hd_journal_clear(&again), 0);
    ATF_CHECK(access("journal", F_OK) != 0);
    ATF_REQUIRE_EQ(hd_journal_clear(&again), 0);
    hd_journal_done(&again);
}

ATF_TC_WITHOUT_HEAD(a_torn_last_line_was_never_done);
ATF_TC_BODY(a_torn_last_line_was_never_done, tc)
{
    struct hd_journal j;
    write_file("journal", "start\ncontinue\tdata-1\nmove\t/a");
    ATF_REQUIRE_EQ(hd_journal_load("journal", &j), 0);
    ATF_CHECK_EQ(j.count, 2);
    hd_journal_done(&j);
}

ATF_TC_WITHOUT_HEAD(no_journal_is_nothing_to_undo);
ATF_TC_BODY(no_journal_is_nothing_to_undo, tc)
{
    struct hd_journal j;
    struct hd_cluster c = {0};
    ATF_REQUIRE_EQ(hd_journal_load("none", &j), 0);
    ATF_CHECK_EQ(j.count, 0);
    ATF_CHECK_EQ(hd_drill_heal(&c, &j, true), 0);
    hd_journal_done(&j);
}

ATF_TC_WITHOUT_HEAD(nonsense_is_refused);
ATF_TC_BODY(nonsense_is_refused, tc)
{
    struct hd_inverse u;
    char unknown[] = "explode\tdata-1";
    char few[] = "bytes\t/a\t0";
    char many[] = "continue\tdata-1\tdata-2";
    ATF_CHECK_EQ(hd_inverse_decode(unknown, &u), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(hd_inverse_decode(few, &u), -HD_E_BAD_MESSAGE);
    ATF_CHECK_EQ(hd_inverse_decode(many, &u), -HD_E_BAD_MESSAGE);
}

static int heal(const char *journal)
{
    struct hd_journal j;
    struct hd_cluster c = {0};
    write_file("journal", journal);
    ATF_REQUIRE_EQ(hd_journal_load("journal", &j), 0);
    int rc = hd_drill_heal(&c, &j, true);
    hd_journal_done(&j);
    return rc;
}

ATF_TC_WITHOUT_HEAD(bytes_come_back_where_the_bad_ones_still_are);
ATF_TC_BODY(bytes_come_back_where_the_bad_ones_still_are, tc)
{
    write_file("good", "good");
    write_file("bad", "evil");
    write_file("file", "all is evil here");
    ATF_CHECK_EQ(heal("bytes\tfile\t7\tgood\tbad\n"), 0);
    check_file("file", "all is good here");
    ATF_CHECK_EQ(heal("bytes\tfile\t7\tgood\tbad\n"), 0);
    check_file("file", "all is good here");
    /* Mended by the cluster: other bytes, shorter, or gone. */
    write_file("file", "all is new! here");
    ATF_CHECK_EQ(heal("bytes\tfile\t7\tgood\tbad\n"), 0);
    check_file("file", "all is new! here");
    write_file("file", "short");
    ATF_CHECK_EQ(heal("bytes\tfile\t7\tgood\tbad\n"), 0);
    check_file("file", "short");
    unlink("file");
    ATF_CHECK_EQ(heal("bytes\tfile\t7\tgood\tbad\n"), 0);
    ATF_CHECK(access("file", F_OK) != 0);
}

ATF_TC_WITHOUT_HEAD(what_was_moved_away_comes_back_unless_there_is_another);
ATF_TC_BODY(what_was_moved_away_comes_back_unless_there_is_another, tc)
{
    write_file("away", "old");
    ATF_CHECK_EQ(heal("move\t./away\t./file\n"), 0);
    check_file("file", "old");
    ATF_CHECK_EQ(heal("move\t./away\t./file\n"), 0);
    write_file("away", "older");
    ATF_CHECK_EQ(heal("move\t./away\t./file\n"), 0);
    check_file("file", "old");
}

ATF_TC_WITHOUT_HEAD(a_cut_file_is_replaced_while_it_is_as_it_was_cut);
ATF_TC_BODY(a_cut_file_is_replaced_while_it_is_as_it_was_cut, tc)
{
    write_file("saved", "whole image");
    write_file("image", "whole");
    ATF_CHECK_EQ(heal("replace\t./saved\t./image\t5\n"), 0);
    check_file("image", "whole image");
    write_file("saved", "old");
    write_file("image", "another");
    ATF_CHECK_EQ(heal("replace\t./saved\t./image\t5\n"), 0);
    check_file("image", "another");
}

ATF_TC_WITHOUT_HEAD(everything_is_tried_in_the_opposite_order);
ATF_TC_BODY(everything_is_tried_in_the_opposite_order, tc)
{
    write_file("a", "first");
    /* b can only come from a after c was taken out of the way: the last line is undone first. */
    write_file("b", "second");
    ATF_CHECK(heal("move\t./a\t./b\nmove\t./b\t./c\nbytes\t./c\t0\t./none\t./none\n") < 0);
    check_file("b", "first");
    check_file("c", "second");
}

ATF_TC_WITHOUT_HEAD(one_drill_at_a_time);
ATF_TC_BODY(one_drill_at_a_time, tc)
{
    int fd;
    int second;
    ATF_CHECK_EQ(hd_drill_lock_holder("."), 0);
    ATF_REQUIRE_EQ(hd_drill_lock(".", &fd), 0);
    ATF_CHECK_EQ(hd_drill_lock(".", &second), -EBUSY);
    ATF_CHECK_EQ(hd_drill_lock_holder("."), getpid());
    close(fd);
    ATF_CHECK_EQ(hd_drill_lock_holder("."), 0);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_was_noted_is_read_again);
    ATF_TP_ADD_TC(tp, a_torn_last_line_was_never_done);
    ATF_TP_ADD_TC(tp, no_journal_is_nothing_to_undo);
    ATF_TP_ADD_TC(tp, nonsense_is_refused);
    ATF_TP_ADD_TC(tp, bytes_come_back_where_the_bad_ones_still_are);
    ATF_TP_ADD_TC(tp, what_was_moved_away_comes_back_unless_there_is_another);
    ATF_TP_ADD_TC(tp, a_cut_file_is_replaced_while_it_is_as_it_was_cut);
    ATF_TP_ADD_TC(tp, everything_is_tried_in_the_opposite_order);
    ATF_TP_ADD_TC(tp, one_drill_at_a_time);
    return atf_no_error();
}
