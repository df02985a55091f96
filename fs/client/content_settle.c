/* Size, and settling: what makes meta know all that was done. */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/wire/reserved.h"

#include <errno.h>

/* ---- size ---- */

/* Small again, from nothing: what meta has is replaced by what will be sent. */
static int cut_to_nothing(struct hd_content *c)
{
    hd_content_drop_all(c);
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->pieces.count; i++) {
        hd_located_free(c->pieces.items[i].block);
    }
    hd_pieces_done(&c->pieces);
    c->small = true;
    c->small_dirty = true;
    c->stored_bytes = UINT64_MAX;
    atomic_store(&c->size, 0);
    pthread_mutex_unlock(&c->lock);
    return 0;
}

static int call_resize(struct hd_content *c, uint64_t size)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__ResizeResponse *r;
    int err = hd_posix_resize(c->posix, NULL, c->ino, size, &arena, &r, NULL);
    if (err < 0) {
        return err;
    }
    c->opened = c->opened || (r->has_cut && r->cut); /* until the cut block is mended */
    return hd_content_adopt(c, r->attr, r->has_content ? r->content.data : NULL, r->content.len,
                            r->blocks);
}

int hd_content_resize_locked(struct hd_content *c, uint64_t size)
{
    if (hd_content_small_fits(c, size)) {
        return hd_content_small_resize(c, size);
    }
    if (size == 0 && c->content_max > 0) {
        return cut_to_nothing(c);
    }
    int err = 0;
    if (c->small && atomic_load(&c->size) > 0) {
        err = hd_content_small_spill(c);
    } else if (c->small && c->stored_bytes > 0) {
        err = hd_content_small_send(c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL);
    }
    err = err < 0 ? err : hd_content_close_all(c, NULL);
    err = err < 0 ? err : hd_content_mend(c);
    err = err < 0 ? err : call_resize(c, size);
    return err;
}

int hd_content_resize(struct hd_content *c, uint64_t size)
{
    if (size > HD_FILE_MAX_BYTES) {
        return hd_fail(-EFBIG, "%s: a file ends at 64 TiB", c->path);
    }
    pthread_mutex_lock(&c->order); /* what writes left to tell is not for who asks here */
    int err = size != atomic_load(&c->size) ? hd_content_resize_locked(c, size) : 0;
    if (err == 0) {
        hd_content_touch(c);
    }
    pthread_mutex_unlock(&c->order);
    return err;
}

/* ---- settling ---- */

/* The change, and the time of the last write where it says nothing of it. */
static struct hd_posix_change whole_change(const struct hd_content *c,
                                           const struct hd_posix_change *change)
{
    struct hd_posix_change all = {.has_mode = false};
    if (change != NULL) {
        all = *change;
    }
    if (atomic_load(&c->changed) && !all.has_mtime && !all.mtime_now) {
        all.has_mtime = true;
        all.mtime_ns = atomic_load(&c->mtime_ns);
    }
    return all;
}

static int close_file(struct hd_content *c, const struct hd_posix_change *change, Hdw__CapKind keep,
                      struct hd_closing *closing, struct hd_posix_attr *ret)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__CloseBlocksRequest q = HDW__CLOSE_BLOCKS_REQUEST__INIT;
    Hdw__PosixAttrChange m;
    Hdw__ExtendedBlock *blocks[HD_CONTENT_OPEN_MAX];
    Hdw__CloseBlocksResponse *r;
    struct hd_posix_as_of as_of;
    for (size_t i = 0; i < closing->count; i++) {
        blocks[i] = &closing->blocks[i];
    }
    q.ino = c->ino;
    q.closing = blocks;
    q.n_closing = closing->count;
    q.has_keep = true;
    q.keep = keep;
    if (!hd_posix_change_is_empty(change)) {
        hd_posix_change_fill(change, &m);
        q.change = &m;
    }
    int err =
        HD_POSIX_CALL(c->posix, "closeBlocks", close_blocks, &q, &q.session, &arena, &r, &as_of);
    return err < 0 || ret == NULL ? err : hd_posix_attr_take(r->attr, as_of, ret);
}

/* Nothing was written: only attributes. */
static int settle_attributes(struct hd_content *c, const struct hd_posix_change *change,
                             struct hd_posix_attr *ret)
{
    struct hd_posix_attr attr = {.ino = 0};
    int err = 0;
    if (!hd_posix_change_is_empty(change)) {
        err = hd_posix_set_attr(c->posix, NULL, c->ino, change, &attr);
    } else if (ret != NULL) {
        err = hd_posix_get_attr(c->posix, c->ino, &attr);
    }
    if (ret != NULL) {
        *ret = attr;
    } else {
        hd_posix_attr_done(&attr);
    }
    return err;
}

/* Blocks on their nodes, and meta told. */
static int settle_blocks(struct hd_content *c, const struct hd_posix_change *change,
                         Hdw__CapKind keep, struct hd_posix_attr *ret)
{
    struct hd_closing closing = {.count = 0};
    int err = hd_content_close_all(c, &closing);
    int e = hd_content_mend(c);
    err = err < 0 ? err : e;
    if (err == 0) {
        err = close_file(c, change, keep, &closing, ret);
        c->opened = err < 0;
    }
    for (size_t i = 0; i < closing.count && err < 0; i++) { /* when it is settled again */
        hd_content_mark_broken(c, &closing.blocks[i]);
    }
    hd_closing_done(&closing);
    return err;
}

int hd_content_settle(struct hd_content *c, const struct hd_posix_change *change, Hdw__CapKind keep,
                      struct hd_posix_attr *ret)
{
    if (ret != NULL) {
        *ret = (struct hd_posix_attr){.ino = 0};
    }
    pthread_mutex_lock(&c->order);
    int err = hd_content_take_error(c);
    struct hd_posix_change all = whole_change(c, change);
    if (err == 0) {
        if (c->small && (c->small_dirty || c->opened)) {
            err = hd_content_small_send(c, &all, keep, ret);
        } else if (!c->small && c->opened) {
            err = settle_blocks(c, &all, keep, ret);
        } else {
            err = settle_attributes(c, &all, ret);
        }
    }
    if (err == 0) {
        atomic_store(&c->changed, false);
        atomic_store(&c->unsettled, false);
    }
    pthread_mutex_unlock(&c->order);
    if (err == 0) {
        hd_content_tender_remove(&c->fs->session->contents, &c->tended);
    }
    return err;
}
