/*
 * Backing files of passthrough: the kernel reads a local replica by itself.
 *
 * One backing id per inode, shared by its opens, given to the kernel with the first and taken back
 * with the last (open_mode.h has the rules). Needs CAP_SYS_ADMIN and FUSE_PASSTHROUGH.
 */
#ifndef HD_MOUNT_BACKING_H
#define HD_MOUNT_BACKING_H

#include "fs/mount/mount.h"

/* Whether a local file of so many bytes would be passed through. Wants io held. */
bool hd_backing_may(struct hd_mount *m, struct hd_node *n, uint64_t size_bytes);

/*
 * Decides how an open of n is answered and counts it. local_fd: the file of this machine that is
 * its content (borrowed), or negative. Never fails: what cannot be passed through is read the
 * ordinary way. Wants io held.
 */
struct hd_backing_wish {
    bool writable;
    bool direct; /* past the page cache */
    int local_fd;
};
enum hd_open_mode hd_backing_open(struct hd_mount *m, struct hd_node *n,
                                  const struct hd_backing_wish *w);

/* The end of an open. Wants io held. */
void hd_backing_release(struct hd_mount *m, struct hd_node *n, enum hd_open_mode mode);

/* Answers FUSE_OPEN in that mode; libfuse has no words for a backing id. 0 or a negative errno. */
int hd_backing_reply(fuse_req_t req, struct hd_node *n, enum hd_open_mode mode,
                     struct fuse_file_info *fi);

#endif
