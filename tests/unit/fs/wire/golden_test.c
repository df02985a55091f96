/*
 * Streams recorded from a real HDFS (tests/golden/hdfs): every RPC frame and every packet decodes
 * whole, and what we encode from it is byte for byte what was there.
 */
#include "fs/base/arena.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/wire/frame.h"
#include "fs/wire/methods.h"
#include "fs/wire/packet.h"
#include "data_transfer.pb-c.h"
#include "rpc.pb-c.h"

#include <atf-c.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define GOLDEN_DIR HD_SOURCE_DIR "/tests/golden/hdfs"

enum { CALLS_MAX = 1000, CAPTURES_MAX = 300, NAME_BYTES = 64 };

/* A method that was called, by call id; an id can come twice with different methods. */
struct call {
    int32_t call_id;
    const struct hd_method *method; /* NULL: none of ours */
};

struct capture {
    char name[NAME_BYTES];
    struct hd_buf c2s;
    struct hd_buf s2c;
    struct call calls[CALLS_MAX];
    size_t call_count;
};

static struct hd_arena arena;
static size_t frames;
static size_t messages;
static size_t identical;

static void read_stream(const char *name, const char *direction, struct hd_buf *out)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s.%s.bin", GOLDEN_DIR, name, direction);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ATF_REQUIRE_MSG(fd >= 0, "%s", path);
    struct stat st;
    ATF_REQUIRE_EQ(fstat(fd, &st), 0);
    ATF_REQUIRE_EQ(hd_buf_reserve(out, (size_t)st.st_size + 1), 0);
    ATF_REQUIRE_EQ(read(fd, out->data, (size_t)st.st_size), st.st_size);
    out->size = (size_t)st.st_size;
    close(fd);
}

static void capture_done(struct capture *c)
{
    hd_buf_done(&c->c2s);
    hd_buf_done(&c->s2c);
}

/* The names of all captures that start with prefix. */
static size_t list_captures(const char *prefix, char names[][NAME_BYTES])
{
    size_t count = 0;
    DIR *d = opendir(GOLDEN_DIR);
    ATF_REQUIRE(d != NULL);
    for (struct dirent *e = readdir(d); e != NULL; e = readdir(d)) {
        const char *end = strstr(e->d_name, ".c2s.bin");
        if (end != NULL && strncmp(e->d_name, prefix, strlen(prefix)) == 0) {
            ATF_REQUIRE(count < CAPTURES_MAX);
            snprintf(names[count++], NAME_BYTES, "%.*s", (int)(end - e->d_name), e->d_name);
        }
    }
    closedir(d);
    return count;
}

static bool has_prefix(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* No bytes that our tables do not know, on any level. */
static void check_no_unknown(const ProtobufCMessage *m, const char *where)
{
    ATF_CHECK_EQ_MSG(m->n_unknown_fields, 0u, "%s: %s has unknown fields", where,
                     m->descriptor->short_name);
    for (unsigned i = 0; i < m->descriptor->n_fields; i++) {
        const ProtobufCFieldDescriptor *d = &m->descriptor->fields[i];
        const uint8_t *at = (const uint8_t *)m + d->offset;
        if (d->type != PROTOBUF_C_TYPE_MESSAGE) {
            continue;
        }
        if (d->label != PROTOBUF_C_LABEL_REPEATED) {
            const ProtobufCMessage *sub;
            memcpy(&sub, at, sizeof(sub));
            if (sub != NULL) {
                check_no_unknown(sub, where);
            }
            continue;
        }
        size_t n;
        ProtobufCMessage *const *list;
        memcpy(&n, (const uint8_t *)m + d->quantifier_offset, sizeof(n));
        memcpy(&list, at, sizeof(list));
        for (size_t k = 0; k < n; k++) {
            check_no_unknown(list[k], where);
        }
    }
}

/* Decodes; encodes again; the same bytes. NULL when it does not decode. */
static ProtobufCMessage *check_message(const ProtobufCMessageDescriptor *type, struct hd_slice in,
                                       const char *where)
{
    ProtobufCAllocator allocator = hd_arena_allocator(&arena);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, in.size, in.data);
    if (m == NULL) {
        return NULL;
    }
    check_no_unknown(m, where);
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *again = hd_arena_alloc(&arena, size + 1);
    ATF_REQUIRE(again != NULL);
    protobuf_c_message_pack(m, again);
    messages++;
    bool same = size == in.size && memcmp(again, in.data, size) == 0;
    identical += same;
    ATF_CHECK_MSG(same, "%s: %s encodes to other bytes", where, type->short_name);
    return m;
}

