/* Connections and dispatch of requests. See op.h. */
#include "fs/data/shell/op.h"
#include "fs/base/bytes.h"
#include "fs/base/error.h"
#include "fs/data/shell/packet_io.h"
#include "fs/data/shell/receive.h"
#include "fs/os/log.h"

#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum {
    PROTOCOL_VERSION = 28,
    FIRST_OP_TIMEOUT_MS = 60000,
    KEEP_ALIVE_MS = 4000,          /* Hadoop's clients drop idle connections after 3 s */
    OWN_KEEP_ALIVE_MS = 30000,     /* ours are patient */
    READ_BUFFER_BYTES = 40 * 1024, /* a small block with its request fits */
    OP_ARENA_BYTES = 16 << 20,
    STOP_WAIT_S = 20,
};

enum op_code {
    OP_WRITE = 80,
    OP_READ = 81,
    OP_REPLACE = 83,
    OP_COPY = 84,
    OP_CHECKSUM = 85,
    OP_TRANSFER = 86,
    OP_SHORT_CIRCUIT_FDS = 87,
    OP_SHORT_CIRCUIT_RELEASE = 88,
    OP_SHORT_CIRCUIT_SHM = 89,
};

static const ProtobufCMessageDescriptor *message_of(uint8_t code)
{
    switch (code) {
    case OP_WRITE:
        return &hdw__op_write_block__descriptor;
    case OP_READ:
        return &hdw__op_read_block__descriptor;
    case OP_REPLACE:
        return &hdw__op_replace_block__descriptor;
    case OP_COPY:
        return &hdw__op_copy_block__descriptor;
    case OP_CHECKSUM:
        return &hdw__op_block_checksum__descriptor;
    case OP_TRANSFER:
        return &hdw__op_transfer_block__descriptor;
    case OP_SHORT_CIRCUIT_FDS:
        return &hdw__op_request_short_circuit_access__descriptor;
    case OP_SHORT_CIRCUIT_RELEASE:
        return &hdw__release_short_circuit_access_request__descriptor;
    case OP_SHORT_CIRCUIT_SHM:
        return &hdw__short_circuit_shm_request__descriptor;
    default:
        return NULL;
    }
}

/* The block a request is about; NULL for those about none. */
static const Hdw__ExtendedBlock *block_of(uint8_t code, const ProtobufCMessage *m)
{
    switch (code) {
    case OP_WRITE:
        return ((const Hdw__OpWriteBlock *)m)->header->base_header->block;
    case OP_READ:
        return ((const Hdw__OpReadBlock *)m)->header->base_header->block;
    case OP_REPLACE:
        return ((const Hdw__OpReplaceBlock *)m)->header->block;
    case OP_COPY:
        return ((const Hdw__OpCopyBlock *)m)->header->block;
    case OP_CHECKSUM:
        return ((const Hdw__OpBlockChecksum *)m)->header->block;
    case OP_TRANSFER:
        return ((const Hdw__OpTransferBlock *)m)->header->base_header->block;
    case OP_SHORT_CIRCUIT_FDS:
        return ((const Hdw__OpRequestShortCircuitAccess *)m)->header->block;
    default:
        return NULL;
    }
}

static enum hd_op_result dispatch(struct hd_conn *c, uint8_t code, const ProtobufCMessage *m)
{
    switch (code) {
    case OP_WRITE:
        return hd_op_write(c, (const Hdw__OpWriteBlock *)m);
    case OP_READ:
        return hd_op_read(c, (const Hdw__OpReadBlock *)m);
    case OP_REPLACE:
        return hd_op_replace(c, (const Hdw__OpReplaceBlock *)m);
    case OP_COPY:
        return hd_op_copy(c, (const Hdw__OpCopyBlock *)m);
    case OP_CHECKSUM:
        return hd_op_checksum(c, (const Hdw__OpBlockChecksum *)m);
    case OP_TRANSFER:
        return hd_op_transfer(c, (const Hdw__OpTransferBlock *)m);
    case OP_SHORT_CIRCUIT_FDS:
        return hd_op_short_circuit_fds(c, (const Hdw__OpRequestShortCircuitAccess *)m);
    case OP_SHORT_CIRCUIT_RELEASE:
        return hd_op_short_circuit_release(c);
    case OP_SHORT_CIRCUIT_SHM:
        return hd_op_short_circuit_shm(c);
    default:
        return HD_OP_CLOSE;
    }
}

