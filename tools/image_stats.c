/* See image_stats.h. */
#include "tools/image_stats.h"
#include "tools/fs_format.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

#include "record.pb-c.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

enum { DEPTH_MAX = 10000, TOP = 10, PATH_BYTES = 64 << 10 };

static const uint64_t size_limits[HD_STATS_SIZES - 1] = {
    0, 4 << 10, 64 << 10, 1 << 20, 16 << 20, 128 << 20, 1 << 30, (uint64_t)16 << 30};
static const char *const size_names[HD_STATS_SIZES] = {"0",        "<= 4 KiB",  "<= 64 KiB",
                                                       "<= 1 MiB", "<= 16 MiB", "<= 128 MiB",
                                                       "<= 1 GiB", "<= 16 GiB", "> 16 GiB"};

static struct hd_stats_inode *find(const struct hd_image_stats *s, uint64_t ino)
{
    size_t low = 0;
    size_t high = s->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (s->inodes[middle].ino < ino) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low < s->count && s->inodes[low].ino == ino ? &s->inodes[low] : NULL;
}

static void count_file(struct hd_image_stats *s, const Hdm__Inode *i)
{
    uint64_t size = i->content.len;
    uint64_t stored = i->content.len; /* holes are no bytes */
    for (size_t b = 0; b < i->n_blocks; b++) {
        size += i->blocks[b]->size;
        stored += i->blocks[b]->id != 0 ? i->blocks[b]->size : 0;
        s->blocks += i->blocks[b]->id != 0;
    }
    size_t bucket = 0;
    while (bucket < HD_STATS_SIZES - 1 && size > size_limits[bucket]) {
        bucket++;
    }
    s->files++;
    s->sizes[bucket]++;
    s->bytes += size;
    s->bytes_replicated += (stored - i->content.len) * i->replication + i->content.len;
    s->inlined += i->content.len > 0;
    s->open_files += i->open != NULL;
}

static int add_inode(struct hd_image_stats *s, const Hdm__Inode *i)
{
    if (s->count == s->capacity) {
        size_t capacity = s->capacity == 0 ? 1024 : s->capacity * 2;
        struct hd_stats_inode *grown = realloc(s->inodes, capacity * sizeof(*grown));
        if (grown == NULL) {
            return hd_fail(-ENOMEM, "no memory for %zu inodes", capacity);
        }
        s->inodes = grown;
        s->capacity = capacity;
    }
    struct hd_stats_inode *e = &s->inodes[s->count++];
    *e = (struct hd_stats_inode){.ino = i->ino, .parent = i->parent};
    if (i->type != HDM__INODE_TYPE__DIRECTORY) {
        return 0;
    }
    e->directory = true;
    e->name_at = (uint32_t)s->names.size;
    e->name_size = (uint32_t)i->name.len;
    return hd_buf_add(&s->names, i->name.data, i->name.len);
}

int hd_image_stats_add(struct hd_image_stats *s, const uint8_t *key, size_t key_size,
                       const uint8_t *value, size_t value_size)
{
    if (key[0] == 'C' || key[0] == 'N' || key[0] == 'S') { /* counters, data nodes, sessions */
        return 0;
    }
    if (key[0] == 'D' && key_size > 9 && value_size == 8) {
        s->dentries++;
        return 0;
    }
    Hdm__Inode *i = key[0] == 'I' ? hdm__inode__unpack(NULL, value_size, value) : NULL;
    if (i == NULL || key_size != 9 || hd_get_be64(key + 1) != i->ino) {
        hdm__inode__free_unpacked(i, NULL);
        return hd_fail(-HD_E_CORRUPT, "a key of %zu bytes ('%c') does not decode", key_size,
                       key[0]);
    }
    s->xattrs += i->n_xattrs;
    s->orphans += i->has_orphan && i->orphan;
    switch (i->type) {
    case HDM__INODE_TYPE__DIRECTORY:
        s->directories++;
        break;
    case HDM__INODE_TYPE__FILE:
        count_file(s, i);
        break;
    case HDM__INODE_TYPE__SYMLINK:
        s->symlinks++;
        break;
    case HDM__INODE_TYPE__FIFO:
    case HDM__INODE_TYPE__SOCKET:
    case HDM__INODE_TYPE__CHARACTER_DEVICE:
    case HDM__INODE_TYPE__BLOCK_DEVICE:
        s->specials++;
        break;
    case HDM__INODE_TYPE__LINK:
        s->links++;
        break;
    case _HDM__INODE_TYPE_IS_INT_SIZE:
        break;
    }
    int err = add_inode(s, i);
    hdm__inode__free_unpacked(i, NULL);
    return err;
}

int hd_image_stats_check(struct hd_image_stats *s)
{
    if (s->count == 0 || s->dentries + s->orphans != s->count - 1) {
        return hd_fail(-HD_E_CORRUPT,
                       "%" PRIu64 " entries of directories, but %zu inodes, %" PRIu64
                       " of them without a name",
                       s->dentries, s->count, s->orphans);
    }
    for (size_t i = 0; i < s->count; i++) {
        const struct hd_stats_inode *e = &s->inodes[i];
        if (e->parent == 0) {
            continue;
        }
        struct hd_stats_inode *p = find(s, e->parent);
        if (p == NULL || !p->directory) {
            return hd_fail(-HD_E_CORRUPT,
                           "inode %" PRIu64 " is in %" PRIu64 ", which is no directory", e->ino,
                           e->parent);
        }
        p->entries++;
    }
    return 0;
}

