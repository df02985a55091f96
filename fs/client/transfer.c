/* Connections, requests and answers of transfer.h. */
#include "fs/client/transfer.h"
#include "fs/base/buf.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/os/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>

enum {
    TRANSFER_VERSION = 28,
    IDLE_MAX = 16,
    IDLE_MS = 2500, /* nodes close idle connections after 4 s */
    RESPONSE_MAX_BYTES = 1 << 20,
    /* Headers and sums go through the buffer; block data goes past it when it is this small. */
    CONN_BUFFER_BYTES = 8192,
};

void hd_conn_cache_init(struct hd_conn_cache *c)
{
    pthread_mutex_init(&c->lock, NULL);
    hd_list_init(&c->idle);
    c->count = 0;
}

void hd_conn_cache_done(struct hd_conn_cache *c)
{
    struct hd_list *node;
    while ((node = hd_list_pop_front(&c->idle)) != NULL) {
        hd_conn_close(HD_LIST_ENTRY(node, struct hd_conn, link));
    }
    pthread_mutex_destroy(&c->lock);
}

void hd_node_address(const Hdw__DatanodeInfo *node, char out[HD_ADDR_TEXT_BYTES])
{
    const char *ip = node->id->ip_addr;
    snprintf(out, HD_ADDR_TEXT_BYTES, strchr(ip, ':') != NULL ? "[%s]:%u" : "%s:%u", ip,
             node->id->xfer_port);
}

/* The peer said nothing more and did not close. */
static bool still_open(const struct hd_conn *c)
{
    struct pollfd p = {.fd = c->stream.fd, .events = POLLIN};
    return c->stream.start == c->stream.end && poll(&p, 1, 0) == 0;
}

static struct hd_conn *take_idle(struct hd_conn_cache *cache, const char *address)
{
    struct hd_conn *found = NULL;
    struct hd_list dead;
    hd_list_init(&dead);
    int64_t now = hd_clock_mono_ms().v;
    pthread_mutex_lock(&cache->lock);
    HD_LIST_FOR_SAFE(it, &cache->idle)
    {
        struct hd_conn *c = HD_LIST_ENTRY(it, struct hd_conn, link);
        bool old = now - c->idle_since_ms > IDLE_MS;
        if (!old && (found != NULL || strcmp(c->address, address) != 0)) {
            continue;
        }
        hd_list_remove(it);
        cache->count--;
        if (!old && still_open(c)) {
            found = c;
        } else {
            hd_list_push_back(&dead, it);
        }
    }
    pthread_mutex_unlock(&cache->lock);
    struct hd_list *node;
    while ((node = hd_list_pop_front(&dead)) != NULL) {
        hd_conn_close(HD_LIST_ENTRY(node, struct hd_conn, link));
    }
    return found;
}

int hd_conn_open(struct hd_conn_cache *cache, const Hdw__DatanodeInfo *node, int timeout_ms,
                 struct hd_conn **ret)
{
    char address[HD_ADDR_TEXT_BYTES];
    hd_node_address(node, address);
    struct hd_conn *c = cache != NULL ? take_idle(cache, address) : NULL;
    if (c != NULL) {
        c->reused = true;
        c->stream.timeout_ms = timeout_ms;
        *ret = c;
        return 0;
    }
    c = calloc(1, sizeof(*c));
    if (c == NULL) {
        return -ENOMEM;
    }
    hd_list_init(&c->link);
    memcpy(c->address, address, sizeof(address));
    int fd = -1;
    int err = hd_addr_connect(node->id->ip_addr, (int)node->id->xfer_port, timeout_ms, &fd);
    if (err == 0) {
        err = hd_stream_init(&c->stream, fd, timeout_ms, CONN_BUFFER_BYTES);
    }
    if (err < 0) {
        free(c);
        return err;
    }
    *ret = c;
    return 0;
}

void hd_conn_close(struct hd_conn *c)
{
    if (c != NULL) {
        hd_stream_done(&c->stream);
        free(c);
    }
}

void hd_conn_keep(struct hd_conn_cache *cache, struct hd_conn *c)
{
    struct hd_conn *surplus = NULL;
    c->idle_since_ms = hd_clock_mono_ms().v;
    pthread_mutex_lock(&cache->lock);
    hd_list_push_front(&cache->idle, &c->link);
    if (++cache->count > IDLE_MAX) {
        surplus = HD_LIST_ENTRY(cache->idle.prev, struct hd_conn, link);
        hd_list_remove(&surplus->link);
        cache->count--;
    }
    pthread_mutex_unlock(&cache->lock);
    hd_conn_close(surplus);
}

int hd_transfer_request_add(struct hd_buf *out, enum hd_transfer_op op, const ProtobufCMessage *m)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    int err = hd_buf_reserve(out, 3 + 10 + size);
    if (err < 0) {
        return err;
    }
    uint8_t *p = out->data + out->size;
    hd_put_be16(p, TRANSFER_VERSION);
    p[2] = (uint8_t)op;
    size_t at = 3 + hd_varint_encode(size, p + 3);
    protobuf_c_message_pack(m, p + at);
    out->size += at + size;
    return 0;
}

int hd_transfer_request(struct hd_stream *s, enum hd_transfer_op op, const ProtobufCMessage *m)
{
    HD_AUTO(hd_buf_done) struct hd_buf out = {0};
    int err = hd_transfer_request_add(&out, op, m);
    return err < 0 ? err : hd_stream_write(s, out.data, out.size);
}

int hd_transfer_response(struct hd_stream *s, struct hd_arena *arena, Hdw__BlockOpResponse **ret)
{
    return hd_stream_read_message(s, &hdw__block_op_response__descriptor, RESPONSE_MAX_BYTES, arena,
                                  (ProtobufCMessage **)(void *)ret);
}

int hd_transfer_error(const Hdw__BlockOpResponse *r, const char *address, const char *what)
{
    int err = -HD_E_IO;
    switch ((int)r->status) {
    case HDW__STATUS__STATUS_SUCCESS:
        return 0;
    case HDW__STATUS__STATUS_ERROR_ACCESS_TOKEN:
        err = -EACCES;
        break;
    case HDW__STATUS__STATUS_ERROR_UNSUPPORTED:
        err = -EOPNOTSUPP;
        break;
    case HDW__STATUS__STATUS_ERROR_CHECKSUM:
        err = -HD_E_CHECKSUM;
        break;
    default:
        break;
    }
    return hd_fail(err, "%s: %s refused with status %d: %s", address, what, (int)r->status,
                   r->message != NULL ? r->message : "no reason given");
}

void hd_block_header_init(struct hd_block_header *h, const Hdw__ExtendedBlock *block,
                          Hdw__Token *token, const char *client_name)
{
    h->block = *block;
    hdw__base_header__init(&h->base);
    h->base.block = &h->block;
    h->base.token = token;
    hdw__client_operation_header__init(&h->client);
    h->client.base_header = &h->base;
    h->client.client_name = (char *)(uintptr_t)client_name;
}
