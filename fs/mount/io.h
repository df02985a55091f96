/*
 * Content at the mount, as the rest of the mount sees it: events of the session that concern it,
 * and what names and attributes have to know of files that are open or being written. Only with a
 * session (m->posix); on a foreign HDFS stage.h does this work.
 *
 * Inodes are named by the server's number (id) here.
 */
#ifndef HD_MOUNT_IO_H
#define HD_MOUNT_IO_H

#include "fs/client/posix.h"
#include "fs/mount/mount.h"

int hd_io_start(struct hd_mount *m);

/* Settles everything and frees. No request is under way any more; the session still is. */
void hd_io_stop(struct hd_mount *m);

/* Now and then, in a thread that may block: what waits too long goes out, idle claims are given
 * back.
 */
void hd_io_tend(struct hd_mount *m);

/* ---- events, from the functions of struct hd_posix_events of the same names ---- */

/* Blocks until the capability may be counted as given back: the event's answer says so to meta. */
void hd_io_recall(struct hd_mount *m, uint64_t id, Hdw__CapKind keep, uint64_t serial);
void hd_io_lost(struct hd_mount *m);
void hd_io_reclaim(struct hd_mount *m, struct hd_posix_holdings *h);
void hd_io_reclaimed(struct hd_mount *m, const uint64_t *lost, size_t count);

/* ---- names and attributes ---- */

/* It is open, so its data must stay when it has lost its last name. */
bool hd_io_is_open(struct hd_mount *m, uint64_t id);

/* It is gone for good: nothing of it needs to be written or given back. */
void hd_io_dropped(struct hd_mount *m, uint64_t id);

/* Size, blocks and times of what was written here and not told to meta. Cheap, does not block. */
void hd_io_overlay(struct hd_mount *m, uint64_t id, struct stat *st);

/* Has whoever writes it elsewhere settle: size and times of an answer that says `busy` are old. */
void hd_io_refresh(struct hd_mount *m, uint64_t id);

/*
 * The part of a setattr that content has to do with: a new size, and attributes of a file that is
 * dirty here, which go with its bytes in one call. change: what to_set says but for the size. 1:
 * all was done, *ret says what is so now; 2: the size was set (hd_io_overlay tells), the change is
 * still to be made; 0: nothing was done; or an error.
 */
int hd_io_set_attr(struct hd_mount *m, uint64_t id, const uint64_t *size,
                   const struct hd_posix_change *change, struct hd_posix_attr *ret);

/* ---- the operations on open files (ops_content.c), as in ops_file.c ---- */

void hd_io_create(fuse_req_t req, fuse_ino_t parent, const char *name, mode_t mode,
                  struct fuse_file_info *fi);
void hd_io_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_io_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off, struct fuse_file_info *fi);
void hd_io_write(fuse_req_t req, fuse_ino_t ino, const char *data, size_t size, off_t off,
                 struct fuse_file_info *fi);
void hd_io_flush(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_io_fsync(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_io_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void hd_io_lseek(fuse_req_t req, fuse_ino_t ino, off_t off, int whence, struct fuse_file_info *fi);
void hd_io_fallocate(fuse_req_t req, fuse_ino_t ino, int mode, off_t offset, off_t length,
                     struct fuse_file_info *fi);
void hd_io_copy(fuse_req_t req, fuse_ino_t ino_in, off_t off_in, struct fuse_file_info *fi_in,
                fuse_ino_t ino_out, off_t off_out, struct fuse_file_info *fi_out, size_t length);

#endif
