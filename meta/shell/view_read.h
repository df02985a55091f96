/*
 * Reading the whole view at start: leveldb on a thread of its own, the caller's function on the
 * caller's, so that a namespace is loaded while the next piece of it is being read and checked.
 */
#ifndef HD_META_SHELL_VIEW_READ_H
#define HD_META_SHELL_VIEW_READ_H

#include "meta/kv/kv.h"

/* A negative result ends the reading and is its result. */
typedef int (*hd_view_read_fn)(void *ctx, const struct hd_kv_op *op);

/* Every key in order. Errors of the store, or fn's. Blocks. */
int hd_view_read(struct hd_kv *view, hd_view_read_fn fn, void *ctx);

#endif
