/*
 * Reading files: hd_file_open, hd_file_pread and company.
 *
 * Any number of threads read one file. A read is cut at block borders; each part comes from a local
 * replica by descriptor, or from a stream: a request to a node whose packets arrive in order. The
 * file keeps a few streams, so that sequential reading goes on where it stopped; what a reader's
 * threads ask for slightly out of order is read past and set aside (struct ahead).
 *
 * A replica that fails or keeps silent is left for the next one and its node is suspect for some
 * seconds. When all failed the blocks are asked for again, until the retry time is used up.
 */
#include "fs/base/error.h"
#include "fs/client/block_stream.h"
#include "fs/client/blocks.h"
#include "fs/client/core/retry.h"
#include "fs/client/file.h"
#include "fs/client/session.h"
#include "fs/os/clock.h"

#include "client_namenode.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    STREAMS_MAX = 4,
    AHEAD_MAX = 8,                 /* pieces set aside a stream */
    SLACK_BYTES = 2 << 20,         /* how far out of order is still sequential */
    SLACK_READS = 16,              /* and in reads of the size at hand */
    FIRST_REQUEST_BYTES = 1 << 20, /* asked for by the first small read of a file */
    STREAMING_BYTES = 131072,      /* a first read of this size is the start of all of it */
    FIRST_TIMEOUT_MS = 1000,       /* while another replica is there */
    LAST_TIMEOUT_MS = 3000,
    MAX_TIMEOUT_MS = 20000,
    CANDIDATES_MAX = 32,
};

/* Bytes of a block read past for another thread. */
struct ahead {
    uint64_t offset;
    size_t size;
    uint8_t *data; /* heap, owned; NULL: free */
};

/* A stream kept between reads. Fields under the reader's lock; `in` belongs to who set busy. */
struct kept_stream {
    struct hd_block_stream in;
    bool open;
    bool busy;
    uint64_t block_id;
    uint64_t busy_end; /* where it will be when the current read is done */
    uint64_t pos;      /* copy of in.pos while not busy */
    uint64_t end;
    char node[HD_UUID_TEXT_BYTES];
    int64_t used_ms;
    struct ahead ahead[AHEAD_MAX];
    size_t ahead_next;
};

struct hd_reader {
    struct hd_fs *fs;
    const char *path; /* of the file */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a stream became free */
    struct hd_blocks *blocks;
    struct hd_sequence sequence;
    struct kept_stream streams[STREAMS_MAX];
    atomic_ullong local_bytes;
    atomic_ullong remote_bytes;
    atomic_ullong retries;
};

/* One part of a read: bytes of one block. */
struct part {
    struct hd_blocks *blocks;
    Hdw__LocatedBlock *block;
    bool incomplete; /* the block is still being written */
    uint64_t block_size;
    uint64_t offset; /* in the block */
    uint8_t *out;
    size_t size;
    bool sequential;
    uint64_t slack; /* how far out of order the reader's threads may be */
    int timeout_ms;
};

static void drop_ahead(struct kept_stream *k)
{
    for (size_t i = 0; i < AHEAD_MAX; i++) {
        free(k->ahead[i].data);
        k->ahead[i] = (struct ahead){.data = NULL};
    }
}

static void stream_drop(struct hd_reader *r, struct kept_stream *k, bool in_order)
{
    if (k->open) {
        hd_block_stream_close(&k->in, in_order ? &r->fs->session->conns : NULL);
        k->open = false;
    }
}

/* ---- streams, under the lock ---- */

/* Copies what was set aside and is wanted; returns the bytes copied at the start of the part. */
static size_t copy_ahead(struct kept_stream *k, const struct part *p)
{
    for (size_t i = 0; i < AHEAD_MAX; i++) {
        struct ahead *a = &k->ahead[i];
        if (a->data == NULL || p->offset < a->offset || p->offset - a->offset >= a->size) {
            continue;
        }
        size_t skip = (size_t)(p->offset - a->offset);
        size_t n = HD_MIN(p->size, a->size - skip);
        memcpy(p->out, a->data + skip, n);
        if (skip + n == a->size) { /* its end is read: nobody comes back for the rest */
            free(a->data);
            *a = (struct ahead){.data = NULL};
        }
        return n;
    }
    return 0;
}

