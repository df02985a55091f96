/*
 * The locks of all files and who waits for them.
 *
 *   lock ── free ──────────────────────────────────────▶ granted
 *    │ taken, wait                                          ▲
 *    ▼                                                      │ on_done(0)
 *   queue of the file ── what is in the way goes ───────────┘
 *    │ waiting would never end (fcntl's): DEADLOCK, at once or, when another's lock closes the
 *    │ circle later, on_done(-EDEADLK)
 *    └ cancelled, owner or file gone
 *
 * Waiting is in the order of coming: who wants what somebody before him waits for queues behind
 * him. Only an owner that holds nothing at all is made to wait so, for nobody can be waiting for
 * him; so the order alone never makes a deadlock. Who does not wait gets what is free.
 *
 * Pure; one thread. The callback comes from within the calls below and must not call back.
 */
#ifndef HD_META_CORE_LOCK_TABLE_H
#define HD_META_CORE_LOCK_TABLE_H

#include "fs/base/list.h"
#include "fs/base/lock_ranges.h"
#include "fs/base/map.h"

enum {
    HD_LOCKS_MAX = 1 << 20, /* ranges, in all */
    HD_LOCK_WAITS_MAX = 1 << 16,
};

/* A request. flock: of the other kind; then the range is everything. */
struct hd_lock_want {
    uint64_t ino;
    struct hd_lock_range range;
    bool flock;
    bool wait;
    uint64_t wait_id; /* of the session's; names the wait afterwards */
};

enum hd_lock_verdict {
    HD_LOCK_GRANTED,
    HD_LOCK_REFUSED, /* taken, and it does not wait */
    HD_LOCK_QUEUED,  /* on_done will tell */
    HD_LOCK_DEADLOCK,
    HD_LOCK_TOO_MANY,
};

struct hd_lock_table {
    struct hd_map files;  /* ino -> struct hd_lock_file */
    struct hd_map owners; /* hash -> struct hd_lock_owner, chained */
    struct hd_list dirty; /* files whose queue is to be looked at */
    size_t range_count;
    size_t wait_count;
    uint32_t visit; /* number of the last search for circles */
    bool closed;    /* nobody gets what he does not have: others may still claim theirs */
    void (*on_done)(void *ctx, const struct hd_lock_want *want, int err);
    void *ctx;
};

void hd_lock_table_init(struct hd_lock_table *t,
                        void (*on_done)(void *ctx, const struct hd_lock_want *want, int err),
                        void *ctx);
void hd_lock_table_done(struct hd_lock_table *t);

/* While the table is closed a lock that is free is QUEUED, or REFUSED. The same wait_id asked for
 * again while it is queued: QUEUED, nothing else happens. */
enum hd_lock_verdict hd_lock_table_lock(struct hd_lock_table *t, const struct hd_lock_want *want);

/* range.type NONE: this range is free of the owner; all: everything of the file is. */
enum hd_lock_verdict hd_lock_table_unlock(struct hd_lock_table *t, const struct hd_lock_want *want,
                                          bool all);

/* Ends a wait; true: the lock was granted meanwhile. want: as it was asked for. */
bool hd_lock_table_cancel(struct hd_lock_table *t, const struct hd_lock_want *want);

/* Takes a lock past queue and closure; false: somebody else has it. */
bool hd_lock_table_claim(struct hd_lock_table *t, const struct hd_lock_want *want);

/* Who stands in the way; NULL: nobody. Valid until the next call. */
const struct hd_lock_range *hd_lock_table_conflict(const struct hd_lock_table *t,
                                                   const struct hd_lock_want *want);

bool hd_lock_table_covers(const struct hd_lock_table *t, const struct hd_lock_want *want);

void hd_lock_table_drop_session(struct hd_lock_table *t, uint64_t session); /* without on_done */
void hd_lock_table_drop_file(struct hd_lock_table *t, uint64_t ino, int err);
void hd_lock_table_open(struct hd_lock_table *t); /* no longer closed */

#endif