static struct hd_slice peek_delimited(struct hd_slice in)
{
    struct hd_slice body;
    ATF_REQUIRE_EQ(hd_slice_take_delimited(&in, &body), 0);
    return body;
}

/* Our hand-made decoder and the generated one see the same header. */
static struct hd_rpc_request_header check_request_header(struct hd_slice *rest, const char *where)
{
    const Hdw__RpcRequestHeader *m = (const Hdw__RpcRequestHeader *)check_message(
        &hdw__rpc_request_header__descriptor, peek_delimited(*rest), where);
    struct hd_rpc_request_header h;
    ATF_REQUIRE(m != NULL);
    ATF_REQUIRE_EQ(hd_rpc_request_header_decode(rest, &h), 0);
    ATF_CHECK_EQ(h.has_kind, m->has_rpc_kind != 0);
    ATF_CHECK_EQ(h.has_op, m->has_rpc_op != 0);
    ATF_CHECK_EQ(h.call_id, m->call_id);
    ATF_CHECK_EQ(h.retry_count, m->retry_count);
    ATF_CHECK_EQ(h.client_id.size, m->client_id.len);
    ATF_CHECK(m->client_id.len == 0 ||
              memcmp(h.client_id.data, m->client_id.data, m->client_id.len) == 0);
    return h;
}

static void check_call(struct capture *c, const struct hd_rpc_request_header *h,
                       struct hd_slice rest)
{
    struct hd_rpc_request r;
    char name[64];
    char protocol[128];
    char where[256];
    ATF_REQUIRE_EQ(hd_rpc_request_decode(&rest, &r), 0);
    snprintf(name, sizeof(name), "%.*s", (int)r.method.size, (const char *)r.method.data);
    snprintf(protocol, sizeof(protocol), "%.*s", (int)r.protocol.size,
             (const char *)r.protocol.data);
    snprintf(where, sizeof(where), "%s %s", c->name, name);
    const struct hd_method *m = hd_method_find(protocol, name);
    ATF_REQUIRE(c->call_count < CALLS_MAX);
    c->calls[c->call_count++] = (struct call){h->call_id, m};
    if (m == NULL) {
        ATF_CHECK_MSG(strstr(c->name, "unknown") != NULL || strstr(c->name, "raw-metainfo") != NULL,
                      "%s: no such method in the table", where);
        return;
    }
    struct hd_slice body;
    ATF_REQUIRE_EQ(hd_slice_take_delimited(&rest, &body), 0);
    ATF_CHECK(rest.size == 0 || strcmp(c->name, "raw-pad") == 0);
    if (check_message(m->request, body, where) == NULL) {
        ATF_CHECK_MSG(strcmp(c->name, "raw-missingfield") == 0 ||
                          strcmp(c->name, "raw-garbage") == 0,
                      "%s: does not decode", where);
    }
}

static void check_request_frame(struct capture *c, struct hd_slice rest)
{
    if (strcmp(c->name, "raw-badheader") == 0 && rest.size == 3) {
        struct hd_rpc_request_header none;
        ATF_CHECK_EQ(hd_rpc_request_header_decode(&rest, &none), -HD_E_BAD_MESSAGE);
        ATF_CHECK_STREQ(hd_fail_text(), "Message missing required fields: callId, clientId");
        return;
    }
    struct hd_rpc_request_header h = check_request_header(&rest, c->name);
    const ProtobufCMessageDescriptor *type = NULL;
    switch (h.call_id) {
    case HD_RPC_CALL_CONTEXT:
        type = &hdw__ipc_connection_context__descriptor;
        break;
    case HD_RPC_CALL_SASL:
        type = &hdw__rpc_sasl__descriptor;
        break;
    case HD_RPC_CALL_PING:
        ATF_CHECK_EQ(rest.size, 0u);
        return;
    default:
        check_call(c, &h, rest);
        return;
    }
    ATF_CHECK(check_message(type, peek_delimited(rest), c->name) != NULL);
}

