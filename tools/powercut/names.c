/*
 * Names: creations, removals and renames that no fsync of their directory followed are undone, last
 * one first. With --drop random each is, or is not.
 *
 * A change can only be undone when no later change of the same name stays: such names are pinned.
 * A rename is one change: durable once the directory it goes to was synced. A new directory that
 * its parent does not know durably is lost with all that is in it.
 */
#include "fs/base/error.h"
#include "tools/powercut/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_BYTES = HD_POWERCUT_NAME_MAX + 64 };

struct names {
    struct hd_undo *u;
    struct hd_strmap pinned; /* "dev:ino/name" -> anything */
    unsigned percent;        /* of the changes are undone */
    uint64_t undone;
};

static void key_for(struct hd_powercut_id dir, const char *name, char out[KEY_BYTES])
{
    snprintf(out, KEY_BYTES, "%llx:%llx/%s", (unsigned long long)dir.dev,
             (unsigned long long)dir.ino, name);
}

static int pin(struct names *n, struct hd_powercut_id dir, const char *name)
{
    char key[KEY_BYTES];
    key_for(dir, name, key);
    return hd_strmap_put(&n->pinned, key, strlen(key), n);
}

static bool is_pinned(const struct names *n, struct hd_powercut_id dir, const char *name)
{
    char key[KEY_BYTES];
    key_for(dir, name, key);
    return hd_strmap_get(&n->pinned, key, strlen(key)) != NULL;
}

static int dir_fd(const struct names *n, struct hd_powercut_id id)
{
    const struct hd_undo_file *f = hd_undo_file_of(n->u, id);
    return f != NULL ? f->fd : -1;
}

/* Is the name there, and this file's? */
static bool is_at(int dir, const char *name, struct hd_powercut_id id)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == id.ino &&
           st.st_dev == id.dev;
}

static bool is_free(int dir, const char *name)
{
    struct stat st;
    return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 && errno == ENOENT;
}

/* What was removed or replaced gets its name back. */
static int bring_back(struct names *n, const struct hd_undo_op *op, int dir, const char *name,
                      bool is_dir, struct hd_powercut_id id)
{
    char kept[32];
    snprintf(kept, sizeof(kept), "%llu", (unsigned long long)op->r.number);
    if (!is_dir) {
        return linkat(n->u->kept_fd, kept, dir, name, 0) < 0
                   ? hd_fail_errno(errno, "%s: link back", name)
                   : 0;
    }
    if (mkdirat(dir, name, op->r.mode) < 0) {
        return hd_fail_errno(errno, "%s: mkdir", name);
    }
    struct hd_undo_file *f = hd_undo_file_of(n->u, id); /* the new directory is the old one */
    if (f != NULL && f->fd < 0) {
        f->fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    }
    return 0;
}

/* 1: undone, 0: that cannot be. */
static int undo_new(struct names *n, const struct hd_undo_op *op, int dir, const char *name)
{
    char trash[64];
    if (!is_at(dir, name, op->r.id)) {
        return 0;
    }
    snprintf(trash, sizeof(trash), "undone-%llu", (unsigned long long)op->r.number);
    if (renameat(dir, name, n->u->kept_fd, trash) < 0) {
        return hd_fail_errno(errno, "%s: move away", name);
    }
    return 1;
}

static int undo_unlink(struct names *n, const struct hd_undo_op *op, int dir, const char *name)
{
    if (!is_free(dir, name)) {
        return 0;
    }
    int err = bring_back(n, op, dir, name, op->r.is_dir != 0, op->r.id);
    return err < 0 ? err : 1;
}

static int undo_rename(struct names *n, const struct hd_undo_op *op, int dir, const char *name,
                       const char *name2)
{
    int dir2 = dir_fd(n, op->r.parent2);
    if (dir2 < 0 || !is_at(dir2, name2, op->r.id) || !is_free(dir, name)) {
        return 0;
    }
    if (renameat(dir2, name2, dir, name) < 0) {
        return hd_fail_errno(errno, "%s: rename back to %s", name2, name);
    }
    if (op->r.replaced.ino != 0) {
        int err = bring_back(n, op, dir2, name2, op->r.is_dir != 0, op->r.replaced);
        if (err < 0) {
            return err;
        }
    }
    return 1;
}

static bool is_durable(const struct names *n, const struct hd_undo_op *op, size_t at)
{
    struct hd_powercut_id in = op->r.type == HD_POWERCUT_RENAME ? op->r.parent2 : op->r.parent;
    const struct hd_undo_file *f = hd_undo_file_of(n->u, in);
    return (f != NULL && at < f->synced) || (n->u->options.ext4 && at < n->u->any_synced);
}

static int undo_one(struct names *n, size_t at, struct hd_undo_counts *counts)
{
    const struct hd_undo_op *op = &n->u->ops[at];
    bool renamed = op->r.type == HD_POWERCUT_RENAME;
    char name[HD_POWERCUT_NAME_MAX + 1];
    char name2[HD_POWERCUT_NAME_MAX + 1];
    snprintf(name, sizeof(name), "%.*s", (int)op->r.name_bytes, op->name);
    snprintf(name2, sizeof(name2), "%.*s", (int)op->r.name2_bytes, op->name2);
    bool durable = is_durable(n, op, at);
    int dir = dir_fd(n, op->r.parent);
    bool stays = durable || dir < 0 || is_pinned(n, op->r.parent, name) ||
                 (renamed && is_pinned(n, op->r.parent2, name2)) || !hd_undo_draw(n->u, n->percent);
    int done = 0;
    if (!stays && renamed) {
        done = undo_rename(n, op, dir, name, name2);
    } else if (!stays && op->r.type == HD_POWERCUT_UNLINK) {
        done = undo_unlink(n, op, dir, name);
    } else if (!stays) {
        done = undo_new(n, op, dir, name);
    }
    if (done < 0) {
        return done;
    }
    counts->names += !durable;
    counts->undone += done == 1;
    if (n->u->options.verbose && !durable) {
        printf("name %s%s%s number=%llu %s\n", name, renamed ? " -> " : "", name2,
               (unsigned long long)op->r.number, done == 1 ? "undone" : "stays");
    }
    if (done == 1) {
        return 0;
    }
    int err = pin(n, op->r.parent, name);
    return err == 0 && renamed ? pin(n, op->r.parent2, name2) : err;
}

int hd_undo_names(struct hd_undo *u, struct hd_undo_counts *counts)
{
    static const unsigned percents[] = {0, 30, 60, 90, 100};
    struct names n = {.u = u, .percent = 100};
    size_t first = 0;
    hd_strmap_init(&n.pinned);
    if (u->options.random && !u->options.ext4) {
        n.percent = percents[hd_prng_below(&u->prng, HD_ARRAY_COUNT(percents))];
    } else if (u->options.random) {
        first = (size_t)hd_prng_below(&u->prng, u->count + 1); /* in order: the last ones go */
    }
    int err = 0;
    for (size_t i = u->count; i-- > first && err == 0;) {
        switch ((enum hd_powercut_type)u->ops[i].r.type) {
        case HD_POWERCUT_CREATE:
        case HD_POWERCUT_LINK:
        case HD_POWERCUT_UNLINK:
        case HD_POWERCUT_RENAME:
            err = undo_one(&n, i, counts);
            break;
        case HD_POWERCUT_DIR:
        case HD_POWERCUT_WRITE:
        case HD_POWERCUT_RESIZE:
        case HD_POWERCUT_BEGIN:
        case HD_POWERCUT_END:
            break;
        }
    }
    hd_strmap_done(&n.pinned);
    return err;
}
