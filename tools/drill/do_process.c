/* Drills on processes. See do_process.h. */
#include "tools/drill/do_process.h"
#include "tools/drill/drill.h"
#include "tools/process.h"
#include "fs/base/error.h"

#include <errno.h>
#include <signal.h>

enum { STOP_GRACE_MS = 10000, ROLL_WHOLE_MS = 60000 };

int hd_drill_signal(struct hd_drill_run *r, const struct hd_member *m, int number, const char *done)
{
    pid_t pid = hd_process_find(&r->cluster, m);
    if (pid == 0) {
        return hd_fail(-ESRCH, "%s does not run", m->name);
    }
    if (kill(pid, number) < 0) {
        return hd_fail_errno(errno, "%s: signal %d to process %d", m->name, number, (int)pid);
    }
    hd_drill_say(r, "fault", "%s %s (pid %d, SIG%s)", m->name, done, (int)pid,
                 sigabbrev_np(number));
    return 0;
}

int hd_drill_kill(struct hd_drill_run *r)
{
    int rc = 0;
    for (int t = 0; rc == 0 && t < r->drill->targets; t++) {
        rc = hd_drill_signal(r, r->targets[t], SIGKILL, "killed"); /* START is in the journal */
    }
    return rc;
}

int hd_drill_pause(struct hd_drill_run *r)
{
    int rc = 0;
    for (int t = 0; rc == 0 && t < r->drill->targets; t++) {
        rc = hd_drill_undo(r, HD_UNDO_CONTINUE, r->targets[t]->name);
        rc = rc == 0 ? hd_drill_signal(r, r->targets[t], SIGSTOP, "paused") : rc;
    }
    return rc;
}

int hd_drill_reboot_all(struct hd_drill_run *r)
{
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if (m->role == HD_ROLE_MOUNT) {
            continue;
        }
        int rc = hd_drill_signal(r, m, SIGKILL, "killed");
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int hd_drill_stop_member(struct hd_drill_run *r, const struct hd_member *m)
{
    pid_t pid = hd_process_find(&r->cluster, m);
    int rc = pid != 0 ? hd_process_stop(&pid, 1, STOP_GRACE_MS, 0) : 0;
    return HD_MIN(rc, 0);
}

int hd_drill_start_all(struct hd_drill_run *r)
{
    return hd_drill_start_cluster(&r->cluster, r->no_mount);
}

/* As an upgrade is done: the next one only once the cluster is whole again. */
int hd_drill_rolling_restart(struct hd_drill_run *r)
{
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        if (m->role == HD_ROLE_MOUNT) {
            continue;
        }
        hd_drill_say(r, "fault", "%s restarted", m->name);
        int rc = hd_drill_stop_member(r, m);
        rc = rc == 0 ? hd_drill_start_all(r) : rc;
        rc = rc == 0 ? hd_drill_wait_whole(r, ROLL_WHOLE_MS) : rc;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

int hd_drill_no_wait(struct hd_drill_run *r)
{
    (void)r;
    return hd_drill_interrupted() ? -ECANCELED : 0;
}
