/* Replica states and set-up rules. See replica.h. */
#include "fs/data/core/replica.h"
#include "fs/base/assert.h"
#include "fs/base/error.h"

#include <errno.h>

#define BIT(state) (1u << (state))

/* allowed[from] has a bit for every state that may follow. */
static const unsigned allowed[] = {
    [HD_REPLICA_FINALIZED] = BIT(HD_REPLICA_RBW) | BIT(HD_REPLICA_RUR),
    [HD_REPLICA_RBW] = BIT(HD_REPLICA_FINALIZED) | BIT(HD_REPLICA_RBW) | BIT(HD_REPLICA_RUR),
    [HD_REPLICA_RWR] = BIT(HD_REPLICA_RUR) | BIT(HD_REPLICA_RBW),
    [HD_REPLICA_RUR] = BIT(HD_REPLICA_RUR) | BIT(HD_REPLICA_FINALIZED),
    [HD_REPLICA_TEMPORARY] = BIT(HD_REPLICA_FINALIZED) | BIT(HD_REPLICA_RBW),
};

const char *hd_replica_state_name(enum hd_replica_state state)
{
    switch (state) {
    case HD_REPLICA_FINALIZED:
        return "FINALIZED";
    case HD_REPLICA_RBW:
        return "RBW";
    case HD_REPLICA_RWR:
        return "RWR";
    case HD_REPLICA_RUR:
        return "RUR";
    case HD_REPLICA_TEMPORARY:
        return "TEMPORARY";
    }
    hd_unreachable();
}

void hd_replica_move(struct hd_replica *r, enum hd_replica_state to)
{
    hd_assert((allowed[r->state] & BIT(to)) != 0);
    if (to == HD_REPLICA_RUR && r->state != HD_REPLICA_RUR) {
        r->before_recovery = r->state;
    }
    if (to == HD_REPLICA_FINALIZED) {
        r->acked_bytes = r->size_bytes;
        r->recovery_id = 0;
        r->doubtful = false;
    }
    r->state = to;
}

uint64_t hd_replica_visible_bytes(const struct hd_replica *r)
{
    switch (r->state) {
    case HD_REPLICA_FINALIZED:
    case HD_REPLICA_RWR:
        return r->size_bytes;
    case HD_REPLICA_RBW:
        return r->acked_bytes;
    case HD_REPLICA_RUR:
        return r->before_recovery == HD_REPLICA_RBW ? r->acked_bytes : r->size_bytes;
    case HD_REPLICA_TEMPORARY:
        return 0;
    }
    hd_unreachable();
}

bool hd_write_stage_stops_writer(enum hd_write_stage stage)
{
    return stage == HD_STAGE_APPEND_RECOVERY || stage == HD_STAGE_STREAMING_RECOVERY ||
           stage == HD_STAGE_CLOSE_RECOVERY;
}

static int plan_create(const struct hd_replica *r, const struct hd_write_setup *s,
                       struct hd_write_plan *ret)
{
    bool temporary = s->from_node || s->stage != HD_STAGE_CREATE;
    /* A copy may replace an unfinished replica that is older, or the torso of an earlier copy. */
    bool stale =
        r != NULL && temporary &&
        ((r->state == HD_REPLICA_TEMPORARY && r->gs.v <= s->gs.v) ||
         (r->state != HD_REPLICA_FINALIZED && r->state != HD_REPLICA_RUR && r->gs.v < s->gs.v));
    if (r != NULL && !stale) {
        return hd_fail(-HD_E_REPLICA_EXISTS,
                       "already exists in state %s and thus cannot be created.",
                       hd_replica_state_name(r->state));
    }
    ret->create = true;
    ret->temporary = temporary;
    ret->discard = stale;
    ret->gs = s->gs;
    return 0;
}

static int refuse_state(const struct hd_replica *r, const char *wanted)
{
    return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "replica is %s, %s is needed",
                   hd_replica_state_name(r->state), wanted);
}

/* Stage 0: the client has seen exactly this replica. */
static int plan_append(const struct hd_replica *r, const struct hd_write_setup *s,
                       struct hd_write_plan *ret)
{
    if (r->state != HD_REPLICA_FINALIZED) {
        return refuse_state(r, "FINALIZED");
    }
    if (r->gs.v != s->gs.v) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "generation stamp is %llu, not %llu",
                       (unsigned long long)r->gs.v, (unsigned long long)s->gs.v);
    }
    if (r->size_bytes != s->min_bytes) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "replica has %llu bytes, the client expects %llu",
                       (unsigned long long)r->size_bytes, (unsigned long long)s->min_bytes);
    }
    ret->reopen = true;
    ret->keep_bytes = r->size_bytes;
    return 0;
}

