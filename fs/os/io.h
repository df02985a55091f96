/*
 * System calls on files that keep data, with the fault table in front. Everything here is as the
 * call of the same name: -1 and errno. Blocks as the call does, and as a fault says.
 */
#ifndef HD_OS_IO_H
#define HD_OS_IO_H

#include "fs/os/fault.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/statvfs.h>
#include <unistd.h>

static inline int hd_io_open(const char *path, int flags, mode_t mode)
{
    enum hd_fault_op op = (flags & O_CREAT) != 0 ? HD_FAULT_OP_GROW : HD_FAULT_OP_OTHER;
    return hd_fault_path(op, path, 0) < 0 ? -1 : open(path, flags, mode);
}

static inline ssize_t hd_io_pread(int fd, void *out, size_t size, off_t offset)
{
    return hd_fault_fd(HD_FAULT_OP_OTHER, fd, 0) < 0 ? -1 : pread(fd, out, size, offset);
}

static inline ssize_t hd_io_pwrite(int fd, const void *data, size_t size, off_t offset)
{
    return hd_fault_fd(HD_FAULT_OP_GROW, fd, size) < 0 ? -1 : pwrite(fd, data, size, offset);
}

static inline ssize_t hd_io_read(int fd, void *out, size_t size)
{
    return hd_fault_fd(HD_FAULT_OP_OTHER, fd, 0) < 0 ? -1 : read(fd, out, size);
}

static inline ssize_t hd_io_write(int fd, const void *data, size_t size)
{
    return hd_fault_fd(HD_FAULT_OP_GROW, fd, size) < 0 ? -1 : write(fd, data, size);
}

static inline int hd_io_fsync(int fd)
{
    return hd_fault_fd(HD_FAULT_OP_OTHER, fd, 0) < 0 ? -1 : fsync(fd);
}

static inline int hd_io_fdatasync(int fd)
{
    return hd_fault_fd(HD_FAULT_OP_OTHER, fd, 0) < 0 ? -1 : fdatasync(fd);
}

static inline int hd_io_ftruncate(int fd, off_t size)
{
    return hd_fault_fd(HD_FAULT_OP_OTHER, fd, 0) < 0 ? -1 : ftruncate(fd, size);
}

/* As posix_fallocate: 0 or an errno, which it does not set. */
static inline int hd_io_fallocate(int fd, off_t offset, off_t size)
{
    return hd_fault_fd(HD_FAULT_OP_GROW, fd, (size_t)size) < 0 ? errno
                                                               : posix_fallocate(fd, offset, size);
}

static inline int hd_io_rename(const char *from, const char *to)
{
    return hd_fault_path(HD_FAULT_OP_OTHER, to, 0) < 0 ? -1 : rename(from, to);
}

static inline int hd_io_unlink(const char *path)
{
    return hd_fault_path(HD_FAULT_OP_OTHER, path, 0) < 0 ? -1 : unlink(path);
}

/* f_bavail is what is really free, or what a disk.full leaves. */
static inline int hd_io_statvfs(const char *path, struct statvfs *ret)
{
    if (hd_fault_path(HD_FAULT_OP_OTHER, path, 0) < 0 || statvfs(path, ret) < 0) {
        return -1;
    }
    uint64_t real = (uint64_t)ret->f_bavail * ret->f_frsize;
    uint64_t left = hd_fault_free_bytes(path, real);
    if (left < real) {
        ret->f_bavail = (fsblkcnt_t)(left / ret->f_frsize);
    }
    return 0;
}

#endif