/* A busy stream that will be at the part's place, or set it aside, when it is done. */
static bool will_pass(const struct kept_stream *k, const struct part *p)
{
    return k->busy && p->offset + p->slack >= k->busy_end && p->offset <= k->busy_end + p->slack &&
           p->offset < k->end + p->slack;
}

static bool can_serve(const struct kept_stream *k, const struct part *p)
{
    return !k->busy && k->open && p->offset >= k->pos && p->offset - k->pos <= p->slack &&
           p->offset < k->end;
}

/* One look around: a stream to take, or bytes set aside, or whether to wait. */
static struct kept_stream *look_for_stream(struct hd_reader *r, const struct part *p,
                                           size_t *ret_copied, bool *ret_passing)
{
    struct kept_stream *best = NULL;
    *ret_passing = false;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        struct kept_stream *k = &r->streams[i];
        if (k->block_id != p->block->b->block_id) {
            continue;
        }
        *ret_copied = copy_ahead(k, p);
        if (*ret_copied > 0) {
            return NULL;
        }
        if (can_serve(k, p) && (best == NULL || k->pos > best->pos)) {
            best = k;
        }
        *ret_passing = *ret_passing || will_pass(k, p);
    }
    return best;
}

/*
 * A stream for the part, busy now; or *ret_copied bytes that were set aside; or NULL. Waits for
 * streams that are about to come by.
 */
static struct kept_stream *take_stream(struct hd_reader *r, const struct part *p,
                                       size_t *ret_copied)
{
    *ret_copied = 0;
    for (int tries = 0; tries < 64; tries++) {
        bool passing;
        struct kept_stream *k = look_for_stream(r, p, ret_copied, &passing);
        if (k != NULL && (k->pos == p->offset || !passing)) {
            k->busy = true;
            k->busy_end = p->offset + p->size;
            return k;
        }
        if (!passing || *ret_copied > 0) {
            return NULL;
        }
        pthread_cond_wait(&r->changed, &r->lock);
    }
    return NULL;
}

/* A place for a new stream, busy now: a free one first, the one unused for longest. NULL: none. */
static struct kept_stream *take_place(struct hd_reader *r)
{
    struct kept_stream *best = NULL;
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        struct kept_stream *k = &r->streams[i];
        if (k->busy) {
            continue;
        }
        bool older = best == NULL || k->used_ms < best->used_ms;
        if (best == NULL || (best->open && !k->open) || (best->open == k->open && older)) {
            best = k;
        }
    }
    if (best != NULL) {
        stream_drop(r, best, false);
        drop_ahead(best);
        best->busy = true;
    }
    return best;
}

static void give_back(struct hd_reader *r, struct kept_stream *k, int err)
{
    bool finished = err == 0 && k->in.pos >= k->in.end;
    if (err < 0 || finished) {
        stream_drop(r, k, finished);
    }
    pthread_mutex_lock(&r->lock);
    k->busy = false;
    k->pos = k->open ? k->in.pos : 0;
    k->used_ms = hd_clock_mono_ms().v;
    if (!k->open) {
        k->end = 0;
    }
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
}

/* ---- reading from a stream that is ours ---- */

/* Reads what lies before the part and sets it aside for who asks next. */
static int read_gap(struct hd_reader *r, struct kept_stream *k, uint64_t offset)
{
    size_t size = (size_t)(offset - k->in.pos);
    uint8_t *data = malloc(size);
    if (data == NULL) {
        return -ENOMEM;
    }
    struct ahead a = {k->in.pos, size, data};
    size_t done;
    int err = hd_block_stream_read(&k->in, data, size, &done);
    atomic_fetch_add(&r->remote_bytes, done);
    if (err < 0) {
        free(data);
        return err;
    }
    pthread_mutex_lock(&r->lock);
    struct ahead *place = &k->ahead[k->ahead_next];
    k->ahead_next = (k->ahead_next + 1) % AHEAD_MAX;
    free(place->data);
    *place = a;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return 0;
}

