/* What replaced primaries left beside their directories: <dir>.fenced-<epoch>-<ms>. */
#ifndef HD_META_SHELL_FENCED_H
#define HD_META_SHELL_FENCED_H

/* Removes all but the two newest of each directory of the list. Logs what it does. */
void hd_fenced_remove_old(const char *dirs);

#endif
