/* What all kinds of store share: batches and dispatch. See kv.h. */
#include "meta/kv/kv.h"
#include "meta/kv/kv_impl.h"
#include "fs/base/assert.h"

enum { OP_PUT = 1, OP_DELETE = 2 };

void hd_kv_batch_done(struct hd_kv_batch *b)
{
    hd_buf_done(&b->ops);
    b->count = 0;
}

void hd_kv_batch_clear(struct hd_kv_batch *b)
{
    hd_buf_clear(&b->ops);
    b->count = 0;
}

static int add(struct hd_kv_batch *b, uint8_t kind, const void *key, size_t key_size,
               const void *value, size_t value_size)
{
    int err =
        hd_buf_reserve(&b->ops, 21 + key_size + value_size); /* so that nothing fails halfway */
    if (err < 0) {
        return err;
    }
    (void)hd_buf_add_u8(&b->ops, kind);
    (void)hd_buf_add_varint(&b->ops, key_size);
    (void)hd_buf_add(&b->ops, key, key_size);
    if (kind == OP_PUT) {
        (void)hd_buf_add_varint(&b->ops, value_size);
        (void)hd_buf_add(&b->ops, value, value_size);
    }
    b->count++;
    return 0;
}

int hd_kv_batch_put(struct hd_kv_batch *b, const void *key, size_t key_size, const void *value,
                    size_t value_size)
{
    return add(b, OP_PUT, key, key_size, value, value_size);
}

int hd_kv_batch_delete(struct hd_kv_batch *b, const void *key, size_t key_size)
{
    return add(b, OP_DELETE, key, key_size, NULL, 0);
}

static const uint8_t *take(const struct hd_buf *b, size_t *at, size_t *ret_size)
{
    uint64_t size;
    int n = hd_varint_decode(b->data + *at, b->size - *at, &size);
    hd_assert(n > 0 && size <= b->size - *at - (size_t)n); /* batches are our own */
    const uint8_t *p = b->data + *at + n;
    *at += (size_t)n + (size_t)size;
    *ret_size = (size_t)size;
    return p;
}

bool hd_kv_batch_next(const struct hd_kv_batch *b, size_t *at, struct hd_kv_op *ret)
{
    if (*at == b->ops.size) {
        return false;
    }
    uint8_t kind = b->ops.data[(*at)++];
    *ret = (struct hd_kv_op){0};
    ret->key = take(&b->ops, at, &ret->key_size);
    if (kind == OP_PUT) {
        ret->value = take(&b->ops, at, &ret->value_size);
    }
    return true;
}

void hd_kv_close(struct hd_kv *kv)
{
    if (kv != NULL) {
        kv->ops->close(kv);
    }
}

int hd_kv_get(struct hd_kv *kv, const void *key, size_t key_size, struct hd_buf *out)
{
    return kv->ops->get(kv, key, key_size, out);
}

int hd_kv_write(struct hd_kv *kv, const struct hd_kv_batch *b, bool sync)
{
    return kv->ops->write(kv, b, sync);
}

int hd_kv_snapshot_new(struct hd_kv *kv, struct hd_kv_snapshot **ret)
{
    return kv->ops->snapshot_new(kv, ret);
}

void hd_kv_snapshot_free(struct hd_kv *kv, struct hd_kv_snapshot *s)
{
    if (s != NULL) {
        kv->ops->snapshot_free(kv, s);
    }
}

int hd_kv_iter_new(struct hd_kv *kv, struct hd_kv_snapshot *s, struct hd_kv_iter **ret)
{
    return kv->ops->iter_new(kv, s, ret);
}

void hd_kv_iter_free(struct hd_kv_iter *it)
{
    if (it != NULL) {
        it->free(it);
    }
}

int hd_kv_iter_next(struct hd_kv_iter *it, struct hd_kv_op *ret)
{
    return it->next(it, ret);
}
