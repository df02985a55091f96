/*
 * What the functions of calls.c tell the journal of libhowdah-powercut.so. Those that are named
 * after a system call make it, too, and return as it does.
 */
#ifndef HD_POWERCUT_PRELOAD_H
#define HD_POWERCUT_PRELOAD_H

#include <sys/types.h>

int hd_powercut_open(int at, const char *path, int flags, mode_t mode);
int hd_powercut_unlink(int at, const char *path, int flags);
int hd_powercut_rename(int at, const char *from, int at2, const char *to, unsigned flags);
int hd_powercut_mkdir(int at, const char *path, mode_t mode);
int hd_powercut_link(int at, const char *from, int at2, const char *to, int flags);
int hd_powercut_resize(int fd, off_t size);
int hd_powercut_allocate(int fd, int mode, off_t offset, off_t size);
int hd_powercut_sync(long call, int fd); /* SYS_fsync or SYS_fdatasync */

/*
 * Around a call that writes: size bytes at offset, -1: where the descriptor is. True when the file
 * is watched (or may be): the lock is held until the end.
 */
bool hd_powercut_begin_write(int fd, int64_t offset, uint64_t size);
void hd_powercut_end_write(bool begun);

/* A shared writable mapping is about to be made. */
void hd_powercut_warn_mapped(int fd);

#endif
