/*
 * For tests of the client library: a meta and data nodes of straw on loopback, one file of one
 * block. The nodes keep what they are sent and can be told to hang, to rot or to cheat.
 */
#ifndef HD_TESTS_STRAW_CLUSTER_H
#define HD_TESTS_STRAW_CLUSTER_H

#include "fs/base/crc.h"
#include "fs/client/core/layout.h"
#include "fs/client/howdah.h"
#include "fs/client/transfer.h"
#include "fs/os/clock.h"
#include "fs/wire/packet.h"
#include "tests/support/rpc_peer.h"

#include "client_datanode.pb-c.h"
#include "client_namenode.pb-c.h"
#include "howdah.pb-c.h"

#include <netinet/in.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum {
    STRAW_NODES = 3,
    STRAW_CONNS = 64,
    STRAW_BLOCK_BYTES = 1 << 20,
    STRAW_CHUNK_BYTES = 512,
    STRAW_PACKET_BYTES = 65536,
};

struct straw_node {
    int listener;
    int port;
    char uuid[8];
    pthread_t acceptor;
    pthread_t threads[STRAW_CONNS];
    int fds[STRAW_CONNS];
    atomic_int connections;
    atomic_bool hang;       /* takes requests and does not answer */
    atomic_bool rot;        /* sends one byte wrong */
    atomic_bool short_acks; /* acks say nothing of the last node of the chain */
    atomic_int reads;       /* requests heard */
    atomic_int writes;
    atomic_int together; /* writes whose data lay behind the request already */
    atomic_ulong size;
    uint8_t data[STRAW_BLOCK_BYTES];
};

struct straw_cluster {
    struct test_server meta;
    struct straw_node *nodes[STRAW_NODES];
    atomic_int blocks; /* added */
    atomic_int abandoned;
    atomic_int excluded; /* nodes named by the last addBlock */
    atomic_int recoveries;
    atomic_int reports; /* of bad replicas */
    char reported[8];   /* the last one's node */
    atomic_bool open;   /* the file is being written, and its writer told of */
    atomic_ulong told;  /* so many bytes */
    atomic_int asked;   /* for visible lengths: the nodes answer in turn */
    atomic_int silent;  /* number of the one that does not, from 1 */
};

/* ---- data nodes ---- */

static inline bool straw_ack(struct straw_node *n, struct hd_stream *s, int64_t seqno, size_t below)
{
    Hdw__Status ok[STRAW_NODES] = {HDW__STATUS__STATUS_SUCCESS};
    Hdw__PipelineAck ack = HDW__PIPELINE_ACK__INIT;
    ack.seqno = seqno;
    ack.n_reply = 1 + below - (n->short_acks ? 1 : 0);
    ack.reply = ok;
    return hd_stream_write_message(s, &ack.base) == 0;
}

static inline bool straw_read_packet(struct hd_stream *s, struct hd_packet *p, uint8_t *data)
{
    uint8_t lengths[HD_PACKET_LENGTHS_BYTES];
    uint8_t header[HD_PACKET_HEADER_LIMIT_BYTES];
    static _Thread_local uint8_t sums[STRAW_BLOCK_BYTES / STRAW_CHUNK_BYTES * 4];
    uint32_t payload;
    if (hd_stream_read(s, lengths, sizeof(lengths)) < 0) {
        return false;
    }
    int size = hd_packet_decode_lengths(lengths, &payload);
    return size > 0 && hd_stream_read(s, header, (size_t)size) == 0 &&
           hd_packet_decode(header, (size_t)size, payload, p) == 0 &&
           hd_stream_read(s, sums, p->sums_bytes) == 0 &&
           hd_stream_read(s, data, p->data_bytes) == 0;
}

