/*
 * What the clients of the workload do. A write that fails leaves its file behind as it is: its
 * acknowledged bytes must be there all the same, which the verdict checks.
 */
#include "tools/drill/load_clients.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum {
    LOG_BYTES = 4 << 20, /* a log is closed at this size and the next begun */
    PAUSE_MS = 2,        /* between operations: a drill is a load, not a benchmark */
    READ_PAUSE_MS = 4,
    ERROR_PAUSE_MS = 50,
};

bool hd_load_stopping(const struct hd_load_client *c)
{
    return atomic_load(&c->shared->stopping) || atomic_load(&c->shared->broken) != 0;
}

uint32_t hd_load_fill(struct hd_load_client *c)
{
    uint64_t magnitude = hd_prng_below(&c->prng, 18) + 1;
    uint32_t size = 1 + (uint32_t)hd_prng_below(&c->prng, (uint64_t)1 << magnitude);
    for (uint32_t i = 0; i < size; i += sizeof(uint64_t)) {
        uint64_t word = hd_prng_next(&c->prng);
        memcpy(c->data + i, &word, HD_MIN(sizeof(word), size - i));
    }
    return size;
}

void hd_load_note(struct hd_load_client *c, struct hd_ledger_record *r, int rc)
{
    r->client = c->id;
    r->ack_us = hd_ledger_now_us(c->shared->ledger);
    r->ack = rc < 0 ? HD_ACK_NONE : HD_ACK_SYNCED;
    r->result = rc < 0 ? HD_RESULT_UNKNOWN : HD_RESULT_OK;
    int bad = hd_ledger_add(c->shared->ledger, r);
    if (bad < 0) {
        atomic_store(&c->shared->broken, bad);
    }
}

static void begin(struct hd_load_client *c, enum hd_op_class kind)
{
    hd_load_begin(&c->waiting, kind);
}

static int end(struct hd_load_client *c, enum hd_op_class kind, int rc)
{
    hd_load_end(c->shared->counts, &c->waiting, kind, rc);
    return rc;
}

static void pause_after(int rc, int64_t pause_ms)
{
    hd_clock_sleep_ms(rc < 0 ? ERROR_PAUSE_MS : pause_ms);
}

/* ---- writers ---- */

static int create(struct hd_load_client *c, const char *path, struct hd_file **ret)
{
    struct hd_create_options o = {.mode = 0644, .sync_on_close = true};
    begin(c, HD_CLASS_METADATA);
    return end(c, HD_CLASS_METADATA, hd_file_create(c->fs, path, &o, ret));
}

/* One more record at the end of the log; on an error the log is given up. */
static int append_record(struct hd_load_client *c, const char *path, struct hd_file **log)
{
    struct hd_ledger_record r = {.op = HD_DID_APPEND};
    snprintf(r.path, sizeof(r.path), "%s", path);
    r.invoke_us = hd_ledger_now_us(c->shared->ledger);
    r.offset = hd_file_written(*log);
    r.size_bytes = hd_load_fill(c);
    hd_sha256(c->data, r.size_bytes, r.sha256);
    begin(c, HD_CLASS_WRITE);
    int rc = hd_file_write(*log, c->data, r.size_bytes);
    rc = rc == 0 ? hd_file_hsync(*log) : rc;
    end(c, HD_CLASS_WRITE, rc);
    hd_load_note(c, &r, rc);
    if (rc < 0) {
        hd_file_abandon(HD_TAKE_PTR(*log));
    }
    return rc;
}

/* The log that is open, or a new one. */
static int need_log(struct hd_load_client *c, struct hd_file **log, char *path, size_t size)
{
    if (*log != NULL && hd_file_written(*log) >= LOG_BYTES) {
        begin(c, HD_CLASS_WRITE);
        int rc = end(c, HD_CLASS_WRITE, hd_file_close(HD_TAKE_PTR(*log)));
        if (rc < 0) {
            return rc;
        }
    }
    if (*log != NULL) {
        return 0;
    }
    snprintf(path, size, "%s/log-%u-%" PRIu64, c->shared->dir, c->id, ++c->serial);
    return create(c, path, log);
}

/* A whole file under another name, renamed when it is complete. */
static int put_file(struct hd_load_client *c)
{
    struct hd_ledger_record r = {.op = HD_DID_PUT};
    char unfinished[HD_LEDGER_PATH_BYTES + 8];
    struct hd_file *f = NULL;
    snprintf(r.path, sizeof(r.path), "%s/file-%u-%" PRIu64, c->shared->dir, c->id, ++c->serial);
    snprintf(unfinished, sizeof(unfinished), "%s.tmp", r.path);
    r.invoke_us = hd_ledger_now_us(c->shared->ledger);
    r.size_bytes = hd_load_fill(c);
    hd_sha256(c->data, r.size_bytes, r.sha256);
    int rc = create(c, unfinished, &f);
    if (rc < 0) {
        return rc;
    }
    begin(c, HD_CLASS_WRITE);
    rc = hd_file_write(f, c->data, r.size_bytes);
    rc = rc == 0 ? hd_file_hsync(f) : rc;
    if (rc < 0) {
        hd_file_abandon(f);
        return end(c, HD_CLASS_WRITE, rc);
    }
    rc = end(c, HD_CLASS_WRITE, hd_file_close(f));
    if (rc < 0) {
        return rc;
    }
    begin(c, HD_CLASS_METADATA);
    rc = end(c, HD_CLASS_METADATA, hd_fs_rename(c->fs, unfinished, r.path, false));
    hd_load_note(c, &r, rc);
    return rc;
}

