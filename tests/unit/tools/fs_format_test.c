/* Sizes, modes and times as Hadoop prints them. */
#include "tools/fs_format.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

ATF_TC_WITHOUT_HEAD(sizes_are_those_of_hadoop);
ATF_TC_BODY(sizes_are_those_of_hadoop, tc)
{
    static const struct {
        uint64_t bytes;
        const char *unit;
        int decimals;
        const char *want;
    } rows[] = {
        {0, "", 1, "0"},
        {1023, "", 1, "1023"},
        {1024, "", 1, "1 K"},
        {1536, "", 1, "1.5 K"},
        {134217728, "", 1, "128 M"},
        {1048575, "", 1, "1.0 M"}, /* never "1024.0 K" */
        {5000000, "", 1, "4.8 M"},
        {0, "B", 2, "0 B"},
        {270553174016, "B", 2, "251.97 GB"},
        {595472, "B", 2, "581.52 KB"},
        {1ULL << 60, "", 1, "1 E"},
        {UINT64_MAX, "", 1, "16.0 E"},
    };
    char text[HD_SIZE_TEXT_BYTES];
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        ATF_CHECK_STREQ(hd_format_size(rows[i].bytes, rows[i].unit, rows[i].decimals, text),
                        rows[i].want);
    }
}

ATF_TC_WITHOUT_HEAD(plain_sizes_are_digits);
ATF_TC_BODY(plain_sizes_are_digits, tc)
{
    char text[HD_SIZE_TEXT_BYTES];
    ATF_CHECK_STREQ(hd_format_bytes(1536, false, text), "1536");
    ATF_CHECK_STREQ(hd_format_bytes(1536, true, text), "1.5 K");
}

ATF_TC_WITHOUT_HEAD(modes_show_the_sticky_bit);
ATF_TC_BODY(modes_show_the_sticky_bit, tc)
{
    char text[HD_MODE_TEXT_BYTES];
    ATF_CHECK_STREQ(hd_format_mode(0755, text), "rwxr-xr-x");
    ATF_CHECK_STREQ(hd_format_mode(0640, text), "rw-r-----");
    ATF_CHECK_STREQ(hd_format_mode(01777, text), "rwxrwxrwt");
    ATF_CHECK_STREQ(hd_format_mode(01776, text), "rwxrwxrwT");
    ATF_CHECK_STREQ(hd_format_mode(0, text), "---------");
}

ATF_TC_WITHOUT_HEAD(times_are_utc_or_local);
ATF_TC_BODY(times_are_utc_or_local, tc)
{
    char text[HD_TIME_TEXT_BYTES];
    setenv("TZ", "Asia/Kolkata", 1);
    tzset();
    ATF_CHECK_STREQ(hd_format_time(981173106789, "%Y-%m-%d %H:%M:%S", true, text),
                    "2001-02-03 04:05:06");
    ATF_CHECK_STREQ(hd_format_time(981173106789, "%Y-%m-%d %H:%M", false, text),
                    "2001-02-03 09:35");
    ATF_CHECK_STREQ(hd_format_time(-1, "%Y-%m-%d %H:%M:%S", true, text), "1969-12-31 23:59:59");
}

ATF_TC_WITHOUT_HEAD(modes_parse_octal_and_symbolic);
ATF_TC_BODY(modes_parse_octal_and_symbolic, tc)
{
    static const struct {
        const char *text;
        uint32_t old_mode;
        bool is_dir;
        uint32_t want;
    } rows[] = {
        {"700", 0644, false, 0700}, {"1777", 0, true, 01777},         {"0644", 0777, false, 0644},
        {"u+x", 0644, false, 0744}, {"go-rwx", 0777, false, 0700},    {"a=r", 0777, false, 0444},
        {"+x", 0644, false, 0755},  {"u=rw,go=r", 0777, false, 0644}, {"a+X", 0644, false, 0644},
        {"a+X", 0644, true, 0755},  {"a+X", 0744, false, 0755},       {"+t", 0755, true, 01755},
        {"-t", 01755, true, 0755},  {"u+r-w", 0300, false, 0500},     {"o=", 0777, false, 0770},
    };
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        uint32_t mode = 0;
        ATF_CHECK_EQ(hd_parse_mode(rows[i].text, rows[i].old_mode, rows[i].is_dir, &mode), 0);
        ATF_CHECK_EQ_MSG(mode, rows[i].want, "%s on %o: %o", rows[i].text, rows[i].old_mode, mode);
    }
}

ATF_TC_WITHOUT_HEAD(nonsense_is_no_mode);
ATF_TC_BODY(nonsense_is_no_mode, tc)
{
    static const char *const rows[] = {"",    "8",    "7777", "u",    "u+q",
                                       "q+r", "u+r,", "644x", ",u+r", "u+r,,g+r"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(rows); i++) {
        uint32_t mode;
        bool trailing_comma = strcmp(rows[i], "u+r,") == 0; /* harmless, as in chmod(1) */
        ATF_CHECK_EQ_MSG(hd_parse_mode(rows[i], 0644, false, &mode), trailing_comma ? 0 : -EINVAL,
                         "%s", rows[i]);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, sizes_are_those_of_hadoop);
    ATF_TP_ADD_TC(tp, plain_sizes_are_digits);
    ATF_TP_ADD_TC(tp, modes_show_the_sticky_bit);
    ATF_TP_ADD_TC(tp, times_are_utc_or_local);
    ATF_TP_ADD_TC(tp, modes_parse_octal_and_symbolic);
    ATF_TP_ADD_TC(tp, nonsense_is_no_mode);
    return atf_no_error();
}
