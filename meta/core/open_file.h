/*
 * Files being written: which of their blocks are open. A block has an entry here exactly while its
 * state is HD_BLOCK_OPEN. A writer of HDFS has one open block, the last; a session may have
 * several, anywhere in the file.
 */
#ifndef HD_META_CORE_OPEN_FILE_H
#define HD_META_CORE_OPEN_FILE_H

#include "meta/core/ns.h"

/* The entry of a block; NULL: it is not open. */
struct hd_open_block *hd_open_block_of(const struct hd_ns *ns, const struct hd_blk *b);
struct hd_open_block *hd_open_file_find(const struct hd_open_file *f, const struct hd_blk *b);

/* The block becomes open; it must not be. */
struct hd_open_block *hd_open_file_add(struct hd_open_file *f, struct hd_blk *b);

/* The block is not open any more; nothing happens to one that was not. */
void hd_open_file_drop(struct hd_open_file *f, const struct hd_blk *b);

void hd_open_file_free(struct hd_open_file *f); /* it has left its lease and the namespace */

void hd_open_block_set_chain(struct hd_open_block *o, char *const *uuids,
                             size_t count); /* copies */

/*
 * The length that a recovery of the block must give it: that of a truncate; of one that a session
 * overwrites, with others behind it, the length it has. UINT64_MAX: what its nodes have.
 */
uint64_t hd_open_block_length(const struct hd_open_file *f, const struct hd_open_block *o);

/* Is a block of it under recovery? Being cut? */
bool hd_open_file_recovers(const struct hd_open_file *f);
bool hd_open_file_truncates(const struct hd_open_file *f);

#endif
