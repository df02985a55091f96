/* The writing side of an inode. See stage.h. */
#include "fs/mount/stage.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/mount/hold.h"
#include "fs/os/clock.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

enum { ZEROS_BYTES = 1 << 16, CUT_POLL_MIN_MS = 2, CUT_POLL_MAX_MS = 250, RECOVER_MS = 15000 };

struct hd_stage {
    struct hd_fs *fs;     /* the user who began it */
    struct hd_file *file; /* open for append at meta */
    struct hd_hold hold;
    bool streaming;         /* past the hold's ceiling: bytes go straight to the file */
    uint64_t flushed_bytes; /* of the file: on every node, and told to meta */
    bool durable;           /* all that was written is; no bytes came since */
    int64_t waiting_since_ms;
};

static void publish(struct hd_node *n)
{
    atomic_store(&n->staged_mtime_ms, hd_clock_wall_ms().v);
    atomic_store(&n->staged_size, hd_hold_end(&n->stage->hold));
}

static void account(struct hd_mount *m, const struct hd_stage *s, int sign)
{
    if (sign > 0) {
        atomic_fetch_add(&m->held_bytes, s->hold.bytes.size);
    } else {
        atomic_fetch_sub(&m->held_bytes, s->hold.bytes.size);
    }
}

static void free_stage(struct hd_mount *m, struct hd_node *n)
{
    struct hd_stage *s = HD_TAKE_PTR(n->stage);
    atomic_store(&n->staged_size, HD_NOT_STAGED);
    atomic_fetch_add(&n->version, 1);
    hd_inode_mark_dirty(&m->inodes, n, false);
    account(m, s, -1);
    hd_hold_done(&s->hold);
    free(s);
}

/*
 * Bytes that were answered may be lost: keep the error for every handle's next flush or fsync. The
 * server is asked to close the file as it is.
 */
static int fail_stage(struct hd_mount *m, struct hd_node *n, int err)
{
    struct hd_stage *s = n->stage;
    hd_log_error("write failed", "inode=%" PRIu64 " error=%s text=\"%s\"", n->id,
                 hd_error_name(err), hd_fail_describe(err));
    n->write_error = err;
    n->error_count++;
    if (s->file != NULL) {
        hd_file_abandon(HD_TAKE_PTR(s->file));
    }
    free_stage(m, n);
    return err;
}

int hd_stage_adopt(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs, struct hd_file *file)
{
    struct hd_stage *s = calloc(1, sizeof(*s));
    if (s == NULL) {
        (void)hd_file_close(file);
        return -ENOMEM;
    }
    s->fs = fs;
    s->file = file;
    hd_hold_init(&s->hold, hd_file_written(file));
    s->flushed_bytes = s->hold.offset;
    s->durable = true;
    n->stage = s;
    publish(n);
    hd_inode_mark_dirty(&m->inodes, n, true);
    return 0;
}

/* After a failure of ours the server still recovers the file: wait for that, not for others. */
static int append_after_failure(struct hd_fs *fs, const char *path, struct hd_file **ret)
{
    int64_t deadline = hd_clock_mono_ms().v + RECOVER_MS;
    for (;;) {
        (void)hd_fs_recover_lease(fs, path);
        int rc = hd_file_append(fs, path, ret);
        if ((rc != -HD_E_BEING_CREATED && rc != -HD_E_RECOVERY) ||
            hd_clock_mono_ms().v > deadline) {
            return rc;
        }
        hd_clock_sleep_ms(CUT_POLL_MAX_MS);
    }
}

int hd_stage_begin(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs)
{
    char path[HD_INODE_PATH_BYTES];
    struct hd_file *file = NULL;
    if (n->stage != NULL) {
        return 0;
    }
    hd_inode_object(&m->inodes, n->ino, path);
    int rc = hd_file_append(fs, path, &file);
    if ((rc == -HD_E_BEING_CREATED || rc == -HD_E_RECOVERY) && n->error_count > 0) {
        rc = append_after_failure(fs, path, &file);
    }
    return rc < 0 ? rc : hd_stage_adopt(m, n, fs, file);
}

