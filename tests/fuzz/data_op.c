/*
 * Whatever a peer sends to the transfer port of a data node: requests, packets, rubbish. The node
 * runs in this process with one replica; every input is one connection.
 *
 * Requests that would make the node call others (pipelines, copies) are left out: a fuzzer must not
 * dial addresses it made up.
 */
#include "fs/base/error.h"
#include "fs/data/shell/op.h"
#include "fs/data/store/block_writer.h"
#include "fs/net/loop.h"
#include "fs/os/file.h"
#include "fs/os/log.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { OP_WRITE = 80, OP_REPLACE = 83, OP_TRANSFER = 86, INPUT_MAX = 1 << 16 };

static const char POOL[] = "BP-1976064991-127.0.0.1-1795363449510"; /* of the captures */

static struct hd_data node;
static char dir[] = "/tmp/fuzz-data.XXXXXX";

static void clean_up(void)
{
    hd_dir_remove(dir);
}

static void put_replica(void)
{
    struct hd_block_writer_options o = {
        .setup = {.stage = HD_STAGE_CREATE, .id = {1073741831}, .gs = {1007}},
        .format = {HD_CHECKSUM_CRC32C, 512}};
    struct hd_block_writer *w;
    uint8_t data[1500] = {1};
    uint8_t sums[12];
    struct hd_packet p = {.data_bytes = sizeof(data), .sums_bytes = sizeof(sums)};
    hd_checksum_chunks(HD_CHECKSUM_CRC32C, 512, data, sizeof(data), sums);
    if (hd_block_writer_open(node.store, &o, &w) < 0 ||
        hd_block_writer_write(w, &p, sums, data, true) < 0 || hd_block_writer_finish(w) < 0) {
        abort();
    }
    hd_block_writer_close(w);
}

static void start(void)
{
    struct hd_loop *loop;
    struct hd_store_identity id = {.cluster_id = "CID", .namespace_id = 1, .ctime_ms = 1};
    struct hd_data_options o = {.address = "127.0.0.1:0",
                                .ipc_address = "127.0.0.1:0",
                                .http_address = "127.0.0.1:0",
                                .meta_address = "127.0.0.1:1",
                                .host_name = "localhost",
                                .user = "fuzz",
                                .heartbeat_ms = 1000000,
                                .max_transfer_threads = 100};
    signal(SIGPIPE, SIG_IGN);
    hd_log_init("fuzz", (enum hd_log_level)0);
    snprintf(id.pool_id, sizeof(id.pool_id), "%s", POOL);
    if (mkdtemp(dir) == NULL) {
        abort();
    }
    atexit(clean_up);
    o.dirs = strdup(dir);
    if (hd_loop_new(&loop) < 0 || hd_data_start(&node, loop, &o) < 0 ||
        hd_store_bind(node.store, &id) < 0) {
        abort();
    }
    put_replica();
}

/* True for a request that names other nodes. */
static bool dials(const uint8_t *data, size_t size)
{
    uint64_t length;
    if (size < 4 || (data[2] != OP_WRITE && data[2] != OP_REPLACE && data[2] != OP_TRANSFER)) {
        return false;
    }
    int head = hd_varint_decode(data + 3, size - 3, &length);
    if (head <= 0 || length > size - 3 - (size_t)head) {
        return false; /* does not decode there either */
    }
    if (data[2] != OP_WRITE) {
        return true;
    }
    Hdw__OpWriteBlock *op = hdw__op_write_block__unpack(NULL, (size_t)length, data + 3 + head);
    bool yes = op != NULL && op->n_targets > 0;
    if (op != NULL) {
        hdw__op_write_block__free_unpacked(op, NULL);
    }
    return yes;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool started;
    int fds[2];
    uint8_t waste[65536];
    if (!started) {
        start();
        started = true;
    }
    /* Only the first request of a connection can be looked at: reads may be followed by others. */
    if (size > INPUT_MAX || dials(data, size) || socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0) {
        return 0;
    }
    for (size_t i = 1; i + 2 < size; i++) {
        if (data[i] == 0x00 && data[i + 1] == 0x1c && dials(data + i, size - i)) {
            close(fds[0]);
            close(fds[1]);
            return 0;
        }
    }
    hd_conn_start(&node, fds[0], false);
    if (send(fds[1], data, size, MSG_NOSIGNAL) >= 0) {
        shutdown(fds[1], SHUT_WR);
        while (recv(fds[1], waste, sizeof(waste), 0) > 0) {
        }
    }
    close(fds[1]);
    return 0;
}
