/*
 * Hadoop RPC, wire version 9, client side: blocking calls, any number of threads on one connection.
 *
 * Calls are pipelined; answers are matched by call id in any order. There is no thread of its own:
 * one of the waiting callers reads for all. The connection is made at the first call and made
 * again after a failure, by the next call. Nothing is retried here; whether a call may be repeated
 * is the caller's knowledge, and it repeats with the same call id (args.call_id) so that the
 * server's retry cache can tell.
 */
#ifndef HD_NET_RPC_CLIENT_H
#define HD_NET_RPC_CLIENT_H

#include "fs/base/arena.h"

struct hd_rpc_client;

/*
 * The first call of every new connection, made before any other may use it: who connects learns
 * whom it reached, and may refuse.
 */
struct hd_rpc_hello {
    const char *protocol;
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
};

struct hd_rpc_client_options {
    const char *address;    /* "host:port" */
    const char *protocol;   /* connection context and request headers */
    const char *user;       /* effective user */
    const char *source_ip;  /* connects from there (hd_addr_connect_text_from); NULL: any */
    int connect_timeout_ms; /* 0: 20000 */
    int call_timeout_ms;    /* 0: 120000; silence on a connection with calls under way */
    size_t max_frame_bytes; /* 0: 128 MiB */
    /* Both NULL: no hello. Called by whoever connects, without locks; NULL: none this time. */
    const struct hd_rpc_hello *(*hello)(void *ctx);
    /*
     * How the hello ended: err as of hd_rpc_call, the response only when it is 0. Returning an
     * error drops the connection: the calls that wait for it end with that error. *ret_tag (0)
     * comes with every answer of this connection (args.ret_tag).
     */
    int (*welcome)(void *ctx, int err, const ProtobufCMessage *response, uint64_t *ret_tag);
    void *ctx;
};

int hd_rpc_client_new(const struct hd_rpc_client_options *options, struct hd_rpc_client **ret);
void hd_rpc_client_free(struct hd_rpc_client *c); /* takes NULL; no call may be under way */

struct hd_rpc_args {
    const char *method;
    const ProtobufCMessage *request;
    const ProtobufCMessageDescriptor *response_type;
    struct hd_arena *arena; /* the response lives there */
    int timeout_ms;         /* 0: the client's; < 0: wait for ever (parked calls) */
    int64_t call_id;        /* < 0: a fresh one; else as hd_rpc_call_id_new gave */
    int32_t retry_count;
    const char *protocol; /* of the request header; NULL: the client's */
    uint64_t *ret_tag;    /* NULL, or where the tag of the connection goes, when there was one */
};

/* A call id for args.call_id, unique in this client. */
int64_t hd_rpc_call_id_new(struct hd_rpc_client *c);

/*
 * One call. 0 with *ret_response, or: an exception of the server as the code of its class
 * (hd_error_from_class) with its first line as failure text; -HD_E_CLOSED, -ECONNREFUSED,
 * -ETIMEDOUT ... when the connection failed (then the call may or may not have run).
 * ret_state_id (may be NULL) is the answer's stateId, 0 when absent.
 */
int hd_rpc_call(struct hd_rpc_client *c, const struct hd_rpc_args *args,
                ProtobufCMessage **ret_response, int64_t *ret_state_id);

/*
 * The number of connections made so far: it changes when a call had to connect again, so a caller
 * can tell that what it told the server about the connection is gone. 0 before the first.
 */
uint64_t hd_rpc_client_connections(struct hd_rpc_client *c);

/* True when err came from the connection and not from the server. */
bool hd_rpc_is_connection_error(int err);

/* Exception class of the calling thread's last failed call; "" for connection errors. */
const char *hd_rpc_last_class(void);

/* Closes the connection; calls under way end with -HD_E_CLOSED. Any thread. */
void hd_rpc_client_disconnect(struct hd_rpc_client *c);

/*
 * Another server from now on, under the same client id: calls under way (and connects) end with
 * -HD_E_CLOSED, and may be repeated there with the same call id. Any thread. 0 or -ENOMEM.
 */
int hd_rpc_client_redirect(struct hd_rpc_client *c, const char *address);

#endif
