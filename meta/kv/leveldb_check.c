/* See leveldb_check.h. The formats: leveldb's doc/log_format.md and db/version_edit.cc. */
#include "meta/kv/leveldb_check.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/file.h"

#include <errno.h>
#include <inttypes.h>
#include <unistd.h>

enum {
    PATH_BYTES = 4096,
    MANIFEST_MAX_BYTES = 256 << 20,
    BLOCK_BYTES = 32768, /* of the log format: no header crosses its end */
    HEADER_BYTES = 7,    /* crc, u16 size, type */

    FULL = 1,
    FIRST = 2,
    LAST = 4,

    COMPARATOR = 1, /* tags of a version edit */
    LOG_NUMBER = 2,
    NEXT_FILE = 3,
    LAST_SEQUENCE = 4,
    COMPACT_POINTER = 5,
    DELETED_FILE = 6,
    NEW_FILE = 7,
    PREVIOUS_LOG = 9,
};

struct edit {
    const uint8_t *p;
    size_t left;
    bool bad;
};

static uint64_t number(struct edit *e)
{
    uint64_t v = 0;
    int n = hd_varint_decode(e->p, e->left, &v);
    if (n <= 0) {
        e->bad = true;
        return 0;
    }
    e->p += n;
    e->left -= (size_t)n;
    return v;
}

static void skip_string(struct edit *e)
{
    uint64_t n = number(e);
    if (n > e->left) {
        e->bad = true;
        return;
    }
    e->p += n;
    e->left -= (size_t)n;
}

static void skip_numbers(struct edit *e, int count)
{
    while (count-- > 0) {
        (void)number(e);
    }
}

/* The log number of one edit replaces the one before. What is not understood is leveldb's to judge.
 */
static void read_edit(const uint8_t *p, size_t n, uint64_t *log_number)
{
    struct edit e = {p, n, false};
    while (e.left > 0 && !e.bad) {
        switch (number(&e)) {
        case LOG_NUMBER:
            *log_number = number(&e);
            break;
        case COMPARATOR:
            skip_string(&e);
            break;
        case NEXT_FILE:
        case LAST_SEQUENCE:
        case PREVIOUS_LOG:
            skip_numbers(&e, 1);
            break;
        case DELETED_FILE:
            skip_numbers(&e, 2);
            break;
        case COMPACT_POINTER:
            skip_numbers(&e, 1);
            skip_string(&e);
            break;
        case NEW_FILE:
            skip_numbers(&e, 3);
            skip_string(&e);
            skip_string(&e);
            break;
        default:
            return;
        }
    }
}

/* The number of the newest log that the MANIFEST names; 0: none. */
static int read_manifest(const char *path, uint64_t *ret)
{
    HD_AUTO(hd_buf_done) struct hd_buf file = {0};
    HD_AUTO(hd_buf_done) struct hd_buf record = {0};
    int err = hd_file_read(path, MANIFEST_MAX_BYTES, &file);
    for (size_t at = 0; err == 0 && at + HEADER_BYTES <= file.size;) {
        size_t left = BLOCK_BYTES - at % BLOCK_BYTES;
        if (left < HEADER_BYTES) {
            at += left;
            continue;
        }
        const uint8_t *h = file.data + at;
        size_t size = (size_t)h[4] | (size_t)h[5] << 8;
        uint8_t type = h[6];
        if (type == 0 || size > file.size - at - HEADER_BYTES) {
            break;
        }
        if (type == FULL || type == FIRST) {
            hd_buf_clear(&record);
        }
        err = hd_buf_add(&record, h + HEADER_BYTES, size);
        if (err == 0 && (type == FULL || type == LAST)) {
            read_edit(record.data, record.size, ret);
        }
        at += HEADER_BYTES + size;
    }
    return err;
}

int hd_leveldb_check(const char *dir)
{
    char path[PATH_BYTES];
    HD_AUTO(hd_buf_done) struct hd_buf current = {0};
    snprintf(path, sizeof(path), "%s/CURRENT", dir);
    int err = hd_file_read(path, 4096, &current);
    if (err < 0) {
        return 0; /* there is none, or leveldb says what is wrong with it */
    }
    if (hd_buf_str(&current) == NULL) {
        return -ENOMEM;
    }
    current.data[strcspn((char *)current.data, "\n")] = '\0';
    uint64_t log = 0;
    snprintf(path, sizeof(path), "%s/%.200s", dir, (char *)current.data);
    if (read_manifest(path, &log) < 0) {
        return 0; /* leveldb says so itself */
    }
    snprintf(path, sizeof(path), "%s/%06" PRIu64 ".log", dir, log);
    if (log != 0 && access(path, F_OK) < 0) {
        return hd_fail(-HD_E_CORRUPT, "%s: not there, but the database counts on it", path);
    }
    return 0;
}