static inline bool straw_serve_write(struct straw_node *n, struct hd_stream *s,
                                     struct hd_arena *arena)
{
    static _Thread_local uint8_t data[STRAW_BLOCK_BYTES];
    Hdw__OpWriteBlock *op;
    if (hd_stream_read_message(s, &hdw__op_write_block__descriptor, 65536, arena,
                               (ProtobufCMessage **)(void *)&op) < 0) {
        return false;
    }
    int waiting = 0;
    (void)ioctl(s->fd, FIONREAD, &waiting);
    n->together += waiting > 0 || s->end > s->start;
    n->writes++;
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    r.status = HDW__STATUS__STATUS_SUCCESS;
    r.first_bad_link = (char *)(uintptr_t) "";
    if (hd_stream_write_message(s, &r.base) < 0) {
        return false;
    }
    for (;;) {
        struct hd_packet p;
        if (!straw_read_packet(s, &p, data)) {
            return false;
        }
        memcpy(n->data + p.offset_bytes, data, p.data_bytes);
        n->size = HD_MAX((unsigned long)n->size, (unsigned long)p.offset_bytes + p.data_bytes);
        if (!straw_ack(n, s, p.seqno, op->n_targets)) {
            return false;
        }
        if (p.last) {
            return true;
        }
    }
}

static inline bool straw_send(struct straw_node *n, struct hd_stream *s, uint64_t at, size_t size,
                              int64_t seqno)
{
    static _Thread_local uint8_t sums[STRAW_PACKET_BYTES / STRAW_CHUNK_BYTES * 4];
    static _Thread_local uint8_t copy[STRAW_PACKET_BYTES];
    memcpy(copy, n->data + at, size);
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, STRAW_CHUNK_BYTES, copy, size, sums);
    copy[0] ^= n->rot ? 1 : 0;
    struct hd_packet p = {
        .offset_bytes = (int64_t)at,
        .seqno = seqno,
        .data_bytes = (uint32_t)size,
        .sums_bytes =
            (uint32_t)((size + STRAW_CHUNK_BYTES - 1) / STRAW_CHUNK_BYTES * sizeof(uint32_t)),
        .last = size == 0,
    };
    uint8_t header[HD_PACKET_HEADER_MAX_BYTES];
    struct iovec iov[] = {
        {header, hd_packet_encode(&p, header)}, {sums, p.sums_bytes}, {copy, size}};
    return hd_stream_writev(s, iov, 3) == 0;
}

static inline bool straw_serve_read(struct straw_node *n, struct hd_stream *s,
                                    struct hd_arena *arena)
{
    Hdw__OpReadBlock *op;
    if (hd_stream_read_message(s, &hdw__op_read_block__descriptor, 65536, arena,
                               (ProtobufCMessage **)(void *)&op) < 0) {
        return false;
    }
    n->reads++;
    while (n->hang) {
        hd_clock_sleep_ms(5);
    }
    Hdw__BlockOpResponse r = HDW__BLOCK_OP_RESPONSE__INIT;
    if (op->offset + op->len > n->size) {
        r.status = HDW__STATUS__STATUS_ERROR;
        r.message = (char *)(uintptr_t) "Offset and length don't match block";
        (void)hd_stream_write_message(s, &r.base);
        return false;
    }
    Hdw__Checksum checksum = HDW__CHECKSUM__INIT;
    Hdw__ReadOpChecksumInfo info = HDW__READ_OP_CHECKSUM_INFO__INIT;
    checksum.type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    checksum.bytes_per_checksum = STRAW_CHUNK_BYTES;
    info.checksum = &checksum;
    info.chunk_offset = hd_chunk_floor(op->offset, STRAW_CHUNK_BYTES);
    r.status = HDW__STATUS__STATUS_SUCCESS;
    r.read_op_checksum_info = &info;
    bool good = hd_stream_write_message(s, &r.base) == 0;
    uint64_t end = HD_MIN(hd_chunk_ceil(op->offset + op->len, STRAW_CHUNK_BYTES), n->size);
    int64_t seqno = 0;
    for (uint64_t at = info.chunk_offset; at < end && good; at += STRAW_PACKET_BYTES) {
        good =
            straw_send(n, s, at, (size_t)HD_MIN(end - at, (uint64_t)STRAW_PACKET_BYTES), seqno++);
    }
    Hdw__ClientReadStatus *status;
    return good && straw_send(n, s, 0, 0, seqno) &&
           hd_stream_read_message(s, &hdw__client_read_status__descriptor, 64, arena,
                                  (ProtobufCMessage **)(void *)&status) == 0;
}

