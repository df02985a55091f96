/* The edit log as a directory of segments. See edit_log.h. */
#include "meta/log/edit_log_impl.h"
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

void hd_edit_log_segment_path(const char *dir, const struct hd_edit_segment *s,
                              char out[HD_LOG_PATH_BYTES])
{
    char name[64];
    if (s->open) {
        snprintf(name, sizeof(name), inprogress_format, s->first);
    } else {
        snprintf(name, sizeof(name), finished_format, s->first, s->last);
    }
    snprintf(out, HD_LOG_PATH_BYTES, "%s/%s", dir, name);
}

/* Of the first directory in use: where all are alike, it speaks for them. */
static const char *dir_of(struct hd_edit_log *l)
{
    return hd_places_first(&l->places)->dir;
}

static int add_segment(struct hd_edit_log *l, struct hd_edit_segment s)
{
    if (l->count == l->capacity) {
        size_t capacity = l->capacity == 0 ? 16 : l->capacity * 2;
        struct hd_edit_segment *grown =
            capacity > SEGMENTS_MAX ? NULL : realloc(l->segments, capacity * sizeof(*grown));
        if (grown == NULL) {
            return hd_fail(-ENOMEM, "%s: more than %zu segments", dir_of(l), l->count);
        }
        l->segments = grown;
        l->capacity = capacity;
    }
    l->segments[l->count++] = s;
    return 0;
}

static int by_first(const void *a, const void *b)
{
    const struct hd_edit_segment *x = a;
    const struct hd_edit_segment *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (int)x->open - (int)y->open;
}

static bool parse_name(const char *name, struct hd_edit_segment *ret)
{
    char again[64];
    struct hd_edit_segment s = {0};
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
    DIR *d = opendir(dir_of(l));
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir_of(l));
    }
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        struct hd_edit_segment s;
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

