/*
 * Writing files: hd_file_create, hd_file_append, hd_file_write, flush and close. Blocks come and
 * go here; how one block reaches its nodes is write_chain.c's and write_setup.c's.
 */
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/client/core/layout.h"
#include "fs/client/core/retry.h"
#include "fs/client/file.h"
#include "fs/client/sync.h"
#include "fs/client/writer.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <stdlib.h>

enum { SPARE_AFTER_FLUSH = 2 };

void hd_writer_done(struct hd_writer *w)
{
    hd_wchain_done(w);
    hd_wpacket_free(w->filling);
    struct hd_list *node;
    while ((node = hd_list_pop_front(&w->spare)) != NULL) {
        hd_wpacket_free(HD_LIST_ENTRY(node, struct hd_wpacket, link));
    }
    hd_arena_done(&w->chain.arena);
    hd_writer_forgive(w);
    pthread_cond_destroy(&w->quiet);
    pthread_mutex_destroy(&w->lock);
    free(w->path);
}

int hd_writer_init(struct hd_writer *w, struct hd_fs *fs, const char *path)
{
    struct hd_defaults defaults;
    uint32_t checksum_type;
    int err = hd_session_defaults(fs, &defaults, &checksum_type);
    if (err < 0) {
        return err;
    }
    *w = (struct hd_writer){
        .fs = fs,
        .path = strdup(path),
        .chunk_bytes = defaults.bytes_per_checksum,
        .type = (enum hd_checksum_type)checksum_type,
        .replication = defaults.replication,
        .block_bytes = defaults.block_size_bytes,
    };
    if (w->path == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    pthread_cond_init(&w->quiet, NULL);
    hd_list_init(&w->link);
    hd_list_init(&w->spare);
    hd_wchain_init(&w->chain);
    return 0;
}

static void writer_free(struct hd_writer *w)
{
    hd_writer_done(w);
    free(w);
}

static int writer_new(struct hd_fs *fs, const char *path, struct hd_writer **ret)
{
    struct hd_writer *w = malloc(sizeof(*w));
    if (w == NULL) {
        return -ENOMEM;
    }
    int err = hd_writer_init(w, fs, path);
    if (err < 0) {
        free(w);
        return err;
    }
    *ret = w;
    return 0;
}

/* Takes over what the server says of the file. */
static int adopt_status(struct hd_writer *w, const Hdw__HdfsFileStatus *st)
{
    if (st == NULL || st->blocksize == 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s: opened without a status", w->path);
    }
    w->ino = st->file_id;
    w->block_bytes = st->blocksize;
    w->replication = HD_MAX(st->block_replication, 1u);
    w->file_bytes = st->length;
    w->mtime_ms = (int64_t)st->modification_time;
    return 0;
}

static int file_of_writer(struct hd_writer *w, struct hd_file **ret)
{
    struct hd_file *f;
    int err = hd_file_new(w->fs, w->path, &f);
    if (err == 0) {
        err = hd_lease_add(w->fs->session, &w->link);
        if (err < 0) {
            hd_file_free(f);
        }
    }
    if (err < 0) {
        writer_free(w);
        return err;
    }
    f->writer = w;
    *ret = f;
    return 0;
}

int hd_file_create(struct hd_fs *fs, const char *path, const struct hd_create_options *o,
                   struct hd_file **ret)
{
    struct hd_writer *w;
    int err = writer_new(fs, path, &w);
    if (err < 0) {
        return err;
    }
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    permission.perm = o->mode;
    Hdw__CreateRequest request = HDW__CREATE_REQUEST__INIT;
    request.src = w->path;
    request.masked = &permission;
    request.unmasked = &permission;
    request.client_name = fs->session->client_name;
    request.create_flag = HDW__CREATE_FLAG__CREATE_FLAG_CREATE |
                          (o->overwrite ? HDW__CREATE_FLAG__CREATE_FLAG_OVERWRITE : 0);
    request.create_parent = o->parents;
    request.replication = o->replication != 0 ? o->replication : w->replication;
    request.block_size = o->block_size_bytes != 0 ? o->block_size_bytes : w->block_bytes;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__CreateResponse *response;
    err = HD_CALL(fs, "create", create, &request, &arena, &response);
    if (err == 0) {
        err = adopt_status(w, response->fs);
    }
    if (err < 0) {
        writer_free(w);
        return err;
    }
    w->sync_on_close = o->sync_on_close;
    return file_of_writer(w, ret);
}

/* ---- append ---- */

static void set_previous(struct hd_writer *w, const Hdw__ExtendedBlock *block, uint64_t size)
{
    w->previous = *block;
    w->previous.has_num_bytes = true;
    w->previous.num_bytes = size;
    snprintf(w->pool, sizeof(w->pool), "%s", block->pool_id);
    w->previous.pool_id = w->pool;
    w->has_previous = true;
}

static bool is_in_use(int err)
{
    return err == -HD_E_RECOVERY || err == -HD_E_BEING_CREATED;
}

/*
 * append, which meta refuses for a moment while it closes the file behind a writer that died:
 * once that is said it is waited for, not a live writer's lease.
 */
static int call_append(struct hd_writer *w, Hdw__AppendResponse **ret)
{
    Hdw__AppendRequest request = HDW__APPEND_REQUEST__INIT;
    request.src = w->path;
    request.client_name = w->fs->session->client_name;
    request.has_flag = true;
    request.flag = HDW__CREATE_FLAG__CREATE_FLAG_APPEND;
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, w->fs->session->retry_ms, (uint64_t)now);
    for (;;) {
        int err = HD_CALL(w->fs, "append", append, &request, &w->chain.arena, ret);
        int64_t pause = err == -HD_E_RECOVERY ? hd_retry_next(&retry, hd_clock_mono_ms().v) : -1;
        if (pause < 0) {
            return is_in_use(err) ? hd_fail(err, "%s: %s", w->path, hd_fail_text()) : err;
        }
        hd_clock_sleep_ms(pause);
    }
}

