/* FaultProtocol, and what faults do to connections of the RPC server. */
#include "fs/net/fault_service.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"
#include "fs/os/file.h"
#include "tests/support/rpc_peer.h"

#include "howdah.pb-c.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pwd.h>

enum { QUIET_MS = 150, LONG_MS = 60000 };

static const char *const protocols[] = {HD_PROTOCOL_CLIENT, NULL};

static void on_call(void *ctx HD_UNUSED, struct hd_rpc_call *call)
{
    hd_rpc_reply_bytes(call, call->body, call->body_size, 0);
}

static const struct hd_rpc_server_options server_options = {.protocols = protocols,
                                                            .on_call = on_call};

static const char *own_name(void)
{
    return getpwuid(geteuid())->pw_name;
}

static void configure(const char *drills)
{
    char text[200];
    HD_AUTO(hd_config_freep) struct hd_config *config = NULL;
    int n = snprintf(text, sizeof(text), "[cluster]\ndrills = %s\nsupergroup = no-such\n", drills);
    ATF_REQUIRE_EQ(hd_file_replace("howdah.conf", text, (size_t)n, 0600), 0);
    ATF_REQUIRE_EQ(hd_config_load("howdah.conf", &config), 0);
    ATF_REQUIRE_EQ(hd_fault_service_init(config), 0);
}

/* A setFaults call as bytes: preamble, context, call. */
static void add_set_faults(struct hd_buf *out, const char *user, const char *point,
                           const char *target, int64_t value, uint64_t for_ms)
{
    Hdw__Fault f = HDW__FAULT__INIT;
    Hdw__Fault *list[] = {&f};
    Hdw__SetFaultsRequest q = HDW__SET_FAULTS_REQUEST__INIT;
    f.point = (char *)(uintptr_t)point;
    f.target = (char *)(uintptr_t)target;
    f.has_value = true;
    f.value = value;
    f.for_ms = for_ms;
    q.n_faults = point != NULL;
    q.faults = list;
    struct hd_rpc_request_header h = {.kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER,
                                      .op = HDW__OPERATION__RPC_FINAL_PACKET,
                                      .call_id = 1,
                                      .client_id = {peer_client_id, sizeof(peer_client_id)}};
    struct hd_rpc_request r = {.method = hd_slice_of("setFaults"),
                               .protocol = hd_slice_of(hd_fault_protocol),
                               .version = 1};
    uint8_t *body;
    ATF_REQUIRE_EQ(hd_rpc_preamble_add(out, HD_RPC_AUTH_SIMPLE), 0);
    ATF_REQUIRE_EQ(hd_rpc_context_add(out, peer_client_id, user, hd_fault_protocol), 0);
    ATF_REQUIRE_EQ(
        hd_rpc_request_add(out, &h, &r, hdw__set_faults_request__get_packed_size(&q), &body), 0);
    hdw__set_faults_request__pack(&q, body);
}

