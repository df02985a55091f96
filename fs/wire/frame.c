/* RPC framing and headers by hand. See frame.h. */
#include "fs/wire/frame.h"
#include "fs/wire/field.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "rpc.pb-c.h"

#include <string.h>

static const char magic[4] = {'h', 'r', 'p', 'c'};
static const char http_get[4] = {'G', 'E', 'T', ' '};
static const char http_answer[] =
    "HTTP/1.1 404 Not Found\r\nContent-type: text/plain\r\n\r\n"
    "It looks like you are making an HTTP request to a Hadoop IPC port. This is not the correct "
    "port for the web interface on this daemon.\r\n";

struct hd_slice hd_slice_of(const char *text)
{
    if (text == NULL) {
        return (struct hd_slice){NULL, 0};
    }
    return (struct hd_slice){(const uint8_t *)text, strlen(text)};
}

bool hd_slice_equals(struct hd_slice s, const char *text)
{
    return strlen(text) == s.size && (s.size == 0 || memcmp(text, s.data, s.size) == 0);
}

/* --- connection start --- */

enum hd_rpc_preamble hd_rpc_preamble_decode(const uint8_t *in, size_t size, uint8_t *ret_auth)
{
    if (size >= sizeof(http_get) && memcmp(in, http_get, sizeof(http_get)) == 0) {
        return HD_RPC_PREAMBLE_HTTP;
    }
    if (size <= sizeof(magic)) {
        return HD_RPC_PREAMBLE_MORE;
    }
    if (memcmp(in, magic, sizeof(magic)) != 0 || in[4] != HD_RPC_VERSION) {
        return HD_RPC_PREAMBLE_BAD_VERSION;
    }
    if (size < HD_RPC_PREAMBLE_BYTES) {
        return HD_RPC_PREAMBLE_MORE;
    }
    if (in[6] != HD_RPC_AUTH_SIMPLE && in[6] != HD_RPC_AUTH_SASL) {
        return HD_RPC_PREAMBLE_BAD_AUTH;
    }
    *ret_auth = in[6];
    return HD_RPC_PREAMBLE_OK;
}

static int add_java_string(struct hd_buf *out, const char *text)
{
    int err = hd_buf_add_be32(out, (uint32_t)strlen(text));
    return err < 0 ? err : hd_buf_add_str(out, text);
}

/* Versions 3 to 8 had an answer of their own, and so had 2; to what is older nothing is said. */
static int refuse_version(struct hd_buf *out, int8_t version)
{
    const char *class_name = hd_error_class(-HD_E_RPC_VERSION);
    char text[96];
    snprintf(text, sizeof(text), "Server IPC version %d cannot communicate with client version %d",
             HD_RPC_VERSION, version);
    if (version >= HD_RPC_VERSION) {
        struct hd_rpc_response_header h = {
            .call_id = HD_RPC_CALL_NONE,
            .status = HDW__RPC_STATUS__RPC_FATAL,
            .class_name = hd_slice_of(class_name),
            .error_msg = hd_slice_of(text),
            .error_detail = HDW__RPC_ERROR_CODE__FATAL_VERSION_MISMATCH,
            .retry_count = HD_RPC_RETRY_NONE,
        };
        return hd_rpc_response_add(out, &h, 0, NULL);
    }
    int err = 0;
    if (version >= 3) {
        err = hd_buf_add(out, "\xff\xff\xff\xff\xff\xff\xff\xff", 8); /* call id and status -1 */
    } else if (version == 2) {
        err = hd_buf_add(out, "\0\0\0\0\1", 5); /* call id 0, an error */
    } else {
        return 0;
    }
    err = err < 0 ? err : add_java_string(out, class_name);
    return err < 0 ? err : add_java_string(out, text);
}

int hd_rpc_preamble_refuse(struct hd_buf *out, enum hd_rpc_preamble what, const uint8_t *in)
{
    char text[64];
    switch (what) {
    case HD_RPC_PREAMBLE_MORE:
    case HD_RPC_PREAMBLE_OK:
        return 0;
    case HD_RPC_PREAMBLE_HTTP:
        return hd_buf_add_str(out, http_answer);
    case HD_RPC_PREAMBLE_BAD_VERSION:
        return refuse_version(out, (int8_t)in[4]);
    case HD_RPC_PREAMBLE_BAD_AUTH:
        break;
    }
    snprintf(text, sizeof(text), "Unknown auth protocol:%d", (int8_t)in[6]);
    struct hd_rpc_response_header h = {
        .call_id = HD_RPC_CALL_NONE,
        .status = HDW__RPC_STATUS__RPC_FATAL,
        .class_name = hd_slice_of(hd_error_class(-HD_E_IPC)),
        .error_msg = hd_slice_of(text),
        .error_detail = HDW__RPC_ERROR_CODE__FATAL_UNAUTHORIZED,
        .retry_count = HD_RPC_RETRY_NONE,
    };
    return hd_rpc_response_add(out, &h, 0, NULL);
}