int hd_file_append(struct hd_fs *fs, const char *path, struct hd_file **ret)
{
    struct hd_writer *w;
    int err = writer_new(fs, path, &w);
    if (err < 0) {
        return err;
    }
    Hdw__AppendResponse *response = NULL;
    err = call_append(w, &response);
    if (err == 0) {
        err = adopt_status(w, response->stat);
        w->unsynced_blocks =
            true; /* who wrote what is there may not have synced it: fsync is of files */
    }
    bool partial = err == 0 && response->block != NULL && response->block->n_locs > 0;
    if (err == 0 && response->block != NULL) {
        set_previous(w, response->block->b, response->block->b->num_bytes);
    }
    if (partial) {
        err = hd_wchain_append(w, response->block);
    }
    if (err < 0) {
        writer_free(w);
        return err;
    }
    return file_of_writer(w, ret);
}

/* ---- blocks ---- */

static int ensure_chain(struct hd_writer *w)
{
    if (w->chain.open) {
        return 0;
    }
    w->told_bytes = 0;
    return hd_wchain_begin(w);
}

/* Hands the packet being filled to the chain, when it has anything new. */
static int queue_filling(struct hd_writer *w, bool sync)
{
    struct hd_wpacket *p = w->filling;
    if (p == NULL) {
        return 0;
    }
    if (p->size == p->kept) {
        w->filling = NULL;
        hd_wpacket_put(w, p);
        return 0;
    }
    int err = ensure_chain(w);
    if (err < 0) {
        return err;
    }
    p->sync = sync;
    w->filling = NULL;
    hd_wchain_queue(w, p);
    return 0;
}

static int queue_last(struct hd_writer *w)
{
    struct hd_wpacket *p = hd_wpacket_get(w, w->chain.end);
    if (p == NULL) {
        return -ENOMEM;
    }
    p->last = true;
    p->sync = w->sync_on_close;
    hd_wchain_queue(w, p);
    return 0;
}

static int finish_block(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    set_previous(w, &c->block, c->end);
    w->unsynced_blocks = w->unsynced_blocks || !w->sync_on_close;
    hd_wchain_keep_conn(w);
    hd_wchain_done(w);
    return 0;
}

/* All of the block is at hand and fits the set-up's message. */
static bool is_small(const struct hd_writer *w)
{
    const struct hd_wpacket *p = w->filling;
    return p != NULL && p->offset == 0 && p->size > p->kept && p->size <= HD_WRITER_ONE_GO_BYTES;
}

/* The queue is there before the chain: it goes along with the set-up. */
static int end_small_block(struct hd_writer *w)
{
    w->told_bytes = 0;
    hd_wchain_queue(w, HD_TAKE_PTR(w->filling));
    int err = queue_last(w);
    if (err == 0) {
        err = hd_wchain_begin(w);
    }
    if (err == 0) {
        err = hd_wchain_pump(w, HD_WAIT_ALL);
    }
    return err < 0 ? err : finish_block(w);
}

/*
 * Finishes the block: everything acknowledged, replicas finalized. While the block can begin anew
 * its last packet goes right behind the data; else only when the data is acknowledged, because
 * nodes that have finalized do not take part in a streaming recovery.
 */
