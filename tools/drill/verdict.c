/* The verdict on a ledger. See verdict.h. */
#include "tools/drill/verdict.h"
#include "tools/drill/call.h"
#include "tools/drill/replicas.h"
#include "fs/base/error.h"
#include "fs/base/map.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

enum { AGAIN_MS = 200, TRY_FILE_MS = 30000, CLOSE_WAIT_MS = 60000, FILE_MAX_BYTES = 256 << 20 };

struct judge {
    const struct hd_verdict_options *options;
    struct hd_verdict *verdict;
    struct hd_fs *fs; /* its cache is empty */
    char meta_address[HD_TEXT_BYTES];
    int64_t deadline_ms;
};

static void example(struct hd_verdict *v, const char *fmt, ...) HD_PRINTF(2, 3);

static void example(struct hd_verdict *v, const char *fmt, ...)
{
    if (v->example_count < HD_VERDICT_EXAMPLES) {
        va_list ap;
        va_start(ap, fmt);
        vsnprintf(v->examples[v->example_count], sizeof(v->examples[0]), fmt, ap);
        va_end(ap);
        v->example_count++;
    }
}

static bool stopped(const struct judge *j)
{
    return j->options->stop != NULL && j->options->stop(j->options->ctx);
}

/* An error that says the thing is gone, and not that nobody could be asked. */
static bool says_lost(int rc)
{
    int e = hd_error_errno(rc);
    return e == ENOENT || e == EIO || e == ENOTDIR || rc == -HD_E_MISSING_BLOCK ||
           rc == -HD_E_CHECKSUM;
}

/* May the file be tried again after this error? Sleeps a moment if so. */
static bool try_again(const struct judge *j, int64_t begin_ms)
{
    int64_t now_ms = hd_clock_mono_ms().v;
    if (stopped(j) || now_ms - begin_ms > TRY_FILE_MS || now_ms > j->deadline_ms) {
        return false;
    }
    hd_clock_sleep_ms(AGAIN_MS);
    return true;
}

/* ---- names ---- */

static char state_there;
static char state_gone;
static char state_unknown;

static int set_name(struct hd_strmap *m, const char *path, size_t size, char *state)
{
    return hd_strmap_put(m, path, size, state);
}

static int apply_record(struct hd_strmap *m, const struct hd_ledger_record *r)
{
    bool ok = r->result == HD_RESULT_OK;
    const char *arrow = strchr(r->path, '>');
    size_t size = arrow != NULL ? (size_t)(arrow - r->path) : strlen(r->path);
    int rc;
    switch (r->op) {
    case HD_DID_APPEND:
    case HD_DID_PUT:
        return 0;
    case HD_DID_MKDIR:
        return set_name(m, r->path, size, ok ? &state_there : &state_unknown);
    case HD_DID_DELETE:
        return set_name(m, r->path, size, ok ? &state_gone : &state_unknown);
    case HD_DID_RENAME:
        if (arrow == NULL) {
            return hd_fail(-HD_E_BAD_MESSAGE, "ledger: a rename without its second name: %s",
                           r->path);
        }
        rc = set_name(m, r->path, size, ok ? &state_gone : &state_unknown);
        return rc == 0
                   ? set_name(m, arrow + 1, strlen(arrow + 1), ok ? &state_there : &state_unknown)
                   : rc;
    }
    return -EINVAL;
}

/* Hands the names over as a list; their text is one allocation. */
static int list_names(struct hd_strmap *m, struct hd_name **ret, size_t *ret_count, char **ret_text)
{
    size_t bytes = 1;
    size_t cursor = 0;
    const char *key;
    void *value;
    while (hd_strmap_next(m, &cursor, &key, &value)) {
        bytes += strlen(key) + 1;
    }
    struct hd_name *list = calloc(m->count + 1, sizeof(*list));
    char *text = malloc(bytes);
    if (list == NULL || text == NULL) {
        free(list);
        free(text);
        return -ENOMEM;
    }
    size_t count = 0;
    char *at = text;
    for (cursor = 0; hd_strmap_next(m, &cursor, &key, &value); count++) {
        list[count].path = memcpy(at, key, strlen(key) + 1);
        list[count].state = value == &state_there  ? HD_NAME_THERE
                            : value == &state_gone ? HD_NAME_GONE
                                                   : HD_NAME_UNKNOWN;
        at += strlen(key) + 1;
    }
    *ret = list;
    *ret_count = count;
    *ret_text = text;
    return 0;
}

