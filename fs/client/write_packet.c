/* Packets of a writer: memory, filling, sums, header. */
#include "fs/base/assert.h"
#include "fs/client/writer.h"

#include <errno.h>
#include <stdlib.h>

enum {
    FIRST_CAPACITY_BYTES = 4096,
    COPY_PIECE_BYTES = 65536, /* copied, then summed while it is in the cache */
    SPARE_MAX = HD_WRITER_WINDOW_BYTES / HD_WRITER_PACKET_BYTES + 2,
};

void hd_wpacket_free(struct hd_wpacket *p)
{
    if (p != NULL) {
        free(p->data);
        free(p->sums);
        free(p);
    }
}

static int set_capacity(struct hd_writer *w, struct hd_wpacket *p, size_t capacity)
{
    size_t sums = (capacity + w->chunk_bytes - 1) / w->chunk_bytes * 4;
    uint8_t *d = realloc(p->data, capacity);
    if (d == NULL) {
        return -ENOMEM;
    }
    p->data = d;
    uint8_t *s = realloc(p->sums, sums);
    if (s == NULL) {
        return -ENOMEM;
    }
    p->sums = s;
    p->capacity = capacity;
    return 0;
}

struct hd_wpacket *hd_wpacket_get(struct hd_writer *w, uint64_t offset)
{
    struct hd_wpacket *p;
    struct hd_list *node = hd_list_pop_front(&w->spare);
    if (node != NULL) {
        w->spare_count--;
        p = HD_LIST_ENTRY(node, struct hd_wpacket, link);
    } else {
        p = calloc(1, sizeof(*p));
        if (p == NULL) {
            return NULL;
        }
        hd_list_init(&p->link);
    }
    p->offset = offset;
    p->size = p->kept = p->summed = p->sent = 0;
    p->last = p->sync = false;
    return p;
}

void hd_wpacket_put(struct hd_writer *w, struct hd_wpacket *p)
{
    if (w->spare_count >= SPARE_MAX) {
        hd_wpacket_free(p);
        return;
    }
    w->spare_count++;
    hd_list_push_front(&w->spare, &p->link);
}

/* Sums of the whole chunks that are there and have none yet. */
static void sum_chunks(struct hd_writer *w, struct hd_wpacket *p, size_t upto)
{
    if (upto > p->summed) {
        hd_checksum_chunks(w->type, w->chunk_bytes, p->data + p->summed, upto - p->summed,
                           p->sums + p->summed / w->chunk_bytes * 4);
        p->summed = upto;
    }
}

static int make_room(struct hd_writer *w, struct hd_wpacket *p, size_t need)
{
    if (need <= p->capacity) {
        return 0;
    }
    size_t capacity = HD_MAX(p->capacity, (size_t)FIRST_CAPACITY_BYTES);
    while (capacity < need) {
        capacity *= 2;
    }
    if (w->full_packets) {
        capacity = HD_MAX(capacity, (size_t)HD_WRITER_PACKET_BYTES);
    }
    return set_capacity(w, p, capacity);
}

int64_t hd_wpacket_fill(struct hd_writer *w, struct hd_wpacket *p, const void *data, size_t size,
                        size_t room)
{
    size_t n = HD_MIN(size, room - p->size);
    if (make_room(w, p, p->size + n) < 0) {
        return -ENOMEM;
    }
    for (size_t at = 0; at < n;) {
        size_t piece = HD_MIN(n - at, (size_t)COPY_PIECE_BYTES);
        memcpy(p->data + p->size, (const uint8_t *)data + at, piece);
        p->size += piece;
        at += piece;
        sum_chunks(w, p, p->size - p->size % w->chunk_bytes);
    }
    return (int64_t)n;
}

void hd_wpacket_seal(struct hd_writer *w, struct hd_wpacket *p, int64_t seqno)
{
    size_t whole = p->size - p->size % w->chunk_bytes;
    if (whole < p->size) {
        hd_checksum_chunks(w->type, w->chunk_bytes, p->data + whole, p->size - whole,
                           p->sums + whole / w->chunk_bytes * 4);
    }
    p->seqno = seqno;
    struct hd_packet h = {
        .offset_bytes = (int64_t)p->offset,
        .seqno = seqno,
        .data_bytes = (uint32_t)p->size,
        .sums_bytes = (uint32_t)((p->size + w->chunk_bytes - 1) / w->chunk_bytes * 4),
        .last = p->last,
        .sync = p->sync,
    };
    p->header_size = hd_packet_encode(&h, p->header);
    p->sent = 0;
}
