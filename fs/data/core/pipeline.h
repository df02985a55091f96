/*
 * Bookkeeping of a write pipeline at one node: the packets on their way down, and the
 * acknowledgements that come back up (PipelineAck).
 *
 * A packet is acknowledged upwards when this node has written it and every node below has
 * acknowledged it, in the order the packets came. Pure.
 */
#ifndef HD_DATA_CORE_PIPELINE_H
#define HD_DATA_CORE_PIPELINE_H

#include "fs/base/types.h"

enum {
    HD_PIPELINE_PACKETS_MAX = 1024, /* in flight; beyond, receiving waits */
    HD_PIPELINE_NODES_MAX = 64,     /* replies in one acknowledgement */
    HD_ACK_BYTES_MAX = 40 + HD_PIPELINE_NODES_MAX * 8,
};

#define HD_ACK_UNKNOWN_SEQNO ((int64_t)-2) /* an error that belongs to no packet */

/* Status numbers of the wire that acknowledgements carry. */
enum hd_ack_status {
    HD_ACK_SUCCESS = 0,
    HD_ACK_ERROR = 1,
    HD_ACK_ERROR_CHECKSUM = 2,
};

struct hd_pipeline_packet {
    int64_t seqno;
    uint64_t end_bytes; /* of its data in the block */
    bool last;
    bool written; /* by this node */
    bool slow;    /* asks for durability: its acknowledgement may take long */
};

/* Packets in flight, oldest first. A zeroed struct is empty. */
struct hd_pipeline {
    struct hd_pipeline_packet ring[HD_PIPELINE_PACKETS_MAX];
    uint64_t pushed; /* counts over the whole stream */
    uint64_t written;
    uint64_t popped; /* popped <= written <= pushed, but for heartbeats */
};

bool hd_pipeline_empty(const struct hd_pipeline *p);
bool hd_pipeline_full(const struct hd_pipeline *p);
void hd_pipeline_push(struct hd_pipeline *p,
                      const struct hd_pipeline_packet *packet); /* not full */

/* The oldest packet not yet marked is written by this node. */
void hd_pipeline_mark_written(struct hd_pipeline *p);

/* The oldest packet in flight (not empty), and removing it. */
const struct hd_pipeline_packet *hd_pipeline_first(const struct hd_pipeline *p);
void hd_pipeline_pop(struct hd_pipeline *p);

struct hd_ack {
    int64_t seqno;
    uint64_t downstream_ns;
    int count;                            /* replies */
    uint8_t reply[HD_PIPELINE_NODES_MAX]; /* status of this node, then of those below */
    uint32_t flag[HD_PIPELINE_NODES_MAX]; /* status in bits 0-3, congestion above */
};

/*
 * The acknowledgement for upstream: own status in front of `below` (NULL: the tail of the
 * pipeline). A list that would not fit is cut.
 */
void hd_ack_join(int64_t seqno, enum hd_ack_status own, const struct hd_ack *below,
                 uint64_t downstream_ns, struct hd_ack *ret);

/* "Mirror broken": seqno -2, this node well, the next one not. Two replies however long the line.
 */
void hd_ack_mirror_broken(struct hd_ack *ret);

bool hd_ack_all_well(const struct hd_ack *a);

/* Varint length and message, as they travel; returns the bytes. */
size_t hd_ack_encode(const struct hd_ack *a, uint8_t out[HD_ACK_BYTES_MAX]);

/* The message without its length. -HD_E_BAD_MESSAGE, or -HD_E_TOO_LARGE for too many replies. */
int hd_ack_decode(const uint8_t *in, size_t size, struct hd_ack *ret);

#endif
