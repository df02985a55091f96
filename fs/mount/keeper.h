/*
 * The thread beside libfuse's: it sends bytes that have waited long enough to the data nodes,
 * answers the service manager's watchdog, and unmounts on SIGTERM and SIGINT.
 */
#ifndef HD_MOUNT_KEEPER_H
#define HD_MOUNT_KEEPER_H

#include "fs/mount/device.h"

struct hd_keeper {
    struct hd_mount *mount;
    struct hd_device *device;
    pthread_t thread;
    pthread_t loop_thread; /* the one in libfuse's loop, woken to end it */
    int signal_fd;
    int wake_fd; /* eventfd */
    _Atomic bool ready;
    _Atomic bool stopping;
};

/* Call in the thread that will run libfuse's loop. */
int hd_keeper_start(struct hd_keeper *k, struct hd_mount *m, struct hd_device *d, int signal_fd);
void hd_keeper_ready(struct hd_keeper *k); /* the mount is usable */
void hd_keeper_stop(struct hd_keeper *k);  /* joins */

#endif
