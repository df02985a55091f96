/* /dev/fuse. See device.h. */
#include "fs/mount/device.h"
#include "fs/base/error.h"
#include "fs/os/log.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { MOUNT_DATA_BYTES = 256 };

/* The kernel's requests on their way to libfuse. The first is FUSE_INIT. */
static ssize_t device_read(int fd, void *buf, size_t size, void *userdata)
{
    struct hd_mount *m = userdata;
    struct hd_device *d = m->device;
    ssize_t n = read(fd, buf, size);
    if (!d->shaken && n > 0) {
        (void)hd_init_request_decode(buf, (size_t)n, &d->offer);
    }
    return n;
}

/* libfuse's answers on their way to the kernel. */
static ssize_t device_writev(int fd, struct iovec *iov, int count, void *userdata)
{
    struct hd_mount *m = userdata;
    struct hd_device *d = m->device;
    if (d->shaken) {
        return writev(fd, iov, count);
    }
    uint8_t reply[HD_INIT_REPLY_BYTES];
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        if (size + iov[i].iov_len > sizeof(reply)) {
            return writev(fd, iov, count);
        }
        memcpy(reply + size, iov[i].iov_base, iov[i].iov_len);
        size += iov[i].iov_len;
    }
    if (!hd_init_reply_matches(reply, size, &d->offer)) {
        return writev(fd, iov, count);
    }
    bool want = d->direct && m->options->passthrough;
    bool on = hd_init_reply_complete(reply, &d->offer, want, m->posix != NULL);
    atomic_store(&m->passthrough, on);
    d->shaken = true;
    return write(fd, reply, size);
}

static const struct fuse_custom_io device_io = {.read = device_read, .writev = device_writev};

static int run_fusermount(const char *path)
{
    char program[] = "fusermount3";
    char unmount[] = "-u";
    char quiet[] = "-q";
    char lazy[] = "-z";
    char end[] = "--";
    char *target = strdup(path);
    char *argv[] = {program, unmount, quiet, lazy, end, target, NULL};
    pid_t pid;
    int status = -1;
    int rc = target == NULL ? ENOMEM : posix_spawnp(&pid, program, NULL, NULL, argv, environ);
    if (rc == 0) {
        while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
        }
    }
    free(target);
    if (rc != 0 || status != 0) {
        return hd_fail(-EPERM, "fusermount3 -u %s did not work", path);
    }
    return 0;
}

/* Where a mount whose process was killed still stands, the path is in the way: detach it. */
static int prepare_path(const char *path, char **ret)
{
    struct stat st;
    if (stat(path, &st) < 0 && errno == ENOTCONN) {
        if (umount2(path, MNT_DETACH) < 0 && run_fusermount(path) < 0) {
            return hd_fail_errno(ENOTCONN, "%s: a dead mount is there and does not go away", path);
        }
        hd_log_info("dead mount detached", "path=%s", path);
    }
    if (stat(path, &st) < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    if (!S_ISDIR(st.st_mode)) {
        return hd_fail(-ENOTDIR, "%s: not a directory", path);
    }
    *ret = realpath(path, NULL);
    return *ret != NULL ? 0 : hd_fail_errno(errno, "%s", path);
}

static int new_session(struct hd_device *d, const struct hd_mount_options *o,
                       const struct fuse_lowlevel_ops *ops, bool helper)
{
    struct fuse_args args = FUSE_ARGS_INIT(0, NULL);
    char list[512];
    int rc = fuse_opt_add_arg(&args, "howdah-mount");
    if (rc == 0 && helper) {
        snprintf(list, sizeof(list), "-ofsname=%.400s,subtype=howdah,default_permissions%s%s",
                 o->uri, o->allow_other ? ",allow_other" : "", o->read_only ? ",ro" : "");
        rc = fuse_opt_add_arg(&args, list);
    }
    if (rc == 0 && o->debug) {
        rc = fuse_opt_add_arg(&args, "-odebug");
    }
    if (rc == 0) {
        d->session = fuse_session_new(&args, ops, sizeof(*ops), d->mount);
    }
    fuse_opt_free_args(&args);
    return d->session != NULL ? 0 : hd_fail(-EINVAL, "libfuse refused its options");
}

static int attach_io(struct hd_device *d, int fd)
{
    int rc = fuse_session_custom_io(d->session, &device_io, fd);
    return rc == 0 ? 0 : hd_fail(-EINVAL, "libfuse refused /dev/fuse");
}

/* mount(2); -EPERM when we may not. */
static int mount_direct(struct hd_device *d, const struct hd_mount_options *o,
                        const struct fuse_lowlevel_ops *ops)
{
    int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        return hd_fail_errno(errno, "/dev/fuse");
    }
    char data[MOUNT_DATA_BYTES];
    snprintf(data, sizeof(data),
             "fd=%d,rootmode=40000,user_id=%u,group_id=%u,default_permissions%s", fd, geteuid(),
             getegid(), o->allow_other ? ",allow_other" : "");
    int rc = new_session(d, o, ops, false);
    if (rc < 0) {
        close(fd);
        return rc;
    }
    unsigned long flags = o->mount_flags | (o->read_only ? MS_RDONLY : 0);
    if (mount(o->uri, d->path, "fuse.howdah", flags, data) < 0) {
        rc = hd_fail_errno(errno, "mount %s at %s", o->uri, d->path);
        close(fd);
        fuse_session_destroy(HD_TAKE_PTR(d->session));
        return rc;
    }
    d->direct = true;
    d->mounted = true;
    return attach_io(d, fd);
}

