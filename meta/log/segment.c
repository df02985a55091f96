/* Segment files: writing and reading. See segment.h. */
#include "meta/log/segment.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW_BYTES = 256 << 10 };

static int allocate(struct hd_segment_writer *w, uint64_t need)
{
    if (need <= w->allocated) {
        return 0;
    }
    uint64_t more = w->chunk > 0 ? (need - w->allocated + w->chunk - 1) / w->chunk * w->chunk : 0;
    int e = more > 0 ? hd_io_fallocate(w->fd, (off_t)w->allocated, (off_t)more) : EOPNOTSUPP;
    if (e == EOPNOTSUPP || e == EINVAL) {
        w->allocated = need; /* a file system that cannot: the write extends the file */
        return 0;
    }
    if (e != 0) {
        return hd_fail_errno(e, "%s: allocate %" PRIu64 " bytes", w->path, more);
    }
    w->allocated += more;
    return 0;
}

int hd_segment_create(struct hd_segment_writer *w, const char *path, const char *cluster_id,
                      struct hd_txid first, uint64_t chunk_bytes)
{
    *w = (struct hd_segment_writer){.fd = -1, .chunk = chunk_bytes};
    if (snprintf(w->path, sizeof(w->path), "%s", path) >= (int)sizeof(w->path)) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    w->fd = hd_io_open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (w->fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    uint8_t header[HD_SEGMENT_HEADER_BYTES];
    hd_segment_header_encode(header, cluster_id, first);
    int err = hd_segment_append(w, header, sizeof(header));
    if (err == 0 && hd_io_fsync(w->fd) < 0) {
        err = hd_fail_errno(errno, "%s: fsync", path);
    }
    if (err == 0) {
        err = hd_dir_sync_parent(path);
    }
    if (err < 0) {
        hd_segment_writer_done(w);
    }
    return err;
}

int hd_segment_append(struct hd_segment_writer *w, const void *data, size_t size)
{
    int err = allocate(w, w->size + size);
    if (err < 0) {
        return err;
    }
    err = hd_fd_pwrite(w->fd, data, size, w->size);
    if (err < 0) {
        return hd_fail(err, "%s: %s", w->path, hd_fail_describe(err));
    }
    w->size += size;
    return 0;
}

int hd_segment_settle(const char *path)
{
    HD_AUTO(hd_fd_done) int fd = hd_io_open(path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0 || hd_io_fdatasync(fd) < 0) {
        return hd_fail_errno(errno, "%s: fdatasync", path);
    }
    int e = posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    return e == 0 ? 0 : hd_fail_errno(e, "%s: posix_fadvise", path);
}

int hd_segment_sync(struct hd_segment_writer *w)
{
    return hd_io_fdatasync(w->fd) < 0 ? hd_fail_errno(errno, "%s: fdatasync", w->path) : 0;
}

void hd_segment_sync_begin(struct hd_segment_writer *w)
{
    if (w->fd >= 0) {
        (void)sync_file_range(w->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* hd_segment_sync has the say */
    }
}

int hd_segment_finish(struct hd_segment_writer *w)
{
    int err = 0;
    if (hd_io_ftruncate(w->fd, (off_t)w->size) < 0 || hd_io_fsync(w->fd) < 0) {
        err = hd_fail_errno(errno, "%s: truncate and fsync", w->path);
    }
    hd_segment_writer_done(w);
    return err;
}

void hd_segment_writer_done(struct hd_segment_writer *w)
{
    hd_fd_done(&w->fd);
}

int hd_segment_reader_open(struct hd_segment_reader *r, const char *path, const char *cluster_id,
                           struct hd_txid first)
{
    *r = (struct hd_segment_reader){.fd = -1, .next = first, .offset = HD_SEGMENT_HEADER_BYTES};
    hd_buf_init(&r->window, HD_RECORD_FRAME_BYTES + HD_RECORD_MAX_BYTES + WINDOW_BYTES);
    snprintf(r->path, sizeof(r->path), "%s", path);
    struct stat st;
    r->fd = hd_io_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (r->fd < 0 || fstat(r->fd, &st) < 0) {
        int err = hd_fail_errno(errno, "%s", path);
        hd_segment_reader_done(r);
        return err;
    }
    r->size = (uint64_t)st.st_size;
    uint8_t header[HD_SEGMENT_HEADER_BYTES];
    int err = r->size < sizeof(header)
                  ? hd_fail(-HD_E_CORRUPT, "ends at %" PRIu64 ", inside its header", r->size)
                  : hd_fd_pread(r->fd, header, sizeof(header), 0);
    if (err == 0) {
        err = hd_segment_header_check(header, cluster_id, first);
    }
    if (err < 0) {
        hd_fail(err, "%s: %s", path, hd_fail_describe(err));
        hd_segment_reader_done(r);
    }
    return err;
}

void hd_segment_reader_done(struct hd_segment_reader *r)
{
    hd_fd_done(&r->fd);
    hd_buf_done(&r->window);
}

/* Makes the window hold `want` bytes at r->offset, or all up to the end of the file. */
static int fill(struct hd_segment_reader *r, size_t want)
{
    uint64_t skip = r->offset - r->window_offset;
    if (skip > r->window.size) {
        hd_buf_clear(&r->window);
        r->window_offset = r->offset;
        skip = 0;
    }
    uint64_t left = r->size - r->offset;
    size_t have = r->window.size - (size_t)skip;
    if (have >= want || have >= left) {
        return 0;
    }
    hd_buf_consume(&r->window, (size_t)skip);
    r->window_offset = r->offset;
    size_t more = (size_t)HD_MIN((uint64_t)HD_MAX(want, WINDOW_BYTES), left) - have;
    int err = hd_buf_reserve(&r->window, more);
    if (err == 0) {
        err = hd_fd_pread(r->fd, r->window.data + have, more, r->offset + have);
    }
    if (err < 0) {
        return hd_fail(err, "%s: offset %" PRIu64 ": %s", r->path, r->offset,
                       hd_fail_describe(err));
    }
    r->window.size += more;
    return 0;
}

int hd_segment_reader_next(struct hd_segment_reader *r, struct hd_record *ret)
{
    size_t want = HD_RECORD_HEADER_BYTES;
    size_t bytes = 0;
    for (;;) {
        int err = fill(r, want);
        if (err < 0) {
            return err;
        }
        size_t skip = (size_t)(r->offset - r->window_offset);
        size_t have = r->window.size - skip;
        if (have == 0) {
            r->end = HD_RECORD_GOOD;
            return 0;
        }
        r->end = hd_record_decode(r->window.data + skip, have, ret, &bytes);
        if (r->end != HD_RECORD_SHORT || bytes <= want || have < want) {
            break;
        }
        want = bytes; /* the header is good: now the whole frame */
    }
    if (r->end != HD_RECORD_GOOD) {
        return 0;
    }
    if (ret->txid.v != r->next.v) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: offset %" PRIu64 ": the record has txid %" PRIu64 ", expected %" PRIu64,
                       r->path, r->offset, ret->txid.v, r->next.v);
    }
    r->next.v++;
    r->offset += bytes;
    return 1;
}

int hd_segment_end_check(const struct hd_segment_reader *r, struct hd_txid last)
{
    if (r->end != HD_RECORD_GOOD || r->offset != r->size) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: offset %" PRIu64 ": no good record where txid %" PRIu64
                       " should be; take it from another copy of the log (howdah admin edits "
                       "repair DIR OTHER), or promote the secondary",
                       r->path, r->offset, r->next.v);
    }
    if (r->next.v != last.v + 1) {
        return hd_fail(-HD_E_CORRUPT, "%s: ends with txid %" PRIu64 ", its name says %" PRIu64,
                       r->path, r->next.v - 1, last.v);
    }
    return 0;
}
