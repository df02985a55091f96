/* Dirty logs on disk. See dirty_log.h. */
#include "fs/data/store/dirty_log.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

/* How far ahead of somebody who writes on and on. */
enum { AHEAD_BYTES_MAX = 16 * HD_DIRTY_REGION_BYTES };

struct hd_dirty_log *hd_dirty_log_new(const struct hd_dirty_header *header)
{
    struct hd_dirty_log *log = calloc(1, sizeof(*log));
    if (log != NULL) {
        *log = (struct hd_dirty_log){.header = *header, .fd = -1, .ahead_at = UINT64_MAX};
    }
    return log;
}

void hd_dirty_log_free(struct hd_dirty_log *log)
{
    if (log == NULL) {
        return;
    }
    hd_dirty_log_close(log);
    hd_dirty_done(&log->dirty);
    free(log);
}

void hd_dirty_log_close(struct hd_dirty_log *log)
{
    if (log != NULL) {
        hd_fd_done(&log->fd);
    }
}

/* --- reading --- */

static int take_as_all(struct hd_dirty_log *log, uint64_t size_bytes, bool *ret_damaged)
{
    *ret_damaged = true;
    log->other_boot = true;
    int err = hd_dirty_add(&log->dirty, 0, size_bytes);
    return HD_MIN(err, 0);
}

int hd_dirty_log_read(const struct hd_layout *l, struct hd_block_id id,
                      const uint8_t boot_id[HD_BOOT_ID_BYTES], uint64_t size_bytes,
                      struct hd_dirty_log **ret, bool *ret_damaged)
{
    char path[HD_LAYOUT_PATH_BYTES];
    struct hd_buf bytes = {0};
    hd_layout_dirty(l, id, path);
    *ret_damaged = false;
    int err = hd_file_read(path, HD_DIRTY_FILE_BYTES_MAX, &bytes);
    if (err < 0 && err != -HD_E_TOO_LARGE) {
        hd_buf_done(&bytes);
        return err;
    }
    struct hd_dirty_header header = {.id = id};
    struct hd_dirty_log *log = hd_dirty_log_new(&header);
    if (log == NULL) {
        hd_buf_done(&bytes);
        return -ENOMEM;
    }
    if (err == 0) {
        err = hd_dirty_decode(bytes.data, bytes.size, id, &log->header, &log->dirty);
    }
    hd_buf_done(&bytes);
    if (err == -HD_E_TOO_LARGE || err == -HD_E_CORRUPT) {
        err = take_as_all(log, size_bytes, ret_damaged);
    } else {
        log->other_boot = memcmp(log->header.boot_id, boot_id, HD_BOOT_ID_BYTES) != 0;
    }
    if (err < 0) {
        hd_dirty_log_free(log);
        return err;
    }
    *ret = log;
    return 0;
}

/* --- writing --- */

/* The folder comes with the first log of a directory. */
static int create_file(const struct hd_layout *l, struct hd_dirty_log *log, const char *path)
{
    char dir[HD_LAYOUT_PATH_BYTES];
    hd_layout_dirty_dir(l, dir);
    log->fd = hd_io_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (log->fd < 0 && errno == ENOENT) {
        int err = hd_dir_make(dir, 0755);
        err = err < 0 ? err : hd_dir_sync_parent(dir);
        if (err < 0) {
            return err;
        }
        log->fd = hd_io_open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    }
    if (log->fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    return hd_dir_sync(dir);
}

/* All of it, in place: one that is torn by a power cut is known by its checksum. */
static int save(const struct hd_layout *l, struct hd_dirty_log *log)
{
    char path[HD_LAYOUT_PATH_BYTES];
    struct hd_buf bytes = {0};
    hd_layout_dirty(l, log->header.id, path);
    int err = hd_dirty_encode(&log->header, &log->dirty, &bytes);
    if (err == 0 && log->fd < 0) {
        err = create_file(l, log, path);
    }
    if (err == 0) {
        err = hd_fd_pwrite(log->fd, bytes.data, bytes.size, 0);
    }
    if (err == 0 && hd_io_fdatasync(log->fd) < 0) {
        err = hd_fail_errno(errno, "%s: fdatasync", path);
    }
    hd_buf_done(&bytes);
    log->unsaved = err < 0;
    return err;
}

int hd_dirty_log_add(const struct hd_layout *l, struct hd_dirty_log *log, uint64_t from,
                     uint64_t to)
{
    if (!log->unsaved && hd_dirty_has(&log->dirty, from, to)) {
        return 0;
    }
    bool writes_on = from / HD_DIRTY_REGION_BYTES == log->ahead_at ||
                     (to > 0 && (to - 1) / HD_DIRTY_REGION_BYTES == log->ahead_at);
    log->ahead_bytes =
        writes_on ? HD_MIN(log->ahead_bytes * 2 + HD_DIRTY_REGION_BYTES, (uint64_t)AHEAD_BYTES_MAX)
                  : 0;
    log->unsaved = true;
    int err = hd_dirty_add(&log->dirty, from, to + log->ahead_bytes);
    if (err < 0) {
        return err;
    }
    log->ahead_at = (to + log->ahead_bytes + HD_DIRTY_REGION_BYTES - 1) / HD_DIRTY_REGION_BYTES;
    return save(l, log);
}

int hd_dirty_log_remove(const struct hd_layout *l, struct hd_block_id id)
{
    char path[HD_LAYOUT_PATH_BYTES];
    hd_layout_dirty(l, id, path);
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: unlink", path);
    }
    return 0;
}
