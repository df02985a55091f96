/*
 * How many empty calls a second one server loop serves: with blocking clients, a connection and a
 * thread each, and with one peer that keeps many calls under way. The bounds are those of a busy
 * small machine; HD_BENCH_MS makes the runs longer than a smoke test.
 */
#include "fs/net/rpc_client.h"
#include "fs/os/clock.h"
#include "tests/support/rpc_peer.h"
#include "client_namenode.pb-c.h"

#include <inttypes.h>
#include <stdatomic.h>

enum { CONNECTIONS_MAX = 64, PIPELINED = 256, SMOKE_MS = 200, CALLS_PER_S_MIN = 1000 };

static const char *const protocols[] = {HD_PROTOCOL_CLIENT, NULL};

struct load {
    struct hd_rpc_client *client;
    pthread_t thread;
    atomic_bool *stop;
    uint64_t calls;
};

static void on_call(void *ctx HD_UNUSED, struct hd_rpc_call *call)
{
    Hdw__GetFileInfoResponse r = HDW__GET_FILE_INFO_RESPONSE__INIT;
    if (hd_rpc_call_decode(call, &hdw__get_file_info_request__descriptor) != NULL) {
        hd_rpc_reply(call, &r.base, 0);
    }
}

static int64_t run_ms(void)
{
    const char *text = getenv("HD_BENCH_MS");
    return text != NULL ? strtoll(text, NULL, 10) : SMOKE_MS;
}

static void *call_until_stopped(void *ctx)
{
    struct load *me = ctx;
    struct hd_arena arena;
    hd_arena_init(&arena, 0);
    while (!atomic_load_explicit(me->stop, memory_order_relaxed)) {
        Hdw__GetFileInfoRequest q = HDW__GET_FILE_INFO_REQUEST__INIT;
        q.src = (char *)(uintptr_t) "/";
        ProtobufCMessage *answer;
        struct hd_rpc_args a = {.method = "getFileInfo",
                                .request = &q.base,
                                .response_type = &hdw__get_file_info_response__descriptor,
                                .arena = &arena,
                                .call_id = -1};
        ATF_REQUIRE_EQ(hd_rpc_call(me->client, &a, &answer, NULL), 0);
        hd_arena_reset(&arena);
        me->calls++;
    }
    hd_arena_done(&arena);
    return NULL;
}

/* Calls a second of so many threads that share so many clients. */
static uint64_t measure(const char *address, int threads, int client_count)
{
    struct load loads[CONNECTIONS_MAX];
    struct hd_rpc_client *clients[CONNECTIONS_MAX];
    struct hd_rpc_client_options o = {
        .address = address, .protocol = HD_PROTOCOL_CLIENT, .user = "alice"};
    atomic_bool stop = false;
    uint64_t calls = 0;
    for (int i = 0; i < client_count; i++) {
        ATF_REQUIRE_EQ(hd_rpc_client_new(&o, &clients[i]), 0);
    }
    uint64_t began = hd_clock_mono_ns();
    for (int i = 0; i < threads; i++) {
        loads[i] = (struct load){.client = clients[i % client_count], .stop = &stop};
        pthread_create(&loads[i].thread, NULL, call_until_stopped, &loads[i]);
    }
    hd_clock_sleep_ms(run_ms());
    stop = true;
    for (int i = 0; i < threads; i++) {
        pthread_join(loads[i].thread, NULL);
        calls += loads[i].calls;
    }
    uint64_t rate = calls * 1000000000u / (hd_clock_mono_ns() - began);
    for (int i = 0; i < client_count; i++) {
        hd_rpc_client_free(clients[i]);
    }
    return rate;
}

/* One peer that always has PIPELINED calls under way. */
static uint64_t measure_pipelined(const struct test_server *s)
{
    struct hd_stream peer;
    struct hd_buf calls = {0};
    struct hd_buf answers = {0};
    struct hd_buf b = {0};
    uint64_t count = 0;
    peer_connect(s, &peer);
    peer_add_greeting(&b, "alice");
    ATF_REQUIRE_EQ(hd_stream_write(&peer, b.data, b.size), 0);
    for (int i = 0; i < PIPELINED; i++) {
        peer_add_call(&calls, i, "getFileInfo", "\x0a\x01/", 3);
        struct hd_rpc_response_header h = {.call_id = i,
                                           .client_id = {peer_client_id, sizeof(peer_client_id)}};
        ATF_REQUIRE_EQ(
            hd_rpc_response_add_message(
                &answers, &h, &((Hdw__GetFileInfoResponse)HDW__GET_FILE_INFO_RESPONSE__INIT).base),
            0);
    }
    uint8_t *got = malloc(answers.size);
    uint64_t began = hd_clock_mono_ns();
    uint64_t end = began + (uint64_t)run_ms() * 1000000u;
    ATF_REQUIRE_EQ(hd_stream_write(&peer, calls.data, calls.size), 0);
    while (hd_clock_mono_ns() < end) {
        ATF_REQUIRE_EQ(hd_stream_write(&peer, calls.data, calls.size), 0);
        ATF_REQUIRE_EQ(hd_stream_read(&peer, got, answers.size), 0);
        ATF_REQUIRE_EQ(memcmp(got, answers.data, answers.size), 0);
        count += PIPELINED;
    }
    uint64_t rate = count * 1000000000u / (hd_clock_mono_ns() - began);
    free(got);
    hd_stream_done(&peer);
    hd_buf_done(&calls);
    hd_buf_done(&answers);
    hd_buf_done(&b);
    return rate;
}

ATF_TC_WITHOUT_HEAD(calls_a_second_are_many);
ATF_TC_BODY(calls_a_second_are_many, tc)
{
    static const int shapes[][2] = {{1, 1}, {8, 8}, {64, 64}, {8, 1}, {64, 1}};
    struct test_server s;
    struct hd_rpc_server_options o = {.protocols = protocols, .on_call = on_call};
    char address[64];
    test_server_start(&s, &o);
    snprintf(address, sizeof(address), "127.0.0.1:%d", s.port);
    for (size_t i = 0; i < HD_ARRAY_COUNT(shapes); i++) {
        uint64_t rate = measure(address, shapes[i][0], shapes[i][1]);
        fprintf(stderr, "%d threads, %d connections: %" PRIu64 " calls/s\n", shapes[i][0],
                shapes[i][1], rate);
        ATF_CHECK(rate > CALLS_PER_S_MIN);
    }
    uint64_t rate = measure_pipelined(&s);
    fprintf(stderr, "one connection, %d calls under way: %" PRIu64 " calls/s\n", 2 * PIPELINED,
            rate);
    ATF_CHECK(rate > CALLS_PER_S_MIN);
    test_server_stop(&s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, calls_a_second_are_many);
    return atf_no_error();
}
