/* Locks of files at the mount. See locks.h. */
#include "fs/mount/locks.h"
#include "fs/mount/native.h"
#include "fs/base/error.h"
#include "fs/base/lock_ranges.h"
#include "fs/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/file.h>

enum kind { POSIX_LOCKS, FLOCKS, KINDS };

/* Who took fcntl locks through which open file. A process has let go by the time its open files are
 * released; what is left then are OFD locks. */
struct user {
    uint64_t owner;
    uint64_t fh;
};

struct lock_file {
    uint64_t id;
    struct hd_lock_ranges held[KINDS]; /* session 0 */
    struct user *users;
    size_t user_count, user_capacity;
};

/* A request that is not answered yet. */
struct wait {
    uint64_t wait_id;
    fuse_req_t req;
    struct hd_posix_lock lock;
    uint64_t fh;
    bool asking; /* a thread is asking meta for it */
    bool again;  /* meta has to be asked anew: its queue is another one */
    bool cancel; /* a signal came */
};

struct hd_locks {
    struct hd_mount *m;
    pthread_t thread;
    pthread_mutex_t lock; /* guards everything; never held while the kernel or meta is spoken to */
    pthread_cond_t work;
    struct hd_map files; /* id -> struct lock_file */
    struct hd_map waits; /* wait_id -> struct wait */
    uint64_t last_wait_id;
    bool stopping;
};

static enum kind kind_of(bool flock)
{
    return flock ? FLOCKS : POSIX_LOCKS;
}

/* ---- what is held (all with the lock) ---- */

static struct lock_file *get_file(struct hd_locks *l, uint64_t id)
{
    struct lock_file *f = hd_map_get(&l->files, id);
    if (f == NULL && (f = calloc(1, sizeof(*f))) != NULL) {
        f->id = id;
        if (hd_map_put(&l->files, id, f) < 0) {
            free(HD_TAKE_PTR(f));
        }
    }
    return f;
}

static void free_file(struct lock_file *f)
{
    hd_lock_ranges_done(&f->held[POSIX_LOCKS]);
    hd_lock_ranges_done(&f->held[FLOCKS]);
    free(f->users);
    free(f);
}

static void forget_idle_file(struct hd_locks *l, struct lock_file *f)
{
    if (f != NULL && f->held[POSIX_LOCKS].count + f->held[FLOCKS].count == 0) {
        hd_map_remove(&l->files, f->id);
        free_file(f);
    }
}

static void drop_users(struct lock_file *f, const uint64_t *owner, const uint64_t *fh)
{
    size_t kept = 0;
    for (size_t n = 0; n < f->user_count; n++) {
        bool drop =
            (owner == NULL || f->users[n].owner == *owner) && (fh == NULL || f->users[n].fh == *fh);
        if (!drop) {
            f->users[kept++] = f->users[n];
        }
    }
    f->user_count = kept;
}

static void add_user(struct lock_file *f, uint64_t owner, uint64_t fh)
{
    drop_users(f, &owner, &fh);
    if (f->user_count == f->user_capacity) {
        size_t capacity = HD_MAX(f->user_capacity * 2, (size_t)4);
        struct user *users = realloc(f->users, sizeof(*users) * capacity);
        if (users == NULL) {
            return; /* at worst an OFD lock stays until the file is closed by all */
        }
        f->users = users;
        f->user_capacity = capacity;
    }
    f->users[f->user_count++] = (struct user){owner, fh};
}

static struct hd_lock_range range_of(const struct hd_posix_lock *k)
{
    return (struct hd_lock_range){.owner = k->owner,
                                  .start = k->start,
                                  .end = k->end,
                                  .pid = k->pid,
                                  .type = (uint8_t)k->type};
}

/* Meta has granted it, or it is let go of. Without memory it is held, but not claimed again later.
 */
