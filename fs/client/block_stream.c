/*
 * The remote block reader of block_stream.h. Whole chunks go from the socket to the caller's memory
 * and are verified there; only a chunk that is wanted in part takes a detour.
 */
#include "fs/client/block_stream.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/client/core/layout.h"
#include "fs/wire/packet.h"

#include <errno.h>
#include <stdlib.h>

enum {
    PIECE_BYTES = 131072, /* received, then verified while it is in the cache */
    CHUNK_MAX_BYTES = 1 << 20,
};

static int receive_answer(struct hd_block_stream *s, uint64_t offset)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__BlockOpResponse *response;
    int err = hd_transfer_response(&s->conn->stream, &arena, &response);
    if (err == 0) {
        err = hd_transfer_error(response, s->conn->address, "read");
    }
    if (err < 0) {
        return err;
    }
    const Hdw__ReadOpChecksumInfo *info = response->read_op_checksum_info;
    if (info == NULL) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: answer without checksum type", s->conn->address);
    }
    uint32_t chunk = info->checksum->bytes_per_checksum;
    s->type = (enum hd_checksum_type)info->checksum->type;
    if (chunk == 0 || chunk > CHUNK_MAX_BYTES || info->chunk_offset > offset ||
        offset - info->chunk_offset >= chunk || (unsigned)s->type > HD_CHECKSUM_CRC32C) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: answer makes no sense", s->conn->address);
    }
    s->chunk_bytes = chunk;
    s->wire_pos = info->chunk_offset;
    return 0;
}

int hd_block_stream_ask(struct hd_block_stream *s, struct hd_conn_cache *cache,
                        const Hdw__LocatedBlock *block, const Hdw__DatanodeInfo *node,
                        const char *client_name, uint64_t offset, uint64_t size, int timeout_ms)
{
    *s = (struct hd_block_stream){.pos = offset, .end = offset + size};
    int err = hd_conn_open(cache, node, timeout_ms, &s->conn);
    if (err < 0) {
        return err;
    }
    struct hd_block_header header;
    hd_block_header_init(&header, block->b, block->block_token, client_name);
    Hdw__OpReadBlock request = HDW__OP_READ_BLOCK__INIT;
    request.header = &header.client;
    request.offset = offset;
    request.len = size;
    err = hd_transfer_request(&s->conn->stream, HD_OP_READ_BLOCK, &request.base);
    if (err < 0 && s->conn->reused && err != -ETIMEDOUT) {
        hd_block_stream_close(s, NULL);
        return hd_block_stream_ask(s, NULL, block, node, client_name, offset, size, timeout_ms);
    }
    if (err < 0) {
        hd_block_stream_close(s, NULL);
    }
    return err;
}

int hd_block_stream_hear(struct hd_block_stream *s)
{
    int err = receive_answer(s, s->pos);
    if (err < 0) {
        hd_block_stream_close(s, NULL);
    }
    return err;
}

int hd_block_stream_open(struct hd_block_stream *s, struct hd_conn_cache *cache,
                         const Hdw__LocatedBlock *block, const Hdw__DatanodeInfo *node,
                         const char *client_name, uint64_t offset, uint64_t size, int timeout_ms)
{
    int err = hd_block_stream_ask(s, cache, block, node, client_name, offset, size, timeout_ms);
    if (err < 0) {
        return err;
    }
    bool reused = s->conn->reused;
    err = hd_block_stream_hear(s);
    if (err < 0 && reused && err != -ETIMEDOUT) {
        /* the node closed the idle connection, or was replaced behind it */
        return hd_block_stream_open(s, NULL, block, node, client_name, offset, size, timeout_ms);
    }
    return err;
}

static int next_packet(struct hd_block_stream *s, struct hd_packet *p)
{
    struct hd_stream *stream = &s->conn->stream;
    uint8_t lengths[HD_PACKET_LENGTHS_BYTES];
    uint8_t header[HD_PACKET_HEADER_LIMIT_BYTES];
    uint32_t payload;
    int err = hd_stream_read(stream, lengths, sizeof(lengths));
    if (err < 0) {
        return err;
    }
    int header_bytes = hd_packet_decode_lengths(lengths, &payload);
    if (header_bytes < 0) {
        return hd_fail(header_bytes, "%s: bad packet", s->conn->address);
    }
    err = hd_stream_read(stream, header, (size_t)header_bytes);
    if (err == 0) {
        err = hd_packet_decode(header, (size_t)header_bytes, payload, p);
    }
    if (err < 0) {
        return err;
    }
    uint32_t sums = 0;
    if (s->type != HD_CHECKSUM_NULL) {
        sums = (p->data_bytes + s->chunk_bytes - 1) / s->chunk_bytes * 4;
    }
    if (p->seqno != s->next_seqno || p->sums_bytes != sums ||
        (p->data_bytes > 0 && (uint64_t)p->offset_bytes != s->wire_pos) ||
        p->last != (p->data_bytes == 0)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: packet out of order", s->conn->address);
    }
    s->next_seqno++;
    return 0;
}

