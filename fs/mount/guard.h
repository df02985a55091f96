/*
 * A process beside the mount that frees programs when the mount is killed.
 *
 * The kernel ends a FUSE connection when its last descriptor is closed. A thread that is telling
 * the kernel that a name or page is old (notifier.h) holds one, cannot be killed there, and waits
 * for a lock that a program holds while it waits for an answer of ours: after SIGKILL all of them
 * would wait for ever. The guard is told of the death of the mount's main thread by the kernel
 * (PR_SET_PDEATHSIG), and aborts the connection: programs get ENOTCONN, as from any dead mount.
 */
#ifndef HD_MOUNT_GUARD_H
#define HD_MOUNT_GUARD_H

#include <stdbool.h>

/*
 * The number of the FUSE connection mounted at path, from the text of /proc/self/mountinfo
 * (proc(5)); of several the last. False: none.
 */
bool hd_guard_find(const char *mountinfo, const char *path, unsigned *ret_number);

/*
 * Starts the guard of what is mounted at path, and lets it run: it ends soon after the calling
 * thread, which has to be the one that lives as long as the mount. 0, or an error with a sentence:
 * then the mount works without.
 */
int hd_guard_start(const char *path);

/* Ends the guard: from now on the number may be another mount's. */
void hd_guard_stop(void);

/* main of the guard: howdah-mount --guard NUMBER PARENT. */
int hd_guard_main(int argc, char **argv);

#endif
