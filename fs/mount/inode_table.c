/* The inode table of inode_table.h: a map by number, a map by (parent, name), one lock. */
#include "fs/mount/inode_table.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"
#include "fs/base/types.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct name_key {
    char bytes[sizeof(uint64_t) + HD_NAME_MAX_BYTES + 1];
    size_t size;
};

static bool make_key(uint64_t parent, const char *name, struct name_key *ret)
{
    size_t size = strlen(name);
    if (size > HD_NAME_MAX_BYTES) {
        return false;
    }
    memcpy(ret->bytes, &parent, sizeof(parent));
    memcpy(ret->bytes + sizeof(parent), name, size);
    ret->size = sizeof(parent) + size;
    return true;
}

int hd_inode_table_init(struct hd_inode_table *t, uint64_t root_id)
{
    *t = (struct hd_inode_table){.root_id = root_id};
    pthread_mutex_init(&t->lock, NULL);
    hd_map_init(&t->by_ino);
    hd_strmap_init(&t->by_name);
    hd_list_init(&t->dirty);
    struct hd_seen seen = {0};
    struct hd_node *root;
    return hd_inode_enter(t, root_id, 0, NULL, &seen, &root); /* the kernel never forgets it */
}

static void free_node(struct hd_node *n)
{
    hd_list_remove(&n->dirty);
    pthread_mutex_destroy(&n->io);
    while (n->aliases != NULL) {
        struct hd_alias *a = n->aliases;
        n->aliases = a->next;
        free(a);
    }
    hd_known_done(&n->known);
    free(n->name);
    free(n->dir);
    free(n);
}

void hd_inode_table_done(struct hd_inode_table *t)
{
    size_t cursor = 0;
    void *value;
    while (hd_map_next(&t->by_ino, &cursor, NULL, &value)) {
        free_node(value);
    }
    hd_map_done(&t->by_ino);
    hd_strmap_done(&t->by_name);
    pthread_mutex_destroy(&t->lock);
}

uint64_t hd_inode_ino(const struct hd_inode_table *t, uint64_t id)
{
    return id == t->root_id ? HD_MOUNT_ROOT_INO : id;
}

uint64_t hd_inode_id(const struct hd_inode_table *t, uint64_t ino)
{
    return ino == HD_MOUNT_ROOT_INO ? t->root_id : ino;
}

/* (table) The key leads to this node no more. */
static void drop_key(struct hd_inode_table *t, const struct hd_node *n, uint64_t parent,
                     const char *name)
{
    struct name_key key;
    if (make_key(parent, name, &key) && hd_strmap_get(&t->by_name, key.bytes, key.size) == n) {
        hd_strmap_remove(&t->by_name, key.bytes, key.size);
    }
}

/* (table) All its names. */
static void drop_names(struct hd_inode_table *t, struct hd_node *n)
{
    while (n->aliases != NULL) {
        struct hd_alias *a = n->aliases;
        drop_key(t, n, a->parent, a->name);
        n->aliases = a->next;
        free(a);
    }
    if (n->name != NULL) {
        drop_key(t, n, n->parent, n->name);
        free(HD_TAKE_PTR(n->name));
        n->parent = 0;
    }
}

/* (table) Of a node that may have others; one of those becomes its own. */
static void drop_name(struct hd_inode_table *t, struct hd_node *n, uint64_t parent,
                      const char *name)
{
    drop_key(t, n, parent, name);
    if (n->name != NULL && n->parent == parent && strcmp(n->name, name) == 0) {
        free(HD_TAKE_PTR(n->name));
        n->parent = 0;
        struct hd_alias *a = n->aliases;
        if (a != NULL && (n->name = strdup(a->name)) != NULL) {
            n->parent = a->parent;
            n->aliases = a->next;
            free(a);
        }
        return;
    }
    for (struct hd_alias **at = &n->aliases; *at != NULL; at = &(*at)->next) {
        struct hd_alias *a = *at;
        if (a->parent == parent && strcmp(a->name, name) == 0) {
            *at = a->next;
            free(a);
            return;
        }
    }
}