/* Reads and serves one request. What is malformed is closed without a byte, and logged once. */
static enum hd_op_result serve_one(struct hd_conn *c)
{
    uint8_t head[3];
    int err = hd_stream_read(&c->stream, head, sizeof(head));
    if (err < 0) {
        return HD_OP_CLOSE;
    }
    const ProtobufCMessageDescriptor *type = message_of(head[2]);
    if (hd_get_be16(head) != PROTOCOL_VERSION || type == NULL) {
        hd_log_warn("transfer request refused", "peer=%s version=%u op=%u", c->peer,
                    hd_get_be16(head), head[2]);
        return HD_OP_CLOSE;
    }
    ProtobufCMessage *m;
    err = hd_stream_read_message(&c->stream, type, HD_DATA_MESSAGE_BYTES_MAX, &c->arena, &m);
    if (err < 0) {
        hd_log_warn("transfer request does not decode", "peer=%s op=%u error=\"%s\"", c->peer,
                    head[2], hd_fail_describe(err));
        return HD_OP_CLOSE;
    }
    const Hdw__ExtendedBlock *b = block_of(head[2], m);
    if (b != NULL && !hd_store_serves_pool(c->data->store, b->pool_id)) {
        hd_log_warn("transfer request for a pool that is not here",
                    "peer=%s op=%u block=%" PRIu64 " pool=\"%.100s\"", c->peer, head[2],
                    b->block_id, b->pool_id);
        return HD_OP_CLOSE;
    }
    return dispatch(c, head[2], m);
}

static void *conn_main(void *arg)
{
    struct hd_conn *c = arg;
    struct hd_data *d = c->data;
    c->stream.timeout_ms = FIRST_OP_TIMEOUT_MS;
    while (hd_stream_wait(&c->stream) == 1 && !atomic_load(&d->stopping)) {
        c->stream.timeout_ms = HD_DATA_STREAM_TIMEOUT_MS;
        enum hd_op_result result = serve_one(c);
        hd_arena_reset(&c->arena);
        if (result == HD_OP_CLOSE) {
            break;
        }
        c->stream.timeout_ms = c->own_client ? OWN_KEEP_ALIVE_MS : KEEP_ALIVE_MS;
    }
    pthread_mutex_lock(&d->conns.lock);
    hd_list_remove(&c->link); /* nobody shuts the descriptor down from here on */
    pthread_mutex_unlock(&d->conns.lock);
    hd_stream_done(&c->stream);
    hd_arena_done(&c->arena);
    free(c);
    pthread_mutex_lock(&d->conns.lock);
    d->conns.count--;
    pthread_cond_broadcast(&d->conns.empty);
    pthread_mutex_unlock(&d->conns.lock);
    return NULL;
}

/* Lists the connection; false when there are too many or the node stops. */
static bool enlist(struct hd_data *d, struct hd_conn *c)
{
    pthread_mutex_lock(&d->conns.lock);
    bool room = !d->conns.stopping && d->conns.count < d->options.max_transfer_threads;
    if (room) {
        hd_list_push_back(&d->conns.list, &c->link);
        d->conns.count++;
    }
    pthread_mutex_unlock(&d->conns.lock);
    return room;
}

