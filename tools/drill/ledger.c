/* The ledger of a drill. See ledger.h. */
#include "tools/drill/ledger.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { LINE_BYTES = 640, MAX_FILE_BYTES = 1 << 30 };

struct hd_ledger {
    int fd;
    uint64_t begin_ns;
    pthread_mutex_t lock;
    pthread_cond_t flushed;
    struct hd_buf pending;   /* lines not yet written */
    uint64_t added, durable; /* records */
    bool flushing;           /* one of the threads writes for all */
    int failed;              /* the error that ended it, 0 while good */
    struct {
        struct hd_ledger_record *list;
        size_t count, capacity;
    } readable; /* acknowledged bytes */
    uint64_t acked;
};

static const char *const op_names[] = {"append", "put", "mkdir", "rename", "delete"};
static const char *const ack_names[] = {"none", "written", "synced"};
static const char *const result_names[] = {"ok", "fail", "unknown"};

void hd_sha256(const void *data, size_t size, uint8_t out[HD_SHA256_BYTES])
{
    if (EVP_Digest(data, size, out, NULL, EVP_sha256(), NULL) != 1) {
        memset(out, 0, HD_SHA256_BYTES);
    }
}

int hd_ledger_encode(const struct hd_ledger_record *r, char *out, size_t size)
{
    char hex[HD_SHA256_BYTES * 2 + 1];
    for (size_t i = 0; i < HD_SHA256_BYTES; i++) {
        snprintf(hex + i * 2, 3, "%02x", r->sha256[i]);
    }
    int n = snprintf(out, size, "%" PRIu64 " %" PRIu64 " %u %s %s %" PRIu64 " %u %s %s %s\n",
                     r->invoke_us, r->ack_us, r->client, op_names[r->op], r->path, r->offset,
                     r->size_bytes, hex, ack_names[r->ack], result_names[r->result]);
    return n < (int)size ? n : hd_fail(-HD_E_TOO_LARGE, "ledger: a line above %zu bytes", size);
}

/* The place of a word in a list, -1 when it is not there. */
static int find_word(const char *const *names, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], word) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static bool decode_hex(const char *hex, uint8_t out[HD_SHA256_BYTES])
{
    for (size_t i = 0; i < HD_SHA256_BYTES; i++) {
        unsigned byte;
        if (sscanf(hex + i * 2, "%2x", &byte) != 1) {
            return false;
        }
        out[i] = (uint8_t)byte;
    }
    return true;
}

int hd_ledger_decode(const char *line, struct hd_ledger_record *ret)
{
    struct hd_ledger_record r = {0};
    char op[16];
    char ack[16];
    char result[16];
    char hex[HD_SHA256_BYTES * 2 + 1];
    char end;
    int n = sscanf(line, "%" SCNu64 " %" SCNu64 " %u %15s %319s %" SCNu64 " %u %64s %15s %15s%c",
                   &r.invoke_us, &r.ack_us, &r.client, op, r.path, &r.offset, &r.size_bytes, hex,
                   ack, result, &end);
    if (n != 11 || end != '\n' || strlen(hex) != HD_SHA256_BYTES * 2 ||
        !decode_hex(hex, r.sha256)) {
        return hd_fail(-HD_E_BAD_MESSAGE, "not a line of a ledger: %.80s", line);
    }
    int o = find_word(op_names, HD_ARRAY_COUNT(op_names), op);
    int a = find_word(ack_names, HD_ARRAY_COUNT(ack_names), ack);
    int e = find_word(result_names, HD_ARRAY_COUNT(result_names), result);
    if (o < 0 || a < 0 || e < 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "not a line of a ledger: %.80s", line);
    }
    r.op = (enum hd_ledger_op)o;
    r.ack = (enum hd_ledger_ack)a;
    r.result = (enum hd_ledger_result)e;
    *ret = r;
    return 0;
}

int hd_ledger_open(const char *path, struct hd_ledger **ret)
{
    struct hd_ledger *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->flushed, NULL);
    l->begin_ns = hd_clock_mono_ns();
    l->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND | O_CLOEXEC, 0644);
    int rc = l->fd < 0 ? hd_fail_errno(errno, "%s", path) : hd_dir_sync_parent(path);
    if (rc < 0) {
        hd_ledger_close(l);
        return rc;
    }
    *ret = l;
    return 0;
}

void hd_ledger_close(struct hd_ledger *l)
{
    if (l == NULL) {
        return;
    }
    hd_fd_done(&l->fd);
    hd_buf_done(&l->pending);
    free(l->readable.list);
    pthread_cond_destroy(&l->flushed);
    pthread_mutex_destroy(&l->lock);
    free(l);
}

