/*
 * Data transfer connections of a client: requests, first answers, and a small cache of idle
 * connections (a node serves further reads on one that ended in order). Inside the room.
 */
#ifndef HD_CLIENT_TRANSFER_H
#define HD_CLIENT_TRANSFER_H

#include "fs/base/buf.h"
#include "fs/base/list.h"
#include "fs/net/addr.h"
#include "fs/net/stream.h"

#include "data_transfer.pb-c.h"

#include <pthread.h>

enum hd_transfer_op {
    HD_OP_WRITE_BLOCK = 80,
    HD_OP_READ_BLOCK = 81,
    HD_OP_REPLACE_BLOCK = 83,
    HD_OP_BLOCK_CHECKSUM = 85,
    HD_OP_TRANSFER_BLOCK = 86,
    HD_OP_REQUEST_SHORT_CIRCUIT_FDS = 87,
};

/* One connection to a data node. */
struct hd_conn {
    struct hd_stream stream;
    struct hd_list link;
    char address[HD_ADDR_TEXT_BYTES]; /* "ip:port" */
    int64_t idle_since_ms;
    bool reused; /* came from the cache: its first failure says nothing about the node */
};

struct hd_conn_cache {
    pthread_mutex_t lock;
    struct hd_list idle; /* of hd_conn.link, newest first */
    size_t count;
};

void hd_conn_cache_init(struct hd_conn_cache *c);
void hd_conn_cache_done(struct hd_conn_cache *c);

/* "ip:port" as nodes name each other (firstBadLink). */
void hd_node_address(const Hdw__DatanodeInfo *node, char out[HD_ADDR_TEXT_BYTES]);

/*
 * A connection to a node: an idle one of the cache when there is (cache may be NULL), else a new
 * one. timeout_ms is for connecting and becomes the stream's.
 */
int hd_conn_open(struct hd_conn_cache *cache, const Hdw__DatanodeInfo *node, int timeout_ms,
                 struct hd_conn **ret);
void hd_conn_close(struct hd_conn *c); /* takes NULL */

/* Gives a connection whose last request ended in order to the cache. */
void hd_conn_keep(struct hd_conn_cache *cache, struct hd_conn *c);

/* Version, opcode and message in one send. */
int hd_transfer_request(struct hd_stream *s, enum hd_transfer_op op, const ProtobufCMessage *m);

/* The same bytes, put behind what out holds. */
int hd_transfer_request_add(struct hd_buf *out, enum hd_transfer_op op, const ProtobufCMessage *m);

/* The answer to a request. Its status is for the caller to look at. */
int hd_transfer_response(struct hd_stream *s, struct hd_arena *arena, Hdw__BlockOpResponse **ret);

/* An error for a status that is not success; the node's message becomes the failure text. */
int hd_transfer_error(const Hdw__BlockOpResponse *r, const char *address, const char *what);

/* A block as a request names it. Borrows pool and token. */
struct hd_block_header {
    Hdw__ExtendedBlock block;
    Hdw__BaseHeader base;
    Hdw__ClientOperationHeader client;
};

void hd_block_header_init(struct hd_block_header *h, const Hdw__ExtendedBlock *block,
                          Hdw__Token *token, const char *client_name);

#endif
