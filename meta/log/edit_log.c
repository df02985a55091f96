/* The edit log as a directory of segments. See edit_log.h. */
#include "meta/log/edit_log.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { SEGMENTS_MAX = 1000000 };

static const char finished_format[] = "edits_%020" PRIu64 "-%020" PRIu64;
static const char inprogress_format[] = "edits_inprogress_%020" PRIu64;

struct segment {
    uint64_t first;
    uint64_t last; /* of the open one: kept by append */
    bool open;
};

struct hd_edit_log {
    char *dir;
    char *cluster_id;
    uint64_t chunk_bytes;
    uint64_t segment_bytes;
    pthread_mutex_t lock;     /* segments and cursor */
    uint64_t next;            /* while there is no segment: the txid that is to come */
    struct segment *segments; /* in txid order */
    size_t count;
    size_t capacity;
    struct hd_segment_writer writer; /* the appending thread's */
    bool writing;
    struct { /* where the last read ended, so that the next one need not search */
        uint64_t segment_first;
        uint64_t txid;
        uint64_t offset;
    } cursor;
};

static void segment_path(const struct hd_edit_log *l, const struct segment *s,
                         char out[HD_LOG_PATH_BYTES])
{
    char name[64];
    if (s->open) {
        snprintf(name, sizeof(name), inprogress_format, s->first);
    } else {
        snprintf(name, sizeof(name), finished_format, s->first, s->last);
    }
    snprintf(out, HD_LOG_PATH_BYTES, "%s/%s", l->dir, name);
}

static int add_segment(struct hd_edit_log *l, struct segment s)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        struct segment *grown =
            capacity > SEGMENTS_MAX ? NULL : realloc(l->segments, capacity * sizeof(*grown));
        if (grown == NULL) {
            return hd_fail(-ENOMEM, "%s: more than %zu segments", l->dir, l->count);
        }
        l->segments = grown;
        l->capacity = capacity;
    }
    l->segments[l->count++] = s;
    return 0;
}

static int by_first(const void *a, const void *b)
{
    const struct segment *x = a;
    const struct segment *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (int)x->open - (int)y->open;
}

static bool parse_name(const char *name, struct segment *ret)
{
    char again[64];
    struct segment s = {0};
    if (sscanf(name, "edits_inprogress_%" SCNu64, &s.first) == 1) {
        s.open = true;
        snprintf(again, sizeof(again), inprogress_format, s.first);
    } else if (sscanf(name, "edits_%" SCNu64 "-%" SCNu64, &s.first, &s.last) == 2) {
        snprintf(again, sizeof(again), finished_format, s.first, s.last);
    } else {
        return false;
    }
    *ret = s;
    return strcmp(name, again) == 0 && s.first > 0 && (s.open || s.last >= s.first);
}

static int list(struct hd_edit_log *l)
{
    DIR *d = opendir(l->dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", l->dir);
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        struct segment s;
        if (parse_name(e->d_name, &s)) {
            err = add_segment(l, s);
        }
    }
    closedir(d);
    if (l->count > 1) {
        qsort(l->segments, l->count, sizeof(*l->segments), by_first);
    }
    return err;
}

static int check_names(const struct hd_edit_log *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct segment *s = &l->segments[i];
        if (s->open && i + 1 < l->count) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s: segment %" PRIu64 " is in progress, but one of txid %" PRIu64
                           " follows; move the one that is not wanted away",
                           l->dir, s->first, l->segments[i + 1].first);
        }
        if (i > 0 && s->first != s[-1].last + 1) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s: the log has a gap: txids %" PRIu64 " to %" PRIu64
                           " are in no segment; restore it from the secondary's directory",
                           l->dir, s[-1].last + 1, s->first - 1);
        }
    }
    return 0;
}

/*
 * Forgets the open segment, which has no record. Its file stays until hd_edit_log_start writes it
 * anew: its name tells how far the log has come when all before it is purged.
 */
static int forget_last(struct hd_edit_log *l)
{
    l->next = l->segments[--l->count].first;
    return 0;
}

