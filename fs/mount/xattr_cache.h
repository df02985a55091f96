/*
 * The extended attributes and ACLs that meta told of inodes: all of an inode at once, kept until a
 * push says that it changed. Thread safe.
 *
 * An answer may be older than a push that overtook it: who asks takes a stamp first, and what comes
 * is kept only when there was no push for (something like) that inode since.
 */
#ifndef HD_MOUNT_XATTR_CACHE_H
#define HD_MOUNT_XATTR_CACHE_H

#include "fs/base/arena.h"
#include "howdah.pb-c.h"

enum { HD_XATTR_CACHE_BYTES = 32 << 20 };

struct hd_xattr_cache;
struct hd_xattr_cache *hd_xattr_cache_new(void);    /* NULL: no memory */
void hd_xattr_cache_free(struct hd_xattr_cache *c); /* takes NULL */

uint64_t hd_xattr_cache_stamp(struct hd_xattr_cache *c, uint64_t id);

/* Keeps a copy of the answer, unless there was a push since the stamp; the oldest make room. */
void hd_xattr_cache_put(struct hd_xattr_cache *c, uint64_t id, uint64_t stamp,
                        const Hdw__GetPosixXattrsResponse *answer);

/* A copy in the arena, or NULL. */
Hdw__GetPosixXattrsResponse *hd_xattr_cache_get(struct hd_xattr_cache *c, uint64_t id,
                                                struct hd_arena *arena);

void hd_xattr_cache_forget(struct hd_xattr_cache *c, uint64_t id);
void hd_xattr_cache_forget_all(struct hd_xattr_cache *c);

#endif
