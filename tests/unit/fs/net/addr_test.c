/* Address texts, and listening and connecting on the loopback. */
#include "fs/net/addr.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <atf-c.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <unistd.h>

static void check_split(const char *text, int fallback, const char *want_host, int want_port)
{
    char host[64] = "";
    int port = -1;
    int err = hd_addr_split(text, fallback, host, sizeof(host), &port);
    if (want_host == NULL) {
        ATF_CHECK_EQ_MSG(err, -EINVAL, "%s", text);
        ATF_CHECK_EQ_MSG(port, -1, "%s", text);
        return;
    }
    ATF_CHECK_EQ_MSG(err, 0, "%s: %s", text, hd_fail_text());
    ATF_CHECK_STREQ(host, want_host);
    ATF_CHECK_EQ(port, want_port);
}

ATF_TC_WITHOUT_HEAD(texts_split_into_host_and_port);
ATF_TC_BODY(texts_split_into_host_and_port, tc)
{
    check_split("localhost:8020", 0, "localhost", 8020);
    check_split("localhost", 8020, "localhost", 8020);
    check_split("10.0.0.1:0", 0, "10.0.0.1", 0);
    check_split("[::1]:99", 0, "::1", 99);
    check_split("[::1]", 7, "::1", 7);
    check_split("h:65535", 0, "h", 65535);
    check_split("localhost", 0, NULL, 0);
    check_split(":8020", 0, NULL, 0);
    check_split("", 8020, NULL, 0);
    check_split("h:", 8020, NULL, 0);
    check_split("h:65536", 0, NULL, 0);
    check_split("h:-1", 0, NULL, 0);
    check_split("h: 1", 0, NULL, 0);
    check_split("h:1x", 0, NULL, 0);
    check_split("::1", 8020, NULL, 0);
    check_split("[::1", 8020, NULL, 0);
    check_split("[::1]x", 8020, NULL, 0);
    check_split("a-host-name-that-is-longer-than-the-space-there-is-for-it-in-the-callers-array:1",
                0, NULL, 0);
}

ATF_TC_WITHOUT_HEAD(both_ends_know_their_names);
ATF_TC_BODY(both_ends_know_their_names, tc)
{
    int listener;
    int fd;
    int port;
    int client_port;
    int peer_port;
    char ip[HD_IP_TEXT_BYTES];
    ATF_REQUIRE_EQ(hd_addr_listen("127.0.0.1:0", &listener, &port), 0);
    ATF_CHECK(port > 0);
    ATF_REQUIRE_EQ(hd_addr_connect("127.0.0.1", port, 1000, &fd), 0);
    ATF_CHECK_EQ(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
    ATF_CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
    int no_delay = 0;
    socklen_t size = sizeof(no_delay);
    ATF_REQUIRE_EQ(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &no_delay, &size), 0);
    ATF_CHECK(no_delay != 0);
    int accepted = accept(listener, NULL, NULL);
    ATF_REQUIRE(accepted >= 0);
    ATF_REQUIRE_EQ(hd_addr_local(fd, ip, &client_port), 0);
    ATF_REQUIRE_EQ(hd_addr_peer(accepted, ip, &peer_port), 0);
    ATF_CHECK_STREQ(ip, "127.0.0.1");
    ATF_CHECK_EQ(peer_port, client_port);
    close(accepted);
    close(fd);
    close(listener);
}

ATF_TC_WITHOUT_HEAD(address_in_use_is_named);
ATF_TC_BODY(address_in_use_is_named, tc)
{
    int listener;
    int second;
    int port;
    char address[64];
    ATF_REQUIRE_EQ(hd_addr_listen("127.0.0.1:0", &listener, &port), 0);
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    ATF_CHECK_EQ(hd_addr_listen(address, &second, &port), -EADDRINUSE);
    ATF_CHECK_MSG(strstr(hd_fail_text(), address) != NULL, "%s", hd_fail_text());
    close(listener);
}

ATF_TC_WITHOUT_HEAD(refused_connection_says_who_refused);
ATF_TC_BODY(refused_connection_says_who_refused, tc)
{
    int listener;
    int fd;
    int port;
    char address[64];
    ATF_REQUIRE_EQ(hd_addr_listen("127.0.0.1:0", &listener, &port), 0);
    close(listener);
    snprintf(address, sizeof(address), "127.0.0.1:%d", port);
    ATF_CHECK_EQ(hd_addr_connect_text(address, 1000, &fd), -ECONNREFUSED);
    ATF_CHECK_MSG(strstr(hd_fail_text(), address) != NULL, "%s", hd_fail_text());
}

/* A backlog of one that is full: the kernel answers no further SYN. */
ATF_TC_WITHOUT_HEAD(connect_gives_up_in_time);
ATF_TC_BODY(connect_gives_up_in_time, tc)
{
    int listener;
    int port;
    int fds[8];
    int count = 0;
    ATF_REQUIRE_EQ(hd_addr_listen("127.0.0.1:0", &listener, &port), 0);
    ATF_REQUIRE_EQ(listen(listener, 0), 0);
    int64_t began = 0;
    int err = 0;
    while (count < 8 && err == 0) {
        began = hd_clock_mono_ms().v;
        err = hd_addr_connect("127.0.0.1", port, 50, &fds[count]);
        count += err == 0;
    }
    ATF_CHECK_EQ(err, -ETIMEDOUT);
    ATF_CHECK(hd_clock_mono_ms().v - began >= 50);
    while (count > 0) {
        close(fds[--count]);
    }
    close(listener);
}

ATF_TC_WITHOUT_HEAD(stale_socket_file_is_replaced_and_others_are_not);
ATF_TC_BODY(stale_socket_file_is_replaced_and_others_are_not, tc)
{
    int first;
    int second;
    int fd;
    ATF_REQUIRE_EQ(hd_addr_listen_unix("s.sock", &first), 0);
    close(first);
    ATF_CHECK_EQ(hd_addr_connect_unix("s.sock", &fd), -ECONNREFUSED);
    ATF_REQUIRE_EQ(hd_addr_listen_unix("s.sock", &second), 0);
    ATF_REQUIRE_EQ(hd_addr_connect_unix("s.sock", &fd), 0);
    char ip[HD_IP_TEXT_BYTES];
    ATF_CHECK_EQ(hd_addr_peer(fd, ip, NULL), 0);
    close(fd);
    close(second);
    fd = open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    ATF_REQUIRE(fd >= 0);
    close(fd);
    ATF_CHECK_EQ(hd_addr_listen_unix("file", &first), -EADDRINUSE);
    ATF_CHECK_EQ(hd_addr_listen_unix("", &first), -ENAMETOOLONG);
    unlink("file");
    unlink("s.sock");
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, texts_split_into_host_and_port);
    ATF_TP_ADD_TC(tp, both_ends_know_their_names);
    ATF_TP_ADD_TC(tp, address_in_use_is_named);
    ATF_TP_ADD_TC(tp, refused_connection_says_who_refused);
    ATF_TP_ADD_TC(tp, connect_gives_up_in_time);
    ATF_TP_ADD_TC(tp, stale_socket_file_is_replaced_and_others_are_not);
    return atf_no_error();
}
