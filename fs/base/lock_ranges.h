/*
 * The locks that are held on one file: ranges of bytes, each of an owner, shared (read) or
 * exclusive (write). fcntl(2)'s rules: an owner's ranges never overlap, a new one replaces what it
 * covers of the old ones (splitting them), neighbours of one type become one. Whole-file locks
 * (flock) are ranges of everything.
 *
 * Pure. Who waits for what is not known here.
 */
#ifndef HD_BASE_LOCK_RANGES_H
#define HD_BASE_LOCK_RANGES_H

enum hd_lock_type {
    HD_LOCK_READ = 0, /* the numbers of F_RDLCK, F_WRLCK, F_UNLCK */
    HD_LOCK_WRITE = 1,
    HD_LOCK_NONE = 2,
};

struct hd_lock_range {
    uint64_t session;
    uint64_t owner; /* a number of the session's */
    uint64_t start;
    uint64_t end; /* the last byte, at least start; UINT64_MAX: to the end of the file */
    uint32_t pid; /* for those who ask */
    uint8_t type; /* enum hd_lock_type */
};

struct hd_lock_ranges {
    struct hd_lock_range *items; /* heap, owned; in no order */
    size_t count;
    size_t capacity;
};

void hd_lock_ranges_done(struct hd_lock_ranges *r); /* a zeroed one is fine, and empty */

/* Makes it so that `l` is what its owner has of its range (NONE: nothing). 0 or -ENOMEM; then
 * nothing has changed. Two ranges more than before at most. */
int hd_lock_ranges_set(struct hd_lock_ranges *r, const struct hd_lock_range *l);

/* The lock of somebody else that stands in the way of `want`, the first by its start; NULL: none.
 */
const struct hd_lock_range *hd_lock_ranges_conflict(const struct hd_lock_ranges *r,
                                                    const struct hd_lock_range *want);

/* Do these two exclude each other? */
bool hd_lock_range_conflicts(const struct hd_lock_range *a, const struct hd_lock_range *b);

static inline bool hd_lock_range_same_owner(const struct hd_lock_range *a,
                                            const struct hd_lock_range *b)
{
    return a->owner == b->owner && a->session == b->session;
}

/* Has the owner all of this range already, with this type or WRITE? */
bool hd_lock_ranges_covers(const struct hd_lock_ranges *r, const struct hd_lock_range *l);

/* Has the owner anything? */
bool hd_lock_ranges_has(const struct hd_lock_ranges *r, uint64_t session, uint64_t owner);

/* Everything of an owner, or of all owners of a session, goes; false: there was nothing. */
bool hd_lock_ranges_drop_owner(struct hd_lock_ranges *r, uint64_t session, uint64_t owner);
bool hd_lock_ranges_drop_session(struct hd_lock_ranges *r, uint64_t session);

#endif
