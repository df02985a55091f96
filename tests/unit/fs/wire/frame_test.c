/* RPC framing: reference bytes, headers against the .proto, and what is refused. */
#include "fs/wire/frame.h"
#include "fs/base/error.h"
#include "fs/base/prng.h"
#include "fs/wire/explain.h"
#include "fs/wire/field.h"
#include "client_namenode.pb-c.h"
#include "rpc.pb-c.h"

#include <atf-c.h>
#include <stdlib.h>

#define CLIENT_PROTOCOL "org.apache.hadoop.hdfs.protocol.ClientProtocol"

static const uint8_t client_id[HD_RPC_CLIENT_ID_BYTES] = {0, 1, 2,  3,  4,  5,  6,  7,
                                                          8, 9, 10, 11, 12, 13, 14, 15};

static const char context_hex[] =
    "000000551a0802100018052210000102030405060708090a0b0c0d0e0f28013912070a05616c6963651a2e6f72672e"
    "6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c";
static const char request_hex[] =
    "0000005f1a0802100018002210000102030405060708090a0b0c0d0e0f28003f0a0b67657446696c65496e666f122e"
    "6f72672e6170616368652e6861646f6f702e686466732e70726f746f636f6c2e436c69656e7450726f746f636f6c18"
    "01030a012f";
static const char success_hex[] =
    "0000001c1a0800100018093a10000102030405060708090a0b0c0d0e0f400000";
static const char error_hex[] =
    "0000005554080010011809221d6a6176612e696f2e46696c654e6f74466f756e64457863657074696f6e2a1746696c"
    "6520646f6573206e6f742065786973743a202f7830013a10000102030405060708090a0b0c0d0e0f4000";
static const char ping_hex[] = "0000001b1a0802100018072210000102030405060708090a0b0c0d0e0f2801";

static void check_hex(struct hd_buf *b, const char *hex)
{
    char text[1024];
    ATF_REQUIRE(b->size * 2 < sizeof(text));
    for (size_t i = 0; i < b->size; i++) {
        snprintf(text + 2 * i, 3, "%02x", b->data[i]);
    }
    ATF_CHECK_STREQ(text, hex);
    hd_buf_done(b);
}

ATF_TC_WITHOUT_HEAD(reference_bytes_are_encoded);
ATF_TC_BODY(reference_bytes_are_encoded, tc)
{
    struct hd_buf b = {0};
    ATF_REQUIRE_EQ(hd_rpc_preamble_add(&b, HD_RPC_AUTH_SIMPLE), 0);
    check_hex(&b, "68727063090000");
    ATF_REQUIRE_EQ(hd_rpc_context_add(&b, client_id, "alice", CLIENT_PROTOCOL), 0);
    check_hex(&b, context_hex);
    ATF_REQUIRE_EQ(hd_rpc_ping_add(&b, client_id), 0);
    check_hex(&b, ping_hex);

    struct hd_rpc_request_header q = {.kind = 2, .client_id = {client_id, sizeof(client_id)}};
    struct hd_rpc_request r = {hd_slice_of("getFileInfo"), hd_slice_of(CLIENT_PROTOCOL), 1};
    uint8_t *body;
    ATF_REQUIRE_EQ(hd_rpc_request_add(&b, &q, &r, 3, &body), 0);
    memcpy(body, "\x0a\x01/", 3);
    check_hex(&b, request_hex);

    struct hd_rpc_response_header a = {.client_id = {client_id, sizeof(client_id)}};
    Hdw__GetFileInfoResponse nothing = HDW__GET_FILE_INFO_RESPONSE__INIT;
    ATF_REQUIRE_EQ(hd_rpc_response_add_message(&b, &a, &nothing.base), 0);
    check_hex(&b, success_hex);
    a.status = HDW__RPC_STATUS__RPC_ERROR;
    a.class_name = hd_slice_of("java.io.FileNotFoundException");
    a.error_msg = hd_slice_of("File does not exist: /x");
    a.error_detail = HDW__RPC_ERROR_CODE__ERROR_APPLICATION;
    ATF_REQUIRE_EQ(hd_rpc_response_add(&b, &a, 0, NULL), 0);
    check_hex(&b, error_hex);
}

