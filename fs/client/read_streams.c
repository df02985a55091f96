/* The streams that a reader keeps (reader.h). */
#include "fs/client/core/layout.h"
#include "fs/client/reader.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIRST_REQUEST_BYTES = 1 << 20, /* asked for by the first small read of a file */
    STREAMING_BYTES = 131072,      /* a first read of this size is the start of all of it */
    PASSING_TRIES = 64,            /* streams let by before one's own is opened */
    STRAGGLER_BYTES = 4 << 20,     /* this little behind a stream, the part alone is wanted */
};

static void drop_ahead(struct hd_kept_stream *k)
{
    for (size_t i = 0; i < HD_READER_AHEAD_MAX; i++) {
        free(k->ahead[i].data);
        k->ahead[i] = (struct hd_ahead){.data = NULL};
    }
}

static void stream_drop(struct hd_reader *r, struct hd_kept_stream *k, bool in_order)
{
    if (k->open) {
        hd_block_stream_close(&k->in, in_order ? &r->fs->session->conns : NULL);
        k->open = false;
    }
}

/* ---- under the lock ---- */

/* Of the same generation, too: a block that was cut and appended to has other bytes. */
static bool is_of_block(const struct hd_kept_stream *k, const struct hd_part *p)
{
    return k->block_id == p->block->b->block_id && k->genstamp == p->block->b->generation_stamp;
}

/* Copies what was set aside and is wanted; returns the bytes copied at the start of the part. */
static size_t copy_ahead(struct hd_kept_stream *k, const struct hd_part *p)
{
    for (size_t i = 0; i < HD_READER_AHEAD_MAX; i++) {
        struct hd_ahead *a = &k->ahead[i];
        if (a->data == NULL || p->offset < a->offset || p->offset - a->offset >= a->size) {
            continue;
        }
        size_t skip = (size_t)(p->offset - a->offset);
        size_t n = HD_MIN(p->size, a->size - skip);
        memcpy(p->out, a->data + skip, n);
        if (skip + n == a->size) { /* its end is read: nobody comes back for the rest */
            free(a->data);
            *a = (struct hd_ahead){.data = NULL};
        }
        return n;
    }
    return 0;
}

/* A busy stream that will be at the part's place, or set it aside, when it is done. */
static bool will_pass(const struct hd_kept_stream *k, const struct hd_part *p)
{
    return k->busy && p->offset + p->slack >= k->busy_end && p->offset <= k->busy_end + p->slack &&
           p->offset < k->end + p->slack;
}

static bool can_serve(const struct hd_kept_stream *k, const struct hd_part *p)
{
    return !k->busy && k->open && p->offset >= k->pos && p->offset - k->pos <= p->slack &&
           p->offset < k->end;
}