static int read_sums(struct hd_block_stream *s, size_t size)
{
    if (size > s->sums_capacity) {
        uint8_t *sums = realloc(s->sums, size);
        if (sums == NULL) {
            return -ENOMEM;
        }
        s->sums = sums;
        s->sums_capacity = size;
    }
    s->sums_at = 0;
    return hd_stream_read(&s->conn->stream, s->sums, size);
}

static int begin_packet(struct hd_block_stream *s)
{
    struct hd_packet p;
    int err = next_packet(s, &p);
    if (err < 0) {
        return err;
    }
    if (p.last) {
        return hd_fail(-HD_E_TRUNCATED, "%s: replica ends at byte %llu of its block",
                       s->conn->address, (unsigned long long)s->wire_pos);
    }
    err = read_sums(s, p.sums_bytes);
    if (err == 0) {
        s->packet_left = p.data_bytes;
    }
    return err;
}

/* n bytes off the wire, whole chunks or up to the end of the packet, verified. */
static int take(struct hd_block_stream *s, uint8_t *out, size_t n)
{
    int err = hd_stream_read(&s->conn->stream, out, n);
    if (err < 0) {
        return err;
    }
    if (s->type != HD_CHECKSUM_NULL) {
        int64_t bad = hd_checksum_verify(s->type, s->chunk_bytes, out, n, s->sums + s->sums_at);
        if (bad >= 0) {
            return hd_fail(-HD_E_CHECKSUM, "%s: checksum differs at byte %llu of the block",
                           s->conn->address,
                           (unsigned long long)(s->wire_pos + (uint64_t)bad * s->chunk_bytes));
        }
        s->sums_at += (n + s->chunk_bytes - 1) / s->chunk_bytes * 4;
    }
    s->packet_left -= n;
    s->wire_pos += n;
    return 0;
}

/* The next chunk into the stream's own memory, because it is wanted in part. */
static int take_chunk(struct hd_block_stream *s)
{
    if (s->chunk == NULL) {
        s->chunk = malloc(s->chunk_bytes);
        if (s->chunk == NULL) {
            return -ENOMEM;
        }
    }
    size_t n = HD_MIN((size_t)s->chunk_bytes, s->packet_left);
    uint64_t start = s->wire_pos;
    int err = take(s, s->chunk, n);
    if (err < 0) {
        return err;
    }
    size_t skip = s->pos > start ? (size_t)HD_MIN(s->pos - start, (uint64_t)n) : 0;
    s->chunk_at = skip;
    s->chunk_size = n;
    return 0;
}

int hd_block_stream_read(struct hd_block_stream *s, void *out, size_t size, size_t *ret_done)
{
    uint8_t *p = out;
    size_t done = 0;
    int err = 0;
    while (done < size && err == 0) {
        size_t want = size - done;
        size_t n = 0;
        if (s->chunk_at < s->chunk_size) {
            n = HD_MIN(want, s->chunk_size - s->chunk_at);
            memcpy(p + done, s->chunk + s->chunk_at, n);
            s->chunk_at += n;
        } else if (s->packet_left == 0) {
            err = begin_packet(s);
        } else {
            n = HD_MIN(HD_MIN(want, s->packet_left), (size_t)PIECE_BYTES);
            if (n < s->packet_left) {
                n = (size_t)hd_chunk_floor(n, s->chunk_bytes);
            }
            if (n == 0 || s->wire_pos != s->pos) {
                n = 0;
                err = take_chunk(s);
            } else {
                err = take(s, p + done, n);
            }
        }
        if (err == 0) {
            s->pos += n;
            done += n;
        }
    }
    *ret_done = done;
    return err;
}

/* Everything asked for came: takes the empty packet and thanks. */
static bool end_in_order(struct hd_block_stream *s)
{
    struct hd_packet p;
    if (s->conn == NULL || s->pos != s->end || s->packet_left != 0 || next_packet(s, &p) < 0 ||
        !p.last) {
        return false;
    }
    Hdw__ClientReadStatus status = HDW__CLIENT_READ_STATUS__INIT;
    status.status = HDW__STATUS__STATUS_CHECKSUM_OK;
    return hd_stream_write_message(&s->conn->stream, &status.base) == 0;
}

void hd_block_stream_close(struct hd_block_stream *s, struct hd_conn_cache *cache)
{
    if (cache != NULL && end_in_order(s)) {
        s->conn->reused = false;
        hd_conn_keep(cache, s->conn);
    } else {
        hd_conn_close(s->conn);
    }
    s->conn = NULL;
    free(s->sums);
    free(s->chunk);
    s->sums = NULL;
    s->chunk = NULL;
}
