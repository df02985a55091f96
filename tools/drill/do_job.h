/* Drills on the job runner: a job must end with the right output. For the catalogue. */
#ifndef HD_TOOLS_DRILL_DO_JOB_H
#define HD_TOOLS_DRILL_DO_JOB_H

struct hd_drill_run;

int hd_drill_kill_under_job(struct hd_drill_run *r);  /* SIGKILL to the target while a job runs */
int hd_drill_pause_under_job(struct hd_drill_run *r); /* SIGSTOP */
int hd_drill_end_job(struct hd_drill_run *r);         /* heal: the job's end, and its output */

#endif
