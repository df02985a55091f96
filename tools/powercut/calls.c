/*
 * The functions of libc that libhowdah-powercut.so takes over. Each does what its man page says, by
 * the raw system call, and tells the journal (preload.c).
 */
#include "tools/powercut/preload.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#pragma GCC visibility push(default)

enum { IOV_LIMIT = 1024 };

static uint64_t iov_bytes(const struct iovec *iov, int count)
{
    uint64_t n = 0;
    for (int i = 0; i < count && i < IOV_LIMIT; i++) {
        n += iov[i].iov_len;
    }
    return n;
}

#define NOTED_WRITE(fd, offset, size, call)                                                        \
    ({                                                                                             \
        bool begun_ = hd_powercut_begin_write((fd), (offset), (size));                             \
        ssize_t n_ = (call);                                                                       \
        hd_powercut_end_write(begun_);                                                             \
        n_;                                                                                        \
    })

#define MODE_ARGUMENT(flags)                                                                       \
    ({                                                                                             \
        mode_t mode_ = 0;                                                                          \
        if (((flags) & (O_CREAT | O_TMPFILE)) != 0) {                                              \
            va_list args_;                                                                         \
            va_start(args_, flags);                                                                \
            mode_ = va_arg(args_, mode_t);                                                         \
            va_end(args_);                                                                         \
        }                                                                                          \
        mode_;                                                                                     \
    })

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int at, const char *path, int flags);
int __openat64_2(int at, const char *path, int flags);

int open(const char *path, int flags, ...)
{
    return hd_powercut_open(AT_FDCWD, path, flags, MODE_ARGUMENT(flags));
}

int open64(const char *path, int flags, ...)
{
    return hd_powercut_open(AT_FDCWD, path, flags, MODE_ARGUMENT(flags));
}

int openat(int at, const char *path, int flags, ...)
{
    return hd_powercut_open(at, path, flags, MODE_ARGUMENT(flags));
}

int openat64(int at, const char *path, int flags, ...)
{
    return hd_powercut_open(at, path, flags, MODE_ARGUMENT(flags));
}

int __open_2(const char *path, int flags)
{
    return hd_powercut_open(AT_FDCWD, path, flags, 0);
}

int __open64_2(const char *path, int flags)
{
    return hd_powercut_open(AT_FDCWD, path, flags, 0);
}

int __openat_2(int at, const char *path, int flags)
{
    return hd_powercut_open(at, path, flags, 0);
}

int __openat64_2(int at, const char *path, int flags)
{
    return hd_powercut_open(at, path, flags, 0);
}

int creat(const char *path, mode_t mode)
{
    return hd_powercut_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

int creat64(const char *path, mode_t mode)
{
    return hd_powercut_open(AT_FDCWD, path, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

ssize_t write(int fd, const void *data, size_t size)
{
    return NOTED_WRITE(fd, -1, size, syscall(SYS_write, fd, data, size));
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return NOTED_WRITE(fd, offset, size, syscall(SYS_pwrite64, fd, data, size, offset));
}

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t offset)
{
    return NOTED_WRITE(fd, offset, size, syscall(SYS_pwrite64, fd, data, size, offset));
}

ssize_t writev(int fd, const struct iovec *iov, int count)
{
    return NOTED_WRITE(fd, -1, iov_bytes(iov, count), syscall(SYS_writev, fd, iov, count));
}

ssize_t pwritev(int fd, const struct iovec *iov, int count, off_t offset)
{
    return NOTED_WRITE(fd, offset, iov_bytes(iov, count),
                       syscall(SYS_pwritev, fd, iov, count, offset, 0));
}

ssize_t pwritev64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    return NOTED_WRITE(fd, offset, iov_bytes(iov, count),
                       syscall(SYS_pwritev, fd, iov, count, offset, 0));
}

ssize_t pwritev2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    return NOTED_WRITE(fd, offset, iov_bytes(iov, count),
                       syscall(SYS_pwritev2, fd, iov, count, offset, 0, flags));
}

