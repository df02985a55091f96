/*
 * Odd input of all kinds, recorded against a real NameNode (tests/golden/hdfs/raw-*), against our
 * server: status, class, text and call id of every answer are the same, and so is who closes. The
 * calls behind are not served here; what the NameNode answered with SUCCESS we answer with an empty
 * message.
 */
#include "tests/support/rpc_peer.h"
#include "fs/base/prng.h"

#include <inttypes.h>

enum { ANSWERS_MAX = 16 };

struct answer {
    int32_t call_id;
    uint32_t status;
    uint32_t detail;
    int32_t retry_count;
    char class_name[128];
    char text[512];
    size_t client_id_size;
};

struct answers {
    struct answer list[ANSWERS_MAX];
    int count;
};

enum feed { FEED_WHOLE, FEED_BYTES, FEED_RANDOM };

static const char *const protocols[] = {HD_PROTOCOL_CLIENT,         HD_PROTOCOL_USER_MAPPINGS,
                                        HD_PROTOCOL_REFRESH_USERS,  HD_PROTOCOL_REFRESH_QUEUE,
                                        HD_PROTOCOL_REFRESH_POLICY, HD_PROTOCOL_RECONFIGURATION,
                                        HD_PROTOCOL_HA_SERVICE,     NULL};

static void on_call(void *ctx HD_UNUSED, struct hd_rpc_call *call)
{
    const struct hd_method *m = hd_method_find(call->protocol, call->method);
    if (m == NULL) {
        hd_rpc_reply_error(call, -HD_E_NO_SUCH_METHOD,
                           hd_arena_printf(&call->arena, "Unknown method %s called on %s protocol.",
                                           call->method, call->protocol));
    } else if (hd_rpc_call_decode(call, m->request) != NULL) {
        hd_rpc_reply_bytes(call, "", 0, 0);
    }
}

static void copy_first_line(char *out, size_t size, struct hd_slice s)
{
    size_t n = 0;
    while (n < s.size && n + 1 < size && s.data[n] != '\n') {
        out[n] = (char)s.data[n];
        n++;
    }
    out[n] = '\0';
}

static void keep_answer(struct answers *a, const struct hd_rpc_response_header *h)
{
    ATF_REQUIRE(a->count < ANSWERS_MAX);
    struct answer *x = &a->list[a->count++];
    *x = (struct answer){.call_id = h->call_id,
                         .status = h->status,
                         .detail = h->error_detail,
                         .retry_count = h->retry_count,
                         .client_id_size = h->client_id.size};
    copy_first_line(x->class_name, sizeof(x->class_name), h->class_name);
    copy_first_line(x->text, sizeof(x->text), h->error_msg);
}

/* Answers come in any order; by call id, and errors behind successes as some ids come twice. */
static int by_call(const void *a, const void *b)
{
    const struct answer *x = a;
    const struct answer *y = b;
    if (x->call_id != y->call_id) {
        return x->call_id < y->call_id ? -1 : 1;
    }
    return (int)x->status - (int)y->status;
}

static void recorded_answers(const char *name, struct answers *ret)
{
    struct hd_buf s2c = {0};
    golden_read(name, "s2c", &s2c);
    struct hd_slice in = {s2c.data, s2c.size};
    struct hd_slice frame;
    int64_t n;
    while ((n = hd_frame_take(in, HD_RPC_MAX_FRAME_BYTES, &frame)) > 0) {
        struct hd_rpc_response_header h;
        ATF_REQUIRE_EQ(hd_rpc_response_decode(&frame, &h), 0);
        keep_answer(ret, &h);
        in.data += n;
        in.size -= (size_t)n;
    }
    ATF_REQUIRE_EQ(in.size, 0u);
    qsort(ret->list, (size_t)ret->count, sizeof(ret->list[0]), by_call);
    hd_buf_done(&s2c);
}

