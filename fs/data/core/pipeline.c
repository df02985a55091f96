/* Packets in flight and acknowledgements. See pipeline.h. */
#include "fs/data/core/pipeline.h"
#include "fs/base/assert.h"
#include "fs/base/buf.h"
#include "fs/base/error.h"

#include <string.h>

enum {
    TAG_SEQNO = 1 << 3,       /* sint64 */
    TAG_REPLY = 2 << 3,       /* enum, repeated */
    TAG_NANOS = 3 << 3,       /* uint64 */
    TAG_FLAGS = 4 << 3 | 2,   /* uint32, packed */
    TAG_FLAG = 4 << 3,        /* the same, unpacked */
    TAG_REPLIES = 2 << 3 | 2, /* the same, packed */
    STATUS_MAX = 13,
};

bool hd_pipeline_empty(const struct hd_pipeline *p)
{
    return p->pushed == p->popped;
}

bool hd_pipeline_full(const struct hd_pipeline *p)
{
    return p->pushed - p->popped == HD_PIPELINE_PACKETS_MAX;
}

void hd_pipeline_push(struct hd_pipeline *p, const struct hd_pipeline_packet *packet)
{
    hd_assert(!hd_pipeline_full(p));
    p->ring[p->pushed++ % HD_PIPELINE_PACKETS_MAX] = *packet;
}

void hd_pipeline_mark_written(struct hd_pipeline *p)
{
    hd_assert(p->written < p->pushed);
    p->ring[p->written++ % HD_PIPELINE_PACKETS_MAX].written = true;
}

const struct hd_pipeline_packet *hd_pipeline_first(const struct hd_pipeline *p)
{
    hd_assert(!hd_pipeline_empty(p));
    return &p->ring[p->popped % HD_PIPELINE_PACKETS_MAX];
}

void hd_pipeline_pop(struct hd_pipeline *p)
{
    hd_assert(p->popped < p->written);
    p->popped++;
}

void hd_ack_join(int64_t seqno, enum hd_ack_status own, const struct hd_ack *below,
                 uint64_t downstream_ns, struct hd_ack *ret)
{
    int n = below == NULL ? 0 : HD_MIN(below->count, HD_PIPELINE_NODES_MAX - 1);
    ret->seqno = seqno;
    ret->downstream_ns = downstream_ns;
    ret->count = n + 1;
    ret->reply[0] = (uint8_t)own;
    ret->flag[0] = own;
    if (n > 0) {
        memcpy(ret->reply + 1, below->reply, (size_t)n);
        memcpy(ret->flag + 1, below->flag, (size_t)n * sizeof(below->flag[0]));
    }
}

void hd_ack_mirror_broken(struct hd_ack *ret)
{
    struct hd_ack below = {.count = 1, .reply = {HD_ACK_ERROR}, .flag = {HD_ACK_ERROR}};
    hd_ack_join(HD_ACK_UNKNOWN_SEQNO, HD_ACK_SUCCESS, &below, 0, ret);
}

bool hd_ack_all_well(const struct hd_ack *a)
{
    for (int i = 0; i < a->count; i++) {
        if (a->reply[i] != HD_ACK_SUCCESS) {
            return false;
        }
    }
    return true;
}

size_t hd_ack_encode(const struct hd_ack *a, uint8_t out[HD_ACK_BYTES_MAX])
{
    uint8_t body[HD_ACK_BYTES_MAX];
    size_t at = 0;
    body[at++] = TAG_SEQNO;
    at += hd_varint_encode((uint64_t)a->seqno << 1 ^ (uint64_t)(a->seqno >> 63), body + at);
    size_t flags_bytes = 0;
    for (int i = 0; i < a->count; i++) {
        body[at++] = TAG_REPLY;
        body[at++] = a->reply[i];
        flags_bytes += hd_varint_size(a->flag[i]);
    }
    body[at++] = TAG_NANOS;
    at += hd_varint_encode(a->downstream_ns, body + at);
    body[at++] = TAG_FLAGS;
    at += hd_varint_encode(flags_bytes, body + at);
    for (int i = 0; i < a->count; i++) {
        at += hd_varint_encode(a->flag[i], body + at);
    }
    size_t head = hd_varint_encode(at, out);
    memcpy(out + head, body, at);
    return head + at;
}

/* A cursor over the message; bad becomes true at the first thing that does not decode. */
struct reader {
    const uint8_t *in;
    size_t size;
    size_t at;
    bool bad;
};

static uint64_t take_varint(struct reader *r)
{
    uint64_t v = 0;
    int n = r->bad ? 0 : hd_varint_decode(r->in + r->at, r->size - r->at, &v);
    if (n <= 0) {
        r->bad = true;
        return 0;
    }
    r->at += (size_t)n;
    return v;
}

static void skip_field(struct reader *r, unsigned wire)
{
    uint64_t n = 0;
    if (wire == 0) {
        take_varint(r);
    } else if (wire == 2) {
        n = take_varint(r);
    } else {
        n = wire == 1 ? 8 : wire == 5 ? 4 : UINT64_MAX;
    }
    if (r->bad || n > r->size - r->at) {
        r->bad = true;
        return;
    }
    r->at += (size_t)n;
}

static void take_reply(struct reader *r, struct hd_ack *ret, int *ret_err)
{
    uint64_t v = take_varint(r);
    if (ret->count == HD_PIPELINE_NODES_MAX) {
        *ret_err = -HD_E_TOO_LARGE;
        return;
    }
    ret->reply[ret->count++] = v <= STATUS_MAX ? (uint8_t)v : (uint8_t)HD_ACK_ERROR;
}

int hd_ack_decode(const uint8_t *in, size_t size, struct hd_ack *ret)
{
    struct reader r = {.in = in, .size = size};
    bool has_seqno = false;
    int flags = 0;
    int err = 0;
    ret->count = 0;
    ret->downstream_ns = 0;
    while (r.at < r.size && !r.bad && err == 0) {
        uint64_t tag = take_varint(&r);
        size_t end = 0;
        if (tag == TAG_FLAGS || tag == TAG_REPLIES) {
            uint64_t n = take_varint(&r);
            if (r.bad || n > r.size - r.at) {
                return -HD_E_BAD_MESSAGE;
            }
            end = r.at + (size_t)n;
        }
        if (tag == TAG_SEQNO) {
            uint64_t v = take_varint(&r);
            ret->seqno = (int64_t)(v >> 1) ^ -(int64_t)(v & 1);
            has_seqno = true;
        } else if (tag == TAG_REPLY) {
            take_reply(&r, ret, &err);
        } else if (tag == TAG_NANOS) {
            ret->downstream_ns = take_varint(&r);
        } else if (tag == TAG_REPLIES) {
            while (r.at < end && !r.bad && err == 0) {
                take_reply(&r, ret, &err);
            }
        } else if (tag == TAG_FLAGS || tag == TAG_FLAG) {
            do {
                uint64_t v = tag == TAG_FLAGS && r.at >= end ? 0 : take_varint(&r);
                if (flags < HD_PIPELINE_NODES_MAX) {
                    ret->flag[flags] = (uint32_t)v;
                }
                flags++;
            } while (r.at < end && !r.bad);
        } else {
            skip_field(&r, (unsigned)(tag & 7));
        }
    }
    if (err < 0) {
        return err;
    }
    if (r.bad || !has_seqno) {
        return -HD_E_BAD_MESSAGE;
    }
    for (int i = 0; flags != ret->count && i < ret->count; i++) {
        ret->flag[i] = ret->reply[i]; /* none, or not one for each: made from the replies */
    }
    return 0;
}
