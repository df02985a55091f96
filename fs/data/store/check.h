/*
 * Looking at replicas that nobody asks for: what a directory holds, and whether a finalized replica
 * still is what its sums say. The scanner (fs/data/shell/scanner.h) decides when and how fast.
 *
 * A finding is made twice: a replica that somebody moves, opens or deletes meanwhile is skipped,
 * never called bad.
 */
#ifndef HD_DATA_STORE_CHECK_H
#define HD_DATA_STORE_CHECK_H

#include "fs/data/store/store.h"

/* --- one replica --- */

enum hd_check_finding {
    HD_CHECK_GOOD,
    HD_CHECK_BAD,     /* content, length or sums are wrong, or cannot be read */
    HD_CHECK_LOST,    /* the data file is gone; the replica has been forgotten */
    HD_CHECK_SKIPPED, /* not there, not finalized, or in somebody's hands */
};

struct hd_check {
    enum hd_check_finding finding;
    bool news; /* BAD: it was not known to be */
    struct hd_block block;
    char storage_id[HD_LAYOUT_ID_BYTES];
    char why[300]; /* BAD, LOST: a sentence for the log */
};

struct hd_check_options {
    /* After each piece that was read, with the time it took; < 0 stops the check. May be NULL. */
    int (*pace)(void *ctx, uint64_t bytes, uint64_t elapsed_ns);
    void *ctx;
};

/*
 * Reads the replica past the page cache (where the file system can) and compares it with its sums.
 * 0 with *ret, or an error that says nothing about the replica: what pace returned, -ENOMEM,
 * -EMFILE. A bad replica stays marked (hd_store_bad_replicas) until it goes. Blocks.
 */
int hd_store_check_replica(struct hd_store *s, struct hd_block_id id,
                           const struct hd_check_options *options, struct hd_check *ret);

/* A replica known to be bad, for reports. */
struct hd_bad_replica {
    struct hd_block block;
    char storage_id[HD_LAYOUT_ID_BYTES];
};

/* Up to max of them; returns how many. Quick when there is none. */
int hd_store_bad_replicas(struct hd_store *s, struct hd_bad_replica *out, int max);

/* --- one directory --- */

int hd_store_volume_count(struct hd_store *s);

/* The directory's path and id (stable, borrowed); false when it has failed or has no id yet. */
bool hd_store_volume_at(struct hd_store *s, int volume, const char **ret_dir,
                        const char **ret_storage_id);

/* Finalized replicas of a directory, in the order in which their files lie there. */
struct hd_inventory {
    struct hd_block_id *ids; /* heap, owned */
    size_t count;
    uint64_t bytes; /* data and sums */
};

int hd_store_inventory(struct hd_store *s, int volume, struct hd_inventory *ret);
void hd_inventory_done(struct hd_inventory *i);

/* Index of the first replica behind `id` in that order. */
size_t hd_inventory_after(const struct hd_inventory *i, struct hd_block_id id);

/* What comparing a directory with the map found; called for each. */
enum hd_stray {
    HD_STRAY_LOST,    /* in the map, no data file; forgotten */
    HD_STRAY_ADOPTED, /* data and sums that the map did not know; it does now */
    HD_STRAY_REMOVED, /* an older double, or sums without data; deleted */
    HD_STRAY_LEFT,    /* data without sums: nobody can vouch for it, so it is left alone */
    HD_STRAY_LENGTH,  /* a file of a known replica is not as long as it was: to be checked */
};

struct hd_stray_found {
    enum hd_stray kind;
    struct hd_block block;
    const char *storage_id;
};

/*
 * Compares the finalized files of a directory with the map: their names and, when asked, their
 * lengths; content is hd_store_check_replica's. 0, or an error that ended the walk. Blocks.
 */
int hd_store_reconcile(struct hd_store *s, int volume, bool lengths,
                       int (*found)(void *ctx, const struct hd_stray_found *f), void *ctx);

#endif
