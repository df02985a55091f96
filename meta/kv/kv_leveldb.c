/* The store on leveldb's C API. Values are small and already dense: no compression. See kv.h. */
#include "meta/kv/kv.h"
#include "meta/kv/kv_impl.h"
#include "meta/kv/leveldb_check.h"
#include "fs/base/error.h"

#include <errno.h>
#include <leveldb/c.h>
#include <stdlib.h>

struct store {
    struct hd_kv kv;
    char *dir;
    leveldb_t *db;
    leveldb_options_t *options;
    leveldb_cache_t *cache;
    leveldb_filterpolicy_t *filter;
    leveldb_writebatch_t *batch; /* the writing thread's, reused */
    leveldb_writeoptions_t *relaxed;
    leveldb_writeoptions_t *synced;
};

struct iter {
    struct hd_kv_iter it;
    struct store *s;
    leveldb_readoptions_t *options;
    leveldb_iterator_t *db_it;
    bool started;
};

/* Turns leveldb's error text (freed here) into ours. */
static int failed(const struct store *s, const char *what, char *text)
{
    bool disk = strstr(text, "No space left") != NULL;
    int err = hd_fail(disk ? -ENOSPC : -HD_E_CORRUPT, "%s: leveldb %s: %s", s->dir, what, text);
    leveldb_free(text);
    return err;
}

static void store_close(struct hd_kv *kv)
{
    struct store *s = (struct store *)kv;
    if (s->db != NULL) {
        leveldb_close(s->db);
    }
    leveldb_writebatch_destroy(s->batch);
    leveldb_writeoptions_destroy(s->relaxed);
    leveldb_writeoptions_destroy(s->synced);
    leveldb_options_destroy(s->options);
    leveldb_cache_destroy(s->cache);
    leveldb_filterpolicy_destroy(s->filter);
    free(s->dir);
    free(s);
}

static int store_get(struct hd_kv *kv, const void *key, size_t key_size, struct hd_buf *out)
{
    struct store *s = (struct store *)kv;
    char *text = NULL;
    size_t size = 0;
    leveldb_readoptions_t *ro = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(ro, 1);
    char *value = leveldb_get(s->db, ro, key, key_size, &size, &text);
    leveldb_readoptions_destroy(ro);
    if (text != NULL) {
        return failed(s, "get", text);
    }
    if (value == NULL) {
        return -ENOENT;
    }
    int err = hd_buf_add(out, value, size);
    leveldb_free(value);
    return err;
}

static int store_write(struct hd_kv *kv, const struct hd_kv_batch *b, bool sync)
{
    struct store *s = (struct store *)kv;
    struct hd_kv_op op;
    leveldb_writebatch_clear(s->batch);
    for (size_t at = 0; hd_kv_batch_next(b, &at, &op);) {
        if (op.value != NULL) {
            leveldb_writebatch_put(s->batch, (const char *)op.key, op.key_size,
                                   (const char *)op.value, op.value_size);
        } else {
            leveldb_writebatch_delete(s->batch, (const char *)op.key, op.key_size);
        }
    }
    char *text = NULL;
    leveldb_write(s->db, sync ? s->synced : s->relaxed, s->batch, &text);
    return text != NULL ? failed(s, "write", text) : 0;
}

static int store_snapshot_new(struct hd_kv *kv, struct hd_kv_snapshot **ret)
{
    struct store *s = (struct store *)kv;
    *ret = (struct hd_kv_snapshot *)(uintptr_t)leveldb_create_snapshot(s->db);
    return 0;
}

static void store_snapshot_free(struct hd_kv *kv, struct hd_kv_snapshot *snapshot)
{
    struct store *s = (struct store *)kv;
    leveldb_release_snapshot(s->db, (const leveldb_snapshot_t *)snapshot);
}

static void iter_free(struct hd_kv_iter *it)
{
    struct iter *i = (struct iter *)it;
    leveldb_iter_destroy(i->db_it);
    leveldb_readoptions_destroy(i->options);
    free(i);
}

static int iter_next(struct hd_kv_iter *it, struct hd_kv_op *ret)
{
    struct iter *i = (struct iter *)it;
    if (!i->started) {
        leveldb_iter_seek_to_first(i->db_it);
        i->started = true;
    } else if (leveldb_iter_valid(i->db_it)) {
        leveldb_iter_next(i->db_it);
    }
    if (!leveldb_iter_valid(i->db_it)) {
        char *text = NULL;
        leveldb_iter_get_error(i->db_it, &text);
        return text != NULL ? failed(i->s, "scan", text) : 0;
    }
    ret->key = (const uint8_t *)leveldb_iter_key(i->db_it, &ret->key_size);
    ret->value = (const uint8_t *)leveldb_iter_value(i->db_it, &ret->value_size);
    return 1;
}

static int store_iter_new(struct hd_kv *kv, struct hd_kv_snapshot *snapshot,
                          struct hd_kv_iter **ret)
{
    struct store *s = (struct store *)kv;
    struct iter *i = calloc(1, sizeof(*i));
    if (i == NULL) {
        return -ENOMEM;
    }
    i->it = (struct hd_kv_iter){iter_next, iter_free};
    i->s = s;
    i->options = leveldb_readoptions_create();
    leveldb_readoptions_set_verify_checksums(i->options, 1);
    leveldb_readoptions_set_fill_cache(i->options, 0);
    leveldb_readoptions_set_snapshot(i->options, (const leveldb_snapshot_t *)snapshot);
    i->db_it = leveldb_create_iterator(s->db, i->options);
    *ret = &i->it;
    return 0;
}

static const struct hd_kv_ops store_ops = {
    .close = store_close,
    .get = store_get,
    .write = store_write,
    .snapshot_new = store_snapshot_new,
    .snapshot_free = store_snapshot_free,
    .iter_new = store_iter_new,
};

int hd_kv_open_leveldb(const char *dir, const struct hd_kv_options *options, struct hd_kv **ret)
{
    int err = hd_leveldb_check(dir);
    if (err < 0) {
        return err;
    }
    struct store *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        return -ENOMEM;
    }
    s->kv.ops = &store_ops;
    s->dir = strdup(dir);
    s->options = leveldb_options_create();
    s->cache = leveldb_cache_create_lru(options->cache_bytes != 0 ? options->cache_bytes
                                                                  : (size_t)8 << 20);
    s->filter = leveldb_filterpolicy_create_bloom(10);
    s->batch = leveldb_writebatch_create();
    s->relaxed = leveldb_writeoptions_create();
    s->synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(s->synced, 1);
    leveldb_options_set_create_if_missing(s->options, options->create);
    leveldb_options_set_paranoid_checks(s->options, 1);
    leveldb_options_set_cache(s->options, s->cache);
    leveldb_options_set_filter_policy(s->options, s->filter);
    leveldb_options_set_compression(s->options, leveldb_no_compression);
    leveldb_options_set_max_open_files(s->options, 200);
    leveldb_options_set_write_buffer_size(s->options, options->write_buffer_bytes != 0
                                                          ? options->write_buffer_bytes
                                                          : (size_t)4 << 20);
    char *text = NULL;
    if (s->dir != NULL) {
        s->db = leveldb_open(s->options, dir, &text);
    }
    if (s->db == NULL) {
        err = text != NULL ? failed(s, "open", text) : -ENOMEM;
        store_close(&s->kv);
        return err;
    }
    *ret = &s->kv;
    return 0;
}
