/*
 * Operations on the two files of a replica. See store_internal.h.
 *
 * The data file says which place a replica is in: it is renamed first. A crash between the two
 * renames leaves the sums in the other place, where loading looks for them.
 */
#include "fs/data/core/span.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    SCAN_BYTES = 1 << 20,
    RENEW_BYTES = 1 << 30,
    TORN_CHUNK_BYTES_MAX = 4096, /* greater chunks are not searched: it is quadratic */
};

static bool is_durable(const struct hd_layout *l, unsigned folder)
{
    return l->folders != NULL &&
           (atomic_load(&l->folders->durable[folder / 64]) >> folder % 64 & 1) != 0;
}

static void set_durable(const struct hd_layout *l, unsigned folder, bool durable)
{
    uint64_t bit = (uint64_t)1 << folder % 64;
    if (l->folders != NULL && durable) {
        atomic_fetch_or(&l->folders->durable[folder / 64], bit);
    } else if (l->folders != NULL) {
        atomic_fetch_and(&l->folders->durable[folder / 64], ~bit);
    }
}

static int move_file(const struct hd_layout *l, struct hd_block_id id, const char *from,
                     const char *to, const char *to_dir)
{
    if (hd_io_rename(from, to) == 0) {
        return 0;
    }
    if (errno == ENOENT && access(to_dir, F_OK) < 0) { /* a finalized subdirectory's first block */
        set_durable(l, hd_layout_folder(id), false);
        int err = hd_dir_make(to_dir, 0755);
        if (err < 0) {
            return err;
        }
        if (hd_io_rename(from, to) == 0) {
            return 0;
        }
    }
    return hd_fail_errno(errno, "%s: rename to %s", from, to);
}

int hd_files_sync_names(const struct hd_layout *l, struct hd_block_id id, enum hd_place place)
{
    char dir[HD_LAYOUT_PATH_BYTES];
    hd_layout_dir(l, place, id, dir);
    int err = hd_dir_sync(dir);
    unsigned folder = hd_layout_folder(id);
    bool known = place != HD_PLACE_FINALIZED || is_durable(l, folder);
    int above = known ? 0 : 2; /* these may be new themselves */
    for (int i = 0; i < above && err == 0; i++) {
        *strrchr(dir, '/') = '\0';
        err = hd_dir_sync(dir);
    }
    if (err == 0 && !known) {
        set_durable(l, folder, true);
    }
    return err;
}

int hd_files_move(const struct hd_layout *l, const struct hd_replica *r, enum hd_place from,
                  enum hd_place to, struct hd_genstamp new_gs)
{
    char source[HD_LAYOUT_PATH_BYTES];
    char target[HD_LAYOUT_PATH_BYTES];
    char dir[HD_LAYOUT_PATH_BYTES];
    int err = 0;
    hd_layout_dir(l, to, r->id, dir);
    if (from != to) {
        hd_layout_data(l, from, r->id, source);
        hd_layout_data(l, to, r->id, target);
        err = move_file(l, r->id, source, target, dir);
    }
    if (err == 0 && (from != to || r->gs.v != new_gs.v)) {
        hd_layout_meta(l, from, r->id, r->gs, source);
        hd_layout_meta(l, to, r->id, new_gs, target);
        err = move_file(l, r->id, source, target, dir);
    }
    return err;
}

int hd_files_unlink(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place)
{
    char path[HD_LAYOUT_PATH_BYTES];
    int err = 0;
    hd_layout_data(l, place, r->id, path);
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        err = hd_fail_errno(errno, "%s: unlink", path);
    }
    hd_layout_meta(l, place, r->id, r->gs, path);
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        err = hd_fail_errno(errno, "%s: unlink", path);
    }
    return err;
}