/* Errors of writing do not count: the server may have closed, as the real one did. */
static void feed(struct hd_stream *peer, const struct hd_buf *in, enum feed how,
                 struct hd_prng *prng)
{
    for (size_t at = 0; at < in->size;) {
        size_t n = in->size;
        if (how == FEED_BYTES) {
            n = 1;
        } else if (how == FEED_RANDOM) {
            n = 1 + hd_prng_below(prng, 60);
        }
        n = HD_MIN(n, in->size - at);
        if (hd_stream_write(peer, in->data + at, n) < 0) {
            return;
        }
        at += n;
    }
}

/* `want` answers are read, or those before the end when the server is to close. */
static void our_answers(const struct test_server *s, const char *name, enum feed how, int want,
                        bool server_closes, struct answers *ret)
{
    struct hd_prng prng = {(uint64_t)name[4] + 77};
    struct hd_buf c2s = {0};
    struct hd_buf frame = {0};
    struct hd_stream peer;
    struct hd_rpc_response_header h;
    struct hd_slice body;
    golden_read(name, "c2s", &c2s);
    peer_connect(s, &peer);
    feed(&peer, &c2s, how, &prng);
    while ((server_closes || ret->count < want) && peer_read_frame(&peer, &frame, &h, &body)) {
        keep_answer(ret, &h);
    }
    qsort(ret->list, (size_t)ret->count, sizeof(ret->list[0]), by_call);
    hd_stream_done(&peer);
    hd_buf_done(&c2s);
    hd_buf_done(&frame);
}

static void check_capture(const struct test_server *s, const char *name, enum feed how)
{
    struct answers theirs = {0};
    struct answers ours = {0};
    recorded_answers(name, &theirs);
    bool closes = theirs.count == 0;
    for (int i = 0; i < theirs.count; i++) {
        closes = closes || theirs.list[i].status == HDW__RPC_STATUS__RPC_FATAL;
    }
    our_answers(s, name, how, theirs.count, closes, &ours);
    ATF_REQUIRE_EQ_MSG(ours.count, theirs.count, "%s: %d answers, not %d", name, ours.count,
                       theirs.count);
    for (int i = 0; i < ours.count; i++) {
        const struct answer *a = &ours.list[i];
        const struct answer *b = &theirs.list[i];
        ATF_CHECK_EQ_MSG(a->call_id, b->call_id, "%s", name);
        ATF_CHECK_EQ_MSG(a->status, b->status, "%s: %u, not %u", name, a->status, b->status);
        ATF_CHECK_EQ_MSG(a->detail, b->detail, "%s: %u, not %u", name, a->detail, b->detail);
        ATF_CHECK_EQ_MSG(a->retry_count, b->retry_count, "%s", name);
        ATF_CHECK_EQ_MSG(a->client_id_size, b->client_id_size, "%s", name);
        ATF_CHECK_STREQ_MSG(a->class_name, b->class_name, "%s", name);
        ATF_CHECK_STREQ_MSG(a->text, b->text, "%s", name);
    }
}

/*
 * Not here: the preambles that are refused (tests/unit/fs/wire/golden_test.c has them byte for
 * byte); raw-sasl-negotiate and raw-sasl-simple (we go on without SASL, see below), raw-metainfo
 * (not served) and the errors of raw-small-* (the handler's business).
 */
static const char *const captures[] = {
    "raw-badheader",
    "raw-callid-neg2",
    "raw-garbage",
    "raw-kind0",
    "raw-kind1",
    "raw-missingfield",
    "raw-neglen",
    "raw-noclientid",
    "raw-nocontext",
    "raw-nokind",
    "raw-noop",
    "raw-noretry",
    "raw-nouser",
    "raw-op1",
    "raw-op2",
    "raw-pad",
    "raw-ping",
    "raw-pipelined",
    "raw-protover2",
    "raw-proxyuser-denied",
    "raw-proxyuser",
    "raw-retrycache",
    "raw-toolong",
    "raw-twocontext",
    "raw-unknown-method",
    "raw-unknown-protocol",
    "raw-unknown-protocol2",
    "raw-version10",
    "raw-badauth",
    "raw-badmagic",
    "raw-small-getGroupsForUser",
    "raw-small-refreshUserToGroupsMappings",
    "raw-small-monitorHealth",
    "raw-small-getReconfigurationStatus",
};

