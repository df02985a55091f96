/* Images and replay at start-up. See rebuild.h. */
#include "meta/shell/rebuild.h"
#include "fs/base/error.h"
#include "fs/os/log.h"
#include "meta/log/image.h"

#include <errno.h>
#include <inttypes.h>

enum {
    IMAGES_MAX = 64,
    BATCH_BYTES = 1 << 20,
    REMEMBERED_RECORDS = 32768, /* before those to replay: as many as the retry cache holds */
};

static int flush(struct hd_kv *view, struct hd_kv_batch *b, size_t threshold)
{
    if (b->ops.size < threshold || b->count == 0) {
        return 0;
    }
    int err = hd_kv_write(view, b, false);
    hd_kv_batch_clear(b);
    return err;
}

struct loading {
    struct hd_store *s;
    struct hd_kv_batch batch;
};

static int load_key(void *ctx, const void *key, size_t key_size, const void *value,
                    size_t value_size)
{
    struct loading *l = ctx;
    int err = hd_meta_load(l->s->meta, key, key_size, value, value_size);
    if (err == 0) {
        err = hd_kv_batch_put(&l->batch, key, key_size, value, value_size);
    }
    return err < 0 ? err : flush(l->s->view, &l->batch, BATCH_BYTES);
}

/* Removes what a failed image left in the view. */
static int empty_view(struct hd_store *s)
{
    struct hd_kv_iter *it = NULL;
    struct hd_kv_batch b = {0};
    struct hd_kv_op op;
    int err = hd_kv_iter_new(s->view, NULL, &it);
    while (err == 0 && (err = hd_kv_iter_next(it, &op)) > 0) {
        err = hd_kv_batch_delete(&b, op.key, op.key_size);
        if (err == 0) {
            err = flush(s->view, &b, BATCH_BYTES);
        }
    }
    hd_kv_iter_free(it);
    if (err == 0) {
        err = flush(s->view, &b, 0);
    }
    hd_kv_batch_done(&b);
    return err;
}

/* An image whose digest file got lost: its blocks and its footer vouch for it. */
static int read_image(struct loading *l, struct hd_txid txid, struct hd_image_info *ret)
{
    const struct hd_store *s = l->s;
    char path[HD_IMAGE_PATH_BYTES];
    if (hd_image_has_digest(s->dir, txid)) {
        return hd_image_load(s->dir, txid, s->version.cluster_id, load_key, l, ret);
    }
    hd_image_path(s->dir, txid, path);
    hd_log_warn("image without its digest file", "path=%s", path);
    int err = hd_image_read(path, s->version.cluster_id, load_key, l, ret);
    if (err == 0 && ret->txid.v != txid.v) {
        err = hd_fail(-HD_E_CORRUPT, "%s: holds the image of txid %" PRIu64, path, ret->txid.v);
    }
    return err;
}

static int load_image(struct hd_store *s, const struct hd_meta_options *core, struct hd_txid txid)
{
    struct loading l = {.s = s};
    struct hd_image_info info;
    int err = hd_store_core_new(core, &s->version, &s->meta);
    if (err == 0) {
        err = read_image(&l, txid, &info);
    }
    if (err == 0) {
        err = hd_meta_load_done(s->meta, txid);
    }
    if (err == 0) {
        err = hd_view_batch_applied(&l.batch, txid);
    }
    if (err == 0) {
        err = flush(s->view, &l.batch, 0);
    }
    hd_kv_batch_done(&l.batch);
    if (err < 0) {
        hd_meta_free(s->meta);
        s->meta = NULL;
        return err;
    }
    s->applied = txid;
    hd_log_info("image loaded", "dir=%s txid=%" PRIu64 " keys=%" PRIu64, s->dir, txid.v, info.keys);
    return 0;
}

/* An empty namespace, the same at every time: the creation time is the cluster's. */
static int start_empty(struct hd_store *s, const struct hd_meta_options *core)
{
    struct hd_meta_effects e;
    struct hd_kv_batch b = {0};
    int err = hd_store_core_new(core, &s->version, &s->meta);
    if (err < 0) {
        return err;
    }
    hd_meta_effects_init(&e);
    hd_meta_format(s->meta, (struct hd_wall_ms){(int64_t)s->version.creation_ms}, &e);
    s->applied = hd_meta_txid(s->meta);
    err = hd_view_batch_puts(&b, &e);
    if (err == 0) {
        err = hd_view_batch_applied(&b, s->applied);
    }
    if (err == 0) {
        err = flush(s->view, &b, 0);
    }
    hd_kv_batch_done(&b);
    hd_meta_effects_done(&e);
    return err;
}