static void note(struct hd_locks *l, const struct hd_posix_lock *k, uint64_t fh)
{
    struct lock_file *f = k->type == F_UNLCK ? hd_map_get(&l->files, k->ino) : get_file(l, k->ino);
    struct hd_lock_range range = range_of(k);
    if (f == NULL) {
        return;
    }
    if (hd_lock_ranges_set(&f->held[kind_of(k->flock)], &range) < 0) {
        hd_log_warn("no memory to remember a lock", "inode=%" PRIu64, k->ino);
    }
    if (k->type != F_UNLCK && !k->flock) {
        add_user(f, k->owner, fh);
    }
    forget_idle_file(l, f);
}

/* ---- asking ---- */

/* 1 granted and noted, 0 not, or an error. A grant of a session that has ended meanwhile may not
 * have been claimed again: it is asked for once more. */
static int ask(struct hd_locks *l, const struct hd_posix_lock *k, uint64_t fh,
               enum hd_posix_lock_how how, uint64_t wait_id)
{
    for (;;) {
        uint32_t era = hd_posix_era(l->m->posix);
        int rc = hd_posix_set_lock(l->m->posix, k, how, wait_id);
        if (rc != 1) {
            return rc;
        }
        pthread_mutex_lock(&l->lock);
        bool same = era == hd_posix_era(l->m->posix);
        if (same) {
            note(l, k, fh);
        }
        pthread_mutex_unlock(&l->lock);
        if (same) {
            return 1;
        }
    }
}

static void reply(fuse_req_t req, uint64_t id, int rc)
{
    if (rc < 0) {
        hd_mount_fail_object(req, "setlk", id, rc);
    } else {
        fuse_reply_err(req, 0);
    }
}

/* Answers the request of a wait, if nobody has yet. */
static void finish(struct hd_locks *l, uint64_t wait_id, int rc)
{
    pthread_mutex_lock(&l->lock);
    struct wait *w = hd_map_remove(&l->waits, wait_id);
    pthread_mutex_unlock(&l->lock);
    if (w != NULL) {
        reply(w->req, w->lock.ino, rc);
        free(w);
    }
}

/* Asks meta for a wait that nobody else asks for now. */
static void ask_for_wait(struct hd_locks *l, const struct wait *copy)
{
    int rc = ask(l, &copy->lock, copy->fh, HD_LOCK_WAIT, copy->wait_id);
    if (rc != 0) {
        finish(l, copy->wait_id, rc);
        return;
    }
    pthread_mutex_lock(&l->lock);
    struct wait *w = hd_map_get(&l->waits, copy->wait_id);
    if (w != NULL) { /* else it was granted since */
        w->asking = false;
        if (w->cancel || w->again) {
            pthread_cond_signal(&l->work);
        }
    }
    pthread_mutex_unlock(&l->lock);
}

/* ---- the thread: signals, and sessions that began anew ---- */

static void cancel_wait(struct hd_locks *l, const struct wait *copy)
{
    int rc = ask(l, &copy->lock, copy->fh, HD_LOCK_CANCEL, copy->wait_id);
    finish(l, copy->wait_id, rc == 0 ? -EINTR : rc);
}

/* (lock) A wait that has to be looked after; NULL: none. */
static struct wait *next_work(struct hd_locks *l)
{
    uint64_t wait_id;
    void *value;
    for (size_t cursor = 0; hd_map_next(&l->waits, &cursor, &wait_id, &value);) {
        struct wait *w = value;
        if (!w->asking && (w->cancel || w->again)) {
            return w;
        }
    }
    return NULL;
}

