/* Connections to other data nodes. See peer.h. */
#include "fs/data/shell/peer.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/shell/data.h"
#include "fs/data/shell/packet_io.h"

#include <errno.h>
#include <stdlib.h>

enum { PROTOCOL_VERSION = 28, READ_BUFFER_BYTES = 4096 };

int hd_peer_connect(const Hdw__DatanodeInfo *node, int nodes_below, struct hd_stream *ret)
{
    int fd;
    int err = hd_addr_connect(node->id->ip_addr, (int)node->id->xfer_port,
                              HD_DATA_CONNECT_TIMEOUT_MS, &fd);
    if (err < 0) {
        return err;
    }
    int timeout_ms = HD_DATA_SETUP_TIMEOUT_MS + HD_DATA_PER_NODE_MS * nodes_below;
    hd_socket_timeouts(fd, timeout_ms);
    return hd_stream_init(ret, fd, timeout_ms, READ_BUFFER_BYTES);
}

int hd_peer_send_op(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    uint8_t *out = malloc(size + 13);
    if (out == NULL) {
        return -ENOMEM;
    }
    hd_put_be16(out, PROTOCOL_VERSION);
    out[2] = op;
    size_t at = 3 + hd_varint_encode(size, out + 3);
    protobuf_c_message_pack(m, out + at);
    int err = hd_stream_write(s, out, at + size);
    free(out);
    return err;
}

static char empty[] = "";
static Hdw__DatanodeID nobody_id;
static Hdw__DatanodeInfo nobody;
static pthread_once_t nobody_once = PTHREAD_ONCE_INIT;

static void make_nobody(void)
{
    nobody_id = (Hdw__DatanodeID)HDW__DATANODE_ID__INIT;
    nobody_id.ip_addr = nobody_id.host_name = nobody_id.datanode_uuid = empty;
    nobody = (Hdw__DatanodeInfo)HDW__DATANODE_INFO__INIT;
    nobody.id = &nobody_id;
}

Hdw__DatanodeInfo *hd_peer_nobody(void)
{
    pthread_once(&nobody_once, make_nobody);
    return &nobody;
}
