/*
 * The edit log: a directory of segments, edits_<first>-<last> (finished) and at most one
 * edits_inprogress_<first>, without a gap in their txids.
 *
 * Opening checks names and continuity, recovers the segment that was being written (cuts what was
 * never acknowledged, refuses when acknowledged records are damaged) and finishes it. A finished
 * segment is checked whole when it is replayed.
 *
 * Threads: append and roll on one thread; sync there or on one other, never beside a roll; read,
 * purge and the figures anywhere. Everything blocks on the disk. After a failed append, sync or
 * roll the process has to end: what reached the disk is not known (see architecture, D3).
 */
#ifndef HD_META_LOG_EDIT_LOG_H
#define HD_META_LOG_EDIT_LOG_H

#include "meta/log/members.h"
#include "meta/log/segment.h"

struct hd_edit_log;

struct hd_edit_log_options {
    const char *dir; /* exists */
    const char *cluster_id;
    uint64_t chunk_bytes;   /* preallocated at a time; 0: 4 MiB */
    uint64_t segment_bytes; /* then it is full; 0: 64 MiB */

    /*
     * Several directories with the same segments (hd_dirs_open saw to that), dir among them; NULL:
     * dir alone. What is durable is so in all that are in use. One that fails is dropped: noted in
     * the others (members.h) before the call that met the failure returns.
     */
    const struct hd_members *members;
    /* For the log; on the thread that met it. May be NULL. */
    void (*on_dropped)(void *ctx, const char *dir, const char *why);
    void (*on_repaired)(void *ctx, const char *path, const char *from, const char *why);
    void *ctx;
};

struct hd_edit_log_recovery {
    uint64_t cut_bytes;  /* garbage cut behind the last good record; 0: a clean end */
    uint64_t cut_offset; /* where, in the segment that was being written */
};

/* ret_recovery may be NULL. -HD_E_CORRUPT names file and offset. */
int hd_edit_log_open(const struct hd_edit_log_options *options, struct hd_edit_log **ret,
                     struct hd_edit_log_recovery *ret_recovery);
void hd_edit_log_close(struct hd_edit_log *l); /* takes NULL; syncs nothing */

/* The directories, in use or dropped. Pointers live as long as the log. */
struct hd_edit_log_dir {
    const char *dir;
    const char *failed; /* NULL: in use; else why it is not */
};
size_t hd_edit_log_dirs(struct hd_edit_log *l, struct hd_edit_log_dir out[HD_DIRS_MAX]);
const char *hd_edit_log_dir(struct hd_edit_log *l); /* the first one in use */
/* Leaves a directory out, for an error of something else that belongs in all. Errors: it is the
 * last. */
int hd_edit_log_drop(struct hd_edit_log *l, const char *dir, int err);

/*
 * First and last txid that the log holds. first = last + 1: it holds none, and `first` is the next
 * one (1 for a log without any file).
 */
struct hd_txid hd_edit_log_first(struct hd_edit_log *l);
struct hd_txid hd_edit_log_last(struct hd_edit_log *l);

/*
 * Calls fn with each record from `from` on, up to the end. Stops at the first negative result of fn
 * and returns it. -HD_E_CORRUPT when `from` is older than the log, or a segment is damaged.
 */
typedef int (*hd_edit_log_fn)(void *ctx, const struct hd_record *r);
int hd_edit_log_replay(struct hd_edit_log *l, struct hd_txid from, hd_edit_log_fn fn, void *ctx);

/* Starts the segment of `next`, which follows the last txid (any, when the log is empty). */
int hd_edit_log_start(struct hd_edit_log *l, struct hd_txid next);

/* A segment is being written: start() came, and neither stop() nor clear(). */
bool hd_edit_log_is_writing(const struct hd_edit_log *l);

/* The segment has reached its size: roll before the next append. The appending thread's. */
bool hd_edit_log_is_full(const struct hd_edit_log *l);

/*
 * Framed records, the newest of them `last`, with one write. -ENOSPC: the disks are full, nothing
 * is lost, and the same may be tried again.
 */
int hd_edit_log_append(struct hd_edit_log *l, const void *frames, size_t size, struct hd_txid last);
int hd_edit_log_sync(struct hd_edit_log *l);

/*
 * Finishes the segment (durable) and starts the next; nothing happens while it has no record.
 * -ENOSPC: may be tried again.
 */
int hd_edit_log_roll(struct hd_edit_log *l);

/* Finishes preallocation and makes all durable: the orderly end. */
int hd_edit_log_stop(struct hd_edit_log *l);

/* Removes finished segments whose records are all <= covered. Returns how many, or an error. */
int hd_edit_log_purge(struct hd_edit_log *l, struct hd_txid covered);

/*
 * Removes every segment: the log's owner starts over from an image that is newer than all of them.
 */
int hd_edit_log_clear(struct hd_edit_log *l);

/*
 * Appends framed records from..min(limit, end) to out, at most max_bytes but at least one.
 * ret_next is the txid behind the last one given. -ENOENT when `from` was purged.
 */
int hd_edit_log_read(struct hd_edit_log *l, struct hd_txid from, struct hd_txid limit,
                     size_t max_bytes, struct hd_buf *out, struct hd_txid *ret_next);

#endif
