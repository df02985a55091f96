/*
 * Cleaning: replicas that were changed in place become like any other. See store.h.
 *
 * Data first, then the sums, then the log goes. A power cut in between leaves the log, which says
 * less than is true; that costs a start some reading, and nothing else. Nobody is kept out while
 * the disk is busy: who opens the replica meanwhile keeps the log.
 */
#include "fs/base/error.h"
#include "fs/data/store/store_internal.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>

struct moment {
    struct hd_replica replica;
    struct hd_volume *volume;
    uint32_t version;
};

/* The next one to clean of the list; it goes to its end. */
static bool take_next(struct hd_store *s, int64_t before_ms, struct moment *ret)
{
    bool found = false;
    pthread_mutex_lock(&s->lock);
    HD_LIST_FOR(it, &s->dirty)
    {
        struct hd_store_replica *r = HD_LIST_ENTRY(it, struct hd_store_replica, dirty_link);
        if (r->r.state == HD_REPLICA_FINALIZED && !r->owned && !r->volume->failed && !r->bad &&
            r->finished_ms <= before_ms) {
            *ret = (struct moment){r->r, r->volume, r->version};
            hd_list_remove(&r->dirty_link); /* if it fails, the others come first */
            hd_list_push_back(&s->dirty, &r->dirty_link);
            found = true;
            break;
        }
    }
    pthread_mutex_unlock(&s->lock);
    return found;
}

static int make_durable(struct hd_store *s, const struct moment *m)
{
    HD_AUTO(hd_fd_done) int data_fd = -1;
    HD_AUTO(hd_fd_done) int meta_fd = -1;
    struct hd_layout l = hd_store_layout(s, m->volume);
    int err = hd_files_open(&l, &m->replica, HD_PLACE_FINALIZED, O_RDWR, &data_fd, &meta_fd);
    if (err < 0) {
        return err;
    }
    if (hd_io_fdatasync(data_fd) < 0 || hd_io_fdatasync(meta_fd) < 0) {
        err = hd_fail_errno(errno, "fdatasync of blk_%" PRIu64, m->replica.id.v);
        hd_volume_sync_failed(s, m->volume, err);
        return err;
    }
    return hd_files_sync_names(&l, m->replica.id, HD_PLACE_FINALIZED);
}

/* Takes the log away, if nobody has touched the replica since. */
static int drop_log(struct hd_store *s, const struct moment *m)
{
    struct hd_store_replica *r;
    pthread_mutex_lock(&s->lock);
    r = hd_map_get(&s->replicas, m->replica.id.v);
    if (r == NULL || r->owned || r->version != m->version || r->volume != m->volume ||
        r->log == NULL) {
        pthread_mutex_unlock(&s->lock);
        return -EAGAIN;
    }
    r->owned = true;
    struct hd_layout l = hd_store_layout(s, m->volume);
    pthread_mutex_unlock(&s->lock);
    int err = hd_dirty_log_remove(&l, m->replica.id);
    pthread_mutex_lock(&s->lock);
    if (err == 0) {
        hd_store_drop_log(r);
        r->whole = true;
    }
    hd_store_disown(s, r);
    pthread_mutex_unlock(&s->lock);
    return err;
}

int hd_store_clean(struct hd_store *s, int64_t age_ms)
{
    int64_t now_ms = hd_clock_mono_ms().v;
    struct moment m;
    int cleaned = 0;
    int tries = 0;
    pthread_mutex_lock(&s->lock);
    HD_LIST_FOR(it, &s->dirty)
    {
        tries++;
    }
    pthread_mutex_unlock(&s->lock);
    for (; tries > 0 && take_next(s, now_ms - age_ms, &m); tries--) {
        int err = make_durable(s, &m);
        err = err < 0 ? err : drop_log(s, &m);
        cleaned += err == 0;
        if (hd_volume_error_is_fatal(err)) {
            hd_volume_fail(s, m.volume, err);
        }
    }
    return cleaned;
}
