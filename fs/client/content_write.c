/* Changing a content: pwrite, zero, allocate. */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"
#include "fs/os/clock.h"
#include "fs/wire/reserved.h"

#include <errno.h>
#include <stdlib.h>

enum { ZERO_BYTES = 1 << 20 };

/* ---- writing ---- */

/* The file ends at offset or can be written to there: what lies between reads as zeros. */
static int reach(struct hd_content *c, uint64_t offset)
{
    pthread_mutex_lock(&c->lock);
    const struct hd_piece *last =
        c->pieces.count > 0 ? &c->pieces.items[c->pieces.count - 1] : NULL;
    bool near =
        last != NULL && last->kind == HD_PIECE_BLOCK && offset - last->offset < c->block_bytes;
    pthread_mutex_unlock(&c->lock);
    return near ? 0 : hd_content_resize_locked(c, offset);
}

/* Waits for writes that have been under way for longest. */
static int bound_held(struct hd_content *c)
{
    int err = 0;
    for (struct hd_list *it = c->open.prev;
         it != &c->open && err == 0 && atomic_load(&c->held_bytes) > HD_CONTENT_WINDOW_BYTES;
         it = it->prev) {
        struct hd_open_block *b = HD_LIST_ENTRY(it, struct hd_open_block, link);
        pthread_mutex_lock(&b->w.lock);
        err = hd_open_block_flush(b, false);
        hd_writer_trim(&b->w);
        pthread_mutex_unlock(&b->w.lock);
    }
    return err;
}

int hd_content_write_locked(struct hd_content *c, const void *data, size_t size, uint64_t offset)
{
    const uint8_t *p = data;
    int err = offset > atomic_load(&c->size) ? reach(c, offset) : 0;
    while (size > 0 && err == 0) {
        struct hd_open_block *b;
        err = hd_content_open_at(c, offset, &b);
        if (err < 0) {
            break;
        }
        uint64_t room = hd_content_room(c, b);
        pthread_mutex_lock(&b->w.lock);
        uint64_t at = offset - b->offset;
        room = HD_MIN(room, b->limit);
        size_t n = at < room ? (size_t)HD_MIN((uint64_t)size, room - at) : 0;
        err = n == 0 ? hd_fail(-EDQUOT, "%s: no room for more than %llu bytes", c->path,
                               (unsigned long long)offset)
                     : hd_open_block_write(b, p, n, at);
        b->told_failure = b->told_failure || err < 0;
        pthread_mutex_unlock(&b->w.lock);
        b->used_ms = hd_clock_mono_ms().v;
        if (err == 0) {
            hd_content_grown(c, b, offset + n);
            p += n;
            size -= n;
            offset += n;
        }
    }
    if (err < 0) {
        hd_content_bury(c);
    } else if (atomic_load(&c->held_bytes) > HD_CONTENT_WINDOW_BYTES) {
        err = bound_held(c);
    }
    return err;
}

int hd_content_pwrite(struct hd_content *c, const void *data, size_t size, uint64_t offset)
{
    if (size == 0) {
        return 0;
    }
    if (offset > HD_FILE_MAX_BYTES || size > HD_FILE_MAX_BYTES - offset) {
        return hd_fail(-EFBIG, "%s: a file ends at 64 TiB", c->path);
    }
    pthread_mutex_lock(&c->order);
    int err = hd_content_take_error(c);
    if (err == 0 && c->small && !hd_content_small_fits(c, offset + size)) {
        err = hd_content_small_spill(c);
    }
    if (err == 0) {
        err = c->small ? hd_content_small_write(c, data, size, offset)
                       : hd_content_write_locked(c, data, size, offset);
    }
    if (err == 0) {
        hd_content_touch(c);
    }
    pthread_mutex_unlock(&c->order);
    return err;
}

/* ---- zeros ---- */

