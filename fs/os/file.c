/* Files and directories. See file.h. */
#include "fs/os/file.h"
#include "fs/base/error.h"
#include "fs/os/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096, COPY_BYTES = 1 << 20 };

void hd_fd_done(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
    }
    *fd = -1;
}

int hd_fd_pread(int fd, void *out, size_t size, uint64_t offset)
{
    uint8_t *p = out;
    while (size > 0) {
        ssize_t n = hd_io_pread(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hd_fail_errno(errno, "read at %llu", (unsigned long long)offset);
        }
        if (n == 0) {
            return hd_fail(-HD_E_TRUNCATED, "file ends at %llu", (unsigned long long)offset);
        }
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int hd_fd_pwrite(int fd, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t n = hd_io_pwrite(fd, p, size, (off_t)offset);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hd_fail_errno(errno, "write at %llu", (unsigned long long)offset);
        }
        p += n;
        size -= (size_t)n;
        offset += (uint64_t)n;
    }
    return 0;
}

int hd_fd_write(int fd, const void *data, size_t size)
{
    const uint8_t *p = data;
    while (size > 0) {
        ssize_t n = hd_io_write(fd, p, size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hd_fail_errno(errno, "write");
        }
        p += n;
        size -= (size_t)n;
    }
    return 0;
}

int hd_fd_read_all(int fd, struct hd_buf *out)
{
    for (;;) {
        int err = hd_buf_reserve(out, 65536);
        if (err < 0) {
            return hd_fail(err, "more than %zu bytes", out->size);
        }
        ssize_t n = hd_io_read(fd, out->data + out->size, out->capacity - out->size);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return hd_fail_errno(errno, "read");
        }
        if (n == 0) {
            return 0;
        }
        out->size += (size_t)n;
    }
}

int hd_file_read(const char *path, size_t max_bytes, struct hd_buf *out)
{
    HD_AUTO(hd_fd_done) int fd = hd_io_open(path, O_RDONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    size_t old_max = out->max;
    out->max = out->size + max_bytes + 65536;
    int err = hd_fd_read_all(fd, out);
    out->max = old_max;
    if (err == 0 && out->size > max_bytes) {
        err = -HD_E_TOO_LARGE;
    }
    return err < 0 ? hd_fail(err, "%s: %s", path, hd_fail_describe(err)) : 0;
}

int hd_dir_sync(const char *dir)
{
    HD_AUTO(hd_fd_done) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || hd_io_fsync(fd) < 0) {
        return hd_fail_errno(errno, "%s: fsync of the directory", dir);
    }
    return 0;
}

int hd_dir_sync_parent(const char *path)
{
    char dir[PATH_BYTES];
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 0 : (size_t)(slash - path);
    if (n >= sizeof(dir)) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    memcpy(dir, path, n);
    dir[n] = '\0';
    return hd_dir_sync(slash == NULL ? "." : n == 0 ? "/" : dir);
}

int hd_file_replace(const char *path, const void *data, size_t size, mode_t mode)
{
    char temp[PATH_BYTES];
    if (snprintf(temp, sizeof(temp), "%s.tmp", path) >= (int)sizeof(temp)) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    HD_AUTO(hd_fd_done) int fd = hd_io_open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", temp);
    }
    int err = hd_fd_write(fd, data, size);
    if (err == 0 && hd_io_fdatasync(fd) < 0) {
        err = hd_fail_errno(errno, "fdatasync");
    }
    if (err == 0 && hd_io_rename(temp, path) < 0) {
        err = hd_fail_errno(errno, "rename to %s", path);
    }
    if (err < 0) {
        unlink(temp);
        return hd_fail(err, "%s: %s", temp, hd_fail_describe(err));
    }
    return hd_dir_sync_parent(path);
}

