/* The keeper thread. See keeper.h. */
#include "fs/mount/keeper.h"
#include "fs/mount/io.h"
#include "fs/mount/stage.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/daemon.h"
#include "fs/os/log.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { TICK_MS = 1000, DIRTY_AT_ONCE = 256, READ_AHEAD_KIB = 4096, TRIM_MS = 10000 };

static void send_waiting(struct hd_mount *m)
{
    struct hd_node *nodes[DIRTY_AT_ONCE];
    size_t count = hd_inode_dirty_nodes(&m->inodes, nodes, DIRTY_AT_ONCE);
    int64_t before = hd_clock_mono_ms().v - m->options->write_behind_ms;
    for (size_t i = 0; i < count; i++) {
        /* Who holds it is writing or completing: the next turn sees what is left. */
        if (pthread_mutex_trylock(&nodes[i]->io) == 0) {
            int64_t since = hd_stage_waiting_since(nodes[i]);
            if (since != 0 && since <= before) {
                (void)hd_stage_flush(m, nodes[i], false);
            }
            pthread_mutex_unlock(&nodes[i]->io);
        }
        hd_inode_put(&m->inodes, nodes[i]);
    }
}

static void *keep(void *arg)
{
    struct hd_keeper *k = arg;
    bool told = false;
    int64_t watchdog_ms = hd_daemon_watchdog_ms();
    int64_t next_watchdog = 0;
    int64_t next_trim = 0;
    while (!atomic_load(&k->stopping)) {
        struct pollfd wake = {.fd = k->wake_fd, .events = POLLIN};
        (void)poll(&wake, 1, TICK_MS);
        if ((wake.revents & POLLIN) != 0) {
            uint64_t count;
            (void)!read(k->wake_fd, &count, sizeof(count));
        }
        if (atomic_load(&k->ready) && !told) {
            told = true;
            hd_device_read_ahead(k->device, READ_AHEAD_KIB);
            hd_daemon_notify("READY=1");
        }
        send_waiting(k->mount);
        hd_io_tend(k->mount);
        if (hd_clock_mono_ms().v >= next_trim) {
            next_trim = hd_clock_mono_ms().v + TRIM_MS;
            if (hd_buffers_trim(&k->mount->buffers)) {
                (void)malloc_trim(0);
            }
        }
        if (watchdog_ms > 0 && hd_clock_mono_ms().v >= next_watchdog) {
            hd_daemon_notify("WATCHDOG=1");
            next_watchdog = hd_clock_mono_ms().v + watchdog_ms;
        }
    }
    return NULL;
}

static void wake(struct hd_keeper *k)
{
    uint64_t one = 1;
    (void)!write(k->wake_fd, &one, sizeof(one));
}

int hd_keeper_start(struct hd_keeper *k, struct hd_mount *m, struct hd_device *d)
{
    k->mount = m;
    k->device = d;
    k->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (k->wake_fd < 0) {
        return hd_fail_errno(errno, "eventfd");
    }
    int rc = pthread_create(&k->thread, NULL, keep, k);
    if (rc != 0) {
        close(k->wake_fd);
        return hd_fail_errno(rc, "starting a thread");
    }
    return 0;
}

void hd_keeper_ready(struct hd_keeper *k)
{
    atomic_store(&k->ready, true);
    wake(k);
}

void hd_keeper_stop(struct hd_keeper *k)
{
    atomic_store(&k->stopping, true);
    wake(k);
    pthread_join(k->thread, NULL);
    close(k->wake_fd);
}
