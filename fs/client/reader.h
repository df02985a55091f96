/*
 * A file open for reading, and the streams it keeps between reads. Inside the room.
 *
 * A stream is a request to a node whose packets arrive in order. Sequential reading goes on where
 * it stopped; what a reader's threads ask for slightly out of order is read past and set aside.
 */
#ifndef HD_CLIENT_READER_H
#define HD_CLIENT_READER_H

#include "fs/client/block_stream.h"
#include "fs/client/blocks.h"
#include "fs/client/core/retry.h"
#include "fs/client/session.h"

enum {
    HD_READER_STREAMS_MAX = 4,
    HD_READER_AHEAD_MAX = 8, /* pieces set aside a stream */
    HD_READER_BAD_MAX = 4,
    HD_READER_PATIENT_MS = 3000, /* where there is no other replica */
};

/* Bytes of a block read past for another thread. */
struct hd_ahead {
    uint64_t offset;
    size_t size;
    uint8_t *data; /* heap, owned; NULL: free */
};

/* A stream kept between reads. Fields under the reader's lock; `in` belongs to who set busy. */
struct hd_kept_stream {
    struct hd_block_stream in;
    bool open;
    bool busy;
    uint64_t block_id;
    uint64_t genstamp;
    uint64_t busy_end; /* where it will be when the current read is done */
    uint64_t pos;      /* copy of in.pos while not busy */
    uint64_t end;
    char node[HD_UUID_TEXT_BYTES];
    int64_t used_ms;
    struct hd_ahead ahead[HD_READER_AHEAD_MAX];
    size_t ahead_next;
};

struct hd_reader {
    struct hd_fs *fs;
    const char *path;                    /* of the file */
    int (*refresh)(struct hd_reader *r); /* asks meta where the blocks are now */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a stream became free */
    struct hd_blocks *blocks;
    struct hd_sequence sequence;
    struct hd_kept_stream streams[HD_READER_STREAMS_MAX];
    atomic_ullong local_bytes;
    atomic_ullong remote_bytes;
    atomic_ullong retries;
};

/* One part of a read: bytes of one block. */
struct hd_part {
    struct hd_blocks *blocks;
    Hdw__LocatedBlock *block;
    bool incomplete; /* the block is still being written: no descriptor of it is to be had */
    bool alone;      /* what is behind the part may change before it is read: no stream is kept */
    uint64_t block_size;
    uint64_t offset; /* in the block */
    uint8_t *out;
    size_t size;
    bool sequential;
    uint64_t slack; /* how far out of order the reader's threads may be */
    int timeout_ms;
};

/* What one pread remembers over its attempts. */
struct hd_attempts {
    struct hd_retry retry;
    bool begun; /* retry is in use */
    int round;
    /* Replicas whose sums did not fit: reported once another one of the block has proven good. */
    struct {
        uint64_t block_id; /* 0: free */
        char node[HD_UUID_TEXT_BYTES];
    } bad[HD_READER_BAD_MAX];
    size_t bad_next;
};

/* A reader without blocks, and the end of one. `path` is borrowed. */
void hd_reader_init(struct hd_reader *r, struct hd_fs *fs, const char *path);
void hd_reader_done(struct hd_reader *r);

/* How a read of size bytes at offset is to be understood: fills in sequential and slack. */
void hd_reader_note(struct hd_reader *r, uint64_t offset, size_t size, struct hd_part *ret);

/* Some bytes of the part from a stream that is there, else from any replica: as hd_reader_read_any.
 */
int hd_reader_read_part(struct hd_reader *r, struct hd_part *p, struct hd_attempts *a,
                        size_t *ret_done);

/*
 * After a round of failures: waits, asks meta again. The old error when the time is used up, or
 * meta said that the file is gone.
 */
int hd_reader_next_round(struct hd_reader *r, struct hd_attempts *a, int err);

/*
 * Some bytes of the part from any replica (read_replicas.c): 0 and *ret_done > 0, or the last
 * error.
 */
int hd_reader_read_any(struct hd_reader *r, struct hd_part *p, struct hd_attempts *a,
                       size_t *ret_done);

/* A descriptor of a finished block of that size from a holder on this machine; -ENOENT. */
int hd_reader_local_fd(struct hd_session *s, Hdw__LocatedBlock *block, uint64_t size, int *ret_fd);

/* The node's replica of the part's block is bad, as far as its sums tell. */
void hd_attempts_note_bad(struct hd_attempts *a, const struct hd_part *p, const char *node);

/*
 * A stream for the part, busy now; or *ret_copied bytes that were set aside, in p->out; or NULL.
 * Waits for streams that are about to come by. Takes the lock.
 */
struct hd_kept_stream *hd_reader_take_stream(struct hd_reader *r, const struct hd_part *p,
                                             size_t *ret_copied);

/*
 * A place for a new stream for the part, busy now, and how much to ask the node for. NULL when all
 * are busy: the part alone is to be read then. Takes the lock.
 */
struct hd_kept_stream *hd_reader_take_place(struct hd_reader *r, const struct hd_part *p,
                                            uint64_t *ret_ask);

/*
 * Reads bytes of the part from a stream that is the caller's, reading past what lies before. At
 * least one byte unless an error is returned; *ret_done are good even then.
 */
int hd_reader_read_stream(struct hd_reader *r, struct hd_kept_stream *k, const struct hd_part *p,
                          size_t *ret_done);

/* The stream is free for others again, or closed when it failed or is at its end. Takes the lock.
 */
void hd_reader_give_back(struct hd_reader *r, struct hd_kept_stream *k, int err);

/* Lets go of streams of a block that is about to be overwritten. Takes the lock. */
void hd_reader_forget(struct hd_reader *r, uint64_t block_id);

/* Closes a stream and frees what it set aside. */
void hd_reader_drop_stream(struct hd_reader *r, struct hd_kept_stream *k);

#endif
