/*
 * The daemons of a cluster as processes: pid files, starting detached, stopping.
 *
 * A pid file counts only while its process is alive (not a zombie) and is ours: the program of the
 * member, started with this cluster's howdah.conf. So a recycled pid is never taken for a daemon,
 * and never killed.
 */
#ifndef HD_TOOLS_PROCESS_H
#define HD_TOOLS_PROCESS_H

#include "tools/cluster.h"

#include <sys/types.h>

/* The pid of the running member, 0 when it does not run. */
pid_t hd_process_find(const struct hd_cluster *c, const struct hd_member *m);

/* What the pid file says, alive or not; 0 without one. */
pid_t hd_process_recorded(const struct hd_cluster *c, const struct hd_member *m);

/*
 * True when cmdline (size bytes of NUL-ended arguments, as in /proc/PID/cmdline) is the member's:
 * same program, this configuration, this name or mount path.
 */
bool hd_process_is_member(const struct hd_cluster *c, const struct hd_member *m,
                          const char *cmdline, size_t size);

/*
 * Starts the member detached: own session, cwd /, stdin /dev/null, stdout and stderr appended to
 * its log, NOTIFY_SOCKET as given. Writes its pid file. The process is a child of the caller.
 */
int hd_process_start(const struct hd_cluster *c, const struct hd_member *m,
                     const char *notify_socket, pid_t *ret_pid);

/*
 * Sends SIGTERM to all pids at once, waits up to grace_ms for them to end (up to busy_ms for as
 * long as one of them writes: it is bringing its data to safety), then SIGKILL. Removes nothing.
 * Pids of 0 are skipped. Returns how many needed SIGKILL (of the pids those alone are left, then),
 * or -EPERM when one may not be signalled, -EBUSY when one does not end at all.
 */
int hd_process_stop(pid_t *pids, size_t count, int grace_ms, int busy_ms);

/* True while pid is a process that is not a zombie. */
bool hd_process_alive(pid_t pid);

/* Finds a program beside the running one, else on PATH. -ENOENT. */
int hd_process_program(const char *name, char out[HD_PATH_BYTES]);

/*
 * Waits for a child, at most timeout_ms: its exit code, or a negative errno. One that is late is
 * killed, and left alone when that does not end it either (a call on a mount nobody serves).
 */
int hd_process_wait(pid_t child, int timeout_ms);

/* Runs argv to its end, silently, at most timeout_ms; as hd_process_wait. */
int hd_process_run(const char *const argv[], int timeout_ms);

#endif
