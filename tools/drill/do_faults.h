/* Drills through the daemons' fault tables (howdah.FaultProtocol). For the catalogue. */
#ifndef HD_TOOLS_DRILL_DO_FAULTS_H
#define HD_TOOLS_DRILL_DO_FAULTS_H

struct hd_drill_run;

int hd_drill_slow_disk(struct hd_drill_run *r); /* each operation on a target's disk takes longer */
int hd_drill_full_disk(struct hd_drill_run *r); /* a target's disk has almost no room */
int hd_drill_dead_disk(struct hd_drill_run *r); /* each operation on it fails */
int hd_drill_partition(struct hd_drill_run *r); /* a target cannot talk to anybody */
int hd_drill_clock_jump(struct hd_drill_run *r); /* meta's clock goes forward, a node's back */

#endif
