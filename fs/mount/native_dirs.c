/*
 * Directories read in a session. A handle keeps one page of entries, and the name before each page
 * it has seen: an offset is an index into the names as this handle came by them, so going forward
 * nothing is skipped and nothing comes twice, whatever happens to the directory.
 *
 * The kernel keeps listings too (FOPEN_CACHE_DIR), until a push for the directory.
 */
#include "fs/mount/io.h"
#include "fs/mount/native.h"
#include "fs/base/error.h"

#include <errno.h>
#include <stdlib.h>

enum { DOT_ENTRIES = 2, PAGE_ENTRIES = 1000 };

struct mark {
    uint64_t index; /* of the first entry behind name */
    char *name;
};

/* All names, while they come in one pass. */
struct pass {
    bool running;
    uint32_t era;
    uint32_t changes;      /* of the directory, when it began */
    struct hd_known names; /* a set to collect in */
};

struct dir {
    pthread_mutex_t lock;
    uint64_t ino;
    uint64_t id;
    bool has_page;
    struct hd_posix_page page;
    uint64_t base; /* index of the page's first entry */
    struct mark *marks;
    size_t mark_count, mark_capacity;
    struct pass pass;
    uint32_t losses; /* that fsync has told of */
};

static struct dir *dir_of(const struct fuse_file_info *fi)
{
    return (struct dir *)(uintptr_t)fi->fh;
}

static void free_dir(struct dir *d)
{
    hd_posix_page_done(&d->page);
    for (size_t i = 0; i < d->mark_count; i++) {
        free(d->marks[i].name);
    }
    free(d->marks);
    hd_known_done(&d->pass.names);
    pthread_mutex_destroy(&d->lock);
    free(d);
}

static void close_dir(struct hd_mount *m, struct dir *d)
{
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, d->ino);
    if (n != NULL) {
        n->dir_handles--;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    free_dir(d);
}

void hd_native_opendir(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct dir *d = calloc(1, sizeof(*d));
    if (d == NULL) {
        hd_mount_fail(req, "opendir", ino, -ENOMEM);
        return;
    }
    pthread_mutex_init(&d->lock, NULL);
    d->ino = ino;
    d->id = hd_inode_id(&m->inodes, ino);
    d->losses = hd_fs_losses(m->fs);
    uint32_t era = hd_posix_era(m->posix);
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, ino);
    bool listed = n != NULL && n->known.era == era && n->known.listed;
    if (n != NULL) {
        n->dir_handles++;
    }
    pthread_mutex_unlock(&m->inodes.lock);
    fi->fh = (uintptr_t)d;
    fi->cache_readdir = 1;
    fi->keep_cache = listed;
    if (fuse_reply_open(req, fi) != 0) {
        close_dir(m, d);
    }
}

/* ---- pages ---- */

static void begin_pass(struct hd_mount *m, struct dir *d)
{
    uint32_t era = hd_posix_era(m->posix);
    pthread_mutex_lock(&m->inodes.lock);
    const struct hd_node *n = hd_inode_find(&m->inodes, d->ino);
    d->pass.running = n != NULL && (n->known.era != era || n->known.names == NULL);
    d->pass.changes = n != NULL && n->known.era == era ? n->known.changes : 0;
    pthread_mutex_unlock(&m->inodes.lock);
    d->pass.era = era;
    if (d->pass.running) {
        hd_known_all_names(&d->pass.names, era);
    }
}

/* A page has come: the directory's listing is known, perhaps all of it. */
static void note_page(struct hd_mount *m, struct dir *d)
{
    const struct hd_posix_page *page = &d->page;
    struct pass *pass = &d->pass;
    uint32_t era = hd_posix_era(m->posix);
    pass->running = pass->running && page->cached && page->as_of.era == pass->era;
    for (size_t i = 0; pass->running && i < page->count; i++) {
        hd_known_add_name(&pass->names, page->entries[i].name);
    }
    pthread_mutex_lock(&m->inodes.lock);
    struct hd_node *n = hd_inode_find(&m->inodes, d->ino);
    if (n != NULL && hd_known_entry_holds(&n->known, page->cached, page->as_of.era,
                                          page->as_of.txid, era, atomic_load(&m->native->stray))) {
        hd_known_turn(&n->known, era);
        n->known.listed = true;
        if (pass->running && !page->more && pass->era == era && pass->names.names != NULL &&
            n->known.changes == pass->changes && n->known.names == NULL) {
            n->known.names = HD_TAKE_PTR(pass->names.names);
        }
    }
    pthread_mutex_unlock(&m->inodes.lock);
    pass->running = pass->running && page->more;
}

