/* See mend.h. */
#include "meta/log/mend.h"
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "fs/os/io.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct mending {
    const char *dir;
    struct hd_edits_file *from; /* the other copy's segments; owned */
    size_t from_count;
    char cluster_id[HD_INSPECT_ID_BYTES];
    hd_mend_fn fn;
    void *ctx;
};

/* Records first..last on their way into a new file. */
struct taking {
    struct hd_segment_writer w;
    struct hd_buf frame;
    uint64_t next;
    uint64_t last; /* 0: as far as there are */
};

static int take_record(void *ctx, const struct hd_record *r, uint64_t offset)
{
    struct taking *t = ctx;
    (void)offset;
    if (r->txid.v != t->next || (t->last != 0 && t->next > t->last)) {
        return 0; /* before, behind, or twice */
    }
    t->next++;
    hd_buf_clear(&t->frame);
    int err = hd_record_encode(&t->frame, r);
    return err < 0 ? err : hd_segment_append(&t->w, t->frame.data, t->frame.size);
}

static int take_all(const struct mending *m, struct taking *t)
{
    const struct hd_edits_visitor v = {.record = take_record, .ctx = t};
    int err = 0;
    for (size_t i = 0; i < m->from_count && err == 0; i++) {
        const struct hd_edits_file *f = &m->from[i];
        struct hd_edits_summary s;
        if (f->last == 0 || f->last >= t->next) {
            err = hd_edits_scan(f, &v, &s);
        }
    }
    return err;
}

/* path anew: records first..last; last 0: at least up to `least`, and all that follow. */
static int write_segment(const struct mending *m, const char *path, uint64_t first, uint64_t last,
                         uint64_t least)
{
    char temp[HD_LOG_PATH_BYTES];
    struct taking t = {.w.fd = -1, .next = first, .last = last};
    if (snprintf(temp, sizeof(temp), "%s.tmp", path) >= (int)sizeof(temp)) {
        return hd_fail(-ENAMETOOLONG, "%s", path);
    }
    int err = hd_segment_create(&t.w, temp, m->cluster_id, (struct hd_txid){first}, 0);
    if (err == 0) {
        err = take_all(m, &t);
    }
    uint64_t wanted = last != 0 ? last : least;
    if (err == 0 && t.next <= wanted) {
        err = hd_fail(-ENOENT, "%s: txid %" PRIu64 " to %" PRIu64 " are not in the other copy",
                      path, t.next, wanted);
    }
    if (err == 0) {
        err = hd_segment_finish(&t.w);
    }
    hd_segment_writer_done(&t.w);
    hd_buf_done(&t.frame);
    if (err == 0 && hd_io_rename(temp, path) < 0) {
        err = hd_fail_errno(errno, "%s: rename to %s", temp, path);
    }
    if (err < 0) {
        hd_io_unlink(temp);
        return err;
    }
    if (m->fn != NULL) {
        m->fn(m->ctx, path, first, t.next - 1);
    }
    return hd_dir_sync(m->dir);
}

static int fill_gap(const struct mending *m, uint64_t first, uint64_t last)
{
    char path[HD_LOG_PATH_BYTES];
    snprintf(path, sizeof(path), "%s/edits_%020" PRIu64 "-%020" PRIu64, m->dir, first, last);
    return write_segment(m, path, first, last, last);
}

static int mend_files(const struct mending *m, const struct hd_edits_file *files, size_t count)
{
    static const struct hd_edits_visitor nobody = {.record = NULL};
    uint64_t next = 0;
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        const struct hd_edits_file *f = &files[i];
        struct hd_edits_summary s;
        if (next != 0 && f->first > next) {
            err = fill_gap(m, next, f->first - 1);
        }
        if (err == 0) {
            err = hd_edits_scan(f, &nobody, &s);
        }
        if (err == 0 && s.damaged > 0) {
            err = write_segment(m, f->path, f->first, f->last, s.last);
        }
        next = (f->last != 0 ? f->last : s.last) + 1;
    }
    return err;
}

int hd_edits_mend(const char *dir, const char *from, hd_mend_fn fn, void *ctx)
{
    struct mending m = {.dir = dir, .fn = fn, .ctx = ctx};
    struct hd_edits_file *files = NULL;
    size_t count = 0;
    HD_AUTO(hd_fd_done) int lock = -1;
    int err = hd_dir_lock(dir, &lock);
    if (err == 0) {
        err = hd_edits_list(dir, &files, &count);
    }
    if (err == 0) {
        err = hd_edits_list(from, &m.from, &m.from_count);
    }
    if (err == 0 && m.from_count == 0) {
        err = hd_fail(-ENOENT, "%s: no edit log (edits_*)", from);
    }
    if (err == 0) {
        err = hd_inspect_cluster_id(m.from[0].path, m.cluster_id);
    }
    for (size_t i = 0; i < count && err == 0; i++) {
        char id[HD_INSPECT_ID_BYTES];
        if (hd_inspect_cluster_id(files[i].path, id) == 0 && strcmp(id, m.cluster_id) != 0) {
            err = hd_fail(-HD_E_INCORRECT_VERSION, "%s belongs to cluster %s, %s to %s", dir, id,
                          from, m.cluster_id);
        }
    }
    if (err == 0) {
        err = mend_files(&m, files, count);
    }
    free(files);
    free(m.from);
    return err;
}