static int end_block(struct hd_writer *w)
{
    struct hd_wchain *c = &w->chain;
    if (!c->open && is_small(w)) {
        return end_small_block(w);
    }
    int err = queue_filling(w, false);
    if (err < 0 || !c->open) {
        return err;
    }
    bool together = c->state.fresh && !c->state.flushed && c->end <= HD_WRITER_RETAIN_BYTES;
    if (!together) {
        err = hd_wchain_pump(w, HD_WAIT_ALL);
        c->state.stage = HD_CHAIN_CLOSE;
    }
    if (err == 0) {
        err = queue_last(w);
    }
    if (err == 0) {
        err = hd_wchain_pump(w, HD_WAIT_ALL);
    }
    return err < 0 ? err : finish_block(w);
}

/* ---- writing ---- */

/* One packet's worth at most; returns the bytes taken. */
static int64_t write_some(struct hd_writer *w, const uint8_t *data, size_t size)
{
    if (w->filling == NULL) {
        w->filling = hd_wpacket_get(w, w->chain.open ? w->chain.end : 0);
        if (w->filling == NULL) {
            return -ENOMEM;
        }
    }
    struct hd_wpacket *p = w->filling;
    size_t room = hd_packet_room(p->offset, w->block_bytes, w->chunk_bytes, HD_WRITER_PACKET_BYTES);
    int64_t taken = hd_wpacket_fill(w, p, data, size, room);
    if (taken < 0 || p->size < room) {
        return taken;
    }
    bool block_full = p->offset + p->size == w->block_bytes;
    int err = queue_filling(w, false);
    w->full_packets = true;
    if (err == 0) {
        err = block_full ? end_block(w) : hd_wchain_pump(w, HD_WAIT_WINDOW);
    }
    return err < 0 ? err : taken;
}

/* A failure is final: it is remembered for every later call. */
static int settle(struct hd_writer *w, int err)
{
    if (err < 0 && w->failed == 0) {
        w->failed = err;
        snprintf(w->failure, sizeof(w->failure), "%s", hd_fail_text());
    }
    return err;
}

static int failed_before(const struct hd_writer *w)
{
    return w->failed == 0 ? 0 : hd_fail(w->failed, "%s", w->failure);
}

int hd_file_write(struct hd_file *f, const void *data, size_t size)
{
    struct hd_writer *w = f->writer;
    if (w == NULL) {
        return hd_fail(-EBADF, "%s: not open for writing", f->path);
    }
    pthread_mutex_lock(&w->lock);
    int err = failed_before(w);
    const uint8_t *p = data;
    while (size > 0 && err == 0) {
        int64_t taken = write_some(w, p, size);
        if (taken < 0) {
            err = settle(w, (int)taken);
            break;
        }
        p += taken;
        size -= (size_t)taken;
        w->file_bytes += (uint64_t)taken;
    }
    pthread_mutex_unlock(&w->lock);
    return err;
}

/* Tells meta how long the block is by now: it is durable there, and so is the block's existence. */
static int tell_length(struct hd_writer *w)
{
    if (!w->chain.open || w->told_bytes == w->chain.end) {
        return 0;
    }
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__FsyncRequest request = HDW__FSYNC_REQUEST__INIT;
    request.src = w->path;
    request.client = w->fs->session->client_name;
    request.has_last_block_length = true;
    request.last_block_length = (int64_t)w->chain.end;
    request.has_file_id = true;
    request.file_id = w->ino;
    Hdw__FsyncResponse *response;
    int err = HD_CALL(w->fs, "fsync", fsync, &request, &arena, &response);
    if (err == 0) {
        w->told_bytes = w->chain.end;
    }
    return err;
}

/*
 * Sends the packet being filled although it is not full. A partial last chunk stays behind as the
 * start of the next packet, since its sum will change.
 */
static int push_filling(struct hd_writer *w, bool sync)
{
    struct hd_wpacket *p = w->filling;
    if (p != NULL && p->size > p->kept) {
        size_t keep = hd_packet_keep(p->offset, p->offset + p->size, w->chunk_bytes);
        struct hd_wpacket *next = NULL;
        if (keep > 0) {
            next = hd_wpacket_get(w, p->offset + p->size - keep);
            if (next == NULL ||
                hd_wpacket_fill(w, next, p->data + (p->size - keep), keep, keep) < 0) {
                hd_wpacket_free(next);
                return -ENOMEM;
            }
            next->kept = keep;
        }
        int err = queue_filling(w, sync);
        if (err < 0) {
            hd_wpacket_free(next);
            return err;
        }
        w->filling = next;
        return 0;
    }
    if (!sync || !w->chain.open) {
        return 0;
    }
    struct hd_wpacket *empty = hd_wpacket_get(w, w->chain.end); /* nothing but the wish */
    if (empty == NULL) {
        return -ENOMEM;
    }
    empty->sync = true;
    hd_wchain_queue(w, empty);
    return 0;
}