static int fetch(struct hd_mount *m, struct dir *d, uint64_t base, const char *start_after)
{
    struct hd_posix_page page;
    if (base == 0) {
        begin_pass(m, d);
    } else if (!d->has_page || base != d->base + d->page.count) {
        d->pass.running = false;
    }
    int rc = hd_posix_read_dir(m->posix, d->id, start_after, PAGE_ENTRIES, &page);
    if (rc < 0) {
        hd_posix_page_done(&page);
        return rc;
    }
    hd_posix_page_done(&d->page);
    d->page = page;
    d->base = base;
    d->has_page = true;
    note_page(m, d);
    return 0;
}

/* Remembers where the page behind the present one begins. */
static int set_mark(struct dir *d)
{
    uint64_t index = d->base + d->page.count;
    if (d->mark_count > 0 && d->marks[d->mark_count - 1].index >= index) {
        return 0;
    }
    if (d->mark_count == d->mark_capacity) {
        size_t capacity = HD_MAX(d->mark_capacity * 2, (size_t)16);
        struct mark *marks = realloc(d->marks, capacity * sizeof(*marks));
        if (marks == NULL) {
            return -ENOMEM;
        }
        d->marks = marks;
        d->mark_capacity = capacity;
    }
    char *name = strdup(d->page.entries[d->page.count - 1].name);
    if (name == NULL) {
        return -ENOMEM;
    }
    d->marks[d->mark_count++] = (struct mark){index, name};
    return 0;
}

static int next_page(struct hd_mount *m, struct dir *d)
{
    char last[HD_POSIX_NAME_MAX_BYTES + 1];
    int rc = set_mark(d);
    if (rc < 0) {
        return rc;
    }
    snprintf(last, sizeof(last), "%s", d->page.entries[d->page.count - 1].name);
    return fetch(m, d, d->base + d->page.count, last);
}

static int page_before(struct hd_mount *m, struct dir *d, uint64_t index)
{
    size_t i = d->mark_count;
    while (i > 0 && d->marks[i - 1].index > index) {
        i--;
    }
    return i == 0 ? fetch(m, d, 0, "") : fetch(m, d, d->marks[i - 1].index, d->marks[i - 1].name);
}

/* The entry at an index: 1, 0 behind the last, or an error. */
static int entry_at(struct hd_mount *m, struct dir *d, uint64_t index,
                    const struct hd_posix_entry **ret)
{
    int rc = 0;
    if (!d->has_page || index < d->base) {
        rc = page_before(m, d, index);
    }
    while (rc == 0 && index >= d->base + d->page.count) {
        if (!d->page.more || d->page.count == 0) {
            return 0;
        }
        rc = next_page(m, d);
    }
    if (rc < 0) {
        return rc;
    }
    *ret = &d->page.entries[index - d->base];
    return 1;
}

/* From the beginning: what is there now. */
static void rewind_dir(struct dir *d)
{
    hd_posix_page_done(&d->page);
    d->has_page = false;
    for (size_t i = 0; i < d->mark_count; i++) {
        free(d->marks[i].name);
    }
    d->mark_count = 0;
}

/* ---- answers ---- */

struct answer {
    fuse_req_t req;
    bool plus;
    char *data;
    size_t size;
    size_t used;
};

/* False when the answer is full. */
static bool add_plain(struct answer *a, const char *name, uint64_t ino, mode_t mode, off_t next)
{
    struct fuse_entry_param e = {.attr = {.st_ino = ino, .st_mode = mode}};
    size_t room = a->size - a->used;
    size_t n = a->plus ? fuse_add_direntry_plus(a->req, a->data + a->used, room, name, &e, next)
                       : fuse_add_direntry(a->req, a->data + a->used, room, name, &e.attr, next);
    if (n > room) {
        return false;
    }
    a->used += n;
    return true;
}

/* An entry with its attributes counts as a lookup of it. */
static bool add_plus(struct answer *a, const struct dir *d, const struct hd_posix_entry *entry,
                     off_t next)
{
    struct hd_mount *m = hd_mount_of(a->req);
    struct fuse_entry_param e = {0};
    size_t room = a->size - a->used;
    if (fuse_add_direntry_plus(a->req, NULL, 0, entry->name, &e, next) > room ||
        hd_native_entry(m, &entry->attr, d->page.cached, d->ino, entry->name, &e) < 0) {
        return false;
    }
    a->used += fuse_add_direntry_plus(a->req, a->data + a->used, room, entry->name, &e, next);
    return true;
}