/* Below the root; 0 too when it is a loop, which no namespace has. */
static unsigned depth_of(const struct hd_image_stats *s, const struct hd_stats_inode *e)
{
    unsigned depth = 0;
    while (e != NULL && e->parent != 0 && depth < DEPTH_MAX) {
        e = find(s, e->parent);
        depth++;
    }
    return depth < DEPTH_MAX ? depth : 0;
}

/* A directory's path, written from the end. */
static const char *path_of(const struct hd_image_stats *s, const struct hd_stats_inode *e,
                           char out[PATH_BYTES])
{
    size_t at = PATH_BYTES - 1;
    out[at] = '\0';
    for (; e != NULL && e->parent != 0 && at > e->name_size + 1; e = find(s, e->parent)) {
        at -= e->name_size;
        memcpy(out + at, s->names.data + e->name_at, e->name_size);
        out[--at] = '/';
    }
    return at == PATH_BYTES - 1 ? "/" : out + at;
}

struct top {
    const struct hd_stats_inode *biggest[TOP]; /* by entries, the biggest first */
    const struct hd_stats_inode *deepest;
    unsigned depth;
};

static void collect(const struct hd_image_stats *s, struct top *t)
{
    *t = (struct top){.deepest = NULL};
    for (size_t i = 0; i < s->count; i++) {
        const struct hd_stats_inode *e = &s->inodes[i];
        if (!e->directory) {
            continue;
        }
        unsigned depth = depth_of(s, e);
        if (t->deepest == NULL || depth > t->depth) {
            t->deepest = e;
            t->depth = depth;
        }
        for (size_t at = 0; at < TOP; at++) {
            if (t->biggest[at] == NULL || t->biggest[at]->entries < e->entries) {
                memmove(&t->biggest[at + 1], &t->biggest[at], (TOP - at - 1) * sizeof(e));
                t->biggest[at] = e;
                break;
            }
        }
    }
}

static void print_json(const struct hd_image_stats *s, const struct top *t, const char *path,
                       uint64_t txid)
{
    static char text[PATH_BYTES];
    json_t *sizes = json_array();
    for (size_t i = 0; i < HD_STATS_SIZES; i++) {
        json_array_append_new(sizes, json_pack("{s:s, s:I}", "size", size_names[i], "files",
                                               (json_int_t)s->sizes[i]));
    }
    json_t *biggest = json_array();
    for (size_t i = 0; i < TOP && t->biggest[i] != NULL; i++) {
        json_array_append_new(biggest,
                              json_pack("{s:s, s:I}", "path", path_of(s, t->biggest[i], text),
                                        "entries", (json_int_t)t->biggest[i]->entries));
    }
    json_t *o = json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, "
                          "s:s, s:I, s:o, s:o}",
                          "path", path, "txid", (json_int_t)txid, "files", (json_int_t)s->files,
                          "directories", (json_int_t)s->directories, "symlinks",
                          (json_int_t)s->symlinks, "links", (json_int_t)s->links, "specials",
                          (json_int_t)s->specials, "orphans", (json_int_t)s->orphans, "inlined",
                          (json_int_t)s->inlined, "open_files", (json_int_t)s->open_files, "blocks",
                          (json_int_t)s->blocks, "bytes", (json_int_t)s->bytes, "bytes_replicated",
                          (json_int_t)s->bytes_replicated, "xattrs", (json_int_t)s->xattrs,
                          "deepest_directory", path_of(s, t->deepest, text), "depth",
                          (json_int_t)t->depth, "sizes", sizes, "biggest_directories", biggest);
    json_dumpf(o, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(o);
}

void hd_image_stats_print(struct hd_image_stats *s, const char *path, uint64_t txid, bool json)
{
    static char text[PATH_BYTES];
    char size[HD_SIZE_TEXT_BYTES];
    struct top t;
    collect(s, &t);
    if (json) {
        print_json(s, &t, path, txid);
        return;
    }
    printf("%s, txid %" PRIu64 "\n", path, txid);
    printf("Files: %" PRIu64 " (%" PRIu64 " open, %" PRIu64 " in the metadata, %" PRIu64
           " without a name)\nFurther names: %" PRIu64 "\nDirectories: %" PRIu64
           "\nSymlinks: %" PRIu64 "\nFifos, sockets, devices: %" PRIu64 "\nBlocks: %" PRIu64
           "\nExtended attributes: %" PRIu64 "\n",
           s->files, s->open_files, s->inlined, s->orphans, s->links, s->directories, s->symlinks,
           s->specials, s->blocks, s->xattrs);
    printf("Bytes: %" PRIu64 " (%s)", s->bytes, hd_format_size(s->bytes, "B", 2, text));
    printf(", %" PRIu64 " with all replicas (%s)\n", s->bytes_replicated,
           hd_format_size(s->bytes_replicated, "B", 2, size));
    printf("Deepest directory: %s (%u below the root)\n", path_of(s, t.deepest, text), t.depth);
    printf("\nSizes of files:\n");
    for (size_t i = 0; i < HD_STATS_SIZES; i++) {
        printf("  %-12s %12" PRIu64 "\n", size_names[i], s->sizes[i]);
    }
    printf("\nBiggest directories, by entries:\n");
    for (size_t i = 0; i < TOP && t.biggest[i] != NULL; i++) {
        printf("  %12" PRIu64 "  %s\n", t.biggest[i]->entries, path_of(s, t.biggest[i], text));
    }
}

void hd_image_stats_done(struct hd_image_stats *s)
{
    free(s->inodes);
    hd_buf_done(&s->names);
}
