/* The fault table: what matches, what it does, that it ends. */
#include "fs/os/fault.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <arpa/inet.h>
#include <atf-c.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/stat.h>

enum { LONG_MS = 60000 };

static void set_one(enum hd_fault_point point, const char *target, int64_t value, uint64_t for_ms)
{
    const struct hd_fault f = {.point = point, .target = target, .value = value, .for_ms = for_ms};
    ATF_REQUIRE_EQ_MSG(hd_fault_set(&f, 1), 0, "%s", hd_fail_text());
}

static void heal(void)
{
    ATF_REQUIRE_EQ(hd_fault_set(NULL, 0), 0);
}

static const char *here(const char *name)
{
    static char path[4096];
    char dir[2048];
    ATF_REQUIRE(getcwd(dir, sizeof(dir)) != NULL);
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    return path;
}

/* --- the table --- */

ATF_TC_WITHOUT_HEAD(an_empty_table_does_nothing);
ATF_TC_BODY(an_empty_table_does_nothing, tc)
{
    ATF_CHECK(!hd_fault_any(~0u));
    ATF_CHECK_EQ(hd_fault_count(), 0u);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_GROW, "/any", 100), 0);
    ATF_CHECK_EQ(hd_fault_free_bytes("/any", 77), 77u);
    ATF_CHECK(!hd_fault_net_is_cut(0));
    ATF_CHECK_EQ(hd_fault_clock_ms(), 0);
}

ATF_TC_WITHOUT_HEAD(every_name_is_a_point);
ATF_TC_BODY(every_name_is_a_point, tc)
{
    enum hd_fault_point p;
    for (int i = HD_FAULT_DISK_DELAY; i <= HD_FAULT_CLOCK_JUMP; i++) {
        ATF_REQUIRE_EQ(hd_fault_point_parse(hd_fault_point_name((enum hd_fault_point)i), &p), 0);
        ATF_CHECK_EQ((int)p, i);
    }
    ATF_CHECK_EQ(hd_fault_point_parse("disk.melt", &p), -EINVAL);
    ATF_CHECK(strstr(hd_fail_text(), "disk.melt") != NULL);
}

ATF_TC_WITHOUT_HEAD(a_bad_entry_changes_nothing);
ATF_TC_BODY(a_bad_entry_changes_nothing, tc)
{
    struct hd_fault f[2] = {
        {.point = HD_FAULT_DISK_ERROR, .for_ms = LONG_MS},
        {.point = HD_FAULT_NET_CUT, .target = "nonsense", .for_ms = LONG_MS},
    };
    set_one(HD_FAULT_CLOCK_JUMP, NULL, 5000, LONG_MS);
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    f[1].target = "127.0.0.1:0";
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    f[1].target = "80";
    f[1].for_ms = 0;
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    f[1].for_ms = (uint64_t)HD_FAULT_MS_MAX + 1;
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    f[1].for_ms = LONG_MS;
    f[0].value = -1;
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    f[0] = (struct hd_fault){.point = HD_FAULT_NET_DELAY, .value = 501, .for_ms = LONG_MS};
    ATF_CHECK_EQ(hd_fault_set(f, 2), -EINVAL);
    ATF_CHECK_EQ(hd_fault_set(f, HD_FAULTS_MAX + 1), -EINVAL);
    ATF_CHECK_EQ(hd_fault_clock_ms(), 5000);
    ATF_CHECK_EQ(hd_fault_count(), 1u);
    heal();
}

ATF_TC_WITHOUT_HEAD(an_entry_ends_by_itself);
ATF_TC_BODY(an_entry_ends_by_itself, tc)
{
    set_one(HD_FAULT_DISK_ERROR, NULL, 0, 30);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/x", 0), -1);
    int64_t until = hd_clock_mono_ms().v + 30;
    while (hd_clock_mono_ms().v < until) {
    }
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/x", 0), 0);
    ATF_CHECK(!hd_fault_any(~0u));
    ATF_CHECK_EQ(hd_fault_count(), 0u);
}