void hd_load_run_writer(struct hd_load_client *c)
{
    char path[HD_LEDGER_PATH_BYTES];
    struct hd_file *log = NULL;
    c->data = malloc(HD_LOAD_DATA_BYTES + sizeof(uint64_t));
    while (c->data != NULL && !hd_load_stopping(c)) {
        int rc;
        if (hd_prng_below(&c->prng, 3) != 0) {
            rc = need_log(c, &log, path, sizeof(path));
            rc = rc == 0 ? append_record(c, path, &log) : rc;
        } else {
            rc = put_file(c);
        }
        pause_after(rc, PAUSE_MS);
    }
    if (log != NULL) {
        begin(c, HD_CLASS_WRITE);
        end(c, HD_CLASS_WRITE, hd_file_close(log));
    }
    free(c->data);
}

/* ---- readers ---- */

static int read_again(struct hd_load_client *c, const struct hd_ledger_record *r, int64_t *ret_got)
{
    struct hd_file *f;
    int rc = hd_file_open(c->fs, r->path, &f);
    if (rc < 0) {
        return rc;
    }
    int64_t got = hd_file_pread(f, c->data, r->size_bytes, r->offset);
    hd_file_close(f);
    *ret_got = got;
    return got < 0 ? (int)got : 0;
}

static void count_read(struct hd_load_client *c, const struct hd_ledger_record *r, int64_t got)
{
    uint8_t sum[HD_SHA256_BYTES];
    hd_sha256(c->data, (size_t)got, sum);
    bool good = got == r->size_bytes && memcmp(sum, r->sha256, sizeof(sum)) == 0;
    pthread_mutex_lock(&c->shared->counts->lock);
    struct hd_load_result *result = &c->shared->counts->result;
    result->read++;
    if (!good && result->wrong++ == 0) {
        snprintf(result->first_wrong, sizeof(result->first_wrong),
                 "%s at offset %" PRIu64 ": %" PRId64 " of %u bytes, %s", r->path, r->offset, got,
                 r->size_bytes, got == r->size_bytes ? "others than were written" : "too few");
    }
    pthread_mutex_unlock(&c->shared->counts->lock);
}

void hd_load_run_reader(struct hd_load_client *c)
{
    c->data = malloc(HD_LOAD_DATA_BYTES);
    while (c->data != NULL && !hd_load_stopping(c)) {
        struct hd_ledger_record r;
        int64_t got = 0;
        if (!hd_ledger_pick(c->shared->ledger, &c->prng, &r)) {
            hd_clock_sleep_ms(ERROR_PAUSE_MS);
            continue;
        }
        begin(c, HD_CLASS_READ);
        int rc = end(c, HD_CLASS_READ, read_again(c, &r, &got));
        if (rc == 0) {
            count_read(c, &r, got);
        }
        pause_after(rc, READ_PAUSE_MS);
    }
    free(c->data);
}

/* ---- metadata ---- */

static int metadata_op(struct hd_load_client *c, enum hd_ledger_op op, const char *from,
                       const char *to)
{
    struct hd_ledger_record r = {.op = op};
    snprintf(r.path, sizeof(r.path), "%s%s%s", from, to != NULL ? ">" : "", to != NULL ? to : "");
    r.invoke_us = hd_ledger_now_us(c->shared->ledger);
    begin(c, HD_CLASS_METADATA);
    int rc = op == HD_DID_MKDIR    ? hd_fs_mkdir(c->fs, from, 0755, false)
             : op == HD_DID_RENAME ? hd_fs_rename(c->fs, from, to, false)
                                   : hd_fs_delete(c->fs, from, false);
    end(c, HD_CLASS_METADATA, HD_MIN(rc, 0));
    hd_load_note(c, &r, HD_MIN(rc, 0));
    return HD_MIN(rc, 0);
}

/* A directory is made, often renamed, and then sometimes deleted; no name is used twice. */
void hd_load_run_metadata(struct hd_load_client *c)
{
    char first[140];
    char second[150];
    while (!hd_load_stopping(c)) {
        uint64_t dice = hd_prng_below(&c->prng, 4);
        snprintf(first, sizeof(first), "%s/dir-%u-%" PRIu64, c->shared->dir, c->id, ++c->serial);
        snprintf(second, sizeof(second), "%s.renamed", first);
        int rc = metadata_op(c, HD_DID_MKDIR, first, NULL);
        if (rc == 0 && dice >= 1) {
            rc = metadata_op(c, HD_DID_RENAME, first, second);
        }
        if (rc == 0 && dice >= 3) {
            rc = metadata_op(c, HD_DID_DELETE, second, NULL);
        }
        pause_after(rc, PAUSE_MS);
    }
}
