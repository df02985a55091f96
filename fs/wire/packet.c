/* Packet headers by hand. See packet.h; field numbers are those of PacketHeader. */
#include "fs/wire/packet.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

enum {
    FIELD_OFFSET = 1,
    FIELD_SEQNO = 2,
    FIELD_LAST = 3,
    FIELD_DATA_BYTES = 4,
    FIELD_SYNC = 5,
    WIRE_VARINT = 0,
    WIRE_FIXED64 = 1,
    WIRE_BYTES = 2,
    WIRE_FIXED32 = 5,
    PLEN_OWN_BYTES = 4, /* PLEN counts itself */
    REQUIRED_FIELDS =
        1 << FIELD_OFFSET | 1 << FIELD_SEQNO | 1 << FIELD_LAST | 1 << FIELD_DATA_BYTES,
};

#define TAG(field, wire) ((uint8_t)((field) << 3 | (wire)))

size_t hd_packet_encode(const struct hd_packet *p, uint8_t out[HD_PACKET_HEADER_MAX_BYTES])
{
    uint8_t *h = out + HD_PACKET_LENGTHS_BYTES;
    h[0] = TAG(FIELD_OFFSET, WIRE_FIXED64);
    hd_put_le64(h + 1, (uint64_t)p->offset_bytes);
    h[9] = TAG(FIELD_SEQNO, WIRE_FIXED64);
    hd_put_le64(h + 10, (uint64_t)p->seqno);
    h[18] = TAG(FIELD_LAST, WIRE_VARINT);
    h[19] = p->last ? 1 : 0;
    h[20] = TAG(FIELD_DATA_BYTES, WIRE_FIXED32);
    hd_put_le32(h + 21, p->data_bytes);
    uint16_t header_bytes = 25;
    if (p->sync) {
        h[25] = TAG(FIELD_SYNC, WIRE_VARINT);
        h[26] = 1;
        header_bytes = 27;
    }
    hd_put_be32(out, PLEN_OWN_BYTES + p->sums_bytes + p->data_bytes);
    hd_put_be16(out + 4, header_bytes);
    return HD_PACKET_LENGTHS_BYTES + (size_t)header_bytes;
}

int hd_packet_decode_lengths(const uint8_t in[HD_PACKET_LENGTHS_BYTES], uint32_t *ret_payload_bytes)
{
    uint32_t plen = hd_get_be32(in);
    uint16_t hlen = hd_get_be16(in + 4);
    if (plen > HD_PACKET_MAX_BYTES) {
        return -HD_E_TOO_LARGE;
    }
    if (plen < PLEN_OWN_BYTES || hlen == 0 || hlen > HD_PACKET_HEADER_LIMIT_BYTES) {
        return -HD_E_BAD_MESSAGE;
    }
    *ret_payload_bytes = plen - PLEN_OWN_BYTES;
    return hlen;
}

/* One field's value: takes its bytes at in[*at..size). */
static int take_value(const uint8_t *in, size_t size, size_t *at, unsigned wire, uint64_t *ret)
{
    size_t left = size - *at;
    if (wire == WIRE_FIXED64 || wire == WIRE_FIXED32) {
        size_t n = wire == WIRE_FIXED64 ? 8 : 4;
        if (left < n) {
            return -HD_E_BAD_MESSAGE;
        }
        *ret = n == 8 ? hd_get_le64(in + *at) : hd_get_le32(in + *at);
        *at += n;
        return 0;
    }
    if (wire != WIRE_VARINT && wire != WIRE_BYTES) {
        return -HD_E_BAD_MESSAGE;
    }
    int n = hd_varint_decode(in + *at, left, ret);
    if (n <= 0) {
        return -HD_E_BAD_MESSAGE;
    }
    *at += (size_t)n;
    if (wire == WIRE_BYTES) {
        if (*ret > size - *at) {
            return -HD_E_BAD_MESSAGE;
        }
        *at += *ret;
    }
    return 0;
}

static unsigned wire_type_of(uint64_t field)
{
    switch (field) {
    case FIELD_OFFSET:
    case FIELD_SEQNO:
        return WIRE_FIXED64;
    case FIELD_DATA_BYTES:
        return WIRE_FIXED32;
    default:
        return WIRE_VARINT;
    }
}

static void set_field(struct hd_packet *p, uint64_t field, uint64_t value)
{
    switch (field) {
    case FIELD_OFFSET:
        p->offset_bytes = (int64_t)value;
        return;
    case FIELD_SEQNO:
        p->seqno = (int64_t)value;
        return;
    case FIELD_LAST:
        p->last = value != 0;
        return;
    case FIELD_DATA_BYTES:
        p->data_bytes = (uint32_t)value;
        return;
    default: /* FIELD_SYNC */
        p->sync = value != 0;
        return;
    }
}

int hd_packet_decode(const uint8_t *header, size_t header_bytes, uint32_t payload_bytes,
                     struct hd_packet *ret)
{
    struct hd_packet p = {0};
    unsigned seen = 0;
    for (size_t at = 0; at < header_bytes;) {
        uint64_t tag;
        uint64_t value;
        int n = hd_varint_decode(header + at, header_bytes - at, &tag);
        if (n <= 0 || tag >> 3 == 0 || tag > UINT32_MAX) {
            return -HD_E_BAD_MESSAGE;
        }
        at += (size_t)n;
        unsigned wire = (unsigned)(tag & 7);
        uint64_t field = tag >> 3;
        if (take_value(header, header_bytes, &at, wire, &value) < 0) {
            return -HD_E_BAD_MESSAGE;
        }
        if (field > FIELD_SYNC || wire != wire_type_of(field)) {
            continue; /* not ours: skipped, as every protobuf decoder does */
        }
        set_field(&p, field, value); /* sent twice: the last one counts */
        seen |= 1u << field;
    }
    if ((seen & REQUIRED_FIELDS) != REQUIRED_FIELDS || p.offset_bytes < 0 ||
        p.data_bytes > INT32_MAX || p.data_bytes > payload_bytes) {
        return -HD_E_BAD_MESSAGE;
    }
    p.sums_bytes = payload_bytes - p.data_bytes;
    *ret = p;
    return 0;
}
