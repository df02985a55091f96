/*
 * HDFS's file checksum: MD5 of the blocks' MD5s of their chunk sums, padded as history has it
 * (docs/protocol.md, "Checksums").
 */
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/client/blocks.h"
#include "fs/client/session.h"

#include <errno.h>
#include <openssl/evp.h>

enum {
    MD5_BYTES = 16,
    CHECKSUM_TIMEOUT_MS = 60000, /* a node reads all sums of a block */
    PAD_MIN_BYTES = 32,
};

/* What the blocks said so far. */
struct sums {
    struct hd_buf md5s;
    uint32_t chunk_bytes;
    uint64_t first_chunks; /* of the first block */
    Hdw__ChecksumType type;
};

static int ask_node(struct hd_fs *fs, const Hdw__LocatedBlock *block, uint64_t size,
                    const Hdw__DatanodeInfo *node, struct hd_arena *arena,
                    Hdw__OpBlockChecksumResponse **ret)
{
    struct hd_conn *conn;
    int err = hd_conn_open(NULL, node, CHECKSUM_TIMEOUT_MS, &conn);
    if (err < 0) {
        return err;
    }
    Hdw__ExtendedBlock b = *block->b;
    b.has_num_bytes = true;
    b.num_bytes = size;
    struct hd_block_header header;
    hd_block_header_init(&header, &b, block->block_token, fs->session->client_name);
    Hdw__OpBlockChecksum request = HDW__OP_BLOCK_CHECKSUM__INIT;
    request.header = &header.base;
    err = hd_transfer_request(&conn->stream, HD_OP_BLOCK_CHECKSUM, &request.base);
    Hdw__BlockOpResponse *response = NULL;
    if (err == 0) {
        err = hd_transfer_response(&conn->stream, arena, &response);
    }
    if (err == 0) {
        err = hd_transfer_error(response, conn->address, "checksum");
    }
    if (err == 0) {
        *ret = response->checksum_response;
        if (*ret == NULL || (*ret)->block_checksum.len != MD5_BYTES) {
            err = hd_fail(-HD_E_BAD_MESSAGE, "%s: answer without a checksum", conn->address);
        }
    }
    hd_conn_close(conn);
    return err;
}

static int ask_any(struct hd_fs *fs, const Hdw__LocatedBlock *block, uint64_t size,
                   struct hd_arena *arena, Hdw__OpBlockChecksumResponse **ret)
{
    int err = hd_fail(-HD_E_MISSING_BLOCK, "no data node has blk_%llu",
                      (unsigned long long)block->b->block_id);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < block->n_locs; i++) {
            const char *uuid = block->locs[i]->id->datanode_uuid;
            if ((pass == 1) != hd_session_node_suspect(fs->session, uuid)) {
                continue;
            }
            err = ask_node(fs, block, size, block->locs[i], arena, ret);
            if (err == 0) {
                return 0;
            }
            hd_session_node_failed(fs->session, uuid);
        }
    }
    return err;
}

static int add_block(struct hd_fs *fs, const struct hd_blocks *b, size_t i, struct sums *s)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__OpBlockChecksumResponse *r = NULL;
    int err = ask_any(fs, b->blocks[i], b->extents[i].size_bytes, &arena, &r);
    if (err < 0) {
        return err;
    }
    Hdw__ChecksumType type = r->has_crc_type ? r->crc_type : HDW__CHECKSUM_TYPE__CHECKSUM_CRC32;
    if (i == 0) {
        s->chunk_bytes = r->bytes_per_crc;
        s->first_chunks = r->crc_per_block;
        s->type = type;
    } else if (s->chunk_bytes != r->bytes_per_crc) {
        return hd_fail(-HD_E_IO, "blocks have chunks of %u and of %u bytes", s->chunk_bytes,
                       r->bytes_per_crc);
    } else if (s->type != type) {
        s->type = HDW__CHECKSUM_TYPE__CHECKSUM_NULL; /* mixed */
    }
    return hd_buf_add(&s->md5s, r->block_checksum.data, r->block_checksum.len);
}

/* The block sums lie in a buffer that doubles from 32 bytes; all of it is summed. */
static int pad(struct hd_buf *md5s)
{
    static const uint8_t zeros[MD5_BYTES];
    size_t size = PAD_MIN_BYTES;
    while (size < md5s->size) {
        size *= 2;
    }
    int err = 0;
    while (md5s->size < size && err == 0) {
        err = hd_buf_add(md5s, zeros, sizeof(zeros));
    }
    return err;
}

static int finish(struct sums *s, size_t block_count, struct hd_file_checksum *ret)
{
    int err = pad(&s->md5s);
    if (err < 0) {
        return err;
    }
    uint64_t chunks = block_count > 1 ? s->first_chunks : 0;
    const char *name = s->type == HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C  ? "CRC32C"
                       : s->type == HDW__CHECKSUM_TYPE__CHECKSUM_CRC32 ? "CRC32"
                                                                       : "MIXED";
    struct hd_file_checksum sum = {.size = 4 + 8 + MD5_BYTES};
    snprintf(sum.algorithm, sizeof(sum.algorithm), "MD5-of-%lluMD5-of-%u%s",
             (unsigned long long)chunks, s->chunk_bytes, name);
    hd_put_be32(sum.bytes, s->chunk_bytes);
    hd_put_be64(sum.bytes + 4, chunks);
    if (EVP_Digest(s->md5s.data, s->md5s.size, sum.bytes + 12, NULL, EVP_md5(), NULL) != 1) {
        return hd_fail(-EOPNOTSUPP, "this machine's OpenSSL has no MD5");
    }
    *ret = sum;
    return 0;
}

int hd_fs_checksum(struct hd_fs *fs, const char *path, struct hd_file_checksum *ret)
{
    struct hd_blocks *b;
    int err = hd_blocks_fetch(fs, path, 0, INT64_MAX, false, &b);
    if (err < 0) {
        return err;
    }
    struct sums s = {.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32};
    if (b->open_for_write) {
        err = hd_fail(-HD_E_IO, "%s: is being written", path);
    }
    for (size_t i = 0; i < b->count && err == 0; i++) {
        err = add_block(fs, b, i, &s);
    }
    if (err == 0) {
        err = finish(&s, b->count, ret);
    }
    hd_buf_done(&s.md5s);
    hd_blocks_unref(b);
    return err;
}
