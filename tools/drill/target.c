/* Which daemons a drill acts on. See target.h. */
#include "tools/drill/target.h"
#include "tools/drill/drill.h"
#include "fs/base/error.h"

#include <errno.h>

static bool fits(const struct hd_drill *d, const struct hd_member *m)
{
    return d->target_role >= 0 && m->role == (enum hd_role)d->target_role;
}

/* The part of a comma list up to size bytes as a member. */
static const struct hd_member *find_named(const struct hd_drill_run *r, const char *name,
                                          size_t size)
{
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if (strlen(m->name) == size && memcmp(m->name, name, size) == 0) {
            return m;
        }
    }
    return NULL;
}

static int take_names(struct hd_drill_run *r, const char *names)
{
    int taken = 0;
    for (const char *at = names; *at != '\0';) {
        size_t size = strcspn(at, ",");
        const struct hd_member *m = find_named(r, at, size);
        if (m == NULL) {
            return hd_fail(-EINVAL, "--target %.*s: no such daemon (`howdah status` names them)",
                           (int)size, at);
        }
        if (!fits(r->drill, m)) {
            return hd_fail(-EINVAL, "--target %s: %s acts on %s daemons", m->name, r->drill->name,
                           r->drill->target_role >= 0
                               ? hd_role_name((enum hd_role)r->drill->target_role)
                               : "no single");
        }
        if (taken == r->drill->targets || (taken == 1 && m == r->targets[0])) {
            return hd_fail(-EINVAL, "--target %s: %d different daemons are expected", names,
                           r->drill->targets);
        }
        r->targets[taken++] = m;
        at += size + (at[size] == ',');
    }
    return taken == r->drill->targets
               ? 0
               : hd_fail(-EINVAL, "--target %s: %d daemons are expected", names, r->drill->targets);
}

/* Those of the role that are not taken yet; the nth, or their number when nth is beyond. */
static const struct hd_member *nth_free(const struct hd_drill_run *r, uint64_t nth,
                                        uint64_t *ret_count)
{
    uint64_t count = 0;
    const struct hd_member *found = NULL;
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if (fits(r->drill, m) && m != r->targets[0] && m != r->targets[1]) {
            found = count == nth ? m : found;
            count++;
        }
    }
    *ret_count = count;
    return found;
}

int hd_drill_target(struct hd_drill_run *r, const char *names)
{
    if (r->drill->targets == 0) {
        return names == NULL ? 0
                             : hd_fail(-EINVAL, "--target %s: %s acts on the whole cluster", names,
                                       r->drill->name);
    }
    if (names != NULL) {
        return take_names(r, names);
    }
    for (int t = 0; t < r->drill->targets; t++) {
        uint64_t count;
        nth_free(r, UINT64_MAX, &count);
        if (count == 0) {
            return hd_fail(-EINVAL, "%s needs %d %s daemons, and the cluster has fewer",
                           r->drill->name, r->drill->targets,
                           hd_role_name((enum hd_role)r->drill->target_role));
        }
        r->targets[t] = nth_free(r, hd_prng_below(&r->prng, count), &count);
    }
    return 0;
}
