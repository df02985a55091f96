/*
 * Reading an image of any bytes: it is refused, or its keys come in order.
 *
 * The input is cut into blocks that get good headers and sums, so that the decoder of entries sees
 * it; an input that begins with 0xff is taken as the whole file.
 */
#include "meta/log/image.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/os/file.h"
#include "meta/log/image_format.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct last {
    struct hd_buf key;
    bool any;
};

static int on_key(void *ctx, const void *key, size_t key_size, const void *value, size_t value_size)
{
    struct last *l = ctx;
    (void)value;
    (void)value_size;
    if (l->any) {
        size_t n = HD_MIN(l->key.size, key_size);
        int order = n > 0 ? memcmp(l->key.data, key, n) : 0;
        hd_assert(order < 0 || (order == 0 && l->key.size < key_size));
    }
    l->any = true;
    hd_buf_clear(&l->key);
    return hd_buf_add(&l->key, key, key_size);
}

static void build(struct hd_buf *b, const uint8_t *data, size_t size)
{
    uint8_t h[HD_IMAGE_HEADER_BYTES] = {0};
    uint64_t keys = 0;
    memcpy(h, HD_IMAGE_MAGIC, strlen(HD_IMAGE_MAGIC));
    hd_put_le32(h + HD_IMAGE_VERSION_AT, HD_IMAGE_VERSION);
    memcpy(h + HD_IMAGE_CLUSTER_AT, "CID-1", 5);
    hd_put_le32(h + HD_IMAGE_HEADER_SUM_AT, hd_crc32c(0, h, HD_IMAGE_HEADER_SUM_AT));
    (void)hd_buf_add(b, h, sizeof(h));
    while (size > 2) {
        size_t n = HD_MIN((size_t)data[0] + 1, size - 2);
        uint8_t block[HD_IMAGE_BLOCK_HEADER_BYTES];
        hd_put_le32(block, (uint32_t)n);
        hd_put_le32(block + 4, data[1]);
        hd_put_le32(block + 8, hd_crc32c(0, data + 2, n));
        (void)hd_buf_add(b, block, sizeof(block));
        (void)hd_buf_add(b, data + 2, n);
        keys += data[1];
        data += 2 + n;
        size -= 2 + n;
    }
    uint8_t f[HD_IMAGE_FOOTER_BYTES] = {0};
    hd_put_le32(f + 4, HD_IMAGE_FOOTER_MAGIC);
    hd_put_le64(f + 8, keys);
    hd_put_le32(f + HD_IMAGE_FOOTER_SUM_AT, hd_crc32c(0, f, HD_IMAGE_FOOTER_SUM_AT));
    (void)hd_buf_add(b, f, sizeof(f));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    HD_AUTO(hd_buf_done) struct hd_buf b = {0};
    struct last last = {0};
    struct hd_image_info info;
    char path[64];
    HD_AUTO(hd_fd_done) int fd = memfd_create("image", MFD_CLOEXEC);
    hd_assert(fd >= 0);
    if (size > 0 && data[0] == 0xff) {
        (void)hd_buf_add(&b, data + 1, size - 1);
    } else {
        build(&b, data, size);
    }
    hd_assert(hd_fd_write(fd, b.data, b.size) == 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    (void)hd_image_read(path, "CID-1", on_key, &last, &info);
    hd_buf_done(&last.key);
    return 0;
}
