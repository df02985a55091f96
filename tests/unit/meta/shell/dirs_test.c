/*
 * Several metadata directories: all have everything; one that fails, is lost, comes back empty, old
 * or damaged costs nothing; one that may be old is not started from.
 */
#include "tests/unit/meta/shell/store_rig.h"
#include "fs/os/fault.h"
#include "meta/shell/dirs.h"

#include <fcntl.h>
#include <glob.h>
#include <unistd.h>

static struct rig rig;
static char cwd[512];
static char both[2100];

static void start(void)
{
    ATF_REQUIRE(getcwd(cwd, sizeof(cwd)) != NULL);
    snprintf(both, sizeof(both), "%s/a, %s/b", cwd, cwd);
    rig_init(&rig, both);
    rig_begin(&rig);
}

static const char *in_cwd(const char *name)
{
    static char path[2][1024];
    static int turn;
    turn = !turn;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", cwd, name);
    return path[turn];
}

static void again(void)
{
    rig_kill(&rig);
    rig_begin(&rig);
}

/* The directory refuses, with a sentence that has these words. */
static void refuses(const char *words)
{
    rig_kill(&rig);
    int err = rig_open(&rig);
    ATF_REQUIRE_MSG(err < 0, "it opened");
    ATF_CHECK_MSG(strstr(hd_fail_text(), words) != NULL, "%s", hd_fail_text());
}

static size_t count_files(const char *pattern)
{
    glob_t g;
    size_t n = glob(in_cwd(pattern), 0, NULL, &g) == 0 ? g.gl_pathc : 0;
    globfree(&g);
    return n;
}

static const char *only_file(const char *pattern)
{
    static char path[2048];
    glob_t g;
    ATF_REQUIRE_EQ_MSG(glob(in_cwd(pattern), 0, NULL, &g), 0, "%s", pattern);
    snprintf(path, sizeof(path), "%s", g.gl_pathv[g.gl_pathc - 1]);
    globfree(&g);
    return path;
}

static void only(const char *name)
{
    static char path[1024];
    snprintf(path, sizeof(path), "%s", in_cwd(name));
    rig.dirs = path;
}

static void fail_dir(const char *name, enum hd_fault_point point, int64_t value)
{
    const struct hd_fault f = {point, in_cwd(name), value, 60000};
    ATF_REQUIRE_EQ(hd_fault_set(&f, 1), 0);
}

static void heal(void)
{
    ATF_REQUIRE_EQ(hd_fault_set(NULL, 0), 0);
}

