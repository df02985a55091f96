/*
 * howdah admin edits: looks into an edit log's files, whether or not a process has them.
 *
 *   dump     one line a record
 *   verify   which txids are proven good, and exactly what is damaged
 *   repair   writes damaged and missing segments anew from another copy of the log
 *   accept   the operator's word that a metadata directory has all that is worth having
 */
#include "tools/admin_files.h"
#include "tools/proto_json.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "meta/log/inspect.h"
#include "meta/log/members.h"
#include "meta/log/mend.h"
#include "tools/fs_format.h"

#include "record.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

struct edits {
    struct hd_admin *admin;
    struct hd_edits_file *files; /* owned */
    size_t count;
    const struct hd_edits_file *file; /* under way */
    json_t *segments;                 /* verify --json */
    json_t *ranges;                   /* of the segment under way */
    uint64_t damaged;
    uint64_t records;
};

/* ---- dump ---- */

/* The field of the oneof: the name of what was done, and its message. */
static const char *operation(json_t *record, json_t **ret)
{
    static const char *const plain[] = {"txid", "wall_ms", "client_id", "call_id"};
    const char *key;
    json_t *v;
    json_object_foreach(record, key, v)
    {
        bool other = true;
        for (size_t i = 0; i < HD_ARRAY_COUNT(plain); i++) {
            other = other && strcmp(key, plain[i]) != 0;
        }
        if (other) {
            *ret = v;
            return key;
        }
    }
    *ret = NULL;
    return "nothing";
}

static int dump_record(void *ctx, const struct hd_record *r, uint64_t offset)
{
    struct edits *e = ctx;
    char when[HD_TIME_TEXT_BYTES];
    Hdm__EditRecord *m = hdm__edit_record__unpack(NULL, r->size, r->data);
    if (m == NULL) {
        fprintf(stderr, "%s: offset %" PRIu64 ": txid %" PRIu64 " is no EditRecord\n",
                e->file->path, offset, r->txid.v);
        e->damaged++;
        return 0;
    }
    json_t *o = hd_proto_json(&m->base);
    if (e->admin->json) {
        json_dumpf(o, stdout, JSON_COMPACT);
    } else {
        json_t *op;
        const char *name = operation(o, &op);
        printf("%" PRIu64 " %s %s", r->txid.v,
               hd_format_time(m->wall_ms, "%Y-%m-%d %H:%M:%S", true, when), name);
        if (op != NULL) {
            hd_json_print_flat(stdout, op);
        }
    }
    putchar('\n');
    json_decref(o);
    hdm__edit_record__free_unpacked(m, NULL);
    return ferror(stdout) ? -EIO : 0;
}

static void dump_range(void *ctx, const struct hd_edits_range *r)
{
    const struct edits *e = ctx;
    if (!r->good) {
        fprintf(stderr, "%s: offset %" PRIu64 ": %" PRIu64 " bytes are no good: %s\n",
                e->file->path, r->offset, r->bytes, r->why);
    }
}

/* ---- verify ---- */

static void verify_range(void *ctx, const struct hd_edits_range *r)
{
    struct edits *e = ctx;
    if (e->admin->json) {
        json_t *o = json_pack("{s:b, s:I, s:I, s:I, s:I}", "good", r->good, "first",
                              (json_int_t)r->first, "last", (json_int_t)r->last, "offset",
                              (json_int_t)r->offset, "bytes", (json_int_t)r->bytes);
        if (!r->good) {
            json_object_set_new(o, "why", json_string(r->why));
        }
        json_array_append_new(e->ranges, o);
        return;
    }
    if (r->good) {
        printf("  good     txid %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes at offset %" PRIu64
               "\n",
               r->first, r->last, r->bytes, r->offset);
    } else if (r->last >= r->first) {
        printf("  DAMAGED  txid %" PRIu64 " to %" PRIu64 ", %" PRIu64 " bytes at offset %" PRIu64
               ": %s\n",
               r->first, r->last, r->bytes, r->offset, r->why);
    } else {
        printf("  DAMAGED  from txid %" PRIu64 " on, %" PRIu64 " bytes at offset %" PRIu64 ": %s\n",
               r->first, r->bytes, r->offset, r->why);
    }
}

static void verify_gap(struct edits *e, uint64_t from, uint64_t to)
{
    e->damaged++;
    if (e->admin->json) {
        json_array_append_new(e->segments,
                              json_pack("{s:s, s:I, s:I}", "missing", "no segment", "first",
                                        (json_int_t)from, "last", (json_int_t)to));
    } else {
        printf("MISSING  txid %" PRIu64 " to %" PRIu64 ": in no segment\n", from, to);
    }
}

