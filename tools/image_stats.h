/*
 * Figures of a namespace, collected from the keys of an image as they come, in the order of keys:
 * entries of directories before inodes, inodes by number. Names are not kept but for the
 * directories that are named in the end.
 */
#ifndef HD_TOOLS_IMAGE_STATS_H
#define HD_TOOLS_IMAGE_STATS_H

#include "fs/base/buf.h"

enum { HD_STATS_SIZES = 9 };

struct hd_stats_inode {
    uint64_t ino;
    uint64_t parent;
    uint64_t entries; /* of a directory */
    uint32_t name_at; /* in names */
    uint32_t name_size;
    bool directory;
};

struct hd_image_stats {
    struct hd_stats_inode *inodes; /* heap; by ino */
    size_t count, capacity;
    struct hd_buf names; /* of directories */
    uint64_t files, directories, symlinks, open_files, blocks, bytes, bytes_replicated, xattrs;
    uint64_t links;    /* further names of files */
    uint64_t orphans;  /* files without a name; counted with the files, too */
    uint64_t specials; /* fifos, sockets, devices */
    uint64_t inlined;  /* files whose content is in the metadata */
    uint64_t dentries;
    uint64_t sizes[HD_STATS_SIZES];
};

/* -HD_E_CORRUPT: the key is none of the view's, or its value does not decode. */
int hd_image_stats_add(struct hd_image_stats *s, const uint8_t *key, size_t key_size,
                       const uint8_t *value, size_t value_size);

/* When all keys were given: is every inode's parent there, and as many entries as inodes? The root
 * and orphans have none. */
int hd_image_stats_check(struct hd_image_stats *s);

void hd_image_stats_print(struct hd_image_stats *s, const char *path, uint64_t txid, bool json);
void hd_image_stats_done(struct hd_image_stats *s);

#endif
