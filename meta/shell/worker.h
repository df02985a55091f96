/*
 * A thread that does blocking work for the loop: run(job) there, then done(job) on the loop.
 *
 * Jobs run one after the other, in order. A job is embedded in its owner's struct.
 */
#ifndef HD_META_SHELL_WORKER_H
#define HD_META_SHELL_WORKER_H

#include "fs/base/list.h"

struct hd_loop;
struct hd_worker;

struct hd_job {
    struct hd_list node; /* the worker's */
    void (*run)(struct hd_job *job);
    void (*done)(struct hd_job *job); /* frees it, as a rule */
    bool cancelled;                   /* done() is called without run(): the worker was stopped */
};

int hd_worker_start(const char *name, struct hd_loop *loop, struct hd_worker **ret);
void hd_worker_add(struct hd_worker *w, struct hd_job *job); /* any thread */

/*
 * Lets the running job end and ends the thread; done() of what ran is in the loop's mailbox then.
 * Jobs that did not run are cancelled, here. On the loop's thread.
 */
void hd_worker_stop(struct hd_worker *w); /* takes NULL */

#endif
