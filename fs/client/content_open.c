/* Which blocks of a content are open for writing: opening, closing, and what failures leave. */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum { LINGER_MS = 1000 }; /* what is written is sent after that at the latest */

/* ---- the layout ---- */

/* The piece that the open block is; NULL: it has none (any more). Under the lock. */
static struct hd_piece *piece_of(struct hd_content *c, const struct hd_open_block *b)
{
    struct hd_piece *at = hd_pieces_find(&c->pieces, b->offset);
    if (at == NULL && c->pieces.count > 0) { /* empty as yet */
        at = &c->pieces.items[c->pieces.count - 1];
    }
    return at != NULL && at->open == b ? at : NULL;
}

static void set_size(struct hd_content *c)
{
    atomic_store(&c->size, HD_MAX(hd_pieces_end(&c->pieces), c->spilled_bytes));
}

void hd_content_grown(struct hd_content *c, struct hd_open_block *b, uint64_t end)
{
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = piece_of(c, b);
    if (at != NULL && end > at->offset + at->size) {
        b->into_hole = at + 1 < c->pieces.items + c->pieces.count;
        hd_pieces_widen(&c->pieces, at, end - at->offset);
        set_size(c);
    }
    pthread_mutex_unlock(&c->lock);
}

uint64_t hd_content_room(struct hd_content *c, const struct hd_open_block *b)
{
    pthread_mutex_lock(&c->lock);
    const struct hd_piece *at = piece_of(c, b);
    const struct hd_piece *end = c->pieces.items + c->pieces.count;
    uint64_t room = at != NULL ? at->size : 0;
    while (at != NULL && ++at < end && at->kind == HD_PIECE_HOLE) {
        room += at->size;
    }
    room = at == end ? UINT64_MAX : room;
    pthread_mutex_unlock(&c->lock);
    return room;
}

/* ---- taking out ---- */