/* Gives the held bytes to the file. */
static int drain(struct hd_mount *m, struct hd_node *n)
{
    struct hd_stage *s = n->stage;
    if (s->hold.bytes.size == 0) {
        return 0;
    }
    int rc = hd_file_write(s->file, s->hold.bytes.data, s->hold.bytes.size);
    if (rc < 0) {
        return fail_stage(m, n, rc);
    }
    account(m, s, -1);
    hd_hold_given(&s->hold);
    return 0;
}

static bool may_hold(const struct hd_mount *m, const struct hd_stage *s, size_t size)
{
    return !s->streaming && s->hold.bytes.size + size <= HD_HOLD_MAX_BYTES &&
           atomic_load(&m->held_bytes) + size <= HD_HOLD_ALL_MAX_BYTES;
}

/* Appends, held or straight to the file. */
static int append(struct hd_mount *m, struct hd_node *n, const void *data, size_t size)
{
    struct hd_stage *s = n->stage;
    s->durable = false;
    if (s->waiting_since_ms == 0) {
        s->waiting_since_ms = hd_clock_mono_ms().v;
    }
    if (may_hold(m, s, size) && hd_hold_append(&s->hold, data, size) == 0) {
        atomic_fetch_add(&m->held_bytes, size);
        return 0;
    }
    int rc = drain(m, n);
    if (rc < 0) {
        return rc;
    }
    s->streaming = true;
    rc = hd_file_write(s->file, data, size);
    if (rc < 0) {
        return fail_stage(m, n, rc);
    }
    s->hold.offset += size;
    return 0;
}

static int append_zeros(struct hd_mount *m, struct hd_node *n, uint64_t size)
{
    static const uint8_t zeros[ZEROS_BYTES];
    if (size > HD_ZERO_FILL_MAX_BYTES) {
        return hd_fail(-EFBIG, "a gap of %" PRIu64 " bytes: at most %" PRIu64 " are filled", size,
                       HD_ZERO_FILL_MAX_BYTES);
    }
    while (size > 0) {
        size_t part = (size_t)HD_MIN(size, (uint64_t)ZEROS_BYTES);
        int rc = append(m, n, zeros, part);
        if (rc < 0) {
            return rc;
        }
        size -= part;
    }
    return 0;
}

int hd_stage_write(struct hd_mount *m, struct hd_node *n, const void *data, size_t size,
                   uint64_t offset, bool at_end)
{
    hd_assert(n->stage != NULL);
    struct hd_hold *hold = &n->stage->hold;
    size_t patched;
    if (at_end) {
        offset = hd_hold_end(hold);
    }
    int rc = hd_hold_patch(hold, data, size, offset, &patched);
    if (rc == 0 && patched < size) {
        uint64_t end = hd_hold_end(hold);
        uint64_t at = offset + patched;
        if (at > end) {
            rc = append_zeros(m, n, at - end);
        }
        if (rc == 0) {
            rc = append(m, n, (const uint8_t *)data + patched, size - patched);
        }
    }
    if (rc == 0) {
        publish(n);
    }
    return rc;
}

int64_t hd_stage_read(struct hd_mount *m, struct hd_node *n, struct hd_file *reader, void *out,
                      size_t size, uint64_t offset)
{
    struct hd_stage *s = n->stage;
    uint64_t end = hd_hold_end(&s->hold);
    if (offset >= end) {
        return 0;
    }
    size = (size_t)HD_MIN((uint64_t)size, end - offset);
    size_t low = 0;
    if (offset < s->hold.offset) {
        low = (size_t)HD_MIN((uint64_t)size, s->hold.offset - offset);
        if (s->flushed_bytes < s->hold.offset) {
            int rc = hd_file_hflush(s->file);
            if (rc < 0) {
                return fail_stage(m, n, rc);
            }
            s->flushed_bytes = s->hold.offset;
        }
        if (hd_file_size(reader) < offset + low) {
            int rc = hd_file_refresh(reader);
            if (rc < 0) {
                return rc;
            }
        }
        int64_t got = hd_file_pread(reader, out, low, offset);
        if (got < 0 || (size_t)got < low) {
            return got;
        }
    }
    return (int64_t)(low + hd_hold_read(&s->hold, (uint8_t *)out + low, size - low, offset + low));
}

