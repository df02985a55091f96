/*
 * Looking at edit logs and images without changing or locking anything: what tools and an operator
 * with a damaged directory need. A process may be writing the files meanwhile.
 */
#ifndef HD_META_LOG_INSPECT_H
#define HD_META_LOG_INSPECT_H

#include "meta/log/segment.h"

enum { HD_INSPECT_ID_BYTES = 128 };

struct hd_edits_file {
    char path[HD_LOG_PATH_BYTES];
    uint64_t first;
    uint64_t last; /* by its name; 0: in progress */
};

/* The segments of dir in txid order. The caller frees *ret. */
int hd_edits_list(const char *dir, struct hd_edits_file **ret, size_t *ret_count);

/* One file by its path; its name has to be that of a segment. */
int hd_edits_file(const char *path, struct hd_edits_file *ret);

/* The cluster id in a segment's or an image's header. -HD_E_CORRUPT when there is no such header.
 */
int hd_inspect_cluster_id(const char *path, char out[HD_INSPECT_ID_BYTES]);

/* A run of good records, or a stretch that is none. */
struct hd_edits_range {
    bool good;
    uint64_t first; /* txids; of a damaged stretch: those that are missing */
    uint64_t last;
    uint64_t records;
    uint64_t offset; /* in the file */
    uint64_t bytes;
    const char *why; /* of damage; borrowed */
};

struct hd_edits_visitor {
    /* Each good record; a negative result ends the scan. May be NULL. */
    int (*record)(void *ctx, const struct hd_record *r, uint64_t offset);
    /* Each range, when it ends. May be NULL. */
    void (*range)(void *ctx, const struct hd_edits_range *r);
    void *ctx;
};

struct hd_edits_summary {
    uint64_t last;       /* of the last good record; first - 1: there is none */
    uint64_t records;    /* good ones */
    uint64_t damaged;    /* stretches */
    uint64_t unfinished; /* bytes of an append that a crash interrupted; no damage */
};

/*
 * Reads a whole segment, and on behind damage where good records follow. Errors are those of
 * reading; damage is the visitor's and the summary's.
 */
int hd_edits_scan(const struct hd_edits_file *f, const struct hd_edits_visitor *v,
                  struct hd_edits_summary *ret);

#endif