int hd_verdict_names(const struct hd_ledger_record *list, size_t count, struct hd_name **ret,
                     size_t *ret_count, char **ret_text)
{
    struct hd_strmap m;
    int rc = 0;
    hd_strmap_init(&m);
    for (size_t i = 0; rc == 0 && i < count; i++) {
        rc = apply_record(&m, &list[i]);
    }
    rc = rc == 0 ? list_names(&m, ret, ret_count, ret_text) : rc;
    hd_strmap_done(&m);
    return rc;
}

static int judge_name(struct judge *j, const struct hd_name *n)
{
    struct hd_stat st;
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc;
    while ((rc = hd_fs_stat(j->fs, n->path, &st)) < 0 && !says_lost(rc) && try_again(j, begin_ms)) {
    }
    if (rc == 0) {
        hd_stat_done(&st);
    }
    if (rc < 0 && !says_lost(rc)) {
        j->verdict->unknown++;
        example(j->verdict, "%s: no answer: %s", n->path, hd_fail_describe(rc));
    } else if ((rc == 0) != (n->state == HD_NAME_THERE)) {
        j->verdict->lost++;
        example(j->verdict, rc == 0 ? "%s: deleted or renamed, and there again" : "%s: not there",
                n->path);
    }
    return 0;
}

static int judge_names(struct judge *j, const struct hd_ledger_record *list, size_t count)
{
    struct hd_name *names = NULL;
    size_t name_count = 0;
    char *text = NULL;
    int rc = hd_verdict_names(list, count, &names, &name_count, &text);
    for (size_t i = 0; rc == 0 && i < name_count; i++) {
        if (names[i].state != HD_NAME_UNKNOWN) {
            rc = stopped(j) ? -ECANCELED : judge_name(j, &names[i]);
        }
    }
    free(names);
    free(text);
    return rc;
}

/* ---- bytes ---- */

static int by_path(const void *a, const void *b)
{
    const struct hd_ledger_record *x = a;
    const struct hd_ledger_record *y = b;
    int order = strcmp(x->path, y->path);
    return order != 0 ? order : (x->offset > y->offset) - (x->offset < y->offset);
}

/* A file whose writer gave up is closed first, as its next writer would. */
static int close_file(const struct judge *j, const char *path)
{
    int64_t begin_ms = hd_clock_mono_ms().v;
    for (;;) {
        int rc = hd_fs_is_closed(j->fs, path);
        if (rc == 0) {
            rc = hd_fs_recover_lease(j->fs, path);
        }
        if (rc != 0) {
            return HD_MIN(rc, 0);
        }
        if (hd_clock_mono_ms().v - begin_ms > CLOSE_WAIT_MS || stopped(j)) {
            return hd_fail(-ETIMEDOUT, "%s: still open for writing %d s after its writer gave up",
                           path, CLOSE_WAIT_MS / 1000);
        }
        hd_clock_sleep_ms(AGAIN_MS);
    }
}

/* The whole file, by the client's own choice of copies. */
static int read_whole(const struct judge *j, const char *path, uint8_t **ret, size_t *ret_size)
{
    struct hd_file *f;
    int rc = hd_file_open(j->fs, path, &f);
    if (rc < 0) {
        return rc;
    }
    uint64_t size = hd_file_size(f);
    uint8_t *data = size <= FILE_MAX_BYTES ? malloc((size_t)size + 1) : NULL;
    int64_t got = data != NULL ? hd_file_pread(f, data, (size_t)size, 0) : -ENOMEM;
    hd_file_close(f);
    if (got < 0) {
        free(data);
        return (int)got;
    }
    *ret = data;
    *ret_size = (size_t)got;
    return 0;
}

