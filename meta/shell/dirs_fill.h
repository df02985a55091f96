/* Copying the files of a metadata directory into another. Parts of hd_dirs_settle; see dirs.h. */
#ifndef HD_META_SHELL_DIRS_FILL_H
#define HD_META_SHELL_DIRS_FILL_H

/* An earlier hd_dirs_fill of dir did not come to its end: what is in there counts for nothing. */
bool hd_dirs_filling(const char *dir);

/* Both have the same history: what differs in name or size is taken from `from`. */
int hd_dirs_equalise(const char *from, const char *to);

/* `to` has nothing that counts: its files are put aside in to/aside, all of `from` is copied. */
int hd_dirs_fill(const char *from, const char *to);

/* The images alone, as hd_dirs_equalise. */
int hd_dirs_equalise_images(const char *from, const char *to);

#endif