/* The file by its inode: somebody may have renamed it. */
static const char *inode_path(const struct hd_writer *w, char out[64])
{
    snprintf(out, 64, "/.reserved/.inodes/%llu", (unsigned long long)w->ino);
    return out;
}

void hd_writer_trim(struct hd_writer *w)
{
    while (w->spare_count > SPARE_AFTER_FLUSH) {
        hd_wpacket_free(HD_LIST_ENTRY(hd_list_pop_front(&w->spare), struct hd_wpacket, link));
        w->spare_count--;
    }
}

static int flush(struct hd_writer *w, bool sync)
{
    int err = push_filling(w, sync);
    if (err == 0 && w->chain.open) {
        err = hd_wchain_pump(w, HD_WAIT_ALL);
    }
    if (err == 0 && w->chain.open && w->chain.end > 0) {
        w->chain.state.flushed = true;
    }
    hd_writer_trim(w);
    if (err == 0) {
        err = tell_length(w);
    }
    if (err == 0 && sync && w->unsynced_blocks) {
        char path[64];
        err = hd_sync_blocks(w->fs, inode_path(w, path), w->chain.open);
        w->unsynced_blocks = err < 0;
    }
    return err;
}

static int flush_file(struct hd_file *f, bool sync)
{
    struct hd_writer *w = f->writer;
    if (w == NULL) {
        return hd_fail(-EBADF, "%s: not open for writing", f->path);
    }
    pthread_mutex_lock(&w->lock);
    int err = failed_before(w);
    if (err == 0) {
        err = settle(w, flush(w, sync));
    }
    pthread_mutex_unlock(&w->lock);
    return err;
}

int hd_file_hflush(struct hd_file *f)
{
    return flush_file(f, false);
}

int hd_file_hsync(struct hd_file *f)
{
    return flush_file(f, true);
}

uint64_t hd_file_written(struct hd_file *f)
{
    if (f->writer == NULL) {
        return 0;
    }
    pthread_mutex_lock(&f->writer->lock);
    uint64_t size = f->writer->file_bytes;
    pthread_mutex_unlock(&f->writer->lock);
    return size;
}

uint64_t hd_file_ino(struct hd_file *f)
{
    return f->writer != NULL ? f->writer->ino : 0;
}

int64_t hd_file_mtime_ms(struct hd_file *f)
{
    return f->writer != NULL ? f->writer->mtime_ms : 0;
}

/* ---- closing ---- */

/* Until every block has a finalized replica that meta knows of. */
static int complete(struct hd_writer *w)
{
    Hdw__CompleteRequest request = HDW__COMPLETE_REQUEST__INIT;
    request.src = w->path;
    request.client_name = w->fs->session->client_name;
    request.last = w->has_previous ? &w->previous : NULL;
    request.has_file_id = true;
    request.file_id = w->ino;
    struct hd_retry retry;
    int64_t now = hd_clock_mono_ms().v;
    hd_retry_init(&retry, now, w->fs->session->retry_ms, (uint64_t)now);
    for (;;) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        hd_arena_init(&arena, 0);
        Hdw__CompleteResponse *response;
        int err = HD_CALL(w->fs, "complete", complete, &request, &arena, &response);
        if (err < 0 || response->result) {
            return err;
        }
        int64_t pause = hd_retry_next(&retry, hd_clock_mono_ms().v);
        if (pause < 0) {
            return hd_fail(-HD_E_NOT_REPLICATED_YET, "%s: no data node reported its last block",
                           w->path);
        }
        hd_clock_sleep_ms(pause);
    }
}

/* The lease of other files goes on being renewed, so a file given up has to be closed by meta. */
static void give_up_lease(struct hd_writer *w)
{
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    Hdw__RecoverLeaseRequest request = HDW__RECOVER_LEASE_REQUEST__INIT;
    char path[64];
    request.src = (char *)(uintptr_t)inode_path(w, path);
    request.client_name = w->fs->session->client_name;
    ProtobufCMessage *response;
    (void)hd_call_once(w->fs, NULL, "recoverLease", &request.base,
                       &hdw__recover_lease_response__descriptor, &arena, &response);
}

int hd_writer_close(struct hd_writer *w)
{
    hd_lease_remove(w->fs->session, &w->link);
    int err = failed_before(w);
    if (err == 0) {
        err = end_block(w);
        if (err == 0) {
            err = complete(w);
        }
        err = settle(w, err);
    }
    if (err < 0) {
        give_up_lease(w);
        (void)failed_before(w); /* its words, not those of the call just made */
    }
    writer_free(w);
    return err;
}

void hd_writer_abandon(struct hd_writer *w)
{
    hd_lease_remove(w->fs->session, &w->link);
    writer_free(w);
}
