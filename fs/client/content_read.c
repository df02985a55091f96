/*
 * Reading a content: cut at the borders of pieces. Holes are zeros; finished blocks are read as
 * those of any file; of an open one the bytes that are under way are waited for, and only the part
 * is asked for, since what is behind it may change.
 */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"

#include <errno.h>

enum spot_kind { SPOT_END, SPOT_COPIED, SPOT_PIECE };

/* What lies at an offset. */
struct spot {
    enum hd_piece_kind piece;
    uint64_t from;              /* in the piece */
    uint64_t bytes;             /* to the end of the piece */
    struct hd_located at;       /* a reference to the list; NULL: none */
    struct hd_open_block *open; /* a reference; NULL: not open */
};

/* Small bytes are copied at once: *ret_done. */
static enum spot_kind look(struct hd_content *c, uint8_t *out, size_t size, uint64_t offset,
                           size_t *ret_done, struct spot *ret)
{
    enum spot_kind kind = SPOT_END;
    pthread_mutex_lock(&c->lock);
    const struct hd_piece *at = c->small ? NULL : hd_pieces_find(&c->pieces, offset);
    uint64_t here = c->small ? atomic_load(&c->size) : c->spilled_bytes;
    if (offset < here) {
        *ret_done = (size_t)HD_MIN((uint64_t)size, here - offset);
        memcpy(out, c->bytes + offset, *ret_done);
        kind = SPOT_COPIED;
    } else if (at != NULL) {
        kind = SPOT_PIECE;
        *ret = (struct spot){
            .piece = at->kind,
            .from = offset - at->offset,
            .bytes = at->size - (offset - at->offset),
        };
        if (at->open != NULL) {
            ret->open = hd_open_block_ref(at->open);
        } else if (at->block != NULL) {
            ret->at = *(struct hd_located *)at->block;
            hd_blocks_ref(ret->at.list);
        }
    }
    pthread_mutex_unlock(&c->lock);
    return kind;
}

/* Where the part of an open block is readable, when it is. */
static int look_into_open(struct spot *s, size_t size)
{
    struct hd_blocks *view;
    pthread_mutex_lock(&s->open->w.lock);
    int err = hd_open_block_readable(s->open, s->from, size, &view);
    pthread_mutex_unlock(&s->open->w.lock);
    if (err == 0) {
        s->at = (struct hd_located){.list = view, .block = view->blocks[0]};
    }
    return err;
}

static int read_block(struct hd_content *c, struct spot *s, struct hd_part *p,
                      struct hd_attempts *a, size_t *ret_done)
{
    int err = s->open != NULL ? look_into_open(s, p->size) : 0;
    if (err < 0) {
        return err;
    }
    if (s->at.block == NULL) {
        return hd_fail(-HD_E_MISSING_BLOCK, "%s: it is not known where a block is", c->path);
    }
    p->blocks = s->at.list;
    p->block = s->at.block;
    p->block_size = s->from + s->bytes;
    p->incomplete = s->open != NULL || s->piece == HD_PIECE_CONTENT;
    p->alone = s->open != NULL;
    return hd_reader_read_part(&c->reader, p, a, ret_done);
}

/* Some bytes; 1 at the end of the file. *ret_again: another round may help. */
static int read_some(struct hd_content *c, struct hd_part *p, uint64_t offset,
                     struct hd_attempts *a, size_t *ret_done, bool *ret_again)
{
    struct spot s = {.piece = HD_PIECE_HOLE};
    switch (look(c, p->out, p->size, offset, ret_done, &s)) {
    case SPOT_END:
        return 1;
    case SPOT_COPIED:
        return 0;
    case SPOT_PIECE:
        break;
    }
    p->offset = s.from;
    p->size = (size_t)HD_MIN((uint64_t)p->size, s.bytes);
    int err = 0;
    if (s.piece == HD_PIECE_HOLE) {
        memset(p->out, 0, p->size);
        *ret_done = p->size;
    } else {
        err = read_block(c, &s, p, a, ret_done);
        *ret_again = err < 0 && s.at.block != NULL;
    }
    hd_blocks_unref(s.at.list);
    hd_open_block_unref(s.open);
    return err;
}

int64_t hd_content_pread(struct hd_content *c, void *out, size_t size, uint64_t offset)
{
    size = HD_MIN(size, (size_t)INT64_MAX);
    struct hd_part p;
    struct hd_attempts a = {.begun = false};
    hd_reader_note(&c->reader, offset, size, &p);
    size_t total = 0;
    int err = 0;
    while (total < size && err == 0) {
        size_t done = 0;
        bool again = false;
        p.out = (uint8_t *)out + total;
        p.size = size - total;
        err = read_some(c, &p, offset + total, &a, &done, &again);
        total += done;
        if (err < 0 && again) {
            err = hd_reader_next_round(&c->reader, &a, err);
        }
    }
    return err < 0 ? err : (int64_t)total;
}
