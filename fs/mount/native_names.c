/* Names in a session: lookup, mkdir, mknod, symlink, link, readlink, unlink, rmdir, rename. */
#include "fs/mount/io.h"
#include "fs/mount/native.h"
#include "fs/base/error.h"
#include "fs/base/types.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <limits.h>

/* RENAME_* of linux/fs.h, which clashes with sys/mount.h. */
enum { NO_REPLACE = 1, EXCHANGE = 2 };

enum { SETTLE_TRIES = 16 };

static bool is_too_long(const char *name)
{
    return strlen(name) > HD_NAME_MAX_BYTES;
}

static uint64_t id_of(const struct hd_mount *m, uint64_t ino)
{
    return hd_inode_id(&m->inodes, ino);
}

/* ---- lookup ---- */

/* Absence without asking. */
static bool is_absent(struct hd_mount *m, uint64_t parent, const char *name)
{
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_node *dir = hd_inode_find(&m->inodes, parent);
    bool absent = dir != NULL && hd_known_is_absent(&dir->known, hd_posix_era(m->posix), name);
    pthread_mutex_unlock(&m->inodes.lock);
    return absent;
}

/*
 * Whether the kernel may be told to keep that the name is not there: the answer (NULL: the table)
 * must hold, and we must be able to take it back.
 */
static bool note_negative(struct hd_mount *m, uint64_t parent, const char *name,
                          const struct hd_posix_found *found)
{
    struct hd_native *v = m->native;
    char key[sizeof(parent) + HD_NAME_MAX_BYTES + 1];
    size_t size = sizeof(parent) + strlen(name);
    memcpy(key, &parent, sizeof(parent));
    memcpy(key + sizeof(parent), name, size - sizeof(parent));
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_node *dir = hd_inode_find(&m->inodes, parent);
    bool holds = dir != NULL && (found == NULL ||
                                 hd_known_entry_holds(&dir->known, found->cached, found->as_of.era,
                                                      found->as_of.txid, hd_posix_era(m->posix),
                                                      atomic_load(&v->stray)));
    if (holds && hd_strmap_get(&v->negatives, key, size) == NULL) {
        holds = v->negatives.count < HD_NEGATIVES_MAX &&
                hd_strmap_put(&v->negatives, key, size, v) == 0;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    return holds;
}

static void reply_absent(fuse_req_t req, uint64_t parent, const char *name,
                         const struct hd_posix_found *found)
{
    struct hd_mount *m = hd_mount_of(req);
    struct fuse_entry_param e = {.entry_timeout = m->entry_timeout_s};
    if (note_negative(m, parent, name, found)) {
        fuse_reply_entry(req, &e);
    } else {
        fuse_reply_err(req, ENOENT);
    }
}

static void reply_entry(fuse_req_t req, const struct fuse_entry_param *e)
{
    struct hd_mount *m = hd_mount_of(req);
    if (fuse_reply_entry(req, e) != 0) {
        hd_inode_forget(&m->inodes, e->ino, 1);
    } else {
        hd_native_answered(m, e);
    }
}

/* "." and "..": of who exports the mount, and has only the number of an inode. */
static void lookup_dots(fuse_req_t req, uint64_t ino, const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_found found = {0};
    struct fuse_entry_param e;
    int rc;
    if (name[1] == '\0') {
        rc = hd_posix_get_attr(m->posix, id_of(m, ino), &found.attr);
    } else {
        rc = hd_posix_lookup(m->posix, id_of(m, ino), name, &found, NULL);
        rc = rc == 0 ? -ESTALE : rc;
    }
    rc = rc < 0 ? rc : hd_native_entry(m, &found.attr, false, 0, NULL, &e);
    hd_posix_found_done(&found);
    if (rc < 0) {
        hd_mount_fail(req, "lookup", ino, rc);
    } else {
        reply_entry(req, &e);
    }
}

/*
 * Asks meta: 1, 0 or an error. What is found is at rest; when it went while it was brought to rest,
 * the name may have become another's.
 */
static int look_up(struct hd_mount *m, uint64_t parent, const char *name,
                   struct hd_posix_found *found, struct hd_posix_attr *dir)
{
    for (int tries = 0;; tries++) {
        int rc = hd_posix_lookup(m->posix, id_of(m, parent), name, found, dir);
        if (rc != 1 || !found->attr.busy) {
            return rc;
        }
        /* The kernel may hold the directory, and who writes may wait for us to forget a name in it.
         */
        hd_native_change_begin(m, parent);
        rc = hd_native_settled(m, &found->attr);
        hd_native_change_end(m, parent);
        if (rc != -ESTALE || tries == SETTLE_TRIES) {
            return rc < 0 ? rc : 1;
        }
        hd_posix_found_done(found);
        hd_posix_attr_done(dir);
    }
}

void hd_native_lookup(fuse_req_t req, uint64_t parent, const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_found found;
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr dir = {0};
    struct fuse_entry_param e;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0) {
        lookup_dots(req, parent, name);
        return;
    }
    if (is_too_long(name)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    if (is_absent(m, parent, name)) {
        reply_absent(req, parent, name, NULL);
        return;
    }
    int rc = look_up(m, parent, name, &found, &dir);
    if (rc >= 0) {
        hd_native_learned(m, &dir);
    }
    if (rc == 1) {
        rc = hd_native_entry(m, &found.attr, found.cached, parent, name, &e);
        if (rc == 0) {
            reply_entry(req, &e);
        }
    } else if (rc == 0) {
        reply_absent(req, parent, name, &found);
    }
    hd_posix_found_done(&found);
    if (rc < 0) {
        hd_mount_fail(req, "lookup", parent, rc);
    }
}

/* ---- making ---- */

static void learn_dir(struct hd_mount *m, uint64_t ino, const struct hd_posix_attr *dir,
                      const struct hd_posix_as_of *as_of)
{
    if (dir->ino != 0) {
        hd_native_learned(m, dir);
    } else {
        hd_native_unlearn(m, ino, as_of);
    }
}

/* A directory that was just made has no names: from now on we know what is not in it. */
static void knows_all(struct hd_mount *m, uint64_t ino, const struct hd_posix_as_of *as_of)
{
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, ino);
    if (n != NULL && n->known.has_attr && n->known.era == as_of->era &&
        n->known.entries_pushed <= as_of->txid && n->known.names == NULL) {
        hd_known_all_names(&n->known, as_of->era);
    }
    pthread_mutex_unlock(&m->inodes.lock);
}

