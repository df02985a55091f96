/*
 * One segment of the edit log: a file that is appended to, or read from the front.
 *
 * The writer preallocates in chunks, so that an fdatasync seldom has a size to write down; what is
 * not written yet reads as zeros. The reader stops at the first byte that is no good record and
 * says where; whether that is the end or damage is hd_segment_tail_check's to decide.
 *
 * All calls block on the disk. One thread a writer, one a reader; hd_segment_sync may run on
 * another thread beside hd_segment_append.
 */
#ifndef HD_META_LOG_SEGMENT_H
#define HD_META_LOG_SEGMENT_H

#include "meta/log/record.h"

enum { HD_LOG_PATH_BYTES = 4096 };

struct hd_segment_writer {
    int fd; /* -1: closed */
    char path[HD_LOG_PATH_BYTES];
    uint64_t size;      /* bytes written */
    uint64_t allocated; /* bytes the file has */
    uint64_t chunk;     /* how much is allocated at a time */
};

/* Makes the file (replacing one of that name) with its header, durable. */
int hd_segment_create(struct hd_segment_writer *w, const char *path, const char *cluster_id,
                      struct hd_txid first, uint64_t chunk_bytes);

/*
 * Appends framed records with one write. -ENOSPC: nothing counts as written, the same may be tried
 * again. After any other error the segment must not be used again.
 */
int hd_segment_append(struct hd_segment_writer *w, const void *data, size_t size);
int hd_segment_sync(struct hd_segment_writer *w);        /* fdatasync; an error is final */
void hd_segment_sync_begin(struct hd_segment_writer *w); /* begins to write back; a hint */

/*
 * Before a segment that was being written is read: writes back what the page cache has of it, and
 * forgets the cache. An fdatasync that failed leaves pages that look written and never were; what a
 * start-up believes has to come from the disk.
 */
int hd_segment_settle(const char *path);

/* Cuts what was preallocated, makes the file durable and closes it. */
int hd_segment_finish(struct hd_segment_writer *w);
void hd_segment_writer_done(struct hd_segment_writer *w); /* just closes */

struct hd_segment_reader {
    int fd; /* -1: closed */
    char path[HD_LOG_PATH_BYTES];
    uint64_t size;        /* of the file, when it was opened */
    uint64_t offset;      /* of the next record in the file */
    struct hd_txid next;  /* its txid */
    struct hd_buf window; /* bytes of the file from window_offset on */
    uint64_t window_offset;
    enum hd_record_state end; /* why next() returned 0; HD_RECORD_GOOD: exactly at the file's end */
};

/* Opens and checks the header. -HD_E_CORRUPT, -HD_E_INCORRECT_VERSION or an errno, naming path. */
int hd_segment_reader_open(struct hd_segment_reader *r, const char *path, const char *cluster_id,
                           struct hd_txid first);
void hd_segment_reader_done(struct hd_segment_reader *r);

/*
 * The next record; ret->data is good until the next call. 1: a record, 0: no (further) good record
 * at r->offset, r->end says what is there; -HD_E_CORRUPT when a good record has a wrong txid.
 */
int hd_segment_reader_next(struct hd_segment_reader *r, struct hd_record *ret);

/*
 * After next() returned 0 in a segment that was being written: 0 when what is at r->offset can be
 * the end of the log (nothing, or writes that were never acknowledged), and may be cut; ret_garbage
 * then counts the bytes up to the last one that is not zero. -HD_E_CORRUPT, naming file and offset,
 * when acknowledged records are damaged.
 */
int hd_segment_tail_check(struct hd_segment_reader *r, uint64_t *ret_garbage);

/* After next() returned 0 in a finalized segment: 0 when the file ends there with record `last`. */
int hd_segment_end_check(const struct hd_segment_reader *r, struct hd_txid last);

#endif
