/* Limits of the RPC server: calls, bytes and connections under way, peers that go or do not read.
 */
#include "tests/support/rpc_peer.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>

enum { CALLS = 100, BIG_BYTES = 256 << 10, PARKED_MAX = 256 };

/* What a call does is its method's name; its first four body bytes are a size. */
struct handler {
    struct hd_rpc_call *parked[PARKED_MAX];
    atomic_int parked_count;
    atomic_int calls;
    atomic_int closed;
    uint8_t *big;
    size_t big_size;
};

static void answer_all(struct handler *h)
{
    while (h->parked_count > 0) {
        hd_rpc_reply_bytes(h->parked[--h->parked_count], h->big, h->big_size, 0);
    }
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct handler *h = ctx;
    h->calls++;
    if (strcmp(call->method, "park") == 0) {
        h->parked[h->parked_count] = call;
        h->parked_count++;
    } else if (strcmp(call->method, "answerAll") == 0) {
        hd_rpc_reply_bytes(call, "", 0, 0);
        answer_all(h);
    } else if (strcmp(call->method, "big") == 0) {
        hd_rpc_reply_bytes(call, h->big, h->big_size, 0);
    } else if (strcmp(call->method, "who") == 0) {
        const char *text = hd_arena_printf(&call->arena, "%s/%s/%s/%zu", call->user,
                                           call->real_user != NULL ? call->real_user : "-",
                                           call->peer_ip, call->body_size);
        hd_rpc_reply_bytes(call, text, strlen(text), 7);
    } else {
        hd_rpc_reply_bytes(call, call->body, call->body_size, 0);
    }
}

static void on_close(void *ctx, uint64_t conn_id HD_UNUSED)
{
    ((struct handler *)ctx)->closed++;
}

static const char *const protocols[] = {HD_PROTOCOL_CLIENT, NULL};

static struct hd_rpc_server_options options_for(struct handler *h)
{
    return (struct hd_rpc_server_options){
        .protocols = protocols, .on_call = on_call, .on_close = on_close, .ctx = h};
}

static void send_all(struct hd_stream *peer, struct hd_buf *b)
{
    ATF_REQUIRE_EQ(hd_stream_write(peer, b->data, b->size), 0);
    hd_buf_done(b);
}

static void expect_answer(struct hd_stream *peer, int32_t call_id, size_t body_size)
{
    struct hd_buf frame = {0};
    struct hd_rpc_response_header h;
    struct hd_slice body;
    ATF_REQUIRE_MSG(peer_read_frame(peer, &frame, &h, &body), "no answer to %d", call_id);
    ATF_CHECK_EQ(h.status, 0u);
    if (call_id >= 0) {
        ATF_CHECK_EQ(h.call_id, call_id);
    }
    ATF_CHECK_EQ(body.size, body_size);
    hd_buf_done(&frame);
}

ATF_TC_WITHOUT_HEAD(call_knows_user_peer_and_body);
ATF_TC_BODY(call_knows_user_peer_and_body, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "blk_1073741825_1001");
    peer_add_call(&b, 5, "who", "12345", 5);
    send_all(&peer, &b);
    struct hd_buf frame = {0};
    struct hd_rpc_response_header r;
    struct hd_slice body;
    ATF_REQUIRE(peer_read_frame(&peer, &frame, &r, &body));
    ATF_CHECK_EQ(r.state_id, 7);
    ATF_CHECK_EQ_MSG(hd_slice_equals(body, "blk_1073741825_1001/-/127.0.0.1/5"), true, "%.*s",
                     (int)body.size, (const char *)body.data);
    hd_buf_done(&frame);
    hd_stream_done(&peer);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(ceiling_of_calls_stops_reading_until_answers_go_out);