/* Something other than a hole in [offset, end): its first byte, and where it ends. */
static bool find_data(struct hd_content *c, uint64_t offset, uint64_t end, uint64_t *ret_from,
                      uint64_t *ret_to)
{
    pthread_mutex_lock(&c->lock);
    bool found = hd_pieces_next(&c->pieces, offset, true, ret_from) == 0 && *ret_from < end;
    if (found) {
        (void)hd_pieces_next(&c->pieces, *ret_from, false, ret_to);
        *ret_to = HD_MIN(*ret_to, end);
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static int write_zeros(struct hd_content *c, uint64_t offset, uint64_t end)
{
    uint8_t *zeros = calloc(1, ZERO_BYTES);
    uint64_t from;
    uint64_t to;
    int err = zeros == NULL ? -ENOMEM : 0;
    while (err == 0 && offset < end && find_data(c, offset, end, &from, &to)) {
        for (offset = from; offset < to && err == 0;) {
            size_t n = (size_t)HD_MIN(to - offset, (uint64_t)ZERO_BYTES);
            err = hd_content_write_locked(c, zeros, n, offset);
            offset += n;
        }
    }
    free(zeros);
    return err;
}

/* A block lies within. */
static bool has_whole_block(struct hd_content *c, uint64_t offset, uint64_t end)
{
    bool found = false;
    pthread_mutex_lock(&c->lock);
    for (size_t i = 0; i < c->pieces.count && !found; i++) {
        const struct hd_piece *at = &c->pieces.items[i];
        found = at->kind == HD_PIECE_BLOCK && at->offset >= offset && at->offset + at->size <= end;
    }
    pthread_mutex_unlock(&c->lock);
    return found;
}

static int punch_blocks(struct hd_content *c, uint64_t offset, uint64_t length)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__PunchResponse *r;
    int err = hd_content_close_all(c, NULL);
    err = err < 0 ? err : hd_content_mend(c);
    err = err < 0 ? err : hd_posix_punch(c->posix, c->ino, offset, length, &arena, &r, NULL);
    return err < 0 ? err : hd_content_adopt(c, r->attr, NULL, 0, r->blocks);
}

static int small_zeros(struct hd_content *c, uint64_t offset, uint64_t end)
{
    static const uint8_t zeros[512];
    int err = 0;
    for (uint64_t at = offset; at < end && err == 0; at += sizeof(zeros)) {
        err = hd_content_small_write(c, zeros, (size_t)HD_MIN(end - at, sizeof(zeros)), at);
    }
    return err;
}

static int zero(struct hd_content *c, uint64_t offset, uint64_t length, bool punch)
{
    uint64_t size = atomic_load(&c->size);
    uint64_t end = HD_MIN(offset + length, size);
    int err = 0;
    if (offset < end && c->small) {
        err = small_zeros(c, offset, end);
    } else if (offset < end) {
        err = has_whole_block(c, offset, end) ? punch_blocks(c, offset, end - offset) : 0;
        err = err < 0 ? err : write_zeros(c, offset, end);
    }
    bool grow = err == 0 && !punch && offset + length > size;
    return grow ? hd_content_resize_locked(c, offset + length) : err;
}

int hd_content_zero(struct hd_content *c, uint64_t offset, uint64_t length, bool punch)
{
    if (offset > HD_FILE_MAX_BYTES || length > HD_FILE_MAX_BYTES - offset) {
        return hd_fail(-EFBIG, "%s: a file ends at 64 TiB", c->path);
    }
    pthread_mutex_lock(&c->order);
    int err = zero(c, offset, length, punch);
    if (err == 0) {
        hd_content_touch(c);
    }
    pthread_mutex_unlock(&c->order);
    return err;
}

int hd_content_allocate(struct hd_content *c, uint64_t offset, uint64_t length, bool keep_size)
{
    if (offset > HD_FILE_MAX_BYTES || length > HD_FILE_MAX_BYTES - offset) {
        return hd_fail(-EFBIG, "%s: a file ends at 64 TiB", c->path);
    }
    if (keep_size || offset + length <= hd_content_size(c)) {
        return 0;
    }
    return hd_content_resize(c, offset + length);
}
