/*
 * The log's threads: one writes what the executor hands over, one makes it durable.
 *
 *   executor --submit--> writer (pwrite) --written--> syncer (fdatasync) --durable--> executor
 *
 * While neither is at work, a little is written by the executor itself: that takes less than waking
 * the writer and being woken by it. A write beside an fdatasync may have to wait for it.
 *
 * Group commit: whatever has been written while an fdatasync was under way is covered by the next
 * one. An fdatasync happens when somebody waits for it (want) or flush_ms after the first write
 * that nobody waits for. A failed write or fdatasync ends the process: what reached the disk is
 * not known, and going on would acknowledge what may be lost. Only for room it waits: what found
 * none was not written.
 */
#ifndef HD_META_SHELL_LOG_THREAD_H
#define HD_META_SHELL_LOG_THREAD_H

#include "fs/base/buf.h"
#include "fs/base/types.h"

struct hd_edit_log;
struct hd_loop;
struct hd_log_thread;

struct hd_log_thread_options {
    struct hd_edit_log *log; /* has a segment; borrowed */
    struct hd_loop *loop;    /* where the callbacks run */
    int64_t flush_ms;
    /* Everything up to `written` is in the file, up to `durable` on the disk. */
    void (*on_progress)(void *ctx, struct hd_txid written, struct hd_txid durable);
    void *ctx;
};

int hd_log_thread_start(const struct hd_log_thread_options *options, struct hd_log_thread **ret);

/*
 * Hands frames over (the buffer comes back empty, with other memory); the newest is `last`. want:
 * make everything up to this txid durable at once (0: nobody waits). frames may be empty.
 */
void hd_log_thread_submit(struct hd_log_thread *t, struct hd_buf *frames, struct hd_txid last,
                          struct hd_txid want);

/*
 * Writes the frames at once (and leaves the buffer empty) if nothing is in the way, and few they
 * are: true; on_progress is not called for it. False: submit them.
 */
bool hd_log_thread_write_now(struct hd_log_thread *t, struct hd_buf *frames, struct hd_txid last,
                             struct hd_txid want);

/* Ends the segment behind what was submitted so far; fn(ctx, last txid) on the loop. */
typedef void (*hd_log_rolled_fn)(void *ctx, struct hd_txid last);
int hd_log_thread_roll(struct hd_log_thread *t, hd_log_rolled_fn fn, void *ctx);

/*
 * Writes and syncs all that was submitted, ends the threads. Nothing is posted any more, but what
 * was posted before still has to run: a last turn of the loop. On the loop's thread.
 */
void hd_log_thread_stop(struct hd_log_thread *t); /* takes NULL */

#endif
