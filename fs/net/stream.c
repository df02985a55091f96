/*
 * The blocking byte stream of stream.h.
 *
 * Sockets are used without blocking calls of their own: every transfer is tried first
 * (MSG_DONTWAIT) and poll(2) waits only when nothing moves, so the timeout is one for each wait.
 */
#include "fs/net/stream.h"
#include "fs/base/assert.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"
#include "fs/os/file.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    DEFAULT_CAPACITY_BYTES = 65536,
    SMALL_MESSAGE_BYTES = 512, /* encoded on the stack */
};

int hd_stream_init(struct hd_stream *s, int fd, int timeout_ms, size_t capacity_bytes)
{
    size_t capacity = capacity_bytes != 0 ? capacity_bytes : DEFAULT_CAPACITY_BYTES;
    *s = (struct hd_stream){.fd = -1};
    uint8_t *buf = malloc(capacity);
    if (buf == NULL) {
        close(fd);
        return -ENOMEM;
    }
    *s = (struct hd_stream){.fd = fd, .timeout_ms = timeout_ms, .buf = buf, .capacity = capacity};
    int domain = AF_INET;
    socklen_t size = sizeof(domain);
    s->is_unix = getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) == 0 && domain == AF_UNIX;
    return 0;
}

void hd_stream_done(struct hd_stream *s)
{
    hd_fault_net_close(s->fd);
    s->fd = -1;
    while (s->fd_count > 0) {
        close(s->fds[--s->fd_count]);
    }
    free(s->buf);
    s->buf = NULL;
    s->capacity = s->start = s->end = 0;
}

static int wait_for(const struct hd_stream *s, short events)
{
    for (;;) {
        struct pollfd p = {.fd = s->fd, .events = events};
        int n = poll(&p, 1, s->timeout_ms > 0 ? s->timeout_ms : -1);
        if (n > 0) {
            return 0;
        }
        if (n == 0) {
            return hd_fail(-ETIMEDOUT, "nothing %s for %d ms",
                           events == POLLIN ? "received" : "taken by the peer", s->timeout_ms);
        }
        if (errno != EINTR) {
            return hd_fail_errno(errno, "poll");
        }
    }
}

/* A fault may keep the bytes back: for as long as a wait may take. */
static int pass(const struct hd_stream *s, bool arrived)
{
    if (!hd_fault_net_any()) {
        return 0;
    }
    bool forever = s->timeout_ms <= 0;
    return hd_fault_net_pass(s->fd, arrived,
                             forever ? INT64_MAX : hd_clock_mono_ms().v + s->timeout_ms);
}

static int closed_or(int e, const char *what)
{
    if (e == EPIPE || e == ECONNRESET) {
        return hd_fail(-HD_E_CLOSED, "connection closed by the peer");
    }
    return hd_fail_errno(e, "%s", what);
}

union fd_control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(HD_STREAM_FDS_MAX * sizeof(int))];
};

/* Keeps the descriptors of a control message; what does not fit is closed. */
static void keep_fds(struct hd_stream *s, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < n; i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            if (s->fd_count < HD_STREAM_FDS_MAX) {
                s->fds[s->fd_count++] = fd;
            } else {
                close(fd);
            }
        }
    }
}

/* A plain recv would drop descriptors that a read ahead of their turn brings. */
static ssize_t recv_keeping_fds(struct hd_stream *s, void *out, size_t size)
{
    union fd_control control;
    struct iovec iov = {.iov_base = out, .iov_len = size};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(s->fd, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n > 0) {
        keep_fds(s, &m);
    }
    return n;
}

/* At least one byte, at most size; 0 at EOF. */
static ssize_t receive(struct hd_stream *s, void *out, size_t size)
{
    for (bool waited = false;; waited = true) {
        int err = pass(s, waited);
        if (err < 0) {
            return err;
        }
        ssize_t n =
            s->is_unix ? recv_keeping_fds(s, out, size) : recv(s->fd, out, size, MSG_DONTWAIT);
        if (n >= 0) {
            return n;
        }
        if (errno == EAGAIN) {
            err = wait_for(s, POLLIN);
            if (err < 0) {
                return err;
            }
        } else if (errno != EINTR) {
            return closed_or(errno, "recv");
        }
    }
}

/* Fills an empty buffer. 1, 0 at EOF, or an error. */
static int fill(struct hd_stream *s)
{
    hd_assert(s->start == s->end);
    s->start = s->end = 0;
    ssize_t n = receive(s, s->buf, s->capacity);
    if (n > 0) {
        s->end = (size_t)n;
        return 1;
    }
    return (int)n;
}

int hd_stream_wait(struct hd_stream *s)
{
    return s->start < s->end ? 1 : fill(s);
}

int hd_stream_read(struct hd_stream *s, void *out, size_t size)
{
    uint8_t *p = out;
    while (size > 0) {
        size_t have = HD_MIN(s->end - s->start, size);
        if (have > 0) {
            memcpy(p, s->buf + s->start, have);
            s->start += have;
            p += have;
            size -= have;
            continue;
        }
        ssize_t n;
        if (size >= s->capacity) { /* straight to its place */
            n = receive(s, p, size);
            if (n > 0) {
                p += n;
                size -= (size_t)n;
            }
        } else {
            n = fill(s);
        }
        if (n < 0) {
            return (int)n;
        }
        if (n == 0) {
            return hd_fail(-HD_E_CLOSED, "connection closed by the peer");
        }
    }
    return 0;
}

