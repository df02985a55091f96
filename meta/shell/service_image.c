/* fetchImage and putImage: whole images in pieces. See service.h. */
#include "meta/shell/image_make.h"
#include "meta/shell/service_impl.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include "howdah.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { PIECE_MAX_BYTES = 4 << 20 };

/* A call and what its job makes of it. */
struct piece {
    struct hd_job job;
    struct hd_meta_service *s;
    struct hd_rpc_call *call;
    struct hd_txid txid;
    uint64_t offset;
    uint32_t max_bytes;            /* fetch */
    const Hdw__PutImageRequest *q; /* put; in the call's arena */
    int err;
    char text[HD_FAIL_TEXT_BYTES];
    struct hd_image_info info;
    struct hd_buf data;
};

static struct piece *piece_new(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    struct piece *p = calloc(1, sizeof(*p));
    if (p == NULL) {
        hd_rpc_reply_error(call, -HD_E_RETRIABLE, "meta is out of memory for this call");
        return NULL;
    }
    p->s = s;
    p->call = call;
    return p;
}

static void piece_free(struct piece *p)
{
    hd_buf_done(&p->data);
    free(p);
}

static void keep_error(struct piece *p, int err)
{
    p->err = err;
    snprintf(p->text, sizeof(p->text), "%s", err < 0 ? hd_fail_describe(err) : "");
}

/* A job that never ran fails in its done(). */
static void note_cancelled(struct piece *p)
{
    if (p->job.cancelled) {
        p->err = -HD_E_RETRIABLE;
        snprintf(p->text, sizeof(p->text), "%s", hd_service_stopping);
    }
}

/* --- fetchImage --- */

static int read_piece(struct piece *p)
{
    const char *dir = hd_edit_log_dir(p->s->x->store->log);
    char path[HD_IMAGE_PATH_BYTES];
    size_t count = 1;
    if (p->txid.v == 0) {
        int err = hd_image_list(dir, &p->txid, 1, &count);
        if (err < 0 || count == 0) {
            return err < 0 ? err : hd_fail(-ENOENT, "there is no image yet");
        }
    }
    int err = hd_image_stat(dir, p->txid, &p->info);
    if (err < 0) {
        return err;
    }
    if (p->offset > p->info.size_bytes) {
        return hd_fail(-EINVAL, "offset %" PRIu64 " is behind the image's end", p->offset);
    }
    size_t size = (size_t)HD_MIN((uint64_t)p->max_bytes, p->info.size_bytes - p->offset);
    hd_image_path(dir, p->txid, path);
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    err = hd_buf_reserve(&p->data, size + 1);
    if (err == 0) {
        err = hd_fd_pread(fd, p->data.data, size, p->offset);
    }
    p->data.size = err == 0 ? size : 0;
    return err;
}

static void run_fetch(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    keep_error(p, read_piece(p));
}

static void fetch_done(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    note_cancelled(p);
    if (p->err < 0) {
        hd_rpc_reply_error(p->call, p->err, p->text);
    } else {
        Hdw__FetchImageResponse r = HDW__FETCH_IMAGE_RESPONSE__INIT;
        r.txid = p->txid.v;
        r.size_bytes = p->info.size_bytes;
        r.sha256.data = p->info.sha256;
        r.sha256.len = HD_SHA256_BYTES;
        r.data.data = p->data.data;
        r.data.len = p->data.size;
        hd_rpc_reply(p->call, &r.base, (int64_t)p->s->x->written.v);
    }
    piece_free(p);
}

void hd_service_fetch_image(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    const Hdw__FetchImageRequest *q =
        hd_service_decode(call, &hdw__fetch_image_request__descriptor);
    struct piece *p = q != NULL ? piece_new(s, call) : NULL;
    if (p == NULL) {
        return;
    }
    p->txid.v = q->txid;
    p->offset = q->offset;
    p->max_bytes = HD_MIN(q->max_bytes, (uint32_t)PIECE_MAX_BYTES);
    p->job = (struct hd_job){.run = run_fetch, .done = fetch_done};
    hd_worker_add(s->files, &p->job);
}

/* --- putImage --- */

static void upload_path(const struct piece *p, char out[HD_IMAGE_PATH_BYTES])
{
    char path[HD_IMAGE_PATH_BYTES - 16];
    snprintf(path, sizeof(path), "%s/image_%020" PRIu64, hd_edit_log_dir(p->s->x->store->log),
             p->txid.v);
    snprintf(out, HD_IMAGE_PATH_BYTES, "%s.upload.tmp", path);
}