/* Gives the segment its final name; its content is durable already. */
static int rename_finished(struct hd_edit_log *l, struct segment *s)
{
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    struct segment done = {s->first, s->last, false};
    segment_path(l, s, from);
    segment_path(l, &done, to);
    if (hd_io_rename(from, to) < 0) {
        return hd_fail_errno(errno, "%s: rename to %s", from, to);
    }
    int err = hd_dir_sync(l->dir);
    if (err == 0) {
        *s = done;
    }
    return err;
}

static int cut(const char *path, uint64_t size)
{
    HD_AUTO(hd_fd_done) int fd = hd_io_open(path, O_WRONLY | O_CLOEXEC, 0);
    if (fd < 0 || hd_io_ftruncate(fd, (off_t)size) < 0 || hd_io_fsync(fd) < 0) {
        return hd_fail_errno(errno, "%s: cut at %" PRIu64, path, size);
    }
    return 0;
}

/*
 * A segment is named only after its header is durable, so a bad header is damage; unless a crash
 * came before that, when nothing but (part of) a header can be in the file.
 */
static int recover_headless(struct hd_edit_log *l, const char *path, int open_err)
{
    HD_AUTO(hd_buf_done) struct hd_buf content = {0};
    char why[HD_FAIL_TEXT_BYTES];
    snprintf(why, sizeof(why), "%s", hd_fail_text());
    int err = hd_file_read(path, HD_BUF_MAX_BYTES / 2, &content);
    if (err < 0) {
        return err;
    }
    for (size_t i = HD_SEGMENT_HEADER_BYTES; i < content.size; i++) {
        if (content.data[i] != 0) {
            return hd_fail(open_err, "%s", why);
        }
    }
    return forget_last(l);
}

/* The segment that was being written when the process ended. */
static int recover(struct hd_edit_log *l, struct hd_edit_log_recovery *ret)
{
    struct segment *s = &l->segments[l->count - 1];
    char path[HD_LOG_PATH_BYTES];
    segment_path(l, s, path);
    struct hd_segment_reader r;
    int err = hd_segment_reader_open(&r, path, l->cluster_id, (struct hd_txid){s->first});
    if (err == -HD_E_CORRUPT) {
        return recover_headless(l, path, err);
    }
    if (err < 0) {
        return err;
    }
    struct hd_record rec;
    while ((err = hd_segment_reader_next(&r, &rec)) > 0) {
    }
    if (err == 0) {
        err = hd_segment_tail_check(&r, &ret->cut_bytes);
    }
    ret->cut_offset = r.offset;
    s->last = r.next.v - 1;
    uint64_t offset = r.offset;
    hd_segment_reader_done(&r);
    if (err < 0) {
        return err;
    }
    if (s->last < s->first) {
        return forget_last(l);
    }
    err = cut(path, offset);
    return err < 0 ? err : rename_finished(l, s);
}

int hd_edit_log_open(const struct hd_edit_log_options *options, struct hd_edit_log **ret,
                     struct hd_edit_log_recovery *ret_recovery)
{
    struct hd_edit_log_recovery recovery = {0};
    struct hd_edit_log *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&l->lock, NULL);
    l->writer.fd = -1;
    l->next = 1;
    l->dir = strdup(options->dir);
    l->cluster_id = strdup(options->cluster_id);
    l->chunk_bytes = options->chunk_bytes != 0 ? options->chunk_bytes : (uint64_t)4 << 20;
    l->segment_bytes = options->segment_bytes != 0 ? options->segment_bytes : (uint64_t)64 << 20;
    int err = l->dir == NULL || l->cluster_id == NULL ? -ENOMEM : list(l);
    if (err == 0) {
        err = check_names(l);
    }
    if (err == 0 && l->count > 0 && l->segments[l->count - 1].open) {
        err = recover(l, &recovery);
    }
    if (err < 0) {
        hd_edit_log_close(l);
        return err;
    }
    if (ret_recovery != NULL) {
        *ret_recovery = recovery;
    }
    *ret = l;
    return 0;
}

void hd_edit_log_close(struct hd_edit_log *l)
{
    if (l == NULL) {
        return;
    }
    hd_segment_writer_done(&l->writer);
    pthread_mutex_destroy(&l->lock);
    free(l->segments);
    free(l->dir);
    free(l->cluster_id);
    free(l);
}