static void check_response_header(struct hd_slice *rest, struct hd_rpc_response_header *ret,
                                  const char *where)
{
    struct hd_slice in = peek_delimited(*rest);
    const Hdw__RpcResponseHeader *m = (const Hdw__RpcResponseHeader *)check_message(
        &hdw__rpc_response_header__descriptor, in, where);
    ATF_REQUIRE(m != NULL);
    ATF_REQUIRE_EQ(hd_rpc_response_decode(rest, ret), 0);
    ATF_CHECK_EQ((uint32_t)ret->call_id, m->call_id);
    ATF_CHECK_EQ(ret->status, (uint32_t)m->status);
    ATF_CHECK_EQ(ret->error_detail, m->has_error_detail ? (uint32_t)m->error_detail : 0);
    ATF_CHECK_EQ(ret->retry_count, m->retry_count);
    ATF_CHECK_EQ(ret->state_id, m->has_state_id ? m->state_id : 0);
    ATF_CHECK_EQ(ret->class_name.size,
                 m->exception_class_name == NULL ? 0 : strlen(m->exception_class_name));
    ATF_CHECK_EQ(ret->error_msg.size, m->error_msg == NULL ? 0 : strlen(m->error_msg));
}

/* The frame as our server would have written it. */
static void check_response_encoding(const struct hd_rpc_response_header *h, struct hd_slice frame,
                                    const struct hd_slice *body, const char *where)
{
    struct hd_buf out = {0};
    uint8_t *to = NULL;
    ATF_REQUIRE_EQ(
        hd_rpc_response_add(&out, h, body != NULL ? body->size : 0, body != NULL ? &to : NULL), 0);
    if (body != NULL && body->size > 0) {
        memcpy(to, body->data, body->size);
    }
    ATF_CHECK_MSG(out.size == frame.size + 4 && memcmp(out.data + 4, frame.data, frame.size) == 0,
                  "%s: our frame differs", where);
    hd_buf_done(&out);
}

static void check_response_frame(struct capture *c, struct hd_slice frame)
{
    struct hd_slice rest = frame;
    struct hd_rpc_response_header h;
    check_response_header(&rest, &h, c->name);
    if (h.status != HDW__RPC_STATUS__RPC_SUCCESS) {
        ATF_CHECK_EQ(rest.size, 0u);
        check_response_encoding(&h, frame, NULL, c->name);
        return;
    }
    struct hd_slice body;
    ATF_REQUIRE_EQ(hd_slice_take_delimited(&rest, &body), 0);
    ATF_CHECK_EQ(rest.size, 0u);
    check_response_encoding(&h, frame, &body, c->name);
    if (h.call_id == HD_RPC_CALL_SASL) {
        ATF_CHECK(check_message(&hdw__rpc_sasl__descriptor, body, c->name) != NULL);
        return;
    }
    for (size_t i = c->call_count; i-- > 0;) {
        const struct hd_method *m = c->calls[i].method;
        if (c->calls[i].call_id != h.call_id || m == NULL) {
            continue;
        }
        char where[256];
        snprintf(where, sizeof(where), "%s %s answer", c->name, m->name);
        ATF_CHECK_MSG(check_message(m->response, body, where) != NULL, "%s: does not decode",
                      where);
        return;
    }
    ATF_CHECK_MSG(strcmp(c->name, "raw-metainfo") == 0, "%s: answer to no call", c->name);
}

typedef void (*frame_fn)(struct capture *c, struct hd_slice frame);

