/* The retry cache. See retry_cache.h. */
#include "meta/core/retry_cache.h"
#include "fs/base/bytes.h"
#include "meta/core/mem.h"

void hd_retry_cache_init(struct hd_retry_cache *c)
{
    hd_strmap_init(&c->by_key);
    hd_list_init(&c->all);
    c->count = 0;
}

static void drop(struct hd_retry_cache *c, struct hd_retry *r)
{
    hd_list_remove(&r->link);
    hd_strmap_remove(&c->by_key, (const char *)r->key, r->key_size);
    c->count--;
    free(r->response);
    free(r);
}

void hd_retry_cache_done(struct hd_retry_cache *c)
{
    HD_LIST_FOR_SAFE(it, &c->all)
    {
        drop(c, HD_LIST_ENTRY(it, struct hd_retry, link));
    }
    hd_strmap_done(&c->by_key);
}

/* 0: not usable. */
static size_t make_key(uint8_t *key, const uint8_t *client_id, size_t size, int32_t call_id)
{
    if (size == 0 || size > HD_CLIENT_ID_MAX_BYTES || call_id < 0) {
        return 0;
    }
    memcpy(key, client_id, size);
    hd_put_be32(key + size, (uint32_t)call_id);
    return size + 4;
}

static void drop_old(struct hd_retry_cache *c, struct hd_mono_ms now, int64_t max_ms)
{
    while (!hd_list_empty(&c->all)) {
        struct hd_retry *oldest = HD_LIST_ENTRY(c->all.next, struct hd_retry, link);
        if (oldest->at.v + max_ms > now.v) {
            return;
        }
        drop(c, oldest);
    }
}

struct hd_retry *hd_retry_cache_find(struct hd_retry_cache *c, const uint8_t *client_id,
                                     size_t client_id_size, int32_t call_id, struct hd_mono_ms now,
                                     int64_t max_ms)
{
    uint8_t key[HD_CLIENT_ID_MAX_BYTES + 4];
    drop_old(c, now, max_ms);
    size_t size = make_key(key, client_id, client_id_size, call_id);
    return size == 0 ? NULL : hd_strmap_get(&c->by_key, (const char *)key, size);
}

struct hd_retry *hd_retry_cache_add(struct hd_retry_cache *c, const uint8_t *client_id,
                                    size_t client_id_size, int32_t call_id, struct hd_mono_ms now)
{
    struct hd_retry r = {.at = now};
    r.key_size = make_key(r.key, client_id, client_id_size, call_id);
    if (r.key_size == 0) {
        return NULL;
    }
    struct hd_retry *old = hd_strmap_get(&c->by_key, (const char *)r.key, r.key_size);
    if (old != NULL) {
        drop(c, old);
    }
    if (c->count == HD_RETRY_CACHE_MAX) {
        drop(c, HD_LIST_ENTRY(c->all.next, struct hd_retry, link));
    }
    struct hd_retry *fresh = HD_MEM_NEW(struct hd_retry);
    *fresh = r;
    int err = hd_strmap_put(&c->by_key, (const char *)r.key, r.key_size, fresh);
    hd_assert(err == 0);
    hd_list_push_back(&c->all, &fresh->link);
    c->count++;
    return fresh;
}
