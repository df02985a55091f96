/*
 * A small file: bytes in memory until they are settled, when they go to meta in one call; and how
 * they become blocks when the file grows.
 */
#include "fs/base/error.h"
#include "fs/client/content_impl.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 512 };

bool hd_content_small_fits(const struct hd_content *c, uint64_t size)
{
    return c->small && (size <= c->content_max || size <= atomic_load(&c->size));
}

/* Under the lock. */
static int make_room(struct hd_content *c, uint64_t size)
{
    if (size <= c->bytes_capacity) {
        return 0;
    }
    size_t capacity = HD_MAX(c->bytes_capacity, (size_t)FIRST_CAPACITY);
    while (capacity < size) {
        capacity *= 2;
    }
    uint8_t *bytes = realloc(c->bytes, capacity);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    atomic_fetch_add(&c->held_bytes, capacity - c->bytes_capacity);
    c->bytes = bytes;
    c->bytes_capacity = capacity;
    return 0;
}

int hd_content_small_resize(struct hd_content *c, uint64_t size)
{
    pthread_mutex_lock(&c->lock);
    int err = make_room(c, size);
    uint64_t old = atomic_load(&c->size);
    if (err == 0) {
        if (size > old) {
            memset(c->bytes + old, 0, (size_t)(size - old));
        }
        atomic_store(&c->size, size);
        c->small_dirty = true;
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}

int hd_content_small_write(struct hd_content *c, const void *data, size_t size, uint64_t offset)
{
    uint64_t end = offset + size;
    int err = end > atomic_load(&c->size) ? hd_content_small_resize(c, end) : 0;
    if (err == 0) {
        pthread_mutex_lock(&c->lock);
        memcpy(c->bytes + offset, data, size);
        c->small_dirty = true;
        pthread_mutex_unlock(&c->lock);
    }
    return err;
}

int hd_content_small_send(struct hd_content *c, const struct hd_posix_change *change,
                          Hdw__CapKind keep, struct hd_posix_attr *ret)
{
    uint64_t size = atomic_load(&c->size);
    int err = hd_posix_write_content(c->posix, c->ino, c->bytes, (size_t)size, change, keep, ret);
    if (err == 0) {
        pthread_mutex_lock(&c->lock);
        c->small_dirty = false;
        c->stored_bytes = size;
        pthread_mutex_unlock(&c->lock);
        c->opened = false; /* the lease ended with it */
    }
    return err;
}

/* What meta has is as long as the first block now. */
static int tell_stored(struct hd_content *c)
{
    struct hd_open_block *b = hd_content_last_open(c);
    pthread_mutex_lock(&b->w.lock);
    int err = hd_open_block_flush(b, true);
    b->told_failure = b->told_failure || err < 0;
    pthread_mutex_unlock(&b->w.lock);
    return err < 0 ? err : hd_content_tell_length(c, b);
}

/*
 * Meta keeps what it has until it is told that the first block is as long: so the bytes are written
 * to the nodes' disks first, and what is shorter than meta's copy is sent there before.
 */
int hd_content_small_spill(struct hd_content *c)
{
    uint64_t size = atomic_load(&c->size);
    int err = 0;
    if (c->stored_bytes > size) {
        err = hd_content_small_send(c, NULL, HDW__CAP_KIND__CAP_WRITE, NULL);
    }
    if (err < 0) {
        return err;
    }
    uint64_t stored = c->stored_bytes;
    pthread_mutex_lock(&c->lock);
    c->small = false;
    c->spilled_bytes = size;
    pthread_mutex_unlock(&c->lock);
    if (size > 0) {
        err = hd_content_write_locked(c, c->bytes, (size_t)size, 0);
    }
    if (err == 0 && stored > 0) {
        err = tell_stored(c);
    }
    if (err < 0) {
        hd_content_drop_all(c);
    }
    pthread_mutex_lock(&c->lock);
    c->spilled_bytes = 0;
    if (err < 0) { /* the bytes are still all here */
        while (c->pieces.count > 0) {
            hd_located_free(c->pieces.items[--c->pieces.count].block);
        }
        c->small = true;
        c->small_dirty = true;
        atomic_store(&c->size, size);
    } else {
        atomic_fetch_sub(&c->held_bytes, c->bytes_capacity);
        free(c->bytes);
        c->bytes = NULL;
        c->bytes_capacity = 0;
        c->stored_bytes = 0;
    }
    pthread_mutex_unlock(&c->lock);
    return err;
}
