/* Client against server over loopback: answers, errors, threads, time-outs, lost connections. */
#include "fs/net/rpc_client.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/net/loop.h"
#include "fs/net/rpc_server.h"
#include "fs/os/clock.h"
#include "client_namenode.pb-c.h"

#include <atf-c.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#define PROTOCOL "org.apache.hadoop.hdfs.protocol.ClientProtocol"

enum { THREADS = 8, CALLS = 3000, PARKED_MAX = 64 };

static const char *const protocols[] = {PROTOCOL, "howdah.PosixProtocol", NULL};

/* A server in a thread. What it does depends on the path that a getFileInfo asks for. */
struct server {
    struct hd_loop *loop;
    struct hd_rpc_server *rpc;
    pthread_t thread;
    char address[64];
    struct hd_rpc_call *parked[PARKED_MAX];
    atomic_int parked_count;
    atomic_int unpark_at; /* so many parked calls are answered at once; 0: never */
    int closed;
    uint64_t last_conn_id;
    int last_retry;
};

static void answer_length(struct hd_rpc_call *call, uint64_t length)
{
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    Hdw__HdfsFileStatus status = HDW__HDFS_FILE_STATUS__INIT;
    Hdw__GetFileInfoResponse r = HDW__GET_FILE_INFO_RESPONSE__INIT;
    status.file_type = HDW__FILE_TYPE__IS_FILE;
    status.permission = &permission;
    status.length = length;
    status.owner = (char *)(uintptr_t)call->user;
    status.group = (char *)(uintptr_t)call->protocol;
    r.fs = &status;
    hd_rpc_reply(call, &r.base, (int64_t)length);
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct server *s = ctx;
    s->last_retry = call->retry_count;
    const Hdw__GetFileInfoRequest *q = (const Hdw__GetFileInfoRequest *)hd_rpc_call_decode(
        call, &hdw__get_file_info_request__descriptor);
    if (q == NULL) {
        return;
    }
    s->last_conn_id = call->conn_id;
    if (strcmp(q->src, "/missing") == 0) {
        hd_rpc_reply_error(call, -ENOENT, "File does not exist: /missing\n\tat some.java.Line");
    } else if (strcmp(q->src, "/park") == 0) {
        s->parked[s->parked_count] = call;
        s->parked_count++;
        if (s->parked_count == s->unpark_at) { /* the last one first */
            while (s->parked_count > 0) {
                answer_length(s->parked[--s->parked_count], 77);
            }
        }
    } else {
        answer_length(call, strtoull(q->src + 1, NULL, 10));
    }
}

static void on_close(void *ctx, uint64_t conn_id HD_UNUSED)
{
    ((struct server *)ctx)->closed++;
}

static void *run(void *ctx)
{
    struct server *s = ctx;
    hd_loop_run(s->loop);
    while (s->parked_count > 0) { /* answers to a server that is gone */
        hd_rpc_reply_error(s->parked[--s->parked_count], -EINTR, "");
    }
    return NULL;
}

static void start_at(struct server *s, const char *address)
{
    ATF_REQUIRE_EQ(hd_loop_new(&s->loop), 0);
    struct hd_rpc_server_options o = {
        .protocols = protocols, .on_call = on_call, .on_close = on_close, .ctx = s};
    int err = hd_rpc_server_new(s->loop, address, &o, &s->rpc);
    ATF_REQUIRE_EQ_MSG(err, 0, "%s", hd_fail_text());
    snprintf(s->address, sizeof(s->address), "127.0.0.1:%d", hd_rpc_server_port(s->rpc));
    pthread_create(&s->thread, NULL, run, s);
}

static void start(struct server *s)
{
    *s = (struct server){0};
    start_at(s, "127.0.0.1:0");
}

static void free_server(void *ctx)
{
    struct server *s = ctx;
    hd_rpc_server_free(s->rpc);
    s->rpc = NULL;
    hd_loop_stop(s->loop);
}

static void stop(struct server *s)
{
    hd_loop_post(s->loop, free_server, s);
    pthread_join(s->thread, NULL);
    hd_loop_free(s->loop);
}

