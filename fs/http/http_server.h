/*
 * A small HTTP/1.1 server for status pages and metrics, by libmicrohttpd: GET and HEAD, answers
 * from memory. A few connections at a time, each with a time limit; more are turned away.
 */
#ifndef HD_HTTP_HTTP_SERVER_H
#define HD_HTTP_HTTP_SERVER_H

#include "fs/base/buf.h"

struct hd_http_server;
struct hd_loop;

enum {
    HD_HTTP_CONNECTIONS_MAX = 64,
    HD_HTTP_TIMEOUT_S = 10,
    HD_HTTP_BODY_MAX_BYTES = 64 << 20,
};

struct hd_http_answer {
    int status;         /* 200 */
    const char *type;   /* static; "text/html; charset=utf-8" */
    struct hd_buf body; /* filled by the handler */
};

/*
 * Answers a request for path ("/job/1", without the query). Runs on the loop's thread; a loop that
 * is busy for long makes the client wait.
 */
typedef void (*hd_http_fn)(void *ctx, const char *path, struct hd_http_answer *ret);

/* Listens at "host:port" (port 0: any free one). 0 or an error with a sentence. */
int hd_http_server_new(struct hd_loop *loop, const char *address, hd_http_fn fn, void *ctx,
                       struct hd_http_server **ret);
int hd_http_server_port(const struct hd_http_server *s);

/* On the loop's thread; nothing is asked of the handler afterwards. Takes NULL. */
void hd_http_server_free(struct hd_http_server *s);

/* Appends text with <, >, &, " and ' written as entities. */
int hd_http_escape(struct hd_buf *out, const char *text);

#endif
