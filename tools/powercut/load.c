/* Reading a journal, finding its files, and the order of the undoing. See undo.h. */
#include "fs/base/error.h"
#include "fs/os/file.h"
#include "tools/powercut/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WALK_FDS = 32 };

static const char *const type_names[] = {
    [HD_POWERCUT_DIR] = "dir",    [HD_POWERCUT_WRITE] = "write",   [HD_POWERCUT_RESIZE] = "resize",
    [HD_POWERCUT_BEGIN] = "sync", [HD_POWERCUT_END] = "synced",    [HD_POWERCUT_CREATE] = "create",
    [HD_POWERCUT_LINK] = "link",  [HD_POWERCUT_UNLINK] = "unlink", [HD_POWERCUT_RENAME] = "rename",
};

static uint64_t key_of(struct hd_powercut_id id)
{
    return id.ino ^ id.dev * 0x9e3779b97f4a7c15u;
}

struct hd_undo_file *hd_undo_file_of(const struct hd_undo *u, struct hd_powercut_id id)
{
    return hd_map_get(&u->files, key_of(id));
}

static struct hd_undo_file *file_made(struct hd_undo *u, struct hd_powercut_id id)
{
    struct hd_undo_file *f = hd_undo_file_of(u, id);
    if (f == NULL) {
        f = calloc(1, sizeof(*f));
        if (f == NULL) {
            return NULL;
        }
        *f = (struct hd_undo_file){.id = id, .fd = -1};
        if (hd_map_put(&u->files, key_of(id), f) < 0) {
            free(f);
            return NULL;
        }
    }
    return f;
}

