/*
 * A process's metadata directories (dirs.h) and what start-up makes of them: the log, the view, and
 * a core that has both loaded. The same for primary and secondary.
 *
 *   view good          load it, replay the log behind its applied txid
 *   view lost or bad   put it aside; newest image that verifies, else (log from txid 1) an empty
 *                      namespace; replay; write a fresh view
 *   anything acknowledged that cannot be found again: refuse, naming file and offset
 *
 * Logs what it does. Blocks on the disk.
 */
#ifndef HD_META_SHELL_STORE_H
#define HD_META_SHELL_STORE_H

#include "meta/core/meta.h"
#include "meta/kv/kv.h"
#include "meta/log/edit_log.h"
#include "meta/log/version.h"
#include "meta/shell/view.h"

struct hd_dirs;

struct hd_store {
    char dir[HD_LOG_PATH_BYTES - 256]; /* the first in use; it has the view */
    int lock_fd;                       /* -1: the store is closed */
    struct hd_dirs *dirs;              /* owned */
    struct hd_version version;
    struct hd_edit_log *log; /* owned */
    struct hd_kv *view;      /* owned */
    struct hd_meta *meta;    /* owned */
    struct hd_txid applied;  /* of the view */
};

struct hd_store_options {
    const char *dir;                    /* one, or several with commas between */
    const struct hd_meta_options *core; /* without ids */
    const struct hd_version *version;   /* of a directory that is new; NULL: a new cluster's */
    const char *ip;                     /* for a new block pool's name */
};

/* Opens (or formats) and loads everything up to the log's end; starts no segment yet. */
int hd_store_open(const struct hd_store_options *options, struct hd_store *ret);
void hd_store_close(struct hd_store *s); /* half-open ones too; a zeroed struct needs lock_fd -1 */

/* Reads dir/VERSION. -ENOENT: the directory is new (it has nothing but remains of a formatting). */
int hd_store_peek(const char *dir, struct hd_version *ret);

/* 0, or -HD_E_CORRUPT: the directory has no edit log. */
int hd_store_has_log(const char *dir);

/* Writes s->version into every directory in use. */
int hd_store_write_version(struct hd_store *s);

/* Configured directories that are not written: dropped, or not to be used since the start. */
size_t hd_store_failed_dirs(const struct hd_store *s, const char *out[HD_DIRS_MAX]);

/* Renames each directory of a list to <directory><suffix>; the store is closed. */
int hd_store_put_aside(const char *dirs, const char *suffix);

/* The image files of the store's first directory into the others; who fails is dropped. */
int hd_store_spread_images(struct hd_edit_log *log);

/* A core with the directory's ids. */
int hd_store_core_new(const struct hd_meta_options *core, const struct hd_version *v,
                      struct hd_meta **ret);

/* Starts over from the image of txid, which is installed in dir: log and view are replaced. */
int hd_store_restart_from_image(struct hd_store *s, const struct hd_meta_options *core,
                                struct hd_txid txid);

#endif