static int read_stream(struct hd_reader *r, struct kept_stream *k, const struct part *p,
                       size_t *ret_done)
{
    *ret_done = 0;
    k->in.conn->stream.timeout_ms = p->timeout_ms;
    if (k->in.pos < p->offset) {
        int err = read_gap(r, k, p->offset);
        if (err < 0) {
            return err;
        }
    }
    size_t n = (size_t)HD_MIN((uint64_t)p->size, k->in.end - k->in.pos);
    int err = hd_block_stream_read(&k->in, p->out, n, ret_done);
    atomic_fetch_add(&r->remote_bytes, *ret_done);
    return err;
}

/* A part that a stream of its block has just passed: it alone is wanted. Under the lock. */
static bool is_straggler(const struct hd_reader *r, const struct part *p)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        const struct kept_stream *k = &r->streams[i];
        uint64_t pos = k->busy ? k->busy_end : k->pos;
        if (k->open && k->block_id == p->block->b->block_id && pos > p->offset &&
            pos - p->offset <= (uint64_t)SLACK_BYTES * 4) {
            return true;
        }
    }
    return false;
}

/* How much to ask a node for: to the end of the block for who reads on, else what is wanted. */
static uint64_t request_size(const struct hd_reader *r, const struct part *p)
{
    uint64_t left = p->block_size - p->offset;
    bool first = p->offset == 0 && p->size >= STREAMING_BYTES;
    if ((p->sequential || first) && !is_straggler(r, p)) {
        return left;
    }
    uint64_t want = p->offset == 0 ? HD_MAX(p->size, (size_t)FIRST_REQUEST_BYTES) : p->size;
    return HD_MIN(left, want);
}

/* ---- one attempt at one replica ---- */

static int attempt_local(struct hd_reader *r, const struct part *p, const Hdw__DatanodeInfo *node,
                         size_t *ret_done)
{
    struct hd_session *s = r->fs->session;
    struct hd_local_block *b;
    *ret_done = 0;
    int err = hd_local_cache_get(&s->locals, s->socket_path, (int)node->id->xfer_port, p->block->b,
                                 p->block->block_token, &b);
    if (err < 0) {
        return -ENOENT; /* none to be had: over the network */
    }
    err = hd_local_block_read(b, p->out, p->size, p->offset);
    if (err == 0) {
        *ret_done = p->size;
        atomic_fetch_add(&r->local_bytes, p->size);
    } else {
        /* The replica may have been appended to meanwhile; the node itself tells, over the network.
         */
        hd_local_cache_drop(&s->locals, b);
        err = -ENOENT;
    }
    hd_local_cache_put(&s->locals, b);
    return err;
}

static int attempt_remote(struct hd_reader *r, const struct part *p, const Hdw__DatanodeInfo *node,
                          size_t *ret_done)
{
    struct hd_session *s = r->fs->session;
    *ret_done = 0;
    pthread_mutex_lock(&r->lock);
    uint64_t ask = request_size(r, p);
    struct kept_stream *k = take_place(r);
    struct kept_stream single = {.busy = true};
    if (k == NULL) {
        k = &single;
        ask = p->size;
    } else {
        k->block_id = p->block->b->block_id;
        k->busy_end = p->offset + p->size;
        k->end = p->offset + ask;
        snprintf(k->node, sizeof(k->node), "%s", node->id->datanode_uuid);
    }
    pthread_mutex_unlock(&r->lock);
    int err = hd_block_stream_open(&k->in, &s->conns, p->block, node, s->client_name, p->offset,
                                   ask, p->timeout_ms);
    k->open = err == 0;
    if (err == 0) {
        err = read_stream(r, k, p, ret_done);
    }
    give_back(r, k, err);
    if (k == &single) {
        stream_drop(r, k, false);
    }
    return err;
}

