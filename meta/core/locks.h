/*
 * Locks of files: fcntl's (ranges, of a process) and flock's (whole files, of an open file
 * description), among the owners of all sessions. An owner is a session and a number of its own.
 *
 * Nothing of them is durable: after a restart the sessions reclaim what they held, and until all
 * that were there have come back (hd_caps_in_grace) nobody gets a lock that he did not hold: who
 * asks waits, whether he wanted to or not.
 */
#ifndef HD_META_CORE_LOCKS_H
#define HD_META_CORE_LOCKS_H

#include "meta/core/meta.h"
#include "howdah.pb-c.h"

struct hd_locks;

struct hd_locks *hd_locks_new(struct hd_meta *m);
void hd_locks_free(struct hd_locks *l); /* takes NULL */

/* The session is over: its locks go, and what it waited for. Grants others what became free. */
void hd_locks_session_ended(struct hd_meta *m, uint64_t session);

/* The inode is no more: its locks go; who waits gets ESTALE. */
void hd_locks_inode_gone(struct hd_meta *m, uint64_t ino);

/* In the grace period: a lock the session says it held. 0, or -EAGAIN when somebody else holds it,
 * -EINVAL when it makes no sense. */
int hd_locks_reclaim(struct hd_meta *m, uint64_t session, const Hdw__LockRange *lock);

/* The grace period is over: who waited because of it is looked at. */
void hd_locks_grace_ended(struct hd_meta *m);

#endif