struct hd_txid hd_edit_log_first(struct hd_edit_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct hd_txid v = {l->count > 0 ? l->segments[0].first : l->next};
    pthread_mutex_unlock(&l->lock);
    return v;
}

struct hd_txid hd_edit_log_last(struct hd_edit_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct hd_txid v = {l->count > 0 ? l->segments[l->count - 1].last : l->next - 1};
    pthread_mutex_unlock(&l->lock);
    return v;
}

static int replay_segment(struct hd_edit_log *l, const struct segment *s, struct hd_txid from,
                          hd_edit_log_fn fn, void *ctx)
{
    char path[HD_LOG_PATH_BYTES];
    struct hd_segment_reader r;
    segment_path(l, s, path);
    int err = hd_segment_reader_open(&r, path, l->cluster_id, (struct hd_txid){s->first});
    if (err < 0) {
        return err;
    }
    struct hd_record rec;
    while (err >= 0 && (err = hd_segment_reader_next(&r, &rec)) > 0) {
        if (rec.txid.v >= from.v) {
            err = fn(ctx, &rec);
        }
    }
    if (err == 0 && !s->open) {
        err = hd_segment_end_check(&r, (struct hd_txid){s->last});
    }
    hd_segment_reader_done(&r);
    return err;
}

int hd_edit_log_replay(struct hd_edit_log *l, struct hd_txid from, hd_edit_log_fn fn, void *ctx)
{
    if (l->count > 0 && from.v < l->segments[0].first) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: the log begins with txid %" PRIu64 ", but %" PRIu64 " is needed",
                       l->dir, l->segments[0].first, from.v);
    }
    for (size_t i = 0; i < l->count; i++) {
        if (l->segments[i].last < from.v) {
            continue;
        }
        int err = replay_segment(l, &l->segments[i], from, fn, ctx);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

int hd_edit_log_start(struct hd_edit_log *l, struct hd_txid next)
{
    hd_assert(!l->writing);
    struct segment s = {next.v, next.v - 1, true};
    char path[HD_LOG_PATH_BYTES];
    segment_path(l, &s, path);
    int err = hd_segment_create(&l->writer, path, l->cluster_id, next, l->chunk_bytes);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&l->lock);
    hd_assert(l->count == 0 || l->segments[l->count - 1].last + 1 == next.v);
    err = add_segment(l, s);
    pthread_mutex_unlock(&l->lock);
    l->writing = err == 0;
    return err;
}

bool hd_edit_log_is_full(const struct hd_edit_log *l)
{
    return l->writer.size >= l->segment_bytes;
}

int hd_edit_log_append(struct hd_edit_log *l, const void *frames, size_t size, struct hd_txid last)
{
    hd_assert(l->writing);
    int err = hd_segment_append(&l->writer, frames, size);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&l->lock);
    hd_assert(last.v > l->segments[l->count - 1].last);
    l->segments[l->count - 1].last = last.v;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

int hd_edit_log_sync(struct hd_edit_log *l)
{
    return hd_segment_sync(&l->writer);
}

int hd_edit_log_roll(struct hd_edit_log *l)
{
    hd_assert(l->writing);
    pthread_mutex_lock(&l->lock);
    struct segment *s = &l->segments[l->count - 1];
    int err = 0;
    bool empty = s->last < s->first;
    if (!empty) {
        err = hd_segment_finish(&l->writer);
        if (err == 0) {
            err = rename_finished(l, s);
        }
    }
    struct hd_txid next = {s->last + 1};
    pthread_mutex_unlock(&l->lock);
    if (err < 0 || empty) {
        return err;
    }
    l->writing = false;
    return hd_edit_log_start(l, next);
}

int hd_edit_log_stop(struct hd_edit_log *l)
{
    if (!l->writing) {
        return 0;
    }
    l->writing = false;
    return hd_segment_finish(&l->writer);
}

/* Removes the oldest segment, which is finished or nobody's any more. Lock held. */
static int remove_oldest(struct hd_edit_log *l)
{
    char path[HD_LOG_PATH_BYTES];
    segment_path(l, &l->segments[0], path);
    if (hd_io_unlink(path) < 0 && errno != ENOENT) {
        return hd_fail_errno(errno, "%s: remove", path);
    }
    l->count--;
    memmove(l->segments, l->segments + 1, l->count * sizeof(*l->segments));
    return 0;
}