/* One look around: a stream to take, or bytes set aside, or whether to wait. */
static struct hd_kept_stream *look_for_stream(struct hd_reader *r, const struct hd_part *p,
                                              size_t *ret_copied, bool *ret_passing)
{
    struct hd_kept_stream *best = NULL;
    *ret_passing = false;
    for (size_t i = 0; i < HD_READER_STREAMS_MAX; i++) {
        struct hd_kept_stream *k = &r->streams[i];
        if (!is_of_block(k, p)) {
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

struct hd_kept_stream *hd_reader_take_stream(struct hd_reader *r, const struct hd_part *p,
                                             size_t *ret_copied)
{
    struct hd_kept_stream *k = NULL;
    *ret_copied = 0;
    pthread_mutex_lock(&r->lock);
    for (int tries = 0; tries < PASSING_TRIES; tries++) {
        bool passing;
        k = look_for_stream(r, p, ret_copied, &passing);
        if (k != NULL && (k->pos == p->offset || !passing)) {
            k->busy = true;
            k->busy_end = p->offset + p->size;
            break;
        }
        k = NULL;
        if (!passing || *ret_copied > 0) {
            break;
        }
        pthread_cond_wait(&r->changed, &r->lock);
    }
    pthread_mutex_unlock(&r->lock);
    return k;
}

/* A free place first, the one unused for longest; it is busy and empty now. NULL: all are busy. */
static struct hd_kept_stream *find_place(struct hd_reader *r)
{
    struct hd_kept_stream *best = NULL;
    for (size_t i = 0; i < HD_READER_STREAMS_MAX; i++) {
        struct hd_kept_stream *k = &r->streams[i];
        if (k->busy) {
            continue;
        }
        bool older = best == NULL || k->used_ms < best->used_ms;
        if (best == NULL || (best->open && !k->open) || (best->open == k->open && older)) {
            best = k;
        }
    }
    if (best != NULL) {
        hd_reader_drop_stream(r, best);
        best->busy = true;
    }
    return best;
}

/* A part that a stream of its block has just passed: it alone is wanted. Under the lock. */
static bool is_straggler(const struct hd_reader *r, const struct hd_part *p)
{
    for (size_t i = 0; i < HD_READER_STREAMS_MAX; i++) {
        const struct hd_kept_stream *k = &r->streams[i];
        uint64_t pos = k->busy ? k->busy_end : k->pos; /* 0: closed */
        if (is_of_block(k, p) && pos > p->offset && pos - p->offset <= STRAGGLER_BYTES) {
            return true;
        }
    }
    return false;
}

/* How much to ask a node for: to the end of the block for who reads on, else what is wanted. */
static uint64_t request_size(const struct hd_reader *r, const struct hd_part *p)
{
    uint64_t left = p->block_size - p->offset;
    bool first = p->offset == 0 && p->size >= STREAMING_BYTES;
    if ((p->sequential || first) && !is_straggler(r, p)) {
        return left;
    }
    uint64_t want = p->offset == 0 ? HD_MAX(p->size, (size_t)FIRST_REQUEST_BYTES) : p->size;
    return HD_MIN(left, want);
}

struct hd_kept_stream *hd_reader_take_place(struct hd_reader *r, const struct hd_part *p,
                                            uint64_t *ret_ask)
{
    pthread_mutex_lock(&r->lock);
    *ret_ask = request_size(r, p);
    struct hd_kept_stream *k = find_place(r);
    if (k != NULL) {
        k->block_id = p->block->b->block_id;
        k->genstamp = p->block->b->generation_stamp;
        k->busy_end = p->offset + p->size;
        k->end = p->offset + *ret_ask;
        k->node[0] = '\0';
    }
    pthread_mutex_unlock(&r->lock);
    return k;
}

void hd_reader_give_back(struct hd_reader *r, struct hd_kept_stream *k, int err)
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
static int read_gap(struct hd_reader *r, struct hd_kept_stream *k, uint64_t offset)
{
    size_t size = (size_t)(offset - k->in.pos);
    uint8_t *data = malloc(size);
    if (data == NULL) {
        return -ENOMEM;
    }
    struct hd_ahead a = {k->in.pos, size, data};
    size_t done;
    int err = hd_block_stream_read(&k->in, data, size, &done);
    atomic_fetch_add(&r->remote_bytes, done);
    if (err < 0) {
        free(data);
        return err;
    }
    pthread_mutex_lock(&r->lock);
    struct hd_ahead *place = &k->ahead[k->ahead_next];
    k->ahead_next = (k->ahead_next + 1) % HD_READER_AHEAD_MAX;
    free(place->data);
    *place = a;
    pthread_cond_broadcast(&r->changed);
    pthread_mutex_unlock(&r->lock);
    return 0;
}

int hd_reader_read_stream(struct hd_reader *r, struct hd_kept_stream *k, const struct hd_part *p,
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

void hd_reader_forget(struct hd_reader *r, uint64_t block_id)
{
    pthread_mutex_lock(&r->lock);
    for (size_t i = 0; i < HD_READER_STREAMS_MAX; i++) {
        struct hd_kept_stream *k = &r->streams[i];
        if (!k->busy && k->open && k->block_id == block_id) {
            hd_reader_drop_stream(r, k);
        }
    }
    pthread_mutex_unlock(&r->lock);
}

void hd_reader_drop_stream(struct hd_reader *r, struct hd_kept_stream *k)
{
    stream_drop(r, k, false);
    drop_ahead(k);
}
