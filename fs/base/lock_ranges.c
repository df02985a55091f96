/* Ranges that are locked. See lock_ranges.h. */
#include "fs/base/lock_ranges.h"

#include <errno.h>
#include <stdlib.h>

void hd_lock_ranges_done(struct hd_lock_ranges *r)
{
    free(r->items);
    *r = (struct hd_lock_ranges){0};
}

static bool overlap(const struct hd_lock_range *a, const struct hd_lock_range *b)
{
    return a->start <= b->end && b->start <= a->end;
}

/* Do they overlap, or does one begin where the other ends? */
static bool touch(const struct hd_lock_range *a, const struct hd_lock_range *b)
{
    return overlap(a, b) || (a->end != UINT64_MAX && a->end + 1 == b->start) ||
           (b->end != UINT64_MAX && b->end + 1 == a->start);
}

bool hd_lock_range_conflicts(const struct hd_lock_range *a, const struct hd_lock_range *b)
{
    return !hd_lock_range_same_owner(a, b) && overlap(a, b) &&
           (a->type == HD_LOCK_WRITE || b->type == HD_LOCK_WRITE);
}

static int reserve(struct hd_lock_ranges *r, size_t more)
{
    if (r->count + more <= r->capacity) {
        return 0;
    }
    size_t capacity = HD_MAX(r->capacity * 2, r->count + more);
    struct hd_lock_range *items = realloc(r->items, sizeof(*items) * capacity);
    if (items == NULL) {
        return -ENOMEM;
    }
    r->items = items;
    r->capacity = capacity;
    return 0;
}

static void add(struct hd_lock_ranges *r, struct hd_lock_range l)
{
    r->items[r->count++] = l;
}

/* What of `old` is outside of `cut` stays. */
static void add_rest(struct hd_lock_ranges *r, struct hd_lock_range old,
                     const struct hd_lock_range *cut)
{
    uint64_t end = old.end;
    if (old.start < cut->start) {
        old.end = cut->start - 1;
        add(r, old);
    }
    if (end > cut->end) {
        old.start = cut->end + 1;
        old.end = end;
        add(r, old);
    }
}

int hd_lock_ranges_set(struct hd_lock_ranges *r, const struct hd_lock_range *l)
{
    if (reserve(r, 3) < 0) { /* one that is split leaves two, and the new one */
        return -ENOMEM;
    }
    struct hd_lock_range all = *l; /* with its neighbours of the same type */
    for (size_t n = r->count; n > 0; n--) {
        struct hd_lock_range old = r->items[n - 1];
        bool joins = old.type == l->type && touch(&old, l);
        if (!hd_lock_range_same_owner(&old, l) || (!joins && !overlap(&old, l))) {
            continue;
        }
        /* The last one takes its place: of those behind n it has been looked at, or was just added
         * and lies outside of l. */
        r->items[n - 1] = r->items[--r->count];
        if (joins) {
            all.start = HD_MIN(all.start, old.start);
            all.end = HD_MAX(all.end, old.end);
        } else {
            add_rest(r, old, l);
        }
    }
    if (l->type != HD_LOCK_NONE) {
        add(r, all);
    }
    return 0;
}

const struct hd_lock_range *hd_lock_ranges_conflict(const struct hd_lock_ranges *r,
                                                    const struct hd_lock_range *want)
{
    const struct hd_lock_range *first = NULL;
    for (size_t n = 0; n < r->count; n++) {
        const struct hd_lock_range *l = &r->items[n];
        if (hd_lock_range_conflicts(l, want) && (first == NULL || l->start < first->start)) {
            first = l;
        }
    }
    return first;
}

bool hd_lock_ranges_covers(const struct hd_lock_ranges *r, const struct hd_lock_range *l)
{
    uint64_t at = l->start;
    for (size_t n = 0; n < r->count;) {
        const struct hd_lock_range *own = &r->items[n++];
        if (!hd_lock_range_same_owner(own, l) || own->start > at || own->end < at ||
            (own->type != l->type && own->type != HD_LOCK_WRITE)) {
            continue;
        }
        if (own->end >= l->end) {
            return true;
        }
        at = own->end + 1; /* on with the one that holds this byte: from the start of the list */
        n = 0;
    }
    return false;
}

bool hd_lock_ranges_has(const struct hd_lock_ranges *r, uint64_t session, uint64_t owner)
{
    for (size_t n = 0; n < r->count; n++) {
        if (r->items[n].owner == owner && r->items[n].session == session) {
            return true;
        }
    }
    return false;
}

static bool drop(struct hd_lock_ranges *r, uint64_t session, const uint64_t *owner)
{
    size_t kept = 0;
    for (size_t n = 0; n < r->count; n++) {
        const struct hd_lock_range *l = &r->items[n];
        if (l->session != session || (owner != NULL && l->owner != *owner)) {
            r->items[kept++] = *l;
        }
    }
    bool dropped = kept < r->count;
    r->count = kept;
    return dropped;
}

bool hd_lock_ranges_drop_owner(struct hd_lock_ranges *r, uint64_t session, uint64_t owner)
{
    return drop(r, session, &owner);
}

bool hd_lock_ranges_drop_session(struct hd_lock_ranges *r, uint64_t session)
{
    return drop(r, session, NULL);
}