static int check_names(struct hd_edit_log *l)
{
    for (size_t i = 0; i < l->count; i++) {
        const struct hd_edit_segment *s = &l->segments[i];
        if (s->open && i + 1 < l->count) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s: segment %" PRIu64 " is in progress, but one of txid %" PRIu64
                           " follows; move the one that is not wanted away",
                           dir_of(l), s->first, l->segments[i + 1].first);
        }
        if (i > 0 && s->first != s[-1].last + 1) {
            return hd_fail(-HD_E_CORRUPT,
                           "%s: the log has a gap: txids %" PRIu64 " to %" PRIu64
                           " are in no segment; take them from another copy of the log "
                           "(howdah admin edits repair DIR OTHER), or promote the secondary",
                           dir_of(l), s[-1].last + 1, s->first - 1);
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

/* Gives the segment its final name in one directory; its content is durable already. */
static int rename_finished(const char *dir, const struct hd_edit_segment *s)
{
    char from[HD_LOG_PATH_BYTES];
    char to[HD_LOG_PATH_BYTES];
    const struct hd_edit_segment done = {s->first, s->last, false};
    hd_edit_log_segment_path(dir, s, from);
    hd_edit_log_segment_path(dir, &done, to);
    if (hd_io_rename(from, to) < 0) {
        return hd_fail_errno(errno, "%s: rename to %s", from, to);
    }
    return hd_dir_sync(dir);
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
    struct hd_edit_segment *s = &l->segments[l->count - 1];
    char path[HD_LOG_PATH_BYTES];
    hd_edit_log_segment_path(dir_of(l), s, path);
    struct hd_segment_reader r;
    int err = hd_segment_settle(path);
    if (err < 0) {
        return err;
    }
    err = hd_segment_reader_open(&r, path, l->cluster_id, (struct hd_txid){s->first});
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
    if (err == 0) {
        err = rename_finished(dir_of(l), s);
    }
    s->open = err < 0;
    return err;
}

static int init(struct hd_edit_log *l, const struct hd_edit_log_options *o)
{
    l->next = 1;
    l->cluster_id = strdup(o->cluster_id);
    l->chunk_bytes = o->chunk_bytes != 0 ? o->chunk_bytes : (uint64_t)4 << 20;
    l->segment_bytes = o->segment_bytes != 0 ? o->segment_bytes : (uint64_t)64 << 20;
    l->on_repaired = o->on_repaired;
    l->ctx = o->ctx;
    int err = hd_places_init(&l->places, o->dir, o->members);
    l->places.on_dropped = o->on_dropped;
    l->places.ctx = o->ctx;
    return l->cluster_id == NULL ? -ENOMEM : err;
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
    int err = init(l, options);
    if (err == 0) {
        err = list(l);
    }
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
    hd_places_done(&l->places);
    pthread_mutex_destroy(&l->lock);
    free(l->segments);
    free(l->cluster_id);
    free(l);
}

size_t hd_edit_log_dirs(struct hd_edit_log *l, struct hd_edit_log_dir out[HD_DIRS_MAX])
{
    for (size_t i = 0; i < l->places.count; i++) {
        const struct hd_place *p = &l->places.list[i];
        out[i] = (struct hd_edit_log_dir){p->dir, atomic_load(&p->failed) ? p->why : NULL};
    }
    return l->places.count;
}

const char *hd_edit_log_dir(struct hd_edit_log *l)
{
    return dir_of(l);
}

int hd_edit_log_drop(struct hd_edit_log *l, const char *dir, int err)
{
    for (size_t i = 0; i < l->places.count; i++) {
        if (strcmp(l->places.list[i].dir, dir) == 0) {
            return hd_places_drop(&l->places, &l->places.list[i], err);
        }
    }
    return err;
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

struct creating {
    struct hd_edit_log *l;
    const struct hd_edit_segment *s;
};

static int create_one(void *ctx, struct hd_place *p)
{
    struct creating *c = ctx;
    char path[HD_LOG_PATH_BYTES];
    hd_edit_log_segment_path(p->dir, c->s, path);
    hd_segment_writer_done(&p->writer);
    return hd_segment_create(&p->writer, path, c->l->cluster_id, (struct hd_txid){c->s->first},
                             c->l->chunk_bytes);
}

int hd_edit_log_start(struct hd_edit_log *l, struct hd_txid next)
{
    hd_assert(!l->writing);
    struct hd_edit_segment s = {next.v, next.v - 1, true};
    struct creating c = {l, &s};
    int err = hd_places_each(&l->places, create_one, &c);
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

bool hd_edit_log_is_writing(const struct hd_edit_log *l)
{
    return l->writing;
}

bool hd_edit_log_is_full(const struct hd_edit_log *l)
{
    for (size_t i = 0; i < l->places.count; i++) {
        if (!atomic_load(&l->places.list[i].failed)) {
            return l->places.list[i].writer.size >= l->segment_bytes;
        }
    }
    return false;
}

struct appending {
    const void *frames;
    size_t size;
};

static int append_one(void *ctx, struct hd_place *p)
{
    const struct appending *a = ctx;
    return hd_segment_append(&p->writer, a->frames, a->size);
}

int hd_edit_log_append(struct hd_edit_log *l, const void *frames, size_t size, struct hd_txid last)
{
    hd_assert(l->writing);
    struct appending a = {frames, size};
    int err = hd_places_each(&l->places, append_one, &a);
    if (err < 0) {
        return err;
    }
    pthread_mutex_lock(&l->lock);
    hd_assert(last.v > l->segments[l->count - 1].last);
    l->segments[l->count - 1].last = last.v;
    pthread_mutex_unlock(&l->lock);
    return 0;
}

static int sync_one(void *ctx, struct hd_place *p)
{
    (void)ctx;
    return hd_segment_sync(&p->writer);
}

int hd_edit_log_sync(struct hd_edit_log *l)
{
    for (size_t i = 1; i < l->places.count; i++) { /* the disks begin together */
        hd_segment_sync_begin(&l->places.list[i].writer);
    }
    return hd_places_each(&l->places, sync_one, NULL);
}

static int finish_one(void *ctx, struct hd_place *p)
{
    int err = hd_segment_finish(&p->writer);
    if (err == 0) {
        err = rename_finished(p->dir, ctx);
    }
    return err == -ENOSPC ? -EIO : err; /* what is half finished cannot be tried again */
}

int hd_edit_log_roll(struct hd_edit_log *l)
{
    pthread_mutex_lock(&l->lock);
    struct hd_edit_segment *s = &l->segments[l->count - 1];
    int err = 0;
    bool empty = s->last < s->first;
    if (l->writing && !empty) {
        err = hd_places_each(&l->places, finish_one, s);
        l->writing = false;
        s->open = err < 0;
    }
    struct hd_txid next = {s->last + 1};
    pthread_mutex_unlock(&l->lock);
    return err < 0 || l->writing ? err : hd_edit_log_start(l, next);
}

static int stop_one(void *ctx, struct hd_place *p)
{
    (void)ctx;
    return hd_segment_finish(&p->writer);
}

int hd_edit_log_stop(struct hd_edit_log *l)
{
    if (!l->writing) {
        return 0;
    }
    l->writing = false;
    return hd_places_each(&l->places, stop_one, NULL);
}

static int remove_one(void *ctx, struct hd_place *p)
{
    char path[HD_LOG_PATH_BYTES];
    hd_edit_log_segment_path(p->dir, ctx, path);
    return hd_io_unlink(path) < 0 && errno != ENOENT ? hd_fail_errno(errno, "%s: remove", path) : 0;
}

/* Removes the oldest segment, which is finished or nobody's any more. Lock held. */
static int remove_oldest(struct hd_edit_log *l)
{
    int err = hd_places_each(&l->places, remove_one, &l->segments[0]);
    if (err == 0) {
        l->count--;
        memmove(l->segments, l->segments + 1, l->count * sizeof(*l->segments));
    }
    return err;
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

static int clear_one(void *ctx, struct hd_place *p)
{
    (void)ctx;
    hd_segment_writer_done(&p->writer);
    return hd_dir_sync(p->dir);
}

int hd_edit_log_clear(struct hd_edit_log *l)
{
    int err = 0;
    l->writing = false;
    pthread_mutex_lock(&l->lock);
    while (err == 0 && l->count > 0) {
        err = remove_oldest(l);
    }
    pthread_mutex_unlock(&l->lock);
    l->next = 1;
    return err < 0 ? err : hd_places_each(&l->places, clear_one, NULL);
}
