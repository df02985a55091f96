/* Which daemons a drill acts on. See target.h. */
#include "tools/drill/target.h"
#include "tools/drill/call.h"
#include "tools/drill/drill.h"
#include "fs/base/error.h"

#include <errno.h>

/* Meta and the secondary may have changed places: either can be named. */
static bool fits(const struct hd_drill *d, const struct hd_member *m)
{
    bool meta = m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY;
    return d->target_role >= 0 &&
           (m->role == (enum hd_role)d->target_role || (meta && d->target_role == HD_ROLE_META));
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

/* The one that is primary now, or the other. */
static int take_meta(struct hd_drill_run *r, bool primary)
{
    char address[HD_TEXT_BYTES];
    int rc = hd_drill_active_meta(&r->cluster, 2000, address);
    for (size_t i = 0; rc == 0 && i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        bool meta = m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY;
        if (meta && (strcmp(m->address, address) == 0) == primary) {
            r->targets[0] = m;
            return 0;
        }
    }
    return rc < 0 ? rc : hd_fail(-EINVAL, "%s: the cluster has no secondary", r->drill->name);
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
    if (r->drill->target_role == HD_ROLE_META || r->drill->target_role == HD_ROLE_SECONDARY) {
        return take_meta(r, r->drill->target_role == HD_ROLE_META);
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
