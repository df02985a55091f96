/*
 * The frame of a record in an edit log segment, and the segment's header. Bytes only; the tables
 * are in docs/formats.md ("Edit log").
 *
 *   u32 size | u64 txid | u64 durable | u32 header sum | u32 sum | payload | end mark
 *
 * `durable` is the txid up to which the log was durable when the record was handed over for
 * writing. It tells a start-up whether a hole in front of a good record can be a write that a power
 * cut reordered (then nobody was promised what is missing) or is damage.
 */
#ifndef HD_META_LOG_RECORD_H
#define HD_META_LOG_RECORD_H

#include "fs/base/buf.h"
#include "fs/base/types.h"

enum {
    HD_RECORD_HEADER_BYTES = 28,
    HD_RECORD_END_BYTES = 1,
    HD_RECORD_FRAME_BYTES = HD_RECORD_HEADER_BYTES + HD_RECORD_END_BYTES,
    HD_RECORD_MAX_BYTES = 64 << 20, /* of the payload */
    HD_SEGMENT_HEADER_BYTES = 128,
    HD_CLUSTER_ID_MAX_BYTES = 95, /* without the NUL */
};

struct hd_record {
    struct hd_txid txid;
    struct hd_txid durable;
    const uint8_t *data; /* the payload; borrowed */
    size_t size;
};

/* Appends the framed record. size is 1 to HD_RECORD_MAX_BYTES. Errors of hd_buf_reserve. */
int hd_record_encode(struct hd_buf *out, const struct hd_record *r);

enum hd_record_state {
    HD_RECORD_GOOD,
    HD_RECORD_SHORT,      /* good as far as the bytes reach */
    HD_RECORD_ZERO,       /* the header is all zeros: never written */
    HD_RECORD_BAD_HEADER, /* its size cannot be trusted */
    HD_RECORD_BAD_BODY,   /* the header is good, the payload or the end mark is not */
};

/*
 * Looks at the bytes p[0..n). GOOD fills ret (data points into p) and ret_bytes, the whole frame;
 * SHORT and BAD_BODY fill ret_bytes when the header was good (else 0).
 */
enum hd_record_state hd_record_decode(const uint8_t *p, size_t n, struct hd_record *ret,
                                      size_t *ret_bytes);

/* The segment's header, for cluster_id and the txid of the first record. */
void hd_segment_header_encode(uint8_t out[HD_SEGMENT_HEADER_BYTES], const char *cluster_id,
                              struct hd_txid first);

/* -HD_E_CORRUPT when it is none, -HD_E_INCORRECT_VERSION for another version or cluster. */
int hd_segment_header_check(const uint8_t in[HD_SEGMENT_HEADER_BYTES], const char *cluster_id,
                            struct hd_txid first);

#endif
