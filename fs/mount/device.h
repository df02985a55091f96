/*
 * /dev/fuse and the mount point: mounting, standing between libfuse and the kernel, unmounting.
 */
#ifndef HD_MOUNT_DEVICE_H
#define HD_MOUNT_DEVICE_H

#include "fs/mount/init_reply.h"
#include "fs/mount/mount.h"

struct hd_device {
    struct fuse_session *session;
    struct hd_mount *mount;
    char *path;  /* absolute; heap */
    bool direct; /* mounted with mount(2); else by fusermount3 */
    bool mounted;
    bool shaken; /* FUSE_INIT has been answered */
    struct hd_init_offer offer;
};

/* Mounts. A dead mount at the path is detached first. */
int hd_device_open(struct hd_device *d, const struct hd_mount_options *o,
                   const struct fuse_lowlevel_ops *ops, struct hd_mount *m);

/* Unmounts if it is still mounted, and frees. */
void hd_device_close(struct hd_device *d);

/*
 * Takes the mount away from its users while it is served: at once, or lazily when files are open.
 * 1 when it is gone from the tree but still in use, 0 when it ends by itself, or an error.
 */
int hd_device_unmount(struct hd_device *d);

/* How far the kernel reads ahead; wants root. */
void hd_device_read_ahead(struct hd_device *d, unsigned kib);

#endif
