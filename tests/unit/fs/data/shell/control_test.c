/*
 * A node and a meta that the test plays: handshake, registration, heartbeats, reports, commands,
 * and what happens when meta goes away and comes back.
 */
#include "fs/net/rpc_server.h"
#include "fs/os/clock.h"
#include "tests/unit/fs/data/shell/node.h"

#include "datanode.pb-c.h"

enum { WAIT_MS = 10000 };

/* Calls seen, and what the next heartbeat is to bring. */
struct meta {
    struct hd_loop *loop;
    struct hd_rpc_server *server;
    pthread_t thread;
    char address[64];
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int versions, registers, heartbeats, reports, received, deleted, commits, closes;
    uint64_t reported_blocks;
    uint64_t last_received;
    Hdw__DatanodeCommand *command; /* given out once */
    const char *cluster_id;
};

static void reply_version(struct meta *m, struct hd_rpc_call *call)
{
    Hdw__StorageInfo storage = HDW__STORAGE_INFO__INIT;
    Hdw__NamespaceInfo info = HDW__NAMESPACE_INFO__INIT;
    Hdw__VersionRequestResponse r = HDW__VERSION_REQUEST_RESPONSE__INIT;
    storage.layout_version = (uint32_t)-67;
    storage.namespce_id = 7;
    storage.cluster_id = (char *)(uintptr_t)m->cluster_id;
    storage.c_time = 1;
    info.build_version = info.software_version = (char *)(uintptr_t) "3.4.2";
    info.block_pool_id = (char *)(uintptr_t)TEST_POOL;
    info.storage_info = &storage;
    r.info = &info;
    m->versions++;
    hd_rpc_reply(call, &r.base, 0);
}

static void reply_register(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__RegisterDatanodeRequest *q =
        (const Hdw__RegisterDatanodeRequest *)hd_rpc_call_decode(
            call, &hdw__register_datanode_request__descriptor);
    Hdw__RegisterDatanodeResponse r = HDW__REGISTER_DATANODE_RESPONSE__INIT;
    r.registration = q->registration;
    m->registers++;
    hd_rpc_reply(call, &r.base, 0);
}

static void reply_heartbeat(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__SendHeartbeatRequest *q = (const Hdw__SendHeartbeatRequest *)hd_rpc_call_decode(
        call, &hdw__send_heartbeat_request__descriptor);
    Hdw__NNHAStatusHeartbeat ha = HDW__NNHASTATUS_HEARTBEAT__INIT;
    Hdw__SendHeartbeatResponse r = HDW__SEND_HEARTBEAT_RESPONSE__INIT;
    ATF_CHECK_EQ(q->n_reports, 1);
    r.ha_status = &ha;
    if (m->command != NULL) {
        r.cmds = &m->command;
        r.n_cmds = 1;
    }
    m->heartbeats++;
    hd_rpc_reply(call, &r.base, 0);
    m->command = NULL;
}

static void reply_report(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__BlockReportRequest *q = (const Hdw__BlockReportRequest *)hd_rpc_call_decode(
        call, &hdw__block_report_request__descriptor);
    Hdw__BlockReportResponse r = HDW__BLOCK_REPORT_RESPONSE__INIT;
    ATF_CHECK_EQ(q->n_reports, 1);
    ATF_CHECK_EQ(q->reports[0]->n_blocks_buffers, 1);
    m->reports++;
    m->reported_blocks = q->reports[0]->number_of_blocks;
    hd_rpc_reply(call, &r.base, 0);
}

static void reply_received(struct meta *m, struct hd_rpc_call *call)
{
    const Hdw__BlockReceivedAndDeletedRequest *q =
        (const Hdw__BlockReceivedAndDeletedRequest *)hd_rpc_call_decode(
            call, &hdw__block_received_and_deleted_request__descriptor);
    Hdw__BlockReceivedAndDeletedResponse r = HDW__BLOCK_RECEIVED_AND_DELETED_RESPONSE__INIT;
    for (size_t i = 0; i < q->n_blocks; i++) {
        for (size_t k = 0; k < q->blocks[i]->n_blocks; k++) {
            const Hdw__ReceivedDeletedBlockInfo *b = q->blocks[i]->blocks[k];
            bool received = b->status == HDW__BLOCK_STATUS__BLOCK_STATUS_RECEIVED;
            m->received += received;
            m->deleted += !received;
            m->last_received = b->block->block_id;
        }
    }
    hd_rpc_reply(call, &r.base, 0);
}

