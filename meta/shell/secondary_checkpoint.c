/* Images of the secondary: made and uploaded, or fetched. See secondary_impl.h. */
#include "meta/shell/image_make.h"
#include "meta/shell/secondary_impl.h"
#include "meta/shell/threads.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

enum { PIECE_BYTES = 1 << 20, VERIFY_TIMEOUT_MS = 600000 };

/* --- made here --- */

static int upload(struct hd_primary_link *l, const char *path, const struct hd_image_info *info)
{
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    HD_AUTO(hd_buf_done) struct hd_buf piece = {0};
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err = hd_buf_reserve(&piece, PIECE_BYTES);
    for (uint64_t offset = 0; err == 0 && offset < info->size_bytes; offset += piece.size) {
        Hdw__PutImageRequest q = HDW__PUT_IMAGE_REQUEST__INIT;
        Hdw__PutImageResponse *r;
        piece.size = (size_t)HD_MIN((uint64_t)PIECE_BYTES, info->size_bytes - offset);
        err = hd_fd_pread(fd, piece.data, piece.size, offset);
        q.txid = info->txid.v;
        q.offset = offset;
        q.data.data = piece.data;
        q.data.len = piece.size;
        q.last = offset + piece.size == info->size_bytes;
        q.sha256.data = (uint8_t *)(uintptr_t)info->sha256;
        q.sha256.len = HD_SHA256_BYTES;
        if (err == 0) {
            err = hd_primary_link_call(l, "putImage", &q.base, &hdw__put_image_response__descriptor,
                                       VERIFY_TIMEOUT_MS, &r);
        }
    }
    return err;
}

static int make(struct hd_secondary *s)
{
    struct hd_secondary_checkpoint *c = &s->checkpoint;
    struct hd_image_info info;
    char path[HD_IMAGE_PATH_BYTES];
    int err = hd_image_make(hd_edit_log_dir(s->store.log), s->store.view, c->snapshot, c->txid,
                            &s->conf->core, &s->store.version, &info);
    if (err < 0) {
        return err;
    }
    hd_image_path(hd_edit_log_dir(s->store.log), c->txid, path);
    /* Before the upload: who waits for the checkpoint finds both directories at rest. */
    err = hd_image_retain(hd_edit_log_dir(s->store.log), s->store.log,
                          (size_t)s->conf->checkpoints_kept);
    if (err == 0) {
        err = upload(&c->link, path, &info);
    }
    if (err == 0) {
        hd_log_info("checkpoint made", "txid=%" PRIu64 " bytes=%" PRIu64 " keys=%" PRIu64,
                    c->txid.v, info.size_bytes, info.keys);
    }
    return err;
}

static void *run(void *ctx)
{
    struct hd_secondary *s = ctx;
    struct hd_secondary_checkpoint *c = &s->checkpoint;
    int err = make(s);
    if (err < 0 && !atomic_load(&s->stopping)) {
        hd_log_error("checkpoint failed", "txid=%" PRIu64 " reason=\"%s\"", c->txid.v,
                     hd_fail_describe(err));
    }
    hd_kv_snapshot_free(s->store.view, c->snapshot);
    c->snapshot = NULL;
    if (err == 0) {
        pthread_mutex_lock(&s->lock);
        s->image_txid = c->txid;
        pthread_mutex_unlock(&s->lock);
    }
    atomic_store(&c->running, false);
    return NULL;
}

void hd_secondary_checkpoint_finish(struct hd_secondary *s)
{
    if (s->checkpoint.started) {
        pthread_join(s->checkpoint.thread, NULL);
        s->checkpoint.started = false;
    }
}

int hd_secondary_checkpoint_start(struct hd_secondary *s)
{
    struct hd_secondary_checkpoint *c = &s->checkpoint;
    if (atomic_load(&c->running)) {
        return 0;
    }
    hd_secondary_checkpoint_finish(s);
    c->txid = s->store.applied;
    int err = hd_kv_snapshot_new(s->store.view, &c->snapshot);
    if (err < 0) {
        return err;
    }
    s->checkpoint_txid =
        c->txid; /* a failed one is tried again after the interval, or on request */
    atomic_store(&c->running, true);
    err = hd_meta_thread_start(&c->thread, "checkpoint", run, s);
    if (err < 0) {
        atomic_store(&c->running, false);
        hd_kv_snapshot_free(s->store.view, c->snapshot);
        return err;
    }
    c->started = true;
    return 0;
}

/* --- fetched --- */

/* All pieces of the primary's newest image into the file. */
static int download(struct hd_secondary *s, int fd, struct hd_image_info *ret)
{
    struct hd_image_info info = {0};
    uint64_t offset = 0;
    do {
        Hdw__FetchImageRequest q = HDW__FETCH_IMAGE_REQUEST__INIT;
        Hdw__FetchImageResponse *r;
        q.txid = info.txid.v;
        q.offset = offset;
        q.max_bytes = PIECE_BYTES;
        int err = hd_primary_link_call(&s->link, "fetchImage", &q.base,
                                       &hdw__fetch_image_response__descriptor, 0, &r);
        if (err < 0) {
            return err;
        }
        if (r->sha256.len != HD_SHA256_BYTES || (r->data.len == 0 && offset < r->size_bytes)) {
            return hd_fail(-HD_E_BAD_MESSAGE, "the primary's image stops at %" PRIu64, offset);
        }
        info.txid.v = r->txid;
        info.size_bytes = r->size_bytes;
        memcpy(info.sha256, r->sha256.data, HD_SHA256_BYTES);
        err = hd_fd_pwrite(fd, r->data.data, r->data.len, offset);
        if (err < 0) {
            return err;
        }
        offset += r->data.len;
    } while (offset < info.size_bytes);
    *ret = info;
    return fsync(fd) < 0 ? hd_fail_errno(errno, "fsync of the image") : 0;
}

int hd_secondary_fetch_image(struct hd_secondary *s, struct hd_txid *ret)
{
    struct hd_image_info announced;
    struct hd_image_info got;
    char path[HD_IMAGE_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/image_fetched.tmp", hd_edit_log_dir(s->store.log));
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err = download(s, fd, &announced);
    if (err == 0) {
        err = hd_image_verify(path, &s->conf->core, &s->store.version, &got);
    }
    if (err == 0 && memcmp(announced.sha256, got.sha256, HD_SHA256_BYTES) != 0) {
        err = hd_fail(-HD_E_CORRUPT, "%s: does not have the digest that was announced", path);
    }
    if (err == 0) {
        err = hd_image_install(hd_edit_log_dir(s->store.log), path, &got);
    }
    if (err < 0) {
        unlink(path);
        return err;
    }
    *ret = got.txid;
    return 0;
}