struct straw_conn {
    struct straw_node *node;
    int fd;
};

static inline void *straw_conn_run(void *ctx)
{
    struct straw_conn c = *(struct straw_conn *)ctx;
    struct hd_stream s;
    bool more = hd_stream_init(&s, dup(c.fd), 20000, 0) == 0;
    free(ctx);
    while (more) {
        HD_AUTO(hd_arena_done) struct hd_arena arena;
        hd_arena_init(&arena, 0);
        uint8_t head[3];
        more = hd_stream_read(&s, head, sizeof(head)) == 0 &&
               (head[2] == HD_OP_WRITE_BLOCK  ? straw_serve_write(c.node, &s, &arena)
                : head[2] == HD_OP_READ_BLOCK ? straw_serve_read(c.node, &s, &arena)
                                              : false);
    }
    shutdown(c.fd, SHUT_RDWR);
    hd_stream_done(&s);
    return NULL;
}

static inline void *straw_accept(void *ctx)
{
    struct straw_node *n = ctx;
    for (int fd; (fd = accept(n->listener, NULL, NULL)) >= 0;) {
        ATF_REQUIRE(n->connections < STRAW_CONNS);
        struct straw_conn *c = malloc(sizeof(*c));
        *c = (struct straw_conn){n, fd};
        n->fds[n->connections] = fd;
        pthread_create(&n->threads[n->connections], NULL, straw_conn_run, c);
        n->connections++;
    }
    return NULL;
}

static inline struct straw_node *straw_node_start(int number)
{
    struct straw_node *n = calloc(1, sizeof(*n));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof(a);
    snprintf(n->uuid, sizeof(n->uuid), "node-%d", number);
    n->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ATF_REQUIRE(bind(n->listener, (struct sockaddr *)&a, sizeof(a)) == 0);
    ATF_REQUIRE(listen(n->listener, STRAW_CONNS) == 0);
    ATF_REQUIRE(getsockname(n->listener, (struct sockaddr *)&a, &size) == 0);
    n->port = ntohs(a.sin_port);
    pthread_create(&n->acceptor, NULL, straw_accept, n);
    return n;
}

static inline void straw_node_stop(struct straw_node *n)
{
    n->hang = false;
    shutdown(n->listener, SHUT_RDWR);
    pthread_join(n->acceptor, NULL);
    for (int i = 0; i < n->connections; i++) {
        shutdown(n->fds[i], SHUT_RDWR);
        pthread_join(n->threads[i], NULL);
        close(n->fds[i]);
    }
    close(n->listener);
    free(n);
}

/* ---- meta ---- */

/* The one block on all nodes but `skip` of them, as meta tells it. Lives in the call's arena. */
static inline Hdw__LocatedBlock *straw_block(struct straw_cluster *c, struct hd_arena *arena,
                                             size_t skip)
{
    Hdw__LocatedBlock *b = HD_ARENA_ARRAY(arena, Hdw__LocatedBlock, 1);
    Hdw__ExtendedBlock *e = HD_ARENA_ARRAY(arena, Hdw__ExtendedBlock, 1);
    Hdw__Token *token = HD_ARENA_ARRAY(arena, Hdw__Token, 1);
    Hdw__DatanodeInfo *infos = HD_ARENA_ARRAY(arena, Hdw__DatanodeInfo, STRAW_NODES);
    Hdw__DatanodeID *ids = HD_ARENA_ARRAY(arena, Hdw__DatanodeID, STRAW_NODES);
    Hdw__DatanodeInfo **locs = HD_ARENA_ARRAY(arena, Hdw__DatanodeInfo *, STRAW_NODES);
    hdw__located_block__init(b);
    hdw__extended_block__init(e);
    hdw__token__init(token);
    token->kind = token->service = (char *)(uintptr_t) "";
    e->pool_id = (char *)(uintptr_t) "BP-1";
    e->block_id = 1;
    e->generation_stamp = 1001;
    e->has_num_bytes = true;
    e->num_bytes = c->nodes[STRAW_NODES - 1]->size;
    for (size_t i = skip; i < STRAW_NODES; i++) {
        hdw__datanode_info__init(&infos[i]);
        hdw__datanode_id__init(&ids[i]);
        ids[i].ip_addr = ids[i].host_name = (char *)(uintptr_t) "127.0.0.1";
        ids[i].datanode_uuid = c->nodes[i]->uuid;
        ids[i].xfer_port = (uint32_t)c->nodes[i]->port;
        ids[i].ipc_port = (uint32_t)c->meta.port; /* answers probes */
        infos[i].id = &ids[i];
        locs[b->n_locs++] = &infos[i];
    }
    b->b = e;
    b->block_token = token;
    b->locs = locs;
    return b;
}