/* (table) The node's name so far becomes one of its others. */
static bool keep_as_alias(struct hd_node *n)
{
    size_t size = strlen(n->name) + 1;
    struct hd_alias *a = malloc(sizeof(*a) + size);
    if (a == NULL) {
        return false;
    }
    a->parent = n->parent;
    memcpy(a->name, n->name, size);
    a->next = n->aliases;
    n->aliases = a;
    free(HD_TAKE_PTR(n->name));
    n->parent = 0;
    return true;
}

/* (table) Without memory the node stays nameless: nothing but convenience is lost. */
static void set_name(struct hd_inode_table *t, struct hd_node *n, uint64_t parent, const char *name,
                     bool keep_others)
{
    struct name_key key;
    if (n->name != NULL && n->parent == parent && strcmp(n->name, name) == 0) {
        return;
    }
    if (!keep_others) {
        drop_names(t, n);
    }
    if (!make_key(parent, name, &key)) {
        return;
    }
    struct hd_node *other = hd_strmap_get(&t->by_name, key.bytes, key.size);
    if (other == n) {
        return; /* one of its others */
    }
    if (other != NULL) {
        drop_name(t, other, parent, name);
    }
    if (n->name != NULL && !keep_as_alias(n)) {
        drop_names(t, n);
    }
    n->name = strdup(name);
    n->parent = parent;
    if (n->name == NULL || hd_strmap_put(&t->by_name, key.bytes, key.size, n) < 0) {
        free(n->name);
        n->name = NULL;
        n->parent = 0;
    }
}

/* (table) */
static void free_if_unused(struct hd_inode_table *t, struct hd_node *n)
{
    if (n->nlookup > 0 || n->pins > 0) {
        return;
    }
    hd_assert(n->stage == NULL);
    drop_names(t, n);
    hd_map_remove(&t->by_ino, n->ino);
    free_node(n);
}

static struct hd_node *new_node(uint64_t ino, uint64_t id)
{
    struct hd_node *n = calloc(1, sizeof(*n));
    if (n == NULL) {
        return NULL;
    }
    n->ino = ino;
    n->id = id;
    n->unsynced = true; /* whoever wrote it */
    atomic_init(&n->staged_size, HD_NOT_STAGED);
    pthread_mutex_init(&n->io, NULL);
    hd_list_init(&n->dirty);
    return n;
}

static int enter(struct hd_inode_table *t, uint64_t id, uint64_t parent, const char *name,
                 const struct hd_seen *seen, bool keep_others, struct hd_node **ret)
{
    uint64_t ino = hd_inode_ino(t, id);
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n == NULL) {
        n = new_node(ino, id);
        if (n == NULL || hd_map_put(&t->by_ino, ino, n) < 0) {
            pthread_mutex_unlock(&t->lock);
            if (n != NULL) {
                free_node(n);
            }
            return -ENOMEM;
        }
    }
    n->nlookup++;
    n->seen = *seen;
    if (name != NULL) {
        set_name(t, n, parent, name, keep_others);
    }
    pthread_mutex_unlock(&t->lock);
    *ret = n;
    return 0;
}

int hd_inode_enter(struct hd_inode_table *t, uint64_t id, uint64_t parent, const char *name,
                   const struct hd_seen *seen, struct hd_node **ret)
{
    return enter(t, id, parent, name, seen, false, ret);
}

int hd_inode_enter_alias(struct hd_inode_table *t, uint64_t id, uint64_t parent, const char *name,
                         const struct hd_seen *seen, struct hd_node **ret)
{
    return enter(t, id, parent, name, seen, true, ret);
}

struct hd_node *hd_inode_find(struct hd_inode_table *t, uint64_t ino)
{
    return hd_map_get(&t->by_ino, ino);
}

struct hd_node *hd_inode_find_child(struct hd_inode_table *t, uint64_t parent, const char *name)
{
    struct name_key key;
    return make_key(parent, name, &key) ? hd_strmap_get(&t->by_name, key.bytes, key.size) : NULL;
}

void hd_inode_forget(struct hd_inode_table *t, uint64_t ino, uint64_t count)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL && ino != HD_MOUNT_ROOT_INO) {
        hd_assert(n->nlookup >= count);
        n->nlookup -= count;
        free_if_unused(t, n);
    }
    pthread_mutex_unlock(&t->lock);
}

