/* Attributes of the server as the kernel wants them. */
#include "fs/mount/attr.h"

#include <atf-c.h>
#include <string.h>

ATF_TC_WITHOUT_HEAD(files_directories_and_links_look_like_a_disk_s);
ATF_TC_BODY(files_directories_and_links_look_like_a_disk_s, tc)
{
    struct hd_users *u;
    struct stat st;
    char link[] = "../target";
    ATF_REQUIRE_EQ(hd_users_new(&hd_users_system, &u), 0);
    struct hd_stat file = {.type = HD_TYPE_FILE,
                           .mode = 0640,
                           .size_bytes = 513,
                           .mtime_ms = 981173106789,
                           .owner = "root",
                           .group = "root"};
    hd_attr_fill(u, &file, 77, &st);
    ATF_CHECK_EQ(st.st_ino, 77);
    ATF_CHECK_EQ(st.st_mode, (mode_t)(S_IFREG | 0640));
    ATF_CHECK_EQ(st.st_nlink, 1);
    ATF_CHECK_EQ(st.st_size, 513);
    ATF_CHECK_EQ(st.st_blocks, 2);
    ATF_CHECK_EQ(st.st_uid, 0);
    ATF_CHECK_EQ(st.st_mtim.tv_sec, 981173106);
    ATF_CHECK_EQ(st.st_mtim.tv_nsec, 789000000);
    ATF_CHECK_EQ(st.st_atim.tv_sec, 981173106); /* without an access time, the modification's */
    struct hd_stat dir = {.type = HD_TYPE_DIR, .mode = 01777, .children = 3};
    hd_attr_fill(u, &dir, 1, &st);
    ATF_CHECK_EQ(st.st_mode, (mode_t)(S_IFDIR | 01777));
    ATF_CHECK_EQ(st.st_size, 4096);
    ATF_CHECK_EQ(st.st_nlink, 5);
    dir.children = -1;
    hd_attr_fill(u, &dir, 1, &st);
    ATF_CHECK_EQ(st.st_nlink, 2);
    struct hd_stat symlink = {.type = HD_TYPE_SYMLINK, .mode = 0, .link = link};
    hd_attr_fill(u, &symlink, 9, &st);
    ATF_CHECK_EQ(st.st_mode, (mode_t)(S_IFLNK | 0777));
    ATF_CHECK_EQ(st.st_size, 9);
    hd_users_free(u);
}

ATF_TC_WITHOUT_HEAD(milliseconds_survive_both_ways_even_before_1970);
ATF_TC_BODY(milliseconds_survive_both_ways_even_before_1970, tc)
{
    static const int64_t times[] = {0, 1, 999, 1000, 981173106789, -1, -999, -1000, -1001};
    for (size_t i = 0; i < HD_ARRAY_COUNT(times); i++) {
        struct timespec t = hd_attr_timespec(times[i]);
        ATF_CHECK(t.tv_nsec >= 0 && t.tv_nsec < 1000000000);
        ATF_CHECK_EQ(hd_attr_ms(&t), times[i]);
    }
}

ATF_TC_WITHOUT_HEAD(a_file_that_is_written_is_as_large_as_what_was_written);
ATF_TC_BODY(a_file_that_is_written_is_as_large_as_what_was_written, tc)
{
    struct hd_node n = {0};
    struct stat st = {.st_mode = S_IFREG, .st_size = 5};
    atomic_store(&n.staged_size, HD_NOT_STAGED);
    hd_attr_overlay(&n, &st);
    ATF_CHECK_EQ(st.st_size, 5);
    atomic_store(&n.staged_size, 1025);
    atomic_store(&n.staged_mtime_ms, 2001);
    hd_attr_overlay(&n, &st);
    ATF_CHECK_EQ(st.st_size, 1025);
    ATF_CHECK_EQ(st.st_blocks, 3);
    ATF_CHECK_EQ(st.st_mtim.tv_sec, 2);
    ATF_CHECK_EQ(st.st_mtim.tv_nsec, 1000000);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, files_directories_and_links_look_like_a_disk_s);
    ATF_TP_ADD_TC(tp, milliseconds_survive_both_ways_even_before_1970);
    ATF_TP_ADD_TC(tp, a_file_that_is_written_is_as_large_as_what_was_written);
    return atf_no_error();
}
