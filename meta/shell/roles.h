/*
 * The two lives of howdah-meta, and which of them it is to lead. The configuration says what a
 * process is at first; after a promotion the VERSION file, the other meta and the witnesses know
 * better.
 */
#ifndef HD_META_SHELL_ROLES_H
#define HD_META_SHELL_ROLES_H

#include "meta/shell/conf.h"
#include "meta/shell/store.h"

enum hd_meta_role {
    HD_META_PRIMARY,
    HD_META_SECONDARY,
    HD_META_END, /* of the process */
};

/*
 * Each runs until SIGTERM (*ret_next is HD_META_END) or until it is to be the other; 0, or an error
 * with a failure text. A secondary that is promoted leaves its store open for the primary to take
 * over; else *store is closed (lock_fd -1) before and after.
 */
int hd_primary_run(const struct hd_meta_conf *conf, int signal_fd, struct hd_store *store,
                   enum hd_meta_role *ret_next);
int hd_secondary_run(const struct hd_meta_conf *conf, int signal_fd, struct hd_store *store,
                     enum hd_meta_role *ret_next);

/* What to begin as. Asks the other meta and the witnesses, for a second at most. */
int hd_role_decide(const struct hd_meta_conf *conf, enum hd_meta_role *ret);

/* VERSION of a list of directories: the one of the highest epoch. -ENOENT: all are new. */
int hd_role_peek(const char *dirs, struct hd_version *ret);

#endif
