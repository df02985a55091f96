/* What a howdah.conf makes of a cluster, and what the first run of `up` writes. */
#include "tools/cluster.h"
#include "tools/cluster_init.h"
#include "tools/process.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <errno.h>
#include <inttypes.h>
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

static struct hd_cluster load(const char *text)
{
    struct hd_cluster c;
    write_file("howdah.conf", text);
    int rc = hd_cluster_load("howdah.conf", &c);
    ATF_REQUIRE_EQ_MSG(rc, 0, "%s", hd_fail_describe(rc));
    return c;
}

static const char two_nodes[] = "[cluster]\nuri = hdfs://127.0.0.1:31600/\ndir = /x\n"
                                "[meta]\nrpc_address = 127.0.0.1:31600\nstale_ms = 777\n"
                                "[secondary]\ndir = /x/secondary\nrpc_address = 127.0.0.1:31601\n"
                                "[data]\nsocket_path = /x/run/data_PORT.sock\n"
                                "[data-1]\naddress = 127.0.0.1:31602\ndir = /x/data-1\n"
                                "[data-2]\naddress = 127.0.0.1:31603\ndir = /x/data-2,/y/data-2\n"
                                "[data-4]\naddress = 127.0.0.1:31609\n"
                                "[mount]\npath = /x/mnt\n"
                                "[runner]\nmanager_address = 127.0.0.1:31604\ndir = /x/runner\n"
                                "[agent-1]\naddress = 127.0.0.1:31605\ndata_node = data-1\n";

ATF_TC_WITHOUT_HEAD(members_come_in_the_order_of_starting);
ATF_TC_BODY(members_come_in_the_order_of_starting, tc)
{
    static const char *const names[] = {"meta",    "secondary", "data-1", "data-2",
                                        "manager", "agent-1",   "mount"};
    struct hd_cluster c = load(two_nodes);
    ATF_REQUIRE_EQ(c.member_count, HD_ARRAY_COUNT(names));
    for (size_t i = 0; i < c.member_count; i++) {
        ATF_CHECK_STREQ(c.members[i].name, names[i]);
    }
    ATF_CHECK_EQ(c.nodes, 2);
    ATF_CHECK_EQ(c.stale_ms, 777);
    ATF_CHECK_STREQ(c.uri, "hdfs://127.0.0.1:31600");
    ATF_CHECK_STREQ(c.meta_address, "127.0.0.1:31600");
    ATF_CHECK_STREQ(c.members[3].dirs, "/x/data-2,/y/data-2");
    ATF_CHECK_STREQ(c.members[5].address, "127.0.0.1:31605");
    hd_cluster_done(&c);
}

static void check_argv(const struct hd_cluster *c, size_t member, const char *want)
{
    const char *argv[HD_MEMBER_ARGS];
    char text[4096] = "";
    hd_member_argv(c, &c->members[member], argv);
    for (size_t i = 0; argv[i] != NULL; i++) {
        strcat(strcat(text, i > 0 ? " " : ""), argv[i]);
    }
    ATF_CHECK_STREQ(text, want);
}

ATF_TC_WITHOUT_HEAD(command_lines_name_role_name_and_configuration);
ATF_TC_BODY(command_lines_name_role_name_and_configuration, tc)
{
    char want[PATH_MAX + 200];
    struct hd_cluster c = load(two_nodes);
    snprintf(want, sizeof(want), "howdah-meta --conf %s --role primary --name meta", c.conf);
    check_argv(&c, 0, want);
    snprintf(want, sizeof(want), "howdah-meta --conf %s --role secondary --name secondary", c.conf);
    check_argv(&c, 1, want);
    snprintf(want, sizeof(want), "howdah-data --conf %s --name data-2", c.conf);
    check_argv(&c, 3, want);
    snprintf(want, sizeof(want), "howdah-runner --conf %s --role agent --name agent-1", c.conf);
    check_argv(&c, 5, want);
    snprintf(want, sizeof(want), "howdah-mount hdfs://127.0.0.1:31600 /x/mnt -f --conf %s", c.conf);
    check_argv(&c, 6, want);
    hd_cluster_done(&c);
}

ATF_TC_WITHOUT_HEAD(a_cluster_without_uri_is_refused);
ATF_TC_BODY(a_cluster_without_uri_is_refused, tc)
{
    struct hd_cluster c;
    write_file("howdah.conf", "[meta]\nrpc_address = 127.0.0.1:31600\n");
    ATF_CHECK_EQ(hd_cluster_load("howdah.conf", &c), -HD_E_CONFIG);
    ATF_CHECK_EQ(hd_cluster_load("missing.conf", &c), -ENOENT);
}

