/* The blocks of one storage. See replica_list.h. */
#include "meta/core/replica_list.h"
#include "fs/base/assert.h"
#include "meta/core/mem.h"

void hd_replica_list_done(struct hd_replica_list *l)
{
    for (uint32_t i = 0; i < l->piece_count; i++) {
        free(l->pieces[i]);
    }
    free(l->pieces);
    *l = (struct hd_replica_list){0};
}

static void put(struct hd_replica_list *l, uint32_t slot, struct hd_blk *b)
{
    l->pieces[slot / HD_REPLICA_LIST_PIECE][slot % HD_REPLICA_LIST_PIECE] = b;
}

uint32_t hd_replica_list_add(struct hd_replica_list *l, struct hd_blk *b)
{
    hd_assert(l->count < UINT32_MAX);
    if (l->count == l->piece_count * HD_REPLICA_LIST_PIECE) {
        HD_MEM_GROW(l->pieces, l->piece_count, l->piece_capacity);
        l->pieces[l->piece_count++] = hd_mem_new(sizeof(b) * HD_REPLICA_LIST_PIECE);
    }
    put(l, l->count, b);
    l->added++;
    return l->count++;
}

struct hd_blk *hd_replica_list_remove(struct hd_replica_list *l, uint32_t slot)
{
    hd_assert(slot < l->count);
    uint32_t last = --l->count;
    struct hd_blk *moved = slot != last ? hd_replica_list_at(l, last) : NULL;
    if (moved != NULL) {
        put(l, slot, moved);
    }
    /* One piece stays empty behind the last: a block that comes and goes allocates nothing. */
    if (l->count + 2 * HD_REPLICA_LIST_PIECE <= l->piece_count * HD_REPLICA_LIST_PIECE) {
        free(l->pieces[--l->piece_count]);
    }
    return moved;
}
