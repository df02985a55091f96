/* Reads and checks an image. See image.h. */
#include "meta/log/image.h"
#include "meta/log/image_format.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

struct reader {
    int fd;
    const char *path;
    uint64_t offset;
    uint64_t size;
    EVP_MD_CTX *digest;
    struct hd_buf block;
    struct hd_buf last_key;
    struct hd_image_info info;
};

static int corrupt(const struct reader *r, const char *what)
{
    return hd_fail(-HD_E_CORRUPT, "%s: offset %" PRIu64 ": %s", r->path, r->offset, what);
}

/* The next size bytes of the file, which also go into the digest. */
static int take(struct reader *r, void *out, size_t size)
{
    if (size > r->size - r->offset) {
        return corrupt(r, "the file ends too early");
    }
    int err = hd_fd_pread(r->fd, out, size, r->offset);
    if (err < 0) {
        return hd_fail(err, "%s: %s", r->path, hd_fail_describe(err));
    }
    if (EVP_DigestUpdate(r->digest, out, size) != 1) {
        return hd_fail(-HD_E_IO, "%s: EVP_DigestUpdate failed", r->path);
    }
    r->offset += size;
    return 0;
}

static int read_header(struct reader *r, const char *cluster_id)
{
    uint8_t h[HD_IMAGE_HEADER_BYTES];
    int err = take(r, h, sizeof(h));
    if (err < 0) {
        return err;
    }
    if (memcmp(h, HD_IMAGE_MAGIC, strlen(HD_IMAGE_MAGIC)) != 0 ||
        hd_get_le32(h + HD_IMAGE_HEADER_SUM_AT) != hd_crc32c(0, h, HD_IMAGE_HEADER_SUM_AT)) {
        r->offset = 0;
        return corrupt(r, "the image header is damaged");
    }
    if (hd_get_le32(h + HD_IMAGE_VERSION_AT) != HD_IMAGE_VERSION) {
        return hd_fail(-HD_E_INCORRECT_VERSION,
                       "%s: image version %u; this program reads version %d", r->path,
                       hd_get_le32(h + HD_IMAGE_VERSION_AT), HD_IMAGE_VERSION);
    }
    const char *id = (const char *)h + HD_IMAGE_CLUSTER_AT;
    if (strncmp(id, cluster_id, HD_IMAGE_CLUSTER_BYTES) != 0) {
        return hd_fail(-HD_E_INCORRECT_VERSION, "%s: belongs to cluster %.*s, not to %s", r->path,
                       HD_IMAGE_CLUSTER_BYTES, id, cluster_id);
    }
    r->info.txid.v = hd_get_le64(h + HD_IMAGE_TXID_AT);
    return 0;
}

/* A length and that many bytes at *at; NULL when they are not there. */
static const uint8_t *take_string(const struct hd_buf *b, size_t *at, size_t *ret_size)
{
    uint64_t size;
    int n = hd_varint_decode(b->data + *at, b->size - *at, &size);
    if (n <= 0 || size > b->size - *at - (size_t)n) {
        return NULL;
    }
    const uint8_t *p = b->data + *at + n;
    *at += (size_t)n + (size_t)size;
    *ret_size = (size_t)size;
    return p;
}

static int deliver(struct reader *r, uint32_t entries, hd_image_fn fn, void *ctx)
{
    size_t at = 0;
    for (uint32_t i = 0; i < entries; i++) {
        size_t key_size = 0;
        size_t value_size = 0;
        const uint8_t *key = take_string(&r->block, &at, &key_size);
        const uint8_t *value = key != NULL ? take_string(&r->block, &at, &value_size) : NULL;
        if (value == NULL || key_size > HD_IMAGE_KEY_MAX_BYTES) {
            return corrupt(r, "an entry of the block before does not decode");
        }
        int order = memcmp(r->last_key.data == NULL ? key : r->last_key.data, key,
                           HD_MIN(r->last_key.size, key_size));
        if (r->info.keys > 0 && (order > 0 || (order == 0 && r->last_key.size >= key_size))) {
            return corrupt(r, "keys of the block before are not in order");
        }
        hd_buf_clear(&r->last_key);
        int err = hd_buf_add(&r->last_key, key, key_size);
        if (err == 0 && fn != NULL) {
            err = fn(ctx, key, key_size, value, value_size);
        }
        if (err < 0) {
            return hd_fail(err, "%s: %s", r->path, hd_fail_describe(err));
        }
        r->info.keys++;
    }
    return at == r->block.size ? 0 : corrupt(r, "the block before has bytes left over");
}