int hd_edit_log_purge(struct hd_edit_log *l, struct hd_txid covered)
{
    int removed = 0;
    int err = 0;
    pthread_mutex_lock(&l->lock);
    while (err == 0 && l->count > 1 && !l->segments[0].open && l->segments[0].last <= covered.v) {
        err = remove_oldest(l);
        removed += err == 0;
    }
    pthread_mutex_unlock(&l->lock);
    return err < 0 ? err : removed;
}

int hd_edit_log_clear(struct hd_edit_log *l)
{
    int err = 0;
    hd_segment_writer_done(&l->writer);
    l->writing = false;
    pthread_mutex_lock(&l->lock);
    while (err == 0 && l->count > 0) {
        err = remove_oldest(l);
    }
    pthread_mutex_unlock(&l->lock);
    l->next = 1;
    return err < 0 ? err : hd_dir_sync(l->dir);
}

/* The segment that holds txid, by value; the file keeps its name at least until it is opened. */
static int find_and_open(struct hd_edit_log *l, struct hd_txid txid, struct hd_segment_reader *r,
                         uint64_t *ret_first)
{
    int err = -ENOENT;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->count; i-- > 0;) {
        const struct segment *s = &l->segments[i];
        if (txid.v < s->first || txid.v > s->last) {
            continue;
        }
        char path[HD_LOG_PATH_BYTES];
        segment_path(l, s, path);
        err = hd_segment_reader_open(r, path, l->cluster_id, (struct hd_txid){s->first});
        if (err == 0 && l->cursor.segment_first == s->first && l->cursor.txid <= txid.v) {
            r->offset = l->cursor.offset;
            r->next.v = l->cursor.txid;
        }
        *ret_first = s->first;
        break;
    }
    pthread_mutex_unlock(&l->lock);
    return err;
}

static int read_once(struct hd_edit_log *l, struct hd_txid from, struct hd_txid limit,
                     size_t max_bytes, struct hd_buf *out, struct hd_txid *ret_next)
{
    struct hd_segment_reader r;
    uint64_t first;
    int err = find_and_open(l, from, &r, &first);
    if (err < 0) {
        return err;
    }
    size_t start = out->size;
    struct hd_record rec;
    uint64_t before = r.offset;
    struct hd_txid next = from;
    while (r.next.v <= limit.v && (err = hd_segment_reader_next(&r, &rec)) > 0) {
        size_t bytes = HD_RECORD_FRAME_BYTES + rec.size;
        if (rec.txid.v >= from.v) {
            if (out->size > start && out->size - start + bytes > max_bytes) {
                r.offset = before;
                break;
            }
            err = hd_record_encode(out, &rec);
            if (err < 0) {
                break;
            }
            next.v = rec.txid.v + 1;
        }
        before = r.offset;
    }
    if (err == -HD_E_TRUNCATED && next.v > from.v) {
        err = 0; /* cut by a roll meanwhile; what was read is good */
    }
    if (err >= 0 && next.v > from.v) {
        pthread_mutex_lock(&l->lock);
        l->cursor.segment_first = first;
        l->cursor.txid = next.v;
        l->cursor.offset = r.offset;
        pthread_mutex_unlock(&l->lock);
    }
    if (err >= 0 && next.v == from.v) {
        err = hd_fail(-HD_E_CORRUPT, "%s: offset %" PRIu64 ": txid %" PRIu64 " does not read back",
                      r.path, r.offset, from.v);
    }
    hd_segment_reader_done(&r);
    *ret_next = next;
    return err < 0 ? err : 0;
}

int hd_edit_log_read(struct hd_edit_log *l, struct hd_txid from, struct hd_txid limit,
                     size_t max_bytes, struct hd_buf *out, struct hd_txid *ret_next)
{
    int err = read_once(l, from, limit, max_bytes, out, ret_next);
    /* A roll may cut the preallocated end off between our open and our read. */
    return err == -HD_E_TRUNCATED ? read_once(l, from, limit, max_bytes, out, ret_next) : err;
}
