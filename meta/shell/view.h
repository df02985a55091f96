/* The view's own key, and a step's changes as a batch for it. */
#ifndef HD_META_SHELL_VIEW_H
#define HD_META_SHELL_VIEW_H

#include "meta/core/meta.h"
#include "meta/kv/kv.h"

/* Its value, u64 little-endian, says how far the view is. Every batch writes it. */
#define HD_VIEW_APPLIED_KEY "applied_txid"

bool hd_view_is_applied_key(const struct hd_kv_op *op);

/* -ENOENT: the view was never completed. -HD_E_CORRUPT, or what the store says. */
int hd_view_applied_get(struct hd_kv *view, struct hd_txid *ret);

/* Adds a step's puts, and the applied txid. Errors of hd_kv_batch_put. */
int hd_view_batch_puts(struct hd_kv_batch *b, const struct hd_meta_effects *e);
int hd_view_batch_applied(struct hd_kv_batch *b, struct hd_txid applied);

#endif
