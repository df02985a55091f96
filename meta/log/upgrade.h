/*
 * The way back from an upgrade. `previous/` in a metadata directory is what the directory had when
 * a program began to use it that may write what the one before does not read: segments and images
 * (hard links; they never change once they are finished) and VERSION. It stays until it is
 * finalized, or rolled back to.
 *
 * No process uses the directory meanwhile, but for finalize. Blocks on the disk.
 */
#ifndef HD_META_LOG_UPGRADE_H
#define HD_META_LOG_UPGRADE_H

/* Makes previous/, durable, and raises the layout to this program's. -EEXIST: it is there already.
 */
int hd_upgrade_begin(const char *dir);

/*
 * Puts what is in previous/ in place and removes it; what was made since goes to aside/. May be
 * called again after an interruption. -ENOENT: there is none.
 */
int hd_upgrade_rollback(const char *dir);

int hd_upgrade_finalize(const char *dir); /* removes previous/; -ENOENT: there is none */
bool hd_upgrade_pending(const char *dir);

#endif
