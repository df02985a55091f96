/* The ring of inflight.h. */
#include "fs/client/core/inflight.h"

#include <errno.h>
#include <stdlib.h>

enum { FIRST_CAPACITY = 16 };

void hd_inflight_done(struct hd_inflight *f)
{
    free(f->ranges);
    *f = (struct hd_inflight){.ranges = NULL};
}

static struct hd_inflight_range *range_at(const struct hd_inflight *f, size_t i)
{
    return &f->ranges[(f->first + i) & (f->capacity - 1)];
}

static int grow(struct hd_inflight *f)
{
    size_t capacity = f->capacity > 0 ? f->capacity * 2 : FIRST_CAPACITY;
    struct hd_inflight_range *ranges = malloc(capacity * sizeof(ranges[0]));
    if (ranges == NULL) {
        return -ENOMEM;
    }
    for (size_t i = 0; i < f->count; i++) {
        ranges[i] = *range_at(f, i);
    }
    free(f->ranges);
    f->ranges = ranges;
    f->capacity = capacity;
    f->first = 0;
    return 0;
}

int hd_inflight_add(struct hd_inflight *f, uint64_t serial, uint64_t offset, uint64_t end)
{
    if (f->count == f->capacity) {
        int err = grow(f);
        if (err < 0) {
            return err;
        }
    }
    *range_at(f, f->count++) = (struct hd_inflight_range){serial, offset, end};
    return 0;
}

void hd_inflight_acked(struct hd_inflight *f, uint64_t serial)
{
    while (f->count > 0 && range_at(f, 0)->serial <= serial) {
        f->first = (f->first + 1) & (f->capacity - 1);
        f->count--;
    }
}

uint64_t hd_inflight_find(const struct hd_inflight *f, uint64_t offset, uint64_t end)
{
    for (size_t i = f->count; i-- > 0;) { /* the newest says it for all before it */
        const struct hd_inflight_range *r = range_at(f, i);
        if (r->offset < end && offset < r->end) {
            return r->serial;
        }
    }
    return 0;
}
