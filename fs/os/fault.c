/*
 * The fault table. See fault.h.
 *
 * One mutex guards the entries; nobody holds it while sleeping. Sleepers wake up every SLICE_MS to
 * see whether the table still wants them to. Entries that have ended are dropped by whoever comes
 * by next: while there are any, everyone who does I/O comes by.
 */
#include "fs/os/fault.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

enum { SLICE_MS = 20, KEPT_MAX = 1024, PATH_BYTES = 4096, IP_BYTES = INET6_ADDRSTRLEN };

struct entry {
    enum hd_fault_point point;
    char target[HD_FAULT_TARGET_BYTES]; /* a path as it was given */
    char real[PATH_BYTES];              /* and without links; or "" */
    char ip[IP_BYTES];                  /* of net.*; "" any */
    int port;                           /* 0: any */
    int64_t value;
    int64_t ends_ms; /* monotonic */
};

atomic_uint hd_fault_bits;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct entry entries[HD_FAULTS_MAX]; /* under the lock, as all below */
static size_t entry_count;
static int kept[KEPT_MAX]; /* sockets that were closed while they were cut */
static size_t kept_count;

static const char *const point_names[] = {
    [HD_FAULT_DISK_DELAY] = "disk.delay", [HD_FAULT_DISK_ERROR] = "disk.error",
    [HD_FAULT_DISK_FULL] = "disk.full",   [HD_FAULT_NET_CUT] = "net.cut",
    [HD_FAULT_NET_DELAY] = "net.delay",   [HD_FAULT_CLOCK_JUMP] = "clock.jump",
};

int hd_fault_point_parse(const char *text, enum hd_fault_point *ret)
{
    for (size_t i = 0; i < HD_ARRAY_COUNT(point_names); i++) {
        if (strcmp(text, point_names[i]) == 0) {
            *ret = (enum hd_fault_point)i;
            return 0;
        }
    }
    return hd_fail(-EINVAL,
                   "no such fault: %.64s; there are disk.delay, disk.error, disk.full, net.cut, "
                   "net.delay and clock.jump",
                   text);
}

const char *hd_fault_point_name(enum hd_fault_point point)
{
    return point_names[point];
}

/* --- the table --- */

static bool is_net(enum hd_fault_point point)
{
    return (1u << point & HD_FAULT_BITS_NET) != 0;
}

static int resolve(const char *host, char out[IP_BYTES])
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *list = NULL;
    int e = getaddrinfo(host, NULL, &hints, &list);
    if (e != 0) {
        return hd_fail(-EINVAL, "%.200s: %s", host, gai_strerror(e));
    }
    e = getnameinfo(list->ai_addr, list->ai_addrlen, out, IP_BYTES, NULL, 0, NI_NUMERICHOST);
    freeaddrinfo(list);
    return e == 0 ? 0 : hd_fail(-EINVAL, "%.200s: %s", host, gai_strerror(e));
}

/* "port", "host:port" or "[v6]:port". */
static int parse_net_target(struct entry *e)
{
    char host[HD_FAULT_TARGET_BYTES];
    char *end;
    const char *colon = strrchr(e->target, ':');
    const char *digits = colon != NULL ? colon + 1 : e->target;
    long port = strtol(digits, &end, 10);
    if (end == digits || *end != '\0' || port < 1 || port > 65535) {
        return hd_fail(-EINVAL, "%.200s: expected a port or host:port", e->target);
    }
    e->port = (int)port;
    if (colon == NULL || colon == e->target) {
        return 0;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - e->target), e->target);
    size_t n = strlen(host);
    bool bracketed = host[0] == '[' && host[n - 1] == ']';
    host[bracketed ? n - 1 : n] = '\0';
    return resolve(host + bracketed, e->ip);
}

