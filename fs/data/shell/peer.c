/* Connections to other data nodes. See peer.h. */
#include "fs/data/shell/peer.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/shell/data.h"
#include "fs/data/shell/packet_io.h"

#include "fs/os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
    PROTOCOL_VERSION = 28,
    READ_BUFFER_BYTES = 4096,
    IDLE_MAX = 128,
    IDLE_MS = 20000, /* the other end waits 30 s */
};

struct idle {
    struct hd_list link;
    struct hd_stream stream;
    int64_t since_ms;
    char address[HD_ADDR_TEXT_BYTES];
};

/* --- idle connections --- */

void hd_peers_init(struct hd_peers *p)
{
    pthread_mutex_init(&p->lock, NULL);
    hd_list_init(&p->idle);
    p->count = 0;
}

static void idle_free(struct hd_list *link)
{
    struct idle *i = HD_LIST_ENTRY(link, struct idle, link);
    hd_stream_done(&i->stream);
    free(i);
}

void hd_peers_done(struct hd_peers *p)
{
    struct hd_list *link;
    while ((link = hd_list_pop_front(&p->idle)) != NULL) {
        idle_free(link);
    }
    pthread_mutex_destroy(&p->lock);
}

static void address_of(const Hdw__DatanodeInfo *node, char out[HD_ADDR_TEXT_BYTES])
{
    snprintf(out, HD_ADDR_TEXT_BYTES, "%s:%u", node->id->ip_addr, node->id->xfer_port);
}

/* The peer neither closed nor said anything that nobody asked for. */
static bool still_open(const struct idle *i)
{
    struct pollfd p = {.fd = i->stream.fd, .events = POLLIN};
    return poll(&p, 1, 0) == 0;
}

/* The newest connection to the address; those past their time go to `dead`. Under the lock. */
static struct idle *find(struct hd_peers *p, const char *address, struct hd_list *dead)
{
    struct idle *found = NULL;
    int64_t oldest_ms = hd_clock_mono_ms().v - IDLE_MS;
    HD_LIST_FOR_SAFE(it, &p->idle)
    {
        struct idle *i = HD_LIST_ENTRY(it, struct idle, link);
        bool old = i->since_ms < oldest_ms;
        if (!old && (found != NULL || strcmp(i->address, address) != 0)) {
            continue;
        }
        hd_list_remove(it);
        p->count--;
        if (!old && still_open(i)) {
            found = i;
        } else {
            hd_list_push_back(dead, it);
        }
    }
    return found;
}

static void set_timeout(struct hd_stream *s, int nodes_below)
{
    s->timeout_ms = HD_DATA_SETUP_TIMEOUT_MS + HD_DATA_PER_NODE_MS * nodes_below;
    hd_socket_timeouts(s->fd, s->timeout_ms);
}

bool hd_peers_take(struct hd_peers *p, const Hdw__DatanodeInfo *node, int nodes_below,
                   struct hd_stream *ret)
{
    char address[HD_ADDR_TEXT_BYTES];
    struct hd_list dead;
    hd_list_init(&dead);
    address_of(node, address);
    pthread_mutex_lock(&p->lock);
    struct idle *found = find(p, address, &dead);
    pthread_mutex_unlock(&p->lock);
    struct hd_list *link;
    while ((link = hd_list_pop_front(&dead)) != NULL) {
        idle_free(link);
    }
    if (found == NULL) {
        return false;
    }
    *ret = found->stream;
    free(found);
    set_timeout(ret, nodes_below);
    return true;
}

void hd_peers_keep(struct hd_peers *p, const Hdw__DatanodeInfo *node, struct hd_stream *s)
{
    struct idle *i = s->start == s->end ? calloc(1, sizeof(*i)) : NULL;
    if (i == NULL) {
        hd_stream_done(s);
        return;
    }
    hd_list_init(&i->link);
    i->stream = *s;
    i->since_ms = hd_clock_mono_ms().v;
    address_of(node, i->address);
    struct hd_list *surplus = NULL;
    pthread_mutex_lock(&p->lock);
    hd_list_push_front(&p->idle, &i->link);
    if (++p->count > IDLE_MAX) {
        surplus = p->idle.prev;
        hd_list_remove(surplus);
        p->count--;
    }
    pthread_mutex_unlock(&p->lock);
    if (surplus != NULL) {
        idle_free(surplus);
    }
}

/* --- connecting, requests --- */

int hd_peer_connect(const Hdw__DatanodeInfo *node, int nodes_below, struct hd_stream *ret)
{
    int fd;
    int err = hd_addr_connect(node->id->ip_addr, (int)node->id->xfer_port,
                              HD_DATA_CONNECT_TIMEOUT_MS, &fd);
    if (err < 0) {
        return err;
    }
    err = hd_stream_init(ret, fd, HD_DATA_SETUP_TIMEOUT_MS, READ_BUFFER_BYTES);
    if (err == 0) {
        set_timeout(ret, nodes_below);
    }
    return err;
}

int hd_peer_send_op(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m)
{
    return hd_peer_send_op_data(s, op, m, NULL, 0);
}

int hd_peer_send_op_data(struct hd_stream *s, uint8_t op, const ProtobufCMessage *m,
                         const void *data, size_t size_bytes)
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
    struct iovec iov[] = {{out, at + size}, {(void *)(uintptr_t)data, size_bytes}};
    int err = hd_stream_writev(s, iov, 2);
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