ATF_TC_WITHOUT_HEAD(each_directory_has_everything);
ATF_TC_BODY(each_directory_has_everything, tc)
{
    start();
    rig_work(&rig, 50);
    rig_checkpoint(&rig, 1);
    rig_work(&rig, 20);
    ATF_CHECK_EQ(count_files("b/image_*"), 2);
    again();
    rig_work(&rig, 10);
    /* Either alone, when the operator says so. */
    for (int i = 0; i < 2; i++) {
        rig_kill(&rig);
        only(i == 0 ? "a" : "b");
        ATF_REQUIRE_EQ_MSG(hd_members_accept(rig.dirs), 0, "%s", hd_fail_text());
        rig_begin(&rig);
    }
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(one_that_fails_is_left_out_and_filled_at_the_next_start);
ATF_TC_BODY(one_that_fails_is_left_out_and_filled_at_the_next_start, tc)
{
    static const char *const victims[] = {"a", "b"};
    start();
    for (int i = 0; i < 6; i++) {
        rig_work(&rig, 10);
        fail_dir(victims[i % 2], i < 4 ? HD_FAULT_DISK_ERROR : HD_FAULT_DISK_FULL, 0);
        rig_work(&rig, 10);
        struct hd_edit_log_dir dirs[HD_DIRS_MAX];
        ATF_REQUIRE_EQ(hd_edit_log_dirs(rig.s.log, dirs), 2);
        ATF_CHECK((dirs[0].failed != NULL) != (dirs[1].failed != NULL));
        heal();
        rig_work(&rig, 5); /* it stays out */
        again();
        ATF_REQUIRE_EQ(hd_edit_log_dirs(rig.s.log, dirs), 2);
        ATF_CHECK(dirs[0].failed == NULL && dirs[1].failed == NULL);
    }
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(the_last_one_is_not_left_out);
ATF_TC_BODY(the_last_one_is_not_left_out, tc)
{
    start();
    rig_work(&rig, 10);
    const struct hd_fault all = {HD_FAULT_DISK_ERROR, cwd, EIO, 60000};
    ATF_REQUIRE_EQ(hd_fault_set(&all, 1), 0);
    rig_mkdir(&rig);
    ATF_CHECK_EQ(rig_write(&rig, true), -EIO);
    heal();
    again();
    /* Without room nothing is lost, and the same append goes through later. */
    const struct hd_fault full = {HD_FAULT_DISK_FULL, cwd, 0, 60000};
    rig_work(&rig, 3);
    for (int i = 0; i < 200; i++) {
        rig_mkdir(&rig);
    }
    ATF_REQUIRE_EQ(hd_fault_set(&full, 1), 0);
    ATF_CHECK_EQ(rig_write(&rig, true), -ENOSPC);
    heal();
    ATF_CHECK_EQ(rig_write(&rig, true), 0);
    again();
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(an_old_one_alone_refuses_and_with_the_other_is_filled);
ATF_TC_BODY(an_old_one_alone_refuses_and_with_the_other_is_filled, tc)
{
    start();
    rig_work(&rig, 10);
    fail_dir("a", HD_FAULT_DISK_ERROR, 0);
    rig_work(&rig, 10);
    heal();
    only("a");
    refuses("howdah admin edits accept");
    only("b"); /* knows that it went on alone */
    rig_begin(&rig);
    rig_work(&rig, 10);
    rig_kill(&rig);
    rig.dirs = both;
    rig_begin(&rig);
    ATF_CHECK_EQ(count_files("a/aside/edits_*") > 0, true);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_dir_remove(in_cwd("b")), 0); /* lost for good */
    refuses("b, which is not here");
    ATF_REQUIRE_EQ(hd_members_accept(in_cwd("a")), 0);
    rig_begin(&rig);
    rig_work(&rig, 10);
    again();
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(directories_that_went_on_alone_are_not_mixed);
ATF_TC_BODY(directories_that_went_on_alone_are_not_mixed, tc)
{
    start();
    rig_work(&rig, 10);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_members_accept(in_cwd("a")), 0);
    ATF_REQUIRE_EQ(hd_members_accept(in_cwd("b")), 0);
    refuses("went on without each other");
    ATF_REQUIRE_EQ(hd_members_accept(in_cwd("b")), 0);
    rig_begin(&rig);
    rig_work(&rig, 10);
    again();
    rig_done(&rig);
}

static void spoil(const char *path, uint64_t offset)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR);
    uint8_t b;
    ATF_REQUIRE(fd >= 0 && pread(fd, &b, 1, (off_t)offset) == 1);
    b ^= 4;
    ATF_REQUIRE(pwrite(fd, &b, 1, (off_t)offset) == 1);
}