static int make_entry(const struct hd_fault *f, int64_t now_ms, struct entry *e)
{
    const char *target = f->target != NULL ? f->target : "";
    *e = (struct entry){.point = f->point, .value = f->value};
    if (f->for_ms < 1 || f->for_ms > HD_FAULT_MS_MAX) {
        return hd_fail(-EINVAL, "%s: for_ms is 1 to %d", point_names[f->point], HD_FAULT_MS_MAX);
    }
    if (strlen(target) >= sizeof(e->target)) {
        return hd_fail(-EINVAL, "%s: the target is too long", point_names[f->point]);
    }
    if (f->value < 0 && f->point != HD_FAULT_CLOCK_JUMP) {
        return hd_fail(-EINVAL, "%s: a value below 0", point_names[f->point]);
    }
    if (f->point == HD_FAULT_NET_DELAY && f->value > HD_FAULT_DELAY_MS_MAX) {
        return hd_fail(-EINVAL, "net.delay: at most %d ms", HD_FAULT_DELAY_MS_MAX);
    }
    e->ends_ms = now_ms + (int64_t)f->for_ms;
    snprintf(e->target, sizeof(e->target), "%s", target);
    if (target[0] == '\0') {
        return 0;
    }
    if (is_net(f->point)) {
        return parse_net_target(e);
    }
    size_t n = strlen(e->target);
    while (n > 1 && e->target[n - 1] == '/') {
        e->target[--n] = '\0';
    }
    if (realpath(e->target, e->real) == NULL) {
        e->real[0] = '\0';
    }
    return 0;
}

/* Under the lock: closes what a cut kept open and that is not cut any more. */
static void close_kept(void);

static void publish(void)
{
    unsigned bits = 0;
    for (size_t i = 0; i < entry_count; i++) {
        bits |= 1u << entries[i].point;
    }
    atomic_store_explicit(&hd_fault_bits, bits, memory_order_relaxed);
    close_kept();
}

/* Under the lock. */
static void drop_ended(int64_t now_ms)
{
    size_t n = 0;
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].ends_ms > now_ms) {
            entries[n++] = entries[i];
        }
    }
    if (n < entry_count) {
        entry_count = n;
        publish();
    }
}

static void lock_table(void)
{
    pthread_mutex_lock(&lock);
    drop_ended(hd_clock_mono_ms().v);
}

static void unlock_table(void)
{
    pthread_mutex_unlock(&lock);
}

int hd_fault_set(const struct hd_fault *faults, size_t count)
{
    if (count > HD_FAULTS_MAX) {
        return hd_fail(-EINVAL, "%zu faults; at most %d at once", count, HD_FAULTS_MAX);
    }
    struct entry *made = calloc(count + 1, sizeof(*made));
    if (made == NULL) {
        return -ENOMEM;
    }
    int err = 0;
    int64_t now_ms = hd_clock_mono_ms().v;
    for (size_t i = 0; i < count && err == 0; i++) {
        err = make_entry(&faults[i], now_ms, &made[i]);
    }
    if (err == 0) {
        lock_table();
        memcpy(entries, made, count * sizeof(*made));
        entry_count = count;
        publish();
        unlock_table();
    }
    free(made);
    return err;
}

size_t hd_fault_count(void)
{
    lock_table();
    size_t n = entry_count;
    unlock_table();
    return n;
}

/* --- disks --- */

static bool is_below(const char *path, const char *dir)
{
    size_t n = strlen(dir);
    return n > 0 && strncmp(path, dir, n) == 0 &&
           (path[n] == '\0' || path[n] == '/' || dir[n - 1] == '/');
}

static bool matches_path(const struct entry *e, const char *path)
{
    return e->target[0] == '\0' || is_below(path, e->target) || is_below(path, e->real);
}

/* Under the lock: how long to wait, or -1 when no entry says so. */
static int64_t disk_delay_ms(const char *path)
{
    int64_t ms = -1;
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].point == HD_FAULT_DISK_DELAY && matches_path(&entries[i], path)) {
            ms = HD_MAX(ms, entries[i].value);
        }
    }
    return ms;
}

static void wait_for_disk(const char *path)
{
    int64_t start_ms = hd_clock_mono_ms().v;
    for (;;) {
        lock_table();
        int64_t delay_ms = disk_delay_ms(path);
        unlock_table();
        int64_t left_ms = start_ms + delay_ms - hd_clock_mono_ms().v;
        if (left_ms <= 0) {
            return;
        }
        hd_clock_sleep_ms(HD_MIN(left_ms, (int64_t)SLICE_MS));
    }
}