/* All frames; none is taken before its last byte is there. */
static void for_each_frame(struct capture *c, struct hd_slice in, frame_fn fn)
{
    while (in.size > 0) {
        struct hd_slice body;
        int64_t n = hd_frame_take(in, HD_RPC_MAX_FRAME_BYTES, &body);
        if (n < 0 || n == 0) {
            ATF_CHECK_MSG(strcmp(c->name, "raw-toolong") == 0 || strcmp(c->name, "raw-neglen") == 0,
                          "%s: %zu bytes are no frame", c->name, in.size);
            return;
        }
        for (size_t cut = 0; cut < (size_t)n; cut++) {
            struct hd_slice ignored;
            ATF_REQUIRE_EQ(
                hd_frame_take((struct hd_slice){in.data, cut}, HD_RPC_MAX_FRAME_BYTES, &ignored),
                0);
        }
        frames++;
        fn(c, body);
        hd_arena_reset(&arena);
        in.data += n;
        in.size -= (size_t)n;
    }
}

static bool starts_like_rpc(const struct hd_buf *c2s)
{
    uint8_t auth;
    return hd_rpc_preamble_decode(c2s->data, c2s->size, &auth) == HD_RPC_PREAMBLE_OK;
}

static bool refused_at_the_preamble(const char *name)
{
    static const char *const names[] = {"raw-version", "raw-badauth", "raw-badmagic",
                                        "raw-httpget"};
    for (size_t i = 0; i < HD_ARRAY_COUNT(names); i++) {
        if (has_prefix(name, names[i])) {
            return true;
        }
    }
    return false;
}

ATF_TC_WITHOUT_HEAD(every_rpc_frame_decodes_and_encodes_to_its_bytes);
ATF_TC_BODY(every_rpc_frame_decodes_and_encodes_to_its_bytes, tc)
{
    static char names[CAPTURES_MAX][NAME_BYTES];
    static struct capture c;
    size_t rpc_captures = 0;
    size_t count = list_captures("", names);
    hd_arena_init(&arena, 0);
    for (size_t i = 0; i < count; i++) {
        c.call_count = 0;
        memcpy(c.name, names[i], sizeof(c.name));
        read_stream(c.name, "c2s", &c.c2s);
        read_stream(c.name, "s2c", &c.s2c);
        if (!refused_at_the_preamble(c.name) && starts_like_rpc(&c.c2s)) {
            rpc_captures++;
            struct hd_slice c2s = {c.c2s.data + HD_RPC_PREAMBLE_BYTES,
                                   c.c2s.size - HD_RPC_PREAMBLE_BYTES};
            for_each_frame(&c, c2s, check_request_frame);
            for_each_frame(&c, (struct hd_slice){c.s2c.data, c.s2c.size}, check_response_frame);
        }
        capture_done(&c);
    }
    hd_arena_done(&arena);
    fprintf(stderr, "%zu captures, %zu frames, %zu messages, %zu encode to the same bytes\n",
            rpc_captures, frames, messages, identical);
    ATF_CHECK(rpc_captures > 100);
    ATF_CHECK(frames > 1500);
}

ATF_TC_WITHOUT_HEAD(refused_preambles_are_answered_byte_for_byte);
ATF_TC_BODY(refused_preambles_are_answered_byte_for_byte, tc)
{
    static char names[CAPTURES_MAX][NAME_BYTES];
    size_t count = list_captures("raw-", names);
    size_t seen = 0;
    for (size_t i = 0; i < count; i++) {
        if (!refused_at_the_preamble(names[i])) {
            continue;
        }
        struct capture c = {0};
        struct hd_buf out = {0};
        uint8_t auth;
        read_stream(names[i], "c2s", &c.c2s);
        read_stream(names[i], "s2c", &c.s2c);
        enum hd_rpc_preamble what = hd_rpc_preamble_decode(c.c2s.data, c.c2s.size, &auth);
        ATF_REQUIRE(what != HD_RPC_PREAMBLE_OK && what != HD_RPC_PREAMBLE_MORE);
        ATF_REQUIRE_EQ(hd_rpc_preamble_refuse(&out, what, c.c2s.data), 0);
        ATF_CHECK_MSG(out.size == c.s2c.size && memcmp(out.data, c.s2c.data, out.size) == 0,
                      "%s: our answer differs", names[i]);
        hd_buf_done(&out);
        capture_done(&c);
        seen++;
    }
    ATF_CHECK_EQ(seen, 7u);
}

/* --- data transfer --- */

struct reader {
    const char *name;
    struct hd_slice rest;
};