void hd_content_drop_block(struct hd_content *c, struct hd_open_block *b)
{
    hd_lease_remove(c->fs->session, &b->w.link);
    hd_list_remove(&b->link);
    c->open_count--;
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = piece_of(c, b);
    if (at != NULL) {
        at->open = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    hd_open_block_unref(b);
}

void hd_content_drop_all(struct hd_content *c)
{
    while (!hd_list_empty(&c->open)) {
        hd_content_drop_block(c, HD_LIST_ENTRY(c->open.next, struct hd_open_block, link));
    }
}

/* What is left of a piece whose chain failed. The end of the file goes back to what is on nodes. */
static void leave_rest(struct hd_content *c, struct hd_open_block *b, struct hd_blocks *view,
                       uint64_t acked_bytes)
{
    struct hd_located *l = view != NULL ? hd_located_new(view, 0) : NULL;
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = piece_of(c, b);
    bool last = at != NULL && at == &c->pieces.items[c->pieces.count - 1];
    if (at != NULL && last && l == NULL && !b->was_there) {
        c->pieces.count--; /* there never was such a block */
    } else if (at != NULL) {
        at->size = last ? acked_bytes : at->size;
        at->broken = true;
        at->unsynced = true;
        if (l != NULL) {
            hd_located_free(at->block);
            at->block = HD_TAKE_PTR(l);
        }
    }
    set_size(c);
    pthread_mutex_unlock(&c->lock);
    hd_located_free(l);
}

static void bury(struct hd_content *c, struct hd_open_block *b)
{
    pthread_mutex_lock(&b->w.lock);
    bool told = b->told_failure;
    int failed = b->w.failed;
    (void)hd_fail(failed, "%s", b->w.failure);
    uint64_t acked_bytes = b->w.chain.state.acked_bytes;
    struct hd_blocks *view = NULL;
    if (b->w.chain.open && hd_open_block_view(b) == 0) {
        view = hd_blocks_ref(b->view);
    }
    pthread_mutex_unlock(&b->w.lock);
    if (!told) {
        hd_content_note_error(c, failed);
    }
    leave_rest(c, b, view, acked_bytes);
    hd_blocks_unref(view);
    hd_content_drop_block(c, b);
}

static bool has_failed(struct hd_open_block *b)
{
    pthread_mutex_lock(&b->w.lock);
    bool failed = b->w.failed < 0;
    pthread_mutex_unlock(&b->w.lock);
    return failed;
}

void hd_content_bury(struct hd_content *c)
{
    struct hd_list *next;
    for (struct hd_list *it = c->open.next; it != &c->open; it = next) {
        struct hd_open_block *b = HD_LIST_ENTRY(it, struct hd_open_block, link);
        next = it->next;
        if (has_failed(b)) {
            bury(c, b);
        }
    }
}

/* ---- closing ---- */

/* Meta is told how long the block is. */
static int tell_closed(struct hd_content *c, const struct hd_blocks *list)
{
    Hdw__ExtendedBlock block = *list->blocks[0]->b;
    return hd_posix_close_block(c->posix, c->ino, &block);
}

int hd_content_close_block(struct hd_content *c, struct hd_open_block *b,
                           struct hd_closing *closing)
{
    struct hd_blocks *list = NULL;
    pthread_mutex_lock(&b->w.lock);
    bool synced = hd_open_block_is_synced(b);
    int err = hd_open_block_finish(b, &list);
    b->told_failure = b->told_failure || err < 0;
    if (b->doubtful) {
        (void)hd_fail(-EIO, "%s: every node of a block went at once: writes may be lost", c->path);
        hd_content_note_error(c, -EIO);
    }
    pthread_mutex_unlock(&b->w.lock);
    if (err == 0 && list != NULL && closing == NULL) {
        err = tell_closed(c, list);
    }
    struct hd_located *l = err == 0 && list != NULL ? hd_located_new(list, 0) : NULL;
    if (err == 0 && list != NULL && l == NULL) {
        err = -ENOMEM;
    }
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = piece_of(c, b);
    if (at != NULL && l != NULL) {
        hd_located_free(at->block);
        at->block = HD_TAKE_PTR(l);
        at->unsynced = !synced;
        at->broken = false;
    } else if (at != NULL && err == 0 && at->size == 0) {
        c->pieces.count--; /* nothing was written to it */
    }
    pthread_mutex_unlock(&c->lock);
    hd_located_free(l);
    if (err < 0) {
        hd_content_bury(c);
    } else {
        hd_content_drop_block(c, b);
    }
    if (err == 0 && list != NULL && closing != NULL) {
        closing->blocks[closing->count] = *list->blocks[0]->b;
        closing->lists[closing->count++] = HD_TAKE_PTR(list);
    }
    hd_blocks_unref(list);
    return err;
}

void hd_closing_done(struct hd_closing *closing)
{
    for (size_t i = 0; i < closing->count; i++) {
        hd_blocks_unref(closing->lists[i]);
    }
    closing->count = 0;
}

/* Everything is sent first, so that the nodes work side by side. */
static void send_all(struct hd_content *c)
{
    HD_LIST_FOR(it, &c->open)
    {
        struct hd_open_block *b = HD_LIST_ENTRY(it, struct hd_open_block, link);
        uint64_t serial;
        pthread_mutex_lock(&b->w.lock);
        if (b->w.chain.open) { /* a small one goes with its end, in one go */
            (void)hd_open_block_push(b, false, &serial);
        }
        pthread_mutex_unlock(&b->w.lock);
    }
}

int hd_content_close_all(struct hd_content *c, struct hd_closing *closing)
{
    int err = 0;
    send_all(c);
    while (!hd_list_empty(&c->open)) {
        struct hd_open_block *b = HD_LIST_ENTRY(c->open.prev, struct hd_open_block, link);
        int e = hd_content_close_block(c, b, closing);
        err = err < 0 ? err : e;
        if (e < 0 && c->open.prev == &b->link) { /* its chain is right, meta did not take it */
            break;
        }
    }
    return err;
}

/* ---- opening ---- */

/* How a place in the file is opened. */
struct place {
    uint64_t offset; /* what meta is asked for */
    bool end;        /* a new block behind the last one */
    bool block;      /* a finished block */
    bool content;    /* it is in the metadata as yet: its bytes go into the block first */
    bool unsynced;
    uint64_t content_bytes;
    struct hd_open_block *open; /* it is open */
    /* To be closed before: meta opens the hole behind a short block as the end of that block, and
     * has to know how much of the hole an open one has taken. */
    struct hd_open_block *before;
};

static bool can_grow(const struct hd_content *c, const struct hd_piece *last)
{
    return last->kind == HD_PIECE_BLOCK && last->size < c->block_bytes;
}

/* Where offset is. Under the lock. */
static struct place look_up(struct hd_content *c, uint64_t offset)
{
    struct hd_piece *at = hd_pieces_find(&c->pieces, offset);
    struct hd_piece *last = c->pieces.count > 0 ? &c->pieces.items[c->pieces.count - 1] : NULL;
    struct place ret = {.offset = offset};
    if (at == NULL && last != NULL && last->open != NULL) {
        struct hd_open_block *b = last->open;
        if (offset - b->offset < b->limit) {
            ret.open = b;
            return ret;
        }
    }
    if (at == NULL && last != NULL && last->open == NULL && can_grow(c, last)) {
        at = last;
    }
    if (at == NULL) {
        ret.end = true;
        return ret;
    }
    if (at->kind == HD_PIECE_HOLE && at > c->pieces.items && at[-1].open != NULL) {
        struct hd_open_block *b = at[-1].open;
        ret.before = b->into_hole || offset - b->offset < c->block_bytes ? b : NULL;
    }
    ret.open = at->open;
    ret.unsynced = at->unsynced;
    if (at->kind != HD_PIECE_HOLE) {
        ret.offset = at->offset;
    }
    ret.block = at->kind == HD_PIECE_BLOCK;
    ret.content = at->kind == HD_PIECE_CONTENT;
    ret.content_bytes = at->size;
    return ret;
}

/* Lists the block and puts it into the layout at a piece of its own. */
static int enlist(struct hd_content *c, struct hd_open_block *b, const struct place *p,
                  uint64_t size)
{
    int err = hd_lease_add(c->fs->session, &b->w.link);
    if (err < 0) {
        return err;
    }
    err = hd_content_tender_add(&c->fs->session->contents, &c->tended);
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = NULL;
    if (err == 0 && p->end) {
        at = hd_pieces_append(&c->pieces, HD_PIECE_BLOCK, size);
    } else if (err == 0) {
        at = hd_pieces_find(&c->pieces, b->offset);
        at = at != NULL && at->kind == HD_PIECE_HOLE ? hd_pieces_carve(&c->pieces, b->offset, size)
                                                     : at;
    }
    if (at != NULL) {
        at->kind = HD_PIECE_BLOCK;
        at->open = b;
        hd_pieces_widen(&c->pieces, at, size);
        set_size(c);
    }
    pthread_mutex_unlock(&c->lock);
    if (at == NULL) {
        hd_lease_remove(c->fs->session, &b->w.link);
        return err < 0 ? err
                       : hd_fail(-HD_E_BAD_MESSAGE, "%s: no hole at %llu", c->path,
                                 (unsigned long long)b->offset);
    }
    hd_list_push_front(&c->open, &b->link);
    c->open_count++;
    c->opened = true;
    atomic_store(&c->unsettled, true);
    return 0;
}

/* A new block at the end: meta is asked when it is written to, which may be all of it at once. */
static int open_end(struct hd_content *c, const struct place *p, struct hd_open_block **ret)
{
    struct hd_open_block *b;
    int err = hd_open_block_new(c, p->offset, c->block_bytes, &b);
    if (err < 0) {
        return err;
    }
    if (c->has_quota) {
        pthread_mutex_lock(&b->w.lock);
        err = hd_open_block_begin(b);
        pthread_mutex_unlock(&b->w.lock);
    }
    err = err < 0 ? err : enlist(c, b, p, 0);
    if (err < 0) {
        hd_open_block_unref(b);
        return err;
    }
    *ret = b;
    return 0;
}

/* The first bytes of a block that takes the place of content in the metadata: meta keeps that until
 * it is told that they are there. */
static int move_content(struct hd_content *c, struct hd_open_block *b, uint64_t size)
{
    uint8_t *bytes = malloc(HD_MAX(size, (uint64_t)1));
    if (bytes == NULL) {
        return -ENOMEM;
    }
    int64_t n = hd_content_pread(c, bytes, size, b->offset);
    int err = n < 0 ? (int)n : (uint64_t)n < size ? -HD_E_TRUNCATED : 0;
    pthread_mutex_lock(&b->w.lock);
    err = err < 0 ? err : hd_open_block_write(b, bytes, size, 0);
    err = err < 0 ? err : hd_open_block_flush(b, true);
    pthread_mutex_unlock(&b->w.lock);
    free(bytes);
    return err < 0 ? err : hd_content_tell_length(c, b);
}

/* A block that is there, a piece of a hole, or content. */
static int open_place(struct hd_content *c, const struct place *p, struct hd_open_block **ret)
{
    struct hd_open_block *b;
    int err = hd_open_block_new(c, p->offset, c->block_bytes, &b);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&b->w.lock);
    err = hd_open_block_open(b);
    c->opened = c->opened || err == 0; /* meta opens the file with its first block */
    b->old_unsynced = b->old_unsynced && (p->unsynced || !p->block);
    uint64_t size = hd_open_block_end(b);
    pthread_mutex_unlock(&b->w.lock);
    if (err == 0 && p->content) {
        err = move_content(c, b, p->content_bytes);
    }
    err = err < 0 ? err : enlist(c, b, p, HD_MAX(size, p->content ? p->content_bytes : 0));
    if (err < 0) {
        hd_open_block_unref(b);
        return err;
    }
    *ret = b;
    return 0;
}

