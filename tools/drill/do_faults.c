/*
 * Drills through the daemons' fault tables. A table is in memory only and each entry ends by
 * itself, some time after the drill should have healed: should everything else fail, that is left.
 */
#include "tools/drill/do_faults.h"
#include "tools/drill/call.h"
#include "tools/drill/drill.h"
#include "tools/process.h"
#include "fs/base/error.h"

#include <errno.h>
#include <inttypes.h>

enum {
    MARGIN_MS = 30000, /* beyond the drill's own time, until a fault ends by itself */
    SLOW_MS = 50,
    LEFT_BYTES = 256 * 1024,
    HOUR_MS = 3600 * 1000,
    PEERS_MAX = 60, /* HD_FAULTS_MAX of fs/os/fault.h, and some room */
};

static int set(struct hd_drill_run *r, const struct hd_member *m,
               const struct hd_drill_fault *faults, size_t count)
{
    const char *address = hd_drill_rpc_address(&r->cluster, m);
    int rc = hd_drill_undo(r, HD_UNDO_FAULTS, address);
    if (rc == 0) {
        rc = hd_drill_set_faults(address, faults, count, (uint64_t)(r->for_ms + MARGIN_MS));
    }
    return rc < 0 ? hd_fail(rc, "%s (%s): %s", m->name, address, hd_fail_describe(rc)) : 0;
}

/* The same fault on each directory of the target. */
static int on_disks(struct hd_drill_run *r, const char *point, int64_t value)
{
    enum { DIRS_MAX = 32 };
    struct hd_drill_fault faults[DIRS_MAX];
    char dirs[HD_PATH_BYTES];
    char *rest = dirs;
    size_t count = 0;
    snprintf(dirs, sizeof(dirs), "%s", r->targets[0]->dirs);
    for (char *dir; count < DIRS_MAX && (dir = strsep(&rest, ",")) != NULL;) {
        faults[count++] = (struct hd_drill_fault){
            .point = point, .target = dir + strspn(dir, " "), .value = value};
    }
    return set(r, r->targets[0], faults, count);
}

int hd_drill_slow_disk(struct hd_drill_run *r)
{
    int rc = on_disks(r, "disk.delay", SLOW_MS);
    if (rc == 0) {
        hd_drill_say(r, "fault", "each operation on the disk of %s takes %d ms longer",
                     r->targets[0]->name, SLOW_MS);
    }
    return rc;
}

int hd_drill_full_disk(struct hd_drill_run *r)
{
    int rc = on_disks(r, "disk.full", LEFT_BYTES);
    if (rc == 0) {
        hd_drill_say(r, "fault", "%d KiB are left on the disk of %s", LEFT_BYTES / 1024,
                     r->targets[0]->name);
    }
    return rc;
}

int hd_drill_dead_disk(struct hd_drill_run *r)
{
    /* A disk that is changed: the node comes back with a new process. */
    char pid[16];
    snprintf(pid, sizeof(pid), "%d", (int)hd_process_find(&r->cluster, r->targets[0]));
    int rc = hd_drill_undo(r, HD_UNDO_RESTART, r->targets[0]->name, pid);
    rc = rc == 0 ? on_disks(r, "disk.error", EIO) : rc;
    if (rc == 0) {
        hd_drill_say(r, "fault", "each operation on the disk of %s fails (EIO)",
                     r->targets[0]->name);
    }
    return rc;
}

/*
 * Everything the target says to others and they to it, but for its RPC port: there the drill heals.
 * The other ends are named by their ports, and so is its own.
 */
int hd_drill_partition(struct hd_drill_run *r)
{
    struct hd_drill_fault faults[PEERS_MAX];
    const struct hd_cluster *c = &r->cluster;
    size_t count = 0;
    for (size_t i = 0; i < c->member_count; i++) {
        const struct hd_member *m = &c->members[i];
        bool other = m != r->targets[0];
        if ((m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY || m->role == HD_ROLE_DATA) &&
            count < PEERS_MAX) {
            faults[count++] = (struct hd_drill_fault){.point = "net.cut", .target = m->address};
        }
        if (m->role == HD_ROLE_DATA && other && count < PEERS_MAX) {
            faults[count++] =
                (struct hd_drill_fault){.point = "net.cut", .target = hd_drill_rpc_address(c, m)};
        }
    }
    int rc = set(r, r->targets[0], faults, count);
    if (rc == 0) {
        hd_drill_say(r, "fault", "%s is cut off from meta, the other nodes and all clients",
                     r->targets[0]->name);
    }
    return rc;
}

int hd_drill_clock_jump(struct hd_drill_run *r)
{
    static const struct {
        enum hd_role role;
        int64_t value_ms;
    } jumps[] = {{HD_ROLE_META, HOUR_MS}, {HD_ROLE_DATA, -HOUR_MS}};
    for (size_t j = 0; j < HD_ARRAY_COUNT(jumps); j++) {
        for (size_t i = 0; i < r->cluster.member_count; i++) {
            const struct hd_member *m = &r->cluster.members[i];
            if (m->role != jumps[j].role) {
                continue;
            }
            int rc =
                set(r, m,
                    &(struct hd_drill_fault){.point = "clock.jump", .value = jumps[j].value_ms}, 1);
            if (rc < 0) {
                return rc;
            }
            hd_drill_say(r, "fault", "the clock of %s jumps %s an hour", m->name,
                         jumps[j].value_ms > 0 ? "forward" : "back");
            break; /* one of each role */
        }
    }
    return 0;
}