/* --- disks --- */

ATF_TC_WITHOUT_HEAD(an_error_hits_what_is_below_its_target);
ATF_TC_BODY(an_error_hits_what_is_below_its_target, tc)
{
    set_one(HD_FAULT_DISK_ERROR, "/d/one/", EROFS, LONG_MS);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/d/one", 0), -1);
    ATF_CHECK_EQ(errno, EROFS);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/d/one/f", 0), -1);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/d/onetwo", 0), 0);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/d", 0), 0);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "pipe:[7]", 0), 0);
    set_one(HD_FAULT_DISK_ERROR, NULL, 0, LONG_MS);
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/anything", 0), -1);
    ATF_CHECK_EQ(errno, EIO);
    heal();
}

ATF_TC_WITHOUT_HEAD(files_are_found_by_descriptor_and_through_links);
ATF_TC_BODY(files_are_found_by_descriptor_and_through_links, tc)
{
    char byte;
    ATF_REQUIRE_EQ(mkdir("real", 0755), 0);
    ATF_REQUIRE_EQ(symlink("real", "link"), 0);
    ATF_REQUIRE_EQ(hd_file_replace("real/f", "x", 1, 0600), 0);
    HD_AUTO(hd_fd_done) int fd = open("real/f", O_RDWR);
    set_one(HD_FAULT_DISK_ERROR, here("link"), ENXIO, LONG_MS);
    ATF_CHECK_EQ(hd_fd_pread(fd, &byte, 1, 0), -ENXIO);
    ATF_CHECK_EQ(hd_fd_pwrite(fd, "y", 1, 0), -ENXIO);
    ATF_CHECK_EQ(hd_io_fdatasync(fd), -1);
    ATF_CHECK_EQ(hd_io_open(here("link/f"), O_RDONLY, 0), -1);
    ATF_CHECK_EQ(hd_file_replace(here("real/f"), "z", 1, 0600), -ENXIO);
    heal();
    ATF_CHECK_EQ(hd_fd_pread(fd, &byte, 1, 0), 0);
    ATF_CHECK_EQ(byte, 'x');
}

ATF_TC_WITHOUT_HEAD(a_full_disk_has_what_is_left);
ATF_TC_BODY(a_full_disk_has_what_is_left, tc)
{
    struct statvfs st;
    char bytes[100] = {0};
    ATF_REQUIRE_EQ(hd_file_replace("f", "x", 1, 0600), 0);
    HD_AUTO(hd_fd_done) int fd = open("f", O_RDWR);
    set_one(HD_FAULT_DISK_FULL, here(""), 250, LONG_MS);
    ATF_CHECK_EQ(hd_fault_free_bytes(here("f"), 1 << 20), 250u);
    ATF_CHECK_EQ(hd_fd_pwrite(fd, bytes, 100, 0), 0);
    ATF_CHECK_EQ(hd_fd_pwrite(fd, bytes, 100, 100), 0);
    ATF_CHECK_EQ(hd_fd_pwrite(fd, bytes, 100, 200), -ENOSPC);
    ATF_CHECK_EQ(hd_fault_free_bytes(here("f"), 1 << 20), 50u);
    ATF_CHECK_EQ(hd_fault_free_bytes(here("f"), 7), 7u);
    ATF_CHECK_EQ(hd_fd_pread(fd, bytes, 100, 100), 0);
    ATF_REQUIRE_EQ(hd_io_statvfs(here(""), &st), 0);
    ATF_CHECK_EQ((uint64_t)st.f_bavail * st.f_frsize, 0u);
    set_one(HD_FAULT_DISK_FULL, here(""), 0, LONG_MS);
    ATF_CHECK_EQ(hd_io_open(here("g"), O_CREAT | O_WRONLY, 0600), -1);
    ATF_CHECK_EQ(errno, ENOSPC);
    heal();
}