static struct hd_rpc_client *new_client(const struct server *s, int call_timeout_ms)
{
    struct hd_rpc_client *c;
    struct hd_rpc_client_options o = {.address = s->address,
                                      .protocol = PROTOCOL,
                                      .user = "alice",
                                      .connect_timeout_ms = 2000,
                                      .call_timeout_ms = call_timeout_ms};
    ATF_REQUIRE_EQ(hd_rpc_client_new(&o, &c), 0);
    return c;
}

struct result {
    int err;
    uint64_t length;
    int64_t state_id;
    char owner[32];
    char group[64];
};

static struct result call_with(struct hd_rpc_client *c, const char *path,
                               const struct hd_rpc_args *extra)
{
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__GetFileInfoRequest q = HDW__GET_FILE_INFO_REQUEST__INIT;
    q.src = (char *)(uintptr_t)path;
    struct hd_rpc_args args = *extra;
    args.method = "getFileInfo";
    args.request = &q.base;
    args.response_type = &hdw__get_file_info_response__descriptor;
    args.arena = &arena;
    ProtobufCMessage *m;
    struct result r = {0};
    r.err = hd_rpc_call(c, &args, &m, &r.state_id);
    if (r.err == 0) {
        const Hdw__HdfsFileStatus *status = ((Hdw__GetFileInfoResponse *)m)->fs;
        r.length = status->length;
        snprintf(r.owner, sizeof(r.owner), "%s", status->owner);
        snprintf(r.group, sizeof(r.group), "%s", status->group);
    }
    hd_arena_done(&arena);
    return r;
}

static struct result call(struct hd_rpc_client *c, const char *path)
{
    return call_with(c, path, &(struct hd_rpc_args){.call_id = -1});
}

ATF_TC_WITHOUT_HEAD(call_brings_answer_and_state_id);
ATF_TC_BODY(call_brings_answer_and_state_id, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 0u);
    struct result r = call(c, "/42");
    ATF_REQUIRE_EQ_MSG(r.err, 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(r.length, 42u);
    ATF_CHECK_EQ(r.state_id, 42);
    ATF_CHECK_STREQ(r.owner, "alice");
    ATF_CHECK_STREQ(r.group, PROTOCOL);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 1u);
    r = call_with(c, "/1",
                  &(struct hd_rpc_args){.call_id = -1, .protocol = "howdah.PosixProtocol"});
    ATF_REQUIRE_EQ(r.err, 0);
    ATF_CHECK_STREQ(r.group, "howdah.PosixProtocol");
    hd_rpc_client_free(c);
    stop(&s);
    ATF_CHECK_EQ(s.closed, 1);
}

ATF_TC_WITHOUT_HEAD(exception_becomes_code_class_and_first_line);
ATF_TC_BODY(exception_becomes_code_class_and_first_line, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    ATF_CHECK_EQ(call(c, "/missing").err, -ENOENT);
    ATF_CHECK_STREQ(hd_fail_text(), "File does not exist: /missing");
    ATF_CHECK_STREQ(hd_rpc_last_class(), "java.io.FileNotFoundException");
    ATF_CHECK(!hd_rpc_is_connection_error(-ENOENT));
    struct result r =
        call_with(c, "/1", &(struct hd_rpc_args){.call_id = -1, .protocol = "no.such.Protocol"});
    ATF_CHECK_EQ(r.err, -HD_E_NO_SUCH_PROTOCOL);
    ATF_CHECK_STREQ(hd_fail_text(), "Unknown protocol: no.such.Protocol");
    ATF_CHECK_EQ(call(c, "/1").err, 0);
    ATF_CHECK_STREQ(hd_rpc_last_class(), "");
    hd_rpc_client_free(c);
    stop(&s);
}

struct caller {
    struct hd_rpc_client *client;
    pthread_t thread;
    int index;
    int bad;
};

