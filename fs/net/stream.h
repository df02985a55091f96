/*
 * A blocking byte stream over a socket (TCP or UNIX) with buffered reads and a timeout for each
 * wait. What data transfer connections are made of; RPC has its own framing.
 *
 * Errors: -HD_E_CLOSED when the peer closed before the bytes were complete, -ETIMEDOUT when
 * nothing moved for timeout_ms, -HD_E_BAD_MESSAGE / -HD_E_TOO_LARGE for what cannot be decoded, or
 * a negative errno. After an error the stream is only good for closing. One thread reads and
 * another may write at the same time; two readers or two writers may not.
 */
#ifndef HD_NET_STREAM_H
#define HD_NET_STREAM_H

#include "fs/base/arena.h"

#include <sys/uio.h>

enum { HD_STREAM_FDS_MAX = 8 };

struct hd_stream {
    int fd;         /* owned; -1 when closed */
    int timeout_ms; /* for each wait; <= 0: none */
    uint8_t *buf;   /* heap, owned: bytes received and not yet taken are buf[start..end) */
    size_t capacity;
    size_t start;
    size_t end;
    bool is_unix;               /* descriptors can come along with the bytes */
    int fd_count;               /* received and not yet taken; owned */
    int fds[HD_STREAM_FDS_MAX]; /* oldest first */
};

/* Takes fd. capacity_bytes of read buffer (0: 64 KiB). 0 or -ENOMEM (fd closed then). */
int hd_stream_init(struct hd_stream *s, int fd, int timeout_ms, size_t capacity_bytes);
void hd_stream_done(struct hd_stream *s); /* closes and frees */

int hd_stream_read(struct hd_stream *s, void *out, size_t size); /* exactly size bytes */
int hd_stream_write(struct hd_stream *s, const void *data, size_t size);
int hd_stream_writev(struct hd_stream *s, struct iovec *iov, int count); /* changes iov */

/* Waits until a byte can be read. 1: yes, 0: peer closed in order (EOF), < 0: error. */
int hd_stream_wait(struct hd_stream *s);

/*
 * A protobuf message behind its varint length ("delimited"). The message lives in the arena.
 * Reading fails with -HD_E_TOO_LARGE above max_bytes. Writing is one send.
 */
int hd_stream_read_message(struct hd_stream *s, const ProtobufCMessageDescriptor *type,
                           size_t max_bytes, struct hd_arena *arena, ProtobufCMessage **ret);
int hd_stream_write_message(struct hd_stream *s, const ProtobufCMessage *m);

/*
 * Passes descriptors (at most HD_STREAM_FDS_MAX) along with `size` bytes (SCM_RIGHTS); and takes up
 * to max of those that came with the `size` bytes or before them; the caller owns them. What came
 * and is never taken is closed with the stream.
 */
int hd_stream_send_fds(struct hd_stream *s, const void *data, size_t size, const int *fds,
                       int count);
int hd_stream_recv_fds(struct hd_stream *s, void *out, size_t size, int *fds, int max,
                       int *ret_count);

#endif