/* A command line as /proc shows it: arguments ended by NUL. */
static bool is_member(const struct hd_cluster *c, size_t member, const char *const *args)
{
    char line[8192];
    size_t size = 0;
    for (; *args != NULL; args++) {
        size_t n = strlen(*args) + 1;
        memcpy(line + size, *args, n);
        size += n;
    }
    return hd_process_is_member(c, &c->members[member], line, size);
}

ATF_TC_WITHOUT_HEAD(only_our_own_process_counts_as_a_member);
ATF_TC_BODY(only_our_own_process_counts_as_a_member, tc)
{
    struct hd_cluster c = load(two_nodes);
    const char *ours[] = {"/opt/bin/howdah-data", "--conf", c.conf, "--name", "data-1", NULL};
    const char *other_node[] = {
        "/opt/bin/howdah-data", "--conf", c.conf, "--name", "data-11", NULL};
    const char *other_cluster[] = {
        "/opt/bin/howdah-data", "--conf", "/y/howdah.conf", "--name", "data-1", NULL};
    const char *other_program[] = {"vi", "--conf", c.conf, "--name", "data-1", NULL};
    ATF_CHECK(is_member(&c, 2, ours));
    ATF_CHECK(!is_member(&c, 3, ours));
    ATF_CHECK(!is_member(&c, 2, other_node));
    ATF_CHECK(!is_member(&c, 2, other_cluster));
    ATF_CHECK(!is_member(&c, 2, other_program));
    ATF_CHECK(!hd_process_is_member(&c, &c.members[2], "", 0));
    hd_cluster_done(&c);
}

ATF_TC_WITHOUT_HEAD(a_pid_file_of_a_foreign_process_means_not_running);
ATF_TC_BODY(a_pid_file_of_a_foreign_process_means_not_running, tc)
{
    char cwd[PATH_MAX];
    char text[PATH_MAX + 100];
    ATF_REQUIRE(getcwd(cwd, sizeof(cwd)) != NULL);
    snprintf(text, sizeof(text),
             "[cluster]\nuri = hdfs://127.0.0.1:31600\ndir = %s\n[meta]\nrpc_address = x:1\n", cwd);
    struct hd_cluster c = load(text);
    ATF_REQUIRE_EQ(hd_dir_make("run", 0755), 0);
    ATF_CHECK_EQ(hd_process_find(&c, &c.members[0]), 0);
    snprintf(text, sizeof(text), "%d\n", (int)getpid());
    write_file("run/meta.pid", text);
    ATF_CHECK_EQ(hd_process_recorded(&c, &c.members[0]), getpid());
    ATF_CHECK_EQ(hd_process_find(&c, &c.members[0]), 0);
    ATF_CHECK(hd_process_alive(getpid()));
    hd_cluster_done(&c);
}

/* A plan in the test's own directory, loaded again. */
static struct hd_cluster init_here(int nodes, int cores)
{
    static char dir[PATH_MAX];
    char mount[PATH_MAX + 8];
    char conf[PATH_MAX + 16];
    struct hd_cluster c;
    strcpy(dir, "/tmp/howdah-tools-test.XXXXXX");
    ATF_REQUIRE(mkdtemp(dir) != NULL);
    snprintf(mount, sizeof(mount), "%s/mnt", dir);
    snprintf(conf, sizeof(conf), "%s/howdah.conf", dir);
    struct hd_cluster_plan plan = {.dir = dir, .mount = mount, .nodes = nodes, .cores = cores};
    int rc = hd_cluster_init(&plan);
    ATF_REQUIRE_EQ_MSG(rc, 0, "%s", hd_fail_describe(rc));
    ATF_REQUIRE_EQ(hd_cluster_load(conf, &c), 0);
    return c;
}

static void remove_cluster(struct hd_cluster *c)
{
    hd_dir_remove(c->dir);
    hd_cluster_done(c);
}

ATF_TC_WITHOUT_HEAD(the_first_run_gives_every_daemon_its_own_port);
ATF_TC_BODY(the_first_run_gives_every_daemon_its_own_port, tc)
{
    struct hd_cluster c = init_here(4, 2);
    ATF_CHECK_EQ(c.nodes, 4);
    ATF_CHECK_EQ(c.member_count, 3 + 4 + 4 + 1);
    for (size_t i = 0; i < c.member_count; i++) {
        ATF_CHECK(c.members[i].address[0] != '\0');
        for (size_t k = 0; k < i; k++) {
            ATF_CHECK(strcmp(c.members[i].address, c.members[k].address) != 0);
        }
    }
    remove_cluster(&c);
}

