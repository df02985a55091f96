/*
 * Descriptors of local replicas, got from the data node over its UNIX socket (op 87) and kept for
 * the blocks used last. Reads are verified against the replica's stored sums. Inside the room.
 */
#ifndef HD_CLIENT_LOCAL_CACHE_H
#define HD_CLIENT_LOCAL_CACHE_H

#include "fs/base/crc.h"
#include "fs/base/list.h"

#include "hdfs.pb-c.h"

#include <pthread.h>
#include <stdatomic.h>

/* A finalized replica on this machine. */
struct hd_local_block {
    struct hd_list link; /* in the cache, most recently used first */
    uint64_t id;
    uint64_t genstamp;
    int64_t used_ms;
    uint32_t refs; /* under the cache's lock; the cache holds one */
    int data_fd;
    int sums_fd;
    enum hd_checksum_type type;
    uint32_t chunk_bytes;
    uint64_t size_bytes;
};

struct hd_local_refusal {
    int port;
    int64_t until_ms;
};

enum { HD_LOCAL_REFUSALS_MAX = 16 };

struct hd_local_cache {
    pthread_mutex_t lock;
    struct hd_list blocks;
    size_t count;
    atomic_bool lets_go; /* told to nodes: descriptors are not used once a block is overwritten */
    struct hd_local_refusal refusals[HD_LOCAL_REFUSALS_MAX]; /* nodes not to ask for a while */
};

void hd_local_cache_init(struct hd_local_cache *c);
void hd_local_cache_done(struct hd_local_cache *c);

/*
 * The block from the cache, else asked of the node behind socket_path ("_PORT" is replaced by its
 * data port). -ENOENT and the like when the node gives none: read over TCP then. Give it back.
 */
int hd_local_cache_get(struct hd_local_cache *c, const char *socket_path, int port,
                       const Hdw__ExtendedBlock *block, Hdw__Token *token,
                       struct hd_local_block **ret);
void hd_local_cache_put(struct hd_local_cache *c, struct hd_local_block *b);

/*
 * Closes what nobody used for a minute: an open descriptor keeps the space of a deleted block.
 * Called by get, and by whoever has done with a file.
 */
void hd_local_cache_trim(struct hd_local_cache *c);

/* Forgets a block, for instance when its bytes proved bad. The caller's reference stays. */
void hd_local_cache_drop(struct hd_local_cache *c, struct hd_local_block *b);

/*
 * Exactly size bytes at offset, verified. -HD_E_CHECKSUM, or -HD_E_TRUNCATED when the replica is
 * shorter.
 */
int hd_local_block_read(const struct hd_local_block *b, void *out, size_t size, uint64_t offset);

#endif
