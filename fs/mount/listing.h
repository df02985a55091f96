/*
 * A directory while a program reads it: entries by index, stable while the program goes forward,
 * and near enough when it seeks back.
 *
 * Only a window of entries is kept, and the last name before each chunk, so that a directory of any
 * size takes little memory; an index before the window is read again from the name its chunk began
 * behind. Names come in bytewise order, so going forward nothing is skipped and nothing comes twice
 * whatever others do to the directory meanwhile. Not thread safe.
 */
#ifndef HD_MOUNT_LISTING_H
#define HD_MOUNT_LISTING_H

#include "fs/client/howdah.h"

enum { HD_LISTING_CHUNK = 256 };

/* Where entries come from; hd_listing_of_fs reads a directory of a file system. */
struct hd_listing_source {
    int (*open)(void *arg, const char *start_after, void **ret_cursor);
    int (*next)(void *cursor, struct hd_stat *ret); /* 1, 0 at the end, or an error */
    void (*close)(void *cursor);
    void *arg;
};

struct hd_listing;
int hd_listing_new(const struct hd_listing_source *source, struct hd_listing **ret);
void hd_listing_free(struct hd_listing *l); /* takes NULL */

/* The entry at index (from 0), borrowed until the next call: 1, 0 at the end, or an error. */
int hd_listing_at(struct hd_listing *l, uint64_t index, const struct hd_stat **ret);

/* Forgets what was read: the next call sees the directory as it is then. */
void hd_listing_rewind(struct hd_listing *l);

#endif
