/*
 * Flushing a content: everything is on its nodes, or on their disks. While they work others may go
 * on writing; what they write is not waited for.
 */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/client/sync.h"

#include "client_namenode.pb-c.h"

#include <errno.h>

int hd_content_tell_length(struct hd_content *c, struct hd_open_block *b)
{
    pthread_mutex_lock(&b->w.lock);
    uint64_t length = b->w.chain.state.acked_bytes;
    uint64_t block_id = b->w.chain.block.block_id;
    bool told = !b->w.chain.open || b->told_bytes == length;
    pthread_mutex_unlock(&b->w.lock);
    if (told) {
        return 0;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__FsyncRequest request = HDW__FSYNC_REQUEST__INIT;
    request.src = c->path;
    request.client = (char *)(uintptr_t)hd_posix_holder(c->posix);
    request.has_last_block_length = true;
    request.last_block_length = (int64_t)length;
    request.has_file_id = true;
    request.file_id = c->ino;
    request.has_block_id = true;
    request.block_id = block_id;
    Hdw__FsyncResponse *response;
    int err = HD_CALL(c->fs, "fsync", fsync, &request, &arena, &response);
    if (err == 0) {
        pthread_mutex_lock(&b->w.lock);
        b->told_bytes = length;
        pthread_mutex_unlock(&b->w.lock);
    }
    return err;
}

/* ---- open blocks ---- */

/* Those that a flush waits for. */
struct flushing {
    struct hd_open_block *blocks[HD_CONTENT_OPEN_MAX]; /* references */
    uint64_t serials[HD_CONTENT_OPEN_MAX];
    size_t count;
};

/* Everything is on its way. */
static int push_all(struct hd_content *c, bool durable, struct flushing *f)
{
    int err = 0;
    HD_LIST_FOR(it, &c->open)
    {
        struct hd_open_block *b = HD_LIST_ENTRY(it, struct hd_open_block, link);
        pthread_mutex_lock(&b->w.lock);
        int e = hd_open_block_push(b, durable, &f->serials[f->count]);
        b->told_failure = b->told_failure || e < 0;
        pthread_mutex_unlock(&b->w.lock);
        if (e == 0) {
            f->blocks[f->count++] = hd_open_block_ref(b);
        }
        err = err < 0 ? err : e;
    }
    return err;
}

static int await_all(struct flushing *f, bool durable)
{
    int err = 0;
    for (size_t i = 0; i < f->count; i++) {
        struct hd_open_block *b = f->blocks[i];
        pthread_mutex_lock(&b->w.lock);
        int e = hd_open_block_await(b, f->serials[i], durable);
        b->told_failure = b->told_failure || e < 0;
        hd_writer_trim(&b->w);
        pthread_mutex_unlock(&b->w.lock);
        hd_open_block_unref(b);
        err = err < 0 ? err : e;
    }
    return err;
}

/* ---- finished blocks ---- */

/* The first at or behind *offset that may not be on the disks of its nodes; a reference. */
static bool find_unsynced(struct hd_content *c, uint64_t *offset, struct hd_located *ret)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    const struct hd_piece *end = c->pieces.items + c->pieces.count;
    const struct hd_piece *at = hd_pieces_find(&c->pieces, *offset);
    for (; at != NULL && at < end && !found; at++) {
        if (at->kind == HD_PIECE_BLOCK && at->unsynced && at->open == NULL && at->block != NULL) {
            *ret = *(struct hd_located *)at->block;
            hd_blocks_ref(ret->list);
            *offset = at->offset;
            found = true;
        }
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static void note_synced(struct hd_content *c, uint64_t offset, const struct hd_located *synced)
{
    pthread_mutex_lock(&c->lock);
    struct hd_piece *at = hd_pieces_find(&c->pieces, offset);
    const struct hd_located *l = at != NULL ? at->block : NULL;
    if (l != NULL && at->open == NULL && l->block->b->block_id == synced->block->b->block_id &&
        l->block->b->generation_stamp == synced->block->b->generation_stamp) {
        at->unsynced = false;
    }
    pthread_mutex_unlock(&c->lock);
}

static int sync_finished(struct hd_content *c)
{
    uint64_t offset = 0;
    struct hd_located l;
    int err = 0;
    while (err == 0 && find_unsynced(c, &offset, &l)) {
        err = hd_sync_block(c->fs, c->path, l.block);
        if (err == 0) {
            note_synced(c, offset, &l);
            offset += HD_MAX(l.block->b->num_bytes, (uint64_t)1);
        }
        hd_blocks_unref(l.list);
    }
    return err == -EOPNOTSUPP ? 0 : err;
}

/* ---- all of it ---- */

/* Meta knows the size, when it is in order; what failed is taken out. */
static int conclude(struct hd_content *c, int err)
{
    pthread_mutex_lock(&c->order);
    if (err < 0) {
        hd_content_bury(c);
    }
    struct hd_open_block *last = hd_content_last_open(c);
    if (err == 0 && last != NULL) {
        err = hd_content_tell_length(c, last);
    }
    pthread_mutex_unlock(&c->order);
    return err;
}

int hd_content_flush(struct hd_content *c, bool durable)
{
    struct flushing f = {.count = 0};
    pthread_mutex_lock(&c->order);
    int err = hd_content_take_error(c);
    if (err == 0 && c->small && c->small_dirty) {
        err = hd_content_small_send(c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL);
    }
    if (err == 0) {
        err = push_all(c, durable, &f);
    }
    pthread_mutex_unlock(&c->order);
    int e = await_all(&f, durable);
    err = conclude(c, err < 0 ? err : e);
    if (err == 0 && durable) {
        err = sync_finished(c);
    }
    return err < 0 || !durable ? err : hd_fs_sync_since(c->fs, &c->losses);
}
