/* Connections to other data nodes. */
#ifndef HD_DATA_SHELL_PEER_H
#define HD_DATA_SHELL_PEER_H

#include "fs/base/list.h"
#include "fs/net/addr.h"
#include "fs/net/stream.h"

#include "data_transfer.pb-c.h"

#include <pthread.h>

/*
 * Connections to other nodes that ended a write of a client of ours in order: the other end, when
 * it is a howdah-data too, waits for the next one on them.
 */
struct hd_peers {
    pthread_mutex_t lock;
    struct hd_list idle; /* newest first */
    int count;
};

void hd_peers_init(struct hd_peers *p);
void hd_peers_done(struct hd_peers *p); /* closes all */

/* An idle connection that is still open. False: there is none. */
bool hd_peers_take(struct hd_peers *p, const Hdw__DatanodeInfo *node, int nodes_below,
                   struct hd_stream *ret);

/* Takes the stream, or closes it when it is of no more use. */
void hd_peers_keep(struct hd_peers *p, const Hdw__DatanodeInfo *node, struct hd_stream *s);

/* Connects to the node's transfer port. The stream's timeout is the set-up timeout for nodes_below.
 */
int hd_peer_connect(const Hdw__DatanodeInfo *node, int nodes_below, struct hd_stream *ret);

/* Version, op code and message in one send; the first also with data behind them. */
int hd_peer_send_op_data(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m,
                         const void *data, size_t size_bytes);
int hd_peer_send_op(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m);

/* An all-empty node, as Hadoop sends for "source: a client". Static. */
Hdw__DatanodeInfo *hd_peer_nobody(void);

#endif