static void on_call(void *ctx, struct hd_rpc_call *call)
{
    struct meta *m = ctx;
    pthread_mutex_lock(&m->lock);
    if (strcmp(call->method, "versionRequest") == 0) {
        reply_version(m, call);
    } else if (strcmp(call->method, "registerDatanode") == 0) {
        reply_register(m, call);
    } else if (strcmp(call->method, "sendHeartbeat") == 0) {
        reply_heartbeat(m, call);
    } else if (strcmp(call->method, "blockReport") == 0) {
        reply_report(m, call);
    } else if (strcmp(call->method, "blockReceivedAndDeleted") == 0) {
        reply_received(m, call);
    } else {
        Hdw__CommitBlockSynchronizationResponse r =
            HDW__COMMIT_BLOCK_SYNCHRONIZATION_RESPONSE__INIT;
        m->commits += strcmp(call->method, "commitBlockSynchronization") == 0;
        hd_rpc_reply(call, &r.base, 0);
    }
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void on_close(void *ctx, uint64_t conn_id)
{
    struct meta *m = ctx;
    (void)conn_id;
    pthread_mutex_lock(&m->lock);
    m->closes++;
    pthread_cond_broadcast(&m->changed);
    pthread_mutex_unlock(&m->lock);
}

static void meta_start(struct meta *m, const char *address)
{
    static const char *const protocols[] = {
        "org.apache.hadoop.hdfs.server.protocol.DatanodeProtocol", NULL};
    struct hd_rpc_server_options o = {
        .protocols = protocols, .on_call = on_call, .on_close = on_close, .ctx = m};
    quiet_once();
    *m = (struct meta){.cluster_id = "CID-test"};
    pthread_mutex_init(&m->lock, NULL);
    pthread_cond_init(&m->changed, NULL);
    ATF_REQUIRE_EQ(hd_loop_new(&m->loop), 0);
    ATF_REQUIRE_EQ(hd_rpc_server_new(m->loop, address, &o, &m->server), 0);
    snprintf(m->address, sizeof(m->address), "127.0.0.1:%d", hd_rpc_server_port(m->server));
    ATF_REQUIRE_EQ(pthread_create(&m->thread, NULL, node_main, m->loop), 0);
}

static void meta_stop(struct meta *m)
{
    hd_loop_stop(m->loop);
    pthread_join(m->thread, NULL);
    hd_rpc_server_free(m->server);
    hd_loop_free(m->loop);
}

/* Waits until the counter has come this far. */
static void wait_for(struct meta *m, const int *counter, int count, const char *what)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_MS / 1000;
    pthread_mutex_lock(&m->lock);
    int e = 0;
    while (*counter < count && e == 0) {
        e = pthread_cond_timedwait(&m->changed, &m->lock, &until);
    }
    pthread_mutex_unlock(&m->lock);
    ATF_REQUIRE_MSG(e == 0, "%s: %d of %d", what, *counter, count);
}

static void on_fatal(void *ctx)
{
    atomic_store((atomic_bool *)ctx, true);
}

static void start_node(struct node *n, const struct meta *m, atomic_bool *fatal)
{
    memset(n, 0, sizeof(*n));
    struct hd_data_options o = {.heartbeat_ms = 50, .max_transfer_threads = 10};
    snprintf(o.address, sizeof(o.address), "127.0.0.1:0");
    snprintf(o.ipc_address, sizeof(o.ipc_address), "127.0.0.1:0");
    snprintf(o.http_address, sizeof(o.http_address), "127.0.0.1:9864");
    snprintf(o.meta_address, sizeof(o.meta_address), "%s", m->address);
    snprintf(o.host_name, sizeof(o.host_name), "localhost");
    snprintf(o.user, sizeof(o.user), "test");
    o.dirs = strdup("d");
    n->data.on_fatal = on_fatal;
    n->data.on_fatal_ctx = fatal;
    ATF_REQUIRE_EQ(hd_loop_new(&n->loop), 0);
    ATF_REQUIRE_EQ_MSG(hd_data_start(&n->data, n->loop, &o), 0, "%s", hd_fail_text());
    ATF_REQUIRE_EQ(pthread_create(&n->thread, NULL, node_main, n->loop), 0);
}

static const struct hd_sum_format crc32c = {HD_CHECKSUM_CRC32C, 512};

ATF_TC_WITHOUT_HEAD(a_node_joins_beats_and_reports);
ATF_TC_BODY(a_node_joins_beats_and_reports, tc)
{
    static struct meta m;
    static struct node n;
    atomic_bool fatal = false;
    meta_start(&m, "127.0.0.1:0");
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.reports, 1, "full reports");
    wait_for(&m, &m.heartbeats, 3, "heartbeats");
    ATF_CHECK(m.versions == 1 && m.registers == 1 && m.reported_blocks == 0);
    ATF_CHECK(!fatal);
    node_stop(&n);
    wait_for(&m, &m.closes, 1, "connections closed"); /* the one connection: meta knows at once */
    meta_stop(&m);
}

