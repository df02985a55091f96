/* Changing replicas in place. See patch.h. */
#include "fs/data/store/patch.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { STEP_BYTES = 1 << 20 };

void hd_patch_done(struct hd_patch *p)
{
    free(p->scratch);
    p->scratch = NULL;
    p->scratch_bytes = 0;
}

static int reserve(struct hd_patch *p, size_t bytes)
{
    if (bytes > p->scratch_bytes) {
        uint8_t *more = realloc(p->scratch, bytes);
        if (more == NULL) {
            return -ENOMEM;
        }
        p->scratch = more;
        p->scratch_bytes = bytes;
    }
    return 0;
}

uint64_t hd_patch_sums_count(uint64_t offset, uint32_t size, uint32_t bytes_per_checksum)
{
    return size == 0 ? 0 : hd_chunk_count(offset % bytes_per_checksum + size, bytes_per_checksum);
}

/* From here on bytes and sums of the range may differ, until done_with says they agree. */
static void begin_change(struct hd_patch *p, uint64_t from, uint64_t to)
{
    p->torn_from = p->torn ? HD_MIN(p->torn_from, from) : from;
    p->torn_to = p->torn ? HD_MAX(p->torn_to, to) : to;
    p->torn = true;
}

/* --- one run of bytes --- */

/* A run, cut into the part of a first chunk, whole chunks, and the part of a last one. */
struct run {
    uint64_t offset;
    const uint8_t *data;
    uint32_t size;
    const uint8_t *sums; /* one for each chunk; NULL: none came */
    uint32_t head_bytes; /* 0: it begins with a chunk, or the first is whole as it is */
    uint32_t tail_bytes; /* 0: it ends with one */
};

/* Does the piece cover every byte that the chunk has? Then its sum is the chunk's. */
static bool is_whole(const struct hd_patch *p, uint64_t offset, uint32_t size)
{
    uint32_t chunk = p->format.bytes_per_checksum;
    return offset % chunk == 0 && (size == chunk || offset + size >= p->size_bytes);
}

static struct run make_run(const struct hd_patch *p, uint64_t offset, const uint8_t *data,
                           uint32_t size, const uint8_t *sums)
{
    uint32_t chunk = p->format.bytes_per_checksum;
    uint32_t first = HD_MIN(size, chunk - (uint32_t)(offset % chunk));
    uint32_t last = (uint32_t)((offset + size) % chunk);
    struct run r = {.offset = offset, .data = data, .size = size, .sums = sums};
    if (!is_whole(p, offset, first)) {
        r.head_bytes = first;
    }
    if (size > first && last != 0 && !is_whole(p, offset + size - last, last)) {
        r.tail_bytes = last;
    }
    return r;
}

static int compare(const struct hd_patch *p, const struct run *r, uint32_t at, uint32_t size)
{
    uint32_t chunk = p->format.bytes_per_checksum;
    uint64_t index = (r->offset % chunk + at) / chunk;
    if (r->sums == NULL || p->format.type == HD_CHECKSUM_NULL || size == 0 ||
        hd_checksum_verify(p->format.type, chunk, r->data + at, size,
                           r->sums + index * HD_SUM_BYTES) < 0) {
        return 0;
    }
    return hd_fail(-HD_E_CHECKSUM, "bytes at %" PRIu64 " do not match the sums that came with them",
                   r->offset + at);
}

/* What will be merged is verified by us, the rest only when asked to. */
static int verify_run(const struct hd_patch *p, const struct run *r, bool all)
{
    uint32_t middle = r->size - r->head_bytes - r->tail_bytes;
    int err = compare(p, r, 0, r->head_bytes);
    if (err == 0 && all) {
        err = compare(p, r, r->head_bytes, middle);
    }
    return err < 0 ? err : compare(p, r, r->head_bytes + middle, r->tail_bytes);
}

/* Reads the chunk that holds `offset` into `out` and compares it with its stored sum. */
static int read_chunk(struct hd_patch *p, uint64_t offset, uint8_t *out, uint32_t *ret_bytes)
{
    uint32_t chunk = p->format.bytes_per_checksum;
    uint64_t start = offset - offset % chunk;
    uint32_t have =
        start >= p->size_bytes ? 0 : (uint32_t)HD_MIN(p->size_bytes - start, (uint64_t)chunk);
    uint8_t stored[HD_SUM_BYTES];
    *ret_bytes = have;
    if (have == 0) {
        return 0;
    }
    int err = hd_fd_pread(p->data_fd, out, have, start);
    if (err == 0) {
        err =
            hd_fd_pread(p->meta_fd, stored, sizeof(stored), hd_meta_file_offset(p->format, start));
    }
    if (err == 0 && hd_get_be32(stored) != hd_checksum(p->format.type, out, have)) {
        err =
            hd_fail(-HD_E_IO, "checksum differs at byte %" PRIu64 " of the stored replica", start);
    }
    return err;
}

/* The sum of a chunk of which `size` bytes at `offset` become those of `data`. */
static int merge_sum(struct hd_patch *p, uint64_t offset, const uint8_t *data, uint32_t size,
                     uint8_t *chunk, uint8_t out[HD_SUM_BYTES])
{
    uint32_t into = (uint32_t)(offset % p->format.bytes_per_checksum);
    uint32_t have;
    int err = read_chunk(p, offset, chunk, &have);
    if (err < 0) {
        return err;
    }
    memcpy(chunk + into, data, size);
    hd_put_be32(out, hd_checksum(p->format.type, chunk, HD_MAX(have, into + size)));
    return 0;
}

