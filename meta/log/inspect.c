/* See inspect.h. */
#include "meta/log/inspect.h"
#include "meta/log/image_format.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILES_MAX = 1000000, ID_AT = 24 };

static bool parse(const char *name, struct hd_edits_file *f)
{
    char again[64];
    f->last = 0;
    if (sscanf(name, "edits_inprogress_%" SCNu64, &f->first) == 1) {
        snprintf(again, sizeof(again), "edits_inprogress_%020" PRIu64, f->first);
    } else if (sscanf(name, "edits_%" SCNu64 "-%" SCNu64, &f->first, &f->last) == 2) {
        snprintf(again, sizeof(again), "edits_%020" PRIu64 "-%020" PRIu64, f->first, f->last);
    } else {
        return false;
    }
    return strcmp(name, again) == 0;
}

int hd_edits_file(const char *path, struct hd_edits_file *ret)
{
    const char *slash = strrchr(path, '/');
    if (!parse(slash != NULL ? slash + 1 : path, ret)) {
        return hd_fail(-EINVAL, "%s: is not named like a segment of the edit log", path);
    }
    return snprintf(ret->path, sizeof(ret->path), "%s", path) < (int)sizeof(ret->path)
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s", path);
}

static int by_first(const void *a, const void *b)
{
    const struct hd_edits_file *x = a;
    const struct hd_edits_file *y = b;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : (x->last == 0) - (y->last == 0);
}

int hd_edits_list(const char *dir, struct hd_edits_file **ret, size_t *ret_count)
{
    DIR *d = opendir(dir);
    if (d == NULL) {
        return hd_fail_errno(errno, "%s", dir);
    }
    struct hd_edits_file *list = NULL;
    size_t count = 0;
    int err = 0;
    for (struct dirent *e = readdir(d); e != NULL && err == 0; e = readdir(d)) {
        struct hd_edits_file f;
        if (!parse(e->d_name, &f)) {
            continue;
        }
        struct hd_edits_file *grown =
            count < FILES_MAX ? realloc(list, (count + 1) * sizeof(*list)) : NULL;
        if (grown == NULL) {
            err = hd_fail(-ENOMEM, "%s: more than %zu segments", dir, count);
            break;
        }
        list = grown;
        snprintf(f.path, sizeof(f.path), "%s/%s", dir, e->d_name);
        list[count++] = f;
    }
    closedir(d);
    if (err < 0) {
        free(list);
        return err;
    }
    if (count > 1) {
        qsort(list, count, sizeof(*list), by_first);
    }
    *ret = list;
    *ret_count = count;
    return 0;
}

int hd_inspect_cluster_id(const char *path, char out[HD_INSPECT_ID_BYTES])
{
    uint8_t h[HD_SEGMENT_HEADER_BYTES];
    HD_AUTO(hd_fd_done) int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    int err = hd_fd_pread(fd, h, sizeof(h), 0);
    if (err == -HD_E_TRUNCATED ||
        (err == 0 && memcmp(h, "HDEDITS\n", 8) != 0 && memcmp(h, HD_IMAGE_MAGIC, 8) != 0)) {
        return hd_fail(-HD_E_CORRUPT, "%s: offset 0: no header of a segment or an image", path);
    }
    if (err == 0) {
        snprintf(out, HD_INSPECT_ID_BYTES, "%.*s", HD_IMAGE_CLUSTER_BYTES, (const char *)h + ID_AT);
    }
    return err;
}

struct scan {
    const struct hd_edits_visitor *v;
    struct hd_edits_summary *sum;
    struct hd_segment_reader r;
    struct hd_edits_range run; /* of good records */
};

static void end_run(struct scan *s)
{
    if (s->run.records > 0 && s->v->range != NULL) {
        s->run.bytes = s->r.offset - s->run.offset;
        s->v->range(s->v->ctx, &s->run);
    }
    s->run = (struct hd_edits_range){.good = true, .first = s->r.next.v, .offset = s->r.offset};
}