int hd_stage_flush(struct hd_mount *m, struct hd_node *n, bool durable)
{
    if (n->stage == NULL) {
        return 0;
    }
    int rc = drain(m, n);
    if (rc < 0) {
        return rc;
    }
    struct hd_stage *s = n->stage;
    rc = durable ? hd_file_hsync(s->file) : hd_file_hflush(s->file);
    if (rc < 0) {
        return fail_stage(m, n, rc);
    }
    s->flushed_bytes = s->hold.offset;
    s->durable = s->durable || durable;
    s->waiting_since_ms = 0;
    return 0;
}

int hd_stage_finish(struct hd_mount *m, struct hd_node *n)
{
    if (n->stage == NULL) {
        return 0;
    }
    int rc = drain(m, n);
    if (rc < 0) {
        return rc;
    }
    if (m->options->strict) {
        rc = hd_file_hsync(n->stage->file);
    }
    n->unsynced = n->unsynced || !(m->options->strict || n->stage->durable);
    if (rc == 0) {
        rc = hd_file_close(HD_TAKE_PTR(n->stage->file));
    }
    if (rc < 0) {
        return fail_stage(m, n, rc);
    }
    free_stage(m, n);
    return 0;
}

/* Cuts a file that nobody has open for writing, and waits until it is whole again. */
static int cut_closed(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs, uint64_t size_bytes)
{
    char path[HD_INODE_PATH_BYTES];
    hd_inode_object(&m->inodes, n->ino, path);
    int rc = hd_fs_truncate(fs, path, size_bytes);
    atomic_fetch_add(&n->version, 1);
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    int64_t deadline = hd_clock_mono_ms().v + m->options->retry_s * 1000;
    int64_t pause_ms = CUT_POLL_MIN_MS;
    while ((rc = hd_fs_is_closed(fs, path)) == 0) {
        if (hd_clock_mono_ms().v >= deadline) {
            return hd_fail(-EIO, "%s: the last block is still being cut", path);
        }
        hd_clock_sleep_ms(pause_ms);
        pause_ms = HD_MIN(pause_ms * 2, (int64_t)CUT_POLL_MAX_MS);
    }
    return rc < 0 ? rc : 0;
}

int hd_stage_resize(struct hd_mount *m, struct hd_node *n, struct hd_fs *fs, uint64_t known_bytes,
                    uint64_t size_bytes)
{
    if (n->stage != NULL) {
        size_t before = n->stage->hold.bytes.size;
        known_bytes = hd_hold_end(&n->stage->hold);
        if (size_bytes <= known_bytes && hd_hold_cut(&n->stage->hold, size_bytes)) {
            atomic_fetch_sub(&m->held_bytes, before - n->stage->hold.bytes.size);
            publish(n);
            return 0;
        }
    }
    if (size_bytes == known_bytes) {
        return 0;
    }
    if (size_bytes < known_bytes) {
        int rc = hd_stage_finish(m, n);
        return rc < 0 ? rc : cut_closed(m, n, fs, size_bytes);
    }
    int rc = hd_stage_begin(m, n, fs);
    if (rc == 0) {
        rc = append_zeros(m, n, size_bytes - HD_MIN(size_bytes, hd_hold_end(&n->stage->hold)));
    }
    if (rc == 0) {
        publish(n);
    }
    return rc;
}

int64_t hd_stage_waiting_since(const struct hd_node *n)
{
    return n->stage != NULL ? n->stage->waiting_since_ms : 0;
}
