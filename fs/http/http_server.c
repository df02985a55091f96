/* See http_server.h. A thread of libmicrohttpd's reads requests; the loop answers them. */
#include "fs/http/http_server.h"
#include "fs/base/error.h"
#include "fs/net/addr.h"
#include "fs/net/loop.h"
#include "fs/os/file.h"

#include <errno.h>
#include <microhttpd.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct hd_http_server {
    struct MHD_Daemon *daemon;
    struct hd_loop *loop;
    hd_http_fn fn;
    void *ctx;
    int port;
    pthread_mutex_t lock; /* all below, and the questions' state */
    pthread_cond_t answered;
    bool ended;
    int refs; /* the owner and every question that was posted */
};

/* A request on its way to the loop and back. Freed by the last of the two who have it. */
struct question {
    struct hd_http_server *server;
    const char *path; /* borrowed from the request: not read when nobody waits any more */
    struct hd_http_answer answer;
    bool done;
    bool abandoned;
};

static void unref(struct hd_http_server *s)
{
    pthread_mutex_lock(&s->lock);
    bool last = --s->refs == 0;
    pthread_mutex_unlock(&s->lock);
    if (last) {
        pthread_cond_destroy(&s->answered);
        pthread_mutex_destroy(&s->lock);
        free(s);
    }
}

static void question_free(struct question *q)
{
    hd_buf_done(&q->answer.body);
    free(q);
}

static void on_loop(void *ctx)
{
    struct question *q = ctx;
    struct hd_http_server *s = q->server;
    pthread_mutex_lock(&s->lock);
    bool wanted = !q->abandoned && !s->ended;
    pthread_mutex_unlock(&s->lock);
    if (wanted) { /* only this thread ends the server: it stays so, and the path with it */
        s->fn(s->ctx, q->path, &q->answer);
    }
    pthread_mutex_lock(&s->lock);
    q->done = true;
    bool abandoned = q->abandoned;
    pthread_cond_broadcast(&s->answered);
    pthread_mutex_unlock(&s->lock);
    if (abandoned) {
        question_free(q);
    }
    unref(s);
}

/* The question with its answer; NULL when there will be none. */
static struct question *ask(struct hd_http_server *s, const char *path)
{
    struct question *q = calloc(1, sizeof(*q));
    if (q == NULL) {
        return NULL;
    }
    *q = (struct question){
        .server = s,
        .path = path,
        .answer = {.status = MHD_HTTP_INTERNAL_SERVER_ERROR, .type = "text/plain; charset=utf-8"}};
    hd_buf_init(&q->answer.body, HD_HTTP_BODY_MAX_BYTES);
    pthread_mutex_lock(&s->lock);
    bool posted = !s->ended && hd_loop_post(s->loop, on_loop, q) == 0;
    s->refs += posted;
    while (posted && !q->done && !s->ended) {
        pthread_cond_wait(&s->answered, &s->lock);
    }
    bool done = q->done;
    q->abandoned = posted && !done;
    pthread_mutex_unlock(&s->lock);
    if (done) {
        return q;
    }
    if (!posted) {
        question_free(q);
    }
    return NULL;
}

static enum MHD_Result send_answer(struct MHD_Connection *connection, struct hd_http_answer *a)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(a->body.size, a->body.data, MHD_RESPMEM_MUST_COPY);
    if (r == NULL) {
        return MHD_NO;
    }
    MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, a->type);
    MHD_add_response_header(r, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(r, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(r, "Content-Security-Policy",
                            "default-src 'none'; style-src 'unsafe-inline'; "
                            "script-src 'unsafe-inline'; connect-src 'self'");
    if (a->status == MHD_HTTP_METHOD_NOT_ALLOWED) {
        MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    }
    enum MHD_Result rc = MHD_queue_response(connection, (unsigned)a->status, r);
    MHD_destroy_response(r);
    return rc;
}

static enum MHD_Result on_request(void *ctx, struct MHD_Connection *connection, const char *url,
                                  const char *method, const char *version, const char *upload,
                                  size_t *upload_size, void **state)
{
    static int seen;
    struct hd_http_server *s = ctx;
    (void)version;
    (void)upload;
    if (*state == NULL) { /* the headers alone: the body comes with the next call */
        *state = &seen;
        return MHD_YES;
    }
    if (*upload_size > 0) { /* not wanted */
        *upload_size = 0;
        return MHD_YES;
    }
    struct hd_http_answer none = {.status = MHD_HTTP_SERVICE_UNAVAILABLE,
                                  .type = "text/plain; charset=utf-8"};
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    struct question *q = get ? ask(s, url) : NULL;
    none.status = get ? none.status : MHD_HTTP_METHOD_NOT_ALLOWED;
    enum MHD_Result rc = send_answer(connection, q != NULL ? &q->answer : &none);
    if (q != NULL) {
        question_free(q);
    }
    return rc;
}

int hd_http_server_new(struct hd_loop *loop, const char *address, hd_http_fn fn, void *ctx,
                       struct hd_http_server **ret)
{
    struct hd_http_server *s = calloc(1, sizeof(*s));
    int fd = -1;
    if (s == NULL) {
        return -ENOMEM;
    }
    s->loop = loop;
    s->refs = 1;
    s->fn = fn;
    s->ctx = ctx;
    pthread_mutex_init(&s->lock, NULL);
    pthread_cond_init(&s->answered, NULL);
    int err = hd_addr_listen(address, &fd, &s->port);
    if (err == 0) {
        s->daemon = MHD_start_daemon(
            MHD_USE_EPOLL_INTERNAL_THREAD, 0, NULL, NULL, on_request, s, MHD_OPTION_LISTEN_SOCKET,
            fd, MHD_OPTION_CONNECTION_LIMIT, (unsigned)HD_HTTP_CONNECTIONS_MAX,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)HD_HTTP_TIMEOUT_S, MHD_OPTION_END);
        if (s->daemon == NULL) {
            err = hd_fail(-EIO, "%s: the HTTP server does not start", address);
            hd_fd_done(&fd);
        }
    }
    if (err < 0) {
        free(s);
        return err;
    }
    *ret = s;
    return 0;
}

int hd_http_server_port(const struct hd_http_server *s)
{
    return s->port;
}

void hd_http_server_free(struct hd_http_server *s)
{
    if (s == NULL) {
        return;
    }
    pthread_mutex_lock(&s->lock);
    s->ended = true;
    pthread_cond_broadcast(&s->answered);
    pthread_mutex_unlock(&s->lock);
    MHD_stop_daemon(s->daemon); /* its thread has let go of every question by then */
    unref(s);
}

int hd_http_escape(struct hd_buf *out, const char *text)
{
    int err = 0;
    for (; err == 0 && *text != '\0'; text++) {
        static const struct {
            char c;
            const char *entity;
        } entities[] = {
            {'<', "&lt;"}, {'>', "&gt;"}, {'&', "&amp;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
        const char *entity = NULL;
        for (size_t i = 0; i < HD_ARRAY_COUNT(entities); i++) {
            entity = *text == entities[i].c ? entities[i].entity : entity;
        }
        err = entity != NULL ? hd_buf_add(out, entity, strlen(entity))
                             : hd_buf_add_u8(out, (uint8_t)*text);
    }
    return err;
}