static void *call_many(void *ctx)
{
    struct caller *me = ctx;
    for (int i = 0; i < CALLS; i++) {
        char path[32];
        uint64_t want = (uint64_t)me->index * CALLS + (uint64_t)i;
        snprintf(path, sizeof(path), "/%llu", (unsigned long long)want);
        struct result r = call(me->client, i % 100 == 99 ? "/missing" : path);
        if (i % 100 == 99 ? r.err != -ENOENT : r.err != 0 || r.length != want) {
            me->bad++;
        }
    }
    return NULL;
}

ATF_TC_WITHOUT_HEAD(threads_on_one_connection_get_their_own_answers);
ATF_TC_BODY(threads_on_one_connection_get_their_own_answers, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    struct caller callers[THREADS] = {0};
    for (int i = 0; i < THREADS; i++) {
        callers[i].client = c;
        callers[i].index = i;
        pthread_create(&callers[i].thread, NULL, call_many, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        ATF_CHECK_EQ(callers[i].bad, 0);
    }
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 1u);
    hd_rpc_client_free(c);
    stop(&s);
}

static void *call_park(void *ctx)
{
    struct caller *me = ctx;
    struct result r =
        call_with(me->client, "/park", &(struct hd_rpc_args){.call_id = -1, .timeout_ms = -1});
    me->bad = r.err;
    return NULL;
}

static void park_many(struct hd_rpc_client *c, struct caller *callers)
{
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (struct caller){.client = c};
        pthread_create(&callers[i].thread, NULL, call_park, &callers[i]);
    }
}

static void join_all(struct caller *callers, int want_err)
{
    for (int i = 0; i < THREADS; i++) {
        pthread_join(callers[i].thread, NULL);
        ATF_CHECK_EQ(callers[i].bad, want_err);
    }
}

ATF_TC_WITHOUT_HEAD(answers_out_of_order_find_their_callers);
ATF_TC_BODY(answers_out_of_order_find_their_callers, tc)
{
    struct server s;
    start(&s);
    s.unpark_at = THREADS;
    struct hd_rpc_client *c = new_client(&s, 0);
    struct caller callers[THREADS];
    for (int round = 0; round < 50; round++) {
        park_many(c, callers);
        ATF_CHECK_EQ(call(c, "/5").length, 5u); /* overtakes */
        join_all(callers, 0);
    }
    hd_rpc_client_free(c);
    stop(&s);
}

ATF_TC_WITHOUT_HEAD(lost_connection_fails_every_call_under_way);
ATF_TC_BODY(lost_connection_fails_every_call_under_way, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    struct caller callers[THREADS];
    park_many(c, callers);
    while (s.parked_count < THREADS) {
        ATF_REQUIRE_EQ(call(c, "/1").err, 0);
    }
    stop(&s);
    join_all(callers, -HD_E_CLOSED);
    ATF_CHECK(hd_rpc_is_connection_error(-HD_E_CLOSED));
    hd_rpc_client_free(c);
}

ATF_TC_WITHOUT_HEAD(next_call_connects_again);
ATF_TC_BODY(next_call_connects_again, tc)
{
    struct server s;
    start(&s);
    char address[64];
    memcpy(address, s.address, sizeof(address));
    struct hd_rpc_client *c = new_client(&s, 0);
    ATF_CHECK_EQ(call(c, "/1").err, 0);
    stop(&s);
    int err = call(c, "/2").err;
    ATF_CHECK_EQ_MSG(err, -ECONNREFUSED, "%s", hd_error_name(err));
    ATF_CHECK(strstr(hd_fail_text(), address) != NULL);
    s = (struct server){0};
    start_at(&s, address);
    ATF_CHECK_EQ(call(c, "/3").length, 3u);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 2u);
    hd_rpc_client_disconnect(c);
    ATF_CHECK_EQ(call(c, "/4").length, 4u);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 3u);
    hd_rpc_client_free(c);
    stop(&s);
}

