/* Locks of files. See locks.h. */
#include "meta/core/locks.h"

void hd_locks_session_ended(struct hd_meta *m, uint64_t session)
{
    (void)m;
    (void)session;
}

void hd_locks_inode_gone(struct hd_meta *m, uint64_t ino)
{
    (void)m;
    (void)ino;
}

int hd_locks_reclaim(struct hd_meta *m, uint64_t session, const Hdw__LockRange *lock)
{
    (void)m;
    (void)session;
    (void)lock;
    return 0;
}

void hd_locks_grace_ended(struct hd_meta *m)
{
    (void)m;
}
