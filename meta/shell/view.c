/* See view.h. */
#include "meta/shell/view.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

bool hd_view_is_applied_key(const struct hd_kv_op *op)
{
    return op->key_size == strlen(HD_VIEW_APPLIED_KEY) &&
           memcmp(op->key, HD_VIEW_APPLIED_KEY, op->key_size) == 0;
}

int hd_view_applied_get(struct hd_kv *view, struct hd_txid *ret)
{
    HD_AUTO(hd_buf_done) struct hd_buf value = {0};
    int err = hd_kv_get(view, HD_VIEW_APPLIED_KEY, strlen(HD_VIEW_APPLIED_KEY), &value);
    if (err == 0 && value.size != sizeof(ret->v)) {
        err =
            hd_fail(-HD_E_CORRUPT, "the view's %s has %zu bytes", HD_VIEW_APPLIED_KEY, value.size);
    }
    if (err == 0) {
        ret->v = hd_get_le64(value.data);
    }
    return err;
}

int hd_view_batch_puts(struct hd_kv_batch *b, const struct hd_meta_effects *e)
{
    int err = 0;
    for (size_t i = 0; i < e->put_count && err == 0; i++) {
        const struct hd_meta_put *p = &e->puts[i];
        err = p->value != NULL ? hd_kv_batch_put(b, p->key, p->key_size, p->value, p->value_size)
                               : hd_kv_batch_delete(b, p->key, p->key_size);
    }
    return err;
}

int hd_view_batch_applied(struct hd_kv_batch *b, struct hd_txid applied)
{
    uint8_t value[8];
    hd_put_le64(value, applied.v);
    return hd_kv_batch_put(b, HD_VIEW_APPLIED_KEY, strlen(HD_VIEW_APPLIED_KEY), value,
                           sizeof(value));
}
