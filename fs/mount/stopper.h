/*
 * The thread that ends a mount on SIGTERM and SIGINT. It works from before meta is first asked to
 * the end of the program, and never waits for meta or for the kernel itself: a mount whose meta is
 * gone ends within HD_LEAVE_PATIENCE_MS and a little.
 */
#ifndef HD_MOUNT_STOPPER_H
#define HD_MOUNT_STOPPER_H

#include "fs/mount/device.h"

#include <pthread.h>

enum { HD_LEAVE_PATIENCE_MS = 2000 }; /* for a meta that answers nothing */

struct hd_stopper {
    struct hd_fs *fs;
    int signal_fd;
    int wake_fd; /* eventfd */
    pthread_t thread;
    pthread_t loop_thread; /* the one in libfuse's loop, woken to end it */
    pthread_t unmounter;
    struct hd_device *unmounting;       /* what the unmounter takes; NULL: there is none */
    _Atomic(struct hd_device *) device; /* what is to be unmounted; NULL: nothing yet */
    _Atomic bool ending;
};

/* Until something is mounted a signal only makes calls to meta end. */
int hd_stopper_start(struct hd_stopper *s, struct hd_fs *fs, int signal_fd);

/* From now on a signal unmounts d. Call in the thread that will run libfuse's loop. */
void hd_stopper_serve(struct hd_stopper *s, struct hd_device *d);

/* libfuse's loop has ended: there is nothing to unmount any more. */
void hd_stopper_served(struct hd_stopper *s);

void hd_stopper_stop(struct hd_stopper *s); /* joins; takes one that was never started */

#endif