static struct hd_slice random_bytes(struct hd_prng *prng, uint8_t *space, size_t max)
{
    size_t n = hd_prng_below(prng, max);
    for (size_t i = 0; i < n; i++) {
        space[i] = (uint8_t)hd_prng_below(prng, 256);
    }
    return (struct hd_slice){space, n};
}

static bool same(struct hd_slice a, struct hd_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

ATF_TC_WITHOUT_HEAD(requests_come_back_as_they_were);
ATF_TC_BODY(requests_come_back_as_they_were, tc)
{
    struct hd_prng prng = {21};
    uint8_t space[3][300];
    for (int i = 0; i < 20000; i++) {
        struct hd_rpc_request_header h = {
            .kind = (uint32_t)hd_prng_below(&prng, 3),
            .op = (uint32_t)hd_prng_below(&prng, 3),
            .call_id = (int32_t)hd_prng_next(&prng),
            .retry_count = (int32_t)hd_prng_next(&prng) >> hd_prng_below(&prng, 31),
            .client_id = random_bytes(&prng, space[0], 20),
        };
        struct hd_rpc_request r = {.method = random_bytes(&prng, space[1], 300),
                                   .protocol = random_bytes(&prng, space[2], 300),
                                   .version = hd_prng_next(&prng) >> hd_prng_below(&prng, 63)};
        struct hd_buf b = {0};
        uint8_t *body;
        ATF_REQUIRE_EQ(hd_rpc_request_add(&b, &h, &r, 5, &body), 0);
        memcpy(body, "hello", 5);
        struct hd_slice rest;
        struct hd_rpc_request_header h2;
        struct hd_rpc_request r2;
        struct hd_slice got;
        ATF_REQUIRE_EQ(hd_frame_take((struct hd_slice){b.data, b.size}, b.size, &rest),
                       (int64_t)b.size);
        ATF_REQUIRE_EQ(hd_rpc_request_header_decode(&rest, &h2), 0);
        ATF_REQUIRE_EQ(hd_rpc_request_decode(&rest, &r2), 0);
        ATF_REQUIRE_EQ(hd_slice_take_delimited(&rest, &got), 0);
        ATF_CHECK_EQ(rest.size, 0u);
        ATF_CHECK(h2.has_kind && h2.has_op && h2.kind == h.kind && h2.op == h.op);
        ATF_CHECK_EQ(h2.call_id, h.call_id);
        ATF_CHECK_EQ(h2.retry_count, h.retry_count);
        ATF_CHECK(same(h2.client_id, h.client_id));
        ATF_CHECK(same(r2.method, r.method) && same(r2.protocol, r.protocol));
        ATF_CHECK_EQ(r2.version, r.version);
        ATF_CHECK(hd_slice_equals(got, "hello"));
        hd_buf_done(&b);
    }
}

ATF_TC_WITHOUT_HEAD(responses_agree_with_the_proto);
ATF_TC_BODY(responses_agree_with_the_proto, tc)
{
    struct hd_prng prng = {22};
    for (int i = 0; i < 20000; i++) {
        bool error = hd_prng_below(&prng, 2) == 0;
        struct hd_rpc_response_header h = {
            .call_id = (int32_t)hd_prng_next(&prng),
            .status = error ? 1 + (uint32_t)hd_prng_below(&prng, 2) : 0,
            .client_id = {client_id, hd_prng_below(&prng, 17)},
            .retry_count = (int32_t)hd_prng_next(&prng),
            .state_id = hd_prng_below(&prng, 2) == 0 ? 0 : (int64_t)hd_prng_next(&prng),
        };
        if (error) {
            h.class_name = hd_slice_of("java.io.IOException");
            h.error_msg = hd_slice_of(hd_prng_below(&prng, 2) == 0 ? "" : "no\n\tat luck");
            h.error_detail = 1 + (uint32_t)hd_prng_below(&prng, 5);
        }
        struct hd_buf b = {0};
        ATF_REQUIRE_EQ(hd_rpc_response_add(&b, &h, 0, NULL), 0);
        struct hd_slice rest = {b.data + 4, b.size - 4};
        struct hd_slice header;
        struct hd_slice again = rest;
        ATF_REQUIRE_EQ(hd_slice_take_delimited(&again, &header), 0);
        Hdw__RpcResponseHeader *m =
            hdw__rpc_response_header__unpack(NULL, header.size, header.data);
        ATF_REQUIRE(m != NULL);
        ATF_CHECK_EQ(m->call_id, (uint32_t)h.call_id);
        ATF_CHECK_EQ((uint32_t)m->status, h.status);
        ATF_CHECK_EQ(m->server_ipc_version_num, 9u);
        ATF_CHECK_EQ(m->retry_count, h.retry_count);
        ATF_CHECK_EQ(m->exception_class_name != NULL, error);
        ATF_CHECK_EQ(m->has_state_id != 0, h.state_id != 0);
        ATF_CHECK_EQ(hdw__rpc_response_header__get_packed_size(m), header.size);
        hdw__rpc_response_header__free_unpacked(m, NULL);
        struct hd_rpc_response_header h2;
        ATF_REQUIRE_EQ(hd_rpc_response_decode(&rest, &h2), 0);
        ATF_CHECK_EQ(h2.call_id, h.call_id);
        ATF_CHECK_EQ(h2.status, h.status);
        ATF_CHECK_EQ(h2.state_id, h.state_id);
        ATF_CHECK_EQ(h2.error_detail, h.error_detail);
        ATF_CHECK(same(h2.class_name, h.class_name) && same(h2.error_msg, h.error_msg));
        ATF_CHECK(same(h2.client_id, h.client_id));
        hd_buf_done(&b);
    }
}

ATF_TC_WITHOUT_HEAD(frame_lengths_have_bounds);
ATF_TC_BODY(frame_lengths_have_bounds, tc)
{
    struct hd_slice body;
    uint8_t in[8] = {0, 0, 0, 5, 'h', 'e', 'l', 'l'};
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 8}, 100, &body), 0);
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 3}, 100, &body), 0);
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 8}, 4, &body), -HD_E_TOO_LARGE);
    in[3] = 4;
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 8}, 4, &body), 8);
    ATF_CHECK(hd_slice_equals(body, "hell"));
    in[0] = 0x80;
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 8}, SIZE_MAX, &body), -HD_E_BAD_MESSAGE);
    memset(in, 0, 4);
    ATF_CHECK_EQ(hd_frame_take((struct hd_slice){in, 4}, 100, &body), 4);
    ATF_CHECK_EQ(body.size, 0u);
}

