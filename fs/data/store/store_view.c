/* Opening replicas for readers. See store.h. */
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

enum { OPEN_TRIES = 20 };

void hd_store_wait_visible(struct hd_store *s, struct hd_block_id id, uint64_t visible_bytes,
                           int64_t wait_ms)
{
    int64_t deadline_ms = hd_clock_mono_ms().v + wait_ms;
    pthread_mutex_lock(&s->lock);
    s->waiters++;
    for (;;) {
        const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
        if (r == NULL || r->writer == NULL || hd_replica_visible_bytes(&r->r) >= visible_bytes ||
            !hd_store_wait_until(s, deadline_ms)) {
            break;
        }
    }
    s->waiters--;
    pthread_mutex_unlock(&s->lock);
}

void hd_block_view_done(struct hd_block_view *v)
{
    hd_fd_done(&v->data_fd);
    hd_fd_done(&v->meta_fd);
}

/* The sum of a short last chunk: an append will overwrite it, so it is read with the length. */
static int read_last_sum(struct hd_block_view *v)
{
    uint64_t into = v->visible_bytes % v->format.bytes_per_checksum;
    if (v->replica.state != HD_REPLICA_FINALIZED || into == 0 ||
        v->format.type == HD_CHECKSUM_NULL) {
        return 0;
    }
    v->has_last_sum = true;
    return hd_fd_pread(v->meta_fd, v->last_sum, sizeof(v->last_sum),
                       hd_meta_file_offset(v->format, v->visible_bytes));
}

/* A crash, or somebody, made a file of a finished replica shorter or longer than it was. */
static int check_lengths(const struct hd_block_view *v)
{
    struct stat data;
    struct stat sums;
    if (fstat(v->data_fd, &data) < 0 || fstat(v->meta_fd, &sums) < 0) {
        return hd_fail_errno(errno, "%s: stat", v->data_path);
    }
    uint64_t want = hd_meta_file_size(v->format, v->replica.size_bytes);
    if ((uint64_t)data.st_size != v->replica.size_bytes || (uint64_t)sums.st_size != want) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: %lld bytes and %lld bytes of sums; they were %" PRIu64 " and %" PRIu64,
                       v->data_path, (long long)data.st_size, (long long)sums.st_size,
                       v->replica.size_bytes, want);
    }
    return 0;
}

static int open_view(const struct hd_layout *l, struct hd_block_view *v)
{
    enum hd_place place = hd_store_place(&v->replica);
    hd_layout_data(l, place, v->replica.id, v->data_path);
    int err = hd_files_open(l, &v->replica, place, O_RDONLY, &v->data_fd, &v->meta_fd);
    if (err == 0) {
        err = hd_meta_file_read_header(v->meta_fd, &v->format);
    }
    if (err == 0 && v->replica.state == HD_REPLICA_FINALIZED) {
        err = check_lengths(v);
    }
    return err < 0 ? err : read_last_sum(v);
}

/* Files may be moved between looking and opening: then it is tried again. */
int hd_store_view(struct hd_store *s, struct hd_block_id id, struct hd_block_view *ret)
{
    int err = -HD_E_REPLICA_NOT_FOUND;
    for (int i = 0; i < OPEN_TRIES; i++) {
        *ret = (struct hd_block_view){.data_fd = -1, .meta_fd = -1};
        pthread_mutex_lock(&s->lock);
        const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
        if (r == NULL || r->r.state == HD_REPLICA_TEMPORARY) {
            pthread_mutex_unlock(&s->lock);
            return hd_fail(-HD_E_REPLICA_NOT_FOUND, "no replica of blk_%" PRIu64, id.v);
        }
        ret->replica = r->r;
        ret->visible_bytes = hd_replica_visible_bytes(&r->r);
        ret->synced = r->synced;
        uint32_t version = r->version;
        struct hd_volume *volume = r->volume;
        struct hd_layout l = hd_store_layout(s, volume);
        pthread_mutex_unlock(&s->lock);

        err = open_view(&l, ret);

        pthread_mutex_lock(&s->lock);
        r = hd_map_get(&s->replicas, id.v);
        bool same = r != NULL && r->version == version && r->volume == volume;
        bool busy = r != NULL && r->owned; /* by somebody who is changing its files */
        pthread_mutex_unlock(&s->lock);
        if (err == 0 && same) {
            return 0;
        }
        hd_block_view_done(ret);
        if (err < 0 && same && !busy && err != -ENOENT) {
            if (hd_volume_error_is_fatal(err)) {
                hd_volume_fail(s, volume, err);
            }
            return err;
        }
        hd_clock_sleep_ms(i); /* the mover is between two renames */
    }
    return err < 0 ? err : hd_fail(-EAGAIN, "blk_%" PRIu64 " keeps moving", id.v);
}