static int write_piece(struct piece *p)
{
    char path[HD_IMAGE_PATH_BYTES];
    upload_path(p, path);
    int flags = O_WRONLY | O_CLOEXEC | (p->offset == 0 ? O_CREAT | O_TRUNC : 0);
    HD_AUTO(hd_fd_done) int fd = open(path, flags, 0644);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err = hd_fd_pwrite(fd, p->q->data.data, p->q->data.len, p->offset);
    if (err == 0 && p->q->last && fsync(fd) < 0) {
        err = hd_fail_errno(errno, "%s: fsync", path);
    }
    return err;
}

static void run_put(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    keep_error(p, write_piece(p));
}

static int verify_upload(struct piece *p)
{
    const struct hd_executor *x = p->s->x;
    char path[HD_IMAGE_PATH_BYTES];
    upload_path(p, path);
    int err = hd_image_verify(path, &x->conf->core, &x->store->version, &p->info);
    if (err == 0 && (p->q->sha256.len != HD_SHA256_BYTES ||
                     memcmp(p->q->sha256.data, p->info.sha256, HD_SHA256_BYTES) != 0)) {
        err = hd_fail(-HD_E_CORRUPT, "%s: does not have the digest that was announced", path);
    }
    if (err == 0 && p->info.txid.v != p->txid.v) {
        err = hd_fail(-HD_E_CORRUPT, "%s: is the image of txid %" PRIu64, path, p->info.txid.v);
    }
    if (err == 0) {
        err = hd_image_install(hd_edit_log_dir(x->store->log), path, &p->info);
    }
    if (err < 0) {
        unlink(path);
        return err;
    }
    return hd_image_retain(hd_edit_log_dir(x->store->log), x->store->log,
                           (size_t)x->conf->checkpoints_kept);
}

static void run_verify(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    keep_error(p, verify_upload(p));
}

static void answer_put(struct piece *p)
{
    if (p->err < 0) {
        hd_log_error("uploaded image refused", "txid=%" PRIu64 " reason=\"%s\"", p->txid.v,
                     p->text);
        p->s->upload_txid.v = 0;
        hd_rpc_reply_error(p->call, p->err, p->text);
    } else {
        Hdw__PutImageResponse r = HDW__PUT_IMAGE_RESPONSE__INIT;
        hd_rpc_reply(p->call, &r.base, (int64_t)p->s->x->written.v);
    }
    piece_free(p);
}

static void verify_done(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    note_cancelled(p);
    if (p->err == 0) {
        hd_service_image_kept(p->s, p->txid);
    }
    answer_put(p);
}

static void put_done(struct hd_job *job)
{
    struct piece *p = HD_CONTAINER(job, struct piece, job);
    note_cancelled(p);
    if (p->err == 0 && p->q->last && p->s->x->stopping) {
        p->job.cancelled = true;
        note_cancelled(p);
    }
    if (p->err < 0 || !p->q->last) {
        answer_put(p);
        return;
    }
    p->s->upload_txid.v = 0;
    p->job = (struct hd_job){.run = run_verify, .done = verify_done};
    hd_worker_add(p->s->images, &p->job);
}

/* Pieces come in order; the first one starts over. */
static int check_put(struct hd_meta_service *s, const Hdw__PutImageRequest *q, char text[256])
{
    if (q->txid == 0 || q->txid > s->x->durable.v) {
        snprintf(text, 256, "an image of txid %" PRIu64 ", but the log ends with %" PRIu64, q->txid,
                 s->x->durable.v);
        return -EINVAL;
    }
    if (q->offset == 0) {
        s->upload_txid.v = q->txid;
        s->upload_bytes = 0;
    }
    if (s->upload_txid.v != q->txid || s->upload_bytes != q->offset) {
        snprintf(text, 256, "piece at %" PRIu64 " of image %" PRIu64 " is out of order", q->offset,
                 q->txid);
        return -EINVAL;
    }
    s->upload_bytes += q->data.len;
    return 0;
}

void hd_service_put_image(struct hd_meta_service *s, struct hd_rpc_call *call)
{
    char text[256];
    const Hdw__PutImageRequest *q = hd_service_decode(call, &hdw__put_image_request__descriptor);
    if (q == NULL) {
        return;
    }
    int err = check_put(s, q, text);
    if (err < 0) {
        hd_rpc_reply_error(call, err, text);
        return;
    }
    struct piece *p = piece_new(s, call);
    if (p == NULL) {
        return;
    }
    p->txid.v = q->txid;
    p->offset = q->offset;
    p->q = q;
    p->job = (struct hd_job){.run = run_put, .done = put_done};
    hd_worker_add(s->files, &p->job);
}
