/*
 * An inode that is being written by this mount.
 *
 *   (no stage) --create, first write--> staged --finish--> (no stage)
 *                                         |--failure--> (no stage), error kept for flush and fsync
 *
 * A stage is the file opened for append at meta (its lease is ours) and the bytes that wait
 * (hold.h). All handles of an inode share it, so what one wrote another reads. Bytes go out in
 * order: a write behind the end fills the gap with zeros, a write on bytes that have left the hold
 * is refused with -EOPNOTSUPP. finish completes the file: its bytes are on every node of the chain
 * and every other client sees it whole.
 *
 * All functions want the node's io lock held, and may block on the network.
 */
#ifndef HD_MOUNT_STAGE_H
#define HD_MOUNT_STAGE_H

#include "fs/mount/mount.h"

/* Adopts a file that was just created. On -ENOMEM the file is completed and closed. */
int hd_stage_adopt(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs, struct hd_file *file);

/* Opens the inode for append unless it is staged already. */
int hd_stage_begin(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs);

/* Writes at offset, or at the end when at_end. The stage must have begun. */
int hd_stage_write(struct hd_mount *m, struct hd_node *n, const void *data, size_t size,
                   uint64_t offset, bool at_end);

/* Reads what was written so far; reader is an open reader of the inode. Bytes, or an error. */
int64_t hd_stage_read(struct hd_mount *m, struct hd_node *n, struct hd_file *reader, void *out,
                      size_t size, uint64_t offset);

/* Sends what waits; every node of the chain has it in memory (or, durable, on disk). No stage: 0.
 */
int hd_stage_flush(struct hd_mount *m, struct hd_node *n, bool durable);

/* Completes the file. No stage: 0. */
int hd_stage_finish(struct hd_mount *m, struct hd_node *n);

/*
 * Sets the file's size: cuts, or grows with zeros. Waits until the server has cut the last block.
 * known_bytes: its present size when it is not staged.
 */
int hd_stage_resize(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs, uint64_t known_bytes,
                    uint64_t size_bytes);

/* When the oldest waiting byte was written (monotonic ms), 0 when none waits. */
int64_t hd_stage_waiting_since(const struct hd_node *n);

#endif
