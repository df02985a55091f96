/* Which daemons a drill acts on. */
#ifndef HD_TOOLS_DRILL_TARGET_H
#define HD_TOOLS_DRILL_TARGET_H

struct hd_drill_run;

/*
 * Fills r->targets: the named members (comma list; NULL: drawn by the run's seed from those of the
 * drill's role). -EINVAL with a sentence.
 */
int hd_drill_target(struct hd_drill_run *r, const char *names);

#endif
