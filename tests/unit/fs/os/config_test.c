/* howdah.conf: where a key is looked for, what does not parse, how the file is found. */
#include "fs/os/config.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>

static void write_file(const char *path, const char *text)
{
    ATF_REQUIRE_EQ(hd_file_replace(path, text, strlen(text), 0644), 0);
}

ATF_TC_WITHOUT_HEAD(an_instance_comes_before_its_section);
ATF_TC_BODY(an_instance_comes_before_its_section, tc)
{
    write_file("c", "[data]\nheartbeat_ms = 1000\nreserved = 10m\nfast = yes\nshare = 0.5\n"
                    "[data-2]\nheartbeat_ms = 2000\n");
    struct hd_config *c = NULL;
    ATF_REQUIRE_EQ(hd_config_load("c", &c), 0);
    struct hd_config_at one = {c, "data-1", "data"};
    struct hd_config_at two = {c, "data-2", "data"};
    int64_t n = 0;
    uint64_t bytes = 0;
    bool fast = false;
    double share = 0;
    ATF_CHECK_EQ(hd_config_int(one, "heartbeat_ms", 5, &n), 0);
    ATF_CHECK_EQ(n, 1000);
    ATF_CHECK_EQ(hd_config_int(two, "heartbeat_ms", 5, &n), 0);
    ATF_CHECK_EQ(n, 2000);
    ATF_CHECK_EQ(hd_config_int(two, "none", 5, &n), 0);
    ATF_CHECK_EQ(n, 5);
    ATF_CHECK_EQ(hd_config_bytes(two, "reserved", 0, &bytes), 0);
    ATF_CHECK_EQ(bytes, 10485760u);
    ATF_CHECK_EQ(hd_config_bool(two, "fast", false, &fast), 0);
    ATF_CHECK(fast);
    ATF_CHECK_EQ(hd_config_double(two, "share", 0, &share), 0);
    ATF_CHECK(share > 0.49 && share < 0.51);
    ATF_CHECK_STREQ(hd_config_str(two, "none", "x"), "x");
    hd_config_free(c);
}

ATF_TC_WITHOUT_HEAD(what_does_not_parse_is_named);
ATF_TC_BODY(what_does_not_parse_is_named, tc)
{
    write_file("c", "[a]\nn = 12x\nb = maybe\ns = 5q\n");
    struct hd_config *c = NULL;
    ATF_REQUIRE_EQ(hd_config_load("c", &c), 0);
    struct hd_config_at at = {c, NULL, "a"};
    int64_t n;
    uint64_t bytes;
    bool flag;
    ATF_CHECK_EQ(hd_config_int(at, "n", 0, &n), -HD_E_CONFIG);
    ATF_CHECK_STREQ(hd_fail_text(), "c: [a] n = 12x: expected a whole number");
    ATF_CHECK_EQ(hd_config_bool(at, "b", false, &flag), -HD_E_CONFIG);
    ATF_CHECK_EQ(hd_config_bytes(at, "s", 0, &bytes), -HD_E_CONFIG);
    hd_config_free(c);
    write_file("bad", "[a]\nno equals sign here\n");
    ATF_CHECK_EQ(hd_config_load("bad", &c), -HD_E_CONFIG);
    ATF_CHECK(strstr(hd_fail_text(), "bad:2") != NULL);
    ATF_CHECK_EQ(hd_config_load("nosuchfile", &c), -ENOENT);
}

ATF_TC_WITHOUT_HEAD(sizes_have_suffixes_and_do_not_overflow);
ATF_TC_BODY(sizes_have_suffixes_and_do_not_overflow, tc)
{
    uint64_t v = 0;
    ATF_CHECK_EQ(hd_parse_bytes("0", &v), 0);
    ATF_CHECK_EQ(v, 0u);
    ATF_CHECK_EQ(hd_parse_bytes("3K", &v), 0);
    ATF_CHECK_EQ(v, 3072u);
    ATF_CHECK_EQ(hd_parse_bytes("2t", &v), 0);
    ATF_CHECK_EQ(v, 2199023255552u);
    ATF_CHECK_EQ(hd_parse_bytes("99999999999t", &v), -EINVAL);
    ATF_CHECK_EQ(hd_parse_bytes("-1", &v), -EINVAL);
    ATF_CHECK_EQ(hd_parse_bytes("", &v), -EINVAL);
    ATF_CHECK_EQ(hd_parse_bytes("1mm", &v), -EINVAL);
}

ATF_TC_WITHOUT_HEAD(the_file_is_found_in_the_order_promised);
ATF_TC_BODY(the_file_is_found_in_the_order_promised, tc)
{
    char path[256];
    ATF_REQUIRE_EQ(hd_dir_make("home/.howdah", 0755), 0);
    ATF_REQUIRE_EQ(hd_dir_make("d", 0755), 0);
    write_file("home/.howdah/howdah.conf", "");
    write_file("env.conf", "");
    write_file("d/howdah.conf", "");
    setenv("HOME", "home", 1);
    setenv("HOWDAH_CONF", "env.conf", 1);
    ATF_CHECK_EQ(hd_config_find("d", path, sizeof(path)), 0);
    ATF_CHECK_STREQ(path, "d/howdah.conf");
    ATF_CHECK_EQ(hd_config_find(NULL, path, sizeof(path)), 0);
    ATF_CHECK_STREQ(path, "env.conf");
    unsetenv("HOWDAH_CONF");
    ATF_CHECK_EQ(hd_config_find(NULL, path, sizeof(path)), 0);
    ATF_CHECK_STREQ(path, "home/.howdah/howdah.conf");
    ATF_CHECK_EQ(hd_config_find("nodir", path, sizeof(path)), -ENOENT);
    ATF_CHECK(strstr(hd_fail_text(), "howdah up") != NULL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_instance_comes_before_its_section);
    ATF_TP_ADD_TC(tp, what_does_not_parse_is_named);
    ATF_TP_ADD_TC(tp, sizes_have_suffixes_and_do_not_overflow);
    ATF_TP_ADD_TC(tp, the_file_is_found_in_the_order_promised);
    return atf_no_error();
}
