/* Addresses, connecting and listening. See addr.h. */
#include "fs/net/addr.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"
#include "fs/os/file.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { LISTEN_BACKLOG = 1024, PORT_MAX = 65535 };

static int parse_port(const char *text, int *ret_port)
{
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno != 0 || text[0] < '0' || text[0] > '9' || *end != '\0' || port > PORT_MAX) {
        return -EINVAL;
    }
    *ret_port = (int)port;
    return 0;
}

int hd_addr_split(const char *text, int fallback_port, char *host, size_t host_size, int *ret_port)
{
    const char *start = text;
    const char *end;
    const char *rest;
    if (text[0] == '[') {
        start = text + 1;
        end = strchr(start, ']');
        if (end == NULL) {
            return hd_fail(-EINVAL, "%s: no ']' behind the address", text);
        }
        rest = end + 1;
    } else {
        end = strchrnul(text, ':');
        rest = end;
        if (*end == ':' && strchr(end + 1, ':') != NULL) {
            return hd_fail(-EINVAL, "%s: write an IPv6 address as [address]:port", text);
        }
    }
    size_t size = (size_t)(end - start);
    if (size == 0 || size >= host_size) {
        return hd_fail(-EINVAL, "%s: not an address of the form host:port", text);
    }
    int port = fallback_port;
    if (*rest == ':') {
        if (parse_port(rest + 1, &port) < 0) {
            return hd_fail(-EINVAL, "%s: '%s' is not a port", text, rest + 1);
        }
    } else if (*rest != '\0' || fallback_port == 0) {
        return hd_fail(-EINVAL, "%s: not an address of the form host:port", text);
    }
    memcpy(host, start, size);
    host[size] = '\0';
    *ret_port = port;
    return 0;
}

static int resolve(const char *host, int port, int flags, struct addrinfo **ret)
{
    char service[16];
    snprintf(service, sizeof(service), "%d", port);
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = flags | AI_NUMERICSERV};
    int e = getaddrinfo(host, service, &hints, ret);
    if (e == EAI_SYSTEM) {
        return hd_fail_errno(errno, "%s", host);
    }
    if (e == EAI_MEMORY) {
        return -ENOMEM;
    }
    if (e != 0) {
        return hd_fail(-EHOSTUNREACH, "%s: %s", host, gai_strerror(e));
    }
    return 0;
}

/* Waits for a connect under way to end. 0, or the negative errno it ended with. */
static int connect_finish(int fd, int64_t deadline_ms)
{
    for (;;) {
        int64_t left_ms = deadline_ms - hd_clock_mono_ms().v;
        if (left_ms <= 0) {
            return -ETIMEDOUT;
        }
        struct pollfd p = {.fd = fd, .events = POLLOUT};
        int n = poll(&p, 1, (int)HD_MIN(left_ms, (int64_t)INT32_MAX));
        if (n > 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return -errno;
        }
    }
    int e = 0;
    socklen_t size = sizeof(e);
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) < 0) {
        return -errno;
    }
    return -e;
}

static int connect_one(const struct addrinfo *a, const struct addrinfo *source, int64_t deadline_ms,
                       int *ret_fd)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    bool from = source != NULL && source->ai_family == a->ai_family;
    int one = 1;
    if (from) {
        setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
    }
    if (from && bind(fd, source->ai_addr, source->ai_addrlen) < 0) {
        close(fd);
        return connect_one(a, NULL, deadline_ms, ret_fd);
    }
    int err = hd_fault_net_connect(a->ai_addr, deadline_ms);
    if (err == 0 && connect(fd, a->ai_addr, a->ai_addrlen) < 0) {
        err = errno == EINPROGRESS || errno == EINTR ? connect_finish(fd, deadline_ms) : -errno;
    }
    if (err == 0 && fcntl(fd, F_SETFL, 0) < 0) {
        err = -errno;
    }
    if (err < 0) {
        close(fd);
        bool no_way = err == -EINVAL || err == -ENETUNREACH || err == -EADDRNOTAVAIL;
        return from && no_way ? connect_one(a, NULL, deadline_ms, ret_fd) : err;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    *ret_fd = fd;
    return 0;
}

static void done(struct addrinfo *list)
{
    if (list != NULL) {
        freeaddrinfo(list);
    }
}

static int connect_from(const char *source_ip, const char *host, int port, int timeout_ms,
                        int *ret_fd)
{
    struct addrinfo *list;
    struct addrinfo *source = NULL;
    if (source_ip != NULL && source_ip[0] != '\0' &&
        resolve(source_ip, 0, AI_NUMERICHOST, &source) < 0) {
        source = NULL;
    }
    int err = resolve(host, port, AI_NUMERICHOST, &list); /* asks nobody */
    if (err < 0) {
        err = resolve(host, port, AI_ADDRCONFIG, &list);
    }
    if (err < 0) {
        done(source);
        return err;
    }
    int64_t deadline_ms = hd_clock_mono_ms().v + timeout_ms;
    err = -EHOSTUNREACH;
    for (const struct addrinfo *a = list; a != NULL; a = a->ai_next) {
        err = connect_one(a, source, deadline_ms, ret_fd);
        if (err == 0) {
            break;
        }
    }
    freeaddrinfo(list);
    done(source);
    return err < 0 ? hd_fail_errno(-err, "connect to %s:%d", host, port) : 0;
}

