/*
 * The retry cache: what an at-most-once call was answered, by (client id, call id), so that a
 * client that lost the answer and asks again gets it instead of a second execution. Successes only.
 * Bounded: the oldest go first.
 */
#ifndef HD_META_CORE_RETRY_CACHE_H
#define HD_META_CORE_RETRY_CACHE_H

#include "fs/base/list.h"
#include "fs/base/map.h"
#include "fs/base/types.h"

#include <protobuf-c/protobuf-c.h>

enum { HD_RETRY_CACHE_MAX = 32768, HD_CLIENT_ID_MAX_BYTES = 64 };

struct hd_retry {
    struct hd_list link; /* oldest first */
    uint8_t key[HD_CLIENT_ID_MAX_BYTES + 4];
    size_t key_size;
    struct hd_mono_ms at;
    struct hd_txid txid;
    const char *method; /* of the dispatch table; NULL: from a replayed record */
    struct hd_ino ino;  /* of a replayed record: the inode it was about, or 0 */
    uint8_t *response;  /* heap, owned: encoded; NULL: made anew */
    size_t response_size;
};

struct hd_retry_cache {
    struct hd_strmap by_key;
    struct hd_list all;
    size_t count;
};

void hd_retry_cache_init(struct hd_retry_cache *c);
void hd_retry_cache_done(struct hd_retry_cache *c);

/* NULL: not there, or older than max_ms. */
struct hd_retry *hd_retry_cache_find(struct hd_retry_cache *c, const uint8_t *client_id,
                                     size_t client_id_size, int32_t call_id, struct hd_mono_ms now,
                                     int64_t max_ms);

/* Replaces what was there. NULL: the client gave no usable id. */
struct hd_retry *hd_retry_cache_add(struct hd_retry_cache *c, const uint8_t *client_id,
                                    size_t client_id_size, int32_t call_id, struct hd_mono_ms now);

#endif
