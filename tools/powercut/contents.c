/*
 * The bytes of one file: back to what is durable, last change first; then, with --drop random, some
 * of the changes again, as a disk may have got them.
 *
 * Going back, what a write put there can be read before it is taken away, so the journal need not
 * hold it.
 */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "tools/powercut/undo.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* What the file's changes have to fear. */
enum fate {
    FATE_DROP,   /* all are gone */
    FATE_KEEP,   /* all are there */
    FATE_PREFIX, /* the first ones are, the next is torn */
    FATE_SOME,   /* each is there or not */
    FATE_TORN,   /* each sector of each is there or not */
};

struct change {
    const struct hd_undo_op *op;
    uint8_t *bytes; /* what it wrote; heap */
    uint64_t size;
};

static int file_end(int fd, uint64_t *ret)
{
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return hd_fail_errno(errno, "fstat");
    }
    *ret = (uint64_t)st.st_size;
    return 0;
}

static int set_end(int fd, uint64_t end)
{
    return ftruncate(fd, (off_t)end) < 0 ? hd_fail_errno(errno, "ftruncate") : 0;
}

/* Reads what the write left, as far as it came. */
static int save_bytes(int fd, struct change *c)
{
    uint64_t end = 0;
    const struct hd_powercut_record *r = &c->op->r;
    int err = file_end(fd, &end);
    if (err < 0 || r->type != HD_POWERCUT_WRITE || end <= r->offset) {
        return err;
    }
    c->size = HD_MIN(r->size, end - r->offset);
    c->bytes = malloc((size_t)c->size);
    return c->bytes == NULL ? -ENOMEM : hd_fd_pread(fd, c->bytes, (size_t)c->size, r->offset);
}

static int take_back(int fd, const struct hd_undo_op *op)
{
    int err = set_end(fd, op->r.old_end);
    if (err == 0 && op->r.data_bytes > 0) {
        err = hd_fd_pwrite(fd, op->data, (size_t)op->r.data_bytes, op->r.offset);
    }
    return err;
}

/* The sectors of a write, each there or not. */
static int put_torn(struct hd_undo *u, int fd, const struct change *c)
{
    uint64_t sector = hd_undo_draw(u, 50) ? 512 : 4096;
    uint64_t from = c->op->r.offset;
    uint64_t end = from + c->size;
    int err = 0;
    while (from < end && err == 0) {
        uint64_t to = HD_MIN(end, from - from % sector + sector);
        if (hd_undo_draw(u, 50)) {
            err = hd_fd_pwrite(fd, c->bytes + (from - c->op->r.offset), (size_t)(to - from), from);
        }
        from = to;
    }
    return err;
}

static int put_whole(int fd, const struct change *c)
{
    if (c->op->r.type == HD_POWERCUT_RESIZE) {
        return set_end(fd, c->op->r.offset);
    }
    return c->size > 0 ? hd_fd_pwrite(fd, c->bytes, (size_t)c->size, c->op->r.offset) : 0;
}

static enum fate draw_fate(struct hd_undo *u)
{
    uint64_t n = hd_prng_below(&u->prng, 100);
    if (!u->options.random || n < 30) {
        return FATE_DROP;
    }
    return n < 45 ? FATE_KEEP : n < 65 ? FATE_PREFIX : n < 80 ? FATE_SOME : FATE_TORN;
}

static int put_again(struct hd_undo *u, int fd, enum fate fate, const struct change *changes,
                     size_t count, struct hd_undo_counts *counts)
{
    size_t whole = fate == FATE_PREFIX ? (size_t)hd_prng_below(&u->prng, count) : count;
    int err = 0;
    for (size_t i = 0; i < count && err == 0; i++) {
        bool write = changes[i].op->r.type == HD_POWERCUT_WRITE;
        bool keep = fate == FATE_KEEP || (fate == FATE_PREFIX && i < whole) ||
                    (fate == FATE_SOME && hd_undo_draw(u, 50)) ||
                    (fate == FATE_TORN && !write && hd_undo_draw(u, 50));
        bool tear = write && !keep && (fate == FATE_TORN || (fate == FATE_PREFIX && i == whole));
        if (keep) {
            err = put_whole(fd, &changes[i]);
        } else if (tear) {
            err = put_torn(u, fd, &changes[i]);
        }
        counts->torn += tear;
        counts->dropped += !keep && !tear;
    }
    return err;
}

int hd_undo_contents(struct hd_undo *u, struct hd_undo_file *f, struct hd_undo_counts *counts)
{
    size_t first = 0;
    while (first < f->op_count && f->ops[first] < f->synced) {
        first++;
    }
    size_t count = f->op_count - first;
    if (count == 0 || f->fd < 0) { /* all durable, or the file is */
        return 0;
    }
    struct change *changes = calloc(count, sizeof(*changes));
    uint64_t last_end = 0;
    enum fate fate = draw_fate(u);
    int err = changes == NULL ? -ENOMEM : file_end(f->fd, &last_end);
    for (size_t i = count; i-- > 0 && err == 0;) {
        changes[i].op = &u->ops[f->ops[first + i]];
        err = fate != FATE_DROP ? save_bytes(f->fd, &changes[i]) : 0;
        if (err == 0) {
            err = take_back(f->fd, changes[i].op);
        }
    }
    if (err == 0) {
        err = put_again(u, f->fd, fate, changes, count, counts);
    }
    /* The new end may get there before the bytes: zeros. ext4 orders the two. */
    if (err == 0 && (fate == FATE_SOME || fate == FATE_TORN) && !u->options.ext4 &&
        hd_undo_draw(u, 25)) {
        err = set_end(f->fd, last_end);
    }
    counts->files++;
    counts->writes += count;
    for (size_t i = 0; i < count && changes != NULL; i++) {
        free(changes[i].bytes);
    }
    free(changes);
    if (u->options.verbose) {
        printf("contents ino=%llu changes=%zu fate=%d\n", (unsigned long long)f->id.ino, count,
               (int)fate);
    }
    return err;
}