int hd_rpc_preamble_add(struct hd_buf *out, uint8_t auth)
{
    const uint8_t bytes[HD_RPC_PREAMBLE_BYTES] = {'h', 'r', 'p', 'c', HD_RPC_VERSION, 0, auth};
    return hd_buf_add(out, bytes, sizeof(bytes));
}

/* --- frames --- */

int64_t hd_frame_take(struct hd_slice in, size_t max_bytes, struct hd_slice *ret_body)
{
    if (in.size < 4) {
        return 0;
    }
    uint32_t size = hd_get_be32(in.data);
    if (size > INT32_MAX) {
        return -HD_E_BAD_MESSAGE;
    }
    if (size > max_bytes) {
        return -HD_E_TOO_LARGE;
    }
    if (in.size - 4 < size) {
        return 0;
    }
    *ret_body = (struct hd_slice){in.data + 4, size};
    return (int64_t)size + 4;
}

int hd_slice_take_delimited(struct hd_slice *rest, struct hd_slice *ret)
{
    uint64_t size;
    int n = hd_varint_decode(rest->data, rest->size, &size);
    if (n < 0) {
        return hd_field_malformed();
    }
    if (n == 0 || size > rest->size - (size_t)n) {
        return hd_field_truncated();
    }
    *ret = (struct hd_slice){rest->data + n, size};
    rest->data += (size_t)n + size;
    rest->size -= (size_t)n + size;
    return 0;
}

/* --- requests --- */

static int32_t unzigzag(uint64_t v)
{
    uint32_t u = (uint32_t)v;
    return (int32_t)(u >> 1 ^ (0u - (u & 1)));
}

static uint32_t zigzag(int32_t v)
{
    return (uint32_t)v << 1 ^ (uint32_t)(v >> 31);
}

int hd_rpc_request_header_decode(struct hd_slice *rest, struct hd_rpc_request_header *ret)
{
    struct hd_slice in;
    int err = hd_slice_take_delimited(rest, &in);
    if (err < 0) {
        return err;
    }
    struct hd_rpc_request_header h = {.retry_count = HD_RPC_RETRY_NONE};
    bool has_call_id = false;
    bool has_client_id = false;
    struct hd_field f;
    int more;
    while ((more = hd_field_next(&in, &f)) > 0) {
        switch (f.tag) {
        case HD_FIELD_TAG(1, HD_WIRE_VARINT):
            if (f.number <= HDW__RPC_KIND__RPC_PROTOCOL_BUFFER) { /* else as if it were absent */
                h.has_kind = true;
                h.kind = (uint32_t)f.number;
            }
            break;
        case HD_FIELD_TAG(2, HD_WIRE_VARINT):
            if (f.number <= HDW__OPERATION__RPC_CLOSE_CONNECTION) {
                h.has_op = true;
                h.op = (uint32_t)f.number;
            }
            break;
        case HD_FIELD_TAG(3, HD_WIRE_VARINT):
            h.call_id = unzigzag(f.number);
            has_call_id = true;
            break;
        case HD_FIELD_TAG(4, HD_WIRE_BYTES):
            h.client_id = f.bytes;
            has_client_id = true;
            break;
        case HD_FIELD_TAG(5, HD_WIRE_VARINT):
            h.retry_count = unzigzag(f.number);
            break;
        case HD_FIELD_TAG(8, HD_WIRE_VARINT):
            h.state_id = (int64_t)f.number;
            break;
        default: /* trace and caller context, and what comes after our time */
            break;
        }
    }
    if (more < 0) {
        return more;
    }
    if (!has_call_id || !has_client_id) {
        return hd_fail(-HD_E_BAD_MESSAGE, "Message missing required fields: %s%s%s",
                       has_call_id ? "" : "callId", has_call_id || has_client_id ? "" : ", ",
                       has_client_id ? "" : "clientId");
    }
    *ret = h;
    return 0;
}

int hd_rpc_request_decode(struct hd_slice *rest, struct hd_rpc_request *ret)
{
    struct hd_slice in;
    int err = hd_slice_take_delimited(rest, &in);
    if (err < 0) {
        return err;
    }
    struct hd_rpc_request r = {0};
    bool has_version = false;
    struct hd_field f;
    int more;
    while ((more = hd_field_next(&in, &f)) > 0) {
        switch (f.tag) {
        case HD_FIELD_TAG(1, HD_WIRE_BYTES):
            r.method = f.bytes;
            break;
        case HD_FIELD_TAG(2, HD_WIRE_BYTES):
            r.protocol = f.bytes;
            break;
        case HD_FIELD_TAG(3, HD_WIRE_VARINT):
            r.version = f.number;
            has_version = true;
            break;
        default:
            break;
        }
    }
    if (more < 0) {
        return more;
    }
    if (r.method.data == NULL || r.protocol.data == NULL || !has_version) {
        return hd_fail(-HD_E_BAD_MESSAGE, "Message missing required fields: %s",
                       r.method.data == NULL     ? "methodName"
                       : r.protocol.data == NULL ? "declaringClassProtocolName"
                                                 : "clientProtocolVersion");
    }
    *ret = r;
    return 0;
}

