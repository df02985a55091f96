/*
 * What counts against the quotas of the directories above an inode.
 *
 * Names: every inode, the directory with the quota included; a further name of a file (LINK) is one
 * too. Space, HDFS's: bytes times replication, a block that is being written counts whole. Data:
 * bytes as stored, one copy, whether in blocks or in the metadata; holes are nothing. A file
 * without a name (an orphan) counts nowhere.
 *
 * The usage is a function of the records; it is kept up to date by apply, here is how.
 */
#ifndef HD_META_CORE_QUOTA_H
#define HD_META_CORE_QUOTA_H

#include "meta/core/ns.h"

struct hd_charge {
    int64_t names;
    int64_t space_bytes;
    int64_t data_bytes;
};

/* Adds to every quota at or above `i` (NULL: to none). */
void hd_quota_charge(struct hd_ns *ns, struct hd_inode *i, struct hd_charge more);

/* What a file's content counts, without its name: before a change, to be given to ..._changed
 * behind it. All 0 when there are no quotas at all. */
struct hd_charge hd_quota_of_content(const struct hd_ns *ns, const struct hd_inode *file);
void hd_quota_content_changed(struct hd_ns *ns, struct hd_inode *file, struct hd_charge before);

/* A whole tree, and its coming (sign 1) to `parent` or its leaving (-1). */
struct hd_charge hd_quota_of_tree(struct hd_inode *top);
void hd_quota_charge_tree(struct hd_ns *ns, struct hd_inode *parent, struct hd_inode *top,
                          int sign);

/* The nearest directory at or above `i` that has a quota of data bytes; NULL: none. */
struct hd_inode *hd_quota_data_above(const struct hd_ns *ns, const struct hd_inode *i);

/*
 * Bytes of data that may still be added to `file`: the least of what the quotas above leave, what
 * was promised to other open files taken off; UINT64_MAX: there is no such quota.
 */
uint64_t hd_quota_room(const struct hd_ns *ns, const struct hd_inode *file);

/*
 * A writer of an open file wants to add up to `want` bytes, and tells of them later. How many he
 * may; so many are promised to him, instead of what was before, until they are told of or the file
 * is closed. (What others were promised when a quota is set anew, or what is moved under one, may
 * come on top of it.)
 */
uint64_t hd_quota_promise(struct hd_ns *ns, struct hd_inode *file, uint64_t want);

#endif