static void tell_damage(struct scan *s, uint64_t from, uint64_t last, const char *why)
{
    const struct hd_edits_range range = {.first = from,
                                         .last = last,
                                         .offset = s->run.offset,
                                         .bytes = s->r.offset - s->run.offset,
                                         .why = why};
    s->sum->damaged++;
    if (s->v->range != NULL) {
        s->v->range(s->v->ctx, &range);
    }
}

/* Good records from r.offset on. 0: up to where none follows. */
static int take_good(struct scan *s)
{
    struct hd_record rec;
    uint64_t offset = s->r.offset;
    int err;
    while ((err = hd_segment_reader_next(&s->r, &rec)) > 0) {
        s->run.records++;
        s->run.last = rec.txid.v;
        s->sum->records++;
        s->sum->last = rec.txid.v;
        err = s->v->record != NULL ? s->v->record(s->v->ctx, &rec, offset) : 0;
        if (err < 0) {
            return err;
        }
        offset = s->r.offset;
    }
    end_run(s);
    return err == -HD_E_CORRUPT ? 0 : err; /* a good record of a wrong txid: as none */
}

/* The next good record with a later txid, wherever it is. False: there is none. */
static int find_good(struct scan *s, bool *ret)
{
    HD_AUTO(hd_buf_done) struct hd_buf rest = {0};
    size_t n = (size_t)(s->r.size - s->r.offset);
    int err = hd_buf_reserve(&rest, n + 1);
    if (err == 0) {
        err = hd_fd_pread(s->r.fd, rest.data, n, s->r.offset);
    }
    *ret = false;
    for (size_t at = 1; err == 0 && at + HD_RECORD_FRAME_BYTES <= n; at++) {
        struct hd_record rec;
        size_t bytes;
        if (hd_record_decode(rest.data + at, n - at, &rec, &bytes) == HD_RECORD_GOOD &&
            rec.txid.v >= s->r.next.v) {
            s->r.offset += at;
            s->r.next = rec.txid;
            *ret = true;
            return 0;
        }
    }
    return err;
}

/* Behind the last good record: is it the end? Else why it is not. */
static bool is_end(struct scan *s, const struct hd_edits_file *f, char why[HD_FAIL_TEXT_BYTES])
{
    uint64_t garbage = 0;
    int err = f->last == 0 ? hd_segment_tail_check(&s->r, &garbage)
                           : hd_segment_end_check(&s->r, (struct hd_txid){f->last});
    s->sum->unfinished = garbage;
    snprintf(why, HD_FAIL_TEXT_BYTES, "%s", err < 0 ? hd_fail_describe(err) : "");
    return err == 0;
}

int hd_edits_scan(const struct hd_edits_file *f, const struct hd_edits_visitor *v,
                  struct hd_edits_summary *ret)
{
    struct scan s = {.v = v, .sum = ret};
    char id[HD_INSPECT_ID_BYTES] = "";
    *ret = (struct hd_edits_summary){.last = f->first - 1};
    int err = hd_inspect_cluster_id(f->path, id);
    if (err == 0) {
        err = hd_segment_reader_open(&s.r, f->path, id, (struct hd_txid){f->first});
    }
    if (err == -HD_E_CORRUPT || err == -HD_E_INCORRECT_VERSION) {
        char why[HD_FAIL_TEXT_BYTES];
        snprintf(why, sizeof(why), "%s", hd_fail_text());
        tell_damage(&s, f->first, f->last, why);
        return 0;
    }
    if (err < 0) {
        return err;
    }
    end_run(&s);
    char why[HD_FAIL_TEXT_BYTES];
    while ((err = take_good(&s)) == 0 && !is_end(&s, f, why)) {
        uint64_t missing = s.r.next.v;
        bool more;
        s.run.offset = s.r.offset;
        err = find_good(&s, &more);
        if (err < 0) {
            break;
        }
        s.r.offset = more ? s.r.offset : s.r.size;
        tell_damage(&s, missing, more ? s.r.next.v - 1 : f->last, why);
        if (!more) {
            break;
        }
        end_run(&s);
    }
    hd_segment_reader_done(&s.r);
    return err;
}
