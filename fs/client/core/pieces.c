/* The layout of pieces.h: an array in ascending order. */
#include "fs/client/core/pieces.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 4 };

void hd_pieces_done(struct hd_pieces *p)
{
    free(p->items);
    *p = (struct hd_pieces){.items = NULL};
}

uint64_t hd_pieces_end(const struct hd_pieces *p)
{
    const struct hd_piece *last = p->count > 0 ? &p->items[p->count - 1] : NULL;
    return last != NULL ? last->offset + last->size : 0;
}

/* The index of the piece that holds offset; count behind the end. */
static size_t index_of(const struct hd_pieces *p, uint64_t offset)
{
    size_t low = 0;
    size_t high = p->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct hd_piece *at = &p->items[middle];
        if (at->offset + at->size > offset) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

struct hd_piece *hd_pieces_find(const struct hd_pieces *p, uint64_t offset)
{
    size_t i = index_of(p, offset);
    return i < p->count ? &p->items[i] : NULL;
}

static int reserve(struct hd_pieces *p, size_t more)
{
    if (p->count + more <= p->capacity) {
        return 0;
    }
    size_t capacity = HD_MAX(p->capacity * 2, (size_t)FIRST_CAPACITY);
    struct hd_piece *items = realloc(p->items, capacity * sizeof(items[0]));
    if (items == NULL) {
        return -ENOMEM;
    }
    p->items = items;
    p->capacity = capacity;
    return 0;
}

struct hd_piece *hd_pieces_append(struct hd_pieces *p, enum hd_piece_kind kind, uint64_t size)
{
    if (reserve(p, 1) < 0) {
        return NULL;
    }
    struct hd_piece *at = &p->items[p->count];
    *at = (struct hd_piece){.offset = hd_pieces_end(p), .size = size, .kind = kind};
    p->count++;
    return at;
}

static void insert_hole(struct hd_pieces *p, size_t i, uint64_t offset, uint64_t size)
{
    memmove(&p->items[i + 1], &p->items[i], (p->count - i) * sizeof(p->items[0]));
    p->items[i] = (struct hd_piece){.offset = offset, .size = size, .kind = HD_PIECE_HOLE};
    p->count++;
}

struct hd_piece *hd_pieces_carve(struct hd_pieces *p, uint64_t offset, uint64_t size)
{
    size_t i = index_of(p, offset);
    if (i == p->count || p->items[i].kind != HD_PIECE_HOLE || reserve(p, 2) < 0) {
        return NULL;
    }
    struct hd_piece whole = p->items[i];
    uint64_t end = whole.offset + whole.size;
    if (size == 0 || size > end - offset) {
        return NULL;
    }
    p->items[i].offset = offset;
    p->items[i].size = size;
    if (offset + size < end) {
        insert_hole(p, i + 1, offset + size, end - (offset + size));
    }
    if (offset > whole.offset) {
        insert_hole(p, i++, whole.offset, offset - whole.offset);
    }
    return &p->items[i];
}

void hd_pieces_widen(struct hd_pieces *p, struct hd_piece *at, uint64_t size)
{
    size_t i = (size_t)(at - p->items) + 1;
    while (at->size < size && i < p->count && p->items[i].kind == HD_PIECE_HOLE) {
        uint64_t part = HD_MIN(size - at->size, p->items[i].size);
        at->size += part;
        p->items[i].offset += part;
        p->items[i].size -= part;
        if (p->items[i].size > 0) {
            return;
        }
        p->count--;
        memmove(&p->items[i], &p->items[i + 1], (p->count - i) * sizeof(p->items[0]));
    }
    if (i == p->count) {
        at->size = HD_MAX(at->size, size);
    }
}

int hd_pieces_next(const struct hd_pieces *p, uint64_t offset, bool want_data, uint64_t *ret)
{
    size_t i = index_of(p, offset);
    if (i == p->count) {
        return -ENXIO;
    }
    for (uint64_t at = offset; i < p->count; at = p->items[i].offset + p->items[i].size, i++) {
        if ((p->items[i].kind != HD_PIECE_HOLE) == want_data) {
            *ret = at;
            return 0;
        }
    }
    *ret = hd_pieces_end(p);
    return want_data ? -ENXIO : 0;
}