ATF_TC_WITHOUT_HEAD(late_answer_harms_nobody);
ATF_TC_BODY(late_answer_harms_nobody, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    struct caller other = {.client = c};
    ATF_CHECK_EQ(call(c, "/1").err, 0);
    pthread_create(&other.thread, NULL, call_park, &other);
    struct hd_rpc_args brief = {.call_id = -1, .timeout_ms = 30};
    while (s.parked_count < 1) {
        ATF_REQUIRE_EQ(call(c, "/1").err, 0);
    }
    struct caller busy = {.client = c};
    pthread_create(&busy.thread, NULL, call_many, &busy); /* so the connection is not silent */
    ATF_CHECK_EQ(call_with(c, "/park", &brief).err, -ETIMEDOUT);
    s.unpark_at = 3;
    ATF_CHECK_EQ(call(c, "/park").length, 77u);
    pthread_join(busy.thread, NULL);
    pthread_join(other.thread, NULL);
    ATF_CHECK_EQ(busy.bad, 0);
    ATF_CHECK_EQ(other.bad, 0);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 1u);
    hd_rpc_client_free(c);
    stop(&s);
}

ATF_TC_WITHOUT_HEAD(silence_until_the_timeout_ends_the_connection);
ATF_TC_BODY(silence_until_the_timeout_ends_the_connection, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 40);
    int64_t began = hd_clock_mono_ms().v;
    ATF_CHECK_EQ(call(c, "/park").err, -ETIMEDOUT);
    ATF_CHECK(hd_clock_mono_ms().v - began >= 40);
    ATF_CHECK_EQ(call(c, "/1").err, 0);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 2u);
    hd_rpc_client_free(c);
    stop(&s);
}

ATF_TC_WITHOUT_HEAD(repeated_call_keeps_its_id_and_counts_tries);
ATF_TC_BODY(repeated_call_keeps_its_id_and_counts_tries, tc)
{
    struct server s;
    start(&s);
    struct hd_rpc_client *c = new_client(&s, 0);
    int64_t id = hd_rpc_call_id_new(c);
    ATF_CHECK(hd_rpc_call_id_new(c) != id);
    ATF_CHECK_EQ(call_with(c, "/1", &(struct hd_rpc_args){.call_id = id, .retry_count = 3}).err, 0);
    ATF_CHECK_EQ(s.last_retry, 3);
    hd_rpc_client_free(c);
    stop(&s);
}

/* ---- hello ---- */

struct greeter {
    Hdw__GetFileInfoRequest request;
    struct hd_rpc_hello hello;
    int refuse; /* an error to refuse with; 0: welcome */
    int welcomes;
    uint64_t length; /* as the hello's answer said */
};

static const struct hd_rpc_hello *greet(void *ctx)
{
    return &((struct greeter *)ctx)->hello;
}

static int welcome(void *ctx, int err, const ProtobufCMessage *response, uint64_t *ret_tag)
{
    struct greeter *g = ctx;
    g->welcomes++;
    *ret_tag = 1000 + (uint64_t)g->welcomes;
    if (err == 0) {
        g->length = ((const Hdw__GetFileInfoResponse *)(const void *)response)->fs->length;
    }
    return g->refuse != 0 ? hd_fail(g->refuse, "not you") : err;
}

static struct hd_rpc_client *new_greeting_client(const struct server *s, struct greeter *g)
{
    *g = (struct greeter){.refuse = 0};
    hdw__get_file_info_request__init(&g->request);
    g->request.src = (char *)(uintptr_t) "/77";
    g->hello = (struct hd_rpc_hello){"howdah.PosixProtocol", "getFileInfo", &g->request.base,
                                     &hdw__get_file_info_response__descriptor};
    struct hd_rpc_client *c;
    struct hd_rpc_client_options o = {.address = s->address,
                                      .protocol = PROTOCOL,
                                      .user = "alice",
                                      .hello = greet,
                                      .welcome = welcome,
                                      .ctx = g};
    ATF_REQUIRE_EQ(hd_rpc_client_new(&o, &c), 0);
    return c;
}