static void *run(void *arg)
{
    struct hd_locks *l = arg;
    pthread_mutex_lock(&l->lock);
    while (!l->stopping) {
        struct wait *w = next_work(l);
        if (w == NULL) {
            pthread_cond_wait(&l->work, &l->lock);
            continue;
        }
        w->asking = true;
        w->again = false;
        const struct wait copy = *w;
        pthread_mutex_unlock(&l->lock);
        if (copy.cancel) {
            cancel_wait(l, &copy);
        } else {
            ask_for_wait(l, &copy);
        }
        pthread_mutex_lock(&l->lock);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

/* Called with a lock of libfuse's held: it only tells the thread. */
static void interrupted(fuse_req_t req, void *data)
{
    struct hd_locks *l = hd_mount_of(req)->native->locks;
    uint64_t wait_id = (uint64_t)(uintptr_t)data;
    pthread_mutex_lock(&l->lock);
    struct wait *w = hd_map_get(&l->waits, wait_id);
    if (w != NULL) {
        w->cancel = true;
        pthread_cond_signal(&l->work);
    }
    pthread_mutex_unlock(&l->lock);
}

static void wait_for(struct hd_locks *l, fuse_req_t req, const struct hd_posix_lock *k, uint64_t fh)
{
    struct wait *w = malloc(sizeof(*w));
    if (w == NULL) {
        fuse_reply_err(req, ENOLCK);
        return;
    }
    pthread_mutex_lock(&l->lock);
    *w = (struct wait){
        .wait_id = ++l->last_wait_id, .req = req, .lock = *k, .fh = fh, .asking = true};
    const struct wait copy = *w;
    int rc = hd_map_put(&l->waits, w->wait_id, w);
    pthread_mutex_unlock(&l->lock);
    if (rc < 0) {
        free(w);
        fuse_reply_err(req, ENOLCK);
        return;
    }
    /* Nobody answers it before it is asked for. */
    fuse_req_interrupt_func(req, interrupted, (void *)(uintptr_t)copy.wait_id);
    ask_for_wait(l, &copy);
}

/* ---- operations ---- */

static bool take_range(const struct flock *f, struct hd_posix_lock *k)
{
    if (f->l_whence != SEEK_SET || f->l_start < 0 || f->l_len < 0) {
        return false;
    }
    k->type = (uint32_t)f->l_type;
    k->pid = (uint32_t)f->l_pid;
    k->start = (uint64_t)f->l_start;
    k->end = f->l_len == 0 ? UINT64_MAX : k->start + (uint64_t)f->l_len - 1;
    return f->l_type == F_RDLCK || f->l_type == F_WRLCK || f->l_type == F_UNLCK;
}

static bool holds_any(struct hd_locks *l, uint64_t id, enum kind kind, uint64_t owner)
{
    pthread_mutex_lock(&l->lock);
    const struct lock_file *f = hd_map_get(&l->files, id);
    bool any = f != NULL && hd_lock_ranges_has(&f->held[kind], 0, owner);
    pthread_mutex_unlock(&l->lock);
    return any;
}

static void set_lock(struct hd_mount *m, fuse_req_t req, const struct hd_posix_lock *k, uint64_t fh,
                     bool wait)
{
    struct hd_locks *l = m->native->locks;
    if (k->type == F_UNLCK) {
        if (!holds_any(l, k->ino, kind_of(k->flock), k->owner)) {
            fuse_reply_err(req, 0);
            return;
        }
        pthread_mutex_lock(&l->lock);
        note(l, k, fh); /* before meta has it: it is not to be claimed again */
        pthread_mutex_unlock(&l->lock);
        int rc = hd_posix_set_lock(m->posix, k, HD_LOCK_TRY, 0);
        reply(req, k->ino, rc);
        return;
    }
    if (k->flock) { /* flock(2): a change begins with letting go; meta sees to it */
        struct hd_posix_lock none = *k;
        none.type = F_UNLCK;
        pthread_mutex_lock(&l->lock);
        note(l, &none, fh);
        pthread_mutex_unlock(&l->lock);
    }
    if (wait) {
        wait_for(l, req, k, fh);
        return;
    }
    int rc = ask(l, k, fh, HD_LOCK_TRY, 0);
    reply(req, k->ino, rc == 0 ? -EAGAIN : rc);
}

void hd_op_setlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock,
                 int sleep)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_lock k = {.ino = hd_inode_id(&m->inodes, ino), .owner = fi->lock_owner};
    if (!take_range(lock, &k)) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    set_lock(m, req, &k, fi->fh, sleep != 0);
}