ATF_TC_WITHOUT_HEAD(damage_in_one_is_mended_from_the_other);
ATF_TC_BODY(damage_in_one_is_mended_from_the_other, tc)
{
    static const char *const names[] = {"a", "b"};
    start();
    for (int i = 0; i < 2; i++) {
        /* In the segment that was being written. */
        rig_work(&rig, 20);
        char pattern[64];
        snprintf(pattern, sizeof(pattern), "%s/edits_inprogress_*", names[i]);
        const char *path = only_file(pattern);
        rig_kill(&rig);
        spoil(path, 300);
        rig_begin(&rig);
        /* In a finished one that is needed: the view is lost. */
        rig_work(&rig, 20);
        rig_kill(&rig);
        snprintf(pattern, sizeof(pattern), "%s/edits_0*", names[i]);
        path = only_file(pattern);
        spoil(path, 300);
        ATF_REQUIRE_EQ(hd_dir_remove(in_cwd("a/view")), 0);
        rig_begin(&rig);
        /* Everything of one but its note. */
        rig_kill(&rig);
        snprintf(pattern, sizeof(pattern), "%s/VERSION", names[i]);
        ATF_REQUIRE_EQ(unlink(in_cwd(pattern)), 0);
        rig_begin(&rig);
        /* A tail that is lost without a trace. */
        rig_work(&rig, 20);
        rig_kill(&rig);
        snprintf(pattern, sizeof(pattern), "%s/edits_inprogress_*", names[i]);
        ATF_REQUIRE_EQ(truncate(only_file(pattern), 500), 0);
        rig_begin(&rig);
    }
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(both_damaged_in_different_places_are_whole_together);
ATF_TC_BODY(both_damaged_in_different_places_are_whole_together, tc)
{
    start();
    for (int i = 0; i < 3; i++) {
        rig_work(&rig, 20);
        ATF_REQUIRE_EQ(hd_edit_log_roll(rig.s.log), 0);
    }
    rig_kill(&rig);
    spoil(only_file("a/edits_00000000000000000001-*"), 300);
    spoil(only_file("b/edits_0*"), 300); /* the last */
    ATF_REQUIRE_EQ(hd_dir_remove(in_cwd("a/view")), 0);
    rig_begin(&rig);
    rig_kill(&rig);
    ATF_REQUIRE_EQ(hd_dir_remove(in_cwd("a/view")), 0);
    rig_begin(&rig); /* and they are mended */
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(a_fill_that_was_interrupted_is_done_again);
ATF_TC_BODY(a_fill_that_was_interrupted_is_done_again, tc)
{
    start();
    rig_work(&rig, 20);
    rig_kill(&rig);
    only("a");
    ATF_REQUIRE_EQ(hd_members_accept(rig.dirs), 0);
    ATF_REQUIRE_EQ(hd_file_replace(in_cwd("b/FILLING"), "", 0, 0644), 0);
    rig_begin(&rig);
    rig_kill(&rig);
    only("b");
    refuses("being filled");
    rig.dirs = both;
    rig_begin(&rig);
    ATF_CHECK(access(in_cwd("b/FILLING"), F_OK) < 0);
    rig_done(&rig);
}

ATF_TC_WITHOUT_HEAD(lists_are_split_at_commas);
ATF_TC_BODY(lists_are_split_at_commas, tc)
{
    char out[HD_DIRS_MAX][HD_DIR_PATH_BYTES];
    size_t count;
    ATF_REQUIRE_EQ(hd_dirs_split(" /a/b/ ,c,, /d e ", out, &count), 0);
    ATF_CHECK_EQ(count, 3);
    ATF_CHECK_STREQ(out[0], "/a/b");
    ATF_CHECK_STREQ(out[1], "c");
    ATF_CHECK_STREQ(out[2], "/d e");
    ATF_CHECK_EQ(hd_dirs_split("a,b,a", out, &count), -HD_E_CONFIG);
    ATF_CHECK_EQ(hd_dirs_split(" ,", out, &count), -HD_E_CONFIG);
    ATF_CHECK_EQ(hd_dirs_split("a,b,c,d,e,f,g,h,i", out, &count), -HD_E_CONFIG);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, each_directory_has_everything);
    ATF_TP_ADD_TC(tp, one_that_fails_is_left_out_and_filled_at_the_next_start);
    ATF_TP_ADD_TC(tp, the_last_one_is_not_left_out);
    ATF_TP_ADD_TC(tp, an_old_one_alone_refuses_and_with_the_other_is_filled);
    ATF_TP_ADD_TC(tp, directories_that_went_on_alone_are_not_mixed);
    ATF_TP_ADD_TC(tp, damage_in_one_is_mended_from_the_other);
    ATF_TP_ADD_TC(tp, both_damaged_in_different_places_are_whole_together);
    ATF_TP_ADD_TC(tp, a_fill_that_was_interrupted_is_done_again);
    ATF_TP_ADD_TC(tp, lists_are_split_at_commas);
    return atf_no_error();
}
