/* See image_make.h. */
#include "meta/shell/image_make.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <inttypes.h>
#include <unistd.h>

enum { IMAGES_MAX = 1000 };

static int load_key(void *ctx, const void *key, size_t key_size, const void *value,
                    size_t value_size)
{
    return hd_meta_load(ctx, key, key_size, value, value_size);
}

int hd_image_verify(const char *path, const struct hd_meta_options *core,
                    const struct hd_version *version, struct hd_image_info *ret)
{
    struct hd_meta *m = NULL;
    int err = hd_store_core_new(core, version, &m);
    if (err == 0) {
        err = hd_image_read(path, version->cluster_id, load_key, m, ret);
    }
    if (err == 0) {
        err = hd_meta_load_done(m, ret->txid);
        if (err < 0) {
            err = hd_fail(err, "%s: is no whole namespace: %s", path, hd_error_name(err));
        }
    }
    hd_meta_free(m);
    return err;
}

static int write_keys(struct hd_image_writer *w, struct hd_kv *view,
                      struct hd_kv_snapshot *snapshot)
{
    struct hd_kv_iter *it = NULL;
    struct hd_kv_op op;
    int err = hd_kv_iter_new(view, snapshot, &it);
    while (err == 0 && (err = hd_kv_iter_next(it, &op)) > 0) {
        err = hd_view_is_applied_key(&op)
                  ? 0
                  : hd_image_writer_add(w, op.key, op.key_size, op.value, op.value_size);
    }
    hd_kv_iter_free(it);
    return err < 0 ? err : hd_image_writer_finish(w);
}

int hd_image_make(const char *dir, struct hd_kv *view, struct hd_kv_snapshot *snapshot,
                  struct hd_txid applied, const struct hd_meta_options *core,
                  const struct hd_version *version, struct hd_image_info *ret)
{
    struct hd_image_writer *w = NULL;
    int err = hd_image_writer_new(dir, version->cluster_id, applied, &w);
    if (err < 0) {
        return err;
    }
    const char *path = hd_image_writer_path(w);
    err = write_keys(w, view, snapshot);
    if (err == 0) {
        err = hd_image_verify(path, core, version, ret);
    }
    if (err == 0) {
        err = hd_image_install(dir, path, ret);
    }
    if (err < 0) {
        unlink(path);
    }
    hd_image_writer_free(w);
    return err;
}

/* What an interrupted install or removal left: an image without its digest. */
static int remove_orphans(const char *dir)
{
    struct hd_txid images[IMAGES_MAX];
    size_t count;
    int err = hd_image_list_files(dir, images, IMAGES_MAX, &count);
    for (size_t i = 0; i < count && err == 0; i++) {
        if (!hd_image_has_digest(dir, images[i])) {
            err = hd_image_remove(dir, images[i]);
        }
    }
    return err;
}

int hd_image_retain(const char *dir, struct hd_edit_log *log, size_t kept)
{
    struct hd_txid images[IMAGES_MAX];
    size_t count;
    int err = hd_image_list(dir, images, IMAGES_MAX, &count);
    if (err == 0) {
        err = remove_orphans(dir);
    }
    for (size_t i = kept; i < count && err == 0; i++) {
        err = hd_image_remove(dir, images[i]);
    }
    if (err == 0) { /* before edits go that they cover */
        err = hd_store_spread_images(log);
    }
    if (err < 0 || count < kept) {
        return err;
    }
    if (err == 0) {
        err = hd_edit_log_purge(log, images[kept - 1]);
    }
    if (err > 0) {
        hd_log_info("edits purged", "segments=%d covered_by=%" PRIu64, err, images[kept - 1].v);
    }
    return err < 0 ? err : 0;
}
