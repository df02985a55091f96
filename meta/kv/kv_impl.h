/* How a kind of store plugs in below kv.h. */
#ifndef HD_META_KV_KV_IMPL_H
#define HD_META_KV_KV_IMPL_H

#include "meta/kv/kv.h"

struct hd_kv_ops {
    void (*close)(struct hd_kv *kv);
    int (*get)(struct hd_kv *kv, const void *key, size_t key_size, struct hd_buf *out);
    int (*write)(struct hd_kv *kv, const struct hd_kv_batch *b, bool sync);
    int (*snapshot_new)(struct hd_kv *kv, struct hd_kv_snapshot **ret);
    void (*snapshot_free)(struct hd_kv *kv, struct hd_kv_snapshot *s);
    int (*iter_new)(struct hd_kv *kv, struct hd_kv_snapshot *s, struct hd_kv_iter **ret);
};

/* First member of each kind's struct. */
struct hd_kv {
    const struct hd_kv_ops *ops;
};

struct hd_kv_iter {
    int (*next)(struct hd_kv_iter *it, struct hd_kv_op *ret);
    void (*free)(struct hd_kv_iter *it);
};

#endif
