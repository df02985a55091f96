/*
 * May a drill begin? Only on a cluster that is whole: a drill takes redundancy away, and what is
 * lost of it already would make a rehearsal an accident.
 */
#include "tools/drill/call.h"
#include "tools/drill/drill.h"
#include "tools/probe.h"
#include "tools/process.h"
#include "fs/base/error.h"

#include <errno.h>
#include <inttypes.h>

enum { SETTLE_MS = 5000, SETTLE_STEP_MS = 100, LAG_MAX = 10000 };

static const char later[] = "Wait for recovery (`howdah status`), or start what is stopped "
                            "(`howdah up`), and try again.";

static int check_blocks(const struct hd_sample *s)
{
    if (!s->answers) {
        return hd_fail(-HD_E_CLOSED, "no meta answers as primary. %s", later);
    }
    if (s->safe_mode) {
        return hd_fail(-HD_E_SAFE_MODE, "meta is in safe mode. %s", later);
    }
    if (s->missing > 0) {
        return hd_fail(-EBUSY,
                       "%" PRIu64 " blocks have no copy at all now. `howdah fsck /` names their "
                       "files; get their nodes back first.",
                       s->missing);
    }
    if (s->under > 0) {
        return hd_fail(-EBUSY,
                       "%" PRIu64 " blocks have fewer copies than they should now; breaking more "
                       "could take the last. %s",
                       s->under, later);
    }
    if (s->corrupt > 0) {
        return hd_fail(-EBUSY, "%" PRIu64 " blocks have corrupt copies now. %s", s->corrupt, later);
    }
    return 0;
}

static int check_secondary(const struct hd_drill_run *r, const struct hd_sample *s)
{
    bool configured = false;
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        configured = configured || r->cluster.members[i].role == HD_ROLE_SECONDARY;
    }
    if (!configured) {
        return (r->drill->needs & HD_NEED_SECONDARY) == 0
                   ? 0
                   : hd_fail(-EINVAL, "this drill needs a secondary, and the configuration has "
                                      "none ([secondary]).");
    }
    if (s->exposed) {
        return hd_fail(-EBUSY, "changes are acknowledged without the secondary now. %s", later);
    }
    if (!s->secondary_seen || s->secondary_lag > LAG_MAX) {
        return hd_fail(-EBUSY, "the secondary is not in step (%" PRIu64 " changes behind%s). %s",
                       s->secondary_lag, s->secondary_seen ? "" : ", silent", later);
    }
    return 0;
}

/* Every daemon of the configuration runs, here, and answers. The mount may be left out. */
static int check_members(struct hd_drill_run *r)
{
    HD_AUTO(hd_health_done) struct hd_health h = {0};
    int rc = hd_probe(&r->cluster, &h);
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < h.foreign_count; i++) {
        if (h.foreign[i].state != HD_STATE_DEAD) {
            return hd_fail(-EOPNOTSUPP,
                           "data node %s runs elsewhere; drills act on the daemons of this "
                           "machine's howdah.conf only. Rehearse on a cluster of `howdah up`.",
                           h.foreign[i].address);
        }
    }
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if (m->role == HD_ROLE_MOUNT && h.members[i].state == HD_STATE_STOPPED) {
            r->no_mount = true;
        } else if (h.members[i].state != HD_STATE_UP) {
            return hd_fail(-EBUSY, "%s is %s. %s", m->name, hd_state_name(h.members[i].state),
                           later);
        }
    }
    return 0;
}

static int check_nodes(const struct hd_drill_run *r, const struct hd_sample *s)
{
    if (s->live < (uint32_t)r->cluster.nodes || s->stale > 0) {
        return hd_fail(-EBUSY, "%u of %d data nodes are live and %u of them silent. %s", s->live,
                       r->cluster.nodes, s->stale, later);
    }
    struct hd_config_at meta = {.config = r->cluster.config, .section = "meta"};
    int64_t copies = 3;
    int rc = hd_config_int(meta, "replication", 3, &copies);
    if (rc == 0 && (r->drill->needs & HD_NEED_SPARE_NODE) != 0 && r->cluster.nodes <= copies) {
        return hd_fail(-EINVAL,
                       "this drill needs more data nodes than copies of a block (%d and %" PRId64
                       " here), so that there is somewhere to copy to.",
                       r->cluster.nodes, copies);
    }
    return rc;
}

static int check_needs(const struct hd_drill_run *r)
{
    struct hd_config_at cluster = {.config = r->cluster.config, .section = "cluster"};
    bool on = false;
    int rc = hd_config_bool(cluster, "drills", false, &on);
    if (rc == 0 && (r->drill->needs & HD_NEED_FAULTS) != 0 && !on) {
        return hd_fail(-EPERM,
                       "this drill acts through the daemons' fault tables, which are off. Put "
                       "`drills = on` under [cluster] in %s and restart the daemons.",
                       r->cluster.conf);
    }
    if (rc == 0 && (r->drill->needs & HD_NEED_RUNNER) != 0 && r->before.agents <= 0) {
        return hd_fail(-EINVAL, "this drill needs the job runner, whose manager does not answer.");
    }
    return rc;
}

/* What the cluster says of itself. */
static int check_sample(const struct hd_drill_run *r, const struct hd_sample *s)
{
    int rc = check_blocks(s);
    rc = rc == 0 ? check_nodes(r, s) : rc;
    return rc == 0 ? check_secondary(r, s) : rc;
}

int hd_drill_preflight(struct hd_drill_run *r)
{
    int rc = check_members(r);
    if (rc < 0) {
        return rc;
    }
    /* What was written or started a moment ago may still miss a report: that is given time. */
    for (int64_t waited_ms = 0;; waited_ms += SETTLE_STEP_MS) {
        r->before = hd_timeline_last(r->timeline);
        rc = check_sample(r, &r->before);
        if (rc == 0 || rc == -EINVAL || waited_ms >= SETTLE_MS) {
            break;
        }
        if (hd_drill_wait(r, SETTLE_STEP_MS) < 0) {
            return -ECANCELED;
        }
    }
    return rc == 0 ? check_needs(r) : rc;
}