struct hd_node *hd_inode_get(struct hd_inode_table *t, uint64_t ino)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL) {
        n->pins++;
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

struct hd_node *hd_inode_get_child(struct hd_inode_table *t, uint64_t parent, const char *name)
{
    struct name_key key;
    if (!make_key(parent, name, &key)) {
        return NULL;
    }
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_strmap_get(&t->by_name, key.bytes, key.size);
    if (n != NULL) {
        n->pins++;
    }
    pthread_mutex_unlock(&t->lock);
    return n;
}

void hd_inode_put(struct hd_inode_table *t, struct hd_node *n)
{
    if (n == NULL) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    hd_assert(n->pins > 0);
    n->pins--;
    free_if_unused(t, n);
    pthread_mutex_unlock(&t->lock);
}

void hd_inode_moved(struct hd_inode_table *t, uint64_t from_parent, const char *from,
                    uint64_t to_parent, const char *to)
{
    struct name_key key;
    if (!make_key(from_parent, from, &key)) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_strmap_get(&t->by_name, key.bytes, key.size);
    if (n != NULL) {
        drop_name(t, n, from_parent, from);
        set_name(t, n, to_parent, to, true);
    } else if (make_key(to_parent, to, &key) &&
               (n = hd_strmap_get(&t->by_name, key.bytes, key.size)) != NULL) {
        drop_name(t, n, to_parent, to);
    }
    pthread_mutex_unlock(&t->lock);
}

void hd_inode_exchanged(struct hd_inode_table *t, uint64_t parent, const char *name,
                        uint64_t other_parent, const char *other_name)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *a = hd_inode_find_child(t, parent, name);
    struct hd_node *b = hd_inode_find_child(t, other_parent, other_name);
    if (a != NULL) {
        drop_name(t, a, parent, name);
    }
    if (b != NULL) {
        drop_name(t, b, other_parent, other_name);
        set_name(t, b, parent, name, true);
    }
    if (a != NULL) {
        set_name(t, a, other_parent, other_name, true);
    }
    pthread_mutex_unlock(&t->lock);
}

void hd_inode_unlinked(struct hd_inode_table *t, uint64_t parent, const char *name)
{
    struct name_key key;
    if (!make_key(parent, name, &key)) {
        return;
    }
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_strmap_get(&t->by_name, key.bytes, key.size);
    if (n != NULL) {
        drop_name(t, n, parent, name);
    }
    pthread_mutex_unlock(&t->lock);
}

void hd_inode_see(struct hd_inode_table *t, uint64_t ino, const struct hd_seen *seen)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL) {
        n->seen = *seen;
    }
    pthread_mutex_unlock(&t->lock);
}

struct hd_seen hd_inode_seen(struct hd_inode_table *t, struct hd_node *n)
{
    pthread_mutex_lock(&t->lock);
    struct hd_seen seen = n->seen;
    pthread_mutex_unlock(&t->lock);
    return seen;
}

uint32_t hd_inode_dir_changes(struct hd_inode_table *t, uint64_t ino)
{
    pthread_mutex_lock(&t->lock);
    const struct hd_node *n = hd_map_get(&t->by_ino, ino);
    uint32_t changes = n != NULL ? n->dir_changes : 0;
    pthread_mutex_unlock(&t->lock);
    return changes;
}

void hd_inode_keep_dir(struct hd_inode_table *t, uint64_t ino, uint32_t changes,
                       const struct stat *st, int64_t until_ms)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL && n->dir_changes != changes) {
        n = NULL;
    }
    if (n != NULL && n->dir == NULL) {
        n->dir = malloc(sizeof(*n->dir)); /* without memory nothing is kept */
    }
    if (n != NULL && n->dir != NULL) {
        *n->dir = (struct hd_dir_attr){*st, until_ms};
    }
    pthread_mutex_unlock(&t->lock);
}

void hd_inode_dir_changed(struct hd_inode_table *t, uint64_t ino, int64_t created_ms)
{
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL) {
        n->dir_changes++;
    }
    if (n != NULL && n->dir != NULL) {
        if (created_ms == 0) {
            free(HD_TAKE_PTR(n->dir));
        } else {
            struct timespec at = {created_ms / 1000, created_ms % 1000 * 1000000};
            n->dir->st.st_mtim = n->dir->st.st_ctim = at;
            n->dir->st.st_nlink++; /* the server counts children */
        }
    }
    pthread_mutex_unlock(&t->lock);
}

