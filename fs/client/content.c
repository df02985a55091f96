/* The life of a content, its layout and its size. */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/os/clock.h"
#include "fs/wire/reserved.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

/* ---- where finished blocks are ---- */

struct hd_located *hd_located_new(struct hd_blocks *list, size_t index)
{
    struct hd_located *l = malloc(sizeof(*l));
    if (l != NULL) {
        *l = (struct hd_located){.list = hd_blocks_ref(list), .block = list->blocks[index]};
    }
    return l;
}

void hd_located_free(struct hd_located *l)
{
    if (l != NULL) {
        hd_blocks_unref(l->list);
        free(l);
    }
}

static void pieces_free(struct hd_pieces *p)
{
    for (size_t i = 0; i < p->count; i++) {
        hd_located_free(p->items[i].block);
    }
    hd_pieces_done(p);
}

static enum hd_piece_kind kind_of(uint64_t block_id)
{
    if (hd_reserved_is_hole(block_id)) {
        return HD_PIECE_HOLE;
    }
    return hd_reserved_is_content(block_id) ? HD_PIECE_CONTENT : HD_PIECE_BLOCK;
}

static int add_piece(struct hd_pieces *p, struct hd_blocks *list, size_t i)
{
    const struct hd_extent *e = &list->extents[i];
    if (e->size_bytes == 0) {
        return 0;
    }
    struct hd_piece *at = hd_pieces_append(p, kind_of(list->blocks[i]->b->block_id), e->size_bytes);
    if (at == NULL) {
        return -ENOMEM;
    }
    if (at->offset != e->offset_bytes) {
        return hd_fail(-HD_E_BAD_MESSAGE, "a block at %llu where %llu was expected",
                       (unsigned long long)e->offset_bytes, (unsigned long long)at->offset);
    }
    at->unsynced = true; /* who wrote it may not have synced it: fsync is of files */
    if (at->kind != HD_PIECE_HOLE) {
        at->block = hd_located_new(list, i);
    }
    return at->kind != HD_PIECE_HOLE && at->block == NULL ? -ENOMEM : 0;
}

static bool is_same(const struct hd_located *a, const struct hd_located *b)
{
    return a != NULL && b != NULL && a->block->b->block_id == b->block->b->block_id &&
           a->block->b->generation_stamp == b->block->b->generation_stamp;
}

/* What was known to be durable still is. A block that was cut has longer replicas as yet. */
static void take_over(struct hd_pieces *fresh, const struct hd_pieces *old)
{
    for (size_t i = 0; i < fresh->count; i++) {
        struct hd_piece *at = &fresh->items[i];
        const struct hd_piece *was = hd_pieces_find(old, at->offset);
        if (was != NULL && was->offset == at->offset && is_same(at->block, was->block)) {
            at->unsynced = was->unsynced;
            at->broken = was->broken || (at->kind == HD_PIECE_BLOCK && at->size < was->size);
        }
    }
}

/* Pieces from a list of blocks; NULL: none. */
static int make_pieces(struct hd_content *c, const Hdw__LocatedBlocks *blocks, uint64_t size,
                       struct hd_pieces *ret)
{
    struct hd_blocks *list = NULL;
    bool ask_nodes = c->granted == HDW__CAP_KIND__CAP_NONE; /* somebody else writes it */
    int err = blocks != NULL ? hd_blocks_copy(c->fs, c->path, blocks, ask_nodes, &list) : 0;
    for (size_t i = 0; list != NULL && i < list->count && err == 0; i++) {
        err = add_piece(ret, list, i);
    }
    hd_blocks_unref(list);
    if (err == 0 && hd_pieces_end(ret) < size) {
        err = hd_pieces_append(ret, HD_PIECE_HOLE, size - hd_pieces_end(ret)) == NULL ? -ENOMEM : 0;
    }
    return err;
}

