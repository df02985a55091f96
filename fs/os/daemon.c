/* Daemon habits. See daemon.h. */
#include "fs/os/daemon.h"
#include "fs/base/error.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void hd_daemon_notify(const char *state)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    if (path == NULL || (path[0] != '/' && path[0] != '@') ||
        strlen(path) >= sizeof(addr.sun_path)) {
        return;
    }
    size_t size = strlen(path);
    memcpy(addr.sun_path, path, size);
    if (path[0] == '@') {
        addr.sun_path[0] = '\0';
    }
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return;
    }
    socklen_t addr_size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + size);
    (void)!sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&addr, addr_size);
    close(fd);
}

int64_t hd_daemon_watchdog_ms(void)
{
    const char *usec = getenv("WATCHDOG_USEC");
    long long v = usec != NULL ? atoll(usec) : 0;
    return v > 0 ? HD_MAX(v / 2000, 1) : 0;
}

int hd_daemon_signals(int *ret_fd)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    signal(SIGPIPE, SIG_IGN);
    if (sigprocmask(SIG_BLOCK, &set, NULL) < 0) {
        return hd_fail_errno(errno, "sigprocmask");
    }
    int fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0) {
        return hd_fail_errno(errno, "signalfd");
    }
    *ret_fd = fd;
    return 0;
}
