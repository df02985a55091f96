/* The command line, the mount(8) helper's one, the option list and the configuration. */
#include "fs/mount/options.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>

static int parse(struct hd_mount_options *o, bool root, int argc, const char *const *argv)
{
    char *copy[16];
    hd_mount_options_init(o, root);
    for (int i = 0; i < argc; i++) {
        copy[i] = strdup(argv[i]);
    }
    int rc = hd_mount_options_parse(o, argc, copy);
    for (int i = 0; i < argc; i++) {
        free(copy[i]);
    }
    return rc;
}
#define PARSE(o, root, ...)                                                                        \
    parse(o, root, (int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)),                  \
          (const char *[]){__VA_ARGS__})

ATF_TC_WITHOUT_HEAD(plain_command_line_has_defaults);
ATF_TC_BODY(plain_command_line_has_defaults, tc)
{
    struct hd_mount_options o;
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/mnt"), 0);
    ATF_CHECK_STREQ(o.uri, "hdfs://h:8020");
    ATF_CHECK_STREQ(o.cluster_dir, "/");
    ATF_CHECK_STREQ(o.path, "/mnt");
    ATF_CHECK(o.allow_other && o.passthrough && !o.foreground && !o.read_only && !o.strict);
    ATF_CHECK_EQ(o.attr_timeout_ms, -1); /* as long as the server allows */
    ATF_CHECK_EQ(o.retry_s, 60);
    ATF_CHECK_EQ(o.mount_flags, (unsigned long)(MS_NOSUID | MS_NODEV));
    hd_mount_options_done(&o);
    ATF_REQUIRE_EQ(PARSE(&o, false, "howdah-mount", "h:1", "/mnt", "-f"), 0);
    ATF_CHECK(!o.allow_other && o.foreground);
    ATF_CHECK_STREQ(o.uri, "hdfs://h:1");
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(flags_may_stand_anywhere_and_join_their_values);
ATF_TC_BODY(flags_may_stand_anywhere_and_join_their_values, tc)
{
    struct hd_mount_options o;
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "-oro,sync", "-f", "hdfs://h:8020/data/",
                         "--conf=/c", "/mnt", "--log-level", "debug", "-o", "retry_s=5"),
                   0);
    ATF_CHECK(o.read_only && o.strict && o.foreground);
    ATF_CHECK_STREQ(o.cluster_dir, "/data");
    ATF_CHECK_STREQ(o.conf, "/c");
    ATF_CHECK_EQ(o.log_level, 7);
    ATF_CHECK_EQ(o.retry_s, 5);
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(mount_helper_has_letters_of_its_own);
ATF_TC_BODY(mount_helper_has_letters_of_its_own, tc)
{
    struct hd_mount_options o;
    ATF_REQUIRE_EQ(PARSE(&o, true, "/sbin/mount.howdah", "hdfs://h:8020", "/mnt", "-sfnv", "-t",
                         "howdah", "-o",
                         "rw,_netdev,nofail,x-systemd.automount,noatime,exec,conf=/etc/h.conf"),
                   0);
    ATF_CHECK(o.pretend && !o.foreground && !o.read_only);
    ATF_CHECK((o.mount_flags & MS_NOATIME) != 0);
    ATF_CHECK_STREQ(o.conf, "/etc/h.conf");
    hd_mount_options_done(&o);
    ATF_CHECK_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/mnt", "-n"), -EINVAL);
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(every_option_of_a_list_is_set);
ATF_TC_BODY(every_option_of_a_list_is_set, tc)
{
    struct hd_mount_options o;
    hd_mount_options_init(&o, false);
    ATF_REQUIRE_EQ(hd_mount_options_list(&o,
                                         "allow_other,passthrough=no,attr_timeout_ms=0,"
                                         "entry_timeout_ms=250,write_behind_ms=9,max_threads=3,"
                                         "passthrough_min_bytes=1m,user=alice,log=/l,suid,dev,,"
                                         "socket_path=/s_PORT,host_name=n1,default_permissions"),
                   0);
    ATF_CHECK(o.allow_other && !o.passthrough);
    ATF_CHECK_EQ(o.attr_timeout_ms, 0);
    ATF_CHECK_EQ(o.entry_timeout_ms, 250);
    ATF_CHECK_EQ(o.write_behind_ms, 9);
    ATF_CHECK_EQ(o.max_threads, 3);
    ATF_CHECK_EQ(o.passthrough_min_bytes, 1048576);
    ATF_CHECK_STREQ(o.user, "alice");
    ATF_CHECK_STREQ(o.socket_path, "/s_PORT");
    ATF_CHECK_EQ(o.mount_flags, 0);
    ATF_REQUIRE_EQ(hd_mount_options_list(&o, "noallow_other,ro,rw"), 0);
    ATF_CHECK(!o.allow_other && !o.read_only);
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(what_is_not_known_is_refused_by_name);
ATF_TC_BODY(what_is_not_known_is_refused_by_name, tc)
{
    static const char *const bad[] = {"nonsense",
                                      "attr_timeout_ms",
                                      "attr_timeout_ms=x",
                                      "ro=1",
                                      "retry_s=-1",
                                      "passthrough=maybe",
                                      "max_threads=0",
                                      "attr_timeout_ms=99999999999",
                                      "passthrough_min_bytes=many"};
    struct hd_mount_options o;
    hd_mount_options_init(&o, true);
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        hd_fail_clear();
        ATF_CHECK_EQ_MSG(hd_mount_options_list(&o, bad[i]), -EINVAL, "%s", bad[i]);
        char name[32];
        snprintf(name, sizeof(name), "%.*s", (int)strcspn(bad[i], "="), bad[i]);
        ATF_CHECK_MSG(strstr(hd_fail_text(), name) != NULL, "%s", hd_fail_text());
    }
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(wrong_command_lines_are_refused);
ATF_TC_BODY(wrong_command_lines_are_refused, tc)
{
    struct hd_mount_options o;
    setenv("HOWDAH_CONF", "/nowhere/howdah.conf", 1);
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount"), 0);
    ATF_CHECK_EQ(hd_mount_options_configure(&o), -EINVAL);
    hd_mount_options_done(&o);
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020"), 0);
    ATF_CHECK_EQ(hd_mount_options_configure(&o), -EINVAL);
    hd_mount_options_done(&o);
    ATF_CHECK_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/a", "/b"), -EINVAL);
    hd_mount_options_done(&o);
    ATF_CHECK_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/a", "-o"), -EINVAL);
    hd_mount_options_done(&o);
    ATF_CHECK_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/a", "--what"), -EINVAL);
    hd_mount_options_done(&o);
    ATF_CHECK_EQ(PARSE(&o, true, "howdah-mount", "--help"), 0);
    ATF_CHECK(o.help);
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(the_cluster_wants_host_and_port);
ATF_TC_BODY(the_cluster_wants_host_and_port, tc)
{
    static const char *const bad[] = {
        "hdfs://h", "hdfs://:8020", "hdfs://h:", "hdfs://h:x/", "file:///a", "", "/a:1"};
    struct hd_mount_options o;
    hd_mount_options_init(&o, true);
    for (size_t i = 0; i < HD_ARRAY_COUNT(bad); i++) {
        ATF_CHECK_EQ_MSG(hd_mount_options_spec(&o, bad[i]), -EINVAL, "%s", bad[i]);
    }
    ATF_REQUIRE_EQ(hd_mount_options_spec(&o, "hdfs://[::1]:8020/a/b//"), 0);
    ATF_CHECK_STREQ(o.uri, "hdfs://[::1]:8020");
    ATF_CHECK_STREQ(o.cluster_dir, "/a/b");
    hd_mount_options_done(&o);
}

static void write_conf(const char *text)
{
    ATF_REQUIRE_EQ(hd_file_replace("howdah.conf", text, strlen(text), 0644), 0);
}

ATF_TC_WITHOUT_HEAD(the_configuration_is_weaker_than_the_command_line);
ATF_TC_BODY(the_configuration_is_weaker_than_the_command_line, tc)
{
    struct hd_mount_options o;
    write_conf("[cluster]\nuri = hdfs://h:8020\ndir = /srv/c\nhost_name = n7\n"
               "[mount]\nattr_timeout_ms = 5\nretry_s = 7\npassthrough = no\npath = /x\n");
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/mnt", "--conf", "howdah.conf",
                         "-o", "retry_s=9"),
                   0);
    ATF_REQUIRE_EQ(hd_mount_options_configure(&o), 0);
    ATF_CHECK_EQ(o.attr_timeout_ms, 5);
    ATF_CHECK_EQ(o.retry_s, 9);
    ATF_CHECK(!o.passthrough);
    ATF_CHECK_STREQ(o.host_name, "n7");
    ATF_CHECK_STREQ(o.socket_path, "/srv/c/run/data_PORT.sock");
    ATF_CHECK_STREQ(o.path, "/mnt");
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(what_is_left_out_comes_from_the_configuration);
ATF_TC_BODY(what_is_left_out_comes_from_the_configuration, tc)
{
    struct hd_mount_options o;
    write_conf("[cluster]\nuri = hdfs://h:8020\n[mount]\npath = /x\n");
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "--conf", "howdah.conf", "-f", "/mnt"), 0);
    ATF_REQUIRE_EQ(hd_mount_options_configure(&o), 0);
    ATF_CHECK_STREQ(o.uri, "hdfs://h:8020");
    ATF_CHECK_STREQ(o.path, "/mnt");
    hd_mount_options_done(&o);
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "--conf", "howdah.conf"), 0);
    ATF_REQUIRE_EQ(hd_mount_options_configure(&o), 0);
    ATF_CHECK_STREQ(o.path, "/x");
    hd_mount_options_done(&o);
}

