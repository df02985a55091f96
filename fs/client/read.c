/*
 * Reading files: hd_file_open, hd_file_pread and company.
 *
 * Any number of threads read one file. A read is cut at block borders; each part comes from a
 * stream that is there (read_streams.c), else from any replica (read_replicas.c). When all failed
 * the blocks are asked for again, until the retry time is used up.
 */
#include "fs/base/error.h"
#include "fs/client/core/retry.h"
#include "fs/client/file.h"
#include "fs/client/reader.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    SLACK_BYTES = 2 << 20, /* how far out of order is still sequential */
    SLACK_READS = 16,      /* and in reads of the size at hand */
};

/* From a stream that is there, else from any replica. */
int hd_reader_read_part(struct hd_reader *r, struct hd_part *p, struct hd_attempts *a,
                        size_t *ret_done)
{
    *ret_done = 0;
    struct hd_kept_stream *k = p->alone ? NULL : hd_reader_take_stream(r, p, ret_done);
    if (*ret_done > 0) {
        return 0;
    }
    if (k != NULL) {
        p->timeout_ms = hd_session_stream_patience_ms(r->fs->session);
        if (p->block->n_locs == 1) {
            p->timeout_ms = HD_READER_PATIENT_MS;
        }
        int err = hd_reader_read_stream(r, k, p, ret_done);
        char node[HD_UUID_TEXT_BYTES];
        memcpy(node, k->node, sizeof(node));
        bool stale = err == -HD_E_CLOSED; /* an idle stream that the node closed is no failure */
        hd_reader_give_back(r, k, err);
        if (err < 0 && !stale) {
            hd_session_node_failed(r->fs->session, node);
        }
        if (err == -HD_E_CHECKSUM) {
            hd_attempts_note_bad(a, p, node);
        }
        if (*ret_done > 0) {
            return 0;
        }
    }
    return hd_reader_read_any(r, p, a, ret_done);
}

/* ---- the file ---- */

static bool is_same_file(const struct hd_blocks *a, const struct hd_blocks *b)
{
    return a->count == 0 ||
           (b->count > 0 && a->blocks[0]->b->block_id == b->blocks[0]->b->block_id);
}

static int refresh(struct hd_reader *r)
{
    struct hd_blocks *fresh;
    int err = hd_blocks_fetch(r->fs, r->path, 0, INT64_MAX, true, &fresh);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&r->lock);
    struct hd_blocks *old = r->blocks;
    if (is_same_file(old, fresh)) {
        r->blocks = fresh;
        fresh = NULL;
    } else {
        old = NULL;
        err = hd_fail(-ESTALE, "%s: another file has taken this name", r->path);
    }
    pthread_mutex_unlock(&r->lock);
    hd_blocks_unref(old);
    hd_blocks_unref(fresh);
    return err;
}

static struct hd_blocks *current_blocks(struct hd_reader *r)
{
    pthread_mutex_lock(&r->lock);
    struct hd_blocks *b = hd_blocks_ref(r->blocks);
    pthread_mutex_unlock(&r->lock);
    return b;
}

int hd_reader_next_round(struct hd_reader *r, struct hd_attempts *a, int err)
{
    int64_t now = hd_clock_mono_ms().v;
    if (!a->begun) {
        hd_retry_init(&a->retry, now, r->fs->session->retry_ms, (uint64_t)now);
        a->begun = true;
    }
    int64_t pause = hd_retry_next(&a->retry, now);
    if (pause < 0 || hd_leave_given_up(&r->fs->session->leave)) {
        return err;
    }
    hd_clock_sleep_ms(pause);
    a->round++;
    int again = r->refresh(r);
    return again == -ENOENT || again == -ESTALE || again == -EACCES ? again : 0;
}

/* The part of a read that lies in one block; false when the file ends before offset. */
static bool make_part(struct hd_blocks *b, uint64_t offset, uint8_t *out, size_t size,
                      struct hd_part *p)
{
    int i = hd_extent_find(b->extents, b->count, offset);
    if (i < 0) {
        return false;
    }
    const struct hd_extent *e = &b->extents[i];
    p->blocks = b;
    p->block = b->blocks[i];
    p->incomplete = b->last_incomplete && (size_t)i + 1 == b->count;
    p->block_size = e->size_bytes;
    p->offset = offset - e->offset_bytes;
    p->out = out;
    p->size = (size_t)HD_MIN((uint64_t)size, e->size_bytes - p->offset);
    return true;
}

void hd_reader_note(struct hd_reader *r, uint64_t offset, size_t size, struct hd_part *ret)
{
    *ret = (struct hd_part){.slack = HD_MIN((uint64_t)SLACK_BYTES, (uint64_t)size * SLACK_READS)};
    pthread_mutex_lock(&r->lock);
    ret->sequential = hd_sequence_note(&r->sequence, offset, size, ret->slack);
    pthread_mutex_unlock(&r->lock);
}

