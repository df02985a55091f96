/* Attributes: from the server's words to the kernel's. */
#ifndef HD_MOUNT_ATTR_H
#define HD_MOUNT_ATTR_H

#include "fs/mount/mount.h"

#include <sys/stat.h>

/* Fills a struct stat. ino is the kernel's number. */
void hd_attr_fill(struct hd_users *users, const struct hd_stat *st, uint64_t ino, struct stat *ret);

/* What the table remembers of attributes. */
struct hd_seen hd_attr_seen(const struct stat *st);

/* An inode that is being written here is as large and as new as what was written. */
void hd_attr_overlay(const struct hd_node *n, struct stat *st);

int64_t hd_attr_ms(const struct timespec *t);
struct timespec hd_attr_timespec(int64_t ms);

/*
 * Counts a lookup of st at parent/name (a child of ino parent) and fills the entry that answers it.
 * Give the lookup back with hd_inode_forget if the answer does not arrive. -ENOMEM.
 */
int hd_attr_entry(struct hd_mount *m, const struct hd_stat *st, uint64_t parent, const char *name,
                  struct fuse_entry_param *ret);

/* Asks the server for parent/name and answers the request with the entry, or the error. */
void hd_attr_reply_entry(fuse_req_t req, struct hd_fs *fs, const char *operation, uint64_t parent,
                         const char *name);

/* Asks the server for an inode; fills its attributes, overlaid. */
int hd_attr_get(struct hd_mount *m, struct hd_fs *fs, uint64_t ino, struct stat *ret);

#endif