/* The block at the end, of which meta has not heard: another one would be taken for the last. */
static int begin_end(struct hd_content *c)
{
    struct hd_open_block *b = hd_content_last_open(c);
    if (b == NULL) {
        return 0;
    }
    pthread_mutex_lock(&b->w.lock);
    int err = hd_open_block_begin(b);
    b->told_failure = b->told_failure || err < 0;
    pthread_mutex_unlock(&b->w.lock);
    return err;
}

int hd_content_open_at(struct hd_content *c, uint64_t offset, struct hd_open_block **ret)
{
    pthread_mutex_lock(&c->lock);
    struct place p = look_up(c, offset);
    pthread_mutex_unlock(&c->lock);
    if (p.open != NULL && has_failed(p.open)) {
        bury(c, p.open);
        return hd_content_open_at(c, offset, ret);
    }
    if (p.open != NULL) {
        hd_list_remove(&p.open->link);
        hd_list_push_front(&c->open, &p.open->link);
        *ret = p.open;
        return 0;
    }
    /* Meta has to know how long the last block is before another one comes behind it. */
    struct hd_open_block *before = p.end ? hd_content_last_open(c) : p.before;
    if (before == NULL && c->open_count >= HD_CONTENT_OPEN_MAX) {
        before = HD_LIST_ENTRY(c->open.prev, struct hd_open_block, link);
    }
    if (before != NULL) {
        int err = hd_content_close_block(c, before, NULL);
        return err < 0 ? err : hd_content_open_at(c, offset, ret);
    }
    int err = p.end ? 0 : begin_end(c);
    if (err < 0) {
        return err;
    }
    return p.end ? open_end(c, &p, ret) : open_place(c, &p, ret);
}

