/* Which connection is mounted where. */
#include "fs/mount/guard.h"

#include <atf-c.h>

static const char text[] = "24 30 0:22 / /sys rw,nosuid - sysfs sysfs rw\n"
                           "91 30 0:57 / /mnt/howdah rw - fuse.howdah hdfs://a:1 rw\n"
                           "92 30 0:58 / /mnt/how rw shared:4 - fuse.howdah hdfs://a:1 rw\n"
                           "93 30 0:59 / /mnt/with\\040space\\134x rw - fuse.howdah hdfs://a:1 rw\n"
                           "94 30 0:60 / /mnt/howdah rw - fuse.howdah hdfs://b:1 rw\n"
                           "95 30 8:1 / /mnt/howdah/deeper rw - ext4 /dev/sda1 rw\n"
                           "broken line\n"
                           "96 30 0:61 / /last";

ATF_TC_WITHOUT_HEAD(the_number_is_that_of_the_last_mount_there);
ATF_TC_BODY(the_number_is_that_of_the_last_mount_there, tc)
{
    unsigned n = 0;
    ATF_CHECK(hd_guard_find(text, "/mnt/howdah", &n));
    ATF_CHECK_EQ(n, 60);
    ATF_CHECK(hd_guard_find(text, "/mnt/how", &n));
    ATF_CHECK_EQ(n, 58);
    ATF_CHECK(hd_guard_find(text, "/mnt/with space\\x", &n));
    ATF_CHECK_EQ(n, 59);
    ATF_CHECK(hd_guard_find(text, "/last", &n));
    ATF_CHECK_EQ(n, 61);
    ATF_CHECK(!hd_guard_find(text, "/mnt", &n));
    ATF_CHECK(!hd_guard_find(text, "/mnt/howdah/", &n));
    ATF_CHECK(!hd_guard_find("", "/mnt", &n));
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, the_number_is_that_of_the_last_mount_there);
    return atf_no_error();
}
