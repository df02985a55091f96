/*
 * Copying between two sides (fs_side.h), as FsShell does it: a file is written to
 * "<target>._COPYING_" and renamed when it is complete, so nobody ever sees half of it;
 * directories are copied with all in them. What fails is said path by path; the rest goes on.
 */
#ifndef HD_TOOLS_FS_COPY_H
#define HD_TOOLS_FS_COPY_H

#include "tools/fs_side.h"

struct hd_workers;
struct hd_copy_tree;

struct hd_copy {
    struct hd_sh *sh;
    struct hd_side from;
    struct hd_side to;
    bool overwrite, direct, recursive, remove_source;
    unsigned keep; /* HD_KEEP_* */
    bool progress; /* on a terminal */
    int threads;   /* files copied at once, in a tree or of several arguments */

    /* of hd_copy_all, while it runs */
    struct hd_workers *workers; /* NULL: one thread does */
    struct hd_copy_tree *tree;  /* what is counted and left for the end; NULL for a single file */
};

/* What FsShell checks of a destination before it copies anything. False: it was said. */
bool hd_copy_check_destination(struct hd_copy *c, const struct hd_sh_items *sources,
                               const struct hd_sh_item *dst);

/* Copies every source to dst, or into it when it is a directory. */
void hd_copy_all(struct hd_copy *c, const struct hd_sh_items *sources,
                 const struct hd_sh_item *dst);

/* Copies an open file to path on the target side, by way of the temporary name. Closes in. */
int hd_copy_stream(const struct hd_copy *c, struct hd_side_file *in, const char *path);

/* Everything of in to out. Closes neither. */
int hd_copy_bytes(const struct hd_copy *c, struct hd_side_file *in, struct hd_side_file *out);

#endif