static void report_bad(struct hd_reader *r, const struct part *p, size_t index)
{
    Hdw__LocatedBlock bad = *p->block;
    bad.n_locs = 1;
    bad.locs = &p->block->locs[index];
    bool typed = p->block->n_storage_types == p->block->n_locs;
    bad.n_storage_types = typed ? 1 : 0;
    bad.storage_types = typed ? &p->block->storage_types[index] : NULL;
    bool named = p->block->n_storage_i_ds == p->block->n_locs;
    bad.n_storage_i_ds = named ? 1 : 0;
    bad.storage_i_ds = named ? &p->block->storage_i_ds[index] : NULL;
    bad.n_is_cached = 0;
    bad.corrupt = true;
    Hdw__LocatedBlock *list[] = {&bad};
    Hdw__ReportBadBlocksRequest request = HDW__REPORT_BAD_BLOCKS_REQUEST__INIT;
    request.n_blocks = 1;
    request.blocks = list;
    HD_AUTO(hd_arena_done) struct hd_arena arena;
    hd_arena_init(&arena, 0);
    ProtobufCMessage *response;
    (void)hd_call_once(r->fs, NULL, "reportBadBlocks", &request.base,
                       &hdw__report_bad_blocks_response__descriptor, &arena, &response);
}

/* ---- replicas in turn ---- */

/* What one read remembers over its attempts. */
struct attempts {
    struct hd_retry retry;
    bool begun;
    int round;
};

static size_t list_candidates(struct hd_reader *r, const struct part *p, struct hd_candidate *c)
{
    struct hd_session *s = r->fs->session;
    size_t n = HD_MIN(p->block->n_locs, (size_t)CANDIDATES_MAX);
    for (size_t i = 0; i < n; i++) {
        const Hdw__DatanodeID *id = p->block->locs[i]->id;
        c[i] = (struct hd_candidate){
            .local = s->socket_path != NULL && hd_session_is_local(s, id->ip_addr, id->host_name),
            .suspect = hd_session_node_suspect(s, id->datanode_uuid),
        };
    }
    return n;
}

static int timeout_for(int round, bool last)
{
    if (round == 0) {
        return last ? LAST_TIMEOUT_MS : FIRST_TIMEOUT_MS;
    }
    return HD_MIN(LAST_TIMEOUT_MS << HD_MIN(round, 3), (int)MAX_TIMEOUT_MS);
}

/* Some bytes of the part from any replica: 0 and *ret_done > 0, or the last error. */
static int read_from_any(struct hd_reader *r, struct part *p, struct attempts *a, size_t *ret_done)
{
    struct hd_candidate c[CANDIDATES_MAX];
    size_t count = list_candidates(r, p, c);
    int err = hd_fail(-HD_E_MISSING_BLOCK, "%s: no data node has blk_%llu", r->path,
                      (unsigned long long)p->block->b->block_id);
    *ret_done = 0;
    for (size_t tried = 0;; tried++) {
        int i = hd_candidate_choose(c, count);
        if (i < 0) {
            return err;
        }
        c[i].failed = true;
        const Hdw__DatanodeInfo *node = p->block->locs[i];
        if (c[i].local && !p->incomplete && attempt_local(r, p, node, ret_done) == 0) {
            return 0;
        }
        p->timeout_ms = timeout_for(a->round, tried + 1 == count);
        err = attempt_remote(r, p, node, ret_done);
        if (err == 0) {
            if (c[i].suspect) {
                hd_session_node_served(r->fs->session, node->id->datanode_uuid);
            }
            return 0;
        }
        atomic_fetch_add(&r->retries, 1);
        hd_session_node_failed(r->fs->session, node->id->datanode_uuid);
        if (err == -HD_E_CHECKSUM) {
            report_bad(r, p, (size_t)i);
        }
        if (*ret_done > 0) {
            return 0; /* what came is good; the rest is another turn's */
        }
    }
}