ATF_TC_WITHOUT_HEAD(a_delay_takes_its_time_and_no_longer_than_the_fault);
ATF_TC_BODY(a_delay_takes_its_time_and_no_longer_than_the_fault, tc)
{
    set_one(HD_FAULT_DISK_DELAY, NULL, 40, LONG_MS);
    int64_t start = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/x", 0), 0);
    ATF_CHECK(hd_clock_mono_ms().v - start >= 40);
    set_one(HD_FAULT_DISK_DELAY, NULL, LONG_MS, 60);
    start = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_fault_path(HD_FAULT_OP_OTHER, "/x", 0), 0);
    ATF_CHECK(hd_clock_mono_ms().v - start < 5000);
}

/* --- the network --- */

struct pair {
    int client;
    int server;
    int port; /* of the server */
};

static struct pair connected(void)
{
    struct pair p;
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ATF_REQUIRE_EQ(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ATF_REQUIRE_EQ(listen(fd, 1), 0);
    ATF_REQUIRE_EQ(getsockname(fd, (struct sockaddr *)&a, &size), 0);
    p.client = socket(AF_INET, SOCK_STREAM, 0);
    ATF_REQUIRE_EQ(connect(p.client, (struct sockaddr *)&a, sizeof(a)), 0);
    p.server = accept(fd, NULL, NULL);
    p.port = ntohs(a.sin_port);
    close(fd);
    return p;
}

static void cut(int port, const char *host, uint64_t for_ms)
{
    char target[64];
    snprintf(target, sizeof(target), "%s%s%d", host, host[0] != '\0' ? ":" : "", port);
    set_one(HD_FAULT_NET_CUT, target, 0, for_ms);
}

ATF_TC_WITHOUT_HEAD(a_cut_is_known_by_either_end);
ATF_TC_BODY(a_cut_is_known_by_either_end, tc)
{
    struct pair p = connected();
    struct pair other = connected();
    int unix_pair[2];
    ATF_REQUIRE_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, unix_pair), 0);
    cut(p.port, "", LONG_MS);
    ATF_CHECK(hd_fault_net_is_cut(p.client));
    ATF_CHECK(hd_fault_net_is_cut(p.server));
    ATF_CHECK(!hd_fault_net_is_cut(other.client));
    cut(p.port, "localhost", LONG_MS);
    ATF_CHECK(hd_fault_net_is_cut(p.client));
    cut(p.port, "10.9.8.7", LONG_MS);
    ATF_CHECK(!hd_fault_net_is_cut(p.client));
    set_one(HD_FAULT_NET_CUT, NULL, 0, LONG_MS);
    ATF_CHECK(hd_fault_net_is_cut(other.server));
    ATF_CHECK(!hd_fault_net_is_cut(unix_pair[0]));
    heal();
    ATF_CHECK(!hd_fault_net_is_cut(other.server));
}

ATF_TC_WITHOUT_HEAD(who_transfers_waits_for_the_end_of_a_cut);
ATF_TC_BODY(who_transfers_waits_for_the_end_of_a_cut, tc)
{
    struct pair p = connected();
    cut(p.port, "", LONG_MS);
    int64_t start = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_fault_net_pass(p.client, false, start + 30), -ETIMEDOUT);
    ATF_CHECK(hd_clock_mono_ms().v - start >= 30);
    cut(p.port, "", 50);
    ATF_CHECK_EQ(hd_fault_net_pass(p.client, false, INT64_MAX), 0);
    cut(p.port, "", LONG_MS);
    shutdown(p.client, SHUT_RDWR);
    shutdown(p.server, SHUT_RDWR);
    ATF_CHECK_EQ(hd_fault_net_pass(p.client, false, INT64_MAX), 0);
    heal();
}