ATF_TC_WITHOUT_HEAD(a_found_configuration_of_another_cluster_is_not_used);
ATF_TC_BODY(a_found_configuration_of_another_cluster_is_not_used, tc)
{
    struct hd_mount_options o;
    write_conf("[cluster]\nuri = hdfs://other:8020\n[mount]\nretry_s = 7\n");
    setenv("HOWDAH_CONF", "howdah.conf", 1);
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/mnt"), 0);
    ATF_REQUIRE_EQ(hd_mount_options_configure(&o), 0);
    ATF_CHECK_EQ(o.retry_s, 60);
    hd_mount_options_done(&o);
    ATF_REQUIRE_EQ(PARSE(&o, true, "howdah-mount", "hdfs://other:8020", "/mnt"), 0);
    ATF_REQUIRE_EQ(hd_mount_options_configure(&o), 0);
    ATF_CHECK_EQ(o.retry_s, 7);
    hd_mount_options_done(&o);
    write_conf("[mount]\nretry_s = soon\n");
    ATF_REQUIRE_EQ(
        PARSE(&o, true, "howdah-mount", "hdfs://h:8020", "/mnt", "--conf", "howdah.conf"), 0);
    ATF_CHECK(hd_mount_options_configure(&o) < 0);
    hd_mount_options_done(&o);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, plain_command_line_has_defaults);
    ATF_TP_ADD_TC(tp, flags_may_stand_anywhere_and_join_their_values);
    ATF_TP_ADD_TC(tp, mount_helper_has_letters_of_its_own);
    ATF_TP_ADD_TC(tp, every_option_of_a_list_is_set);
    ATF_TP_ADD_TC(tp, what_is_not_known_is_refused_by_name);
    ATF_TP_ADD_TC(tp, wrong_command_lines_are_refused);
    ATF_TP_ADD_TC(tp, the_cluster_wants_host_and_port);
    ATF_TP_ADD_TC(tp, the_configuration_is_weaker_than_the_command_line);
    ATF_TP_ADD_TC(tp, what_is_left_out_comes_from_the_configuration);
    ATF_TP_ADD_TC(tp, a_found_configuration_of_another_cluster_is_not_used);
    return atf_no_error();
}