static bool add(struct answer *a, const struct dir *d, const struct hd_posix_entry *entry,
                off_t next)
{
    struct hd_mount *m = hd_mount_of(a->req);
    return a->plus ? add_plus(a, d, entry, next)
                   : add_plain(a, entry->name, hd_inode_ino(&m->inodes, entry->attr.ino),
                               entry->attr.mode, next);
}

static int fill(struct answer *a, struct dir *d, off_t off)
{
    struct hd_mount *m = hd_mount_of(a->req);
    if (off == 0) {
        rewind_dir(d);
        if (!add_plain(a, ".", d->ino, S_IFDIR, 1)) {
            return 0;
        }
        off = 1;
    }
    if (off == 1) {
        if (!add_plain(a, "..", hd_inode_parent(&m->inodes, d->ino), S_IFDIR, DOT_ENTRIES)) {
            return 0;
        }
        off = DOT_ENTRIES;
    }
    for (;; off++) {
        const struct hd_posix_entry *entry;
        int rc = entry_at(m, d, (uint64_t)(off - DOT_ENTRIES), &entry);
        if (rc <= 0) {
            return a->used > 0 ? 0 : rc;
        }
        if (!add(a, d, entry, off + 1)) {
            return 0;
        }
    }
}

/* A lookup that an answer which did not arrive had counted. */
static void forget_one(struct hd_mount *m, uint64_t ino)
{
    hd_inode_forget(&m->inodes, ino, 1);
}

/* One of an answer that arrived: was it pushed meanwhile? See hd_native_answered. */
static void look_again(struct hd_mount *m, uint64_t ino)
{
    struct stat st;
    if (!hd_native_known(m, ino, &st, NULL)) {
        (void)fuse_lowlevel_notify_inval_inode(m->session, ino, -1, 0);
    }
}

/* Each inode that the answer tells of. */
static void each_told(struct hd_mount *m, const struct answer *a,
                      void (*fn)(struct hd_mount *m, uint64_t ino))
{
    struct plus_head { /* struct fuse_direntplus begins so: fuse_entry_out (128), fuse_dirent */
        uint64_t nodeid;
        uint8_t rest[120];
        uint64_t ino;
        uint64_t off;
        uint32_t name_size;
        uint32_t type;
    } head;
    for (size_t at = 0; a->plus && at + sizeof(head) <= a->used;) {
        memcpy(&head, a->data + at, sizeof(head));
        if (head.nodeid != 0) {
            fn(m, head.nodeid);
        }
        at += (sizeof(head) + head.name_size + 7) / 8 * 8;
    }
}

void hd_native_readdir(fuse_req_t req, uint64_t ino, size_t size, off_t off,
                       struct fuse_file_info *fi, bool plus)
{
    struct hd_mount *m = hd_mount_of(req);
    struct dir *d = dir_of(fi);
    struct answer a = {.req = req, .plus = plus, .size = size, .data = malloc(size)};
    if (a.data == NULL) {
        hd_mount_fail(req, "readdir", ino, -ENOMEM);
        return;
    }
    uint64_t pushes = atomic_load(&m->native->pushes);
    pthread_mutex_lock(&d->lock);
    int rc = fill(&a, d, off);
    pthread_mutex_unlock(&d->lock);
    if (rc == -ESTALE) {
        rc = -ENOENT; /* of a directory that is open: removed, it has no entries */
    }
    if (rc < 0) {
        hd_mount_fail(req, "readdir", ino, rc);
    } else if (fuse_reply_buf(req, a.data, a.used) != 0) {
        each_told(m, &a, forget_one);
    } else if (pushes != atomic_load(&m->native->pushes)) {
        each_told(m, &a, look_again);
    }
    free(a.data);
}

void hd_native_releasedir(fuse_req_t req, struct fuse_file_info *fi)
{
    close_dir(hd_mount_of(req), dir_of(fi));
    fuse_reply_err(req, 0);
}

void hd_native_fsyncdir(fuse_req_t req, uint64_t ino, struct fuse_file_info *fi)
{
    struct hd_mount *m = hd_mount_of(req);
    struct dir *d = dir_of(fi);
    pthread_mutex_lock(&d->lock);
    uint32_t losses = d->losses;
    pthread_mutex_unlock(&d->lock);
    int rc = hd_fs_sync_since(m->fs, &losses);
    pthread_mutex_lock(&d->lock);
    d->losses = losses;
    pthread_mutex_unlock(&d->lock);
    if (rc < 0) {
        hd_mount_fail(req, "fsyncdir", ino, rc);
        return;
    }
    fuse_reply_err(req, 0);
}
