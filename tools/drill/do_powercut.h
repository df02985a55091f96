/* The drill of a power cut. For the catalogue. */
#ifndef HD_TOOLS_DRILL_DO_POWERCUT_H
#define HD_TOOLS_DRILL_DO_POWERCUT_H

struct hd_drill_run;

int hd_drill_watch_writes(struct hd_drill_run *r); /* prepare: daemons note what they do not sync */
int hd_drill_power_cut(struct hd_drill_run *r);
int hd_drill_power_back(struct hd_drill_run *r); /* heal: they start on what a disk would hold */

/* Runs howdah-powercut undo; nothing without the journal file. */
int hd_drill_undo_writes(const char *journal, const char *seed);

#endif
