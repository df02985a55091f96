/*
 * The life of a mount: reach the cluster, mount, serve until it is unmounted, complete what is
 * still being written, go.
 *
 * Run by root the mount is made with mount(2) and we stand between libfuse and /dev/fuse; anybody
 * else goes through fusermount3, which gives everything but passthrough.
 */
#ifndef HD_MOUNT_SESSION_H
#define HD_MOUNT_SESSION_H

#include "fs/mount/options.h"

struct hd_session_hooks {
    void (*ready)(void *arg); /* the mount is usable; called once, in a thread of libfuse */
    void *arg;
};

/*
 * Mounts and serves; returns when it is unmounted (by umount, or by SIGTERM or SIGINT): 0, or an
 * error with a sentence when it could not be mounted. Call it before any thread exists.
 */
int hd_session_run(const struct hd_mount_options *o, const struct hd_session_hooks *hooks);

/* The checks of hd_session_run up to the mount itself. */
int hd_session_check(const struct hd_mount_options *o);

#endif
