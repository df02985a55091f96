/*
 * Who knows what: one entry a session and inode, found by the inode's number, so that a change
 * costs one look however many sessions there are.
 */
#include "meta/core/mem.h"
#include "meta/core/session_impl.h"

enum { FIRST_BUCKETS = 1024 };

static struct hd_known **bucket_of(const struct hd_sessions *x, uint64_t ino)
{
    return &x->buckets[hd_hash_u64(ino) & (x->bucket_count - 1)];
}

static struct hd_known *seek(struct hd_known *k, uint64_t ino)
{
    while (k != NULL && k->ino != ino) {
        k = k->hash_next;
    }
    return k;
}

struct hd_known *hd_known_first(const struct hd_sessions *x, uint64_t ino)
{
    return x->known_count == 0 ? NULL : seek(*bucket_of(x, ino), ino);
}

struct hd_known *hd_known_next(const struct hd_known *k)
{
    return seek(k->hash_next, k->ino);
}

struct hd_known *hd_known_find(const struct hd_sessions *x, uint64_t ino,
                               const struct hd_session *s)
{
    struct hd_known *k = hd_known_first(x, ino);
    while (k != NULL && k->session != s) {
        k = hd_known_next(k);
    }
    return k;
}

static void grow(struct hd_sessions *x)
{
    struct hd_sessions more = {.bucket_count = HD_MAX(x->bucket_count * 2, (size_t)FIRST_BUCKETS)};
    more.buckets = hd_mem_new(sizeof(*more.buckets) * more.bucket_count);
    for (size_t n = 0; n < x->bucket_count; n++) {
        for (struct hd_known *k = x->buckets[n], *next; k != NULL; k = next) {
            struct hd_known **bucket = bucket_of(&more, k->ino);
            next = k->hash_next;
            k->hash_next = *bucket;
            *bucket = k;
        }
    }
    free(x->buckets);
    x->buckets = more.buckets;
    x->bucket_count = more.bucket_count;
}

struct hd_known *hd_known_get(struct hd_sessions *x, uint64_t ino, struct hd_session *s,
                              size_t ceiling)
{
    struct hd_known *k = hd_known_find(x, ino, s);
    if (k != NULL) {
        hd_list_remove(&k->in_session);
        hd_list_push_back(&s->known, &k->in_session);
        return k;
    }
    if (s->known_count >= ceiling) {
        return NULL;
    }
    if (x->known_count >= x->bucket_count) {
        grow(x);
    }
    k = HD_MEM_NEW(struct hd_known);
    k->ino = ino;
    k->session = s;
    struct hd_known **bucket = bucket_of(x, ino);
    k->hash_next = *bucket;
    *bucket = k;
    x->known_count++;
    s->known_count++;
    hd_list_push_back(&s->known, &k->in_session);
    return k;
}

void hd_known_drop(struct hd_sessions *x, struct hd_known *k)
{
    struct hd_known **at = bucket_of(x, k->ino);
    while (*at != k) {
        hd_assert(*at != NULL);
        at = &(*at)->hash_next;
    }
    *at = k->hash_next;
    x->known_count--;
    k->session->known_count--;
    if ((k->bits & HD_KNOWN_DUE) != 0) {
        free(hd_map_remove(&k->session->dues, k->ino));
    }
    hd_list_remove(&k->in_session);
    free(k);
}

struct hd_due *hd_due_find(const struct hd_known *k)
{
    return (k->bits & HD_KNOWN_DUE) != 0 ? hd_map_get(&k->session->dues, k->ino) : NULL;
}

struct hd_due *hd_due_get(struct hd_known *k)
{
    struct hd_due *due = hd_due_find(k);
    if (due == NULL) {
        due = HD_MEM_NEW(struct hd_due);
        int err = hd_map_put(&k->session->dues, k->ino, due);
        hd_assert(err == 0);
        k->bits |= HD_KNOWN_DUE;
    }
    return due;
}

void hd_due_settle(struct hd_sessions *x, struct hd_known *k)
{
    const struct hd_due *due = hd_due_find(k);
    if (due == NULL || due->attr != 0 || due->entries != 0 || due->recall != 0) {
        return;
    }
    free(hd_map_remove(&k->session->dues, k->ino));
    k->bits &= (uint8_t)~HD_KNOWN_DUE;
    if (k->bits == HD_KNOWN_LEAVES && k->cap == HD_CAP_NONE) {
        hd_known_drop(x, k);
    }
}