/* From a stream that is there, else from any replica. */
static int read_part(struct hd_reader *r, struct part *p, struct attempts *a, size_t *ret_done)
{
    pthread_mutex_lock(&r->lock);
    struct kept_stream *k = take_stream(r, p, ret_done);
    pthread_mutex_unlock(&r->lock);
    if (*ret_done > 0) {
        return 0;
    }
    if (k != NULL) {
        p->timeout_ms = p->block->n_locs > 1 ? FIRST_TIMEOUT_MS : LAST_TIMEOUT_MS;
        int err = read_stream(r, k, p, ret_done);
        char node[HD_UUID_TEXT_BYTES];
        memcpy(node, k->node, sizeof(node));
        bool stale = err == -HD_E_CLOSED; /* an idle stream that the node closed is no failure */
        give_back(r, k, err);
        if (err < 0 && !stale) {
            hd_session_node_failed(r->fs->session, node);
        }
        if (*ret_done > 0) {
            return 0;
        }
    }
    return read_from_any(r, p, a, ret_done);
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

/* After a round of failures: waits, asks meta again. The old error when the time is used up. */
static int next_round(struct hd_reader *r, struct attempts *a, int err)
{
    int64_t now = hd_clock_mono_ms().v;
    if (!a->begun) {
        hd_retry_init(&a->retry, now, r->fs->session->retry_ms, (uint64_t)now);
        a->begun = true;
    }
    int64_t pause = hd_retry_next(&a->retry, now);
    if (pause < 0) {
        return err;
    }
    hd_clock_sleep_ms(pause);
    a->round++;
    int again = refresh(r);
    return again == -ENOENT || again == -ESTALE || again == -EACCES ? again : 0;
}

/* The part of a read that lies in one block; false when the file ends before offset. */
static bool make_part(struct hd_blocks *b, uint64_t offset, uint8_t *out, size_t size,
                      struct part *p)
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

int64_t hd_file_pread(struct hd_file *f, void *out, size_t size, uint64_t offset)
{
    struct hd_reader *r = f->reader;
    if (r == NULL) {
        return hd_fail(-EBADF, "%s: not open for reading", f->path);
    }
    size = HD_MIN(size, (size_t)INT64_MAX);
    pthread_mutex_lock(&r->lock);
    struct part p = {.slack = HD_MIN((uint64_t)SLACK_BYTES, (uint64_t)size * SLACK_READS)};
    p.sequential = hd_sequence_note(&r->sequence, offset, size, p.slack);
    pthread_mutex_unlock(&r->lock);
    struct attempts a = {.begun = false};
    size_t total = 0;
    int err = 0;
    while (total < size && err == 0) {
        struct hd_blocks *b = current_blocks(r);
        size_t done = 0;
        if (!make_part(b, offset + total, (uint8_t *)out + total, size - total, &p)) {
            hd_blocks_unref(b);
            break;
        }
        err = read_part(r, &p, &a, &done);
        hd_blocks_unref(b);
        total += done;
        if (err < 0) {
            err = next_round(r, &a, err);
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
    r->fs = fs;
    r->path = f->path;
    pthread_mutex_init(&r->lock, NULL);
    pthread_cond_init(&r->changed, NULL);
    f->reader = r;
    *ret = f;
    return 0;
}

void hd_reader_close(struct hd_reader *r)
{
    for (size_t i = 0; i < STREAMS_MAX; i++) {
        stream_drop(r, &r->streams[i], false);
        drop_ahead(&r->streams[i]);
    }
    hd_blocks_unref(r->blocks);
    pthread_cond_destroy(&r->changed);
    pthread_mutex_destroy(&r->lock);
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

/* A descriptor from one local holder of the only block. */
static int local_fd(struct hd_session *s, Hdw__LocatedBlock *block, uint64_t size, int *ret_fd)
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
        err = local_fd(f->fs->session, b->blocks[0], b->size_bytes, ret_fd);
    }
    hd_blocks_unref(b);
    return err;
}