int hd_stream_write(struct hd_stream *s, const void *data, size_t size)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    return hd_stream_writev(s, &iov, 1);
}

static void skip(struct iovec **iov, int *count, size_t n)
{
    while (*count > 0 && n >= (*iov)->iov_len) {
        n -= (*iov)->iov_len;
        (*iov)++;
        (*count)--;
    }
    if (*count > 0) {
        (*iov)->iov_base = (uint8_t *)(*iov)->iov_base + n;
        (*iov)->iov_len -= n;
    }
}

int hd_stream_writev(struct hd_stream *s, struct iovec *iov, int count)
{
    skip(&iov, &count, 0);
    while (count > 0) {
        struct msghdr m = {.msg_iov = iov, .msg_iovlen = (size_t)HD_MIN(count, 1024)};
        int err = pass(s, false);
        if (err < 0) {
            return err;
        }
        ssize_t n = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) {
            skip(&iov, &count, (size_t)n);
        } else if (errno == EAGAIN) {
            err = wait_for(s, POLLOUT);
            if (err < 0) {
                return err;
            }
        } else if (errno != EINTR) {
            return closed_or(errno, "send");
        }
    }
    return 0;
}

static int read_varint(struct hd_stream *s, uint64_t *ret)
{
    uint8_t bytes[10];
    for (size_t i = 0; i < sizeof(bytes); i++) {
        int err = hd_stream_read(s, &bytes[i], 1);
        if (err < 0) {
            return err;
        }
        if ((bytes[i] & 0x80) == 0) {
            return hd_varint_decode(bytes, i + 1, ret) > 0 ? 0 : -HD_E_BAD_MESSAGE;
        }
    }
    return hd_fail(-HD_E_BAD_MESSAGE, "length is not a varint");
}

int hd_stream_read_message(struct hd_stream *s, const ProtobufCMessageDescriptor *type,
                           size_t max_bytes, struct hd_arena *arena, ProtobufCMessage **ret)
{
    uint64_t size;
    int err = read_varint(s, &size);
    if (err < 0) {
        return err;
    }
    if (size > max_bytes) {
        return hd_fail(-HD_E_TOO_LARGE, "%s of %llu bytes, %zu are allowed", type->short_name,
                       (unsigned long long)size, max_bytes);
    }
    const uint8_t *data = s->buf + s->start;
    if (size <= s->end - s->start) { /* whole in the buffer: decoded in place */
        s->start += size;
    } else {
        uint8_t *copy = hd_arena_alloc(arena, size);
        if (copy == NULL) {
            return -ENOMEM;
        }
        err = hd_stream_read(s, copy, size);
        if (err < 0) {
            return err;
        }
        data = copy;
    }
    ProtobufCAllocator allocator = hd_arena_allocator(arena);
    ProtobufCMessage *m = protobuf_c_message_unpack(type, &allocator, size, data);
    if (m == NULL) {
        return hd_fail(-HD_E_BAD_MESSAGE, "%s does not decode", type->short_name);
    }
    *ret = m;
    return 0;
}

int hd_stream_write_message(struct hd_stream *s, const ProtobufCMessage *m)
{
    uint8_t small[SMALL_MESSAGE_BYTES];
    size_t size = protobuf_c_message_get_packed_size(m);
    size_t total = hd_varint_size(size) + size;
    uint8_t *out = total <= sizeof(small) ? small : malloc(total);
    if (out == NULL) {
        return -ENOMEM;
    }
    size_t at = hd_varint_encode(size, out);
    protobuf_c_message_pack(m, out + at);
    int err = hd_stream_write(s, out, total);
    if (out != small) {
        free(out);
    }
    return err;
}

int hd_stream_send_fds(struct hd_stream *s, const void *data, size_t size, const int *fds,
                       int count)
{
    hd_assert(size > 0 && count > 0 && count <= HD_STREAM_FDS_MAX);
    union fd_control control = {0};
    size_t fds_bytes = (size_t)count * sizeof(int);
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = control.bytes,
                       .msg_controllen = CMSG_SPACE(fds_bytes)};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(fds_bytes);
    memcpy(CMSG_DATA(c), fds, fds_bytes);
    for (;;) {
        ssize_t n = sendmsg(s->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (n >= 0) { /* the descriptors went with the first byte */
            return hd_stream_write(s, (const uint8_t *)data + n, size - (size_t)n);
        }
        if (errno == EAGAIN) {
            int err = wait_for(s, POLLOUT);
            if (err < 0) {
                return err;
            }
        } else if (errno != EINTR) {
            return closed_or(errno, "sendmsg");
        }
    }
}

int hd_stream_recv_fds(struct hd_stream *s, void *out, size_t size, int *fds, int max,
                       int *ret_count)
{
    int err = hd_stream_read(s, out, size);
    if (err < 0) {
        return err;
    }
    int n = HD_MIN(max, s->fd_count);
    memcpy(fds, s->fds, (size_t)n * sizeof(int));
    s->fd_count -= n;
    memmove(s->fds, s->fds + n, (size_t)s->fd_count * sizeof(int));
    *ret_count = n;
    return 0;
}
