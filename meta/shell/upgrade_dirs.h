/* --upgrade, --rollback and --finalize of howdah-meta: over all its directories. See upgrade.h. */
#ifndef HD_META_SHELL_UPGRADE_DIRS_H
#define HD_META_SHELL_UPGRADE_DIRS_H

enum hd_upgrade_action {
    HD_UPGRADE_NONE,
    HD_UPGRADE_BEGIN, /* where it was begun already, or the directory is new, nothing happens */
    HD_UPGRADE_ROLLBACK,
    HD_UPGRADE_FINALIZE,
};

/* dirs: with commas between. -EBUSY: a process uses one. Logs what it does. */
int hd_upgrade_dirs(const char *dirs, enum hd_upgrade_action action);

#endif
