/*
 * Fields of a protobuf message, one at a time, for the few messages that are coded by hand. Pure.
 * Failures are -HD_E_BAD_MESSAGE with the sentence of Hadoop's decoder as failure text.
 */
#ifndef HD_WIRE_FIELD_H
#define HD_WIRE_FIELD_H

#include "fs/base/buf.h"
#include "fs/wire/frame.h"

enum { HD_WIRE_VARINT = 0, HD_WIRE_FIXED64 = 1, HD_WIRE_BYTES = 2, HD_WIRE_FIXED32 = 5 };

#define HD_FIELD_TAG(field, wire) ((uint32_t)(field) << 3 | (uint32_t)(wire))

struct hd_field {
    uint32_t tag;          /* HD_FIELD_TAG(number, wire type) */
    uint64_t number;       /* of the three scalar wire types */
    struct hd_slice bytes; /* of HD_WIRE_BYTES; data is never NULL */
};

/* Takes a field off the front of in. 1, 0 at the end, or an error. */
int hd_field_next(struct hd_slice *in, struct hd_field *ret);

/* The two usual failures. */
int hd_field_truncated(void);
int hd_field_malformed(void);

/* Encoded size of a field with a number below 16, tag included. */
static inline size_t hd_field_number_size(uint64_t v)
{
    return 1 + hd_varint_size(v);
}

static inline size_t hd_field_bytes_size(size_t size)
{
    return 1 + hd_varint_size(size) + size;
}

/* Writers: fields with a number below 16; each returns the byte behind what it wrote. */
static inline uint8_t *hd_field_put_tag(uint8_t *p, unsigned field, unsigned wire)
{
    *p = (uint8_t)HD_FIELD_TAG(field, wire);
    return p + 1;
}

static inline uint8_t *hd_field_put_number(uint8_t *p, unsigned field, uint64_t v)
{
    p = hd_field_put_tag(p, field, HD_WIRE_VARINT);
    return p + hd_varint_encode(v, p);
}

static inline uint8_t *hd_field_put_bytes(uint8_t *p, unsigned field, struct hd_slice s)
{
    p = hd_field_put_tag(p, field, HD_WIRE_BYTES);
    p += hd_varint_encode(s.size, p);
    if (s.size > 0) {
        memcpy(p, s.data, s.size);
    }
    return p + s.size;
}

#endif
