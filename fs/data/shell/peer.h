/* Connections to other data nodes. */
#ifndef HD_DATA_SHELL_PEER_H
#define HD_DATA_SHELL_PEER_H

#include "fs/net/stream.h"

#include "data_transfer.pb-c.h"

/* Connects to the node's transfer port. The stream's timeout is the set-up timeout for nodes_below.
 */
int hd_peer_connect(const Hdw__DatanodeInfo *node, int nodes_below, struct hd_stream *ret);

/* Version, op code and message in one send. */
int hd_peer_send_op(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m);

/* An all-empty node, as Hadoop sends for "source: a client". Static. */
Hdw__DatanodeInfo *hd_peer_nobody(void);

#endif
