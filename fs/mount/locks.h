/*
 * Locks of files at the mount: which ones programs of this machine hold or wait for. Meta decides
 * (meta/core/locks.h); what is known here is needed to let go at the last close without asking
 * about files that were never locked, to claim everything again after meta's restart, and to end
 * waits that a signal interrupts.
 *
 * A wait keeps no thread: its request is answered when meta tells of the lock. Files are named by
 * the server's number (id).
 */
#ifndef HD_MOUNT_LOCKS_H
#define HD_MOUNT_LOCKS_H

#include "fs/client/posix.h"
#include "fs/mount/mount.h"

struct hd_locks;

/* Starts a thread of its own. 0 or -ENOMEM and the like. */
int hd_locks_start(struct hd_mount *m, struct hd_locks **ret);

/* No request is under way any more, but waits, which are answered with EIO. Takes NULL. */
void hd_locks_stop(struct hd_locks *l);

/* ---- the operations: see mount.h; only with a session ---- */

/* FLUSH: a process closed a descriptor of the file: its fcntl locks go. Asks nobody when it has
 * none. Call it behind what the flush itself has to do. */
void hd_locks_flush(struct hd_mount *m, uint64_t id, uint64_t owner);

/* RELEASE of an open file: its flock goes, and its OFD locks, for which the kernel sends nothing.
 */
void hd_locks_release(struct hd_mount *m, uint64_t id, const struct fuse_file_info *fi);

/* ---- events of the session, from the functions of the same names; they do not block ---- */

void hd_locks_granted(struct hd_mount *m, uint64_t wait_id, int err);
void hd_locks_reclaim(struct hd_mount *m, struct hd_posix_holdings *h);
void hd_locks_reclaimed(struct hd_mount *m, const uint64_t *lost, size_t count);

#endif