static int decode_header(const void *data, size_t size, struct hd_rpc_request_header *h)
{
    struct hd_slice rest = {data, size};
    return hd_rpc_request_header_decode(&rest, h);
}

ATF_TC_WITHOUT_HEAD(headers_take_any_order_and_skip_the_unknown);
ATF_TC_BODY(headers_take_any_order_and_skip_the_unknown, tc)
{
    static const uint8_t in[] = {
        27,   0x3a, 5,    0x0a, 3, 'C', 'L', 'I',    /* caller context */
        0x22, 2,    0xaa, 0xbb,                      /* client id */
        0xf8, 0x01, 0x07,                            /* field 31 */
        0x18, 0x04,                                  /* call id 2 */
        0x61, 1,    2,    3,    4, 5,   6,   7,   8, /* field 12, fixed64 */
        0x10, 0x00,                                  /* op */
    };
    struct hd_rpc_request_header h;
    ATF_REQUIRE_EQ_MSG(decode_header(in, sizeof(in), &h), 0, "%s", hd_fail_text());
    ATF_CHECK_EQ(h.call_id, 2);
    ATF_CHECK_EQ(h.retry_count, HD_RPC_RETRY_NONE);
    ATF_CHECK(h.has_op && !h.has_kind);
    ATF_CHECK_EQ(h.client_id.size, 2u);
    static const uint8_t odd[] = {10, 0x08, 0xf8, 0x6f, 0x10, 0x09, 0x18, 0x00, 0x22, 0x00};
    ATF_CHECK_EQ(decode_header(odd, sizeof(odd), &h), -HD_E_BAD_MESSAGE);
    static const uint8_t unknown[] = {9, 0x08, 0xf8, 0x6f, 0x10, 0x09, 0x18, 0x00, 0x22, 0x00};
    ATF_REQUIRE_EQ(decode_header(unknown, sizeof(unknown), &h), 0);
    ATF_CHECK(!h.has_op && !h.has_kind); /* enum values we do not know are no values */
}

