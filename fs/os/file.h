/*
 * Files: whole reads and writes, durable replacement, directories. Every function returns 0 (or a
 * count) or a negative errno and leaves a failure text that names the path.
 */
#ifndef HD_OS_FILE_H
#define HD_OS_FILE_H

#include "fs/base/buf.h"

#include <sys/types.h>

/* Closes *fd if it is not -1 and sets it to -1. For HD_AUTO. */
void hd_fd_done(int *fd);

/* Transfers exactly size bytes, going on after EINTR and short counts. pread: -HD_E_TRUNCATED at
 * EOF. */
int hd_fd_pread(int fd, void *out, size_t size, uint64_t offset);
int hd_fd_pwrite(int fd, const void *data, size_t size, uint64_t offset);
int hd_fd_write(int fd, const void *data, size_t size);

/* Reads from fd until EOF, appending to out (its ceiling applies). */
int hd_fd_read_all(int fd, struct hd_buf *out);

/* The whole file into out. -HD_E_TOO_LARGE above max_bytes. */
int hd_file_read(const char *path, size_t max_bytes, struct hd_buf *out);

/*
 * Replaces path by the bytes, durably: temporary file, fdatasync, rename, fsync of the directory.
 * After a crash at any moment the old content or the new is there, whole.
 */
int hd_file_replace(const char *path, const void *data, size_t size, mode_t mode);

/* Replaces `to` by the bytes of `from`, durably and atomically as hd_file_replace. Mode 0644. */
int hd_file_copy(const char *from, const char *to);

/* fsync of a directory by path, and of the directory that holds path. */
int hd_dir_sync(const char *dir);
int hd_dir_sync_parent(const char *path);

/* mkdir -p. An existing directory is fine. */
int hd_dir_make(const char *dir, mode_t mode);

/* rm -r, following nothing. A missing path is fine. */
int hd_dir_remove(const char *path);

/*
 * Takes an exclusive lock on dir/in_use.lock; the descriptor keeps it (ret_fd, close to release).
 * -EBUSY when another process has it, with its pid in the failure text.
 */
int hd_dir_lock(const char *dir, int *ret_fd);

#endif