void hd_op_flock(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, int op)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_lock k = {.ino = hd_inode_id(&m->inodes, ino),
                              .owner = fi->lock_owner,
                              .end = UINT64_MAX,
                              .flock = true};
    switch (op & ~LOCK_NB) {
    case LOCK_SH:
        k.type = F_RDLCK;
        break;
    case LOCK_EX:
        k.type = F_WRLCK;
        break;
    case LOCK_UN:
        k.type = F_UNLCK;
        break;
    default:
        fuse_reply_err(req, EINVAL);
        return;
    }
    set_lock(m, req, &k, fi->fh, (op & LOCK_NB) == 0);
}

void hd_op_getlk(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi, struct flock *lock)
{
    struct hd_mount *m = hd_mount_of(req);
    struct hd_posix_lock k = {.ino = hd_inode_id(&m->inodes, ino), .owner = fi->lock_owner};
    struct hd_posix_lock found;
    if (!take_range(lock, &k) || k.type == F_UNLCK) {
        fuse_reply_err(req, EINVAL);
        return;
    }
    int rc = hd_posix_get_lock(m->posix, &k, &found);
    if (rc < 0) {
        hd_mount_fail_object(req, "getlk", ino, rc);
        return;
    }
    struct flock f = {.l_type = F_UNLCK};
    if (found.type != F_UNLCK) {
        f = (struct flock){.l_type = (short)found.type,
                           .l_whence = SEEK_SET,
                           .l_start = (off_t)found.start,
                           .l_len =
                               found.end >= INT64_MAX ? 0 : (off_t)(found.end - found.start + 1),
                           .l_pid = (pid_t)found.pid};
    }
    fuse_reply_lock(req, &f);
}

/* ---- closing ---- */

/* Everything of an owner goes, here and at meta. */
static void let_go(struct hd_locks *l, uint64_t id, uint64_t owner, bool flock)
{
    const struct hd_posix_lock k = {
        .ino = id, .owner = owner, .end = UINT64_MAX, .type = F_UNLCK, .flock = flock};
    pthread_mutex_lock(&l->lock);
    note(l, &k, 0);
    pthread_mutex_unlock(&l->lock);
    int rc = hd_posix_set_lock(l->m->posix, &k, HD_LOCK_UNLOCK_ALL, 0);
    if (rc < 0) {
        hd_log_warn("a lock could not be given back", "inode=%" PRIu64 " error=%s text=\"%s\"", id,
                    hd_error_name(rc), hd_fail_describe(rc));
    }
}

void hd_locks_flush(struct hd_mount *m, uint64_t id, uint64_t owner)
{
    struct hd_locks *l = m->native->locks;
    if (holds_any(l, id, POSIX_LOCKS, owner)) {
        let_go(l, id, owner, false);
    }
    pthread_mutex_lock(&l->lock);
    struct lock_file *f = hd_map_get(&l->files, id);
    if (f != NULL) {
        drop_users(f, &owner, NULL);
    }
    pthread_mutex_unlock(&l->lock);
}

/* An owner that took fcntl locks through an open file, and has them still; false: none. */
static bool next_user(struct hd_locks *l, uint64_t id, uint64_t fh, uint64_t *ret)
{
    bool found = false;
    pthread_mutex_lock(&l->lock);
    struct lock_file *f = hd_map_get(&l->files, id);
    for (size_t n = 0; f != NULL && n < f->user_count && !found; n++) {
        if (f->users[n].fh == fh) {
            *ret = f->users[n].owner;
            found = true;
        }
    }
    if (found) {
        drop_users(f, ret, &fh);
    }
    pthread_mutex_unlock(&l->lock);
    return found;
}