/* Stages 1, 3, 5: an interrupted write goes on under a newer stamp. */
static int plan_recovery(const struct hd_replica *r, const struct hd_write_setup *s,
                         struct hd_write_plan *ret)
{
    bool streaming = s->stage == HD_STAGE_STREAMING_RECOVERY;
    bool open = r->state == HD_REPLICA_RBW || (streaming && r->state == HD_REPLICA_RWR);
    if (!open && (streaming || r->state != HD_REPLICA_FINALIZED)) {
        return refuse_state(r, streaming ? "RBW" : "RBW or FINALIZED");
    }
    if (r->gs.v < s->gs.v || r->gs.v > ret->gs.v) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "generation stamp %llu is not in [%llu, %llu]",
                       (unsigned long long)r->gs.v, (unsigned long long)s->gs.v,
                       (unsigned long long)ret->gs.v);
    }
    uint64_t acked = r->state == HD_REPLICA_RWR ? r->size_bytes : r->acked_bytes;
    bool fits = streaming                          ? acked >= s->min_bytes
                : r->state == HD_REPLICA_FINALIZED ? r->size_bytes == s->min_bytes
                                                   : r->size_bytes >= s->min_bytes;
    if (!fits || (streaming && acked > s->max_bytes)) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT,
                       "replica has %llu bytes (%llu acknowledged), the client %llu to %llu",
                       (unsigned long long)r->size_bytes, (unsigned long long)r->acked_bytes,
                       (unsigned long long)s->min_bytes, (unsigned long long)s->max_bytes);
    }
    ret->reopen = r->state == HD_REPLICA_FINALIZED;
    ret->finalize = s->stage == HD_STAGE_CLOSE_RECOVERY;
    ret->keep_bytes = streaming && r->state == HD_REPLICA_RBW ? acked : s->min_bytes;
    return 0;
}

/*
 * Overwriting: the client says how long the replica is to be. It has what was acknowledged, or more
 * of a set-up that failed elsewhere. So has one whose process was stopped; after a power cut it is
 * left to a recovery.
 */
static int plan_overwrite(const struct hd_replica *r, const struct hd_write_setup *s,
                          struct hd_write_plan *ret)
{
    bool stopped = r->state == HD_REPLICA_RWR && !r->doubtful;
    if (r->state != HD_REPLICA_RBW && r->state != HD_REPLICA_FINALIZED && !stopped) {
        return refuse_state(r, "RBW, FINALIZED, or RWR without a power cut");
    }
    if (r->gs.v < s->gs.v || r->gs.v > ret->gs.v) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "generation stamp %llu is not in [%llu, %llu]",
                       (unsigned long long)r->gs.v, (unsigned long long)s->gs.v,
                       (unsigned long long)ret->gs.v);
    }
    if (r->size_bytes < HD_MIN(s->min_bytes, s->max_bytes)) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "replica has %llu bytes, the client expects %llu",
                       (unsigned long long)r->size_bytes, (unsigned long long)s->min_bytes);
    }
    ret->reopen = r->state == HD_REPLICA_FINALIZED;
    ret->finalize = s->stage == HD_STAGE_CLOSE_RECOVERY;
    ret->keep_bytes = s->max_bytes;
    return 0;
}

static int plan_resync(const struct hd_replica *r, const struct hd_write_setup *s,
                       struct hd_write_plan *ret)
{
    if (r->state != HD_REPLICA_RUR || r->recovery_id != s->new_gs.v) {
        return hd_fail(-HD_E_IO, "the replica is %s with recovery %llu, not %llu",
                       hd_replica_state_name(r->state), (unsigned long long)r->recovery_id,
                       (unsigned long long)s->new_gs.v);
    }
    ret->gs = r->gs;
    ret->resync = true;
    ret->keep_bytes = HD_MAX(r->size_bytes, s->max_bytes);
    return 0;
}

int hd_write_plan(const struct hd_replica *r, const struct hd_write_setup *s,
                  struct hd_write_plan *ret)
{
    *ret = (struct hd_write_plan){.gs = s->new_gs.v != 0 ? s->new_gs : s->gs};
    if (s->stage == HD_STAGE_CREATE || s->stage == HD_STAGE_TRANSFER_RBW ||
        s->stage == HD_STAGE_TRANSFER_FINALIZED) {
        return plan_create(r, s, ret);
    }
    if (r == NULL) {
        return hd_fail(-HD_E_REPLICA_NOT_FOUND, "no such replica");
    }
    if (s->resync) {
        return plan_resync(r, s, ret);
    }
    if (ret->gs.v < s->gs.v) {
        return hd_fail(-HD_E_ILLEGAL_ARGUMENT, "new generation stamp %llu is older than %llu",
                       (unsigned long long)ret->gs.v, (unsigned long long)s->gs.v);
    }
    return s->overwrite                  ? plan_overwrite(r, s, ret)
           : s->stage == HD_STAGE_APPEND ? plan_append(r, s, ret)
                                         : plan_recovery(r, s, ret);
}