uint64_t hd_ledger_now_us(const struct hd_ledger *l)
{
    return (hd_clock_mono_ns() - l->begin_ns) / 1000;
}

/* Writes what is pending, without the lock meanwhile. Called and returns with the lock held. */
static void flush(struct hd_ledger *l)
{
    struct hd_buf lines = l->pending;
    uint64_t upto = l->added;
    l->pending = (struct hd_buf){0};
    l->flushing = true;
    pthread_mutex_unlock(&l->lock);
    int rc = hd_fd_write(l->fd, lines.data, lines.size);
    if (rc == 0 && fdatasync(l->fd) < 0) {
        rc = hd_fail_errno(errno, "ledger");
    }
    hd_buf_done(&lines);
    pthread_mutex_lock(&l->lock);
    l->flushing = false;
    if (rc < 0) {
        l->failed = rc;
    } else {
        l->durable = upto;
    }
    pthread_cond_broadcast(&l->flushed);
}

/* The record is durable: readers may ask for its bytes. Under the lock. */
static int note_acked(struct hd_ledger *l, const struct hd_ledger_record *r)
{
    l->acked++;
    if (r->op != HD_DID_APPEND && r->op != HD_DID_PUT) {
        return 0;
    }
    if (l->readable.count == l->readable.capacity) {
        size_t capacity = HD_MAX(l->readable.capacity * 2, (size_t)1024);
        struct hd_ledger_record *grown =
            capacity <= HD_LEDGER_MAX ? realloc(l->readable.list, capacity * sizeof(*grown)) : NULL;
        if (grown == NULL) {
            return hd_fail(-HD_E_TOO_LARGE, "ledger: more than %d records", HD_LEDGER_MAX);
        }
        l->readable.list = grown;
        l->readable.capacity = capacity;
    }
    l->readable.list[l->readable.count++] = *r;
    return 0;
}

int hd_ledger_add(struct hd_ledger *l, const struct hd_ledger_record *r)
{
    char line[LINE_BYTES];
    int size = hd_ledger_encode(r, line, sizeof(line));
    if (size < 0) {
        return size;
    }
    pthread_mutex_lock(&l->lock);
    int rc = l->failed < 0 ? l->failed : hd_buf_add(&l->pending, line, (size_t)size);
    uint64_t mine = rc == 0 ? ++l->added : 0;
    while (rc == 0 && l->durable < mine) {
        if (l->flushing) {
            pthread_cond_wait(&l->flushed, &l->lock);
        } else {
            flush(l);
        }
        rc = l->failed;
    }
    if (rc == 0 && r->result == HD_RESULT_OK) {
        rc = note_acked(l, r);
    }
    pthread_mutex_unlock(&l->lock);
    return rc;
}

bool hd_ledger_pick(struct hd_ledger *l, struct hd_prng *prng, struct hd_ledger_record *ret)
{
    pthread_mutex_lock(&l->lock);
    bool any = l->readable.count > 0;
    if (any) {
        *ret = l->readable.list[hd_prng_below(prng, l->readable.count)];
    }
    pthread_mutex_unlock(&l->lock);
    return any;
}

uint64_t hd_ledger_acked(struct hd_ledger *l)
{
    pthread_mutex_lock(&l->lock);
    uint64_t acked = l->acked;
    pthread_mutex_unlock(&l->lock);
    return acked;
}

int hd_ledger_load(const char *path, struct hd_ledger_record **ret, size_t *ret_count)
{
    HD_AUTO(hd_buf_done) struct hd_buf text = {0};
    int rc = hd_file_read(path, MAX_FILE_BYTES, &text);
    const char *at = rc == 0 ? hd_buf_str(&text) : NULL;
    if (at == NULL) {
        return rc < 0 ? rc : -ENOMEM;
    }
    size_t lines = 0;
    for (const char *c = at; (c = strchr(c, '\n')) != NULL; c++) {
        lines++;
    }
    struct hd_ledger_record *list = calloc(lines + 1, sizeof(*list));
    if (list == NULL) {
        return -ENOMEM;
    }
    size_t count = 0;
    for (const char *newline; rc == 0 && (newline = strchr(at, '\n')) != NULL; at = newline + 1) {
        rc = hd_ledger_decode(at, &list[count]);
        count += rc == 0;
    }
    if (rc < 0) {
        free(list);
        return rc;
    }
    *ret = list;
    *ret_count = count;
    return 0;
}
