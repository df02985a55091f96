/*
 * The repair queue: complete blocks with fewer or more replicas than asked for, or with bad ones.
 *
 * Blocks with one replica left come first and at once, the others after a grace, oldest first; each
 * node sends a bounded number of copies at a time. A copy that was not reported in time is given up
 * and ordered anew.
 *
 * What counts as a replica is block_map.h's knowledge (hd_blk_count): not those on nodes that are
 * to leave, and those on nodes in maintenance only lower what is needed. A block whose replicas are
 * all on one rack, where there are others, gets one more elsewhere; the surplus then goes where two
 * are.
 */
#ifndef HD_META_CORE_REPAIR_H
#define HD_META_CORE_REPAIR_H

#include "fs/base/list.h"
#include "fs/base/types.h"

struct hd_meta;
struct hd_blk;

enum hd_repair_class {
    HD_REPAIR_MISSING,  /* no replica: nothing to copy from */
    HD_REPAIR_LAST,     /* one left */
    HD_REPAIR_LOW,      /* fewer than asked for */
    HD_REPAIR_CROWDED,  /* all on one rack, where there are others */
    HD_REPAIR_SETTLING, /* just closed: its reports are still coming in; in the order of not_before
                         */
    HD_REPAIR_WAITING,  /* a copy is on its way, or a stale node holds it up */
    HD_REPAIR_CLASSES,
};

struct hd_repair_copy {
    uint16_t source; /* node */
    uint16_t target; /* storage */
    uint32_t units;  /* of the source's streams */
    struct hd_mono_ms deadline;
};

enum { HD_REPAIR_COPIES_MAX = 8 };

struct hd_repair {
    struct hd_list link;
    struct hd_blk *block;
    enum hd_repair_class class;
    bool low; /* counts as under-replicated */
    struct hd_mono_ms not_before;
    struct hd_repair_copy *copies; /* ordered, not reported yet; heap, owned; few have any */
    uint32_t copy_count;
    uint32_t copy_capacity;
};

struct hd_repairs {
    struct hd_list queues[HD_REPAIR_CLASSES];
    uint64_t counts[HD_REPAIR_CLASSES];
    uint64_t low; /* blocks with fewer live replicas than asked for, but one */
};

void hd_repairs_init(struct hd_repairs *r);
void hd_repairs_done(struct hd_repairs *r);

/* Compares the block's replicas with what is asked for; queues it, trims it, or forgets it. */
void hd_repair_check(struct hd_meta *m, struct hd_blk *b);

/* The block has just been completed: its other reports get repair_grace_ms to come in. */
void hd_repair_settle(struct hd_meta *m, struct hd_blk *b);

void hd_repair_forget(struct hd_meta *m, struct hd_blk *b);

/* A replica was reported there: if it was a copy that was ordered, its source has a stream less. */
void hd_repair_arrived(struct hd_meta *m, struct hd_blk *b, uint16_t storage);

/* Is a copy to that storage still awaited? */
bool hd_repair_is_ordered(const struct hd_blk *b, uint16_t storage);

/* Copies from or to this node will not come. */
void hd_repair_drop_node(struct hd_meta *m, uint16_t node);

/* Orders copies; called at every periodic turn. */
void hd_repair_work(struct hd_meta *m);

/* After safe mode: looks at every block, some thousand a step; true: there are more. */
void hd_repair_check_all(struct hd_meta *m);
bool hd_repair_check_more(struct hd_meta *m, size_t most);

#endif