static size_t request_header_size(const struct hd_rpc_request_header *h)
{
    return hd_field_number_size(h->kind) + hd_field_number_size(h->op) +
           hd_field_number_size(zigzag(h->call_id)) + hd_field_bytes_size(h->client_id.size) +
           hd_field_number_size(zigzag(h->retry_count));
}

static uint8_t *put_request_header(uint8_t *p, const struct hd_rpc_request_header *h)
{
    p = hd_field_put_number(p, 1, h->kind);
    p = hd_field_put_number(p, 2, h->op);
    p = hd_field_put_number(p, 3, zigzag(h->call_id));
    p = hd_field_put_bytes(p, 4, h->client_id);
    return hd_field_put_number(p, 5, zigzag(h->retry_count));
}

/* Room for a frame of `size` bytes behind its length, which is written. */
static int begin_frame(struct hd_buf *out, size_t size, uint8_t **ret)
{
    if (size > INT32_MAX) {
        return -HD_E_TOO_LARGE;
    }
    int err = hd_buf_reserve(out, 4 + size);
    if (err < 0) {
        return err;
    }
    uint8_t *p = out->data + out->size;
    hd_put_be32(p, (uint32_t)size);
    out->size += 4 + size;
    *ret = p + 4;
    return 0;
}

int hd_rpc_request_add(struct hd_buf *out, const struct hd_rpc_request_header *h,
                       const struct hd_rpc_request *r, size_t body_size, uint8_t **ret_body)
{
    size_t header_size = request_header_size(h);
    size_t request_size = hd_field_bytes_size(r->method.size) +
                          hd_field_bytes_size(r->protocol.size) + hd_field_number_size(r->version);
    uint8_t *p;
    int err = begin_frame(out,
                          hd_varint_size(header_size) + header_size + hd_varint_size(request_size) +
                              request_size + hd_varint_size(body_size) + body_size,
                          &p);
    if (err < 0) {
        return err;
    }
    p += hd_varint_encode(header_size, p);
    p = put_request_header(p, h);
    p += hd_varint_encode(request_size, p);
    p = hd_field_put_bytes(p, 1, r->method);
    p = hd_field_put_bytes(p, 2, r->protocol);
    p = hd_field_put_number(p, 3, r->version);
    p += hd_varint_encode(body_size, p);
    *ret_body = p;
    return 0;
}

static struct hd_rpc_request_header out_of_band(int32_t call_id, const uint8_t *client_id)
{
    return (struct hd_rpc_request_header){
        .kind = HDW__RPC_KIND__RPC_PROTOCOL_BUFFER,
        .op = HDW__OPERATION__RPC_FINAL_PACKET,
        .call_id = call_id,
        .client_id = {client_id, HD_RPC_CLIENT_ID_BYTES},
        .retry_count = HD_RPC_RETRY_NONE,
    };
}

int hd_rpc_context_add(struct hd_buf *out, const uint8_t *client_id, const char *user,
                       const char *protocol)
{
    struct hd_rpc_request_header h = out_of_band(HD_RPC_CALL_CONTEXT, client_id);
    struct hd_slice user_name = hd_slice_of(user);
    struct hd_slice protocol_name = hd_slice_of(protocol);
    size_t header_size = request_header_size(&h);
    size_t user_info_size = hd_field_bytes_size(user_name.size);
    size_t context_size =
        hd_field_bytes_size(user_info_size) + hd_field_bytes_size(protocol_name.size);
    uint8_t *p;
    int err = begin_frame(out,
                          hd_varint_size(header_size) + header_size + hd_varint_size(context_size) +
                              context_size,
                          &p);
    if (err < 0) {
        return err;
    }
    p += hd_varint_encode(header_size, p);
    p = put_request_header(p, &h);
    p += hd_varint_encode(context_size, p);
    p = hd_field_put_tag(p, 2, HD_WIRE_BYTES);
    p += hd_varint_encode(user_info_size, p);
    p = hd_field_put_bytes(p, 1, user_name);
    hd_field_put_bytes(p, 3, protocol_name);
    return 0;
}

