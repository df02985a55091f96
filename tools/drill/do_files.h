/* Drills on files: rot, tears and losses behind the daemons' backs. For the catalogue. */
#ifndef HD_TOOLS_DRILL_DO_FILES_H
#define HD_TOOLS_DRILL_DO_FILES_H

struct hd_drill_run;

/* A replica of a file the drill wrote, which has other copies, rots. */
int hd_drill_corrupt_block(struct hd_drill_run *r);
int hd_drill_read_rotten(struct hd_drill_run *r); /* hold: it is read all the time */
int hd_drill_scan_rotten(struct hd_drill_run *r); /* heal: a scan has to find and replace it */

/* Meta is killed, and meets at its next start: */
int hd_drill_corrupt_meta_file(struct hd_drill_run *r); /* rot in its image or its view */
int hd_drill_tear_edits(struct hd_drill_run *r);        /* half a record at the log's end */
int hd_drill_tear_image(struct hd_drill_run *r);        /* half of the newest image, no view */
int hd_drill_lose_leveldb(struct hd_drill_run *r);      /* no view */
int hd_drill_two_images(struct hd_drill_run *r);    /* prepare: an older image to fall back on */
int hd_drill_start_damaged(struct hd_drill_run *r); /* heal: it has to start by itself */

#endif
