/* Checking one replica. See check.h. */
#include "fs/data/store/check.h"
#include "fs/base/error.h"
#include "fs/data/core/span.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { STEP_BYTES = 1 << 20, DIRECT_ALIGN = 4096, TRIES = 3 };

/* --- content --- */

struct reading {
    const struct hd_block_view *view;
    uint8_t *data; /* heap, aligned */
    uint8_t *sums; /* heap */
    size_t step_bytes;
    bool direct;
};

static void reading_done(struct reading *r)
{
    free(r->data);
    free(r->sums);
}

/* Whole chunks a step; past the page cache when chunks and pages go together. */
static int reading_init(struct reading *r, const struct hd_block_view *v)
{
    uint32_t chunk = v->format.bytes_per_checksum;
    size_t step = HD_MAX((size_t)STEP_BYTES / chunk * chunk, (size_t)chunk);
    *r = (struct reading){.view = v, .step_bytes = step};
    void *data = NULL;
    size_t room = (step + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
    if (posix_memalign(&data, DIRECT_ALIGN, room) != 0) {
        return -ENOMEM;
    }
    r->data = data;
    r->sums = malloc(hd_chunk_count(step, chunk) * HD_SUM_BYTES);
    if (r->sums == NULL) {
        return -ENOMEM;
    }
    r->direct = step % DIRECT_ALIGN == 0 && fcntl(v->data_fd, F_SETFL, O_DIRECT) == 0;
    return 0;
}

/* Direct reads take whole pages, and are short at the end of the file. */
static int read_data(struct reading *r, uint64_t at, size_t n)
{
    if (!r->direct) {
        int err = hd_fd_pread(r->view->data_fd, r->data, n, at);
        posix_fadvise(r->view->data_fd, (off_t)at, (off_t)n, POSIX_FADV_DONTNEED);
        return err;
    }
    size_t ask = (n + DIRECT_ALIGN - 1) / DIRECT_ALIGN * DIRECT_ALIGN;
    ssize_t got;
    do {
        got = hd_io_pread(r->view->data_fd, r->data, ask, (off_t)at);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EINVAL) { /* it said it could */
        r->direct = false;
        fcntl(r->view->data_fd, F_SETFL, 0);
        return read_data(r, at, n);
    }
    if (got < 0) {
        return hd_fail_errno(errno, "read at %" PRIu64, at);
    }
    return (size_t)got >= n ? 0 : hd_fd_pread(r->view->data_fd, r->data, n, at);
}

static int check_step(struct reading *r, uint64_t at, size_t n)
{
    struct hd_sum_format f = r->view->format;
    int err = read_data(r, at, n);
    if (err < 0 || f.type == HD_CHECKSUM_NULL) {
        return err;
    }
    size_t sums_bytes = hd_chunk_count(n, f.bytes_per_checksum) * HD_SUM_BYTES;
    err = hd_fd_pread(r->view->meta_fd, r->sums, sums_bytes, hd_meta_file_offset(f, at));
    if (err < 0) {
        return err;
    }
    int64_t bad = hd_checksum_verify(f.type, f.bytes_per_checksum, r->data, n, r->sums);
    if (bad >= 0) {
        return hd_fail(-HD_E_CHECKSUM, "checksum differs in the chunk at byte %" PRIu64,
                       at + (uint64_t)bad * f.bytes_per_checksum);
    }
    return 0;
}

static int check_content(const struct hd_block_view *v, const struct hd_check_options *o,
                         int *ret_stopped)
{
    struct reading r;
    int err = reading_init(&r, v);
    for (uint64_t at = 0; err == 0 && at < v->replica.size_bytes; at += r.step_bytes) {
        size_t n = (size_t)HD_MIN((uint64_t)r.step_bytes, v->replica.size_bytes - at);
        uint64_t start_ns = hd_clock_mono_ns();
        err = check_step(&r, at, n);
        if (err == 0 && o->pace != NULL) {
            *ret_stopped = o->pace(o->ctx, n, hd_clock_mono_ns() - start_ns);
            err = *ret_stopped;
        }
    }
    reading_done(&r);
    return err;
}

/* --- findings --- */

/* The replica at the moment of looking; false when there is nothing to check. */
struct moment {
    struct hd_replica replica;
    struct hd_volume *volume;
    uint32_t version;
};

static bool take_moment(struct hd_store *s, struct hd_block_id id, struct moment *ret)
{
    pthread_mutex_lock(&s->lock);
    const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
    bool ok = r != NULL && !r->owned && r->r.state == HD_REPLICA_FINALIZED && !r->volume->failed;
    if (ok) {
        *ret = (struct moment){.replica = r->r, .volume = r->volume, .version = r->version};
    }
    pthread_mutex_unlock(&s->lock);
    return ok;
}

static bool is_same(const struct moment *a, const struct moment *b)
{
    return a->volume == b->volume && a->version == b->version &&
           a->replica.gs.v == b->replica.gs.v && a->replica.size_bytes == b->replica.size_bytes;
}

/* Errors of this process or of the caller's wish, not of the replica. */
static bool is_ours(int err)
{
    return err == -ENOMEM || err == -EMFILE || err == -ENFILE || err == -EINTR;
}

/* Marks or clears. False when the replica is another by now. */
static bool mark(struct hd_store *s, const struct moment *m, bool bad, bool *ret_news)
{
    pthread_mutex_lock(&s->lock);
    struct hd_store_replica *r = hd_map_get(&s->replicas, m->replica.id.v);
    bool same = r != NULL && r->volume == m->volume && r->version == m->version;
    if (same) {
        *ret_news = r->bad != bad;
        s->bad_count += bad && !r->bad;
        s->bad_count -= !bad && r->bad;
        r->bad = bad;
    }
    pthread_mutex_unlock(&s->lock);
    return same;
}

/*
 * A file was not there. With the replica in our hands that is certain: without data it is lost, and
 * forgotten; without sums it is bad.
 */
static int look_for_files(struct hd_store *s, const struct moment *m, enum hd_check_finding *ret)
{
    struct hd_store_replica *r;
    char data[HD_LAYOUT_PATH_BYTES];
    char sums[HD_LAYOUT_PATH_BYTES];
    *ret = HD_CHECK_SKIPPED;
    pthread_mutex_lock(&s->lock);
    int err = hd_store_own(s, m->replica.id, false, &r);
    if (err < 0 || r == NULL) {
        pthread_mutex_unlock(&s->lock);
        return err == -EBUSY ? 0 : err;
    }
    if (r->version != m->version || r->volume != m->volume) {
        hd_store_disown(s, r);
        pthread_mutex_unlock(&s->lock);
        return 0;
    }
    struct hd_layout l = hd_store_layout(s, m->volume);
    pthread_mutex_unlock(&s->lock);

    hd_layout_data(&l, HD_PLACE_FINALIZED, m->replica.id, data);
    hd_layout_meta(&l, HD_PLACE_FINALIZED, m->replica.id, m->replica.gs, sums);
    bool no_data = access(data, F_OK) < 0 && errno == ENOENT;
    bool no_sums = access(sums, F_OK) < 0 && errno == ENOENT;
    if (no_data) {
        hd_io_unlink(sums); /* of nothing */
    }

    pthread_mutex_lock(&s->lock);
    if (no_data) {
        *ret = HD_CHECK_LOST;
        hd_store_remove(s, r);
    } else {
        *ret = no_sums ? HD_CHECK_BAD : HD_CHECK_SKIPPED;
        hd_store_disown(s, r);
    }
    pthread_mutex_unlock(&s->lock);
    return 0;
}

static void describe(struct hd_check *ret, const struct moment *m, enum hd_check_finding finding,
                     int err)
{
    ret->finding = finding;
    ret->block = (struct hd_block){m->replica.id, m->replica.gs, m->replica.size_bytes};
    snprintf(ret->storage_id, sizeof(ret->storage_id), "%s", m->volume->version.storage_id);
    snprintf(ret->why, sizeof(ret->why), "%s", err < 0 ? hd_fail_describe(err) : "");
}

static int check_once(struct hd_store *s, struct hd_block_id id, const struct hd_check_options *o,
                      int *ret_stopped)
{
    struct hd_block_view v;
    int err = hd_store_view(s, id, &v);
    if (err < 0) {
        return err;
    }
    hd_block_view_unguard(&v); /* the finding is not believed when it was changed meanwhile */
    err = v.replica.state == HD_REPLICA_FINALIZED ? check_content(&v, o, ret_stopped) : 0;
    hd_block_view_done(&v);
    return err;
}

int hd_store_check_replica(struct hd_store *s, struct hd_block_id id,
                           const struct hd_check_options *options, struct hd_check *ret)
{
    *ret = (struct hd_check){.finding = HD_CHECK_SKIPPED, .block = {.id = id}};
    for (int i = 0; i < TRIES; i++) {
        struct moment before;
        struct moment after;
        int stopped = 0;
        if (!take_moment(s, id, &before)) {
            return 0;
        }
        int err = check_once(s, id, options, &stopped);
        if (stopped < 0 || is_ours(err)) {
            return err;
        }
        if (!take_moment(s, id, &after)) {
            return 0;
        }
        if (!is_same(&before, &after)) {
            continue; /* it was opened and finished again meanwhile */
        }
        enum hd_check_finding finding = err == 0 ? HD_CHECK_GOOD : HD_CHECK_BAD;
        describe(ret, &before, finding, err);
        if (err == -ENOENT) {
            int looked = hd_volume_probe(s, before.volume);
            looked = looked < 0 ? looked : look_for_files(s, &before, &ret->finding);
            if (looked < 0 || ret->finding == HD_CHECK_LOST || ret->finding == HD_CHECK_SKIPPED) {
                ret->finding = looked < 0 ? HD_CHECK_SKIPPED : ret->finding;
                return 0;
            }
        }
        if (mark(s, &before, ret->finding == HD_CHECK_BAD, &ret->news)) {
            return 0;
        }
        ret->finding = HD_CHECK_SKIPPED;
    }
    return 0;
}

int hd_store_bad_replicas(struct hd_store *s, struct hd_bad_replica *out, int max)
{
    int n = 0;
    size_t cursor = 0;
    void *value;
    pthread_mutex_lock(&s->lock);
    while (n < max && (uint64_t)n < s->bad_count &&
           hd_map_next(&s->replicas, &cursor, NULL, &value)) {
        const struct hd_store_replica *r = value;
        if (r->bad && r->r.state == HD_REPLICA_FINALIZED && !r->volume->failed) {
            out[n].block = (struct hd_block){r->r.id, r->r.gs, r->r.size_bytes};
            snprintf(out[n].storage_id, sizeof(out[n].storage_id), "%s",
                     r->volume->version.storage_id);
            n++;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return n;
}