void hd_conn_start(struct hd_data *d, int fd, bool is_unix)
{
    struct hd_conn *c = calloc(1, sizeof(*c));
    if (c == NULL || hd_stream_init(&c->stream, fd, FIRST_OP_TIMEOUT_MS, READ_BUFFER_BYTES) < 0) {
        if (c == NULL) {
            close(fd);
        }
        free(c);
        return;
    }
    c->data = d;
    c->is_unix = is_unix;
    hd_arena_init(&c->arena, OP_ARENA_BYTES);
    hd_list_init(&c->link);
    char ip[HD_IP_TEXT_BYTES] = "unix";
    int port = 0;
    if (!is_unix) {
        int one = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        hd_addr_peer(fd, ip, &port);
    }
    hd_socket_timeouts(fd, HD_DATA_STREAM_TIMEOUT_MS);
    snprintf(c->peer, sizeof(c->peer), "%s:%d", ip, port);
    pthread_t thread;
    bool listed = enlist(d, c);
    int err = listed ? hd_data_thread(&thread, true, conn_main, c) : -EAGAIN;
    if (err < 0) {
        hd_log_warn("transfer connection refused", "peer=%s limit=%" PRIi64 " error=\"%s\"",
                    c->peer, d->options.max_transfer_threads,
                    listed ? hd_fail_describe(err) : "limit");
        if (listed) {
            pthread_mutex_lock(&d->conns.lock);
            hd_list_remove(&c->link);
            d->conns.count--;
            pthread_mutex_unlock(&d->conns.lock);
        }
        hd_stream_done(&c->stream);
        hd_arena_done(&c->arena);
        free(c);
    }
}

void hd_conn_set_receive(struct hd_conn *c, struct hd_receive *receive)
{
    pthread_mutex_lock(&c->data->conns.lock);
    c->receive = receive;
    pthread_mutex_unlock(&c->data->conns.lock);
}

void hd_conns_stop(struct hd_data *d)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += STOP_WAIT_S;
    pthread_mutex_lock(&d->conns.lock);
    d->conns.stopping = true;
    HD_LIST_FOR(it, &d->conns.list)
    {
        struct hd_conn *c = HD_LIST_ENTRY(it, struct hd_conn, link);
        shutdown(c->stream.fd, SHUT_RDWR);
        if (c->receive != NULL) {
            hd_receive_interrupt(c->receive);
        }
    }
    int err = 0;
    while (d->conns.count > 0 && err == 0) {
        err = pthread_cond_timedwait(&d->conns.empty, &d->conns.lock, &until);
    }
    int left = d->conns.count;
    pthread_mutex_unlock(&d->conns.lock);
    if (left > 0) {
        hd_log_warn("transfers did not stop in time", "count=%d", left);
    }
}

/* --- replies --- */

int hd_op_reply(struct hd_conn *c, Hdw__Status status, const char *first_bad_link,
                const char *message)
{
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = status;
    r.first_bad_link = (char *)(uintptr_t)first_bad_link;
    r.message = (char *)(uintptr_t)message;
    return hd_stream_write_message(&c->stream, &r.base);
}

int hd_op_reply_add(struct hd_buf *out, Hdw__Status status, const char *first_bad_link)
{
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = status;
    r.first_bad_link = (char *)(uintptr_t)first_bad_link;
    size_t size = hdw__block_op_response__get_packed_size(&r);
    int err = hd_buf_add_varint(out, size);
    err = err < 0 ? err : hd_buf_reserve(out, size);
    if (err == 0) {
        hdw__block_op_response__pack(&r, out->data + out->size);
        out->size += size;
    }
    return err;
}

const char *hd_op_block_text(struct hd_conn *c, const Hdw__ExtendedBlock *b)
{
    const char *text = hd_arena_printf(&c->arena, "%s:blk_%" PRIu64 "_%" PRIu64, b->pool_id,
                                       b->block_id, b->generation_stamp);
    return text != NULL ? text : "block";
}

const char *hd_op_exception_text(struct hd_conn *c, const char *op, const Hdw__ExtendedBlock *b,
                                 int err, const char *text)
{
    return hd_arena_printf(&c->arena, "%s %s received exception %s: %s", op, hd_op_block_text(c, b),
                           hd_error_class(err), text);
}
