/*
 * The store in memory: an array of entries in key order. Snapshots are copies; it is made for tests
 * and the simulator, not for speed. See kv.h.
 */
#include "meta/kv/kv.h"
#include "meta/kv/kv_impl.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

struct entry {
    uint8_t *bytes; /* key, then value */
    size_t key_size;
    size_t value_size;
};

struct table {
    struct entry *entries;
    size_t count;
    size_t capacity;
};

struct store {
    struct hd_kv kv;
    struct table table;
};

struct iter {
    struct hd_kv_iter it;
    struct table table; /* a copy */
    size_t at;
};

static void table_done(struct table *t)
{
    for (size_t i = 0; i < t->count; i++) {
        free(t->entries[i].bytes);
    }
    free(t->entries);
    *t = (struct table){0};
}

/* Index of the first entry that is not below key; ret_found: it is key. */
static size_t find(const struct table *t, const void *key, size_t key_size, bool *ret_found)
{
    size_t low = 0;
    size_t high = t->count;
    *ret_found = false;
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        const struct entry *e = &t->entries[mid];
        int order = memcmp(e->bytes, key, HD_MIN(e->key_size, key_size));
        if (order == 0) {
            order = e->key_size < key_size ? -1 : e->key_size > key_size;
        }
        if (order == 0) {
            *ret_found = true;
            return mid;
        }
        if (order < 0) {
            low = mid + 1;
        } else {
            high = mid;
        }
    }
    return low;
}

static int table_put(struct table *t, const struct hd_kv_op *op)
{
    bool found;
    size_t at = find(t, op->key, op->key_size, &found);
    struct entry e = {malloc(op->key_size + op->value_size + 1), op->key_size, op->value_size};
    if (e.bytes == NULL) {
        return -ENOMEM;
    }
    memcpy(e.bytes, op->key, op->key_size);
    if (op->value_size > 0) {
        memcpy(e.bytes + op->key_size, op->value, op->value_size);
    }
    if (found) {
        free(t->entries[at].bytes);
        t->entries[at] = e;
        return 0;
    }
    if (t->count == t->capacity) {
        size_t capacity = t->capacity == 0 ? 64 : t->capacity * 2;
        struct entry *grown = realloc(t->entries, capacity * sizeof(*grown));
        if (grown == NULL) {
            free(e.bytes);
            return -ENOMEM;
        }
        t->entries = grown;
        t->capacity = capacity;
    }
    memmove(t->entries + at + 1, t->entries + at, (t->count - at) * sizeof(e));
    t->entries[at] = e;
    t->count++;
    return 0;
}

static void table_delete(struct table *t, const struct hd_kv_op *op)
{
    bool found;
    size_t at = find(t, op->key, op->key_size, &found);
    if (!found) {
        return;
    }
    free(t->entries[at].bytes);
    t->count--;
    memmove(t->entries + at, t->entries + at + 1, (t->count - at) * sizeof(*t->entries));
}

static void entry_op(const struct entry *e, struct hd_kv_op *ret)
{
    *ret = (struct hd_kv_op){e->bytes, e->key_size, e->bytes + e->key_size, e->value_size};
}

static int table_copy(const struct table *from, struct table *ret)
{
    struct table copy = {0};
    for (size_t i = 0; i < from->count; i++) {
        struct hd_kv_op op;
        entry_op(&from->entries[i], &op);
        if (table_put(&copy, &op) < 0) {
            table_done(&copy);
            return -ENOMEM;
        }
    }
    *ret = copy;
    return 0;
}

static void store_close(struct hd_kv *kv)
{
    struct store *s = (struct store *)kv;
    table_done(&s->table);
    free(s);
}

static int store_get(struct hd_kv *kv, const void *key, size_t key_size, struct hd_buf *out)
{
    struct store *s = (struct store *)kv;
    bool found;
    size_t at = find(&s->table, key, key_size, &found);
    if (!found) {
        return -ENOENT;
    }
    const struct entry *e = &s->table.entries[at];
    return hd_buf_add(out, e->bytes + e->key_size, e->value_size);
}

static int store_write(struct hd_kv *kv, const struct hd_kv_batch *b, bool sync)
{
    struct store *s = (struct store *)kv;
    struct hd_kv_op op;
    (void)sync;
    for (size_t at = 0; hd_kv_batch_next(b, &at, &op);) {
        if (op.value == NULL) {
            table_delete(&s->table, &op);
        } else if (table_put(&s->table, &op) < 0) {
            return hd_fail(-ENOMEM, "memory store: no memory");
        }
    }
    return 0;
}

static int store_snapshot_new(struct hd_kv *kv, struct hd_kv_snapshot **ret)
{
    struct store *s = (struct store *)kv;
    struct table *copy = calloc(1, sizeof(*copy));
    if (copy == NULL || table_copy(&s->table, copy) < 0) {
        free(copy);
        return -ENOMEM;
    }
    *ret = (struct hd_kv_snapshot *)copy;
    return 0;
}

static void store_snapshot_free(struct hd_kv *kv, struct hd_kv_snapshot *snapshot)
{
    struct table *copy = (struct table *)snapshot;
    (void)kv;
    table_done(copy);
    free(copy);
}

static int iter_next(struct hd_kv_iter *it, struct hd_kv_op *ret)
{
    struct iter *i = (struct iter *)it;
    if (i->at == i->table.count) {
        return 0;
    }
    entry_op(&i->table.entries[i->at++], ret);
    return 1;
}

static void iter_free(struct hd_kv_iter *it)
{
    struct iter *i = (struct iter *)it;
    table_done(&i->table);
    free(i);
}

static int store_iter_new(struct hd_kv *kv, struct hd_kv_snapshot *snapshot,
                          struct hd_kv_iter **ret)
{
    struct store *s = (struct store *)kv;
    struct iter *i = calloc(1, sizeof(*i));
    const struct table *from = snapshot != NULL ? (const struct table *)snapshot : &s->table;
    if (i == NULL || table_copy(from, &i->table) < 0) {
        free(i);
        return -ENOMEM;
    }
    i->it = (struct hd_kv_iter){iter_next, iter_free};
    *ret = &i->it;
    return 0;
}

static const struct hd_kv_ops store_ops = {
    .close = store_close,
    .get = store_get,
    .write = store_write,
    .snapshot_new = store_snapshot_new,
    .snapshot_free = store_snapshot_free,
    .iter_new = store_iter_new,
};

int hd_kv_open_memory(struct hd_kv **ret)
{
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->kv.ops = &store_ops;
    *ret = &s->kv;
    return 0;
}
