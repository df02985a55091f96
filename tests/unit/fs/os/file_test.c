/* Files: whole transfers, replacement, trees, the lock of a directory. */
#include "fs/os/file.h"
#include "fs/base/error.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

ATF_TC_WITHOUT_HEAD(a_replaced_file_has_the_new_content);
ATF_TC_BODY(a_replaced_file_has_the_new_content, tc)
{
    struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_file_replace("f", "one", 3, 0600), 0);
    ATF_REQUIRE_EQ(hd_file_replace("f", "second", 6, 0600), 0);
    ATF_REQUIRE_EQ(hd_file_read("f", 100, &b), 0);
    ATF_CHECK_STREQ(hd_buf_str(&b), "second");
    hd_buf_clear(&b);
    ATF_CHECK_EQ(hd_file_read("f", 5, &b), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(access("f.tmp", F_OK), -1);
    ATF_CHECK_EQ(hd_file_replace("nodir/f", "x", 1, 0600), -ENOENT);
    ATF_CHECK(strstr(hd_fail_text(), "nodir/f") != NULL);
    hd_buf_done(&b);
}

ATF_TC_WITHOUT_HEAD(reading_past_the_end_is_truncated);
ATF_TC_BODY(reading_past_the_end_is_truncated, tc)
{
    char bytes[8];
    ATF_REQUIRE_EQ(hd_file_replace("f", "12345", 5, 0600), 0);
    HD_AUTO(hd_fd_done) int fd = open("f", O_RDWR);
    ATF_CHECK_EQ(hd_fd_pread(fd, bytes, 5, 0), 0);
    ATF_CHECK_EQ(hd_fd_pread(fd, bytes, 6, 0), -HD_E_TRUNCATED);
    ATF_CHECK_EQ(hd_fd_pwrite(fd, "xyz", 3, 10), 0);
    ATF_CHECK_EQ(hd_fd_pread(fd, bytes, 3, 10), 0);
    ATF_CHECK_EQ(memcmp(bytes, "xyz", 3), 0);
}

ATF_TC_WITHOUT_HEAD(trees_are_made_and_removed);
ATF_TC_BODY(trees_are_made_and_removed, tc)
{
    struct stat st;
    ATF_REQUIRE_EQ(hd_dir_make("a/b/c", 0755), 0);
    ATF_REQUIRE_EQ(hd_dir_make("a/b/c", 0755), 0);
    ATF_REQUIRE_EQ(hd_file_replace("a/b/f", "", 0, 0600), 0);
    ATF_REQUIRE_EQ(symlink("/etc", "a/b/link"), 0);
    ATF_CHECK_EQ(hd_dir_make("a/b/f", 0755), -ENOTDIR);
    ATF_CHECK_EQ(hd_dir_remove("a"), 0);
    ATF_CHECK_EQ(stat("a", &st), -1);
    ATF_CHECK_EQ(stat("/etc/passwd", &st), 0);
    ATF_CHECK_EQ(hd_dir_remove("a"), 0);
}

ATF_TC_WITHOUT_HEAD(a_directory_has_one_user);
ATF_TC_BODY(a_directory_has_one_user, tc)
{
    int fd = -1;
    int again = -1;
    ATF_REQUIRE_EQ(hd_dir_lock(".", &fd), 0);
    ATF_REQUIRE(fd >= 0);
    ATF_CHECK_EQ(hd_dir_lock(".", &again), -EBUSY);
    char pid[32];
    snprintf(pid, sizeof(pid), "pid %d", (int)getpid());
    ATF_CHECK(strstr(hd_fail_text(), pid) != NULL);
    close(fd);
    ATF_CHECK_EQ(hd_dir_lock(".", &again), 0);
    close(again);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_replaced_file_has_the_new_content);
    ATF_TP_ADD_TC(tp, reading_past_the_end_is_truncated);
    ATF_TP_ADD_TC(tp, trees_are_made_and_removed);
    ATF_TP_ADD_TC(tp, a_directory_has_one_user);
    return atf_no_error();
}
