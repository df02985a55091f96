/* The scanner's bookmark. */
#include "fs/data/store/scan_cursor.h"

#include <atf-c.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static const struct hd_scan_cursor some = {.last = {1073741900},
                                           .pass_begin_ms = 1790000000000,
                                           .pass_checked = 75,
                                           .full_begin_ms = 1789000000000,
                                           .full_end_ms = 1789000400000,
                                           .full_checked = 1200};

ATF_TC_WITHOUT_HEAD(what_was_kept_is_read);
ATF_TC_BODY(what_was_kept_is_read, tc)
{
    struct hd_scan_cursor c;
    ATF_REQUIRE_EQ(hd_scan_cursor_write(".", &some), 0);
    hd_scan_cursor_read(".", &c);
    ATF_CHECK_EQ(memcmp(&c, &some, sizeof(c)), 0);
}

ATF_TC_WITHOUT_HEAD(no_bookmark_is_a_fresh_start);
ATF_TC_BODY(no_bookmark_is_a_fresh_start, tc)
{
    static const struct hd_scan_cursor none;
    struct hd_scan_cursor c = some;
    hd_scan_cursor_read("nowhere", &c);
    ATF_CHECK_EQ(memcmp(&c, &none, sizeof(c)), 0);
}

/* Every byte of it, flipped or cut off, but for the newline at its end. */
ATF_TC_WITHOUT_HEAD(a_torn_bookmark_is_a_fresh_start);
ATF_TC_BODY(a_torn_bookmark_is_a_fresh_start, tc)
{
    static const struct hd_scan_cursor none;
    struct hd_scan_cursor c;
    char text[512];
    ATF_REQUIRE_EQ(hd_scan_cursor_write(".", &some), 0);
    int fd = open("scanner.cursor", O_RDWR);
    ATF_REQUIRE(fd >= 0);
    ssize_t n = pread(fd, text, sizeof(text), 0);
    ATF_REQUIRE(n > 100);
    n--;
    for (ssize_t i = 0; i < n; i++) {
        char flipped = (char)(text[i] ^ 1);
        ATF_REQUIRE_EQ(pwrite(fd, &flipped, 1, i), 1);
        hd_scan_cursor_read(".", &c);
        ATF_CHECK_EQ_MSG(memcmp(&c, &none, sizeof(c)), 0, "byte %zd flipped", i);
        ATF_REQUIRE_EQ(pwrite(fd, &text[i], 1, i), 1);
    }
    for (ssize_t i = n - 1; i >= 0; i--) {
        ATF_REQUIRE_EQ(ftruncate(fd, i), 0);
        hd_scan_cursor_read(".", &c);
        ATF_CHECK_EQ_MSG(memcmp(&c, &none, sizeof(c)), 0, "cut to %zd", i);
    }
    close(fd);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, what_was_kept_is_read);
    ATF_TP_ADD_TC(tp, no_bookmark_is_a_fresh_start);
    ATF_TP_ADD_TC(tp, a_torn_bookmark_is_a_fresh_start);
    return atf_no_error();
}
