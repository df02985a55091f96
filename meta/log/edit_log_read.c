/*
 * Reading the edit log: replay at start, and pieces for the secondary while it is written.
 *
 * With several directories a damaged segment is read on from the next one that has it whole; a
 * replay then puts that file in the damaged one's place.
 */
#include "meta/log/edit_log_impl.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>

/* A replay of one segment; `from` moves on with what was delivered. */
struct replay {
    struct hd_edit_log *l;
    const struct hd_edit_segment *s;
    struct hd_txid from;
    hd_edit_log_fn fn;
    void *ctx;
    bool refused; /* the error is fn's */
};

static int replay_file(struct replay *p, const char *path)
{
    struct hd_segment_reader r;
    int err = hd_segment_reader_open(&r, path, p->l->cluster_id, (struct hd_txid){p->s->first});
    if (err < 0) {
        return err;
    }
    struct hd_record rec;
    while (err >= 0 && (err = hd_segment_reader_next(&r, &rec)) > 0) {
        if (rec.txid.v >= p->from.v) {
            err = p->fn(p->ctx, &rec);
            p->refused = err < 0;
            p->from.v = rec.txid.v + 1;
        }
    }
    if (err == 0 && !p->s->open) {
        err = hd_segment_end_check(&r, (struct hd_txid){p->s->last});
    }
    hd_segment_reader_done(&r);
    return err;
}

/* Damage, or a file that the disk does not give any more. */
static bool another_may_have_it(int err)
{
    return err == -HD_E_CORRUPT || err == -HD_E_TRUNCATED || err == -ENOENT || err == -EIO ||
           err == -HD_E_INCORRECT_VERSION;
}

/* The segment's file of `from` in the place of those that were found damaged. */
static void mend(struct hd_edit_log *l, const struct hd_edit_segment *s, size_t damaged,
                 const char *good_path, const char *why)
{
    for (size_t i = 0; i < l->places.count; i++) {
        struct hd_place *p = &l->places.list[i];
        char path[HD_LOG_PATH_BYTES];
        if ((damaged & (size_t)1 << i) == 0) {
            continue;
        }
        hd_edit_log_segment_path(p->dir, s, path);
        int err = hd_file_copy(good_path, path);
        if (err < 0) {
            (void)hd_places_drop(&l->places, p, err);
        } else if (l->on_repaired != NULL) {
            l->on_repaired(l->ctx, path, good_path, why);
        }
    }
}

static int replay_segment(struct replay *p)
{
    char why[HD_FAIL_TEXT_BYTES] = "";
    char path[HD_LOG_PATH_BYTES];
    size_t damaged = 0;
    int first_err = 0;
    for (size_t i = 0; i < p->l->places.count; i++) {
        if (atomic_load(&p->l->places.list[i].failed)) {
            continue;
        }
        hd_edit_log_segment_path(p->l->places.list[i].dir, p->s, path);
        int err = replay_file(p, path);
        if (err >= 0) {
            mend(p->l, p->s, damaged, path, why);
            return 0;
        }
        if (p->refused || !another_may_have_it(err)) {
            return err;
        }
        damaged |= (size_t)1 << i;
        if (first_err == 0) {
            first_err = err;
            snprintf(why, sizeof(why), "%s", hd_fail_describe(err));
        }
    }
    return hd_fail(first_err, "%s", why);
}

int hd_edit_log_replay(struct hd_edit_log *l, struct hd_txid from, hd_edit_log_fn fn, void *ctx)
{
    if (l->count > 0 && from.v < l->segments[0].first) {
        return hd_fail(-HD_E_CORRUPT,
                       "%s: the log begins with txid %" PRIu64 ", but %" PRIu64 " is needed",
                       hd_edit_log_dir(l), l->segments[0].first, from.v);
    }
    struct replay p = {.l = l, .from = from, .fn = fn, .ctx = ctx};
    for (size_t i = 0; i < l->count; i++) {
        p.s = &l->segments[i];
        int err = p.s->last < from.v ? 0 : replay_segment(&p);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

/* The segment that holds txid, by value; the file keeps its name at least until it is opened. */
static int find_and_open(struct hd_edit_log *l, const char *dir, struct hd_txid txid,
                         struct hd_segment_reader *r, uint64_t *ret_first)
{
    int err = -ENOENT;
    pthread_mutex_lock(&l->lock);
    for (size_t i = l->count; i-- > 0;) {
        const struct hd_edit_segment *s = &l->segments[i];
        if (txid.v < s->first || txid.v > s->last) {
            continue;
        }
        char path[HD_LOG_PATH_BYTES];
        hd_edit_log_segment_path(dir, s, path);
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

static int read_once(struct hd_edit_log *l, const char *dir, struct hd_txid from,
                     struct hd_txid limit, size_t max_bytes, struct hd_buf *out,
                     struct hd_txid *ret_next)
{
    struct hd_segment_reader r;
    uint64_t first;
    int err = find_and_open(l, dir, from, &r, &first);
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
    int err = -HD_E_CORRUPT;
    size_t size = out->size;
    for (size_t i = 0; i < l->places.count; i++) {
        const struct hd_place *p = &l->places.list[i];
        if (atomic_load(&p->failed)) {
            continue;
        }
        /* A roll may cut the preallocated end off between our open and our read: twice. */
        for (int tries = 0; tries < 2; tries++) {
            out->size = size;
            err = read_once(l, p->dir, from, limit, max_bytes, out, ret_next);
            if (err != -HD_E_TRUNCATED) {
                break;
            }
        }
        if (err == 0 || !another_may_have_it(err)) {
            break;
        }
    }
    return err;
}
