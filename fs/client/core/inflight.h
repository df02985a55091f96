/*
 * Which bytes of a block are on their way: writes in the order they were queued, each with a serial
 * number, acknowledged in that order. A reader asks which of them it has to wait for. Pure.
 */
#ifndef HD_CLIENT_CORE_INFLIGHT_H
#define HD_CLIENT_CORE_INFLIGHT_H

struct hd_inflight_range {
    uint64_t serial;
    uint64_t offset;
    uint64_t end;
};

/* A ring. All zero: empty. */
struct hd_inflight {
    struct hd_inflight_range *ranges; /* heap, owned */
    size_t capacity;                  /* a power of two, or 0 */
    size_t first;
    size_t count;
};

void hd_inflight_done(struct hd_inflight *f);

/* [offset, end) is queued; serial is above all before. -ENOMEM. */
int hd_inflight_add(struct hd_inflight *f, uint64_t serial, uint64_t offset, uint64_t end);

/* Everything up to serial is acknowledged. */
void hd_inflight_acked(struct hd_inflight *f, uint64_t serial);

/* The serial that has to be acknowledged before [offset, end) may be read from a node; 0: none. */
uint64_t hd_inflight_find(const struct hd_inflight *f, uint64_t offset, uint64_t end);

#endif