bool hd_inode_kept_dir(struct hd_inode_table *t, uint64_t ino, int64_t now_ms, struct stat *ret,
                       int64_t *ret_left_ms)
{
    bool kept = false;
    pthread_mutex_lock(&t->lock);
    struct hd_node *n = hd_map_get(&t->by_ino, ino);
    if (n != NULL && n->dir != NULL) {
        kept = now_ms < n->dir->until_ms;
        if (kept) {
            *ret = n->dir->st;
            *ret_left_ms = n->dir->until_ms - now_ms;
        } else {
            free(HD_TAKE_PTR(n->dir));
        }
    }
    pthread_mutex_unlock(&t->lock);
    return kept;
}

/* (table) Writes the path right-aligned into out and returns where it starts, or NULL. */
static int fill_path(struct hd_inode_table *t, uint64_t ino, char *out, size_t size, size_t *ret_at)
{
    size_t at = size - 1;
    out[at] = '\0';
    for (int depth = 0; ino != HD_MOUNT_ROOT_INO; depth++) {
        const struct hd_node *n = hd_map_get(&t->by_ino, ino);
        if (n == NULL || n->name == NULL || depth > HD_PATH_MAX_DEPTH) {
            return -ENODATA;
        }
        size_t name_size = strlen(n->name);
        if (at < name_size + 1) {
            return -ENAMETOOLONG;
        }
        at -= name_size;
        memcpy(out + at, n->name, name_size);
        out[--at] = '/';
        ino = n->parent;
    }
    if (at == size - 1) {
        if (at == 0) {
            return -ENAMETOOLONG;
        }
        out[--at] = '/';
    }
    *ret_at = at;
    return 0;
}

int hd_inode_path(struct hd_inode_table *t, uint64_t ino, char *out, size_t size)
{
    size_t at = 0;
    pthread_mutex_lock(&t->lock);
    int rc = fill_path(t, ino, out, size, &at);
    pthread_mutex_unlock(&t->lock);
    if (rc == 0) {
        memmove(out, out + at, size - at);
    }
    return rc;
}

uint64_t hd_inode_parent(struct hd_inode_table *t, uint64_t ino)
{
    pthread_mutex_lock(&t->lock);
    const struct hd_node *n = hd_map_get(&t->by_ino, ino);
    uint64_t parent = n != NULL && n->parent != 0 ? n->parent : HD_MOUNT_ROOT_INO;
    pthread_mutex_unlock(&t->lock);
    return parent;
}

void hd_inode_object(const struct hd_inode_table *t, uint64_t ino, char out[HD_INODE_PATH_BYTES])
{
    snprintf(out, HD_INODE_PATH_BYTES, "/.reserved/.inodes/%" PRIu64, hd_inode_id(t, ino));
}

int hd_inode_child(const struct hd_inode_table *t, uint64_t parent, const char *name,
                   char out[HD_INODE_PATH_BYTES])
{
    out[0] = '\0';
    if (strlen(name) > HD_NAME_MAX_BYTES) {
        return hd_fail(-ENAMETOOLONG, "%.32s...: at most %d bytes in a name", name,
                       HD_NAME_MAX_BYTES);
    }
    snprintf(out, HD_INODE_PATH_BYTES, "/.reserved/.inodes/%" PRIu64 "/%s", hd_inode_id(t, parent),
             name);
    return 0;
}

void hd_inode_mark_dirty(struct hd_inode_table *t, struct hd_node *n, bool dirty)
{
    pthread_mutex_lock(&t->lock);
    hd_list_remove(&n->dirty);
    if (dirty) {
        hd_list_push_back(&t->dirty, &n->dirty);
    }
    pthread_mutex_unlock(&t->lock);
}

size_t hd_inode_dirty_nodes(struct hd_inode_table *t, struct hd_node **out, size_t max)
{
    size_t count = 0;
    pthread_mutex_lock(&t->lock);
    HD_LIST_FOR(it, &t->dirty)
    {
        if (count == max) {
            break;
        }
        out[count] = HD_LIST_ENTRY(it, struct hd_node, dirty);
        out[count++]->pins++;
    }
    pthread_mutex_unlock(&t->lock);
    return count;
}
