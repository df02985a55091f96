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

/* Bytes of data that may still be added at `i`: the least of what the quotas above leave;
 * UINT64_MAX: no such quota. Reservations of files that are being written are taken off. */
uint64_t hd_quota_room(const struct hd_ns *ns, const struct hd_inode *i);

#endif