static int set_bytes(struct hd_content *c, const uint8_t *bytes, size_t size)
{
    if (size > c->bytes_capacity) {
        uint8_t *room = realloc(c->bytes, size);
        if (room == NULL) {
            return -ENOMEM;
        }
        atomic_fetch_add(&c->held_bytes, size - c->bytes_capacity);
        c->bytes = room;
        c->bytes_capacity = size;
    }
    if (size > 0) {
        memcpy(c->bytes, bytes, size);
    }
    return 0;
}

int hd_content_adopt(struct hd_content *c, const Hdw__PosixAttr *attr, const uint8_t *bytes,
                     size_t bytes_size, const Hdw__LocatedBlocks *blocks)
{
    bool empty = attr->size == 0 && (blocks == NULL || blocks->n_blocks == 0);
    bool small = attr->size == bytes_size && (bytes != NULL || (empty && c->content_max > 0));
    struct hd_pieces pieces = {.items = NULL};
    int err = small ? 0 : make_pieces(c, blocks, attr->size, &pieces);
    pthread_mutex_lock(&c->lock);
    if (err == 0 && small) {
        err = set_bytes(c, bytes, bytes_size);
    }
    if (err == 0) {
        take_over(&pieces, &c->pieces);
        struct hd_pieces old = c->pieces;
        c->pieces = pieces;
        pieces = old;
        c->small = small;
        c->small_dirty = false;
        c->stored_bytes = small ? bytes_size : 0;
        atomic_store(&c->size, small ? bytes_size : hd_pieces_end(&c->pieces));
    }
    pthread_mutex_unlock(&c->lock);
    pieces_free(&pieces);
    return err;
}

/* Where the finished blocks are now; anything else stays as it is. */
static void update_places(struct hd_content *c, struct hd_blocks *list)
{
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < list->count; i++) {
        struct hd_piece *at = hd_pieces_find(&c->pieces, list->extents[i].offset_bytes);
        const struct hd_located *was = at != NULL ? at->block : NULL;
        if (was == NULL || at->open != NULL || at->offset != list->extents[i].offset_bytes ||
            was->block->b->block_id != list->blocks[i]->b->block_id) {
            continue;
        }
        struct hd_located *l = hd_located_new(list, i);
        if (l != NULL) {
            hd_located_free(at->block);
            at->block = l;
        }
    }
    pthread_mutex_unlock(&c->lock);
}

int hd_content_refresh(struct hd_reader *r)
{
    struct hd_content *c = HD_CONTAINER(r, struct hd_content, reader);
    struct hd_blocks *list;
    int err = hd_blocks_fetch(c->fs, c->path, 0, INT64_MAX, false, &list);
    if (err == 0) {
        update_places(c, list);
        hd_blocks_unref(list);
    }
    return err;
}

int hd_content_layout(struct hd_content *c, const Hdw__AcquireResponse *a)
{
    pthread_mutex_lock(&c->order);
    int err = 0;
    c->granted = a->granted;
    c->has_quota = a->attr->has_quota;
    if (!atomic_load(&c->unsettled)) {
        err = hd_content_adopt(c, a->attr, a->has_content ? a->content.data : NULL, a->content.len,
                               a->blocks);
        atomic_store(&c->mtime_ns, a->attr->mtime_ns);
    } else if (a->blocks != NULL) {
        struct hd_blocks *list;
        err = hd_blocks_copy(c->fs, c->path, a->blocks, false, &list);
        if (err == 0) {
            update_places(c, list);
            hd_blocks_unref(list);
        }
    }
    pthread_mutex_unlock(&c->order);
    return err;
}

/* ---- life ---- */

