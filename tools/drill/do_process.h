/* Drills on processes: killing, pausing, restarting. Functions for the catalogue. */
#ifndef HD_TOOLS_DRILL_DO_PROCESS_H
#define HD_TOOLS_DRILL_DO_PROCESS_H

struct hd_drill_run;
struct hd_member;

int hd_drill_kill(struct hd_drill_run *r);            /* SIGKILL to the targets */
int hd_drill_pause(struct hd_drill_run *r);           /* SIGSTOP to the targets */
int hd_drill_reboot_all(struct hd_drill_run *r);      /* SIGKILL to everything but the mount */
int hd_drill_rolling_restart(struct hd_drill_run *r); /* each in turn, in order */
int hd_drill_no_wait(struct hd_drill_run *r);         /* a hold that has nothing to wait for */

/* Sends a signal to a member's process; 0 also when there is none. */
int hd_drill_signal(struct hd_drill_run *r, const struct hd_member *m, int number,
                    const char *done);

/* Stops a member in order (SIGTERM), or by SIGKILL. */
int hd_drill_stop_member(struct hd_drill_run *r, const struct hd_member *m);

/* Starts what does not run, and waits until the cluster can be used. */
int hd_drill_start_all(struct hd_drill_run *r);

#endif