static int copy_bytes(int in, int out)
{
    HD_AUTO(hd_buf_done) struct hd_buf piece = {0};
    int err = hd_buf_reserve(&piece, COPY_BYTES);
    for (;;) {
        ssize_t n = err < 0 ? 0 : hd_io_read(in, piece.data, COPY_BYTES);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? hd_fail_errno(errno, "read") : err;
        }
        err = hd_fd_write(out, piece.data, (size_t)n);
    }
}

int hd_file_copy(const char *from, const char *to)
{
    char temp[PATH_BYTES];
    if (snprintf(temp, sizeof(temp), "%s.tmp", to) >= (int)sizeof(temp)) {
        return hd_fail(-ENAMETOOLONG, "%s", to);
    }
    HD_AUTO(hd_fd_done) int in = hd_io_open(from, O_RDONLY | O_CLOEXEC, 0);
    if (in < 0) {
        return hd_fail_errno(errno, "%s", from);
    }
    HD_AUTO(hd_fd_done) int out = hd_io_open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (out < 0) {
        return hd_fail_errno(errno, "%s", temp);
    }
    int err = copy_bytes(in, out);
    if (err == 0 && hd_io_fdatasync(out) < 0) {
        err = hd_fail_errno(errno, "fdatasync");
    }
    if (err == 0 && hd_io_rename(temp, to) < 0) {
        err = hd_fail_errno(errno, "rename to %s", to);
    }
    if (err < 0) {
        hd_io_unlink(temp);
        return hd_fail(err, "%s (copy of %s): %s", temp, from, hd_fail_describe(err));
    }
    return hd_dir_sync_parent(to);
}

int hd_dir_make(const char *dir, mode_t mode)
{
    char path[PATH_BYTES];
    size_t n = strlen(dir);
    if (n == 0 || n >= sizeof(path)) {
        return hd_fail(-ENAMETOOLONG, "%s", dir);
    }
    memcpy(path, dir, n + 1);
    for (char *p = path + 1;; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char keep = *p;
        *p = '\0';
        if (mkdir(path, mode) < 0 && errno != EEXIST) {
            return hd_fail_errno(errno, "%s: mkdir", path);
        }
        *p = keep;
        if (keep == '\0') {
            break;
        }
    }
    struct stat st;
    if (stat(dir, &st) < 0) {
        return hd_fail_errno(errno, "%s", dir);
    }
    return S_ISDIR(st.st_mode) ? 0 : hd_fail(-ENOTDIR, "%s: not a directory", dir);
}

static int remove_at(int dir_fd, const char *name)
{
    if (unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return -errno;
    }
    int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -errno;
    }
    DIR *d = fdopendir(fd);
    if (d == NULL) {
        int e = errno;
        close(fd);
        return -e;
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0) {
            err = remove_at(fd, e->d_name);
        }
    }
    closedir(d);
    if (err == 0 && unlinkat(dir_fd, name, AT_REMOVEDIR) < 0 && errno != ENOENT) {
        err = -errno;
    }
    return err;
}

int hd_dir_remove(const char *path)
{
    int err = remove_at(AT_FDCWD, path);
    return err < 0 ? hd_fail_errno(-err, "%s: remove", path) : 0;
}

int hd_dir_lock(const char *dir, int *ret_fd)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/in_use.lock", dir);
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    char owner[32] = {0};
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        if (errno != EWOULDBLOCK) {
            return hd_fail_errno(errno, "%s: lock", path);
        }
        ssize_t n = pread(fd, owner, sizeof(owner) - 1, 0);
        owner[n > 0 ? strcspn(owner, "\n") : 0] = '\0';
        return hd_fail(-EBUSY, "%s: another process (pid %s) uses this directory; stop it first",
                       dir, owner);
    }
    int n = snprintf(owner, sizeof(owner), "%d\n", (int)getpid());
    if (ftruncate(fd, 0) < 0 || pwrite(fd, owner, (size_t)n, 0) != n) {
        return hd_fail_errno(errno, "%s", path);
    }
    *ret_fd = fd;
    fd = -1; /* the caller's now */
    return 0;
}