ATF_TC_WITHOUT_HEAD(a_connection_is_not_made_across_a_cut);
ATF_TC_BODY(a_connection_is_not_made_across_a_cut, tc)
{
    struct sockaddr_in a = {
        .sin_family = AF_INET, .sin_port = htons(4711), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    cut(4711, "127.0.0.1", LONG_MS);
    ATF_CHECK_EQ(hd_fault_net_connect((struct sockaddr *)&a, hd_clock_mono_ms().v + 10),
                 -ETIMEDOUT);
    a.sin_port = htons(4712);
    ATF_CHECK_EQ(hd_fault_net_connect((struct sockaddr *)&a, hd_clock_mono_ms().v + 10), 0);
    heal();
}

ATF_TC_WITHOUT_HEAD(the_peer_does_not_see_a_close_behind_a_cut);
ATF_TC_BODY(the_peer_does_not_see_a_close_behind_a_cut, tc)
{
    char byte;
    struct pair p = connected();
    cut(p.port, "", LONG_MS);
    hd_fault_net_close(p.client);
    ATF_CHECK_EQ(recv(p.server, &byte, 1, MSG_DONTWAIT), -1);
    ATF_CHECK_EQ(errno, EAGAIN);
    heal();
    ATF_CHECK_EQ(recv(p.server, &byte, 1, MSG_DONTWAIT), 0);
    close(p.server);
}

ATF_TC_WITHOUT_HEAD(a_delay_is_for_what_arrives);
ATF_TC_BODY(a_delay_is_for_what_arrives, tc)
{
    struct pair p = connected();
    set_one(HD_FAULT_NET_DELAY, NULL, 40, LONG_MS);
    ATF_CHECK_EQ(hd_fault_net_delay_ms(p.client), 40);
    int64_t start = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(hd_fault_net_pass(p.client, false, INT64_MAX), 0);
    ATF_CHECK(hd_clock_mono_ms().v - start < 40);
    ATF_CHECK_EQ(hd_fault_net_pass(p.client, true, INT64_MAX), 0);
    ATF_CHECK(hd_clock_mono_ms().v - start >= 40);
    heal();
    ATF_CHECK_EQ(hd_fault_net_delay_ms(p.client), 0);
}

/* --- the clock --- */

ATF_TC_WITHOUT_HEAD(only_the_wall_clock_jumps);
ATF_TC_BODY(only_the_wall_clock_jumps, tc)
{
    int64_t mono = hd_clock_mono_ms().v;
    int64_t wall = hd_clock_wall_ms().v;
    set_one(HD_FAULT_CLOCK_JUMP, NULL, -3600000, LONG_MS);
    ATF_CHECK(hd_clock_wall_ms().v < wall - 3500000);
    ATF_CHECK(hd_clock_mono_ms().v >= mono && hd_clock_mono_ms().v < mono + 100000);
    heal();
    ATF_CHECK(hd_clock_wall_ms().v >= wall);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, an_empty_table_does_nothing);
    ATF_TP_ADD_TC(tp, every_name_is_a_point);
    ATF_TP_ADD_TC(tp, a_bad_entry_changes_nothing);
    ATF_TP_ADD_TC(tp, an_entry_ends_by_itself);
    ATF_TP_ADD_TC(tp, an_error_hits_what_is_below_its_target);
    ATF_TP_ADD_TC(tp, files_are_found_by_descriptor_and_through_links);
    ATF_TP_ADD_TC(tp, a_full_disk_has_what_is_left);
    ATF_TP_ADD_TC(tp, a_delay_takes_its_time_and_no_longer_than_the_fault);
    ATF_TP_ADD_TC(tp, a_cut_is_known_by_either_end);
    ATF_TP_ADD_TC(tp, who_transfers_waits_for_the_end_of_a_cut);
    ATF_TP_ADD_TC(tp, a_connection_is_not_made_across_a_cut);
    ATF_TP_ADD_TC(tp, the_peer_does_not_see_a_close_behind_a_cut);
    ATF_TP_ADD_TC(tp, a_delay_is_for_what_arrives);
    ATF_TP_ADD_TC(tp, only_the_wall_clock_jumps);
    return atf_no_error();
}
