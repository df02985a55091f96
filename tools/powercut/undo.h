/* The journal in memory, and what is done with it. Private to howdah-powercut. One thread. */
#ifndef HD_POWERCUT_UNDO_H
#define HD_POWERCUT_UNDO_H

#include "fs/base/buf.h"
#include "fs/base/map.h"
#include "fs/base/prng.h"
#include "tools/powercut/journal.h"

struct hd_undo_options {
    uint64_t seed;
    bool random; /* a part of it, by the seed; else all */
    bool ext4;   /* names in order, and every sync keeps all names before it */
    bool keep;
    bool verbose;
};

struct hd_undo_counts {
    uint64_t files;   /* with contents that were not durable */
    uint64_t writes;  /* and how many changes those were, */
    uint64_t dropped; /* of which these are gone whole, */
    uint64_t torn;    /* and these in part */
    uint64_t names;   /* changes of names that were not durable, */
    uint64_t undone;  /* of which these are gone */
};

/* One record, pointing into the journal's bytes. */
struct hd_undo_op {
    struct hd_powercut_record r;
    const char *name; /* r.name_bytes, no NUL */
    const char *name2;
    const uint8_t *data;
};

/* A file or directory of the journal. */
struct hd_undo_file {
    struct hd_powercut_id id;
    int fd;          /* open while undoing, or -1: it is gone for good */
    uint64_t synced; /* records before this one are durable */
    uint64_t born;   /* records before this one are of another file with its inode */
    size_t *ops;     /* of its contents, ascending; heap */
    size_t op_count;
    size_t op_capacity;
};

struct hd_undo {
    struct hd_undo_options options;
    struct hd_prng prng;
    char journal[4096];
    char kept[4096]; /* the folder of what was unlinked */
    int kept_fd;
    struct hd_buf bytes;
    struct hd_undo_op *ops; /* heap */
    size_t count;
    size_t capacity;
    struct hd_map files; /* of the ids' hash -> struct hd_undo_file, owned */
    uint64_t any_synced; /* records before this one came before a sync of something */
};

int hd_undo_load(struct hd_undo *u, const char *journal);
void hd_undo_show(const struct hd_undo *u);
int hd_undo_run(struct hd_undo *u, struct hd_undo_counts *ret);
void hd_undo_done(struct hd_undo *u);

/* NULL when the journal does not know it. */
struct hd_undo_file *hd_undo_file_of(const struct hd_undo *u, struct hd_powercut_id id);

/* contents.c, names.c: parts of hd_undo_run. */
int hd_undo_contents(struct hd_undo *u, struct hd_undo_file *f, struct hd_undo_counts *counts);
int hd_undo_names(struct hd_undo *u, struct hd_undo_counts *counts);

/* True for `percent` of 100 draws. */
static inline bool hd_undo_draw(struct hd_undo *u, unsigned percent)
{
    return hd_prng_below(&u->prng, 100) < percent;
}

#endif