static bool use_room(struct entry *e, size_t bytes)
{
    int64_t need = (int64_t)HD_MAX(bytes, (size_t)1);
    if (e->value < need) {
        return false;
    }
    e->value -= (int64_t)bytes;
    return true;
}

int hd_fault_path_slow(enum hd_fault_op op, const char *path, size_t bytes)
{
    if (path[0] != '/') {
        return 0; /* a pipe or a socket */
    }
    wait_for_disk(path);
    int e = 0;
    lock_table();
    for (size_t i = 0; i < entry_count && e == 0; i++) {
        if (!matches_path(&entries[i], path)) {
            continue;
        }
        if (entries[i].point == HD_FAULT_DISK_ERROR) {
            e = entries[i].value != 0 ? (int)entries[i].value : EIO;
        } else if (entries[i].point == HD_FAULT_DISK_FULL && op == HD_FAULT_OP_GROW) {
            e = use_room(&entries[i], bytes) ? 0 : ENOSPC;
        }
    }
    unlock_table();
    errno = e;
    return e == 0 ? 0 : -1;
}

int hd_fault_fd_slow(enum hd_fault_op op, int fd, size_t bytes)
{
    char name[64];
    char path[PATH_BYTES];
    snprintf(name, sizeof(name), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(name, path, sizeof(path) - 1);
    if (n <= 0) {
        return 0;
    }
    path[n] = '\0';
    return hd_fault_path_slow(op, path, bytes);
}

uint64_t hd_fault_free_bytes(const char *path, uint64_t real)
{
    if (!hd_fault_any(HD_FAULT_BITS_DISK)) {
        return real;
    }
    lock_table();
    for (size_t i = 0; i < entry_count; i++) {
        if (entries[i].point == HD_FAULT_DISK_FULL && matches_path(&entries[i], path)) {
            real = HD_MIN(real, (uint64_t)entries[i].value);
        }
    }
    unlock_table();
    return real;
}

/* --- the network --- */

struct end {
    char ip[IP_BYTES];
    int port; /* 0: not TCP, or not known */
};

static struct end end_of(const struct sockaddr_storage *a)
{
    struct end e = {.port = 0};
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)a;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)a;
    if (a->ss_family == AF_INET) {
        inet_ntop(AF_INET, &v4->sin_addr, e.ip, sizeof(e.ip));
        e.port = ntohs(v4->sin_port);
    } else if (a->ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &v6->sin6_addr, e.ip, sizeof(e.ip));
        e.port = ntohs(v6->sin6_port);
        if (strncmp(e.ip, "::ffff:", 7) == 0 && strchr(e.ip, '.') != NULL) {
            memmove(e.ip, e.ip + 7, strlen(e.ip + 7) + 1);
        }
    }
    return e;
}

struct ends {
    struct end peer;
    struct end own;
};

static struct ends ends_of(int fd)
{
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    struct sockaddr_storage own = {.ss_family = AF_UNSPEC};
    socklen_t peer_size = sizeof(peer);
    socklen_t own_size = sizeof(own);
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) < 0) {
        peer.ss_family = AF_UNSPEC;
    }
    if (getsockname(fd, (struct sockaddr *)&own, &own_size) < 0) {
        own.ss_family = AF_UNSPEC;
    }
    return (struct ends){.peer = end_of(&peer), .own = end_of(&own)};
}

static bool matches_end(const struct entry *e, const struct end *end)
{
    return end->port != 0 && (e->port == 0 || e->port == end->port) &&
           (e->ip[0] == '\0' || strcmp(e->ip, end->ip) == 0);
}

/* Under the lock: the greatest value of the entries of this point, -1 when there is none. */
static int64_t net_value(enum hd_fault_point point, const struct ends *ends)
{
    int64_t value = -1;
    for (size_t i = 0; i < entry_count; i++) {
        const struct entry *e = &entries[i];
        if (e->point == point && (matches_end(e, &ends->peer) || matches_end(e, &ends->own))) {
            value = HD_MAX(value, e->value);
        }
    }
    return value;
}