static ProtobufCMessage *take_delimited(struct reader *r, const ProtobufCMessageDescriptor *type)
{
    struct hd_slice body;
    ATF_REQUIRE_EQ_MSG(hd_slice_take_delimited(&r->rest, &body), 0, "%s: %s", r->name,
                       type->short_name);
    ProtobufCMessage *m = check_message(type, body, r->name);
    ATF_REQUIRE_MSG(m != NULL, "%s: %s", r->name, type->short_name);
    return m;
}

/* One packet, its sums verified against its data and its header encoded again. */
static struct hd_packet take_packet(struct reader *r, const Hdw__Checksum *sum)
{
    struct hd_packet p;
    uint32_t payload;
    ATF_REQUIRE_MSG(r->rest.size >= HD_PACKET_LENGTHS_BYTES, "%s", r->name);
    int hlen = hd_packet_decode_lengths(r->rest.data, &payload);
    size_t header = HD_PACKET_LENGTHS_BYTES + (size_t)hlen;
    ATF_REQUIRE_MSG(hlen > 0 && header + payload <= r->rest.size, "%s", r->name);
    ATF_REQUIRE_EQ(
        hd_packet_decode(r->rest.data + HD_PACKET_LENGTHS_BYTES, (size_t)hlen, payload, &p), 0);
    uint8_t again[HD_PACKET_HEADER_MAX_BYTES];
    if (hlen == 25 || p.sync) {
        ATF_CHECK_EQ(hd_packet_encode(&p, again), header);
        ATF_CHECK_EQ_MSG(memcmp(again, r->rest.data, header), 0, "%s", r->name);
    }
    const uint8_t *sums = r->rest.data + header;
    const uint8_t *data = sums + p.sums_bytes;
    uint32_t chunk = sum->bytes_per_checksum;
    if (sum->type != HDW__CHECKSUM_TYPE__CHECKSUM_NULL && p.sums_bytes > 0) {
        ATF_CHECK_EQ(p.sums_bytes, (p.data_bytes + chunk - 1) / chunk * 4);
        ATF_CHECK_EQ_MSG(
            hd_checksum_verify((enum hd_checksum_type)sum->type, chunk, data, p.data_bytes, sums),
            -1, "%s: packet at %lld", r->name, (long long)p.offset_bytes);
    }
    r->rest.data += header + payload;
    r->rest.size -= header + payload;
    return p;
}

static uint64_t take_block(struct reader *r, const Hdw__Checksum *sum)
{
    uint64_t bytes = 0;
    for (;;) {
        struct hd_packet p = take_packet(r, sum);
        ATF_CHECK(!p.last || p.data_bytes == 0);
        bytes += p.data_bytes;
        if (p.last || r->rest.size == 0) {
            return bytes;
        }
    }
}

static void check_read(struct reader *c2s, struct reader *s2c)
{
    take_delimited(c2s, &hdw__op_read_block__descriptor);
    const Hdw__BlockOpResponse *a =
        (const Hdw__BlockOpResponse *)take_delimited(s2c, &hdw__block_op_response__descriptor);
    if (a->status != HDW__STATUS__STATUS_SUCCESS) {
        return;
    }
    take_block(s2c, a->read_op_checksum_info->checksum);
    if (c2s->rest.size > 0 && c2s->rest.data[0] != 0) {
        take_delimited(c2s, &hdw__client_read_status__descriptor);
    }
}

static void check_write(struct reader *c2s, struct reader *s2c)
{
    const Hdw__OpWriteBlock *q =
        (const Hdw__OpWriteBlock *)take_delimited(c2s, &hdw__op_write_block__descriptor);
    if (c2s->rest.size > 0) {
        take_block(c2s, q->requested_checksum);
    }
    if (s2c->rest.size > 0) {
        take_delimited(s2c, &hdw__block_op_response__descriptor);
    }
    while (s2c->rest.size > 0) {
        take_delimited(s2c, &hdw__pipeline_ack__descriptor);
    }
}

