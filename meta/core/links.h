/*
 * Files with more names than one, and with none.
 *
 * A file is in the directory of one of its names, as an inode that has no other is. Each further
 * name is an inode of its own of type LINK that points to it; ns->links has them by file, in the
 * order of their numbers, which is that in which they were made. An orphan is a file without a name
 * that somebody has open: it is reached by number only. Both are functions of the records.
 */
#ifndef HD_META_CORE_LINKS_H
#define HD_META_CORE_LINKS_H

#include "meta/core/ns.h"

struct hd_links {
    struct hd_inode **items; /* heap, owned (the inodes are not); by rising ino, never none */
    uint32_t count;
    uint32_t capacity;
};

/* `link` has a higher number than all before, and gets `file`. */
void hd_links_add(struct hd_ns *ns, struct hd_inode *file, struct hd_inode *link);
void hd_links_remove(struct hd_ns *ns, struct hd_inode *link);
struct hd_inode *hd_links_first(const struct hd_ns *ns, const struct hd_inode *file); /* or NULL */

/* How many names an inode has: 0 an orphan; a directory: those that lead to it, ".." included. */
uint32_t hd_ns_nlink(const struct hd_ns *ns, const struct hd_inode *i);

void hd_orphans_add(struct hd_ns *ns, struct hd_inode *i); /* it is in no directory any more */
void hd_orphans_remove(struct hd_ns *ns, struct hd_inode *i);

void hd_links_done(struct hd_ns *ns);

#endif