ATF_TC_WITHOUT_HEAD(decoders_say_what_hadoop_says);
ATF_TC_BODY(decoders_say_what_hadoop_says, tc)
{
    struct hd_rpc_request_header h;
    ATF_CHECK_EQ(decode_header("\x02\x08\x02", 3, &h), -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(hd_fail_text(), "Message missing required fields: callId, clientId");
    ATF_CHECK_EQ(decode_header("\x02\x18\x02", 3, &h), -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(hd_fail_text(), "Message missing required fields: clientId");
    ATF_CHECK_EQ(decode_header("\x05\x08\x02", 3, &h), -HD_E_BAD_MESSAGE);
    ATF_CHECK(strstr(hd_fail_text(), "ended unexpectedly in the middle of a field") != NULL);
    ATF_CHECK_EQ(decode_header("\x02\x00\x02", 3, &h), -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(hd_fail_text(), "Protocol message contained an invalid tag (zero).");
    ATF_CHECK_EQ(decode_header("\x02\x0f\x02", 3, &h), -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(hd_fail_text(), "Protocol message tag had invalid wire type.");
    ATF_CHECK_EQ(decode_header("\x0c\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 13, &h),
                 -HD_E_BAD_MESSAGE);
    ATF_CHECK_STREQ(hd_fail_text(), "CodedInputStream encountered a malformed varint.");
}

static void check_explained(const ProtobufCMessageDescriptor *type, const void *data, size_t size,
                            const char *want)
{
    char text[HD_EXPLAIN_TEXT_BYTES];
    hd_explain_undecodable(type, (struct hd_slice){data, size}, text, sizeof(text));
    ATF_CHECK_STREQ(text, want);
}

ATF_TC_WITHOUT_HEAD(missing_fields_are_named_with_their_path);
ATF_TC_BODY(missing_fields_are_named_with_their_path, tc)
{
    check_explained(&hdw__mkdirs_request__descriptor, "", 0,
                    "Message missing required fields: src, masked, createParent");
    /* src and an empty `masked` */
    check_explained(&hdw__mkdirs_request__descriptor, "\x0a\x01/\x12\x00\x18\x01", 7,
                    "Message missing required fields: masked.perm");
    /* reportBadBlocks with two blocks, both empty */
    check_explained(&hdw__report_bad_blocks_request__descriptor, "\x0a\x00\x0a\x00", 4,
                    "Message missing required fields: blocks[0].b, blocks[0].offset, "
                    "blocks[0].corrupt, blocks[0].blockToken, blocks[1].b, blocks[1].offset, "
                    "blocks[1].corrupt, blocks[1].blockToken");
    check_explained(&hdw__mkdirs_request__descriptor, "\x12\x02\x08", 3,
                    "While parsing a protocol message, the input ended unexpectedly in the middle "
                    "of a field.  This could mean either that the input has been truncated or that "
                    "an embedded message misreported its own length.");
}

ATF_TC_WITHOUT_HEAD(full_buffer_takes_no_half_frame);
ATF_TC_BODY(full_buffer_takes_no_half_frame, tc)
{
    struct hd_buf b;
    struct hd_rpc_response_header h = {.client_id = {client_id, sizeof(client_id)}};
    uint8_t *body;
    hd_buf_init(&b, 100);
    ATF_REQUIRE_EQ(hd_rpc_response_add(&b, &h, 10, &body), 0);
    size_t before = b.size;
    ATF_CHECK_EQ(hd_rpc_response_add(&b, &h, 60, &body), -HD_E_TOO_LARGE);
    ATF_CHECK_EQ(b.size, before);
    hd_buf_done(&b);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, reference_bytes_are_encoded);
    ATF_TP_ADD_TC(tp, requests_come_back_as_they_were);
    ATF_TP_ADD_TC(tp, responses_agree_with_the_proto);
    ATF_TP_ADD_TC(tp, frame_lengths_have_bounds);
    ATF_TP_ADD_TC(tp, headers_take_any_order_and_skip_the_unknown);
    ATF_TP_ADD_TC(tp, decoders_say_what_hadoop_says);
    ATF_TP_ADD_TC(tp, missing_fields_are_named_with_their_path);
    ATF_TP_ADD_TC(tp, full_buffer_takes_no_half_frame);
    return atf_no_error();
}