ATF_TC_WITHOUT_HEAD(hello_is_the_first_call_of_a_connection);
ATF_TC_BODY(hello_is_the_first_call_of_a_connection, tc)
{
    struct server s;
    struct greeter g;
    uint64_t tag = 0;
    start(&s);
    struct hd_rpc_client *c = new_greeting_client(&s, &g);
    struct hd_rpc_args tagged = {.call_id = -1, .ret_tag = &tag};
    ATF_CHECK_EQ(call_with(c, "/1", &tagged).err, 0);
    ATF_CHECK_EQ(g.welcomes, 1);
    ATF_CHECK_EQ(g.length, 77u);
    ATF_CHECK_EQ(tag, 1001u);
    ATF_CHECK_EQ(call(c, "/2").err, 0);
    ATF_CHECK_EQ(g.welcomes, 1);
    hd_rpc_client_disconnect(c);
    ATF_CHECK_EQ(call_with(c, "/3", &tagged).err, 0);
    ATF_CHECK_EQ(g.welcomes, 2);
    ATF_CHECK_EQ(tag, 1002u);
    hd_rpc_client_free(c);
    stop(&s);
}

ATF_TC_WITHOUT_HEAD(who_is_not_welcome_gets_no_call);
ATF_TC_BODY(who_is_not_welcome_gets_no_call, tc)
{
    struct server s;
    struct greeter g;
    start(&s);
    struct hd_rpc_client *c = new_greeting_client(&s, &g);
    g.refuse = -HD_E_STANDBY;
    ATF_CHECK_EQ(call(c, "/1").err, -HD_E_STANDBY);
    ATF_CHECK_EQ(hd_rpc_client_connections(c), 0u);
    g.refuse = 0;
    ATF_CHECK_EQ(call(c, "/1").err, 0);
    hd_rpc_client_free(c);
    stop(&s);
}

struct parked_call {
    struct hd_rpc_client *client;
    int err;
};

static void *call_parked(void *ctx)
{
    struct parked_call *p = ctx;
    p->err = call(p->client, "/park").err;
    return NULL;
}

ATF_TC_WITHOUT_HEAD(redirected_calls_end_and_go_to_the_other_server);
ATF_TC_BODY(redirected_calls_end_and_go_to_the_other_server, tc)
{
    struct server a, b;
    pthread_t thread;
    start(&a);
    start(&b);
    struct hd_rpc_client *c = new_client(&a, 0);
    struct parked_call p = {.client = c};
    pthread_create(&thread, NULL, call_parked, &p);
    while (a.parked_count == 0) {
        hd_clock_sleep_ms(1);
    }
    ATF_CHECK_EQ(hd_rpc_client_redirect(c, b.address), 0);
    pthread_join(thread, NULL);
    ATF_CHECK_EQ(p.err, -HD_E_CLOSED);
    uint64_t at_a = a.last_conn_id;
    ATF_CHECK_EQ(call(c, "/5").length, 5u);
    ATF_CHECK(b.last_conn_id != 0);
    ATF_CHECK_EQ(a.last_conn_id, at_a);
    ATF_CHECK_EQ(hd_rpc_client_redirect(c, a.address), 0); /* and back */
    ATF_CHECK_EQ(call(c, "/6").length, 6u);
    ATF_CHECK(a.last_conn_id != at_a);
    hd_rpc_client_free(c);
    stop(&a);
    stop(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, call_brings_answer_and_state_id);
    ATF_TP_ADD_TC(tp, exception_becomes_code_class_and_first_line);
    ATF_TP_ADD_TC(tp, threads_on_one_connection_get_their_own_answers);
    ATF_TP_ADD_TC(tp, answers_out_of_order_find_their_callers);
    ATF_TP_ADD_TC(tp, lost_connection_fails_every_call_under_way);
    ATF_TP_ADD_TC(tp, next_call_connects_again);
    ATF_TP_ADD_TC(tp, late_answer_harms_nobody);
    ATF_TP_ADD_TC(tp, silence_until_the_timeout_ends_the_connection);
    ATF_TP_ADD_TC(tp, repeated_call_keeps_its_id_and_counts_tries);
    ATF_TP_ADD_TC(tp, hello_is_the_first_call_of_a_connection);
    ATF_TP_ADD_TC(tp, who_is_not_welcome_gets_no_call);
    ATF_TP_ADD_TC(tp, redirected_calls_end_and_go_to_the_other_server);
    return atf_no_error();
}
