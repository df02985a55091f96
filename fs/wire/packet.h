/*
 * Data transfer packets (docs/protocol.md, "Packets"): the header in front of sums and data.
 *
 *   i32be PLEN = 4 + sums + data | i16be HLEN | PacketHeader (HLEN bytes) | sums | data
 *
 * Pure. The header is hand-coded: it is fixed-width on the wire and on the hot path; a unit test
 * holds it against the .proto.
 */
#ifndef HD_WIRE_PACKET_H
#define HD_WIRE_PACKET_H

#include <stdint.h>

enum {
    HD_PACKET_LENGTHS_BYTES = 6,        /* PLEN and HLEN */
    HD_PACKET_HEADER_MAX_BYTES = 33,    /* PLEN, HLEN and the largest PacketHeader we write */
    HD_PACKET_MAX_BYTES = 16777216,     /* of PLEN; a larger one ends the connection */
    HD_PACKET_HEADER_LIMIT_BYTES = 256, /* HLEN above this is refused */
};

#define HD_PACKET_HEARTBEAT_SEQNO ((int64_t)-1)

struct hd_packet {
    int64_t offset_bytes; /* of the data in its block */
    int64_t seqno;
    uint32_t data_bytes;
    uint32_t sums_bytes;
    bool last; /* of the block: data_bytes is 0 */
    bool sync; /* fsync before the ack */
};

/* Writes PLEN, HLEN and header; returns the bytes written (31, or 33 with sync). */
size_t hd_packet_encode(const struct hd_packet *p, uint8_t out[HD_PACKET_HEADER_MAX_BYTES]);

/* First step of decoding: PLEN and HLEN. Returns HLEN, or -HD_E_BAD_MESSAGE / -HD_E_TOO_LARGE. */
int hd_packet_decode_lengths(const uint8_t in[HD_PACKET_LENGTHS_BYTES],
                             uint32_t *ret_payload_bytes);

/*
 * Second step: the HLEN header bytes; payload_bytes (sums and data) from the first. Any legal
 * protobuf encoding of PacketHeader is taken. -HD_E_BAD_MESSAGE when lengths do not fit.
 */
int hd_packet_decode(const uint8_t *header, size_t header_bytes, uint32_t payload_bytes,
                     struct hd_packet *ret);

#endif
