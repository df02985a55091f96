/*
 * The blocks of one storage, in no order: so that whatever concerns a node takes time by what the
 * node has, not by what the cluster has. A replica knows its place here (hd_replica.slot).
 *
 * In pieces, so that growing moves nothing. A walk goes downwards: what leaves is replaced by the
 * last, which has been seen by then; what comes is behind.
 */
#ifndef HD_META_CORE_REPLICA_LIST_H
#define HD_META_CORE_REPLICA_LIST_H

struct hd_blk;

enum { HD_REPLICA_LIST_PIECE = 1024 };

struct hd_replica_list {
    struct hd_blk ***pieces; /* heap, owned */
    uint32_t count;
    uint32_t piece_count, piece_capacity;
    uint64_t added; /* ever: a walk that finds it changed has missed some */
};

void hd_replica_list_done(struct hd_replica_list *l);

/* Puts it at the end; its slot. */
uint32_t hd_replica_list_add(struct hd_replica_list *l, struct hd_blk *b);

/* Takes the slot out. Returns the block that is in it now, NULL: none. */
struct hd_blk *hd_replica_list_remove(struct hd_replica_list *l, uint32_t slot);

static inline struct hd_blk *hd_replica_list_at(const struct hd_replica_list *l, uint32_t slot)
{
    return l->pieces[slot / HD_REPLICA_LIST_PIECE][slot % HD_REPLICA_LIST_PIECE];
}

#endif
