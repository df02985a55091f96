/*
 * The metadata directories of one process: all with the same log and images, so that any one that
 * is left is enough. Start-up finds out which of them have everything that was ever acknowledged
 * (meta/log/members.h), and brings the others to the same state.
 *
 *   in use when it ended       the longest log of those that are whole is everybody's
 *   new, or dropped earlier    filled from them
 *   damaged                    its files put aside in aside/, then filled
 *   in use, but not here       refused: it may have gone on alone
 *
 * Logs what it does. Blocks on the disk.
 */
#ifndef HD_META_SHELL_DIRS_H
#define HD_META_SHELL_DIRS_H

#include "fs/base/error.h"
#include "meta/log/edit_log.h"
#include "meta/log/version.h"

enum hd_dir_state {
    HD_DIR_NEW,     /* nothing in it */
    HD_DIR_OLD,     /* has metadata */
    HD_DIR_DAMAGED, /* has, and cannot be believed; `why` */
    HD_DIR_FAILED,  /* cannot be used; `why` */
};

struct hd_dir {
    char path[HD_DIR_PATH_BYTES];
    enum hd_dir_state state;
    bool noted;  /* had a note */
    bool member; /* was in use when the last process ended */
    bool in_use; /* from hd_dirs_settle on */
    int lock_fd;
    int err; /* of FAILED and DAMAGED */
    char why[HD_FAIL_TEXT_BYTES];
    struct hd_members note;
    struct hd_version version; /* of OLD */
};

struct hd_dirs {
    struct hd_dir list[HD_DIRS_MAX];
    size_t count;
    struct hd_members members; /* in use; in the configured order */
};

/*
 * text: directories, separated by commas. Makes and locks them and looks at them. -ENOENT: all are
 * new. -EBUSY: another process has one; -HD_E_CORRUPT: what is here may be older than what was
 * acknowledged, or cannot be told apart.
 */
int hd_dirs_open(const char *text, struct hd_dirs *d);
void hd_dirs_close(struct hd_dirs *d);

/* The first directory that the caller formatted, after -ENOENT. */
int hd_dirs_formatted(struct hd_dirs *d);

/* Makes all alike and notes who is in use. members has at least one entry then. */
int hd_dirs_settle(struct hd_dirs *d);

/* The version of the directories. */
const struct hd_version *hd_dirs_version(const struct hd_dirs *d);

/* Splits "a, b" at commas. -HD_E_CONFIG: none, too many, one twice. */
int hd_dirs_split(const char *text, char out[HD_DIRS_MAX][HD_DIR_PATH_BYTES], size_t *ret_count);

#endif