int hd_addr_connect(const char *host, int port, int timeout_ms, int *ret_fd)
{
    return connect_from(NULL, host, port, timeout_ms, ret_fd);
}

int hd_addr_connect_text(const char *address, int timeout_ms, int *ret_fd)
{
    return hd_addr_connect_text_from(NULL, address, timeout_ms, ret_fd);
}

int hd_addr_connect_text_from(const char *source_ip, const char *address, int timeout_ms,
                              int *ret_fd)
{
    char host[HD_ADDR_TEXT_BYTES];
    int port;
    int err = hd_addr_split(address, 0, host, sizeof(host), &port);
    return err < 0 ? err : connect_from(source_ip, host, port, timeout_ms, ret_fd);
}

static int unix_address(const char *path, struct sockaddr_un *a)
{
    *a = (struct sockaddr_un){.sun_family = AF_UNIX};
    size_t size = strlen(path);
    if (size == 0 || size >= sizeof(a->sun_path)) {
        return hd_fail(-ENAMETOOLONG, "%s: a socket path has 1 to %zu bytes", path,
                       sizeof(a->sun_path) - 1);
    }
    memcpy(a->sun_path, path, size + 1);
    return 0;
}

int hd_addr_connect_unix(const char *path, int *ret_fd)
{
    struct sockaddr_un a;
    int err = unix_address(path, &a);
    if (err < 0) {
        return err;
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    if (connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0) {
        err = hd_fail_errno(errno, "connect to %s", path);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

static int listen_one(const struct addrinfo *a, int *ret_fd)
{
    int fd = socket(a->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, a->ai_addr, a->ai_addrlen) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        int err = -errno;
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

int hd_addr_listen(const char *address, int *ret_fd, int *ret_port)
{
    char host[HD_ADDR_TEXT_BYTES];
    int port;
    int err = hd_addr_split(address, 0, host, sizeof(host), &port);
    if (err < 0) {
        return err;
    }
    struct addrinfo *list;
    err = resolve(host, port, AI_PASSIVE, &list);
    if (err < 0) {
        return err;
    }
    HD_AUTO(hd_fd_done) int fd = -1;
    err = -EADDRNOTAVAIL;
    for (const struct addrinfo *a = list; a != NULL && err < 0; a = a->ai_next) {
        err = listen_one(a, &fd);
    }
    freeaddrinfo(list);
    if (err < 0) {
        return hd_fail_errno(-err, "listen on %s", address);
    }
    char ip[HD_IP_TEXT_BYTES];
    err = hd_addr_local(fd, ip, ret_port);
    if (err < 0) {
        return err;
    }
    *ret_fd = fd;
    fd = -1;
    return 0;
}

int hd_addr_listen_unix(const char *path, int *ret_fd)
{
    struct sockaddr_un a;
    int err = unix_address(path, &a);
    if (err < 0) {
        return err;
    }
    struct stat st;
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) {
        unlink(path);
    }
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return hd_fail_errno(errno, "%s", path);
    }
    if (bind(fd, (const struct sockaddr *)&a, sizeof(a)) < 0 || listen(fd, LISTEN_BACKLOG) < 0) {
        err = hd_fail_errno(errno, "listen on %s", path);
        close(fd);
        return err;
    }
    *ret_fd = fd;
    return 0;
}

/* An IPv4 peer of an IPv6 socket is shown as IPv4, UNIX sockets as the loopback. */
static int name_to_text(const struct sockaddr_storage *a, char ip[HD_IP_TEXT_BYTES], int *ret_port)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    const char *text = NULL;
    int port = 0;
    if (a->ss_family == AF_INET) {
        text = inet_ntop(AF_INET, &v4->sin_addr, ip, HD_IP_TEXT_BYTES);
        port = ntohs(v4->sin_port);
    } else if (a->ss_family == AF_INET6 && IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        text = inet_ntop(AF_INET, &v6->sin6_addr.s6_addr[12], ip, HD_IP_TEXT_BYTES);
        port = ntohs(v6->sin6_port);
    } else if (a->ss_family == AF_INET6) {
        text = inet_ntop(AF_INET6, &v6->sin6_addr, ip, HD_IP_TEXT_BYTES);
        port = ntohs(v6->sin6_port);
    } else if (a->ss_family == AF_UNIX) {
        text = strcpy(ip, "127.0.0.1");
    }
    if (text == NULL) {
        return -EAFNOSUPPORT;
    }
    if (ret_port != NULL) {
        *ret_port = port;
    }
    return 0;
}

int hd_addr_peer(int fd, char ip[HD_IP_TEXT_BYTES], int *ret_port)
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof(a);
    if (getpeername(fd, (struct sockaddr *)&a, &size) < 0) {
        return hd_fail_errno(errno, "getpeername");
    }
    return name_to_text(&a, ip, ret_port);
}

int hd_addr_local(int fd, char ip[HD_IP_TEXT_BYTES], int *ret_port)
{
    struct sockaddr_storage a = {0};
    socklen_t size = sizeof(a);
    if (getsockname(fd, (struct sockaddr *)&a, &size) < 0) {
        return hd_fail_errno(errno, "getsockname");
    }
    return name_to_text(&a, ip, ret_port);
}