static inline void straw_reply_defaults(struct hd_rpc_call *call)
{
    Hdw__GetServerDefaultsResponse r = HDW__GET_SERVER_DEFAULTS_RESPONSE__INIT;
    Hdw__FsServerDefaults d = HDW__FS_SERVER_DEFAULTS__INIT;
    d.block_size = STRAW_BLOCK_BYTES;
    d.bytes_per_checksum = STRAW_CHUNK_BYTES;
    d.write_packet_size = STRAW_PACKET_BYTES;
    d.replication = STRAW_NODES;
    d.file_buffer_size = 4096;
    d.has_checksum_type = true;
    d.checksum_type = HDW__CHECKSUM_TYPE__CHECKSUM_CRC32C;
    r.server_defaults = &d;
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_reply_create(struct hd_rpc_call *call)
{
    Hdw__CreateResponse r = HDW__CREATE_RESPONSE__INIT;
    Hdw__HdfsFileStatus st = HDW__HDFS_FILE_STATUS__INIT;
    Hdw__FsPermission permission = HDW__FS_PERMISSION__INIT;
    st.file_type = HDW__FILE_TYPE__IS_FILE;
    st.permission = &permission;
    st.owner = st.group = (char *)(uintptr_t) "alice";
    st.has_file_id = true;
    st.file_id = 16400;
    st.has_blocksize = true;
    st.blocksize = STRAW_BLOCK_BYTES;
    st.has_block_replication = true;
    st.block_replication = STRAW_NODES;
    r.fs = &st;
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_reply_locations(struct straw_cluster *c, struct hd_rpc_call *call)
{
    Hdw__GetBlockLocationsResponse r = HDW__GET_BLOCK_LOCATIONS_RESPONSE__INIT;
    Hdw__LocatedBlocks l = HDW__LOCATED_BLOCKS__INIT;
    Hdw__LocatedBlock *b = straw_block(c, &call->arena, 0);
    l.file_length = b->b->num_bytes;
    l.n_blocks = 1;
    l.blocks = &b;
    l.is_last_block_complete = true;
    if (c->open) {
        b->b->num_bytes = c->told;
        l.file_length = 0;
        l.last_block = b;
        l.under_construction = true;
        l.is_last_block_complete = false;
    }
    r.locations = &l;
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_reply_visible(struct straw_cluster *c, struct hd_rpc_call *call)
{
    Hdw__GetReplicaVisibleLengthResponse r = HDW__GET_REPLICA_VISIBLE_LENGTH_RESPONSE__INIT;
    int number = c->asked++ % STRAW_NODES;
    if (number + 1 == c->silent) {
        hd_rpc_reply_error(call, -HD_E_IO, "not now");
        return;
    }
    r.length = c->nodes[number]->size;
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_take_report(struct straw_cluster *c, struct hd_rpc_call *call)
{
    const Hdw__ReportBadBlocksRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__report_bad_blocks_request__descriptor);
    Hdw__ReportBadBlocksResponse r = HDW__REPORT_BAD_BLOCKS_RESPONSE__INIT;
    snprintf(c->reported, sizeof(c->reported), "%s", q->blocks[0]->locs[0]->id->datanode_uuid);
    c->reports++;
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_reply_block(struct straw_cluster *c, struct hd_rpc_call *call)
{
    const Hdw__AddBlockRequest *q =
        (const void *)hd_rpc_call_decode(call, &hdw__add_block_request__descriptor);
    Hdw__AddBlockResponse r = HDW__ADD_BLOCK_RESPONSE__INIT;
    c->blocks++;
    c->excluded = (int)q->n_exclude_nodes;
    r.block = straw_block(c, &call->arena, HD_MIN(q->n_exclude_nodes, (size_t)STRAW_NODES - 1));
    hd_rpc_reply(call, &r.base, 0);
}

static inline void straw_on_call(void *ctx, struct hd_rpc_call *call)
{
    struct straw_cluster *c = ctx;
    const char *m = call->method;
    if (strcmp(m, "getCluster") == 0) {
        Hdw__GetClusterResponse r = HDW__GET_CLUSTER_RESPONSE__INIT;
        r.cluster_id = r.block_pool_id = (char *)(uintptr_t) "CID";
        r.role = (char *)(uintptr_t) "primary";
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "getServerDefaults") == 0) {
        straw_reply_defaults(call);
    } else if (strcmp(m, "create") == 0) {
        straw_reply_create(call);
    } else if (strcmp(m, "addBlock") == 0) {
        straw_reply_block(c, call);
    } else if (strcmp(m, "abandonBlock") == 0) {
        Hdw__AbandonBlockResponse r = HDW__ABANDON_BLOCK_RESPONSE__INIT;
        c->abandoned++;
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "complete") == 0) {
        Hdw__CompleteResponse r = HDW__COMPLETE_RESPONSE__INIT;
        r.result = true;
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "fsync") == 0) {
        Hdw__FsyncResponse r = HDW__FSYNC_RESPONSE__INIT;
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "updateBlockForPipeline") == 0) {
        Hdw__UpdateBlockForPipelineResponse r = HDW__UPDATE_BLOCK_FOR_PIPELINE_RESPONSE__INIT;
        r.block = straw_block(c, &call->arena, 0);
        r.block->b->generation_stamp = 1002;
        c->recoveries++;
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "updatePipeline") == 0) {
        Hdw__UpdatePipelineResponse r = HDW__UPDATE_PIPELINE_RESPONSE__INIT;
        hd_rpc_reply(call, &r.base, 0);
    } else if (strcmp(m, "getBlockLocations") == 0) {
        straw_reply_locations(c, call);
    } else if (strcmp(m, "getReplicaVisibleLength") == 0) {
        straw_reply_visible(c, call);
    } else if (strcmp(m, "reportBadBlocks") == 0) {
        straw_take_report(c, call);
    } else {
        hd_rpc_reply_error(call, -HD_E_IO, m);
    }
}

static inline struct hd_fs *straw_start(struct straw_cluster *c)
{
    static const char *const protocols[] = {
        HD_PROTOCOL_CLIENT, "howdah.MetaProtocol",
        "org.apache.hadoop.hdfs.protocol.ClientDatanodeProtocol", NULL};
    *c = (struct straw_cluster){.blocks = 0};
    for (int i = 0; i < STRAW_NODES; i++) {
        c->nodes[i] = straw_node_start(i);
    }
    struct hd_rpc_server_options o = {.protocols = protocols, .on_call = straw_on_call, .ctx = c};
    test_server_start(&c->meta, &o);
    char uri[64];
    snprintf(uri, sizeof(uri), "hdfs://127.0.0.1:%d", c->meta.port);
    struct hd_fs_options fo = {.uri = uri, .user = "alice", .retry_ms = 3000};
    struct hd_fs *fs;
    ATF_REQUIRE_EQ(hd_fs_open(&fo, &fs), 0);
    return fs;
}

static inline void straw_stop(struct straw_cluster *c, struct hd_fs *fs)
{
    hd_fs_close(fs);
    test_server_stop(&c->meta);
    for (int i = 0; i < STRAW_NODES; i++) {
        straw_node_stop(c->nodes[i]);
    }
}

#endif
