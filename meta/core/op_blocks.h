/* What op_blocks.c, op_open_block.c and op_content.c share: a session that writes a file. */
#ifndef HD_META_CORE_OP_BLOCKS_H
#define HD_META_CORE_OP_BLOCKS_H

#include "howdah.pb-c.h"
#include "meta/core/op.h"

/* The file, of which the session has the WRITE capability, and its name as a lease's holder. */
int hd_written_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret,
                    const char **ret_holder);

/* The same, and the session has it open (openBlocks). */
int hd_opened_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret);

/* The same, opened when it was closed. HD_PARK, or an error. */
int hd_open_file(struct hd_call *c, uint64_t session, uint64_t ino, struct hd_inode **ret);

/*
 * Is a lease in the holder's way? 0: no; *ret_open: he has the file open. HD_PARK: it is being
 * closed; -EBUSY: somebody else writes it; -HD_E_RETRIABLE.
 */
int hd_lease_way(struct hd_call *c, struct hd_inode *file, const char *holder, bool *ret_open);

/* The call runs again when the block is whole: HD_PARK, or -HD_E_RETRIABLE when it has waited. */
int hd_wait_for_block(struct hd_call *c, const struct hd_blk *b);

/* A copy of the content in the effects' arena: another call may replace it. */
ProtobufCBinaryData hd_content_of(struct hd_meta *m, const struct hd_inode *file);

#endif