int hd_rpc_ping_add(struct hd_buf *out, const uint8_t *client_id)
{
    struct hd_rpc_request_header h = out_of_band(HD_RPC_CALL_PING, client_id);
    size_t header_size = request_header_size(&h);
    uint8_t *p;
    int err = begin_frame(out, hd_varint_size(header_size) + header_size, &p);
    if (err < 0) {
        return err;
    }
    p += hd_varint_encode(header_size, p);
    put_request_header(p, &h);
    return 0;
}

/* --- responses --- */

int hd_rpc_response_decode(struct hd_slice *rest, struct hd_rpc_response_header *ret)
{
    struct hd_slice in;
    int err = hd_slice_take_delimited(rest, &in);
    if (err < 0) {
        return err;
    }
    struct hd_rpc_response_header h = {.retry_count = HD_RPC_RETRY_NONE};
    bool has_call_id = false;
    bool has_status = false;
    struct hd_field f;
    int more;
    while ((more = hd_field_next(&in, &f)) > 0) {
        switch (f.tag) {
        case HD_FIELD_TAG(1, HD_WIRE_VARINT):
            h.call_id = (int32_t)(uint32_t)f.number;
            has_call_id = true;
            break;
        case HD_FIELD_TAG(2, HD_WIRE_VARINT):
            h.status = (uint32_t)f.number;
            has_status = f.number <= HDW__RPC_STATUS__RPC_FATAL;
            break;
        case HD_FIELD_TAG(4, HD_WIRE_BYTES):
            h.class_name = f.bytes;
            break;
        case HD_FIELD_TAG(5, HD_WIRE_BYTES):
            h.error_msg = f.bytes;
            break;
        case HD_FIELD_TAG(6, HD_WIRE_VARINT):
            h.error_detail = (uint32_t)f.number;
            break;
        case HD_FIELD_TAG(7, HD_WIRE_BYTES):
            h.client_id = f.bytes;
            break;
        case HD_FIELD_TAG(8, HD_WIRE_VARINT):
            h.retry_count = unzigzag(f.number);
            break;
        case HD_FIELD_TAG(9, HD_WIRE_VARINT):
            h.state_id = (int64_t)f.number;
            break;
        default:
            break;
        }
    }
    if (more < 0) {
        return more;
    }
    if (!has_call_id || !has_status) {
        return hd_fail(-HD_E_BAD_MESSAGE, "Message missing required fields: %s",
                       has_call_id ? "status" : "callId");
    }
    *ret = h;
    return 0;
}

static size_t response_header_size(const struct hd_rpc_response_header *h)
{
    size_t size = hd_field_number_size((uint32_t)h->call_id) + hd_field_number_size(h->status) +
                  hd_field_number_size(HD_RPC_VERSION) + hd_field_bytes_size(h->client_id.size) +
                  hd_field_number_size(zigzag(h->retry_count));
    if (h->class_name.size > 0) {
        size += hd_field_bytes_size(h->class_name.size) + hd_field_bytes_size(h->error_msg.size) +
                hd_field_number_size(h->error_detail);
    }
    return h->state_id != 0 ? size + hd_field_number_size((uint64_t)h->state_id) : size;
}

static uint8_t *put_response_header(uint8_t *p, const struct hd_rpc_response_header *h)
{
    p = hd_field_put_number(p, 1, (uint32_t)h->call_id);
    p = hd_field_put_number(p, 2, h->status);
    p = hd_field_put_number(p, 3, HD_RPC_VERSION);
    if (h->class_name.size > 0) {
        p = hd_field_put_bytes(p, 4, h->class_name);
        p = hd_field_put_bytes(p, 5, h->error_msg);
        p = hd_field_put_number(p, 6, h->error_detail);
    }
    p = hd_field_put_bytes(p, 7, h->client_id);
    p = hd_field_put_number(p, 8, zigzag(h->retry_count));
    return h->state_id != 0 ? hd_field_put_number(p, 9, (uint64_t)h->state_id) : p;
}

int hd_rpc_response_add(struct hd_buf *out, const struct hd_rpc_response_header *h,
                        size_t body_size, uint8_t **ret_body)
{
    size_t header_size = response_header_size(h);
    size_t size = hd_varint_size(header_size) + header_size;
    if (ret_body != NULL) {
        size += hd_varint_size(body_size) + body_size;
    }
    uint8_t *p;
    int err = begin_frame(out, size, &p);
    if (err < 0) {
        return err;
    }
    p += hd_varint_encode(header_size, p);
    p = put_response_header(p, h);
    if (ret_body != NULL) {
        p += hd_varint_encode(body_size, p);
        *ret_body = p;
    }
    return 0;
}

int hd_rpc_response_add_message(struct hd_buf *out, const struct hd_rpc_response_header *h,
                                const ProtobufCMessage *message)
{
    uint8_t *body;
    int err = hd_rpc_response_add(out, h, protobuf_c_message_get_packed_size(message), &body);
    if (err == 0) {
        protobuf_c_message_pack(message, body);
    }
    return err;
}
