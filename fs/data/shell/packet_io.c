/* Receiving and sending packets. See packet_io.h. */
#include "fs/data/shell/packet_io.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"
#include "fs/os/fault.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/time.h>

enum {
    FIRST_CAPACITY_BYTES = 16 * 1024,
    FIRST_READ_BYTES = 4096, /* ahead of the first packet */
    LINGER_MS = 1000,
};

int hd_packet_reader_init(struct hd_packet_reader *r, struct hd_stream *s)
{
    size_t ahead = s->end - s->start;
    *r = (struct hd_packet_reader){.fd = s->fd, .expect = FIRST_READ_BYTES};
    r->capacity = HD_MAX(ahead, (size_t)FIRST_CAPACITY_BYTES);
    r->buf = malloc(r->capacity);
    if (r->buf == NULL) {
        return -ENOMEM;
    }
    memcpy(r->buf, s->buf + s->start, ahead);
    r->end = ahead;
    s->start = s->end;
    return 0;
}

void hd_packet_reader_done(struct hd_packet_reader *r)
{
    free(r->buf);
    *r = (struct hd_packet_reader){.fd = -1};
}

static int grow(struct hd_packet_reader *r, size_t capacity)
{
    if (capacity <= r->capacity) {
        return 0;
    }
    uint8_t *p = realloc(r->buf, capacity);
    if (p == NULL) {
        return -ENOMEM;
    }
    r->buf = p;
    r->capacity = capacity;
    return 0;
}

static int socket_error(const char *what)
{
    if (errno == EAGAIN || errno == EWOULDBLOCK) {
        return hd_fail(-ETIMEDOUT, "nothing moved for too long (%s)", what);
    }
    if (errno == ECONNRESET || errno == EPIPE) {
        return hd_fail(-HD_E_CLOSED, "connection closed by the peer");
    }
    return hd_fail_errno(errno, "%s", what);
}

/* A fault may keep the bytes back: for as long as the socket may take. */
static int pass(int fd, bool arrived)
{
    struct timeval t = {0};
    socklen_t size = sizeof(t);
    if (!hd_fault_net_any()) {
        return 0;
    }
    getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, &size);
    int64_t timeout_ms = (int64_t)t.tv_sec * 1000 + t.tv_usec / 1000;
    return hd_fault_net_pass(fd, arrived,
                             timeout_ms > 0 ? hd_clock_mono_ms().v + timeout_ms : INT64_MAX);
}

/* Until `need` bytes are there; takes up to `want` at once. */
static int fill(struct hd_packet_reader *r, size_t need, size_t want)
{
    while (r->end - r->start < need) {
        size_t have = r->end - r->start;
        /* The rest of a packet is one call; the beginning of one must not wait for its end. */
        int flags = want == need ? MSG_WAITALL : 0;
        ssize_t n = recv(r->fd, r->buf + r->end, want - have, flags);
        if (n > 0) {
            r->end += (size_t)n;
            int err = pass(r->fd, true);
            if (err < 0) {
                return err;
            }
        } else if (n == 0) {
            return hd_fail(-HD_E_CLOSED, "connection closed by the peer");
        } else if (errno != EINTR) {
            return socket_error("recv");
        }
    }
    return 0;
}

int hd_packet_reader_next(struct hd_packet_reader *r, struct hd_packet_view *ret)
{
    if (r->start > 0) { /* usually nothing is left to move */
        memmove(r->buf, r->buf + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    size_t want = HD_MAX(r->expect, (size_t)HD_PACKET_LENGTHS_BYTES + 1);
    int err = grow(r, want);
    if (err == 0) {
        err = fill(r, HD_PACKET_LENGTHS_BYTES, want);
    }
    if (err < 0) {
        return err;
    }
    uint32_t payload_bytes;
    int head_bytes = hd_packet_decode_lengths(r->buf, &payload_bytes);
    if (head_bytes < 0) {
        return hd_fail(head_bytes, "packet with impossible lengths");
    }
    size_t total = HD_PACKET_LENGTHS_BYTES + (size_t)head_bytes + payload_bytes;
    err = grow(r, total);
    if (err == 0) {
        err = fill(r, total, total);
    }
    if (err < 0) {
        return err;
    }
    const uint8_t *head = r->buf + HD_PACKET_LENGTHS_BYTES;
    err = hd_packet_decode(head, (size_t)head_bytes, payload_bytes, &ret->head);
    if (err < 0) {
        return hd_fail(err, "packet header does not decode");
    }
    ret->raw = r->buf;
    ret->raw_bytes = total;
    ret->sums = head + head_bytes;
    ret->data = ret->sums + ret->head.sums_bytes;
    r->start = total;
    r->expect = total;
    return 0;
}

bool hd_packets_whole_block(const uint8_t *data, size_t size)
{
    bool last = false;
    while (!last && size >= HD_PACKET_LENGTHS_BYTES) {
        uint32_t payload_bytes;
        struct hd_packet head;
        int head_bytes = hd_packet_decode_lengths(data, &payload_bytes);
        if (head_bytes < 0) {
            return false;
        }
        size_t total = HD_PACKET_LENGTHS_BYTES + (size_t)head_bytes + payload_bytes;
        if (total > size || hd_packet_decode(data + HD_PACKET_LENGTHS_BYTES, (size_t)head_bytes,
                                             payload_bytes, &head) < 0) {
            return false;
        }
        last = head.last;
        data += total;
        size -= total;
    }
    return last && size == 0;
}

int hd_socket_send(int fd, const void *data, size_t size, bool more)
{
    const uint8_t *p = data;
    while (size > 0) {
        int err = pass(fd, false);
        if (err < 0) {
            return err;
        }
        ssize_t n = send(fd, p, size, MSG_NOSIGNAL | (more ? MSG_MORE : 0));
        if (n >= 0) {
            p += n;
            size -= (size_t)n;
        } else if (errno != EINTR) {
            return socket_error("send");
        }
    }
    return 0;
}

int hd_socket_sendfile(int fd, int file_fd, uint64_t offset, size_t size)
{
    off_t at = (off_t)offset;
    while (size > 0) {
        int err = pass(fd, false);
        if (err == 0 && hd_fault_fd(HD_FAULT_OP_OTHER, file_fd, 0) < 0) {
            err = hd_fail_errno(errno, "read of a block");
        }
        if (err < 0) {
            return err;
        }
        ssize_t n = sendfile(fd, file_fd, &at, size);
        if (n > 0) {
            size -= (size_t)n;
        } else if (n == 0) {
            return hd_fail(-HD_E_TRUNCATED, "file ends at %llu", (unsigned long long)at);
        } else if (errno != EINTR) {
            return socket_error("sendfile");
        }
    }
    return 0;
}

void hd_socket_timeouts(int fd, int timeout_ms)
{
    struct timeval t = {.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t));
}

void hd_socket_linger(int fd)
{
    uint8_t waste[4096];
    int64_t end_ms = hd_clock_mono_ms().v + LINGER_MS;
    shutdown(fd, SHUT_WR);
    hd_socket_timeouts(fd, LINGER_MS);
    while (hd_clock_mono_ms().v < end_ms) {
        ssize_t n = recv(fd, waste, sizeof(waste), 0);
        if (n == 0 || (n < 0 && errno != EINTR)) {
            break;
        }
    }
}
