/*
 * The thread that looks after contents with open blocks: what lies about for a moment is sent, and
 * a block nobody writes to is closed. One a session, alive from the first open block on. Inside the
 * room.
 */
#ifndef HD_CLIENT_CONTENT_TENDER_H
#define HD_CLIENT_CONTENT_TENDER_H

#include "fs/base/list.h"

#include <pthread.h>

struct hd_content_tender {
    pthread_mutex_t lock;
    pthread_cond_t wake;    /* of the thread */
    pthread_cond_t tended;  /* of who waits until one is let go */
    struct hd_list waiting; /* of hd_tended.link */
    pthread_t thread;
    bool running;
    bool stopping;
};

/* In a content. */
struct hd_tended {
    struct hd_list link;
    void (*tend)(struct hd_tended *t); /* called about every second; may block */
    bool listed;
    bool busy; /* tend runs */
};

void hd_content_tender_init(struct hd_content_tender *t);
void hd_content_tender_stop(struct hd_content_tender *t); /* nothing may be listed */

/* From now on, until remove; both may be called again. add: an error when there is no thread. */
int hd_content_tender_add(struct hd_content_tender *t, struct hd_tended *what);

/* Returns when its tend does not run, and will not. Not to be called in tend. */
void hd_content_tender_remove(struct hd_content_tender *t, struct hd_tended *what);

#endif
