/*
 * The apply thread: durable changes of the namespace into the view, behind the log.
 *
 * Only what is durable in the log may be submitted, so the view never runs ahead of it. When the
 * view cannot be written (its disk is full, say), the thread says so once and drops what comes:
 * the log has it, and the next start replays or rebuilds.
 */
#ifndef HD_META_SHELL_APPLY_THREAD_H
#define HD_META_SHELL_APPLY_THREAD_H

#include "fs/base/types.h"
#include "meta/kv/kv.h"

struct hd_apply_thread;

int hd_apply_thread_start(struct hd_kv *view, struct hd_txid applied, struct hd_apply_thread **ret);

/* Hands a batch over, which comes back empty; it brings the view to `last`. Any one thread. */
int hd_apply_thread_submit(struct hd_apply_thread *t, struct hd_kv_batch *b, struct hd_txid last);

/* Bytes submitted and not yet applied; and how far the view is. Any thread. */
size_t hd_apply_thread_backlog(struct hd_apply_thread *t);
struct hd_txid hd_apply_thread_applied(struct hd_apply_thread *t);

/*
 * Calls fn on the apply thread when everything submitted so far is in the view: with a snapshot
 * that fn owns, or NULL and an error (failure text set). 0 or -ENOMEM.
 */
typedef void (*hd_apply_snapshot_fn)(void *ctx, int err, struct hd_kv_snapshot *s,
                                     struct hd_txid applied);
int hd_apply_thread_snapshot(struct hd_apply_thread *t, hd_apply_snapshot_fn fn, void *ctx);

/* Applies all that was submitted and ends the thread. */
void hd_apply_thread_stop(struct hd_apply_thread *t); /* takes NULL */

#endif
