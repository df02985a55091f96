/*
 * The two sides of a copy: the local file system and the cluster, behind one table of functions,
 * so that put, get and cp are one algorithm (fs_copy.c).
 *
 * All functions give 0 (or a count) or a negative error with a failure text.
 */
#ifndef HD_TOOLS_FS_SIDE_H
#define HD_TOOLS_FS_SIDE_H

#include "tools/fs_shell.h"

struct hd_side_file;

struct hd_side {
    const struct hd_side_ops *ops;
    struct hd_sh *sh;
};

/* What is kept by -p. */
enum { HD_KEEP_TIMES = 1, HD_KEEP_OWNER = 2, HD_KEEP_MODE = 4 };

struct hd_side_ops {
    /* Follows a symlink. st->name is left alone. */
    int (*stat)(const struct hd_side *s, const char *path, struct hd_stat *ret);
    /* Entries of a directory as items, in order of name; exists is set for each. */
    int (*list)(const struct hd_side *s, const struct hd_sh_item *dir, struct hd_sh_items *out);
    int (*make_dir)(const struct hd_side *s, const char *path);
    int (*remove)(const struct hd_side *s, const char *path);
    /* Replaces an existing file if overwrite, else -EEXIST. */
    int (*rename)(const struct hd_side *s, const char *from, const char *to, bool overwrite);
    int (*set_attr)(const struct hd_side *s, const char *path, const struct hd_stat *st,
                    unsigned keep);

    int (*open)(const struct hd_side *s, const char *path, struct hd_side_file **ret);
    int (*create)(const struct hd_side *s, const char *path,
                  struct hd_side_file **ret);                        /* truncates */
    int64_t (*read)(struct hd_side_file *f, void *out, size_t size); /* 0 at the end */
    int (*write)(struct hd_side_file *f, const void *data, size_t size);
    int (*close)(struct hd_side_file *f); /* what was written is complete only if this gives 0 */
    void (*abandon)(struct hd_side_file *f);
};

extern const struct hd_side_ops hd_side_local;
extern const struct hd_side_ops hd_side_cluster;

/* stdin, stdout as files of the local side (not closed by close). */
int hd_side_stdio(int fd, struct hd_side_file **ret);

/* Items of a local argument: the path, or what its pattern matches. */
int hd_side_expand_local(const char *arg, struct hd_sh_items *out);

#endif