ATF_TC_WITHOUT_HEAD(slots_share_the_cores_and_are_never_none);
ATF_TC_BODY(slots_share_the_cores_and_are_never_none, tc)
{
    static const char *const want[] = {"2", "2", "1"};
    size_t agent = 0;
    struct hd_cluster c = init_here(3, 5);
    for (size_t i = 0; i < c.member_count; i++) {
        if (c.members[i].role == HD_ROLE_AGENT) {
            ATF_CHECK_STREQ(hd_member_str(&c, &c.members[i], "slots", ""), want[agent++]);
        }
    }
    ATF_CHECK_EQ(agent, 3);
    remove_cluster(&c);
    c = init_here(3, 1);
    ATF_CHECK_STREQ(hd_member_str(&c, &c.members[c.member_count - 2], "slots", ""), "1");
    remove_cluster(&c);
}

ATF_TC_WITHOUT_HEAD(hadoop_clients_get_their_files);
ATF_TC_BODY(hadoop_clients_get_their_files, tc)
{
    char path[PATH_MAX + 64];
    char want[600];
    struct hd_buf text = {0};
    struct hd_cluster c = init_here(2, 2);
    snprintf(path, sizeof(path), "%s/hadoop-conf", c.dir);
    ATF_REQUIRE_EQ(hd_cluster_write_hadoop_conf(&c, path), 0);
    strcat(path, "/core-site.xml");
    ATF_REQUIRE_EQ(hd_file_read(path, 65536, &text), 0);
    snprintf(want, sizeof(want), "<name>fs.defaultFS</name><value>%s</value>", c.uri);
    ATF_CHECK(strstr(hd_buf_str(&text), want) != NULL);
    snprintf(path, sizeof(path), "%s/hadoop-conf/hdfs-site.xml", c.dir);
    hd_buf_clear(&text);
    ATF_REQUIRE_EQ(hd_file_read(path, 65536, &text), 0);
    ATF_CHECK(strstr(hd_buf_str(&text), "<name>dfs.replication</name><value>2</value>") != NULL);
    hd_buf_done(&text);
    remove_cluster(&c);
}

ATF_TC_WITHOUT_HEAD(the_mount_moves_and_all_else_stays);
ATF_TC_BODY(the_mount_moves_and_all_else_stays, tc)
{
    struct hd_cluster c = load(two_nodes);
    ATF_REQUIRE_EQ(hd_cluster_set_mount("howdah.conf", "/elsewhere"), 0);
    hd_cluster_done(&c);
    ATF_REQUIRE_EQ(hd_cluster_load("howdah.conf", &c), 0);
    ATF_CHECK_STREQ(c.mount, "/elsewhere");
    ATF_CHECK_EQ(c.nodes, 2);
    ATF_CHECK_STREQ(c.members[4].address, "127.0.0.1:31604");
    hd_cluster_done(&c);
    c = load("[cluster]\nuri = hdfs://127.0.0.1:31600\n");
    ATF_CHECK_STREQ(c.mount, "");
    ATF_REQUIRE_EQ(hd_cluster_set_mount("howdah.conf", "/m"), 0);
    hd_cluster_done(&c);
    ATF_REQUIRE_EQ(hd_cluster_load("howdah.conf", &c), 0);
    ATF_CHECK_STREQ(c.mount, "/m");
    hd_cluster_done(&c);
}

ATF_TC_WITHOUT_HEAD(a_path_too_long_for_sockets_is_refused);
ATF_TC_BODY(a_path_too_long_for_sockets_is_refused, tc)
{
    struct hd_cluster_plan plan = {
        .dir =
            "/tmp/"
            "a-path-that-is-so-long-that-no-unix-socket-below-it-can-have-a-name-any-more-at-all",
        .nodes = 1,
        .cores = 1};
    ATF_CHECK_EQ(hd_cluster_init(&plan), -ENAMETOOLONG);
    plan.dir = "/tmp/a;b";
    ATF_CHECK_EQ(hd_cluster_init(&plan), -EINVAL);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, members_come_in_the_order_of_starting);
    ATF_TP_ADD_TC(tp, command_lines_name_role_name_and_configuration);
    ATF_TP_ADD_TC(tp, a_cluster_without_uri_is_refused);
    ATF_TP_ADD_TC(tp, only_our_own_process_counts_as_a_member);
    ATF_TP_ADD_TC(tp, a_pid_file_of_a_foreign_process_means_not_running);
    ATF_TP_ADD_TC(tp, the_first_run_gives_every_daemon_its_own_port);
    ATF_TP_ADD_TC(tp, slots_share_the_cores_and_are_never_none);
    ATF_TP_ADD_TC(tp, hadoop_clients_get_their_files);
    ATF_TP_ADD_TC(tp, the_mount_moves_and_all_else_stays);
    ATF_TP_ADD_TC(tp, a_path_too_long_for_sockets_is_refused);
    return atf_no_error();
}
