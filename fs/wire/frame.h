/*
 * Framing of Hadoop RPC, wire version 9 (docs/protocol.md, "RPC"). Pure: bytes in, views out.
 *
 *   preamble := "hrpc" version class auth                            (client to server, once)
 *   frame    := u32be length, body[length]                           (both directions)
 *   request  := delimited(RpcRequestHeader) delimited(RequestHeader) delimited(message)
 *   response := delimited(RpcResponseHeader) [delimited(message)]
 *
 * The headers are hand-coded, since every call has them; a unit test holds them against the .proto.
 * Decoders take any legal encoding, give views into what they were given, and fail with
 * -HD_E_BAD_MESSAGE and, as failure text, the sentence Hadoop's decoder has for it.
 */
#ifndef HD_WIRE_FRAME_H
#define HD_WIRE_FRAME_H

#include "fs/base/buf.h"

#include <protobuf-c/protobuf-c.h>

enum {
    HD_RPC_VERSION = 9,
    HD_RPC_PREAMBLE_BYTES = 7,
    HD_RPC_AUTH_SIMPLE = 0x00,
    HD_RPC_AUTH_SASL = 0xdf,
    HD_RPC_CLIENT_ID_BYTES = 16,
    HD_RPC_MAX_FRAME_BYTES = 134217728,
    /* call ids below 0 */
    HD_RPC_CALL_NONE = -1,
    HD_RPC_CALL_CONTEXT = -3,
    HD_RPC_CALL_PING = -4,
    HD_RPC_CALL_SASL = -33,
    HD_RPC_RETRY_NONE = -1,
};

/* Borrowed bytes. */
struct hd_slice {
    const uint8_t *data;
    size_t size;
};

struct hd_slice hd_slice_of(const char *text); /* NULL: empty */
bool hd_slice_equals(struct hd_slice s, const char *text);

/* --- connection start --- */

enum hd_rpc_preamble {
    HD_RPC_PREAMBLE_MORE,        /* not all of it is there */
    HD_RPC_PREAMBLE_OK,          /* HD_RPC_PREAMBLE_BYTES were taken; auth is one we know */
    HD_RPC_PREAMBLE_HTTP,        /* a browser */
    HD_RPC_PREAMBLE_BAD_VERSION, /* wrong magic or version */
    HD_RPC_PREAMBLE_BAD_AUTH,
};

enum hd_rpc_preamble hd_rpc_preamble_decode(const uint8_t *in, size_t size, uint8_t *ret_auth);

/* Hadoop's answer to a preamble that is not OK: to be sent before closing. May add nothing. */
int hd_rpc_preamble_refuse(struct hd_buf *out, enum hd_rpc_preamble what, const uint8_t *in);

int hd_rpc_preamble_add(struct hd_buf *out, uint8_t auth);

/* --- frames --- */

/*
 * The frame at the front of in. Returns the bytes it takes with its length, and its body; 0 when
 * more bytes are needed; -HD_E_TOO_LARGE when it declares more than max_bytes, -HD_E_BAD_MESSAGE
 * when it is negative.
 */
int64_t hd_frame_take(struct hd_slice in, size_t max_bytes, struct hd_slice *ret_body);

/* Takes a varint length and that many bytes off the front of rest. */
int hd_slice_take_delimited(struct hd_slice *rest, struct hd_slice *ret);

/* --- requests --- */

struct hd_rpc_request_header {
    bool has_kind;
    bool has_op;
    uint32_t kind; /* RpcKind */
    uint32_t op;   /* Operation */
    int32_t call_id;
    int32_t retry_count; /* HD_RPC_RETRY_NONE when absent */
    struct hd_slice client_id;
    int64_t state_id; /* 0 when absent */
};

struct hd_rpc_request {
    struct hd_slice method;
    struct hd_slice protocol;
    uint64_t version;
};

/* Each takes its delimited message off the front of rest. */
int hd_rpc_request_header_decode(struct hd_slice *rest, struct hd_rpc_request_header *ret);
int hd_rpc_request_decode(struct hd_slice *rest, struct hd_rpc_request *ret);

/*
 * Appends a whole request frame but for its message: *ret_body points to where exactly body_size
 * bytes belong. Writes kind and op always. 0, -HD_E_TOO_LARGE or -ENOMEM.
 */
int hd_rpc_request_add(struct hd_buf *out, const struct hd_rpc_request_header *h,
                       const struct hd_rpc_request *r, size_t body_size, uint8_t **ret_body);

/* Appends the connection context, and a ping. client_id has HD_RPC_CLIENT_ID_BYTES. */
int hd_rpc_context_add(struct hd_buf *out, const uint8_t *client_id, const char *user,
                       const char *protocol);
int hd_rpc_ping_add(struct hd_buf *out, const uint8_t *client_id);

/* --- responses --- */

struct hd_rpc_response_header {
    int32_t call_id;            /* on the wire as uint32 */
    uint32_t status;            /* RpcStatus */
    struct hd_slice class_name; /* empty and absent are the same */
    struct hd_slice error_msg;
    uint32_t error_detail; /* RpcErrorCode, 0 when absent */
    struct hd_slice client_id;
    int32_t retry_count;
    int64_t state_id; /* 0: absent */
};

int hd_rpc_response_decode(struct hd_slice *rest, struct hd_rpc_response_header *ret);

/*
 * Appends a response frame with room for a message of body_size bytes at *ret_body (SUCCESS), or
 * without a message (ret_body NULL). Fields ascend, serverIpcVersionNum, clientId and retryCount
 * are always there, as from Hadoop. 0, -HD_E_TOO_LARGE or -ENOMEM; then nothing was added.
 */
int hd_rpc_response_add(struct hd_buf *out, const struct hd_rpc_response_header *h,
                        size_t body_size, uint8_t **ret_body);

/* The same with the message. */
int hd_rpc_response_add_message(struct hd_buf *out, const struct hd_rpc_response_header *h,
                                const ProtobufCMessage *message);

#endif