/* Takes what an answer said of a new name into the table, and answers. */
static int answer_made(fuse_req_t req, uint64_t parent, const char *name,
                       const struct hd_posix_made *made)
{
    struct hd_mount *m = hd_mount_of(req);
    struct fuse_entry_param e;
    learn_dir(m, parent, &made->dir, &made->attr.as_of);
    int rc = hd_native_entry(m, &made->attr, made->attr.cached, parent, name, &e);
    if (rc < 0) {
        return rc;
    }
    if (S_ISDIR(made->attr.mode) && made->attr.cached) {
        knows_all(m, e.ino, &made->attr.as_of);
    }
    reply_entry(req, &e);
    return 0;
}

static void make(fuse_req_t req, uint64_t parent, const char *operation,
                 const struct hd_posix_make *make)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_made made;
    struct hd_posix_cred cred;
    if (is_too_long(make->name)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    hd_native_cred(req, &cred);
    hd_native_change_begin(m, parent);
    int rc = hd_posix_make_node(m->posix, &cred, id_of(m, parent), make, &made);
    hd_native_change_end(m, parent);
    rc = rc < 0 ? rc : answer_made(req, parent, make->name, &made);
    hd_posix_made_done(&made);
    if (rc < 0) {
        hd_mount_fail(req, operation, parent, rc);
    }
}

void hd_native_mkdir(fuse_req_t req, uint64_t parent, const char *name, mode_t mode)
{
    const struct hd_posix_make node = {
        .name = name,
        .mode = S_IFDIR | (mode & 07777),
        .umask = fuse_req_ctx(req)->umask,
        .exclusive = true,
    };
    make(req, parent, "mkdir", &node);
}

