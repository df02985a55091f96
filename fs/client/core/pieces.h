/*
 * The layout of a file that may have holes: pieces of any sizes, without gaps from 0 to its end.
 * What a piece stands for (a block, an open one) is the caller's, borrowed. Pure.
 */
#ifndef HD_CLIENT_CORE_PIECES_H
#define HD_CLIENT_CORE_PIECES_H

enum hd_piece_kind {
    HD_PIECE_HOLE,
    HD_PIECE_CONTENT, /* kept in the metadata, in front of blocks */
    HD_PIECE_BLOCK,
};

struct hd_piece {
    uint64_t offset;
    uint64_t size;
    enum hd_piece_kind kind;
    bool unsynced; /* of a block: perhaps not on the disks of its nodes */
    bool broken;   /* its replicas may differ, or be longer: to be opened and closed again */
    void *block;   /* where it is; NULL: a hole, or only an open block */
    void *open;    /* NULL: not open for writing */
};

/* All zero: an empty file. */
struct hd_pieces {
    struct hd_piece *items; /* heap, owned; what they borrow is not */
    size_t count;
    size_t capacity;
};

void hd_pieces_done(struct hd_pieces *p);

/* Where the last piece ends. */
uint64_t hd_pieces_end(const struct hd_pieces *p);

/* The piece that holds offset; NULL behind the end. Valid until the next change. */
struct hd_piece *hd_pieces_find(const struct hd_pieces *p, uint64_t offset);

/* A piece behind the last one; its offset is set. Returns NULL without memory. */
struct hd_piece *hd_pieces_append(struct hd_pieces *p, enum hd_piece_kind kind, uint64_t size);

/*
 * [offset, offset + size), which lies in one hole, becomes a piece of its own: what is left of the
 * hole stays around it. NULL: no memory, or it does not lie in one hole.
 */
struct hd_piece *hd_pieces_carve(struct hd_pieces *p, uint64_t offset, uint64_t size);

/*
 * The piece, a block, is so long now: the hole behind it is taken from, or the end of the file
 * moves. A size below its own changes nothing.
 */
void hd_pieces_widen(struct hd_pieces *p, struct hd_piece *at, uint64_t size);

/*
 * The first offset at or behind `offset` with data (want_data), or in a hole; the end counts as
 * one. -ENXIO: offset is not in the file, or no data follows.
 */
int hd_pieces_next(const struct hd_pieces *p, uint64_t offset, bool want_data, uint64_t *ret);

#endif