/* Both ends are in this process, and so would both be cut: the peer's uses bare system calls. */
static void connect_bare(const struct test_server *s, struct hd_stream *peer)
{
    struct sockaddr_in a = {.sin_family = AF_INET,
                            .sin_port = htons((uint16_t)s->port),
                            .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ATF_REQUIRE_EQ(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
    ATF_REQUIRE_EQ(hd_stream_init(peer, fd, RPC_PEER_TIMEOUT_MS, 0), 0);
}

static void send_bare(const struct hd_stream *peer, struct hd_buf *b)
{
    ATF_REQUIRE_EQ(send(peer->fd, b->data, b->size, MSG_NOSIGNAL), (ssize_t)b->size);
    hd_buf_done(b);
}

/* The bytes that come within wait_ms, as one text; "" when none do. */
static const char *receive_bare(const struct hd_stream *peer, int wait_ms)
{
    static char text[65536];
    struct pollfd p = {.fd = peer->fd, .events = POLLIN};
    ssize_t n = poll(&p, 1, wait_ms) > 0 ? recv(peer->fd, text, sizeof(text) - 1, 0) : 0;
    for (ssize_t i = 0; i < n; i++) { /* for strstr */
        text[i] = text[i] == '\0' ? ' ' : text[i];
    }
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void set_faults(const struct test_server *s, const char *point, const char *target,
                       int64_t value)
{
    struct hd_stream peer;
    struct hd_buf b = {0};
    connect_bare(s, &peer);
    add_set_faults(&b, own_name(), point, target, value, LONG_MS);
    send_bare(&peer, &b);
    ATF_REQUIRE(receive_bare(&peer, RPC_PEER_TIMEOUT_MS)[0] != '\0');
    close(peer.fd);
    peer.fd = -1;
    hd_stream_done(&peer);
}

static void expect_refusal(const struct test_server *s, const char *user, const char *point,
                           const char *words)
{
    struct hd_stream peer;
    struct hd_buf b = {0};
    peer_connect(s, &peer);
    add_set_faults(&b, user, point, NULL, 0, LONG_MS);
    send_bare(&peer, &b);
    const char *answer = receive_bare(&peer, RPC_PEER_TIMEOUT_MS);
    ATF_CHECK_MSG(strstr(answer, words) != NULL, "%s", answer);
    ATF_CHECK_EQ(hd_fault_count(), 0u);
    hd_stream_done(&peer);
}

ATF_TC_WITHOUT_HEAD(faults_are_refused_unless_drills_are_on);
ATF_TC_BODY(faults_are_refused_unless_drills_are_on, tc)
{
    struct test_server s;
    test_server_start(&s, &server_options);
    expect_refusal(&s, own_name(), "clock.jump", "drills = on");
    configure("off");
    expect_refusal(&s, own_name(), "clock.jump", "drills = on");
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(only_the_superuser_sets_faults);
ATF_TC_BODY(only_the_superuser_sets_faults, tc)
{
    struct test_server s;
    configure("on");
    test_server_start(&s, &server_options);
    expect_refusal(&s, "mallory", "clock.jump", "Superuser privilege");
    expect_refusal(&s, own_name(), "disk.melt", "no such fault: disk.melt");
    set_faults(&s, "clock.jump", NULL, 1000);
    ATF_CHECK_EQ(hd_fault_clock_ms(), 1000);
    set_faults(&s, NULL, NULL, 0);
    ATF_CHECK_EQ(hd_fault_count(), 0u);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(a_cut_connection_is_silent_until_it_heals);
ATF_TC_BODY(a_cut_connection_is_silent_until_it_heals, tc)
{
    struct test_server s;
    struct hd_stream old;
    struct hd_stream new;
    struct hd_buf b = {0};
    configure("on");
    test_server_start(&s, &server_options);
    peer_connect(&s, &old);
    peer_connect(&s, &new);
    peer_add_greeting(&b, "alice");
    peer_add_call(&b, 1, "echo", "first", 5);
    send_bare(&old, &b);
    ATF_CHECK(strstr(receive_bare(&old, RPC_PEER_TIMEOUT_MS), "first") != NULL);
    set_faults(&s, "net.cut", NULL, 0);
    peer_add_call(&b, 2, "echo", "second", 6);
    send_bare(&old, &b);
    peer_add_greeting(&b, "bob");
    peer_add_call(&b, 1, "echo", "third", 5);
    send_bare(&new, &b);
    ATF_CHECK_STREQ(receive_bare(&old, QUIET_MS), "");
    ATF_CHECK_STREQ(receive_bare(&new, QUIET_MS), "");
    set_faults(&s, NULL, NULL, 0); /* over a connection of its own, which is spared */
    ATF_CHECK(strstr(receive_bare(&old, RPC_PEER_TIMEOUT_MS), "second") != NULL);
    ATF_CHECK(strstr(receive_bare(&new, RPC_PEER_TIMEOUT_MS), "third") != NULL);
    hd_stream_done(&old);
    hd_stream_done(&new);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(the_connection_that_cut_heals);
ATF_TC_BODY(the_connection_that_cut_heals, tc)
{
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    struct hd_buf heal = {0};
    configure("on");
    test_server_start(&s, &server_options);
    peer_connect(&s, &peer);
    add_set_faults(&b, own_name(), "net.cut", NULL, 0, LONG_MS);
    send_bare(&peer, &b);
    ATF_CHECK(receive_bare(&peer, RPC_PEER_TIMEOUT_MS)[0] != '\0');
    ATF_CHECK_EQ(hd_fault_count(), 1u);
    /* The second call has no preamble and context. */
    add_set_faults(&heal, own_name(), NULL, NULL, 0, LONG_MS);
    struct hd_buf greeting = {0};
    ATF_REQUIRE_EQ(hd_rpc_preamble_add(&greeting, HD_RPC_AUTH_SIMPLE), 0);
    ATF_REQUIRE_EQ(hd_rpc_context_add(&greeting, peer_client_id, own_name(), hd_fault_protocol), 0);
    hd_buf_consume(&heal, greeting.size);
    send_bare(&peer, &heal);
    ATF_CHECK(receive_bare(&peer, RPC_PEER_TIMEOUT_MS)[0] != '\0');
    ATF_CHECK_EQ(hd_fault_count(), 0u);
    hd_buf_done(&greeting);
    hd_stream_done(&peer);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(a_delayed_connection_answers_later);
ATF_TC_BODY(a_delayed_connection_answers_later, tc)
{
    struct test_server s;
    struct hd_stream peer;
    struct hd_buf b = {0};
    configure("on");
    test_server_start(&s, &server_options);
    peer_connect(&s, &peer);
    set_faults(&s, "net.delay", NULL, 80);
    for (int i = 0; i < 3; i++) {
        if (i == 0) {
            peer_add_greeting(&b, "alice");
        }
        peer_add_call(&b, i, "echo", "late", 4);
        int64_t start = hd_clock_mono_ms().v;
        send_bare(&peer, &b);
        ATF_CHECK(strstr(receive_bare(&peer, RPC_PEER_TIMEOUT_MS), "late") != NULL);
        ATF_CHECK(hd_clock_mono_ms().v - start >= 79);
    }
    set_faults(&s, NULL, NULL, 0);
    hd_stream_done(&peer);
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(a_cut_connection_may_end_before_it_heals);
ATF_TC_BODY(a_cut_connection_may_end_before_it_heals, tc)
{
    struct test_server s;
    struct hd_stream peers[3];
    struct hd_buf b = {0};
    configure("on");
    test_server_start(&s, &server_options);
    for (int i = 0; i < 3; i++) {
        peer_connect(&s, &peers[i]);
    }
    set_faults(&s, "net.cut", NULL, 0);
    for (int i = 0; i < 3; i++) {
        peer_add_greeting(&b, "alice");
        peer_add_call(&b, 1, "echo", "x", 1);
        send_bare(&peers[i], &b);
    }
    receive_bare(&peers[0], QUIET_MS);
    close(peers[0].fd);
    peers[0].fd = -1;
    test_server_stop(&s); /* with two of them cut, and one gone */
    ATF_REQUIRE_EQ(hd_fault_set(NULL, 0), 0);
    for (int i = 0; i < 3; i++) {
        hd_stream_done(&peers[i]);
    }
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, faults_are_refused_unless_drills_are_on);
    ATF_TP_ADD_TC(tp, only_the_superuser_sets_faults);
    ATF_TP_ADD_TC(tp, a_cut_connection_is_silent_until_it_heals);
    ATF_TP_ADD_TC(tp, the_connection_that_cut_heals);
    ATF_TP_ADD_TC(tp, a_delayed_connection_answers_later);
    ATF_TP_ADD_TC(tp, a_cut_connection_may_end_before_it_heals);
    return atf_no_error();
}