int hd_content_new(struct hd_posix *p, uint64_t ino, const Hdw__AcquireResponse *a,
                   struct hd_content **ret)
{
    struct hd_content *c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -ENOMEM;
    }
    c->posix = p;
    c->fs = hd_posix_fs(p);
    c->ino = ino;
    snprintf(c->path, sizeof(c->path), "/.reserved/.inodes/%llu", (unsigned long long)ino);
    c->content_max = hd_posix_content_max(p);
    c->block_bytes = a->attr->has_block_size && a->attr->block_size > 0 ? a->attr->block_size
                                                                        : (uint64_t)128 << 20;
    c->replication = a->attr->has_replication ? HD_MAX(a->attr->replication, 1u) : 1;
    c->losses = hd_fs_losses(c->fs);
    c->tended.tend = hd_content_tend;
    hd_list_init(&c->open);
    pthread_mutex_init(&c->order, NULL);
    pthread_mutex_init(&c->lock, NULL);
    hd_reader_init(&c->reader, c->fs, c->path);
    c->reader.refresh = hd_content_refresh;
    atomic_store(&c->fs->session->locals.lets_go, true);
    int err = hd_content_layout(c, a);
    if (err < 0) {
        hd_content_free(c);
        return err;
    }
    *ret = c;
    return 0;
}

void hd_content_free(struct hd_content *c)
{
    if (c == NULL) {
        return;
    }
    hd_content_tender_remove(&c->fs->session->contents, &c->tended);
    hd_content_drop_all(c);
    hd_reader_done(&c->reader);
    pieces_free(&c->pieces);
    free(c->bytes);
    pthread_mutex_destroy(&c->lock);
    pthread_mutex_destroy(&c->order);
    free(c);
}

/* ---- what is asked of it ---- */

void hd_content_touch(struct hd_content *c)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    atomic_store(&c->mtime_ns, (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    atomic_store(&c->changed, true);
    atomic_store(&c->unsettled, true);
}

void hd_content_note_error(struct hd_content *c, int err)
{
    if (c->error == 0) {
        c->error = err;
        snprintf(c->error_text, sizeof(c->error_text), "%s", hd_fail_text());
    }
}

int hd_content_take_error(struct hd_content *c)
{
    int err = c->error;
    c->error = 0;
    return err < 0 ? hd_fail(err, "%s", c->error_text) : 0;
}

uint64_t hd_content_size(const struct hd_content *c)
{
    return atomic_load(&c->size);
}

int64_t hd_content_mtime_ns(const struct hd_content *c)
{
    return atomic_load(&c->mtime_ns);
}

bool hd_content_is_dirty(const struct hd_content *c)
{
    return atomic_load(&c->unsettled);
}

size_t hd_content_held_bytes(const struct hd_content *c)
{
    return atomic_load(&c->held_bytes);
}

int hd_content_next(struct hd_content *c, uint64_t offset, bool want_data, uint64_t *ret)
{
    int err;
    pthread_mutex_lock(&c->lock);
    if (c->small) {
        uint64_t size = atomic_load(&c->size);
        err = offset < size ? 0 : -ENXIO;
        *ret = want_data ? offset : size;
    } else {
        err = hd_pieces_next(&c->pieces, offset, want_data, ret);
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

int hd_content_local_fd(struct hd_content *c, int *ret_fd)
{
    struct hd_session *s = c->fs->session;
    if (s->socket_path == NULL || c->granted == HDW__CAP_KIND__CAP_NONE) {
        return -ENOENT;
    }
    pthread_mutex_lock(&c->lock);
    const struct hd_piece *only = !c->small && c->pieces.count == 1 ? &c->pieces.items[0] : NULL;
    bool good = only != NULL && only->kind == HD_PIECE_BLOCK && only->open == NULL &&
                !only->broken && only->block != NULL;
    struct hd_located l = {.list = NULL};
    uint64_t size = 0;
    if (good) {
        l = *(struct hd_located *)only->block;
        hd_blocks_ref(l.list);
        size = only->size;
    }
    pthread_mutex_unlock(&c->lock);
    int err = good ? hd_reader_local_fd(s, l.block, size, ret_fd) : -ENOENT;
    hd_blocks_unref(l.list);
    return err;
}
