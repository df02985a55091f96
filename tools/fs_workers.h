/*
 * A few threads that do jobs side by side: how the shell copies trees of small files, so that the
 * group commit of meta serves several of them at once.
 */
#ifndef HD_TOOLS_FS_WORKERS_H
#define HD_TOOLS_FS_WORKERS_H

struct hd_workers;

/* Starts threads; fn does one job, on any of them. 0 or a negative errno. */
int hd_workers_new(int threads, void (*fn)(void *job), struct hd_workers **ret);

/* Hands over a job, in the order of calls; waits while many are queued. One thread calls. */
void hd_workers_put(struct hd_workers *w, void *job);

/* Waits until every job is done, ends the threads and frees. Takes NULL. */
void hd_workers_finish(struct hd_workers *w);

#endif
