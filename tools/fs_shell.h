/*
 * What the verbs of `howdah fs` share: the file system, paths and patterns, options, error lines
 * and the exit code, all as Hadoop's FsShell has them (docs/man/howdah-fs.1).
 *
 * A verb handles each of its paths; what fails prints one line "verb: reason" on stderr, makes the
 * exit code 1, and the next path is tried. Wrong arguments make it 255.
 */
#ifndef HD_TOOLS_FS_SHELL_H
#define HD_TOOLS_FS_SHELL_H

#include "tools/cluster.h"

enum {
    HD_SH_OK = 0,
    HD_SH_FAILED = 1,
    HD_SH_USAGE = 255,
    HD_SH_INTERRUPTED = 130,
    HD_SH_OPTIONS_MAX = 12
};

struct hd_sh;
struct hd_sh_args;

struct hd_sh_verb {
    const char *name;
    const char *options; /* blank separated, "=" behind those with a value; NULL: the verb parses */
    int min;             /* number of arguments behind the options */
    int max;             /* -1: any */
    const char *synopsis; /* "[-R] path ..." */
    const char *help;     /* a sentence or two */
    int (*run)(struct hd_sh *sh, struct hd_sh_args *args);
};

struct hd_sh_args {
    const struct hd_sh_verb *verb;
    int count;
    char **list; /* NULL-terminated; the options are gone */
    const char
        *values[HD_SH_OPTIONS_MAX]; /* by place in verb->options; "" for a flag, NULL: absent */
};

struct hd_sh {
    struct hd_cluster cluster; /* zeroed when the file system was named by -fs alone */
    struct hd_fs *fs;
    const char *verb; /* name for messages */
    uint32_t umask;
    uint32_t replication;      /* of new files; 0: the server's */
    uint64_t block_size_bytes; /* of new files; 0: the server's */
    int exit_code;
};

/* A path of the file system, as it was written and as it is. */
struct hd_sh_item {
    char *shown; /* heap */
    char *path;  /* absolute, symlinks followed; heap */
    char *link;  /* the path of the symlink itself when it names one; else NULL; heap */
    bool exists;
    struct hd_stat st; /* only when exists */
};

struct hd_sh_items {
    struct hd_sh_item *list;
    size_t count;
    size_t capacity;
};

/* ---- options ---- */

/* Takes options out of args as FsShell does. 0, or HD_SH_USAGE after the message was printed. */
int hd_sh_parse(struct hd_sh_args *args);
bool hd_sh_flag(const struct hd_sh_args *args, const char *name);
const char *hd_sh_value(const struct hd_sh_args *args, const char *name); /* NULL: absent */

/* "-verb: message", then the usage line, on stderr; HD_SH_USAGE. */
int hd_sh_usage(const struct hd_sh_args *args, const char *fmt, ...) HD_PRINTF(2, 3);

/* ---- errors ---- */

/* "verb: `shown': No such file or directory", or what the server said. Exit code 1. */
void hd_sh_fail(struct hd_sh *sh, const char *shown, int err);

/* "verb: " and the message. Exit code 1. */
void hd_sh_say(struct hd_sh *sh, const char *fmt, ...) HD_PRINTF(2, 3);

/* The missing parent of an item that was to be made: with the whole URI, as Hadoop says it. */
void hd_sh_fail_full(struct hd_sh *sh, const struct hd_sh_item *item);

/* ---- paths ---- */

/* True when path is inside of dir, or is it (both absolute and normal). */
bool hd_sh_is_below(const char *path, const char *dir);

/* The absolute path an argument means: URI, absolute or below /user/<user>. Heap. */
int hd_sh_resolve(const struct hd_sh *sh, const char *arg, char **ret_path);

/* The path of "hdfs://host:port/path"; the authority has to be this file system's. Borrowed from
 * arg. */
int hd_sh_path_of_uri(const struct hd_sh *sh, const char *arg, const char **ret);

/*
 * Stats an item whose path is set. A symlink is followed, as Hadoop's shell does; one that leads
 * nowhere, or in a circle, is an item itself. -ENOENT.
 */
int hd_sh_stat_item(struct hd_sh *sh, struct hd_sh_item *item);

/* Fills an item (not a pattern). A missing path is no error: exists is false. */
int hd_sh_lookup(struct hd_sh *sh, const char *arg, struct hd_sh_item *ret);

/* The child of a directory with the given stat (its link is taken over). */
int hd_sh_child(const struct hd_sh_item *parent, struct hd_stat *st, struct hd_sh_item *ret);

/* parent with "/name" appended (either form); heap; NULL without memory. */
char *hd_sh_join(const char *parent, const char *name);

/* The last component of path; "/" for the root. */
const char *hd_sh_basename(const char *path);

/* A copy of path without its last component; "/" at the end of the way. Heap, NULL without memory.
 */
char *hd_sh_dirname(const char *path);

void hd_sh_item_done(struct hd_sh_item *item);
void hd_sh_items_done(struct hd_sh_items *items);
int hd_sh_items_add(struct hd_sh_items *items, struct hd_sh_item *item); /* takes over the item */

/*
 * What arg stands for, in order. A plain path that is missing gives one item that does not exist; a
 * pattern that matches nothing is -ENOENT.
 */
int hd_sh_expand(struct hd_sh *sh, const char *arg, struct hd_sh_items *out);

/* The entries of a directory, in order of name, added to out. */
int hd_sh_list(struct hd_sh *sh, const struct hd_sh_item *dir, struct hd_sh_items *out);

/* For each of args->list[from..): expands it and calls fn with what exists; what does not, fails.
 */
void hd_sh_each(struct hd_sh *sh, struct hd_sh_args *args, int from,
                void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx), void *ctx);

/* fn for item and, below a directory, for everything in it: parents first. */
void hd_sh_walk(struct hd_sh *sh, const struct hd_sh_item *item,
                void (*fn)(struct hd_sh *sh, const struct hd_sh_item *item, void *ctx), void *ctx);

/* True once SIGINT has arrived (hd_sh_catch_interrupts makes it count); loops end then. */
bool hd_sh_interrupted(void);
void hd_sh_catch_interrupts(void);

extern const struct hd_sh_verb hd_sh_verbs_list[];   /* fs_ls.c, fs_find.c */
extern const struct hd_sh_verb hd_sh_verbs_read[];   /* fs_read.c */
extern const struct hd_sh_verb hd_sh_verbs_copy[];   /* fs_put.c */
extern const struct hd_sh_verb hd_sh_verbs_change[]; /* fs_change.c */
extern const struct hd_sh_verb hd_sh_verbs_trash[];  /* fs_rm.c */
extern const struct hd_sh_verb hd_sh_verbs_attr[];   /* fs_attr.c */
extern const struct hd_sh_verb hd_sh_verbs_acl[];    /* fs_acl.c */
extern const struct hd_sh_verb hd_sh_verbs_info[];   /* fs_info.c */
extern const struct hd_sh_verb hd_sh_verbs_find[];   /* fs_find.c */

#endif
