/* The table of open_mode.h. */
#include "fs/mount/open_mode.h"
#include "fs/base/assert.h"

static bool same_backing(const struct hd_open_state *s, const struct hd_open_wish *w)
{
    return w->has_local && !s->backing_stale && w->local.device == s->backing.device &&
           w->local.inode == s->backing.inode;
}

enum hd_open_mode hd_open_choose(const struct hd_open_state *s, const struct hd_open_wish *w)
{
    if (s->passed > 0) {
        return !w->writable && same_backing(s, w) ? HD_OPEN_PASSTHROUGH
                                                  : HD_OPEN_PASSTHROUGH_DIRECT;
    }
    if (w->direct) {
        return HD_OPEN_DIRECT;
    }
    return w->has_local && !w->writable && s->cached == 0 ? HD_OPEN_PASSTHROUGH : HD_OPEN_CACHED;
}

void hd_open_count(struct hd_open_state *s, enum hd_open_mode mode, int change)
{
    uint32_t *count = NULL;
    switch (mode) {
    case HD_OPEN_CACHED:
        count = &s->cached;
        break;
    case HD_OPEN_DIRECT:
        count = &s->direct;
        break;
    case HD_OPEN_PASSTHROUGH:
    case HD_OPEN_PASSTHROUGH_DIRECT:
        count = &s->passed;
        break;
    }
    hd_assert(change > 0 || *count > 0);
    *count += (uint32_t)change;
}
