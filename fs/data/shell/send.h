/* Sending a replica as packets: READ_BLOCK, COPY_BLOCK and copies to other nodes. */
#ifndef HD_DATA_SHELL_SEND_H
#define HD_DATA_SHELL_SEND_H

#include "fs/data/core/span.h"
#include "fs/data/shell/throttle.h"
#include "fs/data/store/store.h"

struct hd_send {
    int fd; /* socket, blocking */
    struct hd_block_view *view;
    struct hd_read_span span;
    uint32_t packet_bytes; /* of data in each packet; rounded to whole chunks */
    bool sums;
    struct hd_throttle *throttle; /* NULL: as fast as it goes */
    bool durable;                 /* the receiver is asked to have it on disk before it is there */
};

/*
 * Sends the span and the empty last packet. Data goes by sendfile. Errors: -HD_E_CLOSED when the
 * peer went (normal for readers), -HD_E_TRUNCATED and I/O errors for the replica.
 */
int hd_send_block(const struct hd_send *s);

#endif
