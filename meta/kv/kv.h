/*
 * A small ordered key-value store: what keeps the materialised view. Two kinds: leveldb in a
 * directory, and an ordered array in memory for tests.
 *
 * One thread writes; iterators and snapshots may be used on any thread, each by one at a time.
 * Calls may block on the disk. Errors leave a failure text; -HD_E_CORRUPT says that the store is
 * damaged and should be rebuilt.
 */
#ifndef HD_META_KV_KV_H
#define HD_META_KV_KV_H

#include "fs/base/buf.h"

struct hd_kv;
struct hd_kv_iter;
struct hd_kv_snapshot;

/* A batch of changes, applied as one. Plain bytes: it may be made on one thread and used on
 * another. */
struct hd_kv_batch {
    struct hd_buf ops; /* u8 kind | varint key size | key | (put: varint value size | value) */
    size_t count;
};

void hd_kv_batch_done(struct hd_kv_batch *b);
void hd_kv_batch_clear(struct hd_kv_batch *b);
int hd_kv_batch_put(struct hd_kv_batch *b, const void *key, size_t key_size, const void *value,
                    size_t value_size); /* 0 or -HD_E_TOO_LARGE, -ENOMEM */
int hd_kv_batch_delete(struct hd_kv_batch *b, const void *key, size_t key_size);

/* One change of a batch; value NULL: delete. */
struct hd_kv_op {
    const uint8_t *key;
    size_t key_size;
    const uint8_t *value;
    size_t value_size;
};
/* for (size_t at = 0; hd_kv_batch_next(b, &at, &op);) */
bool hd_kv_batch_next(const struct hd_kv_batch *b, size_t *at, struct hd_kv_op *ret);

struct hd_kv_options {
    size_t write_buffer_bytes; /* 0: 4 MiB */
    size_t cache_bytes;        /* 0: 8 MiB */
    bool create;               /* make the store when the directory has none */
};

/* leveldb in dir, with paranoid checks. -HD_E_CORRUPT when it does not open. */
int hd_kv_open_leveldb(const char *dir, const struct hd_kv_options *options, struct hd_kv **ret);
int hd_kv_open_memory(struct hd_kv **ret);
void hd_kv_close(struct hd_kv *kv); /* takes NULL; no iterator or snapshot may be left */

/* Appends the value to out. -ENOENT when there is none. */
int hd_kv_get(struct hd_kv *kv, const void *key, size_t key_size, struct hd_buf *out);

/* Applies the batch: all of it or nothing. sync: durable on return. */
int hd_kv_write(struct hd_kv *kv, const struct hd_kv_batch *b, bool sync);

/* The store as it is now, whatever is written later. */
int hd_kv_snapshot_new(struct hd_kv *kv, struct hd_kv_snapshot **ret);
void hd_kv_snapshot_free(struct hd_kv *kv, struct hd_kv_snapshot *s); /* takes NULL */

/* Walks all keys in byte order, of a snapshot or (NULL) of the store as it is now. */
int hd_kv_iter_new(struct hd_kv *kv, struct hd_kv_snapshot *s, struct hd_kv_iter **ret);
void hd_kv_iter_free(struct hd_kv_iter *it); /* takes NULL */
/* 1: ret is the next key, good until the next call; 0: no more; or an error. */
int hd_kv_iter_next(struct hd_kv_iter *it, struct hd_kv_op *ret);

#endif
