/*
 * The thread beside libfuse's: it sends bytes that have waited long enough to the data nodes, and
 * answers the service manager's watchdog.
 */
#ifndef HD_MOUNT_KEEPER_H
#define HD_MOUNT_KEEPER_H

#include "fs/mount/device.h"

struct hd_keeper {
    struct hd_mount *mount;
    struct hd_device *device;
    pthread_t thread;
    int wake_fd; /* eventfd */
    _Atomic bool ready;
    _Atomic bool stopping;
};

int hd_keeper_start(struct hd_keeper *k, struct hd_mount *m, struct hd_device *d);
void hd_keeper_ready(struct hd_keeper *k); /* the mount is usable */
void hd_keeper_stop(struct hd_keeper *k);  /* joins */

#endif