int hd_rebuild_base(struct hd_store *s, const struct hd_meta_options *core)
{
    struct hd_txid images[IMAGES_MAX];
    size_t count;
    int err = hd_image_list_files(s->dir, images, IMAGES_MAX, &count);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (images[i].v + 1 < hd_edit_log_first(s->log).v) {
            break; /* the log does not reach back to it */
        }
        err = load_image(s, core, images[i]);
        if (err == 0) {
            return 0;
        }
        hd_log_warn("image cannot be used, trying an older one", "txid=%" PRIu64 " reason=\"%s\"",
                    images[i].v, hd_fail_describe(err));
        err = empty_view(s);
    }
    if (err < 0) {
        return err;
    }
    if (hd_edit_log_first(s->log).v > 1) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: the log begins with txid %" PRIu64
                       " and no image before it can be used; restore an image_* with its .sha256 "
                       "from the secondary's directory",
                       s->dir, hd_edit_log_first(s->log).v);
    }
    return start_empty(s, core);
}

struct replaying {
    struct hd_store *s;
    struct hd_meta_effects effects;
    struct hd_kv_batch batch;
    uint64_t records;
};

static int replay_one(void *ctx, const struct hd_record *r)
{
    struct replaying *p = ctx;
    hd_meta_effects_reset(&p->effects);
    int err = hd_meta_replay(p->s->meta, r->data, r->size, &p->effects);
    if (err == 0 && hd_meta_txid(p->s->meta).v != r->txid.v) {
        err = -HD_E_CORRUPT;
    }
    if (err < 0) {
        return hd_fail(err, "%s: the edit log's record of txid %" PRIu64 " does not apply: %s",
                       p->s->dir, r->txid.v, hd_error_name(err));
    }
    p->records++;
    err = hd_view_batch_puts(&p->batch, &p->effects);
    if (err == 0 && p->batch.ops.size >= BATCH_BYTES) {
        err = hd_view_batch_applied(&p->batch, r->txid);
        if (err == 0) {
            err = flush(p->s->view, &p->batch, 0);
        }
    }
    p->s->applied = r->txid;
    return err;
}

static int remember_one(void *ctx, const struct hd_record *r)
{
    struct replaying *p = ctx;
    if (r->txid.v > p->s->applied.v) {
        return -ECANCELED; /* that was all of them */
    }
    hd_meta_effects_reset(&p->effects);
    return hd_meta_replay(p->s->meta, r->data, r->size, &p->effects);
}

/*
 * What the view has already, only for the retry cache: a client that lost the answer to its call
 * when meta died asks again. The view does not need these records, so damage in them is no reason
 * not to start.
 */
static void remember_calls(struct replaying *p)
{
    uint64_t applied = p->s->applied.v;
    uint64_t from = applied > REMEMBERED_RECORDS ? applied - REMEMBERED_RECORDS + 1 : 1;
    from = HD_MAX(from, hd_edit_log_first(p->s->log).v);
    if (from > applied) {
        return;
    }
    int err = hd_edit_log_replay(p->s->log, (struct hd_txid){from}, remember_one, p);
    if (err < 0 && err != -ECANCELED) {
        hd_log_warn("calls before the restart are forgotten", "from=%" PRIu64 " reason=\"%s\"",
                    from, hd_fail_describe(err));
    }
}

int hd_rebuild_replay(struct hd_store *s)
{
    struct replaying p = {.s = s};
    struct hd_txid from = {s->applied.v + 1};
    hd_meta_effects_init(&p.effects);
    remember_calls(&p);
    int err = hd_edit_log_replay(s->log, from, replay_one, &p);
    if (err == 0 && p.records > 0) {
        err = hd_view_batch_applied(&p.batch, s->applied);
    }
    if (err == 0) {
        err = flush(s->view, &p.batch, 0);
    }
    hd_kv_batch_done(&p.batch);
    hd_meta_effects_done(&p.effects);
    if (err == 0) {
        hd_log_info("log replayed", "from=%" PRIu64 " records=%" PRIu64, from.v, p.records);
    }
    return err;
}