static int verify_one(struct edits *e, const struct hd_edits_file *f, struct hd_edits_summary *ret)
{
    const struct hd_edits_visitor v = {.range = verify_range, .ctx = e};
    e->ranges = e->admin->json ? json_array() : NULL;
    if (!e->admin->json) {
        printf("%s\n", f->path);
    }
    int err = hd_edits_scan(f, &v, ret);
    if (err < 0) {
        json_decref(e->ranges);
        return err;
    }
    e->damaged += ret->damaged;
    e->records += ret->records;
    if (e->admin->json) {
        json_array_append_new(e->segments,
                              json_pack("{s:s, s:b, s:I, s:I, s:I, s:o}", "path", f->path,
                                        "in_progress", f->last == 0, "first", (json_int_t)f->first,
                                        "last", (json_int_t)ret->last, "unfinished_bytes",
                                        (json_int_t)ret->unfinished, "ranges", e->ranges));
    } else if (ret->unfinished > 0) {
        printf("  %" PRIu64 " bytes of a write that a crash interrupted; cut at the next start\n",
               ret->unfinished);
    }
    return 0;
}

static int verify(struct edits *e)
{
    uint64_t next = 0;
    e->segments = e->admin->json ? json_array() : NULL;
    for (size_t i = 0; i < e->count; i++) {
        const struct hd_edits_file *f = &e->files[i];
        struct hd_edits_summary s;
        if (next != 0 && f->first > next) {
            verify_gap(e, next, f->first - 1);
        }
        int err = verify_one(e, f, &s);
        if (err < 0) {
            json_decref(e->segments);
            return hd_cmd_fail(e->admin->self, err);
        }
        next = (f->last != 0 ? f->last : s.last) + 1;
    }
    if (e->admin->json) {
        json_t *o = json_pack("{s:b, s:I, s:I, s:o}", "good", e->damaged == 0, "records",
                              (json_int_t)e->records, "damaged", (json_int_t)e->damaged, "segments",
                              e->segments);
        json_dumpf(o, stdout, JSON_INDENT(2));
        putchar('\n');
        json_decref(o);
    } else {
        printf("%" PRIu64 " records, %s\n", e->records,
               e->damaged == 0 ? "all good" : "DAMAGED as above");
    }
    return e->damaged == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

static int dump(struct edits *e)
{
    const struct hd_edits_visitor v = {.record = dump_record, .range = dump_range, .ctx = e};
    for (size_t i = 0; i < e->count; i++) {
        struct hd_edits_summary s;
        e->file = &e->files[i];
        int err = hd_edits_scan(e->file, &v, &s);
        if (err < 0) {
            return hd_cmd_fail(e->admin->self, err);
        }
        e->damaged += s.damaged;
    }
    return e->damaged == 0 ? HD_EXIT_OK : HD_EXIT_FAILED;
}

/* ---- the command ---- */

/* path: a segment, or a directory of them. */
static int find_files(struct edits *e, const char *path)
{
    if (hd_admin_is_dir(path)) {
        int err = hd_edits_list(path, &e->files, &e->count);
        return err < 0 || e->count > 0 ? err : hd_fail(-ENOENT, "%s: no edit log (edits_*)", path);
    }
    e->files = calloc(1, sizeof(*e->files));
    e->count = 1;
    return e->files == NULL ? -ENOMEM : hd_edits_file(path, e->files);
}

static int accept(struct hd_admin *a, const char *dir)
{
    int err = hd_members_accept(dir);
    if (err < 0) {
        return hd_cmd_fail(a->self, err);
    }
    printf("%s: howdah-meta will start from it; other metadata directories are filled from it\n",
           dir);
    return HD_EXIT_OK;
}

static void tell_mended(void *ctx, const char *path, uint64_t first, uint64_t last)
{
    *(unsigned *)ctx += 1;
    printf("%s: written anew, txid %" PRIu64 " to %" PRIu64 "\n", path, first, last);
}

static int repair(struct hd_admin *a, const char *dir, const char *from)
{
    unsigned mended = 0;
    int err = hd_edits_mend(dir, from, tell_mended, &mended);
    if (err < 0) {
        return hd_cmd_fail(a->self, err);
    }
    if (mended == 0) {
        printf("%s: nothing is damaged\n", dir);
    }
    return HD_EXIT_OK;
}

int hd_admin_edits(struct hd_admin *a, int argc, char **argv)
{
    struct edits e = {.admin = a};
    char dir[HD_PATH_BYTES];
    const char *verb = argc > 1 ? argv[1] : "";
    if (strcmp(verb, "accept") == 0 && argc == 3) {
        return accept(a, argv[2]);
    }
    if (strcmp(verb, "repair") == 0 && argc == 4) {
        return repair(a, argv[2], argv[3]);
    }
    bool dumps = strcmp(verb, "dump") == 0;
    if ((!dumps && strcmp(verb, "verify") != 0) || argc > 3) {
        return hd_cmd_usage(a->self,
                            "edits: dump [PATH], verify [PATH], repair DIR OTHER or accept "
                            "DIR is expected");
    }
    const char *path = argc > 2 ? argv[2] : hd_admin_meta_dir(a, dir);
    int err = find_files(&e, path);
    int code = err < 0 ? hd_cmd_fail(a->self, err) : dumps ? dump(&e) : verify(&e);
    free(e.files);
    return code;
}
