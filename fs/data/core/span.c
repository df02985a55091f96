/* The chunk grid. See span.h. */
#include "fs/data/core/span.h"
#include "fs/base/error.h"

int hd_read_span(uint64_t offset, uint64_t length, uint64_t visible_bytes,
                 uint32_t bytes_per_checksum, struct hd_read_span *ret)
{
    if (offset > visible_bytes || length > visible_bytes - offset) {
        return -HD_E_ILLEGAL_ARGUMENT;
    }
    uint64_t end = offset + length;
    uint64_t past = end % bytes_per_checksum;
    if (past != 0) {
        uint64_t rest = bytes_per_checksum - past;
        end = rest > visible_bytes - end ? visible_bytes : end + rest;
    }
    ret->start_bytes = offset - offset % bytes_per_checksum;
    ret->end_bytes = end;
    return 0;
}

int hd_write_kind(uint64_t offset, uint32_t size, uint64_t have_bytes, uint32_t bytes_per_checksum,
                  enum hd_write_kind *ret)
{
    if (offset > have_bytes) {
        return hd_fail(-HD_E_BAD_MESSAGE, "packet at %llu behind a replica of %llu bytes",
                       (unsigned long long)offset, (unsigned long long)have_bytes);
    }
    if (offset + size <= have_bytes) {
        *ret = HD_WRITE_SKIP;
        return 0;
    }
    uint32_t into = (uint32_t)(offset % bytes_per_checksum);
    if (into == 0) {
        *ret = HD_WRITE_WHOLE;
        return 0;
    }
    if (size > bytes_per_checksum - into) {
        return hd_fail(-HD_E_BAD_MESSAGE, "packet of %u bytes at %llu crosses the end of its chunk",
                       size, (unsigned long long)offset);
    }
    *ret = HD_WRITE_PARTIAL;
    return 0;
}