void hd_locks_release(struct hd_mount *m, uint64_t id, const struct fuse_file_info *fi)
{
    struct hd_locks *l = m->native->locks;
    uint64_t owner;
    if (fi->flock_release && holds_any(l, id, FLOCKS, fi->lock_owner)) {
        let_go(l, id, fi->lock_owner, true);
    }
    while (next_user(l, id, fi->fh, &owner)) {
        if (holds_any(l, id, POSIX_LOCKS, owner)) {
            let_go(l, id, owner, false);
        }
    }
}

/* ---- events ---- */

void hd_locks_granted(struct hd_mount *m, uint64_t wait_id, int err)
{
    struct hd_locks *l = m->native->locks;
    pthread_mutex_lock(&l->lock);
    const struct wait *w = hd_map_get(&l->waits, wait_id);
    if (w != NULL && err == 0) {
        note(l, &w->lock, w->fh);
    }
    pthread_mutex_unlock(&l->lock);
    finish(l, wait_id, err > 0 ? -err : err);
}

void hd_locks_reclaim(struct hd_mount *m, struct hd_posix_holdings *h)
{
    struct hd_locks *l = m->native->locks;
    uint64_t id;
    void *value;
    pthread_mutex_lock(&l->lock);
    for (size_t cursor = 0; hd_map_next(&l->files, &cursor, &id, &value);) {
        const struct lock_file *f = value;
        for (enum kind k = POSIX_LOCKS; k < KINDS; k++) {
            for (size_t n = 0; n < f->held[k].count; n++) {
                const struct hd_lock_range *r = &f->held[k].items[n];
                const struct hd_posix_lock lock = {.ino = id,
                                                   .owner = r->owner,
                                                   .start = r->start,
                                                   .end = r->end,
                                                   .type = r->type,
                                                   .flock = k == FLOCKS,
                                                   .pid = r->pid};
                (void)hd_posix_hold_lock(h, &lock);
            }
        }
    }
    pthread_mutex_unlock(&l->lock);
}

void hd_locks_reclaimed(struct hd_mount *m, const uint64_t *lost, size_t count)
{
    struct hd_locks *l = m->native->locks;
    uint64_t wait_id;
    void *value;
    pthread_mutex_lock(&l->lock);
    for (size_t n = 0; n < count; n++) {
        struct lock_file *f = hd_map_remove(&l->files, lost[n]);
        if (f != NULL) {
            hd_log_warn("locks of a file were lost", "inode=%" PRIu64, lost[n]);
            free_file(f);
        }
    }
    for (size_t cursor = 0; hd_map_next(&l->waits, &cursor, &wait_id, &value);) {
        ((struct wait *)value)->again = true;
    }
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
}

/* ---- life ---- */

int hd_locks_start(struct hd_mount *m, struct hd_locks **ret)
{
    struct hd_locks *l = calloc(1, sizeof(*l));
    if (l == NULL) {
        return -ENOMEM;
    }
    l->m = m;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->work, NULL);
    hd_map_init(&l->files);
    hd_map_init(&l->waits);
    int rc = pthread_create(&l->thread, NULL, run, l);
    if (rc != 0) {
        free(l);
        return -rc;
    }
    *ret = l;
    return 0;
}

void hd_locks_stop(struct hd_locks *l)
{
    uint64_t key;
    void *value;
    if (l == NULL) {
        return;
    }
    pthread_mutex_lock(&l->lock);
    l->stopping = true;
    pthread_cond_signal(&l->work);
    pthread_mutex_unlock(&l->lock);
    pthread_join(l->thread, NULL);
    for (size_t cursor = 0; hd_map_next(&l->waits, &cursor, &key, &value);) {
        fuse_reply_err(((struct wait *)value)->req, EIO);
        free(value);
    }
    for (size_t cursor = 0; hd_map_next(&l->files, &cursor, &key, &value);) {
        free_file(value);
    }
    hd_map_done(&l->waits);
    hd_map_done(&l->files);
    pthread_cond_destroy(&l->work);
    pthread_mutex_destroy(&l->lock);
    free(l);
}