struct hd_open_block *hd_content_last_open(struct hd_content *c)
{
    pthread_mutex_lock(&c->lock);
    size_t n = c->pieces.count;
    struct hd_open_block *b = n > 0 ? c->pieces.items[n - 1].open : NULL;
    pthread_mutex_unlock(&c->lock);
    return b;
}

/* ---- what was not closed in order ---- */

void hd_content_mark_broken(struct hd_content *c, const Hdw__ExtendedBlock *block)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->pieces.count; i++) {
        const struct hd_located *l = c->pieces.items[i].block;
        if (l != NULL && l->block->b->block_id == block->block_id) {
            c->pieces.items[i].broken = true;
        }
    }
    pthread_mutex_unlock(&c->lock);
}

static bool find_broken(struct hd_content *c, uint64_t *ret)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->pieces.count && !found; i++) {
        found = c->pieces.items[i].broken && c->pieces.items[i].open == NULL;
        *ret = c->pieces.items[i].offset;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

int hd_content_mend(struct hd_content *c)
{
    uint64_t offset;
    int err = 0;
    while (err == 0 && find_broken(c, &offset)) {
        struct hd_open_block *b;
        err = hd_content_open_at(c, offset, &b);
        err = err < 0 ? err : hd_content_close_block(c, b, NULL);
    }
    return err;
}

/* ---- the tender ---- */

/* Sends what lies about; true when nobody has written for long. */
static bool tend_block(struct hd_open_block *b, int64_t now_ms)
{
    int64_t idle_ms = now_ms - b->used_ms;
    uint64_t serial;
    if (idle_ms >= LINGER_MS && idle_ms < HD_CONTENT_IDLE_MS) {
        pthread_mutex_lock(&b->w.lock);
        (void)hd_open_block_push(b, false, &serial);
        pthread_mutex_unlock(&b->w.lock);
    }
    return idle_ms >= HD_CONTENT_IDLE_MS;
}

void hd_content_tend(struct hd_tended *t)
{
    struct hd_content *c = HD_CONTAINER(t, struct hd_content, tended);
    if (pthread_mutex_trylock(&c->order) != 0) {
        return; /* it is in use */
    }
    int64_t now_ms = hd_clock_mono_ms().v;
    struct hd_list *next;
    for (struct hd_list *it = c->open.next; it != &c->open; it = next) {
        struct hd_open_block *b = HD_LIST_ENTRY(it, struct hd_open_block, link);
        next = it->next;
        if (tend_block(b, now_ms)) {
            int err = hd_content_close_block(c, b, NULL);
            if (err < 0) {
                hd_content_note_error(c, err);
                break; /* others may have gone with it */
            }
        }
    }
    pthread_mutex_unlock(&c->order);
}
