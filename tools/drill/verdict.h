/*
 * The verdict on a ledger: is everything that was acknowledged there, through an empty cache and on
 * each copy?
 */
#ifndef HD_TOOLS_DRILL_VERDICT_H
#define HD_TOOLS_DRILL_VERDICT_H

#include "tools/cluster.h"
#include "tools/drill/ledger.h"

enum { HD_VERDICT_EXAMPLES = 8 };

struct hd_verdict {
    uint64_t acked;           /* operations of the ledger that were acknowledged */
    uint64_t checked;         /* of them, looked at */
    uint64_t lost;            /* names or bytes that are not there, or names that came back */
    uint64_t wrong;           /* bytes that are others than were acknowledged */
    uint64_t unknown;         /* could not be looked at: no answer in time. Neither lost nor kept */
    uint64_t files, replicas; /* read */
    uint64_t replicas_wrong;  /* copies that differ from the file; counted in `wrong` too */
    char examples[HD_VERDICT_EXAMPLES][400]; /* sentences on the first of what is not well */
    size_t example_count;
};

/* What the ledger says of each name, computed from its lines alone. Inside and for tests. */
enum hd_name_state { HD_NAME_THERE, HD_NAME_GONE, HD_NAME_UNKNOWN };
struct hd_name {
    const char *path;
    enum hd_name_state state;
};

/*
 * The names that mkdir, rename and delete left, as the acknowledged lines have it; those an
 * unknown operation touched may be either way. On the heap; paths borrow from names_text, which
 * the caller frees as well.
 */
int hd_verdict_names(const struct hd_ledger_record *list, size_t count, struct hd_name **ret,
                     size_t *ret_count, char **ret_text);

struct hd_verdict_options {
    const struct hd_cluster *cluster;
    const char *ledger;      /* path */
    int64_t timeout_ms;      /* for all */
    bool (*stop)(void *ctx); /* asked now and then; true: -ECANCELED. May be NULL */
    void *ctx;
};

/* 0 with the verdict, also a bad one; an error when it could not be found. */
int hd_verdict_find(const struct hd_verdict_options *options, struct hd_verdict *ret);

#endif
