/*
 * A power cut on machines whose power cannot be cut: meta, the secondary and the data nodes run
 * under a library that notes every write and change of names until a sync made it durable
 * (howdah-powercut(1)). Then all are killed in one moment, and what was not durable is taken back,
 * whole or in part, as the seed draws it.
 *
 * A kill alone is no power cut: the page cache survives it.
 */
#include "tools/drill/do_powercut.h"
#include "tools/drill/do_process.h"
#include "tools/drill/drill.h"
#include "tools/process.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { UNDO_TIMEOUT_MS = 300000 };

static const char library[] = "libhowdah-powercut.so";

static bool takes_part(const struct hd_member *m)
{
    return m->role == HD_ROLE_META || m->role == HD_ROLE_SECONDARY || m->role == HD_ROLE_DATA;
}

/* Beside the programs of a build, or where packages put libraries. */
static int find_library(char out[HD_PATH_BYTES])
{
    static const char *const places[] = {"", "../lib/howdah/", "../lib/"};
    char self[HD_PATH_BYTES];
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0) {
        return hd_fail_errno(errno, "/proc/self/exe");
    }
    self[n] = '\0';
    strrchr(self, '/')[1] = '\0';
    for (size_t i = 0; i < HD_ARRAY_COUNT(places); i++) {
        if (snprintf(out, HD_PATH_BYTES, "%s%s%s", self, places[i], library) < HD_PATH_BYTES &&
            access(out, R_OK) == 0) {
            return 0;
        }
    }
    return hd_fail(-EINVAL,
                   "this drill needs %s, which is not beside the programs; it belongs to the "
                   "package.",
                   library);
}

static int journal_path(const struct hd_drill_run *r, const struct hd_member *m,
                        char out[HD_PATH_BYTES])
{
    return snprintf(out, HD_PATH_BYTES, "%s/%s.powercut", r->dir, m->name) < HD_PATH_BYTES
               ? 0
               : hd_fail(-ENAMETOOLONG, "%s", r->dir);
}

/* The directories of a member, as the library wants them; all where hard links can reach. */
static int watched_dirs(const struct hd_drill_run *r, const struct hd_member *m,
                        char out[HD_PATH_BYTES])
{
    char dirs[HD_PATH_BYTES];
    char *rest = dirs;
    struct stat here;
    struct stat there;
    size_t used = 0;
    snprintf(dirs, sizeof(dirs), "%s", m->dirs);
    if (stat(r->dir, &here) < 0) {
        return hd_fail_errno(errno, "%s", r->dir);
    }
    for (char *dir; (dir = strsep(&rest, ",")) != NULL;) {
        dir += strspn(dir, " ");
        if (stat(dir, &there) < 0 || there.st_dev != here.st_dev) {
            return hd_fail(-EINVAL,
                           "%s is not on the file system of %s; this drill works only where all "
                           "directories share one.",
                           dir, r->base);
        }
        used +=
            (size_t)snprintf(out + used, HD_PATH_BYTES - used, "%s%s", used > 0 ? ":" : "", dir);
    }
    return 0;
}

/* Starts one member with the library in front. */
static int start_watched(struct hd_drill_run *r, const struct hd_member *m, const char *preload)
{
    char journal[HD_PATH_BYTES];
    char dirs[HD_PATH_BYTES];
    char pid_text[16];
    pid_t pid = 0;
    int rc = journal_path(r, m, journal);
    rc = rc == 0 ? watched_dirs(r, m, dirs) : rc;
    if (rc < 0) {
        return rc;
    }
    setenv("LD_PRELOAD", preload, 1);
    setenv("HOWDAH_POWERCUT_DIRS", dirs, 1);
    setenv("HOWDAH_POWERCUT_JOURNAL", journal, 1);
    rc = hd_process_start(&r->cluster, m, "", &pid);
    unsetenv("LD_PRELOAD");
    unsetenv("HOWDAH_POWERCUT_DIRS");
    unsetenv("HOWDAH_POWERCUT_JOURNAL");
    snprintf(pid_text, sizeof(pid_text), "%d", (int)pid);
    return rc == 0 ? hd_drill_undo(r, HD_UNDO_RESTART, m->name, pid_text) : rc;
}

