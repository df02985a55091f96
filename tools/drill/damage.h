/*
 * Writing to files behind a daemon's back, so that it can be undone: what was there is kept in the
 * drill's folder and the way back is in the journal before a byte is changed.
 */
#ifndef HD_TOOLS_DRILL_DAMAGE_H
#define HD_TOOLS_DRILL_DAMAGE_H

#include "tools/drill/drill.h"

enum { HD_DAMAGE_MAX = 4096 };

/* Overwrites size bytes of a file at offset with bad ones. */
int hd_damage_bytes(struct hd_drill_run *r, const char *path, uint64_t offset, const uint8_t *bad,
                    size_t size);

/* The same with random ones, all of them others than were there. */
int hd_damage_randomly(struct hd_drill_run *r, const char *path, uint64_t offset, size_t size);

/* A file is cut to size_bytes. */
int hd_damage_cut(struct hd_drill_run *r, const char *path, uint64_t size_bytes);

/* A file or folder is moved away. */
int hd_damage_remove(struct hd_drill_run *r, const char *path);

/* True while the bytes that hd_damage_bytes wrote last are still there. */
bool hd_damage_is_there(const struct hd_drill_run *r);

/* The files of a folder whose names begin with prefix, sorted; at most max; their number. */
size_t hd_damage_list(const char *dir, const char *prefix, char (*ret)[256], size_t max);

/* The first directory a member keeps its things in. */
void hd_damage_dir(const struct hd_member *m, char out[HD_PATH_BYTES]);

#endif