int64_t hd_file_pread(struct hd_file *f, void *out, size_t size, uint64_t offset)
{
    struct hd_reader *r = f->reader;
    if (r == NULL) {
        return hd_fail(-EBADF, "%s: not open for reading", f->path);
    }
    size = HD_MIN(size, (size_t)INT64_MAX);
    struct hd_part p;
    hd_reader_note(r, offset, size, &p);
    struct hd_attempts a = {.begun = false};
    size_t total = 0;
    int err = 0;
    while (total < size && err == 0) {
        struct hd_blocks *b = current_blocks(r);
        size_t done = 0;
        if (!make_part(b, offset + total, (uint8_t *)out + total, size - total, &p)) {
            hd_blocks_unref(b);
            break;
        }
        err = hd_reader_read_part(r, &p, &a, &done);
        hd_blocks_unref(b);
        total += done;
        if (err < 0) {
            err = hd_reader_next_round(r, &a, err);
        }
    }
    return err < 0 ? err : (int64_t)total;
}

int hd_file_open(struct hd_fs *fs, const char *path, struct hd_file **ret)
{
    struct hd_file *f;
    int err = hd_file_new(fs, path, &f);
    if (err < 0) {
        return err;
    }
    struct hd_reader *r = calloc(1, sizeof(*r));
    if (r == NULL) {
        hd_file_free(f);
        return -ENOMEM;
    }
    err = hd_blocks_fetch(fs, path, 0, INT64_MAX, true, &r->blocks);
    if (err < 0) {
        free(r);
        hd_file_free(f);
        return err;
    }
    hd_reader_init(r, fs, f->path);
    r->refresh = refresh;
    f->reader = r;
    *ret = f;
    return 0;
}

void hd_reader_init(struct hd_reader *r, struct hd_fs *fs, const char *path)
{
    r->fs = fs;
    r->path = path;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
}

void hd_reader_done(struct hd_reader *r)
{
    for (size_t i = 0; i < HD_READER_STREAMS_MAX; i++) {
        hd_reader_drop_stream(r, &r->streams[i]);
    }
    hd_local_cache_trim(&r->fs->session->locals);
    hd_blocks_unref(r->blocks);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
}

void hd_reader_close(struct hd_reader *r)
{
    hd_reader_done(r);
    free(r);
}

int hd_file_refresh(struct hd_file *f)
{
    return f->reader == NULL ? hd_fail(-EBADF, "%s: not open for reading", f->path)
                             : refresh(f->reader);
}

void hd_file_read_stats(struct hd_file *f, struct hd_read_stats *ret)
{
    *ret = (struct hd_read_stats){.local_bytes = 0};
    if (f->reader != NULL) {
        ret->local_bytes = atomic_load(&f->reader->local_bytes);
        ret->remote_bytes = atomic_load(&f->reader->remote_bytes);
        ret->retries = atomic_load(&f->reader->retries);
    }
}

uint64_t hd_file_size(struct hd_file *f)
{
    if (f->reader == NULL) {
        return hd_file_written(f);
    }
    struct hd_blocks *b = current_blocks(f->reader);
    uint64_t size = b->size_bytes;
    hd_blocks_unref(b);
    return size;
}

int hd_reader_local_fd(struct hd_session *s, Hdw__LocatedBlock *block, uint64_t size, int *ret_fd)
{
    for (size_t i = 0; i < block->n_locs; i++) {
        const Hdw__DatanodeID *id = block->locs[i]->id;
        struct hd_local_block *l;
        if (!hd_session_is_local(s, id->ip_addr, id->host_name) ||
            hd_local_cache_get(&s->locals, s->socket_path, (int)id->xfer_port, block->b,
                               block->block_token, &l) < 0) {
            continue;
        }
        int fd = l->size_bytes == size ? fcntl(l->data_fd, F_DUPFD_CLOEXEC, 0) : -1;
        hd_local_cache_put(&s->locals, l);
        if (fd >= 0) {
            *ret_fd = fd;
            return 0;
        }
    }
    return -ENOENT;
}

int hd_file_local_fd(struct hd_file *f, int *ret_fd)
{
    if (f->reader == NULL || f->fs->session->socket_path == NULL) {
        return -ENOENT;
    }
    struct hd_blocks *b = current_blocks(f->reader);
    int err = -ENOENT;
    if (b->count == 1 && !b->open_for_write && b->extents[0].size_bytes == b->size_bytes) {
        err = hd_reader_local_fd(f->fs->session, b->blocks[0], b->size_bytes, ret_fd);
    }
    hd_blocks_unref(b);
    return err;
}