static int mount_helper(struct hd_device *d, const struct hd_mount_options *o,
                        const struct fuse_lowlevel_ops *ops)
{
    int rc = new_session(d, o, ops, true);
    if (rc < 0) {
        return rc;
    }
    if (fuse_session_mount(d->session, d->path) != 0) {
        return hd_fail(-EPERM, "%s: fusermount3 could not mount (see above)", d->path);
    }
    d->mounted = true;
    return attach_io(d, fuse_session_fd(d->session));
}

int hd_device_open(struct hd_device *d, const struct hd_mount_options *o,
                   const struct fuse_lowlevel_ops *ops, struct hd_mount *m)
{
    *d = (struct hd_device){.mount = m};
    m->device = d;
    int rc = prepare_path(o->path, &d->path);
    if (rc == 0) {
        rc = geteuid() == 0 ? mount_direct(d, o, ops) : -EPERM;
        if (rc == -EPERM) {
            rc = mount_helper(d, o, ops);
        }
    }
    if (rc < 0) {
        hd_device_close(d);
    }
    return rc;
}

int hd_device_unmount(struct hd_device *d)
{
    if (!d->direct) {
        return run_fusermount(d->path);
    }
    if (umount2(d->path, 0) == 0 || errno == EINVAL || errno == ENOENT) {
        return 0;
    }
    if (errno == EBUSY && umount2(d->path, MNT_DETACH) == 0) {
        return 1;
    }
    return hd_fail_errno(errno, "umount %s", d->path);
}

void hd_device_close(struct hd_device *d)
{
    if (d->session != NULL) {
        if (d->mounted && !d->direct) {
            fuse_session_unmount(d->session);
        } else if (d->mounted && !d->shaken) {
            (void)umount2(d->path, MNT_DETACH);
        }
        fuse_session_destroy(d->session);
    }
    free(d->path);
    *d = (struct hd_device){0};
}

void hd_device_read_ahead(struct hd_device *d, unsigned kib)
{
    struct statx st;
    char file[64];
    char text[16];
    if (!d->direct || statx(AT_FDCWD, d->path, AT_STATX_DONT_SYNC | AT_NO_AUTOMOUNT, 0, &st) < 0) {
        return;
    }
    snprintf(file, sizeof(file), "/sys/class/bdi/%u:%u/read_ahead_kb", st.stx_dev_major,
             st.stx_dev_minor);
    int fd = open(file, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        int n = snprintf(text, sizeof(text), "%u", kib);
        (void)!write(fd, text, (size_t)n);
        close(fd);
    }
}
