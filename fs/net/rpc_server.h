/*
 * Hadoop RPC, wire version 9, server side (docs/protocol.md, "RPC").
 *
 * Lives on an event loop. It accepts connections, checks preamble, SASL negotiation (SIMPLE only),
 * context and headers, answers what is malformed the way Hadoop does, and hands every well-formed
 * call to one handler. The handler may answer at once or keep the call and answer later, in any
 * order, on the loop's thread.
 */
#ifndef HD_NET_RPC_SERVER_H
#define HD_NET_RPC_SERVER_H

#include "fs/base/arena.h"
#include "fs/net/addr.h"

struct hd_loop;
struct hd_rpc_server;
struct hd_rpc_conn;

/* One call. All pointers live in the call's arena until it is answered. */
struct hd_rpc_call {
    struct hd_rpc_conn *conn; /* may be gone when the answer comes: answering is still safe */
    uint64_t conn_id;         /* never reused within a process */
    const char *protocol;     /* declaringClassProtocolName, checked against the served ones */
    const char *method;
    const char *user;      /* effective user of the connection */
    const char *real_user; /* NULL unless a proxy call */
    const char *peer_ip;
    const uint8_t *client_id; /* 16 bytes, or client_id_size 0 */
    size_t client_id_size;
    int32_t call_id;
    int32_t retry_count;
    const uint8_t *body; /* the request message, without its length */
    size_t body_size;
    struct hd_arena arena; /* for the handler too; freed by the answer */
};

struct hd_rpc_server_options {
    const char *const *protocols; /* names served, NULL-terminated; all of version 1 */
    size_t max_frame_bytes;       /* 0: 128 MiB */
    int max_connections;          /* 0: 10000; beyond, accept waits */
    int max_calls_per_connection; /* 0: 1000; beyond, reading from it waits */
    size_t max_unsent_bytes; /* 0: 128 MiB of answers a peer does not read; beyond, it is dropped */
    int idle_ms; /* 0: 20000; idle for longer, a connection goes if 2/5 of the ceiling are open */
    void (*on_call)(void *ctx, struct hd_rpc_call *call);
    /* Whether a connection of real_user may call as user; NULL: every one may. */
    bool (*may_impersonate)(void *ctx, const char *real_user, const char *user);
    /* A connection ended; may answer its calls (the answers go nowhere) and others. NULL: none. */
    void (*on_close)(void *ctx, uint64_t conn_id);
    void *ctx;
};

/* Listens on address ("host:port"; port 0: any). The protocol names must outlive the server. */
int hd_rpc_server_new(struct hd_loop *loop, const char *address,
                      const struct hd_rpc_server_options *options, struct hd_rpc_server **ret);
void hd_rpc_server_free(struct hd_rpc_server *s); /* takes NULL; drops unanswered calls' answers */
int hd_rpc_server_port(const struct hd_rpc_server *s);

/* Answers. The call is gone afterwards. state_id 0: field left out. */
void hd_rpc_reply(struct hd_rpc_call *call, const ProtobufCMessage *response, int64_t state_id);

/* The same from bytes that were encoded before: the response message without its length. */
void hd_rpc_reply_bytes(struct hd_rpc_call *call, const void *body, size_t size, int64_t state_id);

/*
 * An exception: class and errorDetail by err (error.def; HD_E_NO_SUCH_METHOD and the like get their
 * own detail, everything else ERROR_APPLICATION), text as given ("" becomes the error's name).
 */
void hd_rpc_reply_error(struct hd_rpc_call *call, int err, const char *text);

/*
 * Decodes call->body as `type` into the call's arena. NULL after answering with Hadoop's
 * InvalidProtocolBufferException when it does not decode: the caller just returns.
 */
ProtobufCMessage *hd_rpc_call_decode(struct hd_rpc_call *call,
                                     const ProtobufCMessageDescriptor *type);

#endif
