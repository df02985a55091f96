/* Reading one partition of a run: a source of records. See run.h. Nothing read is believed. */
#include "runner/ops/run.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <lz4.h>
#include <stdlib.h>

struct run_reader {
    struct hd_source source;
    int fd;
    bool owns_fd;
    struct hd_run_part want;
    uint64_t left; /* bytes of the range not yet read */
    uint64_t offset;
    uint64_t records;
    uint64_t hash;
    struct hd_buf stored;
    struct hd_buf raw; /* the block under way */
    size_t at;
    struct hd_buf key; /* of the newest record */
};

static int corrupt(const struct run_reader *r, const char *what)
{
    return hd_fail(-HD_E_CORRUPT, "run at offset %llu: %s", (unsigned long long)r->offset, what);
}

static int unpack(struct run_reader *r, uint32_t raw_size, uint32_t codec)
{
    if (codec == 0) {
        struct hd_buf swap = r->raw;
        r->raw = r->stored;
        r->stored = swap;
        return r->raw.size == raw_size ? 0 : corrupt(r, "sizes of a plain block differ");
    }
    hd_buf_clear(&r->raw);
    int err = hd_buf_reserve(&r->raw, raw_size);
    if (err < 0) {
        return err;
    }
    int n = LZ4_decompress_safe((const char *)r->stored.data, (char *)r->raw.data,
                                (int)r->stored.size, (int)raw_size);
    if (n < 0 || (uint32_t)n != raw_size) {
        return corrupt(r, "a block does not unpack");
    }
    r->raw.size = raw_size;
    return 0;
}

static int read_block(struct run_reader *r)
{
    uint8_t header[HD_RUN_BLOCK_HEADER_BYTES];
    if (r->left < sizeof(header)) {
        return corrupt(r, "a block header is cut");
    }
    int err = hd_fd_pread(r->fd, header, sizeof(header), r->offset);
    if (err < 0) {
        return err;
    }
    uint32_t stored_size = hd_get_le32(header);
    uint32_t raw_size = hd_get_le32(header + 4);
    uint32_t codec = hd_get_le32(header + 8);
    if (stored_size > r->left - sizeof(header) || raw_size == 0 || codec > 1 ||
        raw_size > HD_RECORD_MAX_BYTES || (codec == 1 && raw_size / 256 > stored_size)) {
        return corrupt(r, "a block header is damaged");
    }
    hd_buf_clear(&r->stored);
    err = hd_buf_reserve(&r->stored, stored_size);
    if (err == 0) {
        err = hd_fd_pread(r->fd, r->stored.data, stored_size, r->offset + sizeof(header));
    }
    if (err < 0) {
        return err;
    }
    r->stored.size = stored_size;
    if (hd_crc32c(hd_crc32c(0, header, 12), r->stored.data, stored_size) !=
        hd_get_le32(header + 12)) {
        return corrupt(r, "the checksum of a block differs");
    }
    err = unpack(r, raw_size, codec);
    if (err < 0) {
        return err;
    }
    r->offset += sizeof(header) + stored_size;
    r->left -= sizeof(header) + stored_size;
    r->at = 0;
    hd_buf_clear(&r->key);
    return 0;
}

static int take_varint(struct run_reader *r, uint64_t *ret)
{
    const uint8_t *p = r->raw.data + r->at;
    size_t left = r->raw.size - r->at;
    if (left > 0 && *p < 0x80) {
        *ret = *p;
        r->at++;
        return 0;
    }
    int n = hd_varint_decode(p, left, ret);
    if (n <= 0) {
        return corrupt(r, "a record is damaged");
    }
    r->at += (size_t)n;
    return 0;
}

static int run_next(struct hd_source *source, struct hd_record *ret)
{
    struct run_reader *r = HD_CONTAINER(source, struct run_reader, source);
    if (r->at == r->raw.size) {
        if (r->left == 0) {
            bool same = r->records == r->want.records && r->hash == r->want.hash;
            return same ? 0 : corrupt(r, "records differ from what its index promises");
        }
        int err = read_block(r);
        if (err < 0) {
            return err;
        }
    }
    uint64_t shared, rest, value_size, repeat;
    if (take_varint(r, &shared) < 0 || take_varint(r, &rest) < 0 ||
        take_varint(r, &value_size) < 0 || take_varint(r, &repeat) < 0) {
        return -HD_E_CORRUPT;
    }
    size_t left = r->raw.size - r->at;
    if (shared > r->key.size || rest > left || value_size > left - rest || repeat == 0) {
        return corrupt(r, "a record is damaged");
    }
    r->key.size = (size_t)shared;
    int err = hd_buf_add(&r->key, r->raw.data + r->at, (size_t)rest);
    if (err < 0) {
        return err;
    }
    static const uint8_t nothing[1];
    *ret = (struct hd_record){.key = r->key.data != NULL ? r->key.data : nothing,
                              .key_size = (uint32_t)r->key.size,
                              .value = r->raw.data + r->at + rest,
                              .value_size = (uint32_t)value_size,
                              .repeat = repeat};
    r->at += (size_t)(rest + value_size);
    r->records += repeat;
    r->hash += hd_record_hash(ret) * repeat;
    return 1;
}

static void run_close(struct hd_source *source)
{
    struct run_reader *r = HD_CONTAINER(source, struct run_reader, source);
    if (r->owns_fd) {
        hd_fd_done(&r->fd);
    }
    hd_buf_done(&r->stored);
    hd_buf_done(&r->raw);
    hd_buf_done(&r->key);
    free(r);
}

static int reader_new(int fd, bool owned, const struct hd_run_part *part, struct hd_source **ret)
{
    struct run_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        if (owned) {
            hd_fd_done(&fd);
        }
        return -ENOMEM;
    }
    r->source = (struct hd_source){.next = run_next, .close = run_close};
    r->fd = fd;
    r->owns_fd = owned;
    r->want = *part;
    r->left = part->size_bytes;
    r->offset = part->offset;
    *ret = &r->source;
    return 0;
}

int hd_run_reader_new(int fd, const struct hd_run_part *part, struct hd_source **ret)
{
    return reader_new(fd, false, part, ret);
}

int hd_run_reader_new_owned(int fd, const struct hd_run_part *part, struct hd_source **ret)
{
    return reader_new(fd, true, part, ret);
}