/* Every operation of a connection. Returns how many. */
static int check_transfer(struct reader *c2s, struct reader *s2c)
{
    int ops = 0;
    while (c2s->rest.size >= 3 && hd_get_be16(c2s->rest.data) == 28) {
        uint8_t op = c2s->rest.data[2];
        c2s->rest.data += 3;
        c2s->rest.size -= 3;
        ops++;
        switch (op) {
        case 80:
            check_write(c2s, s2c);
            break;
        case 81:
            check_read(c2s, s2c);
            break;
        case 84:
            take_delimited(c2s, &hdw__op_copy_block__descriptor);
            take_delimited(s2c, &hdw__block_op_response__descriptor);
            break;
        case 85:
            take_delimited(c2s, &hdw__op_block_checksum__descriptor);
            take_delimited(s2c, &hdw__block_op_response__descriptor);
            break;
        case 86:
            take_delimited(c2s, &hdw__op_transfer_block__descriptor);
            take_delimited(s2c, &hdw__block_op_response__descriptor);
            break;
        default:
            return ops;
        }
        hd_arena_reset(&arena);
    }
    return ops;
}

ATF_TC_WITHOUT_HEAD(every_packet_and_its_sums_decode);
ATF_TC_BODY(every_packet_and_its_sums_decode, tc)
{
    static const char *const prefixes[] = {"dtp-",         "go-",      "rust.",
                                           "oob.hop1",     "pipe-",    "transfer",
                                           "uc-read.read", "scr.data", "create-fail.hop1"};
    static char names[CAPTURES_MAX][NAME_BYTES];
    int ops = 0;
    hd_arena_init(&arena, 0);
    for (size_t i = 0; i < HD_ARRAY_COUNT(prefixes); i++) {
        size_t count = list_captures(prefixes[i], names);
        ATF_CHECK(count > 0);
        for (size_t k = 0; k < count; k++) {
            struct capture c = {0};
            read_stream(names[k], "c2s", &c.c2s);
            read_stream(names[k], "s2c", &c.s2c);
            struct reader c2s = {names[k], {c.c2s.data, c.c2s.size}};
            struct reader s2c = {names[k], {c.s2c.data, c.s2c.size}};
            int n = check_transfer(&c2s, &s2c);
            ATF_CHECK_MSG(n == 0 || (c2s.rest.size == 0 && s2c.rest.size == 0),
                          "%s: %zu and %zu bytes left", names[k], c2s.rest.size, s2c.rest.size);
            ops += n;
            capture_done(&c);
        }
    }
    hd_arena_done(&arena);
    fprintf(stderr, "%d operations, %zu messages, %zu encode to the same bytes\n", ops, messages,
            identical);
    ATF_CHECK(ops > 40);
}

ATF_TC_WITHOUT_HEAD(a_flipped_data_bit_is_found);
ATF_TC_BODY(a_flipped_data_bit_is_found, tc)
{
    struct capture c = {0};
    read_stream("dtp-read.b2", "s2c", &c.s2c);
    struct hd_slice rest = {c.s2c.data, c.s2c.size};
    struct hd_slice answer;
    struct hd_packet p;
    uint32_t payload;
    ATF_REQUIRE_EQ(hd_slice_take_delimited(&rest, &answer), 0);
    int hlen = hd_packet_decode_lengths(rest.data, &payload);
    uint8_t *at = c.s2c.data + (rest.data - c.s2c.data) + HD_PACKET_LENGTHS_BYTES;
    ATF_REQUIRE_EQ(hd_packet_decode(at, (size_t)hlen, payload, &p), 0);
    uint8_t *sums = at + hlen;
    uint8_t *data = sums + p.sums_bytes;
    ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, data, p.data_bytes, sums), -1);
    data[5 * 512 + 17] ^= 4;
    ATF_CHECK_EQ(hd_checksum_verify(HD_CHECKSUM_CRC32C, 512, data, p.data_bytes, sums), 5);
    capture_done(&c);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, every_rpc_frame_decodes_and_encodes_to_its_bytes);
    ATF_TP_ADD_TC(tp, refused_preambles_are_answered_byte_for_byte);
    ATF_TP_ADD_TC(tp, every_packet_and_its_sums_decode);
    ATF_TP_ADD_TC(tp, a_flipped_data_bit_is_found);
    return atf_no_error();
}
