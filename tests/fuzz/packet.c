/*
 * Fuzz target: packet headers. Whatever comes, nothing is read outside; what decodes encodes to a
 * header that decodes the same; and where the generated decoder takes a header whose fields have
 * their own wire types, so do we, and see the same values.
 */
#include "fs/base/assert.h"
#include "fs/wire/field.h"
#include "fs/wire/packet.h"
#include "data_transfer.pb-c.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct hd_packet *a, const struct hd_packet *b)
{
    hd_assert(a->offset_bytes == b->offset_bytes);
    hd_assert(a->seqno == b->seqno);
    hd_assert(a->data_bytes == b->data_bytes);
    hd_assert(a->sums_bytes == b->sums_bytes);
    hd_assert(a->last == b->last);
    hd_assert(a->sync == b->sync);
}

static void check_encoding(const struct hd_packet *p)
{
    uint8_t out[HD_PACKET_HEADER_MAX_BYTES];
    uint32_t payload;
    struct hd_packet again;
    size_t size = hd_packet_encode(p, out);
    int hlen = hd_packet_decode_lengths(out, &payload);
    hd_assert(hlen > 0 && (size_t)hlen + HD_PACKET_LENGTHS_BYTES == size);
    hd_assert(payload == p->sums_bytes + p->data_bytes);
    hd_assert(hd_packet_decode(out + HD_PACKET_LENGTHS_BYTES, (size_t)hlen, payload, &again) == 0);
    check_same(p, &again);
}

/* Whether every known field has its own wire type; the generated decoder does not look. */
static bool is_plain(const uint8_t *header, size_t size)
{
    static const uint32_t wires[] = {
        0, HD_WIRE_FIXED64, HD_WIRE_FIXED64, HD_WIRE_VARINT, HD_WIRE_FIXED32, HD_WIRE_VARINT};
    struct hd_slice in = {header, size};
    struct hd_field f;
    int more;
    while ((more = hd_field_next(&in, &f)) > 0) {
        uint32_t field = f.tag >> 3;
        if (field < HD_ARRAY_COUNT(wires) && (f.tag & 7) != wires[field]) {
            return false;
        }
    }
    return more == 0;
}

static void check_against_proto(const uint8_t *header, size_t size, uint32_t payload, int err,
                                const struct hd_packet *p)
{
    if (!is_plain(header, size)) {
        return;
    }
    Hdw__PacketHeader *m = hdw__packet_header__unpack(NULL, size, header);
    if (m == NULL) {
        return;
    }
    bool fits = m->data_len >= 0 && (uint32_t)m->data_len <= payload && m->offset_in_block >= 0;
    hd_assert(fits == (err == 0));
    if (fits) {
        struct hd_packet want = {.offset_bytes = m->offset_in_block,
                                 .seqno = m->seqno,
                                 .data_bytes = (uint32_t)m->data_len,
                                 .sums_bytes = payload - (uint32_t)m->data_len,
                                 .last = m->last_packet_in_block != 0,
                                 .sync = m->sync_block != 0};
        check_same(p, &want);
    }
    hdw__packet_header__free_unpacked(m, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t payload;
    struct hd_packet p;
    if (size < HD_PACKET_LENGTHS_BYTES) {
        return 0;
    }
    int hlen = hd_packet_decode_lengths(data, &payload);
    if (hlen < 0 || (size_t)hlen > size - HD_PACKET_LENGTHS_BYTES) {
        return 0;
    }
    const uint8_t *header = data + HD_PACKET_LENGTHS_BYTES;
    int err = hd_packet_decode(header, (size_t)hlen, payload, &p);
    if (err == 0) {
        check_encoding(&p);
    }
    check_against_proto(header, (size_t)hlen, payload, err, &p);
    return 0;
}
