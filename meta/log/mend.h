/*
 * Mending an edit log from another copy of it: the secondary's directory, a backup, a mirror that
 * was left out. Segments that are damaged or missing are written anew from the other's records,
 * whatever its segments are; what is good stays as it is.
 */
#ifndef HD_META_LOG_MEND_H
#define HD_META_LOG_MEND_H

#include "meta/log/inspect.h"

/* Told of each segment that was written anew. */
typedef void (*hd_mend_fn)(void *ctx, const char *path, uint64_t first, uint64_t last);

/*
 * No process uses dir (-EBUSY). -HD_E_INCORRECT_VERSION: of another cluster; -ENOENT: the other
 * copy lacks records that are needed, which ones the failure text says. Durable.
 */
int hd_edits_mend(const char *dir, const char *from, hd_mend_fn fn, void *ctx);

#endif