static int64_t look_up(enum hd_fault_point point, const struct ends *ends)
{
    lock_table();
    int64_t value = net_value(point, ends);
    unlock_table();
    return value;
}

bool hd_fault_net_is_cut(int fd)
{
    if (!hd_fault_any(1u << HD_FAULT_NET_CUT)) {
        return false;
    }
    struct ends ends = ends_of(fd);
    return look_up(HD_FAULT_NET_CUT, &ends) >= 0;
}

int64_t hd_fault_net_delay_ms(int fd)
{
    if (!hd_fault_any(1u << HD_FAULT_NET_DELAY)) {
        return 0;
    }
    struct ends ends = ends_of(fd);
    return HD_MAX(look_up(HD_FAULT_NET_DELAY, &ends), (int64_t)0);
}

/* Was it shut down on our side? (What the peer does cannot get here.) */
static bool is_shut(int fd, int wait_ms)
{
    struct pollfd p = {.fd = fd};
    return poll(&p, 1, wait_ms) > 0 && (p.revents & (POLLHUP | POLLERR)) == POLLHUP;
}

/* fd -1: there is none yet. */
static int pass(int fd, const struct ends *ends, bool arrived, int64_t deadline_ms)
{
    int64_t start_ms = hd_clock_mono_ms().v;
    for (;;) {
        int64_t now_ms = hd_clock_mono_ms().v;
        bool late = arrived && start_ms + look_up(HD_FAULT_NET_DELAY, ends) > now_ms; /* -1: none */
        if (!late && look_up(HD_FAULT_NET_CUT, ends) < 0) {
            return 0;
        }
        int64_t left_ms = deadline_ms - now_ms;
        if (left_ms <= 0) {
            return hd_fail(-ETIMEDOUT, "nothing passes: a fault is set");
        }
        int slice_ms = (int)HD_MIN(left_ms, (int64_t)SLICE_MS);
        if (fd < 0) {
            hd_clock_sleep_ms(slice_ms);
        } else if (is_shut(fd, slice_ms)) {
            return 0;
        }
    }
}

int hd_fault_net_pass(int fd, bool arrived, int64_t deadline_ms)
{
    if (!hd_fault_net_any()) {
        return 0;
    }
    struct ends ends = ends_of(fd);
    return pass(fd, &ends, arrived, deadline_ms);
}

int hd_fault_net_connect(const struct sockaddr *to, int64_t deadline_ms)
{
    if (!hd_fault_net_any()) {
        return 0;
    }
    struct sockaddr_storage peer = {.ss_family = AF_UNSPEC};
    memcpy(&peer, to,
           to->sa_family == AF_INET6  ? sizeof(struct sockaddr_in6)
           : to->sa_family == AF_INET ? sizeof(struct sockaddr_in)
                                      : sizeof(to->sa_family));
    struct ends ends = {.peer = end_of(&peer)};
    return pass(-1, &ends, true, deadline_ms);
}

static void close_kept(void)
{
    size_t n = 0;
    for (size_t i = 0; i < kept_count; i++) {
        struct ends ends = ends_of(kept[i]);
        if (net_value(HD_FAULT_NET_CUT, &ends) >= 0) {
            kept[n++] = kept[i];
        } else {
            close(kept[i]);
        }
    }
    kept_count = n;
}

void hd_fault_net_close(int fd)
{
    if (fd < 0) {
        return;
    }
    if (hd_fault_any(1u << HD_FAULT_NET_CUT)) {
        struct ends ends = ends_of(fd);
        lock_table();
        bool keep = kept_count < KEPT_MAX && net_value(HD_FAULT_NET_CUT, &ends) >= 0;
        if (keep) {
            kept[kept_count++] = fd;
        }
        unlock_table();
        if (keep) {
            return;
        }
    }
    close(fd);
}

/* --- the clock --- */

int64_t hd_fault_clock_ms(void)
{
    int64_t ms = 0;
    if (!hd_fault_any(HD_FAULT_BITS_CLOCK)) {
        return 0;
    }
    lock_table();
    for (size_t i = 0; i < entry_count; i++) {
        ms += entries[i].point == HD_FAULT_CLOCK_JUMP ? entries[i].value : 0;
    }
    unlock_table();
    return ms;
}
