/*
 * The directories an edit log is written to, all of them alike. One that fails is left out from
 * then on: the others get a note of that (members.h) before the failing call returns, so nothing is
 * acknowledged that a left-out directory could be taken for having. The last one is never left out:
 * its error is the caller's.
 *
 * Threads: any; `failed` only ever becomes true. What blocks is the disk.
 */
#ifndef HD_META_LOG_PLACES_H
#define HD_META_LOG_PLACES_H

#include "fs/base/error.h"
#include "meta/log/members.h"
#include "meta/log/segment.h"

#include <pthread.h>
#include <stdatomic.h>

struct hd_place {
    char id[HD_DIR_ID_BYTES];
    char dir[HD_DIR_PATH_BYTES];
    struct hd_segment_writer writer;
    atomic_bool failed;
    char why[HD_FAIL_TEXT_BYTES]; /* of failed; written before it is set */
};

struct hd_places {
    struct hd_place list[HD_DIRS_MAX];
    size_t count;
    struct hd_members members; /* as noted last; under the lock */
    pthread_mutex_t lock;
    void (*on_dropped)(void *ctx, const char *dir, const char *why); /* may be NULL */
    void *ctx;
};

/* members NULL: dir alone, without a note. Else dir comes first, then the others of the list. */
int hd_places_init(struct hd_places *ps, const char *dir, const struct hd_members *members);
void hd_places_done(struct hd_places *ps);

/* The first one in use; there is always one. */
struct hd_place *hd_places_first(struct hd_places *ps);

/* Leaves it out, with the failure text of err. err when it is the last one, or no note could be
 * written. */
int hd_places_drop(struct hd_places *ps, struct hd_place *p, int err);

/*
 * Calls fn for each place in use. Those that fail are left out when another one did not; when all
 * fail none is, and the error is the first one's.
 */
typedef int (*hd_place_fn)(void *ctx, struct hd_place *p);
int hd_places_each(struct hd_places *ps, hd_place_fn fn, void *ctx);

#endif