int hd_files_open(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place,
                  int flags, int *ret_data_fd, int *ret_meta_fd)
{
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_data(l, place, r->id, path);
    HD_AUTO(hd_fd_done) int data_fd = hd_io_open(path, flags | O_CLOEXEC, 0644);
    if (data_fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    hd_layout_meta(l, place, r->id, r->gs, path);
    int meta_fd = hd_io_open(path, flags | O_CLOEXEC, 0644);
    if (meta_fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    *ret_data_fd = data_fd;
    *ret_meta_fd = meta_fd;
    data_fd = -1;
    return 0;
}

/* Shares the blocks where the file system can. */
static int clone_bytes(int from_fd, int to_fd)
{
    if (ioctl(to_fd, FICLONE, from_fd) == 0) {
        return 0;
    }
    loff_t in = 0;
    ssize_t n;
    do {
        n = copy_file_range(from_fd, &in, to_fd, NULL, RENEW_BYTES, 0);
    } while (n > 0 || (n < 0 && errno == EINTR));
    return n == 0 ? 0 : hd_fail_errno(errno, "copy of a replica");
}

static int renew_file(const char *path, const char *copy, bool durable)
{
    HD_AUTO(hd_fd_done) int from = hd_io_open(path, O_RDONLY | O_CLOEXEC, 0);
    HD_AUTO(hd_fd_done)
    int to = from < 0 ? -1 : hd_io_open(copy, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (to < 0) {
        return hd_fail_errno(errno, "%s", from < 0 ? path : copy);
    }
    int err = clone_bytes(from, to);
    if (err == 0 && durable && hd_io_fdatasync(to) < 0) {
        err = hd_fail_errno(errno, "%s: fdatasync", copy);
    }
    return err;
}

int hd_files_renew(const struct hd_layout *l, const struct hd_replica *r, enum hd_place place,
                   bool durable)
{
    char path[2][HD_LAYOUT_PATH_BYTES];
    char copy[2][HD_LAYOUT_PATH_BYTES];
    int err = 0;
    hd_layout_data(l, place, r->id, path[0]);
    hd_layout_meta(l, place, r->id, r->gs, path[1]);
    hd_layout_data(l, HD_PLACE_TMP, r->id, copy[0]);
    hd_layout_meta(l, HD_PLACE_TMP, r->id, r->gs, copy[1]);
    for (int i = 0; i < 2 && err == 0; i++) {
        err = renew_file(path[i], copy[i], durable);
    }
    for (int i = 0; i < 2 && err == 0; i++) {
        if (hd_io_rename(copy[i], path[i]) < 0) {
            err = hd_fail_errno(errno, "%s: rename to %s", copy[i], path[i]);
        }
    }
    for (int i = 0; i < 2 && err < 0; i++) {
        unlink(copy[i]);
    }
    return err;
}

/* Reads a chunk of `size` bytes and compares it with its stored sum. */
static int check_chunk(int data_fd, int meta_fd, struct hd_sum_format f, uint64_t start,
                       uint32_t size, uint8_t *chunk)
{
    uint8_t stored[HD_SUM_BYTES];
    int err = hd_fd_pread(data_fd, chunk, size, start);
    if (err == 0) {
        err = hd_fd_pread(meta_fd, stored, sizeof(stored), hd_meta_file_offset(f, start));
    }
    if (err < 0) {
        return err;
    }
    uint32_t computed = hd_checksum(f.type, chunk, size);
    if (computed != hd_get_be32(stored)) {
        return hd_fail(-HD_E_CHECKSUM, "checksum differs at byte %llu (stored %08x, computed %08x)",
                       (unsigned long long)start, hd_get_be32(stored), computed);
    }
    return 0;
}

/* The sum of the chunk that becomes the short last one. */
static int cut_last_sum(int data_fd, int meta_fd, struct hd_sum_format f, uint64_t size_bytes,
                        uint64_t keep_bytes)
{
    uint32_t into = (uint32_t)(keep_bytes % f.bytes_per_checksum);
    uint64_t start = keep_bytes - into;
    uint8_t *chunk = malloc(f.bytes_per_checksum);
    if (chunk == NULL) {
        return -ENOMEM;
    }
    uint32_t stored_bytes = (uint32_t)HD_MIN(size_bytes - start, (uint64_t)f.bytes_per_checksum);
    int err = check_chunk(data_fd, meta_fd, f, start, stored_bytes, chunk);
    if (err == 0) {
        uint8_t sum[HD_SUM_BYTES];
        hd_put_be32(sum, hd_checksum(f.type, chunk, into));
        err = hd_fd_pwrite(meta_fd, sum, sizeof(sum), hd_meta_file_offset(f, start));
    }
    free(chunk);
    return err;
}

/* What a write left behind that failed half-way: it does not count, and has to go. */
static int cut_tails(int data_fd, int meta_fd, struct hd_sum_format f, uint64_t keep_bytes)
{
    struct stat data;
    struct stat sums;
    uint64_t sums_bytes = hd_meta_file_size(f, keep_bytes);
    if (fstat(data_fd, &data) < 0 || fstat(meta_fd, &sums) < 0 ||
        ((uint64_t)data.st_size > keep_bytes && ftruncate(data_fd, (off_t)keep_bytes) < 0) ||
        ((uint64_t)sums.st_size > sums_bytes && ftruncate(meta_fd, (off_t)sums_bytes) < 0)) {
        return hd_fail_errno(errno, "truncate to %llu", (unsigned long long)keep_bytes);
    }
    return 0;
}

int hd_files_cut(int data_fd, int meta_fd, struct hd_sum_format f, uint64_t size_bytes,
                 uint64_t keep_bytes)
{
    if (keep_bytes == size_bytes) {
        return cut_tails(data_fd, meta_fd, f, keep_bytes);
    }
    if (keep_bytes % f.bytes_per_checksum != 0 && f.type != HD_CHECKSUM_NULL) {
        int err = cut_last_sum(data_fd, meta_fd, f, size_bytes, keep_bytes);
        if (err == 0 &&
            hd_io_fdatasync(meta_fd) < 0) { /* a sum of bytes that are gone is of no use */
            err = hd_fail_errno(errno, "fdatasync of sums");
        }
        if (err < 0) {
            return err;
        }
    }
    if (hd_io_ftruncate(data_fd, (off_t)keep_bytes) < 0 ||
        hd_io_ftruncate(meta_fd, (off_t)hd_meta_file_size(f, keep_bytes)) < 0) {
        return hd_fail_errno(errno, "truncate to %llu", (unsigned long long)keep_bytes);
    }
    return 0;
}

/*
 * How much of a chunk its sum covers: all bytes of the chunk may be there already when a crash came
 * before its new sum.
 */
static size_t covered_bytes(struct hd_sum_format f, const uint8_t *chunk, size_t size,
                            const uint8_t stored[HD_SUM_BYTES])
{
    size_t n = f.bytes_per_checksum <= TORN_CHUNK_BYTES_MAX ? size : 0;
    while (n > 0 && hd_checksum(f.type, chunk, (uint32_t)n) != hd_get_be32(stored)) {
        n--;
    }
    return n;
}

int hd_files_verified_prefix(int data_fd, int meta_fd, uint64_t data_bytes, uint64_t *ret_bytes)
{
    struct hd_sum_format f;
    *ret_bytes = 0;
    if (hd_meta_file_read_header(meta_fd, &f) < 0) {
        return 0; /* not even the header was written: nothing of it counts */
    }
    if (f.type == HD_CHECKSUM_NULL) {
        *ret_bytes = data_bytes;
        return 0;
    }
    size_t step = SCAN_BYTES / f.bytes_per_checksum * f.bytes_per_checksum;
    step = HD_MAX(step, (size_t)f.bytes_per_checksum);
    uint8_t *data = malloc(step);
    uint8_t *sums = malloc(hd_chunk_count(step, f.bytes_per_checksum) * HD_SUM_BYTES);
    int err = data == NULL || sums == NULL ? -ENOMEM : 0;
    for (uint64_t at = 0; err == 0 && at < data_bytes; at += step) {
        size_t n = (size_t)HD_MIN((uint64_t)step, data_bytes - at);
        size_t sums_bytes = hd_chunk_count(n, f.bytes_per_checksum) * HD_SUM_BYTES;
        err = hd_fd_pread(data_fd, data, n, at);
        ssize_t got = hd_io_pread(meta_fd, sums, sums_bytes, (off_t)hd_meta_file_offset(f, at));
        if (err < 0 || got < 0) {
            err = err < 0 ? err : hd_fail_errno(errno, "read of sums");
            break;
        }
        /* Chunks without a sum do not count. */
        n = HD_MIN(n, (size_t)got / HD_SUM_BYTES * f.bytes_per_checksum);
        int64_t bad = hd_checksum_verify(f.type, f.bytes_per_checksum, data, n, sums);
        *ret_bytes = at + n;
        if (bad >= 0) {
            size_t start = (size_t)bad * f.bytes_per_checksum;
            size_t chunk_bytes = HD_MIN(n - start, (size_t)f.bytes_per_checksum);
            *ret_bytes =
                at + start + covered_bytes(f, data + start, chunk_bytes, sums + bad * HD_SUM_BYTES);
        }
        if (bad >= 0 || (size_t)got < sums_bytes) {
            break;
        }
    }
    free(data);
    free(sums);
    return err;
}