int hd_drill_watch_writes(struct hd_drill_run *r)
{
    char preload[HD_PATH_BYTES];
    int rc = find_library(preload);
    for (size_t i = 0; rc == 0 && i < r->cluster.member_count; i++) {
        const struct hd_member *m = &r->cluster.members[i];
        char dirs[HD_PATH_BYTES];
        if (takes_part(m)) {
            rc = watched_dirs(r, m, dirs);
        }
    }
    if (rc == 0) {
        hd_drill_say(r, "prepare", "meta, secondary and data nodes restart under %s", library);
    }
    for (size_t i = r->cluster.member_count; rc == 0 && i-- > 0;) {
        if (takes_part(&r->cluster.members[i])) {
            rc = hd_drill_stop_member(r, &r->cluster.members[i]);
        }
    }
    for (size_t i = 0; rc == 0 && i < r->cluster.member_count; i++) {
        if (takes_part(&r->cluster.members[i])) {
            rc = start_watched(r, &r->cluster.members[i], preload);
        }
    }
    rc = rc == 0 ? hd_drill_start_all(r) : rc;
    return rc == 0 ? hd_drill_wait_whole(r, 60000) : rc;
}

int hd_drill_undo_writes(const char *journal, const char *seed)
{
    char program[HD_PATH_BYTES];
    struct stat st;
    if (stat(journal, &st) < 0) {
        return 0;
    }
    int rc = hd_process_program("howdah-powercut", program);
    if (rc < 0) {
        return rc;
    }
    const char *const argv[] = {program, "undo", journal, "--drop", "random", "--seed", seed, NULL};
    rc = hd_process_run(argv, UNDO_TIMEOUT_MS);
    return rc == 0
               ? 0
               : hd_fail(rc < 0 ? rc : -EIO, "howdah-powercut undo %s ended with %d", journal, rc);
}

/* All in one moment: no time to tell each other. */
static int kill_all(struct hd_drill_run *r)
{
    pid_t pids[HD_NODES_MAX + 2];
    size_t count = 0;
    for (size_t i = 0; i < r->cluster.member_count; i++) {
        pid_t pid = takes_part(&r->cluster.members[i])
                        ? hd_process_find(&r->cluster, &r->cluster.members[i])
                        : 0;
        if (pid != 0) {
            pids[count++] = pid;
        }
    }
    hd_drill_say(r, "fault", "%zu daemons are killed in one moment", count);
    for (size_t i = 0; i < count; i++) {
        kill(pids[i], SIGKILL);
    }
    int rc = hd_process_stop(pids, count, 5000, 0); /* waits for their end */
    return HD_MIN(rc, 0);
}

int hd_drill_power_cut(struct hd_drill_run *r)
{
    char seed[24];
    snprintf(seed, sizeof(seed), "%" PRIu64, r->seed);
    /* The load goes on for the drill's time under the library before the cut. */
    int rc = hd_drill_wait(r, r->for_ms);
    rc = rc == 0 ? kill_all(r) : rc;
    for (size_t i = 0; rc == 0 && i < r->cluster.member_count; i++) {
        char journal[HD_PATH_BYTES];
        if (takes_part(&r->cluster.members[i])) {
            rc = journal_path(r, &r->cluster.members[i], journal);
            rc = rc == 0 ? hd_drill_undo(r, HD_UNDO_POWERCUT, journal, seed) : rc;
            rc = rc == 0 ? hd_drill_undo_writes(journal, seed) : rc;
        }
    }
    if (rc == 0) {
        hd_drill_say(r, "fault", "what was not synced is gone from their disks, as seed %s has it",
                     seed);
    }
    return rc;
}

int hd_drill_power_back(struct hd_drill_run *r)
{
    int64_t begin_ms = hd_clock_mono_ms().v;
    int rc = hd_drill_start_all(r);
    if (rc < 0) {
        hd_drill_blame(r, "not everything starts after the power cut: %.300s",
                       hd_fail_describe(rc));
    } else {
        hd_drill_say(r, "mended", "the cluster serves again after %.1f s",
                     (double)(hd_clock_mono_ms().v - begin_ms) / 1e3);
    }
    return 0;
}