void hd_native_mknod(fuse_req_t req, uint64_t parent, const char *name, mode_t mode, dev_t dev)
{
    const struct hd_posix_make node = {
        .name = name,
        .mode = mode & (S_IFMT | 07777),
        .umask = fuse_req_ctx(req)->umask,
        .rdev = S_ISCHR(mode) || S_ISBLK(mode) ? dev : 0,
        .exclusive = true,
    };
    make(req, parent, "mknod", &node);
}

void hd_native_symlink(fuse_req_t req, const char *target, uint64_t parent, const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_made made;
    struct hd_posix_cred cred;
    if (is_too_long(name) || strlen(target) >= PATH_MAX) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    hd_native_cred(req, &cred);
    hd_native_change_begin(m, parent);
    int rc = hd_posix_make_symlink(m->posix, &cred, id_of(m, parent), name, target, &made);
    hd_native_change_end(m, parent);
    rc = rc < 0 ? rc : answer_made(req, parent, name, &made);
    hd_posix_made_done(&made);
    if (rc < 0) {
        hd_mount_fail(req, "symlink", parent, rc);
    }
}

void hd_native_link(fuse_req_t req, uint64_t ino, uint64_t parent, const char *name)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_made made;
    struct hd_posix_cred cred;
    if (is_too_long(name)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    hd_native_cred(req, &cred);
    hd_native_change_begin(m, parent);
    int rc = hd_posix_link(m->posix, &cred, id_of(m, ino), id_of(m, parent), name, &made);
    hd_native_change_end(m, parent);
    rc = rc == -ESTALE ? -ENOENT : rc; /* as of a file that was removed meanwhile */
    rc = rc < 0 ? rc : answer_made(req, parent, name, &made);
    hd_posix_made_done(&made);
    if (rc < 0) {
        hd_mount_fail(req, "link", parent, rc);
    }
}

void hd_native_readlink(fuse_req_t req, uint64_t ino)
{
    struct hd_mount *m = hd_mount_of(req);
    HD_AUTO(hd_posix_attr_done) struct hd_posix_attr attr = {0};
    int rc = hd_posix_get_attr(m->posix, id_of(m, ino), &attr);
    if (rc == 0 && (!S_ISLNK(attr.mode) || attr.target == NULL)) {
        rc = -EINVAL;
    }
    if (rc < 0) {
        hd_mount_fail(req, "readlink", ino, rc);
        return;
    }
    hd_native_learned(m, &attr);
    fuse_reply_readlink(req, attr.target);
}

/* ---- removing and moving ---- */

/* What a request may take the last name of. */
struct victim {
    struct hd_node *node; /* pinned; NULL: nobody we know */
    bool held;            /* it is open here: its data is to stay */
};

/* Whoever opens it from now on waits for the end: it is held, or gone, and not in between. */
static struct victim begin_removal(struct hd_mount *m, uint64_t parent, const char *name)
{
    struct victim v = {.node = hd_inode_get_child(&m->inodes, parent, name)};
    if (v.node != NULL) {
        pthread_mutex_lock(&m->inodes.lock);
        v.node->removals++;
        pthread_mutex_unlock(&m->inodes.lock);
        v.held = hd_io_is_open(m, v.node->id) ||
                 atomic_load(&m->native->cautious_until_ms) > hd_clock_mono_ms().v;
    }
    return v;
}

static void end_removal(struct hd_mount *m, struct victim *v)
{
    if (v->node != NULL) {
        pthread_mutex_lock(&m->inodes.lock);
        v->node->removals--;
        pthread_cond_broadcast(&m->native->removed);
        pthread_mutex_unlock(&m->inodes.lock);
        hd_inode_put(&m->inodes, HD_TAKE_PTR(v->node));
    }
}

