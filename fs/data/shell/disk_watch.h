/*
 * Watching the disks: a thread each directory looks at its space every second and tries a small
 * durable write every few (hd_store_look), so that nobody else waits for a disk that is slow, hangs
 * or is dead. A directory that fails is told to meta at once. One more thread cleans replicas that
 * were changed in place (hd_store_clean).
 */
#ifndef HD_DATA_SHELL_DISK_WATCH_H
#define HD_DATA_SHELL_DISK_WATCH_H

#include "fs/base/arena.h"
#include "fs/data/shell/data.h"

#include "datanode.pb-c.h"

struct hd_disk_watch;

int hd_disk_watch_start(struct hd_data *d, struct hd_disk_watch **ret);

/*
 * Takes NULL. A thread that hangs with its disk is waited for a moment, then left behind: false,
 * and the store has to stay.
 */
bool hd_disk_watch_stop(struct hd_disk_watch *w);

/* Fills slow_disks of a heartbeat: what a small write takes, for meta to compare nodes by. */
void hd_disk_watch_report(struct hd_data *d, struct hd_arena *arena, Hdw__SendHeartbeatRequest *q);

/* What meta made of it: is this node slow against the others? The control thread. */
void hd_disk_watch_judged(struct hd_data *d, bool slow);

#endif
