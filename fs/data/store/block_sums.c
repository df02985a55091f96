/* Checksums of replicas. See block_sums.h. */
#include "fs/data/store/block_sums.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/os/file.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdlib.h>

enum { STEP_SUMS = 16384 };

/* Hands out the sums of a prefix in runs; the last one is computed where it has to be. */
typedef int (*sums_fn)(void *ctx, const uint8_t *sums, uint64_t count, bool last);

/* The stored sums of whole chunks, or of bytes that have none stored. */
static int read_sums(const struct hd_block_view *v, uint64_t at, uint64_t count, uint8_t *sums)
{
    uint32_t chunk = v->format.bytes_per_checksum;
    if (v->guard != NULL || v->plain) {
        return hd_fd_pread(v->meta_fd, sums, count * HD_SUM_BYTES,
                           hd_meta_file_offset(v->format, at * chunk));
    }
    uint8_t *data = malloc(chunk);
    int err = data == NULL ? -ENOMEM : 0;
    for (uint64_t i = 0; err == 0 && i < count; i++) {
        err = hd_block_view_read(v, (at + i) * chunk, (at + i + 1) * chunk, data,
                                 sums + i * HD_SUM_BYTES);
    }
    free(data);
    return err;
}

static int read_data(const struct hd_block_view *v, uint64_t from, uint32_t size, uint8_t *out)
{
    return v->guard != NULL || v->plain ? hd_fd_pread(v->data_fd, out, size, from)
                                        : hd_block_view_read(v, from, from + size, out, NULL);
}

static int part_sum(const struct hd_block_view *v, uint64_t bytes, uint8_t out[HD_SUM_BYTES])
{
    uint32_t into = (uint32_t)(bytes % v->format.bytes_per_checksum);
    uint8_t *chunk = malloc(into);
    int err = chunk == NULL ? -ENOMEM : read_data(v, bytes - into, into, chunk);
    if (err == 0) {
        hd_put_be32(out, hd_checksum(v->format.type, chunk, into));
    }
    free(chunk);
    return err;
}

static int each_run(const struct hd_block_view *v, uint64_t bytes, sums_fn fn, void *ctx)
{
    uint32_t chunk = v->format.bytes_per_checksum;
    uint64_t count = v->format.type == HD_CHECKSUM_NULL ? 0 : hd_chunk_count(bytes, chunk);
    bool stored_last = bytes == v->visible_bytes && v->replica.state == HD_REPLICA_FINALIZED;
    uint8_t *sums = malloc(STEP_SUMS * HD_SUM_BYTES);
    int err = sums == NULL ? -ENOMEM : 0;
    for (uint64_t at = 0; err == 0 && at < count; at += STEP_SUMS) {
        uint64_t n = HD_MIN(count - at, (uint64_t)STEP_SUMS);
        bool last = at + n == count;
        bool make = last && bytes % chunk != 0;
        err = read_sums(v, at, n - make, sums);
        uint8_t *end = sums + (n - make) * HD_SUM_BYTES;
        if (err == 0 && make && stored_last && v->has_last_sum) {
            memcpy(end, v->last_sum, HD_SUM_BYTES);
        } else if (err == 0 && make) {
            err = part_sum(v, bytes, end);
        }
        if (err == 0) {
            err = fn(ctx, sums, n, last);
        }
    }
    free(sums);
    return err;
}

static int md5_run(void *ctx, const uint8_t *sums, uint64_t count, bool last)
{
    (void)last;
    return EVP_DigestUpdate(ctx, sums, count * HD_SUM_BYTES) == 1 ? 0 : -EIO;
}

int hd_block_md5(const struct hd_block_view *v, uint64_t bytes, uint8_t out[HD_BLOCK_MD5_BYTES])
{
    EVP_MD_CTX *md5 = EVP_MD_CTX_new();
    int err = md5 == NULL || EVP_DigestInit_ex(md5, EVP_md5(), NULL) != 1 ? -ENOMEM : 0;
    if (err == 0) {
        err = each_run(v, bytes, md5_run, md5);
    }
    if (err == 0 && EVP_DigestFinal_ex(md5, out, NULL) != 1) {
        err = -EIO;
    }
    EVP_MD_CTX_free(md5);
    return err;
}

struct composite {
    struct hd_sum_format format;
    uint32_t crc;
    uint64_t last_bytes; /* of the last chunk */
};

static int composite_run(void *ctx, const uint8_t *sums, uint64_t count, bool last)
{
    struct composite *c = ctx;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t bytes = last && i + 1 == count ? c->last_bytes : c->format.bytes_per_checksum;
        c->crc = hd_checksum_combine(c->format.type, c->crc, hd_get_be32(sums + i * HD_SUM_BYTES),
                                     bytes);
    }
    return 0;
}

int hd_block_composite_crc(const struct hd_block_view *v, uint64_t bytes, uint8_t out[HD_SUM_BYTES])
{
    uint64_t past = bytes % v->format.bytes_per_checksum;
    struct composite c = {.format = v->format,
                          .last_bytes = past != 0 ? past : v->format.bytes_per_checksum};
    int err = each_run(v, bytes, composite_run, &c);
    hd_put_be32(out, c.crc);
    return err;
}