/* All sums of the run as they will be stored, in `out`. */
static int make_sums(struct hd_patch *p, const struct run *r, uint8_t *chunk, uint8_t *out)
{
    uint32_t middle = r->size - r->head_bytes - r->tail_bytes;
    const uint8_t *sums = r->sums;
    int err = 0;
    if (r->head_bytes > 0) {
        err = merge_sum(p, r->offset, r->data, r->head_bytes, chunk, out);
        out += HD_SUM_BYTES;
        sums = sums != NULL ? sums + HD_SUM_BYTES : NULL;
    }
    size_t bytes = hd_chunk_count(middle, p->format.bytes_per_checksum) * HD_SUM_BYTES;
    if (err == 0 && middle > 0 && sums != NULL) {
        memcpy(out, sums, bytes);
    } else if (err == 0 && middle > 0) {
        hd_checksum_chunks(p->format.type, p->format.bytes_per_checksum, r->data + r->head_bytes,
                           middle, out);
    }
    out += bytes;
    if (err == 0 && r->tail_bytes > 0) {
        uint32_t at = r->size - r->tail_bytes;
        err = merge_sum(p, r->offset + at, r->data + at, r->tail_bytes, chunk, out);
    }
    return err;
}

int hd_patch_write(struct hd_patch *p, uint64_t offset, const uint8_t *data, uint32_t size,
                   const uint8_t *sums, bool verify)
{
    struct run r = make_run(p, offset, data, size, sums);
    bool summed = p->format.type != HD_CHECKSUM_NULL;
    const uint8_t *stored = sums;
    size_t sums_bytes =
        hd_patch_sums_count(offset, size, p->format.bytes_per_checksum) * HD_SUM_BYTES;
    int err = verify_run(p, &r, verify);
    if (err == 0 && summed && (r.head_bytes > 0 || r.tail_bytes > 0 || sums == NULL)) {
        err = reserve(p, p->format.bytes_per_checksum + sums_bytes);
        if (err == 0) {
            uint8_t *made = p->scratch + p->format.bytes_per_checksum;
            stored = made;
            err = make_sums(p, &r, p->scratch, made);
        }
    }
    if (err < 0 || size == 0) {
        return err;
    }
    bool torn = p->torn;
    begin_change(p, offset, offset + size);
    err = hd_fd_pwrite(p->data_fd, data, size, offset);
    if (err == 0 && summed) {
        err = hd_fd_pwrite(p->meta_fd, stored, sums_bytes, hd_meta_file_offset(p->format, offset));
    }
    if (err == 0) {
        p->torn = torn;
        p->size_bytes = HD_MAX(p->size_bytes, offset + size);
    }
    return err;
}

/* --- length --- */

int hd_patch_mend(struct hd_patch *p, uint64_t from, uint64_t to)
{
    uint32_t chunk = p->format.bytes_per_checksum;
    size_t step = HD_MAX((size_t)STEP_BYTES / chunk * chunk, (size_t)chunk);
    size_t sums_room = step / chunk * HD_SUM_BYTES;
    from -= from % chunk;
    to = HD_MIN(to, p->size_bytes);
    if (p->format.type == HD_CHECKSUM_NULL || from >= to) {
        return 0;
    }
    uint64_t past = to % chunk;
    to = past == 0 ? to : HD_MIN(to - past + chunk, p->size_bytes);
    int err = reserve(p, step + sums_room);
    for (uint64_t at = from; err == 0 && at < to; at += step) {
        size_t n = (size_t)HD_MIN((uint64_t)step, to - at);
        err = hd_fd_pread(p->data_fd, p->scratch, n, at);
        if (err == 0) {
            uint8_t *sums = p->scratch + step;
            hd_checksum_chunks(p->format.type, chunk, p->scratch, n, sums);
            err = hd_fd_pwrite(p->meta_fd, sums, hd_chunk_count(n, chunk) * HD_SUM_BYTES,
                               hd_meta_file_offset(p->format, at));
        }
    }
    return err;
}

/* The chunk that a new end cuts, or that zeros fill up, is summed anew: it must be right before. */
static int check_end_chunk(struct hd_patch *p, uint64_t end_bytes)
{
    uint32_t have;
    if (p->format.type == HD_CHECKSUM_NULL || end_bytes % p->format.bytes_per_checksum == 0) {
        return 0;
    }
    int err = reserve(p, p->format.bytes_per_checksum);
    return err < 0 ? err : read_chunk(p, end_bytes, p->scratch, &have);
}

int hd_patch_resize(struct hd_patch *p, uint64_t size_bytes)
{
    uint64_t old = p->size_bytes;
    uint64_t shorter = HD_MIN(old, size_bytes);
    if (old == size_bytes) {
        return 0;
    }
    int err = check_end_chunk(p, shorter);
    if (err < 0) {
        return err;
    }
    bool torn = p->torn;
    uint64_t from = shorter - shorter % p->format.bytes_per_checksum;
    begin_change(p, from, size_bytes);
    if (hd_io_ftruncate(p->data_fd, (off_t)size_bytes) < 0) {
        return hd_fail_errno(errno, "truncate to %" PRIu64, size_bytes);
    }
    p->size_bytes = size_bytes;
    err = hd_patch_mend(p, from, size_bytes > old ? size_bytes : shorter);
    if (err == 0 &&
        hd_io_ftruncate(p->meta_fd, (off_t)hd_meta_file_size(p->format, size_bytes)) < 0) {
        err = hd_fail_errno(errno, "truncate of sums");
    }
    if (err == 0) {
        p->torn = torn;
    }
    return err;
}
