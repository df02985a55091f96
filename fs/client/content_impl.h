/*
 * The inside of a content (content.h). Inside the room.
 *
 *   content.c          its life, layout and size
 *   content_small.c    bytes in memory, and how they become blocks
 *   content_block.c    one open block: a writer of its own
 *   content_open.c     which blocks are open: opening, closing, what a failure leaves
 *   content_write.c    pwrite, zero, allocate
 *   content_flush.c    flush
 *   content_read.c     pread
 *   content_settle.c   resize, punch, settle
 *
 * Locks, in this order: `order` (changes come one after the other; held over calls of meta), an
 * open block's writer (its packets and chain; let go of while it waits for nodes), `lock` (layout
 * and small bytes; never held over anything that blocks).
 */
#ifndef HD_CLIENT_CONTENT_IMPL_H
#define HD_CLIENT_CONTENT_IMPL_H

#include "fs/client/content.h"
#include "fs/client/content_tender.h"
#include "fs/client/core/inflight.h"
#include "fs/client/core/pieces.h"
#include "fs/client/posix_impl.h"
#include "fs/client/reader.h"
#include "fs/client/writer.h"

/* A block that is open for writing. What is below `refs` is under the writer's lock. */
struct hd_open_block {
    struct hd_list link; /* in the content, the one used last first; under `order` */
    struct hd_content *content;
    uint64_t offset; /* of the block in the file */
    int64_t used_ms; /* under `order` */
    bool into_hole;  /* it has taken some of the hole behind it; under `order` */
    bool was_there;  /* not fresh: a finished one was opened; under `order` */
    atomic_uint refs;

    struct hd_writer w;
    Hdw__OpenBlockResponse *offer; /* of meta, to be set up; in the chain's arena */
    uint64_t limit;                /* bytes the block may grow to */
    struct hd_inflight inflight;   /* what the queue holds */
    struct hd_blocks *view;        /* the block alone, as it can be read now; NULL: to be made */
    uint64_t view_stamp;           /* the chain's when it was made */
    uint64_t told_bytes;           /* length that meta knows */
    uint64_t synced_serial; /* everything up to this packet is on the disks of its nodes ... */
    uint64_t synced_stamp;  /* ... which were the chain with this stamp */
    size_t counted_bytes;   /* of held_bytes */
    bool old_unsynced;      /* nor perhaps what was in the block before it was opened */
    uint64_t acked_most;    /* the highest serial that was acknowledged, also by a block given up */
    bool doubtful;          /* all its nodes went, and with them perhaps what was not synced */
    bool told_failure;      /* somebody who writes was told that it failed */
};

struct hd_content {
    struct hd_posix *posix;
    struct hd_fs *fs;
    uint64_t ino;
    char path[64]; /* "/.reserved/.inodes/<ino>" */
    uint64_t block_bytes;
    uint32_t replication;
    uint32_t content_max;
    struct hd_reader reader;
    struct hd_tended tended;

    pthread_mutex_t order;
    struct hd_list open; /* of hd_open_block.link */
    size_t open_count;
    bool opened;    /* meta holds the file open for us */
    bool has_quota; /* a block is begun before it is written to */
    Hdw__CapKind granted;
    int error; /* nobody was told of yet */
    char error_text[512];

    pthread_mutex_t lock;
    bool small; /* the bytes below are all; else the pieces */
    bool small_dirty;
    uint8_t *bytes; /* heap, owned */
    size_t bytes_capacity;
    uint64_t spilled_bytes; /* of the bytes, while they become blocks: they are read from here */
    uint64_t stored_bytes;  /* how long meta's copy is, or its blocks that the bytes replace */
    struct hd_pieces
        pieces; /* .block: struct hd_located, .open: struct hd_open_block (no reference) */

    uint32_t losses; /* of the session, that a flush told of: hd_fs_sync_since */
    atomic_ullong size;
    atomic_llong mtime_ns;
    atomic_bool changed; /* since it was settled: the time of change is ours to tell */
    atomic_bool unsettled;
    atomic_size_t held_bytes;
};

/* A finished block: a reference to the list it is of. */
struct hd_located {
    struct hd_blocks *list;
    Hdw__LocatedBlock *block;
};

/* ---- content.c ---- */

/* NULL: no memory. list gets one more reference. */
struct hd_located *hd_located_new(struct hd_blocks *list, size_t index);
void hd_located_free(struct hd_located *l); /* takes NULL */

/* Everything from an answer; under `order`. Nothing may be open or unsettled. */
int hd_content_adopt(struct hd_content *c, const Hdw__PosixAttr *attr, const uint8_t *bytes,
                     size_t bytes_size, const Hdw__LocatedBlocks *blocks);

/* Asks meta where the finished blocks are now. No lock. */
int hd_content_refresh(struct hd_reader *r);

void hd_content_touch(struct hd_content *c); /* it has changed now */

/* An error for the next who asks; under `order`. */
void hd_content_note_error(struct hd_content *c, int err);
int hd_content_take_error(struct hd_content *c);