/* What an answer said of something that lost a name. */
static void lost_name(struct hd_mount *m, struct hd_posix_attr *attr, const struct victim *v)
{
    if (attr->ino == 0) {
        return;
    }
    attr->cached = attr->cached || attr->nlink == 0; /* nobody else can change it any more */
    hd_native_learned(m, attr);
    if (attr->nlink > 0 || S_ISDIR(attr->mode)) {
        return;
    }
    if (v->held) {
        hd_native_orphaned(m, attr->ino);
        return;
    }
    if (v->node != NULL && v->node->id == attr->ino) {
        pthread_mutex_lock(&m->inodes.lock);
        v->node->gone = true;
        pthread_mutex_unlock(&m->inodes.lock);
    }
    hd_io_dropped(m, attr->ino);
}

void hd_native_remove(fuse_req_t req, uint64_t parent, const char *name, bool directory)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_made gone;
    struct hd_posix_cred cred;
    if (is_too_long(name)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    hd_native_cred(req, &cred);
    hd_native_change_begin(m, parent);
    struct victim victim = directory ? (struct victim){0} : begin_removal(m, parent, name);
    const struct hd_posix_unlink what = {.name = name, .directory = directory, .held = victim.held};
    int rc = hd_posix_unlink(m->posix, &cred, id_of(m, parent), &what, &gone);
    if (rc == 0) {
        hd_inode_unlinked(&m->inodes, parent, name);
        learn_dir(m, parent, &gone.dir, &gone.attr.as_of);
        lost_name(m, &gone.attr, &victim);
    }
    hd_native_change_end(m, parent);
    if (rc == 0) {
        fuse_reply_err(req, 0);
    } else {
        hd_mount_fail(req, directory ? "rmdir" : "unlink", parent, rc);
    }
    end_removal(m, &victim);
    hd_posix_made_done(&gone);
}

static void learn_move(struct hd_mount *m, const struct hd_posix_move *move, uint64_t parent,
                       uint64_t new_parent, const struct victim *victim,
                       struct hd_posix_moved *moved)
{
    const struct hd_posix_as_of *as_of = &moved->attr.as_of;
    if (move->exchange) {
        hd_inode_exchanged(&m->inodes, parent, move->from, new_parent, move->to);
        hd_native_learned(m, &moved->other);
    } else {
        hd_inode_moved(&m->inodes, parent, move->from, new_parent, move->to);
        lost_name(m, &moved->other, victim);
    }
    hd_native_learned(m, &moved->attr);
    learn_dir(m, parent, &moved->from_dir, as_of);
    if (new_parent != parent) {
        learn_dir(m, new_parent, &moved->to_dir, as_of);
    }
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *dir = hd_inode_find(&m->inodes, new_parent);
    if (dir != NULL) {
        hd_known_add_name(&dir->known, move->to);
    }
    pthread_mutex_unlock(&m->inodes.lock);
}

void hd_native_rename(fuse_req_t req, uint64_t parent, const char *name, uint64_t new_parent,
                      const char *new_name, unsigned flags)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_moved moved;
    struct hd_posix_cred cred;
    if ((flags & ~(unsigned)(NO_REPLACE | EXCHANGE)) != 0 || flags == (NO_REPLACE | EXCHANGE)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    if (is_too_long(name) || is_too_long(new_name)) {
        fuse_reply_err(req, ENAMETOOLONG);
        return;
    }
    hd_native_cred(req, &cred);
    hd_native_change_begin(m, parent);
    hd_native_change_begin(m, new_parent);
    struct victim victim = flags == 0 ? begin_removal(m, new_parent, new_name) : (struct victim){0};
    const struct hd_posix_move move = {
        .from_dir = id_of(m, parent),
        .from = name,
        .to_dir = id_of(m, new_parent),
        .to = new_name,
        .no_replace = (flags & NO_REPLACE) != 0,
        .exchange = (flags & EXCHANGE) != 0,
        .held = victim.held,
    };
    int rc = hd_posix_move(m->posix, &cred, &move, &moved);
    if (rc == 0) {
        learn_move(m, &move, parent, new_parent, &victim, &moved);
    }
    hd_native_change_end(m, new_parent);
    hd_native_change_end(m, parent);
    if (rc == 0) {
        fuse_reply_err(req, 0);
    } else {
        hd_mount_fail(req, "rename", parent, rc);
    }
    end_removal(m, &victim);
    hd_posix_moved_done(&moved);
}
