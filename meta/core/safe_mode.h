/*
 * Safe mode: at start, until enough blocks have a replica; because an operator wants it; or because
 * the disk of the edit log is about to be full. Reads and reports work, changes do not, and no node
 * is told to copy or delete.
 *
 * Blocks may be gone for good: those of files that were closed and never synced, when all nodes
 * lost power. Waiting for them has an end: when every node that is here has told all it has, and
 * for safe_mode_patience_ms there was no news. Not without a node, and not when an operator wants
 * safe mode.
 */
#ifndef HD_META_CORE_SAFE_MODE_H
#define HD_META_CORE_SAFE_MODE_H

#include "fs/base/types.h"

struct hd_meta;
struct hd_blk;

struct hd_safe_mode {
    bool starting; /* until the threshold was reached once */
    bool manual;
    bool disk_full;            /* meta's own; ends with its cause */
    uint64_t total;            /* complete blocks at start */
    uint64_t safe;             /* of these, with a replica */
    uint64_t threshold;        /* how many are wanted */
    struct hd_mono_ms reached; /* when the threshold was reached; 0: not yet */
    struct hd_mono_ms news;    /* when more, or less, was known of the blocks last */
};

void hd_safe_mode_start(struct hd_meta *m, struct hd_mono_ms now);
bool hd_safe_mode_on(const struct hd_meta *m);

/* A complete block has got its first replica, or has left the namespace. */
void hd_safe_mode_block_safe(struct hd_meta *m, struct hd_blk *b);
void hd_safe_mode_block_unsafe(struct hd_meta *m, struct hd_blk *b);

/* A node registered, has told all it has, or is dead. */
void hd_safe_mode_news(struct hd_meta *m);

void hd_safe_mode_check(struct hd_meta *m); /* leaves when it is time */
void hd_safe_mode_enter(struct hd_meta *m); /* by hand */
void hd_safe_mode_leave(struct hd_meta *m);

/* Hadoop's sentences: "The reported blocks ...". `out` holds 512 bytes. */
void hd_safe_mode_tip(const struct hd_meta *m, char *out);

#endif