ATF_TC_WITHOUT_HEAD(deletes_are_carried_out_and_told);
ATF_TC_BODY(deletes_are_carried_out_and_told, tc)
{
    static struct meta m;
    static struct node n;
    atomic_bool fatal = false;
    uint8_t data[100] = {0};
    meta_start(&m, "127.0.0.1:0");
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.reports, 1, "full reports");
    node_put(&n, 5, 1001, crc32c, data, sizeof(data));
    node_put(&n, 6, 1001, crc32c, data, sizeof(data));
    Hdw__Block blocks[2] = {HDW__BLOCK__INIT, HDW__BLOCK__INIT};
    Hdw__Block *list[2] = {&blocks[0], &blocks[1]};
    Hdw__BlockCommand cmd = HDW__BLOCK_COMMAND__INIT;
    Hdw__DatanodeCommand command = HDW__DATANODE_COMMAND__INIT;
    blocks[0].block_id = 5;
    blocks[1].block_id = 6;
    blocks[0].gen_stamp = blocks[1].gen_stamp = 1001;
    blocks[0].has_num_bytes = blocks[1].has_num_bytes = true;
    blocks[0].num_bytes = INT64_MAX; /* of a deleted file: nobody waits to hear of it */
    blocks[1].num_bytes = 100;
    cmd.action = HDW__BLOCK_COMMAND_ACTION__BLOCK_INVALIDATE;
    cmd.block_pool_id = (char *)(uintptr_t)TEST_POOL;
    cmd.blocks = list;
    cmd.n_blocks = 2;
    command.cmd_type = HDW__DATANODE_COMMAND_TYPE__CMD_BlockCommand;
    command.blk_cmd = &cmd;
    pthread_mutex_lock(&m.lock);
    m.command = &command;
    pthread_mutex_unlock(&m.lock);
    wait_for(&m, &m.deleted, 1, "deletions told");
    struct hd_replica r;
    ATF_CHECK_EQ(hd_store_get(n.data.store, (struct hd_block_id){5}, &r), -HD_E_REPLICA_NOT_FOUND);
    ATF_CHECK_EQ(hd_store_get(n.data.store, (struct hd_block_id){6}, &r), -HD_E_REPLICA_NOT_FOUND);
    ATF_CHECK(m.deleted == 1 && m.last_received == 6);
    node_stop(&n);
    meta_stop(&m);
}

ATF_TC_WITHOUT_HEAD(the_node_registers_again_when_it_is_told_to);
ATF_TC_BODY(the_node_registers_again_when_it_is_told_to, tc)
{
    static struct meta m;
    static struct node n;
    atomic_bool fatal = false;
    Hdw__DatanodeCommand command = HDW__DATANODE_COMMAND__INIT;
    meta_start(&m, "127.0.0.1:0");
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.reports, 1, "full reports");
    command.cmd_type = HDW__DATANODE_COMMAND_TYPE__CMD_RegisterCommand;
    pthread_mutex_lock(&m.lock);
    m.command = &command;
    pthread_mutex_unlock(&m.lock);
    wait_for(&m, &m.registers, 2, "registrations");
    wait_for(&m, &m.reports, 2, "full reports");
    node_stop(&n);
    meta_stop(&m);
}

ATF_TC_WITHOUT_HEAD(a_meta_that_comes_back_gets_everything_again);
ATF_TC_BODY(a_meta_that_comes_back_gets_everything_again, tc)
{
    static struct meta m;
    static struct meta again;
    static struct node n;
    atomic_bool fatal = false;
    uint8_t data[100] = {0};
    meta_start(&m, "127.0.0.1:0");
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.reports, 1, "full reports");
    char address[64];
    snprintf(address, sizeof(address), "%s", m.address);
    meta_stop(&m);
    node_put(&n, 5, 1001, crc32c, data, sizeof(data));
    meta_start(&again, address);
    wait_for(&again, &again.registers, 1, "registrations");
    wait_for(&again, &again.reports, 1, "full reports");
    ATF_CHECK_EQ(again.reported_blocks, 1);
    node_stop(&n);
    meta_stop(&again);
}

ATF_TC_WITHOUT_HEAD(a_meta_of_another_cluster_ends_the_node);
ATF_TC_BODY(a_meta_of_another_cluster_ends_the_node, tc)
{
    static struct meta m;
    static struct node n;
    atomic_bool fatal = false;
    meta_start(&m, "127.0.0.1:0");
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.reports, 1, "full reports");
    node_stop(&n);
    pthread_mutex_lock(&m.lock);
    m.cluster_id = "CID-other";
    pthread_mutex_unlock(&m.lock);
    start_node(&n, &m, &fatal);
    wait_for(&m, &m.versions, 3, "handshakes");
    ATF_CHECK(atomic_load(&fatal));
    ATF_CHECK_EQ(m.registers, 1);
    node_stop(&n);
    meta_stop(&m);
}

ATF_TP_ADD_TCS(tp)
{
    ATF_TP_ADD_TC(tp, a_node_joins_beats_and_reports);
    ATF_TP_ADD_TC(tp, deletes_are_carried_out_and_told);
    ATF_TP_ADD_TC(tp, the_node_registers_again_when_it_is_told_to);
    ATF_TP_ADD_TC(tp, a_meta_that_comes_back_gets_everything_again);
    ATF_TP_ADD_TC(tp, a_meta_of_another_cluster_ends_the_node);
    return atf_no_error();
}