/* ---- content_small.c ---- */

/* Changes the bytes in memory; they fit. Under `order`. */
int hd_content_small_write(struct hd_content *c, const void *data, size_t size, uint64_t offset);
int hd_content_small_resize(struct hd_content *c, uint64_t size);

/* Can the small content be of that size? */
bool hd_content_small_fits(const struct hd_content *c, uint64_t size);

/* Sends the bytes to meta, when they are not there. change and ret may be NULL. Under `order`. */
int hd_content_small_send(struct hd_content *c, const struct hd_posix_change *change,
                          Hdw__CapKind keep, struct hd_posix_attr *ret);

/* The bytes become blocks, so that the file can grow. Under `order`. */
int hd_content_small_spill(struct hd_content *c);

/* ---- content_block.c: under the writer's lock unless said otherwise ---- */

/* Of a block at that offset that may grow to limit bytes; not open at meta yet. */
int hd_open_block_new(struct hd_content *c, uint64_t offset, uint64_t limit,
                      struct hd_open_block **ret);
struct hd_open_block *hd_open_block_ref(struct hd_open_block *b); /* no lock */
void hd_open_block_unref(struct hd_open_block *b);                /* no lock; takes NULL */

/* A fresh block from meta, and its chain. */
int hd_open_block_begin(struct hd_open_block *b);

/* What meta gives for its offset: a fresh block, or one that is there; offset becomes that one's.
 */
int hd_open_block_open(struct hd_open_block *b);

/* Queues bytes at an offset of the block; they fit. Waits when too many are under way. */
int hd_open_block_write(struct hd_open_block *b, const uint8_t *data, size_t size, uint64_t offset);

/* Everything written so far is on its way; *ret_serial: what to wait for. */
int hd_open_block_push(struct hd_open_block *b, bool sync, uint64_t *ret_serial);
int hd_open_block_await(struct hd_open_block *b, uint64_t serial, bool sync);

int hd_open_block_flush(struct hd_open_block *b, bool sync); /* both */

/* Makes view: the block as it is on its nodes now. */
int hd_open_block_view(struct hd_open_block *b);

/* Before bytes of it are read: waits for those that are under way. Then *ret can be read, a
 * reference. */
int hd_open_block_readable(struct hd_open_block *b, uint64_t offset, uint64_t size,
                           struct hd_blocks **ret);

/* Everything is on its nodes, and they know the length. Then the block is as *ret says, a reference
 * (NULL: it was never begun and is empty). */
int hd_open_block_finish(struct hd_open_block *b, struct hd_blocks **ret);

uint64_t hd_open_block_end(const struct hd_open_block *b); /* of its bytes */
bool hd_open_block_is_synced(const struct hd_open_block *b);

/* ---- content_open.c: under `order` ---- */

/* The open block for writing at offset, which is in the file or at its end. */
int hd_content_open_at(struct hd_content *c, uint64_t offset, struct hd_open_block **ret);

/* How long the block may get before it meets another one. */
uint64_t hd_content_room(struct hd_content *c, const struct hd_open_block *b);

/* [offset, end) of the file was written to the block: the layout grows. */
void hd_content_grown(struct hd_content *c, struct hd_open_block *b, uint64_t end);

/*
 * Finishes a block and takes it out. closing: NULL: meta is told; else the block is put there, for
 * closeBlocks (num_bytes 0 in an absent one: there was none).
 */
struct hd_closing {
    struct hd_blocks *lists[HD_CONTENT_OPEN_MAX]; /* references */
    Hdw__ExtendedBlock blocks[HD_CONTENT_OPEN_MAX];
    size_t count;
};
int hd_content_close_block(struct hd_content *c, struct hd_open_block *b,
                           struct hd_closing *closing);
int hd_content_close_all(struct hd_content *c, struct hd_closing *closing);
void hd_closing_done(struct hd_closing *closing);

/* Takes an open block out, whatever is in it. */
void hd_content_drop_block(struct hd_content *c, struct hd_open_block *b);
void hd_content_drop_all(struct hd_content *c);

/* Takes out blocks whose chain failed; their errors are noted. */
void hd_content_bury(struct hd_content *c);

/* Blocks that were not closed in order are opened and closed, so that their replicas are the same.
 */
int hd_content_mend(struct hd_content *c);

/* The open block at the end of the file, or NULL. */
struct hd_open_block *hd_content_last_open(struct hd_content *c);

/* Tells meta how much of the last block is on its nodes. */
int hd_content_tell_length(struct hd_content *c, struct hd_open_block *b);

/* The block that was finished is not known to be closed. */
void hd_content_mark_broken(struct hd_content *c, const Hdw__ExtendedBlock *block);

/* What the tender does. */
void hd_content_tend(struct hd_tended *t);

/* ---- content_write.c: under `order`; the file is not small ---- */
int hd_content_write_locked(struct hd_content *c, const void *data, size_t size, uint64_t offset);

/* ---- content_settle.c: under `order` ---- */
int hd_content_resize_locked(struct hd_content *c, uint64_t size);

#endif
