/*
 * Files without a name that meta keeps for us: those that are open here, and, for a moment, those
 * that another mount has just removed and whose name a program here may be opening still, since the
 * kernel looks a name up and opens it in two steps. What has served is given back, many at once.
 */
#ifndef HD_MOUNT_ORPHANS_H
#define HD_MOUNT_ORPHANS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HD_ORPHANS_LINGER_MS = 2000, HD_ORPHANS_AT_ONCE = 1000 };

struct hd_orphans_owner {
    void *ctx;
    bool (*is_open)(void *ctx, uint64_t id);
    void (*forget)(void *ctx, const uint64_t *ids, size_t count); /* may block */
};

struct hd_orphans;
int hd_orphans_new(const struct hd_orphans_owner *owner, struct hd_orphans **ret);
void hd_orphans_free(struct hd_orphans *o); /* takes NULL; forgets nothing more */

/*
 * The file has lost its last name; linger: the kernel may be about to open it. True: it is held,
 * and will be given back when nobody has it open.
 */
bool hd_orphans_add(struct hd_orphans *o, uint64_t id, bool linger);

/* The last handle was closed. Gives it back now if it is one. */
void hd_orphans_closed(struct hd_orphans *o, uint64_t id);

/* Every one of them. */
void hd_orphans_each(struct hd_orphans *o, void (*fn)(void *ctx, uint64_t id), void *ctx);

#endif
