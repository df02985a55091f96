/*
 * Reading one block from one node over the network: a request for a range and its packets, every
 * chunk verified before it is handed out. Inside the room; one thread at a time.
 */
#ifndef HD_CLIENT_BLOCK_STREAM_H
#define HD_CLIENT_BLOCK_STREAM_H

#include "fs/base/crc.h"
#include "fs/client/transfer.h"

struct hd_block_stream {
    struct hd_conn *conn;
    uint64_t pos;      /* in the block: the next byte to hand out */
    uint64_t end;      /* in the block: of the request */
    uint64_t wire_pos; /* in the block: the next data byte on the wire */
    int64_t next_seqno;
    enum hd_checksum_type type;
    uint32_t chunk_bytes;
    size_t packet_left; /* data bytes of the current packet that are still on the wire */
    uint8_t *sums;      /* of the current packet; heap, owned */
    size_t sums_capacity;
    size_t sums_at;
    uint8_t *chunk; /* a chunk handed out in part; heap, owned */
    size_t chunk_at;
    size_t chunk_size;
};

/*
 * Asks the node for [offset, offset + size) of the block, and takes the first answer.
 * hd_block_stream_open is both, and asks again where a kept connection proved to be closed.
 * timeout_ms holds for every wait.
 */
int hd_block_stream_ask(struct hd_block_stream *s, struct hd_conn_cache *cache,
                        const Hdw__LocatedBlock *block, const Hdw__DatanodeInfo *node,
                        const char *client_name, uint64_t offset, uint64_t size, int timeout_ms);
int hd_block_stream_hear(struct hd_block_stream *s);
int hd_block_stream_open(struct hd_block_stream *s, struct hd_conn_cache *cache,
                         const Hdw__LocatedBlock *block, const Hdw__DatanodeInfo *node,
                         const char *client_name, uint64_t offset, uint64_t size, int timeout_ms);

/*
 * Hands out exactly size bytes (up to the end of the request). On an error *ret_done bytes are
 * good. -HD_E_CHECKSUM names a bad replica; other errors come from the connection.
 */
int hd_block_stream_read(struct hd_block_stream *s, void *out, size_t size, size_t *ret_done);

/*
 * Closes. Where everything was read the node is told so and the connection is kept in the cache.
 */
void hd_block_stream_close(struct hd_block_stream *s, struct hd_conn_cache *cache);

#endif
