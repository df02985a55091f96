/* Opening replicas for readers. See store.h. */
#include "fs/base/bytes.h"
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

void hd_block_view_unguard(struct hd_block_view *v)
{
    if (v->plain && v->guard != NULL) {
        hd_guard_leave_plain(v->guard);
    }
    v->guard = NULL;
    v->plain = true;
}

void hd_block_view_done(struct hd_block_view *v)
{
    hd_block_view_unguard(v);
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

/*
 * The bytes are compared with the stored sums by whoever gets them. Only those of a last chunk that
 * shows in part have none stored.
 */
static int read_both(const struct hd_block_view *v, uint64_t from, uint64_t to, uint8_t *data,
                     uint8_t *sums)
{
    uint32_t chunk = v->format.bytes_per_checksum;
    uint64_t whole = (to - from) / chunk;
    uint32_t rest = (uint32_t)((to - from) % chunk);
    int err = hd_fd_pread(v->data_fd, data, to - from, from);
    if (err == 0 && sums != NULL) {
        err = hd_fd_pread(v->meta_fd, sums, whole * HD_SUM_BYTES,
                          hd_meta_file_offset(v->format, from));
    }
    if (err == 0 && sums != NULL && rest > 0) {
        hd_put_be32(sums + whole * HD_SUM_BYTES,
                    hd_checksum(v->format.type, data + whole * chunk, rest));
    }
    return err;
}

static int read_memory(const struct hd_block_view *v, uint64_t from, uint64_t to, uint8_t *data,
                       uint8_t *sums)
{
    if (v->memory != NULL) {
        memcpy(data, v->memory + from, to - from);
    } else {
        memset(data, 0, to - from);
    }
    if (sums != NULL) {
        hd_checksum_chunks(v->format.type, v->format.bytes_per_checksum, data, to - from, sums);
    }
    return 0;
}

int hd_block_view_read(const struct hd_block_view *v, uint64_t from, uint64_t to, uint8_t *data,
                       uint8_t *sums)
{
    if (v->guard == NULL) {
        return read_memory(v, from, to, data, sums);
    }
    pthread_mutex_lock(&v->guard->lock);
    int err = read_both(v, from, to, data, sums);
    pthread_mutex_unlock(&v->guard->lock);
    return err;
}

/* Files may be moved between looking and opening: then it is tried again. */
int hd_store_view(struct hd_store *s, struct hd_block_id id, struct hd_block_view *ret)
{
    int err = -HD_E_REPLICA_NOT_FOUND;
    for (int i = 0; i < OPEN_TRIES; i++) {
        *ret = (struct hd_block_view){.data_fd = -1, .meta_fd = -1};
        ret->guard = hd_guard_of(s->guards, id);
        ret->plain = hd_guard_enter_plain(ret->guard);
        pthread_mutex_lock(&s->lock);
        const struct hd_store_replica *r = hd_map_get(&s->replicas, id.v);
        if (r == NULL || r->r.state == HD_REPLICA_TEMPORARY) {
            pthread_mutex_unlock(&s->lock);
            hd_block_view_done(ret);
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
        bool same = r != NULL && r->version == version && r->volume == volume && !r->unstable;
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

bool hd_store_hand_out(struct hd_store *s, const struct hd_block_view *v)
{
    pthread_mutex_lock(&s->lock);
    struct hd_store_replica *r = hd_map_get(&s->replicas, v->replica.id.v);
    bool still = r != NULL && v->plain && !r->owned && r->r.state == HD_REPLICA_FINALIZED;
    if (still) {
        r->handed_out = true;
    }
    pthread_mutex_unlock(&s->lock);
    return still;
}