/* 1: a block was read, 0: the footer, and all is well. */
static int read_block(struct reader *r, hd_image_fn fn, void *ctx)
{
    uint8_t h[HD_IMAGE_FOOTER_BYTES];
    int err = take(r, h, HD_IMAGE_BLOCK_HEADER_BYTES);
    if (err < 0) {
        return err;
    }
    uint32_t size = hd_get_le32(h);
    if (size == 0) {
        err = take(r, h + HD_IMAGE_BLOCK_HEADER_BYTES,
                   HD_IMAGE_FOOTER_BYTES - HD_IMAGE_BLOCK_HEADER_BYTES);
        if (err < 0) {
            return err;
        }
        bool good =
            hd_get_le32(h + HD_IMAGE_FOOTER_SUM_AT) == hd_crc32c(0, h, HD_IMAGE_FOOTER_SUM_AT) &&
            hd_get_le32(h + 4) == HD_IMAGE_FOOTER_MAGIC && hd_get_le64(h + 8) == r->info.keys &&
            hd_get_le64(h + 16) == r->info.txid.v && r->offset == r->size;
        return good ? 0 : corrupt(r, "the footer is damaged or does not agree with the content");
    }
    if (size > HD_IMAGE_BLOCK_MAX_BYTES || size > r->size - r->offset) {
        return corrupt(r, "a block's header is damaged");
    }
    hd_buf_clear(&r->block);
    err = hd_buf_reserve(&r->block, size);
    if (err == 0) {
        err = take(r, r->block.data, size);
    }
    if (err < 0) {
        return err;
    }
    r->block.size = size;
    if (hd_crc32c(0, r->block.data, size) != hd_get_le32(h + 8)) {
        return corrupt(r, "the checksum of the block before differs");
    }
    err = deliver(r, hd_get_le32(h + 4), fn, ctx);
    return err < 0 ? err : 1;
}

static void reader_done(struct reader *r)
{
    hd_fd_done(&r->fd);
    hd_buf_done(&r->block);
    hd_buf_done(&r->last_key);
    EVP_MD_CTX_free(r->digest);
}

int hd_image_read(const char *path, const char *cluster_id, hd_image_fn fn, void *ctx,
                  struct hd_image_info *ret)
{
    struct stat st;
    HD_AUTO(reader_done) struct reader r = {.fd = -1, .path = path};
    hd_buf_init(&r.block, HD_IMAGE_BLOCK_MAX_BYTES);
    r.fd = hd_io_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (r.fd < 0 || fstat(r.fd, &st) < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    r.size = (uint64_t)st.st_size;
    r.info.size_bytes = r.size;
    r.digest = EVP_MD_CTX_new();
    if (r.digest == NULL || EVP_DigestInit_ex(r.digest, EVP_sha256(), NULL) != 1) {
        return hd_fail(-HD_E_IO, "%s: no SHA-256 in this OpenSSL", path);
    }
    int err = read_header(&r, cluster_id);
    while (err == 0 && (err = read_block(&r, fn, ctx)) > 0) {
        err = 0;
        continue;
    }
    if (err < 0) {
        return err;
    }
    unsigned size = HD_SHA256_BYTES;
    if (EVP_DigestFinal_ex(r.digest, r.info.sha256, &size) != 1) {
        return hd_fail(-HD_E_IO, "%s: EVP_DigestFinal failed", path);
    }
    *ret = r.info;
    return 0;
}
