/*
 * The content of one file in a session: what the holder of its capability reads and writes. A small
 * file is bytes in memory (and in the metadata), a larger one is blocks and holes.
 *
 *   pwrite ─▶ layout: which block? ─▶ its chain (a writer of its own, kept open) ─▶ data nodes
 *   pread  ─▶ layout ─▶ own writes that are not acknowledged yet? wait for those ─▶ any replica
 *
 * Writing queues: bytes are with the nodes when flush returned 0. Who reads through the same
 * content sees them at once. At most HD_CONTENT_OPEN_MAX blocks are open; one nobody writes to for
 * HD_CONTENT_IDLE_MS is closed by a thread of the session.
 *
 * All calls block and may come from any thread at once, but for new, layout, settle and free, which
 * want the content for themselves. Where pwrites overlap each other, or a pread, any order may come
 * out.
 *
 * Errors: what was queued and could not be written is told once, by the next pwrite, flush or
 * settle; the bytes are lost then, the file goes on. -EDQUOT and -ENOSPC come when a block begins,
 * so usually from pwrite. When meta is away, calls wait for it as long as the session's retry time.
 */
#ifndef HD_CLIENT_CONTENT_H
#define HD_CLIENT_CONTENT_H

#include "howdah.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hd_posix;
struct hd_posix_change;
struct hd_posix_attr;
struct hd_content;

enum {
    HD_CONTENT_OPEN_MAX = 16,
    HD_CONTENT_IDLE_MS = 5000,
    HD_CONTENT_WINDOW_BYTES = 32 << 20, /* a file's writes that are not acknowledged */
};

/*
 * a: meta's answer to Acquire with blocks, or made up for a file that was just created (attr, and
 * neither content nor blocks). It is copied. p has to live as long as the content.
 */
int hd_content_new(struct hd_posix *p, uint64_t ino, const Hdw__AcquireResponse *a,
                   struct hd_content **ret);

/* Frees; what was not settled is lost. Takes NULL. */
void hd_content_free(struct hd_content *c);

/*
 * The capability was got again: everything is known anew. What is queued, or written and not
 * settled, stays: with it this is only a look where the finished blocks are now. -ENOMEM,
 * -HD_E_BAD_MESSAGE; the old layout stays then.
 */
int hd_content_layout(struct hd_content *c, const Hdw__AcquireResponse *a);

/* Up to size bytes; fewer only at the end of the file. */
int64_t hd_content_pread(struct hd_content *c, void *out, size_t size, uint64_t offset);

/* All of it or an error. Behind the end the file grows, and what lies between reads as zeros. */
int hd_content_pwrite(struct hd_content *c, const void *data, size_t size, uint64_t offset);

int hd_content_resize(struct hd_content *c, uint64_t size);

/*
 * Zeros in [offset, offset + length). punch: whole blocks within become holes and the size stays;
 * else the file grows where the range ends behind it (fallocate's ZERO_RANGE; with KEEP_SIZE cut
 * the range first).
 */
int hd_content_zero(struct hd_content *c, uint64_t offset, uint64_t length, bool punch);

/* posix_fallocate: the file is at least so long. Nothing is reserved. */
int hd_content_allocate(struct hd_content *c, uint64_t offset, uint64_t length, bool keep_size);

/* SEEK_DATA and SEEK_HOLE. The end is a hole; -ENXIO behind it, or when no data follows. */
int hd_content_next(struct hd_content *c, uint64_t offset, bool want_data, uint64_t *ret);

/* As the holder of WRITE sees them; the time of the last change that was made through this content.
 */
uint64_t hd_content_size(const struct hd_content *c);
int64_t hd_content_mtime_ns(const struct hd_content *c);

/*
 * Every byte written before is with its nodes, and meta knows the size (a small file's bytes).
 * durable: on their disks, and durable with meta: what fsync promises of data and size.
 */
int hd_content_flush(struct hd_content *c, bool durable);

/*
 * Nothing of the file is in this process alone any more: blocks are closed, small content is sent,
 * and attributes with it in the same call. keep: the capability that is wanted afterwards; it
 * counts only when hd_content_is_dirty, else nothing but the change is sent and the capability
 * stays as it is. change: NULL none; the time of the last write is added unless it names one. ret
 * (may be NULL): the attributes afterwards. On an error something may not be settled: call it
 * again, or free.
 */
int hd_content_settle(struct hd_content *c, const struct hd_posix_change *change, Hdw__CapKind keep,
                      struct hd_posix_attr *ret);

/* A descriptor of the whole file, for reading: one finished block with a replica here. -ENOENT. */
int hd_content_local_fd(struct hd_content *c, int *ret_fd);

/* Something is not settled: settle has something to do. */
bool hd_content_is_dirty(const struct hd_content *c);

/* Bytes of memory held for writes and small content. */
size_t hd_content_held_bytes(const struct hd_content *c);

#endif
