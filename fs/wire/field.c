/* One protobuf field after the other. See field.h. */
#include "fs/wire/field.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"

int hd_field_truncated(void)
{
    return hd_fail(
        -HD_E_BAD_MESSAGE,
        "While parsing a protocol message, the input ended unexpectedly in the middle of "
        "a field.  This could mean either that the input has been truncated or that an "
        "embedded message misreported its own length.");
}

int hd_field_malformed(void)
{
    return hd_fail(-HD_E_BAD_MESSAGE, "CodedInputStream encountered a malformed varint.");
}

static int take_varint(struct hd_slice *in, uint64_t *ret)
{
    int n = hd_varint_decode(in->data, in->size, ret);
    if (n <= 0) {
        return n < 0 ? hd_field_malformed() : hd_field_truncated();
    }
    in->data += n;
    in->size -= (size_t)n;
    return 0;
}

static int take_fixed(struct hd_slice *in, size_t size, uint64_t *ret)
{
    if (in->size < size) {
        return hd_field_truncated();
    }
    *ret = size == 8 ? hd_get_le64(in->data) : hd_get_le32(in->data);
    in->data += size;
    in->size -= size;
    return 0;
}

int hd_field_next(struct hd_slice *in, struct hd_field *ret)
{
    if (in->size == 0) {
        return 0;
    }
    uint64_t tag;
    int err = take_varint(in, &tag);
    if (err < 0) {
        return err;
    }
    if (tag > UINT32_MAX) { /* not the tag that its low bits would make it */
        return hd_fail(-HD_E_BAD_MESSAGE, "Protocol message contained an invalid tag (too large).");
    }
    ret->tag = (uint32_t)tag;
    if (ret->tag >> 3 == 0) {
        return hd_fail(-HD_E_BAD_MESSAGE, "Protocol message contained an invalid tag (zero).");
    }
    switch (ret->tag & 7) {
    case HD_WIRE_VARINT:
        err = take_varint(in, &ret->number);
        break;
    case HD_WIRE_FIXED64:
        err = take_fixed(in, 8, &ret->number);
        break;
    case HD_WIRE_FIXED32:
        err = take_fixed(in, 4, &ret->number);
        break;
    case HD_WIRE_BYTES:
        err = hd_slice_take_delimited(in, &ret->bytes);
        break;
    default: /* groups are not of this protocol */
        return hd_fail(-HD_E_BAD_MESSAGE, "Protocol message tag had invalid wire type.");
    }
    return err < 0 ? err : 1;
}
