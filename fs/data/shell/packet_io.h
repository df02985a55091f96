/*
 * Packets over a blocking socket: received into one buffer that is grown to the largest packet, so
 * that header, sums and data lie side by side and can be sent on as they came.
 *
 * The socket has SO_RCVTIMEO and SO_SNDTIMEO; what passes is -ETIMEDOUT. End of stream is
 * -HD_E_CLOSED.
 */
#ifndef HD_DATA_SHELL_PACKET_IO_H
#define HD_DATA_SHELL_PACKET_IO_H

#include "fs/net/stream.h"
#include "fs/wire/packet.h"

struct hd_packet_reader {
    int fd; /* borrowed */
    uint8_t *buf;
    size_t capacity;
    size_t start; /* bytes received and not yet taken: buf[start..end) */
    size_t end;
    size_t expect; /* size of the last packet: the next is probably as long */
};

/* A packet in the reader's buffer; valid until the next call. */
struct hd_packet_view {
    struct hd_packet head;
    const uint8_t *raw; /* all of it, as it travelled */
    size_t raw_bytes;
    const uint8_t *sums;
    const uint8_t *data;
};

/* Takes over what the stream has read ahead. 0 or -ENOMEM. */
int hd_packet_reader_init(struct hd_packet_reader *r, struct hd_stream *s);
void hd_packet_reader_done(struct hd_packet_reader *r);
int hd_packet_reader_next(struct hd_packet_reader *r, struct hd_packet_view *ret);

/* Whether the bytes are packets up to the last of a block, and nothing else. */
bool hd_packets_whole_block(const uint8_t *data, size_t size);

/* Sends all of it; more: further bytes follow at once (MSG_MORE). */
int hd_socket_send(int fd, const void *data, size_t size, bool more);

/* Sends size bytes of a file from offset. -HD_E_TRUNCATED when the file is shorter. */
int hd_socket_sendfile(int fd, int file_fd, uint64_t offset, size_t size);

/* Timeouts of blocking calls on the socket. */
void hd_socket_timeouts(int fd, int timeout_ms);

/*
 * After an error reply: no more is sent, and what the peer still sends is thrown away for a moment,
 * so that closing does not reset the connection before the peer has read the reply.
 */
void hd_socket_linger(int fd);

#endif
