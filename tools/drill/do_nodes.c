/* Drills that are an operator's own acts. See do_nodes.h. */
#include "tools/drill/do_nodes.h"
#include "tools/drill/call.h"
#include "tools/drill/do_process.h"
#include "tools/drill/drill.h"
#include "fs/base/arena.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>

enum { LEAVE_LIMIT_MS = 180000, LOOK_EVERY_MS = 200 };

int hd_drill_decommission(struct hd_drill_run *r)
{
    char meta[HD_TEXT_BYTES];
    const char *node = r->targets[0]->address;
    int rc = hd_drill_active_meta(&r->cluster, 5000, meta);
    rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_NODE, node) : rc;
    rc = rc == 0 ? hd_drill_set_node_state(meta, node, HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING)
                 : rc;
    if (rc == 0) {
        hd_drill_say(r, "fault", "%s is to leave", r->targets[0]->name);
    }
    return rc;
}

/* The target's state; *ret_left is what it still has to hand over. */
static int ask_state(const struct hd_drill_run *r, Hdw__NodeAdminState *ret, uint64_t *ret_left)
{
    char meta[HD_TEXT_BYTES];
    struct hd_arena arena;
    Hdw__GetNodesResponse *nodes;
    hd_arena_init(&arena, 0);
    int rc = hd_drill_active_meta(&r->cluster, 5000, meta);
    rc = rc == 0 ? hd_drill_get_nodes(meta, &arena, &nodes) : rc;
    for (size_t i = 0; rc == 0 && i < nodes->n_nodes; i++) {
        if (strcmp(nodes->nodes[i]->address, r->targets[0]->address) == 0) {
            *ret = nodes->nodes[i]->admin_state;
            *ret_left = nodes->nodes[i]->blocks_to_move;
        }
    }
    hd_arena_done(&arena);
    return rc;
}

int hd_drill_wait_decommissioned(struct hd_drill_run *r)
{
    int64_t begin_ms = hd_clock_mono_ms().v;
    Hdw__NodeAdminState state = HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONING;
    uint64_t left = 0;
    int rc = 0;
    while (rc == 0 && state != HDW__NODE_ADMIN_STATE__NODE_DECOMMISSIONED) {
        if (hd_clock_mono_ms().v - begin_ms > LEAVE_LIMIT_MS) {
            hd_drill_blame(r,
                           "%s has not left after %d s; %" PRIu64 " blocks need copies elsewhere",
                           r->targets[0]->name, LEAVE_LIMIT_MS / 1000, left);
            return 0;
        }
        rc = hd_drill_wait(r, LOOK_EVERY_MS);
        rc = rc == 0 ? ask_state(r, &state, &left) : rc;
    }
    if (rc < 0) {
        return rc;
    }
    hd_drill_say(r, "left", "%s is decommissioned after %.1f s; no block needs it",
                 r->targets[0]->name, (double)(hd_clock_mono_ms().v - begin_ms) / 1e3);
    int64_t rest_ms = r->for_ms - (hd_clock_mono_ms().v - begin_ms);
    return rest_ms > 0 ? hd_drill_wait(r, rest_ms) : 0;
}

static const struct hd_member *other_meta(const struct hd_drill_run *r)
{
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if ((m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY) && m != r->targets[0]) {
            return m;
        }
    }
    return NULL;
}

int hd_drill_promotion(struct hd_drill_run *r)
{
    struct hd_arena arena;
    Hdw__PromoteResponse *answer;
    const struct hd_member *secondary = other_meta(r);
    if (secondary == NULL) {
        return hd_fail(-EINVAL, "no secondary to promote");
    }
    int rc = hd_drill_undo(r, HD_UNDO_CONTINUE, r->targets[0]->name);
    rc = rc == 0 ? hd_drill_signal(r, r->targets[0], SIGSTOP, "paused") : rc;
    if (rc < 0) {
        return rc;
    }
    int64_t begin_ms = hd_clock_mono_ms().v;
    hd_arena_init(&arena, 0);
    rc = hd_drill_promote(secondary->address, &answer, &arena);
    if (rc == 0) {
        hd_drill_say(r, "promoted", "%s serves after %.1f s, epoch %" PRIu64, secondary->name,
                     (double)(hd_clock_mono_ms().v - begin_ms) / 1e3, answer->epoch);
    } else {
        hd_drill_blame(r, "%s was not promoted: %.300s", secondary->name, hd_fail_describe(rc));
    }
    hd_arena_done(&arena);
    return 0;
}
