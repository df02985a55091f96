/*
 * The file MEMBERS of a metadata directory: which directories were in use together. Text,
 * key=value; docs/formats.md ("Several directories").
 *
 * Whoever changes the set (a directory failed, or joined) writes the next generation into every
 * directory that stays, durably, before anything is acknowledged that only these have. So the note
 * of the highest generation names directories that each have all that was ever acknowledged, and a
 * directory that is not named is old. A directory is known by its id, not by its path.
 */
#ifndef HD_META_LOG_MEMBERS_H
#define HD_META_LOG_MEMBERS_H

#include <stddef.h>
#include <stdint.h>

enum { HD_DIRS_MAX = 8, HD_DIR_ID_BYTES = 40, HD_DIR_PATH_BYTES = 1024 };

struct hd_dir_member {
    char id[HD_DIR_ID_BYTES];     /* a uuid */
    char path[HD_DIR_PATH_BYTES]; /* where it was then; for texts */
};

struct hd_members {
    char self[HD_DIR_ID_BYTES]; /* the directory the note is in */
    uint64_t generation;        /* 1 and up; 0: there is no note */
    size_t count;
    struct hd_dir_member list[HD_DIRS_MAX];
};

/* dir/MEMBERS. -ENOENT, -HD_E_CORRUPT or an errno, naming the file. */
int hd_members_read(const char *dir, struct hd_members *ret);

/* Writes the note into dir, whose id is `self`; durable, atomic. */
int hd_members_write(const char *dir, const char *self, const struct hd_members *m);

/*
 * The operator's word that dir has all that is worth having: its note, of a generation above any
 * that is here, names it alone. No process may be using it (-EBUSY). dir needs a VERSION.
 */
int hd_members_accept(const char *dir);

/* The member of that id, or NULL. */
const struct hd_dir_member *hd_members_find(const struct hd_members *m, const char *id);

/* Appends; there is room. */
void hd_members_add(struct hd_members *m, const char *id, const char *path);

#endif
