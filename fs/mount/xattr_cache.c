/* Extended attributes that are known. See xattr_cache.h. */
#include "fs/mount/xattr_cache.h"
#include "fs/base/list.h"
#include "fs/base/map.h"

#include <pthread.h>
#include <stdlib.h>

enum { STAMPS = 1024 }; /* pushes are counted by hash of the inode */

struct entry {
    struct hd_list used; /* the longest unused first */
    uint64_t id;
    size_t size;
    uint8_t bytes[]; /* the answer, encoded */
};

struct hd_xattr_cache {
    pthread_mutex_t lock;
    struct hd_map entries; /* id -> struct entry */
    struct hd_list used;
    size_t bytes;
    uint64_t pushes[STAMPS];
};

struct hd_xattr_cache *hd_xattr_cache_new(void)
{
    struct hd_xattr_cache *c = calloc(1, sizeof(*c));
    if (c != NULL) {
        pthread_mutex_init(&c->lock, NULL);
        hd_map_init(&c->entries);
        hd_list_init(&c->used);
    }
    return c;
}

static void drop(struct hd_xattr_cache *c, struct entry *e)
{
    hd_map_remove(&c->entries, e->id);
    hd_list_remove(&e->used);
    c->bytes -= sizeof(*e) + e->size;
    free(e);
}

static void drop_all(struct hd_xattr_cache *c)
{
    HD_LIST_FOR_SAFE(it, &c->used)
    {
        drop(c, HD_LIST_ENTRY(it, struct entry, used));
    }
}

void hd_xattr_cache_free(struct hd_xattr_cache *c)
{
    if (c == NULL) {
        return;
    }
    drop_all(c);
    hd_map_done(&c->entries);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

static uint64_t *stamp_of(struct hd_xattr_cache *c, uint64_t id)
{
    return &c->pushes[hd_hash_u64(id) % STAMPS];
}

uint64_t hd_xattr_cache_stamp(struct hd_xattr_cache *c, uint64_t id)
{
    pthread_mutex_lock(&c->lock);
    uint64_t stamp = *stamp_of(c, id);
    pthread_mutex_unlock(&c->lock);
    return stamp;
}

static void keep(struct hd_xattr_cache *c, struct entry *e)
{
    struct entry *old = hd_map_get(&c->entries, e->id);
    if (old != NULL) {
        drop(c, old);
    }
    if (hd_map_put(&c->entries, e->id, e) < 0) {
        free(e);
        return;
    }
    hd_list_push_back(&c->used, &e->used);
    c->bytes += sizeof(*e) + e->size;
    while (c->bytes > HD_XATTR_CACHE_BYTES) {
        drop(c, HD_LIST_ENTRY(c->used.next, struct entry, used));
    }
}

void hd_xattr_cache_put(struct hd_xattr_cache *c, uint64_t id, uint64_t stamp,
                        const Hdw__GetPosixXattrsResponse *answer)
{
    size_t size = hdw__get_posix_xattrs_response__get_packed_size(answer);
    struct entry *e = malloc(sizeof(*e) + size);
    if (e == NULL) {
        return;
    }
    *e = (struct entry){.id = id, .size = size};
    hd_list_init(&e->used);
    hdw__get_posix_xattrs_response__pack(answer, e->bytes);
    pthread_mutex_lock(&c->lock);
    if (*stamp_of(c, id) == stamp) {
        keep(c, e);
        e = NULL;
    }
    pthread_mutex_unlock(&c->lock);
    free(e);
}

Hdw__GetPosixXattrsResponse *hd_xattr_cache_get(struct hd_xattr_cache *c, uint64_t id,
                                                struct hd_arena *arena)
{
    Hdw__GetPosixXattrsResponse *r = NULL;
    ProtobufCAllocator allocator = hd_arena_allocator(arena);
    pthread_mutex_lock(&c->lock);
    struct entry *e = hd_map_get(&c->entries, id);
    if (e != NULL) {
        hd_list_remove(&e->used);
        hd_list_push_back(&c->used, &e->used);
        r = hdw__get_posix_xattrs_response__unpack(&allocator, e->size, e->bytes);
    }
    pthread_mutex_unlock(&c->lock);
    return r;
}

void hd_xattr_cache_forget(struct hd_xattr_cache *c, uint64_t id)
{
    pthread_mutex_lock(&c->lock);
    ++*stamp_of(c, id);
    struct entry *e = hd_map_get(&c->entries, id);
    if (e != NULL) {
        drop(c, e);
    }
    pthread_mutex_unlock(&c->lock);
}

void hd_xattr_cache_forget_all(struct hd_xattr_cache *c)
{
    pthread_mutex_lock(&c->lock);
    for (size_t n = 0; n < STAMPS; n++) {
        c->pushes[n]++;
    }
    drop_all(c);
    pthread_mutex_unlock(&c->lock);
}
