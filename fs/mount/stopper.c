/*
 * The stopper. See stopper.h. Unmounting has a thread of its own: the kernel may write back first,
 * which needs meta, which has to be given up meanwhile.
 */
#include "fs/mount/stopper.h"
#include "fs/mount/mount.h"
#include "fs/base/error.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum { LEAVE_EVERY_MS = 100 };

/* Ends libfuse's loop when a blocking call returns with EINTR. */
static void on_wake(int signal)
{
    (void)signal;
}

/* After a lazy unmount the kernel goes on for those who have files open; we do not. */
static void *unmount(void *arg)
{
    struct hd_stopper *s = arg;
    struct hd_device *d = s->unmounting;
    int rc = hd_device_unmount(d);
    if (rc < 0) {
        hd_log_error("unmount failed", "text=\"%s\"", hd_fail_describe(rc));
    }
    if (rc != 0) {
        fuse_session_exit(d->session);
        pthread_kill(s->loop_thread, SIGUSR1);
    }
    return NULL;
}

static void begin_unmount(struct hd_stopper *s)
{
    if (s->unmounting != NULL || (s->unmounting = atomic_load(&s->device)) == NULL) {
        return;
    }
    if (pthread_create(&s->unmounter, NULL, unmount, s) != 0) {
        s->unmounting = NULL;
    }
}

static bool is_asked_to_end(const struct hd_stopper *s)
{
    struct signalfd_siginfo info;
    return read(s->signal_fd, &info, sizeof(info)) == (ssize_t)sizeof(info) &&
           info.ssi_signo != SIGHUP;
}

static void *watch(void *arg)
{
    struct hd_stopper *s = arg;
    bool leaving = false;
    while (!atomic_load(&s->ending)) {
        struct pollfd fds[] = {{.fd = s->signal_fd, .events = POLLIN},
                               {.fd = s->wake_fd, .events = POLLIN}};
        (void)poll(fds, HD_ARRAY_COUNT(fds), leaving ? LEAVE_EVERY_MS : -1);
        if ((fds[0].revents & POLLIN) != 0 && is_asked_to_end(s) && !leaving) {
            leaving = true;
            hd_daemon_notify("STOPPING=1");
        }
        if (!leaving) {
            continue;
        }
        hd_fs_leave(s->fs, HD_LEAVE_PATIENCE_MS);
        begin_unmount(s);
    }
    return NULL;
}

int hd_stopper_start(struct hd_stopper *s, struct hd_fs *fs, int signal_fd)
{
    s->fs = fs;
    s->signal_fd = signal_fd;
    s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (s->wake_fd < 0) {
        s->fs = NULL;
        return hd_fail_errno(errno, "eventfd");
    }
    struct sigaction sa = {.sa_handler = on_wake};
    sigaction(SIGUSR1, &sa, NULL);
    int rc = pthread_create(&s->thread, NULL, watch, s);
    if (rc != 0) {
        close(s->wake_fd);
        s->fs = NULL;
        return hd_fail_errno(rc, "starting a thread");
    }
    return 0;
}

void hd_stopper_serve(struct hd_stopper *s, struct hd_device *d)
{
    s->loop_thread = pthread_self();
    atomic_store(&s->device, d);
}

void hd_stopper_served(struct hd_stopper *s)
{
    atomic_store(&s->device, NULL);
}

void hd_stopper_stop(struct hd_stopper *s)
{
    if (s->fs == NULL) {
        return;
    }
    uint64_t one = 1;
    atomic_store(&s->ending, true);
    (void)!write(s->wake_fd, &one, sizeof(one));
    pthread_join(s->thread, NULL);
    if (s->unmounting != NULL) {
        pthread_join(s->unmounter, NULL);
    }
    close(s->wake_fd);
    s->fs = NULL;
}
