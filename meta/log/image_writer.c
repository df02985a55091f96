/* Writes an image. See image.h. */
#include "meta/log/image.h"
#include "meta/log/image_format.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

struct hd_image_writer {
    int fd;
    char path[HD_IMAGE_PATH_BYTES];
    struct hd_txid txid;
    uint64_t keys;
    struct hd_buf block; /* header and payload of the block in the making */
    uint32_t entries;
    struct hd_buf last_key;
    bool finished;
};

static int write_out(struct hd_image_writer *w, const void *data, size_t size)
{
    int err = hd_fd_write(w->fd, data, size);
    return err < 0 ? hd_fail(err, "%s: %s", w->path, hd_fail_describe(err)) : 0;
}

static int start_block(struct hd_image_writer *w)
{
    static const uint8_t zero[HD_IMAGE_BLOCK_HEADER_BYTES];
    hd_buf_clear(&w->block);
    w->entries = 0;
    return hd_buf_add(&w->block, zero, sizeof(zero));
}

static int write_header(struct hd_image_writer *w, const char *cluster_id)
{
    uint8_t h[HD_IMAGE_HEADER_BYTES] = {0};
    hd_assert(strlen(cluster_id) < HD_IMAGE_CLUSTER_BYTES);
    memcpy(h, HD_IMAGE_MAGIC, strlen(HD_IMAGE_MAGIC));
    hd_put_le32(h + HD_IMAGE_VERSION_AT, HD_IMAGE_VERSION);
    hd_put_le32(h + HD_IMAGE_HEADER_SIZE_AT, HD_IMAGE_HEADER_BYTES);
    hd_put_le64(h + HD_IMAGE_TXID_AT, w->txid.v);
    memcpy(h + HD_IMAGE_CLUSTER_AT, cluster_id, strlen(cluster_id));
    hd_put_le32(h + HD_IMAGE_HEADER_SUM_AT, hd_crc32c(0, h, HD_IMAGE_HEADER_SUM_AT));
    return write_out(w, h, sizeof(h));
}

int hd_image_writer_new(const char *dir, const char *cluster_id, struct hd_txid txid,
                        struct hd_image_writer **ret)
{
    struct hd_image_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->txid = txid;
    hd_buf_init(&w->block, HD_IMAGE_BLOCK_MAX_BYTES);
    hd_buf_init(&w->last_key, HD_IMAGE_KEY_MAX_BYTES);
    char path[HD_IMAGE_PATH_BYTES];
    hd_image_path(dir, txid, path);
    int err = 0;
    if (snprintf(w->path, sizeof(w->path), "%s.tmp", path) >= (int)sizeof(w->path)) {
        err = hd_fail(-ENAMETOOLONG, "%s.tmp", path);
    }
    w->fd = err < 0 ? -1 : hd_io_open(w->path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (err == 0 && w->fd < 0) {
        err = hd_fail_errno(errno, "%s", w->path);
    }
    if (err == 0) {
        err = write_header(w, cluster_id);
    }
    if (err == 0) {
        err = start_block(w);
    }
    if (err < 0) {
        hd_image_writer_free(w);
        return err;
    }
    *ret = w;
    return 0;
}

static int flush_block(struct hd_image_writer *w)
{
    uint8_t *p = w->block.data;
    size_t payload = w->block.size - HD_IMAGE_BLOCK_HEADER_BYTES;
    if (payload == 0) {
        return 0;
    }
    hd_put_le32(p, (uint32_t)payload);
    hd_put_le32(p + 4, w->entries);
    hd_put_le32(p + 8, hd_crc32c(0, p + HD_IMAGE_BLOCK_HEADER_BYTES, payload));
    int err = write_out(w, p, w->block.size);
    return err < 0 ? err : start_block(w);
}

int hd_image_writer_add(struct hd_image_writer *w, const void *key, size_t key_size,
                        const void *value, size_t value_size)
{
    int order =
        w->keys == 0 ? -1 : memcmp(w->last_key.data, key, HD_MIN(w->last_key.size, key_size));
    hd_assert(order < 0 || (order == 0 && w->last_key.size < key_size));
    hd_buf_clear(&w->last_key);
    int err = hd_buf_add(&w->last_key, key, key_size);
    if (err == 0) {
        err = hd_buf_add_varint(&w->block, key_size);
    }
    if (err == 0) {
        err = hd_buf_add(&w->block, key, key_size);
    }
    if (err == 0) {
        err = hd_buf_add_varint(&w->block, value_size);
    }
    if (err == 0) {
        err = hd_buf_add(&w->block, value, value_size);
    }
    if (err < 0) {
        return hd_fail(err, "%s: key of %zu bytes, value of %zu bytes", w->path, key_size,
                       value_size);
    }
    w->keys++;
    w->entries++;
    return w->block.size >= HD_IMAGE_BLOCK_TARGET_BYTES ? flush_block(w) : 0;
}

int hd_image_writer_finish(struct hd_image_writer *w)
{
    int err = flush_block(w);
    if (err < 0) {
        return err;
    }
    uint8_t f[HD_IMAGE_FOOTER_BYTES] = {0};
    hd_put_le32(f + 4, HD_IMAGE_FOOTER_MAGIC);
    hd_put_le64(f + 8, w->keys);
    hd_put_le64(f + 16, w->txid.v);
    hd_put_le32(f + HD_IMAGE_FOOTER_SUM_AT, hd_crc32c(0, f, HD_IMAGE_FOOTER_SUM_AT));
    err = write_out(w, f, sizeof(f));
    if (err == 0 && hd_io_fsync(w->fd) < 0) {
        err = hd_fail_errno(errno, "%s: fsync", w->path);
    }
    w->finished = err == 0;
    return err;
}

const char *hd_image_writer_path(const struct hd_image_writer *w)
{
    return w->path;
}

void hd_image_writer_free(struct hd_image_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->fd >= 0 && !w->finished) {
        hd_io_unlink(w->path);
    }
    hd_fd_done(&w->fd);
    hd_buf_done(&w->block);
    hd_buf_done(&w->last_key);
    free(w);
}