ATF_TC_BODY(ceiling_of_calls_stops_reading_until_answers_go_out, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_stream other;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    o.max_calls_per_connection = 4;
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    for (int i = 0; i < CALLS; i++) {
        peer_add_call(&b, i, "park", NULL, 0);
    }
    send_all(&peer, &b);
    peer_connect(&s, &other); /* lets the parked go, four at a time */
    peer_add_greeting(&b, "alice");
    int answered = 0;
    for (int turn = 0; answered < CALLS; turn++) {
        while (h.parked_count < 4) {
            sched_yield();
        }
        ATF_CHECK_EQ(h.parked_count, 4);
        peer_add_call(&b, turn, "answerAll", NULL, 0);
        send_all(&other, &b);
        expect_answer(&other, turn, 0);
        for (int i = 0; i < 4; i++) {
            expect_answer(&peer, -1, 0);
            answered++;
        }
    }
    hd_stream_done(&peer);
    hd_stream_done(&other);
    while (h.closed < 2) {
        sched_yield();
    }
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(peer_that_does_not_read_is_not_read_from);
ATF_TC_BODY(peer_that_does_not_read_is_not_read_from, tc)
{
    struct handler h = {.big = calloc(1, BIG_BYTES), .big_size = BIG_BYTES};
    struct test_server s;
    struct hd_stream peer;
    struct hd_stream other;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    for (int i = 0; i < CALLS; i++) {
        peer_add_call(&b, i, "big", NULL, 0);
    }
    send_all(&peer, &b);
    peer_connect(&s, &other); /* is served meanwhile */
    peer_add_greeting(&b, "alice");
    for (int i = 0; i < CALLS; i++) {
        peer_add_call(&b, i, "who", NULL, 0);
    }
    send_all(&other, &b);
    for (int i = 0; i < CALLS; i++) {
        expect_answer(&other, i, strlen("alice/-/127.0.0.1/0"));
    }
    ATF_CHECK_MSG(h.calls < 2 * CALLS, "%d calls were taken", h.calls); /* not all the big ones */
    for (int i = 0; i < CALLS; i++) {
        expect_answer(&peer, i, BIG_BYTES);
    }
    hd_stream_done(&peer);
    hd_stream_done(&other);
    test_server_stop(&s);
    free(h.big);
}

ATF_TC_WITHOUT_HEAD(peer_that_never_reads_is_dropped_at_the_ceiling);
ATF_TC_BODY(peer_that_never_reads_is_dropped_at_the_ceiling, tc)
{
    struct handler h = {.big = calloc(1, BIG_BYTES), .big_size = BIG_BYTES};
    struct test_server s;
    struct hd_stream peer;
    struct hd_stream other;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    o.max_unsent_bytes = 8 << 20;
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    for (int i = 0; i < CALLS; i++) {
        peer_add_call(&b, i, "park", NULL, 0);
    }
    send_all(&peer, &b);
    peer_connect(&s, &other);
    peer_add_greeting(&b, "alice");
    while (h.parked_count < CALLS) {
        sched_yield();
    }
    peer_add_call(&b, 0, "answerAll", NULL, 0); /* 25 MB at once */
    send_all(&other, &b);
    expect_answer(&other, 0, 0);
    while (h.closed == 0) {
        sched_yield();
    }
    hd_stream_done(&peer);
    hd_stream_done(&other);
    test_server_stop(&s);
    free(h.big);
}

ATF_TC_WITHOUT_HEAD(answer_after_the_peer_went_harms_nobody);
ATF_TC_BODY(answer_after_the_peer_went_harms_nobody, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    test_server_start(&s, &o);
    for (int round = 0; round < 20; round++) {
        int closed = h.closed;
        peer_connect(&s, &peer);
        peer_add_greeting(&b, "alice");
        peer_add_call(&b, 1, "park", NULL, 0);
        peer_add_call(&b, 2, "park", "xyz", 3);
        send_all(&peer, &b);
        while (h.parked_count < 2) {
            sched_yield();
        }
        hd_stream_done(&peer);
        while (h.closed == closed) {
            sched_yield();
        }
        peer_connect(&s, &peer);
        peer_add_greeting(&b, "bob");
        peer_add_call(&b, 3, "answerAll", NULL, 0);
        send_all(&peer, &b);
        expect_answer(&peer, 3, 0);
        ATF_CHECK_EQ(h.parked_count, 0);
        hd_stream_done(&peer);
    }
    test_server_stop(&s);
}

static void answer_all_on_close(void *ctx, uint64_t conn_id HD_UNUSED)
{
    struct handler *h = ctx;
    answer_all(h);
    h->closed++;
}

ATF_TC_WITHOUT_HEAD(a_close_may_answer_the_calls_of_its_connection);
ATF_TC_BODY(a_close_may_answer_the_calls_of_its_connection, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    o.on_close = answer_all_on_close;
    test_server_start(&s, &o);
    for (int round = 0; round < 20; round++) {
        peer_connect(&s, &peer);
        peer_add_greeting(&b, "alice");
        peer_add_call(&b, 1, "park", NULL, 0);
        peer_add_call(&b, 2, "park", "xyz", 3);
        send_all(&peer, &b);
        while (h.parked_count < 2) {
            sched_yield();
        }
        hd_stream_done(&peer);
        while (h.closed == round) {
            sched_yield();
        }
        ATF_CHECK_EQ(h.parked_count, 0);
    }
    peer_connect(&s, &peer); /* and the server is well */
    peer_add_greeting(&b, "bob");
    peer_add_call(&b, 3, "echo", "abc", 3);
    send_all(&peer, &b);
    expect_answer(&peer, 3, 3);
    hd_stream_done(&peer);
    test_server_stop(&s);
}

static void answer_parked(void *ctx)
{
    answer_all(ctx);
}

ATF_TC_WITHOUT_HEAD(answer_after_the_server_went_harms_nobody);
ATF_TC_BODY(answer_after_the_server_went_harms_nobody, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    test_server_start(&s, &o);
    s.at_end = answer_parked;
    s.at_end_ctx = &h;
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    for (int i = 0; i < 10; i++) {
        peer_add_call(&b, i, "park", NULL, 0);
    }
    send_all(&peer, &b);
    while (h.parked_count < 10) {
        sched_yield();
    }
    test_server_stop(&s);
    ATF_CHECK_EQ(h.parked_count, 0);
    ATF_CHECK_EQ(hd_stream_wait(&peer), 0);
    ATF_CHECK_EQ(h.closed, 0); /* the owner knows */
    hd_stream_done(&peer);
}

ATF_TC_WITHOUT_HEAD(connections_above_the_ceiling_wait_for_their_turn);
ATF_TC_BODY(connections_above_the_ceiling_wait_for_their_turn, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peers[3];
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    o.max_connections = 2;
    test_server_start(&s, &o);
    for (int i = 0; i < 3; i++) {
        peer_connect(&s, &peers[i]);
        peer_add_greeting(&b, "alice");
        peer_add_call(&b, i, "echo", "ab", 2);
        send_all(&peers[i], &b);
        if (i < 2) {
            expect_answer(&peers[i], i, 2);
        }
    }
    struct pollfd p = {.fd = peers[2].fd, .events = POLLIN};
    ATF_CHECK_EQ(poll(&p, 1, 20), 0);
    hd_stream_done(&peers[0]);
    expect_answer(&peers[2], 2, 2);
    hd_stream_done(&peers[1]);
    hd_stream_done(&peers[2]);
    test_server_stop(&s);
}

/* Closing with bytes unread would send a reset, and that would overtake the answer. */
ATF_TC_WITHOUT_HEAD(last_word_arrives_though_the_peer_went_on);
ATF_TC_BODY(last_word_arrives_though_the_peer_went_on, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_buf frame = {0};
    struct hd_rpc_response_header r;
    struct hd_slice body;
    size_t size = 8 << 20;
    uint8_t *data = calloc(1, size);
    struct hd_rpc_server_options o = options_for(&h);
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    peer_add_call(&b, -2, "echo", NULL, 0);
    peer_add_call(&b, 1, "echo", data, size);
    ATF_REQUIRE_EQ(hd_stream_write(&peer, b.data, b.size), 0);
    hd_buf_done(&b);
    ATF_REQUIRE(peer_read_frame(&peer, &frame, &r, &body));
    ATF_CHECK_EQ(r.status, (uint32_t)HDW__RPC_STATUS__RPC_FATAL);
    ATF_CHECK(hd_slice_equals(r.error_msg, "Unknown out of band call #-2"));
    ATF_CHECK_EQ(hd_stream_wait(&peer), 0);
    ATF_CHECK_EQ(h.calls, 0);
    hd_stream_done(&peer);
    hd_buf_done(&frame);
    test_server_stop(&s);
    free(data);
}

ATF_TC_WITHOUT_HEAD(idle_connections_go_when_there_are_many);
ATF_TC_BODY(idle_connections_go_when_there_are_many, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peers[4];
    struct hd_buf b = {0};
    struct hd_rpc_server_options o = options_for(&h);
    o.max_connections = 10;
    o.idle_ms = 20;
    test_server_start(&s, &o);
    for (int i = 0; i < 3; i++) { /* below two fifths of the ceiling: they may stay */
        peer_connect(&s, &peers[i]);
        peer_add_greeting(&b, "alice");
        peer_add_call(&b, i, i == 0 ? "park" : "echo", NULL, 0);
        send_all(&peers[i], &b);
    }
    expect_answer(&peers[1], 1, 0);
    expect_answer(&peers[2], 2, 0);
    struct pollfd p = {.fd = peers[1].fd, .events = POLLIN};
    ATF_CHECK_EQ(poll(&p, 1, 60), 0);
    peer_connect(&s, &peers[3]);
    for (int i = 1; i < 3; i++) {
        ATF_CHECK_EQ(hd_stream_wait(&peers[i]), 0);
        hd_stream_done(&peers[i]);
    }
    peer_add_greeting(&b, "alice"); /* came last, and was not idle */
    peer_add_call(&b, 9, "answerAll", NULL, 0);
    send_all(&peers[3], &b);
    expect_answer(&peers[3], 9, 0);
    expect_answer(&peers[0], 0, 0); /* had a call under way */
    hd_stream_done(&peers[0]);
    hd_stream_done(&peers[3]);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(large_bodies_come_through_and_too_large_ones_close);
ATF_TC_BODY(large_bodies_come_through_and_too_large_ones_close, tc)
{
    struct handler h = {0};
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    size_t size = 20 << 20;
    uint8_t *data = malloc(size);
    memset(data, 'x', size);
    struct hd_rpc_server_options o = options_for(&h);
    o.max_frame_bytes = size + 200;
    test_server_start(&s, &o);
    peer_connect(&s, &peer);
    peer_add_greeting(&b, "alice");
    peer_add_call(&b, 1, "who", data, size);
    peer_add_call(&b, 2, "echo", data, 1 << 20);
    peer_add_call(&b, 3, "echo", "z", 1);
    send_all(&peer, &b);
    expect_answer(&peer, 1, strlen("alice/-/127.0.0.1/20971520"));
    expect_answer(&peer, 2, 1 << 20);
    expect_answer(&peer, 3, 1);
    peer_add_call(&b, 4,
                  "someMethodWithALongName______________________________________________"
                  "___________________________________________________________________",
                  data, size);
    hd_stream_write(&peer, b.data, 100);
    hd_buf_done(&b);
    ATF_CHECK_EQ(hd_stream_wait(&peer), 0); /* closed without a word */
    hd_stream_done(&peer);
    test_server_stop(&s);
    free(data);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, call_knows_user_peer_and_body);
    ATF_TP_ADD_TC(tp, ceiling_of_calls_stops_reading_until_answers_go_out);
    ATF_TP_ADD_TC(tp, peer_that_does_not_read_is_not_read_from);
    ATF_TP_ADD_TC(tp, peer_that_never_reads_is_dropped_at_the_ceiling);
    ATF_TP_ADD_TC(tp, answer_after_the_peer_went_harms_nobody);
    ATF_TP_ADD_TC(tp, a_close_may_answer_the_calls_of_its_connection);
    ATF_TP_ADD_TC(tp, answer_after_the_server_went_harms_nobody);
    ATF_TP_ADD_TC(tp, connections_above_the_ceiling_wait_for_their_turn);
    ATF_TP_ADD_TC(tp, last_word_arrives_though_the_peer_went_on);
    ATF_TP_ADD_TC(tp, idle_connections_go_when_there_are_many);
    ATF_TP_ADD_TC(tp, large_bodies_come_through_and_too_large_ones_close);
    return atf_no_error();
}
