/* The edit log's frames. See record.h. */
#include "meta/log/record.h"
#include "fs/base/assert.h"
#include "fs/base/bytes.h"
#include "fs/base/crc.h"
#include "fs/base/error.h"

enum {
    SIZE_AT = 0,
    TXID_AT = 4,
    DURABLE_AT = 12,
    HEADER_SUM_AT = 20,
    SUM_AT = 24,
    END_MARK = 0xed, /* not zero, so that a frame whose end was never written shows */

    SEGMENT_VERSION = 1,
    VERSION_AT = 8,
    HEADER_SIZE_AT = 12,
    FIRST_AT = 16,
    CLUSTER_AT = 24,
    SEGMENT_SUM_AT = 124,
};

static const char segment_magic[8] = {'H', 'D', 'E', 'D', 'I', 'T', 'S', '\n'};

static uint32_t frame_sum(const uint8_t *frame, size_t size)
{
    uint32_t sum = hd_crc32c(0, frame, SUM_AT);
    return hd_crc32c(sum, frame + HD_RECORD_HEADER_BYTES, size);
}

int hd_record_encode(struct hd_buf *out, const struct hd_record *r)
{
    hd_assert(r->size > 0 && r->size <= HD_RECORD_MAX_BYTES && r->txid.v > r->durable.v);
    int err = hd_buf_reserve(out, HD_RECORD_FRAME_BYTES + r->size);
    if (err < 0) {
        return err;
    }
    uint8_t *p = out->data + out->size;
    hd_put_le32(p + SIZE_AT, (uint32_t)r->size);
    hd_put_le64(p + TXID_AT, r->txid.v);
    hd_put_le64(p + DURABLE_AT, r->durable.v);
    hd_put_le32(p + HEADER_SUM_AT, hd_crc32c(0, p, HEADER_SUM_AT));
    memcpy(p + HD_RECORD_HEADER_BYTES, r->data, r->size);
    hd_put_le32(p + SUM_AT, frame_sum(p, r->size));
    p[HD_RECORD_HEADER_BYTES + r->size] = END_MARK;
    out->size += HD_RECORD_FRAME_BYTES + r->size;
    return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (p[i] != 0) {
            return false;
        }
    }
    return true;
}

enum hd_record_state hd_record_decode(const uint8_t *p, size_t n, struct hd_record *ret,
                                      size_t *ret_bytes)
{
    *ret_bytes = 0;
    if (n < HD_RECORD_HEADER_BYTES) {
        return all_zero(p, n) ? HD_RECORD_ZERO : HD_RECORD_SHORT;
    }
    uint32_t size = hd_get_le32(p + SIZE_AT);
    if (hd_get_le32(p + HEADER_SUM_AT) != hd_crc32c(0, p, HEADER_SUM_AT)) {
        return all_zero(p, HD_RECORD_HEADER_BYTES) ? HD_RECORD_ZERO : HD_RECORD_BAD_HEADER;
    }
    if (size == 0 || size > HD_RECORD_MAX_BYTES) {
        return HD_RECORD_BAD_HEADER;
    }
    *ret_bytes = HD_RECORD_FRAME_BYTES + (size_t)size;
    if (n < *ret_bytes) {
        return HD_RECORD_SHORT;
    }
    if (hd_get_le32(p + SUM_AT) != frame_sum(p, size) ||
        p[HD_RECORD_HEADER_BYTES + size] != END_MARK) {
        return HD_RECORD_BAD_BODY;
    }
    ret->txid.v = hd_get_le64(p + TXID_AT);
    ret->durable.v = hd_get_le64(p + DURABLE_AT);
    ret->data = p + HD_RECORD_HEADER_BYTES;
    ret->size = size;
    return HD_RECORD_GOOD;
}

void hd_segment_header_encode(uint8_t out[HD_SEGMENT_HEADER_BYTES], const char *cluster_id,
                              struct hd_txid first)
{
    size_t n = strlen(cluster_id);
    hd_assert(n <= HD_CLUSTER_ID_MAX_BYTES);
    memset(out, 0, HD_SEGMENT_HEADER_BYTES);
    memcpy(out, segment_magic, sizeof(segment_magic));
    hd_put_le32(out + VERSION_AT, SEGMENT_VERSION);
    hd_put_le32(out + HEADER_SIZE_AT, HD_SEGMENT_HEADER_BYTES);
    hd_put_le64(out + FIRST_AT, first.v);
    memcpy(out + CLUSTER_AT, cluster_id, n);
    hd_put_le32(out + SEGMENT_SUM_AT, hd_crc32c(0, out, SEGMENT_SUM_AT));
}

int hd_segment_header_check(const uint8_t in[HD_SEGMENT_HEADER_BYTES], const char *cluster_id,
                            struct hd_txid first)
{
    if (memcmp(in, segment_magic, sizeof(segment_magic)) != 0 ||
        hd_get_le32(in + SEGMENT_SUM_AT) != hd_crc32c(0, in, SEGMENT_SUM_AT)) {
        return hd_fail(-HD_E_CORRUPT, "the segment header (offset 0) is damaged");
    }
    if (hd_get_le32(in + VERSION_AT) != SEGMENT_VERSION) {
        return hd_fail(-HD_E_INCORRECT_VERSION, "segment version %u; this program reads version %d",
                       hd_get_le32(in + VERSION_AT), SEGMENT_VERSION);
    }
    const char *id = (const char *)in + CLUSTER_AT;
    if (strncmp(id, cluster_id, HD_CLUSTER_ID_MAX_BYTES + 1) != 0) {
        return hd_fail(-HD_E_INCORRECT_VERSION, "belongs to cluster %.*s, not to %s",
                       HD_CLUSTER_ID_MAX_BYTES, id, cluster_id);
    }
    if (hd_get_le64(in + FIRST_AT) != first.v) {
        return hd_fail(-HD_E_CORRUPT, "the header names %llu as first txid, the file name %llu",
                       (unsigned long long)hd_get_le64(in + FIRST_AT), (unsigned long long)first.v);
    }
    return 0;
}
