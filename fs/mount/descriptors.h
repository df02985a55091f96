/*
 * Whether a program that closes a descriptor still has another one of the same open file. FUSE
 * tells of every close(2) alike, be it the last or that of a duplicate: a shell's `echo x >file`
 * closes one before it writes, and a child that leaves closes what it inherited.
 */
#ifndef HD_MOUNT_DESCRIPTORS_H
#define HD_MOUNT_DESCRIPTORS_H

#include <sys/types.h>

/*
 * Looks among the descriptors of a process (/proc/PID/fd, the first HD_DESCRIPTORS_MAX) for one of
 * path, which is absolute as the kernel writes it. False when it cannot be known: pid 0, a process
 * of another user, another view of the file system.
 */
enum { HD_DESCRIPTORS_MAX = 256 };

bool hd_process_has_open(pid_t pid, const char *path);

#endif
