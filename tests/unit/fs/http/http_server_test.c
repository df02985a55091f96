/* The HTTP server: real connections of its own, answered by a real loop. */
#include "fs/http/http_server.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/loop.h"
#include "fs/os/file.h"

#include <atf-c.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

struct exchange {
    struct hd_loop *loop;
    int port;
    const char *request;
    char answer[65536];
    size_t size;
};

static void answer(void *ctx, const char *path, struct hd_http_answer *ret)
{
    (void)ctx;
    ret->status = strcmp(path, "/there") == 0 ? 200 : 404;
    ret->type = "text/html; charset=utf-8";
    ATF_REQUIRE_EQ(hd_http_escape(&ret->body, path), 0);
}

/* On a thread: says the request, reads to the end, stops the loop. */
static void *client(void *arg)
{
    struct exchange *x = arg;
    char address[64];
    HD_AUTO(hd_fd_done) int fd = -1;
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    snprintf(address, sizeof(address), "127.0.0.1:%d", x->port);
    ATF_REQUIRE_EQ(hd_addr_connect_text(address, 5000, &fd), 0);
    ATF_REQUIRE(hd_fd_write(fd, x->request, strlen(x->request)) >= 0);
    ATF_REQUIRE(hd_fd_read_all(fd, &b) >= 0);
    x->size = HD_MIN(b.size, sizeof(x->answer) - 1);
    memcpy(x->answer, b.data, x->size);
    hd_loop_stop(x->loop);
    return NULL;
}

static const char *ask(const char *request)
{
    static struct exchange x;
    struct hd_http_server *s;
    pthread_t thread;
    x = (struct exchange){.request = request};
    ATF_REQUIRE_EQ(hd_loop_new(&x.loop), 0);
    ATF_REQUIRE_EQ(hd_http_server_new(x.loop, "127.0.0.1:0", answer, NULL, &s), 0);
    x.port = hd_http_server_port(s);
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, client, &x), 0);
    ATF_REQUIRE_EQ(hd_loop_run(x.loop), 0);
    pthread_join(thread, NULL);
    hd_http_server_free(s);
    hd_loop_free(x.loop);
    return x.answer;
}

ATF_TC_WITHOUT_HEAD(a_page_is_answered_with_its_type);
ATF_TC_BODY(a_page_is_answered_with_its_type, tc)
{
    const char *a = ask("GET /there?x=1 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    ATF_CHECK(strncmp(a, "HTTP/1.1 200 ", 13) == 0);
    ATF_CHECK(strstr(a, "Content-Type: text/html") != NULL);
    ATF_CHECK(strstr(a, "\r\n\r\n/there") != NULL);
}

ATF_TC_WITHOUT_HEAD(what_is_not_there_is_404_and_escaped);
ATF_TC_BODY(what_is_not_there_is_404_and_escaped, tc)
{
    const char *a = ask("GET /%3Cb%3E HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    ATF_CHECK(strncmp(a, "HTTP/1.1 404 ", 13) == 0);
    ATF_CHECK(strstr(a, "/&lt;b&gt;") != NULL);
}

ATF_TC_WITHOUT_HEAD(other_methods_are_refused);
ATF_TC_BODY(other_methods_are_refused, tc)
{
    const char *a = ask("POST /there HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nConnection: "
                        "close\r\n\r\nabc");
    ATF_CHECK(strncmp(a, "HTTP/1.1 405 ", 13) == 0);
    a = ask("HEAD /there HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
    ATF_CHECK(strncmp(a, "HTTP/1.1 200 ", 13) == 0);
    ATF_CHECK(strstr(a, "\r\n\r\n/there") == NULL);
}

/* A loop that never answers: the end of the server lets go of who waits. */
static void *hanging(void *arg)
{
    struct exchange *x = arg;
    char address[64];
    HD_AUTO(hd_fd_done) int fd = -1;
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    snprintf(address, sizeof(address), "127.0.0.1:%d", x->port);
    if (hd_addr_connect_text(address, 5000, &fd) == 0 && /* else the end was faster */
        hd_fd_write(fd, x->request, strlen(x->request)) >= 0) {
        (void)hd_fd_read_all(fd, &b);
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(the_end_does_not_wait_for_the_loop);
ATF_TC_BODY(the_end_does_not_wait_for_the_loop, tc)
{
    static struct exchange x = {.request = "GET /there HTTP/1.1\r\nHost: h\r\n\r\n"};
    struct hd_http_server *s;
    pthread_t thread;
    ATF_REQUIRE_EQ(hd_loop_new(&x.loop), 0);
    ATF_REQUIRE_EQ(hd_http_server_new(x.loop, "127.0.0.1:0", answer, NULL, &s), 0);
    x.port = hd_http_server_port(s);
    ATF_REQUIRE_EQ(pthread_create(&thread, NULL, hanging, &x), 0);
    hd_http_server_free(s); /* before or after the question was posted: both must end */
    pthread_join(thread, NULL);
    hd_loop_free(x.loop);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_page_is_answered_with_its_type);
    ATF_TP_ADD_TC(tp, what_is_not_there_is_404_and_escaped);
    ATF_TP_ADD_TC(tp, other_methods_are_refused);
    ATF_TP_ADD_TC(tp, the_end_does_not_wait_for_the_loop);
    return atf_no_error();
}
