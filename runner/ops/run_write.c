/* Writing runs. See run.h. The newest record is held back, so that equal ones can be counted. */
#include "runner/ops/run.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <lz4.h>
#include <stdlib.h>
#include <unistd.h>

enum { OUT_BYTES = 256 * 1024 };

struct hd_run_writer {
    char *path;
    int fd;
    struct hd_run_index index;
    uint32_t partition;   /* of `held` and the open block */
    uint64_t offset;      /* bytes given out, `out` included */
    struct hd_buf raw;    /* the open block */
    struct hd_buf packed; /* a block's lz4 image */
    struct hd_buf out;    /* blocks on their way to the file */
    struct hd_buf held;   /* key and value of the record that is held back */
    uint32_t held_key_size;
    uint32_t held_value_size;
    uint64_t held_repeat;   /* 0: nothing is held */
    struct hd_buf last_key; /* of the last record in `raw` */
};

int hd_run_writer_new(const char *path, uint32_t partitions, struct hd_run_writer **ret)
{
    struct hd_run_writer *w = calloc(1, sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    w->fd = -1;
    w->path = strdup(path);
    int err = w->path != NULL ? hd_run_index_init(&w->index, partitions) : -ENOMEM;
    if (err == 0) { /* so that even empty records have an address */
        err = hd_buf_reserve(&w->held, 64);
    }
    if (err == 0) {
        err = hd_buf_reserve(&w->last_key, 64);
    }
    if (err < 0) {
        goto fail;
    }
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (w->fd < 0) {
        err = hd_fail_errno(errno, "%s", path);
        goto fail;
    }
    *ret = w;
    return 0;
fail:
    hd_run_writer_abort(w);
    return err;
}

static void writer_free(struct hd_run_writer *w)
{
    hd_fd_done(&w->fd);
    hd_buf_done(&w->raw);
    hd_buf_done(&w->packed);
    hd_buf_done(&w->out);
    hd_buf_done(&w->held);
    hd_buf_done(&w->last_key);
    hd_run_index_done(&w->index);
    free(w->path);
    free(w);
}

void hd_run_writer_abort(struct hd_run_writer *w)
{
    if (w == NULL) {
        return;
    }
    if (w->fd >= 0) {
        unlink(w->path);
    }
    writer_free(w);
}

static int flush_out(struct hd_run_writer *w)
{
    int err = hd_fd_write(w->fd, w->out.data, w->out.size);
    if (err < 0) {
        return hd_fail(err, "%s: %s", w->path, hd_fail_text());
    }
    hd_buf_clear(&w->out);
    return 0;
}

static int close_block(struct hd_run_writer *w)
{
    if (w->raw.size == 0) {
        return 0;
    }
    int raw_size = (int)w->raw.size;
    int bound = LZ4_compressBound(raw_size);
    hd_buf_clear(&w->packed);
    int err = hd_buf_reserve(&w->packed, (size_t)bound);
    if (err < 0) {
        return err;
    }
    int packed =
        LZ4_compress_default((const char *)w->raw.data, (char *)w->packed.data, raw_size, bound);
    bool use_packed = packed > 0 && packed < raw_size;
    const uint8_t *stored = use_packed ? w->packed.data : w->raw.data;
    uint32_t stored_size = (uint32_t)(use_packed ? packed : raw_size);
    uint8_t header[HD_RUN_BLOCK_HEADER_BYTES];
    hd_put_le32(header, stored_size);
    hd_put_le32(header + 4, (uint32_t)raw_size);
    hd_put_le32(header + 8, use_packed);
    hd_put_le32(header + 12, hd_crc32c(hd_crc32c(0, header, 12), stored, stored_size));
    err = hd_buf_add(&w->out, header, sizeof(header));
    if (err == 0) {
        err = hd_buf_add(&w->out, stored, stored_size);
    }
    if (err < 0) {
        return err;
    }
    w->offset += sizeof(header) + stored_size;
    hd_buf_clear(&w->raw);
    hd_buf_clear(&w->last_key);
    return w->out.size >= OUT_BYTES ? flush_out(w) : 0;
}

static uint32_t shared_prefix(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    size_t n = HD_MIN(a_size, b_size);
    size_t i = 0;
    while (i < n && a[i] == b[i]) {
        i++;
    }
    return (uint32_t)i;
}

static int put_held(struct hd_run_writer *w)
{
    if (w->held_repeat == 0) {
        return 0;
    }
    struct hd_record r = {.key = w->held.data,
                          .key_size = w->held_key_size,
                          .value = w->held.data + w->held_key_size,
                          .value_size = w->held_value_size,
                          .repeat = w->held_repeat};
    struct hd_run_part *part = &w->index.parts[w->partition];
    part->records += r.repeat;
    part->raw_bytes += ((uint64_t)r.key_size + r.value_size) * r.repeat;
    part->hash += hd_record_hash(&r) * r.repeat;
    uint32_t shared =
        w->raw.size > 0 ? shared_prefix(w->last_key.data, w->last_key.size, r.key, r.key_size) : 0;
    uint32_t rest = r.key_size - shared;
    int err = hd_buf_reserve(&w->raw, 40u + (size_t)rest + r.value_size);
    if (err < 0) {
        return err;
    }
    uint8_t *p = w->raw.data + w->raw.size;
    p += hd_varint_encode(shared, p);
    p += hd_varint_encode(rest, p);
    p += hd_varint_encode(r.value_size, p);
    p += hd_varint_encode(r.repeat, p);
    memcpy(p, r.key + shared, rest);
    p += rest;
    memcpy(p, r.value, r.value_size);
    p += r.value_size;
    w->raw.size = (size_t)(p - w->raw.data);
    w->held_repeat = 0;
    hd_buf_clear(&w->last_key);
    err = hd_buf_add(&w->last_key, r.key, r.key_size);
    if (err == 0 && w->raw.size >= HD_RUN_BLOCK_BYTES) {
        err = close_block(w);
    }
    return err;
}

static int finish_partition(struct hd_run_writer *w)
{
    int err = put_held(w);
    if (err == 0) {
        err = close_block(w);
    }
    if (err == 0) {
        struct hd_run_part *part = &w->index.parts[w->partition];
        part->size_bytes = w->offset - part->offset;
    }
    return err;
}

static int go_to_partition(struct hd_run_writer *w, uint32_t partition)
{
    hd_assert(partition > w->partition && partition < w->index.count);
    int err = finish_partition(w);
    while (err == 0 && w->partition < partition) {
        w->index.parts[++w->partition].offset = w->offset;
    }
    return err;
}

static bool is_held(const struct hd_run_writer *w, const struct hd_record *r)
{
    return w->held_repeat > 0 && w->held_key_size == r->key_size &&
           w->held_value_size == r->value_size && memcmp(w->held.data, r->key, r->key_size) == 0 &&
           memcmp(w->held.data + r->key_size, r->value, r->value_size) == 0;
}

int hd_run_writer_add(struct hd_run_writer *w, uint32_t partition, const struct hd_record *r)
{
    int err = partition != w->partition ? go_to_partition(w, partition) : 0;
    if (err < 0) {
        return err;
    }
    if (is_held(w, r)) {
        w->held_repeat += r->repeat;
        return 0;
    }
    err = put_held(w);
    if (err == 0) {
        hd_buf_clear(&w->held);
        err = hd_buf_add(&w->held, r->key, r->key_size);
    }
    if (err == 0) {
        err = hd_buf_add(&w->held, r->value, r->value_size);
    }
    if (err < 0) {
        return err;
    }
    w->held_key_size = r->key_size;
    w->held_value_size = r->value_size;
    w->held_repeat = r->repeat;
    return 0;
}

int hd_run_writer_finish(struct hd_run_writer *w, struct hd_run_index *ret)
{
    int err = w->partition + 1 < w->index.count ? go_to_partition(w, w->index.count - 1) : 0;
    if (err == 0) {
        err = finish_partition(w);
    }
    if (err == 0) {
        err = flush_out(w);
    }
    if (err < 0) {
        hd_run_writer_abort(w);
        return err;
    }
    *ret = w->index;
    w->index = (struct hd_run_index){0};
    writer_free(w);
    return 0;
}