static bool only_root(void *ctx HD_UNUSED, const char *real_user, const char *user HD_UNUSED)
{
    return strcmp(real_user, "root") == 0;
}

static void check_all(enum feed how)
{
    struct test_server s;
    struct hd_rpc_server_options o = {
        .protocols = protocols, .on_call = on_call, .may_impersonate = only_root};
    test_server_start(&s, &o);
    for (size_t i = 0; i < HD_ARRAY_COUNT(captures); i++) {
        check_capture(&s, captures[i], how);
    }
    test_server_stop(&s);
}

ATF_TC_WITHOUT_HEAD(answers_are_those_of_a_name_node);
ATF_TC_BODY(answers_are_those_of_a_name_node, tc)
{
    check_all(FEED_WHOLE);
}

ATF_TC_WITHOUT_HEAD(bytes_may_come_one_at_a_time);
ATF_TC_BODY(bytes_may_come_one_at_a_time, tc)
{
    check_all(FEED_BYTES);
}

ATF_TC_WITHOUT_HEAD(bytes_may_come_cut_anywhere);
ATF_TC_BODY(bytes_may_come_cut_anywhere, tc)
{
    for (int i = 0; i < 3; i++) {
        check_all(FEED_RANDOM);
    }
}

/* NEGOTIATE gets SUCCESS without a token; the context and the calls of the recording go on. */
ATF_TC_WITHOUT_HEAD(sasl_ends_at_once_with_simple);
ATF_TC_BODY(sasl_ends_at_once_with_simple, tc)
{
    static const char *const names[] = {"raw-sasl-simple", "raw-sasl-initiate", "uc-read.visible"};
    static const char *const served[] = {HD_PROTOCOL_CLIENT, HD_PROTOCOL_CLIENT_DATANODE, NULL};
    struct test_server s;
    struct hd_rpc_server_options o = {.protocols = served, .on_call = on_call};
    test_server_start(&s, &o);
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        struct answers a = {0};
        our_answers(&s, names[i], FEED_WHOLE, 2, false, &a);
        ATF_REQUIRE_EQ(a.count, 2);
        ATF_CHECK_EQ(a.list[0].call_id, HD_RPC_CALL_SASL);
        ATF_CHECK_EQ(a.list[0].status, (uint32_t)HDW__RPC_STATUS__RPC_SUCCESS);
        ATF_CHECK(a.list[1].call_id >= 0);
        ATF_CHECK_EQ_MSG(a.list[1].status, (uint32_t)HDW__RPC_STATUS__RPC_SUCCESS, "%s %s",
                         names[i], a.list[1].text);
    }
    struct answers a = {0};
    our_answers(&s, "sasl-badtoken", FEED_WHOLE, 0, true, &a); /* insists on a token */
    ATF_REQUIRE_EQ(a.count, 2);
    ATF_CHECK_EQ(a.list[1].status, (uint32_t)HDW__RPC_STATUS__RPC_FATAL);
    ATF_CHECK_EQ(a.list[1].detail, (uint32_t)HDW__RPC_ERROR_CODE__FATAL_UNAUTHORIZED);
    test_server_stop(&s);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, answers_are_those_of_a_name_node);
    ATF_TP_ADD_TC(tp, bytes_may_come_one_at_a_time);
    ATF_TP_ADD_TC(tp, bytes_may_come_cut_anywhere);
    ATF_TP_ADD_TC(tp, sasl_ends_at_once_with_simple);
    return atf_no_error();
}
