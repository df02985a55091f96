/* Drills that are an operator's own acts: a node leaves, the secondary takes over. */
#ifndef HD_TOOLS_DRILL_DO_NODES_H
#define HD_TOOLS_DRILL_DO_NODES_H

struct hd_drill_run;

int hd_drill_decommission(struct hd_drill_run *r);
int hd_drill_wait_decommissioned(struct hd_drill_run *r); /* hold */

/* Meta hangs, the secondary is promoted, meta wakes and must not answer any more. */
int hd_drill_promotion(struct hd_drill_run *r);

#endif
