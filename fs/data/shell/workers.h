/*
 * A small pool of threads for work that blocks. Threads are started when there is work and end when
 * there has been none for a while, so an idle daemon has none. Bounded in threads and in work
 * waiting.
 */
#ifndef HD_DATA_SHELL_WORKERS_H
#define HD_DATA_SHELL_WORKERS_H

struct hd_workers;

int hd_workers_new(int threads_max, int waiting_max, struct hd_workers **ret);

/* Runs fn(ctx) some time soon on a thread of the pool. -EAGAIN when too much waits; -ENOMEM. */
int hd_workers_run(struct hd_workers *w, void (*fn)(void *ctx), void *ctx);

/* Lets the work that runs and waits come to its end, then frees. Takes NULL. */
void hd_workers_free(struct hd_workers *w);

#endif