static int add_file_op(struct hd_undo_file *f, size_t op)
{
    if (f->op_count == f->op_capacity) {
        size_t capacity = HD_MAX(2 * f->op_capacity, (size_t)16);
        size_t *grown = realloc(f->ops, capacity * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        f->ops = grown;
        f->op_capacity = capacity;
    }
    f->ops[f->op_count++] = op;
    return 0;
}

/* --- reading --- */

/* The record at `at`; 0 when the journal ends there, as it does inside a record after a kill. */
static size_t take_op(const struct hd_buf *b, size_t at, struct hd_undo_op *ret)
{
    struct hd_undo_op op;
    size_t left = b->size - at;
    if (left < sizeof(op.r)) {
        return 0;
    }
    memcpy(&op.r, b->data + at, sizeof(op.r));
    uint64_t names = (uint64_t)op.r.name_bytes + op.r.name2_bytes;
    if (op.r.magic != HD_POWERCUT_MAGIC || op.r.type > HD_POWERCUT_RENAME ||
        names > (uint64_t)2 * HD_POWERCUT_NAME_MAX || op.r.data_bytes > left ||
        sizeof(op.r) + names + op.r.data_bytes > left) {
        return 0;
    }
    op.name = (const char *)b->data + at + sizeof(op.r);
    op.name2 = op.name + op.r.name_bytes;
    op.data = (const uint8_t *)op.name2 + op.r.name2_bytes;
    *ret = op;
    return sizeof(op.r) + (size_t)names + (size_t)op.r.data_bytes;
}

static int add_op(struct hd_undo *u, const struct hd_undo_op *op)
{
    if (u->count == u->capacity) {
        size_t capacity = HD_MAX(2 * u->capacity, (size_t)1024);
        struct hd_undo_op *grown = realloc(u->ops, capacity * sizeof(*grown));
        if (grown == NULL) {
            return -ENOMEM;
        }
        u->ops = grown;
        u->capacity = capacity;
    }
    u->ops[u->count++] = *op;
    return 0;
}

/* Finds the beginning of the sync that ended here. */
static void note_synced(struct hd_undo *u, uint64_t number)
{
    for (size_t i = u->count; i-- > 0;) {
        const struct hd_undo_op *op = &u->ops[i];
        if (op->r.type == HD_POWERCUT_BEGIN && op->r.number == number) {
            struct hd_undo_file *f = hd_undo_file_of(u, op->r.id);
            f->synced = HD_MAX(f->synced, i);
            u->any_synced = HD_MAX(u->any_synced, i);
            return;
        }
    }
}

static int take_in(struct hd_undo *u, size_t i)
{
    const struct hd_undo_op *op = &u->ops[i];
    struct hd_undo_file *f = NULL;
    struct hd_undo_file *in = NULL;
    switch ((enum hd_powercut_type)op->r.type) {
    case HD_POWERCUT_DIR:
        return 0;
    case HD_POWERCUT_END:
        note_synced(u, op->r.number);
        return 0;
    case HD_POWERCUT_BEGIN:
        return file_made(u, op->r.id) != NULL ? 0 : -ENOMEM;
    case HD_POWERCUT_WRITE:
    case HD_POWERCUT_RESIZE:
        f = file_made(u, op->r.id);
        return f != NULL ? add_file_op(f, i) : -ENOMEM;
    case HD_POWERCUT_CREATE:
        f = file_made(u, op->r.id);
        if (f == NULL) {
            return -ENOMEM;
        }
        f->born = i;
        f->synced = 0;
        f->op_count = 0;
        break;
    case HD_POWERCUT_RENAME:
        in = file_made(u, op->r.parent2);
        if (in == NULL) {
            return -ENOMEM;
        }
        break;
    case HD_POWERCUT_LINK:
    case HD_POWERCUT_UNLINK:
        break;
    }
    return file_made(u, op->r.parent) != NULL && file_made(u, op->r.id) != NULL ? 0 : -ENOMEM;
}

int hd_undo_load(struct hd_undo *u, const char *journal)
{
    u->kept_fd = -1;
    u->prng.state = u->options.seed;
    hd_map_init(&u->files);
    if (snprintf(u->journal, sizeof(u->journal), "%s", journal) >= (int)sizeof(u->journal) ||
        snprintf(u->kept, sizeof(u->kept), "%s.files", journal) >= (int)sizeof(u->kept)) {
        return hd_fail(-ENAMETOOLONG, "%s", journal);
    }
    u->bytes.max = SIZE_MAX / 2;
    int err = hd_file_read(journal, SIZE_MAX / 4, &u->bytes);
    struct hd_undo_op op;
    size_t n;
    for (size_t at = 0; err == 0 && (n = take_op(&u->bytes, at, &op)) > 0; at += n) {
        err = add_op(u, &op);
        if (err == 0) {
            err = take_in(u, u->count - 1);
        }
    }
    return err;
}

void hd_undo_show(const struct hd_undo *u)
{
    for (size_t i = 0; i < u->count; i++) {
        const struct hd_undo_op *op = &u->ops[i];
        printf("%zu %s number=%" PRIu64 " ino=%" PRIu64 " dir=%" PRIu64 " name=%.*s", i,
               type_names[op->r.type], op->r.number, op->r.id.ino, op->r.parent.ino,
               (int)op->r.name_bytes, op->name);
        if (op->r.type == HD_POWERCUT_RENAME) {
            printf(" to_dir=%" PRIu64 " to=%.*s", op->r.parent2.ino, (int)op->r.name2_bytes,
                   op->name2);
        }
        if (op->r.type == HD_POWERCUT_WRITE || op->r.type == HD_POWERCUT_RESIZE) {
            printf(" offset=%" PRIu64 " size=%" PRIu64 " end=%" PRIu64, op->r.offset, op->r.size,
                   op->r.old_end);
        }
        putchar('\n');
    }
}

/* --- the files themselves --- */

static struct hd_undo *walking; /* nftw has no argument for it */

static int open_known(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)at;
    struct hd_undo_file *f =
        hd_undo_file_of(walking, (struct hd_powercut_id){.dev = st->st_dev, .ino = st->st_ino});
    if (f == NULL || f->fd >= 0) {
        return 0;
    }
    if (kind == FTW_D || kind == FTW_DP) {
        f->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else if (kind == FTW_F && f->op_count > 0) {
        f->fd = open(path, O_RDWR | O_CLOEXEC);
    } else {
        return 0;
    }
    return f->fd < 0 ? -errno : 0;
}

static int find_below(struct hd_undo *u, const char *dir)
{
    walking = u;
    int rc = nftw(dir, open_known, WALK_FDS, FTW_PHYS);
    return rc == 0 || errno == ENOENT ? 0 : hd_fail_errno(errno, "%s", dir);
}

static int find_all(struct hd_undo *u)
{
    int err = find_below(u, u->kept);
    for (size_t i = 0; i < u->count && err == 0; i++) {
        const struct hd_undo_op *op = &u->ops[i];
        if (op->r.type == HD_POWERCUT_DIR) {
            char dir[HD_POWERCUT_NAME_MAX + 1];
            snprintf(dir, sizeof(dir), "%.*s", (int)op->r.name_bytes, op->name);
            err = find_below(u, dir);
        }
    }
    u->kept_fd = open(u->kept, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return err == 0 && u->kept_fd < 0 ? hd_fail_errno(errno, "%s", u->kept) : err;
}

/* By inode in the order of the journal, so that a seed gives the same files again. */
static int undo_all_contents(struct hd_undo *u, struct hd_undo_counts *counts)
{
    int err = 0;
    for (size_t i = 0; i < u->count && err == 0; i++) {
        const struct hd_undo_op *op = &u->ops[i];
        if (op->r.type != HD_POWERCUT_WRITE && op->r.type != HD_POWERCUT_RESIZE) {
            continue;
        }
        struct hd_undo_file *f = hd_undo_file_of(u, op->r.id);
        if (f->op_count > 0 && f->ops[0] == i) {
            err = hd_undo_contents(u, f, counts);
        }
    }
    return err;
}

int hd_undo_run(struct hd_undo *u, struct hd_undo_counts *ret)
{
    int err = find_all(u);
    if (err == 0) {
        err = undo_all_contents(u, ret);
    }
    if (err == 0) {
        err = hd_undo_names(u, ret);
    }
    if (err == 0 && !u->options.keep) {
        err = hd_dir_remove(u->kept);
        if (err == 0 && unlink(u->journal) < 0) {
            err = hd_fail_errno(errno, "%s: remove", u->journal);
        }
    }
    return err;
}

void hd_undo_done(struct hd_undo *u)
{
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&u->files, &cursor, NULL, &value)) {
        struct hd_undo_file *f = value;
        hd_fd_done(&f->fd);
        free(f->ops);
        free(f);
    }
    hd_map_done(&u->files);
    hd_fd_done(&u->kept_fd);
    hd_buf_done(&u->bytes);
    free(u->ops);
}