static void judge_record(struct judge *j, const struct hd_ledger_record *r, const uint8_t *data,
                         size_t size)
{
    uint8_t sum[HD_SHA256_BYTES];
    bool there = r->offset + r->size_bytes <= size;
    if (!there && r->result == HD_RESULT_OK) {
        j->verdict->lost++;
        example(j->verdict, "%s: %zu bytes, of which %" PRIu64 " were acknowledged", r->path, size,
                r->offset + r->size_bytes);
    }
    /* What was not acknowledged need not be there; a renamed file that is, must be whole. */
    if (!there || (r->result != HD_RESULT_OK && r->op != HD_DID_PUT)) {
        return;
    }
    hd_sha256(data + r->offset, r->size_bytes, sum);
    if (memcmp(sum, r->sha256, sizeof(sum)) != 0) {
        j->verdict->wrong++;
        example(j->verdict, "%s: other bytes than were written at [%" PRIu64 ", %" PRIu64 ")",
                r->path, r->offset, r->offset + r->size_bytes);
    }
}

static void judge_copies(struct judge *j, const char *path, const uint8_t *data, size_t size)
{
    struct hd_replica_check check = {0};
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc;
    while ((rc = hd_replicas_check(j->meta_address, path, data, size, &check)) < 0 &&
           try_again(j, begin_ms)) {
        check = (struct hd_replica_check){0};
    }
    j->verdict->replicas += check.read;
    j->verdict->replicas_wrong += check.wrong;
    j->verdict->wrong += check.wrong;
    if (check.wrong > 0) {
        example(j->verdict, "%s", check.first);
    }
    if (rc < 0) {
        j->verdict->unknown++;
        example(j->verdict, "%s: a copy could not be read: %s", path, hd_fail_describe(rc));
    }
}

/* All records of one file; list[0].path names it. */
static int judge_file(struct judge *j, const struct hd_ledger_record *list, size_t count)
{
    uint8_t *data = NULL;
    size_t size = 0;
    size_t acked = 0;
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc;
    for (size_t i = 0; i < count; i++) {
        acked += list[i].result == HD_RESULT_OK;
    }
    do {
        rc = close_file(j, list[0].path);
        rc = rc == 0 ? read_whole(j, list[0].path, &data, &size) : rc;
    } while (rc < 0 && rc != -ENOENT && acked > 0 && try_again(j, begin_ms));
    if (stopped(j)) {
        free(data);
        return -ECANCELED;
    }
    j->verdict->files += rc == 0;
    if (rc == 0) {
        for (size_t i = 0; i < count; i++) {
            judge_record(j, &list[i], data, size);
        }
        judge_copies(j, list[0].path, data, size);
    } else if (acked > 0) {
        *(says_lost(rc) ? &j->verdict->lost : &j->verdict->unknown) += acked;
        example(j->verdict, "%s: %zu acknowledged operations: %s", list[0].path, acked,
                hd_fail_describe(rc));
    }
    free(data);
    return 0;
}

/* Records of bytes only, sorted so that those of a file lie together. */
static int judge_bytes(struct judge *j, struct hd_ledger_record *list, size_t count)
{
    int rc = 0;
    qsort(list, count, sizeof(*list), by_path);
    for (size_t i = 0, next; rc == 0 && i < count; i = next) {
        next = i + 1;
        while (next < count && strcmp(list[next].path, list[i].path) == 0) {
            next++;
        }
        if (list[i].op == HD_DID_APPEND || list[i].op == HD_DID_PUT) {
            rc = judge_file(j, &list[i], next - i);
        }
    }
    return rc;
}

/* ---- all ---- */

static int open_judge(struct judge *j)
{
    int rc = hd_drill_active_meta(j->options->cluster, 5000, j->meta_address);
    return rc < 0 ? rc : hd_drill_open_fs(j->options->cluster, "howdah-drill-verdict", 0, &j->fs);
}

int hd_verdict_find(const struct hd_verdict_options *options, struct hd_verdict *ret)
{
    struct hd_ledger_record *list = NULL;
    size_t count = 0;
    *ret = (struct hd_verdict){0};
    struct judge j = {.options = options,
                      .verdict = ret,
                      .deadline_ms = hd_clock_mono_ms().v + options->timeout_ms};
    int rc = hd_ledger_load(options->ledger, &list, &count);
    rc = rc == 0 ? open_judge(&j) : rc;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        ret->acked += list[i].result == HD_RESULT_OK;
    }
    rc = rc == 0 ? judge_names(&j, list, count) : rc;
    rc = rc == 0 ? judge_bytes(&j, list, count) : rc;
    ret->checked = ret->acked - HD_MIN(ret->unknown, ret->acked);
    hd_fs_close(j.fs);
    free(list);
    return rc;
}