/* What <sys/uio.h> makes of pwritev2 where off_t is off64_t by choice of the caller. */
ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);

ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
    return pwritev2(fd, iov, count, offset, flags);
}

ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t size,
                        unsigned flags)
{
    return NOTED_WRITE(out, out_at != NULL ? *out_at : -1, size,
                       syscall(SYS_copy_file_range, in, in_at, out, out_at, size, flags));
}

ssize_t sendfile(int out, int in, off_t *at, size_t size)
{
    return NOTED_WRITE(out, -1, size, syscall(SYS_sendfile, out, in, at, size));
}

ssize_t sendfile64(int out, int in, off64_t *at, size_t size)
{
    return NOTED_WRITE(out, -1, size, syscall(SYS_sendfile, out, in, at, size));
}

ssize_t splice(int in, off64_t *in_at, int out, off64_t *out_at, size_t size, unsigned flags)
{
    return NOTED_WRITE(out, out_at != NULL ? *out_at : -1, size,
                       syscall(SYS_splice, in, in_at, out, out_at, size, flags));
}

int ftruncate(int fd, off_t size)
{
    return hd_powercut_resize(fd, size);
}

int ftruncate64(int fd, off64_t size)
{
    return hd_powercut_resize(fd, size);
}

int truncate(const char *path, off_t size)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int rc = hd_powercut_resize(fd, size);
    int e = errno;
    syscall(SYS_close, fd);
    errno = e;
    return rc;
}

int truncate64(const char *path, off64_t size)
{
    return truncate(path, size);
}

int fallocate(int fd, int mode, off_t offset, off_t size)
{
    return hd_powercut_allocate(fd, mode, offset, size);
}

int fallocate64(int fd, int mode, off64_t offset, off64_t size)
{
    return hd_powercut_allocate(fd, mode, offset, size);
}

int posix_fallocate(int fd, off_t offset, off_t size)
{
    int e = errno;
    int rc = hd_powercut_allocate(fd, 0, offset, size) == 0 ? 0 : errno;
    errno = e;
    return rc;
}

int posix_fallocate64(int fd, off64_t offset, off64_t size)
{
    return posix_fallocate(fd, offset, size);
}

int fsync(int fd)
{
    return hd_powercut_sync(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return hd_powercut_sync(SYS_fdatasync, fd);
}

/* A disk may do less than everything at any time: nothing is made durable by these two here. */
void sync(void)
{
    syscall(SYS_sync);
}

int syncfs(int fd)
{
    return (int)syscall(SYS_syncfs, fd);
}

int rename(const char *from, const char *to)
{
    return hd_powercut_rename(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int renameat(int at, const char *from, int at2, const char *to)
{
    return hd_powercut_rename(at, from, at2, to, 0);
}

int renameat2(int at, const char *from, int at2, const char *to, unsigned flags)
{
    return hd_powercut_rename(at, from, at2, to, flags);
}

int unlink(const char *path)
{
    return hd_powercut_unlink(AT_FDCWD, path, 0);
}

int unlinkat(int at, const char *path, int flags)
{
    return hd_powercut_unlink(at, path, flags);
}

int rmdir(const char *path)
{
    return hd_powercut_unlink(AT_FDCWD, path, AT_REMOVEDIR);
}

int remove(const char *path)
{
    int rc = hd_powercut_unlink(AT_FDCWD, path, 0);
    return rc < 0 && errno == EISDIR ? hd_powercut_unlink(AT_FDCWD, path, AT_REMOVEDIR) : rc;
}

int mkdir(const char *path, mode_t mode)
{
    return hd_powercut_mkdir(AT_FDCWD, path, mode);
}

int mkdirat(int at, const char *path, mode_t mode)
{
    return hd_powercut_mkdir(at, path, mode);
}

int link(const char *from, const char *to)
{
    return hd_powercut_link(AT_FDCWD, from, AT_FDCWD, to, 0);
}

int linkat(int at, const char *from, int at2, const char *to, int flags)
{
    return hd_powercut_link(at, from, at2, to, flags);
}

void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (fd >= 0 && (protection & PROT_WRITE) != 0 && (flags & MAP_SHARED) != 0) {
        hd_powercut_warn_mapped(fd);
    }
    return (void *)syscall(SYS_mmap, at, size, protection, flags, fd, offset);
}

#pragma GCC visibility pop
